"""Conversions of a circuit to Qiskit, PennyLane and OpenQASM 3, the methods `to_...` of `Circuit`.

In: a circuit, and angles or amplitudes where they are known.
Out: an object of that package, or a text, with the same gates in the same order.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hilbertune.circuit.kinds import Operation
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

        Amplitudes [2^qubits], if given, are prepared first; Qiskit's bit order is ours.

        Raises:
            HilbertuneError: fewer angles are given than the circuit reads.
            MissingExtraError: Qiskit is not installed.
        """
        import numpy as np

        qiskit = require("qiskit", "qiskit")
        vector = require("qiskit.circuit", "qiskit").ParameterVector
        w: Any = vector("w", self.parameters) if weights is None else _numbers(weights)
        x: Any = vector("x", self.inputs) if inputs is None else _numbers(inputs)
        made = qiskit.QuantumCircuit(self.qubits)
        if amplitudes is not None:
            made.prepare_state(np.asarray(amplitudes, dtype=np.float64), normalize=True)
        for operation in self.operations:
            angle = [self.angle(operation, w, x)] if operation.about.angle else []
            getattr(made, operation.about.qiskit)(*angle, *operation.qubits)
        return made

    def to_pennylane(self: _Table) -> Callable[..., None]:
        """Return a PennyLane quantum function `f(weights, inputs=None, amplitudes=None)` (extra `pennylane`).

        Call it inside a QNode on wires 0..qubits-1 and return measurements. PennyLane counts wires from the most
        significant bit, so amplitudes are prepared on the reversed wires; the expectation of wire q is that of qubit q.

        Raises:
            HilbertuneError: the function is called with fewer angles than the circuit reads.
            MissingExtraError: PennyLane is not installed.
        """
        qml = require("pennylane", "pennylane")

        def quantum_function(weights: Any, inputs: Any | None = None, amplitudes: Any | None = None) -> None:
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

        A circuit that starts from loaded amplitudes (an encoder) is written without the loading.

        Raises:
            HilbertuneError: fewer angles are given than the circuit reads, an angle is not finite, or a measured qubit
                does not exist or is named twice.
        """
        if len(set(measured)) < len(measured) or not all(0 <= q < self.qubits for q in measured):
            raise HilbertuneError(f"measured must name different qubits of 0..{self.qubits - 1}, not {measured}.")
        names = {o.name: None for o in self.operations if o.name}
        bound = {"w": weights is not None, "x": inputs is not None}
        lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
        kinds = {o.kind: o.about for o in self.operations if o.about.definition}
        for kind in kinds.values():
            own = ", ".join(f"q{place}" for place in range(kind.qubits))
            lines.append(f"gate {kind.qasm}{'(a)' if kind.angle else ''} {own} {{ {kind.definition} }}")
        lines += [f"input float[64] {name};" for name in names if not bound[name[0]]]
        lines += [f"qubit[{self.qubits}] q;"]
        lines += [f"bit[{len(measured)}] c;"] if measured else []
        for operation in self.operations:
            name, on = operation.about.qasm, ", ".join(f"q[{qubit}]" for qubit in operation.qubits)
            if operation.about.angle:
                free = operation.name and not bound[operation.name[0]]
                text = _linear(operation) if free else repr(float(self.angle(operation, weights, inputs)))
                if text in ("nan", "inf", "-inf"):
                    raise HilbertuneError(f"Angle {operation.label} must be finite, not {text}.")
                name = f"{name}({text})"
            lines.append(f"{name} {on};")
        lines += [f"c[{bit}] = measure q[{qubit}];" for bit, qubit in enumerate(measured)]
        return "\n".join(lines) + "\n"


def _linear(operation: Operation) -> str:
    """Return an angle that is not bound as an expression of OpenQASM 3."""
    scaled = operation.name if operation.scale == 1 else f"{float(operation.scale)!r} * {operation.name}"
    return f"{scaled} + {float(operation.offset)!r}" if operation.offset else scaled


def _numbers(values: Any) -> list[float]:
    """Return angles as Python numbers; a tensor that requires a gradient gives its values without a warning."""
    return [float(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]
