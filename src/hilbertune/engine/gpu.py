"""The GPU engine: Triton kernels for NVIDIA and AMD alike, gradients by the adjoint method.

In: a circuit and torch tensors on a GPU. Out: expectations with derivatives by weights, inputs and amplitudes.
A pass (program.py) is one launch, its block in registers through all gates. Memory: two states a sample, at any depth.
"""

import functools
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.table import Circuit
from hilbertune.engine.program import CX, RY, program
from hilbertune.engine.sampling import refuse_second_derivatives
from hilbertune.engine.transforms import refuse_batched
from hilbertune.errors import HilbertuneError, require

triton: Any = require("triton", "gpu")


tl: Any = require("triton.language", "gpu")


if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 4):
    # 3.3 takes minutes to compile tl.gather, 3.2 has none.
    raise HilbertuneError(
        f"The GPU engine needs triton 3.4 or newer, not {triton.__version__}: run pip install 'hilbertune[gpu]'."
    )


_compiled: Any = triton.jit(
    # One compilation for all numbers.
    do_not_specialize=(
        "first",
        "stop",
        "gates",
        "blocks",
        "length",
        "stride",
        "loaded",
        "measures",
    ),
    # A vector load of this table would give a thread neighbouring amplitudes, whose exchange meets bank conflicts.
    do_not_specialize_on_alignment=("inside",),
)


@triton.jit
def _gate(bits, cosines, sines, gate, row):  # type: ignore[no-untyped-def]
    """Return a gate's target bit, the rows where its control is set, and RY's factors: of a row and its partner."""
    target = tl.load(bits + 2 * gate)
    crossed = (row & tl.load(bits + 2 * gate + 1)) != 0
    cosine, sine = tl.load(cosines + gate), tl.load(sines + gate)
    return target, crossed, cosine, tl.where((row & target) != 0, sine, -sine)


@_compiled  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    bits, cosines, sines, inside, outside, measured, states, amplitudes, values,
    first, stop, gates, blocks, length, stride, loaded, measures,
    SIZE: tl.constexpr, STARTS: tl.constexpr, ENDS: tl.constexpr, STORES: tl.constexpr,
):  # fmt: skip
    """Run one pass over a block of a sample; the last pass measures."""
    own = tl.program_id(0).to(tl.int64)
    item = own // blocks
    row = tl.arange(0, SIZE)
    address = tl.load(inside + row) + tl.load(outside + own % blocks)
    if STARTS:
        state = tl.load(amplitudes + item * stride + address, mask=address < loaded, other=0.0)
    else:
        state = tl.load(states + item * length + address)
    for gate in range(first, stop):
        target, crossed, cosine, turn = _gate(bits, cosines + item * gates, sines + item * gates, gate, row)
        partner = tl.gather(state, row ^ target, 0)
        # A CNOT before RY swaps the roles of row and partner; a CNOT alone is one before RY(0).
        state = tl.where(crossed, turn, cosine) * state + tl.where(crossed, cosine, turn) * partner
    if STORES:
        tl.store(states + item * length + address, state)
    if ENDS:
        probability = state * state
        for place in range(measures):
            bit = (address >> tl.load(measured + place)) & 1
            value = tl.sum(tl.where(bit != 0, -probability, probability))
            tl.store(values + own * measures + place, value)


@_compiled  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    bits, cosines, sines, inside, outside, measured, states, lambdas, by_value, by_gate, by_amplitude,
    first, stop, gates, blocks, length, loaded, measures,
    SIZE: tl.constexpr, STARTS: tl.constexpr, ENDS: tl.constexpr,
):  # fmt: skip
    """Undo a pass in psi and lambda, and store the derivative by each gate's angle (docs/explanation/engine.md)."""
    own = tl.program_id(0).to(tl.int64)
    item = own // blocks
    row = tl.arange(0, SIZE)
    address = tl.load(inside + row) + tl.load(outside + own % blocks)
    psi = tl.load(states + item * length + address)
    if ENDS:
        # lambda = O psi, where O is the sum of by_value times Z.
        slopes = tl.zeros([SIZE], psi.dtype)
        for place in range(measures):
            slope = tl.load(by_value + item * measures + place)
            bit = (address >> tl.load(measured + place)) & 1
            slopes += tl.where(bit != 0, -slope, slope)
        lam = slopes * psi
    else:
        lam = tl.load(lambdas + item * length + address)
    for done in range(first, stop):
        gate = first + stop - 1 - done
        target, crossed, cosine, turn = _gate(bits, cosines + item * gates, sines + item * gates, gate, row)
        of_row, of_partner = tl.where(crossed, turn, cosine), tl.where(crossed, cosine, -turn)
        partner = tl.gather(psi, row ^ target, 0)
        # The sum over pairs of lam_j psi_i - lam_i psi_j, where the target's bit is set in j and not in i.
        part = lam * partner
        derivative = tl.sum(tl.where((row & target) != 0, part, -part))
        tl.store(by_gate + own * (stop - first) + gate - first, derivative)
        psi = of_row * psi + of_partner * partner
        lam = of_row * lam + of_partner * tl.gather(lam, row ^ target, 0)
    # Read again rather than kept: the registers that addresses take reduce the number of blocks at work.
    address = tl.load(inside + row) + tl.load(outside + own % blocks)
    if STARTS:
        tl.store(by_amplitude + item * loaded + address, 2 * lam, mask=address < loaded)
    else:
        tl.store(states + item * length + address, psi)
        tl.store(lambdas + item * length + address, lam)


_INTERPRETED = not isinstance(_forward, triton.JITFunction)


class _Pass(NamedTuple):
    """Gates first..stop-1; the address in the state of each amplitude of a block, and that of each block."""

    first: int
    stop: int
    inside: Tensor
    outside: Tensor


class _Tables(NamedTuple):
    """A `Program` on a device.

    bits: for each gate its target's and its control's bit (0 without one) in the rows of a block.
    slots: for each gate the slots (weights, then inputs) whose sum is its angle; the slot after the last stands for 0.
    gates: for each slot the gates that use it; the gate after the last stands for none.
    ground: the amplitude of |0...0>.
    """

    passes: list[_Pass]
    bits: Tensor
    slots: Tensor
    gates: Tensor
    ground: Tensor


_TOGETHER = 3
"""A block is made of pieces of 2^3 amplitudes: in float32 the 32 bytes that memory moves at once."""


def _window(qubits: int, dtype: torch.dtype) -> int:
    """Return the most qubits of a block: all while two states fit a multiprocessor's registers, else fewer.

    With fewer qubits several blocks fit.
    """
    whole = 13 if dtype == torch.float32 else 12
    return whole if qubits <= whole else whole - 2


def _warps(size: int, itemsize: int) -> int:
    """Return the warps of a block.

    On an H200 four were best for blocks of up to 2^11 amplitudes, where many amplitudes a thread spare exchanges by
    way of shared memory; a larger block needs the registers of more threads.
    """
    return max(1, min(4, size // 128), size * itemsize // 4096)


# Never dropped: a captured graph goes on reading them.
@functools.cache
def _tables(circuit: Circuit, window: int, loaded: int, dtype: torch.dtype, device: torch.device) -> _Tables:
    made = program(circuit, window, loaded, _TOGETHER)
    # A circuit without gates is one pass without gates, over the qubits that are loaded.
    idle = [[0, 0, 1, max(2, 1 << max(0, loaded - 1).bit_length()) - 2]]
    bits, passes = [], []
    for first, stop, inside, outside in made.passes.tolist() or idle:
        placed, others = _qubits(inside), _qubits(outside)
        # A block as large as can be, in place of many small ones: no gate minds another qubit in its window.
        wide = sorted(placed + others[: window - len(placed)])
        for what, *places, _, _ in made.gates[first:stop].tolist():
            target, control = (1 << wide.index(placed[place]) for place in places)
            bits.append([target, 0 if what == RY else control])
        blocks = [qubit for qubit in others if qubit not in wide]
        passes.append(_Pass(first, stop, _addresses(wide, device), _addresses(blocks, device)))
    turned = {row[3]: gate for gate, row in enumerate(made.gates.tolist()) if row[0] != CX}
    uses = [(turned[angle], slot) for angle, slot in made.uses.tolist()]
    slots = circuit.parameters + circuit.inputs
    return _Tables(
        passes,
        torch.tensor(bits, dtype=torch.int32, device=device),
        _padded(uses, len(bits), slots, device),
        _padded([(slot, gate) for gate, slot in uses], slots, len(bits), device),
        torch.ones(1, dtype=dtype, device=device),
    )


def _qubits(mask: int) -> list[int]:
    return [qubit for qubit in range(mask.bit_length()) if mask >> qubit & 1]


def _addresses(qubits: list[int], device: torch.device) -> Tensor:
    """Return the indices in a state that have ones in these qubits only, in order."""
    addresses = torch.zeros(1, dtype=torch.int32)
    for qubit in qubits:
        addresses = torch.cat([addresses, addresses + (1 << qubit)])
    return addresses.to(device)


def _padded(pairs: list[tuple[int, int]], count: int, filler: int, device: torch.device) -> Tensor:
    """Return the partners of each number as rows of equal length.

    Unlike atomics, a sum over such a row gives the same bits every time.
    """
    partners: list[list[int]] = [[] for _ in range(count)]
    for number, partner in pairs:
        partners[number].append(partner)
    width = max([1, *map(len, partners)])
    rows = [row + [filler] * (width - len(row)) for row in partners]
    return torch.tensor(rows, dtype=torch.int64, device=device).view(count, width)


@functools.cache
def _numbers(values: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.int32, device=device)


class _Call(NamedTuple):
    """The arguments of both directions; `items` are the samples of all runs, from |0...0> without amplitudes."""

    tables: _Tables
    length: int
    measured: Tensor
    cosines: Float[Tensor, "items gates"]
    sines: Float[Tensor, "items gates"]
    amplitudes: Float[Tensor, "items amplitudes"]

    @property
    def several(self) -> bool:
        return len(self.tables.passes) > 1

    def launch(self, kernel: Any, step: _Pass, *tensors: Tensor, **more: int) -> None:
        """Run one pass, forwards or backwards, of all samples."""
        items, gates = self.cosines.shape
        passes, size, blocks = self.tables.passes, len(step.inside), len(step.outside)
        # The current device counts, not that of the tensors.
        with torch.cuda.device_of(self.cosines):  # type: ignore[no-untyped-call]
            kernel[(items * blocks,)](
                self.tables.bits,
                self.cosines,
                self.sines,
                step.inside,
                step.outside,
                self.measured,
                *tensors,
                first=step.first,
                stop=step.stop,
                gates=gates,
                blocks=blocks,
                length=self.length,
                measures=len(self.measured),
                SIZE=size,
                STARTS=step is passes[0],
                ENDS=step is passes[-1],
                **more,
                num_warps=_warps(size, self.cosines.element_size()),
                enable_fp_fusion=True,
            )


def _run(call: _Call, store: bool) -> tuple[Tensor, Tensor]:
    """Run all passes: the final states, if they are stored, and <Z> of the measured qubits [items, measured]."""
    passes, items, (_, loaded) = call.tables.passes, len(call.cosines), call.amplitudes.shape
    store = store or call.several
    states = call.cosines.new_zeros(items if store else 0, call.length)
    values = call.cosines.new_empty(items, len(passes[-1].outside), len(call.measured))
    start = call.amplitudes if loaded else call.tables.ground
    for step in passes:
        call.launch(
            _forward,
            step,
            states,
            start,
            values,
            stride=loaded,
            loaded=max(1, loaded),
            STORES=store,
        )
    return states, values.sum(1)


def _run_back(call: _Call, states: Tensor, by_value: Tensor, loaded: int) -> tuple[Tensor, Tensor]:
    """Run all passes backwards: derivatives by the gates' angles [items, gates + 1], 0 in the end, and by amplitudes.

    The derivatives by amplitudes are those of the first `loaded`.
    Several passes leave in `states` what the circuit started from.
    """
    items = len(states)
    lambdas = torch.empty_like(states) if call.several else states
    by_amplitude = states.new_empty(items, loaded)
    derivatives = [states.new_zeros(items, 1)]
    for step in reversed(call.tables.passes):
        by_gate = states.new_empty(items, len(step.outside), step.stop - step.first)
        call.launch(_backward, step, states, lambdas, by_value, by_gate, by_amplitude, loaded=loaded)
        derivatives.append(by_gate.sum(1))
    return torch.cat(derivatives[::-1], dim=1), by_amplitude


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
        loaded = amplitudes.shape[2]
        window = _window(circuit.qubits, weights.dtype)
        tables = _tables(circuit, window, loaded, weights.dtype, weights.device)
        slots = torch.cat(
            [
                weights[:, None].expand(-1, batch, -1),
                inputs,
                weights.new_zeros(runs, batch, 1),
            ],
            dim=2,
        )
        half = slots.flatten(0, 1)[:, tables.slots].sum(2) / 2
        call = _Call(
            tables,
            1 << circuit.qubits,
            _numbers(measured, weights.device),
            half.cos(),
            half.sin(),
            amplitudes.reshape(runs * batch, loaded).contiguous(),
        )
        states, values = _run(call, keep or sampled)
        probabilities = values.new_zeros(runs, batch, 0)
        if sampled:
            probabilities = _marginals(states, circuit.qubits, measured)
            probabilities = probabilities.view(runs, batch, 1 << len(measured))
        ctx.call, ctx.parameters, ctx.states = call, circuit.parameters, states if keep else None
        ctx.mark_non_differentiable(probabilities)
        return values.view(runs, batch, len(measured)), probabilities

    @staticmethod
    def backward(ctx: Any, by_expectation: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives()
        refuse_batched(by_expectation)
        call: _Call = ctx.call
        _, for_weights, for_inputs, for_amplitudes, *_ = ctx.needs_input_grad
        runs, batch = by_expectation.shape[:2]
        loaded = call.amplitudes.shape[1] if for_amplitudes else 0
        states = ctx.states
        if states is None:
            states, _ = _run(call, True)
        elif call.several:
            # Used up; a second backward pass through a retained graph computes it anew.
            ctx.states = None
        by_value = by_expectation.flatten(0, 1).contiguous()
        by_gate, by_amplitude = _run_back(call, states, by_value, loaded)
        by_slot = by_gate[:, call.tables.gates].sum(2).view(runs, batch, len(call.tables.gates))
        return (
            None,
            by_slot[:, :, : ctx.parameters].sum(1) if for_weights else None,
            by_slot[:, :, ctx.parameters :] if for_inputs else None,
            by_amplitude.view(runs, batch, loaded) if for_amplitudes else None,
            None,
            None,
            None,
        )


def _marginals(states: Tensor, qubits: int, measured: tuple[int, ...]) -> Tensor:
    """Return joint probabilities [items, 2^measured]: the other qubits are summed out from the top one down."""
    probabilities = states**2
    for qubit in reversed(range(qubits)):
        if qubit not in measured:
            left = probabilities.shape[1] >> (qubit + 1)
            probabilities = probabilities.view(len(states), left, 2, 1 << qubit).sum(2).flatten(1)
    return probabilities


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
    stand for |0...0>; a last axis shorter than the state is filled up with zeros. Nothing waits for the host, so that
    calls can be captured in a graph: make the same call once before, to compile and to copy the circuit's tables.

    Raises:
        HilbertuneError: the tensors are on the CPU.
    """
    if weights.device.type != "cuda" and not _INTERPRETED:
        raise HilbertuneError(
            f"engine='gpu' needs tensors on a GPU, these are on {weights.device}: "
            "move them with .to('cuda') or name engine='cpu'."
        )
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (weights, inputs, amplitudes))
    answer: tuple[Tensor, Tensor] = _Adjoint.apply(  # type: ignore[no-untyped-call]
        circuit, weights, inputs, amplitudes, measured, sampled, keep
    )
    return answer
