"""IonQ's native gates: gpi and gpi2 on one qubit, zz on two, as a Forte runs them.

In: gates with numbers for angles.
Out: the same circuit up to global phases, in phases and angles of turns. Rotations about Z are never run: they turn the
phases of what follows.
"""

import math
from collections.abc import Iterable
from typing import Any

from hilbertune.circuit.gates import Gate

KNOWN = {"ry", "rz", "z", "rzz", "cx"}
"""Kinds of gates that are compiled; others are to be made of these before."""

_TINY = 1e-12
"""Angle in radians below which a rotation is dropped."""


def compiled(gates: Iterable[Gate], qubits: int) -> list[dict[str, Any]]:
    """Return gates of KNOWN kinds in native ones, as IonQ's API takes them."""
    made = _Compiler(qubits)
    for one in gates:
        getattr(made, one.name)(*one.qubits, *([one.angle] if one.name in ("ry", "rz", "rzz") else []))
    for qubit in range(qubits):
        made.emit(qubit)
    return made.gates


class _Compiler:
    """The native gates so far, and by qubit what is still owed: a rotation about Z and after it an RY, in radians."""

    def __init__(self, qubits: int) -> None:
        self.frame, self.waiting = [0.0] * qubits, [0.0] * qubits
        self.gates: list[dict[str, Any]] = []

    def ry(self, qubit: int, angle: float) -> None:
        self.waiting[qubit] += angle

    def z(self, qubit: int) -> None:
        # Z · RY(a) = RY(-a) · Z
        self.waiting[qubit] *= -1
        self.frame[qubit] += math.pi

    def rz(self, qubit: int, angle: float) -> None:
        self.emit(qubit)
        self.frame[qubit] += angle

    def cx(self, control: int, target: int) -> None:
        """Run H CZ H, where CZ is a ZZ(π/2) and two S†, and H an RY(π/2) after a Z."""
        self.z(target)
        self.ry(target, math.pi / 2)
        self.rzz(control, target, math.pi / 2)
        for qubit in (control, target):
            self.frame[qubit] -= math.pi / 2
        self.z(target)
        self.ry(target, math.pi / 2)

    def rzz(self, first: int, second: int, angle: float) -> None:
        """Run a ZZ whose angle lies between 0 and π/2, where every device has it."""
        pair = first, second
        angle = math.remainder(angle, 2 * math.pi)
        if abs(angle) > math.pi / 2:
            # ZZ(π) is a Z on each qubit.
            angle = math.remainder(angle - math.pi, 2 * math.pi)
            for qubit in pair:
                self.z(qubit)
        if abs(angle) < _TINY:
            return
        # RY(-π) · ZZ(-a) · RY(π) = ZZ(a)
        turn = math.pi if angle < 0 else 0.0
        self.ry(second, turn)
        for qubit in pair:
            self.emit(qubit)
        self.gates.append({"gate": "zz", "targets": list(pair), "angle": _turns(abs(angle))})
        self.ry(second, -turn)

    def emit(self, qubit: int) -> None:
        """Run the RY that is owed; the rotation about Z before it stays owed."""
        angle = math.remainder(self.waiting[qubit], 2 * math.pi)
        self.waiting[qubit] = 0.0
        axis = math.pi / 2 - self.frame[qubit]
        if abs(angle) < _TINY:
            return
        if abs(abs(angle) - math.pi) < _TINY:
            self._run("gpi", qubit, axis)
        elif abs(abs(angle) - math.pi / 2) < _TINY:
            self._run("gpi2", qubit, axis if angle > 0 else axis + math.pi)
        else:
            # RY(a) = RX(-π/2) RZ(a) RX(π/2); the RZ in the middle joins the frame.
            self._run("gpi2", qubit, -self.frame[qubit])
            self.frame[qubit] += angle
            self._run("gpi2", qubit, math.pi - self.frame[qubit])

    def _run(self, name: str, qubit: int, phase: float) -> None:
        self.gates.append({"gate": name, "target": qubit, "phase": _turns(phase)})


def _turns(angle: float) -> float:
    """Return an angle in radians as a phase in turns, from 0 up to 1."""
    return (angle / (2 * math.pi)) % 1.0
