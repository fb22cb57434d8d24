"""A row of weight 3 is that row three times, a row of weight 0 is no row: in the loss, the start and validation."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from hilbertune.config.records import HeadConfig, Task, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError
from hilbertune.model import members, tasks
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import TrainingResult, train

ROWS, FEATURES, CLASSES = 24, 4, 3
SHAPE = HeadConfig(qubits=3, encoder_layers=1, encoder_connectivity=1, reuploads=1, layers=1, measured_qubits=3)
COUNTS = torch.from_numpy(np.random.default_rng(3).integers(1, 4, ROWS))
TRAIN, VALIDATION = np.arange(16), np.arange(16, ROWS)


def toy(task: Task) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(ROWS, FEATURES)))
    targets = {
        "ordinal": torch.bucketize(x[:, 0].contiguous(), torch.tensor([-0.3, 0.8])),
        "multi-label": (x[:, :CLASSES] > 0).double(),
        "regression": x[:, 0].clone(),
    }
    return x, targets.get(task, x[:, :CLASSES].argmax(1))


def learn(
    task: Task, x: Tensor, y: Tensor, split: Split, *, shape: HeadConfig = SHAPE, engine: Any = "auto", **options: Any
) -> tuple[HybridHead, TrainingResult]:
    """Train in double precision; one batch holds all rows."""
    weights = options.pop("sample_weight", None)
    config = TrainingConfig(**{"task": task, "epochs": 5, "batch_size": 999, "learning_rate": 0.05, **options})
    model = HybridHead(FEATURES, tasks.outputs(task, CLASSES), shape, task=task, engine=engine).double()
    return model, train(model, x, y, [split], [config], [0], sample_weight=weights)


def repeated(x: Tensor, y: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Split]:
    places = torch.arange(ROWS).repeat_interleave(counts).numpy()
    split = Split(*(np.flatnonzero(np.isin(places, part)) for part in (TRAIN, VALIDATION)), np.arange(0))
    return x[places], y[places], split


def same(one: tuple[HybridHead, TrainingResult], other: tuple[HybridHead, TrainingResult]) -> None:
    for name, values in one[0].state_dict().items():
        torch.testing.assert_close(other[0].state_dict()[name], values, rtol=1e-6, atol=1e-7, msg=name)
    for curve in ("train_loss", "validation_loss", "validation_accuracy"):
        np.testing.assert_allclose(getattr(other[1], curve), getattr(one[1], curve), rtol=1e-6, err_msg=curve)
    assert one[1].best_epoch == other[1].best_epoch


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("task", get_args(Task))
def test_whole_weights_are_repetitions(task: Task, engine: Any) -> None:
    x, y = toy(task)
    weight = None if task == "regression" else "balanced"
    options = {"standardise": True, "class_weight": weight, "engine": engine}
    weighted = learn(task, x, y, Split(TRAIN, VALIDATION, np.arange(0)), sample_weight=COUNTS, **options)
    same(learn(task, *repeated(x, y, COUNTS), **options), weighted)
    plain = learn(task, x, y, Split(TRAIN, VALIDATION, np.arange(0)), **options)
    assert abs(plain[1].train_loss - weighted[1].train_loss).max() > 1e-3


@pytest.mark.parametrize(
    "changes",
    [
        {"basis": "pca"},
        {"scale": "standardise", "norm": "keep"},
        {"scale": "standardise", "basis": "pca"},
        {"basis": "raw", "norm": "keep"},
        {"input_scale": "trainable", "merge": "average", "encoders": 2},
    ],
    ids=str,
)
def test_what_is_learned_from_the_rows_is_weighted_too(changes: dict[str, Any]) -> None:
    x, y = toy("classification")
    x = x + torch.tensor([0.0, 1.0, 2.0, 3.0])
    shape = replace(SHAPE, **{"basis": "raw", **changes})
    options = {"shape": shape, "standardise_angles": changes.get("input_scale") == "trainable"}
    weighted = learn("classification", x, y, Split(TRAIN, VALIDATION, np.arange(0)), sample_weight=COUNTS, **options)
    same(learn("classification", *repeated(x, y, COUNTS), **options), weighted)


def test_only_ratios_matter_and_rows_of_weight_0_are_no_rows() -> None:
    x, y = toy("classification")
    split = Split(TRAIN, VALIDATION, np.arange(0))
    wanted = learn("classification", x, y, split, sample_weight=COUNTS)
    for scale in (1e-300, 7.0, 1e300):
        same(wanted, learn("classification", x, y, split, sample_weight=COUNTS.double() * scale))
    kept = COUNTS.double() * (torch.arange(ROWS) % 5 > 0)
    without = Split(*(part[kept[part].numpy() > 0] for part in (TRAIN, VALIDATION)), np.arange(0))
    same(
        learn("classification", x, y, without, sample_weight=COUNTS),
        learn("classification", x, y, split, sample_weight=kept),
    )


def test_the_same_weight_for_all_rows_changes_nothing_much() -> None:
    x, y = toy("classification")
    split = Split(TRAIN, VALIDATION, np.arange(0))
    same(learn("classification", x, y, split), learn("classification", x, y, split, sample_weight=torch.ones(ROWS)))


@pytest.mark.parametrize("bootstrap", [False, True])
def test_members_of_an_ensemble_are_weighted_each_by_its_own_rows(bootstrap: bool) -> None:
    x, y = toy("classification")
    split = Split(TRAIN, VALIDATION, np.arange(0))
    config = TrainingConfig(epochs=2, batch_size=999, members=2, bootstrap=bootstrap)
    models = []
    for weights in (COUNTS, 5 * COUNTS):
        model = members.untrained(FEATURES, CLASSES, SHAPE, config).double()
        result = members.train(model, x, y, [split], [config], [0], sample_weight=weights)
        models.append((model, result))
        # The training rows of a member weigh 1 on average, so that its loss is a mean.
        assert (result.train_loss > 0.5).all()
        assert result.averaged is not None
    np.testing.assert_allclose(models[0][1].averaged, models[1][1].averaged)
    for name, values in models[0][0].state_dict().items():
        torch.testing.assert_close(models[1][0].state_dict()[name], values, rtol=1e-6, atol=1e-7, msg=name)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (torch.ones(ROWS - 1), "24 rows and weights of the shape"),
        (torch.ones(ROWS, 1), "24 rows and weights of the shape"),
        (-torch.ones(ROWS), "finite numbers of 0 or more"),
        (torch.full((ROWS,), torch.nan), "finite numbers of 0 or more"),
        (torch.zeros(ROWS), "all rows are zero"),
        ((torch.arange(ROWS) >= 16).double(), "all training rows are zero"),
    ],
)
def test_other_weights_are_refused(weights: Tensor, sentence: str, unchecked: None) -> None:
    with pytest.raises(HilbertuneError, match=sentence):
        learn("classification", *toy("classification"), Split(TRAIN, VALIDATION, np.arange(0)), sample_weight=weights)
