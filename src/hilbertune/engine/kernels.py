"""Numba kernels that run a program of gates, forwards and backwards, over tiles of eight samples.

In: a `Program`, cosines and sines of half the angles, amplitudes. Out: expectations, gradients, or a whole training step.
A tile's state is [2^qubits, LANES]: the batch is the innermost axis, so that every gate is the same vector arithmetic whichever qubit it
acts on. A slot is a weight (the same in every lane) or an input (one a lane). An item of work is one tile of one run.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from hilbertune.engine.gates import (
    Compiled,
    Tile,
    apply_gate,
    compiled,
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


@compiled
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
        transpose(x[0], inputs[0][run, first:last])
        transpose(x[1], inputs[1][run, first:last])
        fill_angles(cosine, sine, program, (weights[0][run], weights[1][run]), (x[0], x[1]))
        fill_state(state, amplitudes[run], np.arange(first, last), 0.0)
        run_gates(state, blocks, program, cosine, sine)
        square(scratch, state)
        measure(scratch, measured, z, marginals[run, first:last])
        for lane in range(last - first):
            for qubit in range(len(measured)):
                if measured[qubit]:
                    values[run, first + lane, qubit] = z[qubit, lane]


@compiled
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
        transpose(x[0], inputs[0][run, first:last])
        transpose(x[1], inputs[1][run, first:last])
        fill_angles(cosine, sine, program, (weights[0][run], weights[1][run]), (x[0], x[1]))
        transpose(z, by_value[run, first:last])
        psi[:] = states[item]
        observe(lam, psi, z)
        by_angle[:] = 0
        x[2] = 0
        undo_gates(psi, lam, blocks, program, cosine, sine, by_angle)
        share_slopes(by_angle, program, by_weight[item], x[2])
        for lane in range(last - first):
            for slot in range(by_input.shape[2]):
                by_input[run, first + lane, slot] = x[2, slot, lane]
            for row in range(by_amplitude.shape[2]):
                by_amplitude[run, first + lane, row] = 2 * lam[row, lane]


@compiled
def _half_turn(phi: Tile, psi: Tile, size: int, target: int) -> None:
    """phi = J psi with J = [[0, -1], [1, 0]] on the target: half a turn, RY(pi); RY(pi/2) = (1 + J) / sqrt(2)."""
    phi[size:] = 0
    t = 1 << target
    for high in range(0, size, 2 * t):
        for row in range(high, high + t):
            a, b = load(psi, row), load(psi, row + t)
            store(phi, row, subtract(subtract(b, b), b))
            store(phi, row + t, a)


@compiled
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
        transpose(x[0], inputs[0][run, first : first + LANES])
        transpose(x[1], inputs[1][run, first : first + LANES])
        fill_angles(cosine, sine, program, (weights[0][run], weights[1][run]), (x[0], x[1]))
        fill_state(last, amplitudes[run], rows, 0.0)
        psi[:] = last
        run_gates(last, scratch[2:], program, cosine, sine)
        for gate in range(len(program.gates)):
            what, target, control, angle, size = program.gates[gate]
            apply_gate(psi, size, what, target, control, load(cosine, angle), load(sine, angle))
            if what == CX:
                continue
            _half_turn(phi, psi, size, target)
            for later in range(gate + 1, len(program.gates)):
                kind, t, k, slot, size = program.gates[later]
                apply_gate(phi, size, kind, t, k, load(cosine, slot), load(sine, slot))
            for sign in range(2):
                for row in range(len(last)):
                    a, b = multiply(root, load(last, row)), multiply(root, load(phi, row))
                    sum_ = add(a, b) if sign == 0 else subtract(a, b)
                    store(probabilities, row, multiply(sum_, sum_))
                own = marginals[run, first : first + LANES, angle, sign]
                measure(probabilities, measured, z, own)
                for lane in range(len(rows)):
                    values[run, first + lane, angle, sign] = z[:, lane]
