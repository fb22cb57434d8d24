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

from hilbertune.circuit.table import Circuit
from hilbertune.engine import kernels
from hilbertune.engine.program import Program, program
from hilbertune.engine.rows import LANES
from hilbertune.engine.sampling import refuse_second_derivatives
from hilbertune.errors import HilbertuneError

WHOLE = 12
"""Up to so many qubits the states of a tile stay in a core's own caches, and a circuit is one pass."""


BLOCK = 11
"""Qubits in the window of a pass over a larger state: blocks of both states are 128 KiB."""


LOWEST = 2
"""Qubits that every window holds: 2^2 rows of a tile are two cache lines."""


def compiled(circuit: Circuit, amplitudes: int) -> Program:
    """The circuit as this engine runs it, after a start with so many loaded amplitudes (0: |0...0>)."""
    window = circuit.qubits if circuit.qubits <= WHOLE else BLOCK
    return program(circuit, max(2, window), amplitudes, LOWEST)


def block_rows(circuit: Circuit) -> int:
    """Rows of the block that a pass copies."""
    return 0 if circuit.qubits <= WHOLE else 1 << BLOCK


@functools.lru_cache(maxsize=1)
def pool(process: int) -> ThreadPoolExecutor:
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


def threads() -> int:
    """How many threads the kernels may take: as many as torch's operations would."""
    return _kernel_threads or torch.get_num_threads()


_WORTH_A_THREAD = 1_000_000
"""Rows times gates that take about as long (1 ms) as several hand-overs to a thread."""


def _spread(work: Callable[[int, int], None], items: int, cost: int) -> None:
    """Call work(start, stop) over the items, a share for each of torch's threads; an item costs `cost` rows times gates."""
    workers = max(1, min(threads(), items, items * cost // _WORTH_A_THREAD))
    cuts = [items * k // workers for k in range(workers + 1)]
    others = range(1, workers)
    shares = [pool(os.getpid()).submit(work, *cuts[k : k + 2]) for k in others]
    work(cuts[0], cuts[1])
    for share in shares:
        share.result()


def memory() -> int:
    """Bytes of memory that are free, or the machine's where it does not say."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def require_memory(needed: int, what: str, remedy: str) -> None:
    """
    Raises:
        HilbertuneError: less than `needed` bytes of memory are free.
    """
    if needed > 1 << 30 and needed > memory():
        raise HilbertuneError(
            f"{what} take {needed / 2**30:.1f} GiB, and {memory() / 2**30:.1f} GiB of memory are free: {remedy}."
        )


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
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
        runs, batch = inputs.shape[:2]
        dtype = weights.detach().numpy().dtype
        items, rows = runs * -(-batch // LANES), 1 << circuit.qubits
        program = compiled(circuit, amplitudes.shape[2])
        angles = _half_angles(weights), _half_angles(inputs)
        loaded = amplitudes.detach().contiguous().numpy()
        mask = np.zeros(circuit.qubits, np.bool_)
        mask[list(measured)] = True
        values = np.zeros((runs, batch, circuit.qubits), dtype)
        marginals = np.zeros((runs, batch, 1 << len(measured) if sampled else 0), dtype)
        held = (items if keep else 0) + 2 * min(threads(), items)
        require_memory(
            held * rows * LANES * dtype.itemsize,
            f"{runs * batch} states of {circuit.qubits} qubits",
            "use a smaller batch or fewer qubits",
        )
        states = empty((items, rows, LANES), dtype) if keep else None

        def work(start: int, stop: int) -> None:
            own = empty((1, rows, LANES), dtype) if states is None else states
            scratch = empty((rows, LANES), dtype)
            blocks = empty((2, block_rows(circuit), LANES), dtype)
            kernels.forward(start, stop, program, *angles, loaded, own, scratch, blocks, mask, values, marginals)

        _spread(work, items, rows * len(program.gates))
        ctx.circuit, ctx.measured = circuit, list(measured)
        ctx.program, ctx.angles, ctx.states = program, angles, states
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
        items, rows, _ = states.shape
        by_value = np.zeros((runs, batch, circuit.qubits), states.dtype)
        by_value[:, :, ctx.measured] = by_expectation.numpy()
        by_weight = np.zeros((items, circuit.parameters), states.dtype)
        by_input = np.zeros((runs, batch, circuit.inputs), states.dtype)
        wanted = ctx.amplitudes_shape if for_amplitudes else (runs, batch, 0)
        by_amplitude = np.zeros(wanted, states.dtype)

        def work(start: int, stop: int) -> None:
            scratch = empty((2, rows, LANES), states.dtype)
            blocks = empty((2, block_rows(circuit), LANES), states.dtype)
            kernels.backward(
                start,
                stop,
                ctx.program,
                *ctx.angles,
                states,
                scratch,
                blocks,
                by_value,
                by_weight,
                by_input,
                by_amplitude,
            )

        _spread(work, items, rows * len(ctx.program.gates))
        tiled = (runs, -(-batch // LANES), circuit.parameters)
        sums = torch.from_numpy(by_weight).view(tiled).sum(1)
        return (
            None,
            sums if for_weights else None,
            torch.from_numpy(by_input) if for_inputs else None,
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

    `amplitudes` with a last axis of length 0 stand for |0...0>; those that are not given are 0.
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
    """What `exact` returns, with each rotation in turn shifted by plus and minus a quarter turn; see `sampling.shifted`."""
    runs, batch = inputs.shape[:2]
    dtype = weights.detach().numpy().dtype
    made = program(circuit, max(2, circuit.qubits), amplitudes.shape[2])
    angles = _half_angles(weights), _half_angles(inputs)
    loaded = amplitudes.detach().contiguous().numpy()
    mask = np.zeros(circuit.qubits, np.bool_)
    mask[list(measured)] = True
    values = np.zeros((runs, batch, made.angles, 2, circuit.qubits), dtype)
    outcomes = 1 << len(measured) if sampled else 0
    marginals = np.zeros((runs, batch, made.angles, 2, outcomes), dtype)

    def work(start: int, stop: int) -> None:
        scratch = empty((4, 1 << circuit.qubits, LANES), dtype)
        kernels.shifted(start, stop, made, *angles, loaded, scratch, mask, values, marginals)

    gates = len(made.gates) * (len(made.gates) + 1) // 2
    _spread(work, runs * -(-batch // LANES), gates << circuit.qubits)
    # Rotations that were joined to one angle share its shifts; each is sampled on its own.
    rotations = made.uses[:, 0]
    chosen = np.ascontiguousarray(values[:, :, rotations][..., list(measured)])
    return torch.from_numpy(chosen), torch.from_numpy(marginals[:, :, rotations])
