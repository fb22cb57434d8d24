"""The file of a ledger: its tables, those of older versions brought up to date, and everything read from it checked.

In: a path, rows.
Out: an open SQLite file that is surely a ledger of ours, `Batch` and counts of the right types, or one sentence that
names the file and the field. A file that is none is never emptied, replaced or repaired: it may be all that says what
was paid.
"""

import contextlib
import json
import math
import os
import sqlite3
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from hilbertune.errors import HilbertuneError
from hilbertune.runtime.storage import open_database

VERSION = 1
"""The version of the tables; 0 are those before attempts, extra jobs and refused answers were written down."""

State = Literal["planned", "sending", "sent", "done", "failed", "cancelled", "vanished", "refused"]
"""The state of a batch.

planned: written down. sending: may have been sent. sent: the vendor gave an id. done: the results are here. vanished:
the vendor does not know the job any more. refused: its results cannot be true, and are kept apart.
"""

Counts = dict[str, float]
"""Outcomes of the measured qubits as bits (the i-th is bit i), and how often, or in what share, they were seen."""

_TABLES = """
CREATE TABLE IF NOT EXISTS batches (
    number INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    backend TEXT NOT NULL,
    circuits INTEGER NOT NULL,
    shots INTEGER NOT NULL,
    one_qubit_gates INTEGER NOT NULL,
    two_qubit_gates INTEGER NOT NULL,
    cost REAL,
    billed REAL,
    kwh REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    job TEXT,
    sent_at REAL,
    done_at REAL,
    error TEXT,
    qubits INTEGER,
    checks INTEGER NOT NULL DEFAULT 0,
    unit TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS results (
    hash TEXT NOT NULL,
    program INTEGER NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (hash, program)
) STRICT;
CREATE TABLE IF NOT EXISTS run (id TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS attempts (
    hash TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    cost REAL NOT NULL,
    state TEXT NOT NULL,
    job TEXT,
    billed REAL,
    kwh REAL,
    sent_at REAL,
    PRIMARY KEY (hash, attempt)
) STRICT;
CREATE TABLE IF NOT EXISTS extras (
    job TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    cost REAL,
    billed REAL,
    kwh REAL,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS refused (hash TEXT PRIMARY KEY, job TEXT, answer TEXT NOT NULL, why TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""

_LATER = {"qubits": "INTEGER", "checks": "INTEGER NOT NULL DEFAULT 0", "unit": "TEXT"}
"""Columns that batches of older ledgers lack."""

_OLD_ATTEMPTS = """
INSERT INTO attempts SELECT hash, attempts, coalesce(cost, 0), CASE state
    WHEN 'sending' THEN 'open' WHEN 'sent' THEN 'open' WHEN 'planned' THEN 'none' ELSE state END,
    job, billed, kwh, sent_at
FROM batches WHERE attempts > 0
"""
"""What is known of the attempts of older ledgers: the last one of each batch."""


@dataclass(frozen=True)
class Batch:
    """A row of the ledger.

    `cost` is the estimate that was agreed to, `billed` what the vendor said, both in its unit; `qubits` are those of
    the widest circuit, None in older ledgers, which do not name them. `checks` circuits ride along with `circuits`.
    """

    number: int
    hash: str
    state: State
    backend: str
    circuits: int
    shots: int
    one_qubit_gates: int
    two_qubit_gates: int
    cost: float | None
    billed: float | None
    kwh: float | None
    attempts: int
    job: str | None
    sent_at: float | None
    done_at: float | None
    error: str | None
    qubits: int | None
    checks: int = 0
    unit: str | None = None


@dataclass(frozen=True)
class Extra:
    """A job that carries the mark of batch `batch`, which has another job: a request that arrived twice."""

    job: str
    batch: int
    cost: float | None
    billed: float | None
    state: str


_HINTS = {name: tuple(get_args(hint)) or (hint,) for name, hint in get_type_hints(Batch).items()}
_NAMES = [field.name for field in fields(Batch)]


def unusable(path: Path, why: str) -> HilbertuneError:
    """Return the error about a ledger that cannot be read."""
    return HilbertuneError(
        f"{path} cannot be used as a ledger ({' '.join(why.split()).rstrip('.')}): restore it from a copy, or name "
        "another folder; do not delete it, since it says what was sent and paid."
    )


def open_ledger(path: Path, *, new: bool) -> sqlite3.Connection:
    """Open the file of a ledger, its tables those of this version; `new` makes one where there is none.

    Raises:
        HilbertuneError: it is not a ledger, is damaged or of a newer version, or cannot be written.
    """
    if sqlite3.sqlite_version_info < (3, 37):
        raise HilbertuneError(f"A ledger needs SQLite 3.37 or newer, not {sqlite3.sqlite_version}: use a newer Python.")
    try:
        if not path.exists():
            if not new:
                raise HilbertuneError(
                    f"{path} is missing, so nobody knows what was sent and paid: restore it from a copy."
                )
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(path)
        elif not path.is_file():
            raise unusable(path, "it is not a file")
        elif not path.stat().st_size:
            raise unusable(path, "it is empty")
        file = open_database(path)
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, str(error)) from error
    try:
        _bring_up_to_date(path, file)
    except sqlite3.Error as error:
        file.close()
        raise unusable(path, str(error)) from error
    except BaseException:
        file.close()
        raise
    return file


def _make(path: Path) -> None:
    """Make an empty ledger that is whole when it takes its name; one that another process has just made stays."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        made = sqlite3.connect(name, isolation_level=None)
        try:
            made.executescript(_TABLES)
            made.execute("INSERT INTO run VALUES (?)", (uuid.uuid4().hex,))
            made.execute(f"PRAGMA user_version = {VERSION}")
        finally:
            made.close()
        try:
            os.link(name, path)
        except FileExistsError:
            return
        except OSError:  # a disk without hard links
            if not path.exists():
                os.rename(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _bring_up_to_date(path: Path, file: sqlite3.Connection) -> None:
    """Add what older versions did not have; refuse what is no ledger before anything is changed."""
    version = file.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise HilbertuneError(
            f"{path} is of version {version}, but this version of hilbertune reads {VERSION}: upgrade hilbertune."
        )
    for table, wanted in _expected().items():
        own = _columns(file, table)
        if not own and (table == "batches" or version == VERSION):
            raise unusable(path, f"it has no table {table!r}")
        old = version < VERSION
        missing = wanted - own - set(_LATER if old and table == "batches" else ())
        if missing and (own or not old or table == "results"):
            raise unusable(path, f"its table {table!r} has no column {min(missing)!r}")
    if version < VERSION:
        _migrate(file)


def _columns(file: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in file.execute(f"PRAGMA table_info({table})")}


def _migrate(file: sqlite3.Connection) -> None:
    """Bring a ledger of an older version up to date, wholly or not at all."""
    file.execute("BEGIN IMMEDIATE")
    try:
        for name in _LATER.keys() - _columns(file, "batches"):
            file.execute(f"ALTER TABLE batches ADD COLUMN {name} {_LATER[name]}")
        new = not _columns(file, "attempts")
        for command in _TABLES.split(";"):
            file.execute(command)
        if new:
            file.execute(_OLD_ATTEMPTS)
        file.execute("INSERT INTO run SELECT ? WHERE NOT EXISTS (SELECT * FROM run)", (uuid.uuid4().hex,))
        file.execute(f"PRAGMA user_version = {VERSION}")
        file.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            file.execute("ROLLBACK")
        raise


def _expected() -> dict[str, set[str]]:
    """Return the columns of each table."""
    with contextlib.closing(sqlite3.connect(":memory:")) as example:
        example.executescript(_TABLES)
        tables = [row[0] for row in example.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: {row[1] for row in example.execute(f"PRAGMA table_info({name})")} for name in tables}


def read_batch(path: Path, row: Sequence[Any]) -> Batch:
    """Return a row of `batches`, each of its fields of the type and range that it has.

    Raises:
        HilbertuneError: a field that somebody has changed.
    """
    for name, value in zip(_NAMES, row, strict=True):
        if not _fits(name, value):
            shown = repr(value) if len(repr(value)) < 40 else f"{repr(value)[:40]}..."
            raise unusable(path, f"batches.{name} of batch {row[0]!r:.20} is {shown}")
    return Batch(*row)


def _fits(name: str, value: Any) -> bool:
    kinds = _HINTS[name]
    if name == "state":
        return value in kinds
    if value is None:
        return type(None) in kinds
    if isinstance(value, str):
        return str in kinds
    if isinstance(value, float):
        return float in kinds and 0 <= value < math.inf
    return isinstance(value, int) and (int in kinds or float in kinds) and value >= 0


def read_counts(path: Path, hash_: str, program: Any, text: Any) -> tuple[int, Counts]:
    """Return a row of `results`: the number of a circuit and its counts.

    Raises:
        HilbertuneError: they are no counts of bits.
    """
    try:
        counts = json.loads(text)
        bits = list(counts)
        if not (isinstance(program, int) and program >= 0 and isinstance(counts, dict) and counts):
            raise ValueError
        if not all(key and not key.strip("01") and len(key) == len(bits[0]) for key in bits):
            raise ValueError
        if not all(type(v) in (int, float) and 0 <= v < math.inf for v in counts.values()) or not any(counts.values()):
            raise ValueError
    except (TypeError, ValueError, RecursionError) as error:
        raise unusable(path, f"results.counts of {hash_[:12]}, circuit {program!r:.20}, are not counts") from error
    return program, counts
