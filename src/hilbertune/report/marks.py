"""Accuracies on the axes of a figure: as a line over places, as a level across them, as a mark of what was published.

In: axes of matplotlib, accuracies as shares.
Out: marks in percent on the axes, and the rows of the figure's table.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hilbertune.report.reading import Accuracy, is_number, known_accuracy
from hilbertune.report.style import folded_label, line_look, published_look
from hilbertune.runtime.plotting import INK
from hilbertune.study.record import ArmResults, Results, Summary


def error_bars(accuracies: Sequence[Accuracy]) -> list[list[float]]:
    """Return the lengths of error bars in percent, below and above the means; 0 where there is no interval."""
    below = [0.0 if low is None else 100 * max(0.0, mean - low) for mean, low, _ in accuracies]
    above = [0.0 if high is None else 100 * max(0.0, high - mean) for mean, _, high in accuracies]
    return [below, above]


def draw_line(axes: Any, places: Sequence[float], accuracies: Sequence[Accuracy], name: str, index: int) -> None:
    """Draw means with their intervals, as bars and, where there are several places, as a band."""
    look = line_look(index)
    below, above = error_bars(accuracies)
    percent = 100 * np.array([accuracy.mean for accuracy in accuracies])
    axes.errorbar(places, percent, yerr=[below, above], label=folded_label(name), capsize=2.5, elinewidth=1, **look)
    axes.fill_between(places, percent - below, percent + above, color=look["color"], alpha=0.13, linewidth=0)


def draw_level(axes: Any, arm: ArmResults, index: int) -> None:
    """Draw an arm that does not have the factor of the x axis: the same at every place."""
    look = line_look(index) | {"marker": None}
    mean, low, high = known_accuracy(arm["summary"])
    axes.axhline(100 * mean, label=folded_label(arm["name"]), **look)
    if low is not None and high is not None:
        axes.axhspan(100 * low, 100 * high, color=look["color"], alpha=0.1, linewidth=0)


def draw_published(axes: Any, results: Results, place: Callable[[float], float | None]) -> list[dict[str, Any]]:
    """Draw published numbers and return their rows: open black markers, or dotted lines if they belong to no place.

    `place` gives a value its place on the x axis, None if it has none there; such a number is left out.
    """
    rows = []
    for index, entry in enumerate(results["published"]):
        x = place(entry["x"]) if is_number(entry["x"]) else None
        if entry["value"] is None or (x is None and entry["x"] is not None):
            continue
        name, value = folded_label(f"published: {entry['what']}"), 100 * entry["value"]
        if x is not None:
            axes.plot(
                [x],
                [value],
                label=name,
                color=INK,
                linestyle="none",
                markerfacecolor="none",
                marker="D^vsp"[index % 5],
                markersize=9,
                markeredgewidth=1.4,
                zorder=4,
            )
        else:
            axes.axhline(value, label=name, **published_look(index))
        rows.append({"arm": f"published: {entry['what']}", "x": entry["x"], "mean": entry["value"]})
    return rows


def finish_axes(axes: Any) -> None:
    """Name the y axis and rule the axes."""
    axes.set_ylabel("test accuracy (%)")
    axes.grid(axis="y")
    axes.margins(y=0.08)


def accuracy_row(arm: ArmResults, **more: Any) -> dict[str, Any]:
    """Return the row of an arm in a figure's table; without a finished run its numbers are None."""
    nothing: Summary = {"mean": None, "low": None, "high": None}
    summary = arm["summary"] or nothing
    ends = {"mean": summary["mean"], "low": summary["low"], "high": summary["high"]}
    return {**more, "arm": arm["name"], "kind": arm["kind"], **ends, "seeds": len(arm["test"])}
