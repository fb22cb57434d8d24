"""The losses of the compiled training step, and their derivatives by the logits, tile by tile (Numba).

In: the logits of a tile's samples, what to train for (`Goal`). Out: the summed loss, its derivative, in place.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hilbertune.engine.compiling import compiled
from hilbertune.engine.gates import Tile

CROSS_ENTROPY, BINARY, SQUARED = 0, 1, 2
"""Kinds of loss."""


class Goal(NamedTuple):
    """The goal of training: the kind of loss, and the targets and weights that it reads."""

    kind: int
    labels: Int[np.ndarray, " rows"]  # of CROSS_ENTROPY
    wanted: Float[np.ndarray, "rows outputs"]  # of the others: what each logit should say
    weights: Float[np.ndarray, "sources rows _"]  # of a row, or of each of its logits


@compiled
def _fill_lanes(tile: Tile, first: int, lanes: int) -> None:
    """Copy a sample's first lane to its others."""
    for lane in range(first + 1, first + (1 << lanes)):
        tile[:, lane] = tile[:, first]


@compiled
def _cross_entropy(
    logits: Tile,
    labels: Int[np.ndarray, " rows"],
    weights: Float[np.ndarray, "rows _"],
    chosen: Int[np.ndarray, " samples"],
    share: float,
    by_logit: Tile,
    lanes: int,
) -> float:
    """Return a tile's summed loss; write its derivative by the logits, times `share`, and zero for unused lanes."""
    loss = 0.0
    by_logit[:] = 0
    for sample in range(len(chosen)):
        lane = sample << lanes
        # A weight of 1 changes no bit.
        weight, truth = weights[chosen[sample], 0], labels[chosen[sample]]
        largest = logits[:, lane].max()
        sum_ = 0.0
        for label in range(len(logits)):
            sum_ += math.exp(logits[label, lane] - largest)
        loss += weight * (math.log(sum_) - (logits[truth, lane] - largest))
        own = share * weight
        for label in range(len(logits)):
            by_logit[label, lane] = own * math.exp(logits[label, lane] - largest) / sum_
        by_logit[truth, lane] -= own
        _fill_lanes(by_logit, lane, lanes)
    return loss


@compiled
def _separate_losses(
    kind: int,
    logits: Tile,
    wanted: Float[np.ndarray, "rows outputs"],
    weights: Float[np.ndarray, "rows _"],
    chosen: Int[np.ndarray, " samples"],
    share: float,
    by_logit: Tile,
    lanes: int,
) -> float:
    """Do the same where every logit has a loss of its own: a binary cross-entropy, or a squared error."""
    loss = 0.0
    by_logit[:] = 0
    for sample in range(len(chosen)):
        lane, row = sample << lanes, chosen[sample]
        for output in range(len(logits)):
            weight = weights[row, output if weights.shape[1] > 1 else 0]
            x, target = float(logits[output, lane]), wanted[row, output]
            if kind == BINARY:
                small = math.exp(-abs(x))  # so that nothing overflows
                loss += weight * (max(x, 0.0) - x * target + math.log1p(small))
                slope = (1.0 if x > 0 else small) / (1.0 + small) - target
            else:
                loss += weight * (x - target) ** 2
                slope = 2.0 * (x - target)
            by_logit[output, lane] = share * weight * slope
        _fill_lanes(by_logit, lane, lanes)
    return loss


@compiled
def loss(
    goal: Goal,
    run: int,
    chosen: Int[np.ndarray, " samples"],
    share: float,
    logits: Tile,
    by_logit: Tile,
    lanes: int,
) -> float:
    """Return a tile's summed loss by its logits; write its derivative, times `share`."""
    weights = goal.weights[run if len(goal.weights) > 1 else 0]
    value: float
    if goal.kind == CROSS_ENTROPY:
        value = _cross_entropy(logits, goal.labels, weights, chosen, share, by_logit, lanes)
    else:
        value = _separate_losses(goal.kind, logits, goal.wanted, weights, chosen, share, by_logit, lanes)
    return value
