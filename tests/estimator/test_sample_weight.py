"""Weights of rows behind scikit-learn's interface: boosting, routing, rows left out, refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, VotingClassifier
from sklearn.model_selection import cross_validate
from sklearn.utils.validation import has_fit_parameter

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor

SMALL: dict[str, Any] = {"qubits": 3, "encoder_layers": 1, "layers": 1, "reuploads": 1, "epochs": 3}
X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.where(X[:, 0] > 0, "up", "down")
W = np.random.default_rng(1).uniform(0.1, 5, 40)


def same(one: HybridEstimator, other: HybridEstimator) -> bool:
    """Return True for heads that are equal bit for bit."""
    return all(
        np.array_equal(a.numpy(), b.numpy())
        for a, b in zip(one.head_.state_dict().values(), other.head_.state_dict().values(), strict=True)
    )


def fitted(kind: type = HybridClassifier, rows: Any = slice(None), weights: Any = None, **changes: Any) -> Any:
    targets = Y if kind is HybridClassifier else X[:, 0] * 3 + 1
    return kind(**{**SMALL, **changes}).fit(X[rows], targets[rows], weights)


@pytest.mark.parametrize("kind", [HybridClassifier, HybridRegressor])
def test_weights_that_are_all_the_same_are_no_weights(kind: type) -> None:
    plain = fitted(kind)
    for weights in (np.ones(40), np.full(40, 1e-9), 7, [2] * 40, pd.Series(np.ones(40), index=range(50, 90))):
        assert same(plain, fitted(kind, weights=weights))
    assert not same(plain, fitted(kind, weights=W))


@pytest.mark.parametrize("kind", [HybridClassifier, HybridRegressor])
def test_rows_of_weight_0_are_left_out_bit_for_bit(kind: type) -> None:
    kept = np.arange(40) % 4 > 0
    assert same(fitted(kind, kept), fitted(kind, weights=kept.astype(float)))
    assert same(fitted(kind, kept, W[kept]), fitted(kind, weights=np.where(kept, W, 0)))
    assert same(fitted(kind, weights=W), fitted(kind, weights=(W * 2**40).tolist()))


def test_a_heavy_class_is_answered_more_often() -> None:
    x = np.random.default_rng(5).normal(size=(60, 3))
    y = np.random.default_rng(6).integers(0, 2, 60)
    shares = [
        HybridClassifier(**{**SMALL, "epochs": 20, "learning_rate": 0.05})
        .fit(x, y, sample_weight=np.where(y == heavy, 20.0, 1.0))
        .predict(x)
        .mean()
        for heavy in (0, 1)
    ]
    assert shares[0] < 0.2 < 0.8 < shares[1]


def test_the_validation_accuracy_is_weighted() -> None:
    made = fitted(weights=W, keep="last")
    rows = fitted(keep="last")
    assert made.validation_accuracy_ != rows.validation_accuracy_
    # Six validation rows: the weighted share of those that are right is no multiple of a sixth.
    assert abs(made.validation_accuracy_ * 6 - round(made.validation_accuracy_ * 6)) > 1e-6 or (
        made.validation_accuracy_ in (0, 1)
    )


def test_it_is_boosted_bagged_and_voted_with() -> None:
    assert has_fit_parameter(HybridClassifier(), "sample_weight")
    assert has_fit_parameter(HybridRegressor(), "sample_weight")
    model = HybridClassifier(**{**SMALL, "epochs": 15, "learning_rate": 0.05})
    boosted = AdaBoostClassifier(estimator=model, n_estimators=3, random_state=0).fit(X, Y)
    assert boosted.score(X, Y) > 0.8
    bagged = BaggingClassifier(estimator=model, n_estimators=2, random_state=0).fit(X, Y, sample_weight=W)
    assert set(bagged.predict(X)) <= set(Y)
    voted = VotingClassifier([("a", model), ("b", HybridClassifier(**SMALL, random_state=1))], voting="soft")
    assert voted.fit(X, Y, sample_weight=W).predict_proba(X).shape == (40, 2)


def test_weights_are_routed() -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        model = HybridClassifier(**SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        found = cross_validate(model, X, Y, params={"sample_weight": W}, cv=2, return_estimator=True)
        plain = cross_validate(HybridClassifier(**SMALL), X, Y, cv=2, return_estimator=True)
    for weighted, other in zip(found["estimator"], plain["estimator"], strict=True):
        assert not same(weighted, other)


@pytest.mark.parametrize("kind", [HybridClassifier, HybridRegressor])
@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (np.ones(39), r"shape \[39\]: give one weight for each of the 40 rows"),
        (np.ones((40, 1)), r"shape \[40, 1\]"),
        (-W, "hold negative numbers"),
        (np.zeros(40), "are all zero"),
        (0.0, "are all zero"),
        ([np.nan] * 40, "NaN"),
        ([np.inf] * 40, "infinity"),
        (["a"] * 40, "sample_weight holds no numbers, one a row: could not convert"),
        ("balanced", "sample_weight holds no numbers"),
        ({0: 1.0, 1: 2.0}, "sample_weight holds no numbers"),
    ],
)
def test_other_weights_are_refused_in_one_line(kind: type, weights: Any, sentence: str) -> None:
    with pytest.raises(HilbertuneError, match=sentence) as caught:
        fitted(kind, weights=weights)
    assert "\n" not in str(caught.value)


def test_texts_and_several_labels_are_weighted_too(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]]
) -> None:
    texts, labels = two_kinds
    settings = {**SMALL, "qubits": 5, "embedding": str(tiny_models["encoder"])}
    kept = np.arange(24) % 3 > 0
    some = [text for text, keep in zip(texts, kept, strict=True) if keep]
    made = HybridClassifier(**settings).fit(texts, labels, sample_weight=kept)
    assert same(made, HybridClassifier(**settings).fit(some, np.array(labels)[kept]))
    table = (X > 0).astype(int)
    many = HybridClassifier(**SMALL, task="multi-label").fit(X, table, sample_weight=np.arange(40))
    assert same(many, HybridClassifier(**SMALL, task="multi-label").fit(X[1:], table[1:], np.arange(1, 40)))


def test_a_base_that_learns_is_weighted_or_refuses(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]]
) -> None:
    texts, labels = two_kinds
    settings = {**SMALL, "qubits": 5, "embedding": str(tiny_models["encoder"]), "tuning_epochs": 1}
    weights = np.where(np.array(labels) == "positive", 30.0, 1.0)
    plain, weighted = (HybridClassifier(**settings, tune="joint").fit(texts, labels, w) for w in (None, weights))
    shares = [model.predict_proba(texts)[:, 1].mean() for model in (plain, weighted)]
    assert shares[1] > shares[0] + 0.02
    with pytest.raises(HilbertuneError, match="draws pairs of rows, which have no weights"):
        HybridClassifier(**settings, tune="contrastive").fit(texts, labels, weights)
