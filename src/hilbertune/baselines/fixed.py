"""Four classical heads with fixed settings, the yardsticks that `fit` prints beside a quantum head.

In: training embeddings x [rows, features], labels y [rows], the quantum head's number of parameters, and a seed.
Out: fitted models with scikit-learn's `predict`, and how many numbers each trains.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from hilbertune.baselines.models import (
    Baseline,
    Embeddings,
    Targets,
    classes_of,
    counted,
    fit_quietly,
    logistic,
    on_components,
    outputs_of,
    standardised,
)
from hilbertune.config.records import ClassWeight, Task
from hilbertune.data.columns import on_one_scale
from hilbertune.errors import HilbertuneError

_HIDDEN = (48,)
"""Hidden units of the perceptron, a size of arXiv 2504.08732."""

Fit = Callable[[np.ndarray, np.ndarray, int, int], Baseline]
"""A function that fits a head to embeddings x [rows, features] and labels y [rows].

Labels of multi-label data are 0 and 1 [rows, classes]. It is called with (x, y, parameters, seed). Only
matched heads look at `parameters`, how many numbers the quantum head trains; `seed` draws random starts."""


def logistic_regression(x: Embeddings, y: Targets, _parameters: int, _seed: int) -> Baseline:
    """Fit logistic regression with C = 1 to the whole embedding, as `Fit` says."""
    return counted(logistic(1.0).fit(x, y))


def rbf_svm(x: Embeddings, y: Targets, _parameters: int, _seed: int) -> Baseline:
    """Fit a support vector machine with an RBF kernel and C = 1, as `Fit` says."""
    from sklearn.svm import SVC

    return counted(SVC(C=1.0).fit(x, y))


def mlp(x: Embeddings, y: Targets, _parameters: int, seed: int) -> Baseline:
    """Fit one hidden layer of 48 units (a size of arXiv 2504.08732), as `Fit` says."""
    from sklearn.neural_network import MLPClassifier

    # 200 epochs are the library's default, and enough: the training loss hardly moves any more.
    return counted(fit_quietly(MLPClassifier(_HIDDEN, random_state=seed), x, y))


def matched_logistic_regression(x: Embeddings, y: Targets, parameters: int, seed: int) -> Baseline:
    """Fit logistic regression to as many principal components as `parameters` numbers allow, as `Fit` says.

    Like the basis of a quantum head the components are unsupervised and not counted.
    """
    components = _components_within(parameters, outputs_of(classes_of(y)), x)
    return counted(on_components(components, logistic(1.0), seed).fit(x, y))


def _components_within(parameters: int, scores: int, x: Embeddings) -> int:
    """Return the largest number of components with scores · (components + 1) <= parameters, at least one."""
    most: int = min(parameters // scores - 1, *x.shape)
    return max(1, most)


def on_columns(fit: Fit) -> Fit:
    """Return a `Fit` that standardises the columns if they are not on one scale."""

    def fitted(x: Embeddings, y: Targets, parameters: int, seed: int) -> Baseline:
        if on_one_scale(x):
            return fit(x, y, parameters, seed)
        return standardised(x, lambda columns: fit(columns, y, parameters, seed))

    return fitted


BASELINES: dict[str, Fit] = {
    "logistic regression": on_columns(logistic_regression),
    "RBF SVM": on_columns(rbf_svm),
    "MLP, 48 hidden": on_columns(mlp),
    "logistic regression, matched": on_columns(matched_logistic_regression),
}
"""The four heads of plain classification, by the name that tables print; each standardises the columns of a table."""


def baselines(task: Task, class_weight: ClassWeight | None = None) -> dict[str, Fit]:
    """Return the four heads of a task with fixed settings, by the name that tables print.

    One-vs-rest and several labels have a model for each class, ordinal labels one for each threshold
    of the scale (Li and Lin 2007; the prediction is the number of thresholds passed). With class
    weights each model weighs its own two classes, or all of them; the MLP does so where scikit-learn
    lets it.
    """
    if task == "classification" and class_weight is None:
        return BASELINES
    linear = "ridge regression" if task == "regression" else "logistic regression"
    kinds = {linear: "linear", "RBF SVM": "svm", "MLP, 48 hidden": "mlp", f"{linear}, matched": "matched"}
    return {name: on_columns(_TaskHead(task, class_weight, kind)) for name, kind in kinds.items()}


@dataclass(frozen=True)
class OrdinalModel:
    """A model that says yes or no to each threshold of a scale, and predicts how many are passed."""

    model: Any

    def predict(self, x: Embeddings) -> Int[np.ndarray, " rows"]:
        """Return the step of the scale, from 0, for each row."""
        passed = np.asarray(self.model.predict(x)).reshape(len(x), -1)
        steps: np.ndarray = passed.sum(1)
        return steps


@dataclass(frozen=True)
class _TaskHead:
    """One kind of head ("linear", "svm", "mlp" or "matched") for a task, to be called as `Fit` says."""

    task: Task
    class_weight: ClassWeight | None
    kind: str

    def __call__(self, x: Embeddings, y: Targets, parameters: int, seed: int) -> Baseline:
        from sklearn.multiclass import OneVsRestClassifier

        target, scores = _target(self.task, y)
        model = self._estimator(seed)
        # Softmax and the MLP's sigmoids already see all classes at once.
        if self.task not in ("classification", "regression") and self.kind != "mlp":
            model = OneVsRestClassifier(model)
        if self.kind == "matched":
            model = on_components(_components_within(parameters, scores, x), model, seed)
        _fit_weighted(model, x, target, self.class_weight if self.kind == "mlp" and target.ndim == 1 else None)
        fitted = counted(model)
        return Baseline(OrdinalModel(model), fitted.parameters) if self.task == "ordinal" else fitted

    def _estimator(self, seed: int) -> Any:
        from sklearn.linear_model import Ridge
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.svm import SVC, SVR

        if self.task == "regression":
            if self.kind == "mlp":
                return MLPRegressor(hidden_layer_sizes=_HIDDEN, random_state=seed)
            return SVR(C=1.0) if self.kind == "svm" else Ridge(alpha=1.0)
        weight: Any = self.class_weight
        if isinstance(weight, tuple):
            if self.task != "classification":
                raise HilbertuneError(
                    f"The classical heads of task={self.task!r} weigh their classes by 'balanced' alone."
                )
            weight = dict(enumerate(weight))
        if self.kind == "svm":
            return SVC(C=1.0, class_weight=weight)
        return MLPClassifier(_HIDDEN, random_state=seed) if self.kind == "mlp" else logistic(1.0, weight)


def _target(task: Task, y: Targets) -> tuple[np.ndarray, int]:
    """Return what scikit-learn learns for these labels, and the number of scores that a linear model then gives."""
    if task == "regression":
        return y, 1
    if task == "multi-label":
        return y.astype(np.int64), y.shape[1]
    if task == "ordinal":
        thresholds = np.arange(max(1, int(y.max())))
        passed = (y[:, None] > thresholds).astype(np.int64)
        return (passed[:, 0] if len(thresholds) == 1 else passed), len(thresholds)
    return y, outputs_of(classes_of(y))


def _fit_weighted(model: Any, x: Embeddings, y: Targets, weight: ClassWeight | None) -> None:
    """Fit a model; `weight` becomes a weight of each row if the model takes one."""
    from sklearn.utils.class_weight import compute_sample_weight
    from sklearn.utils.validation import has_fit_parameter

    with warnings.catch_warnings():
        # A label that no training row has, or that every one has, is predicted as such.
        warnings.filterwarnings("ignore", "Label .* is present in all", UserWarning)
        warnings.filterwarnings("ignore", "Label not .* is present in all", UserWarning)
        options = {}
        if weight is not None and has_fit_parameter(model, "sample_weight"):
            by_class = dict(enumerate(weight)) if isinstance(weight, tuple) else weight
            options["sample_weight"] = compute_sample_weight(by_class, y)
        fit_quietly(model, x, y, **options)
