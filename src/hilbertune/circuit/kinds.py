"""The kinds of gates, a record each, and the operations of a circuit, which are gates on qubits.

In: nothing.
Out: `KINDS` by the name that an `Operation` carries; whatever draws, counts or exports a gate
    reads its record. docs/explanation/add-a-gate.md says how to add one.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["target", "control"]


class Part(NamedTuple):
    """An RY or CNOT that is part of another gate, on the qubits that have these roles in it; an RY takes its angle."""

    kind: Literal["ry", "cx"]
    target: Role
    control: Role | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of gate.

    Attributes:
        qubits: 1 (target) or 2 (control and target).
        angle: the gate turns by an angle, which is a weight or an input.
        symbols: how target and control are drawn; an angle is written after the former.
        qasm: name in OpenQASM 3's stdgates, control first.
        qiskit: method of a `qiskit.QuantumCircuit`, control first.
        pennylane: class of PennyLane, control first.
        parts: the RY and CNOT that it is made of, in order; empty for those that the engines know, RY and CNOT.
    """

    qubits: int
    angle: bool
    symbols: tuple[str, str]
    qasm: str
    qiskit: str
    pennylane: str
    parts: tuple[Part, ...] = ()


KINDS: dict[str, Kind] = {
    "ry": Kind(qubits=1, angle=True, symbols=("RY", ""), qasm="ry", qiskit="ry", pennylane="RY"),
    "cx": Kind(qubits=2, angle=False, symbols=("⊕", "●"), qasm="cx", qiskit="cx", pennylane="CNOT"),
}


class Operation(NamedTuple):
    """A gate of one of the KINDS: a rotation `ry` whose angle is a weight or an input, a `cx` (CNOT), ..."""

    kind: str
    target: int
    control: int | None = None
    weight: int | None = None
    input: int | None = None

    @property
    def qubits(self) -> tuple[int, ...]:
        """The qubits that the gate touches, control first."""
        return (self.target,) if self.control is None else (self.control, self.target)

    @property
    def about(self) -> Kind:
        """The record of the gate's kind."""
        return KINDS[self.kind]

    @property
    def label(self) -> str:
        """The angle as drawings and exports name it: `w3` is weight 3, `x0` is input 0; empty without an angle."""
        if self.weight is not None:
            return f"w{self.weight}"
        return "" if self.input is None else f"x{self.input}"
