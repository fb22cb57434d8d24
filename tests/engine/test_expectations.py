"""The engines agree with each other, with PennyLane, with finite differences and with physics done by hand."""

import math
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pennylane
import pytest
import torch
from helpers.problems import Problem, assert_close, gradients, problems, value_and_gradients
from hypothesis import given, settings
from torch import Tensor

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.engine import cpu, reference
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError

ENGINES = pytest.mark.parametrize("engine", ["cpu", "reference"])
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


def big_problem(qubits: int, batch: int, loaded: bool, seed: int = 5) -> Problem:
    rng = np.random.default_rng(seed)
    operations = []
    for _ in range(60):
        target, control = map(int, rng.permutation(qubits)[:2])
        operations += [
            Operation("cx", target, control),
            Operation("ry", target, weight=int(rng.integers(12))),
            Operation("ry", control, input=int(rng.integers(6))),
        ]
    measured = tuple(map(int, rng.permutation(qubits)[: qubits // 2]))
    return Problem(qubits, tuple(operations), 2, batch, loaded, measured, seed)


def assert_same_bits(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[name]), f"{name} differs"


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@settings(deadline=None, max_examples=60)
@given(problem=problems())
def test_cpu_equals_the_reference(problem: Problem, dtype: torch.dtype) -> None:
    found = value_and_gradients(problem, "cpu", dtype)
    wanted = value_and_gradients(problem, "reference", torch.float64)
    assert all(tensor.dtype == dtype for tensor in found.values())
    assert_close(found, wanted, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("qubits", "batch", "loaded"), [(8, 17, True), (10, 1, False), (11, 3, True), (12, 9, True)])
def test_cpu_equals_the_reference_on_many_qubits(qubits: int, batch: int, loaded: bool, dtype: torch.dtype) -> None:
    problem = big_problem(qubits, batch, loaded)
    wanted = value_and_gradients(problem, "reference", torch.float64)
    assert_close(value_and_gradients(problem, "cpu", dtype), wanted, TOLERANCE[dtype])


@settings(deadline=None, max_examples=40)
@given(problem=problems(qubits=5, batch=10))
def test_joint_probabilities_agree_sum_to_one_and_give_the_values(problem: Problem) -> None:
    tensors = {name: tensor.detach() for name, tensor in problem.tensors().items()}
    empty = torch.zeros(problem.runs, problem.batch, 0, dtype=torch.float64)
    arguments = (
        problem.circuit,
        tensors["weights"],
        tensors["inputs"],
        tensors.get("amplitudes", empty),
        problem.measured,
        True,
    )
    (values, joint), (_, wanted) = cpu.exact(*arguments), reference.exact(*arguments)
    assert joint.shape == (problem.runs, problem.batch, 1 << len(problem.measured))
    assert torch.allclose(joint, wanted, rtol=0, atol=1e-12)
    assert torch.allclose(joint.sum(-1), torch.ones(()).double(), rtol=0, atol=1e-12)
    for place, qubit in enumerate(problem.measured):
        bit = sorted(problem.measured).index(qubit)
        signs = torch.tensor([1.0 - 2 * (k >> bit & 1) for k in range(joint.shape[-1])]).double()
        assert torch.allclose(joint @ signs, values[..., place], rtol=0, atol=1e-12)


def by_pennylane(problem: Problem) -> dict[str, Tensor]:
    """Take values and gradients by PennyLane's own simulator, sample by sample; it takes amplitudes as they are."""
    device = pennylane.device("default.qubit", wires=problem.qubits)
    function = problem.circuit.to_pennylane()

    @pennylane.qnode(device, interface="torch", diff_method="backprop")
    def node(*arguments: Any) -> Any:
        function(*arguments)
        return [pennylane.expval(pennylane.PauliZ(qubit)) for qubit in problem.measured]

    tensors = problem.tensors()
    states = tensors.get("amplitudes")
    rows = [
        torch.stack(
            node(
                tensors["weights"][run],
                tensors["inputs"][run, sample],
                None if states is None else states[run, sample],
            )
        )
        for run in range(problem.runs)
        for sample in range(problem.batch)
    ]
    value = torch.stack(rows).view(problem.runs, problem.batch, -1).real
    return {"value": value.detach(), **gradients(value, problem.upstream(), tensors)}


@settings(deadline=None, max_examples=20)
@given(problem=problems(qubits=5, batch=2, gate_count=16))
def test_engines_equal_pennylane(problem: Problem) -> None:
    wanted = by_pennylane(problem)
    for engine in ("cpu", "reference"):
        assert_close(value_and_gradients(problem, engine), wanted, 1e-10)


@ENGINES
@pytest.mark.parametrize("loaded", [True, False])
def test_engines_equal_pennylane_on_ten_qubits(engine: str, loaded: bool) -> None:
    problem = big_problem(10, 1, loaded)._replace(runs=1)
    assert_close(value_and_gradients(problem, engine), by_pennylane(problem), 1e-10)


@pytest.mark.parametrize("qubits", [4, 12])
def test_the_published_circuits_equal_pennylane(qubits: int) -> None:
    everything = tuple(range(qubits))
    encoder = ansatz(qubits, 2, min(5, qubits - 1)).operations
    for operations, loaded in ((encoder, True), (head(qubits).operations, False)):
        problem = Problem(qubits, operations, 1, 1, loaded, everything, 3)
        assert_close(value_and_gradients(problem, "cpu"), by_pennylane(problem), 1e-10)


@ENGINES
def test_gradients_equal_central_differences(engine: Any) -> None:
    operations = head(4, 2, shared_reupload=True).operations
    problem = Problem(4, operations, 2, 3, True, (2, 0), 11)
    exact = value_and_gradients(problem, engine)
    tensors = {name: tensor.detach() for name, tensor in problem.tensors().items()}
    step = 1e-5
    for name, tensor in tensors.items():
        flat, slopes = tensor.view(-1), torch.empty(tensor.numel(), dtype=torch.float64)
        for place in range(tensor.numel()):
            before, ends = flat[place].item(), []
            for shift in (step, -step):
                flat[place] = before + shift
                value = expectation(problem.circuit, **tensors, measured=(2, 0), engine=engine)
                ends.append((value * problem.upstream()).sum())
            flat[place] = before
            slopes[place] = (ends[0] - ends[1]) / (2 * step)
        assert_close({name: slopes.view_as(tensor)}, {name: exact[f"gradient of {name}"]}, 1e-9)


@pytest.mark.parametrize("loaded", [True, False])
def test_gradcheck_accepts_the_cpu_engine(loaded: bool) -> None:
    problem = Problem(3, head(3, 2, 1, 1).operations, 2, 9, loaded, (1, 0), 2)
    tensors = problem.tensors()

    def function(*arguments: Tensor) -> Tensor:
        named = dict(zip(tensors, arguments, strict=True))
        return expectation(problem.circuit, **named, measured=(1, 0), engine="cpu")

    assert torch.autograd.gradcheck(function, tuple(tensors.values()))


@settings(deadline=None, max_examples=30)
@given(problem=problems(qubits=5, batch=9).filter(lambda p: p.loaded))
def test_the_gradient_by_amplitudes_is_that_of_a_quadratic_form(problem: Problem) -> None:
    tensors = problem.tensors()
    value = expectation(problem.circuit, **tensors, measured=problem.measured)
    (gradient,) = torch.autograd.grad(value.sum(), tensors["amplitudes"])
    euler = (gradient * tensors["amplitudes"]).sum(-1)
    assert torch.allclose(euler, 2 * value.sum(-1), rtol=0, atol=1e-10)


def test_twice_the_amplitudes_are_four_times_the_value() -> None:
    problem = Problem(3, ansatz(3, 2, 2).operations, 1, 5, True, (0, 2), 7)
    tensors = problem.tensors()
    once = expectation(problem.circuit, tensors["weights"], amplitudes=tensors["amplitudes"])
    twice = expectation(problem.circuit, tensors["weights"], amplitudes=2 * tensors["amplitudes"])
    assert torch.allclose(twice, 4 * once, rtol=0, atol=1e-12)


@ENGINES
def test_backward_twice_gives_the_same_gradient_twice(engine: Any) -> None:
    problem = Problem(4, head(4).operations, 2, 9, True, (3, 1), 1)
    tensors = problem.tensors()
    value = expectation(problem.circuit, **tensors, measured=(3, 1), engine=engine)
    loss = (value * problem.upstream()).sum()
    first = torch.autograd.grad(loss, list(tensors.values()), retain_graph=True)
    second = torch.autograd.grad(loss, list(tensors.values()))
    assert all(map(torch.equal, first, second))


@ENGINES
@pytest.mark.parametrize("names", [["weights"], ["inputs"], ["amplitudes"], ["inputs", "weights"]])
def test_gradients_are_the_same_whichever_are_asked_for(engine: Any, names: list[str]) -> None:
    problem = Problem(4, head(4).operations, 2, 9, True, (3, 1), 1)
    wanted = value_and_gradients(problem, engine)
    tensors = problem.tensors()
    for name, tensor in tensors.items():
        tensor.requires_grad_(name in names)
    value = expectation(problem.circuit, **tensors, measured=(3, 1), engine=engine)
    value.backward(problem.upstream())
    for name, tensor in tensors.items():
        if name in names:
            assert tensor.grad is not None
            assert torch.equal(tensor.grad, wanted[f"gradient of {name}"])
        else:
            assert tensor.grad is None


def test_second_derivatives_of_the_cpu_engine_are_refused_not_zero() -> None:
    circuit = ansatz(2, 1)

    def loss(weights: Tensor) -> Tensor:
        return expectation(circuit, weights, engine="cpu").sum()

    with pytest.raises((RuntimeError, HilbertuneError)):
        torch.autograd.functional.hessian(loss, torch.ones(1, 4, dtype=torch.float64))


def z(circuit: Circuit, angles: list[float], engine: Any = "cpu", **more: Any) -> list[float]:
    weights = torch.tensor([angles], dtype=torch.float64)
    values: list[float] = expectation(circuit, weights, engine=engine, **more)[0, 0].tolist()
    return values


@ENGINES
@pytest.mark.parametrize("angle", [0.0, 0.3, math.pi / 2, math.pi, 4.0, -1.0])
def test_a_rotated_qubit_has_the_cosine_of_its_angle(engine: Any, angle: float) -> None:
    circuit = Circuit(1, (Operation("ry", 0, weight=0),))
    assert z(circuit, [angle], engine) == pytest.approx([math.cos(angle)], abs=1e-15)
    weights = torch.tensor([[angle]], dtype=torch.float64, requires_grad=True)
    expectation(circuit, weights, engine=engine).sum().backward()
    assert weights.grad is not None
    assert weights.grad.item() == pytest.approx(-math.sin(angle), abs=1e-15)


@ENGINES
def test_an_entangled_pair_is_undecided_but_agrees(engine: Any) -> None:
    circuit = Circuit(2, (Operation("ry", 0, weight=0), Operation("cx", 1, 0)))
    assert z(circuit, [math.pi / 2], engine) == pytest.approx([0, 0], abs=1e-15)
    run = {"cpu": cpu.exact, "reference": reference.exact}[engine]
    weights = torch.full((1, 1), math.pi / 2, dtype=torch.float64)
    absent = torch.zeros(1, 1, 0, dtype=torch.float64)
    _, joint = run(circuit, weights, absent, absent, (0, 1), True)
    assert joint[0, 0].tolist() == pytest.approx([0.5, 0, 0, 0.5], abs=1e-15)


@ENGINES
def test_a_flipped_control_flips_its_target(engine: Any) -> None:
    chain = Circuit(3, (Operation("ry", 0, weight=0), Operation("cx", 1, 0), Operation("cx", 2, 1)))
    assert z(chain, [math.pi], engine) == pytest.approx([-1, -1, -1], abs=1e-15)
    assert z(chain, [0.0], engine) == pytest.approx([1, 1, 1], abs=1e-15)
    assert z(chain, [math.pi / 3], engine) == pytest.approx([0.5] * 3, abs=1e-15)


@ENGINES
def test_qubit_0_is_the_lowest_bit_of_an_amplitude(engine: Any) -> None:
    state = torch.zeros(1, 1, 8, dtype=torch.float64)
    state[0, 0, 0b110] = 1
    assert z(Circuit(3, ()), [], engine, amplitudes=state) == [1, -1, -1]
    flip = Circuit(3, (Operation("cx", 0, 2),))
    assert z(flip, [], engine, amplitudes=state) == [-1, -1, -1]


@ENGINES
def test_values_stand_in_the_order_asked_for(engine: Any) -> None:
    circuit = Circuit(3, tuple(Operation("ry", q, weight=q) for q in range(3)))
    angles = [0.1, 0.2, 0.3]
    found = z(circuit, angles, engine, measured=[2, 0])
    assert found == pytest.approx([math.cos(0.3), math.cos(0.1)], abs=1e-15)


@ENGINES
def test_a_circuit_without_gates_measures_its_amplitudes(engine: Any) -> None:
    amplitudes = torch.tensor([[[0.6, 0, 0, 0.8], [1, 2, 3, 4]]], dtype=torch.float64)
    amplitudes.requires_grad_()
    weights = torch.zeros(1, 0, dtype=torch.float64, requires_grad=True)
    value = expectation(Circuit(2, ()), weights, amplitudes=amplitudes, engine=engine)
    assert value[0, 0].tolist() == pytest.approx([-0.28, -0.28])
    value[..., 0].sum().backward()
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    assert amplitudes.grad is not None
    assert torch.allclose(amplitudes.grad, 2 * signs * amplitudes.detach())


def test_a_circuit_without_weights_trains_what_surrounds_it() -> None:
    weights = torch.zeros(2, 0, requires_grad=True)
    expectation(Circuit(2, ()), weights, torch.zeros(2, 9, 0)).sum().backward()
    assert weights.grad is not None
    assert weights.grad.shape == (2, 0)


def test_weights_that_no_gate_reads_have_no_gradient() -> None:
    weights = torch.ones(1, 4, dtype=torch.float64, requires_grad=True)
    expectation(Circuit(1, (Operation("ry", 0, weight=3),)), weights).sum().backward()
    assert weights.grad is not None
    assert weights.grad[0, :3].tolist() == [0, 0, 0]
    assert weights.grad[0, 3].item() == pytest.approx(-math.sin(1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("batch", [1, 7, 8, 9, 40])
def test_a_run_alone_gives_the_bits_it_gives_in_a_stack(batch: int, loaded: bool, dtype: torch.dtype) -> None:
    problem = Problem(4, head(4).operations, 5, batch, loaded, (3, 1), 1)
    stack = value_and_gradients(problem, dtype=dtype)
    for run in range(5):
        tensors = {
            name: tensor[run : run + 1].detach().clone().requires_grad_()
            for name, tensor in problem.tensors(dtype).items()
        }
        value = expectation(problem.circuit, **tensors, measured=(3, 1))
        value.backward(problem.upstream(dtype)[run : run + 1])
        alone = {"value": value.detach()}
        alone |= {f"gradient of {name}": t.grad for name, t in tensors.items()}
        assert_same_bits(alone, {name: t[run : run + 1] for name, t in stack.items()})


@settings(deadline=None, max_examples=25)
@given(problem=problems(batch=20))
def test_a_sample_alone_gives_the_value_it_gives_in_a_batch(problem: Problem) -> None:
    tensors = problem.tensors(torch.float32)
    together = expectation(problem.circuit, **tensors, measured=problem.measured)
    for sample in range(problem.batch):
        alone = {
            name: tensor if name == "weights" else tensor[:, sample : sample + 1] for name, tensor in tensors.items()
        }
        value = expectation(problem.circuit, **alone, measured=problem.measured)
        assert torch.equal(value[:, 0], together[:, sample])


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("runs", "batch"), [(1, 1), (1, 100), (3, 81)])
def test_two_threads_give_the_bits_of_one(runs: int, batch: int, dtype: torch.dtype) -> None:
    # Large enough to be worth a second thread.
    problem = Problem(10, head(10).operations, runs, batch, True, (4, 1), 1)
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(value_and_gradients(problem, dtype=dtype))
    assert_same_bits(found[0], found[1])
    assert_same_bits(found[0], found[2])


def test_more_samples_than_a_thread_takes_at_once_still_sum_the_same() -> None:
    problem = Problem(1, (Operation("ry", 0, weight=0), Operation("ry", 0, input=0)), 1, 5000, False, (0,), 1)
    assert_close(value_and_gradients(problem), value_and_gradients(problem, "reference"), 1e-12)


@ENGINES
def test_strided_and_expanded_tensors_give_what_plain_ones_give(engine: Any) -> None:
    circuit, rng = head(3), np.random.default_rng(0)
    weights = torch.from_numpy(rng.normal(size=(1, circuit.parameters))).expand(2, -1)
    inputs = torch.from_numpy(rng.normal(size=(3, 9, 2))).transpose(0, 2)
    amplitudes = torch.from_numpy(rng.normal(size=(2, 1, 16)))[..., ::2].expand(-1, 9, -1)
    views = [tensor.requires_grad_() for tensor in (weights, inputs, amplitudes)]
    plain = [tensor.detach().clone(memory_format=torch.contiguous_format).requires_grad_() for tensor in views]
    assert not any(tensor.is_contiguous() for tensor in views)
    results = []
    for tensors in (views, plain):
        value = expectation(circuit, *tensors, engine=engine)
        # A sum hands an expanded derivative back, a transposed loss a strided one.
        whole = torch.autograd.grad(value.sum(), tensors, retain_graph=True)
        strided = torch.autograd.grad((value.transpose(0, 2) ** 2).sum(), tensors)
        results.append([value.detach(), *whole, *strided])
    for found, wanted in zip(*results, strict=True):
        if engine == "cpu":
            assert torch.equal(found, wanted)
        else:
            assert torch.allclose(found, wanted, rtol=0, atol=1e-10)


@ENGINES
def test_inputs_are_left_as_they_were(engine: Any) -> None:
    problem = Problem(3, head(3).operations, 2, 9, True, (0,), 1)
    tensors = problem.tensors()
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    expectation(problem.circuit, **tensors, engine=engine).sum().backward()
    assert all(torch.equal(before[name], tensors[name]) for name in tensors)


@ENGINES
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_value_is_the_same(engine: Any, mode: Any) -> None:
    problem = Problem(4, head(4).operations, 2, 9, True, (0, 2), 1)
    tensors = problem.tensors()
    wanted = expectation(problem.circuit, **tensors, engine=engine)
    assert wanted.requires_grad
    with mode():
        found = expectation(problem.circuit, **tensors, engine=engine)
    assert torch.equal(found, wanted)
    assert not found.requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_memory_does_not_grow_with_the_batch(mode: Any) -> None:
    circuit, batch = head(12), 128
    weights = torch.zeros(1, circuit.parameters, requires_grad=True)
    inputs = torch.zeros(1, batch, 12)
    states = batch * (1 << 12) * 4
    with mode():
        expectation(circuit, weights, inputs[:, :1])
        tracemalloc.start()
        expectation(circuit, weights, inputs)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < states / 2, f"{peak} bytes for states of {states}"


@ENGINES
def test_an_empty_batch_gives_an_empty_answer(engine: Any) -> None:
    circuit = head(3)
    weights = torch.ones(2, circuit.parameters, requires_grad=True)
    value = expectation(circuit, weights, torch.ones(2, 0, 3), engine=engine)
    assert value.shape == (2, 0, 3)
    value.sum().backward()
    assert weights.grad is not None
    assert not weights.grad.any()


@ENGINES
def test_a_bad_sample_spoils_no_other(engine: Any) -> None:
    problem = Problem(3, head(3).operations, 2, 12, False, (0, 1, 2), 1)
    tensors = {name: tensor.detach() for name, tensor in problem.tensors().items()}
    wanted = expectation(problem.circuit, **tensors, engine=engine)
    tensors["inputs"][0, 3] = math.nan
    found = expectation(problem.circuit, **tensors, engine=engine)
    assert found[0, 3].isnan().all()
    assert torch.equal(found[1], wanted[1])
    assert torch.equal(found[0, 4:], wanted[0, 4:])


def test_single_precision_is_good_to_1e5_at_12_qubits() -> None:
    head_problem = Problem(12, head(12).operations, 1, 16, False, (0,), 1)
    encoder = Problem(12, ansatz(12, 5, 5).operations, 1, 3, True, tuple(range(12)), 1)
    for problem in (head_problem, encoder):
        found = value_and_gradients(problem, "cpu", torch.float32)
        assert_close(found, value_and_gradients(problem, "cpu", torch.float64), 1e-5)


CIRCUIT = head(2, 1, 0, 0)  # reads 4 weights and 2 inputs
WEIGHTS, INPUTS = torch.zeros(3, 4), torch.zeros(3, 5, 2)
STATES = torch.full((3, 5, 4), 0.5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": torch.zeros(3, 5)}, r"weights must have the shape \[3, 4\], not \[3, 5\]"),
        ({"weights": torch.zeros(4)}, r"weights must have the shape \[.*4\], not \[4\]"),
        ({"weights": torch.zeros(())}, "weights must have the shape"),
        ({"weights": torch.zeros(3, 4, 1)}, r"weights must have the shape \[3, 4\]"),
        ({"inputs": None}, r"inputs must have the shape \[3, .*2\]"),
        (
            {"inputs": torch.zeros(3, 5, 3)},
            r"inputs must have the shape \[3, 5, 2\], not \[3, 5, 3\]",
        ),
        (
            {"inputs": torch.zeros(2, 5, 2)},
            r"inputs must have the shape \[3, 5, 2\], not \[2, 5, 2\]",
        ),
        ({"inputs": torch.zeros(5, 2)}, r"inputs must have the shape \[3, .*, 2\], not \[5, 2\]"),
        ({"inputs": torch.zeros(2)}, r"inputs must have the shape"),
        ({"amplitudes": torch.zeros(3, 5, 8)}, r"amplitudes must have the shape \[3, 5, 4\]"),
        ({"amplitudes": torch.zeros(3, 4, 4)}, r"amplitudes must have the shape \[3, 5, 4\]"),
        ({"amplitudes": torch.zeros(5, 4)}, r"amplitudes must have the shape \[3, 5, 4\]"),
        ({"amplitudes": torch.zeros(())}, r"amplitudes must have the shape \[3, 5, 4\]"),
        ({"weights": WEIGHTS.half()}, "weights must be float32 or float64, not torch.float16"),
        ({"weights": WEIGHTS.long()}, "weights must be float32 or float64, not torch.int64"),
        ({"weights": WEIGHTS.bfloat16()}, "weights must be float32 or float64"),
        ({"inputs": INPUTS.double()}, r"inputs are torch.float64 on cpu, weights torch.float32"),
        ({"inputs": INPUTS.half()}, r"inputs are torch.float16 .*bring them together with .to\(\)"),
        ({"amplitudes": STATES.double()}, "amplitudes are torch.float64 on cpu, weights"),
        ({"inputs": INPUTS.to("meta")}, "inputs are torch.float32 on meta, weights .* on cpu"),
        ({"measured": []}, "measured must name different qubits, at least one"),
        ({"measured": [1, 1]}, r"measured must name different qubits, at least one, not \(1, 1\)"),
        ({"measured": [2]}, r"measured names qubits outside 0\.\.1: \(2,\)"),
        ({"measured": [0, -1]}, r"measured names qubits outside 0\.\.1"),
        ({"shots": 0}, "shots must be 1 or more, not 0; None is exact"),
        ({"shots": -5, "gradient": "spsa"}, "shots must be 1 or more, not -5"),
        ({"shots": 8, "rngs": [np.random.default_rng(0)]}, "rngs holds 1 generators for 3 runs"),
        ({"gradient": "spsa", "rngs": []}, "rngs holds 0 generators for 3 runs"),
        ({"engine": "tpu"}, "engine must be 'auto', 'cpu', 'gpu' or 'reference', not 'tpu'"),
        (
            {"gradient": "exact"},
            "gradient must be 'adjoint', 'parameter-shift' or 'spsa', not 'exact'",
        ),
        (
            {"gradient": "exact", "shots": 4},
            "gradient must be 'adjoint', 'parameter-shift' or 'spsa'",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_bad_request_is_refused_in_a_sentence(change: dict[str, Any], sentence: str) -> None:
    good = {"weights": WEIGHTS, "inputs": INPUTS, "amplitudes": STATES}
    with pytest.raises(HilbertuneError, match=sentence):
        expectation(CIRCUIT, **(good | change))


@pytest.mark.parametrize("gradient", ["parameter-shift", "spsa"])
def test_gradients_of_a_qpu_are_refused_for_amplitudes(gradient: Any) -> None:
    states = STATES.clone().requires_grad_()
    with pytest.raises(HilbertuneError, match=f"'{gradient}' has no derivative by amplitudes"):
        expectation(CIRCUIT, WEIGHTS, INPUTS, states, gradient=gradient)


def test_the_cpu_engine_refuses_tensors_elsewhere() -> None:
    elsewhere = [tensor.to("meta") for tensor in (WEIGHTS, INPUTS)]
    with pytest.raises(HilbertuneError, match="engine='cpu' needs tensors on the CPU"):
        expectation(CIRCUIT, *elsewhere, engine="cpu")


def test_auto_takes_the_cpu_engine_on_the_cpu() -> None:
    problem = Problem(3, head(3).operations, 1, 4, False, (0,), 1)
    assert_same_bits(value_and_gradients(problem, "auto"), value_and_gradients(problem, "cpu"))
