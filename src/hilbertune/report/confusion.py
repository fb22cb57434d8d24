"""The figure of confusion matrices: which classes the best arms take for which.

In: the results of a study with confusion matrices, [true][predicted].
Out: a `Figure`, or None where no arm has one.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hilbertune.report.reading import best_of_each_kind, finished_arms
from hilbertune.report.style import Figure, folded_label, new_drawing
from hilbertune.runtime.plotting import ON_DARK
from hilbertune.study.record import Results

BESIDE, COUNTED, NUMBERED, NAMED = 3, 6, 12, 20
"""The most classes for matrices side by side, for counts in cells, for shares in cells, and for a name at each row."""


def confusion_figure(results: Results) -> Figure | None:
    """Draw the matrices of the quantum and of the classical arm that did best on validation."""
    arms = best_of_each_kind(arm for arm in finished_arms(results) if arm["confusion"])
    if not arms:
        return None
    matrices = [np.array(arm["confusion"], dtype=float) for arm in arms]
    count = len(matrices[0])
    names = [str(c) for c in results["data"]["classes"]]
    names = names if len(names) == count else [str(i) for i in range(count)]
    beside = count <= BESIDE
    drawing = new_drawing(2.9 if beside else 3.6 * len(arms))
    shape = (1, len(arms)) if beside else (len(arms), 1)
    rows, said = [], []
    for axes, arm, matrix in zip(drawing.subplots(*shape, squeeze=False).flat, arms, matrices, strict=True):
        _draw_matrix(axes, matrix, names, beside)
        axes.set_title(folded_label(arm["name"], 24 if beside else 48), fontsize=8)
        if (matrix - np.diag(np.diag(matrix))).any():
            said.append(f"{arm['name']} most often takes {_most_frequent_mistake(matrix, names)}")
        rows += [
            {"arm": arm["name"], "true": names[t], "predicted": names[p], "rows": int(number)}
            for (t, p), number in np.ndenumerate(matrix)
        ]
    finding = "; ".join(said) or "No test row was misjudged"
    caption = f"{finding}. Test rows of all seeds together; the arms of each kind that did best on validation."
    return Figure("Confusion matrices", caption, drawing, rows)


def _draw_matrix(axes: Any, matrix: Float[np.ndarray, "classes classes"], names: Sequence[str], beside: bool) -> None:
    """Draw each cell in the colour of its share of the true class's rows."""
    count = len(matrix)
    shares = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
    edges = np.arange(count + 1) - 0.5
    axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    if count <= NUMBERED:
        for (true, taken), number in np.ndenumerate(matrix):
            share = shares[true, taken]
            text = f"{number:,.0f}\n{100 * share:.0f} %" if count <= COUNTED else f"{100 * share:.0f}"
            colour = ON_DARK if share > 0.55 else "black"
            axes.text(taken, true, text, ha="center", va="center", color=colour, fontsize=8)
    step = -(-count // NAMED)
    short = [folded_label(n, 9 if beside else 14, 1) for n in names[::step]]
    turned = {"rotation": 0, "ha": "center"} if beside else {"rotation": 40, "ha": "right"}
    axes.set_xticks(range(0, count, step), short, fontsize=8, **turned)
    axes.set_yticks(range(0, count, step), short, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")


def _most_frequent_mistake(matrix: Float[np.ndarray, "classes classes"], names: Sequence[str]) -> str:
    """Return the class that is most often taken for another: `'cat' for 'dog' (12 of 40)`."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    true, taken = map(int, np.unravel_index(int(wrong.argmax()), wrong.shape))
    return f"{names[true]!r} for {names[taken]!r} ({wrong[true, taken]:,.0f} of {matrix[true].sum():,.0f})"
