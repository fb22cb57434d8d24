"""The figures of what a training costs: time and energy of a run.

In: the results of a study with seconds or joules.
Out: a `Figure`, or None where nothing was measured.
"""

from collections.abc import Callable
from typing import Literal

from hilbertune.report.style import Figure, new_rows, set_log_axis, write_beside
from hilbertune.report.words import number_text, seconds_text
from hilbertune.runtime.plotting import PAPER, method_look
from hilbertune.study.record import Results


def time_figure(results: Results) -> Figure | None:
    """Draw the seconds of a run for each arm, the longest first."""
    note = " Means over the seeds; runs that trained side by side share their time equally."
    return _cost_figure(results, "seconds", "Training time", "seconds a run (log scale)", seconds_text, note)


def energy_figure(results: Results) -> Figure | None:
    """Draw the joules of a run for each arm, the most first."""
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
    costs.sort(key=lambda pair: pair[1], reverse=True)
    drawing, axes, size = new_rows([arm["name"] for arm, _ in costs])
    for place, (arm, cost) in enumerate(costs):
        colour, marker = method_look(arm["kind"], arm["method"])
        axes.plot(
            cost,
            place,
            linestyle="none",
            color=colour,
            marker=marker,
            markerfacecolor=colour if arm["kind"] == "quantum" else PAPER,
        )
        write_beside(axes, cost, place, words(cost), size)
    values = [cost for _, cost in costs]
    set_log_axis(axes, values, "{:g}".format)
    span = max(10.0, max(values) / min(values))
    axes.set_xlim(min(values) / span**0.06, max(values) * span**0.35)
    axes.set_xlabel(axis)
    axes.grid()
    (least, low), (most, high) = (f(costs, key=lambda pair: pair[1]) for f in (min, max))
    reach = f"A run takes from {words(low)} ({least['name']}) to {words(high)} ({most['name']})."
    caption = f"{reach} Filled orange circles are quantum.{note}"
    rows = [{"arm": arm["name"], "kind": arm["kind"], key: cost} for arm, cost in costs]
    return Figure(title, caption, drawing, rows)
