"""Classical heads on the same embeddings and the same splits, so that every quantum result has its yardstick beside it.

In: training embeddings, and how many parameters the quantum head has. Out: a fitted model with scikit-learn's `predict`, and its parameter count.
BASELINES are the four with fixed settings that `fit` prints; FAMILIES are those that a study tunes. "Matched" is what is no larger than the quantum head.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from hilbertune.config import ClassWeight, Task
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
    return Baseline(
        model, model.support_vectors_.size + model.dual_coef_.size + len(model.intercept_)
    )


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


# The same four for other tasks -------------------------------------------------------------------


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
            raise HilbertuneError(
                f"The classical heads of task={task!r} weigh their classes by 'balanced' alone."
            )
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


# What a study tunes ------------------------------------------------------------------------------

Settings = Mapping[str, Any]
Trials = Callable[[int, int, int, int, int], list[dict[str, Any]]]
FitTrial = Callable[[np.ndarray, np.ndarray, Settings, int, int], Baseline]


@dataclass(frozen=True)
class Family:
    """One kind of classical head, with the settings that a study tries.

    `trials(count, parameters, features, classes, rows)` gives at most `count` distinct settings: fewer if the family has no more.
    They are always the same, well spread, and begin in the middle; fewer trials are the first of more trials.
    `fit(x, y, settings, parameters, seed)` trains one of them; only the matched families look at `parameters`.

    Raises (both): HilbertuneError: not even the smallest model of a matched family has so few `parameters`.
    """

    trials: Trials
    fit: FitTrial


def spread(count: int, **axes: Sequence[Any]) -> list[dict[str, Any]]:
    """The first `count` distinct points of Roberts' R sequence, which fills a box evenly, over the values listed for each axis."""
    root = 2.0
    for _ in range(60):  # converges to the root of root^(axes + 1) = root + 1
        root = (1 + root) ** (1 / (len(axes) + 1))
    steps = [root ** -(i + 1) for i in range(len(axes))]
    wanted = min(count, math.prod(len(values) for values in axes.values()))
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    for number in itertools.count():
        if len(found) == wanted:
            return list(found.values())
        shares = [(0.5 + number * step) % 1 for step in steps]
        at = tuple(int(u * len(v)) for u, v in zip(shares, axes.values(), strict=True))
        found.setdefault(at, {k: v[i] for (k, v), i in zip(axes.items(), at, strict=True)})
    raise AssertionError("unreachable")


def scale(low: float, high: float) -> list[float]:
    """Geometric steps of a continuous setting, to three digits."""
    return [float(f"{v:.3g}") for v in np.geomspace(low, high, 121)]


def sizes(low: int, high: int) -> list[int]:
    """Distinct whole numbers in geometric steps, both ends included."""
    return sorted({round(v) for v in np.geomspace(low, high, 41)})


def outputs_of(classes: int) -> int:
    """Scores that a model gives: two classes need one."""
    return 1 if classes == 2 else classes


def classes_of(y: np.ndarray) -> int:
    return len(np.unique(y))


def affordable(family: str, size: int, smallest: int, parameters: int) -> int:
    """`size`, unless it is below 1: then even the smallest model is larger than asked."""
    if size < 1:
        raise HilbertuneError(
            f"The smallest {family} has {smallest} parameters, and only {parameters} are allowed: leave it out or raise the budget."
        )
    return size


def tuned(**axes: Sequence[Any]) -> Trials:
    """Trials that do not depend on the data."""
    return lambda count, parameters, features, classes, rows: spread(count, **axes)


def fit_quietly(model: Any, x: np.ndarray, y: np.ndarray, **more: Any) -> Any:
    """A trial that stops at its limit of steps is a result like any other: validation judges it, so no warning is due."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y, **more)


def tuned_logistic(
    x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    from sklearn.linear_model import LogisticRegression

    model = fit_quietly(LogisticRegression(C=settings["C"], max_iter=2000), x, y)
    return Baseline(model, model.coef_.size + model.intercept_.size)


def tuned_linear_svm(
    x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    from sklearn.svm import LinearSVC

    model = fit_quietly(LinearSVC(C=settings["C"], max_iter=5000, random_state=seed), x, y)
    return Baseline(model, model.coef_.size + model.intercept_.size)


def tuned_rbf_svm(
    x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    """`gamma` is given in units of scikit-learn's gamma="scale": 1 / (features · variance of x). Support vectors count whole."""
    from sklearn.svm import SVC

    unit = 1 / (x.shape[1] * (float(x.var()) or 1.0))
    model = SVC(C=settings["C"], gamma=settings["gamma"] * unit).fit(x, y)
    return Baseline(
        model, model.support_vectors_.size + model.dual_coef_.size + len(model.intercept_)
    )


def tuned_mlp(
    hidden: int, x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    """One hidden layer of `hidden` ReLU units, 100 epochs of Adam; with 0 units it is softmax regression."""
    model = perceptron(hidden, settings, seed)
    fit_quietly(model, x, y)
    return Baseline(model, sum(a.size for a in [*model.coefs_, *model.intercepts_]))


def perceptron(hidden: int, settings: Settings, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        (hidden,) if hidden else (),
        alpha=settings["alpha"],
        learning_rate_init=settings["learning_rate"],
        max_iter=100,
        random_state=seed,
    )


def neighbour_trials(
    count: int, parameters: int, features: int, classes: int, rows: int
) -> list[dict[str, Any]]:
    return spread(count, neighbours=sizes(1, max(1, rows // 2)))


def tuned_neighbours(
    x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    """k nearest neighbours; what it has "trained" is the training set that it stores."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(settings["neighbours"], len(x)))
    return Baseline(model.fit(x, y), x.size + y.size)


def tuned_boosting(
    x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    """100 boosted trees a score, each split choosing among the square root of the features (our choice, which also makes it quick).

    A split counts two numbers (feature and threshold), a leaf one; the prior of each class is counted too.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(
        learning_rate=settings["learning_rate"],
        max_depth=settings["depth"],
        max_features="sqrt",
        random_state=seed,
    ).fit(x, y)
    trees = [tree.tree_ for tree in model.estimators_.ravel()]
    splits = sum(t.node_count - t.n_leaves for t in trees)
    leaves = sum(t.n_leaves for t in trees)
    return Baseline(model, int(2 * splits + leaves + len(model.classes_)))


# Matched in parameters ---------------------------------------------------------------------------
# Principal components are not counted: like the basis of a quantum head they never see a label.


def most_components(parameters: int, classes: int) -> int:
    """The most with outputs · (components + 1) <= parameters."""
    outputs = outputs_of(classes)
    return affordable("matched linear", parameters // outputs - 1, 2 * outputs, parameters)


def matched_linear_trials(
    count: int, parameters: int, features: int, classes: int, rows: int
) -> list[dict[str, Any]]:
    most = min(most_components(parameters, classes), features, rows)
    return spread(count, C=scale(1e-2, 1e2), components=sizes(math.ceil(most / 4), most))


def matched_linear(
    x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    """Logistic regression on principal components: outputs · (components + 1) parameters."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    most = most_components(parameters, classes_of(y))
    model = make_pipeline(
        PCA(min(settings["components"], most, *x.shape), random_state=seed),
        LogisticRegression(C=settings["C"], max_iter=2000),
    )
    fit_quietly(model, x, y)
    return Baseline(model, model[-1].coef_.size + model[-1].intercept_.size)


def most_features(parameters: int, classes: int) -> int:
    """The most with outputs · (features + 1) + features <= parameters: which feature it is counts too, since labels choose it."""
    outputs = outputs_of(classes)
    size = (parameters - outputs) // (outputs + 1)
    return affordable("matched feature selection", size, 2 * outputs + 1, parameters)


def matched_selection_trials(
    count: int, parameters: int, features: int, classes: int, rows: int
) -> list[dict[str, Any]]:
    most = min(most_features(parameters, classes), features)
    return spread(count, C=scale(1e-1, 1e3), features=sizes(math.ceil(most / 4), most))


def matched_selection(
    x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    """Logistic regression on the features with the highest F: outputs · (features + 1) + features parameters."""
    from sklearn.feature_selection import SelectKBest, f_classif
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    most = most_features(parameters, classes_of(y))
    kept = min(settings["features"], most, x.shape[1])
    model = make_pipeline(
        SelectKBest(f_classif, k=kept), LogisticRegression(C=settings["C"], max_iter=2000)
    )
    with warnings.catch_warnings():
        # A feature that never varies has no F; it is then the last to be chosen, which is right.
        warnings.filterwarnings("ignore", "Features .* are constant", UserWarning)
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)
        fit_quietly(model, x, y)
    return Baseline(model, model[-1].coef_.size + model[-1].intercept_.size + kept)


def components_for(family: str, hidden: int, parameters: int, classes: int) -> int:
    """The most with hidden · (components + 1) + outputs · (hidden + 1) <= parameters."""
    outputs = outputs_of(classes)
    size = (parameters - outputs * (hidden + 1)) // hidden - 1
    return affordable(family, size, 2 + 2 * outputs, parameters)


def hidden_sizes(family: str, parameters: int, classes: int) -> list[int]:
    """Powers of two that are no larger than the number of components they leave room for; 1 if there is none."""
    components_for(family, 1, parameters, classes)
    outputs = outputs_of(classes)
    return [h for h in (2, 4, 8, 16, 32, 64) if h * (h + 1) + outputs * (h + 1) <= parameters] or [
        1
    ]


def matched_mlp_trials(
    count: int, parameters: int, features: int, classes: int, rows: int
) -> list[dict[str, Any]]:
    hidden = hidden_sizes("matched MLP", parameters, classes)
    return spread(count, hidden=hidden, learning_rate=scale(3e-3, 3e-2), alpha=scale(1e-2, 3.0))


def matched_mlp(
    x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    """One hidden layer on as many principal components as fit: hidden · (components + 1) + outputs · (hidden + 1) parameters."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline

    hidden = settings["hidden"]
    most = components_for("matched MLP", hidden, parameters, classes_of(y))
    model = make_pipeline(
        PCA(min(most, *x.shape), random_state=seed), perceptron(hidden, settings, seed)
    )
    fit_quietly(model, x, y)
    return Baseline(model, sum(a.size for a in [*model[-1].coefs_, *model[-1].intercepts_]))


@dataclass(frozen=True)
class Quadratic:
    """Class scores that are quadratic forms of the input; predicts as scikit-learn's classifiers do.

    score_o(x) = Σ_j weights_oj (forms_j · x̃)² + bias_o, with x̃ = [principal components of x / width, 1].
    """

    classes_: Shaped[np.ndarray, " classes"]
    projection: Any
    width: float
    forms: Float[np.ndarray, "rank inputs"]
    weights: Float[np.ndarray, "outputs rank"]
    bias: Float[np.ndarray, " outputs"]

    def logits(self, x: np.ndarray) -> Float[np.ndarray, "rows classes"]:
        inputs = with_constant(self.projection.transform(x) / self.width)
        return as_logits((inputs @ self.forms.T) ** 2 @ self.weights.T + self.bias)

    def predict_proba(self, x: np.ndarray) -> Float[np.ndarray, "rows classes"]:
        shares: np.ndarray = softmax(self.logits(x), axis=1)
        return shares

    def predict(self, x: np.ndarray) -> Shaped[np.ndarray, " rows"]:
        predicted: np.ndarray = self.classes_[self.logits(x).argmax(1)]
        return predicted


def with_constant(x: np.ndarray) -> Float[np.ndarray, "rows inputs"]:
    return np.hstack([x.astype(np.float64), np.ones((len(x), 1))])


def as_logits(scores: Float[np.ndarray, "rows outputs"]) -> Float[np.ndarray, "rows classes"]:
    """The first of two classes has the logit 0."""
    return np.hstack([np.zeros_like(scores), scores]) if scores.shape[1] == 1 else scores


def quadratic_loss(
    flat: Float[np.ndarray, " parameters"],
    inputs: Float[np.ndarray, "rows inputs"],
    target: Float[np.ndarray, "rows classes"],
    rank: int,
    alpha: float,
) -> tuple[float, Float[np.ndarray, " parameters"]]:
    """Mean cross-entropy + alpha/2 · (|forms|² + |weights|²), and its gradient; `target` is one-hot."""
    forms, weights, bias = unflatten(flat, rank, inputs.shape[1])
    projected = inputs @ forms.T
    logits = as_logits(projected**2 @ weights.T + bias)
    penalty = alpha / 2 * float((forms**2).sum() + (weights**2).sum())
    loss = penalty - float((target * log_softmax(logits, axis=1)).sum()) / len(inputs)
    slope = ((softmax(logits, axis=1) - target) / len(inputs))[:, -len(bias) :]
    gradient = [
        2 * (projected * (slope @ weights)).T @ inputs + alpha * forms,
        slope.T @ projected**2 + alpha * weights,
        slope.sum(0),
    ]
    return loss, np.concatenate([g.ravel() for g in gradient])


def unflatten(flat: np.ndarray, rank: int, inputs: int) -> tuple[np.ndarray, ...]:
    """forms [rank, inputs], weights [outputs, rank], bias [outputs]."""
    forms, rest = flat[: rank * inputs], flat[rank * inputs :]
    outputs = len(rest) // (rank + 1)
    weights, bias = rest[: outputs * rank], rest[outputs * rank :]
    return forms.reshape(rank, inputs), weights.reshape(outputs, rank), bias


def matched_quadratic_trials(
    count: int, parameters: int, features: int, classes: int, rows: int
) -> list[dict[str, Any]]:
    ranks = hidden_sizes("matched quadratic", parameters, classes)
    return spread(count, rank=ranks, alpha=scale(1e-2, 2.5e-1), share=[0.25, 0.5, 1.0])


def matched_quadratic(
    x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int
) -> Baseline:
    """The classical twin of an encoder: ⟨Z⟩ of an amplitude-encoded x is a quadratic form xᵀAx, here one of low rank that is trained freely.

    rank · (components + 1) + outputs · (rank + 1) parameters, with `share` of the components that there is room for. The
    constant beside them gives the form its linear terms, as constant padding gives them to the encoder. Full-batch L-BFGS
    from a random start.
    """
    from sklearn.decomposition import PCA

    rank = settings["rank"]
    classes, index = np.unique(y, return_inverse=True)
    most = components_for("matched quadratic", rank, parameters, len(classes))
    kept = min(max(1, int(most * settings["share"])), *x.shape)
    projection = PCA(kept, random_state=seed).fit(x)
    coordinates = projection.transform(x)
    width = float(np.sqrt(np.mean(coordinates**2))) or 1.0
    inputs = with_constant(coordinates / width)
    outputs = outputs_of(len(classes))
    rng = np.random.default_rng(seed)
    forms = rng.normal(size=(rank, inputs.shape[1])) / np.sqrt(inputs.shape[1])
    weights = rng.normal(size=(outputs, rank)) / np.sqrt(rank)
    found = minimize(
        quadratic_loss,
        np.concatenate([forms.ravel(), weights.ravel(), np.zeros(outputs)]),
        args=(inputs, np.eye(len(classes))[index], rank, settings["alpha"]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 200},
    ).x
    return Baseline(
        Quadratic(classes, projection, width, *unflatten(found, rank, inputs.shape[1])), found.size
    )


HIDDEN = (0, 48, 96, 144, 192)
"""Hidden units of the published perceptrons."""

FAMILIES: dict[str, Family] = {
    "logistic regression": Family(tuned(C=scale(1e-2, 1e2)), tuned_logistic),
    "linear SVM": Family(tuned(C=scale(1e-3, 1e1)), tuned_linear_svm),
    "RBF SVM": Family(tuned(C=scale(1e-1, 3e1), gamma=scale(3e-2, 3.0)), tuned_rbf_svm),
    "RBF SVM C=1": Family(tuned(C=[1.0], gamma=[1.0]), tuned_rbf_svm),
    "RBF SVM C=100": Family(tuned(C=[100.0], gamma=[1.0]), tuned_rbf_svm),
    **{
        f"MLP {hidden}": Family(
            tuned(learning_rate=scale(3e-4, 3e-2), alpha=scale(1e-2, 3.0)),
            partial(tuned_mlp, hidden),
        )
        for hidden in HIDDEN
    },
    "k-NN": Family(neighbour_trials, tuned_neighbours),
    "gradient boosting": Family(
        tuned(learning_rate=scale(2e-2, 5e-1), depth=[1, 2, 3, 4]), tuned_boosting
    ),
    "matched linear": Family(matched_linear_trials, matched_linear),
    "matched MLP": Family(matched_mlp_trials, matched_mlp),
    "matched quadratic": Family(matched_quadratic_trials, matched_quadratic),
    "matched feature selection": Family(matched_selection_trials, matched_selection),
}
"""By the name that a study's YAML writes."""
