"""Contractions against the engine, at sizes where both can be had, and a Clifford circuit where only they can."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from helpers.heads import exact, heads
from hypothesis import given, settings

from hilbertune.circuit.binding import bind
from hilbertune.circuit.builders import head
from hilbertune.config.records import HeadConfig
from hilbertune.engine import tensor_network
from hilbertune.engine.expectations import expectation
from hilbertune.engine.tensor_network import TensorNetwork, contract
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead


@settings(max_examples=10)
@given(case=heads(most_qubits=3))  # an exact contraction of more takes seconds; two tests below have some
def test_both_ways_agree_with_the_engine(case: Any) -> None:
    circuit, weights, inputs, measured = case
    programs = [bind(circuit, weights.tolist(), inputs.tolist(), measured)]
    for bond in (None, 64):
        contraction = contract(programs, bond=bond)
        np.testing.assert_allclose(contraction.values[0], exact(case), atol=1e-10)
        assert contraction.truncation[0] < 1e-10


def drawn(qubits: int, rows: int = 1, **shape: Any) -> tuple[Any, list[Any], np.ndarray]:
    circuit, rng = head(qubits, **shape), np.random.default_rng(0)
    weights, inputs = rng.normal(size=circuit.parameters), rng.normal(size=(rows, circuit.inputs))
    return (
        circuit,
        [bind(circuit, weights.tolist(), x, (0,)) for x in inputs.tolist()],
        expectation(
            circuit,
            torch.from_numpy(weights)[None],
            torch.from_numpy(inputs)[None],
            measured=(0,),
        )[0].numpy()
        if qubits <= 20
        else np.zeros(0),
    )


def test_sixteen_qubits_agree_with_the_state_vector() -> None:
    _, programs, truth = drawn(16, rows=2)
    np.testing.assert_allclose(contract(programs).values, truth, atol=1e-10)
    np.testing.assert_allclose(contract(programs, bond=256).values, truth, atol=1e-10)


def test_a_narrow_bond_says_what_it_loses() -> None:
    _, programs, truth = drawn(12, rows=3)
    lost = []
    for bond in (4, 16, 64):
        found = contract(programs, bond=bond)
        # |<Z> - <Z>'| is at most twice the trace distance, which is sqrt(1 - fidelity); the fidelity is an estimate.
        bound = 2 * np.sqrt(found.truncation) + 1e-9
        assert (np.abs(found.values - truth)[:, 0] <= 1.5 * bound).all()
        assert found.width <= bond
        lost.append(found.truncation.mean())
    assert lost[0] > lost[1] > lost[2]
    assert lost[2] < 1e-10


def test_thirty_six_qubits_of_a_known_answer() -> None:
    """With all weights 0 and inputs of 0 and π the head maps bit strings to bit strings: a walk over CNOTs tells."""
    circuit = head(36, reuploads=2, layers=1)
    rng = np.random.default_rng(1)
    bits = rng.integers(2, size=36)
    inputs = (math.pi * bits).tolist()
    state = np.zeros(36, int)
    for operation in circuit.operations:
        if operation.input is not None:
            state[operation.target] ^= bits[operation.input]
        elif operation.control is not None:
            state[operation.target] ^= state[operation.control]
    measured = (0, 7, 35)
    program = bind(circuit, [0.0] * circuit.parameters, inputs, measured)
    np.testing.assert_allclose(contract([program], bond=8).values[0], 1 - 2 * state[[0, 7, 35]], atol=1e-9)


def test_a_head_of_thirty_qubits_on_encoders_of_ten_predicts() -> None:
    config = HeadConfig(qubits=30, encoders=3, encoder_layers=1, reuploads=1, layers=0, allow_large=True)
    torch.manual_seed(0)
    model = HybridHead(384, 2, config)
    rows = torch.randn(2, 384)
    found = []
    for bond in (16, 32):
        model.head.engine = engine = TensorNetwork(bond)
        with torch.no_grad():
            found.append(model(rows).numpy())
        assert engine.truncation < 0.2
    np.testing.assert_allclose(*found, atol=0.1)


def test_what_is_too_tangled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensor_network, "MEMORY", 1 << 10)
    with pytest.raises(HilbertuneError, match="bond=64"):
        contract(drawn(12)[1])


def test_right_angles_leave_scalars_that_are_zero() -> None:
    circuit = head(5, reuploads=1, layers=2, connectivity=4)
    turns = """-2 2 0 4 -1 -2 -4 -2 4 1 0 -4 1 -1 -1 3 1 1 -1 3 2 -3 -3 0 1 3 -3 -4 1 1 -4 4 3 -1 4
        2 1 -2 -3 -2 -1 -4 -4 -1 -3 -1 3 3 1 -2 3 2 4 -1 1 1 2 0 -2 4 -3 -3 -3 -2 -4 -2 -2 -2 3 0"""
    weights = math.pi / 2 * np.array(turns.split(), float)
    inputs = math.pi / 2 * np.array([4.0, 0, 4, -3, -2])
    given = [torch.from_numpy(weights)[None], torch.from_numpy(inputs)[None, None]]
    truth = expectation(circuit, *given, measured=(2, 0, 3))[0].numpy()
    program = bind(circuit, weights.tolist(), inputs.tolist(), (2, 0, 3))
    for bond in (None, 64):
        np.testing.assert_allclose(contract([program], bond=bond).values, truth, atol=1e-10)
