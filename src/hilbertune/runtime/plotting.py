"""Pictures: a circuit as text or as an image, and a whole fit on one page.

In: a `Circuit`, or the figures of an experiment. Out: text, or a PNG, SVG or PDF file (matplotlib, the extra `plot`).
"""

import io
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime.storage import write_atomically

# The Okabe-Ito palette, which colour-blind readers can tell apart.
WEIGHT, INPUT, INK, WIRE = "#56B4E9", "#E69F00", "#000000", "#999999"


PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")


FORMATS = (".png", ".svg", ".pdf")


def new_figure(width: float, height: float) -> Any:
    return require("matplotlib.figure", "plot").Figure(figsize=(width, height), dpi=120)


def check_format(path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise HilbertuneError(f"A picture's name must end in {', '.join(FORMATS)}, not {path.name!r}.")


def save_figure(figure: Any, path: Path, **options: Any) -> None:
    content = io.BytesIO()
    kind = path.suffix[1:].lower()
    date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    # Text stays text in an SVG, and the same drawing gives the same bytes.
    fixed = {"svg.fonttype": "none", "svg.hashsalt": "hilbertune"}
    with require("matplotlib", "plot").rc_context(fixed):
        figure.savefig(content, format=kind, metadata=date, **options)
    write_atomically(path, content.getvalue())
