"""Circuits of every kind of gate against PennyLane, finite differences and Aer."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.circuits import GATES, INPUTS, WEIGHTS, judged, random_circuit
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune import expectation
from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.circuit.lowering import lowered
from hilbertune.circuit.table import Circuit
from hilbertune.config.noise import Noise
from hilbertune.engine import cpu, reference
from hilbertune.engine.noise import draw, with_error
from hilbertune.errors import HilbertuneError

REAL = ["ry", "cx", "z", "x", "y", "h", "cz", "ch", "cry", "swap", "id"]

seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, most_qubits: int = 5) -> tuple[Circuit, torch.Tensor, torch.Tensor, np.random.Generator]:
    rng = np.random.default_rng(seed)
    circuit = random_circuit(rng, int(rng.integers(1, most_qubits + 1)), int(rng.integers(1, 30)))
    weights, inputs = torch.from_numpy(rng.normal(size=WEIGHTS)), torch.from_numpy(rng.normal(size=(2, INPUTS)))
    return circuit, weights.requires_grad_(), inputs.requires_grad_(), rng


def test_every_kind_is_judged() -> None:
    assert set(GATES) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_alone_between_rotations_about_all_axes(kind: str) -> None:
    rng = np.random.default_rng(sum(map(ord, kind)))
    about = KINDS[kind]
    mixed = [Operation(name, q, offset=float(rng.normal())) for q in range(about.qubits) for name in ("ry", "rz", "rx")]
    own = list(range(about.qubits))
    angle = {"weight": 0, "scale": -2.0, "offset": 0.1} if about.angle else {}
    gate = Operation(kind, own[-1], own[0] if len(own) > 1 else None, other=own[1] if len(own) > 2 else None, **angle)
    circuit = Circuit(about.qubits, (*mixed, gate, *mixed))
    weights = rng.normal(size=circuit.parameters)
    words = [f"{letter}{q}" for letter in "XYZ" for q in own]
    found = expectation(circuit, torch.from_numpy(weights), observables=words)
    np.testing.assert_allclose(found.numpy(), judged(circuit, weights, np.zeros(0), words), atol=1e-12)


@settings(max_examples=25)
@given(seeds)
def test_values_are_pennylanes(seed: int) -> None:
    circuit, weights, inputs, rng = drawn(seed)
    expected = [judged(circuit, weights.detach().numpy(), row) for row in inputs.detach().numpy()]
    for engine in ("cpu", "reference"):
        values = expectation(circuit, weights, inputs, engine=engine)
        np.testing.assert_allclose(values.detach().numpy(), expected, atol=1e-10)
    measured = rng.permutation(circuit.qubits)[: rng.integers(1, circuit.qubits + 1)].tolist()
    single = expectation(circuit, weights.detach().float(), inputs.detach().float(), measured=measured)
    np.testing.assert_allclose(single.numpy(), np.array(expected)[:, measured], atol=2e-5)


@settings(max_examples=8)
@given(seeds)
def test_gradients_are_those_of_finite_differences(seed: int) -> None:
    circuit, weights, inputs, _ = drawn(seed, 2)
    for gradient in ("adjoint", "parameter-shift"):
        assert torch.autograd.gradcheck(
            lambda w, x, how=gradient: expectation(circuit, w, x, gradient=how), (weights, inputs), atol=1e-7
        )


@given(seeds)
def test_real_gates_need_no_further_qubit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    qubits = int(rng.integers(1, 5))
    own = random_circuit(rng, qubits, 12, REAL)
    circuit = Circuit(qubits, tuple(o for o in own.operations if o.kind != "rx"))
    assert lowered(circuit).qubits == qubits
    assert lowered(Circuit(qubits, (*circuit.operations, Operation("rz", 0, offset=0.1)))).qubits == qubits + 1


def test_a_z_costs_no_gate_and_a_swap_none() -> None:
    circuit = Circuit(2, (Operation("z", 0), Operation("swap", 1, 0), Operation("ry", 0, weight=0), Operation("z", 0)))
    assert [o.kind for o in lowered(circuit).operations] == ["ry"]


def test_a_complex_start_state() -> None:
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    circuit = Circuit(2, (Operation("rx", 0, weight=0), Operation("cx", 1, 0)))
    w = torch.tensor([0.7], dtype=torch.float64)
    found = expectation(circuit, w, amplitudes=torch.from_numpy(start)).numpy()
    c, s = np.cos(0.35), -1j * np.sin(0.35)
    turned = np.einsum("ab,rqb->rqa", np.array([[c, s], [s, c]]), start.reshape(3, 2, 2)).reshape(3, 4)[:, [0, 3, 2, 1]]
    shares = abs(turned) ** 2
    z = np.stack([shares @ [1, -1, 1, -1], shares @ [1, 1, -1, -1]], 1)
    np.testing.assert_allclose(found, z, atol=1e-12)


def test_noise_is_that_of_the_circuit_as_written() -> None:
    from qiskit.quantum_info import DensityMatrix, SuperOp
    from qiskit_aer.noise import depolarizing_error

    rng = np.random.default_rng(3)
    circuit = random_circuit(rng, 3, 20)
    # A gate on three qubits errs as the gates do that it is made of.
    three = {name for name, kind in KINDS.items() if kind.qubits == 3}
    assert three & {o.kind for o in circuit.operations}
    made_of = circuit.without(three)
    weights, inputs = rng.normal(size=WEIGHTS), rng.normal(size=(1, INPUTS))
    errors = {n: SuperOp(depolarizing_error(rate, n)) for n, rate in ((1, 0.02), (2, 0.1))}
    rho = DensityMatrix.from_label("000")
    for operation, instruction in zip(made_of.operations, made_of.to_qiskit(weights, inputs[0]).data, strict=True):
        own = list(operation.qubits)
        rho = rho.evolve(instruction.operation, own).evolve(errors[len(own)], own)
    z = rho.probabilities() @ (1 - 2 * (np.arange(8)[:, None] >> np.arange(3) & 1))
    trials = 40_000
    found = expectation(
        circuit,
        torch.from_numpy(weights),
        torch.from_numpy(inputs),
        noise=Noise(0.02, 0.1, trajectories=trials),
        rngs=[np.random.default_rng(1)],
    )
    np.testing.assert_allclose(found[0].numpy(), z, atol=5 / np.sqrt(trials))
    exact = judged(circuit, weights, inputs[0])
    assert abs(exact - z).max() > 0.1, "the noise must be seen"


def test_errors_are_not_drawn_for_gates_on_three_qubits() -> None:
    circuit = Circuit(3, (Operation("h", 0), Operation("ccx", 2, 0, other=1)))
    with pytest.raises(HilbertuneError, match="write gates on three"):
        draw(lowered(circuit), Noise(0.1, 0.1), 1, [np.random.default_rng(0)])


def test_shots_are_drawn_from_the_distribution() -> None:
    circuit, weights, inputs, _ = drawn(11)
    found = expectation(circuit, weights, inputs, shots=100_000, rngs=[np.random.default_rng(0)])
    exact = expectation(circuit, weights, inputs)
    assert (found - exact).abs().max() < 5 / np.sqrt(100_000)
    assert (found != exact).any()


def test_hardware_gets_the_circuit_as_it_is_written() -> None:
    """No further qubit: the circuit itself, and after it the change of basis in which it is measured."""
    sent: list[Circuit] = []

    def device(circuit: Circuit, *tensors: Any) -> Any:
        sent.append(circuit)
        weights, inputs, amplitudes, measured, _ = tensors
        assert not amplitudes.shape[-1]
        return expectation(circuit, weights, inputs, measured=measured), weights.new_zeros(0)

    written = Circuit(2, (Operation("h", 0), Operation("crx", 1, 0, weight=0, scale=2.0), Operation("t", 1)))
    weights = torch.tensor([0.7], dtype=torch.float64)
    found = expectation(written, weights, engine=device, observables=["X0 Z1", "Y1"])
    right = judged(written, weights.numpy(), np.zeros(0), ["X0 Z1", "Y1"])
    np.testing.assert_allclose(found.numpy(), right, atol=1e-12)
    after = ((Operation("h", 0), Operation("cx", 0, 1)), (Operation("sdg", 1), Operation("h", 1)))
    assert sent == [Circuit(2, (*written.operations, *end)) for end in after]


@pytest.mark.parametrize("seed", range(3))
def test_parameter_shift_on_hardware_is_the_gradient_whatever_the_gates(seed: int) -> None:
    """Every rotation by itself, with its scale, controlled ones as the rotations that they are made of."""
    rng = np.random.default_rng(seed)
    circuit = random_circuit(rng, 3, 25)
    values = rng.normal(size=circuit.parameters), rng.normal(size=(2, circuit.inputs))

    def device(circuit: Circuit, weights: Any, inputs: Any, amplitudes: Any, measured: Any, sampled: bool) -> Any:
        answer = expectation(circuit, weights, inputs, measured=measured)
        return answer.detach(), weights.new_zeros(*answer.shape[:2], 0)

    slopes = []
    for how in ({"engine": device, "gradient": "parameter-shift"}, {}):
        weights, inputs = (torch.tensor(v[None], requires_grad=True) for v in values)
        (expectation(circuit, weights, inputs, **how) ** 2).sum().backward()
        slopes.append((weights.grad, inputs.grad))
    for shifted, exact in zip(*slopes, strict=True):
        torch.testing.assert_close(shifted, exact, atol=1e-10, rtol=0)


def test_an_engine_takes_no_other_rotation_for_ry() -> None:
    circuit = Circuit(1, (Operation("rx", 0, weight=0),))
    tensors = torch.zeros(1, 1), torch.zeros(1, 1, 0), torch.zeros(1, 1, 0), (0,)
    for engine in (cpu.exact, reference.exact):
        with pytest.raises(HilbertuneError, match="not 'rx' as it stands here"):
            engine(circuit, *tensors, False)
    with pytest.raises(HilbertuneError, match="not 'rx' as it stands here"):
        with_error(reference.exact, Noise(0.1, 0.1), [np.random.default_rng(0)], circuit, *tensors)
