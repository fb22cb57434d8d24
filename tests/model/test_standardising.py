"""A standardised readout is a change of scale: compiled as in torch, with true gradients, folded without a trace."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hilbertune import HilbertuneError
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.model import fused, optimiser, standardising
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import TrainingResult, train

SHAPE = HeadConfig(qubits=3, encoder_layers=1, reuploads=2, layers=1, basis="pca", measured_qubits=2)
CONFIG = TrainingConfig(epochs=4, batch_size=9, learning_rate=0.05, standardise=True)
ROWS = np.stack([np.arange(20), np.arange(5, 25)])


def toy(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(30, 7))).to(dtype), torch.from_numpy(rng.integers(0, 3, 30))


def learn(
    config: TrainingConfig, dtype: torch.dtype = torch.float64, shape: HeadConfig = SHAPE, runs: int = 2
) -> tuple[HybridHead, TrainingResult]:
    x, y = toy(dtype)
    splits = [Split(rows, np.arange(25, 30), np.arange(0)) for rows in ROWS[:runs]]
    model = HybridHead(7, 3, shape, runs=runs).to(dtype)
    return model, train(model, x, y, splits, [config] * runs, list(range(runs)))


def scaled(dtype: torch.dtype = torch.float64, shots: int | None = None) -> tuple[HybridHead, Tensor]:
    x, _ = toy(dtype)
    model = HybridHead(7, 3, SHAPE, runs=2).to(dtype)
    model.reset_parameters([np.random.default_rng(k) for k in range(2)])
    model.head.shots = shots
    model.standard = standardising.fitted(model, x, ROWS)
    return model, x


def test_expectations_of_the_training_rows_get_mean_0_and_deviation_1() -> None:
    model, x = scaled()
    assert model.standard is not None
    shift, factor = model.standard
    values = (model.expectations(x[torch.from_numpy(ROWS)]) - shift[:, None]) * factor[:, None]
    torch.testing.assert_close(values.mean(1), torch.zeros(2, 2, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(values.std(1, correction=0), torch.ones(2, 2, dtype=torch.float64))


def test_with_shots_it_is_the_deviation_of_sampled_expectations() -> None:
    model, x = scaled(shots=50)
    assert model.standard is not None
    model.head.rngs = [np.random.default_rng(7 + k) for k in range(2)]
    rows = torch.from_numpy(ROWS)
    drawn = torch.cat([model.expectations(x[rows]) for _ in range(400)], dim=1).detach()
    values = (drawn - model.standard[0][:, None]) * model.standard[1][:, None]
    assert values.mean(1).abs().max() < 0.06
    assert (values.std(1) - 1).abs().max() < 0.03


def test_no_random_number_is_drawn_for_it() -> None:
    x, _ = toy()
    model = HybridHead(7, 3, SHAPE, runs=2).double()
    model.head.shots, model.head.rngs = 20, [np.random.default_rng(k) for k in range(2)]
    standardising.fitted(model, x, ROWS)
    assert [rng.random() for rng in model.head.rngs] == [np.random.default_rng(k).random() for k in range(2)]
    assert model.head.shots == 20


def test_an_expectation_that_does_not_vary_keeps_its_scale() -> None:
    x, _ = toy()
    model = HybridHead(7, 3, SHAPE, runs=2).double()
    _, factor = standardising.fitted(model, x, np.zeros((2, 4), np.int64))
    assert torch.equal(factor, torch.ones(2, 2, dtype=torch.float64))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_folding_leaves_the_logits_equal(seed: int) -> None:
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        model, x = scaled(dtype)
        rng = np.random.default_rng(seed)
        weights = optimiser.as_one_tensor(model)
        weights += torch.from_numpy(rng.normal(size=weights.shape)).to(dtype)
        with torch.no_grad():
            wanted = model(x)
            assert model.standard is not None
            plain = standardising.folded(model, weights, model.standard)
            model.standard = None
            assert not torch.equal(plain, weights)
            weights.copy_(plain)
            found = model(x)
        largest = float(plain.abs().max())
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance * max(1.0, largest))


def test_gradients_are_finite_differences_of_the_loss() -> None:
    model, x = scaled()
    weights = optimiser.as_one_tensor(model)
    _, y = toy()
    rows = torch.from_numpy(ROWS)

    def loss() -> Tensor:
        logits = model(x[rows])
        losses: Tensor = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y[rows].flatten(), reduction="none")
        return losses.view(2, -1).mean(1).sum()

    gradients = torch.autograd.grad(loss(), list(model.parameters()))
    found = torch.cat([g.flatten(1) for g in gradients], dim=1)
    step = 1e-5
    for place in range(0, weights.shape[1], 3):
        with torch.no_grad():
            weights[0, place] += step
            above = loss()
            weights[0, place] -= 2 * step
            below = loss()
            weights[0, place] += step
        assert float(found[0, place]) == pytest.approx(float(above - below) / (2 * step), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("options", [{}, {"schedule": "one-cycle"}, {"schedule": "one-cycle", "standardise": False}])
@pytest.mark.parametrize(
    "shape", [SHAPE, HeadConfig(qubits=4, encoders=2, merge="average", padding="zero", basis="pca")]
)
def test_the_compiled_steps_are_those_of_torch(
    dtype: torch.dtype,
    tolerance: float,
    options: dict[str, Any],
    shape: HeadConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A little decay keeps Adam from dividing rounding by rounding where a gradient is 0.
    config = replace(CONFIG, keep="last", epochs=2, learning_rate=0.01, weight_decay=0.01, **options)
    model, result = learn(config, dtype, shape)
    monkeypatch.setattr(fused, "usable", lambda *_: False)
    other, results = learn(config, dtype, shape)
    x, _ = toy(dtype)
    torch.testing.assert_close(model(x), other(x), rtol=0, atol=tolerance)
    np.testing.assert_allclose(result.train_loss, results.train_loss, rtol=0, atol=tolerance)
    np.testing.assert_allclose(result.validation_loss, results.validation_loss, rtol=0, atol=tolerance)


def test_the_trained_model_is_plain_and_answers_as_it_was_validated() -> None:
    for keep in ("best", "last"):
        model, result = learn(replace(CONFIG, keep=keep))
        assert model.standard is None
        x, y = toy()
        losses = torch.nn.functional.cross_entropy(
            model(x[25:]).flatten(0, 1), y[25:].repeat(2), reduction="none"
        ).view(2, -1)
        best = result.best_epoch
        np.testing.assert_allclose(
            losses.mean(1).detach().numpy(), result.validation_loss[best, [0, 1]], rtol=0, atol=1e-10
        )


def test_a_run_does_not_depend_on_its_neighbours() -> None:
    for dtype in (torch.float32, torch.float64):
        for options in ({}, {"training_shots": 20}):
            config = replace(CONFIG, schedule="one-cycle", keep="last", **options)  # type: ignore[arg-type]
            together, alone = learn(config, dtype), learn(config, dtype, runs=1)
            for name, values in alone[0].state_dict().items():
                assert torch.equal(values, together[0].state_dict()[name][:1]), name
            assert np.array_equal(alone[1].train_loss[:, 0], together[1].train_loss[:, 0])


def test_a_dense_head_is_standardised_too() -> None:
    _, result = learn(replace(CONFIG, epochs=10), shape=replace(SHAPE, head="dense"))
    assert (result.train_loss[-1] < result.train_loss[0]).all()


@pytest.mark.parametrize("shape", [replace(SHAPE, measured_qubits=3, final_linear=False), HeadConfig(head="none")])
def test_it_needs_a_head_and_a_final_linear_layer(shape: HeadConfig) -> None:
    with pytest.raises(HilbertuneError, match="standardise needs a head and its final linear layer"):
        learn(CONFIG, shape=shape)


# Angles

TRAINABLE = replace(SHAPE, input_scale="trainable", angle_scale=0.3)


def test_angles_of_the_training_rows_start_with_mean_0_and_the_deviation_of_the_angle_scale() -> None:
    x, _ = toy()
    model = HybridHead(7, 3, TRAINABLE, runs=2).double()
    plain = HybridHead(7, 3, replace(SHAPE, angle_scale=0.3), runs=2).double()
    plain.load_state_dict(model.state_dict(), strict=False)
    torch.testing.assert_close(model(x), plain(x))
    standardising.fit_angles(model, x, ROWS)
    angles = model.angles(x[torch.from_numpy(ROWS)])
    torch.testing.assert_close(angles.mean(1), torch.zeros(2, 3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(angles.std(1, correction=0), torch.full((2, 3), 0.3, dtype=torch.float64))


def test_angles_that_do_not_vary_keep_their_scale() -> None:
    model = HybridHead(7, 3, TRAINABLE).double()
    standardising.fit_angles(model, torch.ones(30, 7, dtype=torch.float64), ROWS[:1])
    torch.testing.assert_close(model.input_factor, torch.full((1, 3), 0.3, dtype=torch.float64))
    torch.testing.assert_close(
        model.angles(torch.ones(1, 7)), torch.zeros(1, 1, 3, dtype=torch.float64), atol=1e-12, rtol=0
    )


def test_factors_and_shifts_are_trained_and_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, standardise_angles=True)
    model, result = learn(config, shape=TRAINABLE)
    started = HybridHead(7, 3, TRAINABLE, runs=2).double()
    assert not torch.allclose(model.input_factor, started.input_factor)
    assert (model.input_shift != 0).all()
    monkeypatch.setattr(fused, "usable", lambda *_: False)
    wanted, other = learn(config, shape=TRAINABLE)
    torch.testing.assert_close(model.input_factor, wanted.input_factor, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(result.train_loss, other.train_loss, rtol=1e-8)
    model.reset_parameters([np.random.default_rng(0)] * 2)
    torch.testing.assert_close(model.input_factor, started.input_factor)
    assert (model.input_shift == 0).all()


def test_standardised_angles_need_factors_to_hold_their_scale() -> None:
    with pytest.raises(HilbertuneError, match="standardise_angles needs the factors and shifts of input_scale"):
        learn(replace(CONFIG, standardise_angles=True))
