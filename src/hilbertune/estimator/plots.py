"""Figures of one model: its learning curves, live or afterwards, what it takes for what, and its circuits.

In: curves by name, a matrix of counts, a shape.
Out: matplotlib figures (the extra `plot`), which notebooks show and `savefig` writes.
"""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from hilbertune.circuit.builders import parts
from hilbertune.circuit.drawing import draw_on, gate_legend
from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError, require, shown
from hilbertune.model.callbacks import NAMES, Arguments, Callback, TrainingControl, TrainingState
from hilbertune.runtime.escaping import visible
from hilbertune.runtime.plotting import INK, ON_DARK, ON_LIGHT, PALETTE, check_format, image, new_figure, save_figure

PANELS = (
    ("loss", (("train_loss", "training", PALETTE[0]), ("validation_loss", "validation", PALETTE[1]))),
    ("validation accuracy (%)", (("validation_accuracy", "validation", PALETTE[1]),)),
)
"""The axes of learning curves: a label, and the curves with their names and colours."""

COUNTED, NAMED = 12, 30
"""The most classes of a matrix with a number in each cell, and with a name at each row."""

LONGEST_NAME = 24
"""Characters of a class's name that a figure shows."""


def curves_figure(curves: Mapping[str, np.ndarray], *, best: int | None = None, title: str = "") -> Any:
    """Return the figure of curves [epochs, members]: thin lines for members, thick ones for their mean.

    `best` is the epoch whose weights were kept, counted from 0.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    shown_panels = [p for p in PANELS if any(not np.isnan(curves[name]).all() for name, *_ in p[1])]
    figure = new_figure(6.4, 0.7 + 2.3 * max(1, len(shown_panels)))
    figure.set_layout_engine("constrained")
    for place, (label, lines) in enumerate(shown_panels):
        axes = figure.add_subplot(len(shown_panels), 1, place + 1)
        for name, what, colour in lines:
            _draw_curve(axes, (100 if "%" in label else 1) * curves[name], what, colour)
        if best is not None:
            axes.axvline(best + 1, color=INK, linestyle=":", linewidth=1, label="kept")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
        if place == len(shown_panels) - 1:
            axes.set_xlabel("epoch")
    if title:
        figure.suptitle(title, fontsize=11, parse_math=False)
    return figure


def _draw_curve(axes: Any, values: np.ndarray, name: str, colour: str) -> None:
    """Draw the mean over the members that still train, and each member if there are several."""
    known = ~np.isnan(values).all(axis=1)
    if not known.any():
        return
    epochs = np.arange(1, len(values) + 1)
    if values.shape[1] > 1:
        axes.plot(epochs, values, color=colour, alpha=0.3, linewidth=0.8)
    mark = "." if known.sum() == 1 else ""
    axes.plot(epochs[known], np.nanmean(values[known], axis=1), marker=mark, color=colour, linewidth=1.8, label=name)


def confusion_figure(matrix: Int[np.ndarray, "classes classes"], names: Sequence[object]) -> Any:
    """Return the figure of how often each class (a row) was taken for each other one (a column).

    The colour of a cell is its share of its row.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    count = len(matrix)
    size = min(12.0, 2.6 + 0.62 * count)
    figure = new_figure(size + 0.6, size)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= COUNTED:
        for (true, taken), number in np.ndenumerate(matrix):
            colour = ON_DARK if shares[true, taken] > 0.55 else ON_LIGHT
            text = f"{number:,}\n{100 * shares[true, taken]:.0f} %"
            axes.text(taken, true, text, ha="center", va="center", color=colour, fontsize=8)
    step = -(-count // NAMED)
    short = [_short(name) for name in names[::step]]
    turned: dict[str, Any] = {} if max(map(len, short)) < 7 and count < 9 else {"rotation": 40, "ha": "right"}
    axes.set_xticks(range(0, count, step), short, parse_math=False, **turned)
    axes.set_yticks(range(0, count, step), short, parse_math=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    right = int(np.trace(matrix))
    axes.set_title(f"{right:,} of {matrix.sum():,} rows right ({100 * right / matrix.sum():.1f} %)", fontsize=11)
    return figure


def _short(name: object) -> str:
    text = visible(name)
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


def circuit_figure(shape: HeadConfig, outputs: int, part: str = "all") -> Any:
    """Return the figure of the circuits of a model: "encoder", "head", or all of them, one below the other.

    Raises:
        HilbertuneError: the model has no such circuit.
        MissingExtraError: matplotlib is not installed.
    """
    circuits = parts(shape)
    if part != "all" and part not in circuits:
        known = ", ".join(map(repr, circuits)) or "none"
        raise HilbertuneError(f"This model has no circuit {shown(part)}: its circuits are {known}.")
    drawn = {name: circuit for name, circuit in circuits.items() if part in ("all", name)}
    if not drawn:
        raise HilbertuneError("This model has no quantum circuit to draw.")
    # Rows of about 40 columns, all gates equally large.
    rows = [-(-len(circuit.columns) // 40) * (circuit.qubits + 1) + 1.5 for circuit in drawn.values()]
    figure = new_figure(13, min(40.0, 0.29 * sum(rows) + 0.5))
    figure.set_layout_engine("constrained")
    grid = figure.add_gridspec(len(drawn), 1, height_ratios=rows)
    for place, (name, circuit) in enumerate(drawn.items()):
        axes = figure.add_subplot(grid[place, 0])
        times = f" (one of {shape.encoders})" if name == "encoder" and shape.encoders > 1 else ""
        counts = f"{circuit.qubits} qubits, {circuit.parameters} weights, {len(circuit.operations)} gates"
        axes.set_title(f"{name}{times}: {counts}", fontsize=11)
        measured = range(shape.measured(outputs)) if name == "head" else ()
        draw_on(axes, circuit, measured=measured, columns=40)
    gate_legend(figure, list(drawn.values()), loc="outside lower center")
    return figure


class LivePlot(Callback):
    """A callback that draws the curves while a model trains: in a notebook below the cell, or to a file.

    Args:
        path: a .png, .svg or .pdf file, which is drawn anew; None for a notebook.
        every: the least number of seconds between two drawings; the last one is always made.

    Raises:
        HilbertuneError: another suffix.
        MissingExtraError: matplotlib is not installed, or without a path IPython.
    """

    def __init__(self, path: str | Path | None = None, every: float = 2.0) -> None:
        require("matplotlib.figure", "plot")
        if path is not None:
            check_format(Path(path))
        elif not _in_notebook():
            raise HilbertuneError(
                "LivePlot() draws in a notebook: elsewhere name a file, as in LivePlot('curves.png')."
            )
        self.path, self.every = path, every
        self._drawn = -math.inf

    def on_train_begin(self, _args: Arguments, _state: TrainingState, _control: TrainingControl, /, **_: Any) -> None:
        """Begin with a drawing after the first epoch."""
        self._drawn = -math.inf

    def on_epoch_end(self, _args: Arguments, state: TrainingState, _control: TrainingControl, /, **_: Any) -> None:
        """Draw if the last drawing is long enough ago."""
        if time.monotonic() - self._drawn >= self.every:
            self._draw(state)

    def on_train_end(self, _args: Arguments, state: TrainingState, _control: TrainingControl, /, **_: Any) -> None:
        """Draw all epochs."""
        self._draw(state)

    def _draw(self, state: TrainingState) -> None:
        if not state.log_history:
            return
        figure = curves_figure(curves_of(state.log_history), title=f"{state.stage}: epoch {state.epoch:g}")
        if self.path is not None:
            save_figure(figure, Path(self.path))
        else:
            display = require("IPython.display", "plot")
            picture = display.Image(image(figure, ".png"))
            first = self._drawn == -math.inf
            display.display(picture, display_id=f"hilbertune-{id(self)}-{state.stage}", update=not first)
        self._drawn = time.monotonic()


def curves_of(history: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Return curves [epochs, 1] from the history that callbacks see."""
    return {curve: np.array([[log.get(name, math.nan)] for log in history]) for curve, name in NAMES.items()}


def _in_notebook() -> bool:
    """Return True where IPython can show pictures."""
    import sys

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})
