"""Estimators as a newcomer meets them: what is left to the data is chosen, kept in the model, and learns."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.weights import inexact
from sklearn.datasets import load_iris, load_wine, make_circles
from sklearn.utils.estimator_checks import parametrize_with_checks

from hilbertune.config.automatic import AUTOMATIC, DECLARED
from hilbertune.config.records import PRESETS, HeadConfig, TrainingConfig
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor


@parametrize_with_checks([HybridClassifier(), HybridRegressor()], expected_failed_checks=inexact)
def test_scikit_learns_contract_is_kept(estimator: Any, check: Any, unchecked: None) -> None:
    check(estimator)


def test_parameters_say_auto_and_the_fitted_model_what_was_chosen(tmp_path: Path) -> None:
    X, y = load_iris(return_X_y=True)
    made = HybridClassifier(epochs=2, reuploads=2).fit(X, y)
    assert {name: getattr(made, name) for name in AUTOMATIC} == {**dict.fromkeys(AUTOMATIC, "auto"), "reuploads": 2}
    head, training = made.head_.config, made.training_config_
    assert (head.qubits, head.encoder_layers, head.reuploads, head.norm, head.scale) == (4, 24, 2, "keep", "none")
    assert (training.schedule, training.keep, training.training_shots) == ("one-cycle", "last", 1024)
    made.save_pretrained(tmp_path / "model")
    saved = json.loads((tmp_path / "model" / "config.json").read_bytes())
    assert "auto" not in [*saved["head"].values(), *saved["training"].values()]
    again = HybridClassifier.from_pretrained(tmp_path / "model")
    assert (again.qubits, again.norm, again.training_shots) == (4, "keep", 1024)
    assert again.head_.config == head
    np.testing.assert_array_equal(again.predict_proba(X), made.predict_proba(X))


def test_two_circles_are_told_apart() -> None:
    X, y = make_circles(300, noise=0.08, factor=0.5, random_state=0)
    made = HybridClassifier(random_state=0).fit(X[:200], y[:200])
    assert made.head_.config.norm == "keep"
    assert made.score(X[200:], y[200:]) > 0.9
    blind = HybridClassifier(random_state=0, norm="drop").fit(X[:200], y[:200])
    assert blind.score(X[200:], y[200:]) < 0.7


@pytest.mark.parametrize("features", [1, 2, 13, 1024, 1500])
def test_rows_of_any_width_are_taken(features: int) -> None:
    rng = np.random.default_rng(0)
    X, y = (rng.random((40, features)) < 0.3).astype(np.float32), np.arange(40) % 2
    X[:, 0] = y
    made = HybridClassifier(epochs=1).fit(X, y)
    assert made.head_.config.qubits == (8 if features >= 1024 else 4)
    assert made.predict_proba(X).shape == (40, 2)


def test_tables_of_all_kinds_are_taken() -> None:
    for X, y in (load_iris(return_X_y=True), load_wine(return_X_y=True)):
        assert HybridClassifier(epochs=1).fit(X, y).predict(X).shape == y.shape
        assert HybridRegressor(epochs=1).fit(X[:, 1:], X[:, 0]).predict(X[:, 1:]).shape == y.shape
        several = np.eye(3, dtype=int)[y] | np.eye(3, dtype=int)[(y + 1) % 3]
        assert HybridClassifier(epochs=1, task="multi-label").fit(X, several).predict(X).shape == several.shape
        assert HybridClassifier(epochs=1, task="ordinal", members=2).fit(X, y).predict_proba(X).shape == (len(y), 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder": "linear"},
        {"encoder": "pca"},
        {"encoder": "pca", "encoders": 2, "merge": "average"},
        {"head": "none"},
        {"head": "dense"},
        {"encoders": 2},
        {"encoders": 3, "merge": "alternate"},
        {"projection": "random"},
        {"projection": "trainable", "qubits": 3},
        {"padding": "zero"},
        {"final_linear": False},
        {"frozen": True},
        {"patience": 1},
        {"shots": 20},
        {"gradient": "spsa"},
        {"two_qubit_error": 0.01},
        {"class_weight": {0: 2.0}},
        {"learning_rate_decay": 0.9},
    ],
    ids=str,
)
def test_whatever_is_given_the_rest_goes_with_it(settings: dict[str, Any]) -> None:
    X, y = load_wine(return_X_y=True)
    made = HybridClassifier(epochs=1, encoder_layers=1, **settings).fit(X[:80], y[:80])
    used = {**made.head_.config.to_dict(), **made.training_config_.to_dict()}
    wanted = {**settings, **({"class_weight": (2.0, 1.0)} if "class_weight" in settings else {})}
    assert {name: used[name] for name in settings} == wanted


def test_a_row_of_zeros_is_a_row_where_its_length_is_kept() -> None:
    X, y = make_circles(60, noise=0.05, factor=0.5, random_state=0)
    X[7] = 0
    made = HybridClassifier(epochs=1, padding="zero").fit(X, y)
    assert made.head_.config.norm == "keep"
    assert np.isfinite(made.predict_proba(0 * X)).all()
    with pytest.raises(HilbertuneError, match=r"Row 8 .* nothing but zeros"):
        HybridClassifier(epochs=1, padding="zero", norm="drop").fit(X, y)


@pytest.mark.parametrize("kind", [HybridClassifier, HybridRegressor])
def test_a_preset_has_the_declared_training(kind: type[HybridEstimator]) -> None:
    made = kind.from_preset("published-374", epochs=3, layers=1)
    given = {**DECLARED, **PRESETS["published-374"].to_dict(), "epochs": 3, "layers": 1}
    assert {name: getattr(made, name) for name in given if name in made.get_params()} == {
        name: value for name, value in given.items() if name in made.get_params()
    }
    rng = np.random.default_rng(0)
    made.set_params(epochs=1).fit(rng.normal(size=(20, 6)), np.arange(20) % 2)  # type: ignore[attr-defined]
    assert made.head_.config == HeadConfig(**{**PRESETS["published-374"].to_dict(), "layers": 1})
    task = made.training_config_.task
    assert made.training_config_ == TrainingConfig(task=task, epochs=1)
    with pytest.raises(HilbertuneError, match="There is no preset 'published'"):
        kind.from_preset("published")


def test_impossible_parameters_are_refused_before_the_rows_are_read() -> None:
    with pytest.raises(HilbertuneError, match="qubits must be int, not 'ten'"):
        HybridClassifier(qubits="ten").fit("no rows at all", None)
    with pytest.raises(HilbertuneError, match="keep='last' validation chooses no epoch"):
        HybridClassifier(keep="last", patience=3).fit("no rows at all", None)
