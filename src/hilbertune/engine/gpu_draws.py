"""Counter-based shots on a GPU, in one launch without the host, so that a captured graph draws anew at every replay.

In: joint probabilities of the measured qubits on a GPU, a key for each run, the step. Out: the mean of Z over shots.
The numbers are of the same generator and the same law as the CPU's (draws.py), not the same shots.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hilbertune.errors import require

triton: Any = require("triton", "gpu")


tl: Any = require("triton.language", "gpu")


@triton.jit(do_not_specialize=("shots", "batch"))  # type: ignore[untyped-decorator]
def _shots(  # type: ignore[no-untyped-def]
    probabilities, keys, step, means, shots, batch,
    OUTCOMES: tl.constexpr, MEASURED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Draw all shots of one row and store the mean of Z of each measured qubit."""
    item = tl.program_id(0).to(tl.int64)
    run, row = item // batch, (item % batch).to(tl.int32)
    key = tl.load(keys + 2 * run) | (tl.load(keys + 2 * run + 1) << 32)
    now = tl.load(step).to(tl.int32)
    own = probabilities + item * OUTCOMES
    whole = tl.zeros([], tl.float64)
    for outcome in range(OUTCOMES):
        whole += tl.load(own + outcome).to(tl.float64)
    place = tl.arange(0, MEASURED)
    ones = tl.zeros([MEASURED], tl.int32)
    for first in range(0, shots, BLOCK):
        shot = first + tl.arange(0, BLOCK)
        word, _, _, _ = tl.philox(key, shot, shot * 0, shot * 0 + row, shot * 0 + now)
        # In the middle of its step of 2^-32, so that the mean of a shot has no bias.
        wanted = whole * ((word.to(tl.uint32).to(tl.float64) + 0.5) * 2.3283064365386963e-10)
        drawn = tl.zeros([BLOCK], tl.int32)
        reached = tl.zeros([], tl.float64)
        for outcome in range(OUTCOMES - 1):
            reached += tl.load(own + outcome).to(tl.float64)
            drawn += (wanted >= reached).to(tl.int32)
        bits = (drawn[None, :] >> place[:, None]) & 1
        ones += tl.sum(tl.where((shot < shots)[None, :], bits, 0), 1)
    mean = 1.0 - 2.0 * ones.to(tl.float64) / shots
    # Of a run that diverged there is nothing to draw.
    mean = tl.where(whole > 0.0, mean, float("nan"))
    tl.store(means + item * MEASURED + place, mean.to(means.dtype.element_ty))


def means(
    marginal: Float[Tensor, "runs batch outcomes"],
    measured: int,
    shots: int,
    keys: Int[Tensor, "runs 2"],
    step: Int[Tensor, ""],
) -> Float[Tensor, "runs batch measured"]:
    """Return the mean of Z over the shots, from the lowest measured qubit up."""
    runs, batch, outcomes = marginal.shape
    # Triton's vectors have a power of two of entries; those that are too many read a bit that is never set.
    wide = 1 << (measured - 1).bit_length()
    found = marginal.new_empty(runs, batch, wide)
    with torch.cuda.device_of(marginal):  # type: ignore[no-untyped-call]
        _shots[(runs * batch,)](
            marginal.contiguous(),
            keys.contiguous(),
            step,
            found,
            shots,
            batch,
            OUTCOMES=outcomes,
            MEASURED=wide,
            BLOCK=min(1024, max(32, 1 << (shots - 1).bit_length())),
        )
    return found[..., :measured]
