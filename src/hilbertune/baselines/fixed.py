"""Classical heads on the same embeddings and the same splits, so that every quantum result has its yardstick beside it.

In: training embeddings, and how many parameters the quantum head has. Out: a fitted model with scikit-learn's `predict`, and its parameter count.
BASELINES are the four with fixed settings that `fit` prints; FAMILIES are those that a study tunes. "Matched" is what is no larger than the quantum head.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from hilbertune.config.records import ClassWeight, Task
from hilbertune.errors import HilbertuneError


@dataclass(frozen=True)
class Baseline:
    """A fitted classical head; `parameters` counts what was trained (support vectors count whole, as stored numbers)."""

    model: Any
    parameters: int


def logistic_regression(x: np.ndarray, y: np.ndarray, parameters: int, seed: int) -> Baseline:
    """Logistic regression with C = 1 on the whole embedding."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=2000).fit(x, y)
    return Baseline(model, model.coef_.size + model.intercept_.size)


def rbf_svm(x: np.ndarray, y: np.ndarray, parameters: int, seed: int) -> Baseline:
    """Support vector machine with an RBF kernel, C = 1."""
    from sklearn.svm import SVC

    model = SVC(C=1.0).fit(x, y)
    return Baseline(model, model.support_vectors_.size + model.dual_coef_.size + len(model.intercept_))


def mlp(x: np.ndarray, y: np.ndarray, parameters: int, seed: int) -> Baseline:
    """One hidden layer of 48 units (a size of arXiv 2504.08732)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((48,), random_state=seed)
    with warnings.catch_warnings():
        # 200 epochs are the library's default, and enough: the training loss hardly moves any more.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    return Baseline(model, sum(a.size for a in [*model.coefs_, *model.intercepts_]))


def matched(x: np.ndarray, y: np.ndarray, parameters: int, seed: int) -> Baseline:
    """Logistic regression on as many principal components as give at most `parameters` trained numbers.

    Like the basis of a quantum head the components are unsupervised and not counted.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classes = len(np.unique(y))
    rows = 1 if classes == 2 else classes
    components = max(1, min(parameters // rows - 1, *x.shape))
    model = make_pipeline(PCA(components, random_state=seed), LogisticRegression(max_iter=2000))
    return Baseline(model.fit(x, y), rows * (components + 1))


Fit = Callable[[np.ndarray, np.ndarray, int, int], Baseline]


def score_of(model: Any, x: np.ndarray) -> Float[np.ndarray, " rows"] | None:
    """How sure a fitted model is of the second of two classes, for ROC-AUC; None where it has no such score."""
    if hasattr(model, "decision_function"):
        score = np.asarray(model.decision_function(x), np.float64)
    elif hasattr(model, "predict_proba"):
        score = np.asarray(model.predict_proba(x), np.float64)
    else:
        return None
    if score.ndim == 2 and score.shape[1] == 2:
        return score[:, 1] - score[:, 0]
    return score if score.ndim == 1 else None


BASELINES: dict[str, Fit] = {
    "logistic regression": logistic_regression,
    "RBF SVM": rbf_svm,
    "MLP, 48 hidden": mlp,
    "logistic regression, matched": matched,
}
"""By the name that tables print; each is called with (x, y, parameters of the quantum head, seed)."""


def baselines(task: Task, class_weight: ClassWeight | None = None) -> dict[str, Fit]:
    """The four heads of a task with fixed settings, by the name that tables print.

    One-vs-rest and several labels: a model for each class. A scale: a model for each threshold (Li and Lin 2007), the step being how
    many are passed. With class weights each model weighs its own two classes, or all of them; the MLP does where scikit-learn lets it.
    """
    if task == "regression":
        kinds = {"linear": "ridge regression"}
    elif task == "classification" and class_weight is None:
        return BASELINES
    else:
        kinds = {"linear": "logistic regression"}
    names = {
        kinds["linear"]: "linear",
        "RBF SVM": "svm",
        "MLP, 48 hidden": "mlp",
        f"{kinds['linear']}, matched": "matched",
    }
    return {name: partial(_fit_task, task, class_weight, kind) for name, kind in names.items()}


@dataclass(frozen=True)
class Steps:
    """A model of the yes or no of each threshold of a scale; predicts the step."""

    model: Any

    def predict(self, x: np.ndarray) -> np.ndarray:
        passed = np.asarray(self.model.predict(x)).reshape(len(x), -1)
        found: np.ndarray = passed.sum(1)
        return found


def _fit_task(
    task: Task,
    class_weight: ClassWeight | None,
    kind: str,
    x: np.ndarray,
    y: np.ndarray,
    parameters: int,
    seed: int,
) -> Baseline:
    from sklearn.decomposition import PCA
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    target, scores = y, 1
    if task == "ordinal":
        steps = np.arange(max(1, int(y.max())))
        target = (y[:, None] > steps).astype(np.int64)
        target = target[:, 0] if len(steps) == 1 else target
        scores = len(steps)
    elif task == "multi-label":
        target, scores = y.astype(np.int64), y.shape[1]
    elif task != "regression":
        scores = outputs_of(classes_of(y))
    model = _estimator(task, class_weight, kind, seed)
    # Softmax and the MLP's sigmoids already see all classes at once.
    if task not in ("classification", "regression") and kind != "mlp":
        model = OneVsRestClassifier(model)
    if kind == "matched":
        components = max(1, min(parameters // scores - 1, *x.shape))
        model = make_pipeline(PCA(components, random_state=seed), model)
    _fit_weighted(model, x, target, class_weight if kind == "mlp" and target.ndim == 1 else None)
    counted = _numbers(model[-1] if kind == "matched" else model)
    return Baseline(Steps(model) if task == "ordinal" else model, counted)


def _estimator(task: Task, class_weight: ClassWeight | None, kind: str, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.svm import SVC, SVR

    if task == "regression":
        return {
            "svm": SVR(C=1.0),
            "mlp": MLPRegressor(hidden_layer_sizes=(48,), random_state=seed),
        }.get(kind, Ridge(alpha=1.0))
    if isinstance(class_weight, tuple):
        if task != "classification":
            raise HilbertuneError(f"The classical heads of task={task!r} weigh their classes by 'balanced' alone.")
        class_weight = dict(enumerate(class_weight))  # type: ignore[assignment]
    if kind == "svm":
        return SVC(C=1.0, class_weight=class_weight)
    if kind == "mlp":
        return MLPClassifier((48,), random_state=seed)
    return LogisticRegression(C=1.0, max_iter=2000, class_weight=class_weight)


def _fit_weighted(model: Any, x: np.ndarray, y: np.ndarray, weight: ClassWeight | None) -> None:
    from sklearn.utils.class_weight import compute_sample_weight
    from sklearn.utils.validation import has_fit_parameter

    with warnings.catch_warnings():
        # A label that no training row has, or every one, is predicted as such.
        warnings.filterwarnings("ignore", "Label .* is present in all", UserWarning)
        warnings.filterwarnings("ignore", "Label not .* is present in all", UserWarning)
        more = {}
        if weight is not None and has_fit_parameter(model, "sample_weight"):
            each = dict(enumerate(weight)) if isinstance(weight, tuple) else weight
            more["sample_weight"] = compute_sample_weight(each, y)
        fit_quietly(model, x, y, **more)


def _numbers(model: Any) -> int:
    """Trained numbers of a fitted model, its parts included; support vectors count whole."""
    if hasattr(model, "estimators_"):
        return sum(_numbers(part) for part in model.estimators_)
    if hasattr(model, "coefs_"):
        return sum(a.size for a in [*model.coefs_, *model.intercepts_])
    if hasattr(model, "support_vectors_"):
        size: int = model.support_vectors_.size + model.dual_coef_.size
        return size + np.size(model.intercept_)
    return np.size(model.coef_) + np.size(model.intercept_) if hasattr(model, "coef_") else 0


def outputs_of(classes: int) -> int:
    """Scores that a model gives: two classes need one."""
    return 1 if classes == 2 else classes


def classes_of(y: np.ndarray) -> int:
    return len(np.unique(y))


def fit_quietly(model: Any, x: np.ndarray, y: np.ndarray, **more: Any) -> Any:
    """A trial that stops at its limit of steps is a result like any other: validation judges it, so no warning is due."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y, **more)
