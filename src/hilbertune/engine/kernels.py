"""Numba kernels that run a program of gates, forwards and backwards, over tiles of eight samples.

In: a program [gates, 4] (what, target, control, slot), cosines and sines of half the angles, amplitudes. Out: expectations, gradients.
A tile's state is [2^qubits, LANES]: the batch is the innermost axis, so that every gate is the same vector arithmetic whichever qubit it
acts on. A slot is a weight (the same in every lane) or an input (one a lane). An item of work is one tile of one run.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from hilbertune.engine.rows import LANES, add, load, multiply, splat, store, subtract

RY, CX, CX_RY = 0, 1, 2
"""What a row of a program does; CX_RY is the block U of the ansatz, a CNOT and then RY on its target, in one pass."""

State = Float[np.ndarray, "rows lanes"]
Row = Any
_compiled = njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


@_compiled
def _rotate(state: State, i: int, j: int, to_i: int, to_j: int, c: Row, s: Row) -> None:
    """RY on the pair of rows (i, j), written to (to_i, to_j)."""
    a, b = load(state, i), load(state, j)
    store(state, to_i, subtract(multiply(c, a), multiply(s, b)))
    store(state, to_j, add(multiply(s, a), multiply(c, b)))


@_compiled
def _swap(state: State, i: int, j: int) -> None:
    a, b = load(state, i), load(state, j)
    store(state, i, b)
    store(state, j, a)


@_compiled
def _apply(state: State, what: int, target: int, control: int, c: Row, s: Row) -> None:
    """One gate on a tile."""
    rows, t = len(state), 1 << target
    if what == RY:
        for high in range(0, rows, 2 * t):
            for row in range(high, high + t):
                _rotate(state, row, row + t, row, row + t, c, s)
        return
    k = 1 << control
    low, top = min(t, k), max(t, k)
    for high in range(0, rows, 2 * top):
        for middle in range(high, high + top, 2 * low):
            if what == CX:
                for row in range(middle + k, middle + k + low):
                    _swap(state, row, row + t)
            else:
                for row in range(middle, middle + low):
                    _rotate(state, row, row + t, row, row + t, c, s)
                    _rotate(state, row + k + t, row + k, row + k, row + k + t, c, s)


@_compiled
def _undo_pair(
    psi: State, lam: State, i: int, j: int, to_i: int, to_j: int, c: Row, s: Row, sum_: Row
) -> Row:
    """Undo RY on the pair of rows (i, j) of both states, writing to (to_i, to_j); add its part of the derivative.

    E = psi^T O psi, lam = O psi, both after the gate, and dRY/dtheta = J RY / 2 with J = [[0, -1], [1, 0]]:
    the derivative 2 lam^T (J / 2) psi is the sum over pairs of lam_j psi_i - lam_i psi_j.
    """
    a, b = load(psi, i), load(psi, j)
    x, y = load(lam, i), load(lam, j)
    store(psi, to_i, add(multiply(c, a), multiply(s, b)))
    store(psi, to_j, subtract(multiply(c, b), multiply(s, a)))
    store(lam, to_i, add(multiply(c, x), multiply(s, y)))
    store(lam, to_j, subtract(multiply(c, y), multiply(s, x)))
    return add(sum_, subtract(multiply(y, a), multiply(x, b)))


@_compiled
def _undo(psi: State, lam: State, what: int, target: int, control: int, c: Row, s: Row) -> Row:
    """Undo one gate on a tile in both states; the derivative of the expectation by its angle, lane by lane."""
    rows, t = len(psi), 1 << target
    derivative = subtract(c, c)
    if what == RY:
        for high in range(0, rows, 2 * t):
            part = subtract(c, c)
            for row in range(high, high + t):
                part = _undo_pair(psi, lam, row, row + t, row, row + t, c, s, part)
            derivative = add(derivative, part)
        return derivative
    k = 1 << control
    low, top = min(t, k), max(t, k)
    for high in range(0, rows, 2 * top):
        part = subtract(c, c)
        for middle in range(high, high + top, 2 * low):
            if what == CX:
                for row in range(middle + k, middle + k + low):
                    _swap(psi, row, row + t)
                    _swap(lam, row, row + t)
            else:
                for row in range(middle, middle + low):
                    i, j = row + k, row + k + t
                    part = _undo_pair(psi, lam, row, row + t, row, row + t, c, s, part)
                    part = _undo_pair(psi, lam, i, j, j, i, c, s, part)
        derivative = add(derivative, part)
    return derivative


@_compiled
def _fill_angles(
    table: Float[np.ndarray, "slots lanes"],
    weights: Float[np.ndarray, "runs weights"],
    inputs: Float[np.ndarray, "runs batch inputs"],
    run: int,
    first: int,
    lanes: int,
) -> None:
    """The cosines (or sines) of a tile: a row for every weight, then one for every input."""
    count = weights.shape[1]
    for slot in range(count):
        store(table, slot, splat(weights[run, slot]))
    for slot in range(inputs.shape[2]):
        for lane in range(lanes):
            table[count + slot, lane] = inputs[run, first + lane, slot]


@_compiled
def _fill_state(
    state: State,
    amplitudes: Float[np.ndarray, "runs batch amplitudes"],
    run: int,
    first: int,
    lanes: int,
) -> None:
    """A tile's amplitudes, or |0...0> where none are given (a last axis of length 0); unused lanes are zero."""
    state[:] = 0
    if amplitudes.shape[2] == 0:
        state[0, :] = 1
        return
    for lane in range(lanes):
        for row in range(len(state)):
            state[row, lane] = amplitudes[run, first + lane, row]


@_compiled
def _measure(
    state: State,
    scratch: State,
    measured: Bool[np.ndarray, " qubits"],
    values: Float[np.ndarray, "lanes qubits"],
    marginal: Float[np.ndarray, "lanes outcomes"],
) -> None:
    """<Z> of the measured qubits (`values`) and their joint probabilities (`marginal`), if these have any columns.

    Qubits are summed out from the top one down, so that the work is twice the state's size however many are measured.
    """
    rows = len(state)
    for row in range(rows):
        amplitude = load(state, row)
        store(scratch, row, multiply(amplitude, amplitude))
    for qubit in range(len(measured) - 1, -1, -1):
        if not measured[qubit]:
            rows = _sum_out(scratch, rows, qubit)
    if marginal.shape[1] > 0:
        for lane in range(len(marginal)):
            for row in range(rows):
                marginal[lane, row] = scratch[row, lane]
    for qubit in range(len(measured) - 1, -1, -1):
        if measured[qubit]:
            rows //= 2
            difference = splat(state[0, 0])
            difference = subtract(difference, difference)
            for row in range(rows):
                up, down = load(scratch, row), load(scratch, row + rows)
                difference = add(difference, subtract(up, down))
                store(scratch, row, add(up, down))
            store(scratch, rows, difference)
            for lane in range(len(values)):
                values[lane, qubit] = scratch[rows, lane]


@_compiled
def _sum_out(probabilities: State, rows: int, qubit: int) -> int:
    """Sum one qubit out of the first `rows` rows, in place; the number of rows that remain."""
    t = 1 << qubit
    row = 0
    for high in range(0, rows, 2 * t):
        for low in range(high, high + t):
            store(probabilities, row, add(load(probabilities, low), load(probabilities, low + t)))
            row += 1
    return row


@_compiled
def forward(
    start: int,
    stop: int,
    program: Int[np.ndarray, "gates 4"],
    cosines: tuple[Any, Any],
    sines: tuple[Any, Any],
    amplitudes: Float[np.ndarray, "runs batch amplitudes"],
    states: Float[np.ndarray, "items rows lanes"],
    measured: Bool[np.ndarray, " qubits"],
    values: Float[np.ndarray, "runs batch qubits"],
    marginals: Float[np.ndarray, "runs batch outcomes"],
) -> None:
    """Run the items start..stop-1; `cosines` and `sines` are those of the weights and of the inputs.

    `states` keeps the final state of every item, or has a single item, which is then overwritten.
    """
    batch = values.shape[1]
    tiles = (batch + LANES - 1) // LANES
    slots = cosines[0].shape[1] + cosines[1].shape[2]
    cosine = np.ones((slots + 1, LANES), states.dtype)
    sine = np.zeros((slots + 1, LANES), states.dtype)
    scratch = np.empty_like(states[0])
    for item in range(start, stop):
        run, first = item // tiles, item % tiles * LANES
        last = min(first + LANES, batch)
        state = states[item if len(states) > 1 else 0]
        _fill_angles(cosine, cosines[0], cosines[1], run, first, last - first)
        _fill_angles(sine, sines[0], sines[1], run, first, last - first)
        _fill_state(state, amplitudes, run, first, last - first)
        for gate in range(len(program)):
            what, target, control, slot = program[gate]
            _apply(state, what, target, control, load(cosine, slot), load(sine, slot))
        _measure(state, scratch, measured, values[run, first:last], marginals[run, first:last])


@_compiled
def backward(
    start: int,
    stop: int,
    program: Int[np.ndarray, "gates 4"],
    cosines: tuple[Any, Any],
    sines: tuple[Any, Any],
    states: Float[np.ndarray, "items rows lanes"],
    by_value: Float[np.ndarray, "runs batch qubits"],
    by_slot: Float[np.ndarray, "items slots lanes"],
    by_amplitude: Float[np.ndarray, "runs batch amplitudes"],
) -> None:
    """The adjoint pass of the items start..stop-1: from the loss's derivative by <Z> of each qubit (`by_value`) to
    those by the angles (`by_slot`, to be zero before) and, if it has any columns, by the amplitudes.
    """
    batch, qubits = by_value.shape[1:]
    tiles = (batch + LANES - 1) // LANES
    slots = cosines[0].shape[1] + cosines[1].shape[2]
    cosine = np.ones((slots + 1, LANES), states.dtype)
    sine = np.zeros((slots + 1, LANES), states.dtype)
    psi, lam = np.empty_like(states[0]), np.empty_like(states[0])
    z = np.zeros((qubits, LANES), states.dtype)
    for item in range(start, stop):
        run, first = item // tiles, item % tiles * LANES
        lanes = min(LANES, batch - first)
        _fill_angles(cosine, cosines[0], cosines[1], run, first, lanes)
        _fill_angles(sine, sines[0], sines[1], run, first, lanes)
        psi[:] = states[item]
        # lam = (sum over qubits of by_value Z) psi; a set bit turns +by_value into -by_value.
        z[:] = 0
        lam[0] = 0
        for qubit in range(qubits):
            for lane in range(lanes):
                z[qubit, lane] = 2 * by_value[run, first + lane, qubit]
                lam[0, lane] += by_value[run, first + lane, qubit]
        for qubit in range(qubits):
            twice = load(z, qubit)
            for row in range(1 << qubit):
                store(lam, row + (1 << qubit), subtract(load(lam, row), twice))
        for row in range(len(lam)):
            store(lam, row, multiply(load(lam, row), load(psi, row)))
        for gate in range(len(program) - 1, -1, -1):
            what, target, control, slot = program[gate]
            c, s = load(cosine, slot), load(sine, slot)
            derivative = _undo(psi, lam, what, target, control, c, s)
            if what != CX:
                store(by_slot[item], slot, add(load(by_slot[item], slot), derivative))
        if by_amplitude.shape[2] > 0:
            for lane in range(lanes):
                for row in range(len(lam)):
                    by_amplitude[run, first + lane, row] = 2 * lam[row, lane]
