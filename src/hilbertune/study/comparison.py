"""Paired statistics: whether two methods that saw the same seeds and splits differ, by how much, and what so few seeds could have shown.

In: one accuracy (a share, 0 to 1) a seed of each method, in the same order; NaN where a seed failed. Out: plain dictionaries with None for
what cannot be known. The paired sign-flip test decides, Holm corrects it; scipy and statsmodels do the arithmetic.
"""

import functools
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Num
from scipy import stats
from scipy.optimize import brentq

from hilbertune.errors import require

EXACT = 14
"""Up to so many pairs all 2^n sign flips are looked at; above, RESAMPLES of them are drawn."""


RESAMPLES = 1 << EXACT


DIGITS = 10
"""Shares that differ by less are the same count of rows: rounding errors must not part what is tied."""


Ends = list[float | None]


def summary(values: Iterable[float]) -> dict[str, float | None]:
    """Mean of a share, and its 95 % intervals: Student's t, and BCa bootstrap; both cut to 0 … 1.

    One value has no interval and two have no bootstrap; failed seeds (NaN) are left out, and without any value all is None.
    """
    known = _array(values)
    known = known[~np.isnan(known)]
    low, high = (None if end is None else min(1.0, max(0.0, end)) for end in _t_interval(known))
    bootstrap_low, bootstrap_high = _bootstrap(known)
    return {
        "mean": float(known.mean()) if len(known) else None,
        "low": low,
        "high": high,
        "bootstrap_low": bootstrap_low,
        "bootstrap_high": bootstrap_high,
    }


def compare(name: str, values: Iterable[float], against: str, others: Iterable[float]) -> dict[str, Any]:
    """The differences `values` - `others`, pair by pair; a pair of which one seed failed (NaN) is left out.

    "interval" is Student's t and "bootstrap" is BCa, both of the mean difference and at 95 %; "p_permutation" is the sign-flip
    test (exact up to 14 pairs), "p_wilcoxon" leaves out pairs without a difference, "p_t" is the paired t test, all two-sided.
    "spread" is the standard deviation of the differences, "effect_size" Cohen's dz, and "detectable" the difference that a
    two-sided paired t test at 5 % would have shown with 80 % power, given as many pairs and this spread (`holm` corrects it).
    Fewer than three pairs give no tests, and what divides by a spread of zero is None.
    """
    differences = _array(values) - _array(others)
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    found: dict[str, Any] = {
        "name": name,
        "against": against,
        "difference": float(differences.mean()) if n else None,
        "interval": _t_interval(differences),
        "bootstrap": _bootstrap(differences),
        **dict.fromkeys(("p_permutation", "p_wilcoxon", "p_t", "spread", "effect_size", "detectable")),
        "n": n,
    }
    if n < 3:
        return found
    found["p_permutation"] = _sign_flip_p(differences)
    rounded = np.round(differences, DIGITS)
    found["p_wilcoxon"] = float(stats.wilcoxon(rounded).pvalue) if rounded.any() else 1.0
    found["spread"] = spread = float(differences.std(ddof=1)) if np.ptp(rounded) else 0.0
    found["detectable"] = _detectable(n, spread, 0.05)
    if spread:
        found["p_t"] = float(stats.ttest_1samp(differences, 0).pvalue)
        found["effect_size"] = float(differences.mean()) / spread
    return found


def holm(comparisons: Sequence[Mapping[str, Any]], level: float = 0.05) -> list[dict[str, Any]]:
    """Each comparison with "p_holm" (sign-flip p, corrected over all that have one), "verdict" and a "sentence" in plain English.

    The verdict is "better", "worse" or "no difference shown". "detectable" becomes that of a test at `level` divided by the
    number of comparisons tested, which is where Holm's correction begins.
    """
    found: list[dict[str, Any]] = [{**c, "p_holm": None} for c in comparisons]
    tested = [c for c in found if c["p_permutation"] is not None]
    for c, p in zip(tested, _holm([c["p_permutation"] for c in tested]), strict=True):
        c["p_holm"] = p
        c["detectable"] = _detectable(c["n"], c["spread"], level / len(tested))
    floors = _holm([_smallest_p(c["n"]) for c in tested])
    possible = {id(c): floor <= level for c, floor in zip(tested, floors, strict=True)}
    for c in found:
        if c["p_holm"] is None or c["p_holm"] > level:
            c["verdict"] = "no difference shown"
        else:
            c["verdict"] = "better" if c["difference"] > 0 else "worse"
        c["sentence"] = _sentence(c, level, len(tested), possible.get(id(c), False))
    return found


def main_effects(
    design: Num[np.ndarray, "..."],
    accuracy: Float[np.ndarray, " runs"],
    seed: Num[np.ndarray, " runs"],
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Mean accuracy at the high level less that at the low one, for each factor of a two-level design [runs, factors] of -1 and +1.

    Least squares with an offset for each seed; "interval" is Student's t at 95 %, "p" is corrected over the factors ("p_holm").
    What main effects leave unexplained counts as chance, independent from run to run; and where the effect of a factor depends on
    another's level, a screening design mixes the two. A run that failed (NaN) is left out, and a factor that the finished runs
    cannot tell from others gets None.
    """
    regression = require("statsmodels.regression.linear_model", "study")
    kept = ~np.isnan(accuracy)
    blocks = (seed[kept, None] == np.unique(seed[kept])).astype(float)
    columns = np.hstack([np.reshape(design, (-1, len(names)))[kept].astype(float), blocks])
    nothing: dict[str, Any] = {"effect": None, "interval": [None, None], "p": None, "p_holm": None}
    found = [{"factor": name, "low": "-1", "high": "+1", **nothing} for name in names]
    if not len(columns):
        return found
    # A coefficient is determined if it is the same in all least-squares solutions; fit() warns of the others, which get None.
    same = np.linalg.pinv(columns) @ columns
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The design matrix is rank-deficient")
        fitted = regression.OLS(accuracy[kept], columns).fit()
    spread = fitted.df_resid > 0 and fitted.ssr > 1e-20 * len(columns)
    ends = fitted.conf_int() if spread else None
    for i, effect in enumerate(found):
        if np.allclose(same[i], np.eye(len(same))[i], atol=1e-8):
            effect["effect"] = 2 * float(fitted.params[i])
            if ends is not None:
                effect["interval"] = [2 * float(end) for end in ends[i]]
                effect["p"] = float(fitted.pvalues[i])
    tested = [e for e in found if e["p"] is not None]
    for effect, p in zip(tested, _holm([e["p"] for e in tested]), strict=True):
        effect["p_holm"] = p
    return found


def _array(values: Iterable[float]) -> Float[np.ndarray, " n"]:
    return np.array(list(values), dtype=float)


def _t_interval(values: Float[np.ndarray, " n"]) -> Ends:
    """95 % interval of the mean; None without a second value."""
    if len(values) < 2:
        return [None, None]
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return [float(values.mean()) - half, float(values.mean()) + half]


def _bootstrap(values: Float[np.ndarray, " n"]) -> Ends:
    """95 % BCa interval of the mean; None below three values."""
    if len(values) < 3:
        return [None, None]
    if np.ptp(np.round(values, DIGITS)) == 0:
        return [float(values[0])] * 2
    found = stats.bootstrap((values,), np.mean, method="BCa", random_state=0).confidence_interval
    return [float(found.low), float(found.high)]


def _sign_flip_p(differences: Float[np.ndarray, " n"]) -> float:
    """Two-sided p of the mean difference, had each pair's sign been a coin's."""

    def mean(d: np.ndarray, axis: int) -> Any:
        return np.round(d.mean(axis=axis), DIGITS)

    found = stats.permutation_test(
        (differences,),
        mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        random_state=0,
    )
    return float(found.pvalue)


def _detectable(n: int, spread: float, level: float) -> float | None:
    """Mean difference that a two-sided paired t test shows with 80 % power; None without a spread."""
    return _detectable_size(n, level) * spread if spread else None


@functools.lru_cache
def _detectable_size(n: int, level: float) -> float:
    """The same in standard deviations.

    Our choice: the root of the one-sided power at half the level. That leaves out only errors to the other side (below one
    in 10,000), for which the non-central t is at times NaN; statsmodels' own solve_power stops short of some roots.
    """
    power = require("statsmodels.stats.power", "study").TTestPower().power

    def missing(size: float) -> float:
        return float(power(size, n, level / 2, alternative="larger")) - 0.8

    high = 1.0
    while missing(high) < 0:
        high *= 2
    return float(brentq(missing, 0.0, high))


def _smallest_p(n: int) -> float:
    """What the sign-flip test gives if all n differences are alike."""
    return 2 / 2**n if n <= EXACT else 2 / (RESAMPLES + 1)


def _holm(p: Sequence[float]) -> list[float]:
    if not p:
        return []
    multitest = require("statsmodels.stats.multitest", "study")
    return [float(v) for v in multitest.multipletests(p, method="holm")[1]]


def _sentence(comparison: Mapping[str, Any], level: float, family: int, possible: bool) -> str:
    name, against, n = (comparison[k] for k in ("name", "against", "n"))
    seeds = f"{n} seed" if n == 1 else f"{n} seeds"
    if not n:
        return f"No difference was shown between {name} and {against}: no seed finished for both."
    difference, ends = comparison["difference"], comparison["interval"]
    if shown := comparison["verdict"] != "no difference shown":
        if difference < 0:
            ends = [-end for end in reversed(ends)]
        difference = abs(difference)
    figures = [] if ends[0] is None else [f"95 % interval {_points(ends[0])} to {_points(ends[1])}"]
    if comparison["p_holm"] is not None:
        figures.append(f"Holm-corrected p {_p(comparison['p_holm'])}")
    bracket = ", ".join([*figures, seeds])
    points = f"{_points(difference)} points"
    if shown:
        return f"{name} is {comparison['verdict']} than {against} by {points} ({bracket})."
    start = f"No difference was shown between {name} and {against} ({points}, {bracket})"
    if not possible:
        many = f" with {family} comparisons" if family > 1 else ""
        return f"{start}; {seeds} cannot show any difference at the {100 * level:g} % level{many}: add seeds."
    if comparison["detectable"] is None:
        return f"{start}."
    many = f" and {family} comparisons" if family > 1 else ""
    return f"{start}; with {seeds}{many} this study could have seen a difference of {_points(comparison['detectable'])} points."


def _points(share: float) -> str:
    """Percentage points with one digit, with more where one would show 0."""
    points = 100 * share
    digits = 1 if abs(points) >= 0.05 or points == 0 else 2
    return f"{round(points, digits) + 0.0:.{digits}f}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
