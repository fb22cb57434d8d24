"""Any circuit as one of RY and CNOT, which is what the engines run: real numbers throughout.

In: a `Circuit` of any of the KINDS.
Out: a `Lowered` circuit, and its angles from those of the circuit as written.

A state of n qubits with complex amplitudes a + ib is a real state of n + 1 qubits: the last one, r, is |0> beside a and
|1> beside b. To multiply an amplitude by exp(iφ) is then RY(2φ) on r, so that RZ(θ) on q is CNOT(q, r), RY(-θ) on r,
CNOT(q, r), and a rotation about Z on several qubits has a CNOT from each of them. Z gates are no gates at all: they
travel to the end, where no measurement sees them, turn the sign of each RY they meet, and spread through CNOTs from the
target to the control. SWAPs rename wires. Global phases are dropped.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.circuit.table import Circuit


class Angles(NamedTuple):
    """Angles that follow from weights or inputs: `scales` times those at `sources`, plus `offsets`.

    A source of -1 is none, for an angle that is fixed.
    """

    sources: tuple[int, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]

    def of(self, values: Sequence[float]) -> list[float]:
        """Return the angles for numbers."""
        return [
            (scale * float(values[source]) if source >= 0 else 0.0) + offset
            for source, scale, offset in zip(*self, strict=True)
        ]


@dataclass(frozen=True)
class Lowered(Circuit):
    """A circuit of RY and CNOT that measures as another one does.

    Attributes:
        weight_angles: this circuit's weights from those of the circuit as written; fixed angles are among them.
        input_angles: likewise its inputs.
        wires: by qubit of the circuit as written, the qubit that holds it at the end.
        negated: qubits whose |1> has the wrong sign at the end, which only the state itself shows.
        steps: the gates, None where a written gate needs none, each with the qubits of the written gate that it
            completes, in whose place an error strikes.
    """

    weight_angles: Angles = field(kw_only=True)
    input_angles: Angles = field(kw_only=True)
    wires: tuple[int, ...] = field(kw_only=True)
    negated: tuple[int, ...] = field(kw_only=True)
    steps: tuple[tuple[Operation | None, tuple[int, ...] | None], ...] = field(kw_only=True, compare=False)


class _Writer:
    """The lowered gates so far, the Z gates that are still on their way, and where each qubit is."""

    def __init__(self, qubits: int) -> None:
        self.phase = qubits
        self.wires = list(range(qubits))
        self.signs = [False] * (qubits + 1)
        self.gates: list[Operation] = []
        self.angles: tuple[dict[tuple[int, float, float], int], ...] = ({}, {})

    def ry(self, wire: int, written: Operation, scale: float, offset: float) -> None:
        """Turn a wire by `scale` times the written gate's weight or input, plus `offset`."""
        sign = -1.0 if self.signs[wire] else 1.0
        slot = (written.weight if written.input is None else written.input) if scale else None
        reads_input = slot is not None and written.input is not None
        key = (-1, 0.0, sign * offset) if slot is None else (slot, sign * scale, sign * offset)
        known = self.angles[reads_input]
        number = known.setdefault(key, len(known))
        self.gates.append(Operation("ry", wire, **{"input" if reads_input else "weight": number}))

    def cx(self, control: int, target: int) -> None:
        self.signs[control] ^= self.signs[target]
        self.gates.append(Operation("cx", target, control))

    def gate(self, kind: str, qubits: Sequence[int], written: Operation, scale: float, offset: float) -> None:
        """Write a gate whose angle is `scale` times the written gate's weight or input, plus `offset`."""
        wires = [self.wires[q] for q in qubits]
        if kind == "ry":
            self.ry(wires[0], written, scale, offset)
        elif kind == "cx":
            self.cx(*wires)
        elif kind == "z":
            self.signs[wires[0]] ^= True
        elif kind == "swap":
            for qubit, wire in zip(qubits, reversed(wires), strict=True):
                self.wires[qubit] = wire
        elif kind in ("rz", "rzz"):
            for wire in wires:
                self.cx(wire, self.phase)
            self.ry(self.phase, written, -scale, -offset)
            for wire in reversed(wires):
                self.cx(wire, self.phase)
        else:
            for part in KINDS[kind].parts:
                on = [qubits[place] for place in part.places]
                self.gate(part.kind, on, written, part.scale * scale, part.scale * offset + part.offset)


@functools.lru_cache(maxsize=256)
def lowered(circuit: Circuit, after: tuple[Operation, ...] = (), complex_start: bool = False) -> Lowered:
    """Return the circuit, and the gates `after` it (a change of the basis in which it is measured), in RY and CNOT.

    A qubit is added only if a gate makes amplitudes complex, or they are from the start. Gates `after` it have no
    errors.
    """
    writer = _Writer(circuit.qubits)
    steps: list[tuple[Operation | None, tuple[int, ...] | None]] = []
    for number, operation in enumerate((*circuit.operations, *after)):
        first = len(writer.gates)
        writer.gate(operation.kind, operation.qubits, operation, operation.scale, operation.offset or 0.0)
        struck = tuple(writer.wires[q] for q in operation.qubits) if number < len(circuit.operations) else None
        own = writer.gates[first:]
        steps += [(gate, None) for gate in own[:-1]]
        steps.append((own[-1] if own else None, struck))
    used = complex_start or any(writer.phase in gate.qubits for gate in writer.gates)
    weights, inputs = (
        Angles(*(tuple(column) for column in zip(*known, strict=True))) if known else Angles((), (), ())
        for known in writer.angles
    )
    return Lowered(
        circuit.qubits + used,
        tuple(writer.gates),
        weight_angles=weights,
        input_angles=inputs,
        wires=tuple(writer.wires),
        negated=tuple(wire for wire, sign in enumerate(writer.signs) if sign),
        steps=tuple(steps),
    )
