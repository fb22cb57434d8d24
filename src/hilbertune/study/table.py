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
from typing import Any, NoReturn

from hilbertune.errors import HilbertuneError, shown
from hilbertune.runtime.schema import LARGEST_NUMBER
from hilbertune.runtime.storage import open_database
from hilbertune.study.plan import HYBRID, TrainingRun

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


NUMBER, WORDS = ("real", "integer"), ("text",)

COLUMNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "runs": {
        **dict.fromkeys(("id", "method", "settings"), WORDS),
        "seed": ("integer",),
        **dict.fromkeys(("error", "curves", "finished"), (*WORDS, "null")),
        **dict.fromkeys(("validation_accuracy", "validation_loss", "seconds", "joules"), (*NUMBER, "null")),
        "parameters": ("integer", "null"),
        "weights": ("blob", "null"),
    },
    "tests": {
        **dict.fromkeys(("run", "condition", "confusion"), WORDS),
        "accuracy": NUMBER,
        "trajectory_error": (*NUMBER, "null"),
    },
    "predictions": {
        "run": WORDS,
        **dict.fromkeys(("rows", "right", "seconds"), NUMBER),
        "joules": (*NUMBER, "null"),
    },
}
"""For each table the types that SQLite may have stored in its columns; numbers may neither be negative nor endless."""

LATER = ("joules",)
"""Columns of `runs` that a table made by an older version lacks."""


@contextmanager
def open_table(directory: Path) -> Iterator[sqlite3.Connection]:
    """Lock a study and open its runs.sqlite, made if it is not there; both are released at the end of the block.

    Raises:
        HilbertuneError: another process holds the study, or the file is not a table of runs.
    """
    path = directory / "runs.sqlite"
    with (
        _errors(path, directory),
        _locked(directory / "lock.sqlite"),
        closing(open_database(path, timeout=1.0)) as connection,
    ):
        if missing := _missing_columns(connection):
            _refuse(path, f"its table of {missing[0][0]} has no {missing[0][1]!r}")
        connection.executescript(SCHEMA)
        if "joules" not in _columns(connection, "runs"):
            connection.execute("ALTER TABLE runs ADD COLUMN joules REAL")
        _check_values(connection, path)
        yield connection


@contextmanager
def _locked(lock: Path) -> Iterator[None]:
    """Hold the lock of a study; its file has no content of its own, and one that is damaged is made anew."""
    with closing(sqlite3.connect(lock, timeout=0.0, isolation_level=None)) as held:
        try:
            held.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise HilbertuneError(f"{lock} is damaged: remove it.") from error
        yield


@contextmanager
def _errors(path: Path, directory: Path) -> Iterator[None]:
    """Say what SQLite's errors mean for the table of a study."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise HilbertuneError(f"Cannot write {path}: {error}.") from error
        raise HilbertuneError(f"Another process is working on {directory}: wait, or name another place.") from error
    except sqlite3.DatabaseError as error:
        raise HilbertuneError(f"{path} is damaged or not a table of runs: remove it to start afresh.") from error


def _refuse(path: Path, why: str) -> NoReturn:
    raise HilbertuneError(f"{path} is damaged or not a table of runs ({why}): remove it to start afresh.")


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _missing_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return the table and the name of each column that is missing; a table that is not there yet lacks none."""
    there = {table: _columns(connection, table) for table in COLUMNS}
    return [
        (table, column)
        for table, wanted in COLUMNS.items()
        for column in wanted
        if there[table] and column not in there[table] and column not in LATER
    ]


def _check_values(connection: sqlite3.Connection, path: Path) -> None:
    """Raise HilbertuneError if a value has another type than it was stored with, or cannot have been measured."""
    for table, columns in COLUMNS.items():
        for column, kinds in columns.items():
            wrong = f"typeof({column}) NOT IN ({', '.join(map(repr, kinds))})"
            if kinds[:2] == NUMBER:
                wrong += f" OR abs({column}) > {LARGEST_NUMBER} OR ({column} < 0 AND '{column}' != 'validation_loss')"
            elif kinds == ("integer",) or column == "parameters":
                wrong += f" OR {column} < 0"
            found = connection.execute(f"SELECT {column} FROM {table} WHERE {wrong} LIMIT 1").fetchone()
            if found is not None:
                _refuse(path, f"{column!r} of {table} is {shown(found[0])}")
    if connection.execute(
        "SELECT 1 FROM runs WHERE error IS NULL AND method = ? AND weights IS NULL", [HYBRID]
    ).fetchone():
        _refuse(path, "a finished run has no weights")


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
