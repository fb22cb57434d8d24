"""Running a study: what is missing is trained, validation chooses, what was chosen is tested, and results.json says it all.

In: a `Study` (plan.py) and labelled embeddings. Out: a directory with the configuration, runs.sqlite (one row for each finished run, which is never run
again) and results.json, from which report.py makes the report.
"""

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from hilbertune.circuit.builders import parts
from hilbertune.model import evaluation
from hilbertune.runtime import energy
from hilbertune.runtime.provenance import environment
from hilbertune.study import comparison
from hilbertune.study.plan import HYBRID, SPLIT, Arm, Data, Study, TrainingRun, configs, split_for
from hilbertune.study.testing import condition_key


def gather(
    connection: sqlite3.Connection,
    study: Study,
    planned: Mapping[str, Sequence[Sequence[TrainingRun]]],
    chosen: Mapping[str, int],
    data: Data,
) -> dict[str, Any]:
    connection.row_factory = sqlite3.Row
    ids = [r.id for tried in planned.values() for runs in tried for r in runs]
    wanted = set(ids)
    stored = {r["id"]: r for r in connection.execute("SELECT * FROM runs") if r["id"] in wanted}
    tests = {(r["run"], r["condition"]): r for r in connection.execute("SELECT * FROM tests")}
    costs = {r["run"]: r for r in connection.execute("SELECT * FROM predictions")}
    arms = [_arm_results(arm, planned[arm.name], chosen[arm.name], study, stored, tests, costs) for arm in study.arms]
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
    tried: Sequence[Sequence[TrainingRun]],
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
    shown = settings["trial"] if "trial" in settings else {k: settings[k] for k in (*arm.tune, *arm.search)}
    evaluations = []
    for condition in study.conditions if arm.method == HYBRID else []:
        found = [tests[r.id, condition_key(condition["settings"])] for r in well]
        accuracies = [r["accuracy"] for r in found]
        errors = [r["trajectory_error"] for r in found if r["trajectory_error"] is not None]
        summary = comparison.summary(accuracies) if accuracies else dict.fromkeys(("mean", "low", "high"))  # fmt: skip
        evaluations.append(
            {
                "name": condition["name"],
                "value": condition["value"],
                "accuracy": accuracies,
                **{k: summary[k] for k in ("mean", "low", "high")},
                "trajectory_error": math.sqrt(sum(e * e for e in errors)) / len(errors) if errors else None,
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
        "confusion": np.sum([json.loads(r["confusion"]) for r in plain], axis=0).tolist() if plain else None,
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
        name: [[c[name][e] if e < len(c[name]) else None for c in curves] for e in range(longest)] for name in curves[0]
    }
    return {"epoch": list(range(1, longest + 1)), **side_by_side}


def _comparisons(
    study: Study,
    arms: Sequence[Mapping[str, Any]],
    planned: Mapping[str, Sequence[Sequence[TrainingRun]]],
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
            and (other["name"] == study.against or (study.against is None and other["kind"] == "classical"))
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
    found = comparison.main_effects(np.array(rows), np.array(accuracies), np.array(seeds), list(study.factors))
    for effect in found:
        effect["low"], effect["high"] = (str(level) for level in study.factors[effect["factor"]])
    return found
