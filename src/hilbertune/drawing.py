"""Pictures: a circuit as text or as an image, and a whole fit on one page.

In: a `Circuit`, or the figures of an experiment. Out: text, or a PNG, SVG or PDF file (matplotlib, the extra `plot`).
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.circuit import Circuit, Operation
from hilbertune.errors import HilbertuneError, require
from hilbertune.storage import write_atomically

# The Okabe-Ito palette, which colour-blind readers can tell apart.
WEIGHT, INPUT, CNOT, GREY = "#56B4E9", "#E69F00", "#000000", "#777777"
CLASSES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#E69F00", "#000000")
FORMATS = (".png", ".svg", ".pdf")

# Text --------------------------------------------------------------------------------------------


def draw_text(circuit: Circuit, *, width: int | None = 100) -> str:
    """The circuit with a line for each qubit, folded into rows of at most `width` characters (None: never)."""
    names = [f"q{qubit}: " for qubit in range(circuit.qubits)]
    names = [name.rjust(max(map(len, names))) for name in names]
    rows: list[list[str]] = []
    for column in circuit.columns:
        cells = _text_column(circuit.qubits, column)
        wide = width is not None and rows and len(rows[-1][0]) + len(cells[0]) > width
        if wide or not rows:
            gap = " " * len(names[0])
            rows.append([line for name in names for line in (f"{name}─", f"{gap} ")][:-1])
        rows[-1] = [line + cell for line, cell in zip(rows[-1], cells, strict=True)]
    if not rows:
        return "\n".join(f"{name}──" for name in names)
    return "\n\n".join("\n".join(line.rstrip() for line in row) for row in rows)


def _text_column(qubits: int, column: Sequence[Operation]) -> list[str]:
    """A column's cells: wires at even lines, what runs between them at odd ones."""
    boxes = {o.target: f"RY({o.label})" if o.kind == "ry" else "X" for o in column}
    boxes |= {o.control: "●" for o in column if o.control is not None}
    joined = {line for o in column for line in range(2 * min(o.qubits) + 1, 2 * max(o.qubits))}
    room = max(map(len, boxes.values())) + 1
    cells = []
    for line in range(2 * qubits - 1):
        wire = "─" if line % 2 == 0 else " "
        inner = "│" if line % 2 else "┼"
        box = boxes.get(line // 2, "") if line % 2 == 0 else ""
        if not box:
            box = inner if line in joined else wire
        left = (room - 1 - len(box)) // 2
        cells.append(wire * left + box + wire * (room - len(box) - left))
    return cells


# Images ------------------------------------------------------------------------------------------


def draw_png(
    circuit: Circuit, path: Path, *, title: str = "", measured: Sequence[int] = ()
) -> None:
    """Draw the circuit to a .png, .svg or .pdf file.

    Raises:
        HilbertuneError: another suffix, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    _check_format(path)
    rows = _folded(circuit)
    height = 0.45 * len(rows) * (circuit.qubits + 1) + 0.6
    figure = _figure(max(3.0, 0.5 * (2 + max(map(len, rows)))), height)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.9))
    draw_on(axes, circuit, measured=measured)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def draw_on(axes: Any, circuit: Circuit, *, measured: Sequence[int] = ()) -> None:
    """Draw the circuit on matplotlib axes, folded so that it stays readable."""
    patches = require("matplotlib.patches", "plot")
    rows = _folded(circuit)
    longest = max(map(len, rows))
    for number, row in enumerate(rows):
        top = -number * (circuit.qubits + 1)
        end = len(row) + (1 if number == len(rows) - 1 and measured else 0)
        for qubit in range(circuit.qubits):
            axes.plot([-0.8, end - 0.3], [top - qubit] * 2, color=GREY, linewidth=0.8, zorder=0)
            axes.text(-0.9, top - qubit, f"q{qubit}", ha="right", va="center", fontsize=7)
        for x, column in enumerate(row):
            for operation in column:
                _draw_gate(axes, patches, operation, x, top)
        if number == len(rows) - 1:
            for qubit in measured:
                _box(axes, patches, len(row), top - qubit, "Z", "white")
    axes.set_xlim(-2, longest + 1)
    axes.set_ylim(-len(rows) * (circuit.qubits + 1) + 0.9, 0.9)
    axes.axis("off")


def _folded(circuit: Circuit, columns: int = 40) -> list[tuple[tuple[Operation, ...], ...]]:
    """The columns in rows of equal length, at most `columns` long."""
    total = len(circuit.columns)
    if total == 0:
        return [()]
    rows = -(-total // columns)
    length = -(-total // rows)
    return [circuit.columns[start : start + length] for start in range(0, total, length)]


def _draw_gate(axes: Any, patches: Any, operation: Operation, x: float, top: float) -> None:
    y = top - operation.target
    if operation.control is None:
        _box(axes, patches, x, y, operation.label, INPUT if operation.input is not None else WEIGHT)
        return
    axes.plot([x, x], [top - operation.control, y], color=CNOT, linewidth=0.9, zorder=1)
    axes.plot(x, top - operation.control, "o", color=CNOT, markersize=3.2, zorder=2)
    axes.add_patch(patches.Circle((x, y), 0.2, facecolor="white", edgecolor=CNOT, zorder=2))
    axes.plot([x - 0.2, x + 0.2], [y, y], color=CNOT, linewidth=0.9, zorder=3)
    axes.plot([x, x], [y - 0.2, y + 0.2], color=CNOT, linewidth=0.9, zorder=3)


def _box(axes: Any, patches: Any, x: float, y: float, label: str, colour: str) -> None:
    style = "round,pad=0.02,rounding_size=0.1"
    box = patches.FancyBboxPatch(
        (x - 0.4, y - 0.32), 0.8, 0.64, boxstyle=style, facecolor=colour, linewidth=0.5, zorder=3
    )
    axes.add_patch(box)
    axes.text(x, y, label, ha="center", va="center", fontsize=5.5, zorder=4)


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
        table: rows of `hilbertune.evaluation`; may be empty when nothing was tested.
        curves: train_loss, validation_loss and validation_accuracy [epochs, runs].
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
    figure = _figure(16, 11)
    figure.suptitle(title, fontsize=14)
    grid = figure.add_gridspec(
        2, 3, height_ratios=(1, 1.05), left=0.15, right=0.98, top=0.92, bottom=0.02, wspace=0.3
    )
    _draw_table(figure.add_subplot(grid[0, 0]), table)
    _draw_curves(figure.add_subplot(grid[0, 1]), curves)
    _draw_expectations(figure.add_subplot(grid[0, 2]), expectations, labels, classes)
    bottom = figure.add_gridspec(1, len(circuits), left=0.01, right=0.99, top=0.45, bottom=0.02)
    for place, (name, circuit) in enumerate(circuits):
        axes = figure.add_subplot(bottom[0, place])
        draw_on(axes, circuit)
        counts = circuit.counts()
        axes.set_title(
            f"{name}: {counts['parameters']} weights (blue), {counts['inputs']} inputs (orange), "
            f"{counts['two_qubit_gates']} CNOTs",
            fontsize=10,
        )
    _save(figure, path)


def _draw_table(axes: Any, table: Sequence[Mapping[str, Any]]) -> None:
    for place, row in enumerate(table):
        accuracy = row["accuracy"]
        low = accuracy["mean"] if accuracy["low"] is None else accuracy["low"]
        high = accuracy["mean"] if accuracy["high"] is None else accuracy["high"]
        error = [[accuracy["mean"] - low], [high - accuracy["mean"]]]
        colour = CLASSES[1] if row["kind"] == "quantum" else CLASSES[0]
        axes.errorbar(accuracy["mean"], -place, xerr=error, fmt="o", color=colour, capsize=4)
    names = [f"{row['method']}\n{row['parameters']} parameters" for row in table]
    axes.set_yticks([-place for place in range(len(table))], names, fontsize=9)
    axes.set_ylim(-len(table) + 0.5, 0.5)
    axes.set_xlabel("test accuracy, mean and 95 % interval over seeds")
    axes.grid(axis="x", alpha=0.3)
    axes.set_title("Methods on the same splits" if table else "Nothing was tested")


def _draw_curves(axes: Any, curves: Mapping[str, np.ndarray]) -> None:
    names = {"train_loss": "training loss", "validation_loss": "validation loss"}
    names["validation_accuracy"] = "validation accuracy"
    for colour, (key, name) in zip(CLASSES, names.items(), strict=False):
        values = np.asarray(curves[key], dtype=np.float64)
        if np.isnan(values).all():
            continue
        epochs = np.arange(1, len(values) + 1)
        axes.plot(epochs, values, color=colour, alpha=0.25, linewidth=0.8)
        known = ~np.isnan(values).all(axis=1)
        axes.plot(epochs[known], np.nanmean(values[known], axis=1), color=colour, label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel("cross-entropy (nats) or accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9)
    axes.set_title("Learning curves, a thin line a seed")


def _draw_expectations(
    axes: Any, expectations: np.ndarray, labels: np.ndarray, classes: Sequence[Any]
) -> None:
    bins = np.linspace(-1, 1, 41)
    for index, name in enumerate(classes):
        colour = CLASSES[index % len(CLASSES)]
        axes.hist(expectations[labels == index], bins, color=colour, alpha=0.55, label=str(name))
    axes.set_xlabel("the head's expectation ⟨Z⟩ of qubit 0")
    axes.set_ylabel("rows")
    axes.legend(title="true class", fontsize=9)
    axes.set_title("What the head says of held-out rows")


def _figure(width: float, height: float) -> Any:
    return require("matplotlib.figure", "plot").Figure(figsize=(width, height))


def _check_format(path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise HilbertuneError(
            f"A picture's name must end in {', '.join(FORMATS)}, not {path.name!r}."
        )


def _save(figure: Any, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower(), dpi=110)
    write_atomically(path, content.getvalue())
