"""Conversions of a circuit to Qiskit, PennyLane and OpenQASM 3, the methods `to_...` of `Circuit`.

In: a circuit, and angles or amplitudes where they are known.
Out: an object of that package, or a text, with the same gates in the same order.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.text import definitions
from hilbertune.errors import HilbertuneError, require


class _Table(Protocol):
    """The part of a circuit that the conversions read."""

    @property
    def qubits(self) -> int: ...

    @property
    def operations(self) -> tuple[Operation, ...]: ...

    @property
    def parameters(self) -> int: ...

    @property
    def inputs(self) -> int: ...

    def angle(self, operation: Operation, weights: Any | None, inputs: Any | None) -> Any: ...


class Exports:
    """The part of a circuit that writes it for others; `Circuit` has the rest."""

    def to_qiskit(
        self: _Table, weights: Any | None = None, inputs: Any | None = None, amplitudes: Any | None = None
    ) -> Any:
        """Return a `qiskit.QuantumCircuit`; angles left out stay named parameters `w` and `x` (extra `qiskit`).

        Amplitudes [2^qubits], if given, are prepared first; Qiskit's bit order is ours. The parameters are vectors, so
        that a list of values is bound in their order: weights first, then inputs.

        Raises:
            HilbertuneError: other than one row of as many numbers as the circuit reads or a state has.
            MissingExtraError: Qiskit is not installed.
        """
        qiskit = require("qiskit", "qiskit")
        vector = require("qiskit.circuit", "qiskit").ParameterVector
        counts = self.parameters, self.inputs
        w: Any = vector("w", counts[0]) if weights is None else _row(weights, "weights", counts)
        x: Any = vector("x", counts[1]) if inputs is None else _row(inputs, "inputs", counts)
        made = qiskit.QuantumCircuit(self.qubits)
        if amplitudes is not None:
            made.prepare_state(_state(amplitudes, self.qubits), normalize=True)
        for operation in self.operations:
            angle = [self.angle(operation, w, x)] if operation.about.angle else []
            getattr(made, operation.about.qiskit)(*angle, *operation.qubits)
        return made

    def to_pennylane(self: _Table) -> Callable[..., None]:
        """Return a PennyLane quantum function `f(weights, inputs=None, amplitudes=None)` (extra `pennylane`).

        Call it inside a QNode on wires 0..qubits-1 and return measurements. PennyLane counts wires from the most
        significant bit, so amplitudes are prepared on the reversed wires; the expectation of wire q is that of qubit q.

        As PennyLane's templates do, it takes one row or many: weights [parameters] or [rows, parameters], inputs
        [inputs] or [rows, inputs], amplitudes [2^qubits] or [rows, 2^qubits], in any mixture.

        Raises:
            HilbertuneError: the function is called with other numbers of angles than the circuit reads, or with
                different numbers of rows.
            MissingExtraError: PennyLane is not installed.
        """
        qml = require("pennylane", "pennylane")
        counts = self.parameters, self.inputs

        def quantum_function(weights: Any, inputs: Any | None = None, amplitudes: Any | None = None) -> None:
            weights, inputs = (
                _broadcast(given, name, counts, qml.math) for name, given in (("weights", weights), ("inputs", inputs))
            )
            weights, inputs, amplitudes = _together(weights, inputs, amplitudes, 1 << self.qubits, qml.math)
            if amplitudes is not None:
                qml.AmplitudeEmbedding(amplitudes, wires=range(self.qubits)[::-1], normalize=True)
            for operation in self.operations:
                angle = [self.angle(operation, weights, inputs)] if operation.about.angle else []
                name = operation.about.pennylane
                make = getattr(qml, name.removesuffix("†"))
                gate = qml.adjoint(make) if name.endswith("†") else make
                gate(*angle, wires=list(operation.qubits))

        return quantum_function

    def to_qasm3(
        self: _Table, weights: Any | None = None, inputs: Any | None = None, measured: Sequence[int] = ()
    ) -> str:
        """Return OpenQASM 3 text; angles left out are declared `input float[64]`, measured qubits get a bit each.

        The names of angles are those of `Operation.label`, with zeros in front where there are more than ten, so that
        they sort as they count: weights first, then inputs. A circuit that starts from loaded amplitudes (an encoder)
        is written without the loading.

        Raises:
            HilbertuneError: other than one row of as many angles as the circuit reads, an angle is not finite, or a
                measured qubit does not exist or is named twice.
        """
        if len(set(measured)) < len(measured) or not all(0 <= q < self.qubits for q in measured):
            raise HilbertuneError(f"measured must name different qubits of 0..{self.qubits - 1}, not {measured}.")
        counts = self.parameters, self.inputs
        w: Any = _names("w", counts[0]) if weights is None else _row(weights, "weights", counts)
        x: Any = _names("x", counts[1]) if inputs is None else _row(inputs, "inputs", counts)
        read = {_slot_of(o, w, x) for o in self.operations if o.name}
        lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
        lines += definitions(list(dict.fromkeys(o.kind for o in self.operations)))
        lines += [f"input float[64] {name};" for name in (*w, *x) if isinstance(name, str) and name in read]
        lines += [f"qubit[{self.qubits}] q;"]
        lines += [f"bit[{len(measured)}] c;"] if measured else []
        for operation in self.operations:
            name, on = operation.about.qasm, ", ".join(f"q[{qubit}]" for qubit in operation.qubits)
            if operation.about.angle:
                slot = _slot_of(operation, w, x)
                free = isinstance(slot, str)
                text = _linear(operation, slot) if free else repr(float(self.angle(operation, w, x)))
                if text in ("nan", "inf", "-inf"):
                    raise HilbertuneError(f"Angle {operation.label} must be finite, not {text}.")
                name = f"{name}({text})"
            lines.append(f"{name} {on};")
        lines += [f"c[{bit}] = measure q[{qubit}];" for bit, qubit in enumerate(measured)]
        return "\n".join(lines) + "\n"


def _names(letter: str, count: int) -> list[str]:
    """Return names of angles whose alphabetical order is that of their numbers."""
    return [f"{letter}{number:0{len(str(count - 1))}d}" for number in range(count)]


def _wrong(counts: tuple[int, int], name: str, given: str) -> HilbertuneError:
    return HilbertuneError(
        f"The circuit reads {counts[0]} weights and {counts[1]} inputs: give them all, and no more (the {name} are "
        f"{given})."
    )


def _row(values: Any, name: str, counts: tuple[int, int]) -> list[float]:
    """Return one row of angles as Python numbers; a tensor that requires a gradient gives its values."""
    count = counts[name == "inputs"]
    rows = values.tolist() if hasattr(values, "tolist") else values
    try:
        while len(rows) == 1 and hasattr(rows[0], "__len__"):  # a leading axis of length 1, as modules have
            rows = rows[0]
        row = [float(value) for value in rows]
    except (TypeError, ValueError) as error:
        raise _wrong(counts, name, "not one row of numbers") from error
    if len(row) != count:
        raise _wrong(counts, name, str(len(row)))
    return row


def _state(amplitudes: Any, qubits: int) -> Any:
    """Return the amplitudes of one state as an array of real numbers."""
    import numpy as np

    values = np.asarray(amplitudes.detach().cpu() if hasattr(amplitudes, "detach") else amplitudes, dtype=np.float64)
    values = values.reshape(values.shape[-1:]) if values.ndim and values.size == values.shape[-1] else values
    if values.shape != (1 << qubits,) or not np.isfinite(values).all() or not values.any():
        raise HilbertuneError(
            f"amplitudes must be {1 << qubits} finite numbers, not all 0, and not of the shape {list(values.shape)}."
        )
    return values


def _broadcast(values: Any, name: str, counts: tuple[int, int], math: Any) -> Any:
    """Return angles [count] or [rows, count] with the gradient they carry; a list of rows becomes an array."""
    if values is None:
        return None
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    if not hasattr(values, "shape"):
        try:
            rows = [math.stack(list(row)) if isinstance(row, list | tuple) else row for row in values]
            values = math.stack(rows) if rows else ()
        except (TypeError, ValueError, IndexError, RuntimeError) as error:
            raise _wrong(counts, name, "not rows of numbers") from error
    shape = tuple(math.shape(values))
    if len(shape) not in (1, 2) or shape[-1] != counts[name == "inputs"]:
        raise _wrong(counts, name, f"of the shape {list(shape)}")
    return values


def _together(weights: Any, inputs: Any, amplitudes: Any, states: int, math: Any) -> tuple[Any, ...]:
    """Return them with one number of rows: a single row beside many stands for all of them."""
    given = {"weights": weights, "inputs": inputs, "amplitudes": amplitudes}
    shapes = {name: tuple(math.shape(values)) for name, values in given.items() if values is not None}
    if amplitudes is not None and (len(shapes["amplitudes"]) not in (1, 2) or shapes["amplitudes"][-1] != states):
        raise HilbertuneError(f"amplitudes must be {states} numbers a row, not {list(shapes['amplitudes'])}.")
    rows = {name: shape[0] for name, shape in shapes.items() if len(shape) == 2}
    if 0 in rows.values() or len(set(rows.values()) - {1}) > 1:
        counted = " and ".join(f"{count} rows of {name}" for name, count in rows.items())
        raise HilbertuneError(f"There are {counted}: give as many of each, at least one, or a single row.")
    most = max(rows.values(), default=1)
    return tuple(values[0] if rows.get(name) == 1 < most else values for name, values in given.items())


def _slot_of(operation: Operation, weights: Any, inputs: Any) -> Any:
    """Return the weight or input that an operation's angle depends on, a number or a name; None without one."""
    if not operation.name:
        return None
    return weights[operation.weight] if operation.input is None else inputs[operation.input]


def _linear(operation: Operation, name: str) -> str:
    """Return an angle that is not bound as an expression of OpenQASM 3."""
    scaled = name if operation.scale == 1 else f"{float(operation.scale)!r} * {name}"
    return f"{scaled} + {float(operation.offset)!r}" if operation.offset else scaled
