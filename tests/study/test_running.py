"""The run of a study: nothing is run twice, validation alone chooses, and more seeds change no old run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.studies import read, rows

from hilbertune.study import plan, running, table, testing, training


def test_a_study_runs_chooses_tests_and_is_never_done_twice(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, out = read(tmp_path), tmp_path / "out"
    stages: list[tuple[str, float, str]] = []
    results = running.run_study(asked, data, out, progress=lambda *said: stages.append(said))
    assert json.loads((out / "results.json").read_text()) == results
    assert {arm["name"] for arm in results["arms"]} == {arm.name for arm in asked.arms}
    assert {arm["kind"] for arm in results["arms"]} == {"quantum", "classical"}
    assert all(len(arm["test"]) == len(arm["seeds"]) == 2 for arm in results["arms"])
    # Validation chose, and only what was chosen was tested.
    query = "SELECT validation_accuracy, settings FROM runs WHERE method = 'hybrid'"
    hybrid = [(accuracy, json.loads(settings)) for accuracy, settings in rows(out, query)]
    for arm in results["arms"][:2]:
        qubits = arm["factors"]["qubits"]
        means = {
            rate: np.mean([v for v, s in hybrid if s["learning_rate"] == rate and s["qubits"] == qubits])
            for rate in (0.001, 0.05)
        }
        assert means[arm["chosen"]["learning_rate"]] == max(means.values())
    assert len(rows(out, "SELECT * FROM runs")) == 16
    assert len(rows(out, "SELECT * FROM tests")) == 8
    assert np.sum(results["arms"][0]["confusion"]) == 2 * results["data"]["test"] == 2 * 60
    assert [c["name"] for c in results["comparisons"]] == ["2 qubits", "3 qubits"]
    assert ("training", 1.0, "16 runs") in stages
    assert ("testing", 1.0, "8 runs") in stages
    shares = [share for stage, share, _ in stages if stage == "training"]
    assert shares == sorted(shares)
    assert any(note.startswith("4 of 16 runs, ") for _, _, note in stages)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr(training, "train", refuse)
    monkeypatch.setattr(testing, "_test_run", refuse)
    again = running.run_study(asked, data, out)
    assert again["arms"] == results["arms"]


def test_more_seeds_run_the_new_ones_only_and_change_no_old_one(tmp_path: Path, data: plan.Data) -> None:
    out = tmp_path / "out"
    running.run_study(read(tmp_path), data, out)
    before = dict(rows(out, "SELECT id, finished || hex(weights) FROM runs"))
    running.run_study(read(tmp_path, seeds=3), data, out)
    after = dict(rows(out, "SELECT id, finished || hex(weights) FROM runs"))
    assert len(after) == 24
    assert before.items() <= after.items()
    fresh = tmp_path / "fresh"
    running.run_study(read(tmp_path, seeds=3), data, fresh)
    query = "SELECT id, validation_accuracy, curves, hex(weights) FROM runs ORDER BY id"
    assert rows(out, query) == rows(fresh, query)


@pytest.mark.parametrize(
    ("measured", "choice"),
    [
        ([[(0.8, 0.5), (0.6, 0.5)], [(0.9, 0.9), (0.7, 0.9)]], 1),
        ([[(0.7, 0.5), (0.7, 0.5)], [(0.8, 0.3), (0.6, 0.3)]], 1),  # as accurate, and the smaller loss
        ([[(0.7, 0.5)], [(0.7 + 1e-12, 0.6)]], 0),  # rounding errors are no accuracy
        ([[(None, None)], [(None, None)]], 0),  # no validation set
        ([[], [(None, None)]], 1),  # a trial of which no run finished
        ([[], [(0.0, 9.0)]], 1),
    ],
)
def test_validation_chooses_the_most_accurate_trial_then_the_one_of_least_loss(
    measured: list[list[tuple[float | None, float | None]]], choice: int, tmp_path: Path
) -> None:
    tried = [[plan.TrainingRun("hybrid", {}, s, f"{t}, {s}") for s in range(2)] for t in range(len(measured))]
    with table.open_table(tmp_path) as connection:
        for runs, figures in zip(tried, measured, strict=True):
            for run, (accuracy, loss) in zip(runs, figures, strict=False):
                row = table.run_row(run, validation_accuracy=accuracy, validation_loss=loss)
                table.store_runs(connection, [row])
        assert running._choose(connection, tried) == choice
