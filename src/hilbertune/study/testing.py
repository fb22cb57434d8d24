"""The test of the chosen runs of a study, each under the conditions of its training and under further ones.

In: chosen runs with their weights, and the data.
Out: rows of the tables of tests and predictions.
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
from hilbertune.study.plan import HYBRID, Plan, Settings, Study, TrainingRun, configs, split_for
from hilbertune.study.table import finished_ids
from hilbertune.study.training import Place, Progress, fit_classical, model_for
from hilbertune.study.workers import Lost, Pool

REPEATS = 4
"""Number of times that a noisy condition is drawn, for the error bar of its trajectories."""


@dataclass(frozen=True)
class RunToTest:
    """A run to test: the conditions, and the weights (None for a classical run, which is fitted again)."""

    run: TrainingRun
    conditions: list[Settings]
    weights: bytes | None


Tested = tuple[list[tuple[Any, ...]], tuple[Any, ...] | None]
"""Rows of the table of tests, and a row of the table of predictions if the run was tested as it was trained."""


def test_chosen(
    connection: sqlite3.Connection,
    study: Study,
    planned: Plan,
    chosen: Mapping[str, int],
    place: Place,
    pool: Pool | None,
    progress: Progress,
) -> None:
    """Test the chosen runs, each under the conditions of its training and under those of the study."""
    todo = _missing_tests(connection, study, [run for name, tried in planned.items() for run in tried[chosen[name]]])
    if not todo:
        return
    progress("testing", 0.0, f"0 of {len(todo)} runs")
    for number, (rows, cost) in enumerate(_tested(todo, place, pool), 1):
        with connection:
            connection.execute("BEGIN")
            connection.executemany("INSERT OR REPLACE INTO tests VALUES (?, ?, ?, ?, ?)", rows)
            if cost is not None:
                connection.execute("INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?)", cost)
        progress("testing", number / len(todo), f"{number} of {len(todo)} runs")
    progress("testing", 1.0, f"{len(todo)} runs")


def _missing_tests(connection: sqlite3.Connection, study: Study, runs: Sequence[TrainingRun]) -> list[RunToTest]:
    """Return the runs that were trained but not tested under all conditions."""
    done = set(connection.execute("SELECT run, condition FROM tests"))
    trained = finished_ids(connection, well=True)
    todo: dict[str, RunToTest] = {}
    for run in runs:
        wanted: list[Settings] = [{}]
        if run.method == HYBRID:
            wanted += [condition["settings"] for condition in study.conditions]
        wanted = [settings for settings in wanted if (run.id, condition_key(settings)) not in done]
        if run.id in trained and wanted:
            (weights,) = connection.execute("SELECT weights FROM runs WHERE id = ?", [run.id]).fetchone()
            todo[run.id] = RunToTest(run, wanted, weights)
    return list(todo.values())


def _tested(todo: Sequence[RunToTest], place: Place, pool: Pool | None) -> Iterator[Tested]:
    """Yield the rows of each run as it is tested."""
    if pool is None:
        yield from (_test_run(asked, place) for asked in todo)
        return
    for asked, rows in pool.scatter(_test_run, place, todo):
        if isinstance(rows, Lost):
            raise HilbertuneError(
                f"The test of run {asked.run.id} was given up ({rows.why}): give the same command without --workers."
            )
        yield rows


def condition_key(settings: Settings) -> str:
    """Return the settings of a condition as they stand in the table of tests."""
    return json.dumps(settings, sort_keys=True)


def _test_run(asked: RunToTest, place: Place) -> Tested:
    """Predict the test rows of a run under each condition, and compare with the labels."""
    run, data = asked.run, place.data
    rows = split_for(run.settings, data, run.seed).test
    truth = data.labels[rows]
    predictions, taken = (_predict_hybrid if run.method == HYBRID else _predict_classical)(asked, place, rows)
    tests = []
    for key, drawn in predictions.items():
        accuracies = [float((p == truth).mean()) for p in drawn]
        error = float(np.std(accuracies, ddof=1) / math.sqrt(len(drawn))) if len(drawn) > 1 else None
        confusion = evaluation.confusion(truth, drawn[0], len(data.classes)).tolist()
        tests.append((run.id, key, float(np.mean(accuracies)), error, json.dumps(confusion)))
    if taken is None or not len(truth):
        return tests, None
    right = float((predictions["{}"][0] == truth).sum())
    return tests, (run.id, len(truth), right, taken.seconds, taken.joules)


Predictions = tuple[dict[str, list[np.ndarray]], energy.Energy | None]
"""For each condition the predictions of each draw, and the cost of predicting under those of the training."""


def _predict_classical(asked: RunToTest, place: Place, rows: np.ndarray) -> Predictions:
    """Fit a classical run again, since its model is not stored, and predict."""
    _, fitted = fit_classical(asked.run, place.data)
    embeddings = place.data.embeddings[rows]
    answer, taken = energy.each(lambda: fitted.model.predict(embeddings))
    return {"{}": [answer]}, taken


def _predict_hybrid(asked: RunToTest, place: Place, rows: np.ndarray) -> Predictions:
    """Predict with the stored weights of a run; a noisy condition is drawn REPEATS times."""
    run, embeddings = asked.run, place.data.embeddings[rows]
    model = model_for(run.settings, place.data, device=place.device)
    assert asked.weights is not None
    model.load_state_dict(safetensors.torch.load(asked.weights))
    predictions: dict[str, list[np.ndarray]] = {}
    plain: energy.Energy | None = None
    for condition in asked.conditions:
        training = configs({**run.settings, **condition})[1]
        model.head.shots, model.head.noise = training.shots, training.noise

        def draw(repeat: int, task: Task = training.task) -> np.ndarray:
            return tasks.predicted(task, evaluation.logits(model, embeddings, seed=[run.seed, repeat]))

        first, taken = energy.each(lambda draw=draw: draw(0))  # type: ignore[misc]
        if not condition:
            plain = taken
        others = range(1, REPEATS if training.noise else 1)
        predictions[condition_key(condition)] = [first, *map(draw, others)]
    return predictions, plain
