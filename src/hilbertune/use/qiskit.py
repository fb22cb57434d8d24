"""Qiskit's primitives on this engine: an `EstimatorV2` and a `SamplerV2`.

In: Qiskit's pubs: circuits with parameters, values for them, observables.
Out: Qiskit's results. All values of a circuit's parameters run as one batch.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit
from qiskit.primitives import (
    BaseEstimatorV2,
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveJob,
    PrimitiveResult,
    PubResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub

from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation
from hilbertune.engine.states import probabilities
from hilbertune.errors import HilbertuneError


class HilbertuneEstimator(BaseEstimatorV2):  # type: ignore[misc]
    """Exact expectations; a precision above 0 adds normal errors of that standard deviation, as Qiskit's own does.

    Args:
        precision: default of `run`.
        seed: of the errors.
    """

    def __init__(self, *, precision: float = 0.0, seed: int | None = None) -> None:
        self.precision, self._rng = precision, np.random.default_rng(seed)

    def run(self, pubs: Iterable[Any], *, precision: float | None = None) -> Any:
        """Start a job that estimates each pub: (circuit, observables, values of parameters, precision)."""
        precision = self.precision if precision is None else precision
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        return _job(lambda: PrimitiveResult([self._estimate(pub) for pub in coerced], {"version": 2}))

    def _estimate(self, pub: Any) -> Any:
        circuit, values = _read(pub)
        observables: Any = np.broadcast_to(np.asarray(pub.observables), pub.shape)
        rows = np.broadcast_to(np.arange(len(values)).reshape(pub.parameter_values.shape), pub.shape)
        words = {word: None for own in observables.ravel() for word in own}
        names = [_word(word) for word in words]
        with torch.no_grad():
            found = expectation(circuit, torch.zeros(0, dtype=torch.float64), values, observables=names).numpy()
        columns = {word: column for column, word in enumerate(words)}
        estimates = np.empty(pub.shape)
        for index in np.ndindex(*pub.shape):
            terms = observables[index].items()
            estimates[index] = sum(float(np.real(c)) * found[rows[index], columns[word]] for word, c in terms)
        if pub.precision:
            estimates = estimates + self._rng.normal(0.0, pub.precision, estimates.shape)
        data = DataBin(evs=estimates, stds=np.full(pub.shape, float(pub.precision)), shape=pub.shape)
        return PubResult(data, {"target_precision": pub.precision, "circuit_metadata": pub.circuit.metadata})


class HilbertuneSampler(BaseSamplerV2):  # type: ignore[misc]
    """Samples of measured bits.

    Args:
        default_shots: of `run`.
        seed: of the shots.
    """

    def __init__(self, *, default_shots: int = 1024, seed: int | None = None) -> None:
        self.default_shots, self._rng = default_shots, np.random.default_rng(seed)

    def run(self, pubs: Iterable[Any], *, shots: int | None = None) -> Any:
        """Start a job that samples each pub: (circuit with measurements, values of parameters, shots)."""
        shots = self.default_shots if shots is None else shots
        coerced = [SamplerPub.coerce(pub, shots) for pub in pubs]
        if unmeasured := [pub for pub in coerced if not _measured(pub.circuit)]:
            raise HilbertuneError(f"The circuit {unmeasured[0].circuit.name!r} measures nothing: add measurements.")
        return _job(lambda: PrimitiveResult([self._sample(pub) for pub in coerced], {"version": 2}))

    def _sample(self, pub: Any) -> Any:
        circuit, values = _read(pub)
        bits = _measured(pub.circuit)
        qubits = sorted(set(bits.values()))
        with torch.no_grad():
            found = probabilities(circuit, torch.zeros(0, dtype=torch.float64), values, measured=qubits).numpy()
        shares = np.clip(found, 0, None)
        shares /= shares.sum(1, keepdims=True)
        drawn = np.stack([self._rng.choice(shares.shape[1], pub.shots, p=row) for row in shares])
        arrays = {}
        for register in pub.circuit.cregs:
            columns = [
                drawn >> qubits.index(bits[bit]) & 1 if bit in bits else np.zeros_like(drawn) for bit in register
            ]
            table = np.stack(columns, -1).astype(bool).reshape(*pub.shape, pub.shots, len(register))
            arrays[register.name] = BitArray.from_bool_array(table, "little")
        data = DataBin(**arrays, shape=pub.shape)
        return SamplerPubResult(data, {"shots": pub.shots, "circuit_metadata": pub.circuit.metadata})


def _read(pub: Any) -> tuple[Circuit, torch.Tensor]:
    """Return a pub's circuit, whose inputs are its parameters, and their values [rows, parameters]."""
    names = list(pub.circuit.parameters)
    numbered = pub.circuit.assign_parameters(dict(zip(names, ParameterVector("x", len(names)), strict=True)))
    values = pub.parameter_values.as_array(names).reshape(math.prod(pub.parameter_values.shape), len(names))
    circuit = Circuit.from_qiskit(numbered)
    return circuit, torch.from_numpy(np.array(values[:, : circuit.inputs], dtype=np.float64))


def _word(word: str) -> str:
    """Return a Pauli string of Qiskit's, whose last letter is that of qubit 0, as our word."""
    wrong = set(word) - set("IXYZ")
    if wrong:
        raise HilbertuneError(f"Observables are made of I, X, Y and Z, not {', '.join(sorted(wrong))}.")
    return " ".join(f"{letter}{qubit}" for qubit, letter in enumerate(reversed(word)) if letter != "I")


def _measured(circuit: QuantumCircuit) -> dict[Any, int]:
    """Return for each measured classical bit its qubit."""
    return {
        instruction.clbits[0]: circuit.find_bit(instruction.qubits[0]).index
        for instruction in circuit.data
        if instruction.operation.name == "measure"
    }


def _job(work: Any) -> Any:
    job = PrimitiveJob(work)
    job._submit()  # as Qiskit's own primitives start their jobs
    return job
