"""The report of a study: one HTML page that needs no network, and every figure as SVG, PNG and CSV.

In: a study's directory with results.json. Out: report.html and figures/ beside it; the same results give the same bytes.
"""

import csv
import io
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError, require
from hilbertune.report.accuracy import accuracy_figure, conditions_figure, parameters_figure
from hilbertune.report.details import (
    circuit_figure,
    confusion_figure,
    curves_figure,
    effects_figure,
    energy_figure,
    time_figure,
)
from hilbertune.report.reading import Arm, Results, best_arm, is_number, known_effects, read_results, tested_arms
from hilbertune.report.style import STYLE, Figure
from hilbertune.report.words import (
    accuracy_text,
    highest_means,
    interval_text,
    largest_effect_text,
    number_text,
    p_text,
    percent_text,
    points_text,
    seconds_text,
    settings_text,
)
from hilbertune.runtime.storage import write_atomically

SUFFIXES = ("svg", "png", "csv")


def write_report(directory: Path) -> Path:
    """Write DIR/report.html and DIR/figures/ from DIR/results.json; the page's path.

    Raises:
        HilbertuneError: results.json is missing, cut short or not a study's, or the directory cannot be written.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    results = read_results(directory / "results.json")
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
        loader=jinja2.PackageLoader("hilbertune.report"),
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


FIGURES: Mapping[str, Callable[[Results], Figure | None]] = {
    "accuracy": accuracy_figure,
    "conditions": conditions_figure,
    "effects": effects_figure,
    "curves": curves_figure,
    "parameters": parameters_figure,
    "confusion": confusion_figure,
    "time": time_figure,
    "energy": energy_figure,
    "encoder": partial(circuit_figure, part="encoder"),
    "head": partial(circuit_figure, part="head"),
}


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
            (key.replace("_", " "), number_text(value) if is_number(value) else value)
            for key, value in environment.items()
            if value is not None
        ],
        "packages": [(k, v) for k, v in (packages or {}).items() if v is not None],
        "seeds": ", ".join(map(str, seeds)) or "none finished",
    }


def _facts(results: Results) -> list[tuple[str, str]]:
    data = results["data"]
    rows = [number_text(data.get(part)) for part in ("train", "validation", "test")]
    classes = ", ".join(map(str, data.get("classes") or []))
    return [
        ("Size", results["size"]),
        ("Made", results["created"].replace("T", " ", 1)),
        (
            "Data",
            f"{data.get('source')}: {number_text(data.get('rows'))} rows, {number_text(data.get('features'))} features",
        ),
        ("Classes", classes or "–"),
        ("A split", "{} rows to train, {} to validate, {} to test".format(*rows)),
        ("Training time", f"{seconds_text(results['seconds'])} in all"),
    ]


def _verdicts(results: Results) -> list[str]:
    said = [c["sentence"] for c in results["comparisons"]]
    if effects := known_effects(results):
        said.append(largest_effect_text(effects))
    if not said:
        said.append(highest_means(results) if tested_arms(results) else "No run has finished, so nothing can be said.")  # fmt: skip
        said.append("No two arms were compared.")
    return said


def _arm_row(arm: Arm) -> dict[str, Any]:
    summary = arm["summary"] or {}
    return {
        "name": arm["name"],
        "kind": arm["kind"],
        "accuracy": percent_text(summary.get("mean")),
        "interval": interval_text(summary.get("low"), summary.get("high")),
        "parameters": number_text(arm["parameters"] if arm["parameters"] is None else round(arm["parameters"])),
        "trials": number_text(arm["trials"]),
        "seeds": len(arm["test"]),
        "failed": len(arm["failed"]),
        "seconds": seconds_text(arm["seconds"]),
        "chosen": settings_text(arm["chosen"]),
    }


def _has_cost(arm: Arm) -> bool:
    """Results of before have no such entry."""
    return any(v is not None for v in (arm.get("energy") or {}).values())


def _cost_row(arm: Arm) -> dict[str, Any]:
    cost = arm["energy"]
    return {
        "name": arm["name"],
        "kind": arm["kind"],
        "training": number_text(cost.get("joules_per_training")),
        "thousand": number_text(cost.get("joules_per_1000_predictions")),
        "correct": number_text(cost.get("joules_per_correct_prediction")),
        "seconds": number_text(cost.get("seconds_per_1000_predictions")),
    }


def _searches(results: Results) -> list[dict[str, Any]]:
    """The trials of each search that no other beats."""
    return [
        {
            "name": name,
            "counts": ", ".join(f"{found[k]} trials {k}" for k in ("complete", "pruned", "failed")),
            "objectives": found["objectives"],
            "rows": [
                {"cells": list(map(number_text, one["values"])), "settings": settings_text(one["settings"])}
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
        "difference": points_text(comparison["difference"]),
        "interval": "–" if low is None else f"{points_text(low)} to {points_text(high)}",
        "p": p_text(comparison["p_permutation"]),
        "p_holm": p_text(comparison["p_holm"]),
        "effect": "–" if effect is None else f"{effect:.2f}".replace("-", "−"),
        "detectable": points_text(comparison["detectable"], ""),
    }


def _published_row(entry: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """Ours beside it: the arms at the same place of the x axis, else the best of each kind on validation."""
    factor = results["figure"].get("x")
    tested = tested_arms(results)
    ours = [arm for arm in tested if entry["x"] is not None and arm["factors"].get(factor) == entry["x"]]  # fmt: skip
    if not ours and entry["x"] is None:
        kinds = ("quantum", "classical")
        best = [best_arm([arm for arm in tested if arm["kind"] == kind]) for kind in kinds]
        ours = [arm for arm in best if arm is not None]
    return {
        "what": entry["what"],
        "value": percent_text(entry["value"]),
        "source": entry["source"],
        "x": "" if entry["x"] is None else f"{str(factor).replace('_', ' ')} = {number_text(entry['x'])}",
        "ours": [f"{arm['name']}: {accuracy_text(arm['summary'])}" for arm in ours],
    }
