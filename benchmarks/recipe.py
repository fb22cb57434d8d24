"""What makes a head learn: today's default head beside the recipe, and logistic regression on the same rows.

Usage: python benchmarks/recipe.py EMBEDDINGS.npz [--data embeddings digits] [--seeds 3] [--learning-rate 0.02]
                                   [--test-rows 2000] [--json]

EMBEDDINGS.npz holds `embeddings` [rows, features] and `labels` of two classes; digits are scikit-learn's. A seed draws
256 rows a class (digits: 51), of which 85 % train and the others validate, up to --test-rows of the others to test,
the parameters, the batches and the shots. The recipe: 8 qubits, principal components, a constant share of 0.9, one
re-upload, 8 encoder layers (digits: 16), a standardised readout, one cycle up to --learning-rate, the last weights, and
few shots in the steps of training (128, digits: 1,024); prediction is exact. A row leaves the shots out. Prints a
Markdown table for each data set, accuracies in % as the mean over the seeds and each seed; with --json one JSON object
instead, and the tables to stderr.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.baselines.fixed import logistic_regression
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.arrays import read_embeddings
from hilbertune.data.labels import encode_labels
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.model import evaluation
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train
from hilbertune.runtime.provenance import environment

HEAD = HeadConfig(qubits=8, basis="pca", constant_share=0.9, reuploads=1)
TRAINING = TrainingConfig(learning_rate=0.02, schedule="one-cycle", keep="last", standardise=True)

Data = tuple[np.ndarray, np.ndarray, int]
"""Embeddings, class indices, and the labelled rows of each class."""


def embeddings(file: Path) -> Data:
    """Read a file of embeddings and labels."""
    data = read_embeddings(file)
    assert data.embeddings is not None
    return data.embeddings, encode_labels(data.labels)[1], 256


def digits(_: Path) -> Data:
    """Return scikit-learn's digits as they are."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64), 51


SOURCES = {"embeddings": embeddings, "digits": digits}
SHOTS, LAYERS = {"embeddings": 128, "digits": 1024}, {"embeddings": 8, "digits": 16}


def heads(name: str, learning_rate: float) -> dict[str, tuple[HeadConfig, TrainingConfig]]:
    """Return the heads to compare on a data set."""
    head = replace(HEAD, encoder_layers=LAYERS[name])
    training = replace(TRAINING, learning_rate=learning_rate)
    return {
        "defaults": (HeadConfig(), TrainingConfig()),
        "recipe without shots": (head, training),
        f"recipe, {SHOTS[name]} shots": (head, replace(training, training_shots=SHOTS[name])),
    }


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float((logits.argmax(1) == labels).mean())


def hybrid(
    x: np.ndarray, y: np.ndarray, splits: Sequence[Split], head: HeadConfig, training: TrainingConfig
) -> dict[str, Any]:
    """Train a run for each split side by side, and return what each knows of its training and test rows."""
    seeds = list(range(len(splits)))
    model = HybridHead(x.shape[1], int(y.max()) + 1, head, runs=len(seeds))
    result = train(model, torch.from_numpy(x), torch.from_numpy(y), splits, [training] * len(seeds), seeds)
    ones = [model.select(run) for run in seeds]
    return {
        "test": [accuracy(evaluation.logits(m, x[s.test]), y[s.test]) for m, s in zip(ones, splits, strict=True)],
        "train": [accuracy(evaluation.logits(m, x[s.train]), y[s.train]) for m, s in zip(ones, splits, strict=True)],
        "parameters": model.parameter_count,
        "seconds": result.seconds / len(seeds),
    }


def classical(x: np.ndarray, y: np.ndarray, splits: Sequence[Split]) -> dict[str, Any]:
    """Return the same of logistic regression."""
    started = time.monotonic()
    fits = [logistic_regression(x[s.train], y[s.train], 0, 0) for s in splits]
    seconds = time.monotonic() - started
    scores = {
        part: [
            float((f.model.predict(x[getattr(s, part)]) == y[getattr(s, part)]).mean())
            for f, s in zip(fits, splits, strict=True)
        ]
        for part in ("test", "train")
    }
    return {**scores, "parameters": fits[0].parameters, "seconds": seconds / len(splits)}


def compare(name: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Return every head's row of the table of a data set."""
    x, y, per_class = SOURCES[name](asked.embeddings)
    drawn = [few_shot_split(y.tolist(), per_class=per_class, seed=seed) for seed in range(asked.seeds)]
    splits = [replace(s, test=s.test[: asked.test_rows]) for s in drawn]
    rows = {k: hybrid(x, y, splits, *configs) for k, configs in heads(name, asked.learning_rate).items()}
    rows["logistic regression"] = classical(x, y, splits)
    sizes = {part: len(getattr(splits[0], part)) for part in ("train", "validation", "test")}
    return {"data": name, "rows": sizes, "heads": rows}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| head | test | each seed | train | parameters | s a run |", "| --- | ---: | --- | ---: | ---: | ---: |"]
    for name, row in rows.items():
        each = ", ".join(f"{100 * value:.1f}" for value in row["test"])
        means = [f"{100 * float(np.mean(row[part])):.1f}" for part in ("test", "train")]
        lines.append(f"| {name} | {means[0]} | {each} | {means[1]} | {row['parameters']} | {row['seconds']:.1f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--data", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=TRAINING.learning_rate)
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    to = sys.stderr if asked.json else sys.stdout
    found = []
    for name in asked.data:
        compared = compare(name, asked)
        sizes = ", ".join(f"{count} {part}" for part, count in compared["rows"].items())
        print(f"\n{name}: rows {sizes}; {asked.seeds} seeds\n\n{table(compared['heads'])}", file=to, flush=True)
        found.append(compared)
    about = environment()
    print(f"\n{about['processor']}, {about['threads']} threads", file=to)
    if asked.json:
        print(json.dumps({"tables": found, "environment": about}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
