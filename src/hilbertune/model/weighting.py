"""Weights of rows and of classes: how much each counts in the loss, in what training rows teach, and in validation.

In: a weight for each row, or none, and the rows of each run.
Out: weights that a run's training rows have on average 1 of, and weighted means.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from hilbertune.config.records import TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError
from hilbertune.model import tasks


def row_weights(
    weights: Shaped[Tensor, " rows"] | None, splits: Sequence[Split], rows: int
) -> Float[Tensor, "runs rows"] | None:
    """Return each run's weights of all rows, in double precision: its training rows weigh 1 on average.

    Raises:
        HilbertuneError: not one weight for each row, or weights that are negative, infinite or all 0.
    """
    if weights is None:
        return None
    if weights.shape != (rows,):
        raise HilbertuneError(f"There are {rows} rows and weights of the shape {list(weights.shape)}: give one a row.")
    weights = weights.detach().cpu().double()
    if not bool((weights.isfinite() & (weights >= 0)).all()):
        raise HilbertuneError("Weights of rows must be finite numbers of 0 or more.")
    largest = weights.max()
    if not largest > 0:
        raise HilbertuneError("The weights of all rows are zero: there is nothing to learn.")
    # Their scale does not matter: first down to 1, so that no sum is too large or too small.
    means = torch.stack([(weights / largest)[torch.from_numpy(split.train)].mean() for split in splits])
    if not bool((means > 0).all()):
        raise HilbertuneError("The weights of all training rows are zero: there is nothing to learn.")
    return (weights / largest) / means[:, None]


def chosen(
    weights: Float[Tensor, "runs rows"] | None, rows: Int[Tensor, "runs count"]
) -> Float[Tensor, "runs count"] | None:
    """Return the weights of these rows of each run."""
    return None if weights is None else weights.gather(1, rows.to(weights.device))


def weighted(
    losses: Float[Tensor, "runs count"], weights: Float[Tensor, "runs rows"] | None, rows: Int[Tensor, "runs count"]
) -> Float[Tensor, "runs count"]:
    """Return the losses of these rows, each times its weight."""
    own = chosen(weights, rows)
    return losses if own is None else losses * own.to(losses.dtype)


def mean(
    values: Float[Tensor, "runs count"], weights: Float[Tensor, "runs rows"] | None, rows: Int[Tensor, "runs count"]
) -> Float[Tensor, " runs"]:
    """Return the weighted mean of values of these rows."""
    own = chosen(weights, rows)
    values = values.double()
    return values.mean(1) if own is None else (values * own).sum(1) / own.sum(1)


def class_weights(
    config: TrainingConfig,
    targets: Shaped[Tensor, "rows *classes"],
    splits: Sequence[Split],
    outputs: int,
    weights: Float[Tensor, "runs rows"] | None = None,
) -> Float[Tensor, "runs classes"] | None:
    """Return the weights of the classes from each run's own training rows, or None."""
    classes = tasks.classes_of(config.task, outputs)
    found = []
    for run, split in enumerate(splits):
        rows = torch.from_numpy(split.train)
        own = None if weights is None else weights[run, rows]
        found.append(tasks.class_weights(config, targets[rows], classes, own))
    return torch.stack([own for own in found if own is not None]) if config.class_weight else None
