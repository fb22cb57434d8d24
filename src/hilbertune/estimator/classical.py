"""The remark at the end of a fit: a plain classical head on the same rows did better on validation.

In: an estimator that was just trained, its rows and targets, and the split.
Out: the classical head's figure as an attribute, and perhaps one line in the log named "hilbertune".
"""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertune.baselines.plain import did_better, plain_figure, r2
from hilbertune.data.splits import Split
from hilbertune.embedding.embedder import Embedder
from hilbertune.runtime import processes

if TYPE_CHECKING:
    from hilbertune.estimator.base import HybridEstimator


def compare(
    fitted: "HybridEstimator",
    X: Any,
    targets: np.ndarray,
    split: Split,
    embedder: Embedder | None,
    weights: np.ndarray | None = None,
) -> None:
    """Set the validation figure of a plain classical head, and say so if it is better than that of the trained head.

    The figure is `classical_validation_accuracy_`, for a regressor `classical_validation_r2_`. A base that has learned
    serves the classical head too. Nothing is drawn at random, and the trained head stays as it is.
    """
    task, class_weight = fitted.task_, fitted.training_config_.class_weight
    name = "classical_validation_r2_" if task == "regression" else "classical_validation_accuracy_"
    if not len(split.validation):
        setattr(fitted, name, float("nan"))
        if task == "regression":
            fitted.validation_r2_ = float("nan")
        return
    rows = np.concatenate([split.train, split.validation])
    # Training has embedded these rows, so the cache has them, unless the base has learned since.
    vectors = X[rows] if embedder is None else embedder.embed([X[row] for row in rows])
    cut = len(split.train)
    own = Split(np.arange(cut), np.arange(cut, len(rows)), np.arange(0))
    shares = None if weights is None else weights[rows]
    plain = plain_figure(vectors, targets[rows], own, task, class_weight, shares)
    setattr(fitted, name, plain)
    if task == "regression":
        validation = None if weights is None else weights[split.validation]
        head = r2(fitted.training_.best_validation_loss(0), targets[split.validation], validation)
        fitted.validation_r2_ = head
    else:
        head = fitted.training_.best_validation_accuracy(0)
    found = did_better(task, len(split.validation), [head], [plain], weighted=weights is not None)
    if found is not None and processes.is_first():
        logging.getLogger("hilbertune").warning(found.sentence)
