"""Ensembles: their members are the single heads of their seeds, and their answers the mean of those heads' answers."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from hilbertune.config.records import HeadConfig, Task, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError
from hilbertune.model import evaluation, fused, members, tasks, training
from hilbertune.model.layers import HybridHead
from hilbertune.model.loading import AmplitudeLoading

SHAPE = HeadConfig(qubits=3, encoder_layers=1, reuploads=2, layers=1)
CONFIG = TrainingConfig(epochs=4, batch_size=8, learning_rate=0.05, members=3)
ROWS, FEATURES = 40, 5
X = np.random.default_rng(0).normal(size=(ROWS, FEATURES)).astype(np.float32)
SPLIT = Split(np.arange(24), np.arange(24, 34), np.arange(34, 40))


def targets_of(task: Task) -> np.ndarray:
    """Return targets that depend on the rows, as the task takes them: three classes, steps or labels, or numbers."""
    if task == "regression":
        return X[:, 0].astype(np.float64)
    if task == "multi-label":
        return (X[:, :3] > 0).astype(np.float32)
    return np.digitize(X[:, 0], [-0.4, 0.4])


def trained(
    config: TrainingConfig = CONFIG, seeds: tuple[int, ...] = (7,), split: Split = SPLIT, **options: Any
) -> tuple[HybridHead, training.TrainingResult]:
    """Train an ensemble for each seed, side by side."""
    outputs = tasks.outputs(config.task, 0 if config.task == "regression" else 3)
    model = members.untrained(FEATURES, outputs, SHAPE, config, models=len(seeds))
    data = model, torch.from_numpy(X), torch.from_numpy(targets_of(config.task))
    each = [split] * len(seeds), [config] * len(seeds), list(seeds)
    return model, members.train(*data, *each, **options)


def alone(config: TrainingConfig, split: Split, seed: int) -> HybridHead:
    """Train a single head by the loop itself."""
    outputs = tasks.outputs(config.task, 0 if config.task == "regression" else 3)
    model = HybridHead(FEATURES, outputs, SHAPE)
    targets = torch.from_numpy(targets_of(config.task))
    training.train(model, torch.from_numpy(X), targets, [split], [replace(config, members=1, bootstrap=False)], [seed])
    return model


def same(a: HybridHead, b: HybridHead) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_first_member_has_the_seed_itself_and_no_two_members_share_one() -> None:
    each = [members.seeds_of(seed, 64) for seed in range(50)]
    assert [own[0] for own in each] == list(range(50))
    assert len({seed for own in each for seed in own}) == 50 * 64
    assert members.seeds_of(3, 5) == members.seeds_of(3, 64)[:5]
    assert members.seeds_of(3, 1) == [3]


@pytest.mark.parametrize(
    "settings",
    [{}, {"shots": 50}, {"training_shots": 50}, {"bootstrap": True}, {"standardise": True, "keep": "last"}],
)
def test_each_member_is_the_head_that_its_seed_and_rows_train_alone(settings: dict[str, Any]) -> None:
    config = replace(CONFIG, **settings)
    model, _ = trained(config)
    splits = members.splits_of(SPLIT, 7, 3, bootstrap=config.bootstrap)
    singles = [alone(config, s, seed) for s, seed in zip(splits, members.seeds_of(7, 3), strict=True)]
    assert [same(model.member(k), single) for k, single in enumerate(singles)] == [True] * 3
    assert not same(singles[0], singles[1])


def test_the_classes_are_those_of_the_mean_of_the_softmaxes_of_the_members() -> None:
    model, _ = trained()
    singles = [evaluation.logits(model.member(k), X).astype(np.float64) for k in range(3)]
    mean = np.mean([softmax(one, axis=1) for one in singles], axis=0)
    answer = evaluation.logits(model, X)
    np.testing.assert_allclose(tasks.probabilities("classification", answer), mean, rtol=1e-12)
    np.testing.assert_array_equal(tasks.predicted("classification", answer), mean.argmax(1))


@pytest.mark.parametrize("task", get_args(Task))
def test_the_average_is_the_mean_of_what_the_logits_stand_for(task: Task) -> None:
    logits = np.random.default_rng(1).normal(scale=3, size=(4, 20, 3)).astype(np.float32)
    mean = tasks.averaged(task, logits)
    if task == "regression":
        np.testing.assert_allclose(mean, logits.astype(np.float64).mean(0), rtol=1e-12)
    elif task == "classification":
        wanted = softmax(logits.astype(np.float64), axis=2).mean(0)
        np.testing.assert_allclose(softmax(mean, axis=1), wanted, rtol=1e-12)
    else:
        np.testing.assert_allclose(expit(mean), expit(logits.astype(np.float64)).mean(0), rtol=1e-12)


@pytest.mark.parametrize("task", get_args(Task))
def test_the_average_of_huge_logits_is_finite_and_that_of_equals_is_what_they_are(task: Task) -> None:
    huge = np.array([[[1e30, -1e30], [-1e4, 1e4]], [[-1e30, 1e30], [1e4, -1e4]]])
    assert np.isfinite(tasks.averaged(task, huge)).all()
    one = np.array([[30.0, -30.0, 3.0]])
    mean = tasks.averaged(task, np.stack([one, one]))
    # A softmax does not change when all logits move by the same number.
    shift = mean[0, 0] - one[0, 0] if task == "classification" else 0.0
    np.testing.assert_allclose(mean - shift, one)


def test_a_single_member_keeps_its_bits() -> None:
    logits = np.random.default_rng(2).normal(size=(1, 5, 3)).astype(np.float32)
    averages = [tasks.averaged(task, logits) for task in get_args(Task)]
    assert all(one.dtype == np.float32 and np.array_equal(one, logits[0]) for one in averages)


def test_bootstrap_draws_training_rows_with_replacement_and_leaves_validation_alone() -> None:
    drawn = members.splits_of(SPLIT, 7, 50, bootstrap=True)
    for one in drawn:
        assert len(one.train) == len(SPLIT.train)
        assert set(one.train) < set(SPLIT.train)
        assert np.array_equal(one.validation, SPLIT.validation)
        assert np.array_equal(one.test, SPLIT.test)
    # A row is missing from a draw of n with a chance of (1 - 1/n)^n.
    distinct = np.mean([len(set(one.train)) for one in drawn]) / 24
    assert distinct == pytest.approx(1 - (1 - 1 / 24) ** 24, abs=0.03)
    assert len({tuple(one.train) for one in drawn}) == 50
    assert members.splits_of(SPLIT, 7, 2, bootstrap=False) == [SPLIT, SPLIT]


def test_ensembles_side_by_side_are_those_that_train_alone() -> None:
    both, result = trained(seeds=(7, 8))
    for number, seed in enumerate((7, 8)):
        single, own = trained(seeds=(seed,))
        assert same(both.select(number), single)
        assert result.averaged is not None
        assert own.averaged is not None
        assert result.averaged[number] == own.averaged[0]
        np.testing.assert_array_equal(result.of_model(result.train_loss, number), own.train_loss)
        np.testing.assert_allclose(result.mean_curve("train_loss")[:, number], own.train_loss.mean(1))
    assert both.select(0).parameter_count == 3 * both.member(0).parameter_count == both.parameter_count


@pytest.mark.parametrize("task", get_args(Task))
def test_validation_is_that_of_the_average(task: Task) -> None:
    config = replace(CONFIG, task=task, class_weight=None if task == "regression" else "balanced")
    model, result = trained(config)
    rows, truth = SPLIT.validation, targets_of(task)[SPLIT.validation]
    answer = evaluation.logits(model, X[rows])
    if task == "regression":
        assert np.isnan(result.best_validation_accuracy(0))
        assert result.best_validation_loss(0) == pytest.approx(np.mean((answer[:, 0] - truth) ** 2))
        return
    right = tasks.predicted(task, answer) == truth
    assert result.best_validation_accuracy(0) == (right.all(1) if task == "multi-label" else right).mean()
    if task == "classification":
        counts = np.bincount(targets_of(task)[SPLIT.train])
        weights = 24 / (3 * counts)
        chances = tasks.probabilities(task, answer)[np.arange(len(rows)), truth]
        assert result.best_validation_loss(0) == pytest.approx(-np.mean(weights[truth] * np.log(chances)))


def test_without_validation_rows_the_average_has_no_figures() -> None:
    _, result = trained(split=replace(SPLIT, validation=SPLIT.validation[:0]))
    assert np.isnan(result.best_validation_accuracy(0))
    assert np.isnan(result.best_validation_loss(0))


def test_a_member_that_diverged_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = training.train

    def diverging(*arguments: Any, **options: Any) -> training.TrainingResult:
        result = loop(*arguments, **options)
        result.best_epoch[4] = -1
        return result

    monkeypatch.setattr(training, "train", diverging)
    with pytest.raises(HilbertuneError, match="Member 2 of 3 of the ensemble with seed 8 diverged"):
        trained(seeds=(7, 8))


@pytest.mark.parametrize("bootstrap", [False, True])
def test_a_training_that_was_killed_resumes_bit_for_bit(tmp_path: Path, bootstrap: bool) -> None:
    config = replace(CONFIG, bootstrap=bootstrap, shots=40)
    whole, result = trained(config)
    model = members.untrained(FEATURES, 3, SHAPE, config)
    every = members.side_by_side([SPLIT], [config], [7])

    def kill(epoch: int, _: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    data = model, torch.from_numpy(X), torch.from_numpy(targets_of("classification"))
    file = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        training.train(*data, *every, checkpoint=file, checkpoint_seconds=0, progress=kill)
    epochs: list[int] = []
    resumed, again = trained(config, checkpoint=file, progress=lambda epoch, _: epochs.append(epoch))
    assert epochs == [3, 4]
    assert same(resumed, whole)
    assert again.averaged == result.averaged


def test_members_draw_shots_of_their_own_and_the_first_as_it_would_alone() -> None:
    model, _ = trained()
    for name in model.state_dict():
        model.state_dict()[name][:] = model.state_dict()[name][:1].clone()
    model.head.shots = 20
    single = evaluation.logits(model.member(0), X, seed=[3, 1])
    average = evaluation.logits(model, X, seed=[3, 1])
    assert np.array_equal(evaluation.logits(model, X, seed=[3, 1]), average)
    # Equal heads with equal draws would average to what each of them says.
    assert not np.allclose(average, tasks.averaged("classification", np.stack([single, single])))
    twin = model.member(0)
    twin.head.rngs = [np.random.default_rng([3, 1])]
    assert np.array_equal(twin(torch.from_numpy(X)).detach().numpy(), single)


def test_what_is_not_one_model_is_refused() -> None:
    model, _ = trained(seeds=(7, 8))
    with pytest.raises(HilbertuneError, match="2 models stand side by side"):
        evaluation.logits(model, X)
    with pytest.raises(HilbertuneError, match="multiple of members"):
        HybridHead(FEATURES, 2, SHAPE, runs=4, members=3, task="classification")
    with pytest.raises(HilbertuneError, match="need a task"):
        HybridHead(FEATURES, 2, SHAPE, runs=3, members=3)


def test_the_loop_refuses_a_model_of_other_members_than_its_settings() -> None:
    model = HybridHead(FEATURES, 3, SHAPE, runs=3)
    every = members.side_by_side([SPLIT], [CONFIG], [7])
    with pytest.raises(HilbertuneError, match="settings say 3 members and the model has 1"):
        training.train(model, torch.from_numpy(X), torch.from_numpy(targets_of("classification")), *every)


def test_an_empty_input_has_no_answers() -> None:
    model, _ = trained()
    assert evaluation.logits(model, X[:0]).shape == (0, 3)
    model.head.shots = 5
    assert evaluation.logits(model, X[:0]).shape == (0, 3)


def test_heads_of_an_ensemble_learn_one_basis_and_share_its_amplitudes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.normal(size=(40, 9))), torch.from_numpy(rng.integers(0, 2, 40))
    shape = HeadConfig(qubits=3, basis="pca", norm="keep", encoder_layers=1, reuploads=1)
    config = TrainingConfig(epochs=2, members=3)
    splits = [Split(np.arange(k, 30 + k), np.arange(30 + k, 38 + k), np.arange(0)) for k in range(2)]
    fitted = []
    basis = AmplitudeLoading._basis
    monkeypatch.setattr(AmplitudeLoading, "_basis", lambda self, rows: (fitted.append(rows), basis(self, rows))[1])
    model = members.untrained(9, 2, shape, config, models=2).double()
    members.train(model, x, y, splits, [config] * 2, [0, 1])
    assert len(fitted) == 2
    used = fused.Fused(model, x)
    assert used.sources.tolist() == [0, 0, 0, 1, 1, 1]
    assert used.amplitudes.shape == (2, 40, 7)
    rows = np.tile(np.arange(40), (6, 1))
    torch.testing.assert_close(torch.from_numpy(used.logits(rows)), model(x), rtol=0, atol=1e-12)
