"""A standardised readout: expectations of mean 0 and deviation 1 while a head trains, folded away when it is trained.

In: a model at its start and each run's training rows; after training the weights of every run.
Out: shift and factor of each expectation; weights of a plain model with the same logits.

An expectation of a random circuit varies little from row to row, so that useful logits need weights far from where
they start; this is a change of scale of the final linear layer, and of nothing else.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hilbertune.model import optimiser
from hilbertune.model.layers import HybridHead, QuantumHead

SMALLEST_DEVIATION = 1e-4
"""An expectation that varies less is left in its scale: single precision would fill it up with rounding."""

AT_ONCE = 64
"""Rows of each run whose expectations are computed together: with many qubits a state is large."""


@torch.no_grad()
def fitted(
    model: HybridHead,
    embeddings: Float[Tensor, "rows features"],
    rows: Int[np.ndarray, "runs count"],
    weights: Float[Tensor, "runs count"] | None = None,
) -> tuple[Float[Tensor, "runs measured"], Float[Tensor, "runs measured"]]:
    """Return the mean and 1 / deviation of each expectation over each run's rows, with the weights as they are.

    With shots in the head the deviation is that of sampled expectations, which is larger: else the noise of a few shots
    would start at many times the size of what it hides. It is computed from exact expectations, without a random
    number; depolarizing noise is left out.
    """
    head = model.head
    kept = head.shots, head.noise
    shots = head.shots if isinstance(head, QuantumHead) else None
    head.shots, head.noise = None, None
    try:
        pieces = torch.split(torch.from_numpy(rows).to(embeddings.device), AT_ONCE, dim=1)
        values = torch.cat([model.expectations(embeddings[piece]) for piece in pieces], dim=1).cpu().double().numpy()
    finally:
        head.shots, head.noise = kept
    # Run by run: the same bits, however many stand side by side.
    shares = _shares(weights, len(values))
    each = list(zip(values, shares, strict=True))
    means, spreads = (np.stack([measure(own, share) for own, share in each]) for measure in (_mean, _variance))
    if shots is not None:
        drawn = [_mean(1 - own**2, share) / shots for own, share in each]
        spreads = np.stack([spread + more for spread, more in zip(spreads, drawn, strict=True)])
    deviations = np.sqrt(spreads)
    return head.weights.new_tensor(means), head.weights.new_tensor(_inverse(deviations))


@torch.no_grad()
def fit_angles(
    model: HybridHead,
    embeddings: Float[Tensor, "rows features"],
    rows: Int[np.ndarray, "runs count"],
    weights: Float[Tensor, "runs count"] | None = None,
) -> None:
    """Set the factors and shifts of the angles to mean 0 and deviation `angle_scale` over each run's rows."""
    pieces = torch.split(torch.from_numpy(rows).to(embeddings.device), AT_ONCE, dim=1)
    values = torch.cat([model.encoded(embeddings[piece]) for piece in pieces], dim=1).cpu().double().numpy()
    each = list(zip(values, _shares(weights, len(values)), strict=True))
    means, variances = (np.stack([measure(own, share) for own, share in each]) for measure in (_mean, _variance))
    factors = model.config.angle_scale * _inverse(np.sqrt(variances))
    model.input_factor.copy_(model.input_factor.new_tensor(factors))
    model.input_shift.copy_(model.input_shift.new_tensor(-means * factors))


def _shares(weights: Float[Tensor, "runs count"] | None, runs: int) -> list[np.ndarray | None]:
    """Return the weights of each run's rows, None where all count alike."""
    return [None] * runs if weights is None else list(weights.double().cpu().numpy())


def _mean(
    values: Float[np.ndarray, "count values"], weights: Float[np.ndarray, " count"] | None
) -> Float[np.ndarray, " values"]:
    return values.mean(0) if weights is None else np.asarray(np.average(values, axis=0, weights=weights))


def _variance(
    values: Float[np.ndarray, "count values"], weights: Float[np.ndarray, " count"] | None
) -> Float[np.ndarray, " values"]:
    return values.var(0) if weights is None else _mean((values - _mean(values, weights)) ** 2, weights)


def _inverse(deviations: Float[np.ndarray, "runs values"]) -> Float[np.ndarray, "runs values"]:
    """Return 1 / deviation, or 1 for what hardly varies."""
    return np.where(deviations < SMALLEST_DEVIATION, 1.0, 1 / np.maximum(deviations, SMALLEST_DEVIATION))


@torch.no_grad()
def folded(
    model: HybridHead, weights: Float[Tensor, "runs parameters"], standard: tuple[Tensor, Tensor]
) -> Float[Tensor, "runs parameters"]:
    """Return weights that give without shift and factor the logits that these give with them."""
    plain = weights.detach().clone()
    parts = optimiser.views(model, plain)
    matrix, bias = parts["linear_weight"], parts["linear_bias"]
    shift, factor = (values.double()[:, None] for values in standard)
    scaled = matrix.double() * factor
    bias.copy_(bias.double() - (scaled * shift).sum(-1))
    matrix.copy_(scaled)
    return plain
