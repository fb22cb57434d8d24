"""The emulator of IonQ's API is faithful: other clients use it, and its physics agrees with other computations."""

import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from helpers import ionq_emulator
from helpers.ionq_emulator import NOISE, Emulator
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Statevector
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

core = pytest.importorskip("ionq_core")

X = [{"gate": "x", "target": 0}]
BELL = [{"gate": "h", "target": 0}, {"gate": "cnot", "control": 0, "target": 1}]


@pytest.fixture
def account() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


def web(emulator: Emulator, key: str = "test-key") -> httpx.Client:
    return httpx.Client(base_url=emulator.url, headers={"Authorization": f"apiKey {key}"}, verify=False, timeout=60)


def body(*circuits: list[dict[str, Any]], qubits: int = 2, gateset: str = "qis", **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"gateset": gateset, "qubits": qubits}
    kind = "circuit" if len(circuits) == 1 else "multi-circuit"
    if len(circuits) == 1:
        given["circuit"] = circuits[0]
    else:
        given["circuits"] = [{"name": f"c{n}", "circuit": c} for n, c in enumerate(circuits)]
    return {"type": f"ionq.{kind}.v1", "backend": "simulator", "input": given, **more}


def table(client: httpx.Client, asked: dict[str, Any]) -> Any:
    made = client.post("/jobs", json=asked)
    assert made.status_code == 201, made.text
    assert client.get(f"/jobs/{made.json()['id']}").json()["status"] == "completed"
    return client.get(f"/jobs/{made.json()['id']}/results/probabilities").json()


def vector(shares: dict[str, float], qubits: int) -> np.ndarray:
    found = np.zeros(1 << qubits)
    for state, share in shares.items():
        found[int(state)] = share
    return found


def variation(found: np.ndarray, exact: np.ndarray) -> float:
    return float(abs(found - exact).sum() / 2)


def sampling(exact: np.ndarray, shots: int) -> float:
    """Return a total variation that counting exceeds once in a million times: its mean and McDiarmid's inequality."""
    mean = float(np.sqrt(2 / np.pi * exact * (1 - exact) / shots).sum() / 2)
    return mean + float(np.sqrt(np.log(1e6) / 2 / shots))


def random_circuit(qubits: int, layers: int, seed: int) -> QuantumCircuit:
    rng = np.random.default_rng(seed)
    made = QuantumCircuit(qubits)
    for _ in range(layers):
        for qubit in range(qubits):
            made.ry(rng.uniform(-np.pi, np.pi), qubit)
        order = rng.permutation(qubits)
        for control, target in zip(order[::2], order[1::2], strict=False):
            made.cx(int(control), int(target))
    return made


def noisy(circuit: QuantumCircuit, one: float, two: float) -> np.ndarray:
    """Return the vendor's documented noise on Qiskit's named gates, as a density matrix."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(depolarizing_error(one, 1), ["ry", "h", "x", "rz"])
    model.add_all_qubit_quantum_error(depolarizing_error(two, 2), ["cx"])
    asked = circuit.copy()
    asked.save_probabilities()
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    return np.asarray(simulator.run(asked, shots=1).result().data(0)["probabilities"])


@pytest.fixture
def plugin(account: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the provider's backends; it reads their number of qubits by way of the environment only."""
    provider = pytest.importorskip("qiskit_ionq").IonQProvider
    monkeypatch.setenv("IONQ_API_URL", account.url)
    monkeypatch.setenv("IONQ_API_KEY", "test-key")

    def backend(name: str = "ionq_simulator", **options: Any) -> Any:
        return provider("test-key", url=account.url).get_backend(name, **options)

    return backend


def shares(job: Any, circuit: QuantumCircuit, number: int = 0) -> np.ndarray:
    """Return what Qiskit's job says of a circuit; it leaves out what it did not draw."""
    said = job.result(wait=0.01).data(number)["probabilities"]
    states = {str(int(k, 0) if k.startswith("0x") else int(k, 2)): v for k, v in said.items()}
    return vector(states, circuit.num_clbits)


def same(found: np.ndarray, right: np.ndarray) -> bool:
    """Equal where it was drawn, and nearly all was."""
    drawn = found > 0
    return bool(np.allclose(found[drawn], right[drawn], atol=1e-9) and found.sum() > 0.98)


@pytest.mark.filterwarnings("ignore")
def test_qiskits_plugin_gets_the_right_answers(plugin: Any, account: Emulator) -> None:
    bell = QuantumCircuit(2)
    bell.h(0)
    bell.cx(0, 1)
    wide = random_circuit(10, 3, 1)
    measured = [c.copy() for c in (bell, wide)]
    for circuit in measured:
        circuit.measure_all()
    exact = [np.asarray(Statevector(c).probabilities()) for c in (bell, wide)]
    backend = plugin()
    for circuit, right in zip(measured, exact, strict=True):
        job = backend.run(circuit, shots=20_000, sampler_seed=1)
        assert same(shares(job, circuit), right)
        counted = {str(int(k, 2)): v / 20_000 for k, v in job.get_counts().items()}
        assert variation(vector(counted, circuit.num_qubits), right) < sampling(right, 20_000)
    # As one job; then found again by its id, whose metadata tell how bits are laid out.
    batch = backend.run(measured, shots=20_000)
    for job in (batch, backend.retrieve_job(batch.job_id())):
        for number, right in enumerate(exact):
            assert same(shares(job, measured[number], number), right)
    assert len(account.created) == 3
    assert len(account.jobs[batch.job_id()]["child_job_ids"]) == 2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", NOISE)
def test_qiskits_plugin_sees_the_documented_noise(plugin: Any, model: str) -> None:
    circuit = random_circuit(5, 8, 2)
    measured = circuit.copy()
    measured.measure_all()
    right, ideal = noisy(circuit, *NOISE[model]), Statevector(circuit).probabilities()
    job = plugin().run(measured, shots=500_000, noise_model=model)
    found, error = shares(job, measured), sampling(right, 500_000)
    assert variation(found, right) < error < 0.3 * variation(found, ideal)


@pytest.mark.filterwarnings("ignore")
def test_qiskits_plugin_compiles_to_native_gates(plugin: Any) -> None:
    """A second opinion on their matrices and signs."""
    circuit = random_circuit(4, 3, 3)
    right = np.asarray(Statevector(circuit).probabilities())
    asked = QuantumCircuit(4, 4).compose(circuit)
    asked.measure(range(4), range(4))
    backend = plugin(gateset="native")
    compiled = transpile(asked, backend=backend, initial_layout=range(4), optimization_level=1)
    assert set(compiled.count_ops()) <= {"gpi", "gpi2", "ms", "zz", "measure"}
    assert same(shares(backend.run(compiled, shots=100_000), compiled), right)


def own(emulator: Emulator) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the key travels in the clear, to this machine
        return core.IonQClient(api_key="test-key", base_url=emulator.url, max_retries=0)


def test_ionqs_client_reads_a_job_in_the_newer_form() -> None:
    from ionq_core import models
    from ionq_core.api.default import create_job, get_job, get_job_artifact, get_job_probabilities

    with Emulator(style="artifact", polls=3) as account:
        client = own(account)
        asked = models.JSONMultiCircuitJob.from_dict(body(X, BELL, metadata={"hash": "abc"}))
        made = create_job.sync(client=client, body=asked)
        assert get_job.sync(made.id, client=client).status == "ready"
        with pytest.raises(core.NotFoundError):
            get_job_probabilities.sync(made.id, client=client)
        job = core.wait_for_job(client, made.id, poll_interval=0.01)
        assert job.metadata["hash"] == "abc"
        (form,) = job.results.additional_properties.values()
        answer = get_job_artifact.sync_detailed(made.id, form.id, client=client)
        first, second = job.child_job_ids
        assert httpx.Response(200, content=answer.content).json() == {
            first: {"1": 1.0},
            second: pytest.approx({"0": 0.5, "3": 0.5}),
        }


def test_ionqs_client_reads_the_account_and_its_pages() -> None:
    from ionq_core.api.backends import get_backends
    from ionq_core.api.default import estimate_job_cost
    from ionq_core.api.whoami import get_whoami

    with Emulator(style="artifact", estimate_style="october") as account:
        client, plain = own(account), web(account)
        found = {b.backend: b for b in get_backends.sync(client=client)}
        assert found["qpu.forte-1"].qubits == 36
        assert get_whoami.sync(client=client).key_name == "test"
        said = estimate_job_cost.sync(
            client=client, backend="qpu.forte-1", qubits=4, shots=10_000, field_1q_gates=10, field_2q_gates=20
        )
        assert said.estimated_total_cost == pytest.approx(22 + 195)
        ids = [plain.post("/jobs", json=body(X, BELL)).json()["id"] for _ in range(57)]
        assert [j.id for j in core.iter_jobs(client)] == ids[::-1], "children are not listed"


def test_gates_are_what_their_names_say(account: Emulator) -> None:
    """Every gate, in a circuit where its phase shows, against matrices written down here."""
    rng = np.random.default_rng(5)
    x, y, z, one = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1]), np.eye(2)
    v = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2
    fixed = {
        "x": x,
        "not": x,
        "y": y,
        "z": z,
        "h": (x + z) / np.sqrt(2),
        "s": np.diag([1, 1j]),
        "si": np.diag([1, -1j]),
        "t": np.diag([1, np.exp(0.25j * np.pi)]),
        "ti": np.diag([1, np.exp(-0.25j * np.pi)]),
        "v": v,
        "vi": v.conj().T,
        "swap": np.eye(4)[[0, 2, 1, 3]],
    }
    turned = {"rx": x, "ry": y, "rz": z, "xx": np.kron(x, x), "yy": np.kron(y, y), "zz": np.kron(z, z)}
    qis: list[dict[str, Any]] = []
    right = QuantumCircuit(4)

    def add(gate: dict[str, Any], matrix: np.ndarray, qubits: list[int]) -> None:
        qis.append(gate)
        right.append(UnitaryGate(matrix), qubits)

    for name in [*fixed, *turned, "cnot", *fixed, *turned]:
        for qubit in range(4):  # a random turn first, so that no gate acts on a state it leaves alone
            angle = float(rng.uniform(-3, 3))
            add(
                {"gate": "ry", "targets": [qubit], "rotation": angle},
                np.cos(angle / 2) * one - 1j * np.sin(angle / 2) * y,
                [qubit],
            )
        first, second = (int(q) for q in rng.permutation(4)[:2])
        if name == "cnot":
            matrix = np.eye(4)[[0, 3, 2, 1]]  # the control is the low bit
            add({"gate": "cnot", "control": first, "target": second}, matrix, [first, second])
            add({"gate": "x", "controls": [second], "targets": [first]}, matrix, [second, first])
            continue
        angle = float(rng.uniform(-3, 3))
        matrix = fixed.get(name)
        if matrix is None:
            matrix = np.cos(angle / 2) * np.eye(len(turned[name])) - 1j * np.sin(angle / 2) * turned[name]
        where = [first, second][: 1 if len(matrix) == 2 else 2]
        add({"gate": name, "targets": where, "rotation": angle}, matrix, where)
    found = vector(table(web(account), body(qis, qubits=4)), 4)
    assert variation(found, np.asarray(Statevector(right).probabilities())) < 1e-9


def test_native_gates_are_those_of_ionqs_client(account: Emulator) -> None:
    """Against the matrices that it publishes, whose first qubit is the most significant."""
    rng = np.random.default_rng(6)
    native: list[dict[str, Any]] = []
    right = QuantumCircuit(3)
    for name in ["ms", "zz"] * 6:
        for qubit in range(3):
            for single in ("gpi2", "gpi"):
                phase = float(rng.uniform(-1, 1))
                native.append({"gate": single, "target": qubit, "phase": phase})
                right.append(UnitaryGate(np.array(getattr(core, f"{single}_matrix")(phase))), [qubit])
        first, second = (int(q) for q in rng.permutation(3)[:2])
        phases, angle = rng.uniform(-1, 1, 2).tolist(), float(rng.uniform(0, 0.25))
        more = {"phases": phases} if name == "ms" else {}
        native.append({"gate": name, "targets": [first, second], "angle": angle, **more})
        matrix = core.ms_matrix(*phases, angle) if more else core.zz_matrix(angle)
        right.append(UnitaryGate(np.array(matrix)), [second, first])
    found = vector(table(web(account), body(native, qubits=3, gateset="native")), 3)
    assert variation(found, np.asarray(Statevector(right).probabilities())) < 1e-9


def test_trajectories_agree_with_the_density_matrix(account: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ionq_emulator, "DENSITY_QUBITS", 4)
    circuit = random_circuit(6, 8, 7)
    right, ideal = noisy(circuit, *NOISE["aria-2"]), Statevector(circuit).probabilities()
    gates = [
        {"gate": "cnot", "control": q[0], "target": q[1]}
        if step.operation.name == "cx"
        else {"gate": "ry", "target": q[0], "rotation": step.operation.params[0]}
        for step in circuit.data
        for q in [[circuit.find_bit(b).index for b in step.qubits]]
    ]
    asked = body(gates, qubits=6, noise={"model": "aria-2"}, shots=200_000)
    found = vector(table(web(account), asked), 6)
    # How much of the noise's effect is there: all of it, to 5 standard errors of 20,000 trajectories and 200,000 shots.
    effect = right - ideal
    spread = (effect**2 @ right - (effect @ right) ** 2) * (1 / 20_000 + 1 / 200_000)
    error = float(np.sqrt(spread)) / (effect @ effect)
    assert error < 0.03, "the test could see a wrong rate"
    assert abs(effect @ (found - ideal) / (effect @ effect) - 1) < 5 * error


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"shorts": 3}, "shorts"),
        ({"shots": 0}, "shots"),
        ({"shots": 1_000_001}, "shots"),
        ({"backend": "qpu.aria-1"}, "backend"),
        ({"backend": "qpu.forte-1", "shots": 499, "settings": {"error_mitigation": {"debiasing": True}}}, "debiasing"),
        ({"input": {"gateset": "qis", "qubits": 2, "circuits": [{"circuit": X}] * 5001}}, "circuits"),
        ({"input": {"gateset": "qis", "qubits": 2, "circuits": [{"circuit": X * 150_001}]}}, "gates"),
    ],
)
def test_what_the_api_refuses_is_refused(account: Emulator, change: dict[str, Any], word: str) -> None:
    answer = web(account).post("/jobs", json={**body(X, BELL), **change})
    assert answer.status_code == 400
    assert word in answer.json()["message"]
    assert account.created == []


def test_keys_and_paths(account: Emulator) -> None:
    stranger = web(account, "other")
    assert stranger.get("/backends/qpu.forte-1").json()["qubits"] == 36, "needs no key"
    assert stranger.post("/jobs", json=body(X)).status_code == 401
    assert account.created == []
    assert web(account).get("/nowhere").status_code == 404
