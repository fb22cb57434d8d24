"""Studies: what a configuration means, that nothing is run twice, that validation alone chooses, and that a crash loses nothing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.studies import SMALL, read, rows

from hilbertune.errors import HilbertuneError
from hilbertune.study import configuration, estimate, plan, running, table, testing, training


@pytest.fixture
def data() -> plan.Data:
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    x = rng.normal(size=(100, 12)) + labels[:, None]
    return plan.Data(x.astype(np.float32), labels, ["no", "yes"], "made up")


def test_a_configuration_becomes_arms_trials_and_runs(tmp_path: Path, data: plan.Data) -> None:
    found = read(tmp_path)
    assert [arm.name for arm in found.arms] == ["2 qubits", "3 qubits", "logistic regression", "matched linear"]  # fmt: skip
    assert [arm.group for arm in found.arms][2:] == ["logistic regression", "matched linear"]
    assert found.arms[0].group == found.arms[1].group
    assert found.about == "Two lines, one sentence."
    planned = plan.expand(found, data)
    # As many trials for each method, and a run for each seed.
    assert {name: len(tried) for name, tried in planned.items()} == dict.fromkeys(planned, 2)
    assert all(len(runs) == 2 for tried in planned.values() for runs in tried)
    assert {r.settings["learning_rate"] for runs in planned["2 qubits"] for r in runs} == {0.001, 0.05}  # fmt: skip
    every = [r.id for tried in planned.values() for runs in tried for r in runs]
    assert len(set(every)) == len(every) == 16


def test_runs_of_one_shape_train_side_by_side(tmp_path: Path, data: plan.Data) -> None:
    planned = plan.expand(read(tmp_path), data)
    every = [r for tried in planned.values() for runs in tried for r in runs]
    sizes = sorted(len(block) for block in plan.grouped(every))
    assert sizes == [1] * 8 + [4, 4]


def test_a_setting_left_out_is_the_same_run_as_its_default(tmp_path: Path, data: plan.Data) -> None:
    first = plan.expand(read(tmp_path), data)["2 qubits"][0][0]
    text = SMALL.replace("epochs: 2,", "epochs: 2, batch_size: 16, noise: null, validation: 0.15,")
    assert plan.expand(read(tmp_path, text), data)["2 qubits"][0][0].id == first.id
    text = SMALL.replace("epochs: 2,", "epochs: 3,")
    assert plan.expand(read(tmp_path, text), data)["2 qubits"][0][0].id != first.id


def test_a_size_changes_what_it_names(tmp_path: Path) -> None:
    text = SMALL + "sizes: {quick: {seeds: [4], settings: {epochs: 1}, arms: [{method: k-NN, budget: 9}]}}\n"
    quick = read(tmp_path, text, size="quick")
    assert quick.seeds == [4]
    assert [arm.name for arm in quick.arms] == ["k-NN"]
    assert quick.arms[0].settings["epochs"] == 1
    assert quick.arms[0].settings["qubits"] == 3
    assert read(tmp_path, text, size="quick", seeds=3).seeds == [0, 1, 2]
    with pytest.raises(HilbertuneError, match="no size 'quik': choose from full, quick"):
        read(tmp_path, text, size="quik")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("seeds:", "sedes:", "'sedes' is no key of a study: did you mean 'seeds'"),
        ("epochs:", "epoch:", "'epoch' is no key of 'settings': did you mean 'epochs'"),
        ("cross: {qubits", "cross: {qubit", "'qubit' is no key of 'cross': did you mean 'qubits'"),
        ("learning_rate: [1e-3", "learning_rat: [1e-3", "did you mean 'learning_rate'"),
        ("method: logistic regression", "method: logistic regresion", "did you mean 'logistic regression'"),
        ("[2, 3]", "2", "'qubits' under 'cross' must be a list"),
        ("[2, 3]", "[2, 0]", "qubits must be at least 1, not 0"),
        ("1e-3", "-1.0", "learning_rate must be above 0"),
        ("{qubits} qubits", "{qbits} qubits", "did you mean 'qubits'"),
        ("seeds: 2", "seeds: []", "seeds must be a number of seeds"),
        ("seeds: 2", "seeds: [-1]", "seeds must be a number of seeds"),
        ("epochs: 2,", "epochs: 2, noise: forte-2,", "no noise 'forte-2': did you mean 'forte-1'"),
        ("title:", "against: 4 qubits\ntitle:", "'against' names no arm: did you mean '"),
        ("title:", "conditions: {shot: [1]}\ntitle:", "did you mean 'shots'"),
        ("title:", "conditions: {shots: [0]}\ntitle:", "shots must be at least 1"),
        ("title:", "design: {factors: {qubits: [2]}}\ntitle:", "list of two levels"),
        ("title:", "sizes: {quick: {sed: 1}}\ntitle:", "no size"),
        ("matched linear", "logistic regression", "Two arms are named 'logistic regression'"),
        ("{method: matched linear}", "{method: k-NN, tune: {qubits: [1]}}", "trials of its own"),
        ("arms:", "arms: [", "is no YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_with_the_nearest_name(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    assert old in SMALL
    with pytest.raises(HilbertuneError, match=sentence) as caught:
        read(tmp_path, SMALL.replace(old, new), size="x" if "quick" in new else "full")
    assert "\n" not in str(caught.value)


def test_a_study_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="has no arms"):
        read(tmp_path, "title: x\n")
    with pytest.raises(HilbertuneError, match="holds no study"):
        read(tmp_path, "- x\n")
    with pytest.raises(HilbertuneError, match=r"Cannot read the study .*No such file"):
        configuration.read_study(tmp_path / "absent.yaml")


def test_a_study_runs_chooses_tests_and_is_never_done_twice(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, out = read(tmp_path), tmp_path / "out"
    stages: list[tuple[str, float, str]] = []
    results = running.run_study(asked, data, out, progress=lambda *said: stages.append(said))
    assert json.loads((out / "results.json").read_text()) == results
    assert {arm["name"] for arm in results["arms"]} == {arm.name for arm in asked.arms}
    assert {arm["kind"] for arm in results["arms"]} == {"quantum", "classical"}
    assert all(len(arm["test"]) == len(arm["seeds"]) == 2 for arm in results["arms"])
    # Validation chose, and only what was chosen was tested.
    for arm in results["arms"][:2]:
        means = {
            rate: np.mean([v for v, s in rows(out, "SELECT validation_accuracy, settings FROM runs WHERE method = 'hybrid'")
                           if json.loads(s)["learning_rate"] == rate and json.loads(s)["qubits"] == arm["factors"]["qubits"]])
            for rate in (0.001, 0.05)
        }  # fmt: skip
        assert means[arm["chosen"]["learning_rate"]] == max(means.values())
    assert len(rows(out, "SELECT * FROM runs")) == 16
    assert len(rows(out, "SELECT * FROM tests")) == 8
    assert np.sum(results["arms"][0]["confusion"]) == 2 * results["data"]["test"] == 2 * 60
    assert [c["name"] for c in results["comparisons"]] == ["2 qubits", "3 qubits"]
    assert ("training", 1.0, "16 runs") in stages
    assert ("testing", 1.0, "8 runs") in stages
    assert [share for stage, share, _ in stages if stage == "training"] == sorted(share for stage, share, _ in stages if stage == "training")  # fmt: skip
    assert any(note.startswith("4 of 16 runs, ") for _, _, note in stages)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr(training, "train", refuse)
    monkeypatch.setattr(testing, "_test_run", refuse)
    again = running.run_study(asked, data, out)
    assert again["arms"] == results["arms"]


def test_more_seeds_run_the_new_ones_only_and_change_no_old_one(tmp_path: Path, data: plan.Data) -> None:
    out = tmp_path / "out"
    running.run_study(read(tmp_path), data, out)
    before = dict(rows(out, "SELECT id, finished || hex(weights) FROM runs"))
    running.run_study(read(tmp_path, seeds=3), data, out)
    after = dict(rows(out, "SELECT id, finished || hex(weights) FROM runs"))
    assert len(after) == 24
    assert before.items() <= after.items()
    fresh = tmp_path / "fresh"
    running.run_study(read(tmp_path, seeds=3), data, fresh)
    query = "SELECT id, validation_accuracy, curves, hex(weights) FROM runs ORDER BY id"
    assert rows(out, query) == rows(fresh, query)


def test_a_broken_run_is_recorded_and_the_rest_goes_on(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = training.train

    def breaks(model: Any, x: Any, y: Any, splits: Any, configs: Any, seeds: Any, **more: Any) -> Any:  # fmt: skip
        if 1 in seeds and model.config.qubits == 2:
            raise RuntimeError("out of\nmemory")
        return right(model, x, y, splits, configs, seeds, **more)

    monkeypatch.setattr(training, "train", breaks)
    out = tmp_path / "out"
    results = running.run_study(read(tmp_path), data, out)
    assert results["failures"] == [{"arm": "2 qubits", "seed": 1, "error": "out of memory"}] * 2
    assert [arm["seeds"] for arm in results["arms"]] == [[0], [0, 1], [0, 1], [0, 1]]
    assert len(rows(out, "SELECT * FROM runs WHERE error IS NULL")) == 14
    monkeypatch.setattr(training, "train", right)
    assert running.run_study(read(tmp_path), data, out)["failures"] == results["failures"]
    assert running.run_study(read(tmp_path), data, out, retry_failed=True)["failures"] == []


def test_a_run_that_diverges_is_a_failure(tmp_path: Path, data: plan.Data) -> None:
    text = SMALL.replace("[1e-3, 0.05]", "[1e39]").replace("qubits: [2, 3]", "qubits: [2]")
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    assert {f["arm"] for f in results["failures"]} == {"2 qubits"}
    assert "smaller learning rate" in results["failures"][0]["error"]
    assert results["arms"][0]["test"] == []


def test_conditions_are_tested_besides_the_training_s_own(tmp_path: Path, data: plan.Data) -> None:
    text = SMALL + "conditions: {shots: [16, null], two_qubit_error: [0.5], noise: [aria-1]}\n"
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    quantum, classical = results["arms"][0], results["arms"][2]
    found = {e["name"]: e for e in quantum["evaluations"]}
    assert list(found) == ["16 shots", "exact", "two qubit error 0.5", "aria-1"]
    assert [found["16 shots"]["value"], found["exact"]["value"]] == [16, None]
    # Trained exactly, so the exact condition is the plain test.
    assert found["exact"]["accuracy"] == quantum["test"]
    assert found["exact"]["trajectory_error"] is None
    assert found["two qubit error 0.5"]["trajectory_error"] > 0
    assert classical["evaluations"] == []


def test_a_screening_design_measures_main_effects(tmp_path: Path, data: plan.Data) -> None:
    text = """
    settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, projection: pca, epochs: 1, per_class: 20}
    design: {factors: {qubits: [2, 3], learning_rate: [0.0001, 0.3], final_linear: [false, true]}}
    arms: [{method: logistic regression}]
    seeds: 3
    figure: {kind: effects}
    """
    asked = read(tmp_path, text)
    rows = [arm for arm in asked.arms if arm.group == "design"]
    signs = np.array([[arm.factors[f] == levels[1] for f, levels in asked.factors.items()] for arm in rows])  # fmt: skip
    # Balanced, and every pair of factors independent of each other.
    assert (signs.mean(0) == 0.5).all()
    assert np.allclose(np.cov(1.0 * signs.T), np.diag(np.diag(np.cov(1.0 * signs.T))))
    results = running.run_study(asked, data, tmp_path / "out")
    effects = {e["factor"]: e for e in results["effects"]}
    accuracies = np.array([np.mean(a["test"]) for a in results["arms"] if a["group"] == "design"])
    assert results["comparisons"] == []
    for number, (name, levels) in enumerate(asked.factors.items()):
        by_hand = accuracies[signs[:, number]].mean() - accuracies[~signs[:, number]].mean()
        assert effects[name]["effect"] == pytest.approx(by_hand)
        assert [effects[name]["low"], effects[name]["high"]] == [str(level) for level in levels]


def test_the_estimate_counts_what_is_missing(tmp_path: Path, data: plan.Data) -> None:
    asked, out = read(tmp_path), tmp_path / "out"
    before = estimate.estimate_study(asked, data, out)
    assert (before["runs"], before["missing"], before["blocks"]) == (16, 16, 10)
    assert before["parameters"]["2 qubits"] == 2 * 2 + 2 * (4 * 2 + 3) + 4
    assert before["seconds"] > 0
    assert not out.exists()
    running.run_study(asked, data, out)
    after = estimate.estimate_study(asked, data, out)
    assert (after["missing"], after["seconds"]) == (0, 0.0)


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


def test_two_processes_do_not_work_on_one_study(tmp_path: Path, data: plan.Data) -> None:
    with (
        table.open_table(tmp_path),
        pytest.raises(HilbertuneError, match="Another process works on"),
        table.open_table(tmp_path),
    ):
        pass


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.sqlite").write_bytes(b"no table at all" * 100)
    with pytest.raises(HilbertuneError, match="no whole table of runs"), table.open_table(tmp_path):
        pass


@pytest.mark.parametrize("file", sorted(Path(__file__).parents[2].glob("studies/*.yaml")), ids=lambda p: p.stem)  # fmt: skip
def test_every_study_that_ships_can_be_expanded(file: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(1200) % 2
    wide = plan.Data(rng.normal(size=(1200, 768)).astype(np.float32), labels, [0, 1], "made up")
    for size in ("full", "quick"):
        asked = configuration.read_study(file, size=size)
        planned = plan.expand(asked, wide)
        assert all(tried for tried in planned.values())
        assert len(asked.seeds) == 10 or size == "quick"
    assert file.stem != "accuracy-against-qubits" or len(planned) == 8


def test_the_accuracy_study_has_the_published_grid() -> None:
    file = Path(__file__).parents[2] / "studies" / "accuracy-against-qubits.yaml"
    asked = configuration.read_study(file)
    single = asked.arms[0]
    assert [arm.factors["qubits"] for arm in asked.arms[:5]] == [10, 12, 14, 16, 18]
    assert single.tune == {"learning_rate": [0.0005, 0.001, 0.0015, 0.002, 0.0025, 0.003, 0.005]}
    assert asked.arms[5].tune == {
        "learning_rate": [0.001, 0.0015, 0.0025, 0.003, 0.005],
        "learning_rate_decay": [1.0, 0.99],
    }
    head, training = plan.configs(single.settings)
    assert (training.epochs, training.shots, training.batch_size) == (800, 8192, 16)
    assert (head.reuploads, head.layers, head.reupload_layers, head.connectivity) == (4, 2, 1, 1)
    assert head.padding == "zero"
