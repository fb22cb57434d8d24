"""Names beside what they name, instead of a legend: at the ends of lines and beside points.

In: matplotlib axes on which everything else is drawn, and names with their places in data coordinates.
Out: texts on the axes that cover neither a line nor a mark nor each other.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from hilbertune.errors import require
from hilbertune.runtime.plotting import INK, MUTED

GAP = 3.0
"""Points between a name and whatever is next to it."""

DISTANCES = (5.0, 10.0, 17.0, 26.0, 38.0, 52.0)
"""Points from a mark to its name, in the order in which they are tried."""

DIRECTIONS = (0, 180, 90, 270, 45, 315, 135, 225)
"""Degrees from a mark to its name, in the order in which they are tried at each distance."""

LED = 17.0
"""From this distance on a thin line leads from the name to its mark."""


WIDER = 1.06
"""Room for a text in widths: at another resolution or in another font it is a little wider than measured."""


class Name(NamedTuple):
    """A name, the place that it names, and the colour of the line that leads to it."""

    text: str
    x: float
    y: float
    colour: str = MUTED


class _Box(NamedTuple):
    """Edges in pixels."""

    left: float
    bottom: float
    right: float
    top: float


def lay_out(figure: Any) -> None:
    """Give everything its final place, so that what is drawn can be measured; later additions move nothing."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def name_ends(axes: Any, names: Sequence[Name], *, size: float = 8.5) -> None:
    """Write each name to the right of the axes at the height of its line, moved up or down where two would touch."""
    if not names:
        return
    right = 1 + 16 * axes.figure.dpi / 72 / axes.get_window_extent().width
    notes = [
        axes.annotate(
            name.text,
            (name.x, name.y),
            xytext=(right, 0.5),
            textcoords="axes fraction",
            va="center",
            color=INK,
            fontsize=size,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": name.colour,
                "linewidth": 1.0,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )
        for name in names
    ]
    # The layout leaves room for the names, which changes the width of the axes but hardly their height.
    axes.figure.draw_without_rendering()
    frame = axes.get_window_extent()
    heights = [_text_height(note) + GAP * axes.figure.dpi / 72 for note in notes]
    wanted = [float(axes.transData.transform((name.x, name.y))[1]) for name in names]
    right = 1 + 16 * axes.figure.dpi / 72 / frame.width
    for note, place in zip(notes, _apart(wanted, heights, frame.y0, frame.y1), strict=True):
        note.xyann = (right, (place - frame.y0) / frame.height)


def _text_height(note: Any) -> float:
    """Return the height of a text in pixels, without the line that leads to it."""
    text = require("matplotlib.text", "plot").Text
    return float(text.get_window_extent(note).height)


def _apart(wanted: Sequence[float], heights: Sequence[float], low: float, high: float) -> list[float]:
    """Return places as near as possible to the wanted ones that keep things of these heights apart, in their order.

    They stay between `low` and `high` where all fit.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    own = [heights[i] for i in order]
    steps = np.concatenate([[0.0], np.cumsum([(a + b) / 2 for a, b in pairwise(own)])])
    # Without the steps the places only have to rise: pool neighbours that fall.
    pools: list[list[float]] = []
    for i, step in zip(order, steps, strict=True):
        pools.append([wanted[i] - step])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    rising = np.array([float(np.mean(pool)) for pool in pools for _ in pool])
    first, last = low + own[0] / 2, high - own[-1] / 2 - steps[-1]
    places = np.clip(rising, min(first, last), max(first, last)) + steps
    return [float(places[order.index(i)]) for i in range(len(wanted))]


def name_points(axes: Any, names: Sequence[Name], *, size: float = 8.0) -> list[str]:
    """Write each name near its point where nothing else is, and return those for which there is no room.

    The first names have the first choice. Call it when all marks are drawn and the figure is laid out.
    """
    figure = axes.figure
    unit = figure.dpi / 72
    frame = axes.get_window_extent()
    lines, boxes = _drawn(axes)
    left_out = []
    for name in names:
        note = figure.text(0, 0, name.text, fontsize=size)
        extent = note.get_window_extent()
        note.remove()
        x, y = map(float, axes.transData.transform((name.x, name.y)))
        for box, led in _places(x, y, WIDER * extent.width, extent.height, unit):
            inside = frame.x0 <= box.left and box.right <= frame.x1 and frame.y0 <= box.bottom and box.top <= frame.y1
            roomy = _Box(box.left - unit, box.bottom - unit, box.right + unit, box.top + unit)
            lead = np.array([[x, y, min(max(x, box.left), box.right), min(max(y, box.bottom), box.top)]])
            free = inside and not _crossed(lines, roomy).any() and not any(_touch(roomy, other) for other in boxes)
            if not free or (led and any(_crossed(lead, other)[0] for other in boxes if not _holds(other, x, y))):
                continue
            _write(axes, name, box, (x, y), led, size)
            boxes.append(box)
            lines = np.concatenate([lines, lead]) if led else lines
            break
        else:
            left_out.append(name.text)
    return left_out


def _write(axes: Any, name: Name, box: _Box, point: tuple[float, float], led: bool, size: float) -> None:
    """Write a name into its box, aligned so that a wider font of the reader grows away from the point."""
    x, y = point
    side, edge = ("left", box.left) if box.left >= x else ("right", box.right) if box.right <= x else ("center", x)
    unit = axes.figure.dpi / 72
    lead = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
    axes.annotate(
        name.text,
        (name.x, name.y),
        xytext=((edge - x) / unit, (box.bottom - y) / unit),
        textcoords="offset points",
        color=INK,
        fontsize=size,
        ha=side,
        va="bottom",
        zorder=7,
        arrowprops=lead if led else None,
    )


def _places(x: float, y: float, width: float, height: float, unit: float) -> Iterator[tuple[_Box, bool]]:
    """Return where a text may stand around a point, and whether a line should then lead to it."""
    for distance in DISTANCES:
        for direction in DIRECTIONS:
            across, up = math.cos(math.radians(direction)), math.sin(math.radians(direction))
            left = x + across * distance * unit - width * (1 - round(across)) / 2
            bottom = y + up * distance * unit - height * (1 - round(up)) / 2
            yield _Box(left, bottom, left + width, bottom + height), distance >= LED


def _drawn(axes: Any) -> tuple[Float[np.ndarray, "segments 4"], list[_Box]]:
    """Return the segments of all lines, and the boxes of all marks and texts, in pixels."""
    segments: list[np.ndarray] = [np.zeros((0, 4))]
    boxes = [_Box(*text.get_window_extent().extents) for text in axes.texts if text.get_text().strip()]
    for line in axes.lines:
        points = line.get_transform().transform(np.asarray(line.get_xydata(), dtype=float))
        if line.get_linestyle() not in ("None", "none", "", " "):
            segments.append(np.hstack([points[:-1], points[1:]]))
        if line.get_marker() not in ("None", "none", None, "", " "):
            half = (line.get_markersize() / 2 + 1) * axes.figure.dpi / 72
            boxes += [_Box(x - half, y - half, x + half, y + half) for x, y in points]
    for collection in axes.collections:
        if hasattr(collection, "get_segments"):
            for path in collection.get_segments():
                points = collection.get_transform().transform(path)
                segments.append(np.hstack([points[:-1], points[1:]]))
    return np.concatenate(segments), boxes


def _touch(one: _Box, other: _Box) -> bool:
    beside = one.right <= other.left or other.right <= one.left
    return not (beside or one.top <= other.bottom or other.top <= one.bottom)


def _holds(box: _Box, x: float, y: float) -> bool:
    return bool(box.left <= x <= box.right and box.bottom <= y <= box.top)


def _crossed(segments: Float[np.ndarray, "segments 4"], box: _Box) -> Bool[np.ndarray, " segments"]:
    """Say which segments, from (x, y) to (x, y), have a part in the box (Liang and Barsky's clipping)."""
    start, change = segments[:, :2], segments[:, 2:] - segments[:, :2]
    enter, leave = np.zeros(len(segments)), np.ones(len(segments))
    for axis, (low, high) in enumerate(((box.left, box.right), (box.bottom, box.top))):
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.stack([(low - start[:, axis]) / change[:, axis], (high - start[:, axis]) / change[:, axis]])
        flat = change[:, axis] == 0
        within = (low <= start[:, axis]) & (start[:, axis] <= high)
        enter = np.maximum(enter, np.where(flat, np.where(within, 0.0, 2.0), ends.min(axis=0)))
        leave = np.minimum(leave, np.where(flat, 1.0, ends.max(axis=0)))
    return enter <= leave
