"""Jobs waited for, and what they bring judged and written down before anything else is asked or done.

In: batches that are at the vendor, or may be.
Out: a ledger with their results and bills; one sentence about all that went otherwise, after the rest is kept.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hilbertune.circuit.binding import BoundCircuit
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger import SENDABLE, Batch, Counts
from hilbertune.hardware.outcomes import check_circuit, fault, wrong_order
from hilbertune.hardware.provider import NotThereError
from hilbertune.hardware.settling import DoubtError, Settling

TOLD_AGAIN = 600.0
"""Seconds after which an unchanged state of a job is told again."""


@dataclass(frozen=True)
class Part:
    """A batch that is asked for: its circuits, shots, and 1 if a circuit that checks the order of bits rides along.

    `other` is its hash if that were otherwise.
    """

    hash: str
    circuits: list[BoundCircuit]
    shots: int
    checks: int
    other: str = ""


class Collecting(Settling):
    """A ledger into which the results of jobs are collected."""

    retry_failed = False
    """True to send failed batches once more."""

    stays = True
    """False to look at each job once and leave: results that are not there yet are collected by a later call."""

    def state(self, part: Part) -> str:
        """Return the state of a batch; one that the ledger does not know is planned."""
        if not self.ledger.knows(part.hash):
            return "planned"
        batch = self.ledger.batch(part.hash)
        if (batch.circuits, batch.shots) != (len(part.circuits), part.shots):
            raise HilbertuneError(
                f"{self.ledger.path} was changed: batches.circuits or batches.shots of batch {batch.number} are not "
                "what was asked for; restore it from a copy."
            )
        return batch.state

    def cargo(self, part: Part, checks: int) -> tuple[list[int], list[BoundCircuit]]:
        """Return the numbers of a batch's circuits that have no counts yet, and what a job of them carries.

        That is all of them, unless a part of it failed; the checking circuit comes last.
        """
        have = self.ledger.results(part.hash)
        missing = [i for i in range(len(part.circuits)) if i not in have]
        checking = [check_circuit(max(c.qubits for c in part.circuits))] * checks
        return missing, [*(part.circuits[i] for i in missing), *checking]

    def why_not(self, batch: Batch) -> str | None:
        """Return why a batch is not sent although it has no results, None if it is not so."""
        if batch.state in SENDABLE[1:] and not self.retry_failed:
            return (
                f"Batch {batch.number} was {batch.state} ({batch.error}): resume with --retry-failed to send it again"
            )
        return None

    def gather(self, parts: Sequence[Part], before: HilbertuneError | None = None) -> bool:
        """Wait until no batch is open; return whether some, which cost nothing, must be sent again.

        Args:
            parts: the batches; those in doubt are looked for, and those that had vanished too.
            before: what went wrong before, to be told when all is collected; then nothing is looked for again.

        Raises:
            HilbertuneError: batches failed, vanished, were refused or are in doubt; results of all others are kept
                first.
        """
        troubles: list[str] = []
        again = False
        for part in parts:
            state = self.state(part)
            if state == "vanished":
                self._look_again(self.ledger.batch(part.hash))
            elif state == "sending" and before is None:
                try:
                    again |= not self.find_again(self.ledger.batch(part.hash))
                except DoubtError as doubt:
                    troubles.append(_clause(doubt))
        sent = [part for part in parts if self.state(part) == "sent"]
        again |= self._collect(list(sent), troubles)
        self._look_for_twins([part.hash for part in sent])
        if before is not None:
            troubles.append(_clause(before))
        told = len(troubles)
        for part in parts:
            batch = self.ledger.batch(part.hash) if self.ledger.knows(part.hash) else None
            if batch is None:
                continue
            if batch.state == "vanished" and not any(str(batch.job) in trouble for trouble in troubles):
                troubles.append(self.settled_by(batch, str(batch.error), "ask the vendor for it"))
            elif not told and (why := self.why_not(batch)):
                troubles.append(why)
        if troubles:
            rest = "; all other results are kept" if any(self.state(part) == "done" for part in parts) else ""
            raise HilbertuneError(f"{'; '.join(dict.fromkeys(troubles))}{rest}.")
        return again

    def _look_again(self, batch: Batch) -> None:
        """Take a job that had vanished back if the vendor knows it now."""
        assert batch.job is not None
        try:
            self.provider.status(batch.job)
        except NotThereError:
            return
        self.ledger.sent(batch.hash, batch.job)

    def _collect(self, waiting: list[Part], troubles: list[str]) -> bool:
        """Wait for jobs and keep what they bring; return whether some are lost that cost nothing."""
        told: dict[str, tuple[str, float]] = {}
        again = False
        while waiting:
            for part in list(waiting):
                batch = self.ledger.batch(part.hash)
                assert batch.job is not None
                try:
                    state, sentence = self.provider.status(batch.job)
                    if state not in ("waiting", "running", "lost"):
                        self._keep(batch, part, state, sentence, troubles)
                except NotThereError as error:
                    state, sentence = "waiting", f"job {batch.job} is not there yet"
                    if said := self.gone(batch, error):
                        troubles.append(said)
                        state = "vanished"
                if state in ("waiting", "running"):
                    self._tell(told, part.hash, sentence)
                    continue
                waiting.remove(part)
                if state == "lost":
                    self.ledger.ended(part.hash, "planned", sentence)
                    again = True
            if waiting and not self.stays:
                break
            if waiting:
                time.sleep(self.provider.wait)
        return again

    def _tell(self, told: dict[str, tuple[str, float]], hash_: str, sentence: str) -> None:
        """Say what a job is doing if that is new, and now and then if it is not."""
        before, when = told.get(hash_, ("", 0.0))
        if before != sentence or time.monotonic() - when > TOLD_AGAIN:
            self.say(sentence)
            told[hash_] = sentence, time.monotonic()

    def _keep(self, batch: Batch, part: Part, state: str, sentence: str, troubles: list[str]) -> None:
        """Write down what an ended job brought, and only then ask for its bill."""
        assert batch.job is not None
        missing, cargo = self.cargo(part, batch.checks)
        try:
            if state == "done":
                answer: Any = self.provider.results(batch.job, cargo)
                why = _untrue(answer, cargo, batch)
            else:
                answer, why = self.provider.partial(batch.job, cargo), None
                if why := _untrue_part(answer, cargo, batch):
                    answer = [answer.get(i) for i in range(len(cargo))]
        except NotThereError:
            raise
        except HilbertuneError as error:  # the vendor has them still, and others are collected first
            troubles.append(
                f"{_clause(error)} (batch {batch.number}; if that stays so, 'hilbertune qpu resume' with --batch "
                f"{batch.number} --not-sent pays for it again)"
            )
            return
        if why:
            why = f"the results of job {batch.job} (batch {batch.number}) cannot be right: {why}"
            self.ledger.refuse(batch.hash, answer, why)
            troubles.append(
                f"{why}; they are kept apart and were not used: ask the vendor, then resume with --accept "
                f"{batch.number} to take them as they are, or with --retry-failed to pay again"
            )
        elif state == "done":
            self.ledger.keep(batch.hash, {missing[i]: _plain(answer[i]) for i in range(len(missing))})
        else:
            self.ledger.keep(batch.hash, {missing[i]: _plain(own) for i, own in answer.items() if i < len(missing)})
            self.ledger.ended(batch.hash, "cancelled" if state == "cancelled" else "failed", sentence)
            troubles.append(f"{sentence}: resume with --retry-failed to send the rest again")
        self.bill(batch.job)

    def accept(self, number: int, parts: Sequence[Part]) -> None:
        """Take the results of a batch that were refused as they are.

        Raises:
            HilbertuneError: the batch has none, or they are not even counts.
        """
        with self.owner.hold():
            batch = next((b for b in self.ledger.batches() if b.number == number), None)
            part = next((p for p in parts if batch is not None and p.hash == batch.hash), None)
            answer = None if batch is None or batch.state != "refused" else self.ledger.refused(batch.hash)
            if part is None or answer is None:
                raise HilbertuneError(f"Batch {number} has no refused results to accept: see 'hilbertune qpu status'.")
            missing, cargo = self.cargo(part, 0)
            own = answer[: len(cargo)] if isinstance(answer, list) else answer
            if why := fault(own, cargo, part.shots):
                raise HilbertuneError(f"The results of batch {number} cannot be used at all: {why}.")
            self.ledger.keep(part.hash, {missing[i]: _plain(counts) for i, counts in enumerate(own)})

    def _look_for_twins(self, hashes: Sequence[str]) -> None:
        """Look for jobs that were made twice; a side request, so the results stand without it."""
        try:
            self.look_for_extras(hashes)
        except HilbertuneError:
            self.say("Whether the vendor made a job twice could not be looked up: look at your jobs there.")

    def kept(self, part: Part) -> list[Counts]:
        """Return the counts of a batch's circuits from the ledger, each with as many bits as it was measured on."""
        results = self.ledger.results(part.hash)
        counts = [results.get(i) for i in range(len(part.circuits))]
        if why := fault(counts, part.circuits, part.shots):
            number = self.ledger.batch(part.hash).number
            raise HilbertuneError(f"{self.ledger.path} was changed: of batch {number}, {why}; restore it from a copy.")
        return [own for own in counts if own is not None]


def _untrue(answer: Any, cargo: Sequence[BoundCircuit], batch: Batch) -> str | None:
    """Return what cannot be true of a job's results, None if nothing."""
    if why := fault(answer, cargo, batch.shots):
        return why
    return wrong_order(answer[-1]) if batch.checks else None


def _untrue_part(answer: Any, cargo: Sequence[BoundCircuit], batch: Batch) -> str | None:
    """Return what cannot be true of the results that a job had before it failed, None if nothing."""
    for number, own in answer.items():
        if not 0 <= number < len(cargo):
            return f"there is a result of circuit {number + 1}, but it has {len(cargo)}"
        if why := fault([own], [cargo[number]], batch.shots):
            return why.replace("circuit 1", f"circuit {number + 1}")
    known = answer.get(len(cargo) - 1) if batch.checks else None
    return wrong_order(known) if known else None


def _clause(error: HilbertuneError) -> str:
    return str(error).rstrip(".")


def _plain(counts: Any) -> Counts:
    """Return counts with numbers that JSON takes."""
    return {str(bits): float(value) for bits, value in counts.items()}
