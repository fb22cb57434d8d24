"""An experiment over seeds: its figures, its files, and going on after a crash."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.errors import HilbertuneError, MissingExtraError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.model.evaluation import logits
from hilbertune.study import experiment

SHAPE = HeadConfig(qubits=3, encoder_connectivity=2, reuploads=1, basis="raw")
TRAINING = TrainingConfig(epochs=4, learning_rate=0.05)
SEEDS = [3, 4, 5]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def clouds(rows: int = 60, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    centres = rng.normal(size=(classes, 6))
    return (centres[labels] + rng.normal(size=(rows, 6))).astype(np.float32), labels


def splits_of(labels: np.ndarray, **options: Any) -> list[Split]:
    return [few_shot_split(labels.tolist(), per_class=15, seed=s, **options) for s in SEEDS]


def run(**options: Any) -> experiment.Outcome:
    embeddings, labels = clouds()
    given = {"splits": splits_of(labels), "training": TRAINING, "baselines": False, **options}
    splits, training = given.pop("splits"), given.pop("training")
    return experiment.run_experiment(embeddings, labels, ["bad", "good"], splits, SEEDS, SHAPE, training, **given)


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
    assert outcome.table == []
    json.dumps(outcome.figures, allow_nan=False)
    assert len(outcome.targets) == 30, "the picture shows the training rows"


def test_a_run_that_diverged_is_left_out_of_the_validation_accuracy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = experiment.train

    def train(*arguments: Any, **options: Any) -> Any:
        result = real(*arguments, **options)
        result.validation_accuracy[:, 1] = np.nan
        return result

    monkeypatch.setattr(experiment, "train", train)
    figures = run().figures
    assert len(figures["validation_accuracy"]["values"]) == 2
    assert figures["saved_seed"] != SEEDS[1]
    json.dumps(figures, allow_nan=False)


def test_the_checkpoint_goes_when_the_outcome_is_saved_and_not_before(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = experiment.train

    def train(*arguments: Any, **options: Any) -> Any:
        return real(*arguments, checkpoint_seconds=0.0, **options)

    monkeypatch.setattr(experiment, "train", train)
    outcome = run()
    (tmp_path / "taken").write_text("something")
    with pytest.raises(HilbertuneError):
        experiment.save(outcome, tmp_path / "taken", title="")
    assert len(list((cache / "checkpoints").iterdir())) == 1
    experiment.save(outcome, tmp_path / "model", title="")
    assert list((cache / "checkpoints").iterdir()) == []


def test_an_experiment_that_was_stopped_goes_on_to_the_same_weights(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run()
    real = experiment.train

    def train(*arguments: Any, **options: Any) -> Any:
        return real(*arguments, checkpoint_seconds=0.0, **options)

    monkeypatch.setattr(experiment, "train", train)

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


def test_the_curves_have_a_row_for_each_epoch_and_seed(tmp_path: Path) -> None:
    outcome = run()
    experiment.save(outcome, tmp_path / "model", title="a title")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "model/curves.csv").read_text())))
    assert [(int(r["epoch"]), int(r["seed"])) for r in rows] == [(epoch, seed) for epoch in range(4) for seed in SEEDS]
    for row in rows:
        run_index = SEEDS.index(int(row["seed"]))
        for name in experiment.CURVES:
            expected = getattr(outcome.training, name)[int(row["epoch"]), run_index]
            assert float(row[name]) == expected


def test_what_is_saved_is_the_answer_and_a_model(tmp_path: Path) -> None:
    outcome = run()
    answer = experiment.save(outcome, tmp_path / "model", title="100 $ and $_$ {")
    assert answer["out"] == str(tmp_path / "model")
    assert answer["picture"] is True
    written = json.loads((tmp_path / "model/results.json").read_bytes())
    assert written == outcome.figures
    again = HybridClassifier.from_pretrained(tmp_path / "model")
    embeddings, _ = clouds()
    np.testing.assert_array_equal(again.predict_proba(embeddings), outcome.classifier.predict_proba(embeddings))
    assert again.predict(embeddings).dtype.kind == "U"
    config = json.loads((tmp_path / "model/config.json").read_bytes())
    assert config["results"]["saved_seed"] == outcome.figures["saved_seed"]
    assert "packages" in json.loads((tmp_path / "model/environment.json").read_bytes())


def test_without_matplotlib_there_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hilbertune.study import picture

    def absent(*_: object, **__: object) -> None:
        raise MissingExtraError("This needs the package 'matplotlib'.")

    monkeypatch.setattr(picture, "draw_fit", absent)
    answer = experiment.save(run(), tmp_path / "model", title="")
    assert answer["picture"] is False
    assert not (tmp_path / "model/picture.png").exists()
    assert (tmp_path / "model/model.safetensors").exists()


def test_an_experiment_has_classes_beyond_two(tmp_path: Path) -> None:
    embeddings, labels = clouds(classes=3)
    splits = [few_shot_split(labels.tolist(), per_class=10, seed=s) for s in SEEDS]
    outcome = experiment.run_experiment(embeddings, labels, ["a", "b", "c"], splits, SEEDS, SHAPE, TRAINING)
    experiment.save(outcome, tmp_path / "model", title="three")
    again = HybridClassifier.from_pretrained(tmp_path / "model")
    assert again.predict_proba(embeddings).shape == (60, 3)


def test_an_embedding_that_does_not_fit_is_refused() -> None:
    embeddings, labels = clouds()
    wide = np.concatenate([embeddings, embeddings], axis=1)
    with pytest.raises(HilbertuneError, match="does not fit the 7 amplitudes of 3 qubits"):
        experiment.run_experiment(wide, labels, [0, 1], splits_of(labels), SEEDS, SHAPE, TRAINING)
