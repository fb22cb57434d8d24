"""The report of a study: one HTML page that needs no network, and every figure as SVG, PNG and CSV.

In: a study's directory with results.json. Out: report.html and figures/ beside it; the same results give the same bytes.
"""

import csv
import io
import itertools
import json
import math
import textwrap
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.circuit import parts
from hilbertune.config import HeadConfig
from hilbertune.drawing import INK, INPUT, PALETTE, WEIGHT, draw_on
from hilbertune.errors import HilbertuneError, require
from hilbertune.storage import write_atomically

QUANTUM, CLASSICAL = PALETTE[1], PALETTE[0]
MARKERS = "osD^vP<X>*"
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
WIDTH = 4.6
"""Inches of a figure: text of 9.5 points is then legible on a phone and not too large on a desk."""
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "legend.fontsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    # Names come from files: a $ in them is a $.
    "text.parse_math": False,
    # Text stays text in an SVG.
    "svg.fonttype": "none",
}
CURVES = 4
"""So many arms' learning curves can still be told apart."""

SUFFIXES = ("svg", "png", "csv")

Results = Mapping[str, Any]
Arm = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its heading and caption, and the numbers that it shows."""

    title: str
    caption: str
    drawing: Any
    rows: Sequence[Mapping[str, Any]]
    wide: bool = False


def write(directory: Path) -> Path:
    """Write DIR/report.html and DIR/figures/ from DIR/results.json; the page's path.

    Raises:
        HilbertuneError: results.json is missing, cut short or not a study's, or the directory cannot be written.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    results = _read(directory / "results.json")
    jinja2 = require("jinja2", "study")
    markup = require("markupsafe", "study").Markup
    shown = {}
    for name, draw in FIGURES.items():
        with require("matplotlib", "study").rc_context(STYLE | {"svg.hashsalt": name}):
            figure = draw(results)
            files = {} if figure is None else _files(figure)
        for suffix in SUFFIXES:
            path = directory / "figures" / f"{name}.{suffix}"
            if suffix in files:
                write_atomically(path, files[suffix])
            else:
                _remove(path)
        if figure is not None:
            shown[name] = {"figure": figure, "svg": markup(_inline(name, figure, files["svg"]))}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hilbertune"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(_page(results), figures=shown)
    path = directory / "report.html"
    write_atomically(path, page.encode())
    return path


def _remove(path: Path) -> None:
    """An earlier report may have had a figure that these results do not have."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {path}: {error.strerror}.") from error


# Reading ------------------------------------------------------------------------------------------

KEYS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("title", "about", "size", "created", "config", "command"), str),
    "seconds": (int, float, type(None)),
    **dict.fromkeys(("environment", "data", "figure"), dict),
    **dict.fromkeys(("arms", "comparisons", "published", "failures"), list),
    "effects": (list, type(None)),
}
ENTRIES: Mapping[str, str] = {
    "arms": "name kind method factors parameters trials chosen seeds validation test summary evaluations confusion seconds energy_joules "
    "curves head failed",
    "comparisons": "name against difference interval p_permutation p_holm effect_size detectable n verdict sentence",
    "effects": "factor low high effect interval p p_holm",
    "published": "what value source x",
    "failures": "arm seed error",
}


def _read(path: Path) -> Results:
    try:
        results = _clean(json.loads(path.read_bytes(), parse_constant=lambda _: None))
    except FileNotFoundError:
        raise HilbertuneError(
            f"{path} is missing: name the directory of a study that has finished."
        ) from None
    except OSError as error:
        raise HilbertuneError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise HilbertuneError(
            f"{path} is cut short or damaged: run the study again, finished runs are kept."
        ) from error
    if not isinstance(results, dict) or not all(
        isinstance(results.get(key, ...), kind) for key, kind in KEYS.items()
    ):
        raise HilbertuneError(f"{path} does not hold the results of a study: name its directory.")
    for key, names in ENTRIES.items():
        for number, entry in enumerate(results[key] or []):
            lacking = [n for n in names.split() if not isinstance(entry, dict) or n not in entry]
            if lacking:
                raise HilbertuneError(
                    f"{path} does not hold the results of a study: entry {number} of {key!r} has no {lacking[0]!r}."
                )
    return results


def _clean(value: Any) -> Any:
    """Without characters that neither SVG nor HTML may hold; numbers that are none become None."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_clean(v) for v in value]
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    return value


def _tested(results: Results, kind: str | None = None) -> list[Arm]:
    return [
        arm
        for arm in results["arms"]
        if kind in (None, arm["kind"]) and (arm["summary"] or {}).get("mean") is not None
    ]


def _best(arms: Sequence[Arm]) -> Arm | None:
    """The arm that did best on validation (never on test), the first where nothing was validated."""

    def validated(arm: Arm) -> float:
        known = [v for v in arm["validation"] if v is not None]
        return float(np.mean(known)) if known else -1.0

    return max(arms, key=validated, default=None)


def _evaluated(arm: Arm) -> bool:
    """Whether it was tested under any condition besides the plain test."""
    return any(e["mean"] is not None for e in arm["evaluations"])


def _known_effects(results: Results) -> list[Mapping[str, Any]]:
    return [e for e in results["effects"] or [] if e["effect"] is not None]


def _mean(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# Numbers in words ---------------------------------------------------------------------------------


def _share(share: float | None) -> str:
    """An accuracy in percent, without the sign."""
    return "–" if share is None else f"{100 * share:.1f}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({_share(low)} to {_share(high)})"


def _accuracy(summary: Mapping[str, Any]) -> str:
    """For a sentence: 88.4 % (87.9 to 88.8)."""
    return f"{_share(summary['mean'])} %{_interval(summary.get('low'), summary.get('high'))}"


def _points(difference: float | None, sign: str = "+") -> str:
    return "–" if difference is None else f"{100 * difference:{sign}.2f}".replace("-", "−")


def _p(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _number(value: Any) -> str:
    if value is None:
        return "–"
    if not _is_number(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.3g}"


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _settings(settings: Any) -> str:
    if not isinstance(settings, Mapping):
        return "–" if settings is None else str(settings)
    return ", ".join(f"{k} = {v}" for k, v in settings.items()) or "–"


def _label(text: Any, width: int = 34, lines: int = 2) -> str:
    """Folded and cut for a figure; a leading space, since matplotlib leaves names that start with _ out of legends."""
    return " " + "\n ".join(
        textwrap.wrap(str(text), width, max_lines=lines, placeholder=" …") or [""]
    )


# Drawing ------------------------------------------------------------------------------------------


def _new(height: float) -> Any:
    made = require("matplotlib.figure", "study").Figure
    return made(figsize=(WIDTH, height), dpi=100, layout="constrained")


def _legend(figure: Any, axes: Any) -> None:
    """Below everything, in as many columns as the longest name allows; the figure grows by its height."""
    found = zip(*axes.get_legend_handles_labels(), strict=True)
    # What has error bars is ours and comes first.
    entries = sorted(found, key=lambda entry: not hasattr(entry[0], "has_yerr"))
    if not entries:
        return
    handles, names = zip(*entries, strict=True)
    longest = max(len(line) for name in names for line in name.split("\n"))
    columns = max(1, min(3, len(names), 66 // (longest + 7)))
    lines = max(name.count("\n") + 1 for name in names) * -(-len(names) // columns)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + 0.17 * lines + 0.15)
    figure.legend(handles, names, loc="outside lower left", ncols=columns, frameon=False)


def _look(index: int) -> dict[str, Any]:
    """Colour, marker and line together tell the lines apart, so that no one has to rely on colour."""
    return {
        "color": PALETTE[index % len(PALETTE)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index // 2 % len(DASHES)],
        "markersize": 5,
        "linewidth": 1.6,
    }


def _ends(means: Sequence[float], lows: Sequence[Any], highs: Sequence[Any]) -> list[list[float]]:
    """Lengths of error bars in percent; 0 where there is no interval."""
    below = [0.0 if low is None else 100 * max(0.0, m - low) for m, low in zip(means, lows, strict=True)]  # fmt: skip
    above = [0.0 if high is None else 100 * max(0.0, high - m) for m, high in zip(means, highs, strict=True)]  # fmt: skip
    return [below, above]


def _line(
    axes: Any, places: Sequence[float], rows: Sequence[Mapping[str, Any]], name: str, index: int
) -> None:
    """Means with their 95 % intervals, as bars and, where there are several places, as a band."""
    means = [row["mean"] for row in rows]
    lows, highs = ([row[end] for row in rows] for end in ("low", "high"))
    look = _look(index)
    below, above = _ends(means, lows, highs)
    percent = 100 * np.array(means)
    axes.errorbar(
        places, percent, yerr=[below, above], label=_label(name), capsize=2.5, elinewidth=1, **look
    )
    axes.fill_between(
        places, percent - below, percent + above, color=look["color"], alpha=0.13, linewidth=0
    )


def _level(axes: Any, arm: Arm, index: int) -> None:
    """An arm that does not have the factor of the x axis: the same at every place."""
    look = _look(index) | {"marker": None}
    summary = arm["summary"]
    axes.axhline(100 * summary["mean"], label=_label(arm["name"]), **look)
    if summary["low"] is not None and summary["high"] is not None:
        ends = (100 * summary["low"], 100 * summary["high"])
        axes.axhspan(*ends, color=look["color"], alpha=0.1, linewidth=0)


def _published(
    axes: Any, results: Results, place: Callable[[float], float | None]
) -> list[dict[str, Any]]:
    """Published numbers as open black markers, as dotted lines where they have no place on the x axis; their rows."""
    rows = []
    for index, entry in enumerate(results["published"]):
        x = place(entry["x"]) if _is_number(entry["x"]) else None
        if entry["value"] is None or (x is None and entry["x"] is not None):
            continue
        name, value = _label(f"published: {entry['what']}"), 100 * entry["value"]
        if x is not None:
            axes.plot(
                [x],
                [value],
                label=name,
                color=INK,
                linestyle="none",
                markerfacecolor="none",
                marker="D^vsp"[index % 5],
                markersize=9,
                markeredgewidth=1.4,
                zorder=4,
            )
        else:
            dots = (0, (1, 1 + index))
            axes.axhline(value, label=name, color=INK, linestyle=dots, linewidth=1.2)
        rows.append({"arm": f"published: {entry['what']}", "x": entry["x"], "mean": entry["value"]})  # fmt: skip
    return rows


def _finish(axes: Any) -> None:
    axes.set_ylabel("test accuracy (%)")
    axes.grid(axis="y")
    axes.margins(y=0.08)


def _highest(results: Results) -> str:
    """The best means, of all and of the other kind."""
    tested = _tested(results)
    first = max(tested, key=lambda arm: arm["summary"]["mean"])
    text = f"The highest mean is {_accuracy(first['summary'])}, {first['name']}"
    others = [arm for arm in tested if arm["kind"] != first["kind"]]
    if not others:
        return f"{text}."
    second = max(others, key=lambda arm: arm["summary"]["mean"])
    return f"{text}; the highest of the {second['kind']} arms is {_accuracy(second['summary'])}, {second['name']}."


NOTE = "Bars and bands are 95 % intervals over seeds."


def _accuracy_figure(results: Results) -> Figure | None:
    """Accuracy against a factor of the arms, or a bar for every arm where there is none."""
    wanted = results["figure"]
    factor = wanted.get("x")
    if not _tested(results):
        return None
    placed = [arm for arm in _tested(results) if _is_number(arm["factors"].get(factor))]
    if wanted.get("conditions") and any(map(_evaluated, results["arms"])):
        return None
    if wanted.get("kind") == "effects" and _known_effects(results):
        return None
    if wanted.get("kind") != "line" or not placed:
        return _bars(results)
    lines: dict[str, list[Arm]] = {}
    series = wanted.get("series")
    for arm in placed:
        group = str(arm.get("group") or arm["method"])
        name = f"{series} = {arm['factors'][series]}" if series in arm["factors"] else group
        lines.setdefault(name, []).append(arm)
    figure = _new(3.4)
    axes = figure.add_subplot()
    index, rows = 0, []
    places = {arm["factors"][factor] for arm in placed}
    for name, arms in lines.items():
        arms.sort(key=lambda arm: arm["factors"][factor])
        xs = [arm["factors"][factor] for arm in arms]
        _line(axes, xs, [arm["summary"] for arm in arms], name, index)
        rows += [_row(arm, line=name, x=x) for arm, x in zip(arms, xs, strict=True)]
        index += 1
    for arm in (arm for arm in _tested(results) if arm not in placed):
        _level(axes, arm, index)
        rows.append(_row(arm, line=arm["name"], x=None))
        index += 1
    rows += _published(axes, results, lambda x: x)
    places |= {p["x"] for p in results["published"] if _is_number(p["x"])}
    _ticks(axes, places)
    axes.set_xlabel(str(factor).replace("_", " "))
    _finish(axes)
    _legend(figure, axes)
    title = f"Accuracy against {str(factor).replace('_', ' ')}"
    return Figure(title, f"{_highest(results)} {NOTE}", figure, rows)


def _row(arm: Arm, **more: Any) -> dict[str, Any]:
    summary = arm["summary"] or dict.fromkeys(("mean", "low", "high"))
    ends = {key: summary[key] for key in ("mean", "low", "high")}
    return {**more, "arm": arm["name"], "kind": arm["kind"], **ends, "seeds": len(arm["test"])}


def _ticks(axes: Any, places: Iterable[float]) -> None:
    """A tick at each value, on a log scale where values span a factor of 16 or more."""
    values = sorted(set(places))
    if values[0] > 0 and values[-1] / values[0] >= 16:
        axes.set_xscale("log")
    step = -(-len(values) // 10)
    axes.set_xticks(values[::step], [_number(v) for v in values[::step]])
    axes.minorticks_off()


def _log_axis(axes: Any, values: Sequence[float], words: Callable[[float], str]) -> None:
    """A logarithmic x axis whose ticks are in plain numbers, more of them where values span little."""
    ticker = require("matplotlib.ticker", "study")
    axes.set_xscale("log")
    digits = (1.0,) if max(values) > 50 * min(values) else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=digits))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: words(value)))
    axes.minorticks_off()
    if max(values) < 2 * min(values):  # no tick might be inside
        axes.set_xticks(
            sorted({min(values), max(values)}) if max(values) > 1.2 * min(values) else [max(values)]
        )


def _bars(results: Results) -> Figure:
    """A bar for every arm from the accuracy of guessing, in the given order."""
    arms = results["arms"]
    classes = len(results["data"].get("classes") or [])
    chance = 100 / classes if classes else 0.0
    figure, axes, size = _rows_figure(arms)
    for place, arm in enumerate(arms):
        summary = arm["summary"]
        if not summary or summary["mean"] is None:
            _beside(axes, chance, place, "no finished run", size)
            continue
        quantum = arm["kind"] == "quantum"
        value = 100 * summary["mean"]
        ends = _ends([summary["mean"]], [summary["low"]], [summary["high"]])
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
            label=_once(axes, arm["kind"]),
            error_kw={"capsize": 2.5, "elinewidth": 1.1, "ecolor": INK},
        )
        place_of_text = max(value + ends[1][0], chance)
        _beside(axes, place_of_text, place, f"{value:.1f}", size)
    axes.axvline(chance, color=INK, linewidth=1)
    entries = [e for e in results["published"] if e["value"] is not None]
    for index, entry in enumerate(entries):
        name = _label(f"published: {entry['what']}")
        dots = (0, (1, 1 + index))
        axes.axvline(100 * entry["value"], label=name, color=INK, linestyle=dots, linewidth=1.2)
    left, right = axes.get_xlim()
    axes.set_xlim(left if left < chance else chance, right + 0.1 * (right - left))
    axes.set_xlabel("test accuracy (%)")
    axes.grid(axis="x")
    _legend(figure, axes)
    rows = [_row(arm) for arm in arms]
    rows += [{"arm": f"published: {e['what']}", "kind": "published", "mean": e["value"]} for e in entries]  # fmt: skip
    start = f"Bars start at {chance:.3g} %, the accuracy of guessing." if classes else ""
    caption = f"{_highest(results)} {NOTE} {start}".strip()
    return Figure("Accuracy of every arm", caption, figure, rows)


def _rows_figure(arms: Sequence[Arm]) -> tuple[Any, Any, float]:
    """A figure with a line of text for each arm; many arms get less room each."""
    room = min(0.36, max(0.19, 14 / len(arms)))
    size = 8.5 if room > 0.3 else 7.0
    figure = _new(0.7 + room * len(arms))
    axes = figure.add_subplot()
    names = [_label(arm["name"], 30, 2 if room > 0.3 else 1) for arm in arms]
    axes.set_yticks(range(len(arms)), names, fontsize=size)
    axes.set_ylim(len(arms) - 0.4, -0.6)
    return figure, axes, size


def _beside(axes: Any, x: float, y: float, text: str, size: float) -> None:
    style = {"textcoords": "offset points", "va": "center", "fontsize": size}
    # Legible where a line of a published number passes.
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
    axes.annotate(text, (x, y), (5, 0), zorder=6, bbox=paper, **style)


def _once(axes: Any, kind: str) -> str:
    """A label for the legend the first time, then one that matplotlib leaves out."""
    label = f" {kind}"
    return "_again" if label in axes.get_legend_handles_labels()[1] else label


def _conditions(results: Results) -> Figure | None:
    """Accuracy under the conditions of the test: a panel for each quantity that was varied, one for names such as devices."""
    arms = [arm for arm in results["arms"] if _evaluated(arm)]
    panels: dict[str, dict[str, Any]] = {}
    for evaluation in itertools.chain(*(arm["evaluations"] for arm in arms)):
        numeric = _is_number(evaluation["value"])
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
    figure = _new(0.4 + 2.7 * len(panels))
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
            _line(axes, places, known, arm["name"], index)
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
        for arm in _tested(results, "classical"):
            if arm not in arms:
                _level(axes, arm, index)
                index += 1
        if unit:
            there = {value: where[name] for name, value in names.items() if value is not None}
            rows += _published(axes, results, there.get)
        values = [names[n] for n in where]
        labels = [n if v is None else _number(v) for n, v in zip(where, values, strict=True)]
        axes.set_xticks(list(where.values()), labels, rotation=0 if len(labels) < 7 else 35)
        axes.set_xlabel(f"{unit} in the test" if unit else "noise of the test")
        _finish(axes)
    _legend(figure, all_axes[0])
    first = _best(arms)
    assert first is not None
    shown = [e for e in first["evaluations"] if e["mean"] is not None]
    low, high = (f(shown, key=lambda e: e["mean"]) for f in (min, max))
    caption = (
        f"{first['name']} reaches from {_accuracy(low)} ({low['name']}) to {_accuracy(high)} ({high['name']}). {NOTE}"
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


def _effects(results: Results) -> Figure | None:
    effects = _known_effects(results)
    if not effects:
        return None
    figure = _new(0.8 + 0.36 * len(effects))
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
    names = [_label(f"{e['factor']}: {e['low']} to {e['high']}") for e in effects]
    axes.set_yticks(range(len(effects)), names, fontsize=8.5)
    axes.set_ylim(len(effects) - 0.5, -0.5)
    axes.set_xlabel("change of the mean test accuracy (points)")
    axes.grid(axis="x")
    clear = [e for e in effects if e["p_holm"] is not None and e["p_holm"] <= 0.05]
    return Figure(
        "Main effects",
        f"{_largest_effect(effects)} Filled circles: distinguished from zero at the 5 % level after Holm's correction "
        f"({len(clear)} of {len(effects)}); open squares: not. Bars are 95 % intervals.",
        figure,
        effects,
    )


def _largest_effect(effects: Sequence[Mapping[str, Any]]) -> str:
    largest = max(effects, key=lambda e: abs(e["effect"]))
    low, high = largest["interval"]
    ends = "" if low is None else f"95 % interval {_points(low)} to {_points(high)}, "
    return (
        f"The largest effect is that of {largest['factor']}: from {largest['low']} to {largest['high']} the mean accuracy "
        f"changes by {_points(largest['effect'])} points ({ends}Holm-corrected p {_p_in_sentence(largest['p_holm'])})."
    )


def _p_in_sentence(p: float | None) -> str:
    return "unknown" if p is None else _p(p) if p < 0.001 else f"= {_p(p)}"


def _curves(results: Results) -> Figure | None:
    having = [arm for arm in results["arms"] if arm["curves"] and arm["curves"]["epoch"]]
    if not having:
        return None
    shown: list[Arm] = []
    while len(shown) < CURVES and (arm := _best([a for a in having if a not in shown])):
        shown.append(arm)
    panels = [
        ("train_loss", "training loss (nats)", 1),
        ("validation_loss", "validation loss (nats)", 1),
        ("validation_accuracy", "validation accuracy (%)", 100),
    ]
    panels = [p for p in panels if any(v is not None for arm in having for row in arm["curves"][p[0]] for v in row)]  # fmt: skip
    if not panels:
        return None
    figure = _new(0.4 + 1.9 * len(panels))
    all_axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (key, name, scale) in zip(all_axes, panels, strict=True):
        for index, arm in enumerate(shown):
            known = [
                (epoch, [scale * v for v in row if v is not None])
                for epoch, row in zip(arm["curves"]["epoch"], arm["curves"][key], strict=True)
                if any(v is not None for v in row)
            ]
            epochs = [epoch for epoch, _ in known]
            look = _look(index) | {"markevery": 0.2}
            means = [float(np.mean(values)) for _, values in known]
            axes.plot(epochs, means, label=_label(arm["name"]), **look)
            lowest, highest = ([f(values) for _, values in known] for f in (min, max))
            axes.fill_between(epochs, lowest, highest, color=look["color"], alpha=0.15, linewidth=0)
        axes.set_ylabel(name, fontsize=8.5)
        axes.grid(alpha=0.3)
    all_axes[-1].set_xlabel("epoch")
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)
    _legend(figure, all_axes[0])
    rows = [
        {"arm": arm["name"], "epoch": epoch}
        | {f"{key}, mean": _mean(arm["curves"][key][place]) for key, _, _ in panels}
        for arm in having
        for place, epoch in enumerate(arm["curves"]["epoch"])
    ]
    first, curves = shown[0], shown[0]["curves"]
    said = []
    for key, name, scale in panels:
        at_start, at_end = _mean(curves[key][0]), _mean(curves[key][-1])
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


def _parameters(results: Results) -> Figure | None:
    """Parameters against accuracy, quantum and classical together."""
    arms = [arm for arm in _tested(results) if (arm["parameters"] or 0) > 0]
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
    figure = _new(3.3)
    axes = figure.add_subplot()
    for index, ((kind, name), members) in enumerate(groups.items()):
        summaries = [arm["summary"] for arm in members]
        means, lows, highs = ([s[k] for s in summaries] for k in ("mean", "low", "high"))
        look = _look(index) | {"linestyle": "none"}
        axes.errorbar(
            [arm["parameters"] for arm in members],
            [100 * m for m in means],
            yerr=_ends(means, lows, highs),
            label=_label(f"{name} ({kind})" if kind not in name else name),
            markerfacecolor=look["color"] if kind == "quantum" else "white",
            elinewidth=1,
            capsize=2,
            **look,
        )
    _log_axis(axes, [arm["parameters"] for arm in arms], _number)
    axes.margins(x=0.08)
    axes.set_xlabel("trained parameters (log scale)")
    _finish(axes)
    _legend(figure, axes)
    said = []
    for kind in ("quantum", "classical"):
        best = max((a for a in arms if a["kind"] == kind), key=lambda a: a["summary"]["mean"], default=None)  # fmt: skip
        if best:
            said.append(f"the highest {kind} mean, {_accuracy(best['summary'])}, has {_number(best['parameters'])} parameters ({best['name']})")  # fmt: skip
    left = len(_tested(results)) - len(arms)
    finding = "; ".join(said)
    caption = f"{finding[0].upper()}{finding[1:]}."
    caption += " Filled markers are quantum, open ones classical; bars are 95 % intervals."
    caption += f" {left} arms without a known number of parameters are left out." if left else ""
    rows = [_row(arm) | {"parameters": arm["parameters"]} for arm in arms]
    return Figure("Parameters against accuracy", caption, figure, rows)


def _confusion(results: Results) -> Figure | None:
    """Of the quantum and of the classical arm that did best on validation."""
    having = [arm for arm in _tested(results) if arm["confusion"]]
    best = [_best([a for a in having if a["kind"] == kind]) for kind in ("quantum", "classical")]
    arms = [arm for arm in best if arm is not None]
    if not arms:
        return None
    count = len(arms[0]["confusion"])
    names = [str(c) for c in results["data"].get("classes") or []]
    names = names if len(names) == count else [str(i) for i in range(count)]
    side = count <= 3
    figure = _new(2.9 if side else 3.6 * len(arms))
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
        short = [_label(n, 9 if side else 14, 1).strip() for n in names[::step]]
        turn = 0 if side else 40
        axes.set_xticks(range(0, count, step), short, fontsize=8, rotation=turn, ha="right" if turn else "center")  # fmt: skip
        axes.set_yticks(range(0, count, step), short, fontsize=8)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(_label(arm["name"], 24 if side else 48).strip(), fontsize=8)
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


def _time(results: Results) -> Figure | None:
    return _cost(results, "seconds", "Training time", "seconds a run (log scale)", _seconds)


def _energy(results: Results) -> Figure | None:
    return _cost(
        results,
        "energy_joules",
        "Energy",
        "joules a run (log scale)",
        lambda value: f"{_number(value)} J",
    )


def _cost(
    results: Results, key: str, title: str, unit: str, words: Callable[[Any], str]
) -> Figure | None:
    arms = [arm for arm in results["arms"] if (arm[key] or 0) > 0]
    if not arms:
        return None
    figure, axes, size = _rows_figure(arms)
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
            label=_once(axes, arm["kind"]),
            **look,
        )
        _beside(axes, arm[key], place, words(arm[key]), size)
    _log_axis(axes, values, "{:g}".format)
    span = max(10.0, max(values) / min(values))
    axes.set_xlim(min(values) / span**0.06, max(values) * span**0.35)
    axes.set_xlabel(unit)
    axes.grid()
    _legend(figure, axes)
    least, most = (f(arms, key=lambda arm: arm[key]) for f in (min, max))
    caption = f"A run takes from {words(least[key])} ({least['name']}) to {words(most[key])} ({most['name']})."
    caption += " Means over the seeds; runs that trained side by side share their time equally." if key == "seconds" else ""  # fmt: skip
    rows = [{"arm": arm["name"], "kind": arm["kind"], key: arm[key]} for arm in arms]
    return Figure(title, caption, figure, rows)


def _circuit(results: Results, part: str) -> Figure | None:
    """The circuit of the quantum arm that did best on validation."""
    arm = _best([a for a in results["arms"] if a["kind"] == "quantum" and a["head"]])
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
        f"{arm['name']}: {circuit.qubits} qubits, {_number(circuit.parameters)} weights, {_number(len(circuit.operations))} gates "
        f"({_number(entangling)} CNOTs) in {_number(len(circuit.columns))} columns"
        + (f", in {rows} rows to be read one after the other." if rows > 1 else ".")
        + (" Amplitudes of the embedding are loaded first." if part == "encoder" else "")
    )
    title = "Circuit of an encoder" if part == "encoder" else "Circuit of the re-uploading head"
    return Figure(title, caption, figure, [facts], wide=True)


FIGURES: Mapping[str, Callable[[Results], Figure | None]] = {
    "accuracy": _accuracy_figure,
    "conditions": _conditions,
    "effects": _effects,
    "curves": _curves,
    "parameters": _parameters,
    "confusion": _confusion,
    "time": _time,
    "energy": _energy,
    "encoder": partial(_circuit, part="encoder"),
    "head": partial(_circuit, part="head"),
}


# Files --------------------------------------------------------------------------------------------


def _files(figure: Figure) -> dict[str, bytes]:
    """By suffix; the same drawing gives the same bytes."""
    files = {}
    empty = {"svg": dict.fromkeys(("Date", "Creator")), "png": {"Software": None}}
    with warnings.catch_warnings():
        # A name may have characters that the font lacks: they are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        for kind, metadata in empty.items():
            content = io.BytesIO()
            resolution = {"dpi": 200} if kind == "png" else {}
            figure.drawing.savefig(content, format=kind, metadata=metadata, **resolution)
            files[kind] = content.getvalue()
            figure.drawing.set_layout_engine("none")  # what was laid out once need not be again
    table = io.StringIO(newline="")
    columns = list(dict.fromkeys(key for row in figure.rows for key in row))
    writer = csv.DictWriter(table, columns, restval="")
    writer.writeheader()
    writer.writerows(figure.rows)
    return {**files, "csv": table.getvalue().encode()}


def _inline(name: str, figure: Figure, content: bytes) -> str:
    """The SVG for the page: named for screen readers, as wide as its place, its ids like no other figure's."""
    svg, link = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
    ET.register_namespace("", svg)
    ET.register_namespace("xlink", link)
    root = ET.fromstring(content)
    for metadata in root.findall(f"{{{svg}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == f"{{{link}}}href" and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            else:
                element.set(key, value.replace("url(#", f"url(#{name}-"))
    inches = float(root.attrib.pop("width").removesuffix("pt")) / 72
    del root.attrib["height"]
    root.set("role", "img")
    root.set("aria-label", f"{figure.title}. {figure.caption}")
    if figure.wide:
        root.set("style", f"width: {96 * inches:.0f}px")
    title = ET.Element(f"{{{svg}}}title")
    title.text = figure.title
    root.insert(0, title)
    return ET.tostring(root, encoding="unicode")


# The page -----------------------------------------------------------------------------------------


def _page(results: Results) -> dict[str, Any]:
    """What the template shows, all numbers as text."""
    environment = dict(results["environment"])
    packages = environment.pop("packages", None)
    environment.pop("energy_joules", None)
    seeds = sorted({seed for arm in results["arms"] for seed in arm["seeds"]})
    return {
        **{key: results[key] for key in ("title", "about", "size", "created", "config")},
        "command": results["command"],
        "facts": _facts(results),
        "verdicts": _verdicts(results),
        "arms": [_arm_row(arm) for arm in results["arms"]],
        "comparisons": [_comparison_row(c) for c in results["comparisons"]],
        "published": [_published_row(entry, results) for entry in results["published"]],
        "failures": results["failures"],
        "costs": [_cost_row(arm) for arm in results["arms"] if _has_cost(arm)],
        "searches": _searches(results),
        "measured": any(arm["energy_joules"] is not None for arm in results["arms"]),
        "environment": [
            (key.replace("_", " "), _number(value) if _is_number(value) else value)
            for key, value in environment.items()
            if value is not None
        ],
        "packages": [(k, v) for k, v in (packages or {}).items() if v is not None],
        "seeds": ", ".join(map(str, seeds)) or "none finished",
    }


def _facts(results: Results) -> list[tuple[str, str]]:
    data = results["data"]
    rows = [_number(data.get(part)) for part in ("train", "validation", "test")]
    classes = ", ".join(map(str, data.get("classes") or []))
    return [
        ("Size", results["size"]),
        ("Made", results["created"].replace("T", " ", 1)),
        (
            "Data",
            f"{data.get('source')}: {_number(data.get('rows'))} rows, {_number(data.get('features'))} features",
        ),
        ("Classes", classes or "–"),
        ("A split", "{} rows to train, {} to validate, {} to test".format(*rows)),
        ("Training time", f"{_seconds(results['seconds'])} in all"),
    ]


def _verdicts(results: Results) -> list[str]:
    said = [c["sentence"] for c in results["comparisons"]]
    if effects := _known_effects(results):
        said.append(_largest_effect(effects))
    if not said:
        said.append(_highest(results) if _tested(results) else "No run has finished, so nothing can be said.")  # fmt: skip
        said.append("No two arms were compared.")
    return said


def _arm_row(arm: Arm) -> dict[str, Any]:
    summary = arm["summary"] or {}
    return {
        "name": arm["name"],
        "kind": arm["kind"],
        "accuracy": _share(summary.get("mean")),
        "interval": _interval(summary.get("low"), summary.get("high")),
        "parameters": _number(
            arm["parameters"] if arm["parameters"] is None else round(arm["parameters"])
        ),
        "trials": _number(arm["trials"]),
        "seeds": len(arm["test"]),
        "failed": len(arm["failed"]),
        "seconds": _seconds(arm["seconds"]),
        "chosen": _settings(arm["chosen"]),
    }


def _has_cost(arm: Arm) -> bool:
    """Results of before have no such entry."""
    return any(v is not None for v in (arm.get("energy") or {}).values())


def _cost_row(arm: Arm) -> dict[str, Any]:
    cost = arm["energy"]
    return {
        "name": arm["name"],
        "kind": arm["kind"],
        "training": _number(cost.get("joules_per_training")),
        "thousand": _number(cost.get("joules_per_1000_predictions")),
        "correct": _number(cost.get("joules_per_correct_prediction")),
        "seconds": _number(cost.get("seconds_per_1000_predictions")),
    }


def _searches(results: Results) -> list[dict[str, Any]]:
    """The trials of each search that no other beats."""
    return [
        {
            "name": name,
            "counts": ", ".join(f"{found[k]} trials {k}" for k in ("complete", "pruned", "failed")),
            "objectives": found["objectives"],
            "rows": [
                {"cells": list(map(_number, one["values"])), "settings": _settings(one["settings"])}
                for one in found["best"]
            ],
        }
        for name, found in (results.get("search") or {}).items()
    ]


def _comparison_row(comparison: Mapping[str, Any]) -> dict[str, Any]:
    low, high = comparison["interval"]
    effect = comparison["effect_size"]
    return {
        **{key: comparison[key] for key in ("name", "against", "verdict", "n")},
        "difference": _points(comparison["difference"]),
        "interval": "–" if low is None else f"{_points(low)} to {_points(high)}",
        "p": _p(comparison["p_permutation"]),
        "p_holm": _p(comparison["p_holm"]),
        "effect": "–" if effect is None else f"{effect:.2f}".replace("-", "−"),
        "detectable": _points(comparison["detectable"], ""),
    }


def _published_row(entry: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """Ours beside it: the arms at the same place of the x axis, else the best of each kind on validation."""
    factor = results["figure"].get("x")
    tested = _tested(results)
    ours = [arm for arm in tested if entry["x"] is not None and arm["factors"].get(factor) == entry["x"]]  # fmt: skip
    if not ours and entry["x"] is None:
        kinds = ("quantum", "classical")
        best = [_best([arm for arm in tested if arm["kind"] == kind]) for kind in kinds]
        ours = [arm for arm in best if arm is not None]
    return {
        "what": entry["what"],
        "value": _share(entry["value"]),
        "source": entry["source"],
        "x": ""
        if entry["x"] is None
        else f"{str(factor).replace('_', ' ')} = {_number(entry['x'])}",
        "ours": [f"{arm['name']}: {_accuracy(arm['summary'])}" for arm in ours],
    }
