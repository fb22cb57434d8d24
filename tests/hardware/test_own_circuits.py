"""Circuits of any gates on an emulated account, on Aer and as tensor networks, against PennyLane."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.circuits import INPUTS, WEIGHTS, judged, random_circuit, random_words
from helpers.ionq_emulator import Emulator
from helpers.qpu import backend

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation
from hilbertune.engine.tensor_network import TensorNetwork
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.qiskit_provider import local
from hilbertune.hardware.recalibration import last_block
from hilbertune.model.layers import HybridHead


def drawn(seed: int, qubits: int = 3) -> tuple[Circuit, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    circuit = random_circuit(rng, qubits, 25)
    return circuit, torch.from_numpy(rng.normal(size=WEIGHTS)), torch.from_numpy(rng.normal(size=(2, INPUTS)))


@pytest.mark.parametrize("gateset", ["qis", "native"])
def test_the_ideal_simulator_gives_pennylanes_answers(account: Emulator, gateset: str, tmp_path: Path) -> None:
    """Whose shares are exact; Pauli words are measured after a change of basis."""
    circuit, weights, inputs = drawn(1)
    engine = backend(tmp_path / "run", "simulator", gateset=gateset)
    words = random_words(np.random.default_rng(0), 3, 4)
    found = expectation(circuit, weights, inputs, engine=engine, observables=words)
    right = [judged(circuit, weights.numpy(), row, words) for row in inputs.numpy()]
    np.testing.assert_allclose(found.numpy(), right, atol=1e-9)
    sent = {gate["gate"] for job in account.jobs.values() for own in job["circuits"] for gate in own["circuit"]}
    assert sent <= {"gpi", "gpi2", "zz"} if gateset == "native" else {"h", "zz", "rx"} <= sent


@pytest.mark.parametrize("options", [{}, {"scales": (1, 3), "readout": True}])
def test_aer_samples_pennylanes_answers(options: dict[str, Any], tmp_path: Path) -> None:
    circuit, weights, inputs = drawn(2)
    engine = HardwareBackend(local(), tmp_path / "run", shots=20_000, **options)
    found = expectation(circuit, weights, inputs, engine=engine)
    right = [judged(circuit, weights.numpy(), row) for row in inputs.numpy()]
    np.testing.assert_allclose(found.numpy(), right, atol=0.04 if not options else 0.12)


@pytest.mark.parametrize("bond", [None, 16])
def test_tensor_networks_give_pennylanes_answers(bond: int | None) -> None:
    for seed in range(2):
        circuit, weights, inputs = drawn(seed, 4)
        found = expectation(circuit, weights, inputs, engine=TensorNetwork(bond), observables=["Z0", "X1 Y3"])
        right = [judged(circuit, weights.numpy(), row, ["Z0", "X1 Y3"]) for row in inputs.numpy()]
        np.testing.assert_allclose(found.numpy(), right, atol=1e-9)


def test_a_head_is_recalibrated_by_the_weights_of_its_last_block() -> None:
    upload = [Operation("rx", q, input=q) for q in range(2)]
    ends = [Operation("crz", 1, 0, weight=1), Operation("rx", 0, weight=1), Operation("rx", 1, weight=2)]
    circuit = Circuit(2, (Operation("h", 0), Operation("rz", 0, weight=0), *upload, *ends))
    assert last_block(HybridHead(3, 2, head=circuit)) == [0, 1, 2]
    again = Circuit(2, (*circuit.operations, *upload, *ends[1:]))
    assert last_block(HybridHead(3, 2, head=again)) == [1, 2]
    silent = Circuit(2, (*again.operations, *upload))
    assert last_block(HybridHead(3, 2, head=silent)) == [0, 1, 2], "the last block reads none, so all of them"
