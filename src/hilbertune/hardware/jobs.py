"""Circuits measured in jobs: batched, written down, priced, capped, sent, adopted after a crash, collected.

In: bound circuits, a provider (IonQ's cloud, or any Qiskit backend), a folder for the ledger, a spending limit.
Out: the counts of each circuit; the same call after a crash finds its batches in the ledger, and nothing is paid twice.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.circuit.binding import BoundCircuit
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.collecting import Collecting, Part
from hilbertune.hardware.ledger import SENDABLE, Batch, Counts
from hilbertune.hardware.outcomes import check_circuit
from hilbertune.hardware.pricing import Estimate, Pricing, checked_limit, checked_price, formula, same_unit
from hilbertune.hardware.provider import LostAnswerError, Mark, Provider, Say
from hilbertune.hardware.settling import SETTLE, DoubtError

ATTEMPTS = 3
"""The number of times that a batch which costs nothing is sent if its creation gets lost every time."""

Group = tuple[Sequence[BoundCircuit], int]
"""Circuits that are measured together, and their shots."""

Ahead = Callable[[], float]
"""What later measurements cost at most, asked for only if something is to be sent."""


def _nothing() -> float:
    return 0.0


class JobRunner(Collecting):
    """A provider behind a ledger.

    Args:
        provider: where circuits run.
        run: folder of the ledger; the same folder finds what was sent before.
        max_cost: circuits that would bring the ledger's sum above it are refused before the first is sent; None allows
            none that cost anything.
        pricing: "vendor" asks the provider for an estimate, "azure" and "braket" are published formulas.
        batch_circuits: the most circuits in a job; the provider's limit holds too.
        retry_failed: send failed batches once more.
        say: called with a sentence when there is a wait.
        settle: seconds for which a job whose creation got lost is looked for before it is left in doubt.

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
        settle: float = SETTLE,
    ) -> None:
        super().__init__(provider, run, say, settle)
        self.offline = False
        """True to read results from the ledger only."""
        self.max_cost, self.pricing = max_cost, pricing
        self.retry_failed = retry_failed
        self.check = not self.free
        """True to let a circuit whose answer is known ride in each job, and to refuse results that contradict it."""
        if batch_circuits is not None and batch_circuits < 1:
            raise HilbertuneError(f"batch_circuits must be at least 1, not {batch_circuits}.")
        self._batch_circuits = batch_circuits
        self._limits: tuple[int, int] | None = None
        self._occasions: dict[str, int] = {}
        self._prices: dict[tuple[int, ...], dict[str, Any]] = {}

    @property
    def max_cost(self) -> float | None:
        """The spending limit."""
        return self._max_cost

    @max_cost.setter
    def max_cost(self, limit: float | None) -> None:
        self._max_cost = checked_limit(limit)

    @property
    def limits(self) -> tuple[int, int]:
        """The most circuits and gates of rows in a job.

        They decide about hashes, so a ledger keeps those that it was begun with: the vendor's, less the circuit that
        checks the order of bits.
        """
        if self._limits is None:
            begun = (self.folder / "ledger.sqlite").exists()
            if begun and (known := self.ledger.provider_facts()) is not None:
                self._limits = known[2]
            else:
                room = int(self.check and not (begun and self.ledger.batches()))
                circuits, gates = self.provider.limits
                self._limits = max(1, circuits - room), gates - room
        circuits, gates = self._limits
        return min(circuits, self._batch_circuits or circuits), gates

    def counts(self, circuits: Sequence[BoundCircuit], shots: int, *, ahead: Ahead = _nothing) -> list[Counts]:
        """Return the outcomes of each circuit; batches that the ledger has results for are not sent.

        Args:
            circuits: what to measure.
            shots: of each circuit.
            ahead: gives what measurements that follow from this one will cost at most; they must be within the limit
                too before anything is sent.

        Raises:
            HilbertuneError: all of it would pass the spending limit, or batches failed; others were finished first, and
                another call continues.
        """
        return self.measure([(circuits, shots)], ahead=ahead)[0]

    def measure(self, groups: Sequence[Group], *, ahead: Ahead = _nothing) -> list[list[Counts]]:
        """Return the outcomes of each circuit of each group; what is paid is collected first, then all are sent."""
        own = [self._parts(circuits, shots) for circuits, shots in groups]
        every = [part for parts in own for part in parts]
        if self.offline:
            self._require_done(every)
        else:
            with self.owner.hold():
                self._work(every, ahead)
            if not self.stays:
                self._require_done(every)
        return [[counts for part in parts for counts in self.kept(part)] for parts in own]

    def send_out(self, groups: Sequence[Group]) -> None:
        """Collect what is paid, then send what is not sent, all of it or nothing, within the spending limit.

        With `stays` False nothing is waited for: a later call collects.

        Raises:
            HilbertuneError: as `counts`.
        """
        with self.owner.hold():
            self._work(self.parts(groups), _nothing)

    def collect(self, groups: Sequence[Group]) -> None:
        """Collect what was sent of these circuits, and settle what may have been; nothing is sent.

        Raises:
            HilbertuneError: batches failed, vanished or stay in doubt; all others were collected first.
        """
        with self.owner.hold():
            self.gather(self.parts(groups))

    def remainder(self, groups: Sequence[Group]) -> tuple[float, str]:
        """Return what it will cost to send what is not sent yet, and the unit."""
        left = [part for part in self.parts(groups) if self._is_to_send(part)]
        return self._cost(left), self._unit(left)

    def finished(self, groups: Sequence[Group]) -> bool:
        """Return True if the ledger has the results of all these circuits."""
        return all(self.state(part) == "done" for part in self.parts(groups))

    def batches(self, circuits: Sequence[BoundCircuit], shots: int) -> list[tuple[str, list[BoundCircuit]]]:
        """Return the circuits in jobs within the limits, each with its hash.

        The n-th time that the same job is asked for, it has a hash of its own.
        """
        return [(part.hash, part.circuits) for part in self._parts(circuits, shots)]

    def parts(self, groups: Sequence[Group]) -> list[Part]:
        """Return the batches of the next `measure` of the same groups."""
        occasions = dict(self._occasions)
        parts = [part for circuits, shots in groups for part in self._parts(circuits, shots)]
        self._occasions = occasions
        return parts

    def _parts(self, circuits: Sequence[BoundCircuit], shots: int) -> list[Part]:
        return [self._part(batch, shots) for batch in self._split(circuits)]

    def _split(self, circuits: Sequence[BoundCircuit]) -> list[list[BoundCircuit]]:
        """Return the circuits in jobs within the limits."""
        batches: list[list[BoundCircuit]] = []
        room = 0
        for circuit, gates in zip(circuits, self._counted(circuits), strict=True):
            size = sum(gates)
            if not batches or len(batches[-1]) >= self.limits[0] or size > room:
                batches.append([])
                room = self.limits[1]
            if size > room:
                raise HilbertuneError(
                    f"A circuit has {size} gates, but a job takes {room}: use fewer re-uploads or layers."
                )
            batches[-1].append(circuit)
            room -= size
        return batches

    def _rides(self, circuits: Sequence[BoundCircuit]) -> int:
        """Return 1 if a circuit that checks the order of bits rides with these: where there is an order, and room."""
        room = len(circuits) < self.provider.limits[0]
        return int(self.check and room and max(c.qubits for c in circuits) > 1)

    def _part(self, circuits: list[BoundCircuit], shots: int) -> Part:
        """Return a batch with its hash; what the ledger has without a checking circuit, or with one, stays so."""
        about = [
            self.provider.settings(),
            shots,
            [[c.qubits, c.measured, [g.facts() for g in c.gates]] for c in circuits],
        ]
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        occasion = self._occasions.get(key, 0)
        self._occasions[key] = occasion + 1
        hashes = [hashlib.sha256(f"{key} {occasion}{end}".encode()).hexdigest() for end in ("", " checked")]
        checks = self._rides(circuits)
        if not self.ledger.begun(hashes[checks]) and self.ledger.begun(hashes[1 - checks]):
            checks = 1 - checks
        return Part(hashes[checks], circuits, shots, checks, hashes[1 - checks])

    def _is_to_send(self, part: Part) -> bool:
        state = self.state(part)
        return state == "planned" or (self.retry_failed and state in SENDABLE)

    def price(self, circuit: BoundCircuit, shots: int) -> dict[str, Any]:
        """Return the price of one circuit; equal sizes are asked for once.

        Raises:
            HilbertuneError: the vendor gives no usable estimate.
        """
        return self._price(circuit.counts(self.provider.gateset), circuit.qubits, shots)

    def _price(self, gates: tuple[int, int], qubits: int, shots: int) -> dict[str, Any]:
        one, two = gates
        key = (shots, one, two, qubits)
        if key not in self._prices:
            said = self.provider.price(*key) if self.pricing == "vendor" else formula(self.pricing, shots, one, two)
            self._prices[key] = checked_price(said, self.provider.name)
        return self._prices[key]

    def estimate_jobs(self, circuits: Sequence[BoundCircuit], shots: int) -> Estimate:
        """Return what measuring exactly these circuits would take; nothing is sent."""
        return self.estimate_groups([(circuits, shots)])

    def estimate_groups(self, groups: Sequence[Group]) -> Estimate:
        """Return what measuring exactly these groups of circuits would take; nothing is sent."""
        batches = [(batch, shots) for circuits, shots in groups for batch in self._split(circuits)]
        rows = [(circuit, shots) for batch, shots in batches for circuit in batch]
        checks = [(check_circuit(max(c.qubits for c in batch)), n) for batch, n in batches if self._rides(batch)]
        priced = [*rows, *checks]
        gates = self._counted([circuit for circuit, _ in priced])
        prices = [self._price(own, circuit.qubits, n) for own, (circuit, n) in zip(gates, priced, strict=True)]
        one, two = np.array(gates[: len(rows)]).sum(0).tolist()
        seconds = [p["seconds"] for p in prices]
        whole = {**prices[0], "cost": sum(p["cost"] for p in prices)}
        return Estimate(
            batches=len(batches),
            circuits=len(rows),
            shots=sum(shots for _, shots in rows),
            one_qubit_gates=one,
            two_qubit_gates=two,
            cost=checked_price(whole, self.provider.name)["cost"],
            unit=same_unit({p["unit"] for p in prices if p["cost"]} or {prices[0]["unit"]}),
            source=prices[0]["source"],
            seconds=None if None in seconds else float(sum(seconds)),
            queue_seconds=prices[0]["queue_seconds"],
            checks=len(checks),
            check_cost=float(sum(p["cost"] for p in prices[len(rows) :])),
        )

    def _gates(self, circuits: Sequence[BoundCircuit]) -> tuple[int, int]:
        """Return the one- and two-qubit gates of all circuits."""
        one, two = np.array(self._counted(circuits)).sum(0).tolist()
        return one, two

    def _counted(self, circuits: Sequence[BoundCircuit]) -> list[tuple[int, int]]:
        """Return the one- and two-qubit gates of each circuit; one that is there many times is counted once."""
        counts = {id(own): own.counts(self.provider.gateset) for own in {id(c): c for c in circuits}.values()}
        return [counts[id(circuit)] for circuit in circuits]

    def _cost(self, parts: Sequence[Part]) -> float:
        return float(sum(self.price(c, p.shots)["cost"] for p in parts for c in self.cargo(p, p.checks)[1]))

    def _unit(self, parts: Sequence[Part]) -> str:
        """Return the unit of what is to be paid, the same as that of what was."""
        prices = [self.price(c, p.shots) for p in parts for c in p.circuits]
        paid = {b.unit for b in self.ledger.batches() if b.cost and b.unit is not None}
        return same_unit({p["unit"] for p in prices if p["cost"]} | paid)

    def _work(self, parts: Sequence[Part], ahead: Ahead) -> None:
        """Bring every batch to its results: collect what is paid, check what is not, send it, collect it."""
        self._note_provider()
        self.gather(parts)
        for _ in range(ATTEMPTS):
            self._plan(parts)
            if not self.gather(parts, self._send_all(parts, ahead)):
                return
        raise HilbertuneError(f"{self.provider.name} lost jobs {ATTEMPTS} times: resume later.")

    def _note_provider(self) -> None:
        """Write down what makes a hash, so that results can be read without the vendor."""
        own = self.provider
        if self.ledger.provider_facts() is None:
            _ = self.limits  # of this ledger, from now on
            facts = {"name": own.name, "gateset": own.gateset, "limits": self._limits, "settings": own.settings()}
            self.ledger.note("provider", facts)

    def _plan(self, parts: Sequence[Part]) -> None:
        """Write batches down before any is sent."""
        left = [part for part in parts if self._is_to_send(part)]
        unit = self._unit(left)
        for part in left:
            self.ledger.forget(part.other)
            self.ledger.plan(
                part.hash,
                self.provider.name,
                len(part.circuits),
                part.shots,
                self._gates(part.circuits),
                self._cost([part]),
                max(c.qubits for c in part.circuits),
                checks=part.checks,
                unit=unit,
            )

    def _send_all(self, parts: Sequence[Part], ahead: Ahead) -> HilbertuneError | None:
        """Send what is not sent, if all of it is within the limit; return what stopped it, if something did."""
        left = [part for part in parts if self._is_to_send(part)]
        if left:
            self.ledger.afford(self._cost(left) + ahead(), self.max_cost)
        for number, part in enumerate(left):
            try:
                self._submit(self.ledger.batch(part.hash), part)
            except HilbertuneError as error:
                if number:
                    self.say(f"{error} What was sent before is collected first.")
                return error
        return None

    def send(self, hash_: str, circuits: Sequence[BoundCircuit]) -> None:
        """Send one batch that was planned, unless it is at the vendor or done.

        Raises:
            HilbertuneError: it failed before, would pass the spending limit, is refused or in doubt.
        """
        batch = self.ledger.batch(hash_)
        part = Part(hash_, list(circuits), batch.shots, batch.checks)
        with self.owner.hold():
            if batch.state == "sending":
                self.find_again(batch)
            if why := self.why_not(self.ledger.batch(hash_)):
                raise HilbertuneError(f"{why}.")
            if self._is_to_send(part):
                self._submit(self.ledger.batch(hash_), part)

    def _submit(self, batch: Batch, part: Part) -> None:
        """Create the batch's job; what is lost is looked for, and sent again only if it costs nothing."""
        for _ in range(ATTEMPTS):
            if (batch.attempts or batch.cost) and self._was_there(batch):
                return
            missing, cargo = self.cargo(part, batch.checks)
            if not missing:
                self.ledger.keep(batch.hash, {})
                return
            batch = self.ledger.sending(batch.hash, seen=batch, limit=self.max_cost)
            try:
                job = self.provider.submit(Mark(self.ledger.run, batch.hash, batch.attempts), cargo, batch.shots)
            except LostAnswerError as lost:
                self.say(f"{str(lost).rstrip('.')}; looking whether the job of batch {batch.number} was created.")
                if self.find_again(batch, _seconds(getattr(lost, "retry_after", None))):
                    return
                batch, last = self.ledger.batch(batch.hash), lost
                continue
            except HilbertuneError as error:
                self.ledger.ended(batch.hash, "planned", str(error))
                raise
            self.ledger.sent(batch.hash, job)
            return
        raise HilbertuneError(f"{str(last).rstrip('.')}, {ATTEMPTS} times, and no job was created: resume later.")

    def _was_there(self, batch: Batch) -> bool:
        """Look for every attempt of a batch that is about to be sent; take over one that is not known.

        A copy of the run directory, or a ledger restored from an older copy, may have sent it.
        """
        try:
            return not self.free and self._take_over(batch)
        except DoubtError:  # whoever allowed to send it again could look, or said so
            return False

    def _require_done(self, parts: Sequence[Part]) -> None:
        then = f"'hilbertune qpu resume {self.folder}' finishes the run first."
        for part in parts:
            if not self.ledger.knows(part.hash):
                raise HilbertuneError(f"Not everything was sent yet: {then}")
            batch = self.ledger.batch(part.hash)
            if batch.state != "done":
                where = f"at the vendor as job {batch.job}" if batch.state == "sent" else batch.state
                raise HilbertuneError(f"Batch {batch.number} is {where}: {then}")


def _seconds(value: Any) -> float:
    """Return how long a vendor asks to wait, 0 where it does not say."""
    return float(value) if isinstance(value, int | float) and 0 < value < float("inf") else 0.0
