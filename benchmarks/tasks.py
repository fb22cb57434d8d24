"""Other tasks than two classes of film reviews: the hybrid head beside classical heads, same embeddings, same splits.

Usage: python benchmarks/tasks.py DATA_DIR [--tasks sst5 trec6 subj bbbp] [--seeds 3] [--per-class 8] [--rows 1000]
                                  [--test-rows 1000] [--json]

DATA_DIR holds sst5/{train,test}.csv, trec6/{train,test}.csv, subj/all.csv (columns text, label) and bbbp/all.csv
(smiles, label). Texts are embedded by the default model, and cached; molecules are Morgan fingerprints (radius 2,
2,048 bits). SST-5: classification and ordinal, official test set. TREC-6: balanced class weights, official test set.
SUBJ: split by the seed. BBBP: scaffold split with the seed, without the rows that RDKit refuses. At most --rows rows
are drawn to train and validate and --test-rows to test (BBBP: all), always the same; a seed draws the training and
validation rows among them (15 % validate), the parameters and the batches. --per-class is the number of training rows
of each class (without validation; not BBBP). Prints a Markdown table for each task with means over the seeds and their
95 % intervals; with --json one JSON object instead, and the tables to stderr.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.files import Labelled, read_labelled
from hilbertune.data.labels import encode_labels
from hilbertune.data.molecules import check_smiles, fingerprints, scaffold_split
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.embedding.embedder import Embedder
from hilbertune.model import evaluation
from hilbertune.model.layers import HybridHead
from hilbertune.model.outputs import outputs
from hilbertune.model.training import train
from hilbertune.runtime.provenance import environment

HEAD = HeadConfig(qubits=10, measured_qubits=10, basis="pca")
"""All qubits are measured, which validation preferred on TREC-6 (1,500 rows, two seeds). Padding is constant by
default; the 2,048 bits of a molecule enter by their leading principal components."""

GOALS: dict[str, list[dict[str, Any]]] = {
    "sst5": [{"task": "classification"}, {"task": "ordinal"}],
    "trec6": [{"class_weight": "balanced"}],
    "subj": [{}],
    "bbbp": [{"class_weight": "balanced"}],
}


@dataclasses.dataclass(frozen=True)
class Problem:
    """Embeddings [rows, features], class indices [rows], and a split for each seed."""

    embeddings: np.ndarray
    labels: np.ndarray
    splits: list[Split]
    note: str


def drawn(data: Labelled, rows: int) -> tuple[list[str], list[Any]]:
    """Draw at most `rows` rows, the same each time."""
    assert data.texts is not None
    order = np.random.default_rng(0).permutation(len(data.labels))[:rows]
    return [data.texts[i] for i in order], [data.labels[i] for i in order]


def texts(folder: Path, asked: argparse.Namespace) -> Problem:
    """Embed a set of sentences; without an official test set the last rows drawn test."""
    if (folder / "test.csv").exists():
        parts = [
            drawn(read_labelled(folder / f"{part}.csv"), rows)
            for part, rows in (("train", asked.rows), ("test", asked.test_rows))
        ]
    else:
        sentences, labels = drawn(read_labelled(folder / "all.csv"), asked.rows + asked.test_rows)
        cut = max(1, len(labels) - asked.test_rows)
        parts = [(sentences[:cut], labels[:cut]), (sentences[cut:], labels[cut:])]
    embeddings = Embedder().embed(parts[0][0] + parts[1][0])
    _, indices = encode_labels([*parts[0][1], *parts[1][1]])
    size = len(parts[0][1])
    official = (folder / "test.csv").exists()
    splits = []
    for seed in range(asked.seeds):
        rows = np.arange(len(indices))
        if not official:
            rows = np.random.default_rng([seed, 1]).permutation(len(indices))
        own = few_shot_split(
            indices[rows[:size]].tolist(),
            per_class=asked.per_class,
            validation=0.0 if asked.per_class else 0.15,
            seed=seed,
        )
        splits.append(Split(rows[own.train], rows[own.validation], rows[size:]))
    draws = f"{asked.per_class} a class of " if asked.per_class else ""
    where = "official test set" if official else "split by seed"
    note = f"{draws}{size} rows to train and validate, {len(indices) - size} to test, {where}"
    return Problem(embeddings, indices, splits, note)


def molecules(folder: Path, asked: argparse.Namespace) -> Problem:
    """Read molecules and make their fingerprints; each seed has a scaffold split of its own."""
    data = read_labelled(folder / "all.csv", text="smiles")
    assert data.texts is not None
    refused = set(check_smiles(data.texts))
    smiles = [s for row, s in enumerate(data.texts) if row not in refused]
    labels = [y for row, y in enumerate(data.labels) if row not in refused]
    splits = [scaffold_split(smiles, seed=seed) for seed in range(asked.seeds)]
    note = f"{len(smiles)} molecules ({len(refused)} refused by RDKit), scaffold split 80/10/10"
    return Problem(fingerprints(smiles, radius=2, bits=2048), encode_labels(labels)[1], splits, note)


def hybrid(problem: Problem, head: HeadConfig, training: TrainingConfig) -> dict[str, Any]:
    """Return the hybrid head's row; each seed is trained by itself, since scaffold splits differ in size."""
    task, seeds = training.task, range(len(problem.splits))
    logits = outputs(task, int(problem.labels.max()) + 1)
    together = HybridHead(problem.embeddings.shape[1], logits, head, runs=len(seeds))
    states, seconds = [], 0.0
    for seed, split in zip(seeds, problem.splits, strict=True):
        model = HybridHead(problem.embeddings.shape[1], logits, head)
        arguments = torch.from_numpy(problem.embeddings), torch.from_numpy(problem.labels)
        seconds += train(model, *arguments, [split], [training], [seed]).seconds
        states.append(model.state_dict())
    together.load_state_dict({k: torch.cat([s[k] for s in states]) for k in states[0]})
    return evaluation.hybrid_row(together, problem.embeddings, problem.labels, problem.splits, seconds, task)


def compare(problem: Problem, head: HeadConfig, training: TrainingConfig) -> list[dict[str, Any]]:
    """Return the rows of a table: the hybrid head's, then those of the classical heads."""
    row = hybrid(problem, head, training)
    return [
        row,
        *evaluation.baseline_rows(
            problem.embeddings,
            problem.labels,
            problem.splits,
            range(len(problem.splits)),
            row["parameters"],
            task=training.task,
            class_weight=training.class_weight,
        ),
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    names = [n for n in rows[0]["metrics"] if all(n in row["metrics"] for row in rows)]
    names += ["roc_auc"] * ("roc_auc" in rows[0]["metrics"] and "roc_auc" not in names)
    lines = [
        f"| method | {' | '.join(names)} | parameters | s a training |",
        f"| --- |{' --- |' * len(names)} ---: | ---: |",
    ]
    for row in rows:
        cells = [figure(row["metrics"].get(name)) for name in names]
        lines.append(f"| {row['method']} | {' | '.join(cells)} | {row['parameters']} | {row['seconds']:.2f} |")
    return "\n".join(lines)


def figure(value: dict[str, Any] | None) -> str:
    if value is None:
        return "–"
    if value["low"] is None:
        return f"{value['mean']:.4f}"
    return f"{value['mean']:.4f} ({value['low']:.4f} to {value['high']:.4f})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tasks", nargs="+", choices=list(GOALS), default=list(GOALS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--per-class", type=int)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--qubits", type=int, default=HEAD.qubits)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    head = dataclasses.replace(HEAD, qubits=asked.qubits, measured_qubits=asked.qubits)
    started, tables = time.monotonic(), []
    to = sys.stderr if asked.json else sys.stdout
    for name in asked.tasks:
        read = molecules if name == "bbbp" else texts
        problem = read(asked.data / name, asked)
        for goal in GOALS[name]:
            training = TrainingConfig(epochs=asked.epochs, **goal)
            rows = compare(problem, head, training)
            weighed = ", balanced class weights" if training.class_weight else ""
            title = f"{name}, {training.task}{weighed}"
            print(f"\n{title}: {problem.note}\n\n{table(rows)}", file=to, flush=True)
            tables.append({"name": title, "note": problem.note, "rows": rows})
    about = environment()
    versions = ", ".join(f"{k} {v}" for k, v in about["packages"].items() if v)
    print(
        f"\n{asked.seeds} seeds; hybrid head of {head.qubits} qubits, {head.padding} padding, {head.basis} basis, "
        f"{asked.epochs} epochs; {time.monotonic() - started:.0f} s in all; "
        f"{about['processor']}, {about['threads']} threads; {versions}",
        file=to,
    )
    if asked.json:
        print(json.dumps({"tables": tables, "head": head.to_dict(), "environment": about}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
