"""What a circuit is: an immutable table of gates, and the builders of the published ones.

In: numbers of qubits, layers and so on. Out: a `Circuit`, which the engines run, and which is drawn, counted and exported
from the same table; no second description of a circuit exists. Source of the ansatz: arXiv 2504.08732, figures 2 and 3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from hilbertune.errors import HilbertuneError, require


class Operation(NamedTuple):
    """One gate: a rotation `ry` whose angle is a weight or an input, or a `cx` (CNOT)."""

    kind: Literal["ry", "cx"]
    target: int
    control: int | None = None
    weight: int | None = None
    input: int | None = None

    @property
    def qubits(self) -> tuple[int, ...]:
        """The qubits it touches, control first."""
        return (self.target,) if self.control is None else (self.control, self.target)

    @property
    def label(self) -> str:
        """The angle as drawings and exports name it: `w3` is weight 3, `x0` is input 0, empty for a CNOT."""
        if self.weight is not None:
            return f"w{self.weight}"
        return "" if self.input is None else f"x{self.input}"


@dataclass(frozen=True)
class Circuit:
    """A table of gates on `qubits` qubits; qubit 0 is the least significant bit of an amplitude's index.

    Every `ry` turns by exactly one angle in radians: `weights[weight]` (trained) or `inputs[input]` (data).
    All amplitudes stay real (RY and CNOT only), which is what the engines rely on.

    Raises:
        HilbertuneError: a gate names a qubit that does not exist, or has not exactly the fields of its kind.
    """

    qubits: int
    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        if self.qubits < 1:
            raise HilbertuneError(f"A circuit needs at least 1 qubit, not {self.qubits}.")
        for index, operation in enumerate(self.operations):
            angles = (operation.weight is not None) + (operation.input is not None)
            good = operation.kind == "cx" and angles == 0 and operation.control is not None
            good |= operation.kind == "ry" and angles == 1 and operation.control is None
            good &= all(0 <= qubit < self.qubits for qubit in operation.qubits)
            good &= operation.control != operation.target
            good &= min(operation.weight or 0, operation.input or 0) >= 0
            if not good:
                raise HilbertuneError(f"Operation {index} is not a gate on {self.qubits} qubits: {operation}.")

    @cached_property
    def parameters(self) -> int:
        """How many weights (trained angles) the circuit reads."""
        return 1 + max((o.weight for o in self.operations if o.weight is not None), default=-1)

    @cached_property
    def inputs(self) -> int:
        """How many inputs (angles that are data) the circuit reads."""
        return 1 + max((o.input for o in self.operations if o.input is not None), default=-1)

    @cached_property
    def columns(self) -> tuple[tuple[Operation, ...], ...]:
        """The gates in columns: each stands as far left as its qubits, and the wires between them, are free."""
        free = [0] * self.qubits
        columns: list[list[Operation]] = []
        for operation in self.operations:
            wires = range(min(operation.qubits), max(operation.qubits) + 1)
            column = max(free[wire] for wire in wires)
            if column == len(columns):
                columns.append([])
            columns[column].append(operation)
            for wire in wires:
                free[wire] = column + 1
        return tuple(tuple(column) for column in columns)

    @cached_property
    def depth(self) -> int:
        """The longest chain of gates that must run one after another."""
        busy = [0] * self.qubits
        for operation in self.operations:
            level = 1 + max(busy[qubit] for qubit in operation.qubits)
            for qubit in operation.qubits:
                busy[qubit] = level
        return max(busy)

    def counts(self) -> dict[str, int]:
        """Qubits, parameters, inputs, one- and two-qubit gates, depth."""
        two = sum(o.kind == "cx" for o in self.operations)
        return {
            "qubits": self.qubits,
            "parameters": self.parameters,
            "inputs": self.inputs,
            "one_qubit_gates": len(self.operations) - two,
            "two_qubit_gates": two,
            "depth": self.depth,
        }

    def with_every_angle_an_input(self) -> tuple["Circuit", tuple[Operation, ...]]:
        """The same circuit with one input for each rotation, and the rotations in that order.

        Parameter-shift needs it: a weight or input that is used several times is shifted at each use.
        """
        rotations = tuple(o for o in self.operations if o.kind == "ry")
        numbers = iter(range(len(rotations)))
        operations = tuple(
            o if o.kind == "cx" else o._replace(weight=None, input=next(numbers)) for o in self.operations
        )
        return Circuit(self.qubits, operations), rotations

    def _angle(self, operation: Operation, weights: Any | None, inputs: Any | None) -> Any:
        values = weights if operation.weight is not None else inputs
        index = operation.weight if operation.weight is not None else operation.input
        if values is None or index is None or index >= len(values):
            raise HilbertuneError(
                f"The circuit reads {self.parameters} weights and {self.inputs} inputs: give them all."
            )
        return values[index]

    def to_qiskit(
        self,
        weights: Any | None = None,
        inputs: Any | None = None,
        amplitudes: Any | None = None,
    ) -> Any:
        """A `qiskit.QuantumCircuit`; angles left out stay named parameters `w` and `x` (extra `qiskit`).

        `amplitudes` [2^qubits] are prepared first; Qiskit's bit order is ours.
        """
        qiskit = require("qiskit", "qiskit")
        vector = require("qiskit.circuit", "qiskit").ParameterVector
        w: Any = vector("w", self.parameters) if weights is None else _numbers(weights)
        x: Any = vector("x", self.inputs) if inputs is None else _numbers(inputs)
        made = qiskit.QuantumCircuit(self.qubits)
        if amplitudes is not None:
            made.prepare_state(np.asarray(amplitudes, dtype=np.float64), normalize=True)
        for operation in self.operations:
            if operation.kind == "cx":
                made.cx(operation.control, operation.target)
            else:
                made.ry(self._angle(operation, w, x), operation.target)
        return made

    def to_pennylane(self) -> Callable[..., None]:
        """A PennyLane quantum function `f(weights, inputs=None, amplitudes=None)` on wires 0..qubits-1 (extra `pennylane`).

        Call it inside a QNode and return measurements. PennyLane counts wires from the most significant bit, so the
        amplitudes are prepared on the reversed wires; the expectation of wire q is ours of qubit q.
        """
        qml = require("pennylane", "pennylane")

        def quantum_function(
            weights: Any,
            inputs: Any | None = None,
            amplitudes: Any | None = None,
        ) -> None:
            if amplitudes is not None:
                qml.AmplitudeEmbedding(amplitudes, wires=range(self.qubits)[::-1], normalize=True)
            for operation in self.operations:
                if operation.kind == "cx":
                    qml.CNOT(wires=[operation.control, operation.target])
                else:
                    qml.RY(self._angle(operation, weights, inputs), wires=operation.target)

        return quantum_function

    def to_qasm3(
        self,
        weights: Any | None = None,
        inputs: Any | None = None,
        measured: Sequence[int] = (),
    ) -> str:
        """OpenQASM 3 text; angles left out are declared `input float[64]`, measured qubits get a bit each.

        A circuit that starts from loaded amplitudes (an encoder) is written without the loading.
        """
        if len(set(measured)) < len(measured) or not all(0 <= q < self.qubits for q in measured):
            raise HilbertuneError(f"measured must name different qubits of 0..{self.qubits - 1}, not {measured}.")
        names = {o.label: None for o in self.operations if o.kind == "ry"}
        bound = {"w": weights is not None, "x": inputs is not None}
        w: Any = [f"w{i}" for i in range(self.parameters)] if weights is None else weights
        x: Any = [f"x{i}" for i in range(self.inputs)] if inputs is None else inputs
        lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
        lines += [f"input float[64] {name};" for name in names if not bound[name[0]]]
        lines += [f"qubit[{self.qubits}] q;"]
        lines += [f"bit[{len(measured)}] c;"] if measured else []
        for operation in self.operations:
            if operation.kind == "cx":
                lines.append(f"cx q[{operation.control}], q[{operation.target}];")
            else:
                angle = self._angle(operation, w, x)
                text = angle if isinstance(angle, str) else repr(float(angle))
                if text in ("nan", "inf", "-inf"):
                    raise HilbertuneError(f"Angle {operation.label} must be finite, not {text}.")
                lines.append(f"ry({text}) q[{operation.target}];")
        lines += [f"c[{bit}] = measure q[{qubit}];" for bit, qubit in enumerate(measured)]
        return "\n".join(lines) + "\n"


def _numbers(values: Any) -> list[float]:
    """Angles as Python's numbers; tensors that require a gradient give theirs without a warning."""
    return [float(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]
