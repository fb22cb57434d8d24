"""Heads on the simulators of hardware vendors, offline: IBM's fake backends with their noise, and Braket's simulator.

What needs the extra `braket` is skipped where it is missing, as in the project's own test environment: its SDK pins
cloudpickle 2.2.1, which joblib 1.6 refuses. The simulator behind it comes without the SDK.
"""

import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.builders import head
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.provider import NotThereError
from hilbertune.hardware.qiskit_provider import QiskitProvider, braket, ibm

SHOTS = 20_000
SHAPES = {
    "ring": {"qubits": 4, "reuploads": 2, "layers": 1},
    "whole chip": {"qubits": 5, "reuploads": 1, "layers": 1, "connectivity": 2},
    "no ring": {"qubits": 5, "reuploads": 2, "layers": 2, "entanglement": False},
}


def drawn(name: str) -> tuple[Circuit, np.ndarray, np.ndarray, np.ndarray]:
    """Return a head, its angles, and its exact expectations of all qubits."""
    circuit, rng = head(**SHAPES[name]), np.random.default_rng(3)
    weights = rng.uniform(-math.pi, math.pi, circuit.parameters)
    inputs = rng.uniform(-1, 1, circuit.inputs)
    w, x = torch.from_numpy(weights)[None], torch.from_numpy(inputs)[None, None]
    return circuit, weights, inputs, expectation(circuit, w, x)[0, 0].numpy()


def means(counts: dict[str, int], qubits: int, reverse: bool) -> np.ndarray:
    """<Z> of each qubit; Qiskit writes the last qubit first (`reverse`)."""
    bits = [key[::-1] if reverse else key for key in counts]
    signs = np.array([[1 - 2 * int(bit) for bit in key[:qubits]] for key in bits])
    weights = np.array(list(counts.values()))
    assert weights.sum() == SHOTS
    return weights @ signs / SHOTS


def within_5_standard_errors(found: np.ndarray, exact: np.ndarray) -> bool:
    # A qubit that is certain has no spread; rounding has.
    return bool((abs(found - exact) <= 5 * np.sqrt((1 - exact**2) / SHOTS) + 1e-9).all())


@pytest.fixture(scope="module")
def manila() -> Any:
    pytest.importorskip("qiskit_aer")
    provider = pytest.importorskip("qiskit_ibm_runtime.fake_provider")
    return provider.FakeManilaV2()


def transpiled(backend: Any, circuit: Circuit, weights: np.ndarray, inputs: np.ndarray) -> Any:
    import qiskit

    made = circuit.to_qiskit(weights, inputs)
    made.measure_all()
    return qiskit.transpile(made, backend, optimization_level=3, seed_transpiler=1)


@pytest.mark.parametrize("name", SHAPES)
def test_a_circuit_transpiled_for_ibm_gives_the_exact_values_without_noise(manila: Any, name: str):
    import qiskit_aer

    circuit, weights, inputs, exact = drawn(name)
    native = transpiled(manila, circuit, weights, inputs)
    gates = {instruction.operation.name for instruction in native.data}
    assert gates <= {"rz", "sx", "x", "cx", "measure", "barrier"}
    ideal = qiskit_aer.AerSimulator(seed_simulator=1)
    counts = ideal.run(native, shots=SHOTS).result().get_counts()
    assert within_5_standard_errors(means(counts, circuit.qubits, True), exact)


@pytest.mark.parametrize("name", SHAPES)
def test_an_ibm_chip_with_its_noise_shows_the_values_faded(manila: Any, name: str):
    """Depolarization and readout errors pull expectations towards 0, relaxation towards 1.

    Tolerance: the rate at which anything goes wrong, p = 1 - Π(1 - error) over the gates and readouts of the transpiled
    circuit, as the chip's calibration gives them: the mean of shots in which nothing goes wrong is exact, that of the
    others lies in [-1, 1], so that |difference| <= p (1 + |exact|), and 5 standard errors. The values must also be
    closer to exact than to guessing.
    """
    circuit, weights, inputs, exact = drawn(name)
    native = transpiled(manila, circuit, weights, inputs)
    kept = 1.0
    for instruction in native.data:
        if (gate := instruction.operation.name) != "barrier":
            places = tuple(native.find_bit(q).index for q in instruction.qubits)
            kept *= 1 - (manila.target[gate][places].error or 0.0)
    counts = manila.run(native, shots=SHOTS, seed_simulator=1).result().get_counts()
    found = means(counts, circuit.qubits, True)
    # A calibrated error is an average over states; the worst has (d + 1) / d = 3/2 (one qubit) or 5/4 (two) of it.
    wrong = min(1.0, 1.5 * (1 - kept))
    assert (abs(found - exact) <= wrong * (1 + abs(exact)) + 5 / math.sqrt(SHOTS)).all()
    assert np.linalg.norm(found - exact) < np.linalg.norm(exact)
    assert not within_5_standard_errors(found, exact)  # there was noise


def circuits(name: str, measured: tuple[int, ...]) -> tuple[list[BoundCircuit], np.ndarray]:
    circuit, weights, inputs, exact = drawn(name)
    rows = [inputs, inputs[::-1]]
    other = expectation(circuit, torch.from_numpy(weights)[None], torch.from_numpy(rows[1].copy())[None, None])[
        0, 0
    ].numpy()
    made = [bind(circuit, weights.tolist(), row.tolist(), measured) for row in rows]
    return made, np.stack([exact, other])[:, list(measured)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("sampler", [False, True])
def test_heads_run_on_an_ibm_chip_through_the_ledger(manila: Any, tmp_path: Path, sampler: bool) -> None:
    """Both ways to IBM: `backend.run`, and SamplerV2, which is all that its devices take."""
    provider = QiskitProvider(manila, free=True, wait=0.01, sampler=sampler)
    backend = HardwareBackend(provider, tmp_path, shots=8000)
    asked, exact = circuits("ring", (0, 2))
    found = backend.expectations(asked)
    assert abs(found - exact).max() < 0.2
    assert np.linalg.norm(found - exact) < 0.5 * np.linalg.norm(exact)
    again = HardwareBackend(QiskitProvider(manila, free=True, sampler=sampler), tmp_path, shots=8000)
    np.testing.assert_array_equal(again.expectations(asked), found)


def test_a_real_ibm_device_is_spoken_to_by_the_sampler() -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    from qiskit_ibm_runtime import IBMBackend

    device = IBMBackend.__new__(IBMBackend)  # without an account there is no other way
    device._configuration = type("Configuration", (), {"backend_name": "ibm_torino"})()
    assert QiskitProvider(device, name="ibm:ibm_torino").sampler


class Service:
    """What an IBM account answers about jobs: the tags it was asked for."""

    def __init__(self, job: Any) -> None:
        self.job_, self.asked = job, []

    def jobs(self, *, job_tags: list[str], limit: int | None) -> list[Any]:
        self.asked += job_tags
        return [self.job_] if self.job_ else []


def test_a_job_of_ibms_is_found_by_its_tag(manila: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    job = type("Job", (), {"job_id": lambda self: "d0", "tags": ["attempt-2"]})()
    for known in (job, None):
        service = Service(known)
        device = type("Device", (), {"name": "ibm_torino", "service": service})()
        provider = QiskitProvider(device, sampler=True)
        assert provider.find("cd" * 16, "ab" * 32) == ({} if known is None else {"d0": 2})
        assert service.asked == [f"hilbertune-{'cd' * 8}-{'ab' * 16}"]


class Stranger:
    """A paid backend that cannot be asked for jobs by anything but their id, and whose first answer gets lost."""

    name, target = "stranger", None

    def __init__(self, simulator: Any) -> None:
        self.simulator, self.jobs = simulator, {}

    def run(self, circuits: list[Any], shots: int) -> Any:
        job = self.simulator.run(circuits, shots=shots)
        self.jobs[job.job_id()] = job
        if len(self.jobs) == 1:
            raise KeyboardInterrupt
        return job

    def retrieve_job(self, job: str) -> Any:
        return self.jobs[job]


class Plain(QiskitProvider):
    def compiled(self, circuits: Any) -> list[Any]:
        return [c.to_qiskit() for c in circuits]


@pytest.mark.parametrize("there", [True, False])
def test_whoever_knows_says_whether_a_job_was_sent(tmp_path: Path, there: bool) -> None:
    aer = pytest.importorskip("qiskit_aer")
    device = Stranger(aer.AerSimulator(seed_simulator=1))

    def backend() -> HardwareBackend:
        return HardwareBackend(Plain(device, wait=0.01), tmp_path, shots=SHOTS, pricing="free", settle=0.1)

    asked, exact = circuits("ring", (0,))
    with pytest.raises(KeyboardInterrupt):
        backend().expectations(asked)
    with pytest.raises(HilbertuneError, match="--sent-as ID or --not-sent"):
        backend().expectations(asked)
    assert len(device.jobs) == 1, "not sent again blindly"
    resumed = backend()
    resumed.settle_by_hand(next(iter(device.jobs)) if there else None)
    assert abs(resumed.expectations(asked) - exact).max() < 0.05
    assert len(device.jobs) == (1 if there else 2)
    with pytest.raises(HilbertuneError, match="0 batches are in doubt"):
        resumed.settle_by_hand("x")
    assert [b.state for b in Ledger(tmp_path / "ledger.sqlite").batches()] == ["done"]


class Package(Exception):
    """What a vendor's package raises, of which there is no list."""


class JobNotFound(Package):
    """A job that the vendor does not know."""


class Vendor:
    """A paid backend whose methods raise what they are told to, and whose results are those of a simulator."""

    name, target = "vendor", None

    def __init__(self, simulator: Any, **raises: Exception) -> None:
        self.simulator, self.raises = simulator, raises
        self.jobs: dict[str, Any] = {}
        self.service = self

    def _raise(self, name: str) -> None:
        if name in self.raises:
            raise self.raises[name]

    def run(self, circuits: list[Any], shots: int) -> Any:
        self._raise("before")
        job = self.simulator.run(circuits, shots=shots)
        self.jobs[job.job_id()] = job
        self._raise("after")
        return job

    def retrieve_job(self, job: str) -> Any:
        self._raise("retrieve_job")
        return self.jobs[job]


@pytest.mark.parametrize("when", ["before", "after"])
def test_whatever_a_package_raises_while_a_job_is_sent_may_have_sent_it(tmp_path: Path, when: str) -> None:
    aer = pytest.importorskip("qiskit_aer")
    device = Vendor(aer.AerSimulator(seed_simulator=1), **{when: Package("certificate expired\nline 2")})
    asked, _ = circuits("ring", (0,))
    said: list[str] = []
    backend = HardwareBackend(Plain(device, wait=0.01), tmp_path, shots=99, pricing="free", settle=0.1, say=said.append)
    with pytest.raises(HilbertuneError, match=r"cannot be looked for .*--batch 1 and --sent-as ID or --not-sent"):
        backend.expectations(asked)
    assert "failed while a job was sent (certificate expired); looking" in said[0]
    assert [b.state for b in backend.ledger.batches()] == ["sending"]
    free = Plain(Vendor(device.simulator, before=Package("no disk")), free=True)
    with pytest.raises(HilbertuneError, match="no disk") as caught:
        HardwareBackend(free, tmp_path / "free", shots=99).expectations(asked)
    assert "may have been created" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [(JobNotFound("gone"), NotThereError), (Package("500"), HilbertuneError), (KeyError("x"), HilbertuneError)],
)
def test_whatever_a_package_raises_when_it_is_asked_is_a_sentence(error: Exception, kind: type[Exception]) -> None:
    pytest.importorskip("qiskit")
    provider = QiskitProvider(Vendor(None, retrieve_job=error), name="vendor")
    for ask in (provider.status, provider.cancel, lambda job: provider.results(job, [])):
        with pytest.raises(kind, match="vendor does not give the job x") as caught:
            ask("x")
        assert isinstance(caught.value, HilbertuneError)


def test_results_belong_to_the_circuits_by_name_and_none_may_be_missing(tmp_path: Path) -> None:
    aer = pytest.importorskip("qiskit_aer")
    simulator = aer.AerSimulator(seed_simulator=1)
    asked, exact = circuits("ring", (0, 2))

    class Turned(Vendor):
        """Gives the results of its circuits in reverse, or all but the last."""

        keep: int | None = None

        def run(self, circuits: list[Any], shots: int) -> Any:
            job = super().run(circuits, shots)
            result = job.result()
            result.results = result.results[::-1] if self.keep is None else result.results[: self.keep]
            job.result = lambda: result
            return job

    found = HardwareBackend(Plain(Turned(simulator), wait=0.01), tmp_path, shots=SHOTS, pricing="free")
    found.check = False
    assert abs(found.expectations(asked) - exact).max() < 0.05
    device = Turned(simulator)
    device.keep = 1
    short = HardwareBackend(Plain(device, wait=0.01), tmp_path / "short", shots=SHOTS, pricing="free")
    with pytest.raises(HilbertuneError, match=r"results are of 1 circuits, hilbertune-0 \.\.\., not of 3"):
        short.expectations(asked)
    assert len(device.jobs) == 1


def test_devices_by_name() -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    assert ibm("fake_manila").qubits() == 5
    with pytest.raises(HilbertuneError, match="IBM gives no device 'fake_nowhere'"):
        ibm("fake_nowhere")
    with pytest.raises(HilbertuneError, match="check the account's credentials"):
        ibm("ibm_torino")


def braket_text(circuit: Circuit, weights: np.ndarray, inputs: np.ndarray) -> str:
    """Return OpenQASM 3 as Braket reads it: its gates are built in, not included, and a CNOT has a name of its own."""
    text = circuit.to_qasm3(weights, inputs)
    return text.replace('include "stdgates.inc";\n', "").replace("\ncx ", "\ncnot ")


@pytest.mark.parametrize("name", SHAPES)
def test_brakets_local_simulator_gives_the_exact_values(name: str) -> None:
    simulators = pytest.importorskip("braket.default_simulator")
    openqasm = pytest.importorskip("braket.ir.openqasm")
    circuit, weights, inputs, exact = drawn(name)
    text = braket_text(circuit, weights, inputs)
    asked = [f"#pragma braket result expectation z(q[{q}])" for q in range(circuit.qubits)]
    program = openqasm.Program(source=text + "\n".join(asked) + "\n")
    found = simulators.StateVectorSimulator().run(program, shots=0).resultTypes
    np.testing.assert_allclose([f.value for f in found], exact, atol=1e-10)
    np.random.seed(0)  # the simulator draws from numpy's global generator
    shots = simulators.StateVectorSimulator().run(openqasm.Program(source=text), shots=SHOTS)
    bits = np.array(shots.measurements, int)
    assert within_5_standard_errors((1 - 2 * bits).mean(0), exact)


def test_heads_run_on_brakets_provider_through_the_ledger(tmp_path: Path) -> None:
    pytest.importorskip("qiskit_braket_provider")
    np.random.seed(0)
    asked, exact = circuits("ring", (0, 2))
    found = HardwareBackend(braket("local"), tmp_path, shots=SHOTS).expectations(asked)
    assert abs(found - exact).max() < 5 / math.sqrt(SHOTS)
    with pytest.raises(HilbertuneError, match="Braket gives no device"):
        braket("Forte 1")


@pytest.mark.parametrize(
    ("release", "usable"),
    [("0.7.0", False), ("0.9.9", False), ("0.24.0", False), ("0.25.0", True), ("0.27.1", True), ("1.0", True)],
)
def test_releases_of_brakets_package_that_reverse_the_bits_of_a_batch_are_refused(
    release: str, usable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    device: Any = type("BraketLocalBackend", (), {"__module__": "qiskit_braket_provider.providers.braket_backend"})
    derived: Any = type("Mine", (device,), {"__module__": "mine"})
    package = types.ModuleType("qiskit_braket_provider")
    package.BraketLocalBackend = device  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "qiskit_braket_provider", package)
    monkeypatch.setattr("hilbertune.hardware.qiskit_provider.version", lambda _: release)
    for make in (lambda: braket("local"), lambda: QiskitProvider(device()), lambda: QiskitProvider(derived())):
        if usable:
            make()
        else:
            with pytest.raises(HilbertuneError, match=rf"{release} reverses the bits .*>=0\.25'"):
                make()
    with pytest.raises(HilbertuneError, match="Braket gives no device" if usable else "reverses the bits"):
        braket("Forte 1")
