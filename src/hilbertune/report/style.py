"""The report of a study: one HTML page that needs no network, and every figure as SVG, PNG and CSV.

In: a study's directory with results.json. Out: report.html and figures/ beside it; the same results give the same bytes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hilbertune.errors import require
from hilbertune.report.reading import Arm, Results, is_number
from hilbertune.report.words import folded_label, number_text
from hilbertune.runtime.plotting import INK, PALETTE

QUANTUM, CLASSICAL = PALETTE[1], PALETTE[0]


MARKERS = "osD^vP<X>*"


DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


WIDTH = 4.6
"""Inches of a figure: text of 9.5 points is then legible on a phone and not too large on a desk."""


STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    # Names come from files: a $ in them is a $.
    "text.parse_math": False,
    # Text stays text in an SVG.
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its heading and caption, and the numbers that it shows."""

    title: str
    caption: str
    drawing: Any
    rows: Sequence[Mapping[str, Any]]
    wide: bool = False


def new_panel(height: float) -> Any:
    made = require("matplotlib.figure", "study").Figure
    return made(figsize=(WIDTH, height), dpi=100, layout="constrained")


def add_legend(figure: Any, axes: Any) -> None:
    """Below everything, in as many columns as the longest name allows; the figure grows by its height."""
    found = zip(*axes.get_legend_handles_labels(), strict=True)
    # What has error bars is ours and comes first.
    entries = sorted(found, key=lambda entry: not hasattr(entry[0], "has_yerr"))
    if not entries:
        return
    handles, names = zip(*entries, strict=True)
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = max(1, min(3, len(names), 66 // (longest + 7)))
    lines = max(name.count("\n") + 1 for name in names) * -(-len(names) // columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.17 * lines + 0.15)
    figure.legend(handles, names, loc="outside lower left", ncols=columns, frameon=False)


def look_of(index: int) -> dict[str, Any]:
    """Colour, marker and line together tell the lines apart, so that no one has to rely on colour."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index // 2 % len(DASHES)],
        "markersize": 5,
        "linewidth": 1.6,
    }


def error_bars(means: Sequence[float], lows: Sequence[Any], highs: Sequence[Any]) -> list[list[float]]:
    """Lengths of error bars in percent; 0 where there is no interval."""
    below = [0.0 if low is None else 100 * max(0.0, m - low) for m, low in zip(means, lows, strict=True)]  # fmt: skip
    above = [0.0 if high is None else 100 * max(0.0, high - m) for m, high in zip(means, highs, strict=True)]  # fmt: skip
    return [below, above]


def draw_line(axes: Any, places: Sequence[float], rows: Sequence[Mapping[str, Any]], name: str, index: int) -> None:
    """Means with their 95 % intervals, as bars and, where there are several places, as a band."""
    means = [row["mean"] for row in rows]
    lows, highs = ([row[end] for row in rows] for end in ("low", "high"))
    look = look_of(index)
    below, above = error_bars(means, lows, highs)
    percent = 100 * np.array(means)
    axes.errorbar(places, percent, yerr=[below, above], label=folded_label(name), capsize=2.5, elinewidth=1, **look)
    axes.fill_between(places, percent - below, percent + above, color=look["color"], alpha=0.13, linewidth=0)


def draw_level(axes: Any, arm: Arm, index: int) -> None:
    """An arm that does not have the factor of the x axis: the same at every place."""
    look = look_of(index) | {"marker": None}
    summary = arm["summary"]
    axes.axhline(100 * summary["mean"], label=folded_label(arm["name"]), **look)
    if summary["low"] is not None and summary["high"] is not None:
        ends = (100 * summary["low"], 100 * summary["high"])
        axes.axhspan(*ends, color=look["color"], alpha=0.1, linewidth=0)


def draw_published(axes: Any, results: Results, place: Callable[[float], float | None]) -> list[dict[str, Any]]:
    """Published numbers as open black markers, as dotted lines where they have no place on the x axis; their rows."""
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
            dots = (0, (1, 1 + index))
            axes.axhline(value, label=name, color=INK, linestyle=dots, linewidth=1.2)
        rows.append({"arm": f"published: {entry['what']}", "x": entry["x"], "mean": entry["value"]})  # fmt: skip
    return rows


def finish_axes(axes: Any) -> None:
    axes.set_ylabel("test accuracy (%)")
    axes.grid(axis="y")
    axes.margins(y=0.08)


def csv_row(arm: Arm, **more: Any) -> dict[str, Any]:
    summary = arm["summary"] or dict.fromkeys(("mean", "low", "high"))
    ends = {key: summary[key] for key in ("mean", "low", "high")}
    return {**more, "arm": arm["name"], "kind": arm["kind"], **ends, "seeds": len(arm["test"])}


def set_ticks(axes: Any, places: Iterable[float]) -> None:
    """A tick at each value, on a log scale where values span a factor of 16 or more."""
    values = sorted(set(places))
    if values[0] > 0 and values[-1] / values[0] >= 16:
        axes.set_xscale("log")
    step = -(-len(values) // 10)
    axes.set_xticks(values[::step], [number_text(v) for v in values[::step]])
    axes.minorticks_off()


def log_axis(axes: Any, values: Sequence[float], words: Callable[[float], str]) -> None:
    """A logarithmic x axis whose ticks are in plain numbers, more of them where values span little."""
    ticker = require("matplotlib.ticker", "study")
    axes.set_xscale("log")
    digits = (1.0,) if max(values) > 50 * min(values) else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=digits))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: words(value)))
    axes.minorticks_off()
    if max(values) < 2 * min(values):  # no tick might be inside
        axes.set_xticks(sorted({min(values), max(values)}) if max(values) > 1.2 * min(values) else [max(values)])


def rows_figure(arms: Sequence[Arm]) -> tuple[Any, Any, float]:
    """A figure with a line of text for each arm; many arms get less room each."""
    room = min(0.36, max(0.19, 14 / len(arms)))
    size = 8.5 if room > 0.3 else 7.0
    figure = new_panel(0.7 + room * len(arms))
    axes = figure.add_subplot()
    names = [folded_label(arm["name"], 30, 2 if room > 0.3 else 1) for arm in arms]
    axes.set_yticks(range(len(arms)), names, fontsize=size)
    axes.set_ylim(len(arms) - 0.4, -0.6)
    return figure, axes, size


def write_beside(axes: Any, x: float, y: float, text: str, size: float) -> None:
    style = {"textcoords": "offset points", "va": "center", "fontsize": size}
    # Legible where a line of a published number passes.
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
    axes.annotate(text, (x, y), (5, 0), zorder=6, bbox=paper, **style)


def label_once(axes: Any, kind: str) -> str:
    """A label for the legend the first time, then one that matplotlib leaves out."""
    label = f" {kind}"
    return "_again" if label in axes.get_legend_handles_labels()[1] else label
