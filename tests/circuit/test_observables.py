"""Pauli words and sums of them: grouping, exact values, gradients, shots."""

import numpy as np
import pytest
import torch
from helpers.circuits import INPUTS, WEIGHTS, judged, random_circuit, random_words
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune import expectation
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.observables import groups, parse
from hilbertune.circuit.table import Circuit
from hilbertune.config.noise import Noise
from hilbertune.errors import HilbertuneError


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_words_and_sums_are_pennylanes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    qubits = int(rng.integers(1, 5))
    circuit = random_circuit(rng, qubits, 12)
    w, x = rng.normal(size=WEIGHTS), rng.normal(size=INPUTS)
    words = random_words(rng, qubits, 8)
    weights = rng.normal(size=len(words))
    total = dict(zip(words, weights.tolist(), strict=True)) | {"": 0.7}
    found = expectation(circuit, torch.from_numpy(w), torch.from_numpy(x), observables=[*words, total]).numpy()
    expected = judged(circuit, w, x, words)
    np.testing.assert_allclose(found, [*expected, expected @ weights + 0.7], atol=1e-10)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_every_word_has_one_group_and_each_group_a_qubit_a_word(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = tuple(parse(word, 5) for word in random_words(rng, 5, 12))
    found = groups(words)
    assert sorted(word for group in found for word in group.words) == sorted(words)
    for group in found:
        assert len(set(group.measured)) == len(group.words)
        bases: dict[int, str] = {}
        assert all(bases.setdefault(q, letter) == letter for word in group.words for q, letter in word)


def test_words_that_commute_share_a_measurement() -> None:
    words = tuple(parse(word, 3) for word in ("Z0", "Z1", "Z0 Z2", "X1", "X1 X2"))
    assert [len(group.words) for group in groups(words)] == [3, 2]


def test_gradients_are_those_of_finite_differences() -> None:
    rng = np.random.default_rng(5)
    circuit = random_circuit(rng, 3, 15)
    w, x = (torch.from_numpy(rng.normal(size=n)).requires_grad_() for n in (WEIGHTS, INPUTS))
    observables = ["X0 Y1", {"Z0 Z1 Z2": 0.5, "Y2": -1.5, "": 2.0}]
    for gradient in ("adjoint", "parameter-shift"):
        assert torch.autograd.gradcheck(
            lambda w, x, how=gradient: expectation(circuit, w, x, observables=observables, gradient=how), (w, x)
        )


def test_shots_have_the_variance_of_the_words() -> None:
    """A word's answers are +1 and -1: the mean of n of them has the variance (1 - m²) / n."""
    rng = np.random.default_rng(2)
    circuit = random_circuit(rng, 3, 15)
    w, x = torch.from_numpy(rng.normal(size=WEIGHTS)), torch.from_numpy(rng.normal(size=INPUTS)).expand(3000, -1)
    words, shots = ["X0 Y1", "Z2", "Y0 X1"], 20
    exact = expectation(circuit, w, x[:1], observables=words)[0].numpy()
    drawn = expectation(circuit, w, x, observables=words, shots=shots, rngs=[np.random.default_rng(0)]).numpy()
    np.testing.assert_allclose(drawn.mean(0), exact, atol=5 / np.sqrt(shots * 3000))
    np.testing.assert_allclose(drawn.var(0), (1 - exact**2) / shots, rtol=0.15)


def test_changing_the_basis_adds_no_errors() -> None:
    """Noise is that of the circuit as written: what is appended to measure a word has none."""
    circuit = Circuit(2, (Operation("id", 0),))
    noise = Noise(0.0, 0.5, trajectories=50)
    found = expectation(circuit, torch.zeros(0), observables=["Z0 Z1"], noise=noise, rngs=[np.random.default_rng(0)])
    assert found.item() == 1.0


def test_axes_are_those_of_the_tensors() -> None:
    circuit = Circuit(2, (Operation("ry", 0, weight=0), Operation("ry", 1, input=0)))
    w, x = torch.zeros(3, 1), torch.zeros(3, 5, 1)
    for observables, width in ((None, 2), (["X0", "", {"Z0": 2.0}], 3)):
        assert expectation(circuit, w, x, observables=observables).shape == (3, 5, width)
        assert expectation(circuit, w[0], x[0], observables=observables).shape == (5, width)
        assert expectation(circuit, w[0], x[0, 0], observables=observables).shape == (width,)


@pytest.mark.parametrize(
    ("observables", "message"),
    [
        ("Z0", "must be a list"),
        ([], "must be a list"),
        (["Z0 Q1"], "is not a Pauli word"),
        (["Z7"], "different qubits of 0..1"),
        (["Z0 X0"], "different qubits of 0..1"),
        ([{"Z0": float("nan")}], "must be finite"),
    ],
)
def test_what_is_no_observable_is_refused(observables: list, message: str) -> None:
    circuit = Circuit(2, (Operation("ry", 0, weight=0),))
    with pytest.raises(HilbertuneError, match=message):
        expectation(circuit, torch.zeros(1), observables=observables)


def test_readout_errors_of_longer_words_are_refused_and_of_short_ones_applied() -> None:
    circuit = Circuit(2, (Operation("id", 0),))
    noise, rngs = Noise(0.0, 0.0, readout=0.1), [np.random.default_rng(0)]
    found = expectation(circuit, torch.zeros(0), observables=["Z1"], noise=noise, rngs=rngs)
    assert found.item() == pytest.approx(0.8)
    with pytest.raises(HilbertuneError, match="words of one qubit"):
        expectation(circuit, torch.zeros(0), observables=["Z0 Z1"], noise=noise, rngs=rngs)
