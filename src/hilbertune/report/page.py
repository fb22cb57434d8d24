"""The report of a study: one HTML page that needs no network, with its figures beside it.

In: a study's directory with results.json.
Out: report.html and figures/ in the same directory; the same results give the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError, require
from hilbertune.report import figures, tables
from hilbertune.report.reading import finished_arms, is_number, known_effects, read_results
from hilbertune.report.words import highest_means_text, largest_effect_text, number_text, seconds_text
from hilbertune.runtime import plotting
from hilbertune.runtime.storage import write_atomically
from hilbertune.study.record import Results

FIRST = ("accuracy", "conditions", "effects")
"""Figures that may stand at the top, above the verdict."""

COLOURS = ("ink", "paper", "muted", "rule", "quantum", "classical")
"""The colours of the page, which are those of the figures."""


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
    page = environment.get_template("report.html").render(_values(results, shown))
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


def _values(results: Results, shown: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that the template shows, all numbers as text."""
    packages = results["environment"].get("packages")
    environment = {k: v for k, v in results["environment"].items() if k not in ("packages", "energy_joules")}
    seeds = sorted({seed for arm in results["arms"] for seed in arm["seeds"]})
    first = next((name for name in FIRST if name in shown), None)
    values = {
        "title": results["title"],
        "about": results["about"],
        "config": results["config"],
        "command": _repeatable(results["command"]),
        "facts": _facts(results),
        "figures": shown,
        "first": first,
        "others": [n for n in figures.FIGURES if n in shown and n not in (first, "encoder", "head")],
        "circuits": [name for name in ("encoder", "head") if name in shown],
        "summary": _summary(results),
        "verdicts": tables.verdicts_table(results),
        "verdicts_note": tables.verdicts_note(results),
        "effects": tables.effects_table(results),
        "arms": tables.arms_table(results),
        "ensembles": any("ensemble" in arm for arm in results["arms"]),
        "published": tables.published_table(results),
        "failures": tables.failures_table(results),
        "costs": tables.costs_table(results),
        "searches": _searches(results),
        "measured": any(arm["energy_joules"] is not None for arm in results["arms"]),
        "environment": [
            (key.replace("_", " "), number_text(value) if is_number(value) else value)
            for key, value in environment.items()
            if value is not None
        ],
        "packages": [(k, v) for k, v in (packages or {}).items() if v is not None],
        "seeds": ", ".join(map(str, seeds)) or "none finished",
        "light": {name: getattr(plotting, name.upper()) for name in COLOURS},
        "dark": {name: plotting.DARK[getattr(plotting, name.upper())] for name in COLOURS},
        "dark_rules": require("markupsafe", "study").Markup(plotting.dark_rules()),
    }
    return values | {"contents": _contents(values)}


def _contents(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the sections that the page has, each with its place and its heading."""
    sections = (
        ("verdict", "Result", True),
        ("arms", "Arms", True),
        ("published", "Published numbers beside ours", values["published"]),
        ("figures", "Further figures", values["others"]),
        ("costs", "Energy and time of predictions", values["costs"]),
        ("search", "Search", values["searches"]),
        ("circuits", "Circuits", values["circuits"]),
        ("failures", "Failed runs", values["failures"]),
        ("repeat", "To repeat it", True),
    )
    return [(place, heading) for place, heading, there in sections if there]


def _repeatable(command: str) -> str:
    """Return a command that runs as it is printed; older results name no directory to write to."""
    return (
        command if " --out " in command or not command.startswith("hilbertune study") else f"{command} --out repeated"
    )


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


def _summary(results: Results) -> list[str]:
    """Return what the means say, and the largest effect."""
    if not finished_arms(results):
        return ["No run has finished, so nothing can be said."]
    said = [highest_means_text(results)]
    if effects := known_effects(results):
        said.append(largest_effect_text(effects))
    if not results["comparisons"] and not effects:
        said.append("No two arms were compared.")
    return said


def _searches(results: Results) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "counts": f"{search['complete']} trials complete, {search['pruned']} trials pruned, "
            f"{search['failed']} trials failed",
            "table": tables.search_table(name, search),
        }
        for name, search in (results.get("search") or {}).items()
    ]
