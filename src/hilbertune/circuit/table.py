"""The table of gates that a circuit is: its counts, its columns, the angle of each rotation.

In: a number of qubits, and operations.
Out: an immutable `Circuit`, the one description that engines run, drawings show and exports write.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hilbertune.circuit.exports import Exports
from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.config.fields import is_whole
from hilbertune.errors import HilbertuneError


@dataclass(frozen=True)
class Circuit(Exports):
    """A table of gates on `qubits` qubits; qubit 0 is the least significant bit of an amplitude's index.

    A rotation turns by exactly one angle in radians: `weights[weight]` (trained) or `inputs[input]` (data).
    All gates are made of RY and CNOT, so that amplitudes stay real, and the engines rely on it.

    Raises:
        HilbertuneError: a gate names a qubit that does not exist, or its fields are not those of its kind.
    """

    qubits: int
    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(self.operations))
        if not is_whole(self.qubits) or self.qubits < 1:
            raise HilbertuneError(f"A circuit needs at least 1 qubit, not {self.qubits}.")
        for index, operation in enumerate(self.operations):
            if not isinstance(operation, Operation):
                raise HilbertuneError(f"Operation {index} is {operation!r}: make it with hilbertune.Operation.")
            if not all(place is None or is_whole(place) for place in operation[1:]):
                raise HilbertuneError(f"Operation {index} has places that are not whole numbers: {operation}.")
            if operation.kind not in KINDS:
                raise HilbertuneError(f"Operation {index} is a {operation.kind!r}, which is not one of {list(KINDS)}.")
            angles = (operation.weight is not None) + (operation.input is not None)
            good = angles == operation.about.angle and len(operation.qubits) == operation.about.qubits
            good &= all(0 <= qubit < self.qubits for qubit in operation.qubits)
            good &= operation.control != operation.target
            good &= min(operation.weight or 0, operation.input or 0) >= 0
            if not good:
                raise HilbertuneError(f"Operation {index} is not a gate on {self.qubits} qubits: {operation}.")

    @cached_property
    def parameters(self) -> int:
        """The number of weights (trained angles) that the circuit reads."""
        return 1 + max((o.weight for o in self.operations if o.weight is not None), default=-1)

    @cached_property
    def inputs(self) -> int:
        """The number of inputs (angles that are data) that the circuit reads."""
        return 1 + max((o.input for o in self.operations if o.input is not None), default=-1)

    @cached_property
    def columns(self) -> tuple[tuple[Operation, ...], ...]:
        """The gates in columns: each stands as far left as its qubits and the wires between them are free."""
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
        """The length of the longest chain of gates that must run one after another."""
        busy = [0] * self.qubits
        for operation in self.operations:
            level = 1 + max(busy[qubit] for qubit in operation.qubits)
            for qubit in operation.qubits:
                busy[qubit] = level
        return max(busy)

    def counts(self) -> dict[str, int]:
        """Return the numbers of qubits, parameters, inputs, one- and two-qubit gates, and the depth."""
        two = sum(o.about.qubits == 2 for o in self.operations)
        return {
            "qubits": self.qubits,
            "parameters": self.parameters,
            "inputs": self.inputs,
            "one_qubit_gates": len(self.operations) - two,
            "two_qubit_gates": two,
            "depth": self.depth,
        }

    @cached_property
    def expanded(self) -> tuple[tuple[Operation, Operation | None], ...]:
        """The RY and CNOT in order, each with the written gate that it completes, None within a gate."""
        pairs: list[tuple[Operation, Operation | None]] = []
        for operation in self.operations:
            *within, last = _parts_of(operation)
            pairs += [*((gate, None) for gate in within), (last, operation)]
        return tuple(pairs)

    @cached_property
    def decomposed(self) -> "Circuit":
        """The same circuit in RY and CNOT, which is what the engines run."""
        if not any(operation.about.parts for operation in self.operations):
            return self
        return Circuit(self.qubits, tuple(gate for gate, _ in self.expanded))

    def with_every_angle_an_input(self) -> tuple["Circuit", tuple[Operation, ...]]:
        """Return the decomposed circuit with an input of its own for each rotation, and the rotations in that order.

        Parameter-shift needs it: a weight or input that is used several times is shifted at each use.
        """
        gates = self.decomposed.operations
        rotations = tuple(o for o in gates if o.kind == "ry")
        numbers = iter(range(len(rotations)))
        operations = tuple(o if o.kind == "cx" else o._replace(weight=None, input=next(numbers)) for o in gates)
        return Circuit(self.qubits, operations), rotations

    def slot(self, operation: Operation) -> int:
        """Return the place of a rotation's angle in the circuit's weights followed by its inputs.

        Raises:
            HilbertuneError: the operation has no angle.
        """
        if operation.weight is not None:
            return operation.weight
        if operation.input is None:
            raise HilbertuneError(f"{operation} has no angle.")
        return self.parameters + operation.input

    def angle(self, operation: Operation, weights: Any | None, inputs: Any | None) -> Any:
        """Return a rotation's angle: an element of `weights` [..., parameters] or of `inputs` [..., inputs].

        Both may be sequences, arrays or tensors; an array with leading axes gives an angle [...].

        Raises:
            HilbertuneError: fewer weights or inputs are given than the circuit reads, or the operation has no angle.
        """
        slot = self.slot(operation)
        values, index = (weights, slot) if operation.weight is not None else (inputs, slot - self.parameters)
        shape = getattr(values, "shape", None)
        if values is None or index >= (len(values) if shape is None else shape[-1]):
            raise HilbertuneError(
                f"The circuit reads {self.parameters} weights and {self.inputs} inputs: give them all."
            )
        return values[index] if shape is None or len(shape) == 1 else values[..., index]


def _parts_of(operation: Operation) -> list[Operation]:
    """Return the RY and CNOT that a gate is made of; the gate itself if it is one of them."""
    if not operation.about.parts:
        return [operation]
    qubits = {"target": operation.target, "control": operation.control}
    gates = []
    for part in operation.about.parts:
        target, control = qubits[part.target], None if part.control is None else qubits[part.control]
        assert target is not None
        angle = (operation.weight, operation.input) if part.kind == "ry" else (None, None)
        gates.append(Operation(part.kind, target, control, *angle))
    return gates
