"""The remark at the end of a fit: said when a plain classical head did better, and only then."""

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score

from hilbertune.data.splits import few_shot_split
from hilbertune.estimator import classical
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor

# A head that cannot learn: its angles are frozen, and one step of training moves its readout next to nothing.
IDLE: dict[str, Any] = {
    "qubits": 4,
    "encoder_layers": 1,
    "encoder_connectivity": 2,
    "frozen": True,
    "epochs": 1,
    "learning_rate": 1e-6,
}


def lines(classes: int = 2, rows: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Rows that a plane parts well but not wholly."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % classes
    return 2 * rng.normal(size=(classes, 6))[y] + rng.normal(size=(rows, 6)), y


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "hilbertune"]


def test_a_better_classical_head_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    X, y = lines()
    made = HybridClassifier(**IDLE, random_state=3).fit(X, y)
    split = few_shot_split(y, per_class=None, validation=0.15, seed=3)
    regression = LogisticRegression().fit(X[split.train], y[split.train])
    expected = regression.score(X[split.validation], y[split.validation])
    assert made.classical_validation_accuracy_ == pytest.approx(expected)
    assert made.validation_accuracy_ < expected
    right = [round(12 * figure) for figure in (expected, made.validation_accuracy_)]
    assert said(caplog) == [
        f"On the 12 validation rows logistic regression is right on {right[0]} ({100 * right[0] / 12:.1f} %), "
        f"this head on {right[1]} ({100 * right[1] / 12:.1f} %): prefer it unless you study the head."
    ]
    assert caplog.records[-1].levelno == logging.WARNING


def test_a_head_that_is_level_is_not_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = 4 * rng.normal(size=(2, 6))[y] + rng.normal(size=(60, 6))
    made = HybridClassifier(qubits=4, epochs=12, batch_size=64, learning_rate=0.2).fit(X, y)
    assert made.validation_accuracy_ == made.classical_validation_accuracy_ == 1.0
    assert said(caplog) == []


def test_without_validation_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    X, y = lines()
    assert math.isnan(HybridClassifier(**IDLE, validation=0).fit(X, y).classical_validation_accuracy_)
    assert math.isnan(HybridRegressor(**IDLE, validation=0).fit(X, X[:, 0]).classical_validation_r2_)
    assert said(caplog) == []


def test_numbers_are_compared_by_r2_in_their_own_units(caplog: pytest.LogCaptureFixture) -> None:
    X, _ = lines()
    y = 1000 + 50 * X @ np.arange(6.0)
    made = HybridRegressor(**IDLE).fit(X, y)
    split = few_shot_split(y, per_class=None, validation=0.15, seed=0, task="regression")
    truth = y[split.validation]
    expected = r2_score(truth, Ridge().fit(X[split.train], y[split.train]).predict(X[split.validation]))
    assert made.classical_validation_r2_ == pytest.approx(expected, abs=1e-4)
    own = r2_score(truth, made.predict(X[split.validation]))
    assert said(caplog) == [
        f"On the 12 validation rows ridge regression reaches an R² of {expected:.3f}, this head {own:.3f}: "
        "prefer it unless you study the head."
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "one-vs-rest"},
        {"task": "ordinal", "class_weight": (1.0, 2.0, 3.0)},
        {"class_weight": {"b": 3.0}},
        {"class_weight": "balanced"},
        {"shots": 16},
    ],
    ids=str,
)
def test_every_way_to_learn_classes_is_compared(changes: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    X, y = lines(3)
    made = HybridClassifier(**IDLE, **changes).fit(X, np.array(["a", "b", "c"])[y])
    assert made.classical_validation_accuracy_ > made.validation_accuracy_
    (sentence,) = said(caplog)
    assert f"this head on {round(12 * made.validation_accuracy_)} " in sentence


def test_rows_with_several_labels_are_right_if_all_labels_are(caplog: pytest.LogCaptureFixture) -> None:
    X, y = lines(3)
    made = HybridClassifier(**IDLE, task="multi-label", class_weight=(1.0, 2.0, 1.0)).fit(X, np.eye(3, dtype=int)[y])
    assert made.classical_validation_accuracy_ > made.validation_accuracy_
    (sentence,) = said(caplog)
    assert sentence.startswith("On the 12 validation rows logistic regression is right on ")


def test_texts_are_compared_by_their_embeddings(tiny_models: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    texts = [f"{word} film w{n}" for n in range(20) for word in ("good", "bad")]
    made = HybridClassifier(**IDLE, projection="truncate", embedding=str(tiny_models["encoder"])).fit(
        texts, [1, 0] * 20
    )
    vectors, y = made.embedder().embed(texts), np.array([1, 0] * 20)
    split = few_shot_split(y, per_class=None, validation=0.15, seed=0)
    expected = LogisticRegression().fit(vectors[split.train], y[split.train])
    assert made.classical_validation_accuracy_ == pytest.approx(
        expected.score(vectors[split.validation], y[split.validation])
    )


def test_pairs_of_texts_are_compared_too(tiny_models: dict[str, Path]) -> None:
    pairs = [(f"{word} film w{n}", "film") for n in range(10) for word in ("good", "bad")]
    made = HybridClassifier(**IDLE, projection="truncate", embedding=str(tiny_models["encoder"])).fit(
        pairs, [1, 0] * 10
    )
    assert 0 <= made.classical_validation_accuracy_ <= 1


def test_a_tuned_base_serves_the_classical_head_too(tiny_models: dict[str, Path]) -> None:
    texts = [f"{word} film w{n}" for n in range(20) for word in ("good", "bad")]
    y = np.array([1, 0] * 20)
    made = HybridClassifier(
        **IDLE, projection="truncate", embedding=str(tiny_models["encoder"]), tune="contrastive"
    ).fit(texts, y)
    vectors = made.embedder().embed(texts)
    split = few_shot_split(y, per_class=None, validation=0.15, seed=0)
    expected = LogisticRegression().fit(vectors[split.train], y[split.train])
    assert made.classical_validation_accuracy_ == pytest.approx(
        expected.score(vectors[split.validation], y[split.validation])
    )


def test_the_comparison_changes_no_result_and_no_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = lines()
    states: list[tuple[Any, ...]] = []
    compare = classical.compare

    def watched(*arguments: Any) -> None:
        def state() -> tuple[Any, ...]:
            return np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()  # type: ignore[union-attr]

        before = state()
        compare(*arguments)
        states.append((before, state()))

    monkeypatch.setattr(classical, "compare", watched)
    with_it = HybridClassifier(**{**IDLE, "frozen": False, "shots": 8, "epochs": 2}).fit(X, y)
    assert states
    assert all(before == after for before, after in states)
    monkeypatch.setattr(classical, "compare", lambda *_: None)
    without = HybridClassifier(**{**IDLE, "frozen": False, "shots": 8, "epochs": 2}).fit(X, y)
    assert with_it.validation_accuracy_ == without.validation_accuracy_
    for name, tensor in without.head_.state_dict().items():
        assert torch.equal(with_it.head_.state_dict()[name], tensor), name


def test_of_several_processes_one_speaks(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = lines()
    monkeypatch.setattr(classical.processes, "is_first", lambda: False)
    made = HybridClassifier(**IDLE, random_state=3).fit(X, y)
    assert made.classical_validation_accuracy_ > made.validation_accuracy_
    assert said(caplog) == []
