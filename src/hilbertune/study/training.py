"""Running a study: what is missing is trained, validation chooses, what was chosen is tested, and results.json says it all.

In: a `Study` (plan.py) and labelled embeddings. Out: a directory with the configuration, runs.sqlite (one row for each finished run, which is never run
again) and results.json, from which report.py makes the report.
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

import safetensors.torch
import torch
from threadpoolctl import threadpool_limits

from hilbertune.baselines.families import FAMILIES
from hilbertune.circuit.builders import parts
from hilbertune.errors import HilbertuneError
from hilbertune.model.training import TrainingResult, checkpoint_name, train
from hilbertune.runtime import energy
from hilbertune.runtime import storage as files
from hilbertune.study import workers as sweep
from hilbertune.study.plan import HYBRID, Data, TrainingRun, configs, grouped, model_for, split_for
from hilbertune.study.table import run_row, store_runs

Progress = Callable[[str, float, str], None]
"""Called with the stage (training, testing), the share of it that is done, and how far and how fast that is."""


Step = Callable[[float, float], None]
"""Called after every epoch with the share of them that is done and the mean validation accuracy."""


@dataclass(frozen=True)
class Place:
    """What all blocks share: the data, the directory for checkpoints (other machines need not see it), the device."""

    data: Data
    directory: Path
    device: str


def train_missing(
    connection: sqlite3.Connection,
    missing: Sequence[TrainingRun],
    place: Place,
    pool: sweep.Pool | None,
    progress: Progress,
) -> None:
    todo = grouped(missing, 1 if pool is None else pool.slots)
    total = sum(map(work_of, missing))
    done, ready, started = 0, 0.0, time.monotonic()

    def say(block: Sequence[TrainingRun], share: float, accuracy: float = math.nan) -> None:
        rate = (done + share * len(block)) / max(1e-9, time.monotonic() - started)
        work = ready + share * sum(map(work_of, block))
        progress("training", work / total, f"{done} of {len(missing)} runs, {60 * rate:.1f} a minute")

    if todo:
        say(todo[0], 0.0)
    for block, rows in _trained(todo, place, pool, say):
        store_runs(connection, rows)
        if pool is None:
            _forget_checkpoints(place)
        done, ready = done + len(block), ready + sum(map(work_of, block))
        say(block, 0.0)
    if todo:
        _forget_checkpoints(place)
        progress("training", 1.0, f"{len(missing)} runs")


def _forget_checkpoints(place: Place) -> None:
    """When no block is in training."""
    for file in (place.directory / "checkpoints").glob("*"):
        file.unlink()


def _trained(
    todo: Sequence[list[TrainingRun]],
    place: Place,
    pool: sweep.Pool | None,
    say: Callable[..., None],
) -> Iterator[tuple[list[TrainingRun], list[dict[str, Any]]]]:
    """Blocks and their rows, as they are done."""
    if pool is None:
        for block in todo:
            yield block, train_block(block, place, partial(say, block))
        return
    again: list[list[TrainingRun]] = []
    for block, rows in pool.scatter(train_block, place, todo):
        if isinstance(rows, sweep.Lost) and len(block) > 1:
            again += [[run] for run in block]
        elif isinstance(rows, sweep.Lost):
            yield block, [run_row(block[0], error=f"Given up: {rows.why}.")]
        else:
            yield block, rows
    if again:
        yield from _trained(again, place, pool, say)


def train_block(
    block: Sequence[TrainingRun], place: Place, step: Step = lambda share, accuracy: None
) -> list[dict[str, Any]]:
    """The rows of a block's runs. If it breaks, its runs are tried one by one, so that only the broken ones fail."""
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
    data, device = place.data, place.device
    settings = [run.settings for run in block]
    training = [configs(s)[1] for s in settings]
    model = model_for(settings[0], data, len(block), device)
    seeds = [run.seed for run in block]
    splits = [split_for(run.settings, data, run.seed) for run in block]
    arguments = (
        model,
        torch.from_numpy(data.embeddings),
        torch.from_numpy(data.labels),
        splits,
        training,
        seeds,
    )
    checkpoint: Path | None = place.directory / "checkpoints" / checkpoint_name(*arguments)
    if not place.directory.is_dir():
        checkpoint = None  # a machine that does not see it

    # Of a training that goes on the first part was not seen by this meter.
    whole = checkpoint is None or not checkpoint.exists()

    def trained() -> TrainingResult:
        return train(
            *arguments,
            checkpoint=checkpoint,
            progress=lambda epoch, accuracy: step(epoch / training[0].epochs, accuracy),
        )

    with energy.window() as window:
        try:
            result = trained()
        except files.CannotWriteError:
            checkpoint = None  # a full disk takes the checkpoint, not the run
            result = trained()
    joules = window.energy.joules if whole else None
    state = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    rows = []
    for number, run in enumerate(block):
        best = int(result.best_epoch[number])
        if best < 0:
            error = "Training diverged to infinite losses: use a smaller learning rate."
            rows.append(run_row(run, error=error))
            continue
        curves = {
            name: [round(float(v), 6) for v in getattr(result, name)[:, number]]
            for name in ("train_loss", "validation_loss", "validation_accuracy")
        }
        own = {k: v[number : number + 1].contiguous() for k, v in state.items()}
        values = (getattr(result, f"validation_{k}")[best, number] for k in ("accuracy", "loss"))
        accuracy, loss = (None if math.isnan(v) else float(v) for v in values)
        rows.append(
            run_row(
                run,
                validation_accuracy=accuracy,
                validation_loss=loss,
                parameters=model.parameter_count,
                seconds=result.seconds / len(block),
                joules=None if joules is None else joules / len(block),
                curves=json.dumps(curves).replace("NaN", "null"),
                weights=safetensors.torch.save(own),
            )
        )
    return rows


def fit_classical(run: TrainingRun, data: Data) -> Any:
    split = split_for(run.settings, data, run.seed)
    settings = run.settings
    # On matrices this small the threads of a linear algebra library only wait for each other.
    with threadpool_limits(1):
        return split, FAMILIES[run.method].fit(
            data.embeddings[split.train],
            data.labels[split.train],
            settings["trial"],
            settings["parameters"],
            run.seed,
        )


def _train_classical(run: TrainingRun, data: Data) -> dict[str, Any]:
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
    """Gates times amplitudes times rows of a run, forward and backward alike; for a classical one next to nothing."""
    if run.method != HYBRID:
        return 1e8
    settings = run.settings
    head, training = configs(settings)
    per_class = run.settings["per_class"] or 1000
    amplitudes = {"encoder": head.encoders << head.encoder_qubits, "head": 1 << head.qubits}
    gates = sum(len(circuit.operations) * amplitudes[k] for k, circuit in parts(head).items())
    noisy = training.trajectories if training.noise else 1
    return 1e4 + gates * 2.0 * per_class * training.epochs * noisy
