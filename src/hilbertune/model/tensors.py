"""Tensor operations of the layers: drawing parameters, principal components, products that do not depend on neighbours.

In: tensors with a leading runs axis, and a random generator for each run.
Out: tensors whose bits are the same, however many runs stand side by side.
"""

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from hilbertune.data.columns import ORDINARY
from hilbertune.engine.transforms import recorded

_local = threading.local()


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Make modules whose parameters are set afterwards, and leave torch's global generator to whom it belongs."""
    before = getattr(_local, "undrawn", False)
    _local.undrawn = True
    try:
        yield
    finally:
        _local.undrawn = before


def torch_seed() -> int:
    """Return a seed from torch's global generator, so that torch.manual_seed governs a module made by hand."""
    if getattr(_local, "undrawn", False):
        return 0
    return int(torch.randint(1 << 62, ()).item())


def parameter_dtype() -> torch.dtype:
    """Return torch's default type, but not half precision, in which neither circuits nor their angles can be held."""
    return torch.float64 if torch.get_default_dtype() == torch.float64 else torch.float32


def unit(x: Float[Tensor, "*rows features"]) -> Float[Tensor, "*rows features"]:
    """Return rows of norm 1; a row of zeros stays.

    Rows whose squares leave the range of single precision are brought into it first; all others keep their bits.
    """
    largest = x.detach().abs().amax(-1, keepdim=True)
    extreme = (largest > ORDINARY[1]) | ((largest < ORDINARY[0]) & (largest > 0))
    return functional.normalize(x / torch.where(extreme, largest, 1.0), dim=-1)


def draw_angles(weights: nn.Parameter, rngs: Sequence[np.random.Generator], largest: float = math.pi) -> None:
    """Draw angles uniformly up to the largest, by default over a full turn (our choice: the publication is silent)."""
    for run, rng in enumerate(rngs):
        drawn = rng.uniform(-largest, largest, weights.shape[1:])
        weights.data[run].copy_(torch.from_numpy(drawn))


def draw_uniform(weights: Tensor, rngs: Sequence[np.random.Generator], bound: float) -> None:
    """Draw numbers uniformly between -bound and bound, as torch draws those of a linear layer."""
    for run, rng in enumerate(rngs):
        drawn = rng.uniform(-bound, bound, weights.shape[1:])
        weights.data[run].copy_(torch.from_numpy(np.asarray(drawn)))


def principal_components(
    rows: Float[Tensor, "rows features"], count: int, weights: Float[Tensor, " rows"] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean [features], components [at most count, features] and the rows' standard deviations along them.

    Rows may have weights, of mean 1.
    """
    mean = weighted_mean(rows, weights)
    centred = rows - mean if weights is None else (rows - mean) * weights.sqrt()[:, None]
    _, singular, components = torch.linalg.svd(centred, full_matrices=False)
    components = components[:count]
    # A component's sign is arbitrary: fix it, so that machines agree.
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    deviations = singular[:count] / math.sqrt(max(1, len(rows) - 1))
    return mean, components * largest.sign(), deviations


def weighted_mean(rows: Float[Tensor, "rows features"], weights: Float[Tensor, " rows"] | None) -> Tensor:
    """Return the mean [features] of rows, which may have weights."""
    return rows.mean(0) if weights is None else (rows * weights[:, None]).sum(0) / weights.sum()


def product(
    x: Float[Tensor, "runs batch features"], matrix: Float[Tensor, "runs width features"]
) -> Float[Tensor, "runs batch width"]:
    """Return the product of each run's rows with its matrix."""
    if recorded():
        return x @ matrix.transpose(1, 2)
    # A matrix product rounds differently where a matrix does not start on a cache line: with rows of zeros that fill up
    # the lines of each run, forward and backward give the same bits, however many runs stand side by side.
    line, batch, width = 16, x.shape[1], matrix.shape[1]
    if width * x.shape[2] % line:
        matrix = functional.pad(matrix, (0, 0, 0, -width % line))
    if batch % line:
        x = functional.pad(x, (0, 0, 0, -batch % line))
    return (x @ matrix.transpose(1, 2))[:, :batch, :width]


def affine(
    x: Float[Tensor, "runs batch features"], weights: Float[Tensor, "runs width _"]
) -> Float[Tensor, "runs batch width"]:
    """Apply linear layers side by side; the last column of the weights is the bias."""
    return product(x, weights[:, :, :-1].contiguous()) + weights[:, None, :, -1]
