"""The plain head that a quantum one is held against: its figure, and when it is said to be better."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from helpers.classical import clouds
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hilbertune.baselines.models import fit_quietly
from hilbertune.baselines.plain import did_better, plain_figure, r2
from hilbertune.data.splits import Split

SPLIT = Split(np.arange(40), np.arange(40, 60), np.arange(0))
TRAIN, VALIDATION = SPLIT.train, SPLIT.validation


def hazy(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return clouds that overlap, so that a head is right on some rows only, and classes of unequal size."""
    x, y = clouds(classes)
    y = np.where(np.arange(len(y)) % 5 == 0, 0, y)
    return x + np.random.default_rng(1).normal(0, 6, x.shape).astype(np.float32), y


@pytest.mark.parametrize("weight", [None, "balanced", (1.0, 9.0, 0.2)])
@pytest.mark.parametrize("task", ["classification", "one-vs-rest", "ordinal"])
def test_classes_are_learned_as_scikit_learn_does(task: Any, weight: Any) -> None:
    x, y = hazy(3)
    given = dict(enumerate(weight)) if isinstance(weight, tuple) else weight
    expected = LogisticRegression(class_weight=given, max_iter=200).fit(x[TRAIN], y[TRAIN])
    accuracy = expected.score(x[VALIDATION], y[VALIDATION])
    assert 0.2 < accuracy < 1
    assert plain_figure(x, y, SPLIT, task, weight) == pytest.approx(accuracy)


def test_weights_of_classes_change_the_figure() -> None:
    x, y = hazy(3)
    assert len({plain_figure(x, y, SPLIT, "classification", w) for w in (None, (1.0, 99.0, 0.01))}) == 2


@pytest.mark.parametrize("weight", [None, "balanced"])
def test_several_labels_are_learned_one_by_one_and_a_row_is_right_if_all_are(weight: Any) -> None:
    x, y = hazy(3)
    labels = np.eye(3, dtype=np.float32)[y]
    labels[:, 0] += labels[:, 1]
    regression = LogisticRegression(class_weight=weight, max_iter=200)
    expected = OneVsRestClassifier(regression).fit(x[TRAIN], labels[TRAIN].astype(int))
    accuracy = expected.score(x[VALIDATION], labels[VALIDATION].astype(int))
    assert 0.2 < accuracy < 1
    assert plain_figure(x, labels, SPLIT, "multi-label", weight) == pytest.approx(accuracy)


def test_a_weight_for_each_label_is_that_of_its_positive_rows() -> None:
    x, y = hazy(2)
    labels = np.stack([y, 1 - y], axis=1).astype(np.float32)
    weights = (50.0, 0.02)
    answers = [
        LogisticRegression(class_weight={0: 1.0, 1: w}, max_iter=200)
        .fit(x[TRAIN], labels[TRAIN, j])
        .predict(x[VALIDATION])
        for j, w in enumerate(weights)
    ]
    expected = (np.stack(answers, axis=1) == labels[VALIDATION]).all(1).mean()
    assert plain_figure(x, labels, SPLIT, "multi-label", weights) == pytest.approx(expected)


def test_a_label_that_every_training_row_has_is_given_to_all() -> None:
    x, y = hazy(2)
    labels = np.stack([np.ones(60), np.zeros(60), y], axis=1).astype(np.float32)
    alone = plain_figure(x, y, SPLIT, "classification", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plain_figure(x, labels, SPLIT, "multi-label", None) == pytest.approx(alone)


def test_numbers_are_learned_by_ridge_regression() -> None:
    x, _ = hazy(2)
    y = x @ np.arange(8.0) + np.random.default_rng(2).normal(0, 60, 60)
    expected = r2_score(y[VALIDATION], Ridge().fit(x[TRAIN], y[TRAIN]).predict(x[VALIDATION]))
    assert plain_figure(x, y, SPLIT, "regression", None) == pytest.approx(expected)
    # ... whatever their scale.
    assert plain_figure(x, 7 * y - 3, SPLIT, "regression", None) == pytest.approx(expected)


def test_the_columns_of_a_table_are_standardised_over_the_training_rows() -> None:
    x, y = hazy(3)
    x = x * np.geomspace(1e-3, 1e3, 8)
    expected = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(x[TRAIN], y[TRAIN])
    figure = plain_figure(x, y, SPLIT, "classification", None)
    assert figure == pytest.approx(expected.score(x[VALIDATION], y[VALIDATION]))
    bare = fit_quietly(LogisticRegression(max_iter=200), x[TRAIN], y[TRAIN])
    assert figure != pytest.approx(bare.score(x[VALIDATION], y[VALIDATION]))


def test_there_is_no_figure_without_validation_rows_or_for_numbers_that_are_all_the_same() -> None:
    x, y = hazy(2)
    assert math.isnan(plain_figure(x, y, Split(np.arange(60), np.arange(0), np.arange(0)), "classification", None))
    assert math.isnan(plain_figure(x, np.where(np.arange(60) < 40, x[:, 0], 1.0), SPLIT, "regression", None))
    assert math.isnan(r2(1.0, np.ones(3)))
    assert math.isnan(r2(1.0, np.ones(0)))


def test_r2_is_scikit_learns() -> None:
    truth, answers = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    assert r2(float(np.mean((truth - answers) ** 2)), truth) == pytest.approx(r2_score(truth, answers))


def test_nothing_is_random(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = hazy(3)
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    assert plain_figure(x, y, SPLIT, "classification", None) == plain_figure(x, y, SPLIT, "classification", None)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("task", ["classification", "one-vs-rest", "ordinal", "multi-label"])
def test_a_better_head_is_named_with_its_rows_and_its_share(task: Any) -> None:
    found = did_better(task, 77, [66 / 77], [70 / 77])
    assert found is not None
    assert (found.name, found.metric) == ("logistic regression", "accuracy")
    assert found.points == pytest.approx(100 * 4 / 77)
    assert found.sentence == (
        "On the 77 validation rows logistic regression is right on 70 (90.9 %), this head on 66 (85.7 %): "
        "prefer it unless you study the head."
    )


def test_a_level_or_better_quantum_head_is_not_spoken_of() -> None:
    level = float(np.float32(66 / 77))  # another rounding of the same count
    assert did_better("classification", 77, [level], [66 / 77]) is None
    assert did_better("classification", 77, [67 / 77], [66 / 77]) is None
    assert did_better("regression", 77, [0.5], [0.5005]) is None
    assert did_better("regression", 77, [0.5], [0.4]) is None


def test_numbers_are_compared_by_r2() -> None:
    found = did_better("regression", 30, [0.25], [0.5])
    assert found is not None
    assert (found.name, found.metric, found.points) == ("ridge regression", "r2", 25.0)
    assert found.sentence == (
        "On the 30 validation rows ridge regression reaches an R² of 0.500, this head 0.250: "
        "prefer it unless you study the head."
    )


def test_several_seeds_are_compared_in_the_mean_over_those_that_have_both_figures() -> None:
    found = did_better("classification", 10, [0.5, math.nan, 0.8], [0.8, 0.0, 0.7])
    assert found is not None
    assert found.points == pytest.approx(10.0)
    assert found.sentence == (
        "On the 10 validation rows (mean of 2 seeds) logistic regression is right on 7.5 (75.0 %), "
        "this head on 6.5 (65.0 %): prefer it unless you study the head."
    )
    assert did_better("classification", 10, [math.nan], [0.8]) is None
    assert did_better("regression", 10, [0.8], [math.nan]) is None
