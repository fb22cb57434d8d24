"""The CPU engine's kernels: circuits over tiles of some samples, forwards, backwards, with shifted angles (Numba).

In: a share of the work, the amplitudes of the start, memory. Out: expectations, probabilities, derivatives, in place.
An item of work is one tile of one run.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from hilbertune.engine.compiling import compiled
from hilbertune.engine.gates import (
    Compiled,
    Tile,
    apply_gate,
    fill_angles,
    fill_state,
    measure,
    observe,
    run_gates,
    share_slopes,
    square,
    transpose,
    undo_gates,
)
from hilbertune.engine.program import CX
from hilbertune.engine.rows import LANES, add, load, multiply, splat, store, subtract


class Work(NamedTuple):
    """A thread's share: the items start..stop-1 of a circuit; cosines and sines of half of weights and inputs."""

    start: int
    stop: int
    program: Compiled
    weights: tuple[Any, Any]
    inputs: tuple[Any, Any]


class Memory(NamedTuple):
    """The memory in which a thread computes.

    states: the final state of every item, or a single one that each item overwrites.
    scratch: as many more states as a kernel needs.
    blocks: copies of the pieces that a pass over some of the qubits works on.
    """

    states: Float[np.ndarray, "items rows lanes"]
    scratch: Float[np.ndarray, "count rows lanes"]
    blocks: Float[np.ndarray, "2 block lanes"]


class Outcome(NamedTuple):
    """<Z> of the measured qubits and, if `marginals` has any columns, their joint probabilities."""

    measured: Bool[np.ndarray, " qubits"]
    values: Float[np.ndarray, "runs batch *shifts qubits"]
    marginals: Float[np.ndarray, "runs batch *shifts outcomes"]


class Slopes(NamedTuple):
    """Derivatives of the loss: wanted by weights (zero before), inputs and amplitudes.

    Given are those by <Z> of each qubit or, if `by_state` has any items, by the amplitudes of the final states.
    """

    by_value: Float[np.ndarray, "runs batch qubits"]
    by_state: Float[np.ndarray, "items rows lanes"]
    by_weight: Float[np.ndarray, "items weights"]
    by_input: Float[np.ndarray, "runs batch inputs"]
    by_amplitude: Float[np.ndarray, "runs batch amplitudes"]


class Turns(NamedTuple):
    """Memory for a tile: cosines and sines of half its angles, its inputs, a number for each qubit, slopes."""

    cosine: Tile
    sine: Tile
    x: Float[np.ndarray, "3 inputs lanes"]
    z: Tile
    by_angle: Tile


@compiled
def _turns(program: Compiled, inputs: int, qubits: int, dtype: Any) -> Turns:
    angles = program.angles + 1
    return Turns(
        np.empty((angles, LANES), dtype),
        np.empty((angles, LANES), dtype),
        np.empty((3, inputs, LANES), dtype),
        np.empty((qubits, LANES), dtype),
        np.empty((angles, LANES), dtype),
    )


@compiled
def _place(program: Compiled, item: int, batch: int) -> tuple[int, int, int]:
    """Return the run of an item, its first sample and the one after its last."""
    samples = LANES >> program.lanes
    tiles = (batch + samples - 1) // samples
    first = item % tiles * samples
    return item // tiles, first, min(first + samples, batch)


@compiled
def _fill_tile(work: Work, run: int, first: int, turns: Turns) -> None:
    """Write cosine and sine of every half angle of the tile that starts at sample `first`."""
    lanes = work.program.lanes
    last = first + (LANES >> lanes)
    transpose(turns.x[0], work.inputs[0][run, first:last], lanes)
    transpose(turns.x[1], work.inputs[1][run, first:last], lanes)
    weights = work.weights[0][run], work.weights[1][run]
    fill_angles(turns.cosine, turns.sine, work.program, weights, (turns.x[0], turns.x[1]))


@compiled
def begin(
    work: Work, item: int, amplitudes: Float[np.ndarray, "runs batch amplitudes"], state: Tile, turns: Turns
) -> None:
    """Write an item's angles and the state at its start."""
    run, first, last = _place(work.program, item, work.inputs[0].shape[1])
    _fill_tile(work, run, first, turns)
    fill_state(state, amplitudes[run], np.arange(first, last), 0.0, work.program.lanes)


@compiled
def finish(work: Work, item: int, state: Tile, scratch: Tile, turns: Turns, outcome: Outcome) -> None:
    """Measure an item's final state; overwrite `scratch`."""
    run, first, last = _place(work.program, item, outcome.values.shape[1])
    measured, lanes = outcome.measured, work.program.lanes
    square(scratch, state)
    measure(scratch, measured, turns.z, outcome.marginals[run, first:last], lanes)
    for sample in range(last - first):
        for qubit in range(len(measured)):
            if measured[qubit]:
                outcome.values[run, first + sample, qubit] = turns.z[qubit, sample << lanes]


@compiled
def forward(
    work: Work, amplitudes: Float[np.ndarray, "runs batch amplitudes"], memory: Memory, outcome: Outcome
) -> None:
    """Run the items and measure; where `memory` has room for it, every final state is kept."""
    turns = _turns(work.program, work.inputs[0].shape[2], len(outcome.measured), memory.states.dtype)
    for item in range(work.start, work.stop):
        state = memory.states[item if len(memory.states) > 1 else 0]
        begin(work, item, amplitudes, state, turns)
        run_gates(state, memory.blocks, work.program, turns.cosine, turns.sine)
        finish(work, item, state, memory.scratch[0], turns, outcome)


@compiled
def begin_back(work: Work, item: int, memory: Memory, turns: Turns, slopes: Slopes) -> None:
    """Write an item's angles, and psi and lambda at its end to the first two states of scratch."""
    run, first, last = _place(work.program, item, slopes.by_value.shape[1])
    psi, lam = memory.scratch[0], memory.scratch[1]
    _fill_tile(work, run, first, turns)
    transpose(turns.z, slopes.by_value[run, first:last], work.program.lanes)
    psi[:] = memory.states[item]
    if len(slopes.by_state):
        # What `observe` leaves is half the derivative by the state.
        lam[:] = slopes.by_state[item]
        lam *= lam.dtype.type(0.5)
    else:
        observe(lam, psi, turns.z, work.program.lanes)
    turns.by_angle[:] = 0


@compiled
def finish_back(work: Work, item: int, lam: Tile, turns: Turns, slopes: Slopes) -> None:
    """Share an item's slopes by its angles out to weights and inputs, and read those by its amplitudes off lambda."""
    run, first, last = _place(work.program, item, slopes.by_value.shape[1])
    lanes, by_input = work.program.lanes, turns.x[2]
    by_input[:] = 0
    share_slopes(turns.by_angle, work.program, slopes.by_weight[item], by_input)
    for sample in range(last - first):
        own = sample << lanes
        for slot in range(slopes.by_input.shape[2]):
            slopes.by_input[run, first + sample, slot] = by_input[slot, own : own + (1 << lanes)].sum()
        for place in range(slopes.by_amplitude.shape[2]):
            lane = own | place & ((1 << lanes) - 1)
            slopes.by_amplitude[run, first + sample, place] = 2 * lam[place >> lanes, lane]


@compiled
def backward(work: Work, memory: Memory, slopes: Slopes) -> None:
    """Take the items' derivatives by the adjoint method, from the states that `forward` kept."""
    turns = _turns(work.program, slopes.by_input.shape[2], slopes.by_value.shape[2], memory.states.dtype)
    psi, lam = memory.scratch[0], memory.scratch[1]
    for item in range(work.start, work.stop):
        begin_back(work, item, memory, turns, slopes)
        undo_gates(psi, lam, memory.blocks, work.program, turns.cosine, turns.sine, turns.by_angle)
        finish_back(work, item, lam, turns, slopes)


@compiled
def _half_turn(phi: Tile, psi: Tile, size: int, target: int) -> None:
    """Write J psi to phi: J = [[0, -1], [1, 0]] on the target is half a turn, RY(pi); RY(pi/2) = (1 + J) / sqrt(2)."""
    phi[size:] = 0
    t = 1 << target
    for high in range(0, size, 2 * t):
        for row in range(high, high + t):
            a, b = load(psi, row), load(psi, row + t)
            store(phi, row, subtract(subtract(b, b), b))
            store(phi, row + t, a)


@compiled
def _run_whole(state: Tile, program: Compiled, first: int, stop: int, cosine: Tile, sine: Tile) -> None:
    """Run the gates first..stop-1 of a program of one pass."""
    for gate in range(first, stop):
        what, target, control, angle, size = program.gates[gate]
        apply_gate(state, size, what, target, control, program.lanes, load(cosine, angle), load(sine, angle))


@compiled
def _square_sum(probabilities: Tile, psi: Tile, phi: Tile, sign: int) -> None:
    """Write the squares of (psi + J psi) / sqrt(2), or with sign 1 of (psi - J psi) / sqrt(2); `phi` is J psi."""
    root = splat(probabilities.dtype.type(math.sqrt(0.5)))
    for row in range(len(psi)):
        a, b = multiply(root, load(psi, row)), multiply(root, load(phi, row))
        amplitude = add(a, b) if sign == 0 else subtract(a, b)
        store(probabilities, row, multiply(amplitude, amplitude))


@compiled
def shifted(
    work: Work, amplitudes: Float[np.ndarray, "runs batch amplitudes"], memory: Memory, outcome: Outcome
) -> None:
    """Measure with each angle in turn shifted by plus and minus pi/2, for a program of one pass.

    A shifted state is (psi + J psi) / sqrt(2) or (psi - J psi) / sqrt(2) after the gate. Gates are linear: both come
    from psi at the end, which all shifts share, and from J psi taken to the end, which is all that is run for an angle.
    """
    program, scratch, gates = work.program, memory.scratch, len(work.program.gates)
    turns = _turns(program, work.inputs[0].shape[2], len(outcome.measured), scratch.dtype)
    cosine, sine, z = turns.cosine, turns.sine, turns.z
    z[:] = 0
    last, psi, phi, probabilities = scratch[0], scratch[1], scratch[2], scratch[3]
    for item in range(work.start, work.stop):
        run, first, stop = _place(program, item, outcome.values.shape[1])
        begin(work, item, amplitudes, last, turns)
        psi[:] = last
        run_gates(last, memory.blocks, program, cosine, sine)
        for gate in range(gates):
            _run_whole(psi, program, gate, gate + 1, cosine, sine)
            what, target, _, angle, size = program.gates[gate]
            if what == CX:
                continue
            _half_turn(phi, psi, size, target)
            _run_whole(phi, program, gate + 1, gates, cosine, sine)
            for sign in range(2):
                _square_sum(probabilities, last, phi, sign)
                marginal = outcome.marginals[run, first:stop, angle, sign]
                measure(probabilities, outcome.measured, z, marginal, program.lanes)
                for lane in range(stop - first):
                    outcome.values[run, first + lane, angle, sign] = z[:, lane]
