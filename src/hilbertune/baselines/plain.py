"""The plain linear head that a quantum one is held against whenever it is validated: logistic or ridge regression.

In: embeddings or columns of a table, targets, and the rows that train and validate.
Out: its figure on the validation rows, and a sentence if it did better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped
from threadpoolctl import threadpool_limits

from hilbertune.baselines.models import Baseline, Embeddings, Targets, fit_quietly, logistic, standardised
from hilbertune.config.records import ClassWeight, Task
from hilbertune.data.columns import in_range, on_one_scale
from hilbertune.data.splits import Split

SMALLEST = 1e-3
"""Difference of R² that is worth a sentence; accuracies differ by whole rows."""

STEPS = 200
"""Steps of logistic regression: it needs fewer on embeddings, and where it needs more a fit does not wait for them."""

ADVICE = "prefer it unless you study the head."


@dataclass(frozen=True)
class DidBetter:
    """The plain head that did better on validation: its name, and by how many hundredths of accuracy or R²."""

    name: str
    metric: str
    points: float
    sentence: str


def plain_figure(
    x: Embeddings,
    targets: Targets,
    split: Split,
    task: Task,
    class_weight: ClassWeight | None,
    weights: Shaped[np.ndarray, " rows"] | None = None,
) -> float:
    """Return the accuracy, for numbers R², of a plain head on the validation rows; NaN where there is no such figure.

    It has scikit-learn's penalty and draws nothing at random; the columns of a table are standardised. The steps of a
    scale are learned as classes. With several labels a row is right if all of its labels are. Rows may have weights, in
    training and in the figure.
    """
    truth = targets[split.validation]
    if not len(truth) or (task == "regression" and not np.ptp(truth)):
        return math.nan
    x = in_range(x)
    rows, wanted = x[split.train], targets[split.train]
    taught, judged = (None, None) if weights is None else (weights[split.train], weights[split.validation])
    # On matrices this small the threads of a linear algebra library only wait for each other.
    with threadpool_limits(1):
        if on_one_scale(rows):
            model = _fitted(rows, wanted, task, class_weight, taught).model
        else:
            model = standardised(rows, lambda columns: _fitted(columns, wanted, task, class_weight, taught)).model
        answers = np.asarray(model.predict(x[split.validation]))
    if task == "regression":
        return r2(float(np.average((answers - truth) ** 2, weights=judged)), truth, judged)
    right = (answers == truth).all(1) if task == "multi-label" else answers == truth
    return float(np.average(right, weights=judged))


def r2(
    squared_error: float, truth: Shaped[np.ndarray, " rows"], weights: Shaped[np.ndarray, " rows"] | None = None
) -> float:
    """Return R² from a mean squared error; NaN if all numbers are the same, or there are none."""
    if not len(truth) or not np.ptp(truth):
        return math.nan
    variance = truth.var() if weights is None else np.cov(truth, aweights=weights, ddof=0)
    return 1 - squared_error / float(variance)


def did_better(
    task: Task, rows: int, head: Sequence[float], plain: Sequence[float], *, weighted: bool = False
) -> DidBetter | None:
    """Return what to say of a plain head that did better in the mean over seeds, or None if it did not.

    `head` and `plain` are their figures on the same `rows` validation rows, one for each seed; seeds in which one is
    NaN are left out. Accuracies of rows that are `weighted` are not numbers of rows.
    """
    pairs = [(h, p) for h, p in zip(head, plain, strict=True) if not math.isnan(h + p)]
    if not pairs:
        return None
    ours, theirs = (float(mean) for mean in np.mean(pairs, axis=0))
    seeds = f" (mean of {len(pairs)} seeds)" if len(pairs) > 1 else ""
    if task == "regression":
        if theirs - ours < SMALLEST:
            return None
        words = f"ridge regression reaches an R² of {theirs:.3f}, this head {ours:.3f}"
        sentence = f"On the {rows} validation rows{seeds} {words}: {ADVICE}"
        return DidBetter("ridge regression", "r2", 100 * (theirs - ours), sentence)
    if weighted:
        if theirs - ours < SMALLEST:
            return None
        words = f"the weighted accuracy of logistic regression is {100 * theirs:.1f} %, of this head {100 * ours:.1f} %"
        sentence = f"On the {rows} validation rows{seeds} {words}: {ADVICE}"
        return DidBetter("logistic regression", "accuracy", 100 * (theirs - ours), sentence)
    # Counts, since shares of the same rows may differ in their last bits.
    if sum(round(p * rows) for _, p in pairs) <= sum(round(h * rows) for h, _ in pairs):
        return None
    counts = [f"{mean * rows:.{int(len(pairs) > 1)}f} ({100 * mean:.1f} %)" for mean in (theirs, ours)]
    words = f"logistic regression is right on {counts[0]}, this head on {counts[1]}"
    sentence = f"On the {rows} validation rows{seeds} {words}: {ADVICE}"
    return DidBetter("logistic regression", "accuracy", 100 * (theirs - ours), sentence)


def _fitted(
    x: Embeddings, y: Targets, task: Task, class_weight: ClassWeight | None, rows: np.ndarray | None
) -> Baseline:
    """Return the plain head of a task, from rows that may have weights; its parameters are not counted."""
    if task == "regression":
        from sklearn.linear_model import Ridge

        return Baseline(Ridge().fit(x, y, rows), 0)
    if task == "multi-label":
        return Baseline(_EachLabel([_yes_or_no(x, one, class_weight, j, rows) for j, one in enumerate(y.T)]), 0)
    weight: Any = dict(enumerate(class_weight)) if isinstance(class_weight, tuple) else class_weight
    return Baseline(_classifier(x, y, weight, rows), 0)


def _yes_or_no(x: Embeddings, y: Targets, class_weight: ClassWeight | None, label: int, rows: np.ndarray | None) -> Any:
    """Return the classifier of one label; a tuple of weights holds that of its positive rows."""
    weight: Any = {0: 1.0, 1: class_weight[label]} if isinstance(class_weight, tuple) else class_weight
    return _classifier(x, y.astype(np.int64), weight, rows)


def _classifier(x: Embeddings, y: Targets, weight: Any, rows: np.ndarray | None) -> Any:
    """Return logistic regression, or what always gives the one class that there is."""
    from sklearn.dummy import DummyClassifier

    model = DummyClassifier(strategy="most_frequent") if np.ptp(y) == 0 else logistic(1.0, weight, STEPS)
    return fit_quietly(model, x, y, sample_weight=rows)


@dataclass(frozen=True)
class _EachLabel:
    """A classifier for each label."""

    models: Sequence[Any]

    def predict(self, x: Embeddings) -> np.ndarray:
        return np.stack([model.predict(x) for model in self.models], axis=1)
