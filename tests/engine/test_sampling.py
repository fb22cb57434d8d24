"""Shots follow the laws of sampling, and the gradients of a QPU are what they claim to be."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import Gradient
from hilbertune.engine import sampling
from hilbertune.engine.expectations import expectation

GRADIENTS: list[Gradient] = ["adjoint", "parameter-shift", "spsa"]
QPU: list[Gradient] = ["parameter-shift", "spsa"]
PAIR = Circuit(2, (Operation("ry", 0, weight=0), Operation("cx", 1, 0)))

# Weight 0 and input 0 are each used three times.
SHARED = Circuit(
    3,
    (
        Operation("ry", 0, input=0),
        Operation("ry", 1, weight=0),
        Operation("cx", 1, 0),
        Operation("ry", 1, input=0),
        Operation("ry", 2, weight=0),
        Operation("cx", 2, 1),
        Operation("ry", 2, weight=1),
        Operation("ry", 0, input=1),
        Operation("cx", 0, 2),
        Operation("ry", 0, weight=0),
        Operation("ry", 0, input=0),
    ),
)


def generators(seeds: Sequence[int]) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def normal(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1.5, shape))


def gradients(circuit: Circuit, weights: Tensor, inputs: Tensor | None, upstream: Tensor, **more: Any) -> list[Tensor]:
    leaves = [t.clone().requires_grad_() for t in (weights, inputs) if t is not None]
    value = expectation(circuit, *leaves, **more)
    return list(torch.autograd.grad((value * upstream).sum(), leaves))


def assert_mean_is(draws: Tensor, wanted: Tensor, allowed: float = 0.0) -> None:
    """Check that the mean over the first axis lies within 5 standard errors of what is wanted."""
    error = draws.std(0) / math.sqrt(len(draws))
    distance = (draws.mean(0) - wanted).abs()
    assert (distance <= 5 * error + allowed + 1e-12).all(), f"{(distance / error).max():.1f} sigma"


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("shots", [1, 20])
def test_samples_have_the_mean_and_variance_of_shots(shots: int, gradient: Gradient) -> None:
    circuit, draws = ansatz(3, 1, 2), 20_000
    weights = normal(1, 1, circuit.parameters)
    exact = expectation(circuit, weights)[0, 0]
    states = torch.zeros(1, draws, 8, dtype=torch.float64)
    states[..., 0] = 1
    values = expectation(circuit, weights, amplitudes=states, shots=shots, gradient=gradient, rngs=generators([7]))[0]
    assert_mean_is(values, exact)
    assert_mean_is((values - exact) ** 2, (1 - exact**2) / shots)


def test_samples_are_means_of_plus_and_minus_one() -> None:
    circuit = head(3)
    values = expectation(
        circuit,
        normal(1, 2, circuit.parameters),
        normal(2, 2, 50, 3),
        shots=8,
        rngs=generators([1, 2]),
    )
    eighths = 4 * values + 4
    assert torch.allclose(eighths, eighths.round(), rtol=0, atol=1e-12)
    assert values.abs().max() <= 1


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_state_that_is_sure_has_no_shot_noise(gradient: Gradient, dtype: torch.dtype) -> None:
    weights = torch.full((1, 1), math.pi, dtype=dtype)
    values = expectation(PAIR, weights, shots=100, gradient=gradient, rngs=generators([0]))
    assert values.dtype == dtype
    assert torch.allclose(values, -torch.ones_like(values))


@pytest.mark.parametrize("measured", [[0, 1], [1, 0]])
def test_an_entangled_pair_agrees_sample_by_sample(measured: list[int]) -> None:
    weights = torch.full((1, 1), math.pi / 2, dtype=torch.float64)
    states = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(1, 400, 4)
    values = expectation(PAIR, weights, amplitudes=states, measured=measured, shots=7, rngs=generators([3]))[0]
    assert torch.allclose(values[:, 0], values[:, 1], rtol=0, atol=1e-12)
    assert values[:, 0].unique().numel() > 4


def test_qubits_that_are_not_entangled_do_not_agree() -> None:
    circuit = Circuit(2, (Operation("ry", 0, weight=0), Operation("ry", 1, weight=0)))
    weights = torch.full((1, 1), math.pi / 2, dtype=torch.float64)
    states = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(1, 4000, 4)
    values = expectation(circuit, weights, amplitudes=states, shots=1, rngs=generators([3]))[0]
    assert_mean_is(values[:, 0] * values[:, 1], torch.zeros(()))


def test_joint_samples_have_the_correlation_of_the_state() -> None:
    # cos(t/2)|00> + sin(t/2)|11> with a turn of qubit 1: <Z0 Z1> = cos(u) for any t.
    circuit = Circuit(2, (*PAIR.operations, Operation("ry", 1, weight=1)))
    weights = torch.tensor([[0.9, 0.7]], dtype=torch.float64)
    states = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(1, 20_000, 4)
    values = expectation(circuit, weights, amplitudes=states, shots=1, rngs=generators([4]))[0]
    assert_mean_is(values[:, 0] * values[:, 1], torch.tensor(math.cos(0.7)))


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_samples_stand_in_the_order_asked_for(gradient: Gradient) -> None:
    circuit = Circuit(4, (Operation("ry", 1, weight=0), Operation("ry", 3, weight=0)))
    weights = torch.full((1, 1), math.pi, dtype=torch.float64)
    for measured, wanted in (([3, 0, 1], [-1, 1, -1]), ([2, 1], [1, -1]), ([0, 2, 3], [1, 1, -1])):
        values = expectation(
            circuit,
            weights,
            measured=measured,
            shots=10,
            gradient=gradient,
            rngs=generators([0]),
        )
        assert values[0, 0].tolist() == pytest.approx(wanted, abs=1e-12)


def test_the_order_asked_for_does_not_change_the_samples() -> None:
    circuit = head(3)
    arguments = circuit, normal(1, 1, circuit.parameters), normal(2, 1, 30, 3)
    one = expectation(*arguments, measured=[0, 2], shots=9, rngs=generators([5]))
    other = expectation(*arguments, measured=[2, 0], shots=9, rngs=generators([5]))
    assert torch.allclose(one.flip(-1), other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_run_draws_the_same_whatever_its_neighbours(gradient: Gradient) -> None:
    weights, inputs, upstream = normal(1, 4, 2), normal(2, 4, 9, 2), normal(3, 4, 9, 3)

    def answer(runs: list[int]) -> list[Tensor]:
        more: dict[str, Any] = {
            "shots": 50,
            "gradient": gradient,
            "rngs": generators([10 + run for run in runs]),
        }
        found = gradients(SHARED, weights[runs], inputs[runs], upstream[runs], **more)
        value = expectation(SHARED, weights[runs], inputs[runs], **more)
        return [value, *found]

    together = answer([0, 1, 2, 3])
    for run in range(4):
        for one, all_ in zip(answer([run]), together, strict=True):
            assert torch.equal(one[0], all_[run])


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_the_same_seed_gives_the_same_samples_and_another_does_not(gradient: Gradient) -> None:
    weights, inputs = normal(1, 1, 2), normal(2, 1, 20, 2)
    first, second, other = (
        expectation(SHARED, weights, inputs, shots=50, gradient=gradient, rngs=generators([seed])) for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_a_generator_goes_on_from_call_to_call() -> None:
    rngs = generators([1])
    weights, inputs = normal(1, 1, 2), normal(2, 1, 20, 2)
    one = expectation(SHARED, weights, inputs, shots=50, rngs=rngs)
    assert not torch.equal(one, expectation(SHARED, weights, inputs, shots=50, rngs=rngs))


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_generators_may_be_left_out(gradient: Gradient) -> None:
    weights, inputs, upstream = normal(1, 2, 2), normal(2, 2, 3, 2), normal(3, 2, 3, 3)
    found = gradients(SHARED, weights, inputs, upstream, shots=5, gradient=gradient)
    assert [tensor.shape for tensor in found] == [(2, 2), (2, 3, 2)]


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_adjoint_with_shots_has_the_exact_gradient(engine: Any) -> None:
    weights, inputs, upstream = normal(1, 2, 2), normal(2, 2, 9, 2), normal(3, 2, 9, 3)
    exact = gradients(SHARED, weights, inputs, upstream, engine=engine)
    sampled = gradients(SHARED, weights, inputs, upstream, engine=engine, shots=3, rngs=generators([0, 1]))
    assert all(map(torch.equal, exact, sampled))


def test_adjoint_with_shots_differentiates_amplitudes() -> None:
    circuit = ansatz(3, 1, 2)
    weights, states = normal(1, 1, 9), torch.nn.functional.normalize(normal(2, 1, 9, 8), dim=-1)
    found = []
    for shots in (None, 5):
        leaf = states.clone().requires_grad_()
        expectation(circuit, weights, amplitudes=leaf, shots=shots).sum().backward()
        found.append(leaf.grad)
    assert torch.equal(*found)  # type: ignore[arg-type]


def operations(qubits: int) -> st.SearchStrategy[list[Operation]]:
    wire = st.integers(0, qubits - 1)
    kinds = [
        st.builds(lambda q, i: Operation("ry", q, weight=i), wire, st.integers(0, 3)),
        st.builds(lambda q, i: Operation("ry", q, input=i), wire, st.integers(0, 2)),
    ]
    if qubits > 1:
        pairs = st.lists(wire, min_size=2, max_size=2, unique=True)
        kinds.append(pairs.map(lambda pair: Operation("cx", *pair)))
    return st.lists(st.one_of(kinds), max_size=20)


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_exact_parameter_shift_equals_adjoint(data: st.DataObject, engine: Any) -> None:
    qubits = data.draw(st.integers(1, 5))
    circuit = Circuit(qubits, tuple(data.draw(operations(qubits))))
    runs, batch = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 10))
    weights, inputs = normal(1, runs, circuit.parameters), normal(2, runs, batch, circuit.inputs)
    measured = data.draw(st.permutations(range(qubits)))[: 1 + qubits // 2]
    upstream = normal(3, runs, batch, len(measured))
    states = None
    if data.draw(st.booleans()):
        states = torch.nn.functional.normalize(normal(4, runs, batch, 1 << qubits), dim=-1)
    leaves = [weights.requires_grad_(), inputs.requires_grad_()]
    values, found = [], []
    for gradient in ("adjoint", "parameter-shift"):
        value = expectation(circuit, *leaves, states, measured=measured, gradient=gradient, engine=engine)
        # A circuit without rotations depends on no leaf, which autograd is to take as zero.
        loss = (value * upstream).sum() + 0 * (weights.sum() + inputs.sum())
        values.append(value.detach())
        found.append(torch.autograd.grad(loss, leaves))
    assert torch.allclose(*values, rtol=0, atol=1e-12)
    for shifted, exact in zip(*found, strict=True):
        assert torch.allclose(shifted, exact, rtol=0, atol=1e-10)


def test_parameter_shift_counts_every_use_of_an_angle() -> None:
    circuit = Circuit(1, tuple(Operation("ry", 0, weight=0) for _ in range(3)))
    (found,) = gradients(
        circuit,
        torch.tensor([[0.4]], dtype=torch.float64),
        None,
        torch.ones(1),
        gradient="parameter-shift",
    )
    assert found.item() == pytest.approx(-3 * math.sin(1.2), abs=1e-12)


def test_parameter_shift_of_the_published_head_equals_adjoint() -> None:
    circuit = head(6)
    weights, inputs = normal(1, 1, circuit.parameters), normal(2, 1, 3, 6)
    arguments = circuit, weights, inputs, normal(3, 1, 3, 1)
    exact = gradients(*arguments, measured=[0])
    shifted = gradients(*arguments, measured=[0], gradient="parameter-shift")
    assert all(torch.allclose(*pair, rtol=0, atol=1e-10) for pair in zip(exact, shifted, strict=True))


@pytest.mark.parametrize("shots", [None, 20])
def test_the_size_of_a_chunk_does_not_change_the_gradient(shots: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, inputs, upstream = normal(1, 2, 2), normal(2, 2, 9, 2), normal(3, 2, 9, 3)
    found = []
    for chunk in (1 << 22, 1, 2 * 2 * 9 * 9 * 2):
        monkeypatch.setattr(sampling, "_CHUNK", chunk)
        found.append(
            gradients(
                SHARED,
                weights,
                inputs,
                upstream,
                shots=shots,
                gradient="parameter-shift",
                rngs=generators([0, 1]),
            )
        )
    for other in found[1:]:
        assert all(torch.allclose(*pair, rtol=0, atol=1e-12) for pair in zip(found[0], other, strict=True))


@pytest.mark.parametrize("batch", [1, 2])
def test_parameter_shift_with_shots_is_unbiased(batch: int) -> None:
    draws = 3000
    weights, inputs, upstream = normal(1, 1, 2), normal(2, 1, batch, 2), normal(3, 1, batch, 3)
    exact = gradients(SHARED, weights, inputs, upstream)
    sampled = gradients(
        SHARED,
        weights.repeat(draws, 1),
        inputs.repeat(draws, 1, 1),
        upstream,
        shots=10,
        gradient="parameter-shift",
        rngs=generators(range(draws)),
    )
    for draw, wanted in zip(sampled, exact, strict=True):
        assert draw.std(0).min() > 0
        assert_mean_is(draw, wanted[0])


@pytest.mark.parametrize(("step", "shots", "allowed"), [(0.01, None, 1e-3), (0.2, None, 0.15), (0.2, 50, 0.15)])
def test_spsa_is_unbiased_up_to_its_step_squared(
    step: float, shots: int | None, allowed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "SPSA_STEP", step)
    draws = 6000
    weights, inputs, upstream = normal(1, 1, 2), normal(2, 1, 2, 2), normal(3, 1, 2, 3)
    exact = gradients(SHARED, weights, inputs, upstream)
    estimated = gradients(
        SHARED,
        weights.repeat(draws, 1),
        inputs.repeat(draws, 1, 1),
        upstream,
        shots=shots,
        gradient="spsa",
        rngs=generators(range(draws)),
    )
    for draw, wanted in zip(estimated, exact, strict=True):
        assert_mean_is(draw, wanted[0], allowed)


@pytest.mark.parametrize("gradient", QPU)
def test_without_shots_the_values_are_exact(gradient: Gradient) -> None:
    weights, inputs = normal(1, 2, 2), normal(2, 2, 9, 2)
    found = expectation(SHARED, weights, inputs, gradient=gradient)
    assert torch.allclose(found, expectation(SHARED, weights, inputs), rtol=0, atol=1e-14)


@pytest.mark.parametrize("gradient", QPU)
@pytest.mark.parametrize("names", [["weights"], ["inputs"]])
def test_a_qpu_gradient_may_be_asked_for_one_tensor(gradient: Gradient, names: list[str]) -> None:
    tensors = {"weights": normal(1, 2, 2), "inputs": normal(2, 2, 5, 2)}
    for name in names:
        tensors[name].requires_grad_()
    expectation(SHARED, **tensors, gradient=gradient, rngs=generators([0, 1])).sum().backward()
    for name, tensor in tensors.items():
        assert (tensor.grad is not None) == (name in names)


@pytest.mark.parametrize("gradient", QPU)
def test_qpu_gradients_keep_single_precision(gradient: Gradient) -> None:
    weights, inputs = normal(1, 2, 2).float(), normal(2, 2, 9, 2).float()
    found = gradients(SHARED, weights, inputs, torch.ones(3), gradient=gradient, shots=9, rngs=generators([0, 1]))
    assert [tensor.dtype for tensor in found] == [torch.float32] * 2


@pytest.mark.parametrize("gradient", QPU)
def test_qpu_gradients_run_under_no_grad(gradient: Gradient) -> None:
    weights, inputs = normal(1, 2, 2).requires_grad_(), normal(2, 2, 9, 2)
    with torch.no_grad():
        value = expectation(SHARED, weights, inputs, gradient=gradient, shots=9)
    assert not value.requires_grad


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_run_that_diverged_samples_nan_and_leaves_its_neighbour_alone(gradient: Gradient) -> None:
    weights = torch.zeros(2, 1, dtype=torch.float64)
    alone = expectation(PAIR, weights[:1], shots=5, gradient=gradient, rngs=_rngs(1))
    weights[1] = math.nan
    both = expectation(PAIR, weights, shots=5, gradient=gradient, rngs=_rngs(2))
    assert torch.equal(both[:1], alone)
    assert both[1].isnan().all()


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_state_of_zeros_samples_nan(gradient: Gradient) -> None:
    zero = torch.zeros(1, 1, 4, dtype=torch.float64)
    weights = torch.zeros(1, 1, dtype=torch.float64)
    value = expectation(PAIR, weights, amplitudes=zero, shots=5, gradient=gradient)
    assert value.isnan().all()


def _rngs(runs: int) -> list[np.random.Generator]:
    return [np.random.default_rng([7, run]) for run in range(runs)]
