"""Jobs that may or may not exist: lost answers, jobs that vanished, jobs made twice, bills that have not come yet.

In: a ledger and a provider.
Out: a ledger that agrees with the vendor, or a batch left in doubt for a person. Nothing is sent from here, and what
may be paid already is never taken as not sent because nobody has found it.
"""

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger import Batch, Extra, Ledger
from hilbertune.hardware.owner import Owner
from hilbertune.hardware.pricing import amount_or_none
from hilbertune.hardware.provider import NotThereError, Provider, Say

SETTLE = 600.0
"""Seconds for which a job whose creation got lost is looked for; vendors have listed jobs a minute late."""

FREE_SETTLE = 60.0
"""The same where nothing is paid and the batch is sent again."""

_LONGEST_PAUSE = 30.0

_RECENT = 7 * 86_400.0
"""Seconds for which a job that was made twice may turn up."""


def to_look_for(ledger: Ledger) -> list[str]:
    """Return the batches of which a second job may be listed by now that was not when they were last looked for."""
    recent = [b for b in ledger.batches() if b.state == "done" and (b.sent_at or 0.0) > time.time() - _RECENT]
    return [b.hash for b in recent if _looked_at(ledger, b.hash) < (b.sent_at or 0.0) + SETTLE]


def _looked_at(ledger: Ledger, hash_: str) -> float:
    """Return when the extra jobs of a batch were looked for last, 0 if never."""
    match ledger.fact(f"looked {hash_}"):
        case [int() | float() as when]:
            return when
    return 0.0


class DoubtError(HilbertuneError):
    """A batch of which nobody knows whether it was sent."""


class Settling:
    """A ledger, the provider of its jobs, and the owner of its folder.

    Args:
        provider: where circuits run.
        run: folder of the ledger.
        say: called with a sentence when there is a wait.
        settle: seconds for which a job whose creation got lost is looked for.
    """

    def __init__(self, provider: Provider, run: Path, say: Say, settle: float) -> None:
        if not 0 <= settle < math.inf:
            raise HilbertuneError(f"settle must be a finite number of seconds, not {settle}.")
        self.provider, self.say, self.settle = provider, say, settle
        self.folder, self.owner = run, Owner(run)
        self._ledger: Ledger | None = None

    @property
    def ledger(self) -> Ledger:
        """The ledger of the folder, made when it is first asked for."""
        if self._ledger is None:
            self._ledger = Ledger(self.folder / "ledger.sqlite")
        return self._ledger

    @property
    def free(self) -> bool:
        """True where jobs run on this machine and end with their process."""
        return bool(getattr(self.provider, "free", False))

    def costs_nothing(self, batch: Batch) -> bool:
        """Return True if sending a batch twice is surely not paid twice: the vendor itself calls it free."""
        return self.free or (batch.cost == 0 and getattr(self.provider, "backend", None) == "simulator")

    def find_again(self, batch: Batch, pause: float = 0.0) -> bool:
        """Look for the job of a batch that may have been sent, and take it over; return True if it was found.

        Every job that carries the batch's mark counts, whichever attempt it is of; further ones are noted as extra.
        What costs nothing is given up after a while and may be sent again.

        Args:
            batch: in the state "sending".
            pause: seconds that the vendor asked for before the next request.

        Raises:
            DoubtError: the time is over, or nobody can look; the batch stays in doubt.
        """
        if self.free:
            self.ledger.ended(batch.hash, "planned", "it ended with the process that ran it")
            return False
        free = self.costs_nothing(batch)
        patience = min(self.settle, FREE_SETTLE) if free else self.settle
        # A crash long ago leaves nothing to wait for.
        waited = max(0.0, time.time() - (batch.sent_at or 0.0))
        give_up = time.monotonic() + max(0.0, patience - waited)
        rest = min(1.0, patience / 5)
        time.sleep(min(pause, 60.0)) if pause > 0 else None
        while True:
            if self._take_over(batch):
                return True
            left = give_up - time.monotonic()
            if left <= 0:
                break
            self.say(
                f"The job of batch {batch.number} is not listed yet; looking for {_duration(left)} more "
                "(Ctrl-C leaves it in doubt, and 'hilbertune qpu resume' looks again)."
            )
            time.sleep(min(rest, max(left, 0.0)))
            rest = min(2 * rest, _LONGEST_PAUSE)
        if free:
            self.ledger.ended(batch.hash, "planned", "its creation got lost")
            return False
        why = f"a job may have been created that was not listed within {_duration(patience)}, and none is sent again"
        raise DoubtError(f"{self.settled_by(batch, why, f'look for {batch.hash[:12]} among your jobs there')}.")

    def _take_over(self, batch: Batch) -> bool:
        """Look once for the jobs of a batch in doubt; adopt one and note the others."""
        try:
            found = self.provider.find(self.ledger.run, batch.hash)
        except HilbertuneError as error:
            why = f"a job may have been created that cannot be looked for ({str(error).rstrip('.')})"
            raise DoubtError(f"{self.settled_by(batch, why, 'look at your jobs there')}.") from None
        known = self.ledger.jobs()
        new = [job for job in found if job not in known]
        if not new:
            return False
        own = min(new, key=lambda job: found[job] != batch.attempts)
        self.ledger.sent(batch.hash, own)
        self.say(f"Batch {batch.number} was sent as job {own}.")
        for job in new:
            if job != own:
                self._note_extra(job, batch)
        return True

    def _note_extra(self, job: str, batch: Batch) -> None:
        if self.ledger.extra(job, batch.hash):
            self.say(
                f"Job {job} carries the mark of batch {batch.number}, which is job "
                f"{self.ledger.batch(batch.hash).job}: the vendor made it twice and may bill both; "
                f"'hilbertune qpu cancel {self.folder} --extra' cancels it."
            )

    def gone(self, batch: Batch, error: HilbertuneError) -> str | None:
        """Note that the vendor does not know a batch's job; return the sentence, None while it may be too new."""
        if time.time() - (batch.sent_at or 0.0) < self.settle and batch.state != "vanished":
            return None
        why = f"job {batch.job} is not at the vendor any more"
        self.ledger.ended(batch.hash, "vanished", why)
        return self.settled_by(batch, f"{why} ({str(error).rstrip('.')})", "ask the vendor for it")

    def settled_by(self, batch: Batch, why: str, look: str) -> str:
        """Return the sentence, without its full stop, about a batch that a person must settle."""
        return (
            f"{why} (batch {batch.number}): {look}, then use 'hilbertune qpu resume' with --batch {batch.number} and "
            "--sent-as ID or --not-sent; 'hilbertune qpu resume' alone looks again"
        )

    def settle_by_hand(self, job: str | None, number: int | None = None) -> None:
        """Record that a batch in doubt became this job or, with None, that it was not sent.

        Args:
            job: the vendor's id.
            number: the batch; default the only one in doubt.

        Raises:
            HilbertuneError: no batch is in doubt, or more than one and none is named; the job does not exist or is
                another batch's; or the vendor does list a job of a batch that is said not to be sent.
        """
        with self.owner.hold():
            batch = self._doubtful(number)
            if job is None:
                self._not_sent(batch)
                return
            owner = self.ledger.jobs().get(job)
            if owner is not None and owner != batch.hash:
                other = self.ledger.batch(owner).number
                raise HilbertuneError(f"Job {job} is that of batch {other}, not of {batch.number}: check the id.")
            self._check_job(job, batch)
            self.ledger.sent(batch.hash, job)

    def _doubtful(self, number: int | None) -> Batch:
        """Return the batch that is to be settled."""
        batches = self.ledger.batches()
        doubtful = [b for b in batches if b.state in ("sending", "vanished")]
        if number is None:
            if len(doubtful) != 1:
                named = f" ({', '.join(str(b.number) for b in doubtful)}): name one with --batch."
                raise HilbertuneError(
                    f"{len(doubtful)} batches are in doubt, not one"
                    + (named if doubtful else ": leave --sent-as and --not-sent out.")
                )
            return doubtful[0]
        batch = next((b for b in batches if b.number == number), None)
        if batch is None:
            raise HilbertuneError(f"There is no batch {number}: 'hilbertune qpu status' lists them.")
        if batch.state == "sent" and batch.job is not None:
            try:
                if self.provider.status(batch.job)[0] not in ("waiting", "running"):
                    return batch  # it ended, and its results cannot be had
            except NotThereError:
                return batch
        if batch not in doubtful:
            raise HilbertuneError(f"Batch {number} is {batch.state}, not in doubt: there is nothing to settle.")
        return batch

    def _not_sent(self, batch: Batch) -> None:
        if batch.state == "sending":
            try:
                there = self._take_over(batch)
            except DoubtError:  # nobody but the user can look
                there = False
            if there:
                return
        else:
            self.ledger.ended(batch.hash, "vanished", f"job {batch.job} brings no results")
        self.ledger.ended(batch.hash, "planned", "the user says that it was not sent")

    def _check_job(self, job: str, batch: Batch) -> None:
        """Raise HilbertuneError unless a job exists and may be that of a batch."""
        try:
            self.provider.status(job)
        except NotThereError:
            raise HilbertuneError(f"The vendor has no job {job}: check the id.") from None
        ask = getattr(self.provider, "about", None)
        about: dict[str, Any] = ask(job) if ask is not None else {}
        mark = (about.get("run") or self.ledger.run, about.get("hash") or batch.hash)
        if mark != (self.ledger.run, batch.hash):
            raise HilbertuneError(f"Job {job} carries the mark of another batch than {batch.number}: check the id.")
        if about.get("hash"):
            return
        wanted = {"shots": batch.shots, "circuits": batch.circuits + batch.checks}
        for name, value in wanted.items():
            if about.get(name) is not None and about[name] != value and not self.ledger.results(batch.hash):
                raise HilbertuneError(
                    f"Job {job} has {about[name]} {name}, but batch {batch.number} has {value}: check the id."
                )

    def look_for_extras(self, hashes: Iterable[str]) -> None:
        """Note every job that carries the mark of one of these batches and is not its own.

        Raises:
            HilbertuneError: the vendor cannot be asked.
        """
        for hash_ in hashes:
            known = self.ledger.jobs()
            found = {} if self.free else self.provider.find(self.ledger.run, hash_)
            self.ledger.note(f"looked {hash_}", [math.inf if self.free else time.time()])
            batch = self.ledger.batch(hash_)
            for job in found:
                if job not in known and batch.state not in ("planned", "sending"):
                    self._note_extra(job, batch)

    def ask_for_bills(self) -> None:
        """Ask for the bills that are not known; what the vendor does not say now is asked for again later."""
        for job in self.ledger.unbilled():
            self.bill(job)

    def bill(self, job: str) -> None:
        """Write down what a job cost and took, as far as the vendor says it; nothing fails with this side request."""
        try:
            billed, kwh = self.provider.bill(job)
        except Exception as error:
            self.say(f"The bill of job {job} is not known yet ({' '.join(str(error).split())[:200].rstrip('.')}).")
            return
        self.ledger.charge(job, amount_or_none(billed), amount_or_none(kwh))

    def cancel(self) -> list[int]:
        """Cancel every batch that is open at the vendor and return their numbers.

        A batch that may have been sent is looked for once, and stays in doubt if it is not found.

        Raises:
            HilbertuneError: some could not be cancelled; all others were.
        """
        stopped: list[int] = []
        failures = []
        with self.owner.hold():
            for batch in list(self.ledger.open_batches()):
                try:
                    if self._cancelled(batch):
                        stopped.append(batch.number)
                except HilbertuneError as error:
                    failures.append(f"batch {batch.number}: {str(error).rstrip('.')}")
        if failures:
            done = f"{len(stopped)} batches were cancelled; not cancelled: " if stopped else "Not cancelled: "
            raise HilbertuneError(f"{done}{'; '.join(failures)}.")
        return stopped

    def _cancelled(self, batch: Batch) -> bool:
        if batch.state == "sending":
            if self.free:
                self.ledger.ended(batch.hash, "planned", "it ended with the process that ran it")
                return False
            if not self._take_over(batch):
                raise HilbertuneError("it may have been sent, and its job is not listed; look again later")
            batch = self.ledger.batch(batch.hash)
        assert batch.job is not None
        self.provider.cancel(batch.job)
        if self.provider.status(batch.job)[0] != "cancelled":
            return False
        self.ledger.ended(batch.hash, "cancelled", f"job {batch.job} was cancelled")
        self.bill(batch.job)
        return True

    def cancel_extras(self) -> list[Extra]:
        """Look for jobs that were made twice, cancel the extra ones, and return all of them with their states.

        Raises:
            HilbertuneError: the vendor cannot be asked.
        """
        with self.owner.hold():
            self.look_for_extras([b.hash for b in self.ledger.batches()])
            for extra in self.ledger.extras():
                try:
                    self.provider.cancel(extra.job)
                    self.ledger.extra_is(extra.job, self.provider.status(extra.job)[0])
                except NotThereError:
                    self.ledger.extra_is(extra.job, "vanished")
                    continue
                self.bill(extra.job)
            return self.ledger.extras()


def _duration(seconds: float) -> str:
    """Return seconds in words."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
