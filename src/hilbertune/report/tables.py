"""The tables of the report's page.

In: the results of a study.
Out: `Table`s of text; a column in which nothing is known is left out.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hilbertune.report.reading import best_of_each_kind, finished_arms, known_accuracy, known_effects, reference_of
from hilbertune.report.words import (
    accuracy_text,
    heads_text,
    interval_text,
    marked,
    number_text,
    p_text,
    percent_text,
    points_text,
    seconds_text,
    settings_text,
)
from hilbertune.study.record import ArmResults, Comparison, Cost, Effect, Published, Results, SearchResult

LEVEL = 0.05
"""The level at which a difference counts as shown."""


class Column(NamedTuple):
    """A column's heading, and the class that says how its cells are shown."""

    title: str
    look: str = ""


class Table(NamedTuple):
    """A table whose rows begin with a name."""

    label: str
    columns: list[Column]
    rows: list[list[str]]


NUMBER, LONG, KIND = "number", "long", "kind"


def table(label: str, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Table | None:
    """Return a table without the columns in which every cell is a dash or empty; None if no rows are left."""
    made = [list(row) for row in rows]
    kept = [i for i in range(len(columns)) if not i or any(row[i] not in ("–", "") for row in made)]
    return Table(label, [columns[i] for i in kept], [[row[i] for i in kept] for row in made]) if made else None


def arms_table(results: Results) -> Table | None:
    """Return the arms with their accuracies."""
    columns = [
        Column("Arm"),
        Column("Kind", KIND),
        Column("Test accuracy, %", NUMBER),
        Column("95 % interval", NUMBER),
        Column("Parameters", NUMBER),
        Column("Trials", NUMBER),
        Column("Seeds", NUMBER),
        Column("Failed runs", NUMBER),
        Column("Time of a run", NUMBER),
        Column("Chosen settings", LONG),
    ]
    reference = reference_of(results)
    return table("Table of the arms", columns, (_arm_row(arm, reference) for arm in results["arms"]))


def _arm_row(arm: ArmResults, reference: str | None) -> list[str]:
    summary, parameters, heads = arm["summary"], arm["parameters"], heads_text(arm)
    in_heads = f" in {arm['ensemble']['members']} heads" if "ensemble" in arm else ""
    # The heads have been told, so the settings that validation chose need not name them again.
    chosen = {k: v for k, v in arm["chosen"].items() if not heads or k not in ("members", "bootstrap")}
    told = [heads, settings_text(chosen)] if chosen else [heads]
    return [
        marked(arm["name"], reference),
        arm["kind"],
        percent_text(summary["mean"] if summary else None),
        interval_text(summary["low"], summary["high"]).strip(" ()") if summary else "",
        number_text(None if parameters is None else round(parameters)) + in_heads,
        number_text(arm["trials"]),
        str(len(arm["test"])),
        str(len(arm["failed"]) or "–"),
        seconds_text(arm["seconds"]),
        "; ".join(told) if heads else settings_text(chosen),
    ]


def verdicts_table(results: Results) -> Table | None:
    """Return the comparisons: effect, interval, p, and what this study can tell."""
    reference = reference_of(results)
    columns = [
        Column("Arm"),
        Column("Against"),
        Column("Effect, points", NUMBER),
        Column("95 % interval", NUMBER),
        Column("p", NUMBER),
        Column("Holm p", NUMBER),
        Column("Seeds", NUMBER),
        Column("Can this study tell?", LONG),
    ]
    return table("Table of the comparisons", columns, (_verdict_row(c, reference) for c in results["comparisons"]))


def _verdict_row(comparison: Comparison, reference: str | None) -> list[str]:
    return [
        comparison["name"],
        "" if comparison["against"] == reference else comparison["against"],
        points_text(comparison["difference"]),
        _ends(comparison["interval"]),
        p_text(comparison["p_permutation"]),
        p_text(comparison["p_holm"]),
        str(comparison["n"]),
        _telling(comparison),
    ]


def _ends(interval: Sequence[float | None]) -> str:
    low, high = interval
    return "–" if low is None else f"{points_text(low)} to {points_text(high)}"


def _telling(comparison: Comparison) -> str:
    """Return what the study can say of a difference."""
    if comparison["verdict"] in ("better", "worse"):
        return f"yes: {comparison['verdict']}"
    if comparison["p_holm"] is None or not comparison.get("testable", True):
        return "no: too few seeds"
    least = comparison["detectable"]
    return "not shown" if least is None else f"not shown: it sees {points_text(least, '')} points or more"


def verdicts_note(results: Results) -> str:
    """Return what all comparisons have in common: what they are against, and whether their seeds suffice."""
    comparisons = results["comparisons"]
    reference = reference_of(results)
    against = f"Each arm against {reference}" if reference is not None else "Each arm against another"
    note = (
        f"{against}, paired by seed; effects in percentage points. p is that of the sign-flip test, Holm p is "
        f"corrected for the number of comparisons ({len(comparisons)})."
    )
    hopeless = [c for c in comparisons if c["verdict"] not in ("better", "worse") and not c.get("testable", True)]
    if hopeless:
        seeds = sorted({c["n"] for c in hopeless})
        # All signs alike have a probability of 2 / 2^n, which the correction multiplies by the number of comparisons.
        enough = math.ceil(math.log2(2 * len(comparisons) / LEVEL))
        given = f"{' or '.join(map(str, seeds))} {'seed' if seeds == [1] else 'seeds'}"
        which = "no effect" if len(hopeless) == len(comparisons) else f"none of {len(hopeless)} effects"
        note += f" With {given} {which} can be shown at the 5 % level, however large: {enough} seeds or more could."
    return note


def effects_table(results: Results) -> Table | None:
    """Return the main effects of a screening design, the largest first."""
    columns = [
        Column("Factor"),
        Column("From"),
        Column("To"),
        Column("Effect, points", NUMBER),
        Column("95 % interval", NUMBER),
        Column("Holm p", NUMBER),
        Column("Can this study tell?", LONG),
    ]
    effects = sorted(known_effects(results), key=lambda e: abs(e["effect"] or 0.0), reverse=True)
    return table("Table of the main effects", columns, map(_effect_row, effects))


def _effect_row(effect: Effect) -> list[str]:
    p = effect["p_holm"]
    told = "no: too few runs" if p is None else "yes" if p <= LEVEL else "not shown"
    ends = points_text(effect["effect"]), _ends(effect["interval"])
    return [effect["factor"].replace("_", " "), effect["low"], effect["high"], *ends, p_text(p), told]


def costs_table(results: Results) -> Table | None:
    """Return what predictions cost, of the arms of which anything was measured."""
    columns = [
        Column("Arm"),
        Column("Kind", KIND),
        Column("J a training", NUMBER),
        Column("J per 1,000 predictions", NUMBER),
        Column("J per correct prediction", NUMBER),
        Column("Seconds per 1,000 predictions", NUMBER),
    ]
    known = [(arm, cost) for arm in results["arms"] if (cost := _measured_cost(arm))]
    rows = (
        [
            arm["name"],
            arm["kind"],
            number_text(cost.get("joules_per_training")),
            number_text(cost.get("joules_per_1000_predictions")),
            number_text(cost.get("joules_per_correct_prediction")),
            number_text(cost.get("seconds_per_1000_predictions")),
        ]
        for arm, cost in known
    )
    return table("Table of costs", columns, rows)


def _measured_cost(arm: ArmResults) -> Cost | None:
    """Return the arm's cost if any part of it is known; older results have none."""
    cost = arm.get("energy")
    return cost if cost and any(v is not None for v in cost.values()) else None


def search_table(name: str, search: SearchResult) -> Table | None:
    """Return the trials that no other one beats in every objective."""
    columns = [Column("Settings", LONG), *(Column(objective, NUMBER) for objective in search["objectives"])]
    rows = ([settings_text(trial["settings"]), *map(number_text, trial["values"])] for trial in search["best"])
    return table(f"Table of the best trials of {name}", columns, rows)


def published_table(results: Results) -> Table | None:
    """Return the published numbers with ours beside them."""
    columns = [
        Column("What"),
        Column("Published, %", NUMBER),
        Column("Source", LONG),
        Column("At"),
        Column("Ours", LONG),
    ]
    rows = [_published_row(entry, results) for entry in results["published"] if entry["value"] is not None]
    return table("Table of the published numbers", columns, rows)


def _published_row(entry: Published, results: Results) -> list[str]:
    """Return a published number with ours beside it.

    Ours are the arms at the same place of the x axis; for a number without a place the best of each kind on validation.
    """
    factor, finished = results["figure"]["x"], finished_arms(results)
    placed = entry["x"] is not None and factor is not None
    if placed:
        ours = [arm for arm in finished if arm["factors"].get(str(factor)) == entry["x"]]
    else:
        ours = best_of_each_kind(finished)
    at = f"{str(factor).replace('_', ' ')} = {number_text(entry['x'])}" if placed else ""
    own = [f"{arm['name']}: {accuracy_text(known_accuracy(arm['summary']))}" for arm in ours]
    return [entry["what"], percent_text(entry["value"]), entry["source"], at, "\n".join(own) or "–"]


def failures_table(results: Results) -> Table | None:
    """Return the runs that ended in an error."""
    columns = [Column("Arm"), Column("Seed", NUMBER), Column("Error", LONG)]
    rows: list[list[Any]] = [[f["arm"], str(f["seed"]), f["error"]] for f in results["failures"]]
    return table("Table of the failed runs", columns, rows)
