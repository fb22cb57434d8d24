"""The GPU engine equals the reference: natively where there is a GPU, elsewhere through Triton's interpreter."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("triton")
import triton
from helpers import kernels
from helpers.kernels import TOLERANCE, Check, Problem, answers, assert_close, windows

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.engine import gpu, reference
from hilbertune.errors import HilbertuneError

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
NEEDS_GPU = pytest.mark.skipif(kernels.DEVICE == "cpu", reason="there is no GPU")


@pytest.mark.parametrize(
    "check", [pytest.param(c, id=c.fact, marks=[NEEDS_GPU] if c.native else []) for c in kernels.checks()]
)
def test_what_the_kernels_must_do(check: Check) -> None:
    check.hold()


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
