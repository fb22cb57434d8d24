"""Paid jobs against an emulated account: nothing is lost, nothing is sent twice, every fault is a sentence, and answers are right."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.ionq_emulator import Emulator

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.builders import head
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.hardware import ionq as ionq_module
from hilbertune.hardware import ledger as ledger_module
from hilbertune.hardware import measurement
from hilbertune.hardware import pricing as hardware
from hilbertune.hardware.adaptive import decide
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.breakeven import read_ledgers
from hilbertune.hardware.ionq import IonQ
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.mitigation import extrapolated
from hilbertune.hardware.options import Options
from hilbertune.hardware.qiskit_provider import local
from hilbertune.hardware.recalibration import recalibrate, spsa_steps
from hilbertune.model import training
from hilbertune.model.layers import HybridHead

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as emulator:
        monkeypatch.setenv("IONQ_API_URL", emulator.url)
        monkeypatch.setenv("IONQ_API_KEY", emulator.key)
        yield emulator


def backend(run: Path, name: str = "qpu.forte-1", **options: Any) -> HardwareBackend:
    own = {k: options.pop(k) for k in ("noise", "debiasing", "gateset", "seed") if k in options}
    provider = IonQ(name, wait=0.01, patience=options.pop("patience", 3.0), **own)
    return HardwareBackend(provider, run, **{"max_cost": 1e6, "shots": 100, "settle": 0.2, **options})


def programs(count: int = 3, qubits: int = 3, seed: int = 0) -> tuple[list[BoundCircuit], np.ndarray]:
    """Heads with different inputs, and their exact expectations."""
    circuit, rng = head(qubits, reuploads=1, layers=1), np.random.default_rng(seed)
    weights, inputs = rng.normal(size=circuit.parameters), rng.normal(size=(count, circuit.inputs))
    measured = (0, 2)
    exact = expectation(circuit, torch.from_numpy(weights)[None], torch.from_numpy(inputs)[None], measured=measured)[
        0
    ].numpy()
    return [bind(circuit, weights.tolist(), x, measured) for x in inputs.tolist()], exact


@pytest.fixture(scope="module")
def trained() -> tuple[HybridClassifier, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(160) % 2
    X = rng.normal(size=(160, 8)) + 0.8 * y[:, None]
    model = HybridClassifier(
        qubits=4, basis="pca", encoder_layers=2, reuploads=1, layers=1, epochs=30, learning_rate=0.02,
        encoder_connectivity=2,
    )  # fmt: skip
    return model.fit(X[:100], y[:100]), X, y


# Answers


@pytest.mark.parametrize("style", ["url", "artifact"])
@pytest.mark.parametrize("gateset", ["qis", "native"])
def test_the_ideal_simulator_gives_the_exact_answer(
    account: Emulator, tmp_path: Path, style: str, gateset: str
) -> None:
    account.style = style
    asked, exact = programs()
    found = backend(tmp_path, "simulator", gateset=gateset).expectations(asked)
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_jobs_keep_to_the_limits_and_programs_keep_their_order(account: Emulator, tmp_path: Path) -> None:
    asked, exact = programs(7)
    found = backend(tmp_path, "simulator", batch_circuits=3).expectations(asked)
    np.testing.assert_allclose(found, exact, atol=1e-9)
    assert [len(account.jobs[j]["child_job_ids"]) for j in account.created] == [3, 3, 1]


def test_a_qpu_answers_with_shots_and_is_billed(account: Emulator, tmp_path: Path) -> None:
    asked, exact = programs(20)
    made = backend(tmp_path, shots=2000)
    found = made.expectations(asked)
    assert 0.005 < np.sqrt(((found - exact) ** 2).mean()) < 0.05
    (batch,) = made.ledger.batches()
    assert (batch.state, batch.circuits, batch.shots) == ("done", 20, 2000)
    assert batch.billed is not None
    assert batch.billed > 0
    job = account.jobs[account.created[0]]
    assert job["settings"]["error_mitigation"] == {"debiasing": False}, "said explicitly"
    assert job["metadata"]["hilbertune"] == batch.hash


def test_asking_again_gives_other_samples_and_a_restart_the_same(account: Emulator, tmp_path: Path) -> None:
    asked, _ = programs()
    made = backend(tmp_path)
    first, second = made.expectations(asked), made.expectations(asked)
    assert not np.array_equal(first, second)
    again = backend(tmp_path)
    np.testing.assert_array_equal(again.expectations(asked), first)
    np.testing.assert_array_equal(again.expectations(asked), second)
    assert len(account.created) == 2


# Faults


@pytest.mark.parametrize("kind", ["504-after-create", "drop-after-create", "500-after-create", "truncated", "html"])  # fmt: skip
def test_a_job_whose_answer_got_lost_is_adopted_and_never_sent_again(
    account: Emulator, tmp_path: Path, kind: str
) -> None:
    account.fault("POST /jobs", kind)
    asked, exact = programs()
    made = backend(tmp_path, "simulator")
    np.testing.assert_allclose(made.expectations(asked), exact, atol=1e-9)
    assert len(account.created) == 1


@pytest.mark.parametrize("kind", ["429", "500", "502", "503", "504", "drop"])
def test_a_job_that_was_not_created_is_sent_again(account: Emulator, tmp_path: Path, kind: str) -> None:
    account.fault("POST /jobs", kind)
    asked, exact = programs()
    found = backend(tmp_path, "simulator").expectations(asked)
    np.testing.assert_allclose(found, exact, atol=1e-9)
    assert len(account.created) == 1


@pytest.mark.parametrize("kind", ["429", "500", "503", "drop", "truncated", "html"])
@pytest.mark.parametrize("request_", ["GET /jobs/", "GET /backends"])
def test_reading_is_repeated_until_it_works(account: Emulator, tmp_path: Path, kind: str, request_: str) -> None:
    account.fault(request_, kind, times=2)
    asked, _ = programs()
    made = backend(tmp_path)
    made.provider.ready()
    made.expectations(asked)
    assert len(account.created) == 1


def test_a_retry_after_is_kept(account: Emulator, tmp_path: Path) -> None:
    account.fault("POST /jobs", "429", retry_after=0.5)
    started = time.monotonic()
    backend(tmp_path, "simulator").expectations(programs()[0])
    assert time.monotonic() - started > 0.5


@pytest.mark.parametrize(
    ("kind", "message"),
    [("401", "does not accept the key"), ("402", "Insufficient credit.*add credit"), ("400", "refuses the request")],
)  # fmt: skip
def test_a_refusal_is_one_sentence_and_nothing_was_sent(
    account: Emulator, tmp_path: Path, kind: str, message: str
) -> None:
    account.fault("POST /jobs", kind)
    made = backend(tmp_path)
    with pytest.raises(HilbertuneError, match=message) as caught:
        made.expectations(programs()[0])
    assert account.key not in str(caught.value)
    assert not account.created
    assert made.ledger.batches()[0].state == "planned"
    again = backend(tmp_path)
    again.expectations(programs()[0])
    assert len(account.created) == 1, "resuming sends it"


@pytest.mark.parametrize("code", ["QuotaExhaustedError", "PreflightError", "TooManyGates"])
def test_a_failed_job_is_told_and_sent_again_only_if_asked(account: Emulator, tmp_path: Path, code: str) -> None:
    account.outcome("failed", code=code)
    asked, _ = programs()
    with pytest.raises(HilbertuneError, match=f"failed .{code}.*retry-failed"):
        backend(tmp_path).expectations(asked)
    with pytest.raises(HilbertuneError, match=r"was failed .*--retry-failed"):
        backend(tmp_path).expectations(asked)
    assert len(account.created) == 1
    backend(tmp_path, retry_failed=True).expectations(asked)
    assert len(account.created) == 2


def test_of_a_partly_failed_job_only_the_missing_circuits_are_sent_again(account: Emulator, tmp_path: Path) -> None:
    account.outcome("partial", failed=[1])
    asked, _ = programs(4)
    with pytest.raises(HilbertuneError, match="3 of its 4 circuits were run"):
        backend(tmp_path).expectations(asked)
    backend(tmp_path, retry_failed=True).expectations(asked)
    assert [len(account.jobs[j]["child_job_ids"]) for j in account.created] == [4, 1]


def test_other_jobs_are_kept_when_one_is_cancelled(account: Emulator, tmp_path: Path) -> None:
    account.outcome("canceled")
    asked, _ = programs(4)
    made = backend(tmp_path, batch_circuits=2)
    with pytest.raises(HilbertuneError, match="was cancelled: all other results are kept"):
        made.expectations(asked)
    assert [b.state for b in made.ledger.batches()] == ["cancelled", "done"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [("wrong-sum", "no probabilities"), ("wrong-children", "results for 2 circuits, not 3")],
)
def test_results_that_cannot_be_true_are_refused(account: Emulator, tmp_path: Path, kind: str, message: str) -> None:
    account.outcome(kind)
    with pytest.raises(HilbertuneError, match=message):
        backend(tmp_path).expectations(programs()[0])
    assert len(account.created) == 1


def test_a_network_that_stays_away_stops_the_run_which_then_goes_on(account: Emulator, tmp_path: Path) -> None:
    account.fault("GET /jobs", "503", times=1000)
    with pytest.raises(HilbertuneError, match="nothing is lost"):
        backend(tmp_path, patience=0.3).expectations(programs()[0])
    account._faults.clear()
    backend(tmp_path).expectations(programs()[0])
    assert len(account.created) == 1


def test_a_slow_queue_is_waited_for_and_calibration_told(account: Emulator, tmp_path: Path) -> None:
    account.polls = 6
    account.backends["qpu.forte-1"]["status"] = "unavailable"
    said: list[str] = []
    made = backend(tmp_path, say=said.append)
    assert "calibration" in str(made.provider.ready())
    made.expectations(programs()[0])
    assert any("minutes to wait" in sentence for sentence in said)
    account.backends["qpu.forte-1"]["status"] = "retired"
    with pytest.raises(HilbertuneError, match="retired"):
        made.provider.ready()


# Money


def test_the_limit_is_kept_before_anything_is_sent(account: Emulator, tmp_path: Path) -> None:
    asked, _ = programs(4)
    made = backend(tmp_path, max_cost=30.0, batch_circuits=2)
    assert made.estimate(asked).cost == pytest.approx(4 * 12.4166)
    with pytest.raises(HilbertuneError, match="raise --max-cost"):
        made.expectations(asked)
    assert len(account.created) == 1, "the first batch was within the limit"
    with pytest.raises(HilbertuneError, match="nothing was allowed"):
        backend(tmp_path / "other", max_cost=None).expectations(asked)
    assert len(account.created) == 1


@pytest.mark.parametrize("style", ["may", "october"])
def test_the_live_estimate_is_read_in_both_forms(account: Emulator, tmp_path: Path, style: str) -> None:
    account.estimate_style = style
    found = backend(tmp_path).estimate(programs(3)[0])
    assert found.cost == pytest.approx(3 * 12.4166)
    assert "live estimate" in found.source
    assert found.queue_seconds == 60


def test_published_formulas() -> None:
    # Ten qubits, 150 two- and 160 one-qubit gates, 8192 shots: worked out by hand.
    azure = hardware.formula("azure", 8192, 160, 150)["cost"]
    assert azure == pytest.approx(8192 * (160 * 0.000220 + 150 * 0.000975))
    assert hardware.formula("azure", 1, 1, 1)["cost"] == 12.4166
    assert hardware.formula("braket", 8192, 160, 150)["cost"] == pytest.approx(655.66)


def test_debiasing_needs_shots(account: Emulator, tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="at least 500 shots"):
        backend(tmp_path, debiasing=True, shots=100).expectations(programs()[0])
    backend(tmp_path, debiasing=True, shots=500).expectations(programs()[0])
    job = account.jobs[account.created[-1]]
    assert job["settings"]["error_mitigation"] == {"debiasing": True}


def test_keys_are_needed_and_never_written(account: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend(tmp_path).expectations(programs()[0])
    assert account.key.encode() not in b"".join(p.read_bytes() for p in tmp_path.rglob("*"))
    monkeypatch.delenv("IONQ_API_KEY")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with pytest.raises(HilbertuneError, match="set IONQ_API_KEY"):
        IonQ("simulator")
    monkeypatch.setenv("IONQ_API_KEY", "secret")
    with pytest.raises(HilbertuneError, match="not encrypted"):
        IonQ("simulator", url="http://example.com/v0.4")


# Ledger


def test_a_foreign_file_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("hello " * 100)
    with pytest.raises(HilbertuneError, match="cannot be used as a ledger"):
        Ledger(tmp_path / "ledger.sqlite")


def test_results_that_are_there_are_never_overwritten(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    ledger.plan("h", "b", 2, 10, (1, 1), 5.0, 3)
    ledger.sending("h")
    assert ledger.committed() == 5.0
    ledger.sent("h", "job")
    assert ledger.keep("h", {0: {"0": 1.0}}, 2.0, None).state == "sent"
    assert ledger.keep("h", {0: {"1": 1.0}, 1: {"0": 1.0}}, 4.0, 0.5).state == "done"
    assert ledger.results("h") == {0: {"0": 1.0}, 1: {"0": 1.0}}
    ledger.ended("h", "failed", "late")
    ledger.sending("h")
    batch = ledger.batch("h")
    assert (batch.state, batch.billed, batch.kwh) == ("done", 6.0, 0.5)
    assert ledger.committed() == 6.0
    batch = ledger.keep("h", {}, None, None)
    assert (batch.billed, batch.kwh) == (6.0, None)


STEPS = [
    f"{place} {when}"
    for place in (
        "ledger Ledger plan", "ledger Ledger sending", "ionq IonQ submit", "ledger Ledger sent", "ionq IonQ status",
        "ionq IonQ results", "ledger Ledger keep",
    )
    for when in ("before", "after")
]  # fmt: skip


def client(run: Path, url: str, step: str) -> int:
    """A forked process that measures four programs in two jobs, and kills itself with SIGKILL before or after a step; its exit status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    os.environ.update(IONQ_API_URL=url, IONQ_API_KEY="test-key")
    try:
        if step:
            module, owner, name, when = step.split()
            found = getattr({"ledger": ledger_module, "ionq": ionq_module}[module], owner)
            real = getattr(found, name)

            def deadly(*a: Any, **k: Any) -> Any:
                if when == "after":
                    real(*a, **k)
                os.kill(os.getpid(), signal.SIGKILL)

            setattr(found, name, deadly)
        values = backend(run, batch_circuits=2).expectations(programs_of_client())
        (run / "values.json").write_text(json.dumps(values.tolist()))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def programs_of_client() -> list[BoundCircuit]:
    """Four, without torch, whose threads do not survive a fork."""
    circuit = head(3, reuploads=1, layers=1)
    weights = np.linspace(-1, 1, circuit.parameters).tolist()
    return [bind(circuit, weights, [0.1 * row, 0.5, -0.3], (0, 2)) for row in range(4)]


def test_a_client_killed_at_every_step_of_a_job_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """The account is a process of its own; the client is killed before and after each step, then started again."""
    port, run = tmp_path / "port", tmp_path / "run"
    emulator = Path(__file__).parents[1] / "helpers" / "ionq_emulator.py"
    server = subprocess.Popen([sys.executable, str(emulator), "--port-file", str(port)])
    try:
        for _ in range(600):
            if port.exists():
                break
            time.sleep(0.1)
        url = port.read_text()
        killed = sum(client(run, url, step) == signal.SIGKILL for step in STEPS)
        assert killed >= 12, "steps that were passed before an earlier kill are not met again"
        assert client(run, url, "") == 0
        first = (run / "values.json").read_text()
        assert client(run, url, "") == 0
        assert (run / "values.json").read_text() == first
        with urllib.request.urlopen(url.removesuffix("/v0.4") + "/emulator/log") as answer:
            created = json.loads(answer.read())["created"]
        assert len(created) == 2, "each of the two batches was created once"
    finally:
        server.kill()


# Better answers for the same money


def test_readout_errors_are_undone(tmp_path: Path) -> None:
    asked, exact = programs(12, qubits=4)
    errors = []
    for readout in (False, True):
        provider = local(readout_error=0.05)
        made = HardwareBackend(provider, tmp_path / str(readout), shots=20_000, readout=readout)
        errors.append(float(np.abs(made.expectations(asked) - exact).mean()))
    assert errors[1] < 0.3 * errors[0]


def test_noise_is_extrapolated_to_nothing(tmp_path: Path) -> None:
    asked, exact = programs(12, qubits=4)
    errors = []
    for scales in ((1,), (1, 3)):
        made = HardwareBackend(local("aria-2"), tmp_path / str(scales), shots=40_000, scales=scales)
        errors.append(float(np.abs(made.expectations(asked) - exact).mean()))
    assert errors[1] < 0.6 * errors[0]
    line = np.array([[0.9], [0.7], [0.5]])
    np.testing.assert_allclose(extrapolated((1, 3, 5), line), [1.0])


def test_folding_needs_gates_that_are_run_as_they_are(account: Emulator, tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="native"):
        backend(tmp_path, scales=(1, 3))
    made = backend(tmp_path, "simulator", gateset="native", scales=(1, 3))
    asked, exact = programs()
    np.testing.assert_allclose(made.expectations(asked), exact, atol=1e-9)


def test_sure_rows_take_few_shots(trained: tuple[HybridClassifier, np.ndarray, np.ndarray], tmp_path: Path) -> None:
    model, X, _ = trained
    made = HardwareBackend(local("forte-1"), tmp_path, shots=1)
    found = decide(model, made, X[100:], confidence=0.95, first=64, most=2048)
    assert set(found.shots.tolist()) <= {64, 128, 256, 512, 1024, 2048}
    assert found.shots.mean() < 1500
    # The answer of infinitely many shots: what the noise model leaves of each expectation.
    sure = found.decided
    assert sure.mean() > 0.6
    assert (model.classes_[found.classes[sure]] == model.predict(X[100:])[sure]).mean() >= 0.95
    with pytest.raises(HilbertuneError, match="confidence"):
        decide(model, made, X[100:], confidence=0.3)


# Hardware in the loop


def test_a_model_predicts_and_is_evaluated_on_hardware(
    trained: tuple[HybridClassifier, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    model, X, _ = trained
    exact = model.predict_proba(X[100:])
    model.head_.head.engine = HardwareBackend(local(), tmp_path, shots=4000)
    try:
        np.testing.assert_allclose(model.predict_proba(X[100:]), exact, atol=0.1)
        assert not np.array_equal(model.predict_proba(X[100:]), exact)
    finally:
        model.head_.head.engine = "auto"


def test_parameter_shift_on_hardware_is_the_gradient(account: Emulator, tmp_path: Path) -> None:
    """The ideal simulator of the cloud has no shot noise, so that the rule itself is tested: every use of a shared weight, every re-uploaded input."""
    circuit = head(2, reuploads=2, layers=1, shared_reupload=True)
    rng = np.random.default_rng(0)
    tensors = [torch.from_numpy(rng.normal(size=s)) for s in ((1, circuit.parameters), (1, 2, 2))]
    gradients = []
    for engine, rule in (("auto", "adjoint"), (backend(tmp_path, "simulator"), "parameter-shift")):
        own = [t.clone().requires_grad_() for t in tensors]
        expectation(circuit, *own, gradient=rule, engine=engine, measured=(0,)).sum().backward()  # type: ignore[arg-type]
        gradients.append([t.grad.numpy() for t in own if t.grad is not None])
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_adjoint_gradients_of_hardware_are_refused(tmp_path: Path) -> None:
    circuit = head(2, reuploads=1)
    weights = torch.zeros(1, circuit.parameters, requires_grad=True)
    with pytest.raises(HilbertuneError, match="parameter-shift"):
        expectation(circuit, weights, torch.zeros(1, 1, 2), engine=HardwareBackend(local(), tmp_path))


@pytest.mark.parametrize("gradient", ["spsa", "parameter-shift"])
def test_the_trainer_takes_hardware_and_resumes_without_paying_again(
    account: Emulator, tmp_path: Path, gradient: Any
) -> None:
    rng = np.random.default_rng(0)
    X = torch.from_numpy(rng.normal(size=(12, 4)).astype(np.float32))
    y = torch.from_numpy(np.arange(12) % 2)
    split = Split(np.arange(8), np.arange(8, 12), np.arange(0))
    shape = HeadConfig(qubits=2, encoder_layers=1, encoder_connectivity=1, reuploads=1, layers=0, basis="pca", projection="pca")  # fmt: skip
    config = TrainingConfig(epochs=2, batch_size=4, gradient=gradient)
    weights = []
    for _ in range(2):
        model = HybridHead(4, 2, shape)
        model.head.engine = backend(tmp_path, "simulator")
        training.train(model, X, y, [split], [config], [0])
        weights.append(model.head.weights.detach().numpy().copy())
        jobs = len(account.created)
    np.testing.assert_array_equal(*weights)
    assert len(account.created) == jobs
    assert jobs == len({json.dumps(account.jobs[j]["metadata"]) for j in account.created})


def test_recalibration_fits_the_device(
    trained: tuple[HybridClassifier, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    model, X, y = trained
    made = HardwareBackend(local("aria-2", readout_error=0.1), tmp_path, shots=1000)
    found = recalibrate(model, made, X[:100], y[:100])
    assert found.losses[1] < found.losses[0]
    assert (found.circuits, found.shots) == (100, 100_000)
    assert not torch.equal(found.model.head_.linear_weight, model.head_.linear_weight)
    assert torch.equal(found.model.head_.head.weights, model.head_.head.weights)


def test_spsa_moves_the_last_block_alone_within_its_budget(
    trained: tuple[HybridClassifier, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    model, X, y = trained
    before = model.head_.head.weights[0].detach().clone()
    results = []
    for _ in range(2):  # the second finds everything in the ledger
        made = HardwareBackend(local("forte-1"), tmp_path, shots=100)
        results.append(spsa_steps(model, made, X[:100], y[:100], steps=3, shots_per_step=2000))
    after = results[0].model.head_.head.weights[0].detach()
    moved = (after != before).nonzero().ravel().tolist()
    second = 4 * (1 * 1 + 1)
    assert moved == list(range(len(before) - second, len(before)))
    assert results[0].shots == 3 * 2000
    assert torch.equal(after, results[1].model.head_.head.weights[0])
    with pytest.raises(HilbertuneError, match="cannot measure one row twice"):
        spsa_steps(model, made, X[:100], y[:100], shots_per_step=10)


# The command line


@pytest.fixture
def saved(trained: tuple[HybridClassifier, np.ndarray, np.ndarray], tmp_path: Path) -> tuple[Path, Path]:
    model, X, y = trained
    np.savez(tmp_path / "test.npz", embeddings=X[100:110], labels=y[100:110])
    return model.save_pretrained(tmp_path / "model"), tmp_path / "test.npz"


def test_a_test_set_runs_from_estimate_to_results(
    run: Run, account: Emulator, saved: tuple[Path, Path], tmp_path: Path
) -> None:
    out, flags = tmp_path / "r", ("--backend", "qpu.forte-1", "--shots", 200)
    code, answer, err = run("qpu", "estimate", *saved, *flags, "--json")
    assert code == 0, err
    cost = json.loads(answer)["cost"]
    code, answer, err = run("qpu", "estimate", *saved, *flags, "--pricing", "azure", "--json")
    assert json.loads(answer)["source"].startswith("Azure")
    assert not account.created

    code, _, err = run("qpu", "run", *saved, *flags, "--max-cost", cost / 2, "--out", out)
    assert code == 2
    assert "above --max-cost" in err
    assert not account.created
    code, _, err = run("qpu", "resume", out)
    assert code == 2
    assert "Nobody can confirm here" in err
    code, answer, err = run("qpu", "resume", out, "--max-cost", cost + 1, "--json")
    assert code == 0, err
    found = json.loads(answer)
    assert set(found["methods"]) == {"exact", "hardware", "noise model"}
    assert found["ledger"]["shots"] == 2000
    assert found["expectation_error"]["root_mean_square"] < 0.3
    assert np.sum(found["methods"]["hardware"]["confusion"]) == 10
    assert {f.name for f in out.iterdir()} >= {
        "run.json", "rows.safetensors", "ledger.sqlite", "results.json", "predictions.csv", "picture.png",
    }  # fmt: skip
    assert len(account.created) == 1
    code, answer, err = run("qpu", "results", out, "--json")
    assert code == 0, err
    assert json.loads(answer)["methods"] == found["methods"]
    code, answer, _ = run("qpu", "status", out)
    assert answer.startswith("batch 1: done, 10 circuits x 200 shots, job ")
    assert account.key not in answer + err


def test_the_energy_of_a_run_is_what_the_vendor_reports(
    run: Run, account: Emulator, saved: tuple[Path, Path], tmp_path: Path
) -> None:
    flags = ("--backend", "qpu.forte-1", "--max-cost", 1e6, "--json")
    code, answer, err = run("qpu", "run", *saved, *flags, "--out", tmp_path / "none")
    assert code == 0, err
    found = json.loads(answer)
    assert set(found["energy"].values()) == {None}
    account.kwh = lambda qubits, circuits, shots: 1e-6 * qubits * circuits * shots
    code, answer, err = run("qpu", "run", *saved, *flags, "--shots", 300, "--out", tmp_path / "some")
    assert code == 0, err
    found = json.loads(answer)
    ledger = Ledger(tmp_path / "some" / "ledger.sqlite")
    (batch,) = ledger.batches()
    ledger.close()
    joules = 3.6 * batch.qubits * 10 * 300
    assert found["ledger"]["joules_vendor_reported"] == pytest.approx(joules)
    assert found["energy"]["method"] == "reported by the vendor"
    assert found["energy"]["joules_per_1000_predictions"] == pytest.approx(100 * joules)
    right = 10 * found["methods"]["hardware"]["accuracy"]["mean"]
    assert found["energy"]["joules_per_correct_prediction"] == pytest.approx(joules / right)
    (point,) = read_ledgers([tmp_path / "some"])
    assert (point.qubits, point.shots) == (batch.qubits, 300)
    assert point.value == pytest.approx(3.6 * batch.qubits * 300)


def test_backends_are_listed(run: Run, account: Emulator) -> None:
    code, answer, _ = run("qpu", "backends")
    assert code == 0
    assert "qpu.forte-1" in answer
    assert "36 qubits, available" in answer


def test_an_open_job_is_cancelled(run: Run, account: Emulator, saved: tuple[Path, Path], tmp_path: Path) -> None:
    account.outcome("stuck")
    out = tmp_path / "r"
    model = HybridClassifier.from_pretrained(saved[0])
    X = np.load(saved[1])
    options = Options(backend="qpu.forte-1", shots=100)
    made = measurement.create_run(out, model, X["embeddings"], X["labels"], options)
    executor = options.executor(out, IonQ("qpu.forte-1", wait=0.01), max_cost=1e6)
    for hash_, own in executor.batches(made.programs(), 100):
        executor.ledger.plan(hash_, "x", len(own), 100, (0, 0), 1.0, 3)
        executor._send(hash_, own)
    code, answer, err = run("qpu", "status", out)
    assert code == 0, err
    assert "batch 1: sent" in answer
    code, _, err = run("qpu", "results", out)
    assert (code, "resume' finishes the run" in err) == (2, True)
    code, answer, err = run("qpu", "cancel", out)
    assert (code, answer) == (0, "Cancelled: 1 of 1 batches.\n"), err
    code, _, err = run("qpu", "resume", out, "--max-cost", 1000)
    assert code == 2
    assert "was cancelled" in err


def test_a_dry_run_needs_no_account(run: Run, saved: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "r"
    code, answer, err = run(
        "qpu", "run", *saved, "--backend", "local", "--noise", "forte-1", "--shots", 300,
        "--readout", "--noise-scales", "1,3", "--out", out, "--json",
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(answer)
    assert found["ledger"]["circuits"] == 22
    with sqlite3.connect(out / "ledger.sqlite") as file:
        assert file.execute("SELECT count(*) FROM results").fetchone() == (22,)


def test_an_ibm_chip_is_simulated_without_an_account(run: Run, saved: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    answers = []
    for name in ("r", "again"):
        flags = ("--backend", "ibm:fake_manila", "--shots", 500, "--rows", 4, "--json")
        code, answer, err = run("qpu", "run", *saved, *flags, "--out", tmp_path / name)
        assert code == 0, err
        answers.append(json.loads(answer)["methods"]["hardware"])
    assert answers[0] == answers[1]
    other = HybridClassifier(qubits=6, epochs=1, reuploads=1, encoder_layers=1, layers=1)
    X = np.load(saved[1])
    other.fit(np.tile(X["embeddings"], (2, 1)), np.tile(X["labels"], 2))
    wide = other.save_pretrained(tmp_path / "wide")
    out = tmp_path / "refused"
    code, _, err = run("qpu", "run", wide, saved[1], "--backend", "ibm:fake_manila", "--out", out)
    assert code == 2
    assert "6 qubits, ibm:fake_manila has 5" in err
    assert not out.exists()


def test_a_job_in_doubt_is_settled_from_the_command_line(
    run: Run, account: Emulator, saved: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "r"
    X = np.load(saved[1])
    model = HybridClassifier.from_pretrained(saved[0])
    options = Options(backend="qpu.forte-1", shots=100)
    made = measurement.create_run(out, model, X["embeddings"], X["labels"], options)
    executor = options.executor(out)
    ((hash_, own),) = executor.batches(made.programs(), 100)
    executor.ledger.plan(hash_, "x", len(own), 100, (0, 0), 1.0, 3)
    executor.ledger.sending(hash_)
    job = executor.provider.submit(hash_, 0, own, 100)  # under a number that will not be looked for
    code, _, err = run("qpu", "resume", out, "--sent-as", job, "--max-cost", 1000, "--json")
    assert code == 0, err
    assert account.created == [job]
    code, _, err = run("qpu", "resume", out, "--not-sent")
    assert (code, "0 batches are in doubt" in err) == (2, True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--noise-scales", "2"], "begin with 1"),
        (["--noise-scales", "x"], "odd numbers"),
        (["--noise", "aria-9"], "no noise model"),
        (["--backend", "ibm:fake_manila", "--debiasing"], "are IonQ's"),
        (["--backend", "ibm:fake_nowhere"], "gives no device 'fake_nowhere'"),
    ],
)
def test_impossible_flags_are_refused(
    run: Run, saved: tuple[Path, Path], tmp_path: Path, flags: list[str], message: str
) -> None:
    code, _, err = run("qpu", "run", *saved, "--backend", "local", *flags, "--out", tmp_path / "r")
    assert code == 2
    assert message in err
