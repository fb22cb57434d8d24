"""The shape that fits the data: heads whose settings are left to the data, beside logistic regression on the same rows.

Usage: python benchmarks/shape.py [FILE ...] [--tables digits breast-cancer] [--seeds 3] [--rows 512] [--test-rows 2000]
                                  [--set NAME=VALUE,... ...] [--declared] [--json]

A FILE holds `embeddings` and `labels` (.npz), or the columns text and label (.csv), which the embedding model of the
package embeds; --tables names sets of scikit-learn. A seed draws up to --rows labelled rows, as many of each class (at
most four fifths of the smallest class), of which 85 % train and the others validate, and up to --test-rows of the rest
to test. Each --set is a further row of the table, in which these settings are not left to the data; --declared adds the
declared defaults. Logistic regression has C = 1 and, for tables, standardised columns. Prints a Markdown table for each
data set, accuracies in % as the mean over the seeds and each seed; with --json one JSON object instead, and the tables
to stderr.
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
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hilbertune.config.automatic import LEFT_TO_THE_DATA, Automatic
from hilbertune.config.records import VALIDATION
from hilbertune.data.arrays import read_embeddings
from hilbertune.data.files import read_labelled
from hilbertune.data.labels import encode_labels
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.data.traits import traits_of
from hilbertune.embedding.embedder import Embedder
from hilbertune.model import evaluation
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train
from hilbertune.runtime.provenance import environment

TABLES = {"digits": datasets.load_digits, "breast-cancer": datasets.load_breast_cancer}

Data = tuple[np.ndarray, np.ndarray]
"""Rows [rows, features] and class indices."""


def of_file(file: Path) -> Data:
    """Read embeddings, or texts and embed them."""
    if file.suffix == ".npz":
        data = read_embeddings(file)
        assert data.embeddings is not None
        return data.embeddings, encode_labels(data.labels)[1]
    texts = read_labelled(str(file))
    assert texts.texts is not None
    return Embedder().embed(texts.texts), encode_labels(texts.labels)[1]


def of_table(name: str) -> Data:
    """Return a set of scikit-learn as it is."""
    x, y = TABLES[name](return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)


def splits_of(y: np.ndarray, asked: argparse.Namespace) -> list[Split]:
    """Draw the rows of each seed."""
    counts = np.bincount(y)
    per_class = min(asked.rows // len(counts), int(0.8 * counts.min()))
    drawn = [few_shot_split(y.tolist(), per_class=per_class, validation=VALIDATION, seed=s) for s in range(asked.seeds)]
    return [replace(split, test=split.test[: asked.test_rows]) for split in drawn]


def accuracy(answers: np.ndarray, truth: np.ndarray) -> float:
    return float((answers == truth).mean())


def hybrid(x: np.ndarray, y: np.ndarray, splits: Sequence[Split], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train a run for each split side by side, and return what each knows of its training and test rows."""
    classes = int(y.max()) + 1
    head, training = Automatic(settings).resolved(traits_of(x[splits[0].train], "classification", classes))
    seeds = list(range(len(splits)))
    model = HybridHead(x.shape[1], classes, head, runs=len(seeds))
    result = train(model, torch.from_numpy(x), torch.from_numpy(y), splits, [training] * len(seeds), seeds)
    ones = [model.select(run) for run in seeds]

    def scores(part: str) -> list[float]:
        rows = [getattr(split, part) for split in splits]
        return [accuracy(evaluation.logits(one, x[own]).argmax(1), y[own]) for one, own in zip(ones, rows, strict=True)]

    return {
        "test": scores("test"),
        "train": scores("train"),
        "parameters": model.parameter_count,
        "seconds": result.seconds / len(seeds),
        "settings": {name: {**head.to_dict(), **training.to_dict()}[name] for name in LEFT_TO_THE_DATA},
    }


def classical(x: np.ndarray, y: np.ndarray, splits: Sequence[Split]) -> dict[str, Any]:
    """Return the same of logistic regression."""
    started = time.monotonic()
    table = traits_of(x[splits[0].train], "classification", int(y.max()) + 1).lengths_differ
    models = []
    for split in splits:
        steps = [*([StandardScaler()] if table else []), LogisticRegression(max_iter=5000)]
        models.append(make_pipeline(*steps).fit(x[split.train], y[split.train]))
    parts = {
        part: [
            accuracy(m.predict(x[getattr(s, part)]), y[getattr(s, part)]) for m, s in zip(models, splits, strict=True)
        ]
        for part in ("test", "train")
    }
    parameters = (x.shape[1] + 1) * (1 if y.max() == 1 else int(y.max()) + 1)
    return {**parts, "parameters": parameters, "seconds": (time.monotonic() - started) / len(splits)}


def heads(asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the settings of each row of the table."""
    rows: dict[str, dict[str, Any]] = {"left to the data": dict(LEFT_TO_THE_DATA)}
    if asked.declared:
        rows["declared defaults"] = {}
    for text in asked.set:
        changes = {name: _value(value) for name, value in (part.split("=") for part in text.split(","))}
        rows[text.replace(",", ", ")] = {**LEFT_TO_THE_DATA, **changes}
    return rows


def _value(text: str) -> Any:
    """Read a value as JSON writes it, and a word without quotes too."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| head | test | each seed | train | parameters | s a run |", "| --- | ---: | --- | ---: | ---: | ---: |"]
    for name, row in rows.items():
        each = ", ".join(f"{100 * value:.1f}" for value in row["test"])
        means = [f"{100 * float(np.mean(row[part])):.1f}" for part in ("test", "train")]
        lines.append(f"| {name} | {means[0]} | {each} | {means[1]} | {row['parameters']} | {row['seconds']:.1f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--tables", nargs="*", choices=list(TABLES), default=[])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--declared", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    to = sys.stderr if asked.json else sys.stdout
    found = []
    sources = {file.as_posix(): (of_file, file) for file in asked.files}
    sources |= {name: (of_table, name) for name in asked.tables}
    for name, (read, source) in sources.items():
        x, y = read(source)  # type: ignore[operator]
        splits = splits_of(y, asked)
        rows = {head: hybrid(x, y, splits, settings) for head, settings in heads(asked).items()}
        rows["logistic regression"] = classical(x, y, splits)
        sizes = {part: len(getattr(splits[0], part)) for part in ("train", "validation", "test")}
        chosen = ", ".join(f"{k} {v}" for k, v in rows["left to the data"]["settings"].items())
        words = ", ".join(f"{count} {part}" for part, count in sizes.items())
        print(f"\n{name}: rows {words}; {asked.seeds} seeds; {chosen}\n\n{table(rows)}", file=to, flush=True)
        found.append({"data": name, "rows": sizes, "heads": rows})
    about = environment()
    print(f"\n{about['processor']}, {about['threads']} threads", file=to)
    if asked.json:
        print(json.dumps({"tables": found, "environment": about}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
