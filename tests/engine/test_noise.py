"""Noise by negated angles: single trajectories against Paulis in dense states, means against Aer's density matrix."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.config.noise import Noise
from hilbertune.engine import noise, reference
from hilbertune.engine.expectations import expectation

PAULIS = {0: np.eye(2), 1: np.array([[0, 1], [1, 0]]), 2: np.diag([1, -1]), 3: np.array([[0, -1j], [1j, 0]])}
SMALL = head(3, reuploads=2, layers=1)
HEAVY = Noise(0.06, 0.11, 0.04, trajectories=4000)


def rngs(*seeds: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def numbers(circuit: Circuit, runs: int = 1, batch: int = 2, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    weights = torch.from_numpy(rng.normal(0, 1, (runs, circuit.parameters)))
    return weights, torch.from_numpy(rng.normal(0, 1, (runs, batch, circuit.inputs)))


def applied(state: np.ndarray, matrix: np.ndarray, qubit: int) -> np.ndarray:
    high = state.reshape(-1, 2, 1 << qubit)
    return np.einsum("ab,hbl->hal", matrix, high).reshape(-1)


def dense(circuit: Circuit, angles: np.ndarray, state: np.ndarray, errors: list[int]) -> np.ndarray:
    """Probabilities of all outcomes, each gate followed by a Pauli: two bits a qubit, control first."""
    numbers = iter(angles)
    index = np.arange(len(state))
    for operation, pauli in zip(circuit.operations, errors, strict=True):
        if operation.control is None:
            c, s = math.cos((a := next(numbers)) / 2), math.sin(a / 2)
            state = applied(state, np.array([[c, -s], [s, c]]), operation.target)
        else:
            state = state[index ^ ((index >> operation.control & 1) << operation.target)]
        for qubit in operation.qubits:
            state = applied(state, PAULIS[pauli & 3], qubit)
            pauli >>= 2
    return np.abs(state) ** 2


@st.composite
def noisy_circuits(draw: st.DrawFn) -> tuple[Circuit, list[int], int]:
    qubits = draw(st.integers(1, 4))
    wire = st.integers(0, qubits - 1)
    ry = st.tuples(st.builds(lambda q: Operation("ry", q, weight=0), wire), st.integers(0, 3))
    kinds = [ry]
    if qubits > 1:
        pair = st.lists(wire, min_size=2, max_size=2, unique=True)
        kinds.append(st.tuples(pair.map(lambda p: Operation("cx", *p)), st.integers(0, 15)))
    gates = draw(st.lists(st.one_of(kinds), max_size=25))
    return Circuit(qubits, tuple(g for g, _ in gates)), [e for _, e in gates], draw(st.integers(0, 99))


@settings(max_examples=150)
@given(noisy_circuits())
def test_a_pauli_pushed_to_the_end_is_that_pauli_where_it_struck(
    made: tuple[Circuit, list[int], int],
) -> None:
    circuit, errors, seed = made
    rng = np.random.default_rng(seed)
    state = rng.normal(size=1 << circuit.qubits)
    state /= np.linalg.norm(state)
    angles = rng.normal(0, 2, sum(o.kind == "ry" for o in circuit.operations))
    signs, flipped = noise.pushed(circuit, [(np.array([0]), np.array([e])) for e in errors], 1)
    mask = sum(int(f) << q for q, f in enumerate(flipped[:, 0]))
    clean = dense(circuit, angles * signs[0], state.astype(complex), [0] * len(errors))
    wanted = dense(circuit, angles, state.astype(complex), errors)
    np.testing.assert_allclose(clean[np.arange(len(clean)) ^ mask], wanted, atol=1e-12)


def test_all_courses_of_a_small_circuit_weighed_are_aers_density_matrix() -> None:
    ry, cx = (lambda q, w: Operation("ry", q, weight=w)), (lambda c, t: Operation("cx", t, c))
    circuit = Circuit(2, (ry(0, 0), cx(0, 1), ry(1, 1), cx(1, 0), ry(0, 2)))
    angles, model = np.array([0.7, -1.1, 0.4]), Noise(0.2, 0.3)
    sizes = [4 if o.kind == "ry" else 16 for o in circuit.operations]
    rates = [model.one_qubit if size == 4 else model.two_qubit for size in sizes]
    courses = np.array(list(itertools.product(*map(range, sizes))))
    everywhere = np.arange(len(courses))
    signs, flipped = noise.pushed(circuit, [(everywhere, e) for e in courses.T], len(courses))
    turned = torch.from_numpy(angles * signs)[None]
    every, _ = circuit.with_every_angle_an_input()
    none = turned.new_zeros(1, len(courses), 0)
    clean = reference.exact(every, none[:, 0], turned, none, (0, 1), False)[0][0].numpy()
    mine = clean * (1 - 2 * flipped.T)
    start = np.eye(4, dtype=complex)[0]
    for errors, values in zip(courses[::7], mine[::7], strict=True):
        wanted = dense(circuit, angles, start, errors.tolist())
        assert values == pytest.approx([z_of(wanted, 0), z_of(wanted, 1)], abs=1e-10)
    weights = np.ones(len(courses))
    for struck, size, rate in zip(courses.T, sizes, rates, strict=True):
        weights *= np.where(struck > 0, rate / size, 1 - rate * (size - 1) / size)
    right = aer(circuit, angles.tolist(), [], model)
    assert weights @ mine == pytest.approx([z_of(right, 0), z_of(right, 1)], abs=1e-10)


def test_errors_strike_every_place_alike_and_once() -> None:
    gates, count, rate = 7, 11, 0.3
    hits = np.zeros((gates, count))
    kinds = np.zeros(4)
    repeats = 4000
    rng = np.random.default_rng(0)
    for _ in range(repeats):
        places, paulis = noise._errors(rng, gates * count, rate, 3)
        assert len(set(places.tolist())) == len(places)
        hits.reshape(-1)[places] += 1
        kinds += np.bincount(paulis, minlength=4)
    error = math.sqrt(rate * (1 - rate) / repeats)
    assert np.abs(hits / repeats - rate).max() < 5 * error
    # Not only a mean that is right: neighbours strike independently.
    assert abs(hits.mean() / repeats - rate) < 5 * error / math.sqrt(gates * count)
    assert kinds[0] == 0
    assert np.abs(kinds[1:] / kinds.sum() - 1 / 3).max() < 5 * math.sqrt(2 / 9 / kinds.sum())


def test_no_error_strikes_at_rate_zero_and_every_gate_at_rate_one() -> None:
    rng = np.random.default_rng(0)
    # The gaps between errors of the smallest rate are longer than 64 bits count.
    for rate in (0.0, 5e-324):
        assert noise._errors(rng, 45, rate, 15)[0].tolist() == []
    assert noise._errors(rng, 45, 1.0, 15)[0].tolist() == list(range(45))
    assert noise._errors(rng, 0, 0.5, 15)[0].tolist() == []


def test_each_generator_draws_the_trajectories_of_its_own_run() -> None:
    together = noise.draw(SMALL, HEAVY, 40, rngs(1, 2))
    alone = [noise.draw(SMALL, HEAVY, 40, [rng]) for rng in rngs(1, 2)]
    assert np.array_equal(together[0], np.concatenate([signs for signs, _ in alone]))
    assert np.array_equal(together[1], np.concatenate([flips for _, flips in alone], axis=1))
    assert not np.array_equal(alone[0][0], alone[1][0])


def test_every_pauli_is_drawn_at_its_rate() -> None:
    count, rate = 200_000, 0.8
    ry, cx = (lambda q: Operation("ry", q, weight=0)), Operation("cx", 1, 0)
    # An X after the first rotation is copied to qubit 1, and the sign of the second tells X and Z from Y and none.
    circuit = Circuit(2, (ry(0), cx, ry(0)))
    signs, x = noise.draw(circuit, Noise(one_qubit=rate), count, rngs(0))
    shares = np.bincount(x[1] + 2 * (x[1] ^ (signs[:, 1] == -1)), minlength=4) / count
    wanted = np.array([1 - 3 * rate / 4, rate / 4, rate / 4, rate / 4])
    assert (np.abs(shares - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / count)).all()
    # No rotation errs here: x and z of both qubits show what followed the CNOT.
    circuit = Circuit(2, (cx, ry(0), ry(1)))
    signs, x = noise.draw(circuit, Noise(two_qubit=rate), count, rngs(1))
    z = x ^ (signs.T == -1)
    shares = np.bincount(x[0] + 2 * z[0] + 4 * x[1] + 8 * z[1], minlength=16) / count
    wanted = np.full(16, rate / 16)
    wanted[0] = 1 - 15 * rate / 16
    assert (np.abs(shares - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / count)).all()
    # Fine enough to tell 15/16 of the rate from all of it.
    assert 5 * math.sqrt(rate / 16 / count) < rate / 15 - rate / 16


def aer(circuit: Circuit, weights: Any, inputs: Any, model: Noise, amplitudes: Any = None) -> np.ndarray:
    """Probabilities of all outcomes by Aer's density matrix; qubit 0 is the lowest bit."""
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

    made = circuit.to_qiskit(weights, inputs)
    described = NoiseModel()
    described.add_all_qubit_quantum_error(depolarizing_error(model.one_qubit, 1), ["ry"])
    described.add_all_qubit_quantum_error(depolarizing_error(model.two_qubit, 2), ["cx"])
    if amplitudes is not None:
        start = made.copy_empty_like()
        start.set_statevector(np.asarray(amplitudes, dtype=complex))
        made = start.compose(made)
    made.save_density_matrix()
    simulator = AerSimulator(method="density_matrix", noise_model=described)
    found = simulator.run(made, optimization_level=0).result().data()["density_matrix"]
    probabilities = np.real(np.diag(np.asarray(found)))
    flip = np.array(
        ReadoutError([[1 - model.readout, model.readout], [model.readout, 1 - model.readout]]).probabilities
    )
    for qubit in range(circuit.qubits):
        probabilities = applied(probabilities, flip.T, qubit)
    return probabilities


def z_of(probabilities: np.ndarray, qubit: int) -> float:
    bits = np.arange(len(probabilities)) >> qubit & 1
    return float(probabilities @ (1 - 2 * bits))


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("started", [False, True])
def test_means_are_those_of_aers_density_matrix(engine: Any, started: bool) -> None:
    circuit = ansatz(3, 2, 2) if started else SMALL
    weights, inputs = numbers(circuit, batch=4)
    amplitudes = None
    if started:
        rng = np.random.default_rng(3)
        amplitudes = torch.from_numpy(rng.normal(size=(1, 4, 8)))
        amplitudes = amplitudes / amplitudes.norm(dim=-1, keepdim=True)
    run = {"cpu": None, "reference": reference.exact}[engine]
    if run is None:
        from hilbertune.engine import cpu

        run = cpu.exact
    measured = (2, 0)
    states = weights.new_zeros(1, 4, 0) if amplitudes is None else amplitudes
    mean, error = noise.with_error(run, HEAVY, rngs(0), circuit, weights, inputs, states, measured)
    # Fine enough to tell a rate that is missing or halved.
    wrong = [Noise(0, 0.11, 0.04), Noise(0.06, 0.055, 0.04)]
    gaps = np.zeros((1 + len(wrong), 4, len(measured)))
    for row in range(4):
        args = (circuit, weights[0].tolist(), inputs[0, row].tolist())
        start = None if amplitudes is None else amplitudes[0, row]
        for number, rates in enumerate([HEAVY, *wrong]):
            probabilities = aer(*args, rates, start)
            wanted = torch.tensor([z_of(probabilities, qubit) for qubit in measured])
            gaps[number, row] = ((mean[0, row] - wanted).abs() / error[0, row]).numpy()
    assert gaps[0].max() < 5
    assert gaps[1:].max(axis=(1, 2)).min() > 5


def test_joint_probabilities_are_those_of_aers_density_matrix() -> None:
    weights, inputs = numbers(SMALL)
    trajectories = 40_000
    model = Noise(0.06, 0.11, 0.04, trajectories)
    run = noise.noisy(reference.exact, model, rngs(1))
    tolerance = 5 / math.sqrt(trajectories) / 2
    for measured in ((0, 1, 2), (2, 0)):
        _, found = run(SMALL, weights, inputs, weights.new_zeros(1, 2, 0), measured, True)
        for row in range(2):
            gaps = []
            for rates in (model, Noise(0.06, 0.055, 0.04)):
                right = aer(SMALL, weights[0].tolist(), inputs[0, row].tolist(), rates)
                kept = sorted(measured)
                wanted = np.zeros(1 << len(kept))
                for outcome, p in enumerate(right):
                    wanted[sum((outcome >> q & 1) << k for k, q in enumerate(kept))] += p
                gaps.append(np.abs(found[0, row].numpy() - wanted).max())
            # Fine enough to tell a rate that is halved.
            assert gaps[0] < tolerance < gaps[1]
            assert float(found[0, row].sum()) == pytest.approx(1)


@pytest.mark.parametrize("measured", [(2, 0), (1,), (1, 2, 0)])
def test_joint_probabilities_have_the_expectations_of_the_same_trajectories(
    measured: tuple[int, ...],
) -> None:
    weights, inputs = numbers(SMALL, runs=2)
    run = noise.noisy(reference.exact, Noise(0.3, 0.6, 0.05, 1), rngs(1, 2))
    values, found = run(SMALL, weights, inputs, weights.new_zeros(2, 2, 0), measured, True)
    for k, qubit in enumerate(measured):
        bit = np.arange(1 << len(measured)) >> sorted(measured).index(qubit) & 1
        np.testing.assert_allclose(found.numpy() @ (1 - 2 * bit), values[..., k], atol=1e-12)


def test_readout_errors_of_joint_probabilities_are_exact() -> None:
    weights, inputs = numbers(SMALL, batch=1)
    model = Noise(readout=0.1)
    run = noise.noisy(reference.exact, model, rngs(1))
    _, found = run(SMALL, weights, inputs, weights.new_zeros(1, 1, 0), (0, 1, 2), True)
    right = aer(SMALL, weights[0].tolist(), inputs[0, 0].tolist(), model)
    np.testing.assert_allclose(found[0, 0], right, atol=1e-12)


def test_sampled_expectations_have_the_noisy_mean() -> None:
    weights, inputs = numbers(SMALL)
    model = Noise(0.06, 0.11, 0.04, trajectories=500)
    draws = torch.stack(
        [
            expectation(SMALL, weights, inputs, measured=[1], shots=200, noise=model, rngs=rngs(seed))
            for seed in range(30)
        ]
    )
    for row in range(2):
        right = z_of(aer(SMALL, weights[0].tolist(), inputs[0, row].tolist(), model), 1)
        mine = draws[:, 0, row, 0]
        assert abs(float(mine.mean()) - right) < 5 * float(mine.std()) / math.sqrt(30)


def test_the_standard_error_is_the_spread_of_repeated_means() -> None:
    weights, inputs = numbers(SMALL, batch=1)
    # Alike rows, each with four trajectories of its own: n for n - 1 would be a third off.
    model, rows = Noise(0.06, 0.11, trajectories=4), inputs.expand(-1, 20_000, -1)
    none = inputs.new_zeros(1, 20_000, 0)
    mean, error = noise.with_error(reference.exact, model, rngs(0), SMALL, weights, rows, none, (0,))
    assert float(error.square().mean()) == pytest.approx(float(mean.var()), rel=0.1)


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("shots", [None, 1000])
def test_the_adjoint_gradient_is_that_of_the_same_trajectories(engine: Any, shots: int | None) -> None:
    model = Noise(0.1, 0.2, 0.05, trajectories=5)
    start = torch.from_numpy(np.random.default_rng(3).normal(size=(1, 2, 8)))
    tensors = [*numbers(SMALL), start / start.norm(dim=-1, keepdim=True)]

    def value(given: Any, shots: int | None) -> torch.Tensor:
        return expectation(SMALL, *given, measured=[0, 2], shots=shots, noise=model, rngs=rngs(7), engine=engine).sum()

    leaves = [t.clone().requires_grad_() for t in tensors]
    grads = torch.autograd.grad(value(leaves, shots), leaves)
    for which, grad in enumerate(grads):
        for index in range(min(6, grad.numel())):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [t.clone() for t in tensors]
                moved[which].view(-1)[index] += step
                ends.append(float(value(moved, None)))
            assert float(grad.reshape(-1)[index]) == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-7)


def test_parameter_shift_under_noise_has_the_mean_of_the_adjoint() -> None:
    circuit = head(2, reuploads=2, layers=1)
    weights, inputs = numbers(circuit)
    model = Noise(0.1, 0.2, 0.05, trajectories=300)
    found = {}
    for gradient in ("adjoint", "parameter-shift"):
        draws = []
        for seed in range(12):
            leaf = inputs.clone().requires_grad_()
            value = expectation(circuit, weights, leaf, measured=[0], gradient=gradient, noise=model, rngs=rngs(seed))
            draws.append(torch.autograd.grad(value.sum(), leaf)[0])
        found[gradient] = torch.stack(draws)
    a, b = found["adjoint"], found["parameter-shift"]
    error = ((a.var(0) + b.var(0)) / 12).sqrt()
    assert ((a.mean(0) - b.mean(0)).abs() < 5 * error).all()
    assert float(error.max()) < 0.02


def test_no_noise_changes_nothing_and_readout_alone_shrinks() -> None:
    weights, inputs = numbers(SMALL)
    exact = expectation(SMALL, weights, inputs)
    torch.testing.assert_close(expectation(SMALL, weights, inputs, noise=Noise()), exact, rtol=0, atol=1e-12)
    shrunk = expectation(SMALL, weights, inputs, noise=Noise(readout=0.1))
    torch.testing.assert_close(shrunk, 0.8 * exact, rtol=0, atol=1e-12)


def test_a_run_does_not_depend_on_its_neighbours_and_a_seed_repeats() -> None:
    weights, inputs = numbers(SMALL, runs=3)
    model = Noise(0.1, 0.2, 0.05)
    for shots in (None, 50):
        together = expectation(SMALL, weights, inputs, shots=shots, noise=model, rngs=rngs(4, 5, 6))
        again = expectation(SMALL, weights, inputs, shots=shots, noise=model, rngs=rngs(4, 5, 6))
        alone = expectation(SMALL, weights[1:2], inputs[1:2], shots=shots, noise=model, rngs=rngs(5))
        assert torch.equal(together, again)
        assert torch.equal(together[1:2], alone)


def test_rows_in_parts_are_each_in_their_place_and_few_are_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights, inputs = numbers(SMALL, runs=2, batch=7)
    given: list[int] = []

    def counted(*args: Any) -> Any:
        given.append(args[2].shape[1])
        return reference.exact(*args)

    def run(model: Noise, runs: slice) -> Any:
        w, x = weights[runs], inputs[runs]
        engine = noise.noisy(counted, model, rngs(4, 5)[runs])
        return engine(SMALL, w, x, x.new_zeros(*x.shape[:2], 0), (0, 2), True)

    def held(trajectories: int, rows: int) -> int:
        return trajectories * rows * (len(SMALL.operations) + 4 + 1)

    monkeypatch.setattr(noise, "_CHUNK", held(1, 3))
    whole = reference.exact(SMALL, weights, inputs, inputs.new_zeros(2, 7, 0), (0, 2), True)
    found = run(Noise(), slice(None))
    assert given == [3, 3, 1]
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-12)
    monkeypatch.setattr(noise, "_CHUNK", held(5, 3))
    given.clear()
    together, alone = run(Noise(0.1, 0.2, 0.05, 5), slice(None)), run(Noise(0.1, 0.2, 0.05, 5), slice(1, 2))
    assert given == [15, 15, 5] * 2
    assert torch.equal(together[0][1:], alone[0])
    assert torch.equal(together[1][1:], alone[1])


def test_a_standard_error_is_0_without_gate_errors_and_unknown_of_one_trajectory() -> None:
    weights, inputs = numbers(SMALL)
    args = SMALL, weights, inputs, inputs.new_zeros(1, 2, 0), (0, 1)
    mean, error = noise.with_error(reference.exact, Noise(readout=0.1), rngs(0), *args)
    torch.testing.assert_close(mean, 0.8 * expectation(*args[:3], measured=(0, 1)))
    assert (error == 0).all()
    for model in (Noise(one_qubit=0.3), Noise(two_qubit=0.3)):
        _, error = noise.with_error(reference.exact, model, rngs(0), *args)
        assert (error > 0).all()
    with pytest.warns(UserWarning, match="degrees of freedom"):
        _, error = noise.with_error(reference.exact, Noise(0.1, trajectories=1), rngs(0), *args)
    assert error.isnan().all()
