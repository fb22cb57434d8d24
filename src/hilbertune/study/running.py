"""Running a study: what is missing is trained, validation chooses, what was chosen is tested, and results.json says it all.

In: a `Study` (plan.py) and labelled embeddings. Out: a directory with the configuration, runs.sqlite (one row for each finished run, which is never run
again) and results.json, from which report.py makes the report.
"""

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError
from hilbertune.runtime import storage as files
from hilbertune.runtime.provenance import environment
from hilbertune.study import search
from hilbertune.study import workers as sweep
from hilbertune.study.plan import HYBRID, Data, Settings, Study, TrainingRun, expand, model_for, run_for, split_for
from hilbertune.study.results import gather
from hilbertune.study.table import known_runs, open_table, store_runs
from hilbertune.study.testing import test_chosen
from hilbertune.study.training import Place, Progress, train_missing
from hilbertune.study.workers import Workers


def run_study(
    study: Study,
    data: Data,
    directory: Path,
    *,
    device: str = "cpu",
    workers: Workers | None = None,
    storage: str | None = None,
    retry_failed: bool = False,
    progress: Progress = lambda stage, share, note: None,
) -> dict[str, Any]:
    """Train what is missing, choose on validation, test what was chosen, and write results.json; the results.

    Killed at any moment and called again, it goes on: finished runs are in the table, the block in training has a checkpoint.

    Args:
        workers: None works in this process, on all its threads; a number or "auto" on so many workers of a thread each (sweep.py), on which runs get the same bits.
        storage: of a search (search.py): URL of a database that other machines share; default a file in `directory`.

    Raises:
        HilbertuneError: data and configuration do not fit together, or the directory cannot be used.
        MissingExtraError: `workers` without the extra `sweep`.
    """
    planned = expand(study, data)
    for tried in planned.values():
        for first in (runs[0] for runs in tried):
            split_for(first.settings, data, study.seeds[0])
            if first.method == HYBRID:
                model_for(first.settings, data)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {directory}: {error.strerror}.") from error
    with open_table(directory) as connection:
        files.write_atomically(directory / "config.yaml", study.text.encode())
        files.write_atomically(directory / "environment.json", json.dumps(environment(), indent=2).encode())
        query = "SELECT id FROM runs" + (" WHERE error IS NULL" if retry_failed else "")
        finished = {row[0] for row in connection.execute(query)}
        every = {r.id: r for tried in planned.values() for runs in tried for r in runs}
        missing = [r for r in every.values() if r.id not in finished]
        with ExitStack() as stack:
            pool = None if workers is None else stack.enter_context(sweep.pool(workers, device))
            place = Place(data, directory.resolve(), device)
            found = {}
            if study.search:
                # What was drawn for the check is not what will be tried.
                drawn = {r.id for a in study.arms if a.search for t in planned[a.name] for r in t}
                missing = [r for r in missing if r.id not in drawn]
                found = search.run_search(
                    study,
                    data.fingerprint(),
                    place,
                    pool,
                    partial(known_runs, connection),
                    partial(store_runs, connection),
                    storage,
                    progress,
                )
                proposed = {name: about.pop("settings") for name, about in found.items()}
                planned |= _searched(study, proposed, data)
                missing += [r for n in found for r in planned[n][0] if not known_runs(connection, [r.id])]
            train_missing(connection, missing, place, pool, progress)
            chosen = {name: _choose(connection, tried) for name, tried in planned.items()}
            test_chosen(connection, study, planned, chosen, place, pool, progress)
        results = gather(connection, study, planned, chosen, data) | {"search": found or None}
    files.write_atomically(directory / "results.json", json.dumps(results, indent=1, ensure_ascii=False).encode())
    return results


def _searched(study: Study, tried: Mapping[str, Sequence[Settings]], data: Data) -> dict[str, list[list[TrainingRun]]]:
    """The runs of the trials that a search has made."""
    fingerprint = data.fingerprint()
    return {
        name: [[run_for(HYBRID, s, seed, fingerprint) for seed in study.seeds] for s in settings]
        for name, settings in tried.items()
    }


def _choose(connection: sqlite3.Connection, tried: Sequence[Sequence[TrainingRun]]) -> int:
    """The trial with the highest mean validation accuracy over the seeds, then the lowest loss, then the first; test rows play no part."""

    def rank(runs: Sequence[TrainingRun]) -> tuple[int, float, float]:
        marks = ", ".join("?" * len(runs))
        found = connection.execute(
            "SELECT COUNT(*), AVG(validation_accuracy), AVG(validation_loss) FROM runs "
            f"WHERE error IS NULL AND id IN ({marks})",
            [run.id for run in runs],
        ).fetchone()
        accuracy, loss = (value if value is not None else -math.inf for value in found[1:])
        return int(found[0] > 0), round(accuracy, 9), -loss if loss > -math.inf else 0.0

    return max(range(len(tried)), key=lambda trial: rank(tried[trial]))
