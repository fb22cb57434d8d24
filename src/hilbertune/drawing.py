"""Pictures: a circuit as text or as an image, and a whole fit on one page.

In: a `Circuit`, or the figures of an experiment. Out: text, or a PNG, SVG or PDF file (matplotlib, the extra `plot`).
"""

import io
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from hilbertune.circuit import Circuit, Operation
from hilbertune.errors import HilbertuneError, require
from hilbertune.storage import write_atomically

if TYPE_CHECKING:
    from hilbertune.explain import Explanation

# The Okabe-Ito palette, which colour-blind readers can tell apart.
WEIGHT, INPUT, INK, WIRE = "#56B4E9", "#E69F00", "#000000", "#999999"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
FORMATS = (".png", ".svg", ".pdf")
INCHES = 0.42
"""Distance of two wires, or of two columns, in a picture of one circuit."""

Columns = Sequence[Sequence[Operation]]

# Text --------------------------------------------------------------------------------------------


def draw_text(
    circuit: Circuit,
    *,
    width: int | None = 100,
    blocks: Sequence[tuple[str, int]] | None = None,
) -> str:
    """The circuit with a line for each qubit, folded into rows of at most `width` characters (None: never).

    `blocks` are names for consecutive operations and how many of them each takes: a block starts in a column of its
    own, below its name.

    Raises:
        HilbertuneError: the blocks do not hold the circuit's operations exactly.
    """
    blocks = [("", len(circuit.operations))] if blocks is None else blocks
    if sum(count for _, count in blocks) != len(circuit.operations):
        raise HilbertuneError(
            f"The blocks must hold exactly the circuit's {len(circuit.operations)} operations."
        )
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
    """A column's cells: wires at even lines, what runs between them at odd ones."""
    boxes = {o.target: f"RY({o.label})" if o.kind == "ry" else "⊕" for o in column}
    boxes |= {o.control: "●" for o in column if o.control is not None}
    joined = {line for o in column for line in range(2 * min(o.qubits) + 1, 2 * max(o.qubits))}
    room = max(map(len, boxes.values()))
    cells = []
    for line in range(2 * qubits - 1):
        wire, link = (" ", "│") if line % 2 else ("─", "┼")
        box = "" if line % 2 else boxes.get(line // 2, "")
        cells.append((box or (link if line in joined else wire)).center(room, wire) + wire)
    return cells


# Images of circuits ------------------------------------------------------------------------------


def draw_png(
    circuit: Circuit, path: Path, *, title: str = "", measured: Sequence[int] = ()
) -> None:
    """Draw the circuit to a .png, .svg or .pdf file; a long one is folded into rows.

    Raises:
        HilbertuneError: another suffix, a measured qubit that does not exist, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    _check_format(path)
    total = len(circuit.columns) + bool(measured)
    # Rows of 40 columns, longer where that would make a tower.
    columns = max(40, math.isqrt(total * (circuit.qubits + 1)))
    rows = _folded(circuit, columns, measured)
    wide, high = max(map(len, rows)) + 2.2, len(rows) * (circuit.qubits + 1)
    inches = min(INCHES, 90 / max(wide, high))
    above, below = (0.5 if title else 0.1), 0.4
    height = inches * high + above + below
    figure = _figure(max(4.5, 0.1 * len(title), inches * wide), height)
    figure.suptitle(title, fontsize=12, y=1 - 0.28 / height, va="center", parse_math=False)
    axes = figure.add_axes((0, below / height, 1, inches * high / height))
    draw_on(axes, circuit, measured=measured, columns=columns)
    _legend(figure, [circuit], loc="lower center")
    _save(figure, path)


def draw_on(
    axes: Any, circuit: Circuit, *, measured: Sequence[int] = (), columns: int | None = None
) -> None:
    """Draw the circuit on matplotlib axes in rows of at most `columns` columns (None: as large as the axes allow).

    Where a gate is too small to hold a label, its colour alone tells weights from inputs.

    Raises:
        HilbertuneError: a measured qubit does not exist.
        MissingExtraError: matplotlib is not installed.
    """
    extent, pitch = axes.get_window_extent(), circuit.qubits + 1
    width, height = (72 * pixels / axes.figure.dpi for pixels in (extent.width, extent.height))

    def unit(columns: int) -> float:
        """Points between two wires, or two columns, if rows have so many columns."""
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
            if o.control is not None:
                dot, *more = _cnot(x, y, top - o.control)
                shapes[INK].append(dot)
                strokes += more
                continue
            shapes[WEIGHT if o.input is None else INPUT].append(_box(x, y))
            if labelled:
                fitting = size * min(1, 3.2 / len(o.label))
                axes.text(x, y, o.label, ha="center", va="center", fontsize=fitting, zorder=5)
    for q in measured:
        x, y = len(rows[-1]) - 1, -(len(rows) - 1) * pitch - q
        shapes["white"].append(_box(x, y))
        strokes += [_arc(x, y - 0.14, 0.24, math.pi), [(x, y - 0.14), (x + 0.2, y + 0.22)]]
    made = require("matplotlib.collections", "plot")
    for colour, patches in shapes.items():
        style = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.5 * line, "zorder": 3}
        axes.add_collection(made.PatchCollection(patches, **style))
    axes.add_collection(made.LineCollection(strokes, color=INK, linewidth=line, zorder=4))
    axes.set_xlim(-0.8 - 2 * wire_size / unit(columns), max(map(len, rows)))
    axes.set_ylim(0.8 - len(rows) * pitch, 0.8)
    axes.set_aspect("equal", anchor="N")
    axes.axis("off")


def _folded(circuit: Circuit, columns: int, measured: Sequence[int]) -> list[Columns]:
    """The columns in rows of about equal length; measurements take an empty column at the end."""
    if wrong := [qubit for qubit in measured if not 0 <= qubit < circuit.qubits]:
        raise HilbertuneError(f"Qubit {wrong[0]} cannot be measured: there are {circuit.qubits}.")
    every: Columns = [*circuit.columns, ()] if measured else circuit.columns or [()]
    length = -(-len(every) // -(-len(every) // columns))
    return [every[start : start + length] for start in range(0, len(every), length)]


def _cnot(x: float, target: float, control: float) -> list[Any]:
    """The control's dot, then the lines."""
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


def _legend(figure: Any, circuits: Sequence[Circuit], **where: Any) -> None:
    patch = require("matplotlib.patches", "plot").Patch
    names = {"RY by a weight (trained)": WEIGHT} if any(c.parameters for c in circuits) else {}
    names |= {"RY by an input (data)": INPUT} if any(c.inputs for c in circuits) else {}
    handles = [patch(facecolor=c, edgecolor=INK, linewidth=0.5, label=n) for n, c in names.items()]
    if handles:
        figure.legend(handles=handles, ncols=2, frameon=False, fontsize=9, **where)


# The picture of a fit ----------------------------------------------------------------------------


def draw_fit(
    path: Path,
    *,
    table: Sequence[Mapping[str, Any]],
    curves: Mapping[str, np.ndarray],
    circuits: Sequence[tuple[str, Circuit]],
    expectations: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[Any],
    title: str,
) -> None:
    """The picture of a fit: methods with intervals, learning curves, expectations by class, circuits.

    Args:
        path: a .png, .svg or .pdf file.
        table: rows with method, kind, accuracy {mean, low, high} (absent for regression, whose metrics hold r2), parameters, seconds; may be empty.
        curves: train_loss, validation_loss and validation_accuracy [epochs, runs], NaN where there is none.
        circuits: a title and a circuit each.
        expectations: the head's <Z> of qubit 0 [rows].
        labels: class indices [rows].
        classes: the classes' names.
        title: printed above all.

    Raises:
        HilbertuneError: another suffix, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    _check_format(path)
    figure = _figure(14, 12)
    figure.suptitle(title, fontsize=15, y=0.98, parse_math=False)
    top = figure.add_gridspec(
        2, 3, width_ratios=(1.45, 1, 1), left=0.03, right=0.985, top=0.92, bottom=0.57, wspace=0.24
    )
    _draw_table(figure.add_subplot(top[:, 0]), table)
    loss = figure.add_subplot(top[0, 1])
    _draw_curves(loss, figure.add_subplot(top[1, 1], sharex=loss), curves)
    _draw_expectations(figure.add_subplot(top[:, 2]), expectations, labels, classes)
    if circuits:
        # Widths by the numbers of cells, so that the gates of all circuits come out about as large.
        cells = [len(circuit.columns) * (circuit.qubits + 1) + 1 for _, circuit in circuits]
        shares = [max(cell, 0.3 * sum(cells)) for cell in cells]
        bottom = figure.add_gridspec(
            1, len(circuits), width_ratios=shares, left=0.01, right=0.99, top=0.47, bottom=0.03
        )
        for place, (name, circuit) in enumerate(circuits):
            axes = figure.add_subplot(bottom[0, place])
            numbers = f"{circuit.qubits} qubits, {circuit.parameters} weights"
            axes.set_title(f"{name}: {numbers}", fontsize=11, parse_math=False)
            draw_on(axes, circuit)
        shown = [circuit for _, circuit in circuits]
        _legend(figure, shown, loc="center", bbox_to_anchor=(0.5, 0.505))
    _save(figure, path, bbox_inches="tight", pad_inches=0.15)


def _draw_table(axes: Any, table: Sequence[Mapping[str, Any]]) -> None:
    size = min(9.0, 80 / max(1, len(table)))
    across = axes.get_yaxis_transform()
    for place, row in enumerate(table):
        mean, low, high = (
            (row.get("accuracy") or row["metrics"]["r2"])[k] for k in ("mean", "low", "high")
        )
        # One seed has no interval.
        below = 0.0 if low is None else max(0.0, mean - low)
        above = 0.0 if high is None else max(0.0, high - mean)
        colour = PALETTE[1] if row["kind"] == "quantum" else PALETTE[0]
        ends = [[100 * below], [100 * above]]
        axes.errorbar(100 * mean, place, xerr=ends, fmt="o", color=colour, capsize=4)
        count = "" if row["parameters"] is None else f"{row['parameters']:,} parameters · "
        seconds = f"{row['seconds']:.0f}" if row["seconds"] >= 10 else f"{row['seconds']:.2g}"
        numbers = f"{100 * mean:.1f} % · {count}{seconds} s"
        style = {"transform": across, "fontsize": size, "va": "center", "parse_math": False}
        axes.text(0.02, place - 0.3, row["method"], color=colour, weight="bold", **style)
        axes.text(0.98, place - 0.3, numbers, ha="right", **style)
    axes.set_ylim(max(3, len(table)) - 0.5, -0.6)
    axes.margins(x=0.08)
    axes.set_yticks([])
    if not table:
        axes.set_xticks([])
    axes.set_ylabel("method")
    score = "R²" if table and "accuracy" not in table[0] else "accuracy"
    axes.set_xlabel(f"test {score} (%), mean and 95 % interval over seeds")
    axes.grid(axis="x", alpha=0.3)
    axes.set_title("Methods on the same splits" if table else "Nothing was tested")


def _draw_curves(loss: Any, accuracy: Any, curves: Mapping[str, np.ndarray]) -> None:
    """A thin line a run, bold the mean over the runs that still train."""
    for axes, key, name, scale, colour in (
        (loss, "train_loss", "training", 1, PALETTE[0]),
        (loss, "validation_loss", "validation", 1, PALETTE[1]),
        (accuracy, "validation_accuracy", "validation", 100, PALETTE[1]),
    ):
        values = scale * np.asarray(curves[key], dtype=np.float64)
        known = ~np.isnan(values).all(axis=1)
        if not known.any():
            continue
        epochs = np.arange(1, len(values) + 1)
        mark = "." if known.sum() == 1 else ""
        axes.plot(epochs, values, color=colour, alpha=0.3, linewidth=0.8)
        mean = np.nanmean(values[known], axis=1)
        axes.plot(epochs[known], mean, marker=mark, color=colour, linewidth=2, label=name)
    loss.set_title("Learning curves: runs thin, mean bold")
    loss.set_ylabel("cross-entropy (nats)")
    loss.tick_params(labelbottom=False)
    accuracy.set_ylabel("validation accuracy (%)")
    accuracy.set_xlabel("epoch")
    accuracy.xaxis.get_major_locator().set_params(integer=True)
    accuracy.set_xlim(0, 1 + len(curves["train_loss"]))
    if not accuracy.lines:  # no validation rows
        accuracy.set_ylim(0, 100)
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
    if loss.get_legend_handles_labels()[0]:
        loss.legend(fontsize=9)


def _draw_expectations(
    axes: Any, expectations: np.ndarray, labels: np.ndarray, classes: Sequence[Any]
) -> None:
    bins = np.linspace(-1, 1, 41)
    for index, (colour, label) in enumerate(zip(PALETTE, classes, strict=False)):
        # A leading space: matplotlib leaves names with a leading underscore out of the legend.
        name = " " + (str(label) if len(str(label)) <= 24 else f"{str(label)[:23]}…")
        values = expectations[labels == index]
        if len(classes) < 4:
            axes.hist(values, bins, histtype="stepfilled", color=colour, alpha=0.4)
        axes.hist(values, bins, histtype="step", color=colour, linewidth=1.5, label=name)
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    axes.set_xlim(-1, 1)
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    axes.set_xlabel("expectation ⟨Z⟩ of qubit 0 (from −1 to 1)")
    axes.set_ylabel("rows")
    first = f" (first {len(PALETTE)} of {len(classes)})" if len(classes) > len(PALETTE) else ""
    legend = axes.legend(title=f"true class{first}", fontsize=9, ncols=2, loc="upper center")
    for text in legend.get_texts():
        text.set_parse_math(False)
    axes.set_title("What the head measures, by true class")


# Files -------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Any:
    return require("matplotlib.figure", "plot").Figure(figsize=(width, height), dpi=120)


def _check_format(path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise HilbertuneError(
            f"A picture's name must end in {', '.join(FORMATS)}, not {path.name!r}."
        )


def _save(figure: Any, path: Path, **options: Any) -> None:
    content = io.BytesIO()
    kind = path.suffix[1:].lower()
    date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    # Text stays text in an SVG, and the same drawing gives the same bytes.
    fixed = {"svg.fonttype": "none", "svg.hashsalt": "hilbertune"}
    with require("matplotlib", "plot").rc_context(fixed):
        figure.savefig(content, format=kind, metadata=date, **options)
    write_atomically(path, content.getvalue())


def draw_hardware(
    figures: Mapping[str, Any],
    exact: Float[np.ndarray, "rows measured"],
    measured: Float[np.ndarray, "rows measured"],
    path: Path,
) -> None:
    """A run on hardware in three panels: expectations measured against exact ones, accuracies with intervals, and calibration.

    Raises:
        HilbertuneError: another suffix than .png, .svg, .pdf.
        MissingExtraError: matplotlib is not installed.
    """
    _check_format(path)
    figure = _figure(13, 4.2)
    left, middle, right = figure.subplots(1, 3)
    left.plot([-1, 1], [-1, 1], color="0.7", linewidth=1)
    left.plot(exact.ravel(), measured.ravel(), ".", color="#4053d3", markersize=4, alpha=0.6)
    error = figures["expectation_error"]
    left.set(
        xlabel="exact expectation",
        ylabel="measured",
        xlim=(-1.05, 1.05),
        ylim=(-1.05, 1.05),
        title=f"error {error['root_mean_square']:.3f}, from shots alone {error['from_shots_alone']:.3f}",
    )
    rows = [
        (name, own["accuracy"]) for name, own in figures["methods"].items() if "accuracy" in own
    ]
    for place, (_, a) in enumerate(rows):
        ends = [[a["mean"] - a["low"]], [a["high"] - a["mean"]]]
        middle.errorbar([place], [a["mean"]], yerr=ends, fmt="o", capsize=4, color="#4053d3")
    middle.set_xticks(range(len(rows)), [name for name, _ in rows])
    middle.set_xlim(-0.5, max(1, len(rows)) - 0.5)
    middle.set(title=f"accuracy on {figures['rows']} rows, 95 % intervals")
    right.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for (name, own), colour in zip(
        figures["methods"].items(), ("0.5", "#4053d3", "#b51d14"), strict=False
    ):
        if "calibration" in own:
            bins = own["calibration"]["bins"]
            right.plot(
                [b["probability"] for b in bins],
                [b["right"] for b in bins],
                "o-",
                color=colour,
                label=name,
            )
    right.set(xlabel="stated probability", ylabel="share that was right", title="calibration")
    if right.get_legend_handles_labels()[0]:
        right.legend()
    figure.tight_layout()
    _save(figure, path)


def draw_explanation(explanation: "Explanation", path: Path) -> None:
    """The picture of one answer: the effect of each word, the encoders' expectations, the head's qubits block by block.

    Raises:
        HilbertuneError: another suffix than .png, .svg or .pdf, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    _check_format(path)
    words = [(word, effect) for word, effect in explanation.words if effect is not None]
    height = max(5.0, 2.2 + 0.24 * len(words))
    figure = _figure(13, height)
    figure.suptitle(
        f"{explanation.answer}   (score {explanation.score:.3f})", fontsize=15, parse_math=False
    )
    grid = figure.add_gridspec(
        2, 2, width_ratios=(1, 1.25), left=0.13, right=0.97, top=1 - 0.75 / height,
        bottom=0.65 / height, wspace=0.22, hspace=0.5,
    )  # fmt: skip
    left = figure.add_subplot(grid[:, 0])
    if words:
        effects = [100 * effect for _, effect in words]
        colours = [PALETTE[0] if effect >= 0 else PALETTE[1] for effect in effects]
        left.barh(range(len(words)), effects, color=colours)
        left.set_yticks(range(len(words)), [word for word, _ in words], parse_math=False)
        left.invert_yaxis()
        left.axvline(0, color="black", linewidth=0.8)
        left.set_xlabel("change of the score when the word is there (points)")
    else:
        left.set_axis_off()
    left.set_title(
        "Words: blue speaks for the answer, orange against" if words else "No words", fontsize=11
    )
    _draw_heat(
        figure.add_subplot(grid[0, 1]),
        np.array(explanation.encoders),
        [f"encoder {e}" for e in range(len(explanation.encoders))],
        "What the encoders hand to the head: ⟨Z⟩ of their qubits",
    )
    _draw_heat(
        figure.add_subplot(grid[1, 1]),
        np.array([block.z for block in explanation.blocks]),
        [block.name for block in explanation.blocks],
        "The head's qubits after each block: ⟨Z⟩ (in brackets: purity)",
        np.array([block.purity for block in explanation.blocks]),
    )
    _save(figure, path, bbox_inches="tight", pad_inches=0.15)


def _draw_heat(
    axes: Any,
    values: np.ndarray,
    names: Sequence[str],
    title: str,
    below: np.ndarray | None = None,
) -> None:
    """Numbers from -1 to 1 as a table of colours with the numbers in it."""
    axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    size = min(9.0, 90 / max(8, values.shape[1]))
    for row, column in np.ndindex(*values.shape):
        text = f"{values[row, column]:+.2f}"
        if below is not None:
            text += f"\n({below[row, column]:.2f})"
        dark = abs(values[row, column]) > 0.6
        axes.text(
            column, row, text, ha="center", va="center", fontsize=size,
            color="white" if dark else "black",
        )  # fmt: skip
    axes.set_xticks(range(values.shape[1]), [f"q{q}" for q in range(values.shape[1])])
    axes.set_yticks(range(len(names)), names)
    axes.set_title(title, fontsize=11)
