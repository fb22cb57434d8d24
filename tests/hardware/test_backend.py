"""Measured expectations: right answers, errors undone, and gradients on hardware."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.ionq_emulator import Emulator
from helpers.qpu import Trained, backend, circuits

from hilbertune.circuit.builders import head
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.mitigation import extrapolated
from hilbertune.hardware.qiskit_provider import local
from hilbertune.model import training
from hilbertune.model.layers import HybridHead


@pytest.mark.parametrize("style", ["url", "artifact"])
@pytest.mark.parametrize("gateset", ["qis", "native"])
def test_the_ideal_simulator_gives_the_exact_answer(
    account: Emulator, tmp_path: Path, style: str, gateset: str
) -> None:
    account.style = style
    asked, exact = circuits()
    found = backend(tmp_path, "simulator", gateset=gateset).expectations(asked)
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_jobs_keep_to_the_limits_and_circuits_keep_their_order(account: Emulator, tmp_path: Path) -> None:
    asked, exact = circuits(7)
    found = backend(tmp_path, "simulator", batch_circuits=3).expectations(asked)
    np.testing.assert_allclose(found, exact, atol=1e-9)
    assert [len(account.jobs[j]["child_job_ids"]) for j in account.created] == [3, 3, 1]


def test_a_qpu_answers_with_shots_and_is_billed(account: Emulator, tmp_path: Path) -> None:
    asked, exact = circuits(20)
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
    asked, _ = circuits()
    made = backend(tmp_path)
    first, second = made.expectations(asked), made.expectations(asked)
    assert not np.array_equal(first, second)
    again = backend(tmp_path)
    np.testing.assert_array_equal(again.expectations(asked), first)
    np.testing.assert_array_equal(again.expectations(asked), second)
    assert len(account.created) == 2


def test_readout_errors_are_undone(tmp_path: Path) -> None:
    asked, exact = circuits(12, qubits=4)
    errors = []
    for readout in (False, True):
        provider = local(readout_error=0.05)
        made = HardwareBackend(provider, tmp_path / str(readout), shots=20_000, readout=readout)
        errors.append(float(np.abs(made.expectations(asked) - exact).mean()))
    assert errors[1] < 0.3 * errors[0]


def test_noise_is_extrapolated_to_nothing(tmp_path: Path) -> None:
    asked, exact = circuits(12, qubits=4)
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
    asked, exact = circuits()
    np.testing.assert_allclose(made.expectations(asked), exact, atol=1e-9)


def test_a_model_predicts_and_is_evaluated_on_hardware(trained: Trained, tmp_path: Path) -> None:
    model, X, _ = trained
    exact = model.predict_proba(X[100:])
    model.head_.head.engine = HardwareBackend(local(), tmp_path, shots=4000)
    try:
        np.testing.assert_allclose(model.predict_proba(X[100:]), exact, atol=0.1)
        assert not np.array_equal(model.predict_proba(X[100:]), exact)
    finally:
        model.head_.head.engine = "auto"


def test_parameter_shift_on_hardware_is_the_gradient(account: Emulator, tmp_path: Path) -> None:
    """The ideal simulator of the cloud has no shot noise, so that the rule itself is tested.

    It is applied to every use of a shared weight and to every re-uploaded input.
    """
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
    shape = HeadConfig(
        qubits=2, encoder_layers=1, encoder_connectivity=1, reuploads=1, layers=0, basis="pca", projection="pca"
    )
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
