"""Bound circuits, as a QPU runs them: one row's angles filled in, without gates that the measured qubits cannot see.

In: a `Circuit`, its angles, the measured qubits.
Out: a `BoundCircuit`, also as IonQ's gates (QIS or native) or a Qiskit circuit, or folded for zero-noise extrapolation.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hilbertune.circuit import native
from hilbertune.circuit.gates import Gate as Gate
from hilbertune.circuit.gates import expanded, gate, reduced, undone
from hilbertune.circuit.kinds import KINDS
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError, require

GateSet = Literal["qis", "native"]
"""QIS gates, which IonQ's cloud compiles, or native ones (gpi, gpi2, zz), which it runs as they are."""

QIS = {
    **{name: name for name in ("x", "y", "z", "h", "s", "t", "rx", "ry", "rz", "swap")},
    **{"cx": "cnot", "sdg": "si", "tdg": "ti", "sx": "v", "rxx": "xx", "ryy": "yy", "rzz": "zz", "id": ""},
}
"""Kinds of gates that IonQ's API takes (ionq-core 0.2, `QisGate`), with their names there."""


@dataclass(frozen=True)
class BoundCircuit:
    """Gates on `qubits` qubits that all start in |0>; qubit `measured[i]` stands for the head's i-th measured qubit."""

    qubits: int
    gates: tuple[Gate, ...]
    measured: tuple[int, ...]

    def counts(self, gateset: GateSet = "qis") -> tuple[int, int]:
        """Return the numbers of one- and two-qubit gates."""
        if gateset == "native":
            two = sum(gate["gate"] == "zz" for gate in self.native())
            return len(self.native()) - two, two
        widths = [len(gate.qubits) for gate in self._in(QIS)]
        return widths.count(1), widths.count(2)

    def _in(self, known: Collection[str]) -> Iterator[Gate]:
        """Return the gates in gates of known kinds; an identity is none."""
        return (part for whole in self.gates for part in expanded(whole, known) if part.name != "id")

    def qis(self) -> list[dict[str, Any]]:
        """Return the gates as IonQ's API takes them, rotations in radians; what it lacks is made of what it has."""
        return [_as_qis(gate) for gate in self._in(QIS)]

    def native(self) -> list[dict[str, Any]]:
        """Return the gates of a Forte: gpi and gpi2 by a phase, zz by an angle, both in turns."""
        return native.compiled(self._in({*native.KNOWN, "id"}), self.qubits)

    def to_qiskit(self) -> Any:
        """Return a `qiskit.QuantumCircuit` that measures the i-th measured qubit into bit i (extra `qiskit`)."""
        made = require("qiskit", "qiskit").QuantumCircuit(self.qubits, len(self.measured))
        for one in self.gates:
            about = KINDS[one.name]
            getattr(made, about.qiskit)(*([one.angle] if about.angle else []), *one.qubits)
        made.measure(list(self.measured), range(len(self.measured)))
        return made

    def folded(self, scale: int) -> "BoundCircuit":
        """Return the same circuit with each gate on several qubits `scale` times, every second one undone.

        There is more noise and the same ideal answer.

        Raises:
            HilbertuneError: an even or negative scale, which would change the answer.
        """
        if scale < 1 or scale % 2 == 0:
            raise HilbertuneError(f"A noise scale must be an odd number such as 1, 3 or 5, not {scale}.")
        gates: list[Gate] = []
        for one in self._in(undone()):
            copies = scale if len(one.qubits) > 1 else 1
            gates += [one.inverse() if number % 2 else one for number in range(copies)]
        return replace(self, gates=tuple(gates))


def _as_qis(gate: Gate) -> dict[str, Any]:
    """Return one of the gates that IonQ's API has."""
    name = QIS[gate.name]
    if name == "cnot":
        return {"gate": name, "control": gate.control, "target": gate.target}
    where = {"target": gate.target} if gate.control is None else {"targets": list(gate.qubits)}
    return {"gate": name, **where, **({"rotation": gate.angle} if KINDS[gate.name].angle else {})}


def bind(
    circuit: Circuit,
    weights: Sequence[float],
    inputs: Sequence[float],
    measured: Sequence[int],
    *,
    reduce: bool = True,
) -> BoundCircuit:
    """Bind a circuit's angles and drop the gates that do not matter to the measured qubits.

    Gates outside the light cone of the measured qubits are dropped, rotations that meet are merged, gates that undo
    each other cancel, gates whose control is still |0> do nothing, swaps rename qubits, and qubits on which no gate is
    left are not part of the result. All other gates stay as they are written.

    Args:
        circuit: starts from |0> on every qubit.
        weights: [parameters] in radians.
        inputs: [inputs] in radians.
        measured: qubits, in the order of the answer.
        reduce: False keeps every gate.

    Raises:
        HilbertuneError: fewer weights or inputs are given than the circuit reads.
    """
    gates = [
        gate(o.kind, o.qubits, float(circuit.angle(o, weights, inputs)) if o.about.angle else 0.0)
        for o in circuit.operations
    ]
    if not reduce:
        return BoundCircuit(circuit.qubits, tuple(gates), tuple(measured))
    gates, read = reduced(gates, measured)
    used = sorted({q for g in gates for q in g.qubits} | {*read})
    places = {qubit: place for place, qubit in enumerate(used)}
    return BoundCircuit(len(used), tuple(g.moved(places) for g in gates), tuple(places[q] for q in read))
