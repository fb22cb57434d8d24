"""One configuration over seeds: train, choose on validation, test, compare with classical heads, save.

In: embeddings, labels and a split for each seed. Out: an `Outcome`, whose best model and figures `save` writes as one directory.
"""

import csv
import io
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.baselines.fixed import baselines as baselines_for
from hilbertune.circuit.builders import parts
from hilbertune.config.records import EngineName, HeadConfig, TrainingConfig, TuningConfig
from hilbertune.data.splits import Split
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError, MissingExtraError
from hilbertune.estimator.base import HybridEstimator, in_units
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.model import evaluation, tasks
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import TrainingResult, checkpoint_name, train
from hilbertune.runtime import energy, processes
from hilbertune.runtime.provenance import environment
from hilbertune.runtime.storage import cache_root
from hilbertune.tuning import stages

Progress = Callable[[str, float], None]
"""Called with the name of a stage and the share of it that is done."""


CURVES = ("train_loss", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Outcome:
    """What an experiment leaves: the figures, the table of methods, and the model of the best seed on validation.

    `leftovers` are the files and folders from which a killed training goes on; they are there until the outcome is saved.
    """

    figures: dict[str, Any]
    table: Sequence[Mapping[str, Any]]
    classifier: HybridEstimator
    training: TrainingResult
    embeddings: np.ndarray
    targets: np.ndarray
    leftovers: list[Path]


def run_experiment(
    embeddings: np.ndarray,
    targets: np.ndarray,
    classes: Sequence[Any],
    splits: Sequence[Split],
    seeds: Sequence[int],
    head: HeadConfig,
    training: TrainingConfig,
    *,
    embedding: Mapping[str, str] | None = None,
    baselines: bool = True,
    device: str = "cpu",
    engine: EngineName = "auto",
    progress: Progress = lambda stage, share: None,
) -> Outcome:
    """Train one model for each seed, all side by side, and test them beside the classical baselines on the same splits.

    A training that was killed goes on where it stood when the same experiment is run again.

    Args:
        embeddings: [rows, features] of all rows.
        targets: of all rows, as `tasks.losses` takes them; class indices into `classes`.
        splits: the rows to train on, to choose the best epoch on, and to test on (may be empty), for each seed.
        progress: called with the stage ("training", "testing") and the share of it that is done.

    Raises:
        HilbertuneError: shapes and data do not fit together, or every run diverged.
    """
    started = time.monotonic()
    outputs = tasks.outputs(training.task, len(classes))
    head = tasks.shape(training.task, head, outputs)
    model = HybridHead(embeddings.shape[1], outputs, head, runs=len(seeds), engine=engine)
    model = model.to(device)
    scaled, mean, scale = _scaled(training, targets, splits, head)
    arguments = (
        model,
        torch.from_numpy(embeddings),
        torch.from_numpy(scaled),
        splits,
        [training] * len(seeds),
        seeds,
    )
    checkpoint = cache_root() / "checkpoints" / checkpoint_name(*arguments)
    # Of a training that goes on the first part was not seen by this meter.
    whole = not checkpoint.exists()
    with energy.window() as window:
        result = train(
            *arguments,
            checkpoint=checkpoint,
            progress=lambda epoch, _: progress("training", epoch / training.epochs),
        )
    joules = window.energy.joules if whole else None
    if training.task == "regression":
        in_units(model, mean, scale)
    best = _best(result)
    table: list[Mapping[str, Any]] = []
    if len(splits[0].test):
        progress("testing", 0.0)
        table.append(evaluation.hybrid_row(model, embeddings, targets, splits, result.seconds, training.task, joules))
        if baselines:
            table += _baselines(embeddings, targets, splits, seeds, model.parameter_count, training, progress)
    figures = _figures(result, table, model.parameter_count, seeds, best, classes, splits, joules)
    figures["seconds"] = time.monotonic() - started
    classifier = _face(model.select(best), training, classes, embedding)
    shown = splits[best].test if len(splits[best].test) else splits[best].train
    return Outcome(figures, table, classifier, result, embeddings[shown], targets[shown], [checkpoint])


def run_tuned(
    embedder: Embedder,
    texts: Sequence[str],
    targets: np.ndarray,
    classes: Sequence[Any],
    splits: Sequence[Split],
    seeds: Sequence[int],
    head: HeadConfig,
    training: TrainingConfig,
    tuning: TuningConfig,
    *,
    baselines: bool = True,
    device: str = "cpu",
    engine: EngineName = "auto",
    progress: Progress = lambda stage, share: None,
) -> Outcome:
    """As `run_experiment`, with a base that learns: one base and one head for each seed, one after the other.

    The classical baselines see the embeddings of the same tuned base. Only the test rows are embedded after the choice. Of several
    processes (hilbertune.processes) the first one tests; the outcome of the others has no table.

    Raises:
        HilbertuneError: see `stages.train_with_base`.
    """
    started = time.monotonic()
    outputs = tasks.outputs(training.task, len(classes))
    head = tasks.shape(training.task, head, outputs)
    scaled, mean, scale = _scaled(training, targets, splits, head)
    trained, tables, leftovers, spent = [], [], [], []
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    for number, (split, seed) in enumerate(zip(splits, seeds, strict=True)):

        def part(stage: str, share: float, number: int = number) -> None:
            progress(stage, (number + share) / len(seeds))

        with energy.window() as window:
            own = stages.train_with_base(
                embedder,
                texts,
                scaled,
                outputs,
                split,
                head,
                training,
                tuning,
                seed,
                engine=engine,
                device=device,
                progress=part,
            )
        # Of a training that goes on the first part was not seen by this meter.
        joules = None if own.resumed else window.energy.joules
        spent.append(joules)
        if training.task == "regression":
            in_units(own.head, mean, scale)
        trained.append(own)
        leftovers.append(own.folder)
        if own.embedder.cache_file is not None:
            leftovers.append(own.embedder.cache_file)
        rows = np.concatenate([split.train, split.test])
        part("testing", 0.0)
        with processes.first_before_others(device):
            vectors = own.embedder.embed([texts[row] for row in rows])
        cut = len(split.train)
        places = Split(np.arange(cut), np.arange(0), np.arange(cut, len(rows)))
        shown = places.test if len(places.test) else places.train
        seen.append((vectors[shown], targets[rows][shown]))
        if len(split.test) and processes.is_first():
            seconds, count = own.training.seconds, own.head.parameter_count
            rows_of = [
                evaluation.hybrid_row(own.head, vectors, targets[rows], [places], seconds, training.task, joules)
            ]
            if baselines:
                rows_of += _baselines(vectors, targets[rows], [places], [seed], count, training)
            tables.append(rows_of)
        part("testing", 1.0)
    result = _side_by_side([own.training for own in trained])
    best = _best(result)
    table = evaluation.merged(training.task, tables) if tables else []
    count = trained[best].head.parameter_count
    total = None if None in spent else sum(j for j in spent if j is not None)
    figures = _figures(result, table, count, seeds, best, classes, splits, total)
    figures["truncated"] = sum(own.embedder.truncated for own in trained)
    figures["seconds"] = time.monotonic() - started
    chosen = trained[best]
    classifier = _face(chosen.head, training, classes, chosen.embedder.record(), tuning, chosen.folder)
    return Outcome(figures, table, classifier, result, *seen[best], leftovers)


def _scaled(
    training: TrainingConfig, targets: np.ndarray, splits: Sequence[Split], head: HeadConfig
) -> tuple[np.ndarray, float, float]:
    """Numbers to learn with mean 0 and deviation 1 over the first seed's training rows; other targets as they are."""
    if training.task != "regression":
        return targets, 0.0, 1.0
    if not head.final_linear:
        raise HilbertuneError("A regressor needs its final linear layer: leave final_linear on.")
    known = targets[splits[0].train]
    mean, scale = float(known.mean()), float(known.std())
    if scale == 0:
        raise HilbertuneError(f"All numbers to learn are {mean}: there is nothing to learn.")
    return (targets - mean) / scale, mean, scale


def _best(result: TrainingResult) -> int:
    """The run that is best on validation; without a validation set the first that did not diverge."""
    runs = range(result.train_loss.shape[1])
    ranks = []
    for run in runs:
        epoch = int(result.best_epoch[run])
        accuracy = result.best_validation_accuracy(run)
        loss = float(result.validation_loss[epoch, run]) if epoch >= 0 else math.nan
        known = (float(np.nan_to_num(accuracy)), -loss if loss == loss else 0.0)
        ranks.append((epoch >= 0, *known))
    return max(runs, key=lambda run: ranks[run])


def _figures(
    result: TrainingResult,
    table: Sequence[Mapping[str, Any]],
    parameters: int,
    seeds: Sequence[int],
    best: int,
    classes: Sequence[Any],
    splits: Sequence[Split],
    joules: float | None,
) -> dict[str, Any]:
    """What results.json says."""
    validation = [result.best_validation_accuracy(run) for run in range(len(seeds))]
    # NaN without a validation set, for regression, and for a run that diverged at once.
    measured = [value for value in validation if not np.isnan(value)]
    return {
        "validation_accuracy": evaluation.over_seeds(measured) if measured else None,
        "test_accuracy": table[0].get("accuracy") if table else None,
        "parameters": parameters,
        "seeds": list(seeds),
        "saved_seed": int(seeds[best]),
        "classes": list(classes),
        "rows": {part: len(getattr(splits[0], part)) for part in ("train", "validation", "test")},
        "table": list(table),
        "training_seconds": result.seconds,
        "training_joules": joules,
    }


def _baselines(
    embeddings: np.ndarray,
    targets: np.ndarray,
    splits: Sequence[Split],
    seeds: Sequence[int],
    parameters: int,
    training: TrainingConfig,
    progress: Progress = lambda stage, share: None,
) -> list[dict[str, Any]]:
    total = len(seeds) * len(baselines_for(training.task, training.class_weight))
    steps = iter(range(1, 1 + total))
    return evaluation.baseline_rows(
        embeddings,
        targets,
        splits,
        seeds,
        parameters,
        lambda: progress("testing", next(steps) / total),
        task=training.task,
        class_weight=training.class_weight,
    )


def _face(
    head: HybridHead,
    training: TrainingConfig,
    classes: Sequence[Any],
    embedding: Mapping[str, str] | None,
    tuning: TuningConfig | None = None,
    base_home: Path | None = None,
) -> HybridEstimator:
    """The estimator around a trained head."""
    if training.task == "regression":
        return HybridRegressor.from_head(head, training, embedding, tuning=tuning, base_home=base_home)
    return HybridClassifier.from_head(head, training, classes, embedding, tuning=tuning, base_home=base_home)


def _side_by_side(results: Sequence[TrainingResult]) -> TrainingResult:
    """The curves of models that were trained one after the other; NaN where one stopped before another."""
    epochs = max(len(result.train_loss) for result in results)

    def curve(name: str) -> np.ndarray:
        found = np.full((epochs, len(results)), np.nan)
        for run, result in enumerate(results):
            values = getattr(result, name)
            found[: len(values), run] = values[:, 0]
        return found

    return TrainingResult(
        **{name: curve(name) for name in CURVES},
        best_epoch=np.concatenate([result.best_epoch for result in results]),
        last=results[0].last,
        seconds=sum(result.seconds for result in results),
    )


def save(outcome: Outcome, directory: Path, *, title: str) -> dict[str, Any]:
    """Write the best model with its figures, curves, environment and (with matplotlib) picture; the figures with their place."""
    files = {
        "results.json": json.dumps(outcome.figures, indent=2, ensure_ascii=False).encode(),
        "environment.json": json.dumps(
            environment() | {"energy_joules": outcome.figures["training_joules"]}, indent=2
        ).encode(),
        "curves.csv": _curves(outcome),
    }
    if (picture := _picture(outcome, title)) is not None:
        files["picture.png"] = picture
    named = ("validation_accuracy", "test_accuracy", "saved_seed", "training_seconds")
    results = {k: outcome.figures[k] for k in named if outcome.figures[k] is not None}
    if outcome.table:
        results |= {f"test_{name}": v for name, v in outcome.table[0]["metrics"].items()}
    outcome.classifier.save_pretrained(directory, results=results, files=files)
    # Only now is the training safe without it.
    for path in outcome.leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return {**outcome.figures, "out": str(directory), "picture": picture is not None}


def _curves(outcome: Outcome) -> bytes:
    """One row an epoch and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", "seed", *CURVES])
    curves = [getattr(outcome.training, name) for name in CURVES]
    for epoch in range(len(curves[0])):
        for run, seed in enumerate(outcome.figures["seeds"]):
            writer.writerow([epoch, seed, *(float(curve[epoch, run]) for curve in curves)])
    return text.getvalue().encode()


@torch.no_grad()
def _picture(outcome: Outcome, title: str) -> bytes | None:
    """The picture of it all, None where matplotlib is not installed."""
    from hilbertune.study import picture as drawing

    head = outcome.classifier.head_
    device = head.head.weights.device
    expectations = np.concatenate(
        [
            head.expectations(torch.as_tensor(outcome.embeddings[block], device=device))[0, :, 0].cpu().numpy()
            for block in evaluation.row_slices(head, len(outcome.embeddings))
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        try:
            drawing.draw_fit(
                path,
                table=outcome.table,
                curves={name: getattr(outcome.training, name) for name in CURVES},
                circuits=list(parts(head.config).items()),
                expectations=expectations,
                labels=_groups(outcome),
                classes=_names(outcome),
                title=_plain(title),
            )
        except MissingExtraError:
            return None
        return path.read_bytes()


def _groups(outcome: Outcome) -> np.ndarray:
    """A colour for each row: its class, whether it has the first label, or whether its number is above the median."""
    targets = outcome.targets
    if targets.ndim == 2:
        return targets[:, 0].astype(np.int64)
    if targets.dtype.kind == "f":
        return np.asarray(targets > np.median(targets), np.int64)
    return targets


def _names(outcome: Outcome) -> list[str]:
    names = getattr(outcome.classifier, "classes_", np.array(["low", "high"])).tolist()
    if outcome.targets.ndim == 2:
        names = [f"not {names[0]}", names[0]]
    return [_plain(name) for name in names]


def _plain(name: Any) -> str:
    """Dollar signs as they are: matplotlib would read what stands between two as a formula."""
    return str(name).replace("$", r"\$")
