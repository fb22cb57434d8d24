"""The test of the chosen runs, under the conditions of their training and under others."""

from pathlib import Path

from helpers.studies import SMALL, read

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
