"""Running a study: what is missing is trained, validation chooses, what was chosen is tested, and results.json says it all.

In: a `Study` (plan.py) and labelled embeddings. Out: a directory with the configuration, runs.sqlite (one row for each finished run, which is never run
again) and results.json, from which report.py makes the report.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError
from hilbertune.study.plan import TrainingRun

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, method TEXT, settings TEXT, seed INTEGER, error TEXT, validation_accuracy REAL, validation_loss REAL,
    parameters INTEGER, seconds REAL, curves TEXT, weights BLOB, finished TEXT, joules REAL);
CREATE TABLE IF NOT EXISTS tests (
    run TEXT, condition TEXT, accuracy REAL, trajectory_error REAL, confusion TEXT, PRIMARY KEY (run, condition));
CREATE TABLE IF NOT EXISTS predictions (
    run TEXT PRIMARY KEY, rows INTEGER, right REAL, seconds REAL, joules REAL);
"""


@contextmanager
def open_table(directory: Path) -> Iterator[sqlite3.Connection]:
    """runs.sqlite of a study, made if it is not there; one process at a time holds it.

    Raises:
        HilbertuneError: another process works on the study, or the file is none of ours.
    """
    path = directory / "runs.sqlite"
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    lock = sqlite3.connect(directory / "lock.sqlite", timeout=0.0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(SCHEMA)
        if "joules" not in [row[1] for row in connection.execute("PRAGMA table_info(runs)")]:
            connection.execute("ALTER TABLE runs ADD COLUMN joules REAL")  # one of before
        yield connection
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise HilbertuneError(f"Cannot write {path}: {error}.") from error
        raise HilbertuneError(f"Another process works on {directory}: wait for it, or name another place.") from error
    except sqlite3.DatabaseError as error:
        raise HilbertuneError(f"{path} is no whole table of runs: remove it to start afresh.") from error
    finally:
        connection.close()
        lock.close()


def store_runs(connection: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """All rows or none, on the disk when this returns."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with connection:
        connection.execute("BEGIN")
        for row in rows:
            whole = {**row, "finished": now}
            marks = ", ".join("?" * len(whole))
            connection.execute(
                f"INSERT OR REPLACE INTO runs ({', '.join(whole)}) VALUES ({marks})",
                list(whole.values()),
            )


def run_row(run: TrainingRun, **values: Any) -> dict[str, Any]:
    about = {"id": run.id, "method": run.method, "seed": run.seed}
    return {**about, "settings": json.dumps(run.settings), **values}


def known_runs(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the table says of these runs."""
    names = ("id", "error", "validation_accuracy", "parameters")
    found = {}
    for identity in ids:
        query = f"SELECT {', '.join(names)} FROM runs WHERE id = ?"
        row = connection.execute(query, [identity]).fetchone()
        if row is not None:
            found[identity] = dict(zip(names, row, strict=True))
    return found
