"""Drawings of a circuit, as text or as an image.

In: a `Circuit`.
Out: lines of text, shapes on matplotlib axes, or a PNG, SVG or PDF file (matplotlib: the extra `plot`).
"""

import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime.plotting import INK, INPUT, WEIGHT, WIRE, check_format, new_figure, save_figure

INCHES = 0.42
"""Distance between two wires, or two columns, in a picture of one circuit."""

Columns = Sequence[Sequence[Operation]]


def draw_text(
    circuit: Circuit,
    *,
    width: int | None = 100,
    blocks: Sequence[tuple[str, int]] | None = None,
) -> str:
    """Draw the circuit with a line for each qubit, folded into rows of at most `width` characters (None: never).

    `blocks` name consecutive operations, each with the number of operations it takes: a block starts in a column of its
    own, below its name.

    Raises:
        HilbertuneError: the blocks do not hold the circuit's operations exactly.
    """
    blocks = [("", len(circuit.operations))] if blocks is None else blocks
    if sum(count for _, count in blocks) != len(circuit.operations):
        raise HilbertuneError(f"The blocks must hold exactly the circuit's {len(circuit.operations)} operations.")
    names = [f"q{qubit}: " for qubit in range(circuit.qubits)]
    room = max(map(len, names)) + 1
    lines = [line for name in names for line in (f"{name:>{room - 1}}─", " " * room)]
    # The first line of a row is for the names of blocks, every second one from there is a wire.
    start = ["", *lines[:-1]]
    rows = [list(start)]
    operations = iter(circuit.operations)
    for name, count in blocks:
        for column in Circuit(circuit.qubits, tuple(islice(operations, count))).columns:
            cells = _text_column(circuit.qubits, column)
            _lengthen(rows[-1], len(rows[-1][0]) + 1 if name and rows[-1][0] else 0)
            end = len(rows[-1][1]) + max(len(name), len(cells[0]))
            if width is not None and end > width and len(rows[-1][1]) > room:
                rows.append(list(start))
            if name:
                rows[-1][0] = rows[-1][0].ljust(len(rows[-1][1])) + name
            rows[-1][1:] = [line + c for line, c in zip(rows[-1][1:], cells, strict=True)]
            name = ""
    for row in rows:
        _lengthen(row, max(room + 1, len(row[0])))
    return "\n\n".join(
        "\n".join(line.rstrip() for line in row[not row[0] :])  # without an empty line of names
        for row in rows
    )


def _lengthen(row: list[str], length: int) -> None:
    row[1:] = [line.ljust(length, " " if i % 2 else "─") for i, line in enumerate(row[1:])]


def _text_column(qubits: int, column: Sequence[Operation]) -> list[str]:
    """Return the cells of a column: wires on even lines, what runs between them on odd ones."""
    boxes = {o.target: o.about.symbols[0] + (f"({o.label})" if o.about.angle else "") for o in column}
    boxes |= {o.control: o.about.symbols[1] for o in column if o.control is not None}
    joined = {line for o in column for line in range(2 * min(o.qubits) + 1, 2 * max(o.qubits))}
    room = max(map(len, boxes.values()))
    cells = []
    for line in range(2 * qubits - 1):
        wire, link = (" ", "│") if line % 2 else ("─", "┼")
        box = "" if line % 2 else boxes.get(line // 2, "")
        cells.append((box or (link if line in joined else wire)).center(room, wire) + wire)
    return cells


def draw_image(circuit: Circuit, path: Path, *, title: str = "", measured: Sequence[int] = ()) -> None:
    """Draw the circuit to a .png, .svg or .pdf file; a long one is folded into rows.

    Raises:
        HilbertuneError: another suffix, a measured qubit that does not exist, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    total = len(circuit.columns) + bool(measured)
    # Rows of 40 columns, longer where that would make a tower.
    columns = max(40, math.isqrt(total * (circuit.qubits + 1)))
    rows = _folded(circuit, columns, measured)
    wide, high = max(map(len, rows)) + 2.2, len(rows) * (circuit.qubits + 1)
    inches = min(INCHES, 90 / max(wide, high))
    above, below = (0.5 if title else 0.1), 0.4
    height = inches * high + above + below
    figure = new_figure(max(4.5, 0.1 * len(title), inches * wide), height)
    figure.suptitle(title, fontsize=12, y=1 - 0.28 / height, va="center", parse_math=False)
    axes = figure.add_axes((0, below / height, 1, inches * high / height))
    draw_on(axes, circuit, measured=measured, columns=columns)
    gate_legend(figure, [circuit], loc="lower center")
    save_figure(figure, path)


def draw_on(axes: Any, circuit: Circuit, *, measured: Sequence[int] = (), columns: int | None = None) -> None:
    """Draw the circuit on matplotlib axes in rows of at most `columns` columns (None: as large as the axes allow).

    Where a gate is too small to hold a label, its colour alone tells weights from inputs.

    Raises:
        HilbertuneError: a measured qubit does not exist.
        MissingExtraError: matplotlib is not installed.
    """
    extent, pitch = axes.get_window_extent(), circuit.qubits + 1
    width, height = (72 * pixels / axes.figure.dpi for pixels in (extent.width, extent.height))

    def unit(columns: int) -> float:
        """Return the points between two wires, or two columns, if a row has `columns` columns."""
        rows = -(-total // columns)
        return float(min(width / (-(-total // rows) + 2.2), height / (rows * pitch)))

    total = max(1, len(circuit.columns) + bool(measured))
    columns = columns or max(range(1, total + 1), key=unit)
    rows = _folded(circuit, columns, measured)
    size, line = 0.36 * unit(columns), 0.035 * unit(columns)
    labelled = size >= 4
    wire_size = size if labelled else 6
    # A collection holds thousands of shapes; one by one they would take several times as long.
    strokes: list[Any] = []
    shapes: dict[str, list[Any]] = {WEIGHT: [], INPUT: [], "white": [], INK: []}
    for number, row in enumerate(rows):
        top = -number * pitch
        for q in range(circuit.qubits):
            axes.plot([-0.6, len(row) - 0.4], [top - q] * 2, color=WIRE, linewidth=line, zorder=1)
            if labelled or q in (0, circuit.qubits - 1):
                axes.text(-0.75, top - q, f"q{q}", ha="right", va="center", fontsize=wire_size)
        for x, o in ((x, o) for x, column in enumerate(row) for o in column):
            y = top - o.target
            if o.kind == "cx":
                dot, *more = _cnot(x, y, top - (o.control or 0))
                shapes[INK].append(dot)
                strokes += more
                continue
            colour = INPUT if o.input is not None else WEIGHT if o.about.angle else "white"
            shapes[colour] += [_box(x, top - qubit) for qubit in o.qubits]
            if o.control is not None:
                strokes.append([(x, y + math.copysign(0.34, o.target - o.control)), (x, top - o.control)])
            for qubit, text in zip(o.qubits[::-1], (o.label or o.about.symbols[0], o.about.symbols[1]), strict=False):
                fitting = size * min(1, 3.2 / max(1, len(text)))
                if labelled:
                    axes.text(x, top - qubit, text, ha="center", va="center", fontsize=fitting, zorder=5)
    for q in measured:
        x, y = len(rows[-1]) - 1, -(len(rows) - 1) * pitch - q
        shapes["white"].append(_box(x, y))
        strokes += [_arc(x, y - 0.14, 0.24, math.pi), [(x, y - 0.14), (x + 0.2, y + 0.22)]]
    collections = require("matplotlib.collections", "plot")
    for colour, patches in shapes.items():
        style = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.5 * line, "zorder": 3}
        axes.add_collection(collections.PatchCollection(patches, **style))
    axes.add_collection(collections.LineCollection(strokes, color=INK, linewidth=line, zorder=4))
    axes.set_xlim(-0.8 - 2 * wire_size / unit(columns), max(map(len, rows)))
    axes.set_ylim(0.8 - len(rows) * pitch, 0.8)
    axes.set_aspect("equal", anchor="N")
    axes.axis("off")


def _folded(circuit: Circuit, columns: int, measured: Sequence[int]) -> list[Columns]:
    """Return the columns in rows of about equal length; measurements take an empty column at the end."""
    if wrong := [qubit for qubit in measured if not 0 <= qubit < circuit.qubits]:
        raise HilbertuneError(f"Qubit {wrong[0]} cannot be measured: the circuit has {circuit.qubits} qubits.")
    every: Columns = [*circuit.columns, ()] if measured else circuit.columns or [()]
    length = -(-len(every) // -(-len(every) // columns))
    return [every[start : start + length] for start in range(0, len(every), length)]


def _cnot(x: float, target: float, control: float) -> list[Any]:
    """Return the dot of the control, then the lines."""
    dot = require("matplotlib.patches", "plot").Circle((x, control), 0.1)
    end = target + math.copysign(0.26, target - control)
    cross = [(x - 0.26, target), (x + 0.26, target)]
    return [dot, [(x, control), (x, end)], cross, _arc(x, target, 0.26, 2 * math.pi)]


def _arc(x: float, y: float, radius: float, angle: float) -> list[tuple[float, float]]:
    turns = np.linspace(0, angle, 25)
    return [(x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns]


def _box(x: float, y: float) -> Any:
    style = "round,pad=0,rounding_size=0.12"
    box = require("matplotlib.patches", "plot").FancyBboxPatch
    return box((x - 0.42, y - 0.34), 0.84, 0.68, boxstyle=style)


def gate_legend(figure: Any, circuits: Sequence[Circuit], *, brief: bool = False, **options: Any) -> None:
    """Explain the colours of the gates in the circuits, if they have any; `options` are those of `figure.legend`."""
    patch = require("matplotlib.patches", "plot").Patch
    trained, data = ("", "") if brief else (" (trained)", " (data)")
    names = {f"RY by a weight{trained}": WEIGHT} if any(c.parameters for c in circuits) else {}
    names |= {f"RY by an input{data}": INPUT} if any(c.inputs for c in circuits) else {}
    handles = [patch(facecolor=c, edgecolor=INK, linewidth=0.5, label=n) for n, c in names.items()]
    if handles:
        figure.legend(handles=handles, ncols=2, frameon=False, **{"fontsize": 9} | options)
