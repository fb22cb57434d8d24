"""The picture of a fit on one page: methods with intervals, learning curves, expectations by class, circuits.

In: the figures of an experiment.
Out: a PNG, SVG or PDF file (matplotlib, the extra `plot`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.circuit.drawing import columns_shown, draw_on, gate_legend
from hilbertune.circuit.table import Circuit
from hilbertune.runtime.labels import Name, lay_out, name_ends
from hilbertune.runtime.plotting import (
    MUTED,
    PALETTE,
    PAPER,
    QUANTUM,
    check_format,
    in_style,
    method_look,
    new_figure,
    save_figure,
)

TIGHT: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.15}
"""The margins of the picture."""


def draw_fit(path: Path, **contents: Any) -> None:
    """Draw the picture of a fit to a .png, .svg or .pdf file; `contents` are what `fit_figure` takes.

    Raises:
        HilbertuneError: another suffix, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    save_figure(fit_figure(**contents), path, **TIGHT)


@in_style
def fit_figure(
    *,
    table: Sequence[Mapping[str, Any]],
    curves: Mapping[str, np.ndarray],
    circuits: Sequence[tuple[str, Circuit]],
    expectations: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[Any],
    title: str,
    members: int = 1,
) -> Any:
    """Return the matplotlib figure of a fit.

    Args:
        table: rows with method, kind, accuracy {mean, low, high} (absent for regression, whose metrics hold r2, None
            where it is undefined), parameters, seconds; may be empty.
        curves: train_loss, validation_loss and validation_accuracy [epochs, runs], NaN where there is none.
        circuits: pairs of a title and a circuit.
        expectations: the <Z> of qubit 0 of the head [rows], of an ensemble the first one's.
        labels: class indices [rows].
        classes: the names of the classes.
        title: printed at the top.
        members: the number of heads whose answers are averaged.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(14, 12)
    figure.suptitle(title, fontsize=15, y=0.98)
    # Between curves and histogram there is room for the names of the curves.
    left, middle, right = (
        figure.add_gridspec(rows, 1, left=low, right=high, top=0.92, bottom=0.57)
        for rows, low, high in ((1, 0.03, 0.405), (2, 0.455, 0.65), (1, 0.755, 0.985))
    )
    _draw_table(figure.add_subplot(left[0]), table)
    loss = figure.add_subplot(middle[0])
    _draw_curves(loss, figure.add_subplot(middle[1], sharex=loss), curves)
    histogram = figure.add_subplot(right[0])
    _draw_expectations(histogram, expectations, labels, classes)
    head = "head" if members == 1 else f"first of {members} heads"
    histogram.set_title(f"What the {head} measures, by true class")
    if circuits:
        # Widths by the numbers of cells, so that the gates of all circuits are about equally large.
        cells = [columns_shown(circuit) * (circuit.qubits + 1) + 1 for _, circuit in circuits]
        shares = [max(cell, 0.3 * sum(cells)) for cell in cells]
        bottom = figure.add_gridspec(
            1, len(circuits), width_ratios=shares, left=0.01, right=0.99, top=0.47, bottom=0.03
        )
        for place, (name, circuit) in enumerate(circuits):
            axes = figure.add_subplot(bottom[0, place])
            numbers = f"{circuit.qubits} qubits, {circuit.parameters} weights"
            axes.set_title(f"{name}: {numbers}", fontsize=11)
            draw_on(axes, circuit)
        shown = [circuit for _, circuit in circuits]
        gate_legend(figure, shown, loc="center", bbox_to_anchor=(0.5, 0.505))
    lay_out(figure)
    return figure


def _draw_table(axes: Any, table: Sequence[Mapping[str, Any]]) -> None:
    """Draw the mean and interval of each method, with its name and numbers above."""
    table = sorted(table, key=_mean, reverse=True)
    size = min(9.0, 80 / max(1, len(table)))
    across = axes.get_yaxis_transform()
    for place, row in enumerate(table):
        summary = _summary(row)
        colour, marker = method_look(row["kind"], row["method"])
        if summary is not None:
            _draw_interval(axes, summary, place, colour, marker, row["kind"] == "quantum")
        count = "" if row["parameters"] is None else f"{row['parameters']:,} parameters · "
        seconds = f"{row['seconds']:.0f}" if row["seconds"] >= 10 else f"{row['seconds']:.2g}"
        share = "undefined" if summary is None else f"{100 * summary['mean']:.1f} %"
        numbers = f"{share} · {count}{seconds} s"
        style = {"transform": across, "fontsize": size, "va": "center"}
        axes.text(0.02, place - 0.3, row["method"], color=colour, weight="bold", **style)
        axes.text(0.98, place - 0.3, numbers, ha="right", **style)
    axes.set_ylim(max(3, len(table)) - 0.5, -0.6)
    axes.margins(x=0.08)
    axes.set_yticks([])
    if not table:
        axes.set_xticks([])
    score = "R²" if table and "accuracy" not in table[0] else "accuracy"
    axes.set_xlabel(f"test {score} (%), mean and 95 % interval over seeds")
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_title("Methods on the same splits" if table else "Nothing was tested")


def _summary(row: Mapping[str, Any]) -> Any:
    """Return mean and interval of a method; None where its R² is undefined."""
    return row.get("accuracy") or row["metrics"]["r2"]


def _mean(row: Mapping[str, Any]) -> float:
    summary = _summary(row)
    return -np.inf if summary is None else float(summary["mean"])


def _draw_interval(axes: Any, summary: Mapping[str, Any], place: int, colour: str, marker: str, filled: bool) -> None:
    """Draw a mean with its interval, which one seed does not have."""
    mean, low, high = (summary[k] for k in ("mean", "low", "high"))
    below = 0.0 if low is None else max(0.0, mean - low)
    above = 0.0 if high is None else max(0.0, high - mean)
    style = {"fmt": marker, "color": colour, "markerfacecolor": colour if filled else PAPER, "capsize": 4}
    axes.errorbar(100 * mean, place, xerr=[[100 * below], [100 * above]], **style)


def _draw_curves(loss: Any, accuracy: Any, curves: Mapping[str, np.ndarray]) -> None:
    """Draw a thin line for each run, and in bold the mean over the runs that still train."""
    ends: dict[Any, list[Name]] = {loss: [], accuracy: []}
    for axes, key, name, scale, colour, dashes in (
        (loss, "train_loss", "training", 1, MUTED, "--"),
        (loss, "validation_loss", "validation", 1, QUANTUM, "-"),
        (accuracy, "validation_accuracy", "validation", 100, QUANTUM, "-"),
    ):
        values = scale * np.asarray(curves[key], dtype=np.float64)
        known = ~np.isnan(values).all(axis=1)
        if not known.any():
            continue
        epochs = np.arange(1, len(values) + 1)
        mark = "." if known.sum() == 1 else ""
        axes.plot(epochs, values, color=colour, alpha=0.3, linewidth=0.8)
        mean = np.nanmean(values[known], axis=1)
        axes.plot(epochs[known], mean, marker=mark, color=colour, linewidth=2, linestyle=dashes)
        ends[axes].append(Name(name, float(epochs[known][-1]), float(mean[-1]), colour))
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
        axes.grid()
        name_ends(axes, ends[axes])


def _draw_expectations(axes: Any, expectations: np.ndarray, labels: np.ndarray, classes: Sequence[Any]) -> None:
    """Draw a histogram of the expectations of each class, as many as there are colours."""
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
    axes.legend(title=f"true class{first}", fontsize=9, ncols=2, loc="upper center")
