"""Numba kernels that run a program of gates, forwards and backwards, over tiles of eight samples.

In: a `Program`, cosines and sines of half the angles, amplitudes. Out: expectations, gradients, or a whole training step.
A tile's state is [2^qubits, LANES]: the batch is the innermost axis, so that every gate is the same vector arithmetic whichever qubit it
acts on. A slot is a weight (the same in every lane) or an input (one a lane). An item of work is one tile of one run.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from hilbertune.engine.gates import (
    Compiled,
    Tile,
    compiled,
    fill_angles,
    fill_state,
    measure,
    observe,
    run_gates,
    share_slopes,
    square,
    undo_gates,
)
from hilbertune.engine.rows import LANES, add, arrive, arrived, give_way, load, multiply, splat, store, total


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


@compiled
def _half(values: Float[np.ndarray, " angles"]) -> tuple[Any, Any]:
    half = values / values.dtype.type(2)
    return np.cos(half), np.sin(half)


@compiled
def _fill_inputs(turn: Float[np.ndarray, "2 inputs lanes"], x: Tile) -> None:
    """Cosines and sines of half of a tile's angles."""
    for row in range(len(x)):
        for lane in range(LANES):
            half = x[row, lane] / x.dtype.type(2)
            turn[0, row, lane], turn[1, row, lane] = math.cos(half), math.sin(half)


@compiled
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
        fill_angles(turn[0], turn[1], model.encoder, own, (no_inputs, no_inputs))
        fill_state(space.encoded[encoder], amplitudes, chosen, model.rest)
        run_gates(space.encoded[encoder], space.blocks, model.encoder, turn[0], turn[1])
        square(space.lam[:rows], space.encoded[encoder])
        measure(space.lam[:rows], everything, encoded, nothing)
        for qubit in range(model.encoder_qubits):
            place = qubit if model.average else encoder * model.encoder_qubits + qubit
            store(x, place, add(load(x, place), multiply(scale, load(encoded, qubit))))
    turned = np.empty((2, len(x), LANES), z.dtype)
    _fill_inputs(turned, x)
    own = (
        cosines[model.head_at : model.head_at + model.head_weights],
        sines[model.head_at : model.head_at + model.head_weights],
    )
    fill_angles(head_turn[0], head_turn[1], model.head, own, (turned[0], turned[1]))
    fill_state(space.psi, np.empty((0, 0), z.dtype), chosen, 0.0)
    run_gates(space.psi, space.blocks, model.head, head_turn[0], head_turn[1])
    square(space.lam, space.psi)
    measured = np.zeros(model.qubits, np.bool_)
    measured[: len(z)] = True
    measure(space.lam, measured, z, nothing)
    for label in range(len(logits)):
        bias = weights[model.bias_at + label] if model.linear_at >= 0 else dtype(0)
        sum_ = splat(bias)
        for qubit in range(len(z)):
            factor = model.readout[label, qubit]
            if model.linear_at >= 0:
                factor = weights[model.linear_at + label * len(z) + qubit]
            sum_ = add(sum_, multiply(splat(factor), load(z, qubit)))
        store(logits, label, sum_)


@compiled
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


@compiled
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


@compiled
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
    observe(space.lam, space.psi, by_z)
    by_angle = np.zeros_like(head_turn[0])
    undo_gates(space.psi, space.lam, space.blocks, model.head, head_turn[0], head_turn[1], by_angle)
    by_x = np.zeros((model.head_inputs, LANES), z.dtype)
    own = gradient[model.head_at : model.head_at + model.head_weights]
    share_slopes(by_angle, model.head, own, by_x)
    rows = space.encoded.shape[1]
    no_inputs = np.empty((0, LANES), z.dtype)
    by_encoded = np.empty((model.encoder_qubits, LANES), z.dtype)
    scale = splat(dtype(model.angle_scale / (model.encoders if model.average else 1)))
    for encoder in range(model.encoders):
        for qubit in range(model.encoder_qubits):
            place = qubit if model.average else encoder * model.encoder_qubits + qubit
            store(by_encoded, qubit, multiply(scale, load(by_x, place)))
        psi, lam = space.encoded[encoder], space.lam[:rows]
        observe(lam, psi, by_encoded)
        slopes = np.zeros_like(encoder_turn[0, 0])
        turn = encoder_turn[0, encoder], encoder_turn[1, encoder]
        undo_gates(psi, lam, space.blocks, model.encoder, turn[0], turn[1], slopes)
        first = model.encoder_at + encoder * model.encoder_weights
        own = gradient[first : first + model.encoder_weights]
        share_slopes(slopes, model.encoder, own, no_inputs)


@compiled
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


@compiled
def _wait(counter: Int[np.ndarray, " one"], team: int) -> None:
    """Return when all threads of the team have come here."""
    if team > 1:
        mine = arrive(counter)
        goal = (mine + team - 1) // team * team
        while arrived(counter) < goal:
            give_way()


@compiled
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
                _forward(model, weights[run], loaded, chosen, space, encoder_turn, head_turn, z, logits)
                share = 1 / len(batch)
                if goal.kind == CROSS_ENTROPY:
                    losses[tile] = _cross_entropy(logits, goal.labels, factors, chosen, share, by_logit)
                else:
                    losses[tile] = _separate_losses(goal.kind, logits, goal.wanted, factors, chosen, share, by_logit)
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


@compiled
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
