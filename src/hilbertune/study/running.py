"""The run of a study: train what is missing, choose on validation, test what was chosen, write results.json.

In: a `Study` (plan.py) and labelled embeddings.
Out: a directory with config.yaml, environment.json, runs.sqlite (one row for each finished run, which is never run
    again) and results.json, from which the report is made.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import nullcontext
from pathlib import Path

from hilbertune.errors import HilbertuneError
from hilbertune.model.selection import rank
from hilbertune.runtime.provenance import environment
from hilbertune.runtime.storage import write_atomically
from hilbertune.study.plan import HYBRID, Data, Plan, Study, TrainingRun, expand, parameters_of, runs_for, split_for
from hilbertune.study.record import Results
from hilbertune.study.results import gather
from hilbertune.study.search import Searched, run_search
from hilbertune.study.table import finished_ids, open_table
from hilbertune.study.testing import test_chosen
from hilbertune.study.training import Place, Progress, train_missing
from hilbertune.study.workers import Workers, open_pool


def run_study(
    study: Study,
    data: Data,
    directory: Path,
    *,
    device: str = "cpu",
    workers: Workers | None = None,
    storage: str | None = None,
    retry_failed: bool = False,
    progress: Progress = lambda *_: None,
) -> Results:
    """Train what is missing, choose on validation, test what was chosen, write results.json, and return the results.

    Killed at any moment and called again, it resumes: finished runs are in the table, and the block that was in
    training has a checkpoint.

    Args:
        study: the plan.
        data: labelled embeddings.
        directory: where the table and the results are kept; an existing one is resumed.
        device: where to train, such as "cpu" or "cuda".
        workers: None works in this process, on all its threads; a number or "auto" uses that many workers of one
            thread each (workers.py), on which runs get the same bits.
        storage: for a search (search.py), the URL of a database that other machines share; by default a file in
            `directory`.
        retry_failed: run again the runs that ended in an error.
        progress: called with the stage, the share of it that is done, and a note.

    Raises:
        HilbertuneError: data and configuration do not fit together, or the directory cannot be used.
        MissingExtraError: `workers` without the extra `sweep`.
    """
    planned: Plan = expand(study, data)
    _check_fit(study, planned, data)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {directory}: {error.strerror}.") from error
    place = Place(data, directory.resolve(), device)
    with open_table(directory) as connection:
        write_atomically(directory / "config.yaml", study.text.encode())
        write_atomically(directory / "environment.json", json.dumps(environment(), indent=2).encode())
        with nullcontext() if workers is None else open_pool(workers, device) as pool:
            searched = run_search(study, connection, place, pool, storage, progress) if study.search else {}
            # The settings of searched arms were drawn for the check only: the search proposed others.
            planned = {**planned, **_plan_of(study, searched, data)}
            grid = [runs for arm in study.arms if not arm.search for runs in planned[arm.name]]
            # Another machine may have made the best trial; its runs are needed here too.
            best = [planned[name][0] for name in searched]
            missing = _without(finished_ids(connection, well=retry_failed), grid)
            missing |= _without(finished_ids(connection), best)
            train_missing(connection, list(missing.values()), place, pool, progress)
            chosen = {name: _choose(connection, tried) for name, tried in planned.items()}
            test_chosen(connection, study, planned, chosen, place, pool, progress)
        results = gather(connection, study, planned, chosen, data)
        results["search"] = {name: one.result for name, one in searched.items()} or None
    write_atomically(directory / "results.json", json.dumps(results, indent=1, ensure_ascii=False).encode())
    return results


def _check_fit(study: Study, planned: Plan, data: Data) -> None:
    """Raise HilbertuneError if there are too few rows for a trial's split, or its model does not fit the data."""
    for tried in planned.values():
        for runs in tried:
            split_for(runs[0].settings, data, study.seeds[0])
            if runs[0].method == HYBRID:
                parameters_of(runs[0].settings, data)


def _without(finished: Set[str], tried: Iterable[Sequence[TrainingRun]]) -> dict[str, TrainingRun]:
    """Return the runs of some trials that are not finished, by their ids."""
    return {run.id: run for runs in tried for run in runs if run.id not in finished}


def _plan_of(study: Study, searched: Mapping[str, Searched], data: Data) -> Plan:
    """Return the runs of the trials that a search has made."""
    return {
        name: [runs_for(HYBRID, settings, study.seeds, data) for settings in one.settings]
        for name, one in searched.items()
    }


def _choose(connection: sqlite3.Connection, tried: Sequence[Sequence[TrainingRun]]) -> int:
    """Return the place of the trial that is best on validation over its seeds, the first of equals.

    Accuracies that differ by rounding errors alone are equal. Test rows play no part.
    """

    def merit(runs: Sequence[TrainingRun]) -> tuple[bool, float, float]:
        marks = ", ".join("?" * len(runs))
        count, accuracy, loss = connection.execute(
            "SELECT COUNT(*), AVG(validation_accuracy), AVG(validation_loss) FROM runs "
            f"WHERE error IS NULL AND id IN ({marks})",
            [run.id for run in runs],
        ).fetchone()
        return (count > 0, *rank(None if accuracy is None else round(accuracy, 9), loss))

    return max(range(len(tried)), key=lambda trial: merit(tried[trial]))
