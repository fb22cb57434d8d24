"""Means with 95 % confidence intervals: over seeds, and over the rows of one test set.

In: one value a seed, or whether each row was predicted rightly.
Out: the ends of an interval, or {"mean", "low", "high"} with them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from hilbertune.config.sizes import LEAST_SEEDS


def t_interval(values: Sequence[float] | Float[np.ndarray, " n"]) -> list[float | None]:
    """Return both ends of the 95 % Student-t interval of the mean; None twice with fewer than LEAST_SEEDS values."""
    if len(values) < LEAST_SEEDS:
        return [None, None]
    mean = float(np.mean(values))
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return [mean - half, mean + half]


def over_seeds(values: Sequence[float], bounds: tuple[float, float] = (0.0, 1.0)) -> dict[str, Any]:
    """Return the mean of one value a seed and its 95 % Student-t interval, cut to `bounds`.

    With fewer than LEAST_SEEDS seeds the ends are None.
    """
    low, high = t_interval(values)
    return {
        "mean": float(np.mean(values)),
        "low": None if low is None else max(bounds[0], low),
        "high": None if high is None else min(bounds[1], high),
        "values": [float(v) for v in values],
    }


def over_rows(correct: Bool[np.ndarray, " rows"]) -> dict[str, Any]:
    """Return the share of correct rows and its 95 % Wilson interval."""
    interval = stats.binomtest(int(correct.sum()), len(correct)).proportion_ci(0.95, "wilson")
    return {"mean": float(correct.mean()), "low": float(interval.low), "high": float(interval.high)}
