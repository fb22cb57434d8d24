"""Circuits of others: from Qiskit, PennyLane and OpenQASM 3, the methods `from_...` of `Circuit`.

In: an object of that package, or a text.
Out: a circuit with the same gates in the same order. Gates that we have not by name are replaced by what their package
says they are made of; one that has no such definition is refused by name.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.circuit.text import read
from hilbertune.errors import HilbertuneError, require

_OWN_NAME = re.compile(r"([wx])\[?(\d+)\]?")
"""Names of parameters that say their place, as our exports write them."""

_SILENT = {"barrier", "delay", "global_phase", "gphase"}
_DEPTH = 20
"""The most times that a gate's definition is followed."""


class Linear(NamedTuple):
    """An angle: a sum of scales times weights ("w", index) and inputs ("x", index), plus a number."""

    terms: Mapping[tuple[str, int], float]
    offset: float


def operations_of(kind: str, qubits: Sequence[int], angle: Linear | None) -> Iterator[Operation]:
    """Return a gate as operations: a sum of several terms is as many rotations about the same axis."""
    others = {"control": qubits[0]} if len(qubits) > 1 else {}
    others |= {"other": qubits[1]} if len(qubits) > 2 else {}
    if angle is None:
        yield Operation(kind, qubits[-1], **others)
        return
    terms = {slot: scale for slot, scale in angle.terms.items() if scale}
    if not terms:
        yield Operation(kind, qubits[-1], **others, offset=angle.offset)
    offset = angle.offset or None
    for (name, index), scale in terms.items():
        slot = {"weight" if name == "w" else "input": index}
        yield Operation(kind, qubits[-1], **others, **slot, scale=scale, offset=offset)
        offset = None


class Imports:
    """The part of a circuit that reads it from others; `Circuit` has the rest."""

    def __init__(self, qubits: int, operations: tuple[Operation, ...]) -> None: ...

    @classmethod
    def from_qiskit(cls, circuit: Any, *, inputs: Sequence[str] | None = None) -> Self:
        """Return the circuit of a `qiskit.QuantumCircuit` (extra `qiskit`); its final measurements are left out.

        Qiskit's bit order is ours. Parameters are numbered in Qiskit's order, those named w0, w1, ... and x0, x1, ...
        by their number.

        Args:
            circuit: of unitary gates; angles are numbers or linear in the parameters.
            inputs: names of the parameters, or of the vectors of parameters, that are data; all others are weights.
                Default: those whose name begins with x.

        Raises:
            HilbertuneError: a gate is not unitary, has no definition, or its angle is not linear.
            MissingExtraError: Qiskit is not installed.
        """
        slots = _slots([p.name for p in circuit.parameters], inputs)
        places = {qubit: place for place, qubit in enumerate(circuit.qubits)}
        return cls(circuit.num_qubits, tuple(_from_qiskit(circuit, places, slots, _DEPTH)))

    @classmethod
    def from_qasm3(cls, text: str, *, inputs: Sequence[str] | None = None) -> Self:
        """Return the circuit of an OpenQASM 3 text, whose `input float` are its parameters.

        What `to_qasm3` has written is read here, all other texts by Qiskit (extra `qiskit`).

        Args:
            text: the program.
            inputs: as for `from_qiskit`.

        Raises:
            HilbertuneError: the text cannot be read, or as for `from_qiskit`.
            MissingExtraError: Qiskit or its reader of OpenQASM 3 is not installed.
        """
        if inputs is None and (own := read(text)) is not None:
            return cls(*own)
        require("qiskit_qasm3_import", "qiskit")
        try:
            circuit = require("qiskit.qasm3", "qiskit").loads(text)
        except Exception as error:  # the parser's own, of several packages
            said = " ".join(str(error).split()) or "it cannot be parsed"
            raise HilbertuneError(f"This is not OpenQASM 3 that Qiskit reads ({said}).") from None
        return cls.from_qiskit(circuit, inputs=inputs)

    @classmethod
    def from_pennylane(
        cls,
        function: Callable[..., Any],
        weights: int | tuple[int, ...] = 0,
        inputs: int | tuple[int, ...] = 0,
        *,
        qubits: int | None = None,
    ) -> Self:
        """Return the circuit of a PennyLane quantum function or QNode (extra `pennylane`).

        The function is run with several values of its arguments, from which follows how each angle depends on them.
        Wires are 0, 1, ...: wire q is qubit q. Measurements are left out.

        Args:
            function: called as `function(weights)`, `function(weights, inputs)`, or `function(inputs)` if there are no
                weights, with arrays of the shapes given.
            weights: shape of the trained angles, 0 for none; they are numbered as `ravel` does.
            inputs: shape of one row of data, 0 for none.
            qubits: number of wires; default as many as the function uses.

        Raises:
            HilbertuneError: a gate has no definition, an angle is not linear, or the gates depend on the values.
            MissingExtraError: PennyLane is not installed.
        """
        shapes = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in (weights, inputs)]
        sizes = [math.prod(shape) for shape in shapes]
        rng = np.random.default_rng(0)

        def gates(values: np.ndarray) -> list[tuple[str, tuple[int, ...], float | None]]:
            parts = np.split(values, [sizes[0]])
            arguments = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True) if part.size]
            return list(_pennylane_gates(function, arguments))

        start = rng.uniform(-1, 1, sum(sizes))
        base = gates(start)
        moved = [gates(start + step) for step in np.eye(len(start))]
        elsewhere = rng.uniform(-1, 1, len(start))
        check = gates(elsewhere)
        if any([g[:2] for g in other] != [g[:2] for g in base] for other in (*moved, check)):
            raise HilbertuneError("The function's gates depend on the values of its arguments: it is not one circuit.")
        slots = [("w", i) for i in range(sizes[0])] + [("x", i) for i in range(sizes[1])]
        operations: list[Operation] = []
        for number, (kind, wires, angle) in enumerate(base):
            linear = None
            if angle is not None:
                slopes = np.array([other[number][2] for other in moved], dtype=float) - angle
                slopes[abs(slopes) < 1e-9] = 0.0
                slopes = np.where(abs(slopes - slopes.round(9)) < 1e-11, slopes.round(9), slopes)
                offset = angle - slopes @ start
                if abs(slopes @ elsewhere + offset - float(check[number][2] or 0.0)) > 1e-9:
                    raise HilbertuneError(f"The angle of gate {number} ({kind}) is not linear in the arguments.")
                linear = Linear(
                    dict(zip(slots, slopes.tolist(), strict=True)), 0.0 if abs(offset) < 1e-11 else float(offset)
                )
            operations += operations_of(kind, wires, linear)
        used = 1 + max((q for o in operations for q in o.qubits), default=0)
        return cls(used if qubits is None else qubits, tuple(operations))


def _slots(names: Sequence[str], inputs: Sequence[str] | None) -> dict[str, tuple[str, int]]:
    """Return for each parameter's name whether it is a weight or an input, and its number."""
    if inputs is not None:
        known = {*names, *(name.split("[")[0] for name in names)}
        if missing := [name for name in inputs if name not in known]:
            raise HilbertuneError(f"The circuit has no parameter {missing[0]!r}: it has {', '.join(names) or 'none'}.")
    slots: dict[str, tuple[str, int]] = {}
    counts = {"w": 0, "x": 0}
    for name in names:
        vector = name.split("[")[0]
        data = name.startswith("x") if inputs is None else name in inputs or vector in inputs
        side = "x" if data else "w"
        slots[name] = (side, counts[side])
        counts[side] += 1
    for side in counts:
        own = {name: _OWN_NAME.fullmatch(name) for name, slot in slots.items() if slot[0] == side}
        if all(found is not None and found[1] == side for found in own.values()):
            slots |= {name: (side, int(found[2])) for name, found in own.items() if found is not None}
    return slots


def _from_qiskit(
    circuit: Any, places: Mapping[Any, int], slots: Mapping[str, tuple[str, int]], depth: int
) -> Iterator[Operation]:
    """Return the gates of a Qiskit circuit, or of a gate's definition."""
    ours = {kind.qiskit: name for name, kind in KINDS.items()}
    measured: set[int] = set()
    for instruction in circuit.data:
        gate, qubits = instruction.operation, [places[qubit] for qubit in instruction.qubits]
        if gate.name in _SILENT:
            continue
        if gate.name == "measure":
            measured.update(qubits)
            continue
        if measured.intersection(qubits):
            raise HilbertuneError(f"Qubit {qubits[0]} is used after it was measured: only final measurements are read.")
        # A gate of the user's own may bear the name of a standard one.
        standard = getattr(gate, "base_class", type(gate)).__module__.startswith("qiskit.circuit.library")
        if standard and gate.name in ("u", "u3"):
            theta, phi, lam = (_of_qiskit(parameter, slots) for parameter in gate.params)
            for kind, angle in (("rz", lam), ("ry", theta), ("rz", phi)):
                yield from operations_of(kind, qubits, angle)
        elif standard and gate.name in ours:
            yield from operations_of(
                ours[gate.name], qubits, _of_qiskit(gate.params[0], slots) if gate.params else None
            )
        elif getattr(gate, "definition", None) is not None and depth:
            inner = gate.definition
            yield from _from_qiskit(inner, dict(zip(inner.qubits, qubits, strict=True)), slots, depth - 1)
        else:
            raise HilbertuneError(f"The gate {gate.name!r} is not known, and Qiskit has no definition of it by gates.")


def _of_qiskit(expression: Any, slots: Mapping[str, tuple[str, int]]) -> Linear:
    """Return an angle of Qiskit's, a number or an expression."""
    terms: dict[tuple[str, int], float] = {}
    for parameter in getattr(expression, "parameters", ()):
        slope = expression.gradient(parameter)
        if getattr(slope, "parameters", None):
            raise HilbertuneError(f"The angle {expression} is not linear in its parameters.")
        terms[slots[parameter.name]] = float(slope)
    # All parameters at 0 leave the number that is added.
    return Linear(terms, float(expression.bind(dict.fromkeys(expression.parameters, 0.0)) if terms else expression))


def _pennylane_gates(
    function: Callable[..., Any], arguments: Sequence[np.ndarray]
) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
    """Return the gates of one run of a quantum function: kind, qubits, angle."""
    qml = require("pennylane", "pennylane")
    inner = function.func if isinstance(function, qml.QNode) else function
    script = qml.tape.make_qscript(inner)(*arguments)
    for operation in script.operations:
        yield from _known(operation, _DEPTH)


def _known(operation: Any, depth: int) -> Iterator[tuple[str, tuple[int, ...], float | None]]:
    """Return a PennyLane operation in gates that we have."""
    ours = {_of_pennylane(kind.pennylane): name for name, kind in KINDS.items()}
    if operation.name in ("Barrier", "GlobalPhase", "Adjoint(GlobalPhase)", "Snapshot", "WireCut"):
        return
    if operation.name in ours:
        wires = operation.wires.tolist()
        if not all(isinstance(wire, int) and wire >= 0 for wire in wires):
            raise HilbertuneError(f"Wires must be numbers from 0 on, not {wires}: use qml.map_wires.")
        kind = ours[operation.name]
        try:
            yield kind, tuple(wires), float(operation.data[0]) if KINDS[kind].angle else None
        except (TypeError, ValueError):
            raise HilbertuneError(f"The angle of {operation.name} is not one number: leave batches out.") from None
        return
    if depth and getattr(operation, "has_decomposition", False):
        for part in operation.decomposition():
            yield from _known(part, depth - 1)
        return
    raise HilbertuneError(f"The gate {operation.name!r} is not known, and PennyLane has no decomposition of it.")


def _of_pennylane(name: str) -> str:
    """Return the name that a PennyLane operation bears, which is not always that of its class."""
    return f"Adjoint({name[:-1]})" if name.endswith("†") else name
