"""Matched heads: classical models that train as many numbers as they may, but no more than a quantum head.

In: training embeddings and labels, one trial of the settings, and the quantum head's number of parameters.
Out: a fitted head with its trained numbers.
"""

import math
import warnings

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
)
from hilbertune.baselines.trials import Axes, Problem, Settings, scale, sizes
from hilbertune.baselines.tuned import perceptron
from hilbertune.errors import HilbertuneError


def affordable(family: str, size: int, smallest: int, parameters: int) -> int:
    """Return `size`; below 1, even the smallest model, with `smallest` parameters, is larger than allowed.

    Raises:
        HilbertuneError: `size` is below 1.
    """
    if size < 1:
        raise HilbertuneError(
            f"The smallest {family} has {smallest} parameters, and only {parameters} are allowed: "
            "leave it out or raise the budget."
        )
    return size


def most_components(parameters: int, classes: int) -> int:
    """Return the largest number of components with outputs · (components + 1) <= parameters.

    The components themselves are not counted: like the basis of a quantum head they never see a label.
    """
    outputs = outputs_of(classes)
    return affordable("matched linear", parameters // outputs - 1, 2 * outputs, parameters)


def matched_linear_axes(problem: Problem) -> Axes:
    """Return penalties, and numbers of components from a quarter of the allowed ones up."""
    most = min(most_components(problem.parameters, problem.classes), problem.features, problem.rows)
    return {"C": scale(1e-2, 1e2), "components": sizes(math.ceil(most / 4), most)}


def matched_linear(x: Embeddings, y: Targets, settings: Settings, parameters: int, seed: int) -> Baseline:
    """Fit logistic regression to principal components: outputs · (components + 1) parameters."""
    components = min(settings["components"], most_components(parameters, classes_of(y)), *x.shape)
    return counted(fit_quietly(on_components(components, logistic(settings["C"]), seed), x, y))


def most_features(parameters: int, classes: int) -> int:
    """Return the largest number of features with outputs · (features + 1) + features <= parameters.

    Which feature is used counts as a number too, since labels choose it.
    """
    outputs = outputs_of(classes)
    size = (parameters - outputs) // (outputs + 1)
    return affordable("matched feature selection", size, 2 * outputs + 1, parameters)


def matched_selection_axes(problem: Problem) -> Axes:
    """Return penalties, and numbers of features from a quarter of the allowed ones up."""
    most = min(most_features(problem.parameters, problem.classes), problem.features)
    return {"C": scale(1e-1, 1e3), "features": sizes(math.ceil(most / 4), most)}


def matched_selection(x: Embeddings, y: Targets, settings: Settings, parameters: int, _seed: int) -> Baseline:
    """Fit logistic regression to the features with the highest F: outputs · (features + 1) + features parameters."""
    from sklearn.feature_selection import SelectKBest, f_classif
    from sklearn.pipeline import make_pipeline

    kept = min(settings["features"], most_features(parameters, classes_of(y)), x.shape[1])
    model = make_pipeline(SelectKBest(f_classif, k=kept), logistic(settings["C"]))
    with warnings.catch_warnings():
        # A feature that never varies has no F; it is then the last to be chosen, which is right.
        warnings.filterwarnings("ignore", "Features .* are constant", UserWarning)
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)
        fit_quietly(model, x, y)
    return counted(model)


def components_for(family: str, hidden: int, parameters: int, classes: int) -> int:
    """Return the largest number of components with hidden · (components + 1) + outputs · (hidden + 1) <= parameters."""
    outputs = outputs_of(classes)
    size = (parameters - outputs * (hidden + 1)) // hidden - 1
    return affordable(family, size, 2 + 2 * outputs, parameters)


def hidden_sizes(family: str, parameters: int, classes: int) -> list[int]:
    """Return the powers of two no larger than the number of components they leave room for; 1 if there is none."""
    components_for(family, 1, parameters, classes)
    outputs = outputs_of(classes)
    return [h for h in (2, 4, 8, 16, 32, 64) if h * (h + 1) + outputs * (h + 1) <= parameters] or [1]


def matched_mlp_axes(problem: Problem) -> Axes:
    """Return the hidden sizes that leave room for as many components, learning rates and penalties."""
    hidden = hidden_sizes("matched MLP", problem.parameters, problem.classes)
    return {"hidden": hidden, "learning_rate": scale(3e-3, 3e-2), "alpha": scale(1e-2, 3.0)}


def matched_mlp(x: Embeddings, y: Targets, settings: Settings, parameters: int, seed: int) -> Baseline:
    """Fit one hidden layer to as many principal components as the budget allows.

    It has hidden · (components + 1) + outputs · (hidden + 1) parameters.
    """
    hidden = settings["hidden"]
    components = min(components_for("matched MLP", hidden, parameters, classes_of(y)), *x.shape)
    return counted(fit_quietly(on_components(components, perceptron(hidden, settings, seed), seed), x, y))
