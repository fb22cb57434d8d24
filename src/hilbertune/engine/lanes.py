"""Gates on qubits that lie in the lanes of a row: a few samples fill the rows of a tile with their amplitudes (Numba).

In: the first rows of a tile, a gate that has its target or its control in the lanes. Out: the tile, a slope, in place.
With L qubits in the lanes, lane number l holds sample l >> L, and of its amplitudes those whose lowest L bits are l's.
Such a gate is a sum of a row and of the same row with neighbours exchanged, each times one factor a lane.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from hilbertune.engine.compiling import compiled
from hilbertune.engine.program import CX, RY
from hilbertune.engine.rows import (
    LANES,
    add,
    bit,
    exchange_1,
    exchange_2,
    exchange_4,
    exchange_8,
    load,
    multiply,
    ones,
    store,
    subtract,
)

Tile = Float[np.ndarray, "rows lanes"]


Row = Any
"""LANES numbers in a register (rows.py)."""


CACHED = 12 if LANES == 8 else 9
"""Qubits between the rows of a tile that fits the caches so well that more of them in the lanes gain nothing."""


def qubits_in_lanes(qubits: int) -> int:
    """Return how many qubits of a circuit lie in the lanes.

    A large state has as many there as there is room for: its tiles are of fewer samples then and stay in the caches,
    one sample costs no more than itself, and a batch is work for many threads. Neither batch nor threads count, so
    that a sample has the same bits in any company.
    """
    return min(LANES.bit_length() - 1, qubits, max(0, qubits - CACHED))


@compiled
def exchanged(row: Row, qubit: int) -> Row:
    """Return a row in which the lanes that differ in one bit have changed places."""
    if qubit == 0:
        return exchange_1(row)
    if qubit == 1:
        return exchange_2(row)
    if qubit == 2:
        return exchange_4(row)
    return exchange_8(row)


@compiled
def over_lanes(row: Row, lanes: int) -> Row:
    """Return in each lane the sum over the lanes of its sample."""
    for qubit in range(lanes):
        row = add(row, exchanged(row, qubit))
    return row


@compiled
def signed(row: Row, qubit: int) -> Row:
    """Return a row times Z of a qubit in the lanes: plus where the lane's bit is 0, minus where it is 1."""
    one = bit(row, qubit)
    return multiply(row, subtract(subtract(ones(row), one), one))


@compiled
def _choose(zero: Row, one: Row, which: Row) -> Row:
    """Return `zero` in the lanes in which `which` is 0, and `one` where it is 1."""
    return add(multiply(subtract(ones(which), which), zero), multiply(which, one))


@compiled
def _turn(state: Tile, first: int, stop: int, qubit: int, own: Row, other: Row) -> None:
    """Write own * row + other * (row with the qubit's lanes exchanged) to rows first..stop-1."""
    for row in range(first, stop):
        a = load(state, row)
        store(state, row, add(multiply(own, a), multiply(other, exchanged(a, qubit))))


@compiled
def _turn_back(psi: Tile, lam: Tile, first: int, stop: int, qubit: int, own: Row, other: Row, sum_: Row) -> Row:
    """Do the same to both states; add lam times psi exchanged, before it: but for its signs the gate's derivative."""
    for row in range(first, stop):
        a, x = load(psi, row), load(lam, row)
        b = exchanged(a, qubit)
        sum_ = add(sum_, multiply(x, b))
        store(psi, row, add(multiply(own, a), multiply(other, b)))
        store(lam, row, add(multiply(own, x), multiply(other, exchanged(x, qubit))))
    return sum_


@compiled
def _factors(what: int, target: int, control: int, lanes: int, c: Row, s: Row) -> tuple[Row, Row]:
    """Return the factors of a row and of its exchanged neighbours, for a target in the lanes and control 0, if any."""
    own, other = c, subtract(subtract(s, s), signed(s, target))
    if what == RY or control >= lanes:
        return own, other
    which = bit(c, control)
    return _choose(own, other, which), _choose(other, own, which)


@compiled
def _pair_factors(control: int, c: Row, s: Row) -> tuple[Row, Row, Row, Row]:
    """Return the factors of a pair of rows in both results, for a control in the lanes: where it is 1 they swap."""
    which, minus = bit(c, control), subtract(subtract(s, s), s)
    return _choose(c, minus, which), _choose(minus, c, which), _choose(s, c, which), _choose(c, s, which)


@compiled
def apply_in_lanes(state: Tile, size: int, what: int, target: int, control: int, lanes: int, c: Row, s: Row) -> None:
    """Apply a gate that has its target or its control in the lanes to the first `size` rows of a tile."""
    if what == CX:
        c, s = ones(c), subtract(s, s)
    if target >= lanes:
        t = 1 << (target - lanes)
        aa, ab, ba, bb = _pair_factors(control, c, s)
        for high in range(0, size, 2 * t):
            for row in range(high, high + t):
                a, b = load(state, row), load(state, row + t)
                store(state, row, add(multiply(aa, a), multiply(ab, b)))
                store(state, row + t, add(multiply(ba, a), multiply(bb, b)))
        return
    own, other = _factors(what, target, control, lanes, c, s)
    if what == RY or control < lanes:
        _turn(state, 0, size, target, own, other)
        return
    k = 1 << (control - lanes)
    for high in range(0, size, 2 * k):
        if what != CX:
            _turn(state, high, high + k, target, own, other)
        _turn(state, high + k, high + 2 * k, target, other, own)


@compiled
def undo_in_lanes(
    psi: Tile, lam: Tile, size: int, what: int, target: int, control: int, lanes: int, c: Row, s: Row
) -> Row:
    """Undo such a gate in both states; return the derivative of the expectation by its angle, lane by lane."""
    if what == CX:
        c, s = ones(c), subtract(s, s)
    derivative = subtract(c, c)
    if target >= lanes:
        t = 1 << (target - lanes)
        aa, ab, ba, bb = _pair_factors(control, c, s)
        for high in range(0, size, 2 * t):
            for row in range(high, high + t):
                a, b = load(psi, row), load(psi, row + t)
                x, y = load(lam, row), load(lam, row + t)
                store(psi, row, add(multiply(aa, a), multiply(ba, b)))
                store(psi, row + t, add(multiply(ab, a), multiply(bb, b)))
                store(lam, row, add(multiply(aa, x), multiply(ba, y)))
                store(lam, row + t, add(multiply(ab, x), multiply(bb, y)))
                derivative = add(derivative, subtract(multiply(y, a), multiply(x, b)))
        return derivative
    own, other = _factors(what, target, control, lanes, c, s)
    # The inverse of a rotation is its transpose.
    back = exchanged(other, target)
    if what == RY or control < lanes:
        derivative = _turn_back(psi, lam, 0, size, target, own, back, derivative)
    else:
        k = 1 << (control - lanes)
        for high in range(0, size, 2 * k):
            if what != CX:
                derivative = _turn_back(psi, lam, high, high + k, target, own, back, derivative)
            derivative = _turn_back(psi, lam, high + k, high + 2 * k, target, other, own, derivative)
    return subtract(subtract(c, c), signed(derivative, target))
