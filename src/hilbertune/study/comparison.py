"""Paired statistics of methods that saw the same seeds and splits: differences, intervals, tests, main effects.

In: one accuracy (a share, 0 to 1) per seed of each method, in the same order; NaN where a seed failed.
Out: records of record.py, with None for what cannot be known. The paired sign-flip test decides and Holm corrects it;
    scipy and statsmodels do the arithmetic.
"""

import functools
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Num
from scipy import stats
from scipy.optimize import brentq

from hilbertune.errors import require
from hilbertune.model.intervals import t_interval
from hilbertune.study.record import Comparison, Difference, Effect, Interval, Summary

EXACT = 14
"""Up to this many pairs all 2^n sign flips are tried; above, RESAMPLES of them are drawn."""


RESAMPLES = 1 << EXACT


DIGITS = 10
"""Shares that differ by less are the same count of rows: rounding errors must not separate ties."""


def summary(values: Iterable[float]) -> Summary:
    """Return the mean of a share and its 95 % intervals, Student's t and BCa bootstrap, both cut to 0 … 1.

    Fewer than three values have no interval; failed seeds (NaN) are left out; without values all is None.
    """
    known = _array(values)
    known = known[~np.isnan(known)]
    low, high = (None if end is None else min(1.0, max(0.0, end)) for end in t_interval(known))
    bootstrap_low, bootstrap_high = _bootstrap(known)
    return {
        "mean": float(known.mean()) if len(known) else None,
        "low": low,
        "high": high,
        "bootstrap_low": bootstrap_low,
        "bootstrap_high": bootstrap_high,
    }


def compare(name: str, values: Iterable[float], against: str, others: Iterable[float]) -> Difference:
    """Return the differences `values` - `others` pair by pair; a pair in which a seed failed (NaN) is left out.

    "interval" is Student's t and "bootstrap" is BCa, both of the mean difference and at 95 %; "p_permutation" is the
    sign-flip test (exact up to 14 pairs), "p_wilcoxon" leaves out pairs without a difference, "p_t" is the paired t
    test, all two-sided. "spread" is the standard deviation of the differences, "effect_size" Cohen's dz, and
    "detectable" the difference that a two-sided paired t test at 5 % would have shown with 80 % power, given as many
    pairs and this spread (`holm` corrects it). Fewer than three pairs give no tests, and what would be divided by a
    spread of zero is None.
    """
    differences = _array(values) - _array(others)
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    measured: Difference = {
        "name": name,
        "against": against,
        "difference": float(differences.mean()) if n else None,
        "interval": t_interval(differences),
        "bootstrap": _bootstrap(differences),
        "p_permutation": None,
        "p_wilcoxon": None,
        "p_t": None,
        "spread": None,
        "effect_size": None,
        "detectable": None,
        "n": n,
    }
    if n < 3:
        return measured
    measured["p_permutation"] = _sign_flip_p(differences)
    rounded = np.round(differences, DIGITS)
    measured["p_wilcoxon"] = float(stats.wilcoxon(rounded).pvalue) if rounded.any() else 1.0
    measured["spread"] = spread = float(differences.std(ddof=1)) if np.ptp(rounded) else 0.0
    measured["detectable"] = _detectable(n, spread, 0.05)
    if spread:
        measured["p_t"] = float(stats.ttest_1samp(differences, 0).pvalue)
        measured["effect_size"] = float(differences.mean()) / spread
    return measured


def holm(differences: Sequence[Difference], level: float = 0.05) -> list[Comparison]:
    """Return each difference with "p_holm" (sign-flip p, corrected over all that have one), "verdict" and "sentence".

    "testable" says if this many seeds could show a difference at all, however large.

    The verdict is "better", "worse" or "no difference shown". "detectable" becomes that of a test at `level` divided
    by the number of differences tested, which is where Holm's correction begins.
    """
    judged: list[Comparison] = [
        {**d, "p_holm": None, "verdict": "", "sentence": "", "testable": False} for d in differences
    ]
    tested = [c for c in judged if c["p_permutation"] is not None]
    corrected = _holm([c["p_permutation"] for c in tested if c["p_permutation"] is not None])
    for c, p in zip(tested, corrected, strict=True):
        c["p_holm"] = p
        c["detectable"] = _detectable(c["n"], c["spread"] or 0.0, level / len(tested))
    floors = _holm([_smallest_p(c["n"]) for c in tested])
    possible = {id(c): floor <= level for c, floor in zip(tested, floors, strict=True)}
    for c in judged:
        if c["p_holm"] is None or c["p_holm"] > level:
            c["verdict"] = "no difference shown"
        else:
            c["verdict"] = "better" if (c["difference"] or 0.0) > 0 else "worse"
        c["testable"] = possible.get(id(c), False)
        c["sentence"] = _sentence(c, level, len(tested), c["testable"])
    return judged


def main_effects(
    design: Num[np.ndarray, "..."],
    accuracy: Float[np.ndarray, " runs"],
    seed: Num[np.ndarray, " runs"],
    names: Sequence[str],
) -> list[Effect]:
    """Return, for each factor, the mean accuracy at its high level less that at its low one.

    `design` is a two-level design [runs, factors] of -1 and +1. Least squares with an offset for each seed; "interval"
    is Student's t at 95 %, and "p_holm" is "p" corrected over the factors. What main effects leave unexplained counts
    as chance, independent from run to run; where the effect of a factor depends on another's level, a screening design
    mixes the two. A failed run (NaN) is left out; a factor that the finished runs cannot tell from others gets None.
    """
    regression = require("statsmodels.regression.linear_model", "study")
    kept = ~np.isnan(accuracy)
    offsets = (seed[kept, None] == np.unique(seed[kept])).astype(float)
    columns = np.hstack([np.reshape(design, (-1, len(names)))[kept].astype(float), offsets])
    effects: list[Effect] = [
        {
            "factor": name,
            "low": "-1",
            "high": "+1",
            "effect": None,
            "interval": [None, None],
            "p": None,
            "p_holm": None,
        }
        for name in names
    ]
    if not len(columns):
        return effects
    # A coefficient is determined if all least-squares solutions share it; fit() warns of the others, which get None.
    same = np.linalg.pinv(columns) @ columns
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The design matrix is rank-deficient")
        fitted = regression.OLS(accuracy[kept], columns).fit()
    spread = fitted.df_resid > 0 and fitted.ssr > 1e-20 * len(columns)
    ends = fitted.conf_int() if spread else None
    for i, effect in enumerate(effects):
        if np.allclose(same[i], np.eye(len(same))[i], atol=1e-8):
            effect["effect"] = 2 * float(fitted.params[i])
            if ends is not None:
                effect["interval"] = [2 * float(end) for end in ends[i]]
                effect["p"] = float(fitted.pvalues[i])
    tested = [e for e in effects if e["p"] is not None]
    for effect, p in zip(tested, _holm([e["p"] for e in tested if e["p"] is not None]), strict=True):
        effect["p_holm"] = p
    return effects


def _array(values: Iterable[float]) -> Float[np.ndarray, " n"]:
    return np.array(list(values), dtype=float)


def _bootstrap(values: Float[np.ndarray, " n"]) -> Interval:
    """Return the 95 % BCa interval of the mean; None twice below three values."""
    if len(values) < 3:
        return [None, None]
    if np.ptp(np.round(values, DIGITS)) == 0:
        return [float(values[0])] * 2
    interval = stats.bootstrap((values,), np.mean, method="BCa", random_state=0).confidence_interval
    return [float(interval.low), float(interval.high)]


def _sign_flip_p(differences: Float[np.ndarray, " n"]) -> float:
    """Return the two-sided p of the mean difference if the sign of each pair were a coin flip."""

    def mean(d: np.ndarray, axis: int) -> Any:
        return np.round(d.mean(axis=axis), DIGITS)

    result = stats.permutation_test(
        (differences,),
        mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        random_state=0,
    )
    return float(result.pvalue)


def _detectable(n: int, spread: float, level: float) -> float | None:
    """Return the mean difference that a two-sided paired t test shows with 80 % power; None without a spread."""
    return _detectable_size(n, level) * spread if spread else None


@functools.lru_cache
def _detectable_size(n: int, level: float) -> float:
    """Return the same in standard deviations.

    Our choice: the root of the one-sided power at half the level. That leaves out only errors to the other side (below
    one in 10,000), for which the non-central t is at times NaN; statsmodels' own solve_power stops short of some roots.
    """
    power = require("statsmodels.stats.power", "study").TTestPower().power

    def missing(size: float) -> float:
        return float(power(size, n, level / 2, alternative="larger")) - 0.8

    high = 1.0
    while missing(high) < 0:
        high *= 2
    return float(brentq(missing, 0.0, high))


def _smallest_p(n: int) -> float:
    """Return the p of the sign-flip test if all n differences are alike."""
    return 2 / 2**n if n <= EXACT else 2 / (RESAMPLES + 1)


def _holm(p: Sequence[float]) -> list[float]:
    """Return the p values after Holm's correction."""
    if not p:
        return []
    multitest = require("statsmodels.stats.multitest", "study")
    return [float(v) for v in multitest.multipletests(p, method="holm")[1]]


def _sentence(comparison: Comparison, level: float, family: int, possible: bool) -> str:
    """Return the verdict in plain English; `possible` says if this many seeds could show a difference at all."""
    name, against, n = comparison["name"], comparison["against"], comparison["n"]
    seeds = f"{n} seed" if n == 1 else f"{n} seeds"
    difference, (low, high) = comparison["difference"], comparison["interval"]
    if difference is None:
        return f"No difference was shown between {name} and {against}: no seed finished for both."
    shown = comparison["verdict"] != "no difference shown"
    if shown and difference < 0:
        low, high = _negative(high), _negative(low)
    figures = [] if low is None or high is None else [f"95 % interval {_points(low)} to {_points(high)}"]
    if comparison["p_holm"] is not None:
        figures.append(f"Holm-corrected p {_p(comparison['p_holm'])}")
    bracket = ", ".join([*figures, seeds])
    points = f"{_points(abs(difference) if shown else difference)} points"
    if shown:
        return f"{name} is {comparison['verdict']} than {against} by {points} ({bracket})."
    start = f"No difference was shown between {name} and {against} ({points}, {bracket})"
    if not possible:
        many = f" with {family} comparisons" if family > 1 else ""
        return f"{start}; {seeds} cannot show any difference at the {100 * level:g} % level{many}: add seeds."
    if comparison["detectable"] is None:
        return f"{start}."
    many = f" and {family} comparisons" if family > 1 else ""
    least = _points(comparison["detectable"])
    return f"{start}; with {seeds}{many} this study could have seen a difference of {least} points."


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


def _points(share: float) -> str:
    """Return percentage points with one digit, or with two where one would show 0."""
    points = 100 * share
    digits = 1 if abs(points) >= 0.05 or points == 0 else 2
    return f"{round(points, digits) + 0.0:.{digits}f}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
