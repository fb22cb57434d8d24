"""The plan of a study: trials, runs and their identities, blocks, and that it needs neither torch nor Numba."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.studies import LONGER, SMALL, read

from hilbertune.errors import HilbertuneError
from hilbertune.study import configuration, plan, training

STUDIES = Path(__file__).parents[2] / "studies"


def test_a_configuration_becomes_arms_trials_and_runs(tmp_path: Path, data: plan.Data) -> None:
    found = read(tmp_path)
    assert [arm.name for arm in found.arms] == ["2 qubits", "3 qubits", "logistic regression", "matched linear"]
    assert [arm.group for arm in found.arms][2:] == ["logistic regression", "matched linear"]
    assert found.arms[0].group == found.arms[1].group
    assert found.about == "Two lines, one sentence."
    planned = plan.expand(found, data)
    # As many trials for each method, and a run for each seed.
    assert {name: len(tried) for name, tried in planned.items()} == dict.fromkeys(planned, 2)
    assert all(len(runs) == 2 for tried in planned.values() for runs in tried)
    assert {r.settings["learning_rate"] for runs in planned["2 qubits"] for r in runs} == {0.001, 0.05}
    every = [r.id for tried in planned.values() for runs in tried for r in runs]
    assert len(set(every)) == len(every) == 16


def test_classical_arms_standardise_the_columns_of_a_table_and_are_runs_of_their_own(
    tmp_path: Path, data: plan.Data
) -> None:
    table = dataclasses.replace(
        data, embeddings=data.embeddings * np.geomspace(1, 1e4, data.embeddings.shape[1], dtype=np.float32)
    )
    of_embeddings, of_table = (plan.trials(read(tmp_path), rows) for rows in (data, table))
    for name in ("logistic regression", "matched linear"):
        assert not any("standardise" in settings["trial"] for settings in of_embeddings[name])
        assert [settings["trial"] for settings in of_table[name]] == [
            {**settings["trial"], "standardise": True} for settings in of_embeddings[name]
        ]
    assert of_table["2 qubits"] == of_embeddings["2 qubits"]
    run = plan.expand(read(tmp_path), table)["logistic regression"][0][0]
    split, fitted = training.fit_classical(run, table)
    np.testing.assert_allclose(fitted.model.scaler.mean_, table.embeddings[split.train].mean(0), rtol=1e-5)


def test_runs_of_one_shape_train_side_by_side(tmp_path: Path, data: plan.Data) -> None:
    planned = plan.expand(read(tmp_path), data)
    every = [r for tried in planned.values() for runs in tried for r in runs]
    sizes = sorted(len(block) for block in plan.grouped(every))
    assert sizes == [1] * 8 + [4, 4]


def test_blocks_leave_something_for_every_worker(tmp_path: Path, data: plan.Data) -> None:
    runs = [r for tried in plan.expand(read(tmp_path, LONGER), data).values() for t in tried for r in t]
    hybrid = [[b for b in plan.grouped(runs, n) if b[0].method == plan.HYBRID] for n in (1, 4, 100)]
    assert [len(b) for b in hybrid] == [2, 4, 16]
    for found in hybrid:
        assert sorted(r.id for b in found for r in b) == sorted(r.id for b in hybrid[0] for r in b)


def test_a_setting_left_out_is_the_same_run_as_its_default(tmp_path: Path, data: plan.Data) -> None:
    first = plan.expand(read(tmp_path), data)["2 qubits"][0][0]
    text = SMALL.replace("epochs: 2,", "epochs: 2, batch_size: 16, noise: null, validation: 0.15,")
    assert plan.expand(read(tmp_path, text), data)["2 qubits"][0][0].id == first.id
    text = SMALL.replace(
        "epochs: 2,",
        "epochs: 2, schedule: decay, keep: best, standardise: false, training_shots: null, members: 1, "
        "bootstrap: false,",
    )
    assert plan.expand(read(tmp_path, text), data)["2 qubits"][0][0].id == first.id
    text = SMALL.replace("epochs: 2,", "epochs: 2, schedule: one-cycle,")
    other = plan.expand(read(tmp_path, text), data)["2 qubits"][0][0]
    assert other.id != first.id
    assert other.settings == first.settings | {"schedule": "one-cycle"}
    text = SMALL.replace("epochs: 2,", "epochs: 3,")
    assert plan.expand(read(tmp_path, text), data)["2 qubits"][0][0].id != first.id


@pytest.fixture(scope="module")
def wide() -> plan.Data:
    rng = np.random.default_rng(0)
    return plan.Data(rng.normal(size=(1200, 768)).astype(np.float32), np.arange(1200) % 2, [0, 1], "made up")


def as_bases(data: plan.Data, asked: plan.Study) -> plan.Data:
    """Return the data as those of every base and seed of a study."""
    bases = {arm.settings["base"] for arm in asked.arms}
    blocks = {(base, seed): slice(0, len(data.labels)) for base in bases for seed in asked.seeds}
    return dataclasses.replace(data, blocks=blocks)


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_study_that_ships_can_be_expanded(file: Path, wide: plan.Data) -> None:
    for size in ("full", "quick"):
        asked = configuration.read_study(file, size=size)
        on_bases = file.stem.startswith("tuned-")
        planned = plan.expand(asked, as_bases(wide, asked) if on_bases else wide)
        assert all(tried for tried in planned.values())
        assert len(asked.seeds) == 10 or size == "quick" or on_bases  # each seed of a tuned base costs a tuning
    assert file.stem != "accuracy-against-qubits" or len(planned) == 8


def test_the_parameters_of_a_trial_are_those_of_its_model(tmp_path: Path, data: plan.Data) -> None:
    for arm in read(tmp_path).arms[:2]:
        for settings in plan.hybrid_trials(arm):
            assert plan.parameters_of(settings, data) == training.model_for(settings, data).parameter_count


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_a_task_without_one_class_a_row_is_refused(task: str, tmp_path: Path, data: plan.Data) -> None:
    asked = read(tmp_path, SMALL.replace("epochs: 2,", f"epochs: 2, task: {task},"))
    with pytest.raises(HilbertuneError, match=f"task='{task}' has none"):
        plan.expand(asked, data)


def test_a_plan_needs_neither_torch_nor_numba() -> None:
    script = (
        "import sys\n"
        "import numpy as np\n"
        "from hilbertune.study.configuration import read_study\n"
        "from hilbertune.study.plan import Data, expand\n"
        "heavy = {'torch', 'numba', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "asked = read_study(sys.argv[1], seeds=1)\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "data = Data(np.ones((1200, 768), np.float32), np.arange(1200) % 2, [0, 1], 'made up')\n"
        "runs = expand(asked, data)\n"
        "print(sorted(heavy & set(sys.modules)), len(runs) > 1)\n"
    )
    command = [sys.executable, "-c", script, str(STUDIES / "ablations.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]", "[] True"]


LEFT = """
title: Left to the data
seeds: 1
settings: {epochs: 1, per_class: 20, layers: 1}
arms:
  - {name: all, auto: true, reuploads: 2}
  - {name: some, qubits: auto, basis: auto, tune: {learning_rate: [auto, 0.1], schedule: [one-cycle]}}
  - {method: logistic regression}
"""


def test_what_is_left_to_the_data_is_chosen_before_a_run_has_its_identity(tmp_path: Path, data: plan.Data) -> None:
    planned = plan.expand(read(tmp_path, LEFT), data)
    lengths = np.linalg.norm(data.embeddings, axis=1, keepdims=True)
    unit = dataclasses.replace(data, embeddings=data.embeddings / lengths)
    (((run,),), ((other,),)) = planned["all"], plan.expand(read(tmp_path, LEFT), unit)["all"]
    head, training_config = plan.configs(run.settings)
    assert "auto" not in run.settings.values()
    assert (head.qubits, head.basis, head.reuploads, head.layers, head.norm) == (4, "pca", 2, 1, "keep")
    assert (training_config.schedule, training_config.training_shots) == ("one-cycle", 64)
    explicit = {**run.settings, "scale": "none"}
    assert plan.runs_for(plan.HYBRID, explicit, [0], data)[0].id == run.id
    # Other data, another shape.
    assert "norm" not in other.settings


def test_settings_that_are_not_left_to_the_data_keep_their_declared_defaults(tmp_path: Path, data: plan.Data) -> None:
    (first,), (second,) = plan.expand(read(tmp_path, LEFT), data)["some"]
    for run, rate in ((first, 0.02), (second, 0.1)):
        assert (run.settings["qubits"], run.settings["basis"]) == (4, "pca")
        assert (run.settings["reuploads"], run.settings["constant_share"]) == (4, 0.8)
        assert (run.settings["learning_rate"], run.settings["schedule"]) == (rate, "one-cycle")
        assert "training_shots" not in run.settings
