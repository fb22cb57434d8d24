"""The results of a study, gathered from its table: the content of results.json.

In: the table of runs, the plan, and the chosen trial of each arm.
Out: the record `Results` of record.py, from which the report is made.
"""

import math
import shlex
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import numpy as np

from hilbertune.circuit.builders import parts
from hilbertune.config.noise import NOISE_PRESETS
from hilbertune.errors import HilbertuneError
from hilbertune.model import evaluation
from hilbertune.model.selection import rank
from hilbertune.runtime import energy
from hilbertune.runtime.provenance import environment
from hilbertune.runtime.schema import DamagedError, ShapeError, conform, parse_json
from hilbertune.study import comparison
from hilbertune.study.plan import (
    BASE,
    HYBRID,
    SPLIT,
    Arm,
    Data,
    Plan,
    Settings,
    Study,
    TrainingRun,
    configs,
    spell_out_noise,
    split_for,
)
from hilbertune.study.record import (
    ArmResults,
    Comparison,
    Cost,
    Curves,
    DataFacts,
    Difference,
    Effect,
    Ensemble,
    Environment,
    Evaluation,
    FigureWish,
    Published,
    Results,
    StoredCurves,
)
from hilbertune.study.testing import condition_key


class _Stored(NamedTuple):
    """The rows of the three tables: runs by id, tests by run and condition, predictions by run."""

    runs: Mapping[str, Any]
    tests: Mapping[tuple[str, str], Any]
    predictions: Mapping[str, Any]


def gather(
    connection: sqlite3.Connection, study: Study, planned: Plan, chosen: Mapping[str, int], data: Data
) -> Results:
    """Return the results of a study; `chosen` is the place of the chosen trial of each arm."""
    stored = _read(connection, {r.id for tried in planned.values() for runs in tried for r in runs})
    arms = [_arm_results(arm, planned[arm.name], chosen[arm.name], study, stored) for arm in study.arms]
    return {
        "title": study.title,
        "about": study.about,
        "size": study.size,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": sum(row["seconds"] or 0.0 for row in stored.runs.values()),
        "config": study.text,
        "command": _command(study, data),
        "environment": cast(Environment, environment()),
        "data": _data_facts(study, planned, data),
        "figure": cast(FigureWish, dict(study.figure)),
        "arms": arms,
        "comparisons": _comparisons(study, arms, planned),
        "effects": _effects(study, arms),
        "published": cast(list[Published], list(study.published)),
        "failures": [{"arm": arm["name"], **failed} for arm in arms for failed in arm["failed"]],
    }


def _command(study: Study, data: Data) -> str:
    """Return the command that repeats the study in a directory of its own."""
    words = ["hilbertune", "study", "config.yaml", "--size", study.size, "--seeds", str(len(study.seeds))]
    return shlex.join([*words, "--data", data.source, "--out", "repeated"])


def _read(connection: sqlite3.Connection, wanted: set[str]) -> _Stored:
    """Return the rows of the tables; of the runs only those of the plan, since a directory may hold more."""
    connection.row_factory = sqlite3.Row
    runs = [dict(r) for r in connection.execute("SELECT * FROM runs") if r["id"] in wanted]
    tests = [dict(r) for r in connection.execute("SELECT * FROM tests") if r["run"] in wanted]
    for rows, column, kind in ((runs, "curves", StoredCurves), (tests, "confusion", list[list[int]])):
        for row in rows:
            row[column] = _stored_json(row, column, kind)
    return _Stored(
        runs={r["id"]: r for r in runs},
        tests={(r["run"], r["condition"]): r for r in tests},
        predictions={r["run"]: r for r in connection.execute("SELECT * FROM predictions")},
    )


def _stored_json(row: Mapping[str, Any], column: str, kind: Any) -> Any:
    """Return what a column of JSON holds; None where it is empty."""
    if row[column] is None:
        return None
    try:
        value = conform(parse_json(row[column].encode()), kind)
    except (DamagedError, ShapeError) as error:
        raise HilbertuneError(
            f"runs.sqlite is damaged: the {column} of run {row.get('id', row.get('run'))}: {error}: "
            "remove it to start afresh."
        ) from error
    lengths = {len(entry) for entry in (value.values() if isinstance(value, dict) else [value, *value])}
    if len(lengths) > 1:
        raise HilbertuneError(f"runs.sqlite is damaged: the {column} of a run have gaps: remove it to start afresh.")
    return value


def _data_facts(study: Study, planned: Plan, data: Data) -> DataFacts:
    """Return the source and shape of the data, and the sizes of the split of the first arm and seed."""
    split = split_for(planned[study.arms[0].name][0][0].settings, data, study.seeds[0])
    return {
        "source": data.source,
        "rows": len(data.sample().labels),
        "features": data.embeddings.shape[1],
        "classes": [str(c) for c in data.classes],
        "train": len(split.train),
        "validation": len(split.validation),
        "test": len(split.test),
    }


def _arm_results(
    arm: Arm, tried: Sequence[Sequence[TrainingRun]], choice: int, study: Study, stored: _Stored
) -> ArmResults:
    """Return the results of an arm: those of its chosen trial, and every run that failed."""
    well = [r for r in tried[choice] if r.id in stored.runs and stored.runs[r.id]["error"] is None]
    rows = [stored.runs[r.id] for r in well]
    tests = [stored.tests[r.id, "{}"] for r in well]
    accuracies = [r["accuracy"] for r in tests]
    settings = tried[choice][0].settings
    cost = _cost(rows, [stored.predictions[r.id] for r in well if r.id in stored.predictions])
    results: ArmResults = {
        "name": arm.name,
        "kind": "quantum" if _is_quantum(arm) else "classical",
        "method": arm.method,
        "group": arm.group,
        "factors": arm.factors,
        "parameters": float(np.mean([r["parameters"] for r in rows])) if rows else None,
        "trials": len(tried),
        "chosen": settings["trial"] if "trial" in settings else _chosen(arm, settings),
        "seeds": [r.seed for r in well],
        "validation": [r["validation_accuracy"] for r in rows],
        "test": accuracies,
        "summary": comparison.summary(accuracies) if accuracies else None,
        "evaluations": _evaluations(well, study, stored) if arm.method == HYBRID else [],
        "confusion": np.sum([r["confusion"] for r in tests], axis=0).tolist() if tests else None,
        "seconds": float(np.mean([r["seconds"] for r in rows])) if rows else None,
        "energy_joules": cost.get("joules_per_training"),
        "energy": cost,
        "curves": _curves([r["curves"] for r in rows if r["curves"]]),
        "head": configs(settings)[0].identity() if arm.method == HYBRID else None,
        "failed": [
            {"seed": r.seed, "error": stored.runs[r.id]["error"]}
            for runs in tried
            for r in runs
            if r.id in stored.runs and stored.runs[r.id]["error"] is not None
        ],
    }
    if arm.method == HYBRID and (training := configs(settings)[1]).members > 1:
        results["ensemble"] = Ensemble(members=training.members, bootstrap=training.bootstrap)
    return results


def _chosen(arm: Arm, settings: Settings) -> Settings:
    """Return what validation chose of the settings that a quantum arm tried.

    The settings of a run hold the rates of a device instead of its name, and leave some defaults out.
    """
    head, training = configs(settings)
    whole = {**settings, **head.to_dict(), **training.to_dict()}
    rates = [(name, spell_out_noise({"noise": name})) for name in NOISE_PRESETS]
    whole["noise"] = next((name for name, own in rates if own.items() <= whole.items()), None)
    return {name: whole[name] for name in (*arm.tune, *arm.search)}


def _evaluations(runs: Sequence[TrainingRun], study: Study, stored: _Stored) -> list[Evaluation]:
    """Return the test of an arm's runs under each further condition of the study."""
    evaluations: list[Evaluation] = []
    for condition in study.conditions:
        tests = [stored.tests[run.id, condition_key(condition["settings"])] for run in runs]
        accuracies = [test["accuracy"] for test in tests]
        errors = [test["trajectory_error"] for test in tests if test["trajectory_error"] is not None]
        summary = comparison.summary(accuracies)
        evaluations.append(
            {
                "name": condition["name"],
                "value": condition["value"],
                "accuracy": accuracies,
                "mean": summary["mean"],
                "low": summary["low"],
                "high": summary["high"],
                "trajectory_error": math.sqrt(sum(e * e for e in errors)) / len(errors) if errors else None,
            }
        )
    return evaluations


def _cost(rows: Sequence[Any], predictions: Sequence[Any]) -> Cost:
    """Return what the chosen runs cost, as means over the seeds; None unless all were measured."""
    training = evaluation.mean_cost([{"joules_per_training": row["joules"]} for row in rows])
    predicting = evaluation.mean_cost(
        [
            energy.of_predictions(None, energy.Energy(row["seconds"], {"": row["joules"]}), row["rows"], row["right"])
            for row in predictions
        ]
    )
    return cast(Cost, predicting | training)


def _is_quantum(arm: Arm) -> bool:
    """Return True if any part of the model is a circuit."""
    return arm.method == HYBRID and bool(parts(configs(arm.settings)[0]))


def _curves(curves: Sequence[Mapping[str, Sequence[float]]]) -> Curves | None:
    """Return the curves of the seeds side by side, [epoch][seed]; None after a run has stopped."""
    if not curves:
        return None
    longest = max(len(c["train_loss"]) for c in curves)
    side_by_side = {
        name: [[c[name][e] if e < len(c[name]) else None for c in curves] for e in range(longest)] for name in curves[0]
    }
    return cast(Curves, {"epoch": list(range(1, longest + 1)), **side_by_side})


def _comparisons(study: Study, arms: Sequence[ArmResults], planned: Plan) -> list[Comparison]:
    """Compare every quantum arm with the classical arm that did best on validation (never on test).

    Where arms have bases that is the best one on the same base, and the logistic regression on that base is a second
    rival. If `against` names an arm, every other arm is compared with that, on whatever base. Pairs share a seed; arms
    with other splits are not compared.
    """
    splits = {n: {k: tried[0][0].settings[k] for k in SPLIT} for n, tried in planned.items()}
    bases = {n: tried[0][0].settings.get(BASE) for n, tried in planned.items()}
    differences = []

    def is_rival(arm: ArmResults, other: ArmResults) -> bool:
        return other["kind"] == "classical" and bases[other["name"]] == bases[arm["name"]]

    for arm in arms:
        rivals = [
            other
            for other in arms
            if other is not arm
            and splits[other["name"]] == splits[arm["name"]]
            and set(arm["seeds"]) & set(other["seeds"])
            and (other["name"] == study.against if study.against is not None else is_rival(arm, other))
        ]
        compared = study.against is not None or arm["kind"] == "quantum"
        if not rivals or not compared or arm["group"] == "design" or arm["name"] == study.against:
            continue
        best = max(rivals, key=_merit)
        plain = [other for other in rivals if other["method"] == "logistic regression" and other is not best]
        second = plain if bases[arm["name"]] is not None and study.against is None else []
        differences += [_difference(arm, reference) for reference in (best, *second)]
    return comparison.holm(differences)


def _difference(arm: ArmResults, reference: ArmResults) -> Difference:
    """Compare two arms on the seeds that both have."""
    own, others = (dict(zip(a["seeds"], a["test"], strict=True)) for a in (arm, reference))
    common = [seed for seed in own if seed in others]
    pair = ([own[s] for s in common], [others[s] for s in common])
    return comparison.compare(arm["name"], pair[0], reference["name"], pair[1])


def _merit(arm: ArmResults) -> tuple[float, float]:
    """Return the rank of an arm by its mean validation accuracy."""
    known = [v for v in arm["validation"] if v is not None]
    return rank(float(np.mean(known)) if known else None, None)


def _effects(study: Study, arms: Sequence[ArmResults]) -> list[Effect] | None:
    """Return the main effects of a screening design, from every run that finished."""
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
    effects = comparison.main_effects(np.array(rows), np.array(accuracies), np.array(seeds), list(study.factors))
    for effect in effects:
        effect["low"], effect["high"] = (str(level) for level in study.factors[effect["factor"]])
    return effects
