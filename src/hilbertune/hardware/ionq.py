"""IonQ's cloud (REST API v0.4): every answer checked, every fault one sentence, no job sent blindly twice.

In: a key from the environment or the keyring, bound circuits. `wire` carries a request, `answers` reads what comes
back, `shares` gives results to their circuits; here is what is asked, and how often.
Out: job ids, states, counts, estimates and bills.
"""

import contextlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from hilbertune.circuit.binding import BoundCircuit, GateSet
from hilbertune.errors import HilbertuneError
from hilbertune.hardware import answers
from hilbertune.hardware.address import IONQ, checked_address, ionq_key
from hilbertune.hardware.answers import Bill, Device, Job, Listed, Page, Quote, read, shown
from hilbertune.hardware.asking import LONG_ATTEMPT, Asking, GivenUpError
from hilbertune.hardware.ledger import Counts
from hilbertune.hardware.provider import (
    DEBIASING_SHOTS,
    MAX_CIRCUITS,
    MAX_GATES,
    LostAnswerError,
    Mark,
    NotThereError,
    Say,
)
from hilbertune.hardware.shares import counts_of, in_order, name_of, room_for, tables_of
from hilbertune.hardware.wire import UnsentError, Wire

MAX_PAGES, PAGE = 2_000, 50
"""The most pages of a list that are read, and the jobs of one, each of which may name 5,000 others."""

T = TypeVar("T")

_WAITING, _RUNNING = {"submitted", "ready"}, {"started", "running"}


class IonQ:
    """A connection to an account.

    Args:
        backend: "qpu.forte-1", "qpu.forte-enterprise-1" or "simulator" (free).
        noise: the simulator's noise model ("aria-1", "forte-1", ...), None is ideal.
        debiasing: the vendor's error mitigation; sent explicitly either way, since the vendor's default is on from 500
            shots.
        gateset: "qis" lets the vendor compile, "native" sends our own compilation, which the vendor runs as it is.
        seed: of the simulator's noise.
        url: another address of the API; default $IONQ_API_URL, else the vendor's.
        wait: seconds between two looks at a job that is not done.
        patience: seconds for which a request that can be repeated is repeated, and for which an unknown status is
            waited on; default 30, and 300 once there is a job that is not done.
        say: called with a sentence when there is a wait.

    Raises:
        HilbertuneError: no key, one that cannot be a key, an address that cannot be one, or impossible settings.
        MissingExtraError: the extra `qpu` is not installed.
    """

    def __init__(
        self,
        backend: str,
        *,
        noise: str | None = None,
        debiasing: bool = False,
        gateset: GateSet = "qis",
        seed: int | None = None,
        url: str | None = None,
        wait: float = 5.0,
        patience: float | None = None,
        say: Say = lambda _: None,
    ) -> None:
        if noise is not None and backend != "simulator":
            raise HilbertuneError("A noise model goes with --backend simulator only.")
        self.backend, self.noise, self.debiasing = backend, noise, debiasing
        self.gateset: GateSet = gateset
        self.seed, self.wait, self.say = seed, wait, say
        self.name = f"ionq:{backend}" + (f"+{noise}" if noise else "")
        self.limits = MAX_CIRCUITS, MAX_GATES
        if url:
            address = checked_address(url, "The address")
        else:
            address = checked_address(os.environ.get("IONQ_API_URL") or IONQ)
        self._wire = Wire(address, ionq_key(), say)
        self._api = Asking(self._wire, say, wait, patience)
        self._puzzled: dict[str, float] = {}  # by job, since when its status is one that nobody knows

    def settings(self) -> dict[str, Any]:
        """Return what, besides circuits and shots, makes a job what it is."""
        return {
            "backend": self.backend,
            "noise": self.noise,
            "debiasing": self.debiasing,
            "gateset": self.gateset,
            "seed": self.seed,
        }

    def _job(self, job: str) -> Job:
        """Return what the vendor says of a job."""
        found = self._api.read(Job, _path(job))
        if found.id != job:
            raise HilbertuneError(f"IonQ answers about job {found.id}, not {job}: nothing is lost; ask the vendor.")
        return found

    def backends(self) -> list[dict[str, Any]]:
        """Return the vendor's devices and simulators; what it does not say of them is None."""
        devices = [asdict(device) for device in self._devices()]
        return [{k: shown(v) if isinstance(v, str) else v for k, v in device.items()} for device in devices]

    def _device(self) -> Device | None:
        return next((d for d in self._devices() if d.backend == self.backend), None)

    def _devices(self) -> list[Device]:
        devices: list[Device] = read(list[Device], self._api.ask("GET", "/backends"), "GET /backends")
        return devices

    def ready(self) -> str | None:
        """Return why jobs would wait now, None if they would not.

        Raises:
            HilbertuneError: the vendor cannot be reached, does not accept the key, or has no such backend.
        """
        self._api.read(Page, "/jobs", limit=1)  # the list of backends needs no key
        if self.backend == "simulator":
            return None
        about = self._device()
        if about is None:
            raise HilbertuneError(f"IonQ has no backend {self.backend!r}: 'hilbertune qpu backends' lists them.")
        if about.status is None:
            return f"IonQ does not say whether {self.backend} is available; jobs may wait."
        if about.status == "retired":
            raise HilbertuneError(f"{self.backend} is retired: 'hilbertune qpu backends' lists others.")
        if about.status != "available":
            return f"{self.backend} is {shown(about.status)} (calibration or maintenance); jobs wait until it is back."
        return None

    def qubits(self) -> int | None:
        """Return how many qubits the backend has, None if the vendor does not say."""
        about = self._device()
        return (about.qubits or None) if about else None

    def queue_seconds(self) -> float | None:
        """Return how long jobs wait now on average, None if the vendor does not say."""
        about = self._device()
        return None if about is None or about.average_queue_time is None else about.average_queue_time / 1000

    def price(self, shots: int, one: int, two: int, qubits: int) -> dict[str, Any]:
        """Return the vendor's live estimate for one circuit.

        Its keys are "cost", "unit", "source", "queue_seconds" and "seconds"; times are None where the vendor does not
        say.

        Raises:
            HilbertuneError: it gives none, or one that is no finite number from 0.
        """
        if self.backend == "simulator":
            return {"cost": 0.0, "unit": "USD", "source": "IonQ's simulator is free"}
        said = self._api.read(
            Quote,
            "/jobs/estimate",
            backend=self.backend,
            qubits=qubits,
            shots=shots,
            **{"1q_gates": one, "2q_gates": two},
            error_mitigation=str(self.debiasing).lower(),
        )
        if said.cost is None:
            raise HilbertuneError(
                "IonQ gives no estimate for this account: name a published formula with --pricing azure or braket."
            )
        queue, run = said.current_predicted_queue_time, said.estimated_execution_time
        return {
            "cost": said.cost,
            "unit": shown(said.cost_unit or said.estimated_unit or "USD", 20),
            "source": "IonQ's live estimate",
            "queue_seconds": None if queue is None else queue / 1000,
            "seconds": None if run is None else run / 1000,
        }

    def submit(self, mark: Mark, circuits: Sequence[BoundCircuit], shots: int) -> str:
        """Create the job of a batch and return its id. One request is made, whatever comes back.

        Raises:
            LostAnswerError: it is not known whether it was created: look for it with `find`.
            HilbertuneError: it was certainly not created, since nothing was sent or the vendor itself refused it.
        """
        if self.debiasing and shots < DEBIASING_SHOTS and self.backend != "simulator":
            raise HilbertuneError(
                f"Debiasing needs at least {DEBIASING_SHOTS} shots, not {shots}: use more shots or turn it off."
            )
        if not all(math.isfinite(gate.angle) for circuit in circuits for gate in circuit.gates):
            raise HilbertuneError("A circuit has an angle that is not a finite number: check the model and the rows.")
        body = self._body(mark, circuits, shots)
        try:
            answer = self._wire.ask("POST", "/jobs", body=body, seconds=self._api.patience or LONG_ATTEMPT)
            job = answers.created(answer)
        except UnsentError as unsent:
            raise HilbertuneError(f"{unsent}: nothing was sent; resume later.") from None
        except LostAnswerError:
            self._api.expecting = True
            raise
        self._api.expecting = True
        return job

    def _body(self, mark: Mark, circuits: Sequence[BoundCircuit], shots: int) -> dict[str, Any]:
        """Return the request that creates a job."""
        body: dict[str, Any] = {
            "type": "ionq.multi-circuit.v1",
            "name": f"hilbertune {mark.hash[:12]}",
            "backend": self.backend,
            "shots": shots,
            "metadata": {"hilbertune": mark.hash, "run": mark.run, "attempt": str(mark.attempt)},
            "settings": {"error_mitigation": {"debiasing": self.debiasing}},
            "input": {
                "gateset": self.gateset,
                "qubits": max(c.qubits for c in circuits),
                "circuits": [
                    {
                        "name": name_of(number, c),
                        "qubits": c.qubits,
                        "circuit": c.native() if self.gateset == "native" else c.qis(),
                    }
                    for number, c in enumerate(circuits)
                ],
            },
        }
        if self.noise is not None:
            seed = {} if self.seed is None else {"seed": self.seed}
            body["noise"] = {"model": self.noise, **seed}
        return body

    def find(self, run: str, hash_: str) -> dict[str, int]:
        """Return every job of the account that carries this run and hash, oldest first, with its attempt.

        Jobs of older versions name no run; they count by their hash alone.

        Raises:
            HilbertuneError: the list cannot be read to its end.
        """
        found = {}
        for job in (job for page in self._pages() for job in page):
            known = job.metadata or {}
            if job.parent_job_id is None and known.get("hilbertune") == hash_ and known.get("run", run) == run:
                attempt = str(known.get("attempt", 1))
                if not (attempt.isascii() and attempt.isdigit() and len(attempt) < 10):
                    raise HilbertuneError(f"IonQ's job {job.id} carries our mark, but not whole: look at it there.")
                found[job.id] = int(attempt)
        return dict(reversed(found.items()))

    def _pages(self, most: int | None = None, **parameters: Any) -> Iterator[list[Listed]]:
        """Return a list of jobs page by page; it must come to an end within `most` pages."""
        most = MAX_PAGES if most is None else most
        parameters["limit"] = PAGE
        known: set[str] = set()
        said = time.monotonic()
        for number in range(most):
            page = self._api.read(Page, "/jobs", **parameters)
            yield page.jobs
            mark = "" if page.next is None else str(page.next)
            if not mark:
                return
            if mark in known:
                raise HilbertuneError("IonQ's list of jobs runs in a circle: nothing is lost; ask the vendor.")
            known.add(mark)
            parameters["next"] = mark
            if time.monotonic() - said > 3:
                said = time.monotonic()
                self.say(f"Reading the account's list of jobs: {number + 1} pages so far.")
        raise HilbertuneError(
            f"IonQ's list of jobs has no end after {most:,} pages: look for the job at the vendor, then give "
            "'hilbertune qpu resume' --sent-as ID or --not-sent."
        )

    def _children(self, job: Job) -> list[Listed]:
        """Return the jobs of a job's circuits, from pages of a list where the vendor has one, else one by one."""
        ids = job.child_job_ids
        try:
            found = self._listed_children(job)
        except GivenUpError:
            raise
        except HilbertuneError:
            found = {}
        ids = list(found) if ids is None else ids
        if len(set(ids)) != len(ids) or not found.keys() <= set(ids):
            raise HilbertuneError(f"IonQ's job {job.id} does not name its circuits' jobs once each: ask the vendor.")
        missing = [id_ for id_ in ids if id_ not in found]
        if len(missing) > 20:
            self.say(f"Reading {len(missing):,} circuits' jobs one by one.")
        for id_ in missing:
            try:
                child = self._job(id_)
            except NotThereError:
                raise HilbertuneError(f"IonQ does not know job {id_}, a circuit of job {job.id}: ask it.") from None
            if child.parent_job_id != job.id:
                raise HilbertuneError(
                    f"IonQ's job {id_} is not a circuit of job {job.id}, which names it: ask the vendor."
                )
            found[id_] = child
        return [found[id_] for id_ in ids]

    def _listed_children(self, job: Job) -> dict[str, Listed]:
        found: dict[str, Listed] = {}
        for page in self._pages(most=10 + len(job.child_job_ids or []) // 5, parent_job_id=job.id):
            found |= {child.id: child for child in page if child.parent_job_id == job.id}
            if any(child.parent_job_id != job.id for child in page):
                break  # this address does not list by parent
        return found

    def about(self, job: str) -> dict[str, Any]:
        """Return what the vendor knows of a job: the "run" and "hash" of its mark, "shots" and "circuits"."""
        said = self._job(job)
        known = said.metadata or {}
        circuits = None if said.child_job_ids is None else len(said.child_job_ids)
        facts = {"run": known.get("run"), "hash": known.get("hilbertune"), "shots": said.shots, "circuits": circuits}
        return {name: fact for name, fact in facts.items() if isinstance(fact, str | int)}

    def status(self, job: str) -> tuple[str, str]:
        """Return the state of a job ("waiting", "running", "done", "failed", "cancelled") and a sentence about it.

        Raises:
            NotThereError: the vendor does not know the job.
            HilbertuneError: its status has been unknown for too long.
        """
        said = self._job(job)
        state = said.status
        if state == "completed":
            return "done", "done"
        if state in ("canceled", "cancelled"):
            return "cancelled", f"job {job} was cancelled"
        if state == "failed":
            return "failed", f"job {job} failed ({self._failure(said)})"
        self._api.expecting = True
        if state in _WAITING | _RUNNING:
            self._puzzled.pop(job, None)
            waiting = said.predicted_wait_time_ms
            queue = f", about {waiting / 60_000:.0f} minutes to wait" if waiting else ""
            return ("running" if state in _RUNNING else "waiting"), f"job {job} is {state}{queue}"
        since = self._puzzled.setdefault(job, time.monotonic())
        if time.monotonic() - since > self._api.seconds:
            raise HilbertuneError(
                f"IonQ's job {job} has had the status {shown(state, 40)!r}, which this version does not know, for "
                f"{self._api.seconds:.0f} s: nothing is lost; look at the job there, and resume later."
            )
        return "waiting", (
            f"job {job} has the status {shown(state, 40)!r}, which this version does not know; waiting "
            f"{self._api.seconds:.0f} s for another"
        )

    def _failure(self, job: Job) -> str:
        children: list[Listed] = []
        with contextlib.suppress(HilbertuneError):  # a word about the parts, which `partial` reads again
            children = self._children(job) if job.child_job_ids else []
        good = sum(child.status == "completed" for child in children)
        part = f"; {good} of its {len(children)} circuits were run" if good else ""
        return f"{(job.failure or answers.Failure()).reason}{part}"

    def results(self, job: str, circuits: Sequence[BoundCircuit]) -> list[Counts]:
        """Return for each circuit the share of each outcome of its measured qubits.

        Raises:
            HilbertuneError: the vendor's results do not fit the circuits; they stay at the vendor.
        """
        about = self._job(job)
        children = self._in_order(about, circuits) if about.child_job_ids or len(circuits) > 1 else []
        answer = self._api.ask("GET", f"{_path(job)}/results/probabilities", largest=room_for(circuits), comes=True)
        tables = tables_of(job, answer, children, len(circuits))
        shots = self._shots(about)
        return [
            counts_of(job, table, circuit, number, shots)
            for number, (table, circuit) in enumerate(zip(tables, circuits, strict=True))
        ]

    def _in_order(self, job: Job, circuits: Sequence[BoundCircuit]) -> list[str]:
        """Return the id of the job of each circuit."""
        children = self._children(job)
        unnamed = all(child.name is None for child in children)
        if children and unnamed and self._job(children[0].id).name is not None:  # a list may leave names out
            children, unnamed = [self._job(child.id) for child in children], False
        if children and unnamed:
            self.say(f"IonQ does not name the circuits of job {job.id}: their order is taken as it gives it.")
        known = job.metadata or {}
        return in_order(job.id, children, circuits, unhashed="hilbertune" in known and "run" not in known)

    def _shots(self, job: Job) -> int | None:
        """Return the shots that shares must be whole numbers of; exact probabilities and corrected ones are not."""
        exact = self.backend == "simulator" and self.noise in (None, "ideal")
        return None if exact or self.debiasing else job.shots or None

    def partial(self, job: str, circuits: Sequence[BoundCircuit]) -> dict[int, Counts]:
        """Return the counts of those circuits of a failed or cancelled job that were run, by their number."""
        about = self._job(job)
        if not about.child_job_ids:
            return {}
        run = {child.id for child in self._children(about) if child.status == "completed"}
        counts: dict[int, Counts] = {}
        for number, child in enumerate(self._in_order(about, circuits)) if run else ():
            if child not in run:
                continue
            try:
                room = room_for([circuits[number]])
                table = self._api.ask("GET", f"{_path(child)}/results/probabilities", largest=room)
                counts[number] = counts_of(job, table, circuits[number], number, self._shots(about))
            except GivenUpError:
                raise
            except HilbertuneError as error:
                self.say(f"{error} Circuit {number + 1} counts as not run.")
        return counts

    def bill(self, job: str) -> tuple[float | None, float | None]:
        """Return what a finished job cost and the kWh that the vendor reports, None where it does not say.

        One request each, and no error: results do not wait for a bill.
        """
        cost = kwh = None
        with contextlib.suppress(HilbertuneError):
            said = self._once(Bill, f"{_path(job)}/cost").cost
            cost = said.value if isinstance(said, answers.Amount) else said
        with contextlib.suppress(HilbertuneError):
            about = self._once(Job, _path(job))
            kwh = about.stats.kwh if about.stats and about.id == job else None
        return cost, kwh

    def _once(self, form: type[T], path: str) -> T:
        seconds = min(10.0, self._api.seconds)
        record: T = read(form, answers.content(self._wire.ask("GET", path, seconds=seconds)), f"GET {path}")
        return record

    def cancel(self, job: str) -> None:
        """Ask the vendor to stop a job; what has ended stays as it is."""
        try:
            self._api.ask("PUT", f"{_path(job)}/status/cancel")
        except (NotThereError, GivenUpError) as error:
            if isinstance(error, GivenUpError):
                raise
        except HilbertuneError:
            if self._job(job).status in _WAITING | _RUNNING:
                raise


def _path(job: str) -> str:
    return f"/jobs/{answers.checked_id(job)}"
