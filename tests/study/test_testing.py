"""The test of the chosen runs, under the conditions of their training and under others."""

from pathlib import Path

from helpers.studies import SMALL, read, rows

from hilbertune.study import plan, running


def test_conditions_are_tested_besides_the_training_s_own(tmp_path: Path, data: plan.Data) -> None:
    text = SMALL + "conditions: {shots: [16, null], two_qubit_error: [0.5], noise: [aria-1]}\n"
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    quantum, classical = results["arms"][0], results["arms"][2]
    found = {e["name"]: e for e in quantum["evaluations"]}
    assert list(found) == ["16 shots", "exact", "two qubit error 0.5", "aria-1"]
    assert [found["16 shots"]["value"], found["exact"]["value"]] == [16, None]
    # Trained exactly, so the exact condition is the plain test.
    assert found["exact"]["accuracy"] == quantum["test"]
    assert found["exact"]["trajectory_error"] is None
    assert found["two qubit error 0.5"]["trajectory_error"] > 0
    assert classical["evaluations"] == []


def test_heads_that_learned_with_few_shots_are_asked_with_others_and_not_trained_again(
    tmp_path: Path, data: plan.Data
) -> None:
    text = SMALL.replace("cross: {qubits: [2, 3]}", "cross: {training_shots: [8, null]}")
    text = text.replace("{qubits} qubits", "{training_shots}").replace("[1e-3, 0.05]", "[0.05]")
    results = running.run_study(read(tmp_path, text + "conditions: {shots: [2, 64, null]}\n"), data, tmp_path / "out")
    few, exact = results["arms"][:2]
    assert len(rows(tmp_path / "out", "SELECT * FROM runs WHERE method = 'hybrid'")) == 2 * 2
    for arm in (few, exact):
        assert [e["value"] for e in arm["evaluations"]] == [2, 64, None]
        # Predictions are exact unless `shots` says otherwise, however the head learned.
        assert arm["evaluations"][2]["accuracy"] == arm["test"]
    assert few["curves"] != exact["curves"]
