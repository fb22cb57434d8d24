"""What can be read back from a picture: its pixels, its colours, its texts, and what of these is in the way.

In: a PNG or an SVG file, or a figure.
Out: arrays, shares of the area, labels, collisions.
"""

import itertools
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.path import Path as Line
from matplotlib.text import Text
from PIL import Image

BLUE, ORANGE = (0x56, 0xB4, 0xE9), (0xE6, 0x9F, 0x00)
"""The colours of gates that turn by a weight and by an input."""


def pixels(path: Path) -> np.ndarray:
    """Return the colours [height, width, 3] of a PNG."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int64)


def share_of(image: np.ndarray, colour: tuple[int, int, int]) -> float:
    """Return the share of the pixels that have a colour, or nearly."""
    return float((np.abs(image - colour).max(axis=2) < 8).mean())


def labels_in(path: Path) -> set[str]:
    """Return every text of an SVG."""
    root = xml.etree.ElementTree.parse(path).getroot()
    return {"".join(e.itertext()).strip() for e in root.iter("{http://www.w3.org/2000/svg}text")}


def collisions(figure: Any) -> list[str]:
    """Return what cannot be read in a matplotlib figure: texts that touch each other, texts across which a line runs.

    Lines are those of the same axes, except grids, the frame and the thin line that leads from a name to its point.
    """
    figure.draw_without_rendering()
    every, found = [], []
    for axes in figure.axes:
        texts = [text for text in _texts(axes) if text.get_visible() and text.get_text().strip()]
        boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts]
        every += boxes
        own = [(text.get_text(), Text.get_window_extent(text)) for text in axes.texts if text.get_bbox_patch() is None]
        for path in _paths(axes):
            found += [
                f"a line runs over {name!r}" for name, box in own if box.width and path.intersects_bbox(box, False)
            ]
    every += [(text.get_text(), text.get_window_extent()) for text in figure.texts]
    for (name, one), (other, two) in itertools.combinations(every, 2):
        wide, high = min(one.x1, two.x1) - max(one.x0, two.x0), min(one.y1, two.y1) - max(one.y0, two.y0)
        if wide > 1 and high > 1:
            found.append(f"{name!r} and {other!r} overlap")
    return found


def _texts(axes: Any) -> list[Any]:
    """Return the texts of axes: those on it, its titles, and the labels of ticks inside its limits."""
    texts = [*axes.texts, axes.title]
    for axis, (low, high) in (axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()):
        place, (low, high) = "xy".index(axis.axis_name), sorted((low, high))
        ticks = [t for t in axis.get_ticklabels() if low <= t.get_position()[place] <= high]
        texts += [axis.label, *ticks] if axes.axison else []
    return texts


def _paths(axes: Any) -> list[Any]:
    """Return the lines on axes in pixels: solid or dashed lines, and error bars."""
    lines = [line for line in axes.lines if line.get_linestyle() not in ("None", "none", "", " ")]
    paths = [line.get_transform().transform_path(line.get_path()) for line in lines]
    for collection in axes.collections:
        if hasattr(collection, "get_segments"):
            paths += [collection.get_transform().transform_path(Line(s)) for s in collection.get_segments()]
    return paths
