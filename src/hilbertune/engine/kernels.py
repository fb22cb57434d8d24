"""Numba kernels that run a program of gates, forwards and backwards, over tiles of eight samples.

In: a `Program`, cosines and sines of half the angles, amplitudes. Out: expectations, gradients, or a whole training step.
A tile's state is [2^qubits, LANES]: the batch is the innermost axis, so that every gate is the same vector arithmetic whichever qubit it
acts on. A slot is a weight (the same in every lane) or an input (one a lane). An item of work is one tile of one run.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from hilbertune.engine.program import CX, RY
from hilbertune.engine.rows import (
    LANES,
    add,
    arrive,
    arrived,
    give_way,
    load,
    multiply,
    splat,
    store,
    subtract,
    total,
)

Tile = Float[np.ndarray, "rows lanes"]
Row = Any
Compiled = Any  # a Program
_compiled = njit(cache=True, nogil=True, boundscheck=False, error_model="numpy")


# ------------------------------------------------------------------------------------------------ gates


@_compiled
def _rotate(state: Tile, i: int, j: int, to_i: int, to_j: int, c: Row, s: Row) -> None:
    """RY on the pair of rows (i, j), written to (to_i, to_j)."""
    a, b = load(state, i), load(state, j)
    store(state, to_i, subtract(multiply(c, a), multiply(s, b)))
    store(state, to_j, add(multiply(s, a), multiply(c, b)))


@_compiled
def _swap(state: Tile, i: int, j: int) -> None:
    a, b = load(state, i), load(state, j)
    store(state, i, b)
    store(state, j, a)


@_compiled
def _apply(state: Tile, size: int, what: int, target: int, control: int, c: Row, s: Row) -> None:
    """One gate on the first `size` rows of a tile."""
    t = 1 << target
    if what == RY:
        for high in range(0, size, 2 * t):
            for row in range(high, high + t):
                _rotate(state, row, row + t, row, row + t, c, s)
        return
    k = 1 << control
    low, top = min(t, k), max(t, k)
    for high in range(0, size, 2 * top):
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
    psi: Tile, lam: Tile, i: int, j: int, to_i: int, to_j: int, c: Row, s: Row, sum_: Row
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
def _undo(
    psi: Tile, lam: Tile, size: int, what: int, target: int, control: int, c: Row, s: Row
) -> Row:
    """Undo one gate on a tile in both states; the derivative of the expectation by its angle, lane by lane."""
    t = 1 << target
    derivative = subtract(c, c)
    if what == RY:
        for high in range(0, size, 2 * t):
            part = subtract(c, c)
            for row in range(high, high + t):
                part = _undo_pair(psi, lam, row, row + t, row, row + t, c, s, part)
            derivative = add(derivative, part)
        return derivative
    k = 1 << control
    low, top = min(t, k), max(t, k)
    for high in range(0, size, 2 * top):
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


# ----------------------------------------------------------------------------------------------- passes


@_compiled
def _copy(to: Tile, of: Tile, window: int, outer: int, scatter: bool) -> None:
    """Gather the rows of a state that differ from row `outer` in the bits `window` into a block, or scatter them back."""
    bits = 0
    for row in range(len(of) if scatter else len(to)):
        if scatter:
            store(to, outer | bits, load(of, row))
        else:
            store(to, row, load(of, outer | bits))
        bits = (bits - window) & window  # the next number that has ones in the window only


@_compiled
def _size(window: int) -> int:
    """Rows of a block: two for each qubit of the window."""
    size = 1
    while window:
        window &= window - 1
        size *= 2
    return size


@_compiled
def _run(state: Tile, blocks: Tile, program: Compiled, cosine: Tile, sine: Tile) -> None:
    """All gates on a tile. A pass over some of the qubits works on copies of a block that stay in the cache."""
    for number in range(len(program.passes)):
        first, stop, window, others = program.passes[number]
        size = _size(window)
        outer = 0
        while True:
            # The rows of a window at the low end stand side by side: no copy is needed.
            inplace = window & (window + 1) == 0
            block = state[outer : outer + size] if inplace else blocks[0, :size]
            if not inplace:
                _copy(block, state, window, outer, False)
            for gate in range(first, stop):
                what, target, control, angle, rows = program.gates[gate]
                _apply(block, rows, what, target, control, load(cosine, angle), load(sine, angle))
            if not inplace:
                _copy(state, block, window, outer, True)
            outer = (outer - others) & others
            if outer == 0:
                break


@_compiled
def _run_back(
    psi: Tile,
    lam: Tile,
    blocks: Tile,
    program: Compiled,
    cosine: Tile,
    sine: Tile,
    by_angle: Tile,
) -> None:
    """Undo all gates in both states; add to the derivatives by the angles."""
    for number in range(len(program.passes) - 1, -1, -1):
        first, stop, window, others = program.passes[number]
        size = _size(window)
        outer = 0
        while True:
            inplace = window & (window + 1) == 0
            a = psi[outer : outer + size] if inplace else blocks[0, :size]
            b = lam[outer : outer + size] if inplace else blocks[1, :size]
            if not inplace:
                _copy(a, psi, window, outer, False)
                _copy(b, lam, window, outer, False)
            for gate in range(stop - 1, first - 1, -1):
                what, target, control, angle, rows = program.gates[gate]
                c, s = load(cosine, angle), load(sine, angle)
                derivative = _undo(a, b, rows, what, target, control, c, s)
                if what != CX:
                    store(by_angle, angle, add(load(by_angle, angle), derivative))
            if not inplace:
                _copy(psi, a, window, outer, True)
                _copy(lam, b, window, outer, True)
            outer = (outer - others) & others
            if outer == 0:
                break


# ------------------------------------------------------------------------------ into and out of a state


@_compiled
def _fill_angles(
    cosine: Tile,
    sine: Tile,
    program: Compiled,
    weights: tuple[Any, Any],
    inputs: tuple[Any, Any],
) -> None:
    """Cosine and sine of every half angle, from those of the slots that it sums: numbers [weights] and rows [inputs, lanes]."""
    cosine[:] = 1
    sine[:] = 0
    count = len(weights[0])
    for use in range(len(program.uses)):
        angle, slot = program.uses[use]
        if slot < count:
            c, s = splat(weights[0][slot]), splat(weights[1][slot])
        else:
            c, s = load(inputs[0], slot - count), load(inputs[1], slot - count)
        a, b = load(cosine, angle), load(sine, angle)
        store(cosine, angle, subtract(multiply(a, c), multiply(b, s)))
        store(sine, angle, add(multiply(b, c), multiply(a, s)))


@_compiled
def _share_slopes(
    by_angle: Tile,
    program: Compiled,
    by_weight: Float[np.ndarray, " weights"],
    by_input: Tile,
) -> None:
    """Add the derivatives by the angles to those by the slots that they sum; weights gather all lanes."""
    count = len(by_weight)
    for use in range(len(program.uses)):
        angle, slot = program.uses[use]
        if slot < count:
            by_weight[slot] += total(load(by_angle, angle))
        else:
            row = slot - count
            store(by_input, row, add(load(by_input, row), load(by_angle, angle)))


@_compiled
def _fill_state(
    state: Tile,
    amplitudes: Float[np.ndarray, "rows amplitudes"],
    chosen: Int[np.ndarray, " lanes"],
    rest: float,
) -> None:
    """The chosen samples' amplitudes, or |0...0> where none are given (no columns); each that is not given is `rest`."""
    state[:] = rest
    if amplitudes.shape[1] == 0:
        state[0, :] = 1
        return
    for lane in range(len(chosen)):
        for row in range(amplitudes.shape[1]):
            state[row, lane] = amplitudes[chosen[lane], row]


@_compiled
def _sum_out(probabilities: Tile, rows: int, qubit: int) -> int:
    """Sum one qubit out of the first `rows` rows, in place; the number of rows that remain."""
    t = 1 << qubit
    row = 0
    for high in range(0, rows, 2 * t):
        for low in range(high, high + t):
            store(probabilities, row, add(load(probabilities, low), load(probabilities, low + t)))
            row += 1
    return row


@_compiled
def _measure(
    probabilities: Tile,
    measured: Bool[np.ndarray, " qubits"],
    values: Tile,
    marginal: Float[np.ndarray, "lanes outcomes"],
) -> None:
    """<Z> of the measured qubits (`values` [qubits, lanes]) and their joint probabilities, if `marginal` has any columns.

    Qubits are summed out from the top one down, so that the work is twice the state's size however many are measured.
    Overwrites `probabilities`.
    """
    rows = len(probabilities)
    for qubit in range(len(measured) - 1, -1, -1):
        if not measured[qubit]:
            rows = _sum_out(probabilities, rows, qubit)
    if marginal.shape[1] > 0:
        for lane in range(len(marginal)):
            for row in range(rows):
                marginal[lane, row] = probabilities[row, lane]
    for qubit in range(len(measured) - 1, -1, -1):
        if measured[qubit]:
            rows //= 2
            first = load(probabilities, 0)
            difference = subtract(first, first)
            for row in range(rows):
                up, down = load(probabilities, row), load(probabilities, row + rows)
                difference = add(difference, subtract(up, down))
                store(probabilities, row, add(up, down))
            store(values, qubit, difference)


@_compiled
def _square(probabilities: Tile, state: Tile) -> None:
    for row in range(len(state)):
        amplitude = load(state, row)
        store(probabilities, row, multiply(amplitude, amplitude))


@_compiled
def _observe(lam: Tile, psi: Tile, by_value: Tile) -> None:
    """lam = (sum over qubits of by_value Z) psi; by_value is [qubits, lanes]."""
    first = load(by_value, 0)
    for qubit in range(1, len(by_value)):
        first = add(first, load(by_value, qubit))
    store(lam, 0, first)
    for qubit in range(len(by_value)):
        # A set bit turns +by_value into -by_value.
        twice = add(load(by_value, qubit), load(by_value, qubit))
        for row in range(1 << qubit):
            store(lam, row + (1 << qubit), subtract(load(lam, row), twice))
    for row in range(len(lam)):
        store(lam, row, multiply(load(lam, row), load(psi, row)))


@_compiled
def _transpose(rows: Tile, columns: Float[np.ndarray, "lanes rows"]) -> None:
    """Write the columns of a batch into the rows of a tile; unused lanes are zero."""
    rows[:] = 0
    for lane in range(len(columns)):
        for row in range(columns.shape[1]):
            rows[row, lane] = columns[lane, row]


# --------------------------------------------------------------------------------- the engine's two calls


@_compiled
def forward(
    start: int,
    stop: int,
    program: Compiled,
    weights: tuple[Any, Any],
    inputs: tuple[Any, Any],
    amplitudes: Float[np.ndarray, "runs batch amplitudes"],
    states: Float[np.ndarray, "items rows lanes"],
    scratch: Tile,
    blocks: Float[np.ndarray, "2 block lanes"],
    measured: Bool[np.ndarray, " qubits"],
    values: Float[np.ndarray, "runs batch qubits"],
    marginals: Float[np.ndarray, "runs batch outcomes"],
) -> None:
    """Run the items start..stop-1; `weights` and `inputs` are cosines and sines of half of them.

    `states` keeps the final state of every item, or has a single item, which is then overwritten.
    """
    batch = values.shape[1]
    tiles = (batch + LANES - 1) // LANES
    cosine = np.empty((program.angles + 1, LANES), states.dtype)
    sine = np.empty((program.angles + 1, LANES), states.dtype)
    x = np.empty((2, inputs[0].shape[2], LANES), states.dtype)
    z = np.empty((len(measured), LANES), states.dtype)
    for item in range(start, stop):
        run, first = item // tiles, item % tiles * LANES
        last = min(first + LANES, batch)
        state = states[item if len(states) > 1 else 0]
        _transpose(x[0], inputs[0][run, first:last])
        _transpose(x[1], inputs[1][run, first:last])
        _fill_angles(cosine, sine, program, (weights[0][run], weights[1][run]), (x[0], x[1]))
        _fill_state(state, amplitudes[run], np.arange(first, last), 0.0)
        _run(state, blocks, program, cosine, sine)
        _square(scratch, state)
        _measure(scratch, measured, z, marginals[run, first:last])
        for lane in range(last - first):
            for qubit in range(len(measured)):
                if measured[qubit]:
                    values[run, first + lane, qubit] = z[qubit, lane]


@_compiled
def backward(
    start: int,
    stop: int,
    program: Compiled,
    weights: tuple[Any, Any],
    inputs: tuple[Any, Any],
    states: Float[np.ndarray, "items rows lanes"],
    scratch: Float[np.ndarray, "2 rows lanes"],
    blocks: Float[np.ndarray, "2 block lanes"],
    by_value: Float[np.ndarray, "runs batch qubits"],
    by_weight: Float[np.ndarray, "items weights"],
    by_input: Float[np.ndarray, "runs batch inputs"],
    by_amplitude: Float[np.ndarray, "runs batch amplitudes"],
) -> None:
    """The adjoint pass of the items start..stop-1: from the loss's derivative by <Z> of each qubit (`by_value`) to
    those by weights (to be zero before), by inputs and, if it has any columns, by amplitudes.
    """
    batch, qubits = by_value.shape[1:]
    tiles = (batch + LANES - 1) // LANES
    cosine = np.empty((program.angles + 1, LANES), states.dtype)
    sine = np.empty((program.angles + 1, LANES), states.dtype)
    by_angle = np.empty((program.angles + 1, LANES), states.dtype)
    x = np.empty((3, by_input.shape[2], LANES), states.dtype)
    z = np.empty((qubits, LANES), states.dtype)
    psi, lam = scratch[0], scratch[1]
    for item in range(start, stop):
        run, first = item // tiles, item % tiles * LANES
        last = min(first + LANES, batch)
        _transpose(x[0], inputs[0][run, first:last])
        _transpose(x[1], inputs[1][run, first:last])
        _fill_angles(cosine, sine, program, (weights[0][run], weights[1][run]), (x[0], x[1]))
        _transpose(z, by_value[run, first:last])
        psi[:] = states[item]
        _observe(lam, psi, z)
        by_angle[:] = 0
        x[2] = 0
        _run_back(psi, lam, blocks, program, cosine, sine, by_angle)
        _share_slopes(by_angle, program, by_weight[item], x[2])
        for lane in range(last - first):
            for slot in range(by_input.shape[2]):
                by_input[run, first + lane, slot] = x[2, slot, lane]
            for row in range(by_amplitude.shape[2]):
                by_amplitude[run, first + lane, row] = 2 * lam[row, lane]


@_compiled
def _half_turn(phi: Tile, psi: Tile, size: int, target: int) -> None:
    """phi = J psi with J = [[0, -1], [1, 0]] on the target: half a turn, RY(pi); RY(pi/2) = (1 + J) / sqrt(2)."""
    phi[size:] = 0
    t = 1 << target
    for high in range(0, size, 2 * t):
        for row in range(high, high + t):
            a, b = load(psi, row), load(psi, row + t)
            store(phi, row, subtract(subtract(b, b), b))
            store(phi, row + t, a)


@_compiled
def shifted(
    start: int,
    stop: int,
    program: Compiled,
    weights: tuple[Any, Any],
    inputs: tuple[Any, Any],
    amplitudes: Float[np.ndarray, "runs batch amplitudes"],
    scratch: Float[np.ndarray, "4 rows lanes"],
    measured: Bool[np.ndarray, " qubits"],
    values: Float[np.ndarray, "runs batch angles 2 qubits"],
    marginals: Float[np.ndarray, "runs batch angles 2 outcomes"],
) -> None:
    """Measurements with each angle in turn shifted by plus and minus pi/2, for the items start..stop-1 and a program of one pass.

    A shifted state is (psi + J psi) / sqrt(2) or (psi - J psi) / sqrt(2) after the gate. Gates are linear: both come from psi at the end,
    which all shifts share, and from J psi taken to the end, which is all that is run for an angle.
    """
    batch = values.shape[1]
    tiles = (batch + LANES - 1) // LANES
    cosine = np.empty((program.angles + 1, LANES), scratch.dtype)
    sine = np.empty((program.angles + 1, LANES), scratch.dtype)
    x = np.empty((2, inputs[0].shape[2], LANES), scratch.dtype)
    z = np.zeros((len(measured), LANES), scratch.dtype)
    last, psi, phi, probabilities = scratch[0], scratch[1], scratch[2], scratch[3]
    root = splat(scratch.dtype.type(math.sqrt(0.5)))
    for item in range(start, stop):
        run, first = item // tiles, item % tiles * LANES
        rows = np.arange(first, min(first + LANES, batch))
        _transpose(x[0], inputs[0][run, first : first + LANES])
        _transpose(x[1], inputs[1][run, first : first + LANES])
        _fill_angles(cosine, sine, program, (weights[0][run], weights[1][run]), (x[0], x[1]))
        _fill_state(last, amplitudes[run], rows, 0.0)
        psi[:] = last
        _run(last, scratch[2:], program, cosine, sine)
        for gate in range(len(program.gates)):
            what, target, control, angle, size = program.gates[gate]
            _apply(psi, size, what, target, control, load(cosine, angle), load(sine, angle))
            if what == CX:
                continue
            _half_turn(phi, psi, size, target)
            for later in range(gate + 1, len(program.gates)):
                kind, t, k, slot, size = program.gates[later]
                _apply(phi, size, kind, t, k, load(cosine, slot), load(sine, slot))
            for sign in range(2):
                for row in range(len(last)):
                    a, b = multiply(root, load(last, row)), multiply(root, load(phi, row))
                    sum_ = add(a, b) if sign == 0 else subtract(a, b)
                    store(probabilities, row, multiply(sum_, sum_))
                own = marginals[run, first : first + LANES, angle, sign]
                _measure(probabilities, measured, z, own)
                for lane in range(len(rows)):
                    values[run, first + lane, angle, sign] = z[:, lane]


# ------------------------------------------------------------------------- whole models, whole training steps


class Model(NamedTuple):
    """A hybrid head as numbers; `..._at` is where its parameters begin in the row of weights of a run."""

    encoder: Compiled
    head: Compiled
    rest: float  # every amplitude that the embedding leaves free
    encoders: int
    encoder_qubits: int
    encoder_weights: int
    encoder_at: int
    qubits: int
    head_inputs: int
    head_weights: int
    head_at: int
    average: bool  # the head's angles are the encoders' mean; otherwise theirs side by side
    angle_scale: float
    linear_at: int  # -1: no final linear layer, the logits are `readout` times the expectations
    bias_at: int
    readout: Float[np.ndarray, "outputs measured"]


CROSS_ENTROPY, BINARY, SQUARED = 0, 1, 2


class Goal(NamedTuple):
    """What is trained for: the kind of loss, and the targets and weights that it reads."""

    kind: int
    labels: Int[np.ndarray, " rows"]  # of CROSS_ENTROPY
    wanted: Float[np.ndarray, "rows outputs"]  # of the others: what each logit should say
    weights: Float[np.ndarray, "sources rows _"]  # of a row, or of each of its logits


class Space(NamedTuple):
    """Memory of a thread: the encoders' final states, the head's, and lambda."""

    encoded: Float[np.ndarray, "encoders rows lanes"]
    psi: Tile
    lam: Tile
    blocks: Float[np.ndarray, "2 block lanes"]


@_compiled
def _half(values: Float[np.ndarray, " angles"]) -> tuple[Any, Any]:
    half = values / values.dtype.type(2)
    return np.cos(half), np.sin(half)


@_compiled
def _fill_inputs(turn: Float[np.ndarray, "2 inputs lanes"], x: Tile) -> None:
    """Cosines and sines of half of a tile's angles."""
    for row in range(len(x)):
        for lane in range(LANES):
            half = x[row, lane] / x.dtype.type(2)
            turn[0, row, lane], turn[1, row, lane] = math.cos(half), math.sin(half)


@_compiled
def _forward(
    model: Model,
    weights: Float[np.ndarray, " weights"],
    amplitudes: Float[np.ndarray, "rows amplitudes"],
    chosen: Int[np.ndarray, " lanes"],
    space: Space,
    encoder_turn: Float[np.ndarray, "2 encoders angles lanes"],
    head_turn: Float[np.ndarray, "2 angles lanes"],
    z: Tile,
    logits: Tile,
) -> None:
    """A tile's expectations `z` [measured, lanes] and logits [outputs, lanes]; leaves the states in `space`."""
    dtype = z.dtype.type
    cosines, sines = _half(weights)
    rows = space.encoded.shape[1]
    everything = np.ones(model.encoder_qubits, np.bool_)
    nothing = np.empty((0, 0), z.dtype)
    no_inputs = np.empty((0, LANES), z.dtype)
    encoded = np.empty((model.encoder_qubits, LANES), z.dtype)
    x = np.zeros((model.head_inputs, LANES), z.dtype)
    scale = splat(dtype(model.angle_scale / (model.encoders if model.average else 1)))
    for encoder in range(model.encoders):
        first = model.encoder_at + encoder * model.encoder_weights
        stop = first + model.encoder_weights
        turn = encoder_turn[0, encoder], encoder_turn[1, encoder]
        own = cosines[first:stop], sines[first:stop]
        _fill_angles(turn[0], turn[1], model.encoder, own, (no_inputs, no_inputs))
        _fill_state(space.encoded[encoder], amplitudes, chosen, model.rest)
        _run(space.encoded[encoder], space.blocks, model.encoder, turn[0], turn[1])
        _square(space.lam[:rows], space.encoded[encoder])
        _measure(space.lam[:rows], everything, encoded, nothing)
        for qubit in range(model.encoder_qubits):
            place = qubit if model.average else encoder * model.encoder_qubits + qubit
            store(x, place, add(load(x, place), multiply(scale, load(encoded, qubit))))
    turned = np.empty((2, len(x), LANES), z.dtype)
    _fill_inputs(turned, x)
    own = (
        cosines[model.head_at : model.head_at + model.head_weights],
        sines[model.head_at : model.head_at + model.head_weights],
    )
    _fill_angles(head_turn[0], head_turn[1], model.head, own, (turned[0], turned[1]))
    _fill_state(space.psi, np.empty((0, 0), z.dtype), chosen, 0.0)
    _run(space.psi, space.blocks, model.head, head_turn[0], head_turn[1])
    _square(space.lam, space.psi)
    measured = np.zeros(model.qubits, np.bool_)
    measured[: len(z)] = True
    _measure(space.lam, measured, z, nothing)
    for label in range(len(logits)):
        bias = weights[model.bias_at + label] if model.linear_at >= 0 else dtype(0)
        sum_ = splat(bias)
        for qubit in range(len(z)):
            factor = model.readout[label, qubit]
            if model.linear_at >= 0:
                factor = weights[model.linear_at + label * len(z) + qubit]
            sum_ = add(sum_, multiply(splat(factor), load(z, qubit)))
        store(logits, label, sum_)


@_compiled
def _cross_entropy(
    logits: Tile,
    labels: Int[np.ndarray, " rows"],
    weights: Float[np.ndarray, "rows _"],
    chosen: Int[np.ndarray, " lanes"],
    share: float,
    by_logit: Tile,
) -> float:
    """The summed loss of a tile's samples, and its derivative by their logits, times `share`; unused lanes get zero."""
    loss = 0.0
    by_logit[:] = 0
    for lane in range(len(chosen)):
        # A weight of 1 changes no bit.
        weight, truth = weights[chosen[lane], 0], labels[chosen[lane]]
        largest = logits[:, lane].max()
        sum_ = 0.0
        for label in range(len(logits)):
            sum_ += math.exp(logits[label, lane] - largest)
        loss += weight * (math.log(sum_) - (logits[truth, lane] - largest))
        own = share * weight
        for label in range(len(logits)):
            by_logit[label, lane] = own * math.exp(logits[label, lane] - largest) / sum_
        by_logit[truth, lane] -= own
    return loss


@_compiled
def _separate_losses(
    kind: int,
    logits: Tile,
    wanted: Float[np.ndarray, "rows outputs"],
    weights: Float[np.ndarray, "rows _"],
    chosen: Int[np.ndarray, " lanes"],
    share: float,
    by_logit: Tile,
) -> float:
    """The same where every logit has a loss of its own: a binary cross-entropy, or a squared error."""
    loss = 0.0
    by_logit[:] = 0
    for lane in range(len(chosen)):
        row = chosen[lane]
        for output in range(len(logits)):
            weight = weights[row, output if weights.shape[1] > 1 else 0]
            x, target = float(logits[output, lane]), wanted[row, output]
            if kind == BINARY:
                small = math.exp(-abs(x))  # so that nothing overflows
                loss += weight * (max(x, 0.0) - x * target + math.log1p(small))
                slope = (1.0 if x > 0 else small) / (1.0 + small) - target
            else:
                loss += weight * (x - target) ** 2
                slope = 2.0 * (x - target)
            by_logit[output, lane] = share * weight * slope
    return loss


@_compiled
def _backward(
    model: Model,
    weights: Float[np.ndarray, " weights"],
    space: Space,
    encoder_turn: Float[np.ndarray, "2 encoders angles lanes"],
    head_turn: Float[np.ndarray, "2 angles lanes"],
    z: Tile,
    by_logit: Tile,
    gradient: Float[np.ndarray, " weights"],
) -> None:
    """From the loss's derivative by a tile's logits to that by all weights, added to `gradient`."""
    dtype = z.dtype.type
    by_z = np.zeros((model.qubits, LANES), z.dtype)
    for label in range(len(by_logit)):
        slope = load(by_logit, label)
        if model.linear_at >= 0:
            gradient[model.bias_at + label] += total(slope)
        for qubit in range(len(z)):
            factor = model.readout[label, qubit]
            if model.linear_at >= 0:
                at = model.linear_at + label * len(z) + qubit
                factor = weights[at]
                gradient[at] += total(multiply(slope, load(z, qubit)))
            store(by_z, qubit, add(load(by_z, qubit), multiply(splat(factor), slope)))
    _observe(space.lam, space.psi, by_z)
    by_angle = np.zeros_like(head_turn[0])
    _run_back(space.psi, space.lam, space.blocks, model.head, head_turn[0], head_turn[1], by_angle)
    by_x = np.zeros((model.head_inputs, LANES), z.dtype)
    own = gradient[model.head_at : model.head_at + model.head_weights]
    _share_slopes(by_angle, model.head, own, by_x)
    rows = space.encoded.shape[1]
    no_inputs = np.empty((0, LANES), z.dtype)
    by_encoded = np.empty((model.encoder_qubits, LANES), z.dtype)
    scale = splat(dtype(model.angle_scale / (model.encoders if model.average else 1)))
    for encoder in range(model.encoders):
        for qubit in range(model.encoder_qubits):
            place = qubit if model.average else encoder * model.encoder_qubits + qubit
            store(by_encoded, qubit, multiply(scale, load(by_x, place)))
        psi, lam = space.encoded[encoder], space.lam[:rows]
        _observe(lam, psi, by_encoded)
        slopes = np.zeros_like(encoder_turn[0, 0])
        turn = encoder_turn[0, encoder], encoder_turn[1, encoder]
        _run_back(psi, lam, space.blocks, model.encoder, turn[0], turn[1], slopes)
        first = model.encoder_at + encoder * model.encoder_weights
        own = gradient[first : first + model.encoder_weights]
        _share_slopes(slopes, model.encoder, own, no_inputs)


@_compiled
def _adam(
    weights: Float[np.ndarray, " weights"],
    gradient: Float[np.ndarray, " weights"],
    first: Float[np.ndarray, " weights"],
    second: Float[np.ndarray, " weights"],
    rate: float,
    decay: float,
    step: int,
) -> None:
    """One step of Adam (Kingma and Ba 2015) with an L2 penalty; steps count from 1."""
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8
    corrected = rate / (1 - beta1**step)
    for i in range(len(weights)):
        slope = gradient[i] + decay * weights[i]
        first[i] = beta1 * first[i] + (1 - beta1) * slope
        second[i] = beta2 * second[i] + (1 - beta2) * slope * slope
        weights[i] -= corrected * first[i] / (math.sqrt(second[i] / (1 - beta2**step)) + epsilon)


@_compiled
def _wait(counter: Int[np.ndarray, " one"], team: int) -> None:
    """Return when all threads of the team have come here."""
    if team > 1:
        mine = arrive(counter)
        goal = (mine + team - 1) // team * team
        while arrived(counter) < goal:
            give_way()


@_compiled
def train(
    start: int,
    stop: int,
    member: int,
    team: int,
    counter: Int[np.ndarray, " one"],
    model: Model,
    space: Space,
    weights: Float[np.ndarray, "runs weights"],
    moments: tuple[Any, Any],
    steps: tuple[int, int, int],
    rates: Float[np.ndarray, " runs"],
    decays: Float[np.ndarray, " runs"],
    active: Bool[np.ndarray, " runs"],
    amplitudes: Float[np.ndarray, "sources rows amplitudes"],
    goal: Goal,
    order: Int[np.ndarray, "runs rows"],
    batch_size: int,
    gradients: Float[np.ndarray, "tiles weights"],
    losses: Float[np.ndarray, " tiles"],
    total_losses: Float[np.ndarray, " runs"],
) -> None:
    """Training steps of the runs start..stop-1, by a team of threads that share the tiles of each batch.

    steps: (first, stop, before): which steps of the epoch, and how many steps came before the epoch.
    order: the rows in the order of this epoch; `total_losses` adds up their losses.
    gradients, losses: one for each tile, shared by the team: their sum does not depend on the number of threads.
    """
    dtype = weights.dtype
    encoder_turn = np.empty((2, model.encoders, model.encoder.angles + 1, LANES), dtype)
    head_turn = np.empty((2, model.head.angles + 1, LANES), dtype)
    z = np.empty((model.readout.shape[1], LANES), dtype)
    logits = np.empty((len(model.readout), LANES), dtype)
    by_logit = np.empty_like(logits)
    for run in range(start, stop):
        if not active[run]:
            continue
        loaded = amplitudes[run if len(amplitudes) > 1 else 0]
        factors = goal.weights[run if len(goal.weights) > 1 else 0]
        for step in range(steps[0], steps[1]):
            batch = order[run, step * batch_size : (step + 1) * batch_size]
            tiles = (len(batch) + LANES - 1) // LANES
            for tile in range(member, tiles, team):
                chosen = batch[tile * LANES : (tile + 1) * LANES]
                _forward(
                    model, weights[run], loaded, chosen, space, encoder_turn, head_turn, z, logits
                )
                share = 1 / len(batch)
                if goal.kind == CROSS_ENTROPY:
                    losses[tile] = _cross_entropy(
                        logits, goal.labels, factors, chosen, share, by_logit
                    )
                else:
                    losses[tile] = _separate_losses(
                        goal.kind, logits, goal.wanted, factors, chosen, share, by_logit
                    )
                gradients[tile] = 0
                _backward(
                    model,
                    weights[run],
                    space,
                    encoder_turn,
                    head_turn,
                    z,
                    by_logit,
                    gradients[tile],
                )
            _wait(counter, team)
            if member == 0:
                for tile in range(tiles):
                    total_losses[run] += losses[tile]
                    if tile > 0:
                        gradients[0] += gradients[tile]
                _adam(
                    weights[run],
                    gradients[0],
                    moments[0][run],
                    moments[1][run],
                    rates[run],
                    decays[run],
                    steps[2] + step + 1,
                )
            _wait(counter, team)


@_compiled
def predict(
    start: int,
    stop: int,
    model: Model,
    space: Space,
    weights: Float[np.ndarray, "runs weights"],
    amplitudes: Float[np.ndarray, "sources rows amplitudes"],
    chosen: Int[np.ndarray, "runs rows"],
    logits: Float[np.ndarray, "runs rows outputs"],
) -> None:
    """Logits of the chosen rows, for the items (tiles of eight rows of a run) start..stop-1."""
    dtype = weights.dtype
    encoder_turn = np.empty((2, model.encoders, model.encoder.angles + 1, LANES), dtype)
    head_turn = np.empty((2, model.head.angles + 1, LANES), dtype)
    z = np.empty((model.readout.shape[1], LANES), dtype)
    found = np.empty((len(model.readout), LANES), dtype)
    tiles = (chosen.shape[1] + LANES - 1) // LANES
    for item in range(start, stop):
        run, first = item // tiles, item % tiles * LANES
        rows = chosen[run, first : first + LANES]
        loaded = amplitudes[run if len(amplitudes) > 1 else 0]
        _forward(model, weights[run], loaded, rows, space, encoder_turn, head_turn, z, found)
        for lane in range(len(rows)):
            for label in range(len(found)):
                logits[run, first + lane, label] = found[label, lane]
