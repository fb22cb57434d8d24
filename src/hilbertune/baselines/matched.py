"""Classical heads on the same embeddings and the same splits, so that every quantum result has its yardstick beside it.

In: training embeddings, and how many parameters the quantum head has. Out: a fitted model with scikit-learn's `predict`, and its parameter count.
BASELINES are the four with fixed settings that `fit` prints; FAMILIES are those that a study tunes. "Matched" is what is no larger than the quantum head.
"""

import math
import warnings
from typing import Any

import numpy as np

from hilbertune.baselines.fixed import Baseline, classes_of, fit_quietly, outputs_of
from hilbertune.baselines.tuned import Settings, perceptron, scale, sizes, spread
from hilbertune.errors import HilbertuneError


def affordable(family: str, size: int, smallest: int, parameters: int) -> int:
    """`size`, unless it is below 1: then even the smallest model is larger than asked."""
    if size < 1:
        raise HilbertuneError(
            f"The smallest {family} has {smallest} parameters, and only {parameters} are allowed: leave it out or raise the budget."
        )
    return size


# Principal components are not counted: like the basis of a quantum head they never see a label.
def most_components(parameters: int, classes: int) -> int:
    """The most with outputs · (components + 1) <= parameters."""
    outputs = outputs_of(classes)
    return affordable("matched linear", parameters // outputs - 1, 2 * outputs, parameters)


def matched_linear_trials(count: int, parameters: int, features: int, classes: int, rows: int) -> list[dict[str, Any]]:
    most = min(most_components(parameters, classes), features, rows)
    return spread(count, C=scale(1e-2, 1e2), components=sizes(math.ceil(most / 4), most))


def matched_linear(x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int) -> Baseline:
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


def matched_selection(x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int) -> Baseline:
    """Logistic regression on the features with the highest F: outputs · (features + 1) + features parameters."""
    from sklearn.feature_selection import SelectKBest, f_classif
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    most = most_features(parameters, classes_of(y))
    kept = min(settings["features"], most, x.shape[1])
    model = make_pipeline(SelectKBest(f_classif, k=kept), LogisticRegression(C=settings["C"], max_iter=2000))
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
    return [h for h in (2, 4, 8, 16, 32, 64) if h * (h + 1) + outputs * (h + 1) <= parameters] or [1]


def matched_mlp_trials(count: int, parameters: int, features: int, classes: int, rows: int) -> list[dict[str, Any]]:
    hidden = hidden_sizes("matched MLP", parameters, classes)
    return spread(count, hidden=hidden, learning_rate=scale(3e-3, 3e-2), alpha=scale(1e-2, 3.0))


def matched_mlp(x: np.ndarray, y: np.ndarray, settings: Settings, parameters: int, seed: int) -> Baseline:
    """One hidden layer on as many principal components as fit: hidden · (components + 1) + outputs · (hidden + 1) parameters."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline

    hidden = settings["hidden"]
    most = components_for("matched MLP", hidden, parameters, classes_of(y))
    model = make_pipeline(PCA(min(most, *x.shape), random_state=seed), perceptron(hidden, settings, seed))
    fit_quietly(model, x, y)
    return Baseline(model, sum(a.size for a in [*model[-1].coefs_, *model[-1].intercepts_]))
