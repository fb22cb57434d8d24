"""Gates with numbers for angles, which is what a bound circuit consists of.

In: kinds, qubits, angles in radians.
Out: gates, the same in gates that a vendor knows, their matrices, and circuits without gates that change no answer.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Complex

from hilbertune.circuit.kinds import KINDS

_TINY = 1e-12
"""Angle in radians below which a rotation is dropped."""

_CONTROLS = {
    **dict.fromkeys(("cx", "cy", "ch", "crx", "cry", "crz", "cswap"), 1),
    **dict.fromkeys(("cz", "cp", "ccx"), 2),
    "ccz": 3,
}
"""By kind, how many of its first qubits must be |1> for the gate to do anything."""

_DIAGONAL = {"id", "z", "s", "sdg", "t", "tdg", "p", "rz", "rzz"}
"""Kinds that give |0...0> no more than a phase; controlled ones are among _CONTROLS."""

_SELF_INVERSE = {"id", "x", "y", "z", "h", "cx", "cy", "cz", "ch", "swap", "ccx", "ccz", "cswap"}


class Gate(NamedTuple):
    """A gate by its kind; where that is empty an RY by `angle` radians, or a CNOT if there is a control.

    `other` is the second control of a gate on three qubits, or its first target (`cswap`).
    """

    target: int
    control: int | None = None
    angle: float = 0.0
    kind: str = ""
    other: int | None = None

    @property
    def name(self) -> str:
        """The name of the kind."""
        return self.kind or ("ry" if self.control is None else "cx")

    @property
    def qubits(self) -> tuple[int, ...]:
        """The qubits that the gate touches, controls first."""
        return tuple(q for q in (self.control, self.other, self.target) if q is not None)

    def facts(self) -> list[Any]:
        """Return what hashes are made of: three numbers for RY and CNOT, as ever, and all fields of other gates."""
        return list(self) if self.kind else list(self[:3])

    def moved(self, places: Sequence[int] | dict[int, int]) -> "Gate":
        """Return the gate on other qubits: `places` of its own."""
        control, other = (None if q is None else places[q] for q in (self.control, self.other))
        return Gate(places[self.target], control, self.angle, self.kind, other)

    def inverse(self) -> "Gate":
        """Return the gate that undoes one of the kinds in `undone`."""
        return self._replace(angle=-self.angle)


def gate(kind: str, qubits: Sequence[int], angle: float = 0.0) -> Gate:
    """Return a gate of a kind on qubits, controls first."""
    named = "" if kind in ("ry", "cx") else kind
    control, other = (qubits[0] if len(qubits) > 1 else None), (qubits[1] if len(qubits) > 2 else None)
    return Gate(qubits[-1], control, angle, named, other)


_ENDS: dict[str, tuple[tuple[str, tuple[int, ...], float], ...]] = {
    "z": (("rz", (0,), math.pi),),
    "swap": (("cx", (0, 1), 0.0), ("cx", (1, 0), 0.0), ("cx", (0, 1), 0.0)),
}
"""What those are made of that `KINDS` has as ends, by kind, places and angle."""


def undone() -> set[str]:
    """Return the kinds of gates on several qubits that another angle or they themselves undo, and all on one."""
    return {name for name, kind in KINDS.items() if kind.qubits == 1 or kind.angle or name in _SELF_INVERSE}


def expanded(whole: Gate, known: Collection[str]) -> Iterator[Gate]:
    """Return a gate in gates of known kinds, up to a global phase; RY, RZ, RZZ and CNOT must be among these."""
    if whole.name in known:
        yield whole
        return
    for kind, places, scale, offset in KINDS[whole.name].parts:
        yield from expanded(gate(kind, [whole.qubits[p] for p in places], scale * whole.angle + offset), known)
    for kind, places, angle in _ENDS.get(whole.name, ()):
        yield from expanded(gate(kind, [whole.qubits[p] for p in places], angle), known)


def matrix(whole: Gate) -> Complex[np.ndarray, "size size"]:
    """Return the gate's matrix up to a global phase; its first qubit is the most significant bit."""
    half = whole.angle / 2
    known: dict[str, Any] = {
        "ry": [[math.cos(half), -math.sin(half)], [math.sin(half), math.cos(half)]],
        "rz": np.diag(np.exp([-1j * half, 1j * half])),
        "rzz": np.diag(np.exp(np.array([-1j, 1j, 1j, -1j]) * half)),
        "z": np.diag([1, -1]),
        "cx": np.eye(4)[[0, 1, 3, 2]],
        "swap": np.eye(4)[[0, 2, 1, 3]],
    }
    if whole.name in known:
        return np.array(known[whole.name], dtype=complex)
    width, order = len(whole.qubits), list(whole.qubits)
    state = np.eye(1 << width, dtype=complex).reshape((2,) * width + (-1,))
    for part in expanded(whole, known):
        on = [order.index(q) for q in part.qubits]
        tensor = matrix(part).reshape((2,) * (2 * len(on)))
        state = np.tensordot(tensor, state, (range(len(on), 2 * len(on)), on))
        state = np.moveaxis(state, range(len(on)), on)
    return state.reshape(1 << width, -1)


def reduced(gates: Sequence[Gate], measured: Sequence[int]) -> tuple[list[Gate], list[int]]:
    """Return gates without those that the measured qubits cannot see, and where these are at the end.

    Swaps rename qubits, gates outside the light cone are dropped, rotations that meet are merged, gates that undo each
    other cancel, and gates whose controls are still |0> do nothing.
    """
    renamed, places = _without_swaps(gates)
    measured = [places.get(q, q) for q in measured]
    return _merged(_cone(_woken(renamed), measured)), measured


def _without_swaps(gates: Sequence[Gate]) -> tuple[list[Gate], dict[int, int]]:
    """Return the gates with qubits renamed in place of swaps, and the names that have changed at the end."""
    places: dict[int, int] = {q: q for one in gates for q in one.qubits}
    kept = []
    for one in gates:
        if one.name == "swap":
            first, second = one.qubits
            places[first], places[second] = places[second], places[first]
        else:
            kept.append(one.moved(places))
    return kept, places


def _woken(gates: Sequence[Gate]) -> list[Gate]:
    """Return the gates without those that do nothing, since no gate has touched a qubit that must not be |0>."""
    awake: set[int] = set()
    kept = []
    for one in gates:
        controls = one.qubits[: _CONTROLS.get(one.name, 0)]
        if not awake.issuperset(controls) or (one.name in _DIAGONAL and awake.isdisjoint(one.qubits)):
            continue
        awake.update(one.qubits)
        kept.append(one)
    return kept


def _cone(gates: Sequence[Gate], measured: Sequence[int]) -> list[Gate]:
    """Return the gates that the measured qubits depend on."""
    cone, kept = set(measured), []
    for one in reversed(gates):
        if not cone.isdisjoint(one.qubits):
            cone.update(one.qubits)
            kept.append(one)
    return kept[::-1]


def _merged(gates: Sequence[Gate]) -> list[Gate]:
    """Merge rotations that meet and drop gates that undo each other, until nothing changes."""
    kept: list[Gate | None] = []
    last: dict[int, list[int]] = {}  # by qubit, the places in `kept` of the gates on it
    for one in gates:
        tops = {last[q][-1] if last.get(q) else -1 for q in one.qubits}
        top = tops.pop() if len(tops) == 1 else -1
        before = kept[top] if top >= 0 else None
        same = before is not None and (before.name, before.qubits) == (one.name, one.qubits)
        if same and before is not None and KINDS[one.name].angle:
            kept[top] = one._replace(angle=before.angle + one.angle)
            continue
        if same and one.name in _SELF_INVERSE:
            kept[top] = None
            for q in one.qubits:
                last[q].pop()
            continue
        kept.append(one)
        for q in one.qubits:
            last.setdefault(q, []).append(len(kept) - 1)
    left = [one for one in kept if one is not None and not _is_nothing(one)]
    # A rotation by 0 may have stood between gates that meet now.
    return left if len(left) == len(gates) else _merged(left)


def _is_nothing(one: Gate) -> bool:
    """Return True for an identity, and for a rotation by a multiple of a turn; of two turns if it is controlled."""
    turns = 4 if one.name in ("crx", "cry", "crz") else 2
    return one.name == "id" or (KINDS[one.name].angle and abs(math.remainder(one.angle, turns * math.pi)) <= _TINY)
