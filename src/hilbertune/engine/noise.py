"""Gate and readout noise as unbiased Pauli trajectories, on top of any engine and without a kernel of its own.

In: an engine and the error rates. Out: an engine that returns means over random courses of the noise. A Pauli error need not be applied to the state: pushed
to the circuit's end it turns the sign of the rotations it passes (RY(a) X = X RY(-a), likewise Z; Y commutes), spreads through CNOTs, and at the end flips
what is read. So a trajectory is the same circuit with some angles negated.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.table import Circuit
from hilbertune.config.noise import Noise
from hilbertune.engine.sampling import Engine, slot

_CHUNK = 1 << 18
"""Trajectories times (gates + outcomes) of each run that are held at once. Other runs have no say in it: a run's draws must not depend on them."""


def noisy(run: Engine, noise: Noise, rngs: Sequence[np.random.Generator]) -> Engine:
    """The engine with noise: expectations and joint probabilities are means over trajectories, drawn from a generator for each run."""

    def engine(
        circuit: Circuit,
        weights: Tensor,
        inputs: Tensor,
        amplitudes: Tensor,
        measured: tuple[int, ...],
        sampled: bool,
    ) -> tuple[Tensor, Tensor]:
        values, marginal = _trajectories(run, noise, rngs, circuit, weights, inputs, amplitudes, measured, sampled)
        for bit in range(len(measured) if sampled else 0):
            other = marginal[..., torch.arange(1 << len(measured), device=weights.device) ^ (1 << bit)]  # fmt: skip
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
    """Expectations without a gradient, and the standard error that is left in them by the number of trajectories.

    It is 0 without gate errors, where all trajectories are alike, and otherwise NaN for a single one.
    """
    with torch.no_grad():
        values, _ = _trajectories(run, noise, rngs, circuit, weights, inputs, amplitudes, measured, False)
    mean = values.mean(2)
    if noise.one_qubit == noise.two_qubit == 0:
        return mean, torch.zeros_like(mean)
    return mean, values.std(2) / math.sqrt(noise.trajectories)


def _trajectories(
    run: Engine,
    noise: Noise,
    rngs: Sequence[np.random.Generator],
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor,
    amplitudes: Tensor,
    measured: tuple[int, ...],
    sampled: bool,
) -> tuple[Float[Tensor, "runs batch trajectories measured"], Float[Tensor, "runs batch outcomes"]]:
    """<Z> of each trajectory, readout errors included, and their mean joint probabilities, readout errors not yet included."""
    (runs, batch), trials = inputs.shape[:2], noise.trajectories
    if noise.one_qubit == noise.two_qubit == 0:
        trials = 1
    every, rotations = circuit.with_every_angle_an_input()
    slots = [slot(circuit, rotation) for rotation in rotations]
    # Bit k of an outcome is the k-th measured qubit in ascending order.
    order = sorted(range(len(measured)), key=lambda k: measured[k])
    outcomes = torch.arange(1 << len(measured) if sampled else 0, device=weights.device)

    def chunk(inputs: Tensor, amplitudes: Tensor) -> tuple[Tensor, Tensor]:
        rows = inputs.shape[1]
        signs, flips = draw(circuit, noise, rows * trials, rngs)
        angles = torch.cat([weights[:, None].expand(-1, rows, -1), inputs], dim=2)[:, :, slots]
        turned = torch.from_numpy(signs).view(runs, rows * trials, len(slots)).to(weights)
        values, marginals = run(
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
        values[:, part], marginals[:, part] = chunk(inputs[:, part], amplitudes[:, part])
    return values, marginals


def draw(
    circuit: Circuit, noise: Noise, count: int, rngs: Sequence[np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """Random trajectories, `count` from each generator one after another, as `pushed` returns them."""
    two_qubit = np.array([operation.kind == "cx" for operation in circuit.operations], dtype=bool)
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
    """Trajectories whose Pauli errors are pushed to the circuit's end.

    Args:
        errors: for each operation the trajectories (each at most once) in which it errs, and with which Pauli: two bits for each of its qubits, control first,
            1 is X, 2 is Z, 3 is Y.

    Returns:
        Signs of the rotations' angles [count, rotations], and whether each qubit is read flipped [qubits, count].
    """
    x = np.zeros((circuit.qubits, count), dtype=bool)
    z = np.zeros_like(x)
    signs = []
    for operation, (struck, pauli) in zip(circuit.operations, errors, strict=True):
        target = operation.target
        if operation.control is None:
            signs.append(1 - 2 * (x[target] ^ z[target]).astype(np.int8))
        else:
            x[target] ^= x[operation.control]
            z[operation.control] ^= z[target]
        for qubit in operation.qubits if len(struck) else ():
            x[qubit, struck] ^= pauli & 1 == 1
            z[qubit, struck] ^= pauli & 2 == 2
            pauli = pauli >> 2
    return np.ascontiguousarray(np.array(signs, np.int8).reshape(len(signs), count).T), x


def _errors(rng: np.random.Generator, cells: int, probability: float, paulis: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the cells (gates times trajectories) err, each with the same probability, and with which Pauli, 1 to `paulis`."""
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
