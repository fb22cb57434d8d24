"""What the GPU's kernels must do, as plain functions, since a machine with a GPU may have no pytest.

In: Triton's kernels, natively where there is a GPU, elsewhere through the interpreter (TRITON_INTERPRET=1).
Out: `checks()`; each is a fact and a function that raises if it does not hold.
"""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.engine import gpu, gpu_draws, reference, sampling
from hilbertune.engine.expectations import expectation

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


class Problem(NamedTuple):
    """A circuit by its table, how many amplitudes are loaded (0: |0...0>), and the seed of all values."""

    qubits: int
    operations: tuple[Operation, ...]
    runs: int = 2
    batch: int = 3
    loaded: int = 0
    measured: tuple[int, ...] = (0,)
    seed: int = 0

    @property
    def circuit(self) -> Circuit:
        return Circuit(self.qubits, self.operations)

    def tensors(self, dtype: torch.dtype, device: str = DEVICE) -> dict[str, Tensor]:
        rng = np.random.default_rng(self.seed)
        amplitudes = rng.normal(size=(self.runs, self.batch, self.loaded))
        made = {
            "weights": rng.normal(0, 2, (self.runs, self.circuit.parameters)),
            "inputs": rng.normal(0, 2, (self.runs, self.batch, self.circuit.inputs)),
            "amplitudes": amplitudes / np.linalg.norm(amplitudes, axis=-1, keepdims=True),
        }
        return {k: torch.from_numpy(v).to(device, dtype).requires_grad_() for k, v in made.items()}


def answers(
    problem: Problem, engine: Any, dtype: torch.dtype = torch.float64, device: str = DEVICE
) -> dict[str, Tensor]:
    """Values, joint probabilities and the gradients of a random weighted mean of the values."""
    tensors = problem.tensors(dtype, device)
    value, joint = engine.exact(problem.circuit, *tensors.values(), problem.measured, True)
    drawn = np.random.default_rng(problem.seed + 1).normal(size=value.shape)
    upstream = torch.from_numpy(drawn).to(value) / value[0].numel()
    # Zeros by tensors to which autograd has no path, as in a circuit without gates.
    loss = (value * upstream).sum() + 0 * sum(tensor.sum() for tensor in tensors.values())
    found = torch.autograd.grad(loss, list(tensors.values()))
    gradients = {f"gradient of {name}": g for name, g in zip(tensors, found, strict=True)}
    return {"value": value.detach(), "joint probabilities": joint, **gradients}


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    for name, tensor in found.items():
        assert tensor.shape == wanted[name].shape, name
        difference = (tensor.double() - wanted[name].to(tensor.device, torch.float64)).abs()
        assert (difference <= tolerance).all(), f"{name} differs by {difference.max():.2e}"


def assert_same_bits(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[name]), f"{name} differs"


def windows(qubits: int) -> Any:
    """Blocks of at most so many qubits."""
    return mock.patch.object(gpu, "_window", return_value=qubits)


PUBLISHED = {
    "head": Problem(5, head(5).operations, runs=2, batch=1),
    "encoder": Problem(5, ansatz(5, 2).operations, runs=1, batch=3, loaded=24, measured=(0, 1, 2, 3, 4)),
}


def published_circuits_equal_the_reference(circuit: str, window: int, dtype: torch.dtype) -> None:
    problem = PUBLISHED[circuit]
    with windows(window):
        found = answers(problem, gpu, dtype)
        call = gpu._tables(problem.circuit, window, problem.loaded, dtype, torch.device(DEVICE))
    assert (len(call.passes) > 1) == (window < problem.circuit.qubits)
    assert_close(found, answers(problem, reference), TOLERANCE[dtype])


def more_qubits_than_fit_a_block_take_several_passes() -> None:
    circuit = ansatz(13, 2)
    problem = Problem(13, circuit.operations, 1, 1, loaded=768, measured=tuple(range(13)))
    assert_close(answers(problem, gpu), answers(problem, reference), 1e-10)
    whole, cut = (gpu._window(13, dtype) for dtype in (torch.float32, torch.float64))
    assert whole == 13
    assert cut < 13


def gradients_equal_finite_differences() -> None:
    operations = (
        Operation("ry", 0, weight=0),
        Operation("cx", 1, 0),
        Operation("ry", 1, input=0),
        Operation("ry", 0, weight=0),
    )
    problem = Problem(2, operations, runs=1, batch=2, loaded=3)
    tensors = problem.tensors(torch.float64)

    def values(*given: Tensor) -> Tensor:
        return gpu.exact(problem.circuit, *given, (1, 0), False)[0]

    assert torch.autograd.gradcheck(values, tuple(tensors.values()))


def amplitudes_that_are_not_given_are_zero() -> None:
    short = PUBLISHED["encoder"].tensors(torch.float64)
    whole = dict(short, amplitudes=torch.nn.functional.pad(short["amplitudes"], (0, 8)))
    circuit, measured = PUBLISHED["encoder"].circuit, PUBLISHED["encoder"].measured
    for window in (3, 13):
        with windows(window):
            found, _ = gpu.exact(circuit, *short.values(), measured, False)
            wanted, _ = gpu.exact(circuit, *whole.values(), measured, False)
        assert torch.allclose(found, wanted, rtol=0, atol=1e-12)
        (gradient,) = torch.autograd.grad(found.sum(), short["amplitudes"])
        assert gradient.shape == short["amplitudes"].shape


def a_run_does_not_depend_on_its_neighbours() -> None:
    circuit = head(3, reuploads=1)
    tensors = Problem(3, circuit.operations, runs=3, batch=2).tensors(torch.float32)
    for window in (2, 13):
        with windows(window):
            together = gpu.exact(circuit, *tensors.values(), (0, 2), False)[0]
            alone = gpu.exact(circuit, *(t[1:2] for t in tensors.values()), (0, 2), False)[0]
        assert_same_bits({"value": alone}, {"value": together[1:2]})
        leaves = [tensors["weights"], tensors["inputs"]]
        company = torch.autograd.grad(together.sum(), leaves)
        single = torch.autograd.grad(alone.sum(), leaves)
        for some, other in zip(single, company, strict=True):
            assert torch.equal(some[1:2], other[1:2])


def only_what_is_asked_for_has_a_gradient() -> None:
    problem = Problem(3, head(3, reuploads=1).operations, runs=1, batch=1, loaded=8)
    for name in ("weights", "inputs", "amplitudes"):
        tensors = {k: v.requires_grad_(k == name) for k, v in problem.tensors(torch.float64).items()}
        value, joint = gpu.exact(problem.circuit, *tensors.values(), (0,), True)
        assert not joint.requires_grad
        value.sum().backward()
        assert [k for k, tensor in tensors.items() if tensor.grad is not None] == [name]


def without_gradients_and_shots_there_are_the_values_only(window: int) -> None:
    problem = Problem(3, head(3, reuploads=1).operations, runs=1, batch=2)
    tensors = problem.tensors(torch.float64)
    with windows(window), torch.no_grad():
        value, joint = gpu.exact(problem.circuit, *tensors.values(), (0,), False)
    wanted, _ = reference.exact(problem.circuit, *tensors.values(), (0,), False)
    assert not value.requires_grad
    assert joint.shape == (1, 2, 0)
    assert torch.allclose(value, wanted, rtol=0, atol=1e-12)


def a_retained_graph_can_be_used_twice() -> None:
    circuit = head(3, reuploads=1)
    tensors = Problem(3, circuit.operations, batch=1).tensors(torch.float64)
    for window in (2, 13):
        with windows(window):
            value, _ = gpu.exact(circuit, *tensors.values(), (0,), False)
            first = torch.autograd.grad(value.sum(), tensors["weights"], retain_graph=True)
            second = torch.autograd.grad(value.sum(), tensors["weights"])
        assert torch.equal(first[0], second[0])


def shots_on_a_gpu_follow_the_law_of_sampling(law: tuple[int, int]) -> None:
    qubits, shots = law
    rows = 2000 if DEVICE == "cuda" else 40  # the interpreter takes milliseconds for each
    outcomes = 1 << qubits
    p = np.random.default_rng(qubits).dirichlet(np.full(outcomes, 0.5))
    marginal = torch.from_numpy(p).expand(2, rows, outcomes).contiguous().to(DEVICE)
    keys, step = torch.tensor([[1, 2], [3, 4]]).to(DEVICE), torch.tensor(5).to(DEVICE)
    found = gpu_draws.means(marginal, qubits, shots, keys, step)
    assert torch.equal(found[1:, :5], gpu_draws.means(marginal[1:, :5], qubits, shots, keys[1:], step))
    assert not torch.equal(found[:, :5], gpu_draws.means(marginal[:, :5], qubits, shots, keys, step + 1))
    assert not torch.equal(found[0], found[1])
    drawn = found.cpu().numpy().reshape(2 * rows, qubits)
    z = 1.0 - 2 * ((np.arange(outcomes)[:, None] >> np.arange(qubits)) & 1)
    covariance = (z.T * p @ z - np.outer(p @ z, p @ z)) / shots
    centred = drawn - p @ z
    products = centred[:, :, None] * centred[:, None]
    for values, wanted in ((centred, 0.0), (products, covariance)):
        error = values.std(0) / np.sqrt(len(values))
        assert (np.abs(values.mean(0) - wanted) <= 5 * error + 1e-12).all()


def a_run_on_a_gpu_without_probabilities_draws_nothing() -> None:
    marginal = torch.full((2, 2, 2), 0.5, device=DEVICE)
    marginal[0] = torch.nan
    keys, step = torch.zeros(2, 2, dtype=torch.int64, device=DEVICE), torch.tensor(0, device=DEVICE)
    found = gpu_draws.means(marginal, 1, 9, keys, step)
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


def large_circuits_equal_the_reference(qubits: int, dtype: torch.dtype) -> None:
    for problem in (
        Problem(qubits, head(qubits, reuploads=2).operations, batch=2, measured=(0, qubits - 1)),
        Problem(qubits, ansatz(qubits, 2).operations, batch=2, loaded=100, measured=tuple(range(qubits))),
    ):
        assert_close(answers(problem, gpu, dtype), answers(problem, reference), TOLERANCE[dtype])


def results_are_the_same_bits_every_time() -> None:
    problem = Problem(14, head(14).operations, batch=16)
    first = answers(problem, gpu, torch.float32)
    for _ in range(5):
        assert_same_bits(answers(problem, gpu, torch.float32), first)


def captured_graph(step: Callable[[], tuple[Tensor, ...]]) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]:
    """Capture a step after a first one, which compiles, and return the graph with the tensors that it writes."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    return graph, captured


def a_captured_graph_repeats_values_and_gradients(qubits: int) -> None:
    problem = Problem(qubits, head(qubits, reuploads=2).operations)
    tensors = problem.tensors(torch.float32)

    def step() -> tuple[Tensor, ...]:
        value, _ = gpu.exact(problem.circuit, *tensors.values(), (0,), False)
        return value, *torch.autograd.grad(value.sum(), [tensors["weights"], tensors["inputs"]])

    graph, captured = captured_graph(step)
    with torch.no_grad():
        tensors["weights"] += 1
    graph.replay()
    for found, wanted in zip(captured, step(), strict=True):
        assert torch.equal(found, wanted)


def a_captured_graph_draws_anew_at_every_step() -> None:
    problem = Problem(6, head(6, reuploads=2).operations, batch=16, measured=(0, 3))
    tensors = problem.tensors(torch.float32)
    counter = sampling.Counter(torch.tensor([[1, 2], [3, 4]], device=DEVICE), torch.tensor(0, device=DEVICE))

    def step() -> tuple[Tensor, ...]:
        value = expectation(
            problem.circuit, tensors["weights"], tensors["inputs"], measured=(0, 3), shots=100, rngs=counter
        )
        return value, *torch.autograd.grad(value.square().sum(), [tensors["weights"], tensors["inputs"]])

    graph, captured = captured_graph(step)
    seen = []
    for _ in range(3):
        counter.step.add_(1)
        graph.replay()
        for found, wanted in zip(captured, step(), strict=True):
            assert torch.equal(found, wanted)
        seen.append(captured[0].clone())
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])


def random_problem(seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    operations = []
    for _ in range(rng.integers(1, 13)):
        wires = [int(q) for q in rng.permutation(n)[:2]]
        kind = rng.integers(3 if n > 1 else 2)
        angle = [{"weight": int(rng.integers(4))}, {"input": int(rng.integers(3))}, {}][kind]
        operations.append(Operation("cx", *wires) if kind == 2 else Operation("ry", wires[0], **angle))
    measured = tuple(int(q) for q in rng.permutation(n)[: rng.integers(1, n + 1)])
    loaded = int(rng.integers(0, (1 << n) + 1))
    return Problem(n, tuple(operations), 2, int(rng.integers(1, 4)), loaded, measured, seed)


def random_circuits_equal_the_reference(seeds: range) -> None:
    for seed in seeds:
        problem = random_problem(seed)
        wanted = answers(problem, reference)
        for dtype, tolerance in TOLERANCE.items():
            with windows((2, 3, 4, 13)[seed % 4]):
                assert_close(answers(problem, gpu, dtype), wanted, tolerance)


class Check(NamedTuple):
    """A fact, a function that raises if it does not hold, and True if only a GPU can run it."""

    fact: str
    hold: Callable[[], None]
    native: bool = False


def _each(function: Callable[..., None], *choices: tuple[Any, ...], native: bool = False) -> Iterator[Check]:
    """Return a check for every combination of arguments."""
    fact = function.__name__.replace("_", " ")
    for own in itertools.product(*choices):
        names = [str(a).removeprefix("torch.") for a in own]
        yield Check(f"{fact} ({', '.join(names)})" if own else fact, functools.partial(function, *own), native)


def checks() -> list[Check]:
    """Return every check, those first that say most in a short time."""
    dtypes = tuple(TOLERANCE)
    return [
        *_each(published_circuits_equal_the_reference, tuple(PUBLISHED), (3, 13), dtypes),
        *_each(large_circuits_equal_the_reference, (10, 16, 13, 7, 11, 12, 14), dtypes, native=True),
        *_each(gradients_equal_finite_differences),
        *_each(results_are_the_same_bits_every_time, native=True),
        *_each(a_captured_graph_repeats_values_and_gradients, (10, 14), native=True),
        *_each(a_captured_graph_draws_anew_at_every_step, native=True),
        *_each(shots_on_a_gpu_follow_the_law_of_sampling, ((1, 1), (1, 50), (3, 40), (2, 1100))),
        *_each(a_run_on_a_gpu_without_probabilities_draws_nothing),
        *_each(more_qubits_than_fit_a_block_take_several_passes),
        *_each(amplitudes_that_are_not_given_are_zero),
        *_each(a_run_does_not_depend_on_its_neighbours),
        *_each(only_what_is_asked_for_has_a_gradient),
        *_each(without_gradients_and_shots_there_are_the_values_only, (2, 13)),
        *_each(a_retained_graph_can_be_used_twice),
        *_each(random_circuits_equal_the_reference, (range(1, 2),)),
        # Where there is no GPU, hypothesis draws them.
        *_each(random_circuits_equal_the_reference, (range(13), range(13, 26), range(26, 39)), native=True),
    ]
