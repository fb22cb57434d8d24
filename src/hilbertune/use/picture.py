"""The picture of an explanation.

In: an `Explanation`.
Out: a PNG, SVG or PDF file (matplotlib, the extra `plot`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertune.runtime.escaping import visible
from hilbertune.runtime.plotting import PALETTE, check_format, new_figure, save_figure

if TYPE_CHECKING:
    from hilbertune.use.explanation import Explanation


def draw_explanation(explanation: "Explanation", path: Path) -> None:
    """Draw one answer: the effect of each word, the encoders' expectations, the head's qubits block by block.

    What encoders and head show of an ensemble is the mean of its members.

    Raises:
        HilbertuneError: another suffix than .png, .svg or .pdf, or the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    check_format(path)
    words = [(word, effect) for word, effect in explanation.words if effect is not None]
    height = max(5.0, 2.2 + 0.24 * len(words))
    figure = new_figure(13, height)
    figure.suptitle(f"{visible(explanation.answer)}   (score {explanation.score:.3f})", fontsize=15, parse_math=False)
    grid = figure.add_gridspec(
        2,
        2,
        width_ratios=(1, 1.25),
        left=0.13,
        right=0.97,
        top=1 - 0.75 / height,
        bottom=0.65 / height,
        wspace=0.22,
        hspace=0.5,
    )
    _draw_words(figure.add_subplot(grid[:, 0]), words)
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


def _draw_words(axes: Any, words: Sequence[tuple[str, float]]) -> None:
    """Draw a bar for each word's effect, in points of the score."""
    axes.set_title("Words: blue speaks for the answer, orange against" if words else "No words", fontsize=11)
    if not words:
        axes.set_axis_off()
        return
    effects = [100 * effect for _, effect in words]
    axes.barh(range(len(words)), effects, color=[PALETTE[0] if effect >= 0 else PALETTE[1] for effect in effects])
    axes.set_yticks(range(len(words)), [visible(word) for word, _ in words], parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
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
            color="white" if dark else "black",
        )
    axes.set_xticks(range(values.shape[1]), [f"q{q}" for q in range(values.shape[1])])
    axes.set_yticks(range(len(names)), names)
    axes.set_title(title, fontsize=11)
