"""The report of a study: one HTML page that needs no network, with its figures beside it.

In: a study's directory with results.json.
Out: report.html and figures/ in the same directory; the same results give the same bytes.
"""

from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError, require
from hilbertune.report import figures
from hilbertune.report.reading import (
    best_of_each_kind,
    finished_arms,
    is_number,
    known_accuracy,
    known_effects,
    read_results,
)
from hilbertune.report.words import (
    accuracy_text,
    heads_text,
    highest_means_text,
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
from hilbertune.study.record import ArmResults, Comparison, Cost, Published, Results


def write_report(directory: Path) -> Path:
    """Write DIR/report.html and DIR/figures/ from DIR/results.json and return the page's path.

    Raises:
        HilbertuneError: results.json is missing, cut short or not a study's, or the directory cannot be written.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    results = read_results(directory / "results.json")
    jinja2 = require("jinja2", "study")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hilbertune.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = _write_figures(results, directory / "figures")
    page = environment.get_template("report.html").render(_values(results), figures=shown)
    path = directory / "report.html"
    write_atomically(path, page.encode())
    return path


def _write_figures(results: Results, folder: Path) -> dict[str, dict[str, Any]]:
    """Write the files of all figures, remove those of an earlier report, and return what the page shows."""
    markup = require("markupsafe", "study").Markup
    shown = {}
    for name in figures.FIGURES:
        drawn = figures.draw(name, results)
        for suffix in figures.SUFFIXES:
            path = folder / f"{name}.{suffix}"
            if drawn is None:
                _remove(path)
            else:
                write_atomically(path, drawn[1][suffix])
        if drawn is not None:
            figure, files = drawn
            shown[name] = {"figure": figure, "svg": markup(figures.inline_svg(name, figure, files["svg"]))}
    return shown


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {path}: {error.strerror}.") from error


def _values(results: Results) -> dict[str, Any]:
    """Return the values that the template shows, all numbers as text."""
    packages = results["environment"].get("packages")
    environment = {k: v for k, v in results["environment"].items() if k not in ("packages", "energy_joules")}
    seeds = sorted({seed for arm in results["arms"] for seed in arm["seeds"]})
    return {
        "title": results["title"],
        "about": results["about"],
        "config": results["config"],
        "command": results["command"],
        "facts": _facts(results),
        "verdicts": _verdicts(results),
        "arms": [_arm_row(arm) for arm in results["arms"]],
        "ensembles": any("ensemble" in arm for arm in results["arms"]),
        "comparisons": [_comparison_row(c) for c in results["comparisons"]],
        "published": [_published_row(entry, results) for entry in results["published"]],
        "failures": results["failures"],
        "costs": [_cost_row(arm, cost) for arm in results["arms"] if (cost := _measured_cost(arm))],
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
    train, validation, test = map(number_text, (data["train"], data["validation"], data["test"]))
    rows, features = number_text(data["rows"]), number_text(data["features"])
    return [
        ("Size", results["size"]),
        ("Made", results["created"].replace("T", " ", 1)),
        ("Data", f"{data['source']}: {rows} rows, {features} features"),
        ("Classes", ", ".join(map(str, data["classes"])) or "–"),
        ("A split", f"{train} rows to train, {validation} to validate, {test} to test"),
        ("Training time", f"{seconds_text(results['seconds'])} in all"),
    ]


def _verdicts(results: Results) -> list[str]:
    """Return what the comparisons and effects say; without any, what the means say."""
    said = [c["sentence"] for c in results["comparisons"]]
    if effects := known_effects(results):
        said.append(largest_effect_text(effects))
    if said:
        return said
    finished = finished_arms(results)
    first = highest_means_text(results) if finished else "No run has finished, so nothing can be said."
    return [first, "No two arms were compared."]


def _arm_row(arm: ArmResults) -> dict[str, Any]:
    summary, parameters, heads = arm["summary"], arm["parameters"], heads_text(arm)
    in_heads = f" in {arm['ensemble']['members']} heads" if "ensemble" in arm else ""
    # The heads have been told, so the settings that validation chose need not name them again.
    chosen = {k: v for k, v in arm["chosen"].items() if not heads or k not in ("members", "bootstrap")}
    told = [heads, settings_text(chosen)] if chosen else [heads]
    return {
        "name": arm["name"],
        "kind": arm["kind"],
        "accuracy": percent_text(summary["mean"] if summary else None),
        "interval": interval_text(summary["low"], summary["high"]) if summary else "",
        "parameters": number_text(None if parameters is None else round(parameters)) + in_heads,
        "trials": number_text(arm["trials"]),
        "seeds": len(arm["test"]),
        "failed": len(arm["failed"]),
        "seconds": seconds_text(arm["seconds"]),
        "chosen": "; ".join(told) if heads else settings_text(chosen),
    }


def _measured_cost(arm: ArmResults) -> Cost | None:
    """Return the arm's cost if any part of it is known; older results have none."""
    cost = arm.get("energy")
    return cost if cost and any(v is not None for v in cost.values()) else None


def _cost_row(arm: ArmResults, cost: Cost) -> dict[str, str]:
    return {
        "name": arm["name"],
        "kind": arm["kind"],
        "training": number_text(cost.get("joules_per_training")),
        "thousand": number_text(cost.get("joules_per_1000_predictions")),
        "correct": number_text(cost.get("joules_per_correct_prediction")),
        "seconds": number_text(cost.get("seconds_per_1000_predictions")),
    }


def _searches(results: Results) -> list[dict[str, Any]]:
    """Return the trials of each search that no other one beats in every objective."""
    return [
        {
            "name": name,
            "counts": f"{search['complete']} trials complete, {search['pruned']} trials pruned, "
            f"{search['failed']} trials failed",
            "objectives": search["objectives"],
            "rows": [
                {"cells": list(map(number_text, trial["values"])), "settings": settings_text(trial["settings"])}
                for trial in search["best"]
            ],
        }
        for name, search in (results.get("search") or {}).items()
    ]


def _comparison_row(comparison: Comparison) -> dict[str, Any]:
    low, high = comparison["interval"]
    effect = comparison["effect_size"]
    return {
        "name": comparison["name"],
        "against": comparison["against"],
        "verdict": comparison["verdict"],
        "n": comparison["n"],
        "difference": points_text(comparison["difference"]),
        "interval": "–" if low is None else f"{points_text(low)} to {points_text(high)}",
        "p": p_text(comparison["p_permutation"]),
        "p_holm": p_text(comparison["p_holm"]),
        "effect": "–" if effect is None else f"{effect:.2f}".replace("-", "−"),
        "detectable": points_text(comparison["detectable"], ""),
    }


def _published_row(entry: Published, results: Results) -> dict[str, Any]:
    """Return a published number with ours beside it.

    Ours are the arms at the same place of the x axis; for a number without a place the best of each kind on validation.
    """
    factor, finished = str(results["figure"]["x"]), finished_arms(results)
    if entry["x"] is None:
        ours = best_of_each_kind(finished)
    else:
        ours = [arm for arm in finished if arm["factors"].get(factor) == entry["x"]]
    return {
        "what": entry["what"],
        "value": percent_text(entry["value"]),
        "source": entry["source"],
        "x": "" if entry["x"] is None else f"{factor.replace('_', ' ')} = {number_text(entry['x'])}",
        "ours": [f"{arm['name']}: {accuracy_text(known_accuracy(arm['summary']))}" for arm in ours],
    }
