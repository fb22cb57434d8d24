"""Any Qiskit backend as a provider: IBM, Amazon Braket, Quantinuum and others through their packages, and Aer here.

In: a Qiskit backend, or a name. `local` (Aer with a device's noise) and `ibm("fake_manila")` need no account.
Out: a `QiskitProvider`. No job has ever been sent to IBM or Braket from here: only their simulators are tested.
"""

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hilbertune.circuit.binding import BoundCircuit, GateSet
from hilbertune.circuit.kinds import KINDS
from hilbertune.config.noise import NOISE_PRESETS
from hilbertune.errors import HilbertuneError, first_line, require
from hilbertune.hardware.ledger import Counts
from hilbertune.hardware.provider import LostAnswerError, Mark, NotThereError

_NAME = "hilbertune-"
"""What the names of our circuits in a job begin with; their number follows."""

BRAKET = (0, 25)
"""The first release of qiskit-braket-provider whose counts of several circuits are in Qiskit's bit order."""


class QiskitProvider:
    """Circuits on a Qiskit backend.

    Args:
        backend: of any provider.
        sampler: run through `qiskit_ibm_runtime.SamplerV2` instead of `backend.run`, which IBM's devices no longer
            have; default for those alone.
        name: in the ledger; default the backend's own.
        retrieve: finds a job by its id after a restart; default `backend.retrieve_job` or `backend.service.job`.
        free: nothing is paid, so a job that cannot be found is run again.
        optimization: level of Qiskit's transpiler, which also chooses the order of qubits on devices that are not
            all-to-all.
        wait: seconds between two looks at a job.

    Raises:
        HilbertuneError: a Braket backend of a release of its package that reverses the bits of a batch.
        MissingExtraError: the extra `qpu` is not installed.
    """

    def __init__(
        self,
        backend: Any,
        *,
        name: str | None = None,
        sampler: bool | None = None,
        retrieve: Callable[[str], Any] | None = None,
        free: bool = False,
        optimization: int = 3,
        wait: float = 5.0,
    ) -> None:
        require("qiskit", "qpu")
        if any(kind.__module__.startswith("qiskit_braket_provider") for kind in type(backend).__mro__):
            _check_braket()
        self.device, self.free, self.optimization, self.wait = backend, free, optimization, wait
        own = getattr(backend, "name", None)
        self.name = name or f"qiskit:{own() if callable(own) else own or type(backend).__name__}"
        self.limits = (300, 10**9)
        self.gateset: GateSet = "qis"
        # An IBM device has `run`, but only to say that it has not.
        ours = type(backend).__module__ == "qiskit_ibm_runtime.ibm_backend"
        self.sampler = ours if sampler is None else sampler
        self._retrieve = retrieve
        self.seed: int | None = None
        self._jobs: dict[str, Any] = {}

    def settings(self) -> dict[str, Any]:
        """Return what, besides circuits and shots, makes a job what it is."""
        return {"backend": self.name, "optimization": self.optimization}

    def ready(self) -> str | None:
        """Return why jobs would wait now, None if they would not or nothing is known."""
        ask = getattr(self.device, "status", None)
        with self._asked("does not say whether it is operational"):
            status = ask() if callable(ask) else None
        if status is not None and not getattr(status, "operational", True):
            return f"{self.name} is not operational now; jobs wait until it is back."
        return None

    def qubits(self) -> int | None:
        """Return how many qubits the backend has, None if it does not say."""
        return getattr(self.device, "num_qubits", None)

    def price(self, *_: int) -> dict[str, Any]:
        """Return a price of 0 on this machine; Qiskit knows no prices.

        Raises:
            HilbertuneError: a backend that is not free.
        """
        if self.free:
            return {"cost": 0.0, "unit": "USD", "source": "runs on this machine"}
        raise HilbertuneError(
            f"Qiskit knows no price of {self.name}: name a public list (--pricing azure or braket), or --pricing free "
            "if your plan bills no jobs."
        )

    def compiled(self, circuits: Sequence[BoundCircuit]) -> list[Any]:
        """Return the circuits as they are sent: in the backend's gates, on its qubits."""
        transpile = require("qiskit", "qpu").transpile
        with self._asked("cannot compile the circuits"):
            compiled: list[Any] = transpile(
                [c.to_qiskit() for c in circuits],
                self.device,
                optimization_level=self.optimization,
                seed_transpiler=0,
            )
        return compiled

    def submit(self, mark: Mark, circuits: Sequence[BoundCircuit], shots: int) -> str:
        """Start a job and return its id.

        Raises:
            LostAnswerError: the vendor's package failed once the job may have been on its way.
            HilbertuneError: the circuits cannot be compiled.
        """
        compiled = self.compiled(circuits)
        for number, circuit in enumerate(compiled):
            circuit.name = f"{_NAME}{number}"
        try:
            job = self._run(mark, compiled, shots)
            name = str(job.job_id() or "").strip()
        except HilbertuneError:
            raise
        except Exception as error:
            said = f"{self.name} failed while a job was sent ({first_line(error)})"
            raise (HilbertuneError(f"{said}.") if self.free else LostAnswerError(said)) from error
        if not name:
            raise LostAnswerError(f"{self.name} gave a job without an id")
        self._jobs[name] = job
        return name

    def _run(self, mark: Mark, compiled: Sequence[Any], shots: int) -> Any:
        """Start a job and return it."""
        if not self.sampler:
            # A simulator's samples follow from the batch, so that a run that was killed ends with the same ones.
            seed = None if self.seed is None else (self.seed + int(mark.hash[:7], 16)) % (1 << 31)
            seeded = {} if seed is None else {"seed_simulator": seed}
            return self.device.run(compiled, shots=shots, **seeded)
        runtime = require("qiskit_ibm_runtime", "ibm")
        # Its second version is about to take the plain name.
        sampler = getattr(runtime, "SamplerV2", runtime.Sampler)(mode=self.device)
        sampler.options.environment.job_tags = [_tag(mark.run, mark.hash), f"attempt-{mark.attempt}"]
        return sampler.run(compiled, shots=shots)

    @contextlib.contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Turn whatever a vendor's package raises within the block, of which there is no list, into one sentence.

        Raises:
            NotThereError: the vendor has no such job.
            HilbertuneError: any other failure.
        """
        try:
            yield
        except HilbertuneError:
            raise
        except Exception as error:
            said = f"{self.name} {what} ({first_line(error)})."
            raise (NotThereError if "NotFound" in type(error).__name__ else HilbertuneError)(said) from error

    def find(self, run: str, hash_: str) -> dict[str, int]:
        """Return the jobs of this batch, with their attempts, where the service looks for tags (IBM).

        There are none to look for where nothing is paid.

        Raises:
            HilbertuneError: nobody can say whether a job that is paid was created.
        """
        if self.free:
            return {}
        service = getattr(self.device, "service", None)
        if service is not None and hasattr(service, "jobs"):
            with self._asked("does not list its jobs"):
                jobs = service.jobs(job_tags=[_tag(run, hash_)], limit=None)
                return {str(job.job_id()): _attempt(job.tags) for job in reversed(jobs)}
        raise HilbertuneError(
            f"Whether {self.name} got the batch {hash_[:12]} cannot be found out from here: look at your jobs there, "
            "then use 'hilbertune qpu resume' with --sent-as ID or --not-sent."
        )

    def _job(self, job: str) -> Any:
        if job not in self._jobs:
            service = getattr(self.device, "service", None)
            look = self._retrieve or getattr(self.device, "retrieve_job", None)
            look = look or getattr(service, "job", None)
            if look is None:
                raise NotThereError(f"{self.name} cannot find the job {job} again.")
            with self._asked(f"does not give the job {job}"):
                self._jobs[job] = look(job)
        return self._jobs[job]

    def status(self, job: str) -> tuple[str, str]:
        """Return the state of a job and a sentence about it.

        A job on this machine that is gone with its process is "lost", and may be run again.
        """
        try:
            said = self._job(job)
        except NotThereError:
            if not self.free:
                raise
            return "lost", f"job {job} ended with the process that ran it"
        with self._asked(f"does not say how the job {job} is"):
            status = said.status()
        state = str(getattr(status, "name", status)).upper()
        if state in ("DONE", "COMPLETED"):
            return "done", "done"
        if "CANCEL" in state:
            return "cancelled", f"job {job} was cancelled"
        if state in ("ERROR", "FAILED"):
            return "failed", f"job {job} failed at {self.name}"
        return ("running" if state == "RUNNING" else "waiting"), f"job {job} is {state.lower()}"

    def results(self, job: str, circuits: Sequence[BoundCircuit]) -> list[Counts]:
        """Return for each circuit the outcomes of its measured qubits."""
        with self._asked(f"gives no results of the job {job}"):
            answer = self._job(job).result()
            if hasattr(answer, "get_counts"):
                tables = [answer.get_counts(place) for place in _places(answer, len(circuits))]
            else:
                tables = [next(iter(pub.data.values())).get_counts() for pub in answer]
            return [{str(k).replace(" ", ""): float(v) for k, v in t.items()} for t in tables]

    def partial(self, _job: str, _circuits: Sequence[BoundCircuit]) -> dict[int, Counts]:
        """Return no counts: Qiskit's jobs fail as a whole."""
        return {}

    def bill(self, _job: str) -> tuple[float | None, float | None]:
        """Return a cost of 0 on this machine; Qiskit knows no bills."""
        return (0.0, None) if self.free else (None, None)

    def cancel(self, job: str) -> None:
        """Ask for a job to be stopped."""
        running = self._job(job)
        if hasattr(running, "cancel"):
            with self._asked(f"does not cancel the job {job}"):
                running.cancel()


def _places(answer: Any, count: int) -> list[int]:
    """Return where the circuits' results stand: by the names that we gave them where the vendor kept those."""
    own = list(getattr(answer, "results", None) or [])
    headers = [getattr(one, "header", None) for one in own]
    names = [str(h.get("name") if isinstance(h, dict) else getattr(h, "name", "")) for h in headers]
    if not all(name.startswith(_NAME) for name in names):
        return list(range(len(own) or count))
    wanted = [f"{_NAME}{number}" for number in range(count)]
    if sorted(names) != sorted(wanted):
        raise HilbertuneError(f"The results are of {len(names)} circuits, {', '.join(names[:3])} ..., not of {count}.")
    return [names.index(name) for name in wanted]


def _tag(run: str, hash_: str) -> str:
    """Return the tag by which the jobs of a batch are known at IBM."""
    return f"hilbertune-{run[:16]}-{hash_[:32]}"


def _attempt(tags: Sequence[str]) -> int:
    """Return which sending of its batch a job of IBM's is."""
    numbers = [tag.removeprefix("attempt-") for tag in tags if tag.startswith("attempt-")]
    return next((int(number) for number in numbers if number.isdecimal()), 1)


def ibm(name: str, *, seed: int = 0) -> QiskitProvider:
    """Return an IBM device, with the account that qiskit-ibm-runtime has saved or reads from the environment.

    "fake_manila" and the like are simulated here, with the noise of a past calibration, and need no account.

    Raises:
        HilbertuneError: no account, or no such device.
        MissingExtraError: the extra `ibm` is not installed.
    """
    runtime = require("qiskit_ibm_runtime", "ibm")
    fake = name.startswith("fake_")
    try:
        if fake:
            fakes = require("qiskit_ibm_runtime.fake_provider", "ibm")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about chips that were not asked for
                device = fakes.FakeProviderForBackendV2().backend(name)
        else:
            device = runtime.QiskitRuntimeService().backend(name)
    except HilbertuneError:
        raise
    except Exception as error:  # whatever the vendor's package raises, of which there is no list
        raise _refused("IBM", name, error) from None
    provider = QiskitProvider(device, name=f"ibm:{name}", free=fake, wait=0.05 if fake else 5.0)
    provider.seed = seed if fake else None
    return provider


def braket(name: str) -> QiskitProvider:
    """Return a device of Amazon Braket, with the AWS account of the environment.

    "local" is Braket's simulator on this machine.

    Raises:
        HilbertuneError: no account, no such device, or a release of the package that reverses the bits of a batch.
        MissingExtraError: the extra `braket` is not installed.
    """
    package = require("qiskit_braket_provider", "braket")
    _check_braket()
    if name == "local":
        return QiskitProvider(package.BraketLocalBackend(), name="braket:local", free=True, wait=0.05)
    try:
        device = package.BraketProvider().get_backend(name)
    except Exception as error:
        raise _refused("Braket", name, error) from None
    return QiskitProvider(device, name=f"braket:{name}")


def _check_braket() -> None:
    """Raise HilbertuneError for a release of Braket's package whose counts of a batch have their bits reversed.

    A single circuit's counts are right there, so that no check of the results would notice
    (https://github.com/amazon-braket/qiskit-braket-provider/issues/374).
    """
    try:
        installed = version("qiskit-braket-provider")
    except PackageNotFoundError:
        installed = "of an unknown release"
    if tuple(map(int, re.findall(r"\d+", installed)[:2])) < BRAKET:
        fixed = ".".join(map(str, BRAKET))
        raise HilbertuneError(
            f"qiskit-braket-provider {installed} reverses the bits of results when several circuits are sent together: "
            f"run pip install 'qiskit-braket-provider>={fixed}'."
        )


def _refused(vendor: str, name: str, error: Exception) -> HilbertuneError:
    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return HilbertuneError(f"{vendor} gives no device {name!r} ({said}): check the account's credentials and the name.")


def local(noise: str | None = None, *, readout_error: float = 0.0, seed: int = 0) -> QiskitProvider:
    """Return Aer on this machine with a device's errors: depolarizing after every gate, and readout flips.

    Args:
        noise: a name of `hilbertune.config.noise.NOISE_PRESETS`, None for a device without gate errors.
        readout_error: probability that a qubit is read wrongly.
        seed: of errors and shots.

    Raises:
        HilbertuneError: an unknown device.
        MissingExtraError: the extra `qpu` is not installed.
    """
    aer = require("qiskit_aer", "qpu")
    models = require("qiskit_aer.noise", "qpu")
    if noise is not None and noise not in NOISE_PRESETS:
        raise HilbertuneError(f"There is no noise model {noise!r}: choose one of {', '.join(NOISE_PRESETS)}.")
    singles, pairs = ([kind.qiskit for kind in KINDS.values() if kind.qubits == size] for size in (1, 2))
    model = models.NoiseModel(basis_gates=[*singles, *pairs])
    if noise is not None:
        known = NOISE_PRESETS[noise]
        model.add_all_qubit_quantum_error(models.depolarizing_error(known.one_qubit, 1), [*singles, "r", "u"])
        model.add_all_qubit_quantum_error(models.depolarizing_error(known.two_qubit, 2), pairs)
    if readout_error:
        flips = [[1 - readout_error, readout_error], [readout_error, 1 - readout_error]]
        model.add_all_qubit_readout_error(models.ReadoutError(flips))
    simulator = aer.AerSimulator(
        noise_model=model,
        basis_gates=[*singles, *pairs],
        max_parallel_threads=min(2, os.cpu_count() or 1),
    )
    named = "local" + (f"+{noise}" if noise else "") + (f"+readout {readout_error:g}" if readout_error else "")
    # Level 0: what is sent is what is run, folded gates too.
    provider = QiskitProvider(simulator, name=f"{named}, seed {seed}", free=True, optimization=0, wait=0.05)
    provider.seed = seed
    return provider
