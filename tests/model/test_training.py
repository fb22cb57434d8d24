"""Training is Adam on the cross-entropy, run by run, bit for bit: beside others, and after a stop."""

import errno
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from hilbertune import HilbertuneError
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.model import training
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import BATCHES, TrainingResult, checkpoint_for, stream, train

SHAPE = HeadConfig(qubits=3, encoder_layers=1, encoder_connectivity=1, reuploads=2, layers=1, basis="pca")
FEATURES, CLASSES = 5, 2
TRAIN, VALIDATION = 19, 11


def toy(features: int = FEATURES, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """60 embeddings whose class is the largest of their first numbers."""
    x = np.random.default_rng(0).normal(size=(60, features)).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(x[:, :classes].argmax(1))


def split(seed: int, train: int = TRAIN, validation: int = VALIDATION) -> Split:
    rows = np.random.default_rng(seed).permutation(60)
    return Split(rows[:train], rows[train : train + validation], rows[train + validation :])


def learn(
    configs: Sequence[TrainingConfig] | TrainingConfig,
    seeds: Sequence[int] = (0,),
    shape: HeadConfig = SHAPE,
    data: tuple[Tensor, Tensor] | None = None,
    splits: Sequence[Split] | None = None,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> tuple[HybridHead, TrainingResult]:
    """Train a fresh model on the toy problem, a run for each seed."""
    x, labels = data or toy()
    if isinstance(configs, TrainingConfig):
        configs = [configs] * len(seeds)
    model = HybridHead(x.shape[1], int(labels.max()) + 1, shape, runs=len(seeds)).to(dtype)
    splits = splits or [split(seed) for seed in seeds]
    return model, train(model, x, labels, splits, configs, seeds, **options)


CURVES = ("train_loss", "validation_loss", "validation_accuracy")


def differences(
    one: tuple[HybridHead, TrainingResult],
    other: tuple[HybridHead, TrainingResult],
    run: int | None = None,
) -> list[str]:
    """Name what is not bit for bit the same; with `run`, in that run of `other` and the only one of `one`."""
    runs = slice(None) if run is None else slice(run, run + 1)
    (model, result), (others, results) = one, other
    names = [
        f"best {name}"
        for name, values in model.state_dict().items()
        if not torch.equal(values, others.state_dict()[name][runs])
    ]
    names += [
        f"last {name}" for name, values in result.last.items() if not torch.equal(values, results.last[name][runs])
    ]
    names += [
        name
        for name in CURVES
        if not np.array_equal(getattr(result, name), getattr(results, name)[:, runs], equal_nan=True)
    ]
    if not np.array_equal(result.best_epoch, results.best_epoch[runs]):
        names.append("best_epoch")
    return names


# Learning


def test_a_separable_problem_is_learnt() -> None:
    model, result = learn(TrainingConfig(epochs=40, learning_rate=0.05))
    x, labels = toy()
    assert result.train_loss[-1, 0] < 0.45 < result.train_loss[0, 0]
    assert (model(x).argmax(1) == labels).double().mean() > 0.7
    assert result.best_validation_accuracy(0) == result.validation_accuracy.max()
    assert result.train_loss.shape == (40, 1)
    assert result.seconds > 0


def test_three_classes_are_learnt() -> None:
    _, result = learn(TrainingConfig(epochs=30, learning_rate=0.05), data=toy(classes=3))
    assert result.train_loss[-1, 0] < 0.8 < result.train_loss[0, 0]


@pytest.mark.parametrize(("gradient", "shots"), [("parameter-shift", None), ("parameter-shift", 200), ("spsa", None)])
def test_the_gradients_of_hardware_train(gradient: Any, shots: int | None) -> None:
    config = TrainingConfig(epochs=25, learning_rate=0.05, gradient=gradient, shots=shots)
    _, result = learn(config, shape=replace(SHAPE, reuploads=1))
    assert result.train_loss[-1, 0] < result.train_loss[0, 0] - 0.05


def test_parameter_shift_without_shots_is_the_exact_gradient() -> None:
    config = TrainingConfig(epochs=3, learning_rate=0.05)
    exact, _ = learn(config, dtype=torch.float64)
    shifted, _ = learn(replace(config, gradient="parameter-shift"), dtype=torch.float64)
    torch.testing.assert_close(shifted.state_dict(), exact.state_dict(), rtol=0, atol=1e-9)


def test_shots_follow_the_seed() -> None:
    config = TrainingConfig(epochs=3, shots=50)
    assert differences(learn(config), learn(config)) == []
    assert differences(learn(config), learn(replace(config, shots=None))) != []


def test_the_callers_random_state_plays_no_part() -> None:
    config = TrainingConfig(epochs=2, shots=50)
    torch.manual_seed(1)
    first = learn(config)
    torch.manual_seed(2)
    assert differences(first, learn(config)) == []


def test_a_gradient_left_on_the_model_plays_no_part() -> None:
    x, labels = toy()
    model = HybridHead(FEATURES, CLASSES, SHAPE)
    model(x).sum().backward()
    config = TrainingConfig(epochs=2)
    result = train(model, x, labels, [split(0)], [config], [0])
    assert differences((model, result), learn(config)) == []


def test_circuits_without_angles_train_on_any_engine() -> None:
    x, labels = toy()
    shape = HeadConfig(qubits=3, encoder_layers=0, layers=0, reupload_layers=0, column=False)
    for engine in ("cpu", "reference"):
        model = HybridHead(FEATURES, CLASSES, shape, engine=engine)
        assert model.parameter_count == 4
        config = TrainingConfig(epochs=5, learning_rate=0.05)
        result = train(model, x, labels, [split(0)], [config], [0])
        assert result.train_loss[-1, 0] < result.train_loss[0, 0]


def test_progress_hears_of_every_epoch() -> None:
    heard: list[tuple[int, float]] = []
    _, result = learn(TrainingConfig(epochs=3), [0, 1], progress=lambda *news: heard.append(news))
    assert [epoch for epoch, _ in heard] == [1, 2, 3]
    assert [a for _, a in heard] == pytest.approx(list(result.validation_accuracy.mean(1)))


# Adam


@pytest.mark.parametrize(("decay", "weight_decay"), [(1.0, 0.0), (0.8, 0.05)])
def test_a_step_is_torchs_adam(decay: float, weight_decay: float) -> None:
    config = TrainingConfig(
        epochs=4,
        batch_size=8,
        learning_rate=0.03,
        learning_rate_decay=decay,
        weight_decay=weight_decay,
    )
    seed, rows = 7, split(7).train
    _, result = learn(config, [seed], dtype=torch.float64)

    x, labels = toy()
    model = HybridHead(FEATURES, CLASSES, SHAPE).double()
    model.reset_parameters([stream(seed, training.INIT)])
    model.loading.fit_basis(x[rows][None].double())
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
    batches = stream(seed, BATCHES)
    for epoch in range(config.epochs):
        losses = []
        for batch in np.split(rows[batches.permutation(TRAIN)], [8, 16]):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            losses += [loss.item()] * len(batch)
        schedule.step()
        assert result.train_loss[epoch, 0] == pytest.approx(np.mean(losses), abs=1e-9)
    for name, values in model.named_parameters():
        torch.testing.assert_close(result.last[name], values.data, rtol=0, atol=1e-8)


def test_weight_decay_shrinks_the_weights() -> None:
    config = TrainingConfig(epochs=30, learning_rate=0.05)
    _, free = learn(config)
    _, held = learn(replace(config, weight_decay=1.0))
    assert held.last["head.weights"].norm() < 0.5 * free.last["head.weights"].norm()


# Runs side by side

RATES = [
    {"learning_rate": 0.01},
    {"learning_rate": 0.1, "learning_rate_decay": 0.9, "weight_decay": 0.01},
    {"learning_rate": 0.5, "learning_rate_decay": 0.5},
    {"learning_rate": 0.001, "weight_decay": 1.0},
]


@pytest.mark.parametrize(
    ("features", "classes", "shape", "common"),
    [
        (5, 2, SHAPE, {}),
        (5, 2, SHAPE, {"shots": 40}),
        (5, 2, replace(SHAPE, basis="raw", padding="zero"), {"batch_size": 3}),
        (7, 3, replace(SHAPE, qubits=4, encoders=2), {"shots": 30, "gradient": "spsa"}),
        (6, 2, replace(SHAPE, encoders=2, merge="average"), {"gradient": "parameter-shift"}),
        (33, 4, replace(SHAPE, basis="raw", projection="trainable"), {"batch_size": 7}),
        (
            33,
            2,
            replace(SHAPE, encoders=2, merge="alternate", projection="random", basis="raw"),
            {},
        ),
        (65, 3, replace(SHAPE, final_linear=False), {"batch_size": 5}),
    ],
)
def test_a_run_alone_is_the_same_run_beside_others_bit_for_bit(
    features: int, classes: int, shape: HeadConfig, common: dict[str, Any]
) -> None:
    data, seeds = toy(features, classes), [3, 1, 4, 1]
    configs = [TrainingConfig(epochs=4, **common, **rates) for rates in RATES]
    together = learn(configs, seeds, shape, data)
    for run, (config, seed) in enumerate(zip(configs, seeds, strict=True)):
        alone = learn([config], [seed], shape, data)
        assert differences(alone, together, run) == [], run


def test_double_precision_runs_do_not_depend_on_their_neighbours() -> None:
    config = TrainingConfig(epochs=2)
    together = learn(config, [0, 1, 2], dtype=torch.float64)
    assert together[1].last["head.weights"].dtype == torch.float64
    assert differences(learn(config, [2], dtype=torch.float64), together, 2) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 3},
        {"batch_size": 4},
        {"shots": 10},
        {"gradient": "spsa"},
        {"patience": 2},
    ],
)
def test_runs_that_differ_in_other_settings_are_refused(changes: dict[str, Any]) -> None:
    config = TrainingConfig(epochs=2)
    with pytest.raises(HilbertuneError, match="may differ in learning_rate, learning_rate_decay"):
        learn([config, replace(config, **changes)], [0, 1])


@pytest.mark.parametrize(("splits", "configs", "seeds"), [(1, 2, 2), (2, 1, 2), (2, 2, 1), (2, 0, 2)])
def test_two_runs_need_two_of_everything(splits: int, configs: int, seeds: int) -> None:
    x, labels = toy()
    model = HybridHead(FEATURES, CLASSES, SHAPE, runs=2)
    with pytest.raises(HilbertuneError, match="2 runs need as many splits, configs and seeds"):
        train(
            model,
            x,
            labels,
            [split(0)] * splits,
            [TrainingConfig()] * configs,
            list(range(seeds)),
        )


@pytest.mark.parametrize("other", [(TRAIN - 1, VALIDATION), (TRAIN, VALIDATION + 1)])
def test_splits_of_unequal_sizes_are_refused(other: tuple[int, int]) -> None:
    with pytest.raises(HilbertuneError, match="splits of equal sizes"):
        learn(TrainingConfig(), [0, 1], splits=[split(0), split(1, *other)])


# Which weights are kept


def scripted(monkeypatch: pytest.MonkeyPatch, losses: list[list[float]], accuracies: list[list[float]]) -> None:
    """Have validation say these numbers, [epoch][run]."""
    said = iter(zip(losses, accuracies, strict=True))

    def validate(*_: Any) -> tuple[Tensor, Tensor]:
        loss, accuracy = next(said)
        return torch.tensor(loss, dtype=torch.float64), torch.tensor(accuracy, dtype=torch.float64)

    monkeypatch.setattr(training, "_validate", validate)


def recorded(config: TrainingConfig, seeds: Sequence[int] = (0,), **options: Any) -> Any:
    """Train, and keep the parameters after every epoch."""
    x, labels = toy()
    model = HybridHead(FEATURES, CLASSES, SHAPE, runs=len(seeds))
    epochs: list[dict[str, Tensor]] = []

    def keep(*_: Any) -> None:
        epochs.append({name: p.detach().clone() for name, p in model.named_parameters()})

    splits = [split(seed) for seed in seeds]
    result = train(model, x, labels, splits, [config] * len(seeds), seeds, progress=keep, **options)
    return model, result, epochs


def holds(model: HybridHead, weights: dict[str, Tensor], run: int = 0) -> bool:
    return all(torch.equal(p[run], weights[name][run]) for name, p in model.named_parameters())


@pytest.mark.parametrize(
    ("accuracies", "losses", "best"),
    [
        ([0.5, 0.9, 0.9, 0.9, 0.7], [1.0, 0.5, 0.4, 0.4, 0.1], 2),
        ([0.5, 0.5, 0.5, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0, 1.0], 0),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 2.0, 3.0, 4.0, 5.0], 4),
        ([0.9, 0.8, 0.9, 0.8, 0.8], [0.3, 0.1, 0.2, 0.1, 0.1], 2),
    ],
)
def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss_then_comes_first(
    monkeypatch: pytest.MonkeyPatch, accuracies: list[float], losses: list[float], best: int
) -> None:
    scripted(monkeypatch, [[v] for v in losses], [[v] for v in accuracies])
    model, result, epochs = recorded(TrainingConfig(epochs=5))
    assert result.best_epoch.tolist() == [best]
    assert result.best_validation_accuracy(0) == accuracies[best]
    assert holds(model, epochs[best])
    assert not any(holds(model, epochs[other]) for other in range(5) if other != best)
    assert all(torch.equal(result.last[name], epochs[-1][name]) for name in result.last)
    assert result.validation_accuracy[:, 0].tolist() == accuracies
    assert result.validation_loss[:, 0].tolist() == losses


def test_each_run_has_a_best_epoch_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [[1.0, 1.0]] * 3, [[0.5, 0.9], [0.7, 0.5], [0.6, 0.5]])
    model, result, epochs = recorded(TrainingConfig(epochs=3), [0, 1])
    assert result.best_epoch.tolist() == [1, 0]
    assert holds(model, epochs[1], run=0)
    assert holds(model, epochs[0], run=1)


def test_without_validation_rows_the_last_epoch_is_the_best() -> None:
    model, result = learn(TrainingConfig(epochs=3, patience=1), splits=[split(0, validation=0)])
    assert result.best_epoch.tolist() == [2]
    assert holds(model, result.last)
    assert np.isnan(result.validation_loss).all()
    assert np.isnan(result.best_validation_accuracy(0))


def test_last_weights_are_tensors_of_their_own(tmp_path: Path) -> None:
    model, result = learn(TrainingConfig(epochs=2), [0, 1])
    safetensors.torch.save_file(result.last, tmp_path / "last.safetensors")
    before = model(toy()[0])
    for values in result.last.values():
        values.zero_()
    assert torch.equal(model(toy()[0]), before)


def test_the_last_weights_are_kept_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = [0.5, 0.9, 0.7]
    scripted(monkeypatch, [[1.0]] * 3, [[v] for v in accuracies])
    model, result, epochs = recorded(TrainingConfig(epochs=3, keep="last"))
    assert result.best_epoch.tolist() == [2]
    assert result.best_validation_accuracy(0) == 0.7
    assert holds(model, epochs[2])
    assert holds(model, result.last)


def test_a_run_that_diverged_keeps_its_best_weights_even_if_the_last_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, labels = toy()
    model = HybridHead(FEATURES, CLASSES, SHAPE, runs=2)
    after_first: list[Tensor] = []

    def spoil(epoch: int, _: float) -> None:
        if epoch == 1:
            after_first.append(model.head.weights.detach().clone())
        if epoch == 3:
            model.head.weights.data[0] = torch.nan

    scripted(monkeypatch, [[1.0, 1.0]] * 4, [[0.9, 0.9], [0.5, 0.2], [0.6, 0.3], [1.0, 0.4]])
    config = TrainingConfig(epochs=4, keep="last")
    result = train(model, x, labels, [split(0)] * 2, [config] * 2, [0, 1], progress=spoil)
    assert result.best_epoch.tolist() == [0, 3]
    assert torch.equal(model.head.weights[0], after_first[0][0])
    assert torch.equal(model.head.weights[1], result.last["head.weights"][1])


# Shots and start


def test_training_shots_are_for_the_steps_alone() -> None:
    config = TrainingConfig(epochs=3, training_shots=50)
    model, result = learn(config)
    assert model.head.shots is None
    x, labels = toy()
    rows = split(0).validation
    last = HybridHead(FEATURES, CLASSES, SHAPE)
    last.load_state_dict(model.state_dict() | result.last)
    right = (last(x[rows]).argmax(1) == labels[rows]).double().mean()
    assert result.validation_accuracy[-1, 0] == pytest.approx(float(right))
    assert differences((model, result), learn(replace(config, training_shots=None))) != []
    assert differences((model, result), learn(config)) == []


def test_training_shots_of_the_same_number_are_shots() -> None:
    config = TrainingConfig(epochs=3, shots=50)
    assert differences(learn(config), learn(replace(config, training_shots=50))) == []
    model, _ = learn(replace(config, training_shots=7))
    assert model.head.shots == 50
    assert differences(learn(config), learn(replace(config, training_shots=7))) != []


def test_circuits_start_within_the_range_asked_for() -> None:
    x, labels = toy()
    started: list[Tensor] = []
    for start in (np.pi, 0.1):
        model = HybridHead(FEATURES, CLASSES, SHAPE)
        config = TrainingConfig(epochs=1, learning_rate=1e-12, start=start)
        train(model, x, labels, [split(0)], [config], [0])
        started.append(torch.cat([model.encoder.weights.flatten(), model.head.weights.flatten()]))
    assert started[0].abs().max() > 1
    assert started[1].abs().max() <= 0.1
    torch.testing.assert_close(started[1], started[0] * 0.1 / np.pi, rtol=1e-5, atol=1e-6)


# Early stopping and divergence


def test_a_run_out_of_patience_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, [[1.0]] * 9, [[v] for v in (0.5, 0.9, 0.8, 0.8, 0.8, 0.8, 0.8, 1.0, 1.0)])
    model, result, epochs = recorded(TrainingConfig(epochs=9, patience=3))
    # The best epoch is 1; epochs 2, 3 and 4 were no better.
    assert result.train_loss.shape == (5, 1)
    assert result.best_epoch.tolist() == [1]
    assert holds(model, epochs[1])


def test_a_run_out_of_patience_stands_still_while_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scripted(monkeypatch, [[1.0, 1.0]] * 4, [[0.9, 0.1], [0.8, 0.2], [1.0, 0.3], [1.0, 0.4]])
    model, result, epochs = recorded(TrainingConfig(epochs=4, patience=1), [0, 1])
    for name in CURVES:
        curve = getattr(result, name)
        assert np.isnan(curve[:, 0]).tolist() == [False, False, True, True], name
        assert not np.isnan(curve[:, 1]).any(), name
    assert result.best_epoch.tolist() == [0, 3]
    assert holds(model, epochs[0], run=0)
    assert holds(model, epochs[3], run=1)
    assert all(torch.equal(result.last[n][0], epochs[1][n][0]) for n in result.last)


def test_patience_does_not_disturb_the_epochs_before_it() -> None:
    config = TrainingConfig(epochs=15, learning_rate=0.3)
    _, long = learn(config)
    _, short = learn(replace(config, patience=1))
    epochs = len(short.train_loss)
    assert epochs < 15
    assert np.array_equal(long.train_loss[:epochs], short.train_loss)


def test_a_diverging_run_stops_and_the_others_go_on() -> None:
    rates = [0.01, 1e39, 0.02]
    configs = [TrainingConfig(epochs=3, learning_rate=rate) for rate in rates]
    together = learn(configs, [0, 1, 2])
    _, result = together
    assert result.best_epoch[1] == -1
    assert np.isnan(result.best_validation_accuracy(1))
    assert np.isnan(result.train_loss[1:, 1]).all()
    for run in (0, 2):
        assert differences(learn([configs[run]], [run]), together, run) == []


def test_a_run_that_diverges_late_keeps_its_best_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = toy()
    model = HybridHead(FEATURES, CLASSES, SHAPE, runs=2)
    after_first: list[Tensor] = []

    def spoil(epoch: int, _: float) -> None:
        if epoch == 1:
            after_first.append(model.head.weights.detach().clone())
        if epoch == 2:
            model.head.weights.data[0] = torch.nan

    scripted(monkeypatch, [[1.0, 1.0]] * 4, [[0.9, 0.1], [0.5, 0.2], [1.0, 0.3], [1.0, 0.4]])
    result = train(model, x, labels, [split(0)] * 2, [TrainingConfig(epochs=4)] * 2, [0, 1], progress=spoil)
    assert result.best_epoch.tolist() == [0, 3]
    assert torch.equal(model.head.weights[0], after_first[0][0])
    assert result.best_validation_accuracy(0) == 0.9
    assert np.isfinite(result.train_loss[:, 1]).all()


@pytest.mark.parametrize("shots", [None, 20])
def test_nan_in_one_runs_rows_leaves_the_others_alone(shots: int | None) -> None:
    x, labels = toy()
    x[50:] = torch.nan
    splits = [
        Split(np.arange(20), np.arange(20, 30), np.arange(0)),
        Split(np.arange(40, 60), np.arange(30, 40), np.arange(0)),
    ]
    config = TrainingConfig(epochs=3, shots=shots)
    shape = replace(SHAPE, basis="raw")
    together = learn(config, [0, 1], shape, (x, labels), splits)
    assert together[1].best_epoch[1] == -1
    alone = learn(config, [0], shape, (x, labels), splits[:1])
    assert differences(alone, together, 0) == []


def test_training_in_which_every_run_diverges_is_an_error() -> None:
    with pytest.raises(HilbertuneError, match="use a smaller learning rate"):
        learn(TrainingConfig(epochs=3, learning_rate=1e39), [0, 1])


# Stop and go on


class Stop(Exception):
    """Stands for whatever ends a training before its time."""


def stop_after(epochs: int) -> Callable[[int, float], None]:
    def progress(epoch: int, _: float) -> None:
        if epoch == epochs:
            raise Stop

    return progress


TRAININGS: dict[str, tuple[TrainingConfig, HeadConfig, torch.dtype]] = {
    "exact": (TrainingConfig(epochs=5, weight_decay=0.01), SHAPE, torch.float32),
    "shots": (TrainingConfig(epochs=5, shots=30), SHAPE, torch.float32),
    "spsa": (TrainingConfig(epochs=5, shots=30, gradient="spsa"), SHAPE, torch.float32),
    "patience": (TrainingConfig(epochs=9, patience=2, learning_rate=0.3), SHAPE, torch.float32),
    "trainable projection": (
        TrainingConfig(epochs=5, learning_rate_decay=0.9),
        replace(SHAPE, qubits=2, basis="raw", projection="trainable"),
        torch.float32,
    ),
    "double": (TrainingConfig(epochs=5), SHAPE, torch.float64),
    "one cycle": (TrainingConfig(epochs=5, schedule="one-cycle"), SHAPE, torch.float32),
    "last": (TrainingConfig(epochs=5, keep="last", learning_rate=0.3), SHAPE, torch.float32),
    "standardised": (TrainingConfig(epochs=5, standardise=True), SHAPE, torch.float32),
    "small start": (TrainingConfig(epochs=5, start=0.1), SHAPE, torch.float32),
    "training shots": (TrainingConfig(epochs=5, training_shots=30), SHAPE, torch.float32),
    "shots and training shots": (TrainingConfig(epochs=5, shots=40, training_shots=30), SHAPE, torch.float32),
    "recipe": (
        TrainingConfig(epochs=5, schedule="one-cycle", keep="last", standardise=True, training_shots=30),
        SHAPE,
        torch.float32,
    ),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_resumed_training_is_the_uninterrupted_one_bit_for_bit(name: str, tmp_path: Path) -> None:
    config, shape, dtype = TRAININGS[name]
    path = tmp_path / "checkpoint"

    def go(**options: Any) -> tuple[HybridHead, TrainingResult]:
        return learn(config, [0, 1, 2], shape, dtype=dtype, **options)

    whole = go()
    epochs = len(whole[1].train_loss)
    for stop in range(1, epochs):
        with pytest.raises(Stop):
            go(checkpoint=path, checkpoint_seconds=0, progress=stop_after(stop))
    heard: list[int] = []
    resumed = go(checkpoint=path, checkpoint_seconds=0, progress=lambda epoch, _: heard.append(epoch))
    assert heard == [epochs]
    assert differences(resumed, whole) == []


def test_epochs_after_the_last_checkpoint_are_repeated(tmp_path: Path) -> None:
    path, config = tmp_path / "checkpoint", TrainingConfig(epochs=5, shots=30)
    with pytest.raises(Stop):
        learn(config, checkpoint=path, checkpoint_seconds=0, progress=stop_after(2))
    with pytest.raises(Stop):
        learn(config, checkpoint=path, checkpoint_seconds=3600, progress=stop_after(4))
    heard: list[int] = []
    resumed = learn(config, checkpoint=path, progress=lambda epoch, _: heard.append(epoch))
    assert heard == [3, 4, 5]
    assert differences(resumed, learn(config)) == []


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    path, config = tmp_path / "checkpoint", TrainingConfig(epochs=4, patience=3)
    first = learn(config, checkpoint=path, checkpoint_seconds=0)
    heard: list[int] = []
    again = learn(config, checkpoint=path, progress=lambda epoch, _: heard.append(epoch))
    assert heard == []
    assert differences(again, first) == []
    assert again[1].seconds == first[1].seconds


def test_no_checkpoint_is_written_before_its_time(tmp_path: Path) -> None:
    learn(TrainingConfig(epochs=2), checkpoint=tmp_path / "checkpoint", checkpoint_seconds=3600)
    assert list(tmp_path.iterdir()) == []


def test_seconds_count_the_time_before_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, config = tmp_path / "checkpoint", TrainingConfig(epochs=2)
    with monkeypatch.context() as patch:
        ticks = iter(range(0, 100_000, 100))
        patch.setattr("hilbertune.model.training.time.monotonic", lambda: float(next(ticks)))
        with pytest.raises(Stop):
            learn(config, checkpoint=path, checkpoint_seconds=0, progress=stop_after(1))
    _, result = learn(config, checkpoint=path)
    assert 100 < result.seconds < 1000


def test_the_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path, config = tmp_path / "checkpoint", TrainingConfig(epochs=2)
    learn(config, [0, 1], checkpoint=path, checkpoint_seconds=0)
    content = path.read_bytes()
    x, labels = toy()
    others: list[tuple[Any, dict[str, Any]]] = [
        (replace(config, epochs=3), {}),
        (replace(config, learning_rate=0.1), {}),
        (config, {"seeds": [0, 2]}),
        (config, {"seeds": [0]}),
        (config, {"shape": replace(SHAPE, angle_scale=2.0)}),
        (config, {"data": (x + 1, labels)}),
        (config, {"data": (x, 1 - labels)}),
        (config, {"splits": [split(0), split(5)]}),
        (config, {"dtype": torch.float64}),
    ]
    for other, changes in others:
        with pytest.raises(HilbertuneError, match="belongs to a training with other data or"):
            learn(other, **({"seeds": [0, 1]} | changes), checkpoint=path)
    assert path.read_bytes() == content


def test_a_checkpoint_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    path, config = tmp_path / "checkpoint", TrainingConfig(epochs=2)
    learn(config, checkpoint=path, checkpoint_seconds=0)
    content = path.read_bytes()
    tensors = {"a": torch.zeros(2)}
    broken = [content[:size] for size in (0, 1, 8, 100, len(content) // 2, len(content) - 1)]
    broken += [b"not a checkpoint at all", content[1:], content + b"x"]
    broken += [safetensors.torch.save(tensors)]
    broken += [safetensors.torch.save(tensors, {"training": text}) for text in ("{", "{}", "[]")]
    for bad in broken:
        path.write_bytes(bad)
        with pytest.raises(HilbertuneError, match="not a complete checkpoint: remove it"):
            learn(config, checkpoint=path)
        assert path.read_bytes() == bad


def test_a_folder_in_the_checkpoints_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="not a complete checkpoint"):
        learn(TrainingConfig(epochs=1), checkpoint=tmp_path)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, config = tmp_path / "checkpoint", TrainingConfig(epochs=4)
    with pytest.raises(Stop):
        learn(config, checkpoint=path, checkpoint_seconds=0, progress=stop_after(2))
    content = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("hilbertune.runtime.storage.os.replace", full)
        assert differences(learn(config, checkpoint=path, checkpoint_seconds=0), learn(config)) == []
    assert "No space left on device. The training goes on" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]
    assert path.read_bytes() == content
    assert differences(learn(config, checkpoint=path), learn(config)) == []


def test_only_the_same_training_has_the_same_checkpoint() -> None:
    x, labels = toy()
    model = HybridHead(FEATURES, CLASSES, SHAPE)
    config = TrainingConfig()
    arguments: list[Any] = [model, x, labels, [split(0)], [config], [0]]

    def name(*changed: Any) -> str:
        return checkpoint_for(Path("folder"), *changed).path.name

    mine = name(*arguments)
    assert re.fullmatch(r"[0-9a-f]{32}\.safetensors", mine)
    assert name(*arguments) == mine
    model.reset_parameters([np.random.default_rng(1)])
    assert name(*arguments) == mine
    changes: list[tuple[int, Any]] = [
        (0, HybridHead(FEATURES, 3, SHAPE)),
        (0, HybridHead(FEATURES, CLASSES, SHAPE, engine="reference")),
        (1, x * 2),
        (3, [split(1)]),
        (4, [replace(config, batch_size=1)]),
        (5, [1]),
    ]
    names = {name(*[*arguments[:place], other, *arguments[place + 1 :]]) for place, other in changes}
    assert len(names | {mine}) == len(changes) + 1


def test_the_name_of_a_checkpoint_is_that_of_earlier_versions() -> None:
    x, labels = toy()
    model = HybridHead(FEATURES, CLASSES, SHAPE)
    made = checkpoint_for(Path("folder"), model, x, labels, [split(0)], [TrainingConfig()], [0])
    assert made.path == Path("folder/352b265f1d94eb175a851a6564f7aae9.safetensors")
    assert made.fingerprint.startswith("352b265f1d94eb175a851a6564f7aae9")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the bytes of each piece that is hashed in training.py."""
    sizes: list[int] = []
    sha256 = hashlib.sha256

    class Counted:
        def __init__(self) -> None:
            self.digest = sha256()

        def update(self, content: bytes) -> None:
            sizes.append(len(content))
            self.digest.update(content)

        def hexdigest(self) -> str:
            return self.digest.hexdigest()

    monkeypatch.setattr(training.hashlib, "sha256", Counted)
    return sizes


def test_nothing_is_hashed_without_a_checkpoint(hashed: list[int]) -> None:
    learn(TrainingConfig(epochs=1))
    assert hashed == []


def test_embeddings_are_hashed_once_for_a_training_with_a_checkpoint(hashed: list[int], tmp_path: Path) -> None:
    x, labels = toy()
    config, size = TrainingConfig(epochs=2), x.numpy().nbytes
    learn(config, checkpoint=tmp_path / "checkpoint", checkpoint_seconds=0)
    assert hashed.count(size) == 1
    hashed.clear()
    model = HybridHead(FEATURES, CLASSES, SHAPE)
    arguments: Any = (model, x, labels, [split(0)], [config], [0])
    made = checkpoint_for(tmp_path, *arguments)
    first = train(*arguments, checkpoint=made, checkpoint_seconds=0)
    assert hashed.count(size) == 1
    assert made.path.exists()
    again = train(*arguments, checkpoint=made)
    assert hashed.count(size) == 1
    assert again.seconds == first.seconds
