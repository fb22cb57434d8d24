"""Random circuits of every kind of gate, and the independent simulators that judge them.

In: a seed.
Out: a circuit with weights, inputs, fixed and linear angles; PennyLane's answers to it.
"""

from typing import Any

import numpy as np
import pennylane as qml

from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.circuit.table import Circuit

WEIGHTS, INPUTS = 4, 3


def random_circuit(rng: np.random.Generator, qubits: int, gates: int, kinds: list[str] | None = None) -> Circuit:
    """Draw gates of all kinds that fit, then one rotation by the last weight and one by the last input."""
    names = [name for name in (kinds or list(KINDS)) if KINDS[name].qubits <= qubits]
    operations = [random_operation(rng, str(rng.choice(names)), qubits) for _ in range(gates)]
    ends = [Operation("rx", 0, weight=WEIGHTS - 1), Operation("ry", 0, input=INPUTS - 1)]
    return Circuit(qubits, (*operations, *ends))


def random_operation(rng: np.random.Generator, kind: str, qubits: int) -> Operation:
    """Draw a gate's qubits and its angle."""
    own = rng.permutation(qubits)[: KINDS[kind].qubits].tolist()
    angle: dict[str, Any] = {}
    if KINDS[kind].angle:
        scale, offset = float(rng.choice([1.0, 2.0, -0.5])), rng.choice([None, 0.3])
        angle = [
            {"offset": float(rng.normal())},
            {"weight": int(rng.integers(WEIGHTS)), "scale": scale, "offset": offset},
            {"input": int(rng.integers(INPUTS)), "scale": scale, "offset": offset},
        ][rng.integers(3)]
    control, other = own[0] if len(own) > 1 else None, own[1] if len(own) > 2 else None
    return Operation(kind, own[-1], control, other=other, **angle)


def random_words(rng: np.random.Generator, qubits: int, count: int) -> list[str]:
    """Draw different Pauli words."""
    words = set()
    while len(words) < min(count, 3 * qubits):
        own = sorted(rng.permutation(qubits)[: rng.integers(1, qubits + 1)].tolist())
        words.add(" ".join(f"{rng.choice(list('XYZ'))}{q}" for q in own))
    return sorted(words)


def judged(circuit: Circuit, weights: np.ndarray, inputs: np.ndarray, words: list[str] | None = None) -> np.ndarray:
    """Return PennyLane's expectations of words (default: Z of each qubit) for one row; its gates are named here.

    Nothing but the table of gates and their angles is taken from the circuit.
    """
    paulis = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}
    words = [f"Z{q}" for q in range(circuit.qubits)] if words is None else words

    @qml.qnode(qml.device("default.qubit", wires=circuit.qubits))
    def node() -> list[Any]:
        for operation in circuit.operations:
            apply(operation, weights, inputs)
        return [qml.expval(qml.prod(*(paulis[f[0]](int(f[1:])) for f in word.split()))) for word in words]

    return np.array(node())


GATES: dict[str, Any] = {
    "ry": qml.RY,
    "rx": qml.RX,
    "rz": qml.RZ,
    "p": qml.PhaseShift,
    "cx": qml.CNOT,
    "cy": qml.CY,
    "cz": qml.CZ,
    "ch": qml.CH,
    "cry": qml.CRY,
    "crx": qml.CRX,
    "crz": qml.CRZ,
    "cp": qml.ControlledPhaseShift,
    "rxx": qml.IsingXX,
    "ryy": qml.IsingYY,
    "rzz": qml.IsingZZ,
    "swap": qml.SWAP,
    "iswap": qml.ISWAP,
    "ccx": qml.Toffoli,
    "ccz": qml.CCZ,
    "cswap": qml.CSWAP,
    "id": qml.Identity,
    "x": qml.PauliX,
    "y": qml.PauliY,
    "z": qml.PauliZ,
    "h": qml.Hadamard,
    "s": qml.S,
    "sdg": qml.adjoint(qml.S),
    "t": qml.T,
    "tdg": qml.adjoint(qml.T),
    "sx": qml.SX,
}


def apply(operation: Operation, weights: np.ndarray, inputs: np.ndarray) -> None:
    """Queue a gate in PennyLane, its angle computed here."""
    angle = []
    if operation.weight is not None or operation.input is not None:
        value = weights[operation.weight] if operation.input is None else inputs[operation.input]
        angle = [operation.scale * value + (operation.offset or 0.0)]
    elif operation.offset is not None:
        angle = [operation.offset]
    GATES[operation.kind](*angle, wires=list(operation.qubits))
