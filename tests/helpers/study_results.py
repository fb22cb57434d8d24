"""Results of studies as a report reads them: each case of its own kind, with numbers that are the same every time.

In: nothing.
Out: the content of results.json by case, and which figures a report of it has.
"""

from typing import Any

import numpy as np

from hilbertune.config.records import HeadConfig
from hilbertune.study.comparison import compare, holm, summary

SEEDS = [0, 1, 2, 3, 4, 5]


def arm(name: str, kind: str = "quantum", mean: float = 0.85, **values: Any) -> dict[str, Any]:
    """Return an arm whose accuracies scatter around `mean`, the same way every time."""
    random = np.random.default_rng(sum(name.encode()))
    seeds = values.pop("seeds", list(SEEDS))
    test = [round(float(v), 4) for v in random.normal(mean, 0.006, len(seeds))]
    right = [int(1000 * accuracy) for accuracy in test]
    confusion = np.sum([[[r // 2, 500 - r // 2], [500 - r // 2, r // 2]] for r in right], axis=0)
    given = {
        "name": name,
        "kind": kind,
        "method": "hybrid" if kind == "quantum" else name,
        "group": name,
        "factors": {},
        "parameters": 374.0,
        "trials": 3,
        "chosen": {"learning_rate": 0.002, "learning_rate_decay": 1.0},
        "seeds": seeds,
        "validation": [v + 0.003 for v in test],
        "test": test,
        "summary": summary(test),
        "evaluations": [],
        "confusion": confusion.tolist(),
        "seconds": 34.5 if kind == "quantum" else 0.012,
        "energy_joules": None,
        "curves": None,
        "head": None,
        "failed": [],
    }
    if kind == "quantum":
        fall = [[0.7 * 0.97**epoch + 0.01 * seed for seed in seeds] for epoch in range(40)]
        given["curves"] = {
            "epoch": list(range(1, 41)),
            "train_loss": fall,
            "validation_loss": [[v + 0.05 for v in row] for row in fall],
            "validation_accuracy": [[mean - 0.2 * v for v in row] for row in fall],
        }
    return given | values


def make_results(arms: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
    classical = next((a for a in arms if a["kind"] == "classical" and a["test"]), None)
    compared = [a for a in arms if a["kind"] == "quantum" and a["test"]] if classical else []
    differences = [
        compare(a["name"], a["test"], classical["name"], classical["test"][: len(a["test"])]) for a in compared
    ]
    return {
        "title": "Accuracy against qubits",
        "about": "Test accuracy of heads with 10 to 18 qubits.",
        "size": "quick",
        "created": "2026-11-23T10:00:00+00:00",
        "seconds": 7234.5,
        "config": "title: Accuracy against qubits\narms:\n  - name: one encoder\n",
        "command": "hilbertune study config.yaml --size quick",
        "environment": {
            "python": "3.11.2",
            "packages": {"hilbertune": "0.1.0", "torch": "2.13.0", "transformers": None},
            "processor": "a processor of 2 cores",
            "gpu": None,
            "energy_joules": None,
        },
        "data": {
            "source": "sst2.npz",
            "rows": 9613,
            "features": 768,
            "classes": ["negative", "positive"],
            "train": 435,
            "validation": 77,
            "test": 9101,
        },
        "figure": {"kind": "bars", "x": None, "series": None, "conditions": False},
        "arms": arms,
        "comparisons": holm(differences),
        "effects": None,
        "published": [],
        "failures": [{"arm": a["name"], **failed} for a in arms for failed in a["failed"]],
    } | values


def line() -> dict[str, Any]:
    arms = [
        arm(
            f"{count} encoder{'s' * (count == 'two')}, {qubits} qubits",
            mean=0.8 + 0.004 * qubits + 0.01 * (count == "two"),
            group=f"{count} encoder{'s' * (count == 'two')}",
            head=HeadConfig(qubits=4, encoder_layers=1, encoder_connectivity=1).to_dict(),
            factors={"qubits": qubits},
            parameters=37.0 * qubits + 4,
        )
        for count in ("one", "two")
        for qubits in (10, 14, 18)
    ]
    arms += [
        arm("logistic regression", "classical", 0.884, parameters=1538.0),
        arm("matched linear", "classical", 0.871, parameters=374.0),
    ]
    published = [
        {"what": "two encoders, 14 qubits", "value": 0.927, "source": "arXiv 2504.08732", "x": 14},
        {"what": "one encoder, 10 qubits", "value": 0.9021, "source": "arXiv 2504.08732", "x": 10},
        {"what": "best classical", "value": 0.8956, "source": "arXiv 2504.08732", "x": None},
    ]
    figure = {"kind": "line", "x": "qubits", "series": None, "conditions": False}
    return make_results(arms, figure=figure, published=published)


def bars() -> dict[str, Any]:
    error = "Training diverged to infinite losses: use a smaller learning rate."
    failed = [{"seed": seed, "error": error} for seed in SEEDS]
    nothing = {"summary": None, "confusion": None, "seconds": None, "curves": None, "seeds": []}
    cost = {
        "joules_per_training": 812.0,
        "joules_per_1000_predictions": 3.25,
        "joules_per_correct_prediction": 0.0041,
        "seconds_per_1000_predictions": 0.0625,
    }
    timed = dict.fromkeys(cost) | {"seconds_per_1000_predictions": 0.5}
    arms = [
        arm("full model", mean=0.86, energy=cost),
        arm("no head (linear on the encoder's expectations)", mean=0.84, failed=failed[:1]),
        arm("no entanglement", mean=0.45),
        arm("four encoders", failed=failed, **nothing),
        arm("logistic regression", "classical", 0.884, energy_joules=0.5, energy=timed),
    ]
    best = [
        {"values": [0.91, 120.0], "settings": {"qubits": 4}},
        {"values": [0.93, 300.0], "settings": {"qubits": 8}},
    ]
    counts = {"complete": 7, "pruned": 2, "failed": 1}
    search = {"full model": {"objectives": ["accuracy", "parameters"], "best": best, **counts}}
    return make_results(arms, title="Ablations", search=search)


def effects() -> dict[str, Any]:
    names = ["qubits", "learning_rate", "shots", "final_linear"]
    values = zip(names, (0.032, -0.011, 0.002, 0.0), (0.0004, 0.06, 1.0, 1.0), strict=True)
    known: list[dict[str, Any]] = []
    for name, value, p in values:
        ends = {"effect": value, "interval": [value - 0.01, value + 0.01], "p": p, "p_holm": p}
        known.append({"factor": name, "low": "6", "high": "8", **ends})
    known[3] |= {"effect": None, "interval": [None, None], "p": None, "p_holm": None}
    arms = [arm(f"design row {i}", mean=0.8 + 0.004 * i, group="design") for i in range(1, 13)]
    figure = {"kind": "effects", "x": None, "series": None, "conditions": False}
    return make_results(arms, effects=known, figure=figure, title="Main effects")


def conditions(kind: str = "shots") -> dict[str, Any]:
    values = {"shots": [64, 256, 1024, 8192, None], "two qubit error": [0.0, 0.001, 0.01, 0.1]}
    arms = []
    for number, name in enumerate(("trained exactly", "trained with 64 shots")):
        evaluations = []
        for place, value in enumerate(values[kind]):
            shown = f"{value} shots" if kind == "shots" else f"two qubit error {value:g}"
            spread = [round(0.8 + 0.01 * place + 0.002 * s + 0.01 * number, 4) for s in range(6)]
            evaluations.append(
                {
                    "name": shown if value is not None else "exact",
                    "value": value,
                    "accuracy": spread,
                }
                | {k: v for k, v in summary(spread).items() if k in ("mean", "low", "high")}
                | {"trajectory_error": None if kind == "shots" else 0.004}
            )
        if kind != "shots":
            device = {**evaluations[0], "value": None}
            evaluations += [{**device, "name": "no noise"}, {**device, "name": "aria-1"}]
        arms.append(arm(name, evaluations=evaluations))
    arms.append(arm("logistic regression", "classical", 0.884))
    figure = {"kind": "line", "x": None, "series": None, "conditions": True}
    return make_results(arms, figure=figure, title="Noise")


def minimal() -> dict[str, Any]:
    """One arm, one seed, and nothing known that may be unknown."""
    nothing = dict.fromkeys(("parameters", "seconds", "curves", "head", "confusion", "energy_joules"))
    alone = arm("only one", seeds=[3], validation=[None], **nothing)
    published = [{"what": "p", "value": None, "source": "s", "x": None}]
    return make_results([alone], seconds=None, published=published)


HOSTILE = '<img src="http://127.0.0.1:9/x.png" onerror="console.error(1)">&amp; $\\frac{1}{2}$ _a\x00\x1b\ud800'


def hostile() -> dict[str, Any]:
    """Every string that a person may write, as someone would who means harm."""
    given = line()
    for key in ("title", "about", "config", "command"):
        given[key] += HOSTILE
    given["data"]["classes"] = [f"{HOSTILE} {i}" for i in range(2)]
    for number, entry in enumerate(given["arms"]):
        entry["name"] = entry["group"] = f"_{number} {HOSTILE}"
        entry["chosen"] = {HOSTILE: HOSTILE}
    given["published"][0]["what"] = given["published"][1]["source"] = HOSTILE
    given["failures"] = [{"arm": HOSTILE, "seed": 0, "error": HOSTILE}]
    for entry in given["comparisons"]:
        entry["sentence"] = entry["name"] = HOSTILE
    return given


def many() -> dict[str, Any]:
    arms = [
        arm(
            f"the arm of number {i} that has a rather long name, which says all of its settings",
            "quantum" if i % 2 else "classical",
            0.7 + 0.004 * i,
            energy_joules=3.0 * i,
        )
        for i in range(24)
    ]
    return make_results(arms, title="Many arms")


CASES: dict[str, Any] = {
    "line": line,
    "bars": bars,
    "effects": effects,
    "shots": conditions,
    "noise": lambda: conditions("two qubit error"),
    "minimal": minimal,
    "hostile": hostile,
    "many": many,
}
COMMON = {"curves", "parameters", "confusion", "time"}
FIGURES = {
    "line": COMMON | {"accuracy", "encoder", "head"},
    "bars": COMMON | {"accuracy", "energy"},
    "effects": COMMON | {"effects"},
    "shots": COMMON | {"conditions"},
    "noise": COMMON | {"conditions"},
    "minimal": {"accuracy"},
    "hostile": COMMON | {"accuracy", "encoder", "head"},
    "many": COMMON | {"accuracy", "energy"},
}
