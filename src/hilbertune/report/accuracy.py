"""The figures of accuracy: against a factor of the arms, arm by arm, and against the number of trained parameters.

In: the results of a study.
Out: a `Figure`, or None where the results have nothing to show in it.
"""

from collections.abc import Sequence

from hilbertune.report.marks import accuracy_row, draw_level, draw_line, draw_published, error_bars, finish_axes
from hilbertune.report.reading import finished_arms, is_evaluated, is_number, known_accuracy, known_effects, number_of
from hilbertune.report.style import (
    CLASSICAL,
    QUANTUM,
    Figure,
    add_legend,
    folded_label,
    label_once,
    line_look,
    new_drawing,
    new_rows,
    published_look,
    set_log_axis,
    set_ticks,
    write_beside,
)
from hilbertune.report.words import INTERVALS, accuracy_text, highest_means_text, number_text
from hilbertune.runtime.plotting import INK
from hilbertune.study.record import ArmResults, Results

GROUPS = 14
"""The most groups of arms that still get a marker each."""


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
    if wanted["kind"] != "line" or not placed:
        return _bars(results)
    return _lines(results, factor, placed)


def _lines(results: Results, factor: str, placed: Sequence[ArmResults]) -> Figure:
    """Draw a line for each group of the arms that have the factor, and a level for every other arm."""
    drawing = new_drawing(3.4)
    axes = drawing.add_subplot()
    rows = []
    lines = _by_line(placed, results["figure"]["series"])
    for index, (name, arms) in enumerate(lines.items()):
        arms.sort(key=lambda arm: number_of(arm["factors"], factor))
        xs = [number_of(arm["factors"], factor) for arm in arms]
        draw_line(axes, xs, [known_accuracy(arm["summary"]) for arm in arms], name, index)
        rows += [accuracy_row(arm, line=name, x=x) for arm, x in zip(arms, xs, strict=True)]
    others = [arm for arm in finished_arms(results) if arm not in placed]
    for index, arm in enumerate(others, len(lines)):
        draw_level(axes, arm, index)
        rows.append(accuracy_row(arm, line=arm["name"], x=None))
    rows += draw_published(axes, results, lambda x: x)
    places = {number_of(arm["factors"], factor) for arm in placed}
    set_ticks(axes, places | {entry["x"] for entry in results["published"] if is_number(entry["x"])})
    name = factor.replace("_", " ")
    axes.set_xlabel(name)
    finish_axes(axes)
    add_legend(drawing, axes)
    return Figure(f"Accuracy against {name}", f"{highest_means_text(results)} {INTERVALS}", drawing, rows)


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
    """Draw a bar for every arm from the accuracy of guessing, in the given order."""
    arms = results["arms"]
    classes = len(results["data"]["classes"])
    chance = 100 / classes if classes else 0.0
    drawing, axes, size = new_rows(arms)
    for place, arm in enumerate(arms):
        if not arm["summary"] or arm["summary"]["mean"] is None:
            write_beside(axes, chance, place, "no finished run", size)
            continue
        quantum = arm["kind"] == "quantum"
        accuracy = known_accuracy(arm["summary"])
        value, ends = 100 * accuracy.mean, error_bars([accuracy])
        axes.barh(
            place,
            value - chance,
            left=chance,
            height=0.66,
            color=QUANTUM if quantum else CLASSICAL,
            alpha=0.75,
            hatch=None if quantum else "///",
            edgecolor="white",
            linewidth=0,
            xerr=ends if accuracy.low is not None else None,
            label=label_once(axes, arm["kind"]),
            error_kw={"capsize": 2.5, "elinewidth": 1.1, "ecolor": INK},
        )
        write_beside(axes, max(value + ends[1][0], chance), place, f"{value:.1f}", size)
    axes.axvline(chance, color=INK, linewidth=1)
    rows = [accuracy_row(arm) for arm in arms]
    known = [(f"published: {e['what']}", e["value"]) for e in results["published"] if e["value"] is not None]
    for index, (name, value) in enumerate(known):
        axes.axvline(100 * value, label=folded_label(name), **published_look(index))
        rows.append({"arm": name, "kind": "published", "mean": value})
    left, right = axes.get_xlim()
    axes.set_xlim(left if left < chance else chance, right + 0.1 * (right - left))
    axes.set_xlabel("test accuracy (%)")
    axes.grid(axis="x")
    add_legend(drawing, axes)
    start = f"Bars start at {chance:.3g} %, the accuracy of guessing." if classes else ""
    caption = f"{highest_means_text(results)} {INTERVALS} {start}".strip()
    return Figure("Accuracy of every arm", caption, drawing, rows)


def parameters_figure(results: Results) -> Figure | None:
    """Draw accuracy against the number of trained parameters, quantum and classical arms together."""
    finished = finished_arms(results)
    arms = [(arm, arm["parameters"]) for arm in finished if arm["parameters"] and arm["parameters"] > 0]
    if not arms:
        return None
    groups: dict[tuple[str, str], list[tuple[ArmResults, float]]] = {}
    for arm, count in arms:
        groups.setdefault((arm["kind"], _group(arm)), []).append((arm, count))
    if len(groups) > GROUPS:
        kinds = sorted({arm["kind"] for arm, _ in arms})
        groups = {(kind, f"{kind} arms"): [pair for pair in arms if pair[0]["kind"] == kind] for kind in kinds}
    drawing = new_drawing(3.3)
    axes = drawing.add_subplot()
    for index, ((kind, name), members) in enumerate(groups.items()):
        accuracies = [known_accuracy(arm["summary"]) for arm, _ in members]
        look = line_look(index) | {"linestyle": "none"}
        axes.errorbar(
            [count for _, count in members],
            [100 * accuracy.mean for accuracy in accuracies],
            yerr=error_bars(accuracies),
            label=folded_label(f"{name} ({kind})" if kind not in name else name),
            markerfacecolor=look["color"] if kind == "quantum" else "white",
            elinewidth=1,
            capsize=2,
            **look,
        )
    set_log_axis(axes, [count for _, count in arms], number_text)
    axes.margins(x=0.08)
    axes.set_xlabel("trained parameters (log scale)")
    finish_axes(axes)
    add_legend(drawing, axes)
    left_out = len(finished) - len(arms)
    caption = _parameters_of_the_best([arm for arm, _ in arms])
    caption += " Filled markers are quantum, open ones classical; bars are 95 % intervals."
    caption += f" {left_out} arms without a known number of parameters are left out." if left_out else ""
    rows = [accuracy_row(arm) | {"parameters": count} for arm, count in arms]
    return Figure("Parameters against accuracy", caption, drawing, rows)


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
