"""A whole hybrid head in compiled kernels: its logits, its loss, its gradient and steps of Adam, tile by tile (Numba).

In: a head as numbers (`Model`), each run's weights, amplitudes, what to train for (`Goal`), memory (`Space`).
Out: logits, or weights and moments after training steps, written in place.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from hilbertune.engine.compiling import compiled
from hilbertune.engine.draws import Draw, draw_tile
from hilbertune.engine.gates import (
    Compiled,
    Tile,
    fill_angles,
    fill_state,
    inlined,
    measure,
    observe,
    run_gates,
    share_slopes,
    square,
    undo_gates,
)
from hilbertune.engine.lanes import over_lanes
from hilbertune.engine.rows import LANES, add, arrive, arrived, give_way, load, multiply, splat, store, total
from hilbertune.model.goals import Goal, loss


class Model(NamedTuple):
    """A hybrid head as numbers; `..._at` is where its parameters begin in the row of weights of a run.

    Of both programs the same number of qubits lies in the lanes; outside the circuits all lanes of a sample are alike.
    """

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
    angle_scale: float  # of every angle, where none has a factor of its own
    factor_at: int  # -1: no factors and shifts of the angles are trained
    shift_at: int
    linear_at: int  # -1: no final linear layer, the logits are `readout` times the expectations
    bias_at: int
    readout: Float[np.ndarray, "outputs measured"]
    shift: Float[np.ndarray, "runs measured"]  # taken off each expectation before it is read
    factor: Float[np.ndarray, "runs measured"]  # and then on it; 0 and 1 change no bit


class Space(NamedTuple):
    """Memory of a thread: the encoders' final states, the head's, lambda, and the blocks of a pass."""

    encoded: Float[np.ndarray, "encoders rows lanes"]
    psi: Tile
    lam: Tile
    blocks: Float[np.ndarray, "2 block lanes"]


class Tape(NamedTuple):
    """The record of the way forward through a tile for the way back: cosines, sines, <Z>, logits, slopes.

    `encoded` are the angles before their factors; `joint` the joint probabilities of the measured qubits, without
    columns where nothing is drawn from them.
    """

    encoder_turn: Float[np.ndarray, "2 encoders angles lanes"]
    head_turn: Float[np.ndarray, "2 angles lanes"]
    encoded: Float[np.ndarray, "angles lanes"]
    z: Float[np.ndarray, "measured lanes"]
    logits: Float[np.ndarray, "outputs lanes"]
    by_logit: Float[np.ndarray, "outputs lanes"]
    joint: Float[np.ndarray, "samples outcomes"]


class Team(NamedTuple):
    """Threads that share the tiles of runs start..stop-1: which one this is, how many they are, where they meet."""

    start: int
    stop: int
    member: int
    size: int
    counter: Int[np.ndarray, " one"]


class Data(NamedTuple):
    """The data of an epoch: the rows in `order`, a batch at a time; shots of each expectation (0: it is exact)."""

    amplitudes: Float[np.ndarray, "sources rows amplitudes"]
    sources: Int[np.ndarray, " runs"]  # whose amplitudes each run takes
    goal: Goal
    order: Int[np.ndarray, "runs rows"]
    batch_size: int
    shots: int
    keys: Int[np.ndarray, "runs 2"]  # of the shots


class Adam(NamedTuple):
    """The values that the optimiser changes (weights, both moments) or reads; runs that are not active stand still."""

    weights: Float[np.ndarray, "runs weights"]
    first: Float[np.ndarray, "runs weights"]
    second: Float[np.ndarray, "runs weights"]
    rates: Float[np.ndarray, "steps runs"]  # of the epoch's steps
    decays: Float[np.ndarray, " runs"]
    active: Bool[np.ndarray, " runs"]


class Sums(NamedTuple):
    """Gradient and loss of each tile, shared by a team so that sums do not depend on its size; each run's loss."""

    gradients: Float[np.ndarray, "tiles weights"]
    losses: Float[np.ndarray, " tiles"]
    total: Float[np.ndarray, " runs"]


@compiled
def _tape(model: Model, dtype: Any, shots: int) -> Tape:
    encoder_turn = np.empty((2, model.encoders, model.encoder.angles + 1, LANES), dtype)
    head_turn = np.empty((2, model.head.angles + 1, LANES), dtype)
    outputs, measured = model.readout.shape
    encoded, z = np.empty((model.head_inputs, LANES), dtype), np.empty((measured, LANES), dtype)
    logits, by_logit = np.empty((outputs, LANES), dtype), np.empty((outputs, LANES), dtype)
    joint = np.empty((LANES >> model.head.lanes, 1 << measured if shots > 0 else 0), dtype)
    return Tape(encoder_turn, head_turn, encoded, z, logits, by_logit, joint)


@compiled
def _half(values: Float[np.ndarray, " angles"]) -> tuple[Any, Any]:
    half = values / values.dtype.type(2)
    return np.cos(half), np.sin(half)


@compiled
def _fill_inputs(turn: Float[np.ndarray, "2 inputs lanes"], x: Tile) -> None:
    """Write cosines and sines of half of a tile's angles."""
    for row in range(len(x)):
        for lane in range(LANES):
            half = x[row, lane] / x.dtype.type(2)
            turn[0, row, lane], turn[1, row, lane] = math.cos(half), math.sin(half)


@inlined
def _encode(
    model: Model,
    turns: tuple[Any, Any],
    amplitudes: Float[np.ndarray, "rows amplitudes"],
    chosen: Int[np.ndarray, " samples"],
    space: Space,
    tape: Tape,
    x: Tile,
) -> None:
    """Run the encoders on the chosen rows and add their expectations, scaled, to the head's angles `x`."""
    dtype = x.dtype
    rows = space.encoded.shape[1]
    everything = np.ones(model.encoder_qubits, np.bool_)
    nothing = np.empty((0, 0), dtype)
    no_inputs = np.empty((0, LANES), dtype)
    encoded = np.empty((model.encoder_qubits, LANES), dtype)
    scale = splat(dtype.type(model.angle_scale / (model.encoders if model.average else 1)))
    for encoder in range(model.encoders):
        first = model.encoder_at + encoder * model.encoder_weights
        stop = first + model.encoder_weights
        cosine, sine = tape.encoder_turn[0, encoder], tape.encoder_turn[1, encoder]
        own = turns[0][first:stop], turns[1][first:stop]
        fill_angles(cosine, sine, model.encoder, own, (no_inputs, no_inputs))
        fill_state(space.encoded[encoder], amplitudes, chosen, model.rest, model.encoder.lanes)
        run_gates(space.encoded[encoder], space.blocks, model.encoder, cosine, sine)
        square(space.lam[:rows], space.encoded[encoder])
        measure(space.lam[:rows], everything, encoded, nothing, model.encoder.lanes)
        for qubit in range(model.encoder_qubits):
            place = qubit if model.average else encoder * model.encoder_qubits + qubit
            store(x, place, add(load(x, place), multiply(scale, load(encoded, qubit))))


@compiled
def _scale_inputs(model: Model, weights: Float[np.ndarray, " weights"], encoded: Tile, x: Tile) -> None:
    """Give each angle its own factor and shift, and keep what it was."""
    for angle in range(len(x)):
        store(encoded, angle, load(x, angle))
        factor, shift = splat(weights[model.factor_at + angle]), splat(weights[model.shift_at + angle])
        store(x, angle, add(multiply(factor, load(x, angle)), shift))


@compiled
def _unscale_inputs(
    model: Model,
    weights: Float[np.ndarray, " weights"],
    encoded: Tile,
    by_x: Tile,
    gradient: Float[np.ndarray, " weights"],
) -> None:
    """Take the derivative by the angles to their factors and shifts, and to what they were."""
    part = splat(by_x.dtype.type(1 / (1 << model.head.lanes)))
    for angle in range(len(by_x)):
        slope = load(by_x, angle)
        gradient[model.factor_at + angle] += total(multiply(part, multiply(slope, load(encoded, angle))))
        gradient[model.shift_at + angle] += total(multiply(part, slope))
        store(by_x, angle, multiply(splat(weights[model.factor_at + angle]), slope))


@inlined
def _run_head(
    model: Model, turns: tuple[Any, Any], chosen: Int[np.ndarray, " samples"], space: Space, tape: Tape, x: Tile
) -> None:
    """Run the head on its angles `x` and measure its expectations."""
    nothing = np.empty((0, 0), x.dtype)
    turned = np.empty((2, len(x), LANES), x.dtype)
    _fill_inputs(turned, x)
    first, stop = model.head_at, model.head_at + model.head_weights
    cosine, sine = tape.head_turn[0], tape.head_turn[1]
    fill_angles(cosine, sine, model.head, (turns[0][first:stop], turns[1][first:stop]), (turned[0], turned[1]))
    fill_state(space.psi, nothing, chosen, 0.0, model.head.lanes)
    run_gates(space.psi, space.blocks, model.head, cosine, sine)
    square(space.lam, space.psi)
    measured = np.zeros(model.qubits, np.bool_)
    measured[: len(tape.z)] = True
    measure(space.lam, measured, tape.z, tape.joint, model.head.lanes)


@compiled
def _forward(
    model: Model,
    run: int,
    weights: Float[np.ndarray, " weights"],
    amplitudes: Float[np.ndarray, "rows amplitudes"],
    chosen: Int[np.ndarray, " samples"],
    draw: Draw,
    space: Space,
    tape: Tape,
) -> None:
    """Compute a tile's expectations, drawn if there are shots, standardised, and logits into `tape`.

    The final states stay in `space`.
    """
    z, dtype = tape.z, tape.z.dtype
    turns = _half(weights)
    x = np.zeros((model.head_inputs, LANES), dtype)
    _encode(model, turns, amplitudes, chosen, space, tape, x)
    if model.factor_at >= 0:
        _scale_inputs(model, weights, tape.encoded, x)
    _run_head(model, turns, chosen, space, tape, x)
    if draw.shots > 0:
        draw_tile(tape.joint, draw, z, model.head.lanes)
    for qubit in range(len(z)):
        centred = add(load(z, qubit), splat(-model.shift[run, qubit]))
        store(z, qubit, multiply(splat(model.factor[run, qubit]), centred))
    for label in range(len(tape.logits)):
        sum_ = splat(weights[model.bias_at + label] if model.linear_at >= 0 else dtype.type(0))
        for qubit in range(len(z)):
            factor = model.readout[label, qubit]
            if model.linear_at >= 0:
                factor = weights[model.linear_at + label * len(z) + qubit]
            sum_ = add(sum_, multiply(splat(factor), load(z, qubit)))
        store(tape.logits, label, sum_)


@inlined
def _undo_encoders(model: Model, space: Space, tape: Tape, by_x: Tile, gradient: Float[np.ndarray, " weights"]) -> None:
    """Take the derivative by the head's angles back through the encoders, to their weights."""
    dtype = by_x.dtype
    rows = space.encoded.shape[1]
    no_inputs = np.empty((0, LANES), dtype)
    by_encoded = np.empty((model.encoder_qubits, LANES), dtype)
    scale = splat(dtype.type(model.angle_scale / (model.encoders if model.average else 1)))
    for encoder in range(model.encoders):
        for qubit in range(model.encoder_qubits):
            place = qubit if model.average else encoder * model.encoder_qubits + qubit
            store(by_encoded, qubit, multiply(scale, load(by_x, place)))
        psi, lam = space.encoded[encoder], space.lam[:rows]
        observe(lam, psi, by_encoded, model.encoder.lanes)
        slopes = np.zeros_like(tape.encoder_turn[0, 0])
        cosine, sine = tape.encoder_turn[0, encoder], tape.encoder_turn[1, encoder]
        undo_gates(psi, lam, space.blocks, model.encoder, cosine, sine, slopes)
        first = model.encoder_at + encoder * model.encoder_weights
        own = gradient[first : first + model.encoder_weights]
        share_slopes(slopes, model.encoder, own, no_inputs)


@compiled
def _backward(
    model: Model,
    run: int,
    weights: Float[np.ndarray, " weights"],
    space: Space,
    tape: Tape,
    gradient: Float[np.ndarray, " weights"],
) -> None:
    """Turn the loss's derivative by a tile's logits into that by all weights, and add it to `gradient`."""
    z, dtype, lanes = tape.z, tape.z.dtype, model.head.lanes
    part = splat(dtype.type(1 / (1 << lanes)))
    by_z = np.zeros((model.qubits, LANES), dtype)
    for label in range(len(tape.by_logit)):
        slope = load(tape.by_logit, label)
        if model.linear_at >= 0:
            gradient[model.bias_at + label] += total(multiply(part, slope))
        for qubit in range(len(z)):
            factor = model.readout[label, qubit]
            if model.linear_at >= 0:
                at = model.linear_at + label * len(z) + qubit
                factor = weights[at]
                gradient[at] += total(multiply(part, multiply(slope, load(z, qubit))))
            store(by_z, qubit, add(load(by_z, qubit), multiply(splat(factor), slope)))
    for qubit in range(len(z)):
        store(by_z, qubit, multiply(splat(model.factor[run, qubit]), load(by_z, qubit)))
    observe(space.lam, space.psi, by_z, lanes)
    by_angle = np.zeros_like(tape.head_turn[0])
    undo_gates(space.psi, space.lam, space.blocks, model.head, tape.head_turn[0], tape.head_turn[1], by_angle)
    by_x = np.zeros((model.head_inputs, LANES), dtype)
    own = gradient[model.head_at : model.head_at + model.head_weights]
    share_slopes(by_angle, model.head, own, by_x)
    for angle in range(len(by_x)):
        store(by_x, angle, over_lanes(load(by_x, angle), lanes))
    if model.factor_at >= 0:
        _unscale_inputs(model, weights, tape.encoded, by_x, gradient)
    _undo_encoders(model, space, tape, by_x, gradient)


@compiled
def _adam_step(adam: Adam, run: int, gradient: Float[np.ndarray, " weights"], step: int, before: int) -> None:
    """Take a run's step of Adam (Kingma and Ba 2015) with an L2 penalty: `step` counts from 0 in an epoch."""
    weights, first, second = adam.weights[run], adam.first[run], adam.second[run]
    rate, decay = adam.rates[step, run], adam.decays[run]
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8
    count = before + step + 1
    corrected = rate / (1 - beta1**count)
    for i in range(len(weights)):
        slope = gradient[i] + decay * weights[i]
        first[i] = beta1 * first[i] + (1 - beta1) * slope
        second[i] = beta2 * second[i] + (1 - beta2) * slope * slope
        weights[i] -= corrected * first[i] / (math.sqrt(second[i] / (1 - beta2**count)) + epsilon)


@compiled
def _wait(team: Team) -> None:
    """Return when all threads of the team have come here."""
    if team.size > 1:
        mine = arrive(team.counter)
        everyone = (mine + team.size - 1) // team.size * team.size
        while arrived(team.counter) < everyone:
            give_way()


@compiled
def train(
    team: Team,
    model: Model,
    space: Space,
    data: Data,
    adam: Adam,
    steps: tuple[int, int, int],
    sums: Sums,
) -> None:
    """Take training steps of the team's runs; `sums.total` adds up the losses of the rows.

    steps: (first, stop, before): which steps of the epoch, and how many steps came before the epoch.
    """
    tape, samples = _tape(model, adam.weights.dtype, data.shots), LANES >> model.head.lanes
    for run in range(team.start, team.stop):
        if not adam.active[run]:
            continue
        weights = adam.weights[run]
        amplitudes = data.amplitudes[data.sources[run]]
        for step in range(steps[0], steps[1]):
            batch = data.order[run, step * data.batch_size : (step + 1) * data.batch_size]
            tiles = (len(batch) + samples - 1) // samples
            for tile in range(team.member, tiles, team.size):
                chosen = batch[tile * samples : (tile + 1) * samples]
                draw = Draw(data.shots, data.keys[run, 0], data.keys[run, 1], steps[2] + step, tile * samples)
                _forward(model, run, weights, amplitudes, chosen, draw, space, tape)
                sums.losses[tile] = loss(
                    data.goal, run, chosen, 1 / len(batch), tape.logits, tape.by_logit, model.head.lanes
                )
                sums.gradients[tile] = 0
                _backward(model, run, weights, space, tape, sums.gradients[tile])
            _wait(team)
            if team.member == 0:
                for tile in range(tiles):
                    sums.total[run] += sums.losses[tile]
                    if tile > 0:
                        sums.gradients[0] += sums.gradients[tile]
                _adam_step(adam, run, sums.gradients[0], step, steps[2])
            _wait(team)


@compiled
def predict(
    start: int,
    stop: int,
    model: Model,
    space: Space,
    weights: Float[np.ndarray, "runs weights"],
    loaded: tuple[Float[np.ndarray, "sources rows amplitudes"], Int[np.ndarray, " runs"]],
    chosen: Int[np.ndarray, "runs rows"],
    logits: Float[np.ndarray, "runs rows outputs"],
) -> None:
    """Write the logits of the chosen rows, for the items (tiles of a run) start..stop-1."""
    tape = _tape(model, weights.dtype, 0)
    exact = Draw(0, 0, 0, 0, 0)
    samples = LANES >> model.head.lanes
    tiles = (chosen.shape[1] + samples - 1) // samples
    for item in range(start, stop):
        run, first = item // tiles, item % tiles * samples
        rows = chosen[run, first : first + samples]
        own = loaded[0][loaded[1][run]]
        _forward(model, run, weights[run], own, rows, exact, space, tape)
        for sample in range(len(rows)):
            for label in range(len(tape.logits)):
                logits[run, first + sample, label] = tape.logits[label, sample << model.head.lanes]
