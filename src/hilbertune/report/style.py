"""The look of a report's figures: width, rows, lines, axes that all of them share.

In: matplotlib figures and axes, names of arms.
Out: `Figure`, a drawing with its heading, its caption and the numbers that it shows.
"""

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from hilbertune.errors import require
from hilbertune.report.words import number_text
from hilbertune.runtime.plotting import INK, PAPER, method_look

MARKERS = "osD^vP<X>*"
DASHES: tuple[Any, ...] = ("-", "--", (0, (1, 1.2)), "-.", (0, (5, 1, 1, 1, 1, 1)))
WIDTH = 5.0
"""Inches of a figure: text of 8 points is then legible on a phone and not too large on a desk."""


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its heading and caption, and the numbers that it shows."""

    title: str
    caption: str
    drawing: Any
    rows: Sequence[Mapping[str, Any]]


class Rows(NamedTuple):
    """Axes with a line of text for each arm, and the size of this text in points."""

    drawing: Any
    axes: Any
    size: float


def new_drawing(height: float) -> Any:
    """Return an empty matplotlib figure of the common width and this height in inches."""
    made = require("matplotlib.figure", "study").Figure
    return made(figsize=(WIDTH, height), dpi=100, layout="constrained")


def new_rows(names: Sequence[str]) -> Rows:
    """Return a drawing with a line of text for each name; many names get less room each."""
    room = min(0.36, max(0.19, 14 / len(names)))
    size = 8.5 if room > 0.3 else 8.0
    drawing = new_drawing(0.7 + room * len(names))
    axes = drawing.add_subplot()
    folded = [folded_label(name, 30, 2 if room > 0.3 else 1) for name in names]
    axes.set_yticks(range(len(names)), folded, fontsize=size)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    return Rows(drawing, axes, size)


def folded_label(text: object, width: int = 34, lines: int = 2) -> str:
    """Return a text folded and cut for a figure."""
    return "\n".join(textwrap.wrap(str(text), width, max_lines=lines, placeholder=" …") or [""])


def write_beside(axes: Any, x: float, y: float, text: str, size: float) -> None:
    """Write a value to the right of its mark, legible where a line of a published number passes."""
    style = {"textcoords": "offset points", "va": "center", "fontsize": size}
    paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
    axes.annotate(text, (x, y), (5, 0), zorder=6, bbox=paper, **style)


def line_looks(methods: Sequence[tuple[Literal["quantum", "classical"], str]]) -> list[dict[str, Any]]:
    """Return colour, marker and dashes of each line: the colour is the method's, lines of one colour differ otherwise.

    `methods` are pairs of a kind and a method.
    """
    used: Counter[str] = Counter()
    looks = []
    for kind, method in methods:
        colour, marker = method_look(kind, method)
        number = used[colour]
        used[colour] += 1
        looks.append(
            {
                "color": colour,
                "marker": MARKERS[number % len(MARKERS)] if kind == "quantum" else marker,
                "markerfacecolor": colour if kind == "quantum" else PAPER,
                "linestyle": DASHES[number % len(DASHES)],
                "markersize": 5,
                "linewidth": 1.6,
            }
        )
    return looks


def published_look(index: int) -> dict[str, Any]:
    """Return the look of a published number that is a line across the axes: black, each with other dots."""
    return {"color": INK, "linestyle": (0, (1, 1 + index)), "linewidth": 1.2}


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
