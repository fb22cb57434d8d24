"""A matched head whose scores are quadratic forms, the classical twin of an amplitude-encoded circuit.

In: training embeddings and labels, one trial of the settings, and the quantum head's number of parameters.
Out: a fitted model with scikit-learn's `predict`, and its trained numbers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from hilbertune.baselines.matched import components_for, hidden_sizes
from hilbertune.baselines.models import Baseline, Embeddings, Targets, outputs_of
from hilbertune.baselines.trials import Axes, Problem, Settings, scale


@dataclass(frozen=True)
class Quadratic:
    """Class scores that are quadratic forms of the input; it predicts as scikit-learn's classifiers do.

    score_o(x) = Σ_j weights_oj (forms_j · x̃)² + bias_o, with x̃ = [principal components of x / width, 1].
    """

    classes_: Shaped[np.ndarray, " classes"]
    projection: Any
    width: float
    forms: Float[np.ndarray, "rank inputs"]
    weights: Float[np.ndarray, "outputs rank"]
    bias: Float[np.ndarray, " outputs"]

    def logits(self, x: Embeddings) -> Float[np.ndarray, "rows classes"]:
        """Return the score of each class."""
        inputs = with_constant(self.projection.transform(x) / self.width)
        return as_logits((inputs @ self.forms.T) ** 2 @ self.weights.T + self.bias)

    def predict_proba(self, x: Embeddings) -> Float[np.ndarray, "rows classes"]:
        """Return the probability of each class."""
        shares: np.ndarray = softmax(self.logits(x), axis=1)
        return shares

    def predict(self, x: Embeddings) -> Shaped[np.ndarray, " rows"]:
        """Return the most probable class of each row."""
        predicted: np.ndarray = self.classes_[self.logits(x).argmax(1)]
        return predicted


def with_constant(x: Embeddings) -> Float[np.ndarray, "rows inputs"]:
    """Return the rows in float64 with a column of ones after them."""
    return np.hstack([x.astype(np.float64), np.ones((len(x), 1))])


def as_logits(scores: Float[np.ndarray, "rows outputs"]) -> Float[np.ndarray, "rows classes"]:
    """Return a score for each class: the first of two classes has the score 0."""
    return np.hstack([np.zeros_like(scores), scores]) if scores.shape[1] == 1 else scores


def quadratic_loss(
    flat: Float[np.ndarray, " parameters"],
    inputs: Float[np.ndarray, "rows inputs"],
    target: Float[np.ndarray, "rows classes"],
    rank: int,
    alpha: float,
) -> tuple[float, Float[np.ndarray, " parameters"]]:
    """Return mean cross-entropy + alpha/2 · (|forms|² + |weights|²), and its gradient; `target` is one-hot."""
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
    """Return forms [rank, inputs], weights [outputs, rank] and bias [outputs] from one flat vector."""
    forms, rest = flat[: rank * inputs], flat[rank * inputs :]
    outputs = len(rest) // (rank + 1)
    weights, bias = rest[: outputs * rank], rest[outputs * rank :]
    return forms.reshape(rank, inputs), weights.reshape(outputs, rank), bias


def matched_quadratic_axes(problem: Problem) -> Axes:
    """Return ranks that leave room for as many components, penalties, and shares of the components to use."""
    ranks = hidden_sizes("matched quadratic", problem.parameters, problem.classes)
    return {"rank": ranks, "alpha": scale(1e-2, 2.5e-1), "share": [0.25, 0.5, 1.0]}


def matched_quadratic(x: Embeddings, y: Targets, settings: Settings, parameters: int, seed: int) -> Baseline:
    """Fit the classical twin of an encoder, as `trials.FitTrial` says.

    ⟨Z⟩ of an amplitude-encoded x is a quadratic form xᵀAx; here such a form of low rank is trained
    freely. It has rank · (components + 1) + outputs · (rank + 1) parameters, with `share` of the
    components that there is room for. The constant beside them gives the form its linear terms, as
    constant padding gives them to the encoder. Full-batch L-BFGS from a random start.
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
    best = minimize(
        quadratic_loss,
        np.concatenate([forms.ravel(), weights.ravel(), np.zeros(outputs)]),
        args=(inputs, np.eye(len(classes))[index], rank, settings["alpha"]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 200},
    ).x
    return Baseline(Quadratic(classes, projection, width, *unflatten(best, rank, inputs.shape[1])), best.size)
