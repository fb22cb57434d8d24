"""The gates of a circuit in columns, as drawings show them, and which of them stand for several.

In: operations.
Out: columns of gates side by side; of a long circuit, blocks that are repeated stand once, with a frame.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from hilbertune.circuit.kinds import Operation

LONG = 24
"""Columns from which a picture shows repeated blocks once."""

MOST, LAST = 60, 12
"""The most columns of a picture, and how many of them are the circuit's last where the middle is left out."""

SEARCHED, PERIOD = 2000, 400
"""The most operations among which repeated blocks are looked for, and the most in a block."""


class Frame(NamedTuple):
    """Columns from `start` up to `stop` that stand for `times` such blocks, whose weights are the same or their own."""

    start: int
    stop: int
    times: int
    shared: bool

    @property
    def label(self) -> str:
        """The words at the frame."""
        return f"× {self.times}, {'same' if self.shared else 'new'} weights"


class Folded(NamedTuple):
    """Columns to draw, frames around some of them, and (or None) which one is empty and for how many it stands."""

    columns: list[Sequence[Operation]]
    frames: list[Frame]
    gap: tuple[int, int] | None = None


def columns_of(qubits: int, operations: Sequence[Operation]) -> tuple[tuple[Operation, ...], ...]:
    """Return the gates in columns: each stands as far left as its qubits and the wires between them are free."""
    free = [0] * qubits
    columns: list[list[Operation]] = []
    for operation in operations:
        wires = range(min(operation.qubits), max(operation.qubits) + 1)
        column = max(free[wire] for wire in wires)
        if column == len(columns):
            columns.append([])
        columns[column].append(operation)
        for wire in wires:
            free[wire] = column + 1
    return tuple(tuple(column) for column in columns)


def folded(qubits: int, operations: Sequence[Operation]) -> Folded:
    """Return the columns of a picture: all of a short circuit, of a long one repeated blocks once, and MOST at most."""
    every = columns_of(qubits, operations)
    if len(every) <= LONG:
        return Folded(list(every), [])
    columns: list[Sequence[Operation]] = []
    frames = []
    for start, period, times in _blocks(qubits, operations):
        own = columns_of(qubits, operations[start : start + period])
        if times > 1:
            first, second = (operations[i : i + period] for i in (start, start + period))
            shared = [o.weight for o in first] == [o.weight for o in second]
            frames.append(Frame(len(columns), len(columns) + len(own), times, shared))
        columns += own
    if len(columns) <= MOST:
        return Folded(columns, frames)
    head, left_out = MOST - LAST, len(columns) - MOST
    return Folded([*columns[:head], (), *columns[-LAST:]], list(_around(frames, head, left_out)), (head, left_out))


def _around(frames: Sequence[Frame], head: int, left_out: int) -> Iterator[Frame]:
    """Return the frames of which something is left where one empty column, at `head`, stands for `left_out`."""
    for frame in frames:
        # A frame that loses an end in the gap takes in the empty column.
        start, stop = (
            place if place <= head else max(head + inside, place - left_out + 1)
            for place, inside in ((frame.start, 0), (frame.stop, 1))
        )
        if not (frame.start >= head and frame.stop <= head + left_out):
            yield frame._replace(start=start, stop=stop)


def _blocks(qubits: int, operations: Sequence[Operation]) -> Iterator[tuple[int, int, int]]:
    """Return spans of operations, one after the other, each as start, length, and how often it is there in a row.

    Blocks are alike if they differ in the weights alone. A block must be worth a frame: it has two gates or more and
    leaves out at least two a qubit.
    """
    count = len(operations)
    same = _alike(operations) if count <= SEARCHED else {}
    plain = start = 0
    while start < count:
        found = [(length * times, -length) for length, run in same.items() if (times := run[start] // length + 1) > 1]
        covered, length = max(found, default=(0, 0))
        if covered + length >= 2 * qubits:
            if plain < start:
                yield plain, start - plain, 1
            yield start, -length, covered // -length
            start += covered
            plain = start
        else:
            start += 1
    if plain < count:
        yield plain, count - plain, 1


def _alike(operations: Sequence[Operation]) -> dict[int, Int[np.ndarray, " operations"]]:
    """Return, by the length of a block, how many operations from each on are like those one block later."""
    known: dict[Operation, int] = {}
    about = [o._replace(weight=None if o.weight is None else 0) for o in operations]
    number = np.array([known.setdefault(o, len(known)) for o in about])
    runs = {}
    for length in range(2, min(PERIOD, len(number) // 2) + 1):
        equal = np.zeros(len(number), dtype=bool)
        equal[:-length] = number[:-length] == number[length:]
        # Distance to the next place that is unequal.
        places = np.where(equal, len(number), np.arange(len(number)))
        runs[length] = np.minimum.accumulate(places[::-1])[::-1] - np.arange(len(number))
    return runs
