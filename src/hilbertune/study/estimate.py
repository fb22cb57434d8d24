"""Running a study: what is missing is trained, validation chooses, what was chosen is tested, and results.json says it all.

In: a `Study` (plan.py) and labelled embeddings. Out: a directory with the configuration, runs.sqlite (one row for each finished run, which is never run
again) and results.json, from which report.py makes the report.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.model.training import train
from hilbertune.study.plan import (
    HYBRID,
    Data,
    Settings,
    Study,
    configs,
    expand,
    grouped,
    model_for,
    run_bytes,
    run_for,
    split_for,
)
from hilbertune.study.table import open_table
from hilbertune.study.training import work_of


def estimate_study(study: Study, data: Data, directory: Path | None = None, workers: int = 1) -> dict[str, Any]:
    """What a study would cost: runs (all, and missing), blocks for so many workers, parameters of each arm, seconds and bytes.

    Seconds are extrapolated by gates times amplitudes from a short training on this machine: good to a factor of about two.
    """
    planned = expand(study, data)
    every = {r.id: r for tried in planned.values() for runs in tried for r in runs}
    finished: set[str] = set()
    if directory is not None and (directory / "runs.sqlite").exists():
        with open_table(directory) as connection:
            finished = {row[0] for row in connection.execute("SELECT id FROM runs")}
    missing = [r for r in every.values() if r.id not in finished]
    counts = {
        name: model_for(tried[0][0].settings, data).parameter_count if tried[0][0].method == HYBRID else None
        for name, tried in planned.items()
    }
    groups = grouped(missing, workers)
    hybrid = [r for r in missing if r.method == HYBRID]
    epochs = sum(r.settings["epochs"] for r in hybrid)
    weights = sum(counts[n] or 0 for n, tried in planned.items() for runs in tried for _ in runs)
    return {
        "runs": len(every),
        "missing": len(missing),
        "blocks": len(groups),
        "largest_block": max(map(len, groups), default=0),
        "block_bytes": max((len(b) * run_bytes(b[0]) for b in groups), default=0),
        "parameters": counts,
        "trials": {name: len(tried) for name, tried in planned.items()},
        "seconds": sum(map(work_of, missing)) / _rate(data) if missing else 0.0,
        # A number of a curve takes some 10 characters, and there are three curves.
        "bytes": 4 * weights + 30 * epochs + 3000 * len(missing),
    }


def _rate(data: Data) -> float:
    """Gates times amplitudes times rows a second, measured."""
    settings: Settings = {
        "qubits": 8,
        "encoder_layers": 2,
        "encoder_connectivity": 2,
        "projection": "truncate",
        "epochs": 20,
        "per_class": min(64, *np.bincount(data.labels).tolist()),
    }
    runs = [run_for(HYBRID, settings, seed, "") for seed in range(2)]
    model = model_for(runs[0].settings, data, len(runs))
    splits = [split_for(run.settings, data, run.seed) for run in runs]
    arguments = (torch.from_numpy(data.embeddings), torch.from_numpy(data.labels), splits)
    training = configs(runs[0].settings)[1]
    # The first call may compile.
    for epochs in (1, training.epochs):
        config = dataclasses.replace(training, epochs=epochs)
        result = train(model, *arguments, [config] * 2, [0, 1])
    return sum(map(work_of, runs)) / result.seconds
