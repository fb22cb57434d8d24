"""Pictures of hardware: a measured run, and the break-even with a simulator.

In: the figures of a run, or of a break-even report.
Out: a PNG, SVG or PDF file (matplotlib, the extra `plot`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hilbertune.hardware.fits import WIDEST
from hilbertune.runtime.plotting import PALETTE, check_format, new_figure, save_figure

MEASURED, NOISE_MODEL, REFERENCE = "#4053d3", "#b51d14", "0.5"


def draw_hardware(
    figures: Mapping[str, Any],
    exact: Float[np.ndarray, "members rows measured"],
    measured: Float[np.ndarray, "members rows measured"],
    path: Path,
) -> None:
    """Draw a run in three panels: measured against exact expectations, accuracies with intervals, and calibration.

    Of an ensemble the first shows the expectations of all heads, the others their averaged answers.

    Raises:
        HilbertuneError: another suffix than .png, .svg, .pdf.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    figure = new_figure(13, 4.2)
    left, middle, right = figure.subplots(1, 3)
    _draw_expectations(left, exact, measured, figures["expectation_error"])
    _draw_accuracies(middle, figures)
    _draw_calibration(right, figures["methods"])
    figure.tight_layout()
    save_figure(figure, path)


def _draw_expectations(axes: Any, exact: np.ndarray, measured: np.ndarray, error: Mapping[str, float]) -> None:
    axes.plot([-1, 1], [-1, 1], color="0.7", linewidth=1)
    axes.plot(exact.ravel(), measured.ravel(), ".", color=MEASURED, markersize=4, alpha=0.6)
    axes.set(
        xlabel="exact expectation",
        ylabel="measured",
        xlim=(-1.05, 1.05),
        ylim=(-1.05, 1.05),
        title=f"error {error['root_mean_square']:.3f}, from shots alone {error['from_shots_alone']:.3f}",
    )


def _draw_accuracies(axes: Any, figures: Mapping[str, Any]) -> None:
    rows = [(name, own["accuracy"]) for name, own in figures["methods"].items() if "accuracy" in own]
    for place, (_, a) in enumerate(rows):
        ends = [[a["mean"] - a["low"]], [a["high"] - a["mean"]]]
        axes.errorbar([place], [a["mean"]], yerr=ends, fmt="o", capsize=4, color=MEASURED)
    axes.set_xticks(range(len(rows)), [name for name, _ in rows])
    axes.set_xlim(-0.5, max(1, len(rows)) - 0.5)
    heads = f" of {figures['members']} heads" if "members" in figures else ""
    axes.set(title=f"accuracy{heads} on {figures['rows']} rows, 95 % intervals")


def _draw_calibration(axes: Any, methods: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for (name, own), colour in zip(methods.items(), (REFERENCE, MEASURED, NOISE_MODEL), strict=False):
        if "calibration" in own:
            bins = own["calibration"]["bins"]
            probabilities, shares = [b["probability"] for b in bins], [b["right"] for b in bins]
            axes.plot(probabilities, shares, "o-", color=colour, label=name)
    axes.set(xlabel="stated probability", ylabel="share that was right", title="calibration")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


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
    figure = new_figure(7, 4.2)
    axes = figure.subplots()
    widths = np.arange(8, 51)
    for number, (name, own) in enumerate(report["simulators"].items()):
        _draw_simulator(axes, name, own, widths, PALETTE[number], "os"[number % 2])
    if report["qpu"]:
        _draw_qpu(axes, report["qpu"], report["unit"], report["shots"], widths)
    for claim in report["claims"]:
        qubits = claim["qubits"]
        axes.axvline(qubits, color="grey", linestyle=":", linewidth=1)
        axes.annotate(
            f"claim: {qubits}",
            (qubits, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="top",
            ha="right",
            fontsize=8,
            color="grey",
        )
    axes.set(
        yscale="log",
        xlabel="qubits",
        ylabel=f"{report['unit']} for one circuit",
        xlim=(widths[0], widths[-1]),
    )
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    save_figure(figure, path)


def _draw_simulator(axes: Any, name: str, own: Mapping[str, Any], widths: np.ndarray, colour: str, marker: str) -> None:
    """Draw a simulator's points and line, and where it crosses the QPU's."""
    points = own["points"]
    axes.plot([p["qubits"] for p in points], [p["value"] for p in points], marker, color=colour, markersize=4)
    line = 2 ** (own["log2_at_0"] + own["doublings_per_qubit"] * widths)
    axes.plot(widths, line, color=colour, label=f"{name}, simulated")
    crossed = own["breakeven"]
    if crossed and crossed["qubits"] is not None:
        axes.axvline(crossed["qubits"], color=colour, linestyle="--", linewidth=1)
        if crossed["low"] is not None:
            high = min(crossed["high"] or WIDEST, widths[-1])
            axes.axvspan(crossed["low"], high, color=colour, alpha=0.12)


def _draw_qpu(axes: Any, qpu: Mapping[str, Any], unit: str, shots: int, widths: np.ndarray) -> None:
    """Draw the QPU's points and line for circuits of `shots` shots; a line below 0 means nothing."""
    points = qpu["points"]
    scaled = [p["value"] * shots / p["shots"] for p in points]
    axes.plot([p["qubits"] for p in points], scaled, "^", color="black", markersize=5)
    line = shots * (qpu[f"{unit}_per_shot"] + qpu[f"{unit}_per_shot_and_qubit"] * widths)
    axes.plot(widths, np.where(line > 0, line, np.nan), color="black", label=f"QPU, {shots} shots")
