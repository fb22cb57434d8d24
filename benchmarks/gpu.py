"""Whole trainings of the published model on a GPU: seconds, peak memory, and float32 against float64.

Usage: python benchmarks/gpu.py [--epochs 800] [--qubits 10 16 18] [--embeddings FILE.npz] [--device cuda]
    [--no-sweep] [--json]

The model is the yardstick's (peers.py), batch 16, 448 rows to train and 77 to validate: one run at each number of
qubits, and at the first of them a sweep of 10 seeds times 7 learning rates as one program of 70 runs. An epoch that
compiles comes before each and is not counted. Exit status 1 if float32 is 1e-5 or more from float64 in a loss or a
gradient. Energy is not measured.
"""

import argparse
import importlib.metadata
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import peers
import torch
from torch import Tensor
from torch.nn import functional

from hilbertune.config.records import TrainingConfig
from hilbertune.data.arrays import read_embeddings
from hilbertune.data.splits import Split
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train
from hilbertune.runtime.provenance import environment

TRAIN, VALIDATION = 448, 77
SEEDS, RATES = range(10), np.geomspace(1e-3, 1e-1, 7).tolist()
TOLERANCE = 1e-5
PUBLISHED_HOURS = {10: "6.8 (A100)", 16: "43 (A100)", 18: "90 (H100)"}

Row = dict[str, Any]


def data(file: Path | None) -> tuple[Tensor, Tensor]:
    """Return embeddings and class indices for a training: two overlapping clouds unless there is a file."""
    rows = TRAIN + VALIDATION
    if file is None:
        rng = np.random.default_rng(0)
        labels = rng.integers(2, size=rows)
        embeddings = rng.normal(size=(rows, peers.FEATURES)) + 0.1 * (2 * labels[:, None] - 1)
    else:
        read = read_embeddings(file)
        assert read.embeddings is not None
        embeddings, labels = read.embeddings, np.unique(read.labels, return_inverse=True)[1]
        if embeddings.shape[1] != peers.FEATURES or len(labels) < rows or labels.max() != 1:
            raise SystemExit(f"{file} must hold {rows} or more embeddings of {peers.FEATURES} numbers in two classes.")
        chosen = np.random.default_rng(0).permutation(len(labels))[:rows]
        embeddings, labels = embeddings[chosen], labels[chosen]
    return torch.from_numpy(embeddings).float(), torch.from_numpy(labels)


def training(qubits: int, sweep: bool, epochs: int, x: Tensor, y: Tensor, device: str) -> Row:
    """Seconds and peak memory of one program of runs, after an epoch that compiles."""
    settings = [(s, r) for s in SEEDS for r in RATES] if sweep else [(0, 0.005)]
    runs = len(settings)
    order = np.random.default_rng(1).permutation(TRAIN + VALIDATION)
    split = Split(order[:TRAIN], order[TRAIN:], order[:0])

    def seconds(epochs: int) -> float:
        model = HybridHead(peers.FEATURES, 2, peers.shape_for(qubits), runs=runs).to(device)
        configs = [TrainingConfig(epochs=epochs, learning_rate=rate) for _, rate in settings]
        seeds = [seed for seed, _ in settings]
        started = time.perf_counter()
        train(model, x, y, [split] * runs, configs, seeds)
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    row: Row = {"qubits": qubits, "runs": runs, "epochs": epochs, "first_epoch_s": seconds(1)}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    row["s"] = seconds(epochs)
    row["ms_a_step"] = 1e3 * row["s"] / epochs / (TRAIN // peers.BATCH)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
    row["peak_mb"] = peak and peak / 1e6
    row["published_hours"] = PUBLISHED_HOURS.get(qubits)
    return row


def gap(qubits: int, x: Tensor, y: Tensor, device: str) -> float:
    """Return the largest difference between float32 and float64 in loss and gradients of one training step."""
    x, y = x[: peers.BATCH].to(device), y[: peers.BATCH].to(device)
    found = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        model = HybridHead(peers.FEATURES, 2, peers.shape_for(qubits)).to(device, dtype)
        loss = functional.cross_entropy(model(x.to(dtype)), y)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        found.append([loss.detach().double(), *(gradient.double() for gradient in gradients)])
    return max(float((a - b).abs().max()) for a, b in zip(*found, strict=True))


def table(report: Row) -> str:
    lines = [
        "| qubits | runs | epochs | seconds | ms a step | first epoch, s | peak MB | float32 − float64 | "
        "published hours for one run of 800 epochs |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in report["rows"]:
        peak = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        lines.append(
            f"| {row['qubits']} | {row['runs']} | {row['epochs']} | {row['s']:.2f} | {row['ms_a_step']:.3f} | "
            f"{row['first_epoch_s']:.1f} | {peak} | {row['gap']:.0e} | {row['published_hours'] or ''} |"
        )
    found = report["environment"]
    packages = ", ".join(f"{k} {v}" for k, v in found["packages"].items() if v)
    machine = found["gpu"] if report["device"] == "cuda" else found["processor"]
    return "\n".join([*lines, "", f"{machine}; {packages}. Energy: not measured."])


def triton_version() -> str | None:
    try:
        return importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=800)
    parser.add_argument("--qubits", type=int, nargs="+", default=[10, 16, 18])
    parser.add_argument("--embeddings", type=Path, help=".npz with embeddings and labels")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--no-sweep", action="store_true", help="leave out the sweep of 70 runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object, not a table")
    asked = parser.parse_args(arguments)
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("PyTorch finds no GPU here: run this where torch.cuda.is_available().")
    x, y = data(asked.embeddings)
    rows = []
    for number, qubits in enumerate(asked.qubits):
        difference = gap(qubits, x, y, asked.device)
        for sweep in (False, True)[: 2 if number == 0 and not asked.no_sweep else 1]:
            runs = len(SEEDS) * len(RATES) if sweep else 1
            print(f"{qubits} qubits, {runs} runs ...", file=sys.stderr, flush=True)
            row = training(qubits, sweep, asked.epochs, x, y, asked.device)
            rows.append(row | {"gap": difference})
    found = environment()
    found["packages"]["triton"] = triton_version()
    report = {"device": asked.device, "rows": rows, "environment": found}
    print(json.dumps(report) if asked.json else table(report))
    return 1 if any(not row["gap"] < TOLERANCE for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
