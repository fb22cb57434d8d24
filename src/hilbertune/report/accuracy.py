"""The figures of accuracy: against a factor of the arms, arm by arm, and against the number of trained parameters.

In: the results of a study.
Out: a `Figure`, or None where the results have nothing to show in it.
"""

from collections.abc import Sequence
from typing import Any, Literal

from hilbertune.report.blocks import blocks_figure
from hilbertune.report.marks import (
    accuracy_row,
    draw_level,
    draw_line,
    draw_published,
    error_bars,
    finish_axes,
    write_names,
)
from hilbertune.report.reading import (
    best_of_each_kind,
    finished_arms,
    is_evaluated,
    is_number,
    known_accuracy,
    known_effects,
    number_of,
    reference_of,
)
from hilbertune.report.style import (
    Figure,
    folded_label,
    line_looks,
    new_drawing,
    new_rows,
    set_log_axis,
    set_ticks,
    write_beside,
)
from hilbertune.report.words import INTERVALS, accuracy_text, marked, number_text
from hilbertune.runtime.labels import Name, lay_out, name_points
from hilbertune.runtime.plotting import INK, MUTED, PAPER, method_look
from hilbertune.study.record import ArmResults, Results

NAMED = 16
"""The most points that get a name, where each arm is a point."""


def accuracy_figure(results: Results) -> Figure | None:
    """Draw accuracy against the factor that the study asks for, or a bar for each arm where no arm has it."""
    wanted = results["figure"]
    if not finished_arms(results):
        return None
    if wanted["conditions"] and any(map(is_evaluated, results["arms"])):
        return None
    if wanted["kind"] == "effects" and known_effects(results):
        return None
    factor = str(wanted["x"])
    placed = [arm for arm in finished_arms(results) if is_number(arm["factors"].get(factor))]
    worded = [arm for arm in finished_arms(results) if isinstance(arm["factors"].get(factor), str)]
    if wanted["kind"] != "line" or not (placed or worded):
        return _bars(results)
    if worded:
        others = [arm for arm in finished_arms(results) if arm not in worded]
        return blocks_figure(results, factor, _by_line(worded, wanted["series"]), others)
    return _lines(results, factor, placed)


def _lines(results: Results, factor: str, placed: Sequence[ArmResults]) -> Figure:
    """Draw a line for each group of the arms that have the factor, and a level for every other arm."""
    lines = _by_line(placed, results["figure"]["series"])
    others = [arm for arm in finished_arms(results) if arm not in placed]
    looks = line_looks([method_of(arm) for arm in (*(arms[0] for arms in lines.values()), *others)])
    drawing = new_drawing(max(3.3, 0.6 + 0.28 * (len(looks) + len(results["published"]))))
    axes = drawing.add_subplot()
    reference = reference_of(results)
    rows, names = [], []
    for (name, arms), look in zip(lines.items(), looks, strict=False):
        arms.sort(key=lambda arm: number_of(arm["factors"], factor))
        xs = [number_of(arm["factors"], factor) for arm in arms]
        names.append(draw_line(axes, xs, [known_accuracy(arm["summary"]) for arm in arms], name, look))
        rows += [accuracy_row(arm, line=name, x=x) for arm, x in zip(arms, xs, strict=True)]
    for arm, look in zip(others, looks[len(lines) :], strict=True):
        names.append(draw_level(axes, arm, look, marked(arm["name"], reference)))
        rows.append(accuracy_row(arm, line=arm["name"], x=None))
    published = draw_published(axes, results, lambda x: x)
    rows += published.rows
    places = {number_of(arm["factors"], factor) for arm in placed}
    set_ticks(axes, places | {entry["x"] for entry in results["published"] if is_number(entry["x"])})
    name = factor.replace("_", " ")
    axes.set_xlabel(name)
    finish_axes(axes)
    write_names(axes, [*names, *published.levels])
    lay_out(drawing)
    name_points(axes, published.points)
    return Figure(f"Accuracy against {name}", INTERVALS, drawing, rows)


def method_of(arm: ArmResults) -> tuple[Literal["quantum", "classical"], str]:
    """Return kind and method of an arm, which give it its colour."""
    return arm["kind"], arm["method"]


def _by_line(arms: Sequence[ArmResults], series: str | None) -> dict[str, list[ArmResults]]:
    """Share the arms out to the lines of a figure: one for each value of the factor `series`, else one a group."""
    lines: dict[str, list[ArmResults]] = {}
    for arm in arms:
        name = f"{series} = {arm['factors'][series]}" if series in arm["factors"] else _group(arm)
        lines.setdefault(name, []).append(arm)
    return lines


def _group(arm: ArmResults) -> str:
    return str(arm.get("group") or arm["method"])


def _bars(results: Results) -> Figure:
    """Draw a bar for every arm from the accuracy of guessing, the most accurate first, published numbers among them."""
    arms = results["arms"]
    known = [(f"published: {e['what']}", e["value"]) for e in results["published"] if e["value"] is not None]
    classes = len(results["data"]["classes"])
    chance = 100 / classes if classes else 0.0
    means = [(accuracy_row(arm)["mean"] or 0.0, arm["name"], arm) for arm in arms]
    lines: list[tuple[float, str, ArmResults | None]] = [*means, *((value, name, None) for name, value in known)]
    lines.sort(key=lambda line: line[0], reverse=True)
    reference = reference_of(results)
    drawing, axes, size = new_rows([marked(name, reference) for _, name, _ in lines])
    for place, (value, _, arm) in enumerate(lines):
        if arm is None:
            axes.plot([100 * value], [place], "D", color=INK, markerfacecolor="none", markersize=6)
            write_beside(axes, 100 * value, place, f"{100 * value:.1f}", size)
        else:
            _draw_bar(axes, arm, place, chance, size)
    axes.axvline(chance, color=INK, linewidth=1)
    level = next((100 * value for value, name, arm in lines if name == reference and arm is not None), None)
    if level is not None:
        axes.axvline(level, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=0.9)
    rows = [accuracy_row(arm) for arm in arms]
    rows += [{"arm": name, "kind": "published", "mean": value} for name, value in known]
    left, right = axes.get_xlim()
    axes.set_xlim(left if left < chance else chance, right + 0.1 * (right - left))
    axes.set_xlabel("test accuracy (%)")
    axes.grid(axis="x")
    start = f" Bars start at {chance:.3g} %, the accuracy of guessing." if classes else ""
    dashed = " The dashed line is the reference." if level is not None else ""
    open_ = " Open diamonds are published numbers." if known else ""
    caption = f"Orange is quantum. {INTERVALS}{start}{dashed}{open_}"
    lay_out(drawing)
    return Figure("Accuracy of every arm", caption, drawing, rows)


def _draw_bar(axes: Any, arm: ArmResults, place: int, chance: float, size: float) -> None:
    """Draw the bar of an arm with its interval and its value."""
    if not arm["summary"] or arm["summary"]["mean"] is None:
        write_beside(axes, chance, place, "no finished run", size)
        return
    accuracy = known_accuracy(arm["summary"])
    value, ends = 100 * accuracy.mean, error_bars([accuracy])
    axes.barh(
        place,
        value - chance,
        left=chance,
        height=0.66,
        color=method_look(*method_of(arm))[0],
        alpha=0.8,
        hatch=None if arm["kind"] == "quantum" else "///",
        edgecolor=PAPER,
        linewidth=0,
        xerr=ends if accuracy.low is not None else None,
        error_kw={"capsize": 2.5, "elinewidth": 1.1, "ecolor": INK},
    )
    write_beside(axes, max(value + ends[1][0], chance), place, f"{value:.1f}", size)


def parameters_figure(results: Results) -> Figure | None:
    """Draw accuracy against the number of trained parameters, each arm a point with its name beside it."""
    finished = finished_arms(results)
    arms = [(arm, arm["parameters"]) for arm in finished if arm["parameters"] and arm["parameters"] > 0]
    if not arms:
        return None
    drawing = new_drawing(3.6)
    axes = drawing.add_subplot()
    for arm, count in arms:
        accuracy = known_accuracy(arm["summary"])
        colour, marker = method_look(*method_of(arm))
        axes.errorbar(
            [count],
            [100 * accuracy.mean],
            yerr=error_bars([accuracy]),
            color=colour,
            marker=marker,
            markersize=6,
            markerfacecolor=colour if arm["kind"] == "quantum" else PAPER,
            linestyle="none",
            elinewidth=0.8,
        )
    set_log_axis(axes, [count for _, count in arms], number_text)
    axes.margins(x=0.12)
    axes.set_xlabel("trained parameters (log scale)")
    finish_axes(axes)
    lay_out(drawing)
    unnamed = _name_arms(axes, arms, reference_of(results))
    left_out = len(finished) - len(arms)
    caption = _parameters_of_the_best([arm for arm, _ in arms])
    caption += " Filled orange circles are quantum, open marks classical; bars are 95 % intervals."
    caption += f" {unnamed} points have no room for a name: the table of the arms has them all." if unnamed else ""
    caption += f" {left_out} arms without a known number of parameters are left out." if left_out else ""
    rows = [accuracy_row(arm) | {"parameters": count} for arm, count in arms]
    return Figure("Parameters against accuracy", caption, drawing, rows)


def _name_arms(axes: Any, arms: Sequence[tuple[ArmResults, float]], reference: str | None) -> int:
    """Name the points, the best of each kind and the reference first, and return how many stay without a name."""
    best = [arm["name"] for arm in best_of_each_kind(arm for arm, _ in arms)]
    first = sorted(arms, key=lambda pair: pair[0]["name"] not in (*best, reference))
    names = [
        Name(folded_label(marked(arm["name"], reference), 22), count, 100 * known_accuracy(arm["summary"]).mean)
        for arm, count in first[:NAMED]
    ]
    return len(name_points(axes, names, size=8.0)) + len(first[NAMED:])


def _parameters_of_the_best(arms: Sequence[ArmResults]) -> str:
    """Return a sentence on how many parameters the arms with the highest means have."""
    said = []
    for kind in ("quantum", "classical"):
        means = [(arm, known_accuracy(arm["summary"])) for arm in arms if arm["kind"] == kind]
        if means:
            best, accuracy = max(means, key=lambda pair: pair[1].mean)
            count = number_text(best["parameters"])
            said.append(f"the highest {kind} mean, {accuracy_text(accuracy)}, has {count} parameters ({best['name']})")
    sentence = "; ".join(said)
    return f"{sentence[0].upper()}{sentence[1:]}."
