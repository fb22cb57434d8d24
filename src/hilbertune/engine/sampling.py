"""Shots, and the gradients a QPU would return, on top of any engine's exact joint probabilities.

In: an engine and a call of it. Out: sampled expectations whose gradient is exact (adjoint), parameter-shift or SPSA.
Drawing from the joint distribution is what `shots` runs of the circuit do, at a cost that does not grow with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hilbertune.circuit.table import Circuit
from hilbertune.engine.transforms import refuse_batched
from hilbertune.errors import HilbertuneError

SPSA_STEP = 0.2
"""Half the distance in radians between the two expectations of SPSA (our choice)."""


_CHUNK = 1 << 22
"""The number of probabilities of shifted circuits that are held at once."""


@runtime_checkable
class Engine(Protocol):
    """An engine: returns exact <Z>, differentiable, and on request joint probabilities of the measured qubits."""

    def __call__(
        self,
        circuit: Circuit,
        weights: Tensor,
        inputs: Tensor,
        amplitudes: Tensor,
        measured: tuple[int, ...],
        sampled: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return <Z> [runs, batch, measured] and, if `sampled`, probabilities [runs, batch, outcomes]."""


class Counter(NamedTuple):
    """The source of shots that depend on nothing but a key for each run and the number of the step (draws.py)."""

    keys: Int[Tensor, "runs 2"]  # numbers of 32 bits
    step: Int[Tensor, ""]  # read anew by every call, so that a graph on a GPU goes on with it


Shots = Sequence[np.random.Generator] | Counter
"""The source of the shots of several runs: a generator for each, or a counter."""


def counter(rngs: Sequence[np.random.Generator], step: Int[Tensor, ""]) -> Counter:
    """Return a counter whose keys are drawn from a generator for each run."""
    keys = np.stack([rng.integers(1 << 32, size=2) for rng in rngs])
    return Counter(torch.from_numpy(keys).to(step.device), step)


def sample(
    marginal: Float[Tensor, "runs batch outcomes"],
    measured: tuple[int, ...],
    shots: int,
    rngs: Shots,
) -> Float[Tensor, "runs batch measured"]:
    """Return the mean of Z over `shots` bitstrings drawn from the joint probabilities, a source for each run."""
    if isinstance(rngs, Counter):
        from hilbertune.engine import draws  # here: it loads Numba

        return draws.counted(marginal, measured, shots, *rngs)
    probabilities = marginal.detach().double().cpu().numpy()
    # Rounding leaves sums a little off 1, which the sampler refuses.
    probabilities = np.clip(probabilities, 0.0, None)
    total = probabilities.sum(-1, keepdims=True)
    lost = ~(total[..., 0] > 0)
    # A run that diverged has no probabilities; its samples are NaN, and its neighbours' are not disturbed.
    probabilities = np.where(lost[..., None], np.eye(1, probabilities.shape[-1]), probabilities)
    probabilities /= np.where(lost[..., None], 1.0, total)
    counts = np.stack([rng.multinomial(shots, rows) for rng, rows in zip(rngs, probabilities, strict=True)])
    outcomes = np.arange(counts.shape[-1])
    order = sorted(measured)
    signs = np.stack([1 - 2 * ((outcomes >> order.index(q)) % 2) for q in measured], axis=1)
    means = np.where(lost[..., None], np.nan, counts @ signs / shots)
    return torch.from_numpy(means).to(marginal)


def refuse_second_derivatives() -> None:
    """Raise HilbertuneError in a backward pass whose own derivative would silently be zero."""
    if torch.is_grad_enabled():
        raise HilbertuneError(
            "Only engine='reference' with gradient='adjoint' has second derivatives: name it, or drop create_graph."
        )


@dataclass(frozen=True)
class Call:
    """A call of an engine without weights and inputs, which a gradient varies."""

    run: Engine
    circuit: Circuit
    amplitudes: Tensor
    measured: tuple[int, ...]
    shots: int | None
    rngs: Shots

    def exact_and_drawn(self, weights: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return <Z> [runs, batch, measured] twice: exact and differentiable, and sampled (if there are shots)."""
        sampled = self.shots is not None
        values, marginal = self.run(self.circuit, weights, inputs, self.amplitudes, self.measured, sampled)
        return values, values if self.shots is None else sample(marginal, self.measured, self.shots, self.rngs)

    def expectations(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """Return <Z> [runs, batch, measured], sampled if there are shots."""
        return self.exact_and_drawn(weights, inputs)[1]


def adjoint(call: Call, weights: Tensor, inputs: Tensor) -> Tensor:
    """Return sampled values with the exact gradient ("differentiable shot sampling"); without shots all is exact."""
    values, drawn = call.exact_and_drawn(weights, inputs)
    return values if call.shots is None else values + (drawn - values).detach()


def shifted(
    run: Engine,
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor,
    amplitudes: Tensor,
    measured: tuple[int, ...],
    sampled: bool,
) -> tuple[Tensor, Tensor]:
    """Return what an engine returns with each angle that varies shifted in turn by plus and minus a quarter turn.

    Returns:
        <Z> [runs, batch, rotations, 2, measured] and, if `sampled`, joint probabilities
        [runs, batch, rotations, 2, outcomes].
    """
    every, rotations = circuit.with_every_angle_an_input()
    slots = [circuit.slot(rotation) for rotation in rotations]
    runs, batch = inputs.shape[:2]
    both = torch.cat([weights[:, None].expand(-1, batch, -1), inputs], dim=2)
    quarter = torch.pi / 2 * torch.eye(len(slots), dtype=both.dtype, device=both.device)
    turned = both[:, :, slots]
    if not circuit.plain:
        turned = turned * both.new_tensor([o.scale for o in rotations])
        turned = turned + both.new_tensor([o.offset or 0.0 for o in rotations])
    angles = turned[:, :, None, None] + torch.stack([quarter, -quarter], dim=1)
    copies = amplitudes[:, :, None].expand(-1, -1, 2 * len(slots), -1)
    answer = run(
        every,
        angles.new_zeros(runs, 0),
        angles.flatten(1, 3),
        copies.flatten(1, 2),
        measured,
        sampled,
    )
    values, marginals = (p.view(runs, batch, len(slots), 2, p.shape[-1]) for p in answer)
    return values, marginals


class _ParameterShift(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, call: Call, shift: Engine, weights: Tensor, inputs: Tensor
    ) -> Float[Tensor, "runs batch measured"]:
        ctx.call, ctx.shift = call, shift
        ctx.save_for_backward(weights, inputs)
        return call.expectations(weights, inputs)

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[None, None, Tensor, Tensor]:
        refuse_second_derivatives()
        refuse_batched(by_value)
        call: Call = ctx.call
        weights, inputs = ctx.saved_tensors
        rotations = [o for o in call.circuit.operations if o.name]
        by_weight, by_input = torch.zeros_like(weights), torch.zeros_like(inputs)
        if not rotations:
            return None, None, by_weight, by_input
        numbers = 2 * len(weights) * len(rotations) << len(call.measured)
        step = max(1, _CHUNK // numbers)
        for first in range(0, inputs.shape[1], step):
            part = slice(first, first + step)
            values, marginals = ctx.shift(
                call.circuit,
                weights,
                inputs[:, part],
                call.amplitudes[:, part],
                call.measured,
                call.shots is not None,
            )
            if call.shots is not None:
                drawn = sample(marginals.flatten(1, 3), call.measured, call.shots, call.rngs)
                values = drawn.view(values.shape)
            # The two-term rule of rotations that are not controlled: half the difference of the expectations at plus
            # and minus a quarter turn.
            slopes = (values[:, :, :, 0] - values[:, :, :, 1]) / 2
            by_rotation = (slopes * by_value[:, part, None]).sum(-1)
            for number, rotation in enumerate(rotations):
                own = by_rotation[:, :, number] * rotation.scale
                if rotation.weight is not None:
                    by_weight[:, rotation.weight] += own.sum(1)
                else:
                    by_input[:, part, rotation.input] += own
        return None, None, by_weight, by_input


class _Spsa(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: Call, weights: Tensor, inputs: Tensor) -> Float[Tensor, "runs batch measured"]:
        ctx.call = call
        ctx.save_for_backward(weights, inputs)
        return call.expectations(weights, inputs)

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[None, Tensor, Tensor]:
        refuse_second_derivatives()
        refuse_batched(by_value)
        call: Call = ctx.call
        weights, inputs = ctx.saved_tensors
        assert not isinstance(call.rngs, Counter), "SPSA draws its signs from generators"
        signs = [
            torch.stack([torch.from_numpy(r.choice([-1.0, 1.0], t.shape[1:])) for r in call.rngs]).to(weights)
            for t in (weights, inputs)
        ]
        up, down = (
            call.expectations(weights + step * signs[0], inputs + step * signs[1]) for step in (SPSA_STEP, -SPSA_STEP)
        )
        slope = ((up - down) / (2 * SPSA_STEP) * by_value).sum(-1)
        return None, slope.sum(1, keepdim=True) * signs[0], slope[:, :, None] * signs[1]


def parameter_shift(shift: Engine, call: Call, weights: Tensor, inputs: Tensor) -> Tensor:
    """Return values with a QPU's gradients: each use of an angle shifted by plus and minus a quarter turn."""
    result: Tensor = _ParameterShift.apply(call, shift, weights, inputs)  # type: ignore[no-untyped-call]
    return result


def spsa(call: Call, weights: Tensor, inputs: Tensor) -> Tensor:
    """Return values with gradients of two expectations at random signs (Spall 1992), unbiased to SPSA_STEP squared."""
    result: Tensor = _Spsa.apply(call, weights, inputs)  # type: ignore[no-untyped-call]
    return result
