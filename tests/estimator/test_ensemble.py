"""Ensembles behind the estimators: figures of the average, one directory, refusals."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.declared import declared
from helpers.weights import inexact
from sklearn.utils.estimator_checks import parametrize_with_checks

from hilbertune.config.records import HeadConfig, Task, TrainingConfig
from hilbertune.data.splits import few_shot_split
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.directory import load_pretrained
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.model.callbacks import Callback
from hilbertune.model.layers import HybridHead

SMALL: dict[str, Any] = {
    **declared(qubits=4, encoder_layers=2, reuploads=1, learning_rate=0.2),
    "encoder_connectivity": 2,
    "layers": 1,
    "epochs": 12,
    "batch_size": 64,
}
X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


def answers_to(task: Task) -> np.ndarray:
    if task == "regression":
        return 100 + 20 * X[:, 0].astype(np.float64)
    return (X[:, :3] > 0).astype(np.int64) if task == "multi-label" else np.digitize(X[:, 0], [-0.4, 0.4])


def fitted(task: Task = "classification", **changes: Any) -> Any:
    settings = {**SMALL, "epochs": 3, "members": 3, "random_state": 4, **changes}
    if task == "regression":
        return HybridRegressor(**settings).fit(X, answers_to(task))
    return HybridClassifier(task=task, **settings).fit(X, answers_to(task))


def answers_of(model: HybridEstimator) -> np.ndarray:
    return model.predict_proba(X) if isinstance(model, HybridClassifier) else model.predict(X)


def members_of(model: Any) -> list[Any]:
    """Return an estimator around each member alone."""
    training = TrainingConfig(task=model.task_)
    heads = [model.head_.member(number) for number in range(model.members)]
    if model.task_ == "regression":
        return [HybridRegressor.from_head(head, training, None) for head in heads]
    return [HybridClassifier.from_head(head, training, model.classes_.tolist(), None) for head in heads]


@parametrize_with_checks(
    [HybridClassifier(**SMALL, members=2), HybridRegressor(**SMALL, members=2, bootstrap=True)],
    expected_failed_checks=inexact,
)
def test_scikit_learns_contract_is_kept(estimator: Any, check: Any, unchecked: None) -> None:
    check(estimator)


@pytest.mark.parametrize("task", ["classification", "multi-label", "regression"])
def test_the_answer_is_the_mean_of_the_members_answers(task: Task) -> None:
    model = fitted(task)
    each = [answers_of(one) for one in members_of(model)]
    np.testing.assert_allclose(answers_of(model), np.mean(each, axis=0), rtol=1e-6)
    assert np.std(each, axis=0).max() > 0.01
    assert model.training_.train_loss.shape == (3, 3)


def test_the_decision_is_the_log_odds_of_the_mean_probability() -> None:
    model = HybridClassifier(**SMALL, members=3).fit(X, X[:, 0] > 0)
    chances = np.mean([one.predict_proba(X)[:, 1] for one in members_of(model)], axis=0)
    np.testing.assert_allclose(model.decision_function(X), np.log(chances / (1 - chances)), atol=1e-5)


def test_the_validation_accuracy_is_that_of_the_average() -> None:
    model, y = fitted(), answers_to("classification")
    rows = few_shot_split(y, per_class=None, validation=0.15, seed=4).validation
    assert model.validation_accuracy_ == model.score(X[rows], y[rows])
    assert np.isnan(fitted(validation=0.0).validation_accuracy_)


@pytest.mark.parametrize("task", get_args(Task))
def test_a_loaded_ensemble_gives_the_same_bits(task: Task, tmp_path: Path) -> None:
    model = fitted(task, bootstrap=True)
    folder = model.save_pretrained(tmp_path / "model")
    again = load_pretrained(folder)
    np.testing.assert_array_equal(answers_of(again), answers_of(model))
    assert (again.members, again.bootstrap, again.head_.members) == (3, True, 3)
    config = json.loads((folder / "config.json").read_bytes())
    assert config["training"]["members"] == 3
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    assert {len(tensor) for tensor in tensors.values()} == {3}
    assert config["parameters"] == sum(tensor.numel() for tensor in tensors.values())
    what = "values" if task == "regression" else "probabilities"
    assert f"3 heads, {what} averaged." in (folder / "README.md").read_text()


def test_a_single_heads_directory_says_nothing_of_members(tmp_path: Path) -> None:
    folder = fitted(members=1).save_pretrained(tmp_path / "model")
    assert not {"members", "bootstrap"} & set(json.loads((folder / "config.json").read_bytes())["training"])
    assert "averaged" not in (folder / "README.md").read_text()


@pytest.mark.parametrize("damage", ["fewer members", "more members", "truncated"])
def test_a_file_that_does_not_fit_its_config_is_refused(damage: str, tmp_path: Path) -> None:
    folder = fitted().save_pretrained(tmp_path / "model")
    config, weights = folder / "config.json", folder / "model.safetensors"
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-8])
    else:
        count = 2 if damage == "fewer members" else 4
        config.write_text(config.read_text().replace('"members": 3', f'"members": {count}'))
    with pytest.raises(HilbertuneError, match="missing, truncated or does not belong to its config"):
        HybridClassifier.from_pretrained(folder)


def test_a_head_of_other_members_than_its_settings_is_refused() -> None:
    head = HybridHead(5, 2, HeadConfig(qubits=3), runs=2)
    with pytest.raises(HilbertuneError, match="select one model"):
        HybridClassifier.from_head(head, TrainingConfig(), [0, 1], None)
    with pytest.raises(HilbertuneError, match="A model of 2 members"):
        HybridClassifier.from_head(head, TrainingConfig(members=2), [0, 1], None)


@pytest.mark.parametrize("tune", ["joint", "contrastive+joint"])
def test_members_do_not_learn_together_with_a_base(tune: str) -> None:
    with pytest.raises(HilbertuneError, match=r"members share a base"):
        HybridClassifier(**SMALL, members=2, tune=tune).fit(["good", "bad"] * 10, [0, 1] * 10)


def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(bootstrap=True)
    settings = {**SMALL, "epochs": 3, "members": 3, "random_state": 4, "bootstrap": True}
    monkeypatch.setattr("time.monotonic", iter(range(0, 10**6, 10)).__next__)  # every epoch is worth a checkpoint

    class Interrupted(Callback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, /, **_: Any) -> None:
            if state.epoch == 2:
                raise KeyboardInterrupt

    class Seen(Callback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, /, **_: Any) -> None:
            done.append(state.epoch)

    file, y = tmp_path / "checkpoint", answers_to("classification")
    with pytest.raises(KeyboardInterrupt):
        HybridClassifier(**settings, callbacks=[Interrupted]).fit(X, y, checkpoint=file)
    done: list[float] = []
    again = HybridClassifier(**settings, callbacks=[Seen]).fit(X, y, checkpoint=file)
    assert done == [3]
    for name, tensor in whole.head_.state_dict().items():
        assert torch.equal(again.head_.state_dict()[name], tensor), name
    assert again.validation_accuracy_ == whole.validation_accuracy_
