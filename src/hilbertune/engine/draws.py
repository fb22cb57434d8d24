"""Counter-based shots: the draws of a row are a function of a run's key, the step and the row's place, and no state.

In: joint probabilities of the measured qubits, a key for each run, the step. Out: the mean of Z over the shots.
So a run's shots do not depend on its neighbours, on the number of threads, or on where training was interrupted.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hilbertune.engine.compiling import compiled
from hilbertune.engine.gates import inlined

FINEST = 55
"""Binary places of a probability, from the half down to this power of two, that decide a shot."""


class Draw(NamedTuple):
    """The draws of a tile: `shots` for each row, 0 for none, of a run's key at a step, from the row `first` on."""

    shots: int
    low: int
    high: int
    step: int
    first: int


@inlined
def _round(a: Any, b: Any, c: Any, d: Any, low: Any, high: Any) -> Any:
    words = np.uint64(0xFFFFFFFF)
    left, right = np.uint64(0xD2511F53) * a, np.uint64(0xCD9E8D57) * c
    half = np.uint64(32)
    return (right >> half) ^ b ^ low, right & words, (left >> half) ^ d ^ high, left & words


@compiled
def philox(a: int, b: int, c: int, d: int, low: int, high: int) -> Any:
    """Return two random words of 64 bits for a counter and a key: Philox4x32-10 (Salmon et al., SC 2011)."""
    words = np.uint64(0xFFFFFFFF)
    w, x, y, z = np.uint64(a), np.uint64(b), np.uint64(c), np.uint64(d)
    key, other = np.uint64(low), np.uint64(high)
    for _ in range(10):
        w, x, y, z = _round(w, x, y, z, key, other)
        key, other = (key + np.uint64(0x9E3779B9)) & words, (other + np.uint64(0xBB67AE85)) & words
    half = np.uint64(32)
    return w | x << half, y | z << half


@inlined
def _ones(word: Any) -> Any:
    """Return the number of bits that are set."""
    a = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    b = (a & np.uint64(0x3333333333333333)) + ((a >> np.uint64(2)) & np.uint64(0x3333333333333333))
    c = (b + (b >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((c * np.uint64(0x0101010101010101)) >> np.uint64(56))


@inlined
def _lowest(word: Any, bits: int) -> Any:
    """Return a word with no other than its lowest bits."""
    if bits >= 64:
        return word
    return word & ((np.uint64(1) << np.uint64(max(bits, 0))) - np.uint64(1))


@compiled
def _successes(count: int, p: float, node: int, row: int, draw: Draw) -> Any:
    """Return how many of `count` shots succeed with probability p: a binomial number.

    Each shot compares a random number with p, from the half downwards; the first place at which they differ decides.
    While many shots are open only the number of random bits that are set matters, so that two bits a shot are enough;
    the last 64 stand in one word, a place for each.
    """
    if p >= 1.0:
        return count
    if not p > 0.0:
        return 0
    places = np.uint64(p * 2.0 ** (FINEST + 1))
    succeeded, left, block, place = 0, count, 0, FINEST
    while left > 64 and place >= 0:
        set_ = 0
        for first in range(0, left, 128):
            low, high = philox(block, node, row, draw.step, draw.low, draw.high)
            block += 1
            set_ += _ones(_lowest(low, left - first)) + _ones(_lowest(high, left - first - 64))
        if (places >> np.uint64(place)) & np.uint64(1):
            succeeded += left - set_
            left = set_
        else:
            left -= set_
        place -= 1
    undecided = _lowest(~np.uint64(0), left)
    below = np.uint64(0)
    while undecided != 0 and place > 0:
        for word in philox(block, node, row, draw.step, draw.low, draw.high):
            if (places >> np.uint64(place)) & np.uint64(1):
                below |= undecided & ~word
                undecided &= word
            else:
                undecided &= ~word
            place -= 1
        block += 1
    return succeeded + _ones(below)


@compiled
def draw_row(
    probabilities: Float[np.ndarray, " outcomes"],
    row: int,
    draw: Draw,
    sums: Float[np.ndarray, " nodes"],
    counts: Int[np.ndarray, " nodes"],
    means: Float[np.ndarray, " measured"],
) -> None:
    """Write the mean of Z over the shots of one row, for each measured qubit; `sums` and `counts` are memory.

    The shots are divided at the top qubit, both parts at the next one, and so on: a multinomial number as a tree of
    binomial ones, whose node i has the children 2i and 2i + 1. Of a run that diverged the means are NaN.
    """
    outcomes = len(probabilities)
    for outcome in range(outcomes):
        sums[outcomes + outcome] = probabilities[outcome]
    for node in range(outcomes - 1, 0, -1):
        sums[node] = sums[2 * node] + sums[2 * node + 1]
    if not sums[1] > 0.0:
        means[:] = np.nan
        return
    counts[1] = draw.shots
    first = 1
    for level in range(len(means)):
        ones = 0
        for node in range(first, 2 * first):
            up = 0
            if counts[node] > 0:
                up = _successes(counts[node], sums[2 * node + 1] / sums[node], node, row, draw)
            counts[2 * node], counts[2 * node + 1] = counts[node] - up, up
            ones += up
        means[len(means) - 1 - level] = 1.0 - 2.0 * ones / draw.shots
        first *= 2


@compiled
def draw_tile(
    marginal: Float[np.ndarray, "samples outcomes"], draw: Draw, z: Float[np.ndarray, "measured lanes"], lanes: int
) -> None:
    """Put the means of shots in the place of a tile's exact expectations."""
    outcomes = marginal.shape[1]
    sums, counts = np.empty(2 * outcomes), np.empty(2 * outcomes, np.int64)
    means = np.empty(len(z))
    for sample in range(len(marginal)):
        draw_row(marginal[sample], draw.first + sample, draw, sums, counts, means)
        for qubit in range(len(z)):
            z[qubit, sample << lanes : (sample + 1) << lanes] = means[qubit]


@compiled
def _draw_rows(
    marginal: Float[np.ndarray, "runs batch outcomes"],
    keys: Int[np.ndarray, "runs 2"],
    shots: int,
    step: int,
    means: Float[np.ndarray, "runs batch measured"],
) -> None:
    outcomes = marginal.shape[2]
    sums, counts = np.empty(2 * outcomes), np.empty(2 * outcomes, np.int64)
    for run in range(len(marginal)):
        draw = Draw(shots, keys[run, 0], keys[run, 1], step, 0)
        for row in range(marginal.shape[1]):
            draw_row(marginal[run, row], row, draw, sums, counts, means[run, row])


def counted(
    marginal: Float[Tensor, "runs batch outcomes"],
    measured: tuple[int, ...],
    shots: int,
    keys: Int[Tensor, "runs 2"],
    step: Int[Tensor, ""],
) -> Float[Tensor, "runs batch measured"]:
    """Return the mean of Z over `shots` bitstrings drawn from the joint probabilities, in the order of `measured`.

    On a GPU nothing waits for the host, so that a call can be captured in a graph.
    """
    if marginal.is_cuda:
        means = _on_gpu()(marginal, len(measured), shots, keys, step)
    else:
        drawn = np.empty((*marginal.shape[:2], len(measured)))
        probabilities = marginal.detach().double().contiguous().numpy()
        _draw_rows(probabilities, keys.numpy(), shots, int(step), drawn)
        means = torch.from_numpy(drawn).to(marginal)
    order = sorted(measured)
    # Not by a list of indices, which would have to be copied to a GPU.
    return torch.stack([means[..., order.index(qubit)] for qubit in measured], dim=-1)


@functools.cache
def _on_gpu() -> Callable[[Tensor, int, int, Tensor, Tensor], Tensor]:
    from hilbertune.engine import gpu_draws  # here: it needs Triton

    return gpu_draws.means
