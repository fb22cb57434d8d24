"""What can be read back from a picture: its pixels, its colours, its texts.

In: a PNG or an SVG file.
Out: arrays, shares of the area, labels.
"""

import xml.etree.ElementTree
from pathlib import Path

import numpy as np
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
