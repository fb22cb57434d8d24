"""Paired statistics against hand-computed numbers, brute force, scipy called another way, and simulation."""

import functools
import gc
import itertools
import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hilbertune.model.intervals import t_interval
from hilbertune.study import comparison
from hilbertune.study.comparison import compare, holm, main_effects, summary

A = [0.90, 0.91, 0.89, 0.92, 0.90, 0.93, 0.88, 0.91]
B = [0.88, 0.90, 0.90, 0.89, 0.89, 0.91, 0.87, 0.87]
"""Differences 2, 1, -1, 3, 1, 2, 1, 4 points: mean 13/8, sum of squares 37, variance (37 - 169/8) / 7."""

shares = st.integers(0, 9101).map(lambda count: count / 9101)
pairs = st.integers(1, 10).flatmap(lambda n: st.tuples(*(st.lists(shares, min_size=n, max_size=n) for _ in range(2))))


@pytest.fixture(autouse=True)
def _no_warnings(monkeypatch: pytest.MonkeyPatch) -> Any:
    # statsmodels collects garbage at every call, which takes long where pytest has made much.
    monkeypatch.setattr(gc, "collect", lambda: 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def against(p: float, n: int = 10, difference: float = 0.01) -> dict[str, Any]:
    """Return a comparison as `compare` gives it, with p chosen."""
    return clear() | {"p_permutation": p, "n": n, "difference": difference}


@functools.cache
def clear() -> dict[str, Any]:
    return compare("Q", A, "LR", B)


def test_the_mean_and_its_t_interval_are_those_by_hand() -> None:
    found = summary([0.1, 0.2, 0.3])
    assert found["mean"] == pytest.approx(0.2)
    half = 4.302652729911275 * 0.1 / math.sqrt(3)  # Student's t with 2 degrees of freedom
    # 0.2 - 0.248 is below what a share can be.
    assert found["low"] == 0.0
    assert found["high"] == pytest.approx(0.2 + half)


def test_the_bootstrap_interval_of_a_summary_is_near_the_t_interval() -> None:
    values = np.random.default_rng(1).normal(0.8, 0.02, 200)
    found = summary(values)
    half = 1.96 * values.std() / math.sqrt(200)
    assert found["bootstrap_low"] == pytest.approx(values.mean() - half, abs=half / 10)
    assert found["bootstrap_high"] == pytest.approx(values.mean() + half, abs=half / 10)


def test_the_bootstrap_interval_follows_the_skew_of_the_values() -> None:
    values = np.random.default_rng(2).exponential(0.01, 40)
    found = summary(values)
    assert found["bootstrap_high"] - found["mean"] > 1.1 * (found["mean"] - found["bootstrap_low"])
    assert found == summary(values)  # drawn from a fixed seed


@pytest.mark.parametrize(
    ("values", "known"),
    [
        ([], []),
        ([math.nan], []),
        ([0.5], ["mean"]),
        ([0.5, math.nan], ["mean"]),
        ([0.5, 0.6], ["mean"]),
        ([0.5, 0.6, 0.6], ["mean", "low", "high", "bootstrap_low", "bootstrap_high"]),
        ([0.1 + 0.2, 0.3, 0.3], ["mean", "low", "high", "bootstrap_low", "bootstrap_high"]),
    ],
)
def test_a_summary_has_none_for_what_so_few_seeds_cannot_tell(values: list[float], known: list[str]) -> None:
    found = summary(values)
    assert [k for k, v in found.items() if v is not None] == known
    assert not any(v is not None and math.isnan(v) for v in found.values())


def test_equal_values_have_an_interval_without_width() -> None:
    assert set(summary([0.7] * 5).values()) == {0.7}


def test_a_comparison_is_that_by_hand() -> None:
    found = compare("Q=10", A, "logistic regression", B)
    deviation = math.sqrt((37 - 169 / 8) / 7) / 100
    assert found["n"] == 8
    assert found["difference"] == pytest.approx(0.01625)
    assert found["spread"] == pytest.approx(deviation)
    assert found["effect_size"] == pytest.approx(0.01625 / deviation)
    half = 2.3646242515927844 * deviation / math.sqrt(8)  # t with 7 degrees of freedom
    assert found["interval"] == pytest.approx([0.01625 - half, 0.01625 + half])
    # Of the 256 ways to sign 1 1 1 1 2 2 3 4, whose sum is 15, those with a sum of 13 or more leave out at most 1 from
    # the positive ones: none, or one of the four 1s. So 5 on this side and 5 on the other.
    assert found["p_permutation"] == pytest.approx(10 / 256)
    assert found["p_t"] == pytest.approx(stats.ttest_rel(A, B).pvalue)
    low, high = found["bootstrap"]
    assert found["interval"][0] < low < found["difference"] < high < found["interval"][1]


def test_wilcoxon_leaves_out_pairs_without_a_difference() -> None:
    # Ranks 1 to 5, all positive: both tails of 2^5 ways.
    found = compare("a", [0.5, 0.5, 0.61, 0.62, 0.63, 0.64, 0.65], "b", [0.5, 0.5] + [0.6] * 5)
    assert found["p_wilcoxon"] == pytest.approx(2 / 32)


@given(pairs)
def test_the_sign_flip_test_is_that_of_all_sign_flips(sides: tuple[list[float], ...]) -> None:
    counts = np.round(9101 * (np.array(sides[0]) - np.array(sides[1]))).astype(int)
    sums = [abs(np.dot(s, counts)) for s in itertools.product((-1, 1), repeat=len(counts))]
    p = np.mean(np.array(sums) >= abs(counts.sum()))
    found = compare("a", sides[0], "b", sides[1])["p_permutation"]
    assert found is None if len(counts) < 3 else found == pytest.approx(p)


def test_above_14_pairs_the_sign_flip_test_is_sampled_and_close_to_the_exact_one() -> None:
    d = np.random.default_rng(4).normal(0.3, 1, 16).round(1)
    signs = 1 - 2 * ((np.arange(1 << 16)[:, None] >> np.arange(16)) & 1)
    exact = float((abs(signs @ d) >= abs(d.sum()) - 1e-9).mean())
    assert 0.02 < exact < 0.5
    found = compare("a", 0.5 + d / 100, "b", [0.5] * 16)["p_permutation"]
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact / comparison.RESAMPLES))


@given(pairs)
def test_swapping_the_sides_flips_the_signs_and_nothing_else(
    sides: tuple[list[float], ...],
) -> None:
    one, other = compare("a", sides[0], "b", sides[1]), compare("b", sides[1], "a", sides[0])
    assert other["difference"] == pytest.approx(-one["difference"])
    for key in ("p_permutation", "p_wilcoxon", "p_t", "spread", "detectable"):
        assert other[key] == pytest.approx(one[key]), key
    if one["effect_size"] is not None:
        assert other["effect_size"] == pytest.approx(-one["effect_size"])
    if one["n"] >= 3:
        assert other["interval"] == pytest.approx([-end for end in reversed(one["interval"])])
    verdicts = {"better": "worse", "worse": "better", "no difference shown": "no difference shown"}
    assert holm([other])[0]["verdict"] == verdicts[holm([one])[0]["verdict"]]


@given(pairs)
def test_every_comparison_is_plain_json_without_nan(sides: tuple[list[float], ...]) -> None:
    text = json.dumps(holm([compare("a", sides[0], "b", sides[1])]), allow_nan=False)
    assert "nan" not in text.lower()


def test_a_seed_that_failed_on_one_side_is_left_out_on_both() -> None:
    nan = math.nan
    assert compare("Q", [*A, nan, 0.5], "LR", [*B, 0.5, nan]) == compare("Q", A, "LR", B)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_fewer_than_three_seeds_give_nulls_and_say_so(n: int) -> None:
    found = holm([compare("Q", A[:n], "LR", B[:n])])[0]
    for key in ("p_permutation", "p_wilcoxon", "p_t", "p_holm", "effect_size", "detectable"):
        assert found[key] is None, key
    assert found["bootstrap"] == [None, None]
    assert found["interval"] == [None, None]
    assert found["verdict"] == "no difference shown"
    told = ["no seed finished for both", "1 seed cannot show", "2 seeds cannot show"][n]
    assert told in found["sentence"]


def test_two_methods_that_always_agree_show_no_difference() -> None:
    found = holm([compare("Q", A, "LR", A)])[0]
    assert (found["difference"], found["p_permutation"], found["p_wilcoxon"]) == (0, 1, 1)
    assert (found["interval"], found["bootstrap"]) == ([0, 0], [0, 0])
    assert found["effect_size"] is found["detectable"] is found["p_t"] is None
    assert found["sentence"] == (
        "No difference was shown between Q and LR (0.0 points, 95 % interval 0.0 to 0.0, "
        "Holm-corrected p = 1.000, 8 seeds)."
    )


def test_the_same_difference_at_every_seed_is_shown() -> None:
    found = holm([compare("Q", [a + 0.01 for a in A], "LR", A)])[0]
    assert found["p_permutation"] == found["p_wilcoxon"] == 2 / 256
    assert found["spread"] == 0
    assert found["verdict"] == "better"
    assert found["effect_size"] is found["detectable"] is None


@pytest.mark.parametrize(("n", "level"), [(3, 0.05), (4, 0.001), (10, 0.05), (20, 0.01)])
def test_a_difference_of_the_detectable_size_is_shown_four_times_in_five(n: int, level: float) -> None:
    rng = np.random.default_rng(n)
    size = 20_000
    detectable = comparison._detectable(n, 0.01, level)
    assert detectable is not None
    drawn = rng.normal(detectable, 0.01, (size, n))
    shown = (stats.ttest_1samp(drawn, 0, axis=1).pvalue < level).mean()
    assert shown == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / size))


def test_the_t_interval_covers_the_truth_19_times_in_20_and_the_test_errs_once_in_20() -> None:
    rng = np.random.default_rng(5)
    size = 1000
    truth = rng.normal(0.0, 0.01, (size, 8))
    covered, erred = 0, 0
    for row in truth:
        low, high = t_interval(row)
        assert low is not None
        assert high is not None
        covered += low < 0 < high
        erred += comparison._sign_flip_p(row) <= 0.05
    error = 4 * math.sqrt(0.05 * 0.95 / size)
    assert covered / size == pytest.approx(0.95, abs=error)
    # Twelve of 256 sums on both sides together are at most 5 %.
    assert erred / size == pytest.approx(12 / 256, abs=error)


def test_holm_is_that_by_hand() -> None:
    found = holm([against(0.04), against(0.01), against(0.02)])
    # 3 · 0.01, then 2 · 0.02, then 1 · 0.04
    assert [c["p_holm"] for c in found] == pytest.approx([0.04, 0.03, 0.04])
    assert [c["p_permutation"] for c in found] == [0.04, 0.01, 0.02]


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers_p(p: list[float]) -> None:
    corrected = [c["p_holm"] for c in holm([against(value) for value in p])]
    assert all(raw <= new <= min(1, raw * len(p)) + 1e-12 for raw, new in zip(p, corrected, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= -1e-12).all()


def test_holm_leaves_out_what_has_no_p() -> None:
    found = holm([compare("Q", [0.5], "LR", [0.4]), against(0.03)])
    assert [c["p_holm"] for c in found] == [None, pytest.approx(0.03)]
    assert holm([]) == []


def test_with_more_comparisons_only_larger_differences_are_detectable() -> None:
    alone = holm([against(0.5)])[0]["detectable"]
    among = holm([against(0.5)] * 5)[0]["detectable"]
    assert among > 1.2 * alone
    assert alone == pytest.approx(comparison._detectable(10, against(0.5)["spread"], 0.05))


def test_the_sentences_say_better_worse_or_not_shown() -> None:
    better = holm([compare("Q=10", A, "LR", B)])[0]
    worse = holm([compare("LR", B, "Q=10", A)])[0]
    low, high = (100 * end for end in better["interval"])
    bracket = f"(95 % interval {low:.1f} to {high:.1f}, Holm-corrected p = 0.039, 8 seeds)."
    assert better["sentence"] == f"Q=10 is better than LR by 1.6 points {bracket}"
    assert worse["sentence"] == f"LR is worse than Q=10 by 1.6 points {bracket}"
    nothing = holm([compare("Q=10", A, "LR", [*B[:-1], 0.99])])[0]
    assert nothing["verdict"] == "no difference shown"
    assert nothing["sentence"].startswith("No difference was shown between Q=10 and LR (0.1 points")
    seen = 100 * nothing["detectable"]
    assert nothing["sentence"].endswith(f"with 8 seeds this study could have seen a difference of {seen:.1f} points.")


@pytest.mark.parametrize(
    ("seeds", "comparisons", "possible"),
    [(3, 1, False), (5, 1, False), (6, 1, True), (6, 2, False), (7, 3, True), (10, 26, False)],
)
def test_too_few_seeds_for_any_difference_are_named(seeds: int, comparisons: int, possible: bool) -> None:
    # Even if all seeds agree, p is 2 / 2^seeds, and Holm multiplies the smallest by the number of comparisons.
    assert (comparisons * 2 / 2**seeds <= 0.05) == possible
    one = compare("Q", [0.9 + i / 1000 for i in range(seeds)], "LR", [0.5] * seeds)
    found = holm([one] * comparisons)[0]
    assert (found["verdict"] == "better") == possible
    assert ("cannot show any difference at the 5 % level" in found["sentence"]) != possible


# Main effects -------------------------------------------------------------------------------------

DESIGN = np.array(list(itertools.product((-1, 1), repeat=3)))


def replicated(seeds: int, noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Accuracy 0.8 + 0.02 a - 0.01 b with an offset of 0.1 from seed to seed."""
    rng = np.random.default_rng(6)
    design, seed = np.tile(DESIGN, (seeds, 1)), np.repeat(np.arange(seeds), len(DESIGN))
    accuracy = 0.8 + design @ [0.02, -0.01, 0] + 0.1 * seed + rng.normal(0, noise, len(seed))
    return design, accuracy, seed


def test_main_effects_are_high_minus_low() -> None:
    design, accuracy, seed = replicated(3, 0.01)
    found = main_effects(design, accuracy, seed, ["a", "b", "c"])
    assert [e["factor"] for e in found] == ["a", "b", "c"]
    for i, effect in enumerate(found):
        high, low = accuracy[design[:, i] > 0], accuracy[design[:, i] < 0]
        assert effect["effect"] == pytest.approx(high.mean() - low.mean())
        assert effect["interval"][0] < effect["effect"] < effect["interval"][1]
        assert effect["p"] <= effect["p_holm"]


def test_the_interval_of_a_main_effect_is_that_of_the_residuals_within_seeds() -> None:
    design, accuracy, seed = replicated(3, 0.01)
    effect = main_effects(design, accuracy, seed, ["a", "b", "c"])[0]
    centred = accuracy - np.array([accuracy[seed == s].mean() for s in range(3)])[seed]
    slopes = design.T @ centred / len(design)
    rest = centred - design @ slopes
    freedom = len(design) - 3 - 3
    error = 2 * math.sqrt((rest @ rest) / freedom / len(design))
    half = stats.t.ppf(0.975, freedom) * error
    assert effect["interval"] == pytest.approx([2 * slopes[0] - half, 2 * slopes[0] + half])
    assert effect["p"] == pytest.approx(2 * stats.t.sf(2 * slopes[0] / error, freedom))


def test_an_offset_of_a_seed_changes_no_effect() -> None:
    design, accuracy, seed = replicated(4, 0.01)
    names = ["a", "b", "c"]
    shifted = main_effects(design, accuracy + 0.05 * seed**2, seed, names)
    for one, other in zip(main_effects(design, accuracy, seed, names), shifted, strict=True):
        assert other["effect"] == pytest.approx(one["effect"])
        assert other["interval"] == pytest.approx(one["interval"])


def test_a_failed_run_is_left_out_of_the_main_effects() -> None:
    design, accuracy, seed = replicated(3, 0.0)
    accuracy[5] = math.nan
    found = main_effects(design, accuracy, seed, ["a", "b", "c"])
    assert [e["effect"] for e in found] == pytest.approx([0.04, -0.02, 0.0], abs=1e-12)


def test_main_effects_without_anything_left_for_chance_have_no_interval() -> None:
    found = main_effects(DESIGN[[0, 3, 5, 6]], np.array([0.1, 0.2, 0.3, 0.4]), np.zeros(4), ["a", "b", "c"])
    assert all(e["effect"] is not None for e in found)
    assert all(e["interval"] == [None, None] and e["p"] is e["p_holm"] is None for e in found)
    same = main_effects(DESIGN, np.full(8, 0.5), np.zeros(8), ["a", "b", "c"])
    assert [e["effect"] for e in same] == pytest.approx([0, 0, 0])
    assert all(e["p"] is None for e in same)


def test_factors_that_the_runs_cannot_tell_apart_have_no_effect() -> None:
    design, accuracy, seed = replicated(3, 0.01)
    kept = design[:, 0] == design[:, 1]  # the runs where a and b differ failed
    found = main_effects(design[kept], accuracy[kept], seed[kept], ["a", "b", "c"])
    assert [e["effect"] is None for e in found] == [True, True, False]
    assert found[2]["p_holm"] == found[2]["p"]


def test_without_a_finished_run_there_are_no_effects() -> None:
    found = main_effects(np.array([]), np.array([]), np.array([]), ["a"])
    assert found == [
        {
            "factor": "a",
            "low": "-1",
            "high": "+1",
            "effect": None,
            "interval": [None, None],
            "p": None,
            "p_holm": None,
        }
    ]
