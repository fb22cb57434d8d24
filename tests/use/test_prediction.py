"""Predictions of many rows: order, formats, resuming after a kill, and what is refused."""

import copy
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.use import prediction

SMALL = {"qubits": 5, "encoder_layers": 1, "layers": 1, "epochs": 2}


@pytest.fixture(scope="module")
def model(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path_factory: Any
) -> HybridClassifier:
    made = HybridClassifier(embedding=str(tiny_models["encoder"]), **SMALL).fit(*two_kinds)
    made.save_pretrained(tmp_path_factory.mktemp("model") / "model")
    return made


def many(path: Path, rows: int) -> list[str]:
    texts = [f"w{i % 30} {'good' if i % 3 else 'bad'} film w{i % 7}" for i in range(rows)]
    path.write_text("text\n" + "\n".join(texts) + "\n")
    return texts


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_every_row_is_answered_in_order(model: HybridClassifier, tmp_path: Path, suffix: str) -> None:
    texts = many(tmp_path / "in.csv", 25)
    out = tmp_path / f"out{suffix}"
    found = prediction.predict_file(model, str(tmp_path / "in.csv"), out, chunk=8)
    assert found.rows == 25
    assert found.to_dict()["rows_per_second"] > 0
    assert 0 < found.to_dict()["head_share"] < 1
    lines = out.read_text().splitlines()
    if suffix == ".jsonl":
        rows = [json.loads(line) for line in lines]
    elif suffix == ".csv":
        rows = list(csv.DictReader(lines))
    else:
        rows = [dict(zip(("label", "probability"), line.split("\t"), strict=True)) for line in lines]
    assert [row["label"] for row in rows] == model.predict(texts).tolist()
    expected = model.predict_proba(texts).max(axis=1)
    np.testing.assert_allclose([float(row["probability"]) for row in rows], expected, atol=1e-6)
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(["in.csv", out.name])


class Killed(Exception):
    pass


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("moment", [1, 2, 3])
def test_a_stopped_run_ends_with_the_same_bytes(
    model: HybridClassifier, tmp_path: Path, moment: int, suffix: str
) -> None:
    many(tmp_path / "in.csv", 30)
    source = str(tmp_path / "in.csv")
    prediction.predict_file(model, source, tmp_path / f"whole{suffix}", chunk=8)
    out = tmp_path / f"out{suffix}"

    def stop(found: prediction.Throughput) -> None:
        if found.rows >= 8 * moment:
            raise Killed

    with pytest.raises(Killed):
        prediction.predict_file(model, source, out, chunk=8, progress=stop)
    assert not out.exists()
    part = tmp_path / f".out{suffix}.part"
    with part.open("ab") as file:
        file.write(b"half a li")  # what a kill in the middle of a write leaves
    found = prediction.predict_file(model, source, out, chunk=8)
    assert found.resumed == 8 * moment
    assert out.read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


@pytest.mark.slow
def test_a_killed_process_loses_no_whole_piece(
    model: HybridClassifier, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "model")
    many(tmp_path / "in.csv", 3000)
    command = [sys.executable, "-m", "hilbertune", "predict", str(tmp_path / "model"), "--input"]
    command += [str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv")]
    part = tmp_path / ".out.csv.part"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (part.exists() and part.stat().st_size):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL) if process.poll() is None else None
    process.wait()
    subprocess.run(command, check=False, capture_output=True)
    prediction.predict_file(model, str(tmp_path / "in.csv"), tmp_path / "whole.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_another_input_does_not_go_on_with_an_old_file(model: HybridClassifier, tmp_path: Path) -> None:
    many(tmp_path / "in.csv", 20)

    def stop(found: prediction.Throughput) -> None:
        raise Killed

    source, out = str(tmp_path / "in.csv"), tmp_path / "out.csv"
    with pytest.raises(Killed):
        prediction.predict_file(model, source, out, chunk=8, progress=stop)
    many(tmp_path / "in.csv", 21)
    with pytest.raises(HilbertuneError, match="another model, input or setting"):
        prediction.predict_file(model, source, out, chunk=8)


def test_mistakes_are_found_before_work_starts(model: HybridClassifier, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("text\n" + "good film\n" * 20 + '" "\n')
    with pytest.raises(HilbertuneError, match="Row 21"):
        prediction.predict_file(model, str(tmp_path / "in.csv"), tmp_path / "out.csv", chunk=8)
    with pytest.raises(HilbertuneError, match="unknown format"):
        prediction.predict_file(model, str(tmp_path / "in.csv"), tmp_path / "out.xls")
    (tmp_path / "there.csv").write_text("x")
    with pytest.raises(HilbertuneError, match="already exists"):
        prediction.predict_file(model, str(tmp_path / "in.csv"), tmp_path / "there.csv")


def test_answers_of_every_task(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    several = HybridClassifier(task="multi-label", **SMALL).fit(X, (X[:, :3] > 0).astype(int))
    for answer, row in zip(prediction.answers(several, X), several.predict(X), strict=True):
        assert answer["labels"] == np.flatnonzero(row).tolist()
        assert all(p >= 0.5 for p in answer["probabilities"])
    number = HybridRegressor(**SMALL).fit(X, 100 + 5 * X[:, 0])
    values = [answer["value"] for answer in prediction.answers(number, X)]
    np.testing.assert_allclose(values, number.predict(X))
    assert prediction.line({"labels": ["a", "b"], "probabilities": [0.5, 1.0]}, ".tsv") == "a|b\t0.500000|1.000000\n"


def test_an_ensemble_answers_with_its_mean_and_its_file_is_that_of_all_members(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    np.savez(tmp_path / "x.npz", embeddings=X)
    model = HybridClassifier(members=3, **SMALL).fit(X, X[:, 0] > 0)
    best = model.predict_proba(X).max(1)
    np.testing.assert_allclose([one["probability"] for one in prediction.answers(model, X)], best)

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prediction.predict_file(model, str(tmp_path / "x.npz"), tmp_path / "out.csv", chunk=10, progress=stop)
    changed = copy.deepcopy(model)
    changed.head_.linear_bias.data[2] += 1
    with pytest.raises(HilbertuneError, match="predictions of another model"):
        prediction.predict_file(changed, str(tmp_path / "x.npz"), tmp_path / "out.csv", chunk=10)
    done = prediction.predict_file(model, str(tmp_path / "x.npz"), tmp_path / "out.csv", chunk=10)
    assert (done.rows, done.resumed) == (30, 10)
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    np.testing.assert_allclose([float(row["probability"]) for row in rows], best, atol=1e-6)


def test_a_class_with_a_line_break_stays_on_its_line() -> None:
    assert prediction.line({"label": "a\nb", "probability": 0.5}, ".csv") == "a b,0.500000\n"


def test_one_run_at_a_time_writes_a_file(
    model: HybridClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is refused before it writes, whoever it is; the first one's file is whole."""
    many(tmp_path / "in.csv", 25)
    source, out = str(tmp_path / "in.csv"), tmp_path / "out.csv"
    refused = []

    def meanwhile(_: Any) -> None:
        with pytest.raises(HilbertuneError, match="Another run is writing"):
            prediction.predict_file(model, source, out, chunk=8)
        refused.append(1)

    prediction.predict_file(model, source, out, chunk=8, progress=meanwhile)
    assert len(refused) == 4
    assert len(out.read_text().splitlines()) == 26
    assert sorted(f.name for f in tmp_path.iterdir()) == ["in.csv", "out.csv"]
    with pytest.raises(HilbertuneError, match="already exists"):
        prediction.predict_file(model, source, out, chunk=8)


def test_a_run_that_finished_in_the_moment_before_is_not_written_over(
    model: HybridClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(tmp_path / "in.csv", 5)
    out = tmp_path / "out.csv"
    right = prediction.claimed

    def late(path: Path) -> Any:
        out.write_text("another run's")
        return right(path)

    monkeypatch.setattr(prediction, "claimed", late)
    with pytest.raises(HilbertuneError, match="already exists"):
        prediction.predict_file(model, str(tmp_path / "in.csv"), out)
    assert out.read_text() == "another run's"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["in.csv", "out.csv"]
