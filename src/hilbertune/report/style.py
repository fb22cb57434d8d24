"""The look of figures: size, fonts, colours, legends and axes that all of them share.

In: matplotlib figures and axes, names of arms.
Out: `Figure`, a drawing with its heading, its caption and the numbers that it shows.
"""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hilbertune.errors import require
from hilbertune.report.words import number_text
from hilbertune.runtime.plotting import INK, PALETTE
from hilbertune.study.record import ArmResults

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
"""Settings of matplotlib under which every figure is drawn and saved."""


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its heading and caption, and the numbers that it shows."""

    title: str
    caption: str
    drawing: Any
    rows: Sequence[Mapping[str, Any]]
    wide: bool = False


class Rows(NamedTuple):
    """Axes with a line of text for each arm, and the size of this text in points."""

    drawing: Any
    axes: Any
    size: float


def new_drawing(height: float) -> Any:
    """Return an empty matplotlib figure of the common width and this height in inches."""
    made = require("matplotlib.figure", "study").Figure
    return made(figsize=(WIDTH, height), dpi=100, layout="constrained")


def new_rows(arms: Sequence[ArmResults]) -> Rows:
    """Return a drawing with a line of text for each arm; many arms get less room each."""
    room = min(0.36, max(0.19, 14 / len(arms)))
    size = 8.5 if room > 0.3 else 7.0
    drawing = new_drawing(0.7 + room * len(arms))
    axes = drawing.add_subplot()
    names = [folded_label(arm["name"], 30, 2 if room > 0.3 else 1) for arm in arms]
    axes.set_yticks(range(len(arms)), names, fontsize=size)
    axes.set_ylim(len(arms) - 0.4, -0.6)
    return Rows(drawing, axes, size)


def folded_label(text: object, width: int = 34, lines: int = 2) -> str:
    """Return a text folded and cut for a figure, with a space before each line.

    Matplotlib leaves names that start with _ out of legends; none does so after a space.
    """
    return " " + "\n ".join(textwrap.wrap(str(text), width, max_lines=lines, placeholder=" …") or [""])


def label_once(axes: Any, kind: str) -> str:
    """Return a label for the legend the first time, later one that matplotlib leaves out."""
    label = f" {kind}"
    return "_again" if label in axes.get_legend_handles_labels()[1] else label


def write_beside(axes: Any, x: float, y: float, text: str, size: float) -> None:
    """Write a value to the right of its mark, legible where a line of a published number passes."""
    style = {"textcoords": "offset points", "va": "center", "fontsize": size}
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
    axes.annotate(text, (x, y), (5, 0), zorder=6, bbox=paper, **style)


def line_look(index: int) -> dict[str, Any]:
    """Return colour, marker and dashes that together tell a line apart, so that no one has to rely on colour."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index // 2 % len(DASHES)],
        "markersize": 5,
        "linewidth": 1.6,
    }


def published_look(index: int) -> dict[str, Any]:
    """Return the look of a published number that is a line across the axes: black, each with other dots."""
    return {"color": INK, "linestyle": (0, (1, 1 + index)), "linewidth": 1.2}


def add_legend(drawing: Any, axes: Any) -> None:
    """Add the legend of the axes below everything, in as many columns as the longest name allows.

    The drawing grows by the legend's height.
    """
    entries = list(zip(*axes.get_legend_handles_labels(), strict=True))
    if not entries:
        return
    # What has error bars is ours and comes first.
    handles, names = zip(*sorted(entries, key=lambda entry: not hasattr(entry[0], "has_yerr")), strict=True)
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = max(1, min(3, len(names), 66 // (longest + 7)))
    lines = max(name.count("\n") + 1 for name in names) * -(-len(names) // columns)
    width, height = drawing.get_size_inches()
    drawing.set_size_inches(width, height + 0.17 * lines + 0.15)
    drawing.legend(handles, names, loc="outside lower left", ncols=columns, frameon=False)


def set_ticks(axes: Any, places: Iterable[float]) -> None:
    """Put a tick at each value, on a log scale where values span a factor of 16 or more."""
    values = sorted(set(places))
    if values[0] > 0 and values[-1] / values[0] >= 16:
        axes.set_xscale("log")
    step = -(-len(values) // 10)
    axes.set_xticks(values[::step], [number_text(v) for v in values[::step]])
    axes.minorticks_off()


def set_log_axis(axes: Any, values: Sequence[float], words: Callable[[float], str]) -> None:
    """Make the x axis logarithmic with ticks in plain numbers, more of them where values span little."""
    ticker = require("matplotlib.ticker", "study")
    axes.set_xscale("log")
    digits = (1.0,) if max(values) > 50 * min(values) else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=digits))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: words(value)))
    axes.minorticks_off()
    if max(values) < 2 * min(values):  # no tick might be inside
        axes.set_xticks(sorted({min(values), max(values)}) if max(values) > 1.2 * min(values) else [max(values)])
