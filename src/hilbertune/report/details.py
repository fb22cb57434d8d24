"""The report of a study: one HTML page that needs no network, and every figure as SVG, PNG and CSV.

In: a study's directory with results.json. Out: report.html and figures/ beside it; the same results give the same bytes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from hilbertune.circuit.builders import parts
from hilbertune.circuit.drawing import draw_on
from hilbertune.config.records import HeadConfig
from hilbertune.errors import require
from hilbertune.report.reading import Arm, Results, best_arm, known_effects, mean_of, tested_arms
from hilbertune.report.style import (
    CLASSICAL,
    QUANTUM,
    Figure,
    add_legend,
    label_once,
    log_axis,
    look_of,
    new_panel,
    rows_figure,
    write_beside,
)
from hilbertune.report.words import folded_label, largest_effect_text, number_text, seconds_text
from hilbertune.runtime.plotting import INK, INPUT, WEIGHT

CURVES = 4
"""So many arms' learning curves can still be told apart."""


def effects_figure(results: Results) -> Figure | None:
    effects = known_effects(results)
    if not effects:
        return None
    figure = new_panel(0.8 + 0.36 * len(effects))
    axes = figure.add_subplot()
    for place, effect in enumerate(effects):
        clear = effect["p_holm"] is not None and effect["p_holm"] <= 0.05
        value, (low, high) = 100 * effect["effect"], effect["interval"]
        ends = None if low is None else [[value - 100 * low], [100 * high - value]]
        axes.errorbar(
            value,
            place,
            xerr=ends,
            fmt="o" if clear else "s",
            color=QUANTUM if clear else CLASSICAL,
            markerfacecolor=QUANTUM if clear else "white",
            capsize=3,
            markersize=6,
        )
    axes.axvline(0, color=INK, linewidth=1)
    names = [folded_label(f"{e['factor']}: {e['low']} to {e['high']}") for e in effects]
    axes.set_yticks(range(len(effects)), names, fontsize=8.5)
    axes.set_ylim(len(effects) - 0.5, -0.5)
    axes.set_xlabel("change of the mean test accuracy (points)")
    axes.grid(axis="x")
    clear = [e for e in effects if e["p_holm"] is not None and e["p_holm"] <= 0.05]
    return Figure(
        "Main effects",
        f"{largest_effect_text(effects)} Filled circles: distinguished from zero at the 5 % level after Holm's correction "
        f"({len(clear)} of {len(effects)}); open squares: not. Bars are 95 % intervals.",
        figure,
        effects,
    )


def curves_figure(results: Results) -> Figure | None:
    having = [arm for arm in results["arms"] if arm["curves"] and arm["curves"]["epoch"]]
    if not having:
        return None
    shown: list[Arm] = []
    while len(shown) < CURVES and (arm := best_arm([a for a in having if a not in shown])):
        shown.append(arm)
    panels = [
        ("train_loss", "training loss (nats)", 1),
        ("validation_loss", "validation loss (nats)", 1),
        ("validation_accuracy", "validation accuracy (%)", 100),
    ]
    panels = [p for p in panels if any(v is not None for arm in having for row in arm["curves"][p[0]] for v in row)]  # fmt: skip
    if not panels:
        return None
    figure = new_panel(0.4 + 1.9 * len(panels))
    all_axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (key, name, scale) in zip(all_axes, panels, strict=True):
        for index, arm in enumerate(shown):
            known = [
                (epoch, [scale * v for v in row if v is not None])
                for epoch, row in zip(arm["curves"]["epoch"], arm["curves"][key], strict=True)
                if any(v is not None for v in row)
            ]
            epochs = [epoch for epoch, _ in known]
            look = look_of(index) | {"markevery": 0.2}
            means = [float(np.mean(values)) for _, values in known]
            axes.plot(epochs, means, label=folded_label(arm["name"]), **look)
            lowest, highest = ([f(values) for _, values in known] for f in (min, max))
            axes.fill_between(epochs, lowest, highest, color=look["color"], alpha=0.15, linewidth=0)
        axes.set_ylabel(name, fontsize=8.5)
        axes.grid(alpha=0.3)
    all_axes[-1].set_xlabel("epoch")
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)
    add_legend(figure, all_axes[0])
    rows = [
        {"arm": arm["name"], "epoch": epoch}
        | {f"{key}, mean": mean_of(arm["curves"][key][place]) for key, _, _ in panels}
        for arm in having
        for place, epoch in enumerate(arm["curves"]["epoch"])
    ]
    first, curves = shown[0], shown[0]["curves"]
    said = []
    for key, name, scale in panels:
        at_start, at_end = mean_of(curves[key][0]), mean_of(curves[key][-1])
        if at_start is not None and at_end is not None:
            word, unit = name.rsplit(" (", 1)[0], " %" if scale == 100 else ""
            start, end = (f"{scale * v:.{1 if unit else 3}f}{unit}" for v in (at_start, at_end))
            said.append(f"{word} from {start} to {end}")
    which = f"The {len(shown)} of {len(having)} arms that did best on validation are drawn. " if len(having) > len(shown) else ""  # fmt: skip
    caption = (
        f"{first['name']} in {len(curves['epoch'])} epochs: {', '.join(said)} (means over seeds). {which}"
        "Lines are means, bands reach from the lowest to the highest seed."
    )
    return Figure("Learning curves", caption, figure, rows)


def confusion_figure(results: Results) -> Figure | None:
    """Of the quantum and of the classical arm that did best on validation."""
    having = [arm for arm in tested_arms(results) if arm["confusion"]]
    best = [best_arm([a for a in having if a["kind"] == kind]) for kind in ("quantum", "classical")]
    arms = [arm for arm in best if arm is not None]
    if not arms:
        return None
    count = len(arms[0]["confusion"])
    names = [str(c) for c in results["data"].get("classes") or []]
    names = names if len(names) == count else [str(i) for i in range(count)]
    side = count <= 3
    figure = new_panel(2.9 if side else 3.6 * len(arms))
    shape = (1, len(arms)) if side else (len(arms), 1)
    rows, said = [], []
    for axes, arm in zip(figure.subplots(*shape, squeeze=False).flat, arms, strict=True):
        table = np.array(arm["confusion"], dtype=float)
        shares = table / np.maximum(1, table.sum(axis=1, keepdims=True))
        edges = np.arange(count + 1) - 0.5
        axes.pcolormesh(edges, edges, shares, cmap="Blues", vmin=0, vmax=1)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        if count <= 12:
            for (true, taken), number in np.ndenumerate(table):
                colour = "white" if shares[true, taken] > 0.55 else INK
                text = f"{number:,.0f}\n{100 * shares[true, taken]:.0f} %" if count <= 6 else f"{100 * shares[true, taken]:.0f}"  # fmt: skip
                axes.text(taken, true, text, ha="center", va="center", color=colour, fontsize=8)
        step = -(-count // 20)
        short = [folded_label(n, 9 if side else 14, 1).strip() for n in names[::step]]
        turn = 0 if side else 40
        axes.set_xticks(range(0, count, step), short, fontsize=8, rotation=turn, ha="right" if turn else "center")  # fmt: skip
        axes.set_yticks(range(0, count, step), short, fontsize=8)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(folded_label(arm["name"], 24 if side else 48).strip(), fontsize=8)
        wrong = table.copy()
        np.fill_diagonal(wrong, 0)
        if wrong.any():
            true, taken = np.unravel_index(int(wrong.argmax()), wrong.shape)
            said.append(
                f"{arm['name']} most often takes {names[true]!r} for {names[taken]!r} "
                f"({wrong[true, taken]:,.0f} of {table[true].sum():,.0f})"
            )
        rows += [
            {"arm": arm["name"], "true": names[t], "predicted": names[p], "rows": int(number)}
            for (t, p), number in np.ndenumerate(table)
        ]
    finding = "; ".join(said) or "No test row was misjudged"
    caption = f"{finding}. Test rows of all seeds together; the arms of each kind that did best on validation."
    return Figure("Confusion matrices", caption, figure, rows)


def time_figure(results: Results) -> Figure | None:
    return _cost(results, "seconds", "Training time", "seconds a run (log scale)", seconds_text)


def energy_figure(results: Results) -> Figure | None:
    return _cost(
        results,
        "energy_joules",
        "Energy",
        "joules a run (log scale)",
        lambda value: f"{number_text(value)} J",
    )


def _cost(results: Results, key: str, title: str, unit: str, words: Callable[[Any], str]) -> Figure | None:
    arms = [arm for arm in results["arms"] if (arm[key] or 0) > 0]
    if not arms:
        return None
    figure, axes, size = rows_figure(arms)
    values = [arm[key] for arm in arms]
    for place, arm in enumerate(arms):
        quantum = arm["kind"] == "quantum"
        look = {"color": QUANTUM if quantum else CLASSICAL, "marker": "o" if quantum else "s"}
        filled = QUANTUM if quantum else "white"
        axes.plot(
            arm[key],
            place,
            linestyle="none",
            markerfacecolor=filled,
            label=label_once(axes, arm["kind"]),
            **look,
        )
        write_beside(axes, arm[key], place, words(arm[key]), size)
    log_axis(axes, values, "{:g}".format)
    span = max(10.0, max(values) / min(values))
    axes.set_xlim(min(values) / span**0.06, max(values) * span**0.35)
    axes.set_xlabel(unit)
    axes.grid()
    add_legend(figure, axes)
    least, most = (f(arms, key=lambda arm: arm[key]) for f in (min, max))
    caption = f"A run takes from {words(least[key])} ({least['name']}) to {words(most[key])} ({most['name']})."
    caption += " Means over the seeds; runs that trained side by side share their time equally." if key == "seconds" else ""  # fmt: skip
    rows = [{"arm": arm["name"], "kind": arm["kind"], key: arm[key]} for arm in arms]
    return Figure(title, caption, figure, rows)


def circuit_figure(results: Results, part: str) -> Figure | None:
    """The circuit of the quantum arm that did best on validation."""
    arm = best_arm([a for a in results["arms"] if a["kind"] == "quantum" and a["head"]])
    if arm is None:
        return None
    circuits = parts(HeadConfig.from_dict(arm["head"]))
    if part not in circuits:
        return None
    circuit, measured = circuits[part], (0,) if part == "head" else ()
    total = len(circuit.columns) + bool(measured)
    # The number of columns for which gates come out largest in 7.2 by 8 inches.
    pitch, width, height = circuit.qubits + 1, 7.2, 8.0

    def unit(columns: int) -> float:
        return min(0.36, width / (columns + 2.2), height / (-(-total // columns) * pitch))

    columns = max(range(1, total + 1), key=lambda c: (unit(c), c))
    rows = -(-total // columns)
    size = unit(columns)
    figure = require("matplotlib.figure", "study").Figure(
        figsize=(size * (-(-total // rows) + 2.4), size * rows * pitch + 0.35), dpi=100
    )
    top = 1 - 0.35 / figure.get_size_inches()[1]
    axes = figure.add_axes((0, 0, 1, top))
    draw_on(axes, circuit, measured=measured, columns=columns)
    patch = require("matplotlib.patches", "study").Patch
    looks = {"by a weight": WEIGHT} if circuit.parameters else {}
    looks |= {"by an input": INPUT} if circuit.inputs else {}
    handles = [patch(facecolor=c, edgecolor=INK, linewidth=0.5, label=f"RY {n}") for n, c in looks.items()]  # fmt: skip
    if handles:
        figure.legend(handles=handles, ncols=2, frameon=False, loc="upper left")
    entangling = sum(o.control is not None for o in circuit.operations)
    facts = {
        "arm": arm["name"],
        "circuit": part,
        "qubits": circuit.qubits,
        "weights": circuit.parameters,
        "inputs": circuit.inputs,
        "operations": len(circuit.operations),
        "entangling gates": entangling,
        "columns": len(circuit.columns),
    }
    caption = (
        f"{arm['name']}: {circuit.qubits} qubits, {number_text(circuit.parameters)} weights, {number_text(len(circuit.operations))} gates "
        f"({number_text(entangling)} CNOTs) in {number_text(len(circuit.columns))} columns"
        + (f", in {rows} rows to be read one after the other." if rows > 1 else ".")
        + (" Amplitudes of the embedding are loaded first." if part == "encoder" else "")
    )
    title = "Circuit of an encoder" if part == "encoder" else "Circuit of the re-uploading head"
    return Figure(title, caption, figure, [facts], wide=True)
