"""Gate and readout noise as unbiased Pauli trajectories, on top of any engine and without a kernel of its own.

In: an engine and the error rates. Out: an engine that returns means over random courses of the noise. A Pauli error need not be applied to the state: pushed
to the circuit's end it turns the sign of the rotations it passes (RY(a) X = X RY(-a), likewise Z; Y commutes), spreads through CNOTs, and at the end flips
what is read. So a trajectory is the same circuit with some angles negated.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit import Circuit
from hilbertune.engine.sampling import Engine, slot
from hilbertune.errors import HilbertuneError


@dataclass(frozen=True)
class Noise:
    """Error rates of a device, in the parametrisation of IonQ's noise models (and of Qiskit Aer).

    `one_qubit`: after every RY, each of X, Y, Z with probability one_qubit / 4. `two_qubit`: after every CNOT, each of the 15 Paulis but the identity with
    probability two_qubit / 16. `readout`: probability that a measured qubit is read wrongly. `trajectories`: random courses of the noise for each sample.

    Raises:
        HilbertuneError: a rate outside [0, 1] (readout: [0, 0.5]), or less than one trajectory.
    """

    one_qubit: float = 0.0
    two_qubit: float = 0.0
    readout: float = 0.0
    trajectories: int = 8

    def __post_init__(self) -> None:
        for name, most in (("one_qubit", 1.0), ("two_qubit", 1.0), ("readout", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise HilbertuneError(
                    f"{name} must lie between 0 and {most:g}, not {getattr(self, name)}."
                )
        if self.trajectories < 1:
            raise HilbertuneError(f"trajectories must be at least 1, not {self.trajectories}.")


PRESETS = {
    "aria-1": Noise(0.0005, 0.0133),
    "aria-2": Noise(0.000657333, 0.01856),
    "forte-1": Noise(0.000266667, 0.004949333),
}
"""The depolarizing rates of IonQ's cloud noise models (docs.ionq.com, "Simulation with noise models"). Those models have no readout error: add one as an
assumption of your own. Real devices have been found to do worse than such models."""


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
        values, marginals = _trajectories(
            run, noise, rngs, circuit, weights, inputs, amplitudes, measured, sampled
        )
        marginal = marginals.mean(2)
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
    """Expectations without a gradient, and the standard error that is left in them by the number of trajectories (NaN for one)."""
    with torch.no_grad():
        values, _ = _trajectories(
            run, noise, rngs, circuit, weights, inputs, amplitudes, measured, False
        )
    return values.mean(2), values.std(2) / math.sqrt(values.shape[2])


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
) -> tuple[
    Float[Tensor, "runs batch trajectories measured"],
    Float[Tensor, "runs batch trajectories outcomes"],
]:
    """What each trajectory returns; readout errors are in the expectations, not yet in the joint probabilities."""
    (runs, batch), trials = inputs.shape[:2], noise.trajectories
    if noise.one_qubit == noise.two_qubit == 0:
        trials = 1
    drawn = [draw(circuit, noise, batch * trials, rng) for rng in rngs]
    signs = torch.from_numpy(np.stack([signs for signs, _ in drawn])).to(weights)
    flipped = torch.from_numpy(np.stack([flips[list(measured)] for _, flips in drawn]))
    every, rotations = circuit.with_every_angle_an_input()
    slots = [slot(circuit, rotation) for rotation in rotations]
    angles = torch.cat([weights[:, None].expand(-1, batch, -1), inputs], dim=2)[:, :, slots]
    values, marginals = run(
        every,
        weights.new_zeros(runs, 0),
        angles.repeat_interleave(trials, 1) * signs,
        amplitudes.repeat_interleave(trials, 1),
        measured,
        sampled,
    )
    flipped = flipped.transpose(1, 2).to(weights.device)
    values = values * (1 - 2 * flipped.to(values.dtype)) * (1 - 2 * noise.readout)
    if sampled:
        # Bit k of an outcome is the k-th measured qubit in ascending order.
        order = sorted(range(len(measured)), key=lambda k: measured[k])
        mask = sum((flipped[..., k].long() << bit for bit, k in enumerate(order)))
        outcomes = torch.arange(marginals.shape[-1], device=weights.device)
        marginals = marginals.gather(-1, outcomes ^ torch.as_tensor(mask)[..., None])
    shape = (runs, batch, trials)
    return values.view(*shape, -1), marginals.view(*shape, marginals.shape[-1])


def draw(
    circuit: Circuit, noise: Noise, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random trajectories, as `pushed` returns them."""
    kinds = [operation.kind for operation in circuit.operations]
    one = iter(_errors(rng, kinds.count("ry"), count, noise.one_qubit * 3 / 4, 3))
    two = iter(_errors(rng, kinds.count("cx"), count, noise.two_qubit * 15 / 16, 15))
    return pushed(circuit, [next(two if kind == "cx" else one) for kind in kinds], count)


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
        for qubit in operation.qubits:
            x[qubit, struck] ^= pauli & 1 == 1
            z[qubit, struck] ^= pauli & 2 == 2
            pauli = pauli >> 2
    return np.array(signs, np.int8).reshape(len(signs), count).T, x


def _errors(
    rng: np.random.Generator, gates: int, count: int, probability: float, paulis: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each gate the trajectories in which it errs, each with the same probability, and a Pauli from 1 to `paulis`."""
    cells, places = gates * count, np.zeros(0, np.int64)
    if probability > 0 and cells:
        # The gaps between errors are geometric: as many draws as there are errors, not as there are gates.
        last, parts = -1, []
        while last < cells:
            expected = (cells - last) * probability
            gaps = rng.geometric(probability, int(expected + 6 * math.sqrt(expected) + 10))
            parts.append(last + np.cumsum(gaps))
            last = int(parts[-1][-1])
        places = np.concatenate(parts)
        places = places[places < cells]
    kinds = rng.integers(1, paulis + 1, len(places))
    cuts = np.searchsorted(places, np.arange(gates + 1) * count)
    return [
        (places[start:stop] - gate * count, kinds[start:stop])
        for gate, (start, stop) in enumerate(itertools.pairwise(cuts))
    ]
