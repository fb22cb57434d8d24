"""Zero against constant padding at several encoder depths, with classical baselines on the same splits.

Usage: python benchmarks/padding_and_depth.py EMBEDDINGS.npz
    [--seeds 10] [--layers 2 4 8] [--connectivity 5] [--basis raw]

The file holds the arrays `embeddings` and `labels`. Protocol of arXiv 2504.08732: 256 rows of each class, 85 % to
train and 15 % to choose the epoch, all others to test; a seed draws the split too. Prints a Markdown table.
"""

import argparse
from pathlib import Path
from typing import Any

from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.arrays import read_embeddings
from hilbertune.data.labels import encode_labels
from hilbertune.data.splits import few_shot_split
from hilbertune.runtime.provenance import environment
from hilbertune.study.experiment import Examples, run_experiment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--connectivity", type=int, default=5)
    parser.add_argument("--basis", choices=("raw", "pca"), default="raw")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--learning-rate", type=float, default=TrainingConfig.learning_rate)
    asked = parser.parse_args()

    data = read_embeddings(asked.embeddings)
    assert data.embeddings is not None
    classes, labels = encode_labels(data.labels)
    seeds = range(asked.seeds)
    splits = [few_shot_split(labels.tolist(), per_class=256, seed=seed) for seed in seeds]
    examples = Examples(labels, classes, splits, seeds)
    training = TrainingConfig(epochs=asked.epochs, learning_rate=asked.learning_rate)
    print("| head | parameters | test accuracy | 95 % interval | validation | s a training |")
    print("| --- | ---: | ---: | --- | ---: | ---: |")
    outcome = None
    for layers in asked.layers:
        for padding in ("zero", "constant"):
            head = HeadConfig(
                encoder_layers=layers,
                encoder_connectivity=asked.connectivity,
                padding=padding,
                basis=asked.basis,
            )
            last = (layers, padding) == (asked.layers[-1], "constant")
            outcome = run_experiment(data.embeddings, examples, head, training, baselines=last)
            for path in outcome.leftovers:
                path.unlink(missing_ok=True)
            name = f"10 qubits, {layers} encoder layers, C={asked.connectivity}, {asked.basis}, {padding} padding"
            validation = f"{outcome.figures['validation_accuracy']['mean']:.4f}"
            print(_line(name, outcome.table[0], validation), flush=True)
    assert outcome is not None
    for row in outcome.table[1:]:
        print(_line(row["method"], row, ""))
    machine = environment()
    versions = ", ".join(f"{k} {v}" for k, v in machine["packages"].items() if v)
    print(f"\n{asked.seeds} seeds; {machine['processor']}, {machine['threads']} threads; {versions}")


def _line(name: str, row: Any, validation: str) -> str:
    accuracy = row["accuracy"]
    interval = f"{accuracy['low']:.4f} to {accuracy['high']:.4f}"
    cells = [name, str(row["parameters"]), f"{accuracy['mean']:.4f}", interval, validation]
    return f"| {' | '.join(cells)} | {row['seconds']:.2f} |"


if __name__ == "__main__":
    main()
