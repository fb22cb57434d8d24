"""The head on hardware: programs in batches, written down, estimated, capped, sent, waited for, and turned into expectations.

In: a provider (IonQ's cloud, or any Qiskit backend), a folder for the ledger, shots and a spending limit. Out: a `HardwareBackend`, which stands where an engine
stands: `expectation(..., engine=backend)`, `model.head_.head.engine = backend`, so that `predict`, `evaluate` and `train` run on it unchanged. The same call after a crash
finds its batches in the ledger: nothing is sent, or paid, twice.


FIXME IonQ's cloud (REST API v0.4): backends, estimates, jobs, results; every answer checked, every fault one sentence, no job sent blindly twice.

In: a key from the environment or the keyring, programs. Out: job ids, states, counts. `ionq_core`, IonQ's own client, carries the requests; its answers are read
here, since it refuses results of the older shape, and its retries are off, since they would send a job again that may have been created.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hilbertune.circuit.binding import BoundCircuit, GateSet
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger import Counts

MAX_CIRCUITS, MAX_GATES = 5_000, 150_000
"""Of one multi-circuit job of IonQ (vendor's documentation of JSONMultiCircuitJob, ionq-core 0.2)."""

Say = Callable[[str], None]


class Provider(Protocol):
    """What a vendor must be able to do. `find` may raise HilbertuneError where a vendor cannot be asked."""

    name: str
    wait: float
    gateset: GateSet
    limits: tuple[int, int]

    def settings(self) -> dict[str, Any]: ...
    def ready(self) -> str | None: ...
    def qubits(self) -> int | None: ...
    def price(self, shots: int, one: int, two: int, qubits: int) -> dict[str, Any]: ...
    def submit(self, hash_: str, attempt: int, programs: Sequence[BoundCircuit], shots: int) -> str: ...
    def find(self, hash_: str, attempt: int) -> str | None: ...
    def status(self, job: str) -> tuple[str, str]: ...
    def results(self, job: str, programs: Sequence[BoundCircuit]) -> list[Counts]: ...
    def partial(self, job: str, programs: Sequence[BoundCircuit]) -> dict[int, Counts]: ...
    def bill(self, job: str) -> tuple[float | None, float | None]: ...
    def cancel(self, job: str) -> None: ...


class Unreachable:
    """A device that is only priced, by a published formula: no account is needed, and nothing can be sent."""

    wait, limits = 0.0, (MAX_CIRCUITS, MAX_GATES)

    def __init__(self, name: str, gateset: GateSet) -> None:
        self.name, self.gateset = name, gateset

    def settings(self) -> dict[str, Any]:
        """Its name."""
        return {"backend": self.name}

    def __getattr__(self, name: str) -> Any:
        raise HilbertuneError(f"{self.name} is only priced here: nothing can be sent.")


class LostAnswerError(HilbertuneError):
    """A request may have been carried out, but its answer was lost."""


class NotThereError(HilbertuneError):
    """The vendor does not have what was asked for."""
