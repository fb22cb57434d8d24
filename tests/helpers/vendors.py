"""A hardware vendor in memory whose answers get lost, come late or come twice, on a clock that needs no waiting.

In: what is to go wrong.
Out: a provider, and what the vendor knows: the jobs that were made, and what they cost.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hilbertune.circuit.binding import BoundCircuit, Gate, GateSet
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger import Counts
from hilbertune.hardware.provider import LostAnswerError, Mark, NotThereError

PRICE = 4.0
"""Of a circuit."""


class Clock:
    """Time that passes only while somebody sleeps; a stand-in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def shares(circuit: BoundCircuit) -> Counts:
    """Return the exact shares of a circuit's outcomes, by a state vector of its own."""
    state = np.zeros((2,) * circuit.qubits)
    state[(0,) * circuit.qubits] = 1.0
    for gate in circuit.gates:
        if gate.control is None:
            c, s = math.cos(gate.angle / 2), math.sin(gate.angle / 2)
            state = np.moveaxis(np.tensordot([[c, -s], [s, c]], state, (1, gate.target)), 0, gate.target)
        else:
            on = [slice(None)] * circuit.qubits
            on[gate.control] = 1  # type: ignore[call-overload]
            target = gate.target - (gate.control < gate.target)
            state[tuple(on)] = np.flip(state[tuple(on)], target).copy()
    found: Counts = {}
    for bits in itertools.product((0, 1), repeat=circuit.qubits):
        key = "".join(str(bits[q]) for q in reversed(circuit.measured))
        found[key] = found.get(key, 0.0) + float(state[bits] ** 2)
    return {key: share for key, share in found.items() if share > 1e-12}


class Vendor:
    """An account.

    Args:
        clock: by which jobs are listed.
        late: seconds after which a job is listed; infinite for never.
    """

    def __init__(self, clock: Clock, late: float = 0.0) -> None:
        self.clock, self.late = clock, late
        self.jobs: dict[str, dict[str, Any]] = {}
        self.answers: list[str] = []
        """What happens to the next requests that create a job; "" is all right."""
        self.ends: list[str] = []
        """How the next jobs end; "" is done."""
        self.price: Any = PRICE
        self.bill: Any = None
        self.free = False
        self.unit = "USD"
        self.asked: list[str] = []

    @property
    def paid(self) -> float:
        """What the account owes."""
        return sum(PRICE * len(job["circuits"]) for job in self.jobs.values() if job["end"] not in ("unpaid",))

    def make(self, mark: Mark, circuits: Sequence[BoundCircuit], shots: int) -> str:
        name = f"job-{len(self.jobs) + 1}"
        end = self.ends.pop(0) if self.ends else ""
        self.jobs[name] = {"mark": mark, "circuits": list(circuits), "shots": shots, "at": self.clock.now, "end": end}
        return name


class Provider:
    """A connection to the account."""

    name, wait = "vendor:qpu", 1.0
    gateset: GateSet = "qis"
    limits = (5_000, 150_000)

    def __init__(self, vendor: Vendor) -> None:
        self.vendor = vendor
        if vendor.free:
            self.backend = "simulator"

    def settings(self) -> dict[str, Any]:
        return {"backend": self.name}

    def ready(self) -> str | None:
        return None

    def qubits(self) -> int | None:
        return None

    def price(self, shots: int, one: int, two: int, qubits: int, /) -> dict[str, Any]:
        self.vendor.asked.append("price")
        cost = 0.0 if self.vendor.free else self.vendor.price
        return {"cost": cost, "unit": self.vendor.unit, "source": "the vendor"}

    def submit(self, mark: Mark, circuits: Sequence[BoundCircuit], shots: int, /) -> str:
        """Create a job as the account's next answer says: "lost" answers carry how many jobs were made all the same."""
        answer = self.vendor.answers.pop(0) if self.vendor.answers else ""
        if answer == "refused":
            raise HilbertuneError("No credit.")
        made = [self.vendor.make(mark, circuits, shots) for _ in range(int(answer[-1]) if answer[-1:].isdigit() else 1)]
        if answer == "interrupted 1":
            raise KeyboardInterrupt
        if answer.startswith("lost"):
            raise LostAnswerError("The answer got lost")
        if answer.startswith("busy"):
            raise LostAnswerError("Too many requests", 7.0)
        return made[0]

    def find(self, run: str, hash_: str, /) -> dict[str, int]:
        now, vendor = self.vendor.clock.now, self.vendor
        return {
            name: job["mark"].attempt
            for name, job in vendor.jobs.items()
            if (job["mark"].run, job["mark"].hash) == (run, hash_) and job["at"] + vendor.late <= now
        }

    def _job(self, name: str) -> dict[str, Any]:
        if name not in self.vendor.jobs or self.vendor.jobs[name]["end"] == "gone":
            raise NotThereError(f"There is no job {name}.")
        return self.vendor.jobs[name]

    def about(self, name: str) -> dict[str, Any]:
        job = self._job(name)
        mark = job["mark"]
        return {"run": mark.run, "hash": mark.hash, "shots": job["shots"], "circuits": len(job["circuits"])}

    def status(self, job: str, /) -> tuple[str, str]:
        end = self._job(job)["end"]
        state = end if end in ("failed", "cancelled", "waiting") else "done"
        return state, f"job {job} is {state}"

    def results(self, job: str, circuits: Sequence[BoundCircuit], /) -> list[Counts]:
        made = self._job(job)
        tables = [shares(circuit) for circuit in made["circuits"]]
        if made["end"] == "reversed":
            return [{bits[::-1]: share for bits, share in table.items()} for table in tables]
        if made["end"] == "short":
            return tables[:-1]
        if made["end"] == "lossy":
            return [{bits: 0.995 * share for bits, share in table.items()} for table in tables]
        return tables

    def partial(self, job: str, circuits: Sequence[BoundCircuit], /) -> dict[int, Counts]:
        return {}

    def bill(self, job: str, /) -> tuple[float | None, float | None]:
        self.vendor.asked.append(f"bill {job}")
        if isinstance(self.vendor.bill, BaseException):
            raise self.vendor.bill
        if self.vendor.bill is not None:
            return self.vendor.bill, None
        return PRICE * len(self._job(job)["circuits"]), None

    def cancel(self, job: str, /) -> None:
        self._job(job)["end"] = "cancelled"


def rows(count: int = 2, qubits: int = 2) -> list[BoundCircuit]:
    """Return circuits whose outcomes are not the same backwards."""
    gates = (Gate(0, None, 0.6), Gate(1, 0))
    return [BoundCircuit(qubits, (*gates, Gate(0, None, 0.1 * n)), tuple(range(qubits))) for n in range(count)]
