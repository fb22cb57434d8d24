"""The estimate of a study: runs, parameters, time and disk space, before anything is trained.

In: a `Study`, its data, and its directory if there is one.
Out: a dictionary of numbers; the seconds come from a short training on this machine.
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
    parameters_of,
    run_bytes,
    runs_for,
    split_for,
)
from hilbertune.study.table import finished_ids, open_table
from hilbertune.study.training import model_for, work_of


def estimate_study(study: Study, data: Data, directory: Path | None = None, workers: int = 1) -> dict[str, Any]:
    """Return what a study would cost: runs (all, and missing), blocks for the workers, parameters, seconds and bytes.

    The seconds are extrapolated by gates times amplitudes from a short training on this machine: good to a factor of
    about two.
    """
    planned = expand(study, data)
    every = {r.id: r for tried in planned.values() for runs in tried for r in runs}
    finished: set[str] = set()
    if directory is not None and (directory / "runs.sqlite").exists():
        with open_table(directory) as connection:
            finished = finished_ids(connection)
    missing = [r for r in every.values() if r.id not in finished]
    counts = {
        name: parameters_of(tried[0][0].settings, data) if tried[0][0].method == HYBRID else None
        for name, tried in planned.items()
    }
    blocks = grouped(missing, workers)
    hybrid = [r for r in missing if r.method == HYBRID]
    epochs = sum(r.settings["epochs"] for r in hybrid)
    weights = sum(counts[n] or 0 for n, tried in planned.items() for runs in tried for _ in runs)
    return {
        "runs": len(every),
        "missing": len(missing),
        "blocks": len(blocks),
        "largest_block": max(map(len, blocks), default=0),
        "block_bytes": max((len(b) * run_bytes(b[0]) for b in blocks), default=0),
        "parameters": counts,
        "trials": {name: len(tried) for name, tried in planned.items()},
        "seconds": sum(map(work_of, missing)) / _rate(data) if missing else 0.0,
        # A number of a curve takes some 10 characters, and there are three curves.
        "bytes": 4 * weights + 30 * epochs + 3000 * len(missing),
    }


def _rate(data: Data) -> float:
    """Measure gates times amplitudes times rows per second; on a folder of bases those of its first one."""
    data = data.sample()
    settings: Settings = {
        "qubits": 8,
        "encoder_layers": 2,
        "encoder_connectivity": 2,
        "projection": "truncate",
        "epochs": 20,
        "per_class": min(64, *np.bincount(data.labels).tolist()),
    }
    runs = runs_for(HYBRID, settings, range(2), data)
    model = model_for(runs[0].settings, data, len(runs))
    splits = [split_for(run.settings, data, run.seed) for run in runs]
    arguments = (torch.from_numpy(data.embeddings), torch.from_numpy(data.labels), splits)
    training = configs(runs[0].settings)[1]
    # The first call may compile.
    for epochs in (1, training.epochs):
        config = dataclasses.replace(training, epochs=epochs)
        result = train(model, *arguments, [config] * 2, [0, 1])
    return sum(map(work_of, runs)) / result.seconds
