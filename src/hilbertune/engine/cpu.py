"""The CPU engine: compiled kernels over tiles of some samples, all cores, gradients by the adjoint method.

In: a circuit and torch tensors on the CPU. Out: expectations with derivatives by weights, inputs and amplitudes.
Memory: two states a sample (one kept from the forward pass, and scratch for each core), however deep the circuit.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hilbertune.circuit.table import Circuit
from hilbertune.engine import kernels, shared
from hilbertune.engine.lanes import qubits_in_lanes
from hilbertune.engine.program import Program, program
from hilbertune.engine.rows import LANES
from hilbertune.engine.sampling import refuse_second_derivatives
from hilbertune.engine.threads import most_threads, require_memory, spread
from hilbertune.engine.transforms import refuse_batched

WHOLE = 12
"""Up to this many qubits between the rows the states of a tile stay in a core's caches: a circuit is one pass."""


BLOCK = 11 if LANES == 8 else 10
"""Qubits between the rows in the window of a pass over a larger state: blocks of both states are 128 KiB."""


LOWEST = 2
"""Qubits between the rows that every window holds: 2^2 rows of a tile are two cache lines."""


def compiled(circuit: Circuit, amplitudes: int, lanes: int = 0) -> Program:
    """Return the circuit as this engine runs it, after a start with that many loaded amplitudes (0: |0...0>).

    The lowest `lanes` qubits lie in the lanes of a tile's rows.
    """
    window = circuit.qubits if circuit.qubits - lanes <= WHOLE else BLOCK + lanes
    return program(circuit, max(2, window), amplitudes, LOWEST + lanes, lanes)


def block_rows(circuit: Circuit, lanes: int = 0) -> int:
    """Return the rows of the block that a pass copies."""
    return 0 if circuit.qubits - lanes <= WHOLE else 1 << BLOCK


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return memory that starts on a cache line, so that no row of a tile straddles two."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    block = np.empty(size + 64, np.uint8)
    start = -block.ctypes.data % 64
    aligned: np.ndarray = block[start : start + size].view(dtype).reshape(shape)
    return aligned


class _Start(NamedTuple):
    """A call as the kernels read it: program, cosines and sines of half of weights and inputs, amplitudes, tiles."""

    program: Program
    weights: tuple[np.ndarray, np.ndarray]
    inputs: tuple[np.ndarray, np.ndarray]
    amplitudes: np.ndarray
    items: int

    def work(self, first: int, stop: int) -> kernels.Work:
        """Return a share of the items."""
        return kernels.Work(first, stop, self.program, self.weights, self.inputs)


def _start(made: Program, weights: Tensor, inputs: Tensor, amplitudes: Tensor) -> _Start:
    runs, batch = inputs.shape[:2]
    loaded = amplitudes.detach().contiguous().numpy()
    tiles = -(-batch // (LANES >> made.lanes))
    return _Start(made, _half_angles(weights), _half_angles(inputs), loaded, runs * tiles)


def _half_angles(angles: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return cosines and sines by NumPy: torch wakes all its threads for each of these, and waits for them."""
    half = np.ascontiguousarray(angles.detach().numpy()) / 2
    return np.cos(half), np.sin(half)


def _mask(circuit: Circuit, measured: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(circuit.qubits, np.bool_)
    mask[list(measured)] = True
    return mask


class _Forward(NamedTuple):
    """A finished call: <Z> of every qubit, joint probabilities, and the final states if they were kept."""

    start: _Start
    values: np.ndarray
    marginals: np.ndarray
    states: np.ndarray | None


def _forward(
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor,
    amplitudes: Tensor,
    measured: tuple[int, ...],
    sampled: bool,
    keep: bool,
) -> _Forward:
    """Run a circuit on all cores; `keep` its final states."""
    runs, batch = inputs.shape[:2]
    lanes = qubits_in_lanes(circuit.qubits)
    dtype, rows = weights.detach().numpy().dtype, 1 << circuit.qubits - lanes
    start = _start(compiled(circuit, amplitudes.shape[2], lanes), weights, inputs, amplitudes)
    values = np.zeros((runs, batch, circuit.qubits), dtype)
    marginals = np.zeros((runs, batch, 1 << len(measured) if sampled else 0), dtype)
    outcome = kernels.Outcome(_mask(circuit, measured), values, marginals)
    held = (start.items if keep else 0) + 2 * min(most_threads(), start.items)
    require_memory(
        held * rows * LANES * dtype.itemsize,
        f"{runs * batch} states of {circuit.qubits} qubits",
        "use a smaller batch or fewer qubits",
    )
    states = empty((start.items, rows, LANES), dtype) if keep else None

    together = shared.worth_it(start.program, start.items, rows)
    run = shared.forward if together else kernels.forward

    def share() -> Callable[[int, int], None]:
        own = empty((1, rows, LANES), dtype) if states is None else states
        scratch, blocks = empty((1, rows, LANES), dtype), empty((2, block_rows(circuit, lanes), LANES), dtype)
        memory = kernels.Memory(own, scratch, blocks)
        return lambda first, stop: run(start.work(first, stop), start.amplitudes, memory, outcome)

    if together:
        share()(0, start.items)
    else:
        spread(share, start.items, rows * len(start.program.gates))
    return _Forward(start, values, marginals, states)


def _backward(
    ctx: Any, by_value: Float[np.ndarray, "runs batch qubits"], by_state: Float[np.ndarray, "items rows lanes"]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the derivatives by weights, inputs and amplitudes, as far as they are wanted."""
    circuit, states, start = ctx.circuit, ctx.states, ctx.start
    _, for_weights, for_inputs, for_amplitudes, *_ = ctx.needs_input_grad
    runs, batch = by_value.shape[:2]
    items, rows, _ = states.shape
    lanes = start.program.lanes
    slopes = kernels.Slopes(
        by_value,
        by_state,
        by_weight=np.zeros((items, circuit.parameters), states.dtype),
        by_input=np.zeros((runs, batch, circuit.inputs), states.dtype),
        by_amplitude=np.zeros(start.amplitudes.shape if for_amplitudes else (runs, batch, 0), states.dtype),
    )

    together = shared.worth_it(start.program, items, rows)
    run = shared.backward if together else kernels.backward

    def share() -> Callable[[int, int], None]:
        scratch, blocks = (empty((2, size, LANES), states.dtype) for size in (rows, block_rows(circuit, lanes)))
        memory = kernels.Memory(states, scratch, blocks)
        return lambda first, stop: run(start.work(first, stop), memory, slopes)

    if together:
        share()(0, items)
    else:
        spread(share, items, rows * len(start.program.gates))
    sums = torch.from_numpy(slopes.by_weight).view(runs, items // runs, circuit.parameters).sum(1)
    return (
        sums if for_weights else None,
        torch.from_numpy(slopes.by_input) if for_inputs else None,
        torch.from_numpy(slopes.by_amplitude) if for_amplitudes else None,
    )


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        circuit: Circuit,
        weights: Tensor,
        inputs: Tensor,
        amplitudes: Tensor,
        measured: tuple[int, ...],
        sampled: bool,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:
        done = _forward(circuit, weights, inputs, amplitudes, measured, sampled, keep)
        ctx.circuit, ctx.measured = circuit, list(measured)
        ctx.start, ctx.states = done.start, done.states
        probabilities = torch.from_numpy(done.marginals)
        ctx.mark_non_differentiable(probabilities)
        return torch.from_numpy(np.ascontiguousarray(done.values[:, :, ctx.measured])), probabilities

    @staticmethod
    def backward(ctx: Any, by_expectation: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives()
        refuse_batched(by_expectation)
        by_value = np.zeros((*by_expectation.shape[:2], ctx.circuit.qubits), ctx.states.dtype)
        by_value[:, :, ctx.measured] = by_expectation.numpy()
        return None, *_backward(ctx, by_value, np.zeros((0, 0, LANES), ctx.states.dtype)), None, None, None


class _State(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, circuit: Circuit, weights: Tensor, inputs: Tensor, amplitudes: Tensor) -> Tensor:
        done = _forward(circuit, weights, inputs, amplitudes, (), False, True)
        ctx.circuit, ctx.start, ctx.states = circuit, done.start, done.states
        assert done.states is not None
        runs, batch = inputs.shape[:2]
        low = 1 << done.start.program.lanes
        tiles = torch.from_numpy(done.states).view(runs, -1, (1 << circuit.qubits) // low, LANES // low, low)
        return tiles.transpose(2, 3).flatten(3).flatten(1, 2)[:, :batch].contiguous()

    @staticmethod
    def backward(ctx: Any, by_state: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives()
        refuse_batched(by_state)
        runs, batch, rows = by_state.shape
        low = 1 << ctx.start.program.lanes
        samples = LANES // low
        full = functional.pad(by_state, (0, 0, 0, -batch % samples)).view(runs, -1, samples, rows // low, low)
        tiles = full.transpose(2, 3).reshape(-1, rows // low, LANES).contiguous().numpy()
        return None, *_backward(ctx, np.zeros((runs, batch, ctx.circuit.qubits), ctx.states.dtype), tiles)


def final_state(
    circuit: Circuit,
    weights: Float[Tensor, "runs weights"],
    inputs: Float[Tensor, "runs batch inputs"],
    amplitudes: Float[Tensor, "runs batch amplitudes"],
) -> Float[Tensor, "runs batch states"]:
    """Return the amplitudes at the end of a circuit; differentiable."""
    state: Tensor = _State.apply(circuit, weights, inputs, amplitudes)  # type: ignore[no-untyped-call]
    return state


def exact(
    circuit: Circuit,
    weights: Float[Tensor, "runs weights"],
    inputs: Float[Tensor, "runs batch inputs"],
    amplitudes: Float[Tensor, "runs batch amplitudes"],
    measured: tuple[int, ...],
    sampled: bool,
) -> tuple[Float[Tensor, "runs batch measured"], Float[Tensor, "runs batch outcomes"]]:
    """Return exact <Z> of the measured qubits and, if `sampled`, their joint probabilities.

    The lowest measured qubit is the least significant bit of an outcome. `amplitudes` with a last axis of length 0
    stand for |0...0>; those that are not given are 0.
    """
    # Without a gradient to come, one scratch state for each core is enough.
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (weights, inputs, amplitudes))
    answer: tuple[Tensor, Tensor] = _Adjoint.apply(  # type: ignore[no-untyped-call]
        circuit, weights, inputs, amplitudes, measured, sampled, keep
    )
    return answer


def shifted(
    circuit: Circuit,
    weights: Float[Tensor, "runs weights"],
    inputs: Float[Tensor, "runs batch inputs"],
    amplitudes: Float[Tensor, "runs batch amplitudes"],
    measured: tuple[int, ...],
    sampled: bool,
) -> tuple[
    Float[Tensor, "runs batch rotations 2 measured"],
    Float[Tensor, "runs batch rotations 2 outcomes"],
]:
    """Return `exact` with each rotation in turn shifted by plus or minus a quarter turn, as `sampling.shifted` does."""
    runs, batch = inputs.shape[:2]
    dtype, rows = weights.detach().numpy().dtype, 1 << circuit.qubits
    made = program(circuit, max(2, circuit.qubits), amplitudes.shape[2])
    start = _start(made, weights, inputs, amplitudes)
    values = np.zeros((runs, batch, made.angles, 2, circuit.qubits), dtype)
    marginals = np.zeros((runs, batch, made.angles, 2, 1 << len(measured) if sampled else 0), dtype)
    outcome = kernels.Outcome(_mask(circuit, measured), values, marginals)

    def share() -> Callable[[int, int], None]:
        scratch, none = empty((4, rows, LANES), dtype), empty((2, 0, LANES), dtype)
        memory = kernels.Memory(none, scratch, none)
        return lambda first, stop: kernels.shifted(start.work(first, stop), start.amplitudes, memory, outcome)

    gates = len(made.gates) * (len(made.gates) + 1) // 2
    spread(share, start.items, gates << circuit.qubits)
    # Rotations that were joined to one angle share its shifts; each is sampled on its own.
    rotations = made.uses[:, 0]
    chosen = np.ascontiguousarray(values[:, :, rotations][..., list(measured)])
    return torch.from_numpy(chosen), torch.from_numpy(marginals[:, :, rotations])
