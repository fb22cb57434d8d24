"""Shots, and the gradients a QPU would return, on top of any engine's exact joint probabilities.

In: an engine and a call of it. Out: sampled expectations whose gradient is exact (adjoint), parameter-shift or SPSA.
Sampling the joint distribution of the measured qubits is what `shots` runs of the circuit do, at a cost that does not grow with `shots`.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit import Circuit
from hilbertune.errors import HilbertuneError

SPSA_STEP = 0.2
"""Half the distance in radians between the two expectations of SPSA (our choice)."""

_CHUNK = 1 << 22
"""How many angles of shifted circuits are held at once."""


class Engine(Protocol):
    """What an engine is: exact <Z>, differentiable, and on request the joint probabilities of the measured qubits."""

    def __call__(
        self,
        circuit: Circuit,
        weights: Tensor,
        inputs: Tensor,
        amplitudes: Tensor,
        measured: tuple[int, ...],
        sampled: bool,
    ) -> tuple[Tensor, Tensor]: ...


def sample(
    marginal: Float[Tensor, "runs batch outcomes"],
    measured: tuple[int, ...],
    shots: int,
    rngs: Sequence[np.random.Generator],
) -> Float[Tensor, "runs batch measured"]:
    """Mean of Z over `shots` bitstrings drawn from the joint probabilities, a generator for each run."""
    probabilities = marginal.detach().double().cpu().numpy()
    # Rounding leaves sums a little off 1, which the sampler refuses.
    probabilities = np.clip(probabilities, 0.0, None)
    total = probabilities.sum(-1, keepdims=True)
    lost = ~(total[..., 0] > 0)
    # A run that diverged has no probabilities; its samples are NaN, and its neighbours' are not disturbed.
    probabilities = np.where(lost[..., None], np.eye(1, probabilities.shape[-1]), probabilities)
    probabilities /= np.where(lost[..., None], 1.0, total)
    counts = np.stack(
        [rng.multinomial(shots, rows) for rng, rows in zip(rngs, probabilities, strict=True)]
    )
    outcomes = np.arange(counts.shape[-1])
    order = sorted(measured)
    signs = np.stack([1 - 2 * ((outcomes >> order.index(q)) % 2) for q in measured], axis=1)
    means = np.where(lost[..., None], np.nan, counts @ signs / shots)
    return torch.from_numpy(means).to(marginal)


def refuse_second_derivatives() -> None:
    """Called in a backward pass: an error rather than a second derivative that would silently be zero."""
    if torch.is_grad_enabled():
        raise HilbertuneError(
            "Only engine='reference' with gradient='adjoint' has second derivatives: name it, or drop create_graph."
        )


def adjoint(
    run: Engine,
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor,
    amplitudes: Tensor,
    measured: tuple[int, ...],
    shots: int | None,
    rngs: Sequence[np.random.Generator],
) -> Tensor:
    """Sampled values with the exact gradient ("differentiable shot sampling")."""
    values, marginal = run(circuit, weights, inputs, amplitudes, measured, True)
    assert shots is not None
    sampled = sample(marginal, measured, shots, rngs)
    return values + (sampled - values).detach()


class _Rotations:
    """A circuit seen as a function of one angle for each use of a weight or an input: [runs, batch, rotations]."""

    def __init__(
        self,
        run: Engine,
        circuit: Circuit,
        amplitudes: Tensor,
        measured: tuple[int, ...],
        shots: int | None,
        rngs: Sequence[np.random.Generator],
    ) -> None:
        self.circuit, self.rotations = circuit.with_every_angle_an_input()
        self.run, self.amplitudes, self.measured = run, amplitudes, measured
        self.shots, self.rngs = shots, rngs

    def angles(self, weights: Tensor, inputs: Tensor) -> Tensor:
        """The angle of every rotation [runs, batch, rotations]."""
        both = torch.cat([weights[:, None].expand(-1, inputs.shape[1], -1), inputs], dim=2)
        slots = [
            o.weight if o.weight is not None else weights.shape[1] + (o.input or 0)
            for o in self.rotations
        ]
        return both[:, :, slots]

    def expectations(self, angles: Tensor) -> Tensor:
        """<Z>, sampled if there are shots, for angles [runs, copies, batch, rotations] → [runs, copies, batch, measured]."""
        runs, copies, batch, _ = angles.shape
        amplitudes = self.amplitudes[:, None].expand(-1, copies, -1, -1).flatten(1, 2)
        values, marginal = self.run(
            self.circuit,
            angles.new_zeros(runs, 0),
            angles.flatten(1, 2),
            amplitudes,
            self.measured,
            self.shots is not None,
        )
        if self.shots is not None:
            values = sample(marginal, self.measured, self.shots, self.rngs)
        return values.view(runs, copies, batch, -1)

    def collect(self, by_angle: Tensor, weights: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Sum derivatives by each rotation [runs, batch, rotations] into those by weights and by inputs."""
        by_weight, by_input = torch.zeros_like(weights), torch.zeros_like(inputs)
        for number, rotation in enumerate(self.rotations):
            if rotation.weight is not None:
                by_weight[:, rotation.weight] += by_angle[:, :, number].sum(1)
            else:
                by_input[:, :, rotation.input] += by_angle[:, :, number]
        return by_weight, by_input


class _ParameterShift(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rotations: _Rotations, weights: Tensor, inputs: Tensor
    ) -> Float[Tensor, "runs batch measured"]:
        ctx.rotations = rotations
        ctx.save_for_backward(weights, inputs)
        return rotations.expectations(rotations.angles(weights, inputs)[:, None])[:, 0]

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[None, Tensor, Tensor]:
        refuse_second_derivatives()
        rotations: _Rotations = ctx.rotations
        weights, inputs = ctx.saved_tensors
        angles = rotations.angles(weights, inputs)
        runs, batch, count = angles.shape
        by_angle = torch.zeros_like(angles)
        step = max(1, _CHUNK // max(1, 2 * runs * batch * count))
        for first in range(0, count, step):
            chosen = range(first, min(first + step, count))
            shifted = angles[:, None].repeat(1, 2 * len(chosen), 1, 1)
            for place, number in enumerate(chosen):
                shifted[:, 2 * place, :, number] += torch.pi / 2
                shifted[:, 2 * place + 1, :, number] -= torch.pi / 2
            # The two-term rule for RY: half the difference of the expectations at plus and minus a quarter turn.
            values = rotations.expectations(shifted)
            slopes = (values[:, 0::2] - values[:, 1::2]) / 2
            by_angle[:, :, chosen] = (slopes * by_value[:, None]).sum(-1).transpose(1, 2)
        return None, *rotations.collect(by_angle, weights, inputs)


class _Spsa(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rotations: _Rotations, weights: Tensor, inputs: Tensor
    ) -> Float[Tensor, "runs batch measured"]:
        ctx.rotations = rotations
        ctx.save_for_backward(weights, inputs)
        return rotations.expectations(rotations.angles(weights, inputs)[:, None])[:, 0]

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[None, Tensor, Tensor]:
        refuse_second_derivatives()
        rotations: _Rotations = ctx.rotations
        weights, inputs = ctx.saved_tensors
        signs = [
            torch.stack(
                [torch.from_numpy(r.choice([-1.0, 1.0], t.shape[1:])) for r in rotations.rngs]
            ).to(weights)
            for t in (weights, inputs)
        ]
        ends = [
            rotations.angles(weights + step * signs[0], inputs + step * signs[1])
            for step in (SPSA_STEP, -SPSA_STEP)
        ]
        values = rotations.expectations(torch.stack(ends, dim=1))
        slope = ((values[:, 0] - values[:, 1]) / (2 * SPSA_STEP) * by_value).sum(-1)
        return None, slope.sum(1, keepdim=True) * signs[0], slope[:, :, None] * signs[1]


def parameter_shift(
    run: Engine,
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor,
    amplitudes: Tensor,
    measured: tuple[int, ...],
    shots: int | None,
    rngs: Sequence[np.random.Generator],
) -> Tensor:
    """Values and gradients as hardware gives them: every use of every angle shifted by plus and minus a quarter turn."""
    rotations = _Rotations(run, circuit, amplitudes, measured, shots, rngs)
    result: Tensor = _ParameterShift.apply(rotations, weights, inputs)  # type: ignore[no-untyped-call]
    return result


def spsa(
    run: Engine,
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor,
    amplitudes: Tensor,
    measured: tuple[int, ...],
    shots: int | None,
    rngs: Sequence[np.random.Generator],
) -> Tensor:
    """Values, and gradients from two expectations at random signs (Spall 1992): unbiased up to SPSA_STEP squared."""
    rotations = _Rotations(run, circuit, amplitudes, measured, shots, rngs)
    result: Tensor = _Spsa.apply(rotations, weights, inputs)  # type: ignore[no-untyped-call]
    return result
