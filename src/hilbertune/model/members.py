"""The members of an ensemble: heads that start from different random parameters, train side by side, answer together.

In: for each model a split, settings and a seed.
Out: those of every member, as `training.train` takes them, and the result of the training, judged by the average.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hilbertune.config.records import EngineName, HeadConfig, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError
from hilbertune.model import evaluation, tasks, training, weighting
from hilbertune.model.checkpoint import Checkpoint
from hilbertune.model.layers import HybridHead
from hilbertune.model.tensors import undrawn


def seeds_of(seed: int, members: int) -> list[int]:
    """Return a seed for each member; the first has the seed itself and so is the head that it would be alone."""
    drawn = [np.random.SeedSequence(seed, spawn_key=(number,)) for number in range(1, members)]
    return [seed, *(int(sequence.generate_state(1, np.uint64)[0]) for sequence in drawn)]


def splits_of(split: Split, seed: int, members: int, *, bootstrap: bool) -> list[Split]:
    """Return a split for each member; with `bootstrap` its training rows are drawn with replacement.

    All members share the validation rows, so that the average is validated on rows that none of them has seen.
    """
    if not bootstrap:
        return [split] * members
    size = len(split.train)
    places = [training.stream(own, training.BOOTSTRAP).integers(size, size=size) for own in seeds_of(seed, members)]
    return [replace(split, train=split.train[rows]) for rows in places]


def side_by_side(
    splits: Sequence[Split], configs: Sequence[TrainingConfig], seeds: Sequence[int]
) -> tuple[list[Split], list[TrainingConfig], list[int]]:
    """Return the splits, settings and seeds of all members, model by model, from those of each model."""
    each = list(zip(splits, configs, seeds, strict=True))
    return (
        [one for split, c, seed in each for one in splits_of(split, seed, c.members, bootstrap=c.bootstrap)],
        [config for config in configs for _ in range(config.members)],
        [one for _, config, seed in each for one in seeds_of(seed, config.members)],
    )


def untrained(
    features: int,
    outputs: int,
    shape: HeadConfig,
    config: TrainingConfig,
    *,
    models: int = 1,
    engine: EngineName = "auto",
) -> HybridHead:
    """Return models that stand side by side, each of as many members as the settings of training say."""
    members = config.members
    runs = models * members
    with undrawn():
        return HybridHead(features, outputs, shape, runs=runs, members=members, task=config.task, engine=engine)


def train(
    model: HybridHead,
    embeddings: Tensor,
    targets: Tensor,
    splits: Sequence[Split],
    configs: Sequence[TrainingConfig],
    seeds: Sequence[int],
    *,
    sample_weight: Tensor | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    checkpoint_seconds: float = 5.0,
    progress: Callable[[int, float], None] | None = None,
    callbacks: Sequence[Any] = (),
    lenient: bool = False,
) -> training.TrainingResult:
    """Train models of one or more members as one program: `training.train`, whose arguments these are, for each model.

    With `lenient` an ensemble of which a member diverged has no figures, and the others are trained all the same.

    Raises:
        HilbertuneError: see `training.train`; or a member of an ensemble diverged.
    """
    result = training.train(
        model,
        embeddings,
        targets,
        *side_by_side(splits, configs, seeds),
        sample_weight=sample_weight,
        checkpoint=checkpoint,
        checkpoint_seconds=checkpoint_seconds,
        progress=progress,
        callbacks=callbacks,
    )
    members = model.members
    if members == 1:
        return result
    figures = []
    for number, (split, config, seed) in enumerate(zip(splits, configs, seeds, strict=True)):
        broken = divergence(result.best_epoch[number * members : (number + 1) * members], seed)
        if broken is not None and not lenient:
            raise HilbertuneError(broken)
        ensemble = model.select(number)
        figure = math.nan, math.nan
        if broken is None:
            weights = weighting.row_weights(sample_weight, [split], len(targets))
            figure = _validated(ensemble, embeddings, targets, split, config, weights)
        figures.append(figure)
    return replace(result, averaged=figures)


def divergence(best_epochs: np.ndarray, seed: int) -> str | None:
    """Return a sentence on a model that diverged, from the best epoch of each member; None if every member learned."""
    diverged = np.flatnonzero(best_epochs < 0)
    if not diverged.size:
        return None
    if len(best_epochs) == 1:
        return "Training diverged to infinite losses: use a smaller learning rate."
    return (
        f"Member {int(diverged[0]) + 1} of {len(best_epochs)} of the ensemble with seed {seed} diverged to infinite "
        "losses: use a smaller learning rate."
    )


def _validated(
    ensemble: HybridHead,
    embeddings: Tensor,
    targets: Tensor,
    split: Split,
    config: TrainingConfig,
    row_weights: Tensor | None,
) -> tuple[float, float]:
    """Return the accuracy and the mean loss of an ensemble on its validation rows, NaN where there is no such figure.

    The loss weighs classes by all training rows, which a bootstrap changes for each member alone.
    """
    rows = torch.from_numpy(split.validation)
    if not len(rows):
        return math.nan, math.nan
    answers = torch.from_numpy(evaluation.logits(ensemble, embeddings[rows].cpu().numpy()))
    truth = targets[rows].cpu()
    weights = weighting.class_weights(config, targets.cpu(), [split], ensemble.outputs, row_weights)
    losses = tasks.losses(config.task, answers[None], truth[None], weights)
    right = tasks.correct(config.task, answers[None], truth[None])
    accuracy = math.nan if right is None else float(weighting.mean(right, row_weights, rows[None]))
    return accuracy, float(weighting.mean(losses, row_weights, rows[None]))
