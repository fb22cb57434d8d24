"""The figure of accuracy by a factor whose values are words, such as the base that the heads stand on.

In: the results of a study, and the arms that have the factor.
Out: a `Figure` with a block of rows for each value, and in it a row for each line of arms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hilbertune.report.marks import accuracy_row, error_bars
from hilbertune.report.reading import known_accuracy
from hilbertune.report.style import Figure, new_rows, write_beside
from hilbertune.runtime.labels import lay_out
from hilbertune.runtime.plotting import INK, MUTED, PAPER, method_look
from hilbertune.study.record import ArmResults, Results

YARDSTICK = "logistic regression"
"""The method whose level is drawn through its block."""

OTHERS, PUBLISHED = "on any", "published"
"""The headings of the arms without the factor, and of published numbers."""


def blocks_figure(
    results: Results, factor: str, lines: Mapping[str, Sequence[ArmResults]], others: Sequence[ArmResults]
) -> Figure:
    """Draw a block of rows for each value of the factor; a line has the same place in all of them."""
    values = list(dict.fromkeys(str(arm["factors"][factor]) for arms in lines.values() for arm in arms))
    blocks: dict[str, list[tuple[str, ArmResults]]] = {
        value: [(line, arm) for line, arms in lines.items() for arm in arms if str(arm["factors"][factor]) == value]
        for value in values
    }
    if others:
        blocks[f"{OTHERS} {factor}"] = [(arm["name"], arm) for arm in others]
    known = [(str(entry["what"]), entry["value"]) for entry in results["published"] if entry["value"] is not None]
    names = [name for value, arms in blocks.items() for name in (value, *(line for line, _ in arms))]
    names += [PUBLISHED, *(what for what, _ in known)] if known else []
    drawing, axes, size = new_rows(names)
    rows, place = [], 0
    for value, arms in blocks.items():
        _draw_block(axes, place, [arm for _, arm in arms], size)
        rows += [accuracy_row(arm, line=line, x=value) for line, arm in arms]
        place += 1 + len(arms)
    if known:
        _head(axes, place)
        for number, (what, accuracy) in enumerate(known, place + 1):
            axes.plot([100 * accuracy], [number], "D", color=INK, markerfacecolor="none", markersize=6)
            write_beside(axes, 100 * accuracy, number, f"{100 * accuracy:.1f}", size)
            rows.append({"arm": f"published: {what}", "x": None, "mean": accuracy})
    left, right = axes.get_xlim()
    axes.set_xlim(left, right + 0.12 * (right - left))
    axes.set_xlabel("test accuracy (%)")
    axes.grid(axis="x")
    lay_out(drawing)
    caption = (
        "Orange is quantum. Bars are 95 % intervals over seeds. The dashed line of a block is logistic regression."
    )
    caption += " Open diamonds are published numbers, of other embeddings." if known else ""
    return Figure(f"Accuracy by {factor.replace('_', ' ')}", caption, drawing, rows)


def _draw_block(axes: Any, place: int, arms: Sequence[ArmResults], size: float) -> None:
    """Draw the arms of a block below its heading, which stands at `place`."""
    _head(axes, place)
    for number, arm in enumerate(arms, place + 1):
        accuracy = known_accuracy(arm["summary"])
        ends, value = error_bars([accuracy]), 100 * accuracy.mean
        colour, marker = method_look(arm["kind"], arm["method"])
        fill = colour if arm["kind"] == "quantum" else PAPER
        style = {"color": colour, "markerfacecolor": fill, "markersize": 5, "elinewidth": 1.1, "capsize": 2.0}
        axes.errorbar([value], [number], xerr=ends, marker=marker, linestyle="none", **style)
        write_beside(axes, value + ends[1][0], number, f"{value:.1f}", size)
        if arm["method"] == YARDSTICK:
            edges = [place + 0.5, place + len(arms) + 0.5]
            axes.plot([value, value], edges, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0.9)


def _head(axes: Any, place: int) -> None:
    """Make the name in a row the heading of what follows."""
    axes.get_yticklabels()[place].set_fontweight("bold")
