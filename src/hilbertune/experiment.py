"""One configuration over seeds: train, choose on validation, test, compare with classical heads, save.

In: embeddings, labels and a split for each seed. Out: an `Outcome`, whose best model and figures `save` writes as one directory.
"""

import csv
import io
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune import evaluation
from hilbertune.baselines import BASELINES
from hilbertune.circuit import parts
from hilbertune.classifier import HybridClassifier
from hilbertune.config import HeadConfig, TrainingConfig
from hilbertune.data import Split
from hilbertune.embedding import default_cache
from hilbertune.engine import EngineName
from hilbertune.environment import environment
from hilbertune.errors import MissingExtraError
from hilbertune.layers import HybridHead
from hilbertune.training import TrainingResult, checkpoint_name, train

CURVES = ("train_loss", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Outcome:
    """What an experiment leaves: the figures, the table of methods, and the model of the best seed on validation.

    The file `checkpoint`, from which a killed training goes on, is there until the outcome is saved.
    """

    figures: dict[str, Any]
    table: list[Mapping[str, Any]]
    classifier: HybridClassifier
    training: TrainingResult
    embeddings: np.ndarray
    labels: np.ndarray
    checkpoint: Path


def run_experiment(
    embeddings: np.ndarray,
    labels: np.ndarray,
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
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> Outcome:
    """Train one model for each seed, all side by side, and test them beside the classical baselines on the same splits.

    A training that was killed goes on where it stood when the same experiment is run again.

    Args:
        embeddings: [rows, features] of all rows.
        labels: class indices [rows] into `classes`.
        splits: the rows to train on, to choose the best epoch on, and to test on (may be empty), for each seed.
        progress: called with the stage ("training", "testing") and the share of it that is done.

    Raises:
        HilbertuneError: shapes and data do not fit together, or every run diverged.
    """
    started = time.monotonic()
    model = HybridHead(embeddings.shape[1], len(classes), head, runs=len(seeds), engine=engine)
    model = model.to(device)
    arguments = (
        model,
        torch.from_numpy(embeddings),
        torch.from_numpy(labels),
        splits,
        [training] * len(seeds),
        seeds,
    )
    checkpoint = default_cache() / "checkpoints" / checkpoint_name(*arguments)
    result = train(
        *arguments,
        checkpoint=checkpoint,
        progress=lambda epoch, _: progress("training", epoch / training.epochs),
    )
    validation = [result.best_validation_accuracy(run) for run in range(len(seeds))]
    # Without a validation set the first run that did not diverge.
    best = int(np.argmax(np.where(result.best_epoch < 0, -1.0, np.nan_to_num(validation))))
    # NaN without a validation set, and for a run that diverged at once.
    measured = [value for value in validation if not np.isnan(value)]
    figures: dict[str, Any] = {
        "validation_accuracy": evaluation.over_seeds(measured) if measured else None,
        "test_accuracy": None,
        "parameters": model.parameter_count,
        "seeds": list(seeds),
        "saved_seed": int(seeds[best]),
        "classes": list(classes),
        "rows": {part: len(getattr(splits[0], part)) for part in ("train", "validation", "test")},
    }
    table: list[Mapping[str, Any]] = []
    if len(splits[0].test):
        progress("testing", 0.0)
        table.append(evaluation.hybrid_row(model, embeddings, labels, splits, result.seconds))
        figures["test_accuracy"] = table[0]["accuracy"]
        if baselines:
            steps = iter(range(1, 1 + len(seeds) * len(BASELINES)))
            total = len(seeds) * len(BASELINES)
            table += evaluation.baseline_rows(
                embeddings,
                labels,
                splits,
                seeds,
                model.parameter_count,
                lambda: progress("testing", next(steps) / total),
            )
    figures["table"] = table
    figures["training_seconds"] = result.seconds
    figures["seconds"] = time.monotonic() - started
    classifier = HybridClassifier.from_head(model.select(best), training, classes, embedding)
    shown = splits[best].test if len(splits[best].test) else splits[best].train
    return Outcome(figures, table, classifier, result, embeddings[shown], labels[shown], checkpoint)


def save(outcome: Outcome, directory: Path, *, title: str) -> dict[str, Any]:
    """Write the best model with its figures, curves, environment and (with matplotlib) picture; the figures with their place."""
    files = {
        "results.json": json.dumps(outcome.figures, indent=2, ensure_ascii=False).encode(),
        "environment.json": json.dumps(environment(), indent=2).encode(),
        "curves.csv": _curves(outcome),
    }
    if (picture := _picture(outcome, title)) is not None:
        files["picture.png"] = picture
    named = ("validation_accuracy", "test_accuracy", "saved_seed", "training_seconds")
    results = {k: outcome.figures[k] for k in named if outcome.figures[k] is not None}
    outcome.classifier.save_pretrained(directory, results=results, files=files)
    # Only now is the training safe without it.
    outcome.checkpoint.unlink(missing_ok=True)
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
    from hilbertune import drawing

    head = outcome.classifier.head_
    device = head.head.weights.device
    expectations = np.concatenate(
        [
            head.expectations(torch.as_tensor(outcome.embeddings[block], device=device))[0, :, 0]
            .cpu()
            .numpy()
            for block in evaluation.blocks(head, len(outcome.embeddings))
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
                labels=outcome.labels,
                classes=[_plain(name) for name in outcome.classifier.classes_.tolist()],
                title=_plain(title),
            )
        except MissingExtraError:
            return None
        return path.read_bytes()


def _plain(name: Any) -> str:
    """Dollar signs as they are: matplotlib would read what stands between two as a formula."""
    return str(name).replace("$", r"\$")
