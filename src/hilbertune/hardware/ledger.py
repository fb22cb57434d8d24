"""The ledger of paid jobs: one SQLite file that survives kill -9.

In: batches of circuits, known by a hash, before they are sent, and their results before anything is made of them.
Out: their state, job id and results, so that nothing that was paid for is lost and nothing is sent twice.
"""

import json
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hilbertune.errors import HilbertuneError
from hilbertune.runtime.storage import open_database

State = Literal["planned", "sending", "sent", "done", "failed", "cancelled"]
"""planned: written down. sending: may have been sent. sent: the vendor gave an id. done: the results are here."""

Counts = dict[str, float]
"""Outcomes of the measured qubits as bits (the i-th is bit i), and how often, or in what share, they were seen."""

_TABLE = """
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
    qubits INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS results (
    hash TEXT NOT NULL,
    program INTEGER NOT NULL,
    counts TEXT NOT NULL,
    PRIMARY KEY (hash, program)
) STRICT;
CREATE TABLE IF NOT EXISTS run (id TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True)
class Batch:
    """A row of the ledger.

    `cost` is the estimate that was agreed to, `billed` what the vendor said, both in its unit; `qubits` are those of
    the widest circuit, None in older ledgers, which do not name them.
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


_COLUMNS = ", ".join(Batch.__dataclass_fields__)


class Ledger:
    """An open ledger. Every method that writes has written to disk when it returns.

    Raises:
        HilbertuneError: the file is not a ledger, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open_database(path)
            self._file.executescript(_TABLE)
            known = [row[1] for row in self._file.execute("PRAGMA table_info(batches)")]
            if "qubits" not in known:
                self._file.execute("ALTER TABLE batches ADD COLUMN qubits INTEGER")
            self._file.execute("INSERT INTO run SELECT ? WHERE NOT EXISTS (SELECT * FROM run)", (uuid.uuid4().hex,))
            self.run: str = self._file.execute("SELECT id FROM run").fetchone()[0]
            """The name of this run, by which its jobs are known at the vendor."""
        except (sqlite3.Error, OSError) as error:
            raise HilbertuneError(f"{path} cannot be used as a ledger ({error}): name another folder.") from error

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _write(self, command: str, *values: Any) -> None:
        try:
            self._file.execute(command, values)
        except sqlite3.Error as error:
            raise HilbertuneError(f"{self.path} cannot be written ({error}): free the disk, then resume.") from error

    def plan(
        self,
        hash_: str,
        backend: str,
        circuits: int,
        shots: int,
        gates: tuple[int, int],
        cost: float | None,
        qubits: int,
    ) -> Batch:
        """Write the batch of this hash down if it is new, and return it.

        `gates` are the one- and two-qubit gates of all its circuits.
        """
        self._write(
            "INSERT OR IGNORE INTO batches "
            "(hash, state, backend, circuits, shots, one_qubit_gates, two_qubit_gates, cost, qubits) "
            "VALUES (?, 'planned', ?, ?, ?, ?, ?, ?, ?)",
            *(hash_, backend, circuits, shots, *gates, cost, qubits),
        )
        return self.batch(hash_)

    def batch(self, hash_: str) -> Batch:
        """Return the row of this hash."""
        row = self._file.execute(f"SELECT {_COLUMNS} FROM batches WHERE hash = ?", (hash_,))
        return Batch(*row.fetchone())

    def batches(self) -> list[Batch]:
        """Return all rows, oldest first."""
        rows = self._file.execute(f"SELECT {_COLUMNS} FROM batches ORDER BY number")
        return [Batch(*row) for row in rows]

    def sending(self, hash_: str) -> None:
        """Note that from now on the batch may have reached the vendor."""
        self._write(
            "UPDATE batches SET state = 'sending', attempts = attempts + 1, sent_at = ?, job = NULL, error = NULL "
            "WHERE hash = ? AND state != 'done'",
            *(time.time(), hash_),
        )

    def sent(self, hash_: str, job: str) -> None:
        """Note that the vendor has it as `job`."""
        self._write(
            "UPDATE batches SET state = 'sent', job = ? WHERE hash = ? AND state != 'done'",
            *(job, hash_),
        )

    def ended(self, hash_: str, state: Literal["failed", "cancelled", "planned"], why: str) -> None:
        """Note that it will bring no results under this job; "planned" may be sent again."""
        self._write(
            "UPDATE batches SET state = ?, error = ? WHERE hash = ? AND state != 'done'",
            *(state, why, hash_),
        )

    def keep(self, hash_: str, counts: Mapping[int, Counts], billed: float | None, kwh: float | None) -> Batch:
        """Keep what came back, by the number of the circuit in its batch, and return the batch.

        It is done when every circuit has its counts.
        """
        batch = self.batch(hash_)
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?)",
                [(hash_, circuit, json.dumps(own)) for circuit, own in counts.items()],
            )
            whole = len(self.results(hash_)) == batch.circuits
            self._file.execute(
                "UPDATE batches SET state = iif(?, 'done', state), "
                # A bill that a later part does not name leaves what was billed; energy with an unknown part is unknown.
                "billed = coalesce(coalesce(billed, 0) + ?, billed), kwh = coalesce(kwh, 0) + ?, "
                "done_at = ?, error = iif(?, NULL, error) WHERE hash = ?",
                (whole, billed, kwh, time.time(), whole, hash_),
            )
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            raise HilbertuneError(f"{self.path} cannot be written ({error}): free the disk, then resume.") from error
        return self.batch(hash_)

    def results(self, hash_: str) -> dict[int, Counts]:
        """Return what came back of a batch so far, by the number of the circuit."""
        rows = self._file.execute("SELECT program, counts FROM results WHERE hash = ?", (hash_,))
        return {circuit: json.loads(counts) for circuit, counts in rows}

    def committed(self) -> float:
        """Return what was agreed to be spent on batches that were sent, or may have been.

        The vendor's bill counts where it is known and higher.
        """
        return sum(
            max(b.cost or 0.0, b.billed or 0.0)
            for b in self.batches()
            if b.state in ("sending", "sent", "done") or (b.billed or 0) > 0
        )

    def open_batches(self) -> Iterator[Batch]:
        """Return the batches that may be at the vendor now."""
        yield from (b for b in self.batches() if b.state in ("sending", "sent"))
