"""The figure of main effects: how much each factor of a screening design changes the accuracy.

In: the results of a study with effects.
Out: a `Figure`, or None where no effect is known.
"""

from hilbertune.report.reading import known_effects
from hilbertune.report.style import Figure, folded_label, new_drawing
from hilbertune.runtime.labels import lay_out
from hilbertune.runtime.plotting import INK, MUTED, PAPER, QUANTUM
from hilbertune.study.record import Effect, Results


def effects_figure(results: Results) -> Figure | None:
    """Draw the effect of each factor with its interval; those that differ clearly from zero are filled circles.

    The largest comes first.
    """
    effects = sorted(known_effects(results), key=lambda effect: abs(effect["effect"] or 0.0), reverse=True)
    if not effects:
        return None
    drawing = new_drawing(0.8 + 0.36 * len(effects))
    axes = drawing.add_subplot()
    for place, effect in enumerate(effects):
        clear = _is_clear(effect)
        assert effect["effect"] is not None
        value, (low, high) = 100 * effect["effect"], effect["interval"]
        ends = None if low is None or high is None else [[value - 100 * low], [100 * high - value]]
        axes.errorbar(
            value,
            place,
            xerr=ends,
            fmt="o" if clear else "s",
            color=QUANTUM if clear else MUTED,
            markerfacecolor=QUANTUM if clear else PAPER,
            capsize=3,
            markersize=6,
        )
    axes.axvline(0, color=INK, linewidth=1)
    names = [folded_label(f"{e['factor']}: {e['low']} to {e['high']}") for e in effects]
    axes.set_yticks(range(len(effects)), names, fontsize=8.5)
    axes.set_ylim(len(effects) - 0.5, -0.5)
    axes.set_xlabel("change of the mean test accuracy (points)")
    axes.grid(axis="x")
    lay_out(drawing)
    caption = (
        f"Filled circles: distinguished from zero at the 5 % level after Holm's "
        f"correction ({sum(map(_is_clear, effects))} of {len(effects)}); open squares: not. Bars are 95 % intervals."
    )
    return Figure("Main effects", caption, drawing, effects)


def _is_clear(effect: Effect) -> bool:
    """Say whether the effect is distinguished from zero at the 5 % level after Holm's correction."""
    return effect["p_holm"] is not None and effect["p_holm"] <= 0.05
