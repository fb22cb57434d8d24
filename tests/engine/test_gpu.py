"""The GPU engine equals the reference: natively where there is a GPU, elsewhere through Triton's interpreter."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("triton")
import triton

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.engine import gpu, gpu_draws, reference, sampling
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
NEEDS_GPU = pytest.mark.skipif(DEVICE == "cpu", reason="there is no GPU")


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


def gates(qubits: int) -> st.SearchStrategy[Operation]:
    """Rotations that share few weights and inputs, and CNOTs."""
    wire = st.integers(0, qubits - 1)
    kinds = [
        st.builds(lambda q, i: Operation("ry", q, weight=i), wire, st.integers(0, 3)),
        st.builds(lambda q, i: Operation("ry", q, input=i), wire, st.integers(0, 2)),
    ]
    if qubits > 1:
        pairs = st.lists(wire, min_size=2, max_size=2, unique=True)
        kinds += 2 * [pairs.map(lambda pair: Operation("cx", *pair))]
    return st.one_of(kinds)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    n = draw(st.integers(1, 6))
    operations = tuple(draw(st.lists(gates(n), max_size=12)))
    measured = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    loaded = draw(st.one_of(st.just(0), st.just(1 << n), st.integers(1, 1 << n)))
    runs, batch = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    seed = draw(st.integers(0, 2**32 - 1))
    return Problem(n, operations, runs, batch, loaded, tuple(measured), seed)


@DTYPES
@settings(deadline=None, max_examples=15)
@given(problem=problems(), window=st.sampled_from([2, 3, 4, 13]))
def test_gpu_equals_the_reference(problem: Problem, window: int, dtype: torch.dtype) -> None:
    with windows(window):
        found = answers(problem, gpu, dtype)
    assert all(tensor.dtype == dtype for tensor in found.values())
    # Each rotation of a qubit adds an angle of some turns, and with it a rounding.
    share = max(1.0, len(problem.operations) / 4)
    assert_close(found, answers(problem, reference), share * TOLERANCE[dtype])


PUBLISHED = {
    "head": Problem(5, head(5).operations, runs=2, batch=1),
    "encoder": Problem(5, ansatz(5, 2).operations, runs=1, batch=3, loaded=24, measured=(0, 1, 2, 3, 4)),
}


@DTYPES
@pytest.mark.parametrize("window", [3, 13])
@pytest.mark.parametrize("circuit", PUBLISHED)
def test_published_circuits_equal_the_reference(circuit: str, window: int, dtype: torch.dtype) -> None:
    problem = PUBLISHED[circuit]
    with windows(window):
        found = answers(problem, gpu, dtype)
        call = gpu._tables(problem.circuit, window, problem.loaded, dtype, torch.device(DEVICE))
    assert (len(call.passes) > 1) == (window < problem.circuit.qubits)
    assert_close(found, answers(problem, reference), TOLERANCE[dtype])


def test_more_qubits_than_fit_a_block_take_several_passes() -> None:
    circuit = ansatz(13, 2)
    problem = Problem(13, circuit.operations, 1, 1, loaded=768, measured=tuple(range(13)))
    assert_close(answers(problem, gpu), answers(problem, reference), 1e-10)
    whole, cut = (gpu._window(13, dtype) for dtype in (torch.float32, torch.float64))
    assert whole == 13
    assert cut < 13


def test_gradients_equal_finite_differences() -> None:
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


def test_amplitudes_that_are_not_given_are_zero() -> None:
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


def test_a_run_does_not_depend_on_its_neighbours() -> None:
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


def test_only_what_is_asked_for_has_a_gradient() -> None:
    problem = Problem(3, head(3, reuploads=1).operations, runs=1, batch=1, loaded=8)
    for name in ("weights", "inputs", "amplitudes"):
        tensors = {k: v.requires_grad_(k == name) for k, v in problem.tensors(torch.float64).items()}
        value, joint = gpu.exact(problem.circuit, *tensors.values(), (0,), True)
        assert not joint.requires_grad
        value.sum().backward()
        assert [k for k, tensor in tensors.items() if tensor.grad is not None] == [name]


@pytest.mark.parametrize("window", [2, 13])
def test_without_gradients_and_shots_there_are_the_values_only(window: int) -> None:
    problem = Problem(3, head(3, reuploads=1).operations, runs=1, batch=2)
    tensors = problem.tensors(torch.float64)
    with windows(window), torch.no_grad():
        value, joint = gpu.exact(problem.circuit, *tensors.values(), (0,), False)
    wanted, _ = reference.exact(problem.circuit, *tensors.values(), (0,), False)
    assert not value.requires_grad
    assert joint.shape == (1, 2, 0)
    assert torch.allclose(value, wanted, rtol=0, atol=1e-12)


def test_a_retained_graph_can_be_used_twice() -> None:
    circuit = head(3, reuploads=1)
    tensors = Problem(3, circuit.operations, batch=1).tensors(torch.float64)
    for window in (2, 13):
        with windows(window):
            value, _ = gpu.exact(circuit, *tensors.values(), (0,), False)
            first = torch.autograd.grad(value.sum(), tensors["weights"], retain_graph=True)
            second = torch.autograd.grad(value.sum(), tensors["weights"])
        assert torch.equal(first[0], second[0])


def test_second_derivatives_are_refused() -> None:
    circuit = Circuit(1, (Operation("ry", 0, weight=0),))
    tensors = Problem(1, circuit.operations).tensors(torch.float64)
    value, _ = gpu.exact(circuit, *tensors.values(), (0,), False)
    with pytest.raises(HilbertuneError, match="second derivatives"):
        torch.autograd.grad(value.sum(), tensors["weights"], create_graph=True)


def test_tensors_on_the_cpu_are_refused_without_the_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "_INTERPRETED", False)
    circuit = Circuit(1, (Operation("ry", 0, weight=0),))
    tensors = Problem(1, circuit.operations).tensors(torch.float64, device="cpu")
    with pytest.raises(HilbertuneError, match="tensors on a GPU"):
        gpu.exact(circuit, *tensors.values(), (0,), False)


def test_without_triton_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    with pytest.raises(HilbertuneError, match=r"pip install 'hilbertune\[gpu\]'"):
        runpy.run_path(str(gpu.__file__))


def test_an_old_triton_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "__version__", "3.3.1")
    with pytest.raises(HilbertuneError, match=r"triton 3\.4 or newer, not 3\.3\.1"):
        runpy.run_path(str(gpu.__file__))


@pytest.mark.parametrize(("qubits", "shots"), [(1, 1), (1, 50), (3, 40), (2, 1100)])
def test_shots_on_a_gpu_follow_the_law_of_sampling(qubits: int, shots: int) -> None:
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


def test_a_run_on_a_gpu_without_probabilities_draws_nothing() -> None:
    marginal = torch.full((2, 2, 2), 0.5, device=DEVICE)
    marginal[0] = torch.nan
    keys, step = torch.zeros(2, 2, dtype=torch.int64, device=DEVICE), torch.tensor(0, device=DEVICE)
    found = gpu_draws.means(marginal, 1, 9, keys, step)
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from hilbertune.engine import gpu, gpu_draws

targets = [GPUTarget("cuda", 80, 32), GPUTarget("cuda", 90, 32), GPUTarget("hip", "gfx942", 64)]
sizes = [("fp32", 2, True), ("fp32", 8192, True), ("fp32", 2048, False), ("fp64", 4096, True)]
numbers = "first stop gates blocks length stride loaded measures".split()
for target in targets:
    for kernel in (gpu._forward, gpu._backward):
        for kind, size, whole in sizes:
            flags = {"SIZE": size, "STARTS": whole, "ENDS": whole, "STORES": True}
            flags = {name: flags[name] for name in flags if name in kernel.arg_names}
            types = dict.fromkeys(kernel.arg_names, "*" + kind)
            types |= dict.fromkeys(("bits", "inside", "outside", "measured"), "*i32")
            types |= {name: "i32" for name in numbers if name in types}
            types |= dict.fromkeys(flags, "constexpr")
            source = ASTSource(kernel, types, flags)
            made = compile(source, target=target, options={"num_warps": gpu._warps(size, int(kind[2:]) // 8)})
            # A gather within a warp would be a chain of shuffles as long as the block.
            assert made.asm.get("ptx", "").count("shfl") < 32
            assert made.metadata.shared <= 65536, "more shared memory than AMD has"
    types = dict.fromkeys(gpu_draws._shots.arg_names, "i32")
    types |= {"probabilities": "*fp32", "means": "*fp32", "keys": "*i64", "step": "*i64"}
    flags = {"OUTCOMES": 64, "MEASURED": 8, "BLOCK": 1024}
    types |= dict.fromkeys(flags, "constexpr")
    compile(ASTSource(gpu_draws._shots, types, flags), target=target)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    tuple(map(int, triton.__version__.split(".")[:2])) < (3, 5),
    reason="triton 3.4 compiles for AMD only where ROCm is installed",
)
def test_kernels_compile_for_nvidia_and_amd_on_any_machine(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    environment["PYTHONPATH"] = str(Path(gpu.__file__).parents[2])
    subprocess.run([sys.executable, "-c", COMPILE], env=environment, check=True, timeout=300)


@NEEDS_GPU
@DTYPES
@pytest.mark.parametrize("qubits", [7, 10, 11, 12, 13, 14, 16])
def test_large_circuits_equal_the_reference(qubits: int, dtype: torch.dtype) -> None:
    for problem in (
        Problem(qubits, head(qubits, reuploads=2).operations, batch=2, measured=(0, qubits - 1)),
        Problem(qubits, ansatz(qubits, 2).operations, batch=2, loaded=100, measured=tuple(range(qubits))),
    ):
        assert_close(answers(problem, gpu, dtype), answers(problem, reference), TOLERANCE[dtype])


@NEEDS_GPU
def test_results_are_the_same_bits_every_time() -> None:
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


@NEEDS_GPU
@pytest.mark.parametrize("qubits", [10, 14])
def test_a_captured_graph_repeats_values_and_gradients(qubits: int) -> None:
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


@NEEDS_GPU
def test_a_captured_graph_draws_anew_at_every_step() -> None:
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
