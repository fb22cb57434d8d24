"""A saved experiment: its files, its picture, and what goes once it is safe."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.experiments import SEEDS, SHAPE, TRAINING, clouds, run

from hilbertune.data.splits import few_shot_split
from hilbertune.errors import HilbertuneError, MissingExtraError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.model import members
from hilbertune.study import experiment, picture
from hilbertune.study.experiment import Examples
from hilbertune.study.outcome import CURVES, save_outcome

pytestmark = pytest.mark.usefixtures("cache")


def test_the_checkpoint_goes_when_the_outcome_is_saved_and_not_before(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = members.train

    def train(*arguments: Any, **options: Any) -> Any:
        return real(*arguments, checkpoint_seconds=0.0, **options)

    monkeypatch.setattr(members, "train", train)
    outcome = run()
    (tmp_path / "taken").write_text("something")
    with pytest.raises(HilbertuneError):
        save_outcome(outcome, tmp_path / "taken", title="")
    assert len(list((cache / "checkpoints").iterdir())) == 1
    save_outcome(outcome, tmp_path / "model", title="")
    assert list((cache / "checkpoints").iterdir()) == []


def test_the_curves_have_a_row_for_each_epoch_and_seed(tmp_path: Path) -> None:
    outcome = run()
    save_outcome(outcome, tmp_path / "model", title="a title")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "model/curves.csv").read_text())))
    assert [(int(r["epoch"]), int(r["seed"])) for r in rows] == [(epoch, seed) for epoch in range(4) for seed in SEEDS]
    for row in rows:
        run_index = SEEDS.index(int(row["seed"]))
        for name in CURVES:
            expected = getattr(outcome.training, name)[int(row["epoch"]), run_index]
            assert float(row[name]) == expected


def test_the_curves_of_an_ensemble_have_a_row_for_each_member_too(tmp_path: Path) -> None:
    outcome = run(training=replace(TRAINING, members=2))
    save_outcome(outcome, tmp_path / "model", title="a title")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "model/curves.csv").read_text())))
    who = [(int(r["epoch"]), int(r["seed"]), int(r["member"])) for r in rows]
    assert who == [(epoch, seed, member) for epoch in range(4) for seed in SEEDS for member in (1, 2)]
    for row, values in zip(rows, outcome.training.train_loss.ravel(), strict=True):
        assert float(row["train_loss"]) == values
    again = HybridClassifier.from_pretrained(tmp_path / "model")
    assert again.head_.members == 2
    assert (tmp_path / "model/picture.png").is_file()


def test_what_is_saved_is_the_answer_and_a_model(tmp_path: Path) -> None:
    outcome = run()
    answer = save_outcome(outcome, tmp_path / "model", title="100 $ and $_$ {")
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
    def absent(*_: object, **__: object) -> None:
        raise MissingExtraError("This needs the package 'matplotlib'.")

    monkeypatch.setattr(picture, "fit_figure", absent)
    answer = save_outcome(run(), tmp_path / "model", title="")
    assert answer["picture"] is False
    assert not (tmp_path / "model/picture.png").exists()
    assert (tmp_path / "model/model.safetensors").exists()


def test_a_picture_that_cannot_be_drawn_costs_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(picture, "fit_figure", lambda **_: 1 / 0)
    assert save_outcome(run(), tmp_path / "model", title="")["picture"] is False
    assert (tmp_path / "model/model.safetensors").exists()
    assert "division by zero" in caplog.text


def test_an_experiment_has_classes_beyond_two(tmp_path: Path) -> None:
    embeddings, labels = clouds(classes=3)
    splits = [few_shot_split(labels.tolist(), per_class=10, seed=s) for s in SEEDS]
    outcome = experiment.run_experiment(embeddings, Examples(labels, ["a", "b", "c"], splits, SEEDS), SHAPE, TRAINING)
    save_outcome(outcome, tmp_path / "model", title="three")
    again = HybridClassifier.from_pretrained(tmp_path / "model")
    assert again.predict_proba(embeddings).shape == (60, 3)
