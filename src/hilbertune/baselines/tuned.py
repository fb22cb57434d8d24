"""Classical heads on whole embeddings whose settings a study tunes.

In: training embeddings and labels, and one trial of the settings, as `trials.FitTrial` says.
Out: a fitted head with its trained numbers.
"""

from typing import Any

import numpy as np

from hilbertune.baselines.models import Baseline, Embeddings, Targets, counted, fit_quietly, logistic
from hilbertune.baselines.trials import Axes, Problem, Settings, sizes


def tuned_logistic(x: Embeddings, y: Targets, settings: Settings, _parameters: int, _seed: int) -> Baseline:
    """Fit logistic regression."""
    return counted(fit_quietly(logistic(settings["C"]), x, y))


BAGS = 8
"""Logistic regressions that are bagged together."""

COPIES = 8
"""Noisy copies of each training row."""


def tuned_bagged_logistic(x: Embeddings, y: Targets, settings: Settings, _parameters: int, seed: int) -> Baseline:
    """Fit logistic regressions to as many bootstrap samples of the rows, whose probabilities are averaged.

    It is the classical counterpart of an ensemble of heads; the numbers of all members are counted.
    """
    from sklearn.ensemble import BaggingClassifier

    model = BaggingClassifier(logistic(settings["C"]), n_estimators=BAGS, random_state=seed)
    return counted(fit_quietly(model, x, y))


def tuned_noisy_logistic(x: Embeddings, y: Targets, settings: Settings, _parameters: int, seed: int) -> Baseline:
    """Fit logistic regression to copies of the rows with Gaussian noise on their numbers.

    It is the classical counterpart of a head that is trained with few shots. `noise` is the deviation of the noise as a
    share of each column's own; `C` weighs the penalty against the rows as if each stood there once.
    """
    rng = np.random.default_rng(seed)
    copies = np.repeat(x, COPIES, axis=0)
    noise = rng.normal(size=copies.shape) * (settings["noise"] * x.std(axis=0, dtype=np.float64))
    rows = (copies + noise).astype(x.dtype)
    return counted(fit_quietly(logistic(settings["C"] / COPIES), rows, np.repeat(y, COPIES, axis=0)))


def tuned_linear_svm(x: Embeddings, y: Targets, settings: Settings, _parameters: int, seed: int) -> Baseline:
    """Fit a linear support vector machine."""
    from sklearn.svm import LinearSVC

    return counted(fit_quietly(LinearSVC(C=settings["C"], max_iter=5000, random_state=seed), x, y))


def tuned_rbf_svm(x: Embeddings, y: Targets, settings: Settings, _parameters: int, _seed: int) -> Baseline:
    """Fit a support vector machine with an RBF kernel.

    `gamma` is given in units of scikit-learn's gamma="scale": 1 / (features · variance of x).
    """
    from sklearn.svm import SVC

    unit = 1 / (x.shape[1] * (float(x.var()) or 1.0))
    return counted(SVC(C=settings["C"], gamma=settings["gamma"] * unit).fit(x, y))


def tuned_mlp(hidden: int, x: Embeddings, y: Targets, settings: Settings, _parameters: int, seed: int) -> Baseline:
    """Fit one hidden layer of `hidden` ReLU units with 100 epochs of Adam; with 0 units it is softmax regression."""
    return counted(fit_quietly(perceptron(hidden, settings, seed), x, y))


def perceptron(hidden: int, settings: Settings, seed: int) -> Any:
    """Make a perceptron of `hidden` ReLU units (0: none) that trains for 100 epochs."""
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        (hidden,) if hidden else (),
        alpha=settings["alpha"],
        learning_rate_init=settings["learning_rate"],
        max_iter=100,
        random_state=seed,
    )


def neighbour_axes(problem: Problem) -> Axes:
    """Return numbers of neighbours up to half the training rows."""
    return {"neighbours": sizes(1, max(1, problem.rows // 2))}


def tuned_neighbours(x: Embeddings, y: Targets, settings: Settings, _parameters: int, _seed: int) -> Baseline:
    """Fit k nearest neighbours; the training set that they store counts as trained."""
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(settings["neighbours"], len(x)))
    return Baseline(model.fit(x, y), x.size + y.size)


def tuned_boosting(x: Embeddings, y: Targets, settings: Settings, _parameters: int, seed: int) -> Baseline:
    """Fit 100 boosted trees for each score.

    Each split chooses among the square root of the features (our choice, which also makes it
    quick). A split counts two numbers (feature and threshold), a leaf one; the prior of each class
    is counted too.
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
