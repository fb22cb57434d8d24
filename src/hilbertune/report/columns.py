"""The figure of accuracy against a factor whose values are words, such as the base that the heads stand on.

In: the results of a study, and the arms that have the factor.
Out: a `Figure` with a column for each value, and in it a point for each line of arms.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

from hilbertune.report.marks import (
    accuracy_row,
    draw_level,
    draw_published,
    error_bars,
    finish_axes,
    write_names,
)
from hilbertune.report.reading import known_accuracy, reference_of
from hilbertune.report.style import MARKERS, Figure, folded_label, line_looks, new_drawing
from hilbertune.report.words import INTERVALS, marked
from hilbertune.runtime.labels import lay_out
from hilbertune.runtime.plotting import RULE
from hilbertune.study.record import ArmResults, Results

COLUMN = 0.78
"""The part of a column's width that its points take."""


def columns_figure(
    results: Results, factor: str, lines: dict[str, list[ArmResults]], others: Sequence[ArmResults]
) -> Figure:
    """Draw a column for each value of the factor; every line has its place and its look in all of them.

    Points of as many lines are too close for names beside them: a legend has them. Arms without the factor are levels.
    """
    values = list(dict.fromkeys(str(arm["factors"][factor]) for arms in lines.values() for arm in arms))
    kinds = [(arms[0]["kind"], arms[0]["method"]) for arms in lines.values()]
    looks = _unlike(line_looks([*kinds, *((arm["kind"], arm["method"]) for arm in others)]))
    drawing = new_drawing(max(3.6, 2.6 + 0.3 * len(results["published"])) + 0.1 * len(looks))
    axes = drawing.add_subplot()
    for edge in range(1, len(values)):
        axes.axvline(edge - 0.5, color=RULE, linewidth=0.8)
    rows, levels = [], []
    for place, ((line, arms), look) in enumerate(zip(lines.items(), looks, strict=False)):
        shift = COLUMN * ((place + 0.5) / len(lines) - 0.5)
        accuracies = [known_accuracy(arm["summary"]) for arm in arms]
        xs = [values.index(str(arm["factors"][factor])) + shift for arm in arms]
        percent = [100 * accuracy.mean for accuracy in accuracies]
        style = {**look, "linestyle": "none", "label": folded_label(line, 24)}
        axes.errorbar(xs, percent, yerr=error_bars(accuracies), elinewidth=1, **style)
        rows += [accuracy_row(arm, line=line, x=arm["factors"][factor]) for arm in arms]
    for arm, look in zip(others, looks[len(lines) :], strict=True):
        levels.append(draw_level(axes, arm, look, marked(arm["name"], reference_of(results))))
        rows.append(accuracy_row(arm, line=arm["name"], x=None))
    published = draw_published(axes, results, lambda _: None)
    axes.set_xlim(-0.5, len(values) - 0.5)
    axes.set_xticks(range(len(values)), [_folded(value, 60 // len(values)) for value in values], fontsize=8.0)
    axes.tick_params(axis="x", length=0)
    finish_axes(axes)
    drawing.legend(loc="outside lower center", ncols=2, handletextpad=0.3, columnspacing=1.2)
    write_names(axes, [*levels, *published.levels])
    lay_out(drawing)
    caption = f"Orange is quantum. {INTERVALS}"
    caption += " Dotted lines are published numbers, of other embeddings." if published.rows else ""
    return Figure(f"Accuracy by {factor.replace('_', ' ')}", caption, drawing, [*rows, *published.rows])


def _unlike(looks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the looks with another marker where two would have the same, since no dashes tell points apart."""
    taken: set[tuple[str, str]] = set()
    unlike = []
    for look in looks:
        free = (mark for mark in (look["marker"], *MARKERS) if (look["color"], mark) not in taken)
        own = {**look, "marker": next(free, look["marker"])}
        taken.add((own["color"], own["marker"]))
        unlike.append(own)
    return unlike


def _folded(value: str, width: int) -> str:
    """Return a value for below its column, folded behind the signs within it."""
    return "\n".join(textwrap.wrap(value.replace("+", "+ ").replace("-", "- "), width)).replace("- ", "-")
