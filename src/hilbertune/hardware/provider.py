"""The interface of a hardware vendor, and the two errors that need a decision.

In: bound circuits, job ids.
Out: job ids, states, counts, prices and bills.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hilbertune.circuit.binding import BoundCircuit, GateSet
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger import Counts

MAX_CIRCUITS, MAX_GATES = 5_000, 150_000
"""The limits of one multi-circuit job of IonQ (vendor's documentation of JSONMultiCircuitJob, ionq-core 0.2)."""

MAX_SHOTS = 1_000_000
"""The most shots of a circuit: IonQ's limit, which a simulator on this machine keeps too."""

DEBIASING_SHOTS = 500
"""The fewest shots that IonQ's debiasing takes."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Mark:
    """The mark that a job carries at the vendor, by which it is known as the job of a batch.

    `run` names the run directory, so that another run of the same circuits is not taken for this one; `hash` is the
    batch's, `attempt` counts its sendings from 1.
    """

    run: str
    hash: str
    attempt: int


class Provider(Protocol):
    """A vendor's account; `find` may raise HilbertuneError where the vendor cannot be asked.

    `wait` is the number of seconds between two looks at a job, `limits` the most circuits and gates of a job. A
    provider may have an attribute `free`, True where jobs run on this machine and end with it, and a method `about`
    that returns what is known of a job: "run", "hash" (of its mark), "shots" and "circuits", each of them optional.
    """

    name: str
    wait: float
    gateset: GateSet
    limits: tuple[int, int]

    def settings(self) -> dict[str, Any]:
        """Return what, besides circuits and shots, makes a job what it is."""

    def ready(self) -> str | None:
        """Return why jobs would wait now, None if they would not."""

    def qubits(self) -> int | None:
        """Return how many qubits the backend has, None if that is not known."""

    def price(self, shots: int, one: int, two: int, qubits: int, /) -> dict[str, Any]:
        """Return cost, unit and source for one circuit of `one` one-qubit and `two` two-qubit gates."""

    def submit(self, mark: Mark, circuits: Sequence[BoundCircuit], shots: int, /) -> str:
        """Create the job of a batch and return its id.

        LostAnswerError: nobody knows whether it was created; any other HilbertuneError: it was certainly not.
        """

    def find(self, run: str, hash_: str, /) -> dict[str, int]:
        """Return every job that carries this run and hash, oldest first, with its attempt."""

    def status(self, job: str, /) -> tuple[str, str]:
        """Return "waiting", "running", "done", "failed", "cancelled" or "lost", and a sentence about it."""

    def results(self, job: str, circuits: Sequence[BoundCircuit], /) -> list[Counts]:
        """Return the counts of each circuit of a job that is done."""

    def partial(self, job: str, circuits: Sequence[BoundCircuit], /) -> dict[int, Counts]:
        """Return the counts of those circuits of a failed or cancelled job that were run, by their number."""

    def bill(self, job: str, /) -> tuple[float | None, float | None]:
        """Return what a job cost and its kilowatt-hours, None where the vendor does not say."""

    def cancel(self, job: str, /) -> None:
        """Ask for a job to be stopped."""


class Unreachable:
    """A device that is only priced, by a published formula: no account is needed, and nothing can be sent."""

    wait, free = 0.0, False

    def __init__(self, name: str, gateset: GateSet, limits: tuple[int, int] = (MAX_CIRCUITS, MAX_GATES)) -> None:
        self.name, self.gateset, self.limits = name, gateset, limits

    def settings(self) -> dict[str, Any]:
        """Return its name."""
        return {"backend": self.name}

    def __getattr__(self, name: str) -> Any:
        raise HilbertuneError(f"{self.name} is only priced here: nothing can be sent.")


class Recorded(Unreachable):
    """The provider that a ledger was begun with, as far as reading its results needs it: no key, vendor or package."""

    def __init__(self, name: str, gateset: GateSet, limits: tuple[int, int], settings: dict[str, Any]) -> None:
        super().__init__(name, gateset, limits)
        self._settings = settings

    def settings(self) -> dict[str, Any]:
        """Return what the ledger says of the provider's settings."""
        return self._settings

    def __getattr__(self, name: str) -> Any:
        raise HilbertuneError(f"{self.name} is not asked here: 'hilbertune qpu resume' finishes the run first.")


class LostAnswerError(HilbertuneError):
    """A lost answer: the request may have been carried out.

    `retry_after` are the seconds that the vendor asks to wait before the next request, None if it does not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotThereError(HilbertuneError):
    """The absence at the vendor of what was asked for."""
