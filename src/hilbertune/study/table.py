"""The table of a study, runs.sqlite: one row for each finished run, which is never run again.

In: runs and what was measured of them.
Out: rows on the disk, which a crash does not lose; one process at a time holds the table.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError
from hilbertune.runtime.storage import open_database
from hilbertune.study.plan import TrainingRun

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, method TEXT, settings TEXT, seed INTEGER, error TEXT, validation_accuracy REAL,
    validation_loss REAL, parameters INTEGER, seconds REAL, curves TEXT, weights BLOB, finished TEXT, joules REAL);
CREATE TABLE IF NOT EXISTS tests (
    run TEXT, condition TEXT, accuracy REAL, trajectory_error REAL, confusion TEXT, PRIMARY KEY (run, condition));
CREATE TABLE IF NOT EXISTS predictions (
    run TEXT PRIMARY KEY, rows INTEGER, right REAL, seconds REAL, joules REAL);
CREATE TABLE IF NOT EXISTS owner (id TEXT);
"""


@contextmanager
def open_table(directory: Path) -> Iterator[sqlite3.Connection]:
    """Lock a study and open its runs.sqlite, made if it is not there; both are released at the end of the block.

    Raises:
        HilbertuneError: another process holds the study, or the file is not a table of runs.
    """
    path = directory / "runs.sqlite"
    try:
        with closing(sqlite3.connect(directory / "lock.sqlite", timeout=0.0, isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            with closing(open_database(path, timeout=1.0)) as connection:
                connection.executescript(SCHEMA)
                if "joules" not in [row[1] for row in connection.execute("PRAGMA table_info(runs)")]:
                    connection.execute("ALTER TABLE runs ADD COLUMN joules REAL")  # a table made without a meter
                yield connection
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise HilbertuneError(f"Cannot write {path}: {error}.") from error
        raise HilbertuneError(f"Another process is working on {directory}: wait, or name another place.") from error
    except sqlite3.DatabaseError as error:
        raise HilbertuneError(f"{path} is damaged or not a table of runs: remove it to start afresh.") from error


def owner_of(connection: sqlite3.Connection) -> str:
    """Return a name for whoever holds the table, made once: it stays when the study is moved to another place."""
    row = connection.execute("SELECT id FROM owner").fetchone()
    if row is None:
        row = (secrets.token_hex(8),)
        connection.execute("INSERT INTO owner VALUES (?)", row)
    return str(row[0])


def store_runs(connection: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write all rows or none; they are on the disk when this returns."""
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
    """Return the row of a run: its identity and settings, and the values of other columns."""
    about = {"id": run.id, "method": run.method, "seed": run.seed}
    return {**about, "settings": json.dumps(run.settings), **values}


def known_runs(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the error, validation accuracy and parameters of those runs that are in the table, by their ids."""
    names = ("id", "error", "validation_accuracy", "parameters")
    query = f"SELECT {', '.join(names)} FROM runs WHERE id = ?"
    known: dict[str, dict[str, Any]] = {}
    for identity in ids:
        row = connection.execute(query, [identity]).fetchone()
        if row is not None:
            known[identity] = dict(zip(names, row, strict=True))
    return known


def finished_ids(connection: sqlite3.Connection, *, well: bool = False) -> set[str]:
    """Return the ids of all finished runs, or with `well` of those that ended without an error."""
    query = "SELECT id FROM runs" + (" WHERE error IS NULL" if well else "")
    return {row[0] for row in connection.execute(query)}
