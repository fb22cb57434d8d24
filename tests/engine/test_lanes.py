"""Qubits that lie in the lanes of a row: every layout gives the numbers of the reference, on wide registers and not."""

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from helpers.problems import Problem, assert_close, problems, value_and_gradients
from hypothesis import given, settings
from torch import Tensor

from hilbertune.circuit.builders import head
from hilbertune.engine import cpu, reference, shared, threads
from hilbertune.engine.lanes import qubits_in_lanes
from hilbertune.engine.rows import LANES

EVERY = range(LANES.bit_length())


def answers(problem: Problem, engine: Any, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Return joint probabilities, final states and expectations, with their gradients, as an engine gives them."""
    tensors = problem.tensors(dtype)
    start = tensors.get("amplitudes", torch.zeros(problem.runs, problem.batch, 0, dtype=dtype))
    given = problem.circuit, tensors["weights"], tensors["inputs"], start
    _, joint = engine.exact(*given, tuple(sorted(problem.measured)), True)
    state = engine.final_state(*given)
    leaves = list(tensors.values())
    slopes = torch.autograd.grad((state**3).sum() + 0 * sum(leaf.sum() for leaf in leaves), leaves)
    by_state = {f"gradient of {name} by the state": slope for name, slope in zip(tensors, slopes, strict=True)}
    name = "cpu" if engine is cpu else "reference"
    return {
        "joint": joint.detach(),
        "state": state.detach(),
        **by_state,
        **value_and_gradients(problem, name, dtype),
    }


@pytest.mark.parametrize("small", [False, True], ids=["whole", "passes"])
@pytest.mark.parametrize("lanes", EVERY)
def test_every_layout_gives_the_numbers_of_the_reference(
    lanes: int, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "qubits_in_lanes", lambda qubits: min(lanes, qubits))
    if small:
        monkeypatch.setattr(cpu, "WHOLE", 1)
        monkeypatch.setattr(cpu, "BLOCK", 2)
        monkeypatch.setattr(cpu, "LOWEST", 1)

    @settings(deadline=None, max_examples=20)
    @given(problem=problems(qubits=7, batch=18))
    def check(problem: Problem) -> None:
        assert_close(answers(problem, cpu), answers(problem, reference), 1e-10)

    check()


@pytest.mark.parametrize("lanes", EVERY)
def test_every_layout_in_single_precision(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "qubits_in_lanes", lambda qubits: min(lanes, qubits))

    @settings(deadline=None, max_examples=10)
    @given(problem=problems(qubits=5, batch=5, gate_count=12))
    def check(problem: Problem) -> None:
        assert_close(answers(problem, cpu, torch.float32), answers(problem, reference), 2e-5)

    check()


@pytest.mark.parametrize("batch", [1, 3])
def test_threads_that_share_a_state_give_the_bits_of_one(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_WORTH_A_THREAD", 200)
    monkeypatch.setattr(cpu, "qubits_in_lanes", lambda *_: 2)
    for name, value in {"WHOLE": 3, "BLOCK": 3, "LOWEST": 1}.items():
        monkeypatch.setattr(cpu, name, value)
    problem = Problem(11, head(11).operations, 1, batch, True, (0, 7), 0)
    used: list[int] = []
    for name in ("forward", "backward"):
        own = getattr(shared, name)
        monkeypatch.setattr(shared, name, lambda *given, own=own: (used.append(torch.get_num_threads()), own(*given)))
    before, found = torch.get_num_threads(), []
    try:
        for count in (1, 4, 7):
            torch.set_num_threads(count)
            found.append(answers(problem, cpu))
    finally:
        torch.set_num_threads(before)
    assert {4, 7} == set(used)
    for other in found[1:]:
        assert all(torch.equal(other[name], tensor) for name, tensor in found[0].items())
    assert_close(found[0], answers(problem, reference), 1e-10)


def test_large_states_have_qubits_in_the_lanes() -> None:
    most = LANES.bit_length() - 1
    assert [qubits_in_lanes(qubits) for qubits in (1, 2, 8)] == [0, 0, 0]
    # A batch of large states is work for many threads, and one row costs as much as itself.
    assert all(qubits_in_lanes(qubits) == most for qubits in range(16, 33))
    assert all(0 <= qubits_in_lanes(q + 1) - qubits_in_lanes(q) <= 1 for q in range(1, 32))


@pytest.mark.slow  # compiles all kernels anew
@pytest.mark.parametrize(("features", "lanes"), [("+avx2,+fma", 8), ("+avx2,+fma,+avx512f", 16)])
def test_narrow_and_wide_registers_pass_the_same_tests(features: str, lanes: int, tmp_path: object) -> None:
    if lanes == 16 and LANES == 8:
        pytest.skip("this machine has no registers of 512 bits")
    environment = {**os.environ, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    said = subprocess.run(
        [sys.executable, "-c", "from hilbertune.engine.rows import LANES; print(LANES)"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(said.stdout) == lanes
    files = ["tests/engine/test_lanes.py", "tests/engine/test_expectations.py", "tests/model/test_fused.py"]
    run = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *files]
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
