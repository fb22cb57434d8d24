"""Circuits measured in jobs: batched, written down, priced, capped, sent, adopted after a crash, collected.

In: bound circuits, a provider (IonQ's cloud, or any Qiskit backend), a folder for the ledger, a spending limit.
Out: the counts of each circuit; the same call after a crash finds its batches in the ledger, and nothing is paid twice.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hilbertune.circuit.binding import BoundCircuit
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger import Batch, Counts, Ledger
from hilbertune.hardware.pricing import Estimate, Pricing, formula
from hilbertune.hardware.provider import LostAnswerError, Mark, Provider, Say

ATTEMPTS = 3
"""The number of times that a batch is sent again if its creation got lost and the vendor does not have it."""


class JobRunner:
    """A provider behind a ledger.

    Args:
        provider: where circuits run.
        run: folder of the ledger; the same folder finds what was sent before.
        max_cost: batches that would bring the ledger's sum above it are refused before they are sent; None allows none
            that cost anything.
        pricing: "vendor" asks the provider for an estimate, "azure" and "braket" are published formulas.
        batch_circuits: the most circuits in a job; the provider's limit holds too.
        retry_failed: send failed batches once more.
        say: called with a sentence when there is a wait.
        settle: seconds for which a job whose creation got lost is looked for before it is taken as not created.

    Raises:
        HilbertuneError: a refusal of the provider, or a spending limit, when circuits are sent.
    """

    def __init__(
        self,
        provider: Provider,
        run: Path,
        *,
        max_cost: float | None = None,
        pricing: Pricing = "vendor",
        batch_circuits: int | None = None,
        retry_failed: bool = False,
        say: Say = lambda _: None,
        settle: float = 60.0,
    ) -> None:
        self.offline = False
        """True to read results from the ledger only."""
        self.provider, self.max_cost, self.pricing = provider, max_cost, pricing
        self.retry_failed, self.say, self.settle = retry_failed, say, settle
        circuits, gates = provider.limits
        self.limits = min(circuits, batch_circuits or circuits), gates
        self.ledger = Ledger(run / "ledger.sqlite")
        self._occasions: dict[str, int] = {}
        self._prices: dict[tuple[int, ...], dict[str, Any]] = {}

    def counts(self, circuits: Sequence[BoundCircuit], shots: int) -> list[Counts]:
        """Return the outcomes of each circuit; batches that the ledger has results for are not sent.

        Raises:
            HilbertuneError: a batch would pass the spending limit, or failed; others were finished first, and another
                call continues.
        """
        batches = self.batches(circuits, shots)
        for hash_, own in batches:
            self._plan(hash_, own, shots)
        while True:
            for hash_, own in batches:
                self.send(hash_, own)
            if not self._collect(dict(batches)):
                break
        counts: list[Counts] = []
        for hash_, own in batches:
            results = self.ledger.results(hash_)
            counts += [results[i] for i in range(len(own))]
        return counts

    def batches(self, circuits: Sequence[BoundCircuit], shots: int) -> list[tuple[str, list[BoundCircuit]]]:
        """Return the circuits in jobs within the limits, each with its hash.

        The n-th time that the same job is asked for, it has a hash of its own.
        """
        batches: list[list[BoundCircuit]] = []
        room = 0
        for circuit in circuits:
            size = sum(circuit.counts(self.provider.gateset))
            if not batches or len(batches[-1]) >= self.limits[0] or size > room:
                batches.append([])
                room = self.limits[1]
            if size > room:
                raise HilbertuneError(
                    f"A circuit has {size} gates, but a job takes {room}: use fewer re-uploads or layers."
                )
            batches[-1].append(circuit)
            room -= size
        return [(self._hash(batch, shots), batch) for batch in batches]

    def _hash(self, circuits: Sequence[BoundCircuit], shots: int) -> str:
        about = [
            self.provider.settings(),
            shots,
            [[c.qubits, c.measured, [list(g) for g in c.gates]] for c in circuits],
        ]
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        occasion = self._occasions.get(key, 0)
        self._occasions[key] = occasion + 1
        return hashlib.sha256(f"{key} {occasion}".encode()).hexdigest()

    def price(self, circuit: BoundCircuit, shots: int) -> dict[str, Any]:
        """Return the price of one circuit; equal sizes are asked for once."""
        one, two = circuit.counts(self.provider.gateset)
        key = (shots, one, two, circuit.qubits)
        if key not in self._prices:
            if self.pricing == "vendor":
                self._prices[key] = self.provider.price(*key)
            else:
                self._prices[key] = formula(self.pricing, shots, one, two)
        return self._prices[key]

    def estimate_jobs(self, circuits: Sequence[BoundCircuit], shots: int) -> Estimate:
        """Return what measuring exactly these circuits would take; nothing is sent."""
        occasions = dict(self._occasions)
        batches = self.batches(circuits, shots)
        self._occasions = occasions
        prices = [self.price(c, shots) for c in circuits]
        one, two = self._gates(circuits)
        seconds = [p.get("seconds") for p in prices]
        return Estimate(
            batches=len(batches),
            circuits=len(circuits),
            shots=shots * len(circuits),
            one_qubit_gates=one,
            two_qubit_gates=two,
            cost=float(sum(p["cost"] for p in prices)),
            unit=prices[0]["unit"],
            source=prices[0]["source"],
            seconds=None if None in seconds else float(sum(s for s in seconds if s is not None)),
            queue_seconds=prices[0].get("queue_seconds"),
        )

    def _gates(self, circuits: Sequence[BoundCircuit]) -> tuple[int, int]:
        """Return the one- and two-qubit gates of all circuits."""
        one, two = np.array([c.counts(self.provider.gateset) for c in circuits]).sum(0).tolist()
        return one, two

    def _plan(self, hash_: str, circuits: Sequence[BoundCircuit], shots: int) -> None:
        """Write a batch down before anything is sent."""
        self.ledger.plan(
            hash_,
            self.provider.name,
            len(circuits),
            shots,
            self._gates(circuits),
            sum(self.price(c, shots)["cost"] for c in circuits),
            max(c.qubits for c in circuits),
        )

    def send(self, hash_: str, circuits: Sequence[BoundCircuit]) -> None:
        """Send a batch that was planned, unless it is at the vendor or done.

        Raises:
            HilbertuneError: it failed before, would pass the spending limit, or is refused.
        """
        batch = self.ledger.batch(hash_)
        if batch.state == "sending" and not self.offline:
            self._adopt(batch)
            batch = self.ledger.batch(hash_)
        if batch.state == "done":
            return
        if self.offline:
            raise HilbertuneError(
                f"Batch {batch.number} is {batch.state}: 'hilbertune qpu resume' finishes the run first."
            )
        if batch.state == "sent":
            return
        if batch.state in ("failed", "cancelled") and not self.retry_failed:
            raise HilbertuneError(
                f"Batch {batch.number} was {batch.state} ({batch.error}): resume with --retry-failed to send it again."
            )
        self._submit(batch, [circuits[i] for i in self._missing(hash_, circuits)])

    def _submit(self, batch: Batch, circuits: Sequence[BoundCircuit]) -> None:
        """Create the batch's job, and look whether it was created before it is sent again."""
        hash_ = batch.hash
        while True:
            self._afford(batch)
            self.ledger.sending(hash_)
            batch = self.ledger.batch(hash_)
            try:
                job = self.provider.submit(Mark(self.ledger.run, hash_, batch.attempts), circuits, batch.shots)
            except LostAnswerError as lost:
                self.say(f"{lost}; looking whether the job was created.")
                if self._adopt(batch):
                    return
                if batch.attempts >= ATTEMPTS:
                    raise HilbertuneError(f"{lost}, {ATTEMPTS} times, and no job was created: resume later.") from None
                continue
            except HilbertuneError as error:
                self.ledger.ended(hash_, "planned", str(error))
                raise
            self.ledger.sent(hash_, job)
            return

    def _afford(self, batch: Batch) -> None:
        """Raise HilbertuneError if the batch would pass the spending limit."""
        cost = batch.cost or 0.0
        if not cost:
            return
        spent = self.ledger.committed()
        if self.max_cost is None or spent + cost > self.max_cost * (1 + 1e-9):
            limit = "nothing was allowed" if self.max_cost is None else f"the limit is {self.max_cost:.2f}"
            raise HilbertuneError(
                f"This batch would cost {cost:.2f} after {spent:.2f} so far, and {limit}: raise --max-cost to go on."
            )

    def _adopt(self, batch: Batch) -> bool:
        """Take over the job of a batch that may have been created; without one, the batch may be sent again."""
        give_up = time.monotonic() + self.settle
        while True:
            found = self.provider.find(self.ledger.run, batch.hash)
            for job, attempt in found.items():
                if attempt == batch.attempts:
                    self.ledger.sent(batch.hash, job)
                    return True
            if time.monotonic() > give_up:
                self.ledger.ended(batch.hash, "planned", "its creation got lost")
                return False
            time.sleep(min(1.0, self.settle / 5))

    def _missing(self, hash_: str, circuits: Sequence[BoundCircuit]) -> list[int]:
        """Return the numbers of a batch's circuits that have no counts yet; all, unless a part of it failed."""
        have = self.ledger.results(hash_)
        return [i for i in range(len(circuits)) if i not in have]

    def _collect(self, batches: Mapping[str, Sequence[BoundCircuit]]) -> bool:
        """Wait until no batch is open; return whether some, which cost nothing, must be sent again.

        Raises:
            HilbertuneError: jobs failed or were cancelled; results of all others are kept first.
        """
        told: dict[str, str] = {}
        failures: list[str] = []
        again = False
        waiting = [h for h in batches if self.ledger.batch(h).state == "sent"]
        while waiting:
            for hash_ in list(waiting):
                batch = self.ledger.batch(hash_)
                assert batch.job is not None
                state, sentence = self.provider.status(batch.job)
                if state in ("waiting", "running"):
                    if told.get(hash_) != sentence:
                        self.say(sentence)
                        told[hash_] = sentence
                    continue
                waiting.remove(hash_)
                if state == "lost":
                    self.ledger.ended(hash_, "planned", sentence)
                    again = True
                    continue
                if state != "done":
                    failures.append(sentence)
                self._keep(batch, batches[hash_], state, sentence)
            if waiting:
                time.sleep(self.provider.wait)
        if failures:
            raise HilbertuneError(
                f"{'; '.join(failures)}: all other results are kept; resume with --retry-failed to send the rest again."
            )
        return again

    def _keep(self, batch: Batch, circuits: Sequence[BoundCircuit], state: str, sentence: str) -> None:
        """Write down what an ended job brought, and its bill."""
        assert batch.job is not None
        missing = self._missing(batch.hash, circuits)
        sent = [circuits[i] for i in missing]
        if state == "done":
            counts = dict(enumerate(self.provider.results(batch.job, sent)))
        else:
            counts = self.provider.partial(batch.job, sent)
            ended: Literal["failed", "cancelled"] = "cancelled" if state == "cancelled" else "failed"
            self.ledger.ended(batch.hash, ended, sentence)
        billed, kwh = self.provider.bill(batch.job)
        self.ledger.keep(batch.hash, {missing[i]: c for i, c in counts.items()}, billed, kwh)

    def cancel(self) -> list[int]:
        """Cancel every batch that is open at the vendor and return their numbers.

        A batch that may have been sent is looked for first.
        """
        stopped = []
        for batch in self.ledger.open_batches():
            if batch.state == "sending" and not self._adopt(batch):
                continue
            job = self.ledger.batch(batch.hash).job
            assert job is not None
            self.provider.cancel(job)
            if self.provider.status(job)[0] == "cancelled":
                self.ledger.ended(batch.hash, "cancelled", f"job {job} was cancelled")
                stopped.append(batch.number)
        return stopped

    def settle_by_hand(self, job: str | None) -> None:
        """Record that the one batch in doubt became this job or, with None, that it was not sent.

        Raises:
            HilbertuneError: no batch is in doubt, or more than one.
        """
        doubtful = [b for b in self.ledger.open_batches() if b.state == "sending"]
        if len(doubtful) != 1:
            raise HilbertuneError(f"{len(doubtful)} batches are in doubt, not one: leave --sent-as and --not-sent out.")
        if job is None:
            self.ledger.ended(doubtful[0].hash, "planned", "the user says that it was not sent")
        else:
            self.ledger.sent(doubtful[0].hash, job)
