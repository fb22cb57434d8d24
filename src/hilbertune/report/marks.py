"""Accuracies on the axes of a figure: as a line over places, as a level across them, as a mark of what was published.

In: axes of matplotlib, accuracies as shares.
Out: marks in percent on the axes, and the rows of the figure's table.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hilbertune.report.reading import Accuracy, is_number, known_accuracy
from hilbertune.report.style import folded_label, published_look
from hilbertune.runtime.labels import Name, name_ends
from hilbertune.runtime.plotting import INK
from hilbertune.study.record import ArmResults, Results, Summary

ENDS = 18
"""Characters of a line of a name at the end of a line."""

Look = Mapping[str, Any]


class Published(NamedTuple):
    """Published numbers on axes: the names of those with a place, of those that are lines, and the table's rows."""

    points: list[Name]
    levels: list[Name]
    rows: list[dict[str, Any]]


def error_bars(accuracies: Sequence[Accuracy]) -> list[list[float]]:
    """Return the lengths of error bars in percent, below and above the means; 0 where there is no interval."""
    below = [0.0 if low is None else 100 * max(0.0, mean - low) for mean, low, _ in accuracies]
    above = [0.0 if high is None else 100 * max(0.0, high - mean) for mean, _, high in accuracies]
    return [below, above]


def draw_line(axes: Any, places: Sequence[float], accuracies: Sequence[Accuracy], name: str, look: Look) -> Name:
    """Draw means with their intervals, as bars and as a band, and return the name for the line's end."""
    below, above = error_bars(accuracies)
    percent = 100 * np.array([accuracy.mean for accuracy in accuracies])
    axes.errorbar(places, percent, yerr=[below, above], capsize=2.5, elinewidth=1, **look)
    axes.fill_between(places, percent - below, percent + above, color=look["color"], alpha=0.13, linewidth=0)
    return Name(folded_label(name, ENDS, 3), float(places[-1]), float(percent[-1]), look["color"])


def draw_level(axes: Any, arm: ArmResults, look: Look, name: str) -> Name:
    """Draw an arm that does not have the factor of the x axis: the same at every place."""
    mean, low, high = known_accuracy(arm["summary"])
    axes.axhline(100 * mean, **{**look, "marker": None})
    if low is not None and high is not None:
        axes.axhspan(100 * low, 100 * high, color=look["color"], alpha=0.1, linewidth=0)
    return Name(folded_label(name, ENDS, 3), math.nan, 100 * mean, look["color"])


def draw_published(axes: Any, results: Results, place: Callable[[float], float | None]) -> Published:
    """Draw published numbers: open black markers, or dotted lines if they belong to no place.

    `place` gives a value its place on the x axis, None if it has none there; such a number is left out.
    """
    drawn = Published([], [], [])
    for index, entry in enumerate(results["published"]):
        x = place(entry["x"]) if is_number(entry["x"]) else None
        if entry["value"] is None or (x is None and entry["x"] is not None):
            continue
        value, what = 100 * entry["value"], f"published: {entry['what']}"
        if x is not None:
            style = {"color": INK, "linestyle": "none", "markerfacecolor": "none", "markersize": 8, "zorder": 4}
            axes.plot([x], [value], marker="D^vsp"[index % 5], markeredgewidth=1.4, **style)
            drawn.points.append(Name(folded_label(what, 26), float(x), value))
        else:
            axes.axhline(value, **published_look(index))
            drawn.levels.append(Name(folded_label(what, ENDS, 3), math.nan, value, INK))
        drawn.rows.append({"arm": what, "x": entry["x"], "mean": entry["value"]})
    return drawn


def write_names(axes: Any, ends: Sequence[Name]) -> None:
    """Write the names of lines and levels at their right ends."""
    edge = axes.get_xlim()[1]
    name_ends(axes, [name._replace(x=edge) if math.isnan(name.x) else name for name in ends], size=8.0)


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
