"""The CPU engine: Numba kernels over tiles, all cores, gradients by the adjoint method.

In: a circuit and torch tensors on the CPU. Out: expectations that autograd can differentiate by weights, inputs and amplitudes.
Memory: two states a sample (one kept from the forward pass, and scratch for each core), however deep the circuit.
"""

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit import Circuit
from hilbertune.engine import kernels
from hilbertune.engine.rows import LANES
from hilbertune.engine.sampling import refuse_second_derivatives


@functools.lru_cache(maxsize=256)
def _program(circuit: Circuit) -> np.ndarray:
    """The circuit as rows (what, target, control, slot); a CNOT and the RY on its target become one row."""
    rows: list[list[int]] = []
    unused = circuit.parameters + circuit.inputs
    for operation in circuit.operations:
        if operation.kind == "cx":
            rows.append([kernels.CX, operation.target, operation.control or 0, unused])
            continue
        weight, number = operation.weight, operation.input
        slot = weight if weight is not None else circuit.parameters + (number or 0)
        if rows and rows[-1][:2] == [kernels.CX, operation.target]:
            rows[-1] = [kernels.CX_RY, operation.target, rows[-1][2], slot]
        else:
            rows.append([kernels.RY, operation.target, 0, slot])
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


@functools.lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process (a forked child gets its own)."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="hilbertune")


_kernel_threads: int | None = None


@contextlib.contextmanager
def cores_for_kernels() -> Iterator[None]:
    """Keep torch's own operations on one thread, and give the kernels the threads that torch had.

    Torch's threads spin while they wait for work, on the very cores that the kernels need: on a busy machine a training
    step took twenty times as long with them. The torch operations around the kernels are small.
    """
    global _kernel_threads
    if _kernel_threads is not None:
        yield
        return
    before = torch.get_num_threads()
    _kernel_threads = before
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _kernel_threads = None


_WORTH_A_THREAD = 1_000_000
"""Rows times gates that take about as long (1 ms) as several hand-overs to a thread."""


def _spread(work: Callable[[int, int], None], items: int, cost: int) -> None:
    """Call work(start, stop) over the items, a share for each of torch's threads; an item costs `cost` rows times gates."""
    threads = _kernel_threads or torch.get_num_threads()
    workers = max(1, min(threads, items, items * cost // _WORTH_A_THREAD))
    cuts = [items * k // workers for k in range(workers + 1)]
    pool = _pool(os.getpid()) if workers > 1 else None
    shares = [pool.submit(work, *cuts[k : k + 2]) for k in range(1, workers)] if pool else []
    work(cuts[0], cuts[1])
    for share in shares:
        share.result()


def _empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Memory that starts on a cache line, so that no row of a tile straddles two."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    block = np.empty(size + 64, np.uint8)
    start = -block.ctypes.data % 64
    aligned: np.ndarray = block[start : start + size].view(dtype).reshape(shape)
    return aligned


def _half_angles(angles: Tensor) -> tuple[np.ndarray, np.ndarray]:
    half = angles.detach() / 2
    return half.cos().contiguous().numpy(), half.sin().contiguous().numpy()


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
        program = _program(circuit)
        runs, batch = inputs.shape[:2]
        dtype = weights.detach().numpy().dtype
        items = runs * -(-batch // LANES)
        size = (1 << circuit.qubits, LANES)
        cosines, sines = zip(_half_angles(weights), _half_angles(inputs), strict=True)
        loaded = amplitudes.detach().contiguous().numpy()
        mask = np.zeros(circuit.qubits, np.bool_)
        mask[list(measured)] = True
        values = np.zeros((runs, batch, circuit.qubits), dtype)
        marginals = np.zeros((runs, batch, 1 << len(measured) if sampled else 0), dtype)
        states = _empty((items, *size), dtype) if keep else None

        def work(start: int, stop: int) -> None:
            own = _empty((1, *size), dtype) if states is None else states
            kernels.forward(
                start, stop, program, cosines, sines, loaded, own, mask, values, marginals
            )

        _spread(work, items, size[0] * len(program))
        ctx.circuit, ctx.measured = circuit, list(measured)
        ctx.program, ctx.cosines, ctx.sines, ctx.states = program, cosines, sines, states
        ctx.amplitudes_shape = loaded.shape
        probabilities = torch.from_numpy(marginals)
        ctx.mark_non_differentiable(probabilities)
        return torch.from_numpy(np.ascontiguousarray(values[:, :, ctx.measured])), probabilities

    @staticmethod
    def backward(ctx: Any, by_expectation: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives()
        circuit, states = ctx.circuit, ctx.states
        _, for_weights, for_inputs, for_amplitudes, *_ = ctx.needs_input_grad
        runs, batch = by_expectation.shape[:2]
        by_value = np.zeros((runs, batch, circuit.qubits), states.dtype)
        by_value[:, :, ctx.measured] = by_expectation.numpy()
        slots = circuit.parameters + circuit.inputs
        by_slot = np.zeros((len(states), slots, LANES), states.dtype)
        wanted = ctx.amplitudes_shape if for_amplitudes else (runs, batch, 0)
        by_amplitude = np.zeros(wanted, states.dtype)

        def work(start: int, stop: int) -> None:
            kernels.backward(
                start,
                stop,
                ctx.program,
                ctx.cosines,
                ctx.sines,
                states,
                by_value,
                by_slot,
                by_amplitude,
            )

        _spread(work, len(states), states.shape[1] * len(ctx.program))
        tiled = torch.from_numpy(by_slot).view(runs, -(-batch // LANES), slots, LANES)
        by_weight = tiled[:, :, : circuit.parameters].sum((1, 3)) if for_weights else None
        by_input = None
        if for_inputs:
            by_input = tiled[:, :, circuit.parameters :].transpose(2, 3).flatten(1, 2)[:, :batch]
        return (
            None,
            by_weight,
            by_input,
            torch.from_numpy(by_amplitude) if for_amplitudes else None,
            None,
            None,
            None,
        )


def exact(
    circuit: Circuit,
    weights: Float[Tensor, "runs weights"],
    inputs: Float[Tensor, "runs batch inputs"],
    amplitudes: Float[Tensor, "runs batch amplitudes"],
    measured: tuple[int, ...],
    sampled: bool,
) -> tuple[Float[Tensor, "runs batch measured"], Float[Tensor, "runs batch outcomes"]]:
    """Exact <Z> of the measured qubits and, if `sampled`, their joint probabilities (lowest qubit least significant).

    `amplitudes` with a last axis of length 0 stand for |0...0>.
    """
    # Without a gradient to come, one scratch state for each core is enough.
    keep = torch.is_grad_enabled() and any(
        tensor.requires_grad for tensor in (weights, inputs, amplitudes)
    )
    answer: tuple[Tensor, Tensor] = _Adjoint.apply(  # type: ignore[no-untyped-call]
        circuit, weights, inputs, amplitudes, measured, sampled, keep
    )
    return answer
