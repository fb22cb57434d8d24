"""Each task's losses, weights and metrics against torch and scikit-learn; each is learnt, and resumed after a stop."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor
from torch.nn import functional

from hilbertune import HilbertuneError
from hilbertune.baselines.fixed import baselines
from hilbertune.config.records import HeadConfig, Task, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.model import evaluation, tasks
from hilbertune.model.fused import Fused, goal_of
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import TrainingResult, train

SHAPE = HeadConfig(qubits=3, encoder_layers=1, encoder_connectivity=1, reuploads=2, layers=1, basis="pca")
ROWS, FEATURES, CLASSES = 90, 6, 3
SINGLE: list[Task] = ["classification", "one-vs-rest", "ordinal"]
ALL: list[Task] = [*SINGLE, "multi-label", "regression"]
WEIGHED = [(task, None) for task in ALL] + [(task, "balanced") for task in ALL[:4]]


def toy(task: Task, rows: int = ROWS) -> tuple[Tensor, Tensor]:
    """Embeddings whose first numbers say the target; the classes are skewed."""
    x = np.random.default_rng(0).normal(size=(rows, FEATURES)).astype(np.float32)
    if task in ("classification", "one-vs-rest"):
        y = (x[:, :CLASSES] + [1.0, 0.0, 0.0]).argmax(1)
    elif task == "ordinal":
        y = np.digitize(x[:, 0], [-0.3, 0.8])
    elif task == "multi-label":
        y = (x[:, :CLASSES] > [0.5, 0.0, -0.5]).astype(np.float64)
    else:
        y = x[:, 0].astype(np.float64)
    return torch.from_numpy(x), torch.from_numpy(y)


def split(seed: int) -> Split:
    rows = np.random.default_rng(seed).permutation(ROWS)
    return Split(rows[:53], rows[53:74], rows[74:])


def learn(
    task: Task,
    seeds: Sequence[int] = (0,),
    *,
    head: HeadConfig = SHAPE,
    weight: Any = None,
    epochs: int = 3,
    targets: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    settings: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[HybridHead, TrainingResult]:
    x, y = toy(task)
    config = TrainingConfig(
        task=task,
        class_weight=weight,
        epochs=epochs,
        **{"learning_rate": 0.05, "batch_size": 12, **(settings or {})},
    )
    model = HybridHead(FEATURES, tasks.outputs(task, CLASSES), head, runs=len(seeds)).to(dtype)
    y = y if targets is None else targets
    result = train(model, x, y, [split(s) for s in seeds], [config] * len(seeds), seeds, **options)
    return model, result


def differences(one: Any, other: Any, run: int | None = None) -> list[str]:
    """Name what is not bit for bit the same; with `run`, in that run of `other` and the only one of `one`."""
    runs = slice(None) if run is None else slice(run, run + 1)
    names = [
        name
        for name, values in one[0].state_dict().items()
        if not torch.equal(values, other[0].state_dict()[name][runs])
    ]
    for name in ("train_loss", "validation_loss", "validation_accuracy"):
        mine, theirs = getattr(one[1], name), getattr(other[1], name)[:, runs]
        if not np.array_equal(mine, theirs, equal_nan=True):
            names.append(name)
    if not np.array_equal(one[1].best_epoch, other[1].best_epoch[runs]):
        names.append("best_epoch")
    return names


# Losses


def some(task: Task, runs: int = 2, batch: int = 7, classes: int = 4) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(1)
    logits = 3 * rng.normal(size=(runs, batch, tasks.outputs(task, classes)))
    if task == "regression":
        targets = rng.normal(size=(runs, batch))
    elif task == "multi-label":
        targets = rng.integers(0, 2, (runs, batch, classes)).astype(np.float64)
    else:
        targets = rng.integers(0, classes, (runs, batch))
    return torch.from_numpy(logits), torch.from_numpy(targets)


def test_outputs_are_one_a_class_one_less_for_a_scale_and_one_for_a_number() -> None:
    assert [tasks.outputs(task, 5) for task in ALL] == [5, 5, 4, 5, 1]
    assert tasks.outputs("regression", 0) == 1
    assert tasks.outputs("multi-label", 1) == 1
    assert [tasks.classes_of(task, tasks.outputs(task, 5)) for task in ALL] == [5, 5, 5, 5, 0]


@pytest.mark.parametrize("task", SINGLE)
def test_one_class_is_refused(task: Task) -> None:
    with pytest.raises(HilbertuneError, match="at least 2 classes, not 1"):
        tasks.outputs(task, 1)


def test_one_class_has_the_weighted_cross_entropy() -> None:
    logits, targets = some("classification")
    weights = torch.tensor([[1.0, 2.0, 0.5, 3.0], [4.0, 1.0, 1.0, 0.1]], dtype=torch.float64)
    found = tasks.losses("classification", logits, targets, weights)
    for run in range(2):
        expected = functional.cross_entropy(logits[run], targets[run], weight=weights[run], reduction="none")
        torch.testing.assert_close(found[run], expected)


def test_several_labels_have_torchs_weight_of_the_positive() -> None:
    logits, targets = some("multi-label")
    weights = torch.tensor([[1.0, 2.0, 0.5, 3.0], [4.0, 1.0, 1.0, 0.1]], dtype=torch.float64)
    found = tasks.losses("multi-label", logits, targets, weights)
    for run in range(2):
        expected = functional.binary_cross_entropy_with_logits(
            logits[run], targets[run], pos_weight=weights[run], reduction="none"
        ).sum(1)
        torch.testing.assert_close(found[run], expected)


def test_a_scale_asks_each_threshold_whether_the_step_is_above_it() -> None:
    logits, targets = some("ordinal")
    found = tasks.losses("ordinal", logits, targets)
    for run, row in np.ndindex(*targets.shape):
        expected = sum(
            metrics.log_loss([int(targets[run, row] > j)], [1 / (1 + np.exp(-z))], labels=[0, 1])
            for j, z in enumerate(logits[run, row].tolist())
        )
        assert found[run, row].item() == pytest.approx(expected)


def test_one_vs_rest_asks_each_class_whether_it_is_the_one() -> None:
    logits, targets = some("one-vs-rest")
    found = tasks.losses("one-vs-rest", logits, targets)
    wanted = functional.one_hot(targets, 4).double()
    probability = 1 / (1 + torch.exp(-logits))
    expected = functional.binary_cross_entropy(probability, wanted, reduction="none").sum(-1)
    torch.testing.assert_close(found, expected)


def test_a_number_has_the_squared_error() -> None:
    logits, targets = some("regression")
    found = tasks.losses("regression", logits, targets)
    assert found.mean().item() == pytest.approx(metrics.mean_squared_error(targets.flatten(), logits.flatten()))


@pytest.mark.parametrize(("task", "weight"), WEIGHED)
def test_the_compiled_training_follows_the_finite_differences_of_the_loss(task: Task, weight: Any) -> None:
    """After the first step Adam's first moment is 0.1 times the gradient."""
    x, y = toy(task)
    model = HybridHead(FEATURES, tasks.outputs(task, CLASSES), SHAPE).double()
    rows = np.arange(11)
    config = TrainingConfig(task=task, class_weight=weight)
    found = tasks.class_weights(config, y[:50], CLASSES)
    weights = None if found is None else found[None]
    goal = goal_of(task, y, weights, model.outputs)
    flat = torch.cat([p.detach().flatten(1) for p in model.parameters()], dim=1)
    start = flat.clone()
    fused = Fused(model, x.double(), weights=flat, goal=goal)
    first = np.zeros_like(flat.numpy())
    loss = fused.train(
        rows[None],
        len(rows),
        (first, first.copy()),
        0,
        np.zeros((1, 1)),
        np.zeros(1),
        np.ones(1, np.bool_),
    )

    def at(values: Tensor) -> float:
        torch.nn.utils.vector_to_parameters(values[0], model.parameters())
        logits = model(x[rows].double())[None]
        return float(tasks.losses(task, logits, y[rows][None], weights).mean().detach())

    assert loss[0] / len(rows) == pytest.approx(at(start), abs=1e-12)
    for place in range(start.shape[1]):
        step = torch.zeros_like(start)
        step[0, place] = 1e-5
        slope = (at(start + step) - at(start - step)) / 2e-5
        assert 10 * first[0, place] == pytest.approx(slope, abs=1e-8), place
    assert np.abs(first).max() > 1e-3


@pytest.mark.parametrize(("task", "weight"), WEIGHED)
def test_the_compiled_training_is_the_training_by_autograd(task: Task, weight: Any) -> None:
    x, y = toy(task)
    found = []
    for engine in ("auto", "reference"):
        model = HybridHead(FEATURES, tasks.outputs(task, CLASSES), SHAPE, engine=engine).double()
        config = TrainingConfig(task=task, class_weight=weight, epochs=2, learning_rate=0.03)
        found.append((model, train(model, x, y, [split(0)], [config], [0])))
    np.testing.assert_allclose(found[0][1].train_loss, found[1][1].train_loss, atol=1e-10)
    for name, values in found[0][1].last.items():
        torch.testing.assert_close(values, found[1][1].last[name], rtol=0, atol=1e-8)


@pytest.mark.parametrize("task", ["multi-label", "ordinal"])
def test_huge_logits_have_a_finite_loss(task: Task) -> None:
    goal = goal_of(task, toy(task)[1], None, tasks.outputs(task, CLASSES))
    from hilbertune.model import goals

    logits = np.full((goal.wanted.shape[1], 8), 1e30)
    slopes = np.zeros_like(logits)
    for sign in (1, -1):
        loss = goals._separate_losses(
            goal.kind, sign * logits, goal.wanted, goal.weights[0], np.arange(8), 1.0, slopes, 0
        )
        assert np.isfinite(loss)
        assert np.isfinite(slopes).all()


# Weights


def test_balanced_weights_are_scikit_learns() -> None:
    y = torch.tensor([0] * 10 + [1] * 3 + [2])
    config = TrainingConfig(class_weight="balanced")
    found = tasks.class_weights(config, y, 3)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y.numpy())
    np.testing.assert_allclose(found, expected)
    assert tasks.class_weights(TrainingConfig(), y, 3) is None


def test_a_class_without_a_training_row_leaves_the_others_balanced() -> None:
    y = torch.tensor([0, 0, 0, 2])
    found = tasks.class_weights(TrainingConfig(class_weight="balanced"), y, 3)
    np.testing.assert_allclose(found, [4 / 6, 1.0, 2.0])


def test_a_label_without_positives_or_negatives_has_the_weight_1() -> None:
    y = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    config = TrainingConfig(task="multi-label", class_weight="balanced")
    np.testing.assert_allclose(tasks.class_weights(config, y, 3), [1.0, 1.0, 3.0])


def test_numbers_have_no_class_weights() -> None:
    with pytest.raises(HilbertuneError, match="leave class_weight out"):
        learn("regression", weight="balanced")


def test_each_run_weighs_the_classes_of_its_own_training_rows() -> None:
    together = learn("classification", [0, 1, 2], weight="balanced")
    alone = learn("classification", [2], weight="balanced")
    assert differences(alone, together, 2) == []
    assert differences(learn("classification", [2]), together, 2) != []


# Targets


@pytest.mark.parametrize(
    ("task", "targets", "message"),
    [
        ("regression", torch.tensor([0.0, torch.nan, torch.inf]), r"row 2 .*1 more .*not finite"),
        ("regression", torch.tensor([0, 1, 2]), r"needs floats of the shape \[rows\]"),
        ("classification", torch.tensor([0, 3, 1]), "row 2 is not a class from 0 to 2"),
        ("classification", torch.tensor([0, 1, -1]), "row 3 is not a class from 0 to 2"),
        ("classification", torch.tensor([0.0, 1.0, 1.0]), "needs class indices"),
        ("ordinal", torch.tensor([0, 1, 3]), "row 3 is not a class from 0 to 2"),
        ("multi-label", torch.tensor([0, 1, 1]), r"0 and 1 of the shape \[rows, classes\]"),
        ("multi-label", torch.ones(3, 2), "2 columns, and the head 3 outputs"),
        ("multi-label", torch.tensor([[0.0, 1, 0], [0, 0.5, 0]]), "row 2 holds other numbers"),
        ("multi-label", torch.full((1, 3), torch.nan), "row 1 holds other numbers"),
    ],
)
def test_other_targets_are_refused_before_training(task: Task, targets: Tensor, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        learn(task, targets=targets)


@pytest.mark.parametrize("task", ["ordinal", "multi-label"])
def test_an_expectation_and_its_negative_are_no_thresholds_and_no_labels(task: Task) -> None:
    classes = 3 if task == "ordinal" else 2
    model = HybridHead(FEATURES, 2, HeadConfig(qubits=3, final_linear=False))
    targets = torch.zeros(ROWS, 2) if task == "multi-label" else torch.arange(ROWS) % classes
    config = TrainingConfig(task=task, epochs=1)
    with pytest.raises(HilbertuneError, match="the final linear layer or measured_qubits = 2"):
        train(model, toy(task)[0], targets, [split(0)], [config], [0])


# Learning


@pytest.mark.parametrize("task", ALL)
def test_the_task_is_learnt_better_than_chance(task: Task) -> None:
    x, y = toy(task, 500)
    rows = Split(np.arange(200), np.arange(200, 260), np.arange(260, 500))
    config = TrainingConfig(task=task, epochs=40, learning_rate=0.03)
    model = HybridHead(FEATURES, tasks.outputs(task, CLASSES), SHAPE)
    train(model, x, y, [rows], [config], [0])
    truth = y.numpy()[rows.test]
    found = tasks.metrics(task, truth, evaluation.logits(model, x.numpy()[rows.test]))
    if task == "regression":
        assert found["r2"] > 0.5
        assert found["spearman"] > 0.7
        return
    counts = np.unique(truth, axis=0, return_counts=True)[1]
    chance = counts.max() / counts.sum()
    assert found["subset_accuracy" if task == "multi-label" else "accuracy"] > chance + 0.1


def test_numbers_choose_the_epoch_by_the_validation_loss() -> None:
    _, result = learn("regression", epochs=15, settings={"learning_rate": 0.3})
    assert np.isnan(result.validation_accuracy).all()
    assert np.isnan(result.best_validation_accuracy(0))
    best = int(np.argmin(result.validation_loss[:, 0]))
    assert result.best_epoch.tolist() == [best]
    assert best != 14, "the last epoch would also be chosen without a validation set"
    assert result.best_validation_loss(0) == result.validation_loss[best, 0]


def test_numbers_run_out_of_patience_too() -> None:
    settings = {"learning_rate": 0.3, "patience": 2}
    _, result = learn("regression", epochs=40, settings=settings)
    assert len(result.train_loss) == result.best_epoch[0] + 3 < 40


@pytest.mark.parametrize("shots", [None, 20])
@pytest.mark.parametrize(("task", "weight"), WEIGHED)
def test_a_run_alone_is_the_same_run_beside_others(task: Task, weight: Any, shots: int | None) -> None:
    settings = {"shots": shots}
    together = learn(task, [3, 1, 4], weight=weight, epochs=2, settings=settings)
    for run, seed in enumerate([3, 1, 4]):
        alone = learn(task, [seed], weight=weight, epochs=2, settings=settings)
        assert differences(alone, together, run) == [], run


class Stop(Exception):
    """Stands for whatever ends a training before its time."""


@pytest.mark.parametrize("shots", [None, 20])
@pytest.mark.parametrize(("task", "weight"), WEIGHED)
def test_a_resumed_training_is_the_uninterrupted_one(
    task: Task, weight: Any, shots: int | None, tmp_path: Path
) -> None:
    def stop(epoch: int, _: float) -> None:
        if epoch == 2:
            raise Stop

    settings = {"shots": shots}
    whole = learn(task, [0, 1], weight=weight, epochs=4, settings=settings)
    file = {"checkpoint": tmp_path / "checkpoint", "checkpoint_seconds": 0}
    with pytest.raises(Stop):
        learn(task, [0, 1], weight=weight, epochs=4, settings=settings, progress=stop, **file)
    resumed = learn(task, [0, 1], weight=weight, epochs=4, settings=settings, **file)
    assert differences(resumed, whole) == []


def test_the_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    file = {"checkpoint": tmp_path / "checkpoint", "checkpoint_seconds": 0}
    learn("classification", **file)
    with pytest.raises(HilbertuneError, match="belongs to a training with other data or"):
        learn("one-vs-rest", **file)


def test_a_class_without_training_rows_is_never_an_error() -> None:
    for task in SINGLE:
        targets = toy(task)[1].clone()
        rows = torch.from_numpy(split(0).train)
        targets[rows[targets[rows] == 2]] = 1
        for weight in (None, "balanced"):
            _, result = learn(task, targets=targets, weight=weight)
            assert np.isfinite(result.validation_loss).all()


# Predictions


def test_probabilities_are_those_of_the_task() -> None:
    logits = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]])
    sigmoid = 1 / (1 + np.exp(-logits))
    power = np.exp(logits)
    np.testing.assert_allclose(tasks.probabilities("classification", logits), power / power.sum(1, keepdims=True))
    np.testing.assert_allclose(tasks.probabilities("multi-label", logits), sigmoid)
    np.testing.assert_allclose(tasks.probabilities("one-vs-rest", logits), sigmoid / sigmoid.sum(1, keepdims=True))
    # P(y > 2) may be no higher than P(y > 1): what is too high is cut.
    a, b = sigmoid[0, 0], sigmoid[0, 1]
    np.testing.assert_allclose(
        tasks.probabilities("ordinal", logits), [[1 - a, a - b, 0, b], [0.5, 0, 0, 0.5]], atol=1e-15
    )
    with pytest.raises(HilbertuneError, match="no probabilities"):
        tasks.probabilities("regression", logits)


def test_sigmoids_next_to_0_still_sum_to_1() -> None:
    logits = np.array([[-800.0, -801.0]])
    found = tasks.probabilities("one-vs-rest", logits)
    np.testing.assert_allclose(found, tasks.probabilities("classification", logits))


def test_predictions_are_those_of_the_task() -> None:
    logits = np.array([[2.0, 1.0, -1.0], [-1.0, -2.0, 3.0]])
    assert tasks.predicted("classification", logits).tolist() == [0, 2]
    assert tasks.predicted("one-vs-rest", logits).tolist() == [0, 2]
    assert tasks.predicted("ordinal", logits).tolist() == [2, 1]
    assert tasks.predicted("multi-label", logits).tolist() == [[1, 1, 0], [0, 0, 1]]
    assert tasks.predicted("regression", logits[:, :1]).tolist() == [2.0, -1.0]


@pytest.mark.parametrize("task", ALL[:4])
def test_what_validation_counts_is_the_accuracy_of_the_predictions(task: Task) -> None:
    logits, targets = some(task, batch=50)
    found = tasks.correct(task, logits, targets)
    assert found is not None
    for run in range(2):
        predictions = tasks.predicted(task, logits[run].numpy())
        assert found[run].mean().item() == metrics.accuracy_score(targets[run], predictions)
    assert tasks.correct("regression", *some("regression")) is None


# Metrics


def test_two_classes_have_the_area_under_the_curve() -> None:
    truth, logits = np.array([0, 1, 1, 0]), np.array([[1.0, 0], [0, 1], [1, 0.5], [0, 0.7]])
    for task in SINGLE[:2]:
        found = tasks.metrics(task, truth, logits)
        assert set(found) == {"accuracy", "macro_f1", "roc_auc"}
        assert found["roc_auc"] == 0.75  # of the four pairs one is the wrong way round
    found = tasks.metrics("ordinal", truth, logits[:, 1:] - logits[:, :1])
    assert found["roc_auc"] == 0.75
    assert tasks.metrics("classification", truth[1:3], logits[1:3])["roc_auc"] is None
    assert "roc_auc" not in tasks.metrics("classification", truth, np.eye(3)[truth])


def test_a_scale_has_its_absolute_error_and_kappa() -> None:
    logits = np.array([[1.0, 1], [1, -1], [-1, -1], [1, 1]])
    truth = np.array([2, 0, 0, 1])
    found = tasks.metrics("ordinal", truth, logits)
    assert found["mean_absolute_error"] == 0.5
    assert found["accuracy"] == 0.5
    assert found["quadratic_kappa"] == pytest.approx(
        metrics.cohen_kappa_score(truth, [2, 1, 0, 2], weights="quadratic")
    )
    assert tasks.metrics("ordinal", np.zeros(2, int), -np.ones((2, 2)))["quadratic_kappa"] is None


def test_several_labels_have_three_accuracies() -> None:
    truth = np.array([[1.0, 0, 0], [1, 1, 0], [0, 1, 0]])
    logits = np.array([[1.0, -1, -1], [1, -1, -1], [1, 1, -1]])
    found = tasks.metrics("multi-label", truth, logits)
    assert found == pytest.approx(
        {
            "subset_accuracy": 1 / 3,
            "micro_f1": 2 * 3 / (2 * 3 + 1 + 1),
            "macro_f1": (2 * 2 / 5 + 2 / 3 + 0) / 3,
        }
    )


def test_numbers_have_errors_and_correlations() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=30)
    logits = (truth + rng.normal(size=30))[:, None]
    found = tasks.metrics("regression", truth, logits)
    assert found == pytest.approx(
        {
            "r2": metrics.r2_score(truth, logits[:, 0]),
            "rmse": metrics.root_mean_squared_error(truth, logits[:, 0]),
            "mean_absolute_error": metrics.mean_absolute_error(truth, logits[:, 0]),
            "spearman": stats.spearmanr(truth, logits[:, 0]).statistic,
        }
    )
    assert tasks.metrics("regression", truth, np.zeros((30, 1)))["spearman"] is None


@pytest.mark.parametrize("task", tasks.METRICS)
@pytest.mark.parametrize("rows", [1, 3])
def test_rows_that_are_all_alike_leave_a_metric_undefined_and_not_away(task: Any, rows: int) -> None:
    outputs, many = {"regression": 1}.get(task, 2), task in ("multi-label", "regression")
    truth = np.ones((rows, 2) if task == "multi-label" else rows, float if many else int)
    found = tasks.metrics(task, truth, np.tile([1.0, -1.0], (rows, 1))[:, :outputs])
    assert set(found) <= set(tasks.METRICS[task])
    assert {name for name, value in found.items() if value is None} == set(found) & set(tasks.NEEDS)
    assert all(math.isfinite(value) for value in found.values() if value is not None)
    assert ("r2" in found) == (task == "regression")


# The table


@pytest.mark.parametrize(("task", "weight"), WEIGHED)
def test_every_row_of_the_table_has_the_metrics_of_the_task(task: Task, weight: Any) -> None:
    seeds = [0, 1, 2]  # two give no interval
    model, result = learn(task, seeds, weight=weight)
    x, y = (tensor.numpy() for tensor in toy(task))
    splits = [split(seed) for seed in seeds]
    rows = [
        evaluation.hybrid_row(model, x, y, splits, result.seconds, task),
        *evaluation.baseline_rows(x, y, splits, seeds, 40, task=task, class_weight=weight),
    ]
    assert len(rows) == 5
    for row in rows:
        assert set(row["metrics"]) == set(tasks.METRICS[task]) - {"roc_auc"}, row["method"]
        assert ("accuracy" in row) == (task != "regression")
        for name, value in row["metrics"].items():
            low, high = tasks.RANGES.get(name, (0, 1))
            assert low <= value["low"] <= value["mean"] <= value["high"] <= high
        assert row["parameters"] > 0
    assert rows[-1]["parameters"] <= 40
    linear = rows[1]["metrics"]
    if task == "regression":
        assert linear["r2"]["mean"] > 0.9
    else:
        assert linear["macro_f1"]["mean"] > 0.6


def test_the_models_of_a_scale_count_the_thresholds_that_are_passed() -> None:
    x = np.linspace(-2, 2, 80)[:, None].astype(np.float32)
    y = np.digitize(x[:, 0], [-1, 0, 1])
    for name, fit in baselines("ordinal").items():
        found = fit(x, y, 40, 0).model.predict(x)
        assert np.abs(found - y).mean() < 0.3, name
        assert set(found) <= {0, 1, 2, 3}


def test_two_classes_have_the_area_under_the_curve_in_every_row() -> None:
    x, y = (tensor.numpy() for tensor in toy("classification"))
    for weight in (None, "balanced"):
        rows = evaluation.baseline_rows(x, (y > 0).astype(np.int64), [split(0)], [0], 40, class_weight=weight)
        assert all(row["metrics"]["roc_auc"]["mean"] > 0.7 for row in rows)


def test_class_weights_let_a_rare_class_speak() -> None:
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=400) < 0.08).astype(np.int64)
    x = (rng.normal(size=(400, 4)) + y[:, None]).astype(np.float32)
    for name in ("logistic regression", "RBF SVM", "logistic regression, matched"):
        plain, fair = (
            baselines("classification", weight)[name](x, y, 40, 0).model.predict(x).sum()
            for weight in (None, "balanced")
        )
        assert fair > 1.5 * plain, name


def test_a_label_that_no_training_row_has_is_predicted_as_absent() -> None:
    x, y = (tensor.numpy() for tensor in toy("multi-label"))
    y = y.copy()
    y[:, 2] = 0
    for name, fit in baselines("multi-label").items():
        assert not fit(x, y, 40, 0).model.predict(x)[:, 2].any(), name
