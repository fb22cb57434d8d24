"""Gates, measurements and their derivatives on one tile of some samples: what the CPU's kernels are made of (Numba).

In: a `Program`, cosines and sines of half the angles, states [rows, LANES]. Out: states, <Z>, slopes, in place.
A gate between rows is the same vector arithmetic whichever qubit it acts on; lanes.py has those within a row.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from hilbertune.engine.compiling import compiled
from hilbertune.engine.lanes import apply_in_lanes, over_lanes, signed, undo_in_lanes
from hilbertune.engine.program import CX, RY
from hilbertune.engine.rows import LANES, add, load, multiply, splat, store, subtract, total

Tile = Float[np.ndarray, "rows lanes"]


Row = Any
"""LANES numbers in a register (rows.py)."""


Compiled = Any
"""A `Program`."""


GROUPS = 64
"""Groups of a pass's blocks whose slopes are summed on their own, so that any number of threads gives the same bits."""


inlined = njit(inline="always", nogil=True, boundscheck=False, error_model="numpy")
"""A decorator that makes a function part of each kernel that calls it: one level of calls less for the compiler."""


@compiled
def _rotate(state: Tile, i: int, j: int, to_i: int, to_j: int, c: Row, s: Row) -> None:
    """Apply RY to the pair of rows (i, j) and write it to (to_i, to_j)."""
    a, b = load(state, i), load(state, j)
    store(state, to_i, subtract(multiply(c, a), multiply(s, b)))
    store(state, to_j, add(multiply(s, a), multiply(c, b)))


@compiled
def _swap(state: Tile, i: int, j: int) -> None:
    a, b = load(state, i), load(state, j)
    store(state, i, b)
    store(state, j, a)


@compiled
def apply_gate(state: Tile, size: int, what: int, target: int, control: int, lanes: int, c: Row, s: Row) -> None:
    """Apply one gate to the first `size` rows of a tile, the lowest `lanes` qubits of which lie in the lanes."""
    if target < lanes or (what != RY and control < lanes):
        apply_in_lanes(state, size, what, target, control, lanes, c, s)
        return
    target, control = target - lanes, control - lanes
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


@compiled
def _undo_pair(psi: Tile, lam: Tile, i: int, j: int, to_i: int, to_j: int, c: Row, s: Row, sum_: Row) -> Row:
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


@compiled
def _undo(psi: Tile, lam: Tile, size: int, what: int, target: int, control: int, lanes: int, c: Row, s: Row) -> Row:
    """Undo one gate on a tile in both states; return the derivative of the expectation by its angle, lane by lane."""
    if target < lanes or (what != RY and control < lanes):
        return undo_in_lanes(psi, lam, size, what, target, control, lanes, c, s)
    target, control = target - lanes, control - lanes
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


@compiled
def _copy(to: Tile, of: Tile, window: int, outer: int, scatter: bool) -> None:
    """Gather the rows that differ from row `outer` in the bits `window` only into a block, or scatter them back."""
    bits = 0
    for row in range(len(of) if scatter else len(to)):
        if scatter:
            store(to, outer | bits, load(of, row))
        else:
            store(to, row, load(of, outer | bits))
        bits = (bits - window) & window  # the next number that has ones in the window only


@compiled
def _block(number: int, others: int) -> int:
    """Return the first row of block `number` of a pass: the number's bits at the places of the qubits outside."""
    row, place = 0, 1
    while number:
        while not others & place:
            place *= 2
        if number & 1:
            row |= place
        place *= 2
        number >>= 1
    return row


@compiled
def _size(window: int) -> int:
    """Return how many numbers have bits in a mask only: the rows of a block, or a pass's blocks."""
    size = 1
    while window:
        window &= window - 1
        size *= 2
    return size


@compiled
def run_blocks(
    state: Tile, copy: Tile, program: Compiled, number: int, blocks: tuple[int, int], cosine: Tile, sine: Tile
) -> None:
    """Run the gates of one pass on its blocks first..stop-1, on copies that stay in the cache."""
    first, stop, window, others = program.passes[number]
    size = _size(window)
    # The rows of a window at the low end stand side by side: no copy is needed.
    inplace = window & (window + 1) == 0
    for own in range(blocks[0], blocks[1]):
        outer = _block(own, others)
        block = state[outer : outer + size] if inplace else copy[:size]
        if not inplace:
            _copy(block, state, window, outer, False)
        for gate in range(first, stop):
            what, target, control, angle, rows = program.gates[gate]
            apply_gate(block, rows, what, target, control, program.lanes, load(cosine, angle), load(sine, angle))
        if not inplace:
            _copy(state, block, window, outer, True)


@compiled
def run_gates(state: Tile, blocks: Tile, program: Compiled, cosine: Tile, sine: Tile) -> None:
    """Run all gates on a tile."""
    for number in range(len(program.passes)):
        run_blocks(state, blocks[0], program, number, (0, _size(program.passes[number, 3])), cosine, sine)


@compiled
def undo_blocks(
    psi: Tile,
    lam: Tile,
    copies: Tile,
    program: Compiled,
    number: int,
    blocks: tuple[int, int],
    cosine: Tile,
    sine: Tile,
    by_angle: Tile,
) -> None:
    """Undo the gates of one pass on its blocks first..stop-1 of both states; add to the derivatives by the angles."""
    first, stop, window, others = program.passes[number]
    size = _size(window)
    inplace = window & (window + 1) == 0
    for own in range(blocks[0], blocks[1]):
        outer = _block(own, others)
        a = psi[outer : outer + size] if inplace else copies[0, :size]
        b = lam[outer : outer + size] if inplace else copies[1, :size]
        if not inplace:
            _copy(a, psi, window, outer, False)
            _copy(b, lam, window, outer, False)
        for gate in range(stop - 1, first - 1, -1):
            what, target, control, angle, rows = program.gates[gate]
            c, s = load(cosine, angle), load(sine, angle)
            derivative = _undo(a, b, rows, what, target, control, program.lanes, c, s)
            if what != CX:
                store(by_angle, angle, add(load(by_angle, angle), derivative))
        if not inplace:
            _copy(psi, a, window, outer, True)
            _copy(lam, b, window, outer, True)


@compiled
def undo_gates(
    psi: Tile,
    lam: Tile,
    blocks: Tile,
    program: Compiled,
    cosine: Tile,
    sine: Tile,
    by_angle: Tile,
) -> None:
    """Undo all gates in both states; add to the derivatives by the angles, group after group of blocks."""
    part = np.empty_like(by_angle)
    for number in range(len(program.passes) - 1, -1, -1):
        every = _size(program.passes[number, 3])
        if every == 1:
            undo_blocks(psi, lam, blocks, program, number, (0, 1), cosine, sine, by_angle)
            continue
        groups = min(every, GROUPS)
        for group in range(groups):
            own = group * every // groups, (group + 1) * every // groups
            part[:] = 0
            undo_blocks(psi, lam, blocks, program, number, own, cosine, sine, part)
            for angle in range(len(part)):
                store(by_angle, angle, add(load(by_angle, angle), load(part, angle)))


@compiled
def fill_angles(
    cosine: Tile,
    sine: Tile,
    program: Compiled,
    weights: tuple[Any, Any],
    inputs: tuple[Any, Any],
) -> None:
    """Write cosine and sine of every half angle, from those of the slots that it sums.

    A slot is a weight, the same in every lane (numbers [weights]), or an input, one a lane (rows [inputs, lanes]).
    """
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


@compiled
def share_slopes(
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


@compiled
def fill_state(
    state: Tile,
    amplitudes: Float[np.ndarray, "rows amplitudes"],
    chosen: Int[np.ndarray, " samples"],
    rest: float,
    lanes: int,
) -> None:
    """Write the chosen samples' amplitudes, or |0...0> if there are none (no columns); those not given are `rest`."""
    state[:] = rest
    if amplitudes.shape[1] == 0:
        for lane in range(0, LANES, 1 << lanes):
            state[0, lane] = 1
        return
    low = (1 << lanes) - 1
    for sample in range(len(chosen)):
        for place in range(amplitudes.shape[1]):
            state[place >> lanes, sample << lanes | place & low] = amplitudes[chosen[sample], place]


@compiled
def _sum_out(probabilities: Tile, rows: int, qubit: int) -> int:
    """Sum one qubit out of the first `rows` rows, in place; return the number of rows that remain."""
    t = 1 << qubit
    row = 0
    for high in range(0, rows, 2 * t):
        for low in range(high, high + t):
            store(probabilities, row, add(load(probabilities, low), load(probabilities, low + t)))
            row += 1
    return row


@compiled
def _compress(number: int, chosen: Bool[np.ndarray, " qubits"], qubits: int) -> int:
    """Return the bits of a number at the chosen ones of its lowest qubits, side by side."""
    bits, place = 0, 0
    for qubit in range(qubits):
        if chosen[qubit]:
            bits |= (number >> qubit & 1) << place
            place += 1
    return bits


@compiled
def _write_marginal(
    probabilities: Tile,
    rows: int,
    measured: Bool[np.ndarray, " qubits"],
    marginal: Float[np.ndarray, "samples outcomes"],
    lanes: int,
) -> None:
    """Write joint probabilities, whose qubits in the rows are the measured ones only; sum out those in the lanes."""
    marginal[:] = 0
    below = 0
    for qubit in range(lanes):
        below += measured[qubit]
    for low in range(1 << lanes):
        first = _compress(low, measured, lanes)
        for sample in range(len(marginal)):
            for row in range(rows):
                marginal[sample, row << below | first] += probabilities[row, sample << lanes | low]


@compiled
def measure(
    probabilities: Tile,
    measured: Bool[np.ndarray, " qubits"],
    values: Tile,
    marginal: Float[np.ndarray, "samples outcomes"],
    lanes: int,
) -> None:
    """Write <Z> of the measured qubits (`values` [qubits, lanes]) and, if `marginal` has columns, joint probabilities.

    Qubits are summed out from the top one down, so that the work is twice the state's size however many are measured.
    Overwrites `probabilities`.
    """
    rows = len(probabilities)
    for qubit in range(len(measured) - 1, lanes - 1, -1):
        if not measured[qubit]:
            rows = _sum_out(probabilities, rows, qubit - lanes)
    if marginal.shape[1] > 0:
        _write_marginal(probabilities, rows, measured, marginal, lanes)
    for qubit in range(len(measured) - 1, lanes - 1, -1):
        if measured[qubit]:
            rows //= 2
            first = load(probabilities, 0)
            difference = subtract(first, first)
            for row in range(rows):
                up, down = load(probabilities, row), load(probabilities, row + rows)
                difference = add(difference, subtract(up, down))
                store(probabilities, row, add(up, down))
            store(values, qubit, over_lanes(difference, lanes))
    for qubit in range(lanes):
        if measured[qubit]:
            store(values, qubit, over_lanes(signed(load(probabilities, 0), qubit), lanes))


@compiled
def square(probabilities: Tile, state: Tile) -> None:
    """Write the squares of real amplitudes."""
    for row in range(len(state)):
        amplitude = load(state, row)
        store(probabilities, row, multiply(amplitude, amplitude))


@compiled
def observe(lam: Tile, psi: Tile, by_value: Tile, lanes: int) -> None:
    """Write lam = (sum over qubits of by_value Z) psi; by_value is [qubits, lanes]."""
    first = subtract(load(by_value, 0), load(by_value, 0))
    for qubit in range(len(by_value)):
        value = load(by_value, qubit)
        first = add(first, signed(value, qubit) if qubit < lanes else value)
    store(lam, 0, first)
    for qubit in range(lanes, len(by_value)):
        # A set bit turns +by_value into -by_value.
        twice = add(load(by_value, qubit), load(by_value, qubit))
        t = 1 << (qubit - lanes)
        for row in range(t):
            store(lam, row + t, subtract(load(lam, row), twice))
    for row in range(len(lam)):
        store(lam, row, multiply(load(lam, row), load(psi, row)))


@compiled
def transpose(rows: Tile, columns: Float[np.ndarray, "samples rows"], lanes: int) -> None:
    """Write the columns of a batch into the rows of a tile, in all lanes of a sample; unused lanes are zero."""
    rows[:] = 0
    for lane in range(len(columns) << lanes):
        for row in range(columns.shape[1]):
            rows[row, lane] = columns[lane >> lanes, row]
