"""Pictures: a circuit as text or as an image, and a whole fit on one page.

In: a `Circuit`, or the figures of an experiment. Out: text, or a PNG, SVG or PDF file (matplotlib, the extra `plot`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hilbertune.runtime.plotting import check_format, new_figure, save_figure


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
    check_format(path)
    figure = new_figure(13, 4.2)
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
    rows = [(name, own["accuracy"]) for name, own in figures["methods"].items() if "accuracy" in own]
    for place, (_, a) in enumerate(rows):
        ends = [[a["mean"] - a["low"]], [a["high"] - a["mean"]]]
        middle.errorbar([place], [a["mean"]], yerr=ends, fmt="o", capsize=4, color="#4053d3")
    middle.set_xticks(range(len(rows)), [name for name, _ in rows])
    middle.set_xlim(-0.5, max(1, len(rows)) - 0.5)
    middle.set(title=f"accuracy on {figures['rows']} rows, 95 % intervals")
    right.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for (name, own), colour in zip(figures["methods"].items(), ("0.5", "#4053d3", "#b51d14"), strict=False):
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
    save_figure(figure, path)
