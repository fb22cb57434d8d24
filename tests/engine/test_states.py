"""States, probabilities and samples against PennyLane and finite differences."""

import numpy as np
import pennylane as qml
import pytest
import torch
from helpers.circuits import INPUTS, WEIGHTS, apply, random_circuit
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune import expectation
from hilbertune.circuit.builders import ansatz
from hilbertune.engine.states import probabilities, samples, state
from hilbertune.errors import HilbertuneError


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_states_are_pennylanes_up_to_a_phase(seed: int) -> None:
    rng = np.random.default_rng(seed)
    qubits = int(rng.integers(1, 5))
    circuit = random_circuit(rng, qubits, int(rng.integers(1, 25)))
    w, x = rng.normal(size=WEIGHTS), rng.normal(size=(9, INPUTS))

    @qml.qnode(qml.device("default.qubit", wires=qubits))
    def node(row: np.ndarray) -> object:
        for operation in circuit.operations:
            apply(operation, w, row)
        return qml.state()

    found = state(circuit, torch.from_numpy(w), torch.from_numpy(x)).numpy()
    for row, own in zip(x, found, strict=True):
        right = np.asarray(node(row)).reshape((2,) * qubits).T.ravel()
        np.testing.assert_allclose(np.outer(own, own.conj()), np.outer(right, right.conj()), atol=1e-10)
    measured = rng.permutation(qubits)[: rng.integers(1, qubits + 1)].tolist()
    shares = probabilities(circuit, torch.from_numpy(w), torch.from_numpy(x), measured=measured).numpy()
    bits = 1 - 2 * (np.arange(1 << len(measured))[:, None] >> np.arange(len(measured)) & 1)
    z = expectation(circuit, torch.from_numpy(w), torch.from_numpy(x), measured=measured).numpy()
    np.testing.assert_allclose(shares @ bits, z, atol=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(1)
    circuit = random_circuit(rng, 3, 15)
    w, x = (torch.from_numpy(rng.normal(size=n)).requires_grad_() for n in (WEIGHTS, (2, INPUTS)))
    assert torch.autograd.gradcheck(lambda w, x: probabilities(circuit, w, x, measured=[2, 0]), (w, x))
    # A global phase is not kept, so overlaps with one amplitude are taken.
    assert torch.autograd.gradcheck(
        lambda w, x: (state(circuit, w, x) * state(circuit, w, x)[..., :1].conj()).imag, (w, x)
    )


def test_the_state_of_an_encoder_with_loaded_amplitudes_and_two_runs() -> None:
    circuit = ansatz(3, 2)
    rng = np.random.default_rng(0)
    start = torch.from_numpy(rng.normal(size=(2, 4, 8)))
    start /= start.norm(dim=-1, keepdim=True)
    weights = torch.from_numpy(rng.normal(size=(2, circuit.parameters)))
    found = state(circuit, weights, amplitudes=start)
    assert found.shape == (2, 4, 8)
    signs = 1 - 2 * (torch.arange(8)[:, None] >> torch.arange(3) & 1)
    z = found.abs().square() @ signs.double()
    torch.testing.assert_close(z, expectation(circuit, weights, amplitudes=start))


def test_samples_follow_the_probabilities_and_the_seed() -> None:
    rng = np.random.default_rng(4)
    circuit = random_circuit(rng, 3, 15)
    w, x = torch.from_numpy(rng.normal(size=WEIGHTS)), torch.from_numpy(rng.normal(size=(2, INPUTS)))
    bits = samples(circuit, w, x, shots=40_000, measured=[2, 0], seed=0)
    assert bits.shape == (2, 40_000, 2)
    z = (1 - 2 * bits.double()).mean(1)
    np.testing.assert_allclose(z, expectation(circuit, w, x, measured=[2, 0]), atol=5 / np.sqrt(40_000))
    assert torch.equal(bits, samples(circuit, w, x, shots=40_000, measured=[2, 0], seed=0))
    with pytest.raises(HilbertuneError, match="shots must be 1 or more"):
        samples(circuit, w, x, shots=0)
    with pytest.raises(HilbertuneError, match="different qubits"):
        probabilities(circuit, w, x, measured=[0, 0])
