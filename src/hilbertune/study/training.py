"""The training of a study's runs: blocks side by side, in this process or on workers.

In: the runs that are missing, the data, and a directory for checkpoints.
Out: rows in the table as blocks are done. A run that breaks is recorded with its error; the others go on.
"""

import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from threadpoolctl import threadpool_limits

from hilbertune.baselines.families import FAMILIES
from hilbertune.baselines.models import Baseline
from hilbertune.circuit.builders import parts
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead
from hilbertune.model.members import divergence, side_by_side, train, untrained
from hilbertune.model.training import CURVES, TrainingResult, checkpoint_for
from hilbertune.runtime import energy
from hilbertune.study.plan import HYBRID, Data, Settings, TrainingRun, configs, grouped, outputs_for, split_for
from hilbertune.study.table import run_row, store_runs
from hilbertune.study.workers import Lost, Pool

Progress = Callable[[str, float, str], None]
"""A function called with the stage (training, testing), the share of it that is done, and a note on the progress."""


Step = Callable[[float, float], None]
"""A function called after every epoch with the share of them that is done and the mean validation accuracy."""


@dataclass(frozen=True)
class Place:
    """The data, directory and device of all blocks; only this machine must see the directory, which has checkpoints."""

    data: Data
    directory: Path
    device: str


def model_for(settings: Settings, data: Data, runs: int = 1, device: str = "cpu") -> HybridHead:
    """Return the model of a run, or of several side by side; each is of as many members as the settings say."""
    head, training = configs(settings)
    return untrained(data.embeddings.shape[1], outputs_for(training, data), head, training, models=runs).to(device)


def train_missing(
    connection: sqlite3.Connection,
    missing: Sequence[TrainingRun],
    place: Place,
    pool: Pool | None,
    progress: Progress,
) -> None:
    """Train the missing runs and store each block as it is done; checkpoints go once nothing needs them."""
    blocks = grouped(missing, 1 if pool is None else pool.slots)
    total = sum(map(work_of, missing))
    done, ready, started = 0, 0.0, time.monotonic()

    def say(block: Sequence[TrainingRun], share: float, _accuracy: float = math.nan) -> None:
        rate = (done + share * len(block)) / max(1e-9, time.monotonic() - started)
        work = ready + share * sum(map(work_of, block))
        progress("training", work / total, f"{done} of {len(missing)} runs, {60 * rate:.1f} a minute")

    if blocks:
        say(blocks[0], 0.0)
    for block, rows in _trained(blocks, place, pool, say):
        store_runs(connection, rows)
        if pool is None:
            _forget_checkpoints(place)
        done, ready = done + len(block), ready + sum(map(work_of, block))
        say(block, 0.0)
    if blocks:
        _forget_checkpoints(place)
        progress("training", 1.0, f"{len(missing)} runs")


def _forget_checkpoints(place: Place) -> None:
    """Remove all checkpoints, at a moment when no block is in training."""
    for file in (place.directory / "checkpoints").glob("*"):
        file.unlink()


def _trained(
    blocks: Sequence[list[TrainingRun]],
    place: Place,
    pool: Pool | None,
    say: Callable[..., None],
) -> Iterator[tuple[list[TrainingRun], list[dict[str, Any]]]]:
    """Yield blocks and their rows as they are done; the runs of a block that was lost are tried again one by one."""
    if pool is None:
        for block in blocks:
            yield block, train_block(block, place, partial(say, block))
        return
    again: list[list[TrainingRun]] = []
    for block, rows in pool.scatter(train_block, place, blocks):
        if isinstance(rows, Lost) and len(block) > 1:
            again += [[run] for run in block]
        elif isinstance(rows, Lost):
            yield block, [run_row(block[0], error=f"Given up: {rows.why}.")]
        else:
            yield block, rows
    if again:
        yield from _trained(again, place, pool, say)


def train_block(block: Sequence[TrainingRun], place: Place, step: Step = lambda *_: None) -> list[dict[str, Any]]:
    """Train a block and return the rows of its runs.

    If the block breaks, its runs are tried one by one, so that only the broken ones fail.
    """
    try:
        if block[0].method == HYBRID:
            return _train_hybrid(block, place, step)
        return [_train_classical(run, place.data) for run in block]
    except (HilbertuneError, RuntimeError, ValueError, ArithmeticError, MemoryError) as error:
        if len(block) == 1:
            sentence = " ".join(str(error).split()) or type(error).__name__
            return [run_row(block[0], error=sentence)]
        return [row for run in block for row in train_block([run], place, step)]


def _train_hybrid(block: Sequence[TrainingRun], place: Place, step: Step) -> list[dict[str, Any]]:
    """Train runs side by side and return their rows."""
    model = model_for(block[0].settings, place.data, len(block), place.device)
    result, joules = _train_side_by_side(model, block, place, step)
    state = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    rows = []
    for number, run in enumerate(block):
        if broken := divergence(result.of_model(result.best_epoch, number), run.seed):
            rows.append(run_row(run, error=broken))
            continue
        members = slice(number * model.members, (number + 1) * model.members)
        own = {k: v[members].contiguous() for k, v in state.items()}
        row = run_row(
            run,
            validation_accuracy=_known(result.best_validation_accuracy(number)),
            validation_loss=_known(result.best_validation_loss(number)),
            parameters=model.parameter_count,
            seconds=result.seconds / len(block),
            joules=None if joules is None else joules / len(block),
            curves=_curves(result, number),
            weights=safetensors.torch.save(own),
        )
        rows.append(row)
    return rows


def _train_side_by_side(
    model: HybridHead, block: Sequence[TrainingRun], place: Place, step: Step
) -> tuple[TrainingResult, float | None]:
    """Train all runs of the model, with a checkpoint if the disk allows it; return the joules if all were measured."""
    training = [configs(run.settings)[1] for run in block]
    embeddings, labels, splits = _rows_of(block, place.data)
    tensors = model, torch.from_numpy(embeddings), torch.from_numpy(labels)
    each = splits, training, [run.seed for run in block]
    # A machine that does not see the directory trains without a checkpoint.
    seen, folder = place.directory.is_dir(), place.directory / "checkpoints"
    checkpoint = checkpoint_for(folder, *tensors, *side_by_side(*each)) if seen else None
    # The meter did not see the first part of a training that is resumed.
    whole = checkpoint is None or not checkpoint.path.exists()

    def told(epoch: int, accuracy: float) -> None:
        step(epoch / training[0].epochs, accuracy)

    with energy.window() as window:
        result = train(*tensors, *each, checkpoint=checkpoint, progress=told, lenient=True)
    return result, window.energy.joules if whole else None


def _rows_of(block: Sequence[TrainingRun], data: Data) -> tuple[np.ndarray, np.ndarray, list[Split]]:
    """Return embeddings, labels and splits of a block: all rows, or of many bases those that some run learns from."""
    splits = [split_for(run.settings, data, run.seed) for run in block]
    if not data.blocks:
        return data.embeddings, data.labels, splits
    used = np.unique(np.concatenate([rows for split in splits for rows in (split.train, split.validation)]))

    def places(rows: np.ndarray) -> np.ndarray:
        return np.searchsorted(used, rows).astype(np.int64)

    none = np.zeros(0, np.int64)
    own = [Split(places(split.train), places(split.validation), none) for split in splits]
    return data.embeddings[used], data.labels[used], own


def _curves(result: TrainingResult, number: int) -> str:
    """Return the curves of one run, the means over its members, as JSON, with null where training had stopped."""
    curves = {name: [round(float(v), 6) for v in result.mean_curve(name)[:, number]] for name in CURVES}
    return json.dumps(curves).replace("NaN", "null")


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def fit_classical(run: TrainingRun, data: Data) -> tuple[Split, Baseline]:
    """Return the split of a classical run, and its model fitted to the training rows."""
    settings = run.settings
    split = split_for(settings, data, run.seed)
    # On matrices this small the threads of a linear algebra library only wait for each other.
    with threadpool_limits(1):
        fitted = FAMILIES[run.method].fit(
            data.embeddings[split.train],
            data.labels[split.train],
            settings["trial"],
            settings["parameters"],
            run.seed,
        )
    return split, fitted


def _train_classical(run: TrainingRun, data: Data) -> dict[str, Any]:
    """Train a classical run and return its row."""
    with energy.window() as window:
        split, fitted = fit_classical(run, data)
    accuracy = None
    if len(split.validation):
        predicted = fitted.model.predict(data.embeddings[split.validation])
        accuracy = float((predicted == data.labels[split.validation]).mean())
    return run_row(
        run,
        validation_accuracy=accuracy,
        parameters=fitted.parameters,
        seconds=window.energy.seconds,
        joules=window.energy.joules,
    )


def work_of(run: TrainingRun) -> float:
    """Return gates times amplitudes times rows of a run, of all of its members, forward and backward alike.

    A classical run is little work.
    """
    if run.method != HYBRID:
        return 1e8
    settings = run.settings
    head, training = configs(settings)
    per_class = run.settings["per_class"] or 1000
    amplitudes = {"encoder": head.encoders << head.encoder_qubits, "head": 1 << head.head_qubits}
    gates = sum(len(circuit.operations) * amplitudes[k] for k, circuit in parts(head).items())
    noisy = training.trajectories if training.noise else 1
    return 1e4 + training.members * gates * 2.0 * per_class * training.epochs * noisy
