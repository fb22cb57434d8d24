"""The report of a study: one HTML page that needs no network, and every figure as SVG, PNG and CSV.

In: a study's directory with results.json. Out: report.html and figures/ beside it; the same results give the same bytes.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

from hilbertune.report.reading import Arm, Results, best_arm, is_evaluated, is_number, known_effects, tested_arms
from hilbertune.report.style import (
    CLASSICAL,
    QUANTUM,
    Figure,
    add_legend,
    csv_row,
    draw_level,
    draw_line,
    draw_published,
    error_bars,
    finish_axes,
    label_once,
    log_axis,
    look_of,
    new_panel,
    rows_figure,
    set_ticks,
    write_beside,
)
from hilbertune.report.words import NOTE, accuracy_text, folded_label, highest_means, number_text
from hilbertune.runtime.plotting import INK


def accuracy_figure(results: Results) -> Figure | None:
    """Accuracy against a factor of the arms, or a bar for every arm where there is none."""
    wanted = results["figure"]
    factor = wanted.get("x")
    if not tested_arms(results):
        return None
    placed = [arm for arm in tested_arms(results) if is_number(arm["factors"].get(factor))]
    if wanted.get("conditions") and any(map(is_evaluated, results["arms"])):
        return None
    if wanted.get("kind") == "effects" and known_effects(results):
        return None
    if wanted.get("kind") != "line" or not placed:
        return _bars(results)
    lines: dict[str, list[Arm]] = {}
    series = wanted.get("series")
    for arm in placed:
        group = str(arm.get("group") or arm["method"])
        name = f"{series} = {arm['factors'][series]}" if series in arm["factors"] else group
        lines.setdefault(name, []).append(arm)
    figure = new_panel(3.4)
    axes = figure.add_subplot()
    index, rows = 0, []
    places = {arm["factors"][factor] for arm in placed}
    for name, arms in lines.items():
        arms.sort(key=lambda arm: arm["factors"][factor])
        xs = [arm["factors"][factor] for arm in arms]
        draw_line(axes, xs, [arm["summary"] for arm in arms], name, index)
        rows += [csv_row(arm, line=name, x=x) for arm, x in zip(arms, xs, strict=True)]
        index += 1
    for arm in (arm for arm in tested_arms(results) if arm not in placed):
        draw_level(axes, arm, index)
        rows.append(csv_row(arm, line=arm["name"], x=None))
        index += 1
    rows += draw_published(axes, results, lambda x: x)
    places |= {p["x"] for p in results["published"] if is_number(p["x"])}
    set_ticks(axes, places)
    axes.set_xlabel(str(factor).replace("_", " "))
    finish_axes(axes)
    add_legend(figure, axes)
    title = f"Accuracy against {str(factor).replace('_', ' ')}"
    return Figure(title, f"{highest_means(results)} {NOTE}", figure, rows)


def _bars(results: Results) -> Figure:
    """A bar for every arm from the accuracy of guessing, in the given order."""
    arms = results["arms"]
    classes = len(results["data"].get("classes") or [])
    chance = 100 / classes if classes else 0.0
    figure, axes, size = rows_figure(arms)
    for place, arm in enumerate(arms):
        summary = arm["summary"]
        if not summary or summary["mean"] is None:
            write_beside(axes, chance, place, "no finished run", size)
            continue
        quantum = arm["kind"] == "quantum"
        value = 100 * summary["mean"]
        ends = error_bars([summary["mean"]], [summary["low"]], [summary["high"]])
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
            xerr=ends if summary["low"] is not None else None,
            label=label_once(axes, arm["kind"]),
            error_kw={"capsize": 2.5, "elinewidth": 1.1, "ecolor": INK},
        )
        place_of_text = max(value + ends[1][0], chance)
        write_beside(axes, place_of_text, place, f"{value:.1f}", size)
    axes.axvline(chance, color=INK, linewidth=1)
    entries = [e for e in results["published"] if e["value"] is not None]
    for index, entry in enumerate(entries):
        name = folded_label(f"published: {entry['what']}")
        dots = (0, (1, 1 + index))
        axes.axvline(100 * entry["value"], label=name, color=INK, linestyle=dots, linewidth=1.2)
    left, right = axes.get_xlim()
    axes.set_xlim(left if left < chance else chance, right + 0.1 * (right - left))
    axes.set_xlabel("test accuracy (%)")
    axes.grid(axis="x")
    add_legend(figure, axes)
    rows = [csv_row(arm) for arm in arms]
    rows += [{"arm": f"published: {e['what']}", "kind": "published", "mean": e["value"]} for e in entries]  # fmt: skip
    start = f"Bars start at {chance:.3g} %, the accuracy of guessing." if classes else ""
    caption = f"{highest_means(results)} {NOTE} {start}".strip()
    return Figure("Accuracy of every arm", caption, figure, rows)


def conditions_figure(results: Results) -> Figure | None:
    """Accuracy under the conditions of the test: a panel for each quantity that was varied, one for names such as devices."""
    arms = [arm for arm in results["arms"] if is_evaluated(arm)]
    panels: dict[str, dict[str, Any]] = {}
    for evaluation in itertools.chain(*(arm["evaluations"] for arm in arms)):
        numeric = is_number(evaluation["value"])
        words = [w for w in evaluation["name"].split() if not _reads_as_number(w)]
        unit = " ".join(words) if numeric else ""
        panels.setdefault(unit, {})[evaluation["name"]] = evaluation["value"] if numeric else None
    if not panels:
        return None
    # One name without a number (exact, no noise) belongs to the only quantity that was varied.
    if len(panels) == 2 and len(panels.get("", {})) == 1:
        named = panels.pop("")
        (unit,) = panels
        panels[unit] |= named
    figure = new_panel(0.4 + 2.7 * len(panels))
    all_axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    rows = []
    errors = False
    for axes, (unit, names) in zip(all_axes, panels.items(), strict=True):
        where = _places(names)
        for index, arm in enumerate(arms):
            known = sorted(
                (e for e in arm["evaluations"] if e["name"] in where and e["mean"] is not None),
                key=lambda e: where[e["name"]],
            )
            if not known:
                continue
            places = [where[e["name"]] for e in known]
            draw_line(axes, places, known, arm["name"], index)
            noisy = [e for e in known if e["trajectory_error"] is not None]
            errors |= bool(noisy)
            axes.errorbar(
                [where[e["name"]] for e in noisy],
                [100 * e["mean"] for e in noisy],
                yerr=[100 * e["trajectory_error"] for e in noisy],
                fmt="none",
                ecolor=INK,
                elinewidth=2.4,
                zorder=5,
            )
            rows += [
                {"arm": arm["name"], "condition": e["name"]}
                | {k: e[k] for k in ("value", "mean", "low", "high", "trajectory_error")}
                for e in known
            ]
        index = len(arms)
        for arm in tested_arms(results, "classical"):
            if arm not in arms:
                draw_level(axes, arm, index)
                index += 1
        if unit:
            there = {value: where[name] for name, value in names.items() if value is not None}
            rows += draw_published(axes, results, there.get)
        values = [names[n] for n in where]
        labels = [n if v is None else number_text(v) for n, v in zip(where, values, strict=True)]
        axes.set_xticks(list(where.values()), labels, rotation=0 if len(labels) < 7 else 35)
        axes.set_xlabel(f"{unit} in the test" if unit else "noise of the test")
        finish_axes(axes)
    add_legend(figure, all_axes[0])
    first = best_arm(arms)
    assert first is not None
    shown = [e for e in first["evaluations"] if e["mean"] is not None]
    low, high = (f(shown, key=lambda e: e["mean"]) for f in (min, max))
    caption = (
        f"{first['name']} reaches from {accuracy_text(low)} ({low['name']}) to {accuracy_text(high)} ({high['name']}). {NOTE}"
        + (" Thick black bars are the standard error of the noise trajectories." if errors else "")
    )
    return Figure("Accuracy under the conditions of the test", caption, figure, rows)


def _reads_as_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _places(names: Mapping[str, Any]) -> dict[str, float]:
    """Where conditions stand on the x axis: numbers by their logarithm if they span much, 0 left of them, `exact` right of them."""
    numbers = sorted({v for v in names.values() if v is not None and v > 0})
    if not numbers:
        return {name: float(place) for place, name in enumerate(names)}
    if any(v is not None and v < 0 for v in names.values()) or numbers[-1] < 8 * numbers[0]:
        scale: Callable[[float], float] = float
        step = (numbers[-1] - numbers[0]) / max(1, len(numbers) - 1) or 1.0
    else:
        scale = math.log2
        step = (math.log2(numbers[-1]) - math.log2(numbers[0])) / max(1, len(numbers) - 1) or 1.0
    found = {}
    for name, value in names.items():
        if value is None:
            found[name] = scale(numbers[-1]) + step if name == "exact" else scale(numbers[0]) - step
        elif value == 0 and scale is math.log2:
            found[name] = scale(numbers[0]) - step
        else:
            found[name] = scale(value)
    return found


def parameters_figure(results: Results) -> Figure | None:
    """Parameters against accuracy, quantum and classical together."""
    arms = [arm for arm in tested_arms(results) if (arm["parameters"] or 0) > 0]
    if not arms:
        return None
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        groups.setdefault((arm["kind"], str(arm.get("group") or arm["method"])), []).append(arm)
    if len(groups) > 14:
        groups = {
            (kind, f"{kind} arms"): [arm for arm in arms if arm["kind"] == kind]
            for kind in sorted({arm["kind"] for arm in arms})
        }
    figure = new_panel(3.3)
    axes = figure.add_subplot()
    for index, ((kind, name), members) in enumerate(groups.items()):
        summaries = [arm["summary"] for arm in members]
        means, lows, highs = ([s[k] for s in summaries] for k in ("mean", "low", "high"))
        look = look_of(index) | {"linestyle": "none"}
        axes.errorbar(
            [arm["parameters"] for arm in members],
            [100 * m for m in means],
            yerr=error_bars(means, lows, highs),
            label=folded_label(f"{name} ({kind})" if kind not in name else name),
            markerfacecolor=look["color"] if kind == "quantum" else "white",
            elinewidth=1,
            capsize=2,
            **look,
        )
    log_axis(axes, [arm["parameters"] for arm in arms], number_text)
    axes.margins(x=0.08)
    axes.set_xlabel("trained parameters (log scale)")
    finish_axes(axes)
    add_legend(figure, axes)
    said = []
    for kind in ("quantum", "classical"):
        best = max((a for a in arms if a["kind"] == kind), key=lambda a: a["summary"]["mean"], default=None)  # fmt: skip
        if best:
            said.append(f"the highest {kind} mean, {accuracy_text(best['summary'])}, has {number_text(best['parameters'])} parameters ({best['name']})")  # fmt: skip
    left = len(tested_arms(results)) - len(arms)
    finding = "; ".join(said)
    caption = f"{finding[0].upper()}{finding[1:]}."
    caption += " Filled markers are quantum, open ones classical; bars are 95 % intervals."
    caption += f" {left} arms without a known number of parameters are left out." if left else ""
    rows = [csv_row(arm) | {"parameters": arm["parameters"]} for arm in arms]
    return Figure("Parameters against accuracy", caption, figure, rows)
