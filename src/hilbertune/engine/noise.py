"""Gate and readout noise as unbiased Pauli trajectories, on top of any engine and without a kernel of its own.

In: an engine and the error rates. Out: an engine that returns means over random courses of the noise.
A trajectory is the same circuit with some angles negated and some answers flipped: see `pushed`.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.lowering import Lowered
from hilbertune.circuit.table import Circuit
from hilbertune.config.noise import Noise
from hilbertune.engine.sampling import Call, Counter, Engine
from hilbertune.errors import HilbertuneError

_CHUNK = 1 << 18
"""Trajectories times (gates + outcomes) of each run held at once: a run's draws must not depend on its neighbours."""


def noisy(run: Engine, noise: Noise, rngs: Sequence[np.random.Generator]) -> Engine:
    """Return the engine with noise: its answers are means over trajectories, drawn from a generator for each run."""

    def engine(
        circuit: Circuit,
        weights: Tensor,
        inputs: Tensor,
        amplitudes: Tensor,
        measured: tuple[int, ...],
        sampled: bool,
    ) -> tuple[Tensor, Tensor]:
        call = Call(run, circuit, amplitudes, measured, None, rngs)
        values, marginal = _trajectories(call, noise, weights, inputs, sampled)
        for bit in range(len(measured) if sampled else 0):
            other = marginal[..., torch.arange(1 << len(measured), device=weights.device) ^ (1 << bit)]
            marginal = (1 - noise.readout) * marginal + noise.readout * other
        return values.mean(2), marginal

    return engine


def with_error(
    run: Engine,
    noise: Noise,
    rngs: Sequence[np.random.Generator],
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor,
    amplitudes: Tensor,
    measured: tuple[int, ...],
) -> tuple[Float[Tensor, "runs batch measured"], Float[Tensor, "runs batch measured"]]:
    """Return expectations without a gradient, and the standard error that the number of trajectories leaves in them.

    It is 0 without gate errors, where all trajectories are alike, and otherwise NaN for a single one.
    """
    with torch.no_grad():
        call = Call(run, circuit, amplitudes, measured, None, rngs)
        values, _ = _trajectories(call, noise, weights, inputs, False)
    mean = values.mean(2)
    if noise.one_qubit == noise.two_qubit == 0:
        return mean, torch.zeros_like(mean)
    return mean, values.std(2) / math.sqrt(noise.trajectories)


def _trajectories(
    call: Call, noise: Noise, weights: Tensor, inputs: Tensor, sampled: bool
) -> tuple[Float[Tensor, "runs batch trajectories measured"], Float[Tensor, "runs batch outcomes"]]:
    """Return <Z> of each trajectory, with readout errors, and their mean joint probabilities, still without them."""
    circuit, measured = call.circuit, call.measured
    (runs, batch), trials = inputs.shape[:2], noise.trajectories
    if noise.one_qubit == noise.two_qubit == 0:
        trials = 1
    circuit.require_plain()  # errors turn the signs of RY alone
    every, rotations = circuit.with_every_angle_an_input()
    slots = [circuit.slot(rotation) for rotation in rotations]
    # Bit k of an outcome is the k-th measured qubit in ascending order.
    order = sorted(range(len(measured)), key=lambda k: measured[k])
    outcomes = torch.arange(1 << len(measured) if sampled else 0, device=weights.device)

    assert not isinstance(call.rngs, Counter), "errors are drawn from generators"
    rngs = call.rngs

    def chunk(inputs: Tensor, amplitudes: Tensor) -> tuple[Tensor, Tensor]:
        rows = inputs.shape[1]
        signs, flips = draw(circuit, noise, rows * trials, rngs)
        angles = torch.cat([weights[:, None].expand(-1, rows, -1), inputs], dim=2)[:, :, slots]
        turned = torch.from_numpy(signs).view(runs, rows * trials, len(slots)).to(weights)
        values, marginals = call.run(
            every,
            weights.new_zeros(runs, 0),
            angles.repeat_interleave(trials, 1) * turned,
            amplitudes.repeat_interleave(trials, 1),
            measured,
            sampled,
        )
        flipped = torch.from_numpy(flips[list(measured)].T).to(weights.device).view(values.shape)
        values = values * (1 - 2 * flipped.to(values.dtype)) * (1 - 2 * noise.readout)
        if sampled:
            mask = sum((flipped[..., k].long() << bit for bit, k in enumerate(order)))
            marginals = marginals.gather(-1, outcomes ^ torch.as_tensor(mask)[..., None])
        shape = (runs, rows, trials)
        return values.view(*shape, len(measured)), marginals.view(*shape, len(outcomes)).mean(2)

    # Filled in place: small results kept between large ones that are freed would fragment memory.
    values = weights.new_empty(runs, batch, trials, len(measured))
    marginals = weights.new_empty(runs, batch, len(outcomes))
    step = max(1, _CHUNK // (trials * (len(circuit.operations) + len(outcomes) + 1)))
    for first in range(0, batch, step):
        part = slice(first, first + step)
        values[:, part], marginals[:, part] = chunk(inputs[:, part], call.amplitudes[:, part])
    return values, marginals


def draw(
    circuit: Circuit, noise: Noise, count: int, rngs: Sequence[np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw random trajectories, `count` from each generator one after another; return them as `pushed` does."""
    widths = np.array([len(struck) for _, struck in _steps(circuit) if struck is not None], dtype=int)
    if (widths > 2).any():
        raise HilbertuneError("Noise is that of gates on one and two qubits: write gates on three (ccx, ...) as these.")
    two_qubit = widths == 2
    one, two = np.flatnonzero(~two_qubit), np.flatnonzero(two_qubit)
    drawn = []
    for run, rng in enumerate(rngs):
        for gates, probability, paulis in (
            (one, noise.one_qubit * 3 / 4, 3),
            (two, noise.two_qubit * 15 / 16, 15),
        ):
            cells, kinds = _errors(rng, len(gates) * count, probability, paulis)
            drawn.append((gates[cells // count], run * count + cells % count, kinds))
    # One loop over the gates pushes the errors of all runs.
    struck_gate, struck, kinds = (np.concatenate(part) for part in zip(*drawn, strict=True))
    by_gate = np.argsort(struck_gate, kind="stable")
    cuts = np.searchsorted(struck_gate[by_gate], np.arange(len(two_qubit) + 1))
    pieces = [by_gate[start:stop] for start, stop in itertools.pairwise(cuts)]
    return pushed(circuit, [(struck[p], kinds[p]) for p in pieces], count * len(rngs))


def pushed(
    circuit: Circuit, errors: Sequence[tuple[np.ndarray, np.ndarray]], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Push the Pauli errors of trajectories to the circuit's end.

    An error need not be applied to the state: on its way it turns the sign of the rotations it passes
    (RY(a) X = X RY(-a), likewise Z; Y commutes), spreads through CNOTs, and at the end flips what is read.

    Args:
        circuit: the circuit that errs.
        errors: for each gate as written the trajectories (each at most once) in which it errs, and with which Pauli:
            two bits for each of its qubits, control first; 1 is X, 2 is Z, 3 is Y.
        count: how many trajectories there are.

    Returns:
        Signs of the rotations' angles [count, rotations], and whether each qubit is read flipped [qubits, count].
    """
    x = np.zeros((circuit.qubits, count), dtype=bool)
    z = np.zeros_like(x)
    signs = []
    as_written = iter(errors)
    for gate, struck_qubits in _steps(circuit):
        if gate is None:
            pass
        elif gate.control is None:
            signs.append(1 - 2 * (x[gate.target] ^ z[gate.target]).astype(np.int8))
        else:
            x[gate.target] ^= x[gate.control]
            z[gate.control] ^= z[gate.target]
        if struck_qubits is None:
            continue
        struck, pauli = next(as_written)
        for qubit in struck_qubits if len(struck) else ():
            x[qubit, struck] ^= pauli & 1 == 1
            z[qubit, struck] ^= pauli & 2 == 2
            pauli = pauli >> 2
    return np.ascontiguousarray(np.array(signs, np.int8).reshape(len(signs), count).T), x


def _steps(circuit: Circuit) -> Sequence[tuple[Operation | None, tuple[int, ...] | None]]:
    """Return the circuit's gates, each with the qubits on which an error strikes after it, as `Lowered.steps` does."""
    return circuit.steps if isinstance(circuit, Lowered) else [(o, o.qubits) for o in circuit.operations]


def _errors(rng: np.random.Generator, cells: int, probability: float, paulis: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw which cells (gates times trajectories) err, each with `probability`, and by which Pauli, 1 to `paulis`."""
    places = np.zeros(0, np.int64)
    if probability > 0 and cells:
        # The gaps between errors are geometric: as many draws as there are errors, not as there are gates.
        last, parts = -1, []
        while last < cells:
            expected = (cells - last) * probability
            gaps = rng.geometric(probability, int(expected + 6 * math.sqrt(expected) + 10))
            # A gap of a tiny rate fills 64 bits, and a sum of two would overflow.
            parts.append(last + np.cumsum(np.minimum(gaps, cells + 1)))
            last = int(parts[-1][-1])
        places = np.concatenate(parts)
        places = places[places < cells]
    return places, rng.integers(1, paulis + 1, len(places))
