"""Bound circuits, as a QPU runs them: one row's angles filled in, without gates that the measured qubits cannot see.

In: a `Circuit`, its angles, the measured qubits.
Out: a `BoundCircuit`, also as IonQ's gates (QIS or native) or a Qiskit circuit, or folded for zero-noise extrapolation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from hilbertune.circuit.lowering import lowered, require_real
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError, require

GateSet = Literal["qis", "native"]
"""QIS gates, which IonQ's cloud compiles, or native ones (gpi, gpi2, zz), which it runs as they are."""

_TINY = 1e-12
"""Angle in radians below which a rotation is dropped."""


class Gate(NamedTuple):
    """An RY by `angle` radians, or a CNOT if there is a control."""

    target: int
    control: int | None = None
    angle: float = 0.0


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
        two = sum(gate.control is not None for gate in self.gates)
        return len(self.gates) - two, two

    def qis(self) -> list[dict[str, Any]]:
        """Return the gates as IonQ's API takes them, rotations in radians."""
        return [
            {"gate": "ry", "target": g.target, "rotation": g.angle}
            if g.control is None
            else {"gate": "cnot", "control": g.control, "target": g.target}
            for g in self.gates
        ]

    def native(self) -> list[dict[str, Any]]:
        """Return the gates of a Forte: gpi and gpi2 by a phase, zz by an angle, both in turns.

        A CNOT is H CZ H, CZ a ZZ(π/2) and two S†, and H an RY(π/2) after a Z. Rotations about Z are never run: they
        turn the phases of what follows.
        """
        frame = [0.0] * self.qubits  # rotation about Z in radians that is still owed
        waiting = [0.0] * self.qubits  # RY that is still owed, after the frame
        gates: list[dict[str, Any]] = []

        def ry(qubit: int, angle: float) -> None:
            waiting[qubit] += angle

        def z(qubit: int) -> None:
            # Z · RY(a) = RY(-a) · Z
            waiting[qubit] *= -1
            frame[qubit] += math.pi

        def emit(qubit: int) -> None:
            angle = math.remainder(waiting[qubit], 2 * math.pi)
            waiting[qubit] = 0.0
            axis = math.pi / 2 - frame[qubit]
            if abs(angle) < _TINY:
                return
            if abs(abs(angle) - math.pi) < _TINY:
                gates.append({"gate": "gpi", "target": qubit, "phase": _turns(axis)})
            elif abs(abs(angle) - math.pi / 2) < _TINY:
                half = axis if angle > 0 else axis + math.pi
                gates.append({"gate": "gpi2", "target": qubit, "phase": _turns(half)})
            else:
                # RY(a) = RX(-π/2) RZ(a) RX(π/2); the RZ in the middle joins the frame.
                gates.append({"gate": "gpi2", "target": qubit, "phase": _turns(-frame[qubit])})
                frame[qubit] += angle
                last = math.pi - frame[qubit]
                gates.append({"gate": "gpi2", "target": qubit, "phase": _turns(last)})

        for gate in self.gates:
            if gate.control is None:
                ry(gate.target, gate.angle)
                continue
            z(gate.target)
            ry(gate.target, math.pi / 2)
            for qubit in (gate.control, gate.target):
                emit(qubit)
            pair = [gate.control, gate.target]
            gates.append({"gate": "zz", "targets": pair, "angle": 0.25})
            for qubit in pair:
                frame[qubit] -= math.pi / 2
            z(gate.target)
            ry(gate.target, math.pi / 2)
        for qubit in range(self.qubits):
            emit(qubit)
        return gates

    def to_qiskit(self) -> Any:
        """Return a `qiskit.QuantumCircuit` that measures the i-th measured qubit into bit i (extra `qiskit`)."""
        made = require("qiskit", "qiskit").QuantumCircuit(self.qubits, len(self.measured))
        for gate in self.gates:
            if gate.control is None:
                made.ry(gate.angle, gate.target)
            else:
                made.cx(gate.control, gate.target)
        made.measure(list(self.measured), range(len(self.measured)))
        return made

    def folded(self, scale: int) -> "BoundCircuit":
        """Return the same circuit with each CNOT `scale` times: more noise and the same ideal answer.

        Raises:
            HilbertuneError: an even or negative scale, which would change the answer.
        """
        if scale < 1 or scale % 2 == 0:
            raise HilbertuneError(f"A noise scale must be an odd number such as 1, 3 or 5, not {scale}.")
        gates = [copy for g in self.gates for copy in [g] * (scale if g.control is not None else 1)]
        return replace(self, gates=tuple(gates))


def _turns(angle: float) -> float:
    """Return an angle in radians as a phase in turns, from 0 up to 1."""
    return (angle / (2 * math.pi)) % 1.0


def bind(
    circuit: Circuit,
    weights: Sequence[float],
    inputs: Sequence[float],
    measured: Sequence[int],
    *,
    reduce: bool = True,
) -> BoundCircuit:
    """Bind a circuit's angles and drop the gates that do not matter to the measured qubits.

    Gates outside the light cone of the measured qubits are dropped, rotations that meet are merged, CNOTs that meet
    cancel, CNOTs whose control is still |0> do nothing, and qubits on which no gate is left are not part of the result.

    Args:
        circuit: starts from |0> on every qubit.
        weights: [parameters] in radians.
        inputs: [inputs] in radians.
        measured: qubits, in the order of the answer.
        reduce: False keeps every gate.

    Raises:
        HilbertuneError: fewer weights or inputs are given than the circuit reads.
    """
    if not circuit.plain:
        circuit, weights, inputs, measured = _in_ry_and_cnot(circuit, weights, inputs, measured)
    gates = [
        Gate(o.target, o.control) if o.kind == "cx" else Gate(o.target, None, float(circuit.angle(o, weights, inputs)))
        for o in circuit.operations
    ]
    if not reduce:
        return BoundCircuit(circuit.qubits, tuple(gates), tuple(measured))
    gates = _merged(_cone(_woken(gates), measured))
    used = sorted({q for g in gates for q in (g.target, g.control) if q is not None} | {*measured})
    places = {qubit: place for place, qubit in enumerate(used)}
    moved = [
        g._replace(target=places[g.target], control=None if g.control is None else places[g.control]) for g in gates
    ]
    return BoundCircuit(len(used), tuple(moved), tuple(places[q] for q in measured))


def _in_ry_and_cnot(
    circuit: Circuit, weights: Sequence[float], inputs: Sequence[float], measured: Sequence[int]
) -> tuple[Circuit, list[float], list[float], list[int]]:
    """Return the circuit, its angles and its measured qubits with every gate written as RY and CNOT."""
    plain = lowered(circuit)
    require_real(circuit)
    wires = [plain.wires[qubit] for qubit in measured]
    return plain, plain.weight_angles.of(weights), plain.input_angles.of(inputs), wires


def _woken(gates: Sequence[Gate]) -> list[Gate]:
    """Return the gates without CNOTs whose control no gate has touched."""
    awake: set[int] = set()
    kept = []
    for gate in gates:
        if gate.control is not None and gate.control not in awake:
            continue
        awake.add(gate.target)
        kept.append(gate)
    return kept


def _cone(gates: Sequence[Gate], measured: Sequence[int]) -> list[Gate]:
    """Return the gates that the measured qubits depend on."""
    cone, kept = set(measured), []
    for gate in reversed(gates):
        if gate.control is None:
            if gate.target in cone:
                kept.append(gate)
        elif {gate.control, gate.target} & cone:
            cone |= {gate.control, gate.target}
            kept.append(gate)
    return kept[::-1]


def _merged(gates: Sequence[Gate]) -> list[Gate]:
    """Merge rotations that meet and drop CNOTs that meet, until nothing changes."""
    kept: list[Gate | None] = []
    last: dict[int, list[int]] = {}  # by qubit, the places in `kept` of the gates on it
    for gate in gates:
        own = [q for q in (gate.control, gate.target) if q is not None]
        tops = {last[q][-1] if last.get(q) else -1 for q in own}
        top = tops.pop() if len(tops) == 1 else -1
        before = kept[top] if top >= 0 else None
        if gate.control is None and before is not None and before.control is None:
            kept[top] = gate._replace(angle=before.angle + gate.angle)
            continue
        if gate.control is not None and before == gate:
            kept[top] = None
            for q in own:
                last[q].pop()
            continue
        kept.append(gate)
        for q in own:
            last.setdefault(q, []).append(len(kept) - 1)
    left = [g for g in kept if g and (g.control is not None or abs(math.remainder(g.angle, 2 * math.pi)) > _TINY)]
    # A rotation by 0 may have stood between gates that meet now.
    return left if len(left) == len(gates) else _merged(left)
