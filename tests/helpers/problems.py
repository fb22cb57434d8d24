"""Random circuits with their tensors, and what an engine says of them."""

from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation


class Problem(NamedTuple):
    """A circuit by its table, the sizes of its tensors and the seed of their values."""

    qubits: int
    operations: tuple[Operation, ...]
    runs: int
    batch: int
    loaded: bool
    measured: tuple[int, ...]
    seed: int

    @property
    def circuit(self) -> Circuit:
        return Circuit(self.qubits, self.operations)

    def tensors(self, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """Weights, inputs and, if loaded, amplitudes of norm 1, all asking for gradients."""
        rng, circuit = np.random.default_rng(self.seed), self.circuit
        made = {
            "weights": rng.normal(0, 2, (self.runs, circuit.parameters)),
            "inputs": rng.normal(0, 2, (self.runs, self.batch, circuit.inputs)),
        }
        if self.loaded:
            states = rng.normal(size=(self.runs, self.batch, 1 << self.qubits))
            made["amplitudes"] = states / np.linalg.norm(states, axis=-1, keepdims=True)
        return {k: torch.from_numpy(v).to(dtype).requires_grad_() for k, v in made.items()}

    def upstream(self, dtype: torch.dtype = torch.float64) -> Tensor:
        """Return derivatives of some mean loss by the expectations."""
        shape = (self.runs, self.batch, len(self.measured))
        drawn = np.random.default_rng(self.seed + 1).normal(size=shape) / np.prod(shape[1:])
        return torch.from_numpy(drawn).to(dtype)


def gates(qubits: int) -> st.SearchStrategy[Operation]:
    """Rotations that share few weights and inputs, and CNOTs."""
    wire = st.integers(0, qubits - 1)
    kinds = [
        st.builds(lambda q, i: Operation("ry", q, weight=i), wire, st.integers(0, 4)),
        st.builds(lambda q, i: Operation("ry", q, input=i), wire, st.integers(0, 3)),
    ]
    if qubits > 1:
        pairs = st.lists(wire, min_size=2, max_size=2, unique=True)
        kinds.append(pairs.map(lambda pair: Operation("cx", *pair)))
    return st.one_of(kinds)


@st.composite
def problems(draw: st.DrawFn, qubits: int = 6, batch: int = 18, gate_count: int = 30) -> Problem:
    n = draw(st.integers(1, qubits))
    operations = tuple(draw(st.lists(gates(n), max_size=gate_count)))
    measured = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    return Problem(
        n,
        operations,
        draw(st.integers(1, 3)),
        draw(st.integers(1, batch)),
        draw(st.booleans()),
        tuple(measured),
        draw(st.integers(0, 2**32 - 1)),
    )


def gradients(value: Tensor, upstream: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """By every tensor; zeros by one that autograd has no path to, as in a circuit without gates."""
    leaves = list(tensors.values())
    loss = (value * upstream).sum() + sum(leaf.sum() for leaf in leaves) * 0
    found = torch.autograd.grad(loss, leaves)
    return {f"gradient of {name}": g for name, g in zip(tensors, found, strict=True)}


def value_and_gradients(problem: Problem, engine: Any = "cpu", dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    tensors = problem.tensors(dtype)
    value = expectation(problem.circuit, **tensors, measured=problem.measured, engine=engine)
    return {"value": value.detach(), **gradients(value, problem.upstream(dtype), tensors)}


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        assert tensor.shape == wanted[name].shape, name
        difference = (tensor.double() - wanted[name].double()).abs().max() if tensor.numel() else 0
        assert difference <= tolerance, f"{name} differs by {difference:.2e}"
