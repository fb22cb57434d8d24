"""The one style of all pictures, and their files (matplotlib, the extra `plot`).

In: a figure and a path, the name of a method.
Out: its colour and marker; a PNG, SVG or PDF file; the same figure gives the same bytes.
"""

import functools
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime.escaping import visible
from hilbertune.runtime.storage import destination, write_atomically

INK, PAPER, MUTED, RULE = "#1f2328", "#ffffff", "#57606a", "#d8dce1"
"""The colours of text and outlines, of the ground, of notes, and of grids."""

QUANTUM = "#d55e00"
"""The colour of whatever is quantum, in every picture and in the report, and of nothing else."""

LINEAR, KERNEL, PERCEPTRON, TREES, OTHER = "#0b57d0", "#9158ae", "#06936f", "#5b2a0a", "#5f6b7a"
"""The colours of classical methods by their kind; together with QUANTUM colour-blind readers can tell them apart."""

CLASSICAL = LINEAR
"""The colour of classical methods where they are one group."""

PALETTE = (LINEAR, PERCEPTRON, KERNEL, TREES, OTHER)
"""Colours of what is no method, such as the classes of the data."""

AGAINST = "#b2182b"
"""The colour of what speaks against an answer, beside LINEAR for what speaks for it."""

WEIGHT, INPUT, WIRE = "#56b4e9", "#e69f00", "#8c959f"
"""The colours of a rotation by a weight (trained), of a rotation by an input (data), and of wires."""

ON_DARK = "#fffffe"
"""White writing on a dark cell, which stays white when the ground turns dark."""

ON_LIGHT = "#000001"
"""Black writing on a light cell, which stays black when the ground turns dark, also where black ink turns light."""

FORMATS = (".png", ".svg", ".pdf")
"""Suffixes of the files that can be drawn."""

DARK = {
    INK: "#e6e8eb",
    PAPER: "#1e2129",
    MUTED: "#a8b0ba",
    RULE: "#3a404b",
    QUANTUM: "#ff8a3d",
    LINEAR: "#5c93ff",
    KERNEL: "#c79bf2",
    PERCEPTRON: "#4fdda0",
    TREES: "#f2e05a",
    OTHER: "#b9c4cc",
    AGAINST: "#ff7b86",
}
"""What the colours become where the reader prefers a dark ground; the others are legible on both."""

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "hatch.color": PAPER,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    # Names come from files: a $ in them is a $.
    "text.parse_math": False,
    # Text stays text in an SVG, and the same drawing gives the same bytes.
    "svg.fonttype": "none",
    "svg.hashsalt": "hilbertune",
}
"""Settings of matplotlib under which every figure is drawn and saved."""

_KINDS: tuple[tuple[str, str, str], ...] = (
    # A word of the name, in this order of precedence; colour; marker.
    ("quadratic", KERNEL, "X"),
    ("selection", LINEAR, "P"),
    ("RBF", KERNEL, "^"),
    ("SVM", LINEAR, "v"),
    ("kernel", KERNEL, "^"),
    ("MLP", PERCEPTRON, "D"),
    ("boosting", TREES, "p"),
    ("forest", TREES, "h"),
    ("k-NN", OTHER, "*"),
    ("matched", LINEAR, "d"),
    ("logistic", LINEAR, "s"),
    ("ridge", LINEAR, "s"),
    ("linear", LINEAR, "s"),
)

P = ParamSpec("P")
T = TypeVar("T")


def method_look(kind: Literal["quantum", "classical"], method: str) -> tuple[str, str]:
    """Return the colour and the marker of a method, the same in every picture."""
    if kind == "quantum":
        return QUANTUM, "o"
    return next(((colour, marker) for word, colour, marker in _KINDS if word in method), (OTHER, "o"))


def in_style(function: Callable[P, T]) -> Callable[P, T]:
    """Have everything that the function draws and saves look as STYLE says, and leave matplotlib's settings alone.

    The function raises MissingExtraError where matplotlib is not installed.
    """

    @functools.wraps(function)
    def styled(*args: P.args, **kwargs: P.kwargs) -> T:
        with require("matplotlib", "plot").rc_context(STYLE):
            return function(*args, **kwargs)

    return styled


def new_figure(width: float, height: float, **options: Any) -> Any:
    """Return an empty matplotlib figure of this size in inches, which pyplot does not know; notebooks show it.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = require("matplotlib.figure", "plot").Figure(figsize=(width, height), dpi=120, **options)
    # Without `%matplotlib inline` a notebook asks the figure itself.
    figure._repr_svg_ = functools.partial(_svg, figure)
    return figure


def _svg(figure: Any) -> str:
    """Return a figure for a notebook, whose ground may be light where its reader prefers a dark one elsewhere."""
    return image(figure, ".svg", dark=False).decode()


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


@in_style
def image(figure: Any, suffix: str, *, salt: str = "hilbertune", dark: bool = True, **options: Any) -> bytes:
    """Return the content of a file with one of the suffixes FORMATS, without a date or a version.

    An SVG turns dark where its reader prefers that, unless `dark` is false; `salt` makes its ids differ from those of
    other figures.
    """
    content = io.BytesIO()
    kind = suffix[1:].lower()
    about = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
    _make_visible(figure)
    with require("matplotlib", "plot").rc_context({"svg.hashsalt": salt}):
        figure.savefig(content, format=kind, metadata=about.get(kind), **options)
    drawn = content.getvalue()
    return turning_dark(drawn) if kind == "svg" and dark else drawn


def dark_rules() -> str:
    """Return CSS that turns drawings dark on a screen whose reader prefers that; without it they are as drawn."""
    rules = [
        f'[style*="{part}: {colour}"] {{ {part}: {dark} !important }}'
        for colour, dark in DARK.items()
        for part in ("fill", "stroke")
    ]
    return "@media screen and (prefers-color-scheme: dark) {\n" + "\n".join(rules) + "\n}"


def turning_dark(svg: bytes) -> bytes:
    """Return an SVG that carries `dark_rules`."""
    style = f'<style type="text/css">{dark_rules()}</style>'.encode()
    return re.sub(rb"(<svg\b[^>]*>)", lambda match: match[0] + b"\n" + style, svg, count=1)
