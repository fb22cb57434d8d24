"""Classical heads on the same embeddings and the same splits, so that every quantum result has its yardstick beside it.

In: training embeddings, and how many parameters the quantum head has. Out: a fitted model with scikit-learn's `predict`, and its parameter count.
BASELINES are the four with fixed settings that `fit` prints; FAMILIES are those that a study tunes. "Matched" is what is no larger than the quantum head.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hilbertune.baselines.fixed import Baseline, fit_quietly

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


def tuned(**axes: Sequence[Any]) -> Trials:
    """Trials that do not depend on the data."""
    return lambda count, parameters, features, classes, rows: spread(count, **axes)


def tuned_logistic(x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int) -> Baseline:
    from sklearn.linear_model import LogisticRegression

    model = fit_quietly(LogisticRegression(C=settings["C"], max_iter=2000), x, y)
    return Baseline(model, model.coef_.size + model.intercept_.size)


def tuned_linear_svm(x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int) -> Baseline:
    from sklearn.svm import LinearSVC

    model = fit_quietly(LinearSVC(C=settings["C"], max_iter=5000, random_state=seed), x, y)
    return Baseline(model, model.coef_.size + model.intercept_.size)


def tuned_rbf_svm(x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int) -> Baseline:
    """`gamma` is given in units of scikit-learn's gamma="scale": 1 / (features · variance of x). Support vectors count whole."""
    from sklearn.svm import SVC

    unit = 1 / (x.shape[1] * (float(x.var()) or 1.0))
    model = SVC(C=settings["C"], gamma=settings["gamma"] * unit).fit(x, y)
    return Baseline(model, model.support_vectors_.size + model.dual_coef_.size + len(model.intercept_))


def tuned_mlp(hidden: int, x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int) -> Baseline:
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


def neighbour_trials(count: int, parameters: int, features: int, classes: int, rows: int) -> list[dict[str, Any]]:
    return spread(count, neighbours=sizes(1, max(1, rows // 2)))


def tuned_neighbours(x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int) -> Baseline:
    """k nearest neighbours; what it has "trained" is the training set that it stores."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(settings["neighbours"], len(x)))
    return Baseline(model.fit(x, y), x.size + y.size)


def tuned_boosting(x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int) -> Baseline:
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
