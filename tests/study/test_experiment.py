"""An experiment over seeds: its figures, and how it resumes after a crash."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.experiments import SEEDS, SHAPE, TRAINING, clouds, run, splits_of
from sklearn.linear_model import Ridge

from hilbertune.config.records import TrainingConfig
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.errors import HilbertuneError
from hilbertune.model import members
from hilbertune.model.evaluation import logits
from hilbertune.study import experiment
from hilbertune.study.experiment import Examples

pytestmark = pytest.mark.usefixtures("cache")


def test_the_saved_seed_is_the_best_on_validation() -> None:
    outcome = run()
    values = outcome.figures["validation_accuracy"]["values"]
    best = SEEDS.index(outcome.figures["saved_seed"])
    assert values[best] == max(values)
    embeddings, labels = clouds()
    test = splits_of(labels)[best].test
    predicted = logits(outcome.classifier.head_, embeddings[test]).argmax(1)
    expected = outcome.figures["test_accuracy"]["values"][best]
    assert (predicted == labels[test]).mean() == pytest.approx(expected)
    rows = splits_of(labels)[best].validation
    predicted = logits(outcome.classifier.head_, embeddings[rows]).argmax(1)
    assert (predicted == labels[rows]).mean() == pytest.approx(values[best])


def test_the_figures_can_be_written_as_json() -> None:
    figures = run(baselines=True).figures
    json.dumps(figures, allow_nan=False)
    assert figures["seeds"] == SEEDS
    assert figures["classes"] == ["bad", "good"]
    assert figures["rows"] == {"train": 25, "validation": 5, "test": 30}
    assert len(figures["table"]) == 5
    assert figures["table"][0]["parameters"] == figures["parameters"]
    assert figures["table"][-1]["parameters"] <= figures["parameters"]
    assert 0 < figures["training_seconds"] < figures["seconds"]


def test_progress_reaches_the_end_of_each_stage() -> None:
    shares: dict[str, list[float]] = {}
    run(baselines=True, progress=lambda stage, share: shares.setdefault(stage, []).append(share))
    assert list(shares) == ["training", "testing"]
    for values in shares.values():
        assert values == sorted(values)
        assert values[-1] == 1.0


def test_without_test_and_validation_rows_nothing_is_claimed() -> None:
    _, labels = clouds()
    bare = [Split(s.train, s.validation, s.test[:0]) for s in splits_of(labels, validation=0.0)]
    outcome = run(splits=bare, baselines=True)
    assert outcome.figures["test_accuracy"] is None
    assert outcome.figures["validation_accuracy"] is None
    assert outcome.figures["classical_did_better"] is None
    assert outcome.table == []
    json.dumps(outcome.figures, allow_nan=False)
    assert len(outcome.targets) == 30, "the picture shows the training rows"


def test_a_run_that_diverged_is_left_out_of_the_validation_accuracy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = members.train

    def train(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        result.validation_accuracy[:, 1] = np.nan
        return result

    monkeypatch.setattr(members, "train", train)
    figures = run().figures
    assert len(figures["validation_accuracy"]["values"]) == 2
    assert figures["saved_seed"] != SEEDS[1]
    json.dumps(figures, allow_nan=False)


def test_an_experiment_that_was_stopped_goes_on_to_the_same_weights(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run()
    real = members.train

    def train(*arguments: Any, **options: Any) -> Any:
        return real(*arguments, checkpoint_seconds=0.0, **options)

    monkeypatch.setattr(members, "train", train)

    def stop(stage: str, share: float) -> None:
        if share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(progress=stop)
    assert len(list((cache / "checkpoints").iterdir())) == 1
    shares: list[float] = []
    again = run(progress=lambda stage, share: shares.append(share))
    assert shares[0] == 0.75, "the first two of four epochs are not done again"
    for name, tensor in whole.classifier.head_.state_dict().items():
        assert torch.equal(again.classifier.head_.state_dict()[name], tensor), name


def test_numbers_are_compared_with_ridge_regression_on_validation() -> None:
    embeddings, _ = clouds()
    numbers = 30 + 7 * embeddings.astype(np.float64) @ np.arange(embeddings.shape[1])
    splits = [few_shot_split(numbers, per_class=None, seed=s, task="regression") for s in SEEDS]
    idle = TrainingConfig(task="regression", epochs=1, learning_rate=1e-6)
    figures = experiment.run_experiment(embeddings, Examples(numbers, [], splits, SEEDS), SHAPE, idle).figures
    found = figures["classical_did_better"]
    assert (found["name"], found["metric"]) == ("ridge regression", "r2")
    ridge = [
        Ridge().fit(embeddings[s.train], numbers[s.train]).score(embeddings[s.validation], numbers[s.validation])
        for s in splits
    ]
    assert f"ridge regression reaches an R² of {np.mean(ridge):.3f}, this head" in found["sentence"]
    # The untrained head is next to a constant.
    assert found["points"] > 100 * np.mean(ridge) - 50


def test_an_embedding_that_does_not_fit_is_refused() -> None:
    embeddings, labels = clouds()
    wide = np.concatenate([embeddings, embeddings], axis=1)
    with pytest.raises(HilbertuneError, match="does not fit the 7 amplitudes of 3 qubits"):
        experiment.run_experiment(wide, Examples(labels, [0, 1], splits_of(labels), SEEDS), SHAPE, TRAINING)


def test_each_seed_of_an_ensemble_is_tested_as_a_whole_and_the_best_is_kept_whole() -> None:
    ensembles = replace(TRAINING, members=3)
    outcome = run(training=ensembles)
    figures, (embeddings, labels) = outcome.figures, clouds()
    singles = run().figures
    assert figures["parameters"] == 3 * singles["parameters"] == figures["table"][0]["parameters"]
    assert outcome.training.train_loss.shape == (4, 9)
    for run_, (seed, split) in enumerate(zip(SEEDS, splits_of(labels), strict=True)):
        single = experiment.run_experiment(
            embeddings, Examples(labels, ["bad", "good"], [split], [seed]), SHAPE, ensembles, baselines=False
        )
        for name in ("validation_accuracy", "test_accuracy"):
            assert single.figures[name]["values"] == [figures[name]["values"][run_]]
        answers = logits(single.classifier.head_, embeddings[split.validation]).argmax(1)
        assert figures["validation_accuracy"]["values"][run_] == (answers == labels[split.validation]).mean()
        if seed == figures["saved_seed"]:
            kept = outcome.classifier.head_.state_dict()
            assert all(torch.equal(kept[k], v) for k, v in single.classifier.head_.state_dict().items())
    assert figures["validation_accuracy"]["values"] != singles["validation_accuracy"]["values"]
