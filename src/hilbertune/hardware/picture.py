"""Pictures of hardware: a measured run, and the break-even with a simulator.

In: the figures of a run, or of a break-even report.
Out: a PNG, SVG or PDF file (matplotlib, the extra `plot`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hilbertune.hardware.fits import WIDEST
from hilbertune.hardware.options import is_simulated
from hilbertune.runtime.escaping import visible
from hilbertune.runtime.labels import Name, lay_out, name_ends
from hilbertune.runtime.plotting import (
    INK,
    KERNEL,
    MUTED,
    ON_DARK,
    PALETTE,
    PAPER,
    QUANTUM,
    check_format,
    in_style,
    new_figure,
    save_figure,
)

LOOKS = {"exact": (MUTED, "s"), "hardware": (QUANTUM, "o"), "noise model": (KERNEL, "^")}
"""Colour and marker of each way to get the answers."""

NUMBERED = 12
"""The most classes of a matrix with numbers in its cells."""


@in_style
def draw_hardware(
    figures: Mapping[str, Any],
    exact: Float[np.ndarray, "members rows measured"],
    measured: Float[np.ndarray, "members rows measured"],
    path: Path,
    classes: Sequence[object] = (),
) -> None:
    """Draw a run: its title, shots and price; expectations, accuracies, calibration; and confusion matrices.

    Of an ensemble the first panel shows the expectations of all heads, the others their averaged answers. `classes` are
    the names of the classes in their order.

    Raises:
        HilbertuneError: another suffix than .png, .svg, .pdf.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    methods = figures["methods"]
    matrices = [name for name, own in methods.items() if own.get("confusion")]
    figure = new_figure(13, 9.2 if matrices else 5.2, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    figure.suptitle("\n".join(_title(figures)), fontsize=12, linespacing=1.5)
    grid = figure.add_gridspec(2 if matrices else 1, 3)
    left, middle, right = (figure.add_subplot(grid[0, place]) for place in range(3))
    _draw_expectations(left, exact, measured, figures["expectation_error"])
    _draw_accuracies(middle, figures)
    _draw_calibration(right, methods)
    for place, name in enumerate(matrices):
        axes = figure.add_subplot(grid[1, place])
        _draw_confusion(axes, np.array(methods[name]["confusion"]), classes)
        axes.set_title(f"{name}: true and predicted classes", color=INK)
    lay_out(figure)
    save_figure(figure, path)


def _title(figures: Mapping[str, Any]) -> list[str]:
    """Return two lines: what was measured where, and with how many shots for how much."""
    spent, backend = figures["ledger"], figures["backend"]
    simulated = " (a simulated device)" if is_simulated(backend) else ""
    heads = f" of {figures['members']} heads" if "members" in figures else ""
    about = [f"{figures['shots']:,} shots a circuit"]
    if spent:
        about.append(f"{spent['circuits']:,} circuits, {spent['shots']:,} shots in all")
        unit = str(spent.get("unit") or "").upper()
        about.append(f"estimated {spent['estimated']:.2f} {unit}".rstrip())
        billed = "not billed yet" if spent["billed"] is None else f"billed {spent['billed']:.2f} {unit}".rstrip()
        about.append(billed)
    return [visible(f"{figures['rows']:,} rows{heads} on {backend}{simulated}"), "   ·   ".join(about)]


def _draw_expectations(axes: Any, exact: np.ndarray, measured: np.ndarray, error: Mapping[str, float]) -> None:
    axes.plot([-1, 1], [-1, 1], color=MUTED, linewidth=1)
    axes.plot(exact.ravel(), measured.ravel(), ".", color=QUANTUM, markersize=4, alpha=0.6)
    axes.set(
        xlabel="exact expectation",
        ylabel="measured",
        xlim=(-1.05, 1.05),
        ylim=(-1.05, 1.05),
        title=f"error {error['root_mean_square']:.3f}, from shots alone {error['from_shots_alone']:.3f}",
    )
    axes.grid()


def _draw_accuracies(axes: Any, figures: Mapping[str, Any]) -> None:
    rows = [(name, own["accuracy"]) for name, own in figures["methods"].items() if "accuracy" in own]
    rows.sort(key=lambda row: row[1]["mean"], reverse=True)
    for place, (name, a) in enumerate(rows):
        ends = [[100 * (a["mean"] - a["low"])], [100 * (a["high"] - a["mean"])]]
        colour, marker = LOOKS[name]
        axes.errorbar([100 * a["mean"]], [place], xerr=ends, fmt=marker, capsize=4, color=colour)
        axes.annotate(
            f"{100 * a['mean']:.1f} %",
            (100 * a["mean"], place),
            (0, 8),
            textcoords="offset points",
            ha="center",
            va="bottom",
        )
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set_ylim(max(1, len(rows)) - 0.5, -0.6)
    heads = f" of {figures['members']} heads" if "members" in figures else ""
    axes.set(title=f"accuracy{heads} on {figures['rows']} rows, 95 % intervals", xlabel="accuracy (%)")
    axes.margins(x=0.12)
    axes.grid(axis="x")


def _draw_calibration(axes: Any, methods: Mapping[str, Any]) -> None:
    """Draw how often stated probabilities came true, and along the bottom the hardware's rows of each point."""
    tables = {name: own["calibration"]["bins"] for name, own in methods.items() if "calibration" in own}
    stated = [(b["probability"], b["right"]) for bins in tables.values() for b in bins]
    low = min((min(pair) for pair in stated), default=0.0)
    axes.plot([low, 1], [low, 1], color=MUTED, linewidth=1)
    ends = []
    for name, bins in tables.items():
        colour, marker = LOOKS[name]
        probabilities, shares = [b["probability"] for b in bins], [b["right"] for b in bins]
        style = {"color": colour, "marker": marker, "markerfacecolor": colour if name == "hardware" else PAPER}
        axes.plot(probabilities, shares, "-", **style)
        ends.append(Name(name, probabilities[-1], shares[-1], colour))
    # Below all points, in two lines, since two bins may state nearly the same probability.
    room = 0.06 * (1.05 - low)
    for place, b in enumerate(tables.get("hardware", [])):
        y = low - (1.4 + place % 2) * room
        axes.text(b["probability"], y, f"{b['rows']:,}", ha="center", va="center", fontsize=8, color=QUANTUM)
    axes.set_ylim(low - 3.2 * room, 1 + room)
    axes.set(xlabel="stated probability", ylabel="share that was right", title="calibration (below: rows on hardware)")
    axes.margins(x=0.08)
    axes.grid()
    name_ends(axes, ends)


def _draw_confusion(axes: Any, matrix: np.ndarray, classes: Sequence[object]) -> None:
    """Draw how often each class (a row) was taken for each other one, in the colour of its share of its row."""
    count = len(matrix)
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axes.pcolormesh(np.arange(count + 1) - 0.5, np.arange(count + 1) - 0.5, shares, cmap="Blues", vmin=0, vmax=1)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    if count <= NUMBERED:
        for (true, taken), number in np.ndenumerate(matrix):
            colour = ON_DARK if shares[true, taken] > 0.55 else "black"
            axes.text(taken, true, f"{number:,}", ha="center", va="center", color=colour)
    step = -(-count // 20)
    names = [visible(name)[:14] for name in (classes if len(classes) == count else range(count))][::step]
    axes.set_xticks(
        range(0, count, step), names, rotation=0 if count <= 3 else 40, ha="center" if count <= 3 else "right"
    )
    axes.set_yticks(range(0, count, step), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted", ylabel="true")


@in_style
def draw_breakeven(report: Mapping[str, Any], path: Path) -> None:
    """Draw the points, the fits, the crossings with their intervals and the published claims.

    Args:
        report: as `breakeven.report` returns it.
        path: a .png, .svg or .pdf file.

    Raises:
        HilbertuneError: another suffix, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    figure = new_figure(7.4, 4.6, layout="constrained")
    axes = figure.subplots()
    axes.set_yscale("log")
    widths = np.arange(8, 51)
    ends = [
        _draw_simulator(axes, name, own, widths, PALETTE[number % len(PALETTE)], "sD^v"[number % 4])
        for number, (name, own) in enumerate(report["simulators"].items())
    ]
    if report["qpu"]:
        ends.append(_draw_qpu(axes, report["qpu"], report["unit"], report["shots"], widths))
    for claim in report["claims"]:
        qubits = claim["qubits"]
        axes.axvline(qubits, color=MUTED, linestyle=":", linewidth=1)
        axes.annotate(
            f"claim: {qubits}",
            (qubits, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
            fontsize=8,
            color=MUTED,
        )
    axes.set(
        xlabel="qubits",
        ylabel=f"{report['unit']} for one circuit",
        xlim=(widths[0], widths[-1]),
        title="Solid where it was measured, dashed where it is extrapolated",
    )
    axes.grid()
    name_ends(axes, ends)
    lay_out(figure)
    save_figure(figure, path)


def _draw_line(axes: Any, widths: np.ndarray, line: np.ndarray, points: Sequence[Any], name: str, colour: str) -> Name:
    """Draw a fit, solid between the points and dashed beyond them, and return the name for its end."""
    measured = [p["qubits"] for p in points]
    fine = np.linspace(widths[0], widths[-1], 400)
    values = np.exp(np.interp(fine, widths, np.log(np.where(line > 0, line, np.nan))))
    within = (fine >= min(measured, default=0)) & (fine <= max(measured, default=0))
    axes.plot(fine, np.where(within, values, np.nan), color=colour, linewidth=1.8)
    axes.plot(fine, np.where(within, np.nan, values), color=colour, linewidth=1.4, linestyle=(0, (4, 3)))
    known = np.flatnonzero(~np.isnan(values))
    last = int(known[-1]) if len(known) else -1
    return Name(name, float(fine[last]), float(values[last]) if len(known) else 1.0, colour)


def _draw_simulator(axes: Any, name: str, own: Mapping[str, Any], widths: np.ndarray, colour: str, marker: str) -> Name:
    """Draw a simulator's points and line, and where it crosses the QPU's; return the name for the line's end."""
    points = own["points"]
    axes.plot([p["qubits"] for p in points], [p["value"] for p in points], marker, color=colour, markersize=4)
    line = 2 ** (own["log2_at_0"] + own["doublings_per_qubit"] * widths)
    crossed = own["breakeven"]
    if crossed and crossed["qubits"] is not None:
        axes.axvline(crossed["qubits"], color=colour, linestyle="-.", linewidth=1)
        if crossed["low"] is not None:
            high = min(crossed["high"] or WIDEST, widths[-1])
            axes.axvspan(crossed["low"], high, color=colour, alpha=0.12)
    return _draw_line(axes, widths, line, points, f"{name},\nsimulated", colour)


def _draw_qpu(axes: Any, qpu: Mapping[str, Any], unit: str, shots: int, widths: np.ndarray) -> Name:
    """Draw the QPU's points and line for circuits of `shots` shots; a line below 0 means nothing."""
    points = qpu["points"]
    scaled = [p["value"] * shots / p["shots"] for p in points]
    axes.plot([p["qubits"] for p in points], scaled, "o", color=QUANTUM, markersize=5)
    line = shots * (qpu[f"{unit}_per_shot"] + qpu[f"{unit}_per_shot_and_qubit"] * widths)
    return _draw_line(axes, widths, line, points, f"QPU,\n{shots:,} shots", QUANTUM)
