"""The table of runs: one process at a time, nothing lost, and a damaged file is named."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.study import plan, table


def test_two_processes_do_not_work_on_one_study(tmp_path: Path) -> None:
    with (
        table.open_table(tmp_path),
        pytest.raises(HilbertuneError, match="Another process is working on"),
        table.open_table(tmp_path),
    ):
        pass


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.sqlite").write_bytes(b"no table at all" * 100)
    with pytest.raises(HilbertuneError, match="damaged or not a table of runs"), table.open_table(tmp_path):
        pass


def test_runs_are_stored_together_or_not_at_all(tmp_path: Path) -> None:
    runs = [plan.TrainingRun("k-NN", {}, seed, f"run {seed}") for seed in range(3)]
    with table.open_table(tmp_path) as connection:
        table.store_runs(connection, [table.run_row(runs[0], validation_accuracy=0.5, parameters=7)])
        with pytest.raises(HilbertuneError, match="Cannot write"), table.open_table(tmp_path / "none"):
            pass
        with pytest.raises(sqlite3.Error):
            table.store_runs(connection, [table.run_row(runs[1]), table.run_row(runs[2], nonsense=1)])
        assert table.finished_ids(connection) == {"run 0"}
        table.store_runs(connection, [table.run_row(runs[1], error="broken")])
    with table.open_table(tmp_path) as connection:
        assert table.finished_ids(connection) == {"run 0", "run 1"}
        assert table.finished_ids(connection, well=True) == {"run 0"}
        assert table.known_runs(connection, ["run 0", "run 1", "run 2"]) == {
            "run 0": {"id": "run 0", "error": None, "validation_accuracy": 0.5, "parameters": 7},
            "run 1": {"id": "run 1", "error": "broken", "validation_accuracy": None, "parameters": None},
        }


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DROP TABLE tests; CREATE TABLE tests (other)", "its table of tests has no 'run'"),
        ("ALTER TABLE runs RENAME COLUMN weights TO w", "its table of runs has no 'weights'"),
        ("UPDATE runs SET seconds = 'word'", "'seconds' of runs is 'word'"),
        ("UPDATE runs SET seconds = -1", "'seconds' of runs is -1.0"),
        ("UPDATE runs SET joules = 1e999", "'joules' of runs is inf"),
        ("UPDATE runs SET validation_accuracy = x'00'", "'validation_accuracy' of runs is b'"),
        ("UPDATE runs SET seed = 'x'", "'seed' of runs is 'x'"),
        ("UPDATE runs SET settings = NULL", "'settings' of runs is None"),
        ("UPDATE runs SET method = 'hybrid'", "a finished run has no weights"),
        ("INSERT INTO tests VALUES ('run 0', '{}', 'x', NULL, '[]')", "'accuracy' of tests is 'x'"),
    ],
)
def test_a_table_that_somebody_touched_is_refused(tmp_path: Path, statement: str, sentence: str) -> None:
    run = plan.TrainingRun("k-NN", {}, 0, "run 0")
    with table.open_table(tmp_path) as connection:
        table.store_runs(connection, [table.run_row(run, validation_accuracy=0.5, parameters=7, seconds=1.0)])
    with closing(sqlite3.connect(tmp_path / "runs.sqlite")) as connection, connection:
        connection.executescript(statement)
    with pytest.raises(HilbertuneError, match="damaged or not a table of runs") as caught, table.open_table(tmp_path):
        pass
    assert sentence in str(caught.value)
