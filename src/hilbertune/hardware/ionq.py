"""IonQ's cloud (REST API v0.4): every answer checked, every fault one sentence, no job sent blindly twice.

In: a key from the environment or the keyring, bound circuits. IonQ's own client, `ionq_core`, carries the requests; its
answers are read here, as it refuses results of the older shape, and its retries, which could send a job twice, are off.
Out: job ids, states, counts, estimates and bills.
"""

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hilbertune.circuit.binding import BoundCircuit, GateSet
from hilbertune.errors import HilbertuneError, require
from hilbertune.hardware.ledger import Counts
from hilbertune.hardware.provider import MAX_CIRCUITS, MAX_GATES, LostAnswerError, Mark, NotThereError

DEBIASING_SHOTS = 500
"""The fewest shots that debiasing takes."""

PATIENCE = 300.0
"""Seconds for which a request that can be repeated is repeated, before the run stops (and can be resumed)."""

_REASONS = {
    "InvalidInput": "the circuits are not what the backend takes",
    "CompilationError": "the vendor could not compile the circuits",
    "ContractExpiredError": "the account's contract has expired",
    "QuotaExhaustedError": "the account's quota is used up",
    "NotEnoughQubits": "the backend has fewer qubits than the circuits",
    "PreflightError": "the device failed its checks before the run",
    "QuantumComputerError": "the device failed during the run",
    "SystemCancel": "the vendor cancelled the job",
    "TooLongPredictedExecutionTime": "the job would take too long",
    "TooManyGates": "a circuit has too many gates",
    "TooManyShots": "too many shots were asked for",
}


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
        patience: seconds for which a request that can be repeated is repeated.

    Raises:
        HilbertuneError: no key, or impossible settings.
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
        patience: float = PATIENCE,
    ) -> None:
        core = require("ionq_core", "qpu")
        if noise is not None and backend != "simulator":
            raise HilbertuneError("A noise model goes with --backend simulator only.")
        self.backend, self.noise, self.debiasing = backend, noise, debiasing
        self.gateset: GateSet = gateset
        self.seed, self.wait, self.patience = seed, wait, patience
        self.name = f"ionq:{backend}" + (f"+{noise}" if noise else "")
        self.limits = MAX_CIRCUITS, MAX_GATES
        url = url or os.environ.get("IONQ_API_URL")
        with warnings.catch_warnings():
            # A loopback address needs no encryption; any other is refused below.
            warnings.simplefilter("ignore")
            if url and not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
                raise HilbertuneError(f"{url} is not encrypted: the key would travel in the clear; use https.")
            self._client = core.IonQClient(
                api_key=_key(), max_retries=0, **({"base_url": url.rstrip("/")} if url else {})
            )
        self._core = core

    def settings(self) -> dict[str, Any]:
        """Return what, besides circuits and shots, makes a job what it is."""
        return {
            "backend": self.backend,
            "noise": self.noise,
            "debiasing": self.debiasing,
            "gateset": self.gateset,
            "seed": self.seed,
        }

    def _once(self, method: str, path: str, **options: Any) -> Any:
        """Make one request and return its JSON.

        Raises:
            LostAnswerError: it may have been carried out, or may work later.
            _Busy: it was refused for now.
            HilbertuneError: it was refused.
        """
        errors = self._core.exceptions
        try:
            with _quiet():
                response = self._client.get_httpx_client().request(method, path, **options)
            return response.json()
        except errors.RateLimitError as error:
            raise _Busy(error.retry_after or 0.0) from None
        except errors.AuthenticationError:
            raise HilbertuneError("IonQ does not accept the key: set IONQ_API_KEY to a valid one.") from None
        except errors.APIError as error:
            if error.status_code >= 500:
                raise LostAnswerError(f"IonQ answers with an error ({error.status_code})") from None
            said = " ".join(str(error.message).split()).rstrip(".")
            if error.status_code in (402, 403):
                raise HilbertuneError(
                    f"IonQ refuses the job ({said}): add credit or ask the account's owner, then resume."
                ) from None
            if error.status_code == 404:
                raise NotThereError(f"IonQ does not know {path}.") from None
            raise HilbertuneError(f"IonQ refuses the request ({said}).") from None
        except errors.APIConnectionError:
            raise LostAnswerError("IonQ cannot be reached") from None
        except ValueError:
            raise LostAnswerError("IonQ's answer is cut off or not JSON") from None

    def _get(self, path: str, **parameters: Any) -> Any:
        """Read a resource, again and again while the fault may pass."""
        return self._patiently(lambda: self._once("GET", path, params=parameters))

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        give_up, pause = time.monotonic() + self.patience, min(0.5, self.wait)
        while True:
            try:
                return ask()
            except _Busy as busy:
                rest, reason = busy.seconds or pause, "IonQ is busy (429)"
            except LostAnswerError as lost:
                rest, reason = pause, str(lost)
            if time.monotonic() + rest > give_up:
                raise HilbertuneError(
                    f"{reason} for {self.patience:.0f} s: nothing is lost, run the same command or "
                    "'hilbertune qpu resume' later."
                )
            time.sleep(rest)
            pause = min(2 * pause, 30.0)

    def backends(self) -> list[dict[str, Any]]:
        """Return the vendor's devices and simulators as it describes them."""
        described: list[dict[str, Any]] = self._get("/backends")
        return described

    def ready(self) -> str | None:
        """Return why jobs would wait now, None if they would not."""
        if self.backend == "simulator":
            return None
        about = next((b for b in self.backends() if b.get("backend") == self.backend), None)
        if about is None:
            raise HilbertuneError(f"IonQ has no backend {self.backend!r}: 'hilbertune qpu backends' lists them.")
        if about.get("status") == "retired":
            raise HilbertuneError(f"{self.backend} is retired: 'hilbertune qpu backends' lists others.")
        if about.get("status") != "available":
            return f"{self.backend} is {about.get('status')} (calibration or maintenance); jobs wait until it is back."
        return None

    def qubits(self) -> int | None:
        """Return how many qubits the backend has, None if the vendor does not say."""
        about = next((b for b in self.backends() if b.get("backend") == self.backend), {})
        value = about.get("qubits")
        return int(value) if value else None

    def price(self, shots: int, one: int, two: int, qubits: int) -> dict[str, Any]:
        """Return the vendor's live estimate for one circuit.

        Its keys are "cost", "unit", "source", "queue_seconds" and "seconds"; times are None where the vendor does not
        say.
        """
        if self.backend == "simulator":
            return {"cost": 0.0, "unit": "USD", "source": "IonQ's simulator is free"}
        said = self._get(
            "/jobs/estimate",
            backend=self.backend,
            qubits=qubits,
            shots=shots,
            **{"1q_gates": one, "2q_gates": two},
            error_mitigation=str(self.debiasing).lower(),
        )
        # Two forms are in use, of May and of October 2026.
        cost = said.get("estimated_cost", said.get("estimated_total_cost"))
        if isinstance(cost, Mapping):
            cost = cost.get("value")
        if cost is None:
            raise HilbertuneError(
                "IonQ gives no estimate for this account: name a published formula with --pricing azure or braket."
            )
        queue, run = said.get("current_predicted_queue_time"), said.get("estimated_execution_time")
        return {
            "cost": float(cost),
            "unit": said.get("cost_unit") or said.get("estimated_unit") or "USD",
            "source": "IonQ's live estimate (/jobs/estimate)",
            "queue_seconds": None if queue is None else queue / 1000,
            "seconds": None if run is None else run / 1000,
        }

    def submit(self, mark: Mark, circuits: Sequence[BoundCircuit], shots: int) -> str:
        """Create the job of a batch and return its id.

        Raises:
            LostAnswerError: it is not known whether it was created: look for it with `find`.
            HilbertuneError: it was refused.
        """
        if self.debiasing and shots < DEBIASING_SHOTS and self.backend != "simulator":
            raise HilbertuneError(
                f"Debiasing needs at least {DEBIASING_SHOTS} shots, not {shots}: use more shots or turn it off."
            )
        created = self._create(self._body(mark, circuits, shots))
        if not isinstance(created, Mapping) or not created.get("id"):
            raise LostAnswerError("IonQ's answer has no job id")
        return str(created["id"])

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
                        "name": str(number),
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

    def _create(self, body: dict[str, Any]) -> Any:
        """Create a job and return the vendor's answer; only a request that created nothing is repeated."""
        give_up, pause = time.monotonic() + self.patience, min(0.5, self.wait)
        while True:
            try:
                return self._once("POST", "/jobs", json=body)
            except _Busy as busy:
                # A request that was refused for its rate has created nothing.
                if time.monotonic() > give_up:
                    raise HilbertuneError("IonQ takes no jobs now (429): resume later, nothing was sent.") from None
                time.sleep(busy.seconds or pause)
                pause = min(2 * pause, 30.0)

    def find(self, run: str, hash_: str) -> dict[str, int]:
        """Return every job of the account that carries this run and hash, oldest first, with its attempt.

        Jobs of older versions name no run; they count by their hash alone.
        """
        found = {}
        for job in self._jobs():
            known = job.get("metadata") or {}
            if known.get("hilbertune") == hash_ and known.get("run", run) == run:
                found[str(job["id"])] = int(known.get("attempt", 1))
        return dict(reversed(found.items()))

    def _jobs(self) -> Iterator[dict[str, Any]]:
        parameters: dict[str, Any] = {"limit": 100}
        while True:
            page = self._get("/jobs", **parameters)
            yield from page.get("jobs", [])
            if not page.get("next"):
                return
            parameters["next"] = page["next"]

    def status(self, job: str) -> tuple[str, str]:
        """Return the state of a job ("waiting", "running", "done", "failed", "cancelled") and a sentence about it."""
        said = self._get(f"/jobs/{job}")
        state = said.get("status")
        if state == "completed":
            return "done", "done"
        if state == "canceled":
            return "cancelled", f"job {job} was cancelled"
        if state == "failed":
            failure = said.get("failure") or {}
            code = failure.get("code") or failure.get("error") or "unknown"
            words = _REASONS.get(code) or failure.get("message") or "no reason was given"
            children = [self._get(f"/jobs/{child}") for child in said.get("child_job_ids") or []]
            good = sum(child.get("status") == "completed" for child in children)
            part = f"; {good} of its {len(children)} circuits were run" if good else ""
            return "failed", f"job {job} failed ({code}: {' '.join(str(words).split())}{part})"
        waiting = said.get("predicted_wait_time_ms")
        queue = f", about {waiting / 60_000:.0f} minutes to wait" if waiting else ""
        kind = "running" if state == "started" else "waiting"
        return kind, f"job {job} is {state}{queue}"

    def results(self, job: str, circuits: Sequence[BoundCircuit]) -> list[Counts]:
        """Return for each circuit the share of each outcome of its measured qubits.

        Raises:
            HilbertuneError: the vendor's results do not fit the circuits; they stay at the vendor.
        """
        children = self._get(f"/jobs/{job}").get("child_job_ids")
        answer = self._get(f"/jobs/{job}/results/probabilities")
        if children and set(children) <= set(answer):
            tables = [answer[child] for child in children]
        elif len(circuits) == 1 and not any(isinstance(v, Mapping) for v in answer.values()):
            tables = [answer]
        else:
            tables = list(answer.values())
        if len(tables) != len(circuits):
            raise HilbertuneError(
                f"IonQ's job {job} has results for {len(tables)} circuits, not {len(circuits)}: "
                "ask the vendor, nothing was sent again."
            )
        return [_marginal(table, circuit, job) for table, circuit in zip(tables, circuits, strict=True)]

    def partial(self, job: str, circuits: Sequence[BoundCircuit]) -> dict[int, Counts]:
        """Return the counts of those circuits of a failed or cancelled job that were run, by their number."""
        children = self._get(f"/jobs/{job}").get("child_job_ids") or []
        counts: dict[int, Counts] = {}
        if len(children) == len(circuits):
            for number, child in enumerate(children):
                if self._get(f"/jobs/{child}").get("status") == "completed":
                    table = self._get(f"/jobs/{child}/results/probabilities")
                    counts[number] = _marginal(table, circuits[number], job)
        return counts

    def bill(self, job: str) -> tuple[float | None, float | None]:
        """Return what a finished job cost and the kWh that the vendor reports, None where it does not say."""
        cost = kwh = None
        with contextlib.suppress(HilbertuneError):
            said = self._once("GET", f"/jobs/{job}/cost").get("cost") or {}
            cost = said.get("value") if isinstance(said, Mapping) else said
        with contextlib.suppress(HilbertuneError):
            kwh = (self._once("GET", f"/jobs/{job}").get("stats") or {}).get("kwh")
        return (None if cost is None else float(cost)), (None if kwh is None else float(kwh))

    def cancel(self, job: str) -> None:
        """Ask the vendor to stop a job; what has ended stays as it is."""
        with contextlib.suppress(NotThereError):
            self._patiently(lambda: self._once("PUT", f"/jobs/{job}/status/cancel"))


class _Busy(Exception):
    """A refusal for now; come back after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds


def _marginal(table: Any, circuit: BoundCircuit, job: str) -> Counts:
    """Return the shares of the measured qubits' outcomes from those of all qubits, which must be shares."""
    shares: Counts = {}
    try:
        for key, share in table.items():
            state = int(key)
            value = float(share)
            if not (0 <= state < 1 << circuit.qubits and 0 <= value <= 1 + 1e-6):
                raise ValueError
            bits = "".join(str(state >> q & 1) for q in reversed(circuit.measured))
            shares[bits] = shares.get(bits, 0.0) + value
    except (AttributeError, TypeError, ValueError):
        shares = {}
    if abs(sum(shares.values()) - 1) > 0.01:
        raise HilbertuneError(
            f"The results of IonQ's job {job} are not probabilities: ask the vendor, nothing was sent again."
        )
    return shares


def _key() -> str:
    """Return the key of the account: $IONQ_API_KEY, else the keyring's entry hilbertune / ionq."""
    if key := os.environ.get("IONQ_API_KEY"):
        return key
    try:
        import keyring

        key = keyring.get_password("hilbertune", "ionq")
    except Exception:  # no keyring on this machine
        key = None
    if not key:
        raise HilbertuneError("There is no key for IonQ: set IONQ_API_KEY, or run 'keyring set hilbertune ionq'.")
    return str(key)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about loopback addresses, which help nobody; httpx logs addresses, never headers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
