"""How much of a base must learn: accuracy against the trained parameters of base and head together.

Usage: python benchmarks/gentle.py FOLDER --embedding MODEL --out gentle [--seeds 3] [--rows 2512] [--figure gentle.svg]

The base learns together with the quantum head that a fit has where nothing is set ("gently", the next step of the talk
at ICS2025): not at all, its last layers, all of them, or LoRA adapters, at several learning rates. FOLDER, protocol
and flags are those of benchmarks/bases.py; each seed and setting is kept in --out, so that a run that was stopped goes
on. Prints a Markdown table: the accuracy of the head that learned with the base, and that of logistic regression on
the same base.
"""

import argparse
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import bases
import numpy as np
import torch

from hilbertune.baselines.fixed import logistic_regression
from hilbertune.config.records import TuningConfig
from hilbertune.data.splits import Split
from hilbertune.model import evaluation, members
from hilbertune.model.intervals import over_seeds
from hilbertune.runtime.plotting import LINEAR, PAPER, QUANTUM, in_style, new_figure, save_figure
from hilbertune.runtime.storage import write_atomically
from hilbertune.tuning import stages
from hilbertune.tuning.parameters import add_adapters, parameter_groups

GENTLE: dict[str, dict[str, Any]] = {
    "head alone": {"tune": "frozen"},
    "LoRA, rank 2, 2e-4": {"lora_rank": 2, "base_learning_rate": 2e-4},
    "LoRA, rank 8, 2e-4": {"lora_rank": 8, "base_learning_rate": 2e-4},
    "last layer, 2e-5": {"tuned_layers": 1},
    "last layer, 1e-4": {"tuned_layers": 1, "base_learning_rate": 1e-4},
    "last 3 layers, 2e-5": {"tuned_layers": 3},
    "last 3 layers, 1e-4": {"tuned_layers": 3, "base_learning_rate": 1e-4},
    "all layers, 5e-6": {"base_learning_rate": 5e-6},
    "all layers, 2e-5": {},
    "all layers, 1e-4": {"base_learning_rate": 1e-4},
}
"""What differs from the defaults of `TuningConfig` with tune="joint"."""


def main() -> None:
    parser = bases.parser(__doc__, seeds=3)
    parser.add_argument("--settings", nargs="+", choices=list(GENTLE), default=list(GENTLE))
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    pool = bases.read_pool(asked)
    asked.out.mkdir(parents=True, exist_ok=True)
    made: dict[str, list[dict[str, Any]]] = {name: [] for name in asked.settings}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        for name in asked.settings:
            made[name].append(of_seed(pool, name, seed))
            print(f"seed {seed}, {name}: {json.dumps(made[name][-1])}", flush=True)
    table = {name: summary(each) for name, each in made.items()}
    if asked.figure:
        draw(table, asked.figure)
    if asked.json:
        print(json.dumps(table))
        return
    show(table, asked)


def of_seed(pool: bases.Pool, name: str, seed: int) -> dict[str, Any]:
    """Return the figures of one setting and seed, computed or read from --out."""
    file = pool.out / f"{name.replace(' ', '-').replace(',', '')}-{seed}.json"
    if file.exists():
        known: dict[str, Any] = json.loads(file.read_text())
        return known
    given = GENTLE[name]
    examples, common = pool.examples(seed), pool.settings(seed, "joint")
    tuning = TuningConfig(**{**common.tuning.to_dict(), **given})
    settings = replace(common, tuning=replace(tuning, tune="joint"))
    started = time.monotonic()
    if given.get("tune") == "frozen":
        head, embedder, folder, count = *frozen_head(pool, examples, settings), 0
    else:
        trained = stages.train_with_base(pool.base(), examples, pool.classes, settings, device=pool.asked.device)
        head, folder = trained.head, trained.folder
        embedder, count = pool.base(folder / "base"), parameters_of_base(pool, settings)
        if trained.claim is not None:
            trained.claim.release()
    seconds = time.monotonic() - started
    vectors = embedder.embed(pool.texts)
    plain = logistic_regression(vectors[examples.split.train], examples.targets[examples.split.train], 0, seed)
    figures = {
        "base_parameters": count,
        "head_parameters": head.parameter_count,
        "seconds": seconds,
        "hybrid": bases.accuracies(examples, lambda x: evaluation.logits(head, x).argmax(1), vectors),
        "logistic": bases.accuracies(examples, lambda x: plain.model.predict(x), vectors),
    }
    write_atomically(file, json.dumps(figures).encode())
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    return figures


def frozen_head(pool: bases.Pool, examples: Any, settings: Any) -> tuple[Any, Any, None]:
    """Train the head on the base as it is."""
    embedder = pool.base()
    rows, cut = examples.rows, len(examples.split.train)
    vectors = embedder.embed([examples.texts[row] for row in rows])
    head = members.untrained(vectors.shape[1], pool.classes, settings.head, settings.training)
    split = Split(np.arange(cut), np.arange(cut, len(rows)), np.arange(0))
    data = torch.from_numpy(vectors), torch.from_numpy(examples.targets[rows])
    members.train(head, *data, [split], [settings.training], [settings.seed])
    return head.eval(), embedder, None


def parameters_of_base(pool: bases.Pool, settings: Any) -> int:
    """Count the numbers of the base that learn under these settings, without a pooler that no vector passes through."""
    base = pool.base().transformer
    add_adapters(base, settings.tuning, settings.seed)
    parameter_groups(base, torch.nn.Module(), settings.tuning, settings.training)
    return sum(p.numel() for name, p in base.named_parameters() if p.requires_grad and "pooler" not in name)


def summary(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one row of the table."""
    first = each[0]
    return {
        "parameters": first["base_parameters"] + first["head_parameters"],
        "hybrid": over_seeds([one["hybrid"]["test_accuracy"] for one in each]),
        "logistic": over_seeds([one["logistic"]["test_accuracy"] for one in each]),
        "seconds": float(np.mean([one["seconds"] for one in each])),
    }


def show(table: dict[str, dict[str, Any]], asked: argparse.Namespace) -> None:
    """Print the table as Markdown."""
    print("| what of the base learns | trained parameters | its own head, % | logistic regression, % | s |")
    print("| --- | ---: | --- | --- | ---: |")
    for name, row in table.items():
        cells = [name, f"{row['parameters']:,}", percent(row["hybrid"]), percent(row["logistic"])]
        print(f"| {' | '.join(cells)} | {row['seconds']:.0f} |")
    print(f"\n{asked.seeds} seeds")


def percent(figures: dict[str, Any]) -> str:
    ends = "" if figures["low"] is None else f" ({100 * figures['low']:.2f} to {100 * figures['high']:.2f})"
    return f"{100 * figures['mean']:.2f}{ends}"


@in_style
def draw(table: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw accuracy against trained parameters: the head that learned with the base, and logistic regression on it."""
    figure = new_figure(5.0, 3.6, layout="constrained")
    axes = figure.add_subplot()
    for key, colour, marker, fill in (("hybrid", QUANTUM, "o", QUANTUM), ("logistic", LINEAR, "s", PAPER)):
        for number, row in enumerate(table.values()):
            mean, low, high = (row[key][part] for part in ("mean", "low", "high"))
            ends = None if low is None else [[100 * (mean - low)], [100 * (high - mean)]]
            label = {
                "hybrid": "quantum head, trained with the base",
                "logistic": "logistic regression on the same base",
            }
            axes.errorbar(
                [row["parameters"] * (1 if key == "hybrid" else 1.12)],
                [100 * mean],
                yerr=ends,
                color=colour,
                marker=marker,
                markerfacecolor=fill,
                linestyle="none",
                elinewidth=1,
                label=label[key] if number == 0 else None,
            )
    axes.set_xscale("log")
    axes.set_xlabel("trained parameters of base and head (log scale)")
    axes.set_ylabel("test accuracy (%)")
    axes.grid(axis="y")
    axes.legend(loc="upper left")
    save_figure(figure, path)


if __name__ == "__main__":
    main()
