"""The figure of accuracy under the conditions of the test: shots, noise, devices.

In: the results of a study with evaluations.
Out: a `Figure` with a panel for each quantity that was varied, and one for names such as devices.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from hilbertune.report.marks import Published, draw_level, draw_line, draw_published, finish_axes, write_names
from hilbertune.report.reading import (
    best_first,
    finished_arms,
    is_evaluated,
    is_number,
    known_accuracy,
    reference_of,
)
from hilbertune.report.style import Figure, line_looks, new_drawing
from hilbertune.report.words import INTERVALS, accuracy_text, marked, number_text
from hilbertune.runtime.labels import lay_out, name_points
from hilbertune.runtime.plotting import INK
from hilbertune.study.record import ArmResults, Evaluation, Results


class Panel(NamedTuple):
    """The conditions that differ in one quantity: its unit, and by name their values, None where one has no number."""

    unit: str
    values: Mapping[str, float | None]


def conditions_figure(results: Results) -> Figure | None:
    """Draw the accuracy of the arms that were tested under further conditions, the classical ones as levels."""
    arms = [arm for arm in results["arms"] if is_evaluated(arm)]
    panels = _panels(arms)
    if not panels:
        return None
    drawing = new_drawing(0.4 + 2.7 * len(panels))
    all_axes = drawing.subplots(len(panels), 1, squeeze=False)[:, 0]
    rows: list[dict[str, Any]] = []
    panels_drawn = []
    for axes, panel in zip(all_axes, panels, strict=True):
        drawn = _draw_panel(axes, panel, arms, results)
        panels_drawn.append(drawn)
        rows += drawn.rows
    lay_out(drawing)
    for axes, drawn in zip(all_axes, panels_drawn, strict=True):
        name_points(axes, drawn.points)
    first = best_first(arms)[0]
    shown = [(e["name"], known_accuracy(e)) for e in first["evaluations"] if e["mean"] is not None]
    low, high = (f(shown, key=lambda pair: pair[1].mean) for f in (min, max))
    caption = (
        f"{first['name']} reaches from {accuracy_text(low[1])} ({low[0]}) to {accuracy_text(high[1])} ({high[0]}). "
        f"{INTERVALS}"
    )
    if any(row.get("trajectory_error") is not None for row in rows):
        caption += " Thick black bars are the standard error of the noise trajectories."
    return Figure("Accuracy under the conditions of the test", caption, drawing, rows)


def _panels(arms: Sequence[ArmResults]) -> list[Panel]:
    """Sort the conditions by their unit, the words of a name that are not its number."""
    panels: dict[str, dict[str, float | None]] = {}
    for evaluation in (e for arm in arms for e in arm["evaluations"]):
        value = evaluation["value"] if is_number(evaluation["value"]) else None
        words = [w for w in evaluation["name"].split() if not _reads_as_number(w)]
        unit = "" if value is None else " ".join(words)
        panels.setdefault(unit, {})[evaluation["name"]] = value
    # One name without a number (exact, no noise) belongs to the only quantity that was varied.
    if len(panels) == 2 and len(panels.get("", {})) == 1:
        named = panels.pop("")
        (unit,) = panels
        panels[unit] |= named
    return [Panel(unit, values) for unit, values in panels.items()]


def _reads_as_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _draw_panel(axes: Any, panel: Panel, arms: Sequence[ArmResults], results: Results) -> Published:
    """Draw the arms, those without conditions and published numbers; return the rows of all, and points to name."""
    where = _places(panel.values)
    rows: list[dict[str, Any]] = []
    constant = [arm for arm in finished_arms(results, "classical") if arm not in arms]
    looks = line_looks([(arm["kind"], arm["method"]) for arm in (*arms, *constant)])
    names = []
    for arm, look in zip(arms, looks, strict=False):
        known = [e for e in arm["evaluations"] if e["name"] in where and e["mean"] is not None]
        known.sort(key=lambda e: where[e["name"]])
        if known:
            places = [where[e["name"]] for e in known]
            names.append(draw_line(axes, places, list(map(known_accuracy, known)), arm["name"], look))
            _draw_trajectory_errors(axes, known, where)
        rows += [_row(arm, evaluation) for evaluation in known]
    for arm, look in zip(constant, looks[len(arms) :], strict=True):
        names.append(draw_level(axes, arm, look, marked(arm["name"], reference_of(results))))
    published = Published([], [], [])
    if panel.unit:
        numbers = {value: where[name] for name, value in panel.values.items() if value is not None}
        published = draw_published(axes, results, numbers.get)
    values = [panel.values[name] for name in where]
    labels = [n if v is None else number_text(v) for n, v in zip(where, values, strict=True)]
    axes.set_xticks(list(where.values()), labels, rotation=0 if len(labels) < 7 else 35)
    axes.set_xlabel(f"{panel.unit} in the test" if panel.unit else "noise of the test")
    finish_axes(axes)
    write_names(axes, [*names, *published.levels])
    return published._replace(rows=rows + published.rows)


def _draw_trajectory_errors(axes: Any, evaluations: Sequence[Evaluation], where: Mapping[str, float]) -> None:
    """Draw the standard error of the noise trajectories as thick bars over the means."""
    noisy = [
        (where[e["name"]], 100 * known_accuracy(e).mean, 100 * e["trajectory_error"])
        for e in evaluations
        if e["trajectory_error"] is not None
    ]
    axes.errorbar(
        [place for place, _, _ in noisy],
        [mean for _, mean, _ in noisy],
        yerr=[error for _, _, error in noisy],
        fmt="none",
        ecolor=INK,
        elinewidth=2.4,
        zorder=5,
    )


def _row(arm: ArmResults, evaluation: Evaluation) -> dict[str, Any]:
    return {
        "arm": arm["name"],
        "condition": evaluation["name"],
        "value": evaluation["value"],
        "mean": evaluation["mean"],
        "low": evaluation["low"],
        "high": evaluation["high"],
        "trajectory_error": evaluation["trajectory_error"],
    }


def _places(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return where conditions stand on the x axis.

    Numbers are placed by their logarithm if they span a wide range, 0 to their left; `exact` is to their right, other
    names to their left. Names alone keep their order.
    """
    numbers = sorted({v for v in values.values() if v is not None and v > 0})
    if not numbers:
        return {name: float(place) for place, name in enumerate(values)}
    logarithmic = all(v is None or v >= 0 for v in values.values()) and numbers[-1] >= 8 * numbers[0]
    scale: Callable[[float], float] = math.log2 if logarithmic else float
    first, last = scale(numbers[0]), scale(numbers[-1])
    step = (last - first) / max(1, len(numbers) - 1) or 1.0
    places = {}
    for name, value in values.items():
        if value is None:
            places[name] = last + step if name == "exact" else first - step
        else:
            places[name] = first - step if logarithmic and value == 0 else scale(value)
    return places
