"""Running a study: what is missing is trained, validation chooses, what was chosen is tested, and results.json says it all.

In: a `Study` (plan.py) and labelled embeddings. Out: a directory with the configuration, runs.sqlite (one row for each finished run, which is never run
again) and results.json, from which report.py makes the report.
"""

import json
import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.torch

from hilbertune.config.records import Task
from hilbertune.errors import HilbertuneError
from hilbertune.model import evaluation, tasks
from hilbertune.runtime import energy
from hilbertune.study import workers as sweep
from hilbertune.study.plan import HYBRID, Settings, Study, TrainingRun, configs, model_for, split_for
from hilbertune.study.training import Place, Progress, fit_classical

REPEATS = 4
"""How often a noisy condition is drawn anew, for the error bar of its trajectories."""


def test_chosen(
    connection: sqlite3.Connection,
    study: Study,
    planned: Mapping[str, Sequence[Sequence[TrainingRun]]],
    chosen: Mapping[str, int],
    place: Place,
    pool: sweep.Pool | None,
    progress: Progress,
) -> None:
    """Test the chosen runs, each under the conditions of its training and under those of the study."""
    have = set(connection.execute("SELECT run, condition FROM tests"))
    well = {row[0] for row in connection.execute("SELECT id FROM runs WHERE error IS NULL")}
    todo: dict[str, RunToTest] = {}
    for name, tried in planned.items():
        for run in tried[chosen[name]]:
            wanted: list[Settings] = [{}]
            if run.method == HYBRID:
                wanted += [c["settings"] for c in study.conditions]
            wanted = [c for c in wanted if (run.id, condition_key(c)) not in have]
            if run.id in well and wanted:
                query = connection.execute("SELECT weights FROM runs WHERE id = ?", [run.id])
                todo[run.id] = RunToTest(run, wanted, query.fetchone()[0])
    if not todo:
        return
    progress("testing", 0.0, f"0 of {len(todo)} runs")
    for number, (rows, cost) in enumerate(_tested(list(todo.values()), place, pool), 1):
        with connection:
            connection.execute("BEGIN")
            connection.executemany("INSERT OR REPLACE INTO tests VALUES (?, ?, ?, ?, ?)", rows)
            if cost is not None:
                connection.execute("INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?)", cost)
        progress("testing", number / len(todo), f"{number} of {len(todo)} runs")
    progress("testing", 1.0, f"{len(todo)} runs")


@dataclass(frozen=True)
class RunToTest:
    """A run to test, under which conditions, with which weights."""

    run: TrainingRun
    conditions: list[Settings]
    weights: bytes | None


Tested = tuple[list[tuple[Any, ...]], tuple[Any, ...] | None]
"""Rows of the table of tests, and a row of that of predictions if the run was tested as it was trained."""


def _tested(todo: Sequence[RunToTest], place: Place, pool: sweep.Pool | None) -> Iterator[Tested]:
    if pool is None:
        yield from (_test_run(trial, place) for trial in todo)
        return
    for trial, rows in pool.scatter(_test_run, place, todo):
        if isinstance(rows, sweep.Lost):
            raise HilbertuneError(
                f"The test of run {trial.run.id} was given up ({rows.why}): give the same command without --workers."
            )
        yield rows


def condition_key(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)


def _test_run(trial: RunToTest, place: Place) -> Tested:
    run, data = trial.run, place.data
    taken: energy.Energy | None = None
    if run.method != HYBRID:
        split, fitted = fit_classical(run, data)
        answer, taken = energy.each(lambda: fitted.model.predict(data.embeddings[split.test]))
        predictions = {"{}": [answer]}
    else:
        split = split_for(run.settings, data, run.seed)
        predictions = {}
        settings = run.settings
        model = model_for(settings, data, device=place.device)
        assert trial.weights is not None
        model.load_state_dict(safetensors.torch.load(trial.weights))
        for condition in trial.conditions:
            training = configs({**settings, **condition})[1]
            model.head.shots, model.head.noise = training.shots, training.noise

            def draw(repeat: int, task: Task = training.task) -> np.ndarray:
                rows = data.embeddings[split.test]
                return tasks.predicted(task, evaluation.logits(model, rows, seed=[run.seed, repeat]))

            first, found = energy.each(lambda draw=draw: draw(0))  # type: ignore[misc]
            if not condition:
                taken = found
            others = range(1, REPEATS if training.noise else 1)
            predictions[condition_key(condition)] = [first, *map(draw, others)]
    rows = []
    for key, drawn in predictions.items():
        truth = data.labels[split.test]
        accuracies = [float((p == truth).mean()) for p in drawn]
        error = float(np.std(accuracies, ddof=1) / math.sqrt(len(drawn))) if len(drawn) > 1 else None
        confusion = evaluation.confusion(truth, drawn[0], len(data.classes)).tolist()
        rows.append((run.id, key, float(np.mean(accuracies)), error, json.dumps(confusion)))
    if taken is None or not len(truth):
        return rows, None
    right = float((predictions["{}"][0] == truth).sum())
    return rows, (run.id, len(truth), right, taken.seconds, taken.joules)
