"""The results of a study: comparisons, main effects, and the keys of results.json."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.studies import SCREENING, SMALL, read

from hilbertune.study import plan, record, running


def test_an_arm_is_compared_on_its_own_splits_only(tmp_path: Path, data: plan.Data) -> None:
    text = SMALL.replace("cross: {qubits: [2, 3]}", "cross: {per_class: [10, 20]}")
    text = text.replace("{qubits} qubits", "quantum, {per_class}")
    text = text.replace(
        "{method: logistic regression}",
        '{method: logistic regression, name: "logistic, {per_class}", cross: {per_class: [10, 20]}}',
    )
    text = text.replace("  - {method: matched linear}\n", "")
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    pairs = [(c["name"], c["against"]) for c in results["comparisons"]]
    assert pairs == [("quantum, 10", "logistic, 10"), ("quantum, 20", "logistic, 20")]
    arms = {arm["name"]: np.array(arm["test"]) for arm in results["arms"]}
    for (name, against), compared in zip(pairs, results["comparisons"], strict=True):
        wanted = (arms[name] - arms[against]).mean()
        assert compared["difference"] == pytest.approx(wanted)
    named = read(tmp_path, "against: quantum, 10\n" + text)
    again = running.run_study(named, data, tmp_path / "out")["comparisons"]
    assert [(c["name"], c["against"]) for c in again] == [("logistic, 10", "quantum, 10")]


def test_a_screening_design_measures_main_effects(tmp_path: Path, data: plan.Data) -> None:
    asked = read(tmp_path, SCREENING)
    rows = [arm for arm in asked.arms if arm.group == "design"]
    signs = np.array([[arm.factors[f] == levels[1] for f, levels in asked.factors.items()] for arm in rows])
    results = running.run_study(asked, data, tmp_path / "out")
    effects = {e["factor"]: e for e in results["effects"]}
    accuracies = np.array([np.mean(a["test"]) for a in results["arms"] if a["group"] == "design"])
    assert results["comparisons"] == []
    for number, (name, levels) in enumerate(asked.factors.items()):
        by_hand = accuracies[signs[:, number]].mean() - accuracies[~signs[:, number]].mean()
        assert effects[name]["effect"] == pytest.approx(by_hand)
        assert [effects[name]["low"], effects[name]["high"]] == [str(level) for level in levels]


def test_every_key_of_the_results_is_one_of_the_record(tmp_path: Path, data: plan.Data) -> None:
    text = SMALL + (
        "conditions: {shots: [16], two_qubit_error: [0.5]}\n"
        "design: {factors: {learning_rate: [0.0001, 0.3], final_linear: [false, true]}}\n"
        "published: [{what: a head, value: 0.9, source: arXiv 2504.08732}]\n"
    )
    results = running.run_study(read(tmp_path, text.replace("[1e-3, 0.05]", "[0.05, 1e39]")), data, tmp_path / "out")

    def check(entry: Any, kind: Any) -> None:
        # No arm here is an ensemble.
        assert set(entry) == set(kind.__annotations__) - {"ensemble"}, kind.__name__

    check(results, record.Results)
    check(results["data"], record.DataFacts)
    check(results["figure"], record.FigureWish)
    lists = {
        record.Comparison: results["comparisons"],
        record.Effect: results["effects"],
        record.Published: results["published"],
        record.Failure: results["failures"],
        record.ArmResults: results["arms"],
        record.Evaluation: results["arms"][0]["evaluations"],
        record.FailedRun: results["arms"][0]["failed"],
    }
    for kind, entries in lists.items():
        assert entries, kind.__name__
        for entry in entries:
            check(entry, kind)
    for kind, key in ((record.Summary, "summary"), (record.Cost, "energy"), (record.Curves, "curves")):
        check(results["arms"][0][key], kind)


def test_the_keys_that_older_files_lack_are_not_required() -> None:
    optional = {kind: set(kind.__optional_keys__) for kind in (record.Results, record.ArmResults)}
    assert optional == {record.Results: {"search"}, record.ArmResults: {"group", "energy", "ensemble"}}


@pytest.mark.parametrize(
    ("tune", "values"),
    [("schedule: [decay, one-cycle]", {"decay", "one-cycle"}), ("noise: [aria-1, null]", {"aria-1", None})],
)
def test_what_validation_chose_is_named_though_a_run_does_not_hold_it_so(
    tmp_path: Path, data: plan.Data, tune: str, values: set[str | None]
) -> None:
    text = SMALL.replace("learning_rate: [1e-3, 0.05]", tune)
    name = tune.partition(":")[0]
    asked = read(tmp_path, text)
    for arm in running.run_study(asked, data, tmp_path / "out")["arms"][:2]:
        assert set(arm["chosen"]) == {name}
        assert arm["chosen"][name] in values
    # Of one value each there is no choice, and it is that value.
    for value in values:
        written = "null" if value is None else value
        one = read(tmp_path, text.replace(tune, f"{name}: [{written}]"))
        arms = running.run_study(one, data, tmp_path / "out")["arms"][:2]
        assert [arm["chosen"] for arm in arms] == [{name: value}] * 2
