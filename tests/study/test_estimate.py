"""The estimate of a study: it counts what is missing, and the trials of a search."""

from pathlib import Path

from helpers.studies import SEARCH, read

from hilbertune.study import plan, running
from hilbertune.study.estimate import estimate_study


def test_the_estimate_counts_what_is_missing(tmp_path: Path, data: plan.Data) -> None:
    asked, out = read(tmp_path), tmp_path / "out"
    before = estimate_study(asked, data, out)
    assert (before["runs"], before["missing"], before["blocks"]) == (16, 16, 10)
    assert before["parameters"]["2 qubits"] == 2 * 2 + 2 * (4 * 2 + 3) + 4
    assert before["seconds"] > 0
    assert not out.exists()
    running.run_study(asked, data, out)
    after = estimate_study(asked, data, out)
    assert (after["missing"], after["seconds"]) == (0, 0.0)


def test_the_estimate_of_a_search_counts_its_trials(tmp_path: Path, data: plan.Data) -> None:
    expected = estimate_study(read(tmp_path, SEARCH), data)
    assert expected["trials"] == {"quantum": 8, "logistic regression": 8}
    assert expected["runs"] == 2 * 8 + 2 * 8
