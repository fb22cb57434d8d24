"""The table of gates that a circuit is: its counts, its columns, the angle of each rotation.

In: a number of qubits, and operations.
Out: an immutable `Circuit`, the one description that engines run, drawings show and exports write.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

from hilbertune.circuit.columns import columns_of
from hilbertune.circuit.drawing import Drawings
from hilbertune.circuit.exports import Exports
from hilbertune.circuit.imports import Imports
from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.config.fields import is_whole
from hilbertune.errors import HilbertuneError


@dataclass(frozen=True)
class Circuit(Exports, Imports, Drawings):
    """A table of gates on `qubits` qubits; qubit 0 is the least significant bit of an amplitude's index.

    A rotation turns by an angle in radians that is linear in `weights[weight]` (trained) or `inputs[input]` (data), or
    fixed. Engines run RY and CNOT alone; `hilbertune.circuit.lowering` makes any circuit one of these.

    Raises:
        HilbertuneError: a gate is of no known kind, names a qubit that does not exist, or has fields that are not
            those of its kind.
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
            places = (*operation[1:5], operation.other)
            if not all(place is None or is_whole(place) for place in places):
                raise HilbertuneError(f"Operation {index} has places that are not whole numbers: {operation}.")
            if operation.kind not in KINDS:
                raise HilbertuneError(f"Operation {index} is a {operation.kind!r}, which is not one of {list(KINDS)}.")
            if not _fits(operation, self.qubits):
                raise HilbertuneError(f"Operation {index} is not a gate on {self.qubits} qubits: {operation}.")

    def __repr__(self) -> str:
        gates = len(self.operations)
        return f"Circuit({self.qubits} qubits, {gates} gates, {self.parameters} weights, {self.inputs} inputs)"

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
        return columns_of(self.qubits, self.operations)

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
        """Return the numbers of qubits, parameters, inputs, one- and two-qubit gates (and of three), and the depth."""
        one, two, three = (sum(o.about.qubits == size for o in self.operations) for size in (1, 2, 3))
        return {
            "qubits": self.qubits,
            "parameters": self.parameters,
            "inputs": self.inputs,
            "one_qubit_gates": one,
            "two_qubit_gates": two,
            **({"three_qubit_gates": three} if three else {}),
            "depth": self.depth,
        }

    @cached_property
    def plain(self) -> bool:
        """Whether engines run it as it is: RY by a weight or an input itself, and CNOT."""
        return all(operation.plain for operation in self.operations)

    def require_plain(self) -> None:
        """Raise HilbertuneError unless engines run it as it is: they would take other rotations for RY."""
        if not self.plain:
            other = next(operation for operation in self.operations if not operation.plain)
            raise HilbertuneError(
                f"Engines run RY and CNOT alone, not {other.kind!r} as it stands here: call hilbertune.expectation, or "
                "write the circuit with hilbertune.circuit.lowered."
            )

    def with_every_angle_an_input(self) -> tuple["Circuit", tuple[Operation, ...]]:
        """Return the circuit with an input of its own for each angle that varies, and the rotations in that order.

        Parameter-shift needs it: a weight or input that is used several times is shifted at each use. The new inputs
        are the angles themselves, whatever scale and offset the rotations have.
        """
        rotations = tuple(o for o in self.operations if o.name)
        numbers = iter(range(len(rotations)))
        operations = tuple(
            o._replace(weight=None, input=next(numbers), scale=1.0, offset=None) if o.name else o
            for o in self.operations
        )
        return Circuit(self.qubits, operations), rotations

    def without(self, kinds: Collection[str]) -> "Circuit":
        """Return the circuit with gates of these kinds written as those that they are made of."""
        if all(o.kind not in kinds for o in self.operations):
            return self
        return Circuit(self.qubits, tuple(part for o in self.operations for part in _without(o, kinds)))

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
        """Return a rotation's angle, from an element of `weights` [..., parameters] or of `inputs` [..., inputs].

        Both may be sequences, arrays or tensors; an array with leading axes gives an angle [...], a fixed angle is a
        number.

        Raises:
            HilbertuneError: fewer weights or inputs are given than the circuit reads, or the operation has no angle.
        """
        if not operation.name and operation.offset is not None:
            return operation.offset
        slot = self.slot(operation)
        values, index = (weights, slot) if operation.weight is not None else (inputs, slot - self.parameters)
        shape = getattr(values, "shape", None)
        if values is None or index >= (len(values) if shape is None else shape[-1]):
            raise HilbertuneError(
                f"The circuit reads {self.parameters} weights and {self.inputs} inputs: give them all."
            )
        value = values[index] if shape is None or len(shape) == 1 else values[..., index]
        value = value if operation.scale == 1 else operation.scale * value
        return value + operation.offset if operation.offset else value


def _without(operation: Operation, kinds: Collection[str]) -> Iterator[Operation]:
    """Return the parts of a gate of these kinds, and of parts that are; other gates as they are."""
    if operation.kind not in kinds:
        yield operation
        return
    own, about = operation.qubits, operation.about
    for kind, places, scale, offset in about.parts:
        on = [own[place] for place in places]
        turned: dict[str, Any] = {}
        if KINDS[kind].angle:
            moved = scale * (operation.offset or 0.0) + offset
            fixed = not (operation.name and scale)
            turned = {"offset": moved if fixed or moved else None}
            if not fixed:
                turned |= {"weight": operation.weight, "input": operation.input, "scale": scale * operation.scale}
        part = Operation(kind, on[-1], on[0] if len(on) > 1 else None, **turned)
        yield from _without(part, kinds)


def _fits(operation: Operation, qubits: int) -> bool:
    """Return whether an operation is a gate on that many qubits."""
    about, named = operation.about, (operation.weight is not None) + (operation.input is not None)
    offset = operation.offset
    angled = named == 1 or (named == 0 and offset is not None)
    if not about.angle:
        angled = named == 0 and offset is None
    own = operation.qubits
    return (
        angled
        and len(own) == len(set(own)) == about.qubits
        and (operation.control is not None) == (about.qubits > 1)
        and all(0 <= qubit < qubits for qubit in own)
        and min(operation.weight or 0, operation.input or 0) >= 0
        and all(isinstance(n, Real) and math.isfinite(n) for n in (operation.scale, offset or 0.0))
    )
