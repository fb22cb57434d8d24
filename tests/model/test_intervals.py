"""Intervals over seeds and over rows, by hand and against SciPy's own."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hilbertune.model.intervals import over_rows, over_seeds, t_interval


def test_the_interval_over_seeds_is_students() -> None:
    values = [0.80, 0.84, 0.85, 0.87]
    mean = sum(values) / 4
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / 3)
    half = 3.1824463 * deviation / 2  # the 97.5 % quantile of Student's t, 3 degrees of freedom
    found = over_seeds(values)
    assert found["values"] == values
    assert found["mean"] == pytest.approx(mean)
    assert found["low"] == pytest.approx(mean - half, abs=1e-7)
    assert found["high"] == pytest.approx(mean + half, abs=1e-7)


@given(st.lists(st.floats(-100, 100), min_size=3, max_size=20))
def test_the_t_interval_is_scipys(values: list[float]) -> None:
    low, high = t_interval(values)
    if np.ptp(values) == 0:
        assert (low, high) == pytest.approx((values[0], values[0]))
        return
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((wanted.low, wanted.high), rel=1e-9, abs=1e-9)
    assert t_interval(np.array(values)) == [low, high]


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.9]])
def test_fewer_than_three_values_have_no_interval(values: list[float]) -> None:
    assert t_interval(values) == [None, None]
    assert t_interval(np.array(values)) == [None, None]


@pytest.mark.parametrize("values", [[0.5], [0.4, 0.6]])
def test_one_seed_or_two_have_no_interval(values: list[float]) -> None:
    assert over_seeds(values) == {"mean": 0.5, "low": None, "high": None, "values": values}


def test_equal_seeds_have_an_interval_of_no_width() -> None:
    found = over_seeds([0.5, 0.5, 0.5])
    assert (found["low"], found["mean"], found["high"]) == (0.5, 0.5, 0.5)


def test_the_interval_over_seeds_stays_within_its_bounds() -> None:
    values = [0.1, 0.9, 0.9]
    found = over_seeds(values)
    assert (found["low"], found["high"]) == (0.0, 1.0)
    wide = over_seeds(values, (-math.inf, 1.0))
    assert (wide["low"], wide["high"]) == (t_interval(values)[0], 1.0)
    assert wide["low"] < 0


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_over_rows_is_wilsons(counts: tuple[int, int]) -> None:
    right, rows = counts
    z = 1.959963985
    share = right / rows
    centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows**2)) / (1 + z * z / rows)
    found = over_rows(np.arange(rows) < right)
    assert found["mean"] == pytest.approx(share)
    assert found["low"] == pytest.approx(max(0.0, centre - half), abs=1e-6)
    assert found["high"] == pytest.approx(min(1.0, centre + half), abs=1e-6)
    assert found["low"] - 1e-12 <= found["mean"] <= found["high"] + 1e-12
