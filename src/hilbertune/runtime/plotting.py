"""Colours and files of all pictures (matplotlib, the extra `plot`).

In: a figure and a path.
Out: a PNG, SVG or PDF file; the same figure gives the same bytes.
"""

import io
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime.escaping import visible
from hilbertune.runtime.storage import destination, write_atomically

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""The colours of Okabe and Ito, which colour-blind readers can tell apart."""

WEIGHT, INPUT, INK, WIRE = "#56B4E9", "#E69F00", "#000000", "#999999"
"""The colours of a rotation by a weight (trained), of a rotation by an input (data), of outlines and of wires."""

FORMATS = (".png", ".svg", ".pdf")
"""Suffixes of the files that can be drawn."""


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib figure of this size in inches, which pyplot does not know.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return require("matplotlib.figure", "plot").Figure(figsize=(width, height), dpi=120)


def check_format(path: Path) -> None:
    """Raise HilbertuneError if no picture can be drawn to a file of this suffix."""
    if path.suffix.lower() not in FORMATS:
        raise HilbertuneError(f"A picture's name must end in {', '.join(FORMATS)}, not {path.name!r}.")


def _make_visible(figure: Any) -> None:
    """Show with escapes what names have of control characters, which no SVG may hold, and of marks of direction."""
    for text in figure.findobj(lambda artist: hasattr(artist, "get_text") and hasattr(artist, "set_text")):
        shown = visible(text.get_text(), lines=True)
        if shown != text.get_text():
            text.set_text(shown)


def save_figure(figure: Any, path: Path, **options: Any) -> None:
    """Write a figure to a file whose suffix is one of FORMATS; `options` are passed on to matplotlib's `savefig`.

    Raises:
        CannotWriteError: the file cannot be written.
    """
    write_atomically(destination(path), image(figure, path.suffix, **options))


def image(figure: Any, suffix: str, **options: Any) -> bytes:
    """Return the content of a file with one of the suffixes FORMATS."""
    content = io.BytesIO()
    kind = suffix[1:].lower()
    date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    _make_visible(figure)
    # Text stays text in an SVG, and the same drawing gives the same bytes.
    fixed = {"svg.fonttype": "none", "svg.hashsalt": "hilbertune"}
    with require("matplotlib", "plot").rc_context(fixed):
        figure.savefig(content, format=kind, metadata=date, **options)
    return content.getvalue()
