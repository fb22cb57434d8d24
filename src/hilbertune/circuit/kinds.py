"""The kinds of gates, a record each, and the operations of a circuit, which are gates on qubits.

In: nothing.
Out: `KINDS` by the name that an `Operation` carries; whatever draws, counts, runs or exports a gate
    reads its record. docs/explanation/add-a-gate.md says how to add one.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple


class Part(NamedTuple):
    """A gate that is part of another one, whose angle is `scale` times the other's plus `offset`.

    `places` index the other's qubits in the order in which they are written, controls first.
    """

    kind: str
    places: tuple[int, ...]
    scale: float = 0.0
    offset: float = 0.0


@dataclass(frozen=True)
class Kind:
    """A kind of gate.

    Attributes:
        qubits: 1 (target), 2 (control and target) or 3 (control, other and target).
        angle: the gate turns by an angle.
        symbols: how target, control and other are drawn; an angle is written after the first.
        qasm: name in OpenQASM 3's stdgates, or of a gate that the export defines; control first.
        qiskit: method of a `qiskit.QuantumCircuit`, control first.
        pennylane: class of PennyLane, control first; a dagger at its end stands for the adjoint.
        parts: what it is made of, in order, up to a global phase; empty for those that lowering knows by itself.
        definition: its body in OpenQASM 3 where stdgates lack it; `a` is its angle, `q0`, `q1` its qubits.
    """

    qubits: int
    angle: bool
    symbols: tuple[str, ...]
    qasm: str
    qiskit: str
    pennylane: str
    parts: tuple[Part, ...] = ()
    definition: str = ""


_PI = math.pi


def _turn(angle: float) -> tuple[Part, ...]:
    """Return the parts of a rotation about Z by a fixed angle."""
    return (Part("rz", (0,), 0.0, angle),)


def _about(kind: str, before: tuple[Part, ...], after: tuple[Part, ...], places: tuple[int, ...]) -> tuple[Part, ...]:
    """Return the parts of a rotation by the gate's angle in another basis."""
    return (*before, Part(kind, places, 1.0), *after)


def _tilt(place: int, angle: float) -> Part:
    """Return a fixed RY, which changes the basis."""
    return Part("ry", (place,), 0.0, angle)


_CCZ = (
    *(Part("rz", (place,), 0.0, _PI / 4) for place in range(3)),
    *(Part("rzz", pair, 0.0, -_PI / 4) for pair in ((0, 1), (1, 2), (0, 2))),
    Part("cx", (0, 1)),
    Part("rzz", (1, 2), 0.0, _PI / 4),
    Part("cx", (0, 1)),
)
_CCX = (Part("h", (2,)), *_CCZ, Part("h", (2,)))

KINDS: dict[str, Kind] = {
    "ry": Kind(1, True, ("RY", ""), "ry", "ry", "RY"),
    "cx": Kind(2, False, ("⊕", "●"), "cx", "cx", "CNOT"),
    "z": Kind(1, False, ("Z", ""), "z", "z", "PauliZ"),
    "swap": Kind(2, False, ("×", "×"), "swap", "swap", "SWAP"),
    "rz": Kind(1, True, ("RZ", ""), "rz", "rz", "RZ"),
    "rzz": Kind(2, True, ("ZZ", "ZZ"), "rzz", "rzz", "IsingZZ", definition="cx q0, q1; rz(a) q1; cx q0, q1;"),
    "id": Kind(1, False, ("I", ""), "id", "id", "Identity", (Part("z", (0,)), Part("z", (0,)))),
    "x": Kind(1, False, ("X", ""), "x", "x", "PauliX", (Part("z", (0,)), _tilt(0, _PI))),
    "y": Kind(1, False, ("Y", ""), "y", "y", "PauliY", (_tilt(0, _PI),)),
    "h": Kind(1, False, ("H", ""), "h", "h", "Hadamard", (Part("z", (0,)), _tilt(0, _PI / 2))),
    "s": Kind(1, False, ("S", ""), "s", "s", "S", _turn(_PI / 2)),
    "sdg": Kind(1, False, ("S†", ""), "sdg", "sdg", "S†", _turn(-_PI / 2)),
    "t": Kind(1, False, ("T", ""), "t", "t", "T", _turn(_PI / 4)),
    "tdg": Kind(1, False, ("T†", ""), "tdg", "tdg", "T†", _turn(-_PI / 4)),
    "sx": Kind(1, False, ("√X", ""), "sx", "sx", "SX", (Part("rx", (0,), 0.0, _PI / 2),)),
    "p": Kind(1, True, ("P", ""), "p", "p", "PhaseShift", (Part("rz", (0,), 1.0),)),
    "rx": Kind(1, True, ("RX", ""), "rx", "rx", "RX", _about("rz", (_tilt(0, -_PI / 2),), (_tilt(0, _PI / 2),), (0,))),
    "cz": Kind(2, False, ("Z", "●"), "cz", "cz", "CZ", (_tilt(1, _PI / 2), Part("cx", (0, 1)), _tilt(1, -_PI / 2))),
    "cy": Kind(2, False, ("Y", "●"), "cy", "cy", "CY", (Part("sdg", (1,)), Part("cx", (0, 1)), Part("s", (1,)))),
    "ch": Kind(2, False, ("H", "●"), "ch", "ch", "CH", (_tilt(1, -_PI / 4), Part("cz", (0, 1)), _tilt(1, _PI / 4))),
    "cry": Kind(
        2,
        True,
        ("RY", "●"),
        "cry",
        "cry",
        "CRY",
        (Part("ry", (1,), 0.5), Part("cx", (0, 1)), Part("ry", (1,), -0.5), Part("cx", (0, 1))),
    ),
    "crz": Kind(2, True, ("RZ", "●"), "crz", "crz", "CRZ", (Part("rz", (1,), 0.5), Part("rzz", (0, 1), -0.5))),
    "crx": Kind(
        2, True, ("RX", "●"), "crx", "crx", "CRX", _about("crz", (Part("h", (1,)),), (Part("h", (1,)),), (0, 1))
    ),
    "cp": Kind(
        2,
        True,
        ("P", "●"),
        "cp",
        "cp",
        "ControlledPhaseShift",
        (Part("rz", (0,), 0.5), Part("rz", (1,), 0.5), Part("rzz", (0, 1), -0.5)),
    ),
    "rxx": Kind(
        2,
        True,
        ("XX", "XX"),
        "rxx",
        "rxx",
        "IsingXX",
        _about("rzz", tuple(_tilt(q, -_PI / 2) for q in (0, 1)), tuple(_tilt(q, _PI / 2) for q in (0, 1)), (0, 1)),
        "h q0; h q1; cx q0, q1; rz(a) q1; cx q0, q1; h q0; h q1;",
    ),
    "ryy": Kind(
        2,
        True,
        ("YY", "YY"),
        "ryy",
        "ryy",
        "IsingYY",
        _about(
            "rzz",
            tuple(Part("rx", (q,), 0.0, _PI / 2) for q in (0, 1)),
            tuple(Part("rx", (q,), 0.0, -_PI / 2) for q in (0, 1)),
            (0, 1),
        ),
        "rx(pi/2) q0; rx(pi/2) q1; cx q0, q1; rz(a) q1; cx q0, q1; rx(-pi/2) q0; rx(-pi/2) q1;",
    ),
    "iswap": Kind(
        2,
        False,
        ("iSW", "iSW"),
        "iswap",
        "iswap",
        "ISWAP",
        (Part("s", (0,)), Part("s", (1,)), Part("cz", (0, 1)), Part("swap", (0, 1))),
        "s q0; s q1; cz q0, q1; swap q0, q1;",
    ),
    "ccz": Kind(3, False, ("Z", "●", "●"), "ccz", "ccz", "CCZ", _CCZ, "h q2; ccx q0, q1, q2; h q2;"),
    "ccx": Kind(3, False, ("⊕", "●", "●"), "ccx", "ccx", "Toffoli", _CCX),
    "cswap": Kind(
        3,
        False,
        ("×", "●", "×"),
        "cswap",
        "cswap",
        "CSWAP",
        (Part("cx", (2, 1)), Part("ccx", (0, 1, 2)), Part("cx", (2, 1))),
    ),
}


class Operation(NamedTuple):
    """A gate of one of the KINDS: a rotation such as `ry`, a `cx` (CNOT), ...

    A rotation turns by `scale` times a weight (trained) or an input (data), plus `offset`, in radians; by `offset`
    alone if it names neither. `other` is the second control of a gate on three qubits, or its first target (`cswap`).
    """

    kind: str
    target: int
    control: int | None = None
    weight: int | None = None
    input: int | None = None
    scale: float = 1.0
    offset: float | None = None
    other: int | None = None

    @property
    def qubits(self) -> tuple[int, ...]:
        """The qubits that the gate touches, controls first."""
        return tuple(q for q in (self.control, self.other, self.target) if q is not None)

    @property
    def about(self) -> Kind:
        """The record of the gate's kind."""
        return KINDS[self.kind]

    @property
    def plain(self) -> bool:
        """Whether the engines run it as it is: a CNOT, or an RY by a weight or an input itself."""
        return self.kind == "cx" or (self.kind == "ry" and self.scale == 1.0 and not self.offset and bool(self.name))

    @property
    def name(self) -> str:
        """The weight or input that the angle depends on: `w3` is weight 3, `x0` is input 0; empty without one."""
        if self.weight is not None:
            return f"w{self.weight}"
        return "" if self.input is None else f"x{self.input}"

    @property
    def label(self) -> str:
        """The angle as drawings name it, such as `w3`, `2·x0+0.1` or `0.5`; empty without an angle."""
        if not self.name:
            return "" if self.offset is None else f"{self.offset:.4g}"
        scale = "" if self.scale == 1 else "-" if self.scale == -1 else f"{self.scale:.4g}·"
        return f"{scale}{self.name}" + (f"{self.offset:+.4g}" if self.offset else "")
