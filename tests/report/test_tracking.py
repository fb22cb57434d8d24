"""Runs mirrored to trackers, read back by the trackers' own readers: curves, settings and figures, each run once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.report import tracking
from hilbertune.report.tracking import Mirror, TrackedRun

Run = Callable[..., tuple[int, str, str]]
RUN = TrackedRun(
    "hybrid, seed 0",
    "a group",
    {"qubits": 4, "learning_rate": 0.01, "merge": "average", "shots": None},
    {"train_loss": [0.7, 0.5, None], "validation_accuracy": [0.5, float("nan"), None]},
    {"test_accuracy": 0.9},
)


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    embeddings = rng.normal(size=(80, 8)) + 4 * labels[:, None] - 2
    np.savez(tmp_path / "x.npz", embeddings=embeddings, labels=labels)
    return tmp_path / "x.npz"


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def fit(run: Run, vectors: Path, out: Path, *flags: Any) -> dict[str, Any]:
    shape = "--qubits 4 --encoder-layers 1 --reuploads 4 --basis raw --projection truncate"
    small = f"--per-class 20 --test-rest --seeds 2 --epochs 4 {shape}".split()
    code, said, err = run("fit", "--embeddings", vectors, "--out", out, *small, *flags, "--json")
    assert code == 0, err
    figures: dict[str, Any] = json.loads(said)
    return figures


def test_tensorboard_reads_the_curves_and_figures_of_a_fit(run: Run, vectors: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    figures = fit(run, vectors, tmp_path / "model", "--tensorboard", logs)
    runs = sorted((logs / "model").iterdir())
    assert len(runs) == 2 * len(figures["table"])
    curves = np.genfromtxt(tmp_path / "model" / "curves.csv", delimiter=",", skip_header=1)
    for seed in range(2):
        read = scalars(next(p for p in runs if p.name.startswith(f"hybrid quantum head, seed {seed}")))
        own = curves[curves[:, 1] == seed]
        for name, column in (("train_loss", 2), ("validation_loss", 3), ("validation_accuracy", 4)):
            assert [step for step, _ in read[name]] == [1, 2, 3, 4]
            np.testing.assert_allclose([v for _, v in read[name]], own[:, column], rtol=1e-6)
        assert read["final/test_accuracy"][0][1] == pytest.approx(figures["table"][0]["accuracy"]["values"][seed])


def test_the_curve_of_an_ensemble_is_the_mean_of_its_members(run: Run, vectors: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    fit(run, vectors, tmp_path / "model", "--tensorboard", logs, "--members", 3, "--no-baselines")
    curves = np.genfromtxt(tmp_path / "model" / "curves.csv", delimiter=",", names=True)
    for seed in range(2):
        read = scalars(next(p for p in (logs / "model").iterdir() if f"seed {seed}" in p.name))
        own = curves[curves["seed"] == seed]
        wanted = [own["train_loss"][own["epoch"] == epoch].mean() for epoch in range(4)]
        np.testing.assert_allclose([value for _, value in read["train_loss"]], wanted, rtol=1e-6)


def test_mlflow_reads_them_too(run: Run, vectors: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    store = tmp_path / "runs.db"
    figures = fit(run, vectors, tmp_path / "model", "--mlflow", store)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{store}")
    group = client.get_experiment_by_name("model")
    named = {r.info.run_name: r for r in client.search_runs([group.experiment_id])}
    assert len(named) == 2 * len(figures["table"])
    one = named["hybrid quantum head, seed 1"]
    assert one.info.status == "FINISHED"
    assert one.data.params["qubits"] == "4"
    assert one.data.params["reuploads"] == "4"
    assert one.data.metrics["final_test_accuracy"] == figures["table"][0]["accuracy"]["values"][1]
    losses = client.get_metric_history(one.info.run_id, "train_loss")
    assert sorted(m.step for m in losses) == [1, 2, 3, 4]
    linear = named["logistic regression, seed 0"]
    assert linear.data.metrics["final_test_accuracy"] == figures["table"][1]["accuracy"]["values"][0]


def test_wandb_writes_them_without_a_network(
    vectors: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert tracking.copy_runs([RUN], tracking.mirrors(None, None, "project")) == []
    wandb.teardown()
    written = list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(written) == 1
    content = written[0].read_bytes()
    assert b"train_loss" in content
    assert b"test_accuracy" in content


def test_a_study_that_goes_on_mirrors_each_run_once(run: Run, vectors: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "s.yaml").write_text(
        """
title: t
seeds: 2
settings: {qubits: 4, encoder_layers: 1, epochs: 2, per_class: 20, basis: raw, projection: truncate}
arms:
  - {name: q, tune: {learning_rate: [0.01, 0.02]}}
  - {method: logistic regression}
"""
    )
    out = ["--out", tmp_path / "s", "--tensorboard", tmp_path / "logs"]
    study = ["study", tmp_path / "s.yaml", "--data", vectors, *out]
    for seeds, runs in ((1, 4), (1, 4), (2, 8)):
        code, _, err = run(*study, "--seeds", seeds)
        assert code == 0, err
        mirrored = sorted((tmp_path / "logs" / "s").iterdir())
        # Two trials of each method and seed; the chosen one of each was tested.
        assert len(mirrored) == runs
        tested = [p for p in mirrored if "final/test_accuracy" in scalars(p)]
        assert len(tested) == 2 * seeds
    assert all(len(scalars(p)["train_loss"]) == 2 for p in mirrored if p.name.startswith("hybrid"))


def test_what_is_none_or_nan_is_left_out(tmp_path: Path) -> None:
    assert tracking.copy_runs([RUN], tracking.mirrors(tmp_path, None, None)) == []
    read = scalars(next((tmp_path / "a group").iterdir()))
    assert read["train_loss"] == [(1, pytest.approx(0.7)), (2, 0.5)]
    assert read["validation_accuracy"] == [(1, 0.5)]


def test_a_tracker_that_fails_is_named_and_stops_nothing(tmp_path: Path) -> None:
    def refuse(run: TrackedRun) -> None:
        raise ConnectionError("connection\nrefused")

    seen: list[TrackedRun] = []
    said = tracking.copy_runs([RUN], [Mirror("server", refuse), Mirror("list", seen.append)])
    assert said == ["Runs could not be mirrored to server (connection refused); nothing else is lost."]
    assert seen == [RUN]


def test_a_store_that_cannot_be_used_is_refused_before_work(run: Run, vectors: Path, tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    store = f"sqlite:///{vectors}/a.db"
    code, _, err = run("fit", "--embeddings", vectors, "--out", tmp_path / "m", "--mlflow", store)
    assert code == 2
    assert "cannot be used" in err
    assert len(err.splitlines()) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(HilbertuneError, match="Cannot write"):
        tracking.mirrors(tmp_path / "file" / "logs", None, None)
