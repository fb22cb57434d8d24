"""One configuration over several seeds: train, choose on validation, test, compare with classical heads.

In: embeddings, or texts and an embedding model that learns; targets, and a split for each seed.
Out: an `Outcome`, which outcome.py saves as a model directory.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.baselines.fixed import baselines as baselines_for
from hilbertune.baselines.plain import did_better, plain_figure, r2
from hilbertune.config.records import EngineName, HeadConfig, TrainingConfig, TuningConfig
from hilbertune.data.splits import Split
from hilbertune.embedding.embedder import Embedder
from hilbertune.estimator.base import HybridEstimator
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.model import evaluation, members, tasks
from hilbertune.model.intervals import over_seeds
from hilbertune.model.layers import HybridHead
from hilbertune.model.scaling import Scale
from hilbertune.model.selection import rank
from hilbertune.model.training import TrainingResult, checkpoint_for
from hilbertune.runtime import energy, processes
from hilbertune.runtime.storage import cache_root
from hilbertune.study.outcome import CURVES, Outcome
from hilbertune.tuning import stages
from hilbertune.tuning.records import LabelledTexts, Settings

Progress = Callable[[str, float], None]
"""A function called with the name of a stage and the share of it that is done."""


@dataclass(frozen=True)
class Examples:
    """The targets of all rows, the names of their classes, and for each seed the rows that train, validate and test.

    `targets` are as `tasks.losses` takes them; class indices point into `classes`. There may be no test rows.
    """

    targets: np.ndarray
    classes: Sequence[Any]
    splits: Sequence[Split]
    seeds: Sequence[int]


def run_experiment(
    embeddings: np.ndarray,
    examples: Examples,
    head: HeadConfig,
    training: TrainingConfig,
    *,
    embedding: Mapping[str, str] | None = None,
    baselines: bool = True,
    device: str = "cpu",
    engine: EngineName = "auto",
    progress: Progress = lambda *_: None,
) -> Outcome:
    """Train one model for each seed, all side by side, and test them beside the classical baselines on the same splits.

    With several members each model is an ensemble, whose figures are those of its averaged answers.

    If a training was killed, the same experiment resumes it where it stood.

    Args:
        embeddings: [rows, features] of all rows.
        examples: their targets, and a split for each seed.
        head: the shape of the models.
        training: how they are trained.
        embedding: the record of the embedder, kept with the saved model.
        baselines: test classical heads too.
        device: where to train, such as "cpu" or "cuda".
        engine: what simulates the circuits.
        progress: called with the stage ("training", "testing") and the share of it that is done.

    Raises:
        HilbertuneError: shapes and data do not fit together, or every run diverged.
    """
    started = time.monotonic()
    splits, seeds = examples.splits, examples.seeds
    head, outputs = _shape(head, training, examples)
    model = members.untrained(embeddings.shape[1], outputs, head, training, models=len(seeds), engine=engine).to(device)
    targets, scale = _scaled(training, examples, head)
    result, joules, checkpoint = _train_side_by_side(model, embeddings, targets, examples, training, progress)
    if scale is not None:
        scale.fold_into(model)
    table: list[Mapping[str, Any]] = []
    if len(splits[0].test):
        progress("testing", 0.0)
        row = evaluation.hybrid_row(model, embeddings, examples.targets, splits, result.seconds, training.task, joules)
        table.append(row)
        if baselines:
            table += _baselines(embeddings, examples, model.parameter_count, training, progress)
    best = _best(result)
    figures = _figures(result, table, model.parameter_count, examples, best, joules)
    validated = _validated(result, targets, splits, training)
    plain = [plain_figure(embeddings, targets, split, training.task, training.class_weight) for split in splits]
    figures["classical_did_better"] = _remark(training, splits[0], validated, plain)
    figures["seconds"] = time.monotonic() - started
    estimator = _estimator(model.select(best), training, examples.classes, embedding)
    shown = splits[best].test if len(splits[best].test) else splits[best].train
    return Outcome(figures, table, estimator, result, embeddings[shown], examples.targets[shown], [checkpoint])


def _train_side_by_side(
    model: HybridHead,
    embeddings: np.ndarray,
    targets: np.ndarray,
    examples: Examples,
    training: TrainingConfig,
    progress: Progress,
) -> tuple[TrainingResult, float | None, Path]:
    """Train all runs of the model; return the result, the joules if all of it was measured, and the checkpoint."""
    data = model, torch.from_numpy(embeddings), torch.from_numpy(targets)
    each = examples.splits, [training] * len(examples.seeds), examples.seeds
    checkpoint = checkpoint_for(cache_root() / "checkpoints", *data, *members.side_by_side(*each))
    # The meter did not see the first part of a training that is resumed.
    whole = not checkpoint.path.exists()
    with energy.window() as window:
        result = members.train(
            *data,
            *each,
            checkpoint=checkpoint,
            progress=lambda epoch, _: progress("training", epoch / training.epochs),
        )
    return result, window.energy.joules if whole else None, checkpoint.path


@dataclass(frozen=True)
class _Tuned:
    """The base and head of one seed: their cost, their table of methods, and the rows that a picture would show.

    `plain` is the validation figure of a plain classical head on the same base.
    """

    trained: stages.Trained
    joules: float | None
    table: list[dict[str, Any]]
    plain: float
    embeddings: np.ndarray
    targets: np.ndarray

    @property
    def leftovers(self) -> list[Path]:
        """The files and folders that can go once the model is saved."""
        cache = self.trained.embedder.cache_file
        return [self.trained.folder] if cache is None else [self.trained.folder, cache]


def run_tuned(
    embedder: Embedder,
    texts: Sequence[str],
    examples: Examples,
    head: HeadConfig,
    training: TrainingConfig,
    tuning: TuningConfig,
    *,
    baselines: bool = True,
    device: str = "cpu",
    engine: EngineName = "auto",
    progress: Progress = lambda *_: None,
) -> Outcome:
    """Run an experiment whose base learns too: one base and one head for each seed, one after the other.

    The classical baselines see the embeddings of the same tuned base. The test rows are embedded only after the
    choice. Of several processes (runtime.processes) the first one tests; the outcome of the others has no table.

    `embedder` is the base to begin with, `texts` are those of all rows, `tuning` says how the base learns; the other
    arguments are those of `run_experiment`.

    Raises:
        HilbertuneError: see `stages.train_with_base`.
    """
    started = time.monotonic()
    seeds = examples.seeds
    head, outputs = _shape(head, training, examples)
    targets, scale = _scaled(training, examples, head)
    tuned: list[_Tuned] = []
    for number, (split, seed) in enumerate(zip(examples.splits, seeds, strict=True)):

        def part(stage: str, share: float, number: int = number) -> None:
            progress(stage, (number + share) / len(seeds))

        with energy.window() as window:
            trained = stages.train_with_base(
                embedder,
                LabelledTexts(texts, targets, split),
                outputs,
                Settings(head, training, tuning, seed),
                engine=engine,
                device=device,
                progress=part,
            )
        if scale is not None:
            scale.fold_into(trained.head)
        # The meter did not see the first part of a training that is resumed.
        joules = None if trained.resumed else window.energy.joules
        own = Examples(examples.targets, examples.classes, [split], [seed])
        tuned.append(_tested(trained, texts, own, training, joules, baselines=baselines, device=device, progress=part))
    outcome = _over_seeds(tuned, examples, training, tuning)
    outcome.classifier.base_model_ = embedder.model
    validated = _validated(outcome.training, targets, examples.splits, training)
    plain = [one.plain for one in tuned]
    outcome.figures["classical_did_better"] = _remark(training, examples.splits[0], validated, plain)
    outcome.figures["seconds"] = time.monotonic() - started
    return outcome


def _over_seeds(tuned: Sequence[_Tuned], examples: Examples, training: TrainingConfig, tuning: TuningConfig) -> Outcome:
    """Return one outcome for all seeds, with the base and head of the best one."""
    result = _side_by_side([one.trained.training for one in tuned])
    tables = [one.table for one in tuned if one.table]
    table = evaluation.merged(training.task, tables) if tables else []
    spent = [one.joules for one in tuned]
    joules = None if None in spent else sum(j for j in spent if j is not None)
    best = _best(result)
    chosen = tuned[best].trained
    figures = _figures(result, table, chosen.head.parameter_count, examples, best, joules)
    figures["truncated"] = sum(one.trained.embedder.truncated for one in tuned)
    record = chosen.embedder.record()
    estimator = _estimator(chosen.head, training, examples.classes, record, tuning=tuning, base_home=chosen.folder)
    leftovers = [path for one in tuned for path in one.leftovers]
    claims = [one.trained.claim for one in tuned]
    return Outcome(figures, table, estimator, result, tuned[best].embeddings, tuned[best].targets, leftovers, claims)


def _tested(
    trained: stages.Trained,
    texts: Sequence[str],
    examples: Examples,
    training: TrainingConfig,
    joules: float | None,
    *,
    baselines: bool,
    device: str,
    progress: Progress,
) -> _Tuned:
    """Embed the rows of one seed with its tuned base, and test its head and the baselines on them."""
    (split,) = examples.splits
    rows = np.concatenate([split.train, split.validation, split.test])
    progress("testing", 0.0)
    with processes.first_before_others(device):
        vectors = trained.embedder.embed([texts[row] for row in rows])
    parts = np.split(np.arange(len(rows)), np.cumsum([len(split.train), len(split.validation)]))
    places = Split(*parts)
    own = Examples(examples.targets[rows], examples.classes, [places], examples.seeds)
    table: list[dict[str, Any]] = []
    if len(split.test) and processes.is_first():
        hybrid, seconds = trained.head, trained.training.seconds
        table.append(evaluation.hybrid_row(hybrid, vectors, own.targets, [places], seconds, training.task, joules))
        if baselines:
            table += _baselines(vectors, own, hybrid.parameter_count, training)
    plain = plain_figure(vectors, own.targets, places, training.task, training.class_weight)
    progress("testing", 1.0)
    shown = places.test if len(places.test) else places.train
    return _Tuned(trained, joules, table, plain, vectors[shown], own.targets[shown])


def _shape(head: HeadConfig, training: TrainingConfig, examples: Examples) -> tuple[HeadConfig, int]:
    """Return the shape with the measured qubits that the task needs, and the number of logits."""
    outputs = tasks.outputs(training.task, len(examples.classes))
    return tasks.shape(training.task, head, outputs), outputs


def _scaled(training: TrainingConfig, examples: Examples, head: HeadConfig) -> tuple[np.ndarray, Scale | None]:
    """Return numbers in the scale of the first seed's training rows, and that scale; other targets as they are."""
    if training.task != "regression":
        return examples.targets, None
    scale = Scale.of(examples.targets[examples.splits[0].train], head)
    return scale.apply(examples.targets), scale


def _best(result: TrainingResult) -> int:
    """Return the run that is best on validation; without a validation set the first that did not diverge."""

    def merit(run: int) -> tuple[bool, float, float]:
        figures = result.best_validation_accuracy(run), result.best_validation_loss(run)
        return (bool((result.of_model(result.best_epoch, run) >= 0).all()), *rank(*figures))

    return max(range(result.models), key=merit)


def _validated(
    result: TrainingResult, targets: np.ndarray, splits: Sequence[Split], training: TrainingConfig
) -> list[float]:
    """Return the validation accuracy of each run, for numbers R²; `targets` are those that were trained on."""
    if training.task == "regression":
        each = enumerate(splits)
        return [r2(result.best_validation_loss(run), targets[split.validation]) for run, split in each]
    return [result.best_validation_accuracy(run) for run in range(len(splits))]


def _remark(
    training: TrainingConfig, split: Split, validated: Sequence[float], plain: Sequence[float]
) -> dict[str, Any] | None:
    """Return what is to be said of a plain classical head that did better on validation; None if it did not."""
    found = did_better(training.task, len(split.validation), validated, plain)
    return None if found is None else dataclasses.asdict(found)


def _figures(
    result: TrainingResult,
    table: Sequence[Mapping[str, Any]],
    parameters: int,
    examples: Examples,
    best: int,
    joules: float | None,
) -> dict[str, Any]:
    """Return the content of results.json."""
    validation = [result.best_validation_accuracy(run) for run in range(len(examples.seeds))]
    # NaN without a validation set, for regression, and for a run that diverged at once.
    measured = [value for value in validation if not np.isnan(value)]
    return {
        "validation_accuracy": over_seeds(measured) if measured else None,
        "test_accuracy": table[0].get("accuracy") if table else None,
        "parameters": parameters,
        "seeds": list(examples.seeds),
        "saved_seed": int(examples.seeds[best]),
        "classes": list(examples.classes),
        "rows": {part: len(getattr(examples.splits[0], part)) for part in ("train", "validation", "test")},
        "table": list(table),
        "training_seconds": result.seconds,
        "training_joules": joules,
    }


def _baselines(
    embeddings: np.ndarray,
    examples: Examples,
    parameters: int,
    training: TrainingConfig,
    progress: Progress = lambda *_: None,
) -> list[dict[str, Any]]:
    """Return a row of the table for each classical baseline; `parameters` bounds those that are matched."""
    total = len(examples.seeds) * len(baselines_for(training.task, training.class_weight))
    steps = iter(range(1, 1 + total))
    return evaluation.baseline_rows(
        embeddings,
        examples.targets,
        examples.splits,
        examples.seeds,
        parameters,
        lambda: progress("testing", next(steps) / total),
        task=training.task,
        class_weight=training.class_weight,
    )


def _estimator(
    hybrid: HybridHead,
    training: TrainingConfig,
    classes: Sequence[Any],
    embedding: Mapping[str, str] | None,
    **base: Any,
) -> HybridEstimator:
    """Return the estimator around a trained head; `base` is what `from_head` takes of a tuned base."""
    if training.task == "regression":
        return HybridRegressor.from_head(hybrid, training, embedding, **base)
    return HybridClassifier.from_head(hybrid, training, classes, embedding, **base)


def _side_by_side(results: Sequence[TrainingResult]) -> TrainingResult:
    """Return the curves of models that were trained one after the other; NaN where one stopped before another."""
    epochs = max(len(result.train_loss) for result in results)

    def curve(name: str) -> np.ndarray:
        each = [getattr(result, name) for result in results]
        gaps = [np.full((epochs - len(own), own.shape[1]), np.nan) for own in each]
        return np.hstack([np.vstack(both) for both in zip(each, gaps, strict=True)])

    averages = [result.averaged for result in results]
    return TrainingResult(
        **{name: curve(name) for name in CURVES},
        best_epoch=np.concatenate([result.best_epoch for result in results]),
        last=results[0].last,
        seconds=sum(result.seconds for result in results),
        averaged=None if None in averages else [one for own in averages if own is not None for one in own],
    )
