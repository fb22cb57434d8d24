"""Running a study: what is missing is trained, validation chooses, what was chosen is tested, and results.json says it all.

In: a `Study` (plan.py) and labelled embeddings. Out: a directory with the configuration, runs.sqlite (one row for each finished run, which is never run
again) and results.json, from which report.py makes the report.
"""

import dataclasses
import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from threadpoolctl import threadpool_limits

from hilbertune import comparison, energy, evaluation, search, sweep, tasks
from hilbertune import storage as files
from hilbertune.baselines import FAMILIES
from hilbertune.circuit import parts
from hilbertune.config import Task
from hilbertune.environment import environment
from hilbertune.errors import HilbertuneError
from hilbertune.plan import (
    HYBRID,
    SPLIT,
    Arm,
    Data,
    Run,
    Settings,
    Study,
    blocks,
    configs,
    expand,
    model_for,
    run_bytes,
    run_for,
    split_for,
)
from hilbertune.sweep import Workers
from hilbertune.training import TrainingResult, checkpoint_name, train

REPEATS = 4
"""How often a noisy condition is drawn anew, for the error bar of its trajectories."""

Progress = Callable[[str, float, str], None]
"""Called with the stage (training, testing), the share of it that is done, and how far and how fast that is."""

Step = Callable[[float, float], None]
"""Called after every epoch with the share of them that is done and the mean validation accuracy."""


# The table of runs --------------------------------------------------------------------------------

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, method TEXT, settings TEXT, seed INTEGER, error TEXT, validation_accuracy REAL, validation_loss REAL,
    parameters INTEGER, seconds REAL, curves TEXT, weights BLOB, finished TEXT, joules REAL);
CREATE TABLE IF NOT EXISTS tests (
    run TEXT, condition TEXT, accuracy REAL, trajectory_error REAL, confusion TEXT, PRIMARY KEY (run, condition));
CREATE TABLE IF NOT EXISTS predictions (
    run TEXT PRIMARY KEY, rows INTEGER, right REAL, seconds REAL, joules REAL);
"""


@contextmanager
def table(directory: Path) -> Iterator[sqlite3.Connection]:
    """runs.sqlite of a study, made if it is not there; one process at a time holds it.

    Raises:
        HilbertuneError: another process works on the study, or the file is none of ours.
    """
    path = directory / "runs.sqlite"
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    lock = sqlite3.connect(directory / "lock.sqlite", timeout=0.0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(SCHEMA)
        if "joules" not in [row[1] for row in connection.execute("PRAGMA table_info(runs)")]:
            connection.execute("ALTER TABLE runs ADD COLUMN joules REAL")  # one of before
        yield connection
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise HilbertuneError(f"Cannot write {path}: {error}.") from error
        raise HilbertuneError(
            f"Another process works on {directory}: wait for it, or name another place."
        ) from error
    except sqlite3.DatabaseError as error:
        raise HilbertuneError(
            f"{path} is no whole table of runs: remove it to start afresh."
        ) from error
    finally:
        connection.close()
        lock.close()


def _store(connection: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """All rows or none, on the disk when this returns."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with connection:
        connection.execute("BEGIN")
        for row in rows:
            whole = {**row, "finished": now}
            marks = ", ".join("?" * len(whole))
            connection.execute(
                f"INSERT OR REPLACE INTO runs ({', '.join(whole)}) VALUES ({marks})",
                list(whole.values()),
            )


def _row(run: Run, **values: Any) -> dict[str, Any]:
    about = {"id": run.id, "method": run.method, "seed": run.seed}
    return {**about, "settings": json.dumps(run.settings), **values}


# Running ------------------------------------------------------------------------------------------


def run(
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
    with table(directory) as connection:
        files.write_atomically(directory / "config.yaml", study.text.encode())
        files.write_atomically(
            directory / "environment.json", json.dumps(environment(), indent=2).encode()
        )
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
                found = search.run(
                    study,
                    data.fingerprint(),
                    place,
                    pool,
                    partial(_known, connection),
                    partial(_store, connection),
                    storage,
                    progress,
                )
                proposed = {name: about.pop("settings") for name, about in found.items()}
                planned |= _searched(study, proposed, data)
                missing += [
                    r for n in found for r in planned[n][0] if not _known(connection, [r.id])
                ]
            _train(connection, missing, place, pool, progress)
            chosen = {name: _choose(connection, tried) for name, tried in planned.items()}
            _test(connection, study, planned, chosen, place, pool, progress)
        results = _gather(connection, study, planned, chosen, data) | {"search": found or None}
    files.write_atomically(
        directory / "results.json", json.dumps(results, indent=1, ensure_ascii=False).encode()
    )
    return results


def _known(connection: sqlite3.Connection, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the table says of these runs."""
    names = ("id", "error", "validation_accuracy", "parameters")
    found = {}
    for identity in ids:
        query = f"SELECT {', '.join(names)} FROM runs WHERE id = ?"
        row = connection.execute(query, [identity]).fetchone()
        if row is not None:
            found[identity] = dict(zip(names, row, strict=True))
    return found


def _searched(
    study: Study, tried: Mapping[str, Sequence[Settings]], data: Data
) -> dict[str, list[list[Run]]]:
    """The runs of the trials that a search has made."""
    fingerprint = data.fingerprint()
    return {
        name: [[run_for(HYBRID, s, seed, fingerprint) for seed in study.seeds] for s in settings]
        for name, settings in tried.items()
    }


@dataclass(frozen=True)
class Place:
    """What all blocks share: the data, the directory for checkpoints (other machines need not see it), the device."""

    data: Data
    directory: Path
    device: str


def _train(
    connection: sqlite3.Connection,
    missing: Sequence[Run],
    place: Place,
    pool: sweep.Pool | None,
    progress: Progress,
) -> None:
    todo = blocks(missing, 1 if pool is None else pool.slots)
    total = sum(map(_work, missing))
    done, ready, started = 0, 0.0, time.monotonic()

    def say(block: Sequence[Run], share: float, accuracy: float = math.nan) -> None:
        rate = (done + share * len(block)) / max(1e-9, time.monotonic() - started)
        work = ready + share * sum(map(_work, block))
        progress(
            "training", work / total, f"{done} of {len(missing)} runs, {60 * rate:.1f} a minute"
        )

    if todo:
        say(todo[0], 0.0)
    for block, rows in _trained(todo, place, pool, say):
        _store(connection, rows)
        if pool is None:
            _forget_checkpoints(place)
        done, ready = done + len(block), ready + sum(map(_work, block))
        say(block, 0.0)
    if todo:
        _forget_checkpoints(place)
        progress("training", 1.0, f"{len(missing)} runs")


def _forget_checkpoints(place: Place) -> None:
    """When no block is in training."""
    for file in (place.directory / "checkpoints").glob("*"):
        file.unlink()


def _trained(
    todo: Sequence[list[Run]],
    place: Place,
    pool: sweep.Pool | None,
    say: Callable[..., None],
) -> Iterator[tuple[list[Run], list[dict[str, Any]]]]:
    """Blocks and their rows, as they are done."""
    if pool is None:
        for block in todo:
            yield block, _block(block, place, partial(say, block))
        return
    again: list[list[Run]] = []
    for block, rows in pool.scatter(_block, place, todo):
        if isinstance(rows, sweep.Lost) and len(block) > 1:
            again += [[run] for run in block]
        elif isinstance(rows, sweep.Lost):
            yield block, [_row(block[0], error=f"Given up: {rows.why}.")]
        else:
            yield block, rows
    if again:
        yield from _trained(again, place, pool, say)


def _block(
    block: Sequence[Run], place: Place, step: Step = lambda share, accuracy: None
) -> list[dict[str, Any]]:
    """The rows of a block's runs. If it breaks, its runs are tried one by one, so that only the broken ones fail."""
    try:
        if block[0].method == HYBRID:
            return _train_hybrid(block, place, step)
        return [_train_classical(run, place.data) for run in block]
    except (HilbertuneError, RuntimeError, ValueError, ArithmeticError, MemoryError) as error:
        if len(block) == 1:
            sentence = " ".join(str(error).split()) or type(error).__name__
            return [_row(block[0], error=sentence)]
        return [row for run in block for row in _block([run], place, step)]


def _train_hybrid(block: Sequence[Run], place: Place, step: Step) -> list[dict[str, Any]]:
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
            rows.append(_row(run, error=error))
            continue
        curves = {
            name: [round(float(v), 6) for v in getattr(result, name)[:, number]]
            for name in ("train_loss", "validation_loss", "validation_accuracy")
        }
        own = {k: v[number : number + 1].contiguous() for k, v in state.items()}
        values = (getattr(result, f"validation_{k}")[best, number] for k in ("accuracy", "loss"))
        accuracy, loss = (None if math.isnan(v) else float(v) for v in values)
        rows.append(
            _row(
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


def _fit_classical(run: Run, data: Data) -> Any:
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


def _train_classical(run: Run, data: Data) -> dict[str, Any]:
    with energy.window() as window:
        split, fitted = _fit_classical(run, data)
    accuracy = None
    if len(split.validation):
        predicted = fitted.model.predict(data.embeddings[split.validation])
        accuracy = float((predicted == data.labels[split.validation]).mean())
    return _row(
        run,
        validation_accuracy=accuracy,
        parameters=fitted.parameters,
        seconds=window.energy.seconds,
        joules=window.energy.joules,
    )


def _work(run: Run) -> float:
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


# Choosing and testing -----------------------------------------------------------------------------


def _choose(connection: sqlite3.Connection, tried: Sequence[Sequence[Run]]) -> int:
    """The trial with the highest mean validation accuracy over the seeds, then the lowest loss, then the first; test rows play no part."""

    def rank(runs: Sequence[Run]) -> tuple[int, float, float]:
        marks = ", ".join("?" * len(runs))
        found = connection.execute(
            "SELECT COUNT(*), AVG(validation_accuracy), AVG(validation_loss) FROM runs "
            f"WHERE error IS NULL AND id IN ({marks})",
            [run.id for run in runs],
        ).fetchone()
        accuracy, loss = (value if value is not None else -math.inf for value in found[1:])
        return int(found[0] > 0), round(accuracy, 9), -loss if loss > -math.inf else 0.0

    return max(range(len(tried)), key=lambda trial: rank(tried[trial]))


def _test(
    connection: sqlite3.Connection,
    study: Study,
    planned: Mapping[str, Sequence[Sequence[Run]]],
    chosen: Mapping[str, int],
    place: Place,
    pool: sweep.Pool | None,
    progress: Progress,
) -> None:
    """Test the chosen runs, each under the conditions of its training and under those of the study."""
    have = set(connection.execute("SELECT run, condition FROM tests"))
    well = {row[0] for row in connection.execute("SELECT id FROM runs WHERE error IS NULL")}
    todo: dict[str, Trial] = {}
    for name, tried in planned.items():
        for run in tried[chosen[name]]:
            wanted: list[Settings] = [{}]
            if run.method == HYBRID:
                wanted += [c["settings"] for c in study.conditions]
            wanted = [c for c in wanted if (run.id, _condition_key(c)) not in have]
            if run.id in well and wanted:
                query = connection.execute("SELECT weights FROM runs WHERE id = ?", [run.id])
                todo[run.id] = Trial(run, wanted, query.fetchone()[0])
    if not todo:
        return
    progress("testing", 0.0, f"0 of {len(todo)} runs")
    for number, (rows, cost) in enumerate(_tested(list(todo.values()), place, pool), 1):
        with connection:
            connection.execute("BEGIN")
            connection.executemany("INSERT OR REPLACE INTO tests VALUES (?, ?, ?, ?, ?)", rows)
            if cost is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?)", cost
                )
        progress("testing", number / len(todo), f"{number} of {len(todo)} runs")
    progress("testing", 1.0, f"{len(todo)} runs")


@dataclass(frozen=True)
class Trial:
    """A run to test, under which conditions, with which weights."""

    run: Run
    conditions: list[Settings]
    weights: bytes | None


Tested = tuple[list[tuple[Any, ...]], tuple[Any, ...] | None]
"""Rows of the table of tests, and a row of that of predictions if the run was tested as it was trained."""


def _tested(todo: Sequence[Trial], place: Place, pool: sweep.Pool | None) -> Iterator[Tested]:
    if pool is None:
        yield from (_test_run(trial, place) for trial in todo)
        return
    for trial, rows in pool.scatter(_test_run, place, todo):
        if isinstance(rows, sweep.Lost):
            raise HilbertuneError(
                f"The test of run {trial.run.id} was given up ({rows.why}): give the same command without --workers."
            )
        yield rows


def _condition_key(settings: Settings) -> str:
    return json.dumps(settings, sort_keys=True)


def _test_run(trial: Trial, place: Place) -> Tested:
    run, data = trial.run, place.data
    taken: energy.Energy | None = None
    if run.method != HYBRID:
        split, fitted = _fit_classical(run, data)
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
                return tasks.predicted(
                    task, evaluation.logits(model, rows, seed=[run.seed, repeat])
                )

            first, found = energy.each(lambda draw=draw: draw(0))  # type: ignore[misc]
            if not condition:
                taken = found
            others = range(1, REPEATS if training.noise else 1)
            predictions[_condition_key(condition)] = [first, *map(draw, others)]
    rows = []
    for key, drawn in predictions.items():
        truth = data.labels[split.test]
        accuracies = [float((p == truth).mean()) for p in drawn]
        error = (
            float(np.std(accuracies, ddof=1) / math.sqrt(len(drawn))) if len(drawn) > 1 else None
        )
        confusion = evaluation.confusion(truth, drawn[0], len(data.classes)).tolist()
        rows.append((run.id, key, float(np.mean(accuracies)), error, json.dumps(confusion)))
    if taken is None or not len(truth):
        return rows, None
    right = float((predictions["{}"][0] == truth).sum())
    return rows, (run.id, len(truth), right, taken.seconds, taken.joules)


# Results ------------------------------------------------------------------------------------------


def _gather(
    connection: sqlite3.Connection,
    study: Study,
    planned: Mapping[str, Sequence[Sequence[Run]]],
    chosen: Mapping[str, int],
    data: Data,
) -> dict[str, Any]:
    connection.row_factory = sqlite3.Row
    ids = [r.id for tried in planned.values() for runs in tried for r in runs]
    wanted = set(ids)
    stored = {r["id"]: r for r in connection.execute("SELECT * FROM runs") if r["id"] in wanted}
    tests = {(r["run"], r["condition"]): r for r in connection.execute("SELECT * FROM tests")}
    costs = {r["run"]: r for r in connection.execute("SELECT * FROM predictions")}
    arms = [
        _arm_results(arm, planned[arm.name], chosen[arm.name], study, stored, tests, costs)
        for arm in study.arms
    ]
    split = split_for(planned[study.arms[0].name][0][0].settings, data, study.seeds[0])
    return {
        "title": study.title,
        "about": study.about,
        "size": study.size,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": sum(row["seconds"] or 0.0 for row in stored.values()),
        "config": study.text,
        "command": f"hilbertune study config.yaml --size {study.size} --seeds {len(study.seeds)} --data {data.source}",
        "environment": environment(),
        "data": {
            "source": data.source,
            "rows": len(data.labels),
            "features": data.embeddings.shape[1],
            "classes": [str(c) for c in data.classes],
            **{part: len(getattr(split, part)) for part in ("train", "validation", "test")},
        },
        "figure": dict(study.figure),
        "arms": arms,
        "comparisons": _comparisons(study, arms, planned),
        "effects": _effects(study, arms),
        "published": list(study.published),
        "failures": [{"arm": arm["name"], **failed} for arm in arms for failed in arm["failed"]],
    }


def _arm_results(
    arm: Arm,
    tried: Sequence[Sequence[Run]],
    choice: int,
    study: Study,
    stored: Mapping[str, Any],
    tests: Mapping[tuple[str, str], Any],
    costs: Mapping[str, Any],
) -> dict[str, Any]:
    well = [r for r in tried[choice] if r.id in stored and stored[r.id]["error"] is None]
    rows = [stored[r.id] for r in well]
    plain = [tests[r.id, "{}"] for r in well]
    settings = tried[choice][0].settings
    shown = (
        settings["trial"]
        if "trial" in settings
        else {k: settings[k] for k in (*arm.tune, *arm.search)}
    )
    evaluations = []
    for condition in study.conditions if arm.method == HYBRID else []:
        found = [tests[r.id, _condition_key(condition["settings"])] for r in well]
        accuracies = [r["accuracy"] for r in found]
        errors = [r["trajectory_error"] for r in found if r["trajectory_error"] is not None]
        summary = comparison.summary(accuracies) if accuracies else dict.fromkeys(("mean", "low", "high"))  # fmt: skip
        evaluations.append(
            {
                "name": condition["name"],
                "value": condition["value"],
                "accuracy": accuracies,
                **{k: summary[k] for k in ("mean", "low", "high")},
                "trajectory_error": math.sqrt(sum(e * e for e in errors)) / len(errors)
                if errors
                else None,
            }
        )
    accuracies = [r["accuracy"] for r in plain]
    cost = _energy(rows, [costs[r.id] for r in well if r.id in costs])
    counted = [r["parameters"] for r in rows]
    return {
        "name": arm.name,
        "kind": "quantum" if _is_quantum(arm) else "classical",
        "method": arm.method,
        "group": arm.group,
        "factors": arm.factors,
        "parameters": float(np.mean(counted)) if counted else None,
        "trials": len(tried),
        "chosen": shown,
        "seeds": [r.seed for r in well],
        "validation": [r["validation_accuracy"] for r in rows],
        "test": accuracies,
        "summary": comparison.summary(accuracies) if accuracies else None,
        "evaluations": evaluations,
        "confusion": np.sum([json.loads(r["confusion"]) for r in plain], axis=0).tolist()
        if plain
        else None,
        "seconds": float(np.mean([r["seconds"] for r in rows])) if rows else None,
        "energy_joules": cost.get("joules_per_training"),
        "energy": cost,
        "curves": _curves([json.loads(r["curves"]) for r in rows if r["curves"]]),
        "head": configs(tried[choice][0].settings)[0].to_dict() if arm.method == HYBRID else None,
        "failed": [
            {"seed": r.seed, "error": stored[r.id]["error"]}
            for runs in tried
            for r in runs
            if r.id in stored and stored[r.id]["error"] is not None
        ],
    }


def _energy(rows: Sequence[Any], costs: Sequence[Any]) -> dict[str, float | None]:
    """What the chosen runs cost, means over the seeds; None unless all were measured."""
    training = evaluation.mean_cost([{"joules_per_training": row["joules"]} for row in rows])
    predicting = evaluation.mean_cost(
        [
            energy.of_predictions(None, energy.Energy(c["seconds"], {"": c["joules"]}), c["rows"], c["right"])
            for c in costs
        ]
    )  # fmt: skip
    return predicting | training


def _is_quantum(arm: Arm) -> bool:
    """Whether any part of the model is a circuit."""
    return arm.method == HYBRID and bool(parts(configs(arm.settings)[0]))


def _curves(curves: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, Any] | None:
    """Curves of the seeds side by side, [epoch][seed]; null after a run has stopped."""
    if not curves:
        return None
    longest = max(len(c["train_loss"]) for c in curves)
    side_by_side = {
        name: [[c[name][e] if e < len(c[name]) else None for c in curves] for e in range(longest)]
        for name in curves[0]
    }
    return {"epoch": list(range(1, longest + 1)), **side_by_side}


def _comparisons(
    study: Study,
    arms: Sequence[Mapping[str, Any]],
    planned: Mapping[str, Sequence[Sequence[Run]]],
) -> list[dict[str, Any]]:
    """Every quantum arm against the classical arm with the same splits that did best on validation (never on test); or, if `against` names an arm, every other
    arm against that. Pairs are those of a seed; arms with other splits are not compared."""
    splits = {n: {k: tried[0][0].settings[k] for k in SPLIT} for n, tried in planned.items()}
    found = []
    for arm in arms:
        rivals = [
            other
            for other in arms
            if other is not arm
            and splits[other["name"]] == splits[arm["name"]]
            and set(arm["seeds"]) & set(other["seeds"])
            and (
                other["name"] == study.against
                or (study.against is None and other["kind"] == "classical")
            )
        ]
        compared = study.against is not None or arm["kind"] == "quantum"
        if not rivals or not compared or arm["group"] == "design" or arm["name"] == study.against:
            continue
        reference = max(rivals, key=lambda other: _mean(other["validation"]))
        own, others = (dict(zip(a["seeds"], a["test"], strict=True)) for a in (arm, reference))
        common = [seed for seed in own if seed in others]
        pair = ([own[s] for s in common], [others[s] for s in common])
        found.append(comparison.compare(arm["name"], pair[0], reference["name"], pair[1]))
    return comparison.holm(found)


def _mean(values: Sequence[float | None]) -> float:
    """Of a validation set; without one every arm is as good as another."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else 0.0


def _effects(study: Study, arms: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Main effects of a screening design, from every run that finished."""
    if not study.factors:
        return None
    rows: list[list[int]] = []
    accuracies: list[float] = []
    seeds: list[int] = []
    for arm in (arm for arm in arms if arm["group"] == "design"):
        signs = [1 if arm["factors"][k] == levels[1] else -1 for k, levels in study.factors.items()]
        for seed, accuracy in zip(arm["seeds"], arm["test"], strict=True):
            rows.append(signs)
            accuracies.append(accuracy)
            seeds.append(seed)
    found = comparison.main_effects(
        np.array(rows), np.array(accuracies), np.array(seeds), list(study.factors)
    )
    for effect in found:
        effect["low"], effect["high"] = (str(level) for level in study.factors[effect["factor"]])
    return found


# Before it starts ---------------------------------------------------------------------------------


def estimate(
    study: Study, data: Data, directory: Path | None = None, workers: int = 1
) -> dict[str, Any]:
    """What a study would cost: runs (all, and missing), blocks for so many workers, parameters of each arm, seconds and bytes.

    Seconds are extrapolated by gates times amplitudes from a short training on this machine: good to a factor of about two.
    """
    planned = expand(study, data)
    every = {r.id: r for tried in planned.values() for runs in tried for r in runs}
    finished: set[str] = set()
    if directory is not None and (directory / "runs.sqlite").exists():
        with table(directory) as connection:
            finished = {row[0] for row in connection.execute("SELECT id FROM runs")}
    missing = [r for r in every.values() if r.id not in finished]
    counts = {
        name: model_for(tried[0][0].settings, data).parameter_count
        if tried[0][0].method == HYBRID
        else None
        for name, tried in planned.items()
    }
    grouped = blocks(missing, workers)
    hybrid = [r for r in missing if r.method == HYBRID]
    epochs = sum(r.settings["epochs"] for r in hybrid)
    weights = sum(counts[n] or 0 for n, tried in planned.items() for runs in tried for _ in runs)
    return {
        "runs": len(every),
        "missing": len(missing),
        "blocks": len(grouped),
        "largest_block": max(map(len, grouped), default=0),
        "block_bytes": max((len(b) * run_bytes(b[0]) for b in grouped), default=0),
        "parameters": counts,
        "trials": {name: len(tried) for name, tried in planned.items()},
        "seconds": sum(map(_work, missing)) / _rate(data) if missing else 0.0,
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
    return sum(map(_work, runs)) / result.seconds
