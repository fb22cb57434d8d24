"""The picture of an explanation.

In: an `Explanation`.
Out: a PNG, SVG or PDF file (matplotlib, the extra `plot`).
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertune.runtime.escaping import visible
from hilbertune.runtime.plotting import AGAINST, INK, LINEAR, ON_DARK, check_format, in_style, new_figure, save_figure

if TYPE_CHECKING:
    from hilbertune.use.explanation import Explanation


LONGEST = 280
"""Characters of the text that the picture repeats."""


@in_style
def draw_explanation(explanation: "Explanation", path: Path) -> None:
    """Draw one answer: the text and its class, the effect of each word, encoders' expectations, the head by block.

    What encoders and head show of an ensemble is the mean of its members.

    Raises:
        HilbertuneError: another suffix than .png, .svg or .pdf, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    words = [(word, effect) for word, effect in explanation.words if effect is not None]
    said = textwrap.wrap(_text(explanation), 110)
    above = 0.95 + 0.24 * len(said)
    height = max(5.0, 2.0 + 0.24 * len(words)) + above
    figure = new_figure(13, height)
    answer = f"{visible(explanation.answer)}   (score {explanation.score:.3f})"
    figure.text(0.5, 1 - 0.3 / height, answer, fontsize=15, ha="center", va="center", weight="bold")
    figure.text(0.5, 1 - 0.5 / height, "\n".join(said), fontsize=11, ha="center", va="top")
    grid = figure.add_gridspec(
        2,
        2,
        width_ratios=(1, 1.25),
        left=0.13,
        right=0.97,
        top=1 - above / height,
        bottom=0.65 / height,
        wspace=0.22,
        hspace=0.5,
    )
    _draw_words(figure.add_subplot(grid[:, 0]), words, visible(explanation.answer))
    members = explanation.members
    mean = f", mean of {members} heads" if members > 1 else ""
    each = [explanation.of_member(number) for number in range(members)]
    encoders = np.mean([own for own, _ in each], axis=0)
    z = np.mean([[block.z for block in own] for _, own in each], axis=0)
    purity = np.mean([[block.purity for block in own] for _, own in each], axis=0)
    _draw_heat(
        figure.add_subplot(grid[0, 1]),
        encoders,
        [f"encoder {e}" for e in range(len(encoders))],
        f"What the encoders hand to the head: ⟨Z⟩ of their qubits{mean}",
    )
    _draw_heat(
        figure.add_subplot(grid[1, 1]),
        z,
        [block.name for block in each[0][1]],
        f"The head's qubits after each block: ⟨Z⟩ (in brackets: purity){mean}",
        purity,
    )
    save_figure(figure, path, bbox_inches="tight", pad_inches=0.15)


def _text(explanation: "Explanation") -> str:
    """Return the text in quotation marks, cut if it is long; an embedding has none."""
    if explanation.text is None:
        return "an embedding, without a text"
    text = visible(" ".join(explanation.text.split()))
    return f"“{text}”" if len(text) <= LONGEST else f"“{text[:LONGEST]} …”"


def _draw_words(axes: Any, words: Sequence[tuple[str, float]], answer: str) -> None:
    """Draw a bar for each word's effect, in points of the score."""
    short = answer if len(answer) <= 24 else f"{answer[:23]}…"
    axes.set_title(f"Words: blue speaks for {short}, red against" if words else "No words", fontsize=11)
    if not words:
        axes.set_axis_off()
        return
    effects = [100 * effect for _, effect in words]
    axes.barh(range(len(words)), effects, color=[LINEAR if effect >= 0 else AGAINST for effect in effects])
    axes.set_yticks(range(len(words)), [visible(word) for word, _ in words])
    axes.invert_yaxis()
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(axis="x")
    axes.set_xlabel("change of the score when the word is there (points)")


def _draw_heat(
    axes: Any,
    values: np.ndarray,
    names: Sequence[str],
    title: str,
    below: np.ndarray | None = None,
) -> None:
    """Draw numbers from -1 to 1 as a table of colours with the numbers in it."""
    axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    size = min(9.0, 90 / max(8, values.shape[1]))
    for row, column in np.ndindex(*values.shape):
        text = f"{values[row, column]:+.2f}"
        if below is not None:
            text += f"\n({below[row, column]:.2f})"
        dark = abs(values[row, column]) > 0.6
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=size,
            color=ON_DARK if dark else "black",
        )
    axes.set_xticks(range(values.shape[1]), [f"q{q}" for q in range(values.shape[1])])
    axes.set_yticks(range(len(names)), names)
    axes.set_title(title, fontsize=11)
