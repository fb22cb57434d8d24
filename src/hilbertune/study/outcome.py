"""The outcome of an experiment, and the model directory that keeps it.

In: figures, a table of methods, curves, the estimator of the best seed, and the rows to draw.
Out: the model with results.json, environment.json, curves.csv and picture.png.
"""

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.circuit.builders import parts
from hilbertune.errors import MissingExtraError, first_line, warn_once
from hilbertune.estimator.base import HybridEstimator
from hilbertune.model import evaluation
from hilbertune.model.training import TrainingResult
from hilbertune.runtime.claims import Claim
from hilbertune.runtime.escaping import json_text, visible
from hilbertune.runtime.plotting import image
from hilbertune.runtime.provenance import environment
from hilbertune.study import picture

CURVES = ("train_loss", "validation_loss", "validation_accuracy")
"""The learning curves of a `TrainingResult`."""


@dataclass(frozen=True)
class Outcome:
    """The result of an experiment: figures, the table of methods, and the estimator of the best seed on validation.

    `embeddings` and `targets` are the rows to draw. `leftovers` are the files and folders from which a killed training
    resumes; they stay until the outcome is saved, and so do the claims to them.
    """

    figures: dict[str, Any]
    table: Sequence[Mapping[str, Any]]
    classifier: HybridEstimator
    training: TrainingResult
    embeddings: np.ndarray
    targets: np.ndarray
    leftovers: list[Path]
    claims: Sequence[Claim | None] = ()


def save_outcome(
    outcome: Outcome,
    directory: Path,
    *,
    title: str,
    dataset: str | None = None,
    files: Mapping[str, bytes] | None = None,
) -> dict[str, Any]:
    """Write the best model with its figures, curves, environment, (with matplotlib) pictures, and files of the caller.

    `dataset` is what the model card calls the data. Returns the figures, with the directory as "out", and whether there
    is a picture as "picture".

    Raises:
        HilbertuneError: the directory exists or cannot be written.
    """
    used = {"energy_joules": outcome.figures["training_joules"]}
    files = {
        **(files or {}),
        "results.json": json_text(outcome.figures, indent=2).encode(),
        "environment.json": json.dumps(environment() | used, indent=2).encode(),
        "curves.csv": _curves(outcome),
    }
    drawn = _pictures(outcome, title)
    files |= drawn
    named = ("validation_accuracy", "test_accuracy", "saved_seed", "training_seconds", "seeds", "rows")
    results = {k: outcome.figures[k] for k in named if outcome.figures[k] is not None}
    if outcome.table:
        results |= {f"test_{name}": v for name, v in outcome.table[0]["metrics"].items()}
    outcome.classifier.save_pretrained(directory, results=results, files=files, dataset=dataset, table=outcome.table)
    # Only now is the training safe without them.
    for path in outcome.leftovers:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return {**outcome.figures, "out": str(directory), "picture": bool(drawn)}


def _curves(outcome: Outcome) -> bytes:
    """Return curves.csv: one row per epoch and seed, and of an ensemble one for each member, counted from 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    curves = [getattr(outcome.training, name) for name in CURVES]
    members = curves[0].shape[1] // outcome.training.models
    writer.writerow(["epoch", "seed", *(["member"] if members > 1 else []), *CURVES])
    seeds = [seed for seed in outcome.figures["seeds"] for _ in range(members)]
    for epoch in range(len(curves[0])):
        for run, seed in enumerate(seeds):
            who = [seed, run % members + 1] if members > 1 else [seed]
            writer.writerow([epoch, *who, *(float(curve[epoch, run]) for curve in curves)])
    return text.getvalue().encode()


def _pictures(outcome: Outcome, title: str) -> dict[str, bytes]:
    """Return the picture of the fit and that of the head's circuit; none if matplotlib is not installed or fails."""
    hybrid = outcome.classifier.head_
    try:
        figure = picture.fit_figure(
            table=outcome.table,
            curves={name: getattr(outcome.training, name) for name in CURVES},
            circuits=list(parts(hybrid.config).items()),
            expectations=_expectations(outcome),
            labels=_groups(outcome),
            classes=_names(outcome),
            title=visible(title),
            members=hybrid.members,
        )
        return {"picture.png": image(figure, ".png", **picture.TIGHT), **outcome.classifier.picture()}
    except MissingExtraError:
        return {}
    except Exception as error:
        # Libraries of drawing fail in many ways, and a picture must not cost a model.
        warn_once(f"There is no picture, since drawing it failed ({first_line(error)}).")
        return {}


@torch.no_grad()
def _expectations(outcome: Outcome) -> np.ndarray:
    """Return the first expectation [rows] of the head, or of an ensemble's first, for each row to draw."""
    hybrid = outcome.classifier.head_
    device = hybrid.head.weights.device
    return np.concatenate(
        [
            hybrid.expectations(torch.as_tensor(outcome.embeddings[rows], device=device))[0, :, 0].cpu().numpy()
            for rows in evaluation.row_slices(hybrid, len(outcome.embeddings))
        ]
    )


def _groups(outcome: Outcome) -> np.ndarray:
    """Return a group for each row: its class, its first label (0 or 1), or if its number is above the median."""
    targets = outcome.targets
    if targets.ndim == 2:
        return targets[:, 0].astype(np.int64)
    if targets.dtype.kind == "f":
        return np.asarray(targets > np.median(targets), np.int64)
    return targets


def _names(outcome: Outcome) -> list[str]:
    """Return the names of the groups."""
    names = getattr(outcome.classifier, "classes_", np.array(["low", "high"])).tolist()
    if outcome.targets.ndim == 2:
        names = [f"not {names[0]}", names[0]]
    return [visible(name) for name in names]
