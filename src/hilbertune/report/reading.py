"""The results of a study as the report reads them, and the questions that several of its parts ask of them.

In: results.json.
Out: `Results` (study/record.py), where an unknown number is None and every character can be shown.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeGuard, cast, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np

from hilbertune.errors import HilbertuneError
from hilbertune.model.selection import rank
from hilbertune.study.record import ArmResults, Effect, Evaluation, Results, Summary


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
        results = _clean(json.loads(path.read_bytes(), parse_constant=lambda _: None))
    except FileNotFoundError:
        raise HilbertuneError(f"{path} is missing: name the directory of a study that has finished.") from None
    except OSError as error:
        raise HilbertuneError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise HilbertuneError(
            f"{path} is cut short or damaged: run the study again; finished runs are kept."
        ) from error
    hints = get_type_hints(Results)
    required = Results.__required_keys__
    if not isinstance(results, dict) or not all(isinstance(results.get(k, ...), _classes(hints[k])) for k in required):
        raise HilbertuneError(f"{path} does not hold the results of a study: name its directory.")
    for fault in _faults(results, Results):
        raise HilbertuneError(f"{path} does not hold the results of a study: {fault}.")
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


def _classes(hint: Any) -> tuple[type, ...]:
    """Return the classes that JSON gives a value of this type."""
    if isinstance(hint, UnionType):
        return tuple(kind for option in get_args(hint) for kind in _classes(option))
    if is_typeddict(hint):
        return (dict,)
    return (int, float) if hint is float else (get_origin(hint) or hint,)


def _faults(value: Any, hint: Any, place: str = "") -> Iterator[str]:
    """Say which keys of the record are missing at any depth, and where there is no list though there should be one."""
    if isinstance(hint, UnionType):
        options = [option for option in get_args(hint) if option is not NoneType]
        if value is not None and len(options) == 1:
            yield from _faults(value, options[0], place)
    elif is_typeddict(hint):
        for key, kind in get_type_hints(hint).items():
            if isinstance(value, dict) and key in value:
                yield from _faults(value[key], kind, f"{key!r} of {place}" if place else repr(key))
            elif key in hint.__required_keys__:
                yield f"{place} has no {key!r}"
    elif get_origin(hint) is list:
        if not isinstance(value, list):
            yield f"{place} is not a list"
            return
        for number, entry in enumerate(value):
            yield from _faults(entry, get_args(hint)[0], f"entry {number} of {place}")
    elif get_origin(hint) is dict and isinstance(value, dict):
        for key, entry in value.items():
            yield from _faults(entry, get_args(hint)[1], f"{key!r} of {place}")


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


def is_number(value: object) -> TypeGuard[int | float]:
    """Say whether the value is a number; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
