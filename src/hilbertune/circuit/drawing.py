"""Drawings of a circuit, as text or as an image.

In: a `Circuit`.
Out: lines of text, shapes on matplotlib axes, a figure, or a PNG, SVG or PDF file (matplotlib: the extra `plot`).
"""

import html
import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from hilbertune.circuit.columns import Folded, Frame, columns_of, folded
from hilbertune.circuit.kinds import Operation
from hilbertune.errors import HilbertuneError, MissingExtraError, require
from hilbertune.runtime.plotting import (
    INK,
    INPUT,
    MUTED,
    PAPER,
    WEIGHT,
    WIRE,
    check_format,
    image,
    in_style,
    new_figure,
    save_figure,
)

INCHES = 0.42
"""Distance between two wires, or two columns, in a picture of one circuit."""

Columns = Sequence[Sequence[Operation]]


class _Drawn(Protocol):
    """The part of a circuit that drawings read."""

    @property
    def qubits(self) -> int: ...

    @property
    def operations(self) -> tuple[Operation, ...]: ...

    @property
    def parameters(self) -> int: ...

    @property
    def inputs(self) -> int: ...


class Drawings:
    """The part of a circuit that shows it in a notebook; `Circuit` has the rest."""

    def draw(self: _Drawn, *, title: str = "", measured: Sequence[int] = ()) -> Any:
        """Return a matplotlib figure of the circuit (extra `plot`); a long one shows repeated blocks once.

        Raises:
            HilbertuneError: a measured qubit does not exist.
            MissingExtraError: matplotlib is not installed.
        """
        return circuit_picture(self, title=title, measured=measured)

    def _repr_html_(self: _Drawn) -> str:
        """Return the drawing as notebooks show it; without matplotlib it is text."""
        try:
            drawn = image(circuit_picture(self), ".svg", salt=str(hash(self)), dark=False).decode()
        except MissingExtraError:
            return f"<pre>{html.escape(draw_text(self))}</pre>"
        return f'<div style="overflow-x: auto">{drawn[drawn.index("<svg") :]}</div>'


def draw_text(
    circuit: _Drawn,
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
        for column in columns_of(circuit.qubits, tuple(islice(operations, count))):
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


def draw_image(circuit: _Drawn, path: Path, *, title: str = "", measured: Sequence[int] = ()) -> None:
    """Draw the circuit to a .png, .svg or .pdf file; a long one is folded into rows and shows repeated blocks once.

    Raises:
        HilbertuneError: another suffix, a measured qubit that does not exist, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    save_figure(circuit_picture(circuit, title=title, measured=measured), path)


@in_style
def circuit_picture(circuit: _Drawn, *, title: str = "", measured: Sequence[int] = ()) -> Any:
    """Return a matplotlib figure of the circuit, as `draw_image` draws it.

    Raises:
        HilbertuneError: a measured qubit does not exist.
        MissingExtraError: matplotlib is not installed.
    """
    total = columns_shown(circuit, measured)
    # Rows of 40 columns, longer where that would make a tower.
    columns = max(40, math.isqrt(total * (circuit.qubits + 1)))
    rows = _rows(_sheet(circuit, measured), columns)
    wide, high = max(map(len, rows)) + 3.2, len(rows) * (circuit.qubits + 1) + 0.4
    inches = min(INCHES, 90 / max(wide, high))
    above, below = (0.5 if title else 0.1), 0.4
    height = inches * high + above + below
    figure = new_figure(max(4.5, 0.1 * len(title), inches * wide), height)
    figure.suptitle(title, fontsize=12, y=1 - 0.28 / height, va="center")
    axes = figure.add_axes((0, below / height, 1, inches * high / height))
    draw_on(axes, circuit, measured=measured, columns=columns)
    gate_legend(figure, [circuit], loc="lower center")
    return figure


def columns_shown(circuit: _Drawn, measured: Sequence[int] = ()) -> int:
    """Return how many columns a picture has: fewer than the circuit where repeated blocks are shown once."""
    return len(_sheet(circuit, measured).columns)


def _sheet(circuit: _Drawn, measured: Sequence[int]) -> Folded:
    """Return all columns of a picture, with an empty one for measurements."""
    if wrong := [qubit for qubit in measured if not 0 <= qubit < circuit.qubits]:
        raise HilbertuneError(f"Qubit {wrong[0]} cannot be measured: the circuit has {circuit.qubits} qubits.")
    sheet = folded(circuit.qubits, circuit.operations)
    return sheet._replace(columns=[*sheet.columns, ()]) if measured or not sheet.columns else sheet


def _rows(sheet: Folded, columns: int) -> list[Columns]:
    """Return the columns in rows of about equal length."""
    every = sheet.columns
    length = -(-len(every) // -(-len(every) // columns))
    return [every[start : start + length] for start in range(0, len(every), length)]


class _Scale(NamedTuple):
    """The points of a label, of a wire's name and of a line, and whether gates have room for labels."""

    label: float
    name: float
    line: float
    labelled: bool


class _Shapes:
    """The shapes of a picture by colour: a collection holds thousands, one by one they would take several times long.

    `links` run below gates, `strokes` above them.
    """

    def __init__(self) -> None:
        self.links: list[Any] = []
        self.strokes: list[Any] = []
        self.filled: dict[str, list[Any]] = {WEIGHT: [], INPUT: [], PAPER: [], INK: []}

    def add_to(self, axes: Any, line: float) -> None:
        """Draw everything on the axes, with lines of this many points."""
        collections = require("matplotlib.collections", "plot")
        for colour, patches in self.filled.items():
            style = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.5 * line, "zorder": 3}
            axes.add_collection(collections.PatchCollection(patches, **style))
        for lines, order in ((self.links, 2), (self.strokes, 4)):
            axes.add_collection(collections.LineCollection(lines, color=INK, linewidth=line, zorder=order))


def draw_on(
    axes: Any, circuit: _Drawn, *, measured: Sequence[int] = (), columns: int | None = None, least: float = 4.0
) -> None:
    """Draw the circuit on matplotlib axes in rows of at most `columns` columns (None: as large as the axes allow).

    Where a gate is too small to hold a label of `least` points, its colour alone tells weights from inputs. Blocks that
    a long circuit repeats are drawn once, in a frame; dots at the ends of a row say that the circuit goes on.

    Raises:
        HilbertuneError: a measured qubit does not exist.
        MissingExtraError: matplotlib is not installed.
    """
    extent, pitch = axes.get_window_extent(), circuit.qubits + 1
    width, height = (72 * pixels / axes.figure.dpi for pixels in (extent.width, extent.height))
    sheet = _sheet(circuit, measured)
    total = len(sheet.columns)

    def unit(columns: int) -> float:
        """Return the points between two wires, or two columns, if a row has `columns` columns."""
        rows = -(-total // columns)
        return float(min(width / (-(-total // rows) + 3.2), height / (rows * pitch + 0.4)))

    columns = columns or max(range(1, total + 1), key=unit)
    rows = _rows(sheet, columns)
    size = 0.36 * unit(columns)
    named = size if size >= least else max(6.0, least)
    scale = _Scale(size, named, 0.035 * unit(columns), size >= least)
    shapes = _Shapes()
    start = 0
    for number, row in enumerate(rows):
        top, last = -number * pitch, number == len(rows) - 1
        _draw_wires(axes, circuit.qubits, (0, len(row)), top, scale, (number > 0, not last))
        for x, column in enumerate(row):
            for operation in column:
                _draw_gate(axes, shapes, operation, x, top, scale)
        for frame in sheet.frames:
            _draw_frame(axes, circuit.qubits, frame, (start, start + len(row)), top, scale)
        if sheet.gap and start <= sheet.gap[0] < start + len(row):
            _draw_gap(axes, circuit.qubits, sheet.gap[0] - start, top, sheet.gap[1], scale)
        start += len(row)
    for q in measured:
        x, y = len(rows[-1]) - 1, -(len(rows) - 1) * pitch - q
        shapes.filled[PAPER].append(_box(x, y))
        shapes.strokes += [_arc(x, y - 0.14, 0.24, math.pi), [(x, y - 0.14), (x + 0.2, y + 0.22)]]
    shapes.add_to(axes, scale.line)
    axes.set_xlim(-1 - 3 * scale.name / unit(columns), max(map(len, rows)) + 0.4)
    axes.set_ylim(0.8 - len(rows) * pitch, 1.2)
    axes.set_aspect("equal", anchor="N")
    axes.axis("off")


def _draw_wires(
    axes: Any, qubits: int, ends: tuple[int, int], top: float, scale: _Scale, continued: tuple[bool, bool]
) -> None:
    """Draw the wires of a row with their names; dots say that the row before, or this one, is continued."""
    for q in range(qubits):
        axes.plot([ends[0] - 0.6, ends[1] - 0.4], [top - q] * 2, color=WIRE, linewidth=scale.line, zorder=1)
        if scale.labelled or q in (0, qubits - 1):
            name = f"q{q} ⋯" if continued[0] else f"q{q}"
            axes.text(ends[0] - 0.75, top - q, name, ha="right", va="center", fontsize=scale.name)
            if continued[1]:
                axes.text(ends[1] - 0.3, top - q, "⋯", ha="left", va="center", fontsize=scale.name)


def _draw_gate(axes: Any, shapes: _Shapes, operation: Operation, x: float, top: float, scale: _Scale) -> None:
    """Draw a gate: the line that joins its qubits, and at each of them a dot, a cross, or a box with its symbol."""
    qubits = operation.qubits
    if len(qubits) > 1:
        shapes.links.append([(x, top - min(qubits)), (x, top - max(qubits))])
    colour = INPUT if operation.input is not None else WEIGHT if operation.about.angle else PAPER
    symbols = operation.about.symbols
    drawn = [(operation.target, symbols[0])]
    drawn += [(q, s) for q, s in zip((operation.control, operation.other), symbols[1:], strict=False) if q is not None]
    for qubit, symbol in drawn:
        y = top - qubit
        if symbol == "●":
            shapes.filled[INK].append(require("matplotlib.patches", "plot").Circle((x, y), 0.1))
        elif symbol == "⊕":
            cross = [[(x - 0.26, y), (x + 0.26, y)], [(x, y - 0.26), (x, y + 0.26)]]
            shapes.strokes += [*cross, _arc(x, y, 0.26, 2 * math.pi)]
        elif symbol == "×":
            shapes.strokes += [[(x - 0.16, y + d), (x + 0.16, y - d)] for d in (-0.16, 0.16)]
        else:
            shapes.filled[colour].append(_box(x, y))
            if scale.labelled:
                _write_symbol(axes, operation, symbol, (x, y), scale.label, INK if colour == PAPER else "black")


def _write_symbol(
    axes: Any, operation: Operation, symbol: str, place: tuple[float, float], size: float, ink: str
) -> None:
    """Write a gate's symbol, and at its target the angle below it; of RY, the most frequent gate, the angle alone."""
    lines = [symbol]
    if operation.label and symbol == operation.about.symbols[0]:
        lines = [operation.label] if operation.kind == "ry" else [symbol, operation.label]
    fitting = size * min(1.0, 3.2 / max(map(len, lines)), 0.75 if len(lines) > 1 else 1.0)
    style = {"ha": "center", "va": "center", "color": ink, "zorder": 5, "linespacing": 1.0}
    axes.text(*place, "\n".join(lines), fontsize=fitting, **style)


def _draw_frame(axes: Any, qubits: int, frame: Frame, shown: tuple[int, int], top: float, scale: _Scale) -> None:
    """Draw what a row shows of a frame, open where it goes on in another row, with its label where it starts."""
    first, last = max(frame.start, shown[0]), min(frame.stop, shown[1])
    if first >= last:
        return
    left, right, low, high = first - shown[0] - 0.48, last - shown[0] - 0.52, top - qubits + 0.45, top + 0.55
    style = {"color": MUTED, "linewidth": max(0.8, scale.line), "linestyle": (0, (4, 2)), "zorder": 0.5}
    for y in (low, high):
        axes.plot([left, right], [y, y], **style)
    for x, edge in ((left, first == frame.start), (right, last == frame.stop)):
        if edge:
            axes.plot([x, x], [low, high], **style)
    if first == frame.start:
        axes.text(left, high + 0.05, frame.label, ha="left", va="bottom", fontsize=max(6, scale.name), color=INK)


def _draw_gap(axes: Any, qubits: int, x: float, top: float, left_out: int, scale: _Scale) -> None:
    """Say in an empty column how many columns are left out there."""
    axes.text(
        x,
        top - (qubits - 1) / 2,
        f"⋯ {left_out} columns ⋯",
        rotation=90,
        ha="center",
        va="center",
        fontsize=max(6, scale.name),
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
        zorder=6,
    )


def _arc(x: float, y: float, radius: float, angle: float) -> list[tuple[float, float]]:
    turns = np.linspace(0, angle, 25)
    return [(x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns]


def _box(x: float, y: float) -> Any:
    style = "round,pad=0,rounding_size=0.12"
    box = require("matplotlib.patches", "plot").FancyBboxPatch
    return box((x - 0.42, y - 0.34), 0.84, 0.68, boxstyle=style)


def gate_legend(figure: Any, circuits: Sequence[_Drawn], *, brief: bool = False, **options: Any) -> None:
    """Explain the colours of the gates in the circuits, if they have any; `options` are those of `figure.legend`."""
    patch = require("matplotlib.patches", "plot").Patch
    trained, data = ("", "") if brief else (" (trained)", " (data)")
    names = {f"angle: a weight{trained}": WEIGHT} if any(c.parameters for c in circuits) else {}
    names |= {f"angle: an input{data}": INPUT} if any(c.inputs for c in circuits) else {}
    handles = [patch(facecolor=c, edgecolor=INK, linewidth=0.5, label=n) for n, c in names.items()]
    if handles:
        figure.legend(handles=handles, ncols=2, frameon=False, **{"fontsize": 9} | options)
