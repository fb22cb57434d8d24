"""Counter-based shots follow the laws of sampling, and depend on key, step and row alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from hilbertune.circuit.builders import head
from hilbertune.engine import draws
from hilbertune.engine.expectations import expectation
from hilbertune.engine.sampling import Counter
from hilbertune.errors import HilbertuneError

KEY, STEP = torch.tensor([[17, 4]]), torch.tensor(3)


def signs(outcomes: int) -> np.ndarray:
    """Z of each qubit [outcomes, qubits] in each outcome."""
    qubits = outcomes.bit_length() - 1
    return 1.0 - 2 * ((np.arange(outcomes)[:, None] >> np.arange(qubits)) & 1)


@pytest.mark.parametrize(
    ("counter", "key", "wanted"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(
    counter: tuple[int, ...], key: tuple[int, ...], wanted: tuple[int, ...]
) -> None:
    first, second = map(int, draws.philox(*counter, *key))
    assert (first & 0xFFFFFFFF, first >> 32, second & 0xFFFFFFFF, second >> 32) == wanted


@pytest.mark.parametrize("shots", [1, 7, 64, 65, 200])
@pytest.mark.parametrize("p", [1e-3, 0.1, 1 / 3, 0.5, 0.999])
def test_the_shots_of_one_qubit_are_binomial(shots: int, p: float) -> None:
    rows = 20_000
    marginal = torch.tensor([1 - p, p], dtype=torch.float64).expand(1, rows, 2)
    found = draws.counted(marginal, (0,), shots, KEY, STEP)[0, :, 0].numpy()
    ones = np.rint((1 - found) * shots / 2).astype(int)
    np.testing.assert_allclose(found, 1 - 2 * ones / shots, atol=1e-12)
    expected = rows * stats.binom.pmf(np.arange(shots + 1), shots, p)
    observed = np.bincount(ones, minlength=shots + 1)
    common = expected >= 5
    if common.sum() < 2:  # nearly every row is the same
        assert abs(observed.argmax() - shots * p) < 1
        return
    pooled = [np.append(c[common], c[~common].sum()) for c in (observed, expected)]
    keep = pooled[1] > 0
    statistic = ((pooled[0] - pooled[1])[keep] ** 2 / pooled[1][keep]).sum()
    assert stats.chi2.sf(statistic, keep.sum() - 1) > 1e-5


@pytest.mark.parametrize("shots", [1, 20, 300])
@pytest.mark.parametrize("qubits", [2, 3, 6])
def test_qubits_are_measured_together(qubits: int, shots: int) -> None:
    rows, outcomes = 40_000, 1 << qubits
    p = np.random.default_rng(qubits).dirichlet(np.full(outcomes, 0.3))
    found = draws.counted(torch.from_numpy(p).expand(1, rows, outcomes), tuple(range(qubits)), shots, KEY, STEP)[0]
    z = signs(outcomes)
    mean = p @ z
    covariance = (z.T * p @ z - np.outer(mean, mean)) / shots
    centred = found.numpy() - mean
    products = centred[:, :, None] * centred[:, None]
    for values, wanted in ((centred, 0.0), (products, covariance)):
        error = values.std(0) / math.sqrt(rows)
        assert (np.abs(values.mean(0) - wanted) <= 5 * error + 1e-12).all()


@pytest.mark.parametrize("outcome", [0, 1, 5, 7])
def test_a_certain_outcome_is_drawn_every_time(outcome: int) -> None:
    marginal = torch.zeros(1, 4, 8)
    marginal[..., outcome] = 1
    found = draws.counted(marginal, (2, 0, 1), 100, KEY, STEP)
    assert found.dtype == torch.float32
    wanted = torch.from_numpy(signs(8)[outcome]).float()
    assert torch.equal(found, wanted[[2, 0, 1]].expand(1, 4, 3))


def test_a_run_without_probabilities_is_not_a_number_and_its_neighbours_are_not_disturbed() -> None:
    marginal = torch.full((2, 3, 2), 0.5)
    whole = draws.counted(marginal, (0,), 10, KEY.expand(2, 2), STEP)
    marginal[0] = math.nan
    found = draws.counted(marginal, (0,), 10, KEY.expand(2, 2), STEP)
    assert found[0].isnan().all()
    assert torch.equal(found[1], whole[1])


@given(seed=st.integers(0, 2**32 - 1), shots=st.integers(1, 300), qubits=st.integers(1, 4))
def test_draws_depend_on_key_step_and_row_alone(seed: int, shots: int, qubits: int) -> None:
    rng = np.random.default_rng(seed)
    marginal = torch.from_numpy(rng.dirichlet(np.ones(1 << qubits), (3, 5)))
    keys = torch.from_numpy(rng.integers(1 << 32, size=(3, 2)))
    measured = tuple(range(qubits))
    whole = draws.counted(marginal, measured, shots, keys, STEP)
    assert torch.equal(whole, draws.counted(marginal, measured, shots, keys, STEP))
    assert torch.equal(whole[1:2, :2], draws.counted(marginal[1:2, :2], measured, shots, keys[1:2], STEP))


def test_rows_steps_and_keys_draw_apart() -> None:
    marginal = torch.full((1, 2000, 2), 0.5, dtype=torch.float64)

    def drawn(key: Tensor, step: int) -> np.ndarray:
        values: np.ndarray = draws.counted(marginal, (0,), 1, key, torch.tensor(step))[0, :, 0].numpy()
        return values

    first = drawn(KEY, 3)
    for other in (drawn(KEY, 4), drawn(KEY + 1, 3), np.roll(first, 1), drawn(KEY.flip(1), 3)):
        assert abs((first * other).mean()) < 5 / math.sqrt(2000)


def test_a_counter_draws_what_an_expectation_measures_with_its_exact_gradient() -> None:
    circuit = head(3, reuploads=1)
    weights = torch.randn(2, circuit.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inputs = torch.randn(2, 500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaf = weights.clone().requires_grad_()
    counter = Counter(torch.tensor([[1, 2], [3, 4]]), STEP)
    found = expectation(circuit, leaf, inputs, measured=(2, 0), shots=50, rngs=counter)
    (gradient,) = torch.autograd.grad(found.sum(), leaf)
    exact = expectation(circuit, leaf, inputs, measured=(2, 0))
    (wanted,) = torch.autograd.grad(exact.sum(), leaf)
    assert torch.allclose(gradient, wanted, rtol=0, atol=1e-10)
    scaled = (found - exact).detach() / ((1 - exact**2).clamp_min(1e-12) / 50).sqrt().detach()
    assert abs(float(scaled.mean())) < 5 / math.sqrt(scaled.numel())
    assert abs(float(scaled.var()) - 1) < 0.15


@pytest.mark.parametrize("more", [{"gradient": "parameter-shift"}, {"rngs": Counter(KEY.expand(2, 2), STEP)}])
def test_what_a_counter_cannot_draw_is_refused(more: dict[str, object]) -> None:
    circuit = head(2, reuploads=1)
    settings = {"shots": 5, "rngs": Counter(KEY, STEP), **more}
    with pytest.raises(HilbertuneError, match="give random generators instead"):
        expectation(circuit, torch.zeros(1, circuit.parameters), torch.zeros(1, 1, 2), **settings)  # type: ignore[arg-type]
