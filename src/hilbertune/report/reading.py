"""The results of a study as the report reads them, and the questions that several of its parts ask of them.

In: results.json.
Out: `Results` (study/record.py), where an unknown number is None and every character can be shown.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, cast

import numpy as np

from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.model.selection import rank
from hilbertune.runtime.schema import DamagedError, ShapeError, conform, parse_json, read_bytes
from hilbertune.study.record import ArmResults, Effect, Evaluation, Results, Summary, Value

CURVES = ("train_loss", "validation_loss", "validation_accuracy")
"""The learning curves of an arm."""


class Accuracy(NamedTuple):
    """A mean test accuracy, a share, with its 95 % interval; the ends are None where a single seed gives none."""

    mean: float
    low: float | None
    high: float | None


def read_results(path: Path) -> Results:
    """Return the results in the file; numbers that are not finite are None, unprintable characters are replaced.

    Raises:
        HilbertuneError: the file is missing, damaged, or lacks something that every study's results have.
    """
    try:
        results = _clean(parse_json(read_bytes(path)))
        conform(results, Results)
    except FileNotFoundError:
        raise HilbertuneError(f"{path} is missing: name the directory of a study that has finished.") from None
    except OSError as error:
        raise HilbertuneError(f"Cannot read {path}: {error.strerror}.") from error
    except DamagedError as error:
        raise HilbertuneError(
            f"{path} is cut short or damaged: run the study again; finished runs are kept."
        ) from error
    except ShapeError as error:
        raise HilbertuneError(f"{path} does not hold the results of a study: {error}.") from error
    for fault in _contradictions(results):
        raise HilbertuneError(f"{path} contradicts itself ({fault}): run the study again; finished runs are kept.")
    return cast(Results, results)


def _clean(value: Any) -> Any:
    """Replace characters that neither SVG nor HTML may hold, and numbers that are not finite by None."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_clean(v) for v in value]
    if isinstance(value, dict):
        return {_clean(k): _clean(v) for k, v in value.items()}
    return value


def _contradictions(results: Results) -> Iterator[str]:
    """Say where values of the right type cannot be: counts below 0, lists that belong together and differ in length."""
    classes = len(results["data"]["classes"])
    for place, arm in enumerate(results["arms"]):
        for fault in _contradictions_of(arm, classes):
            yield f"'arms[{place}]{fault}"
    intervals = [(c["interval"], f"comparisons[{i}]") for i, c in enumerate(results["comparisons"])]
    intervals += [(e["interval"], f"effects[{i}]") for i, e in enumerate(results["effects"] or [])]
    for interval, where in intervals:
        if len(interval) != 2 or (interval[0] is None) != (interval[1] is None):
            yield f"'{where}.interval' has not two ends"
    for name, search in (results.get("search") or {}).items():
        if any(len(best["values"]) != len(search["objectives"]) for best in search["best"]):
            yield f"'search.{name}.best' has not a value for each objective"


def _contradictions_of(arm: ArmResults, classes: int) -> Iterator[str]:
    """Say what cannot be of an arm, from the end of the field's name on."""
    if len(arm["test"]) != len(arm["seeds"]):
        yield f"' has {len(arm['seeds'])} seeds and {len(arm['test'])} values of 'test'"
    confusion = arm["confusion"]
    if confusion is not None and [len(row) for row in confusion] != [classes] * classes:
        yield ".confusion' is not a row and a column for each class"
    counted = {"parameters": [arm["parameters"]], "seconds": [arm["seconds"]], "energy_joules": [arm["energy_joules"]]}
    counted["evaluations"] = [evaluation["trajectory_error"] for evaluation in arm["evaluations"]]
    counted["confusion"] = [number for row in confusion or [] for number in row]
    counted["energy"] = [cost for cost in arm.get("energy", {}).values() if is_number(cost)]
    for name, values in counted.items():
        if any(value is not None and value < 0 for value in values):
            yield f".{name}' is below 0"
    if arm["head"] is not None:
        try:
            HeadConfig.from_dict(arm["head"])
        except HilbertuneError as error:
            yield f".head': {str(error).rstrip('.')}"
    if (curves := arm["curves"]) is not None:
        each = (curves["train_loss"], curves["validation_loss"], curves["validation_accuracy"])
        for name, rows in zip(CURVES, each, strict=True):
            if len(rows) != len(curves["epoch"]) or len({len(row) for row in rows}) > 1:
                yield f".curves.{name}' is not a row for each epoch and a column for each seed"


def finished_arms(results: Results, kind: str | None = None) -> list[ArmResults]:
    """Return the arms that have a test accuracy, of one kind ("quantum", "classical") or of both."""
    return [
        arm
        for arm in results["arms"]
        if kind in (None, arm["kind"]) and arm["summary"] is not None and arm["summary"]["mean"] is not None
    ]


def known_accuracy(row: Summary | Evaluation | None) -> Accuracy:
    """Return mean and interval of a row that is known to have them."""
    assert row is not None
    assert row["mean"] is not None
    return Accuracy(row["mean"], row["low"], row["high"])


def best_first(arms: Iterable[ArmResults]) -> list[ArmResults]:
    """Return the arms by their mean accuracy on validation (never on test); arms that are equal keep their order."""
    return sorted(arms, key=lambda arm: rank(mean_of(arm["validation"]), None), reverse=True)


def best_of_each_kind(arms: Iterable[ArmResults]) -> list[ArmResults]:
    """Return the quantum and the classical arm that did best on validation, as far as there are any."""
    ranked = best_first(arms)
    return [arm for kind in ("quantum", "classical") for arm in [a for a in ranked if a["kind"] == kind][:1]]


def reference_of(results: Results) -> str | None:
    """Return the name of the arm that all others were compared with; None if there is none, or are several."""
    against = {comparison["against"] for comparison in results["comparisons"]}
    return against.pop() if len(against) == 1 else None


def is_evaluated(arm: ArmResults) -> bool:
    """Say whether the arm was tested under any condition besides the plain test."""
    return any(e["mean"] is not None for e in arm["evaluations"])


def known_effects(results: Results) -> list[Effect]:
    """Return the main effects that the finished runs could tell."""
    return [e for e in results["effects"] or [] if e["effect"] is not None]


def mean_of(values: Sequence[float | None]) -> float | None:
    """Return the mean of the known values, None if none is known."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def number_of(settings: Mapping[str, Value], name: str) -> float:
    """Return a setting that is known to be a number."""
    value = settings[name]
    assert is_number(value)
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """Say whether the value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
