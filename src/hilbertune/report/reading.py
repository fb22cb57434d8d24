"""The report of a study: one HTML page that needs no network, and every figure as SVG, PNG and CSV.

In: a study's directory with results.json. Out: report.html and figures/ beside it; the same results give the same bytes.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.errors import HilbertuneError

Results = Mapping[str, Any]


Arm = Mapping[str, Any]


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


def read_results(path: Path) -> Results:
    try:
        results = _clean(json.loads(path.read_bytes(), parse_constant=lambda _: None))
    except FileNotFoundError:
        raise HilbertuneError(f"{path} is missing: name the directory of a study that has finished.") from None
    except OSError as error:
        raise HilbertuneError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise HilbertuneError(
            f"{path} is cut short or damaged: run the study again, finished runs are kept."
        ) from error
    if not isinstance(results, dict) or not all(isinstance(results.get(key, ...), kind) for key, kind in KEYS.items()):
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


def tested_arms(results: Results, kind: str | None = None) -> list[Arm]:
    return [
        arm for arm in results["arms"] if kind in (None, arm["kind"]) and (arm["summary"] or {}).get("mean") is not None
    ]


def best_arm(arms: Sequence[Arm]) -> Arm | None:
    """The arm that did best on validation (never on test), the first where nothing was validated."""

    def validated(arm: Arm) -> float:
        known = [v for v in arm["validation"] if v is not None]
        return float(np.mean(known)) if known else -1.0

    return max(arms, key=validated, default=None)


def is_evaluated(arm: Arm) -> bool:
    """Whether it was tested under any condition besides the plain test."""
    return any(e["mean"] is not None for e in arm["evaluations"])


def known_effects(results: Results) -> list[Mapping[str, Any]]:
    return [e for e in results["effects"] or [] if e["effect"] is not None]


def mean_of(values: Iterable[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
