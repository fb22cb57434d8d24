"""The figures of what a training costs: time and energy of a run.

In: the results of a study with seconds or joules.
Out: a `Figure`, or None where nothing was measured.
"""

from collections.abc import Callable
from typing import Literal

from hilbertune.report.style import (
    CLASSICAL,
    QUANTUM,
    Figure,
    add_legend,
    label_once,
    new_rows,
    set_log_axis,
    write_beside,
)
from hilbertune.report.words import number_text, seconds_text
from hilbertune.study.record import Results


def time_figure(results: Results) -> Figure | None:
    """Draw the seconds of a run for each arm."""
    note = " Means over the seeds; runs that trained side by side share their time equally."
    return _cost_figure(results, "seconds", "Training time", "seconds a run (log scale)", seconds_text, note)


def energy_figure(results: Results) -> Figure | None:
    """Draw the joules of a run for each arm."""
    return _cost_figure(results, "energy_joules", "Energy", "joules a run (log scale)", lambda j: f"{number_text(j)} J")


def _cost_figure(
    results: Results,
    key: Literal["seconds", "energy_joules"],
    title: str,
    axis: str,
    words: Callable[[float], str],
    note: str = "",
) -> Figure | None:
    costs = [(arm, arm[key] or 0.0) for arm in results["arms"]]
    costs = [(arm, cost) for arm, cost in costs if cost > 0]
    if not costs:
        return None
    drawing, axes, size = new_rows([arm for arm, _ in costs])
    for place, (arm, cost) in enumerate(costs):
        quantum = arm["kind"] == "quantum"
        axes.plot(
            cost,
            place,
            linestyle="none",
            color=QUANTUM if quantum else CLASSICAL,
            marker="o" if quantum else "s",
            markerfacecolor=QUANTUM if quantum else "white",
            label=label_once(axes, arm["kind"]),
        )
        write_beside(axes, cost, place, words(cost), size)
    values = [cost for _, cost in costs]
    set_log_axis(axes, values, "{:g}".format)
    span = max(10.0, max(values) / min(values))
    axes.set_xlim(min(values) / span**0.06, max(values) * span**0.35)
    axes.set_xlabel(axis)
    axes.grid()
    add_legend(drawing, axes)
    (least, low), (most, high) = (f(costs, key=lambda pair: pair[1]) for f in (min, max))
    caption = f"A run takes from {words(low)} ({least['name']}) to {words(high)} ({most['name']}).{note}"
    rows = [{"arm": arm["name"], "kind": arm["kind"], key: cost} for arm, cost in costs]
    return Figure(title, caption, drawing, rows)
