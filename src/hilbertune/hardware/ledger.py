"""The ledger of paid jobs: one SQLite file that survives kill -9.

In: batches of circuits, known by a hash, before they are sent, and their results before anything is made of them.
Out: their state, job id and results, so that nothing that was paid for is lost and nothing is sent twice.
"""

import contextlib
import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hilbertune.circuit.binding import GateSet
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger_file import Batch, Counts, Extra, open_ledger, read_batch, read_counts, unusable

__all__ = ["Batch", "Counts", "Extra", "Ledger"]

_COLUMNS = ", ".join(Batch.__dataclass_fields__)

SENDABLE = ("planned", "failed", "cancelled", "refused")
"""The states from which a batch may be sent, again where it failed."""


class Ledger:
    """An open ledger. Every method that writes has written to disk when it returns.

    Args:
        path: the file; a new one is made where there is none.
        new: False refuses to make one, since without its ledger nobody knows what a run has paid.

    Raises:
        HilbertuneError: the file is not a ledger, is damaged or of a newer version, or cannot be written.
    """

    def __init__(self, path: Path, *, new: bool = True) -> None:
        self.path = path
        self._file = open_ledger(path, new=new)
        try:
            names = self._read("SELECT id FROM run")
            if len(names) != 1 or not isinstance(names[0][0], str):
                raise unusable(path, "its table 'run' does not name one run")
            self.run: str = names[0][0]
            """The name of this run, by which its jobs are known at the vendor."""
            self.batches()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _read(self, command: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._file.execute(command, values).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            raise unusable(self.path, str(error)) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Make one transaction of a block; nothing of it is written if it raises."""
        try:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")
        except (sqlite3.Error, OverflowError) as error:
            with contextlib.suppress(sqlite3.Error):
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
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
        *,
        checks: int = 0,
        unit: str | None = None,
    ) -> Batch:
        """Write the batch of this hash down if it is new, and return it; what is not sent yet takes the new price.

        Args:
            hash_: of the batch.
            backend: where it is to run.
            circuits: its circuits, without the one that checks the order of bits.
            shots: of each circuit.
            gates: the one- and two-qubit gates of all of its circuits.
            cost: the estimate of its price.
            qubits: of its widest circuit.
            checks: 1 if a circuit that checks the order of bits rides along, else 0.
            unit: of the cost.

        Raises:
            HilbertuneError: a price that is not a finite number of at least 0.
        """
        if cost is None or not 0 <= cost < math.inf:
            raise HilbertuneError(f"The estimate of a batch is {cost}, which is no price: nothing was sent.")
        with self._writing():
            self._file.execute(
                "INSERT OR IGNORE INTO batches (hash, state, backend, circuits, shots, one_qubit_gates, "
                "two_qubit_gates, qubits, checks) VALUES (?, 'planned', ?, ?, ?, ?, ?, ?, ?)",
                (hash_, backend, circuits, shots, *gates, qubits, checks),
            )
            self._file.execute(
                "UPDATE batches SET cost = ?, unit = ? WHERE hash = ? "
                "AND state IN ('planned', 'failed', 'cancelled', 'refused')",
                (cost, unit, hash_),
            )
        return self.batch(hash_)

    def knows(self, hash_: str) -> bool:
        """Return True if the batch of this hash was planned."""
        return bool(self._read("SELECT 1 FROM batches WHERE hash = ?", hash_))

    def begun(self, hash_: str) -> bool:
        """Return True if the batch of this hash was sent, or may have been."""
        return bool(self._read("SELECT 1 FROM batches WHERE hash = ? AND attempts > 0", hash_))

    def forget(self, hash_: str) -> None:
        """Strike out a batch that was planned and never sent."""
        if self.knows(hash_) and not self.begun(hash_):
            with self._writing():
                self._file.execute("DELETE FROM batches WHERE hash = ? AND attempts = 0", (hash_,))

    def batch(self, hash_: str) -> Batch:
        """Return the row of this hash."""
        ((*row,),) = self._read(f"SELECT {_COLUMNS} FROM batches WHERE hash = ?", hash_)
        return read_batch(self.path, row)

    def batches(self) -> list[Batch]:
        """Return all rows, oldest first."""
        return [read_batch(self.path, row) for row in self._read(f"SELECT {_COLUMNS} FROM batches ORDER BY number")]

    def sending(self, hash_: str, *, seen: Batch | None = None, limit: float | None = math.inf) -> Batch:
        """Note that from now on the batch may have reached the vendor, and return it.

        The state, the spending limit and the decision are one transaction, so that of two processes one may send.

        Args:
            hash_: of the batch.
            seen: the batch as it was when sending it was decided; default as it is now.
            limit: what may be spent in all; None allows nothing that costs anything.

        Raises:
            HilbertuneError: it was sent meanwhile, or its price would pass the limit.
        """
        with self._writing():
            batch = self.batch(hash_)
            seen = seen or batch
            if batch.state not in SENDABLE or (batch.state, batch.attempts) != (seen.state, seen.attempts):
                raise HilbertuneError(
                    f"Batch {batch.number} is {batch.state} by now: another process works on {self.path.parent}; "
                    "resume when it has ended."
                )
            self.afford(batch.cost or 0.0, limit)
            self._file.execute(
                "UPDATE batches SET state = 'sending', attempts = attempts + 1, sent_at = ?, job = NULL, error = NULL "
                "WHERE hash = ?",
                (now := time.time(), hash_),
            )
            self._file.execute(
                "INSERT INTO attempts (hash, attempt, cost, state, sent_at) VALUES (?, ?, ?, 'open', ?)",
                (hash_, batch.attempts + 1, batch.cost or 0.0, now),
            )
        return self.batch(hash_)

    def afford(self, cost: float, limit: float | None) -> None:
        """Raise HilbertuneError if a cost, after what was spent, passes the limit."""
        spent = self.committed()
        if cost and (limit is None or not spent + cost <= limit * (1 + 1e-9)):
            allowed = "nothing was allowed" if limit is None else f"the limit is {limit:.2f}"
            raise HilbertuneError(
                f"What is left would cost {cost:.2f} after {spent:.2f} so far, and {allowed}: "
                "nothing more was sent; raise --max-cost to go on."
            )

    def sent(self, hash_: str, job: str) -> None:
        """Note that the vendor has it as `job`; an earlier job of the same attempt keeps its place."""
        with self._writing():
            last = "hash = ? AND attempt = (SELECT attempts FROM batches WHERE hash = ?)"
            if not self._read(f"SELECT 1 FROM attempts WHERE {last} AND (job IS NULL OR job = ?)", hash_, hash_, job):
                self._file.execute("UPDATE batches SET attempts = attempts + 1 WHERE hash = ?", (hash_,))
                self._file.execute(
                    "INSERT INTO attempts (hash, attempt, cost, state, sent_at) "
                    "SELECT hash, attempts, coalesce(cost, 0), 'open', ? FROM batches WHERE hash = ?",
                    (time.time(), hash_),
                )
            self._file.execute(
                "UPDATE batches SET state = 'sent', job = ?, error = NULL WHERE hash = ? AND state != 'done'",
                (job, hash_),
            )
            self._file.execute(f"UPDATE attempts SET job = ?, state = 'open' WHERE {last}", (job, hash_, hash_))
            self._file.execute("DELETE FROM extras WHERE job = ?", (job,))

    def ended(
        self, hash_: str, state: Literal["failed", "cancelled", "planned", "vanished", "refused"], why: str
    ) -> None:
        """Note that it will bring no results under this job; "planned" was not made, and may be sent again."""
        with self._writing():
            self._file.execute(
                "UPDATE batches SET state = ?, error = ? WHERE hash = ? AND state != 'done'", (state, why, hash_)
            )
            # A job that has vanished may be on the bill all the same.
            self._file.execute(
                "UPDATE attempts SET state = ? WHERE hash = ? AND state = 'open' AND attempt = "
                "(SELECT attempts FROM batches WHERE hash = ?)",
                ("none" if state == "planned" else state, hash_, hash_),
            )

    def keep(self, hash_: str, counts: Mapping[int, Counts]) -> Batch:
        """Keep what came back, by the number of the circuit in its batch, and return the batch.

        It is done when every circuit has its counts.
        """
        with self._writing():
            batch = self.batch(hash_)
            self._file.executemany(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?)",
                [(hash_, circuit, json.dumps(own)) for circuit, own in counts.items()],
            )
            whole = len(self.results(hash_)) == batch.circuits
            self._file.execute(
                "UPDATE batches SET state = iif(?, 'done', state), done_at = ?, error = iif(?, NULL, error) "
                "WHERE hash = ?",
                (whole, time.time(), whole, hash_),
            )
            self._file.execute(
                "UPDATE attempts SET state = 'done' WHERE hash = ? AND state IN ('open', 'refused') AND ?",
                (hash_, whole),
            )
        return self.batch(hash_)

    def refuse(self, hash_: str, answer: Any, why: str) -> None:
        """Keep an answer that cannot be true as it came, apart from the results."""
        with self._writing():
            self._file.execute(
                "INSERT OR REPLACE INTO refused SELECT hash, job, ?, ? FROM batches WHERE hash = ?",
                (json.dumps(answer, default=repr), why, hash_),
            )
        self.ended(hash_, "refused", why)

    def refused(self, hash_: str) -> Any:
        """Return the answer of a batch that was refused, None if there is none."""
        rows = self._read("SELECT answer FROM refused WHERE hash = ?", hash_)
        try:
            return json.loads(rows[0][0]) if rows else None
        except (TypeError, ValueError, RecursionError) as error:
            raise unusable(self.path, f"refused.answer of {hash_[:12]} is not JSON") from error

    def results(self, hash_: str) -> dict[int, Counts]:
        """Return what came back of a batch so far, by the number of the circuit."""
        rows = self._read("SELECT program, counts FROM results WHERE hash = ?", hash_)
        return dict(read_counts(self.path, hash_, *row) for row in rows)

    def charge(self, job: str, billed: float | None, kwh: float | None) -> None:
        """Write down what the vendor says that a job cost and took; None where it does not say."""
        with self._writing():
            for table in ("attempts", "extras"):
                self._file.execute(
                    f"UPDATE {table} SET billed = coalesce(?, billed), kwh = coalesce(?, kwh) WHERE job = ?",
                    (billed, kwh, job),
                )
            # Energy with an unknown part is unknown.
            self._file.execute(
                "UPDATE batches SET (billed, kwh) = (SELECT sum(billed), iif(count(*) = count(kwh), sum(kwh), NULL) "
                "FROM attempts WHERE attempts.hash = batches.hash AND attempts.job IS NOT NULL) "
                "WHERE hash IN (SELECT hash FROM attempts WHERE job = ?)",
                (job,),
            )

    def unbilled(self) -> list[str]:
        """Return the jobs that have ended and whose bill is not known."""
        rows = self._read(
            "SELECT job FROM attempts WHERE job IS NOT NULL AND billed IS NULL AND state NOT IN ('open', 'none') "
            "UNION ALL SELECT job FROM extras WHERE billed IS NULL"
        )
        return [str(job) for (job,) in rows]

    def jobs(self) -> dict[str, str]:
        """Return every job that is known as one of a batch, with the batch's hash."""
        return {str(job): str(hash_) for job, hash_ in self._read("SELECT job, hash FROM attempts WHERE job NOT NULL")}

    def extra(self, job: str, hash_: str) -> bool:
        """Note a job that carries the mark of a batch which has another; return True if it was not known."""
        with self._writing():
            before = self._read("SELECT 1 FROM extras WHERE job = ?", job)
            self._file.execute(
                "INSERT OR IGNORE INTO extras (job, hash, cost, state) SELECT ?, hash, cost, 'found' FROM batches "
                "WHERE hash = ?",
                (job, hash_),
            )
        return not before

    def extra_is(self, job: str, state: str) -> None:
        """Note what the vendor says of an extra job."""
        with self._writing():
            self._file.execute("UPDATE extras SET state = ? WHERE job = ?", (state, job))

    def extras(self) -> list[Extra]:
        """Return the jobs that carry the mark of a batch which has another job."""
        rows = self._read(
            "SELECT extras.job, number, extras.cost, extras.billed, extras.state FROM extras JOIN batches USING (hash) "
            "ORDER BY number, extras.job"
        )
        return [Extra(*row) for row in rows]

    def committed(self) -> float:
        """Return what was agreed to be spent on jobs that were sent, or may have been, extra ones included.

        The vendor's bill counts where it is known and higher, and alone for a job that failed or was cancelled.
        """
        rows = self._read(
            "SELECT state, cost, billed FROM attempts UNION ALL SELECT state, coalesce(cost, 0), billed FROM extras"
        )
        spent = 0.0
        for state, cost, billed in rows:
            if state in ("failed", "cancelled"):
                spent += cost if billed is None else billed
            elif state != "none":
                spent += max(cost, billed or 0.0)
        return spent

    def without_bill(self) -> float:
        """Return the estimates of all jobs that were sent, or may have been, and have no bill yet."""
        rows = self._read(
            "SELECT cost FROM attempts WHERE billed IS NULL AND state != 'none' "
            "UNION ALL SELECT coalesce(cost, 0) FROM extras WHERE billed IS NULL"
        )
        return float(sum(cost for (cost,) in rows))

    def open_batches(self) -> Iterator[Batch]:
        """Return the batches that may be at the vendor now."""
        yield from (b for b in self.batches() if b.state in ("sending", "sent"))

    def fact(self, name: str) -> Any:
        """Return what was written down under a name, None if nothing was."""
        rows = self._read("SELECT value FROM facts WHERE name = ?", name)
        try:
            return json.loads(rows[0][0]) if rows else None
        except (TypeError, ValueError, RecursionError) as error:
            raise unusable(self.path, f"facts.value of {name!r} is not JSON") from error

    def note(self, name: str, value: Mapping[str, Any] | Sequence[Any] | str) -> None:
        """Write a fact down, unless it stands there."""
        if self.fact(name) != (said := json.loads(json.dumps(value))):
            with self._writing():
                self._file.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(said)))

    def provider_facts(self) -> tuple[str, GateSet, tuple[int, int], dict[str, Any]] | None:
        """Return name, gate set, limits and settings of the provider that it was begun with, None if unknown."""
        known = self.fact("provider")
        if known is None:
            return None
        try:
            circuits, gates = known["limits"]
            if not (type(circuits) is type(gates) is int and min(circuits, gates) > 0):
                raise ValueError
            if known["gateset"] not in ("qis", "native") or not isinstance(known["settings"], dict):
                raise ValueError
            return str(known["name"]), known["gateset"], (circuits, gates), known["settings"]
        except (KeyError, TypeError, ValueError) as error:
            raise unusable(self.path, "facts.value of 'provider' is not what was written there") from error
