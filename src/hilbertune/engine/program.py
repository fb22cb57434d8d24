"""A circuit made ready to run: rotations merged, gates ordered and cut into passes over small windows of qubits.

In: a `Circuit`, the size of a window, the number of loaded amplitudes. Out: a `Program`, tables for fast engines.
Nothing here depends on angles: a program is made once for a circuit and kept.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from hilbertune.circuit.table import Circuit

RY, CX, CX_RY = 0, 1, 2
"""Kinds of gates; CX_RY is the block U of the ansatz, a CNOT and then RY on its target, as one gate."""


class Program(NamedTuple):
    """Gates in passes. A pass acts on blocks of 2^window amplitudes, those that differ in its window's qubits only.

    gates: (what, target, control, angle, size): target and control are places in the pass's window (0 is its lowest
        qubit), and rows of a block at and above `size` are zero, before and after the gate.
    passes: (first gate, stop gate, window, others), the latter two as bit masks of rows: `others` are the qubits
        outside the window whose bits vary; all further qubits are still |0>.
    uses: (angle, slot): an angle is the sum of the slots it uses. Slots are the circuit's weights and then its inputs.
    angles: how many angles there are.
    lanes: how many qubits, the lowest, lie in the lanes of a row and not in its number; every window holds them.
    """

    gates: Int[np.ndarray, "gates 5"]
    passes: Int[np.ndarray, "passes 4"]
    uses: Int[np.ndarray, "uses 2"]
    angles: int
    lanes: int


class _Gate(NamedTuple):
    what: int
    target: int
    control: int
    angle: int

    @property
    def qubits(self) -> frozenset[int]:
        return frozenset((self.target,) if self.what == RY else (self.target, self.control))


@functools.lru_cache(maxsize=1024)
def program(circuit: Circuit, window: int, amplitudes: int = 0, lowest: int = 0, lanes: int = 0) -> Program:
    """Cut a circuit into passes of at most `window` qubits (2 or more), after a start with that many amplitudes.

    0 amplitudes stand for |0...0>. Every window holds the `lowest` qubits, so that a block is made of pieces of
    2^lowest amplitudes that lie side by side, and the `lanes` qubits that lie in the lanes of a row. A window that has
    room for all qubits holds them all: one pass.
    """
    gates, uses = _merged(circuit)
    active = max(0, amplitudes - 1).bit_length()
    ordered = _grown(gates, circuit.qubits, active)
    rows: list[tuple[int, ...]] = []
    passes: list[tuple[int, ...]] = []
    whole = window >= circuit.qubits
    always = frozenset(range(circuit.qubits if whole else max(lanes, min(lowest, window - 2))))
    for taken in _windows(ordered, window, always):
        inside = sorted(always.union(*(gate.qubits for gate in taken)))
        others = [qubit for qubit in range(active) if qubit not in inside]
        first = len(rows)
        for gate in taken:
            active = max(active, 1 + max(gate.qubits))
            size = 1 << sum(lanes <= qubit < active for qubit in inside)
            target, control = inside.index(gate.target), 0
            if gate.what != RY:
                control = inside.index(gate.control)
            rows.append((gate.what, target, control, gate.angle, size))
        passes.append((first, len(rows), _mask(inside) >> lanes, _mask(others) >> lanes))
    angles = 1 + max((angle for angle, _ in uses), default=-1)
    return Program(_table(rows, 5), _table(passes, 4), _table(uses, 2), angles, lanes)


def _merged(circuit: Circuit) -> tuple[list[_Gate], list[tuple[int, int]]]:
    """Join each rotation to the gate before it on its qubit where that gate has the same target.

    RY(a) and then RY(b) are RY(a + b), also if a CNOT onto that qubit comes first: this saves a third of the
    re-uploading head's rotations.
    """
    circuit.require_plain()
    gates: list[_Gate] = []
    uses: list[tuple[int, int]] = []
    last: dict[int, int] = {}
    angles = 0
    unused = 0
    for operation in circuit.operations:
        target = operation.target
        if operation.kind == "cx":
            control = operation.control or 0
            last[target] = last[control] = len(gates)
            gates.append(_Gate(CX, target, control, unused))
            continue
        slot = circuit.slot(operation)
        before = gates[last[target]] if target in last else None
        if before is not None and before.target == target and before.what != CX:
            uses.append((before.angle, slot))
            continue
        if before is not None and before.target == target:
            gates[last[target]] = before._replace(what=CX_RY, angle=angles)
        else:
            last[target] = len(gates)
            gates.append(_Gate(RY, target, 0, angles))
        uses.append((angles, slot))
        angles += 1
    return gates, uses


def _grown(gates: list[_Gate], qubits: int, active: int) -> list[_Gate]:
    """Order the gates to touch qubits at and above `active` as late as possible: until then the state is small."""
    ordered: list[_Gate] = []
    for limit in range(active, qubits + 1):
        waiting: list[_Gate] = []
        blocked: set[int] = set(range(limit, qubits))
        for gate in gates:
            if blocked.isdisjoint(gate.qubits):
                ordered.append(gate)
            else:
                blocked |= gate.qubits
                waiting.append(gate)
        gates = waiting
    return ordered


def _windows(gates: list[_Gate], window: int, always: frozenset[int]) -> list[list[_Gate]]:
    """Cut the gates into passes: each takes, in order, every gate that fits its window and waits for no gate left out.

    Every window holds the qubits `always`.
    """
    passes: list[list[_Gate]] = []
    while gates:
        taken: list[_Gate] = []
        waiting: list[_Gate] = []
        inside = always
        blocked: set[int] = set()
        for gate in gates:
            if blocked.isdisjoint(gate.qubits) and len(inside | gate.qubits) <= window:
                inside |= gate.qubits
                taken.append(gate)
            else:
                blocked |= gate.qubits
                waiting.append(gate)
        passes.append(taken)
        gates = waiting
    return passes


def _mask(qubits: list[int]) -> int:
    return sum(1 << qubit for qubit in qubits)


def _table(rows: Sequence[tuple[int, ...]], columns: int) -> np.ndarray:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)
