"""The figure of learning curves: loss and accuracy by epoch.

In: the results of a study with curves, [epoch][seed].
Out: a `Figure`, or None where no arm has curves.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from hilbertune.report.reading import best_first, mean_of
from hilbertune.report.style import Figure, folded_label, line_looks, new_drawing
from hilbertune.runtime.labels import Name, lay_out, name_ends
from hilbertune.study.record import ArmResults, Curves, Results

DRAWN = 4
"""The most arms whose curves can still be told apart."""


class Panel(NamedTuple):
    """A quantity that was recorded in every epoch, and how it is shown: its name, its unit and a factor."""

    key: Literal["train_loss", "validation_loss", "validation_accuracy"]
    name: str
    unit: str
    scale: int


PANELS = (
    Panel("train_loss", "training loss", "nats", 1),
    Panel("validation_loss", "validation loss", "nats", 1),
    Panel("validation_accuracy", "validation accuracy", "%", 100),
)


def curves_figure(results: Results) -> Figure | None:
    """Draw the learning curves of the arms that did best on validation: means over the seeds, and their range."""
    having = [(arm, arm["curves"]) for arm in results["arms"] if arm["curves"] and arm["curves"]["epoch"]]
    panels = [p for p in PANELS if any(v is not None for _, curves in having for row in curves[p.key] for v in row)]
    if not panels:
        return None
    best = best_first(arm for arm, _ in having)[:DRAWN]
    shown = [(arm, arm["curves"]) for arm in best if arm["curves"]]
    drawing = new_drawing(0.4 + 1.9 * len(panels))
    all_axes = drawing.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    looks = line_looks([(arm["kind"], arm["method"]) for arm, _ in shown])
    for axes, panel in zip(all_axes, panels, strict=True):
        ends = [_draw_curve(axes, arm, curves, panel, look) for (arm, curves), look in zip(shown, looks, strict=True)]
        axes.set_ylabel(f"{panel.name} ({panel.unit})", fontsize=8.5)
        axes.grid()
        name_ends(axes, [end for end in ends if end is not None], size=8.0)
    all_axes[-1].set_xlabel("epoch")
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)
    lay_out(drawing)
    rows = [
        {"arm": arm["name"], "epoch": epoch} | {f"{p.key}, mean": mean_of(curves[p.key][place]) for p in panels}
        for arm, curves in having
        for place, epoch in enumerate(curves["epoch"])
    ]
    first, curves = shown[0]
    selection = f"The {len(shown)} of {len(having)} arms that did best on validation are drawn. "
    caption = (
        f"{first['name']} in {len(curves['epoch'])} epochs: {_start_and_end(curves, panels)} (means over seeds). "
        f"{selection if len(having) > len(shown) else ''}"
        "Lines are means, bands reach from the lowest to the highest seed."
    )
    if any("ensemble" in arm for arm, _ in shown):
        caption += " The curves of an ensemble are the means of its heads, which are judged one by one in training."
    return Figure("Learning curves", caption, drawing, rows)


def _draw_curve(axes: Any, arm: ArmResults, curves: Curves, panel: Panel, look: Mapping[str, Any]) -> Name | None:
    """Draw the mean over the seeds that still train as a line, their range as a band; return the name for its end."""
    known = [
        (epoch, [panel.scale * v for v in row if v is not None])
        for epoch, row in zip(curves["epoch"], curves[panel.key], strict=True)
        if any(v is not None for v in row)
    ]
    if not known:
        return None
    epochs = [epoch for epoch, _ in known]
    means = [float(np.mean(values)) for _, values in known]
    axes.plot(epochs, means, **{**look, "markevery": 0.2})
    lowest, highest = ([f(values) for _, values in known] for f in (min, max))
    axes.fill_between(epochs, lowest, highest, color=look["color"], alpha=0.15, linewidth=0)
    return Name(folded_label(arm["name"], 18, 3), epochs[-1], means[-1], look["color"])


def _start_and_end(curves: Curves, panels: Sequence[Panel]) -> str:
    """Return how each quantity changed from the first epoch to the last: `training loss from 0.7 to 0.2, ...`."""
    said = []
    for panel in panels:
        start, end = mean_of(curves[panel.key][0]), mean_of(curves[panel.key][-1])
        if start is not None and end is not None:
            digits, sign = (1, " %") if panel.unit == "%" else (3, "")
            texts = (f"{panel.scale * value:.{digits}f}{sign}" for value in (start, end))
            said.append(f"{panel.name} from {' to '.join(texts)}")
    return ", ".join(said)
