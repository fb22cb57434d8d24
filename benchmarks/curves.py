"""What shots in training do, epoch by epoch: accuracy on training and test rows, and the margin of the expectation.

Usage: python benchmarks/curves.py sst2.npz [--shots 8 32 128 1024 0] [--seeds 10] [--epochs 60] [--plot FILE] [--json]

A head of 8 qubits with the training of today's defaults (studies/training-parts.yaml, "all parts"), two classes; 0 is
exact. The margin of a row is the distance of its exact expectation from where the answer changes, positive on the right
side: shots of prediction that are many more than 1 / margin² seldom change the answer. Curves are means over seeds.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.arrays import read_embeddings
from hilbertune.data.splits import few_shot_split
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train
from hilbertune.runtime.provenance import environment

SHAPE = HeadConfig(qubits=8, basis="pca", constant_share=0.9, reuploads=1, encoder_layers=8)
TRAINING = TrainingConfig(standardise=True, schedule="one-cycle", keep="last", learning_rate=0.02)
TESTED = 1000
FIGURES = ("train accuracy", "test accuracy", "train margin", "test margin")
COLOURS = ("#D55E00", "#E69F00", "#009E73", "#56B4E9", "#000000", "#CC79A7")


@torch.no_grad()
def measured(model: HybridHead, x: Tensor, y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracy and mean margin of each run on rows [runs, count]."""
    z = model.expectations(x)[..., 0]
    weights, bias = model.linear_weight[:, :, 0], model.linear_bias
    slope, offset = weights[:, 1] - weights[:, 0], bias[:, 1] - bias[:, 0]
    if model.standard is not None:
        shift, factor = (values[:, 0] for values in model.standard)
        slope, offset = slope * factor, offset - slope * factor * shift
    side = torch.where(y == 1, 1.0, -1.0) * (slope[:, None] * z + offset[:, None])
    return (side > 0).double().mean(1).numpy(), (side / slope.abs()[:, None]).mean(1).numpy()


def curves(shots: int, x: Tensor, y: Tensor, asked: argparse.Namespace) -> dict[str, Any]:
    """Train all seeds side by side and return each figure [epochs, seeds]."""
    splits = [few_shot_split(y.tolist(), per_class=256, seed=seed) for seed in range(asked.seeds)]
    tested = torch.from_numpy(np.stack([split.test[:TESTED] for split in splits]))
    trained = torch.from_numpy(np.stack([split.train for split in splits]))
    model = HybridHead(x.shape[1], 2, SHAPE, runs=asked.seeds)
    config = TrainingConfig(**TRAINING.to_dict() | {"epochs": asked.epochs, "training_shots": shots or None})
    found: dict[str, list[np.ndarray]] = {name: [] for name in FIGURES}

    def look(_epoch: int, _accuracy: float) -> None:
        for part, rows in (("train", trained), ("test", tested)):
            accuracy, margin = measured(model, x[rows], y[rows])
            found[f"{part} accuracy"].append(accuracy)
            found[f"{part} margin"].append(margin)

    train(model, x, y, splits, [config] * asked.seeds, list(range(asked.seeds)), progress=look)
    return {"shots": shots, **{name: np.array(values).tolist() for name, values in found.items()}}


def plot(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw accuracy and margin against epochs, training rows dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), ("accuracy", "margin"), strict=True):
        for row, colour in zip(rows, COLOURS, strict=False):
            name = f"{row['shots']} shots" if row["shots"] else "exact"
            for part, line in (("train", "--"), ("test", "-")):
                mean = np.mean(row[f"{part} {what}"], axis=1)
                axes.plot(np.arange(1, len(mean) + 1), mean, line, color=colour, label=name if part == "test" else None)
        axes.set(xlabel="epoch", ylabel=f"{what} (dashed: training rows)")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False)
    figure.savefig(file, dpi=150)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help=".npz with embeddings and labels of two classes")
    parser.add_argument("--shots", type=int, nargs="+", default=[8, 32, 128, 1024, 0], help="0 is exact")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=TRAINING.epochs)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON object, not a table")
    asked = parser.parse_args(arguments)
    read = read_embeddings(asked.file)
    assert read.embeddings is not None
    x, y = torch.from_numpy(read.embeddings).float(), torch.from_numpy(np.unique(read.labels, return_inverse=True)[1])
    rows = []
    for shots in asked.shots:
        print(f"{shots or 'exact'} ...", file=sys.stderr, flush=True)
        rows.append(curves(shots, x, y, asked))
    if asked.plot:
        plot(rows, asked.plot)
    if asked.json:
        print(json.dumps({"rows": rows, "environment": environment()}))
        return 0
    print(f"| shots | {' | '.join(FIGURES)} |\n| ---: |{' ---: |' * len(FIGURES)}")
    for row in rows:
        last = [np.mean(row[name][-1]) for name in FIGURES]
        print(f"| {row['shots'] or 'exact'} | {' | '.join(f'{value:.4f}' for value in last)} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
