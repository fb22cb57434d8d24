"""The training of a study's runs: a broken one is recorded, the others are trained."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.studies import SMALL, read, rows, same

from hilbertune.runtime import storage
from hilbertune.study import plan, running, training


def test_a_broken_run_is_recorded_and_the_rest_goes_on(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = training.train

    def breaks(model: Any, x: Any, y: Any, splits: Any, configs: Any, seeds: Any, **more: Any) -> Any:
        if 1 in seeds and model.config.qubits == 2:
            raise RuntimeError("out of\nmemory")
        return right(model, x, y, splits, configs, seeds, **more)

    monkeypatch.setattr(training, "train", breaks)
    out = tmp_path / "out"
    results = running.run_study(read(tmp_path), data, out)
    assert results["failures"] == [{"arm": "2 qubits", "seed": 1, "error": "out of memory"}] * 2
    assert [arm["seeds"] for arm in results["arms"]] == [[0], [0, 1], [0, 1], [0, 1]]
    assert len(rows(out, "SELECT * FROM runs WHERE error IS NULL")) == 14
    monkeypatch.setattr(training, "train", right)
    assert running.run_study(read(tmp_path), data, out)["failures"] == results["failures"]
    assert running.run_study(read(tmp_path), data, out, retry_failed=True)["failures"] == []


def test_a_run_that_diverges_is_a_failure(tmp_path: Path, data: plan.Data) -> None:
    text = SMALL.replace("[1e-3, 0.05]", "[1e39]").replace("qubits: [2, 3]", "qubits: [2]")
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    assert {f["arm"] for f in results["failures"]} == {"2 qubits"}
    assert "smaller learning rate" in results["failures"][0]["error"]
    assert results["arms"][0]["test"] == []


def test_a_full_disk_takes_the_checkpoint_and_not_the_run(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = training.train
    plain, full = tmp_path / "plain", tmp_path / "full"
    running.run_study(read(tmp_path), data, plain)
    full.mkdir()
    (full / "checkpoints").write_text("in the way")
    monkeypatch.setattr(training, "train", partial(right, checkpoint_seconds=0))
    running.run_study(read(tmp_path), data, full)
    assert caplog.text.count("The training goes on, but could not be resumed") >= 1
    assert same(full, plain)


def test_a_disk_that_is_full_is_a_file_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(storage.CannotWriteError, match="No space left"):
        storage.write_atomically(tmp_path / "x", b"x")
    assert not list(tmp_path.iterdir())
