"""Ensembles in studies: a run is an ensemble, and its row, its figures and its tests are those of all of its heads."""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.studies import SEARCH, SMALL, read, rows, same
from scipy.special import softmax

from hilbertune.errors import HilbertuneError
from hilbertune.model import evaluation, members
from hilbertune.model import training as loop
from hilbertune.study import estimate, plan, running, search, training

ENSEMBLE = """
seeds: 2
settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, projection: pca, epochs: 4, per_class: 20}
arms:
  - {name: ensemble, members: 3, bootstrap: true, tune: {learning_rate: [1e-3, 0.05]}}
  - {name: single}
conditions: {shots: [16], two_qubit_error: [0.2]}
"""


def by_hand(run: plan.TrainingRun, data: plan.Data) -> tuple[Any, Any, np.ndarray]:
    """Train the ensemble of a run by itself; return it, its result and its test rows."""
    head, config = plan.configs(run.settings)
    model = members.untrained(data.embeddings.shape[1], 2, head, config)
    split = plan.split_for(run.settings, data, run.seed)
    tensors = torch.from_numpy(data.embeddings), torch.from_numpy(data.labels)
    return model, members.train(model, *tensors, [split], [config], [run.seed]), split.test


def answers(model: Any, embeddings: np.ndarray) -> np.ndarray:
    """Return the classes of the mean of the softmaxes of the members."""
    each = [evaluation.logits(model.member(k), embeddings).astype(np.float64) for k in range(model.members)]
    answer: np.ndarray = np.mean([softmax(one, axis=1) for one in each], axis=0).argmax(1)
    return answer


def test_a_run_is_the_ensemble_that_training_and_averaging_by_hand_make(tmp_path: Path, data: plan.Data) -> None:
    asked = read(tmp_path, ENSEMBLE)
    results = running.run_study(asked, data, tmp_path / "out")
    tried = plan.expand(asked, data)["ensemble"]
    assert len(rows(tmp_path / "out", "SELECT * FROM runs")) == 2 * 2 + 2
    stored = {
        identity: values
        for identity, *values in rows(
            tmp_path / "out", "SELECT id, validation_accuracy, validation_loss, parameters, curves, weights FROM runs"
        )
    }
    arm, tested = results["arms"][0], {}
    for run in [run for runs in tried for run in runs]:
        model, result, test = by_hand(run, data)
        accuracy, loss, parameters, curves, weights = stored[run.id]
        assert (accuracy, loss) == (result.best_validation_accuracy(0), result.best_validation_loss(0))
        assert parameters == model.parameter_count == 3 * model.member(0).parameter_count
        saved = safetensors.torch.load(weights)
        state = model.state_dict()
        assert saved.keys() == state.keys()
        assert all(torch.equal(saved[name], state[name]) for name in state)
        np.testing.assert_allclose(json.loads(curves)["train_loss"], result.train_loss.mean(1), atol=1e-6)
        tested[run.seed, run.settings["learning_rate"]] = float(
            (answers(model, data.embeddings[test]) == data.labels[test]).mean()
        )
    assert arm["test"] == [tested[seed, arm["chosen"]["learning_rate"]] for seed in (0, 1)]
    assert arm["ensemble"] == {"members": 3, "bootstrap": True}
    assert arm["parameters"] == 3 * results["arms"][1]["parameters"]
    assert "ensemble" not in results["arms"][1]


def test_shots_and_noise_of_a_condition_are_drawn_by_every_member(tmp_path: Path, data: plan.Data) -> None:
    asked = read(tmp_path, ENSEMBLE)
    arm = running.run_study(asked, data, tmp_path / "out")["arms"][0]
    found = {e["name"]: e for e in arm["evaluations"]}
    chosen = next(
        runs
        for runs in plan.expand(asked, data)["ensemble"]
        if runs[0].settings["learning_rate"] == arm["chosen"]["learning_rate"]
    )
    for place, run in enumerate(chosen):
        model, _, test = by_hand(run, data)
        model.head.shots = 16
        logits = evaluation.logits(model, data.embeddings[test], seed=[run.seed, 0])
        assert found["16 shots"]["accuracy"][place] == (logits.argmax(1) == data.labels[test]).mean()
    assert found["two qubit error 0.2"]["trajectory_error"] > 0


@pytest.mark.parametrize("shots", ["null", "20"])
def test_ensembles_that_were_interrupted_in_training_resume_bit_for_bit(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch, shots: str
) -> None:
    asked = read(tmp_path, ENSEMBLE.replace("members: 3", f"shots: {shots}, members: 3"))
    running.run_study(asked, data, tmp_path / "whole")
    right, epochs = training.train, list[int]()

    def watched(stop: int | None, *arguments: Any, progress: Callable[[int, float], None], **options: Any) -> Any:
        def told(epoch: int, accuracy: float) -> None:
            epochs.append(epoch)
            progress(epoch, accuracy)
            if epoch == stop:
                raise KeyboardInterrupt

        return right(*arguments, checkpoint_seconds=0, progress=told, **options)

    monkeypatch.setattr(training, "train", partial(watched, 2))
    with pytest.raises(KeyboardInterrupt):
        running.run_study(asked, data, tmp_path / "out")
    monkeypatch.setattr(training, "train", partial(watched, None))
    running.run_study(asked, data, tmp_path / "out")
    # The four ensembles train side by side, then the two single heads.
    assert epochs == [1, 2, 3, 4, 1, 2, 3, 4]
    assert same(tmp_path / "out", tmp_path / "whole")


def test_a_member_that_diverged_fails_its_run_alone(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, calls = loop.train, list[int]()

    def diverging(model: Any, *arguments: Any, **options: Any) -> Any:
        result = right(model, *arguments, **options)
        calls.append(model.runs)
        if model.members > 1:
            result.best_epoch[4] = -1
        return result

    monkeypatch.setattr(loop, "train", diverging)
    text = ENSEMBLE.replace(", tune: {learning_rate: [1e-3, 0.05]}", "")
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    (failure,) = results["failures"]
    assert (failure["arm"], failure["seed"]) == ("ensemble", 1)
    assert failure["error"].startswith("Member 2 of 3 of the ensemble with seed 1 diverged")
    assert results["arms"][0]["seeds"] == [0]
    # Nothing was trained a second time.
    assert calls == [6, 2]


def test_ensembles_that_all_diverged_are_failures(tmp_path: Path, data: plan.Data) -> None:
    results = running.run_study(read(tmp_path, ENSEMBLE.replace("[1e-3, 0.05]", "[1e39]")), data, tmp_path / "out")
    assert [failure["arm"] for failure in results["failures"]] == ["ensemble"] * 2
    assert all("smaller learning rate" in failure["error"] for failure in results["failures"])


def test_memory_and_work_and_parameters_are_those_of_all_members(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = read(tmp_path, ENSEMBLE.replace("{name: single}", "{name: single, tune: {learning_rate: [1e-3, 0.05]}}"))
    planned = plan.expand(asked, data)
    triple, single = (planned[name][0][0] for name in ("ensemble", "single"))
    assert plan.run_bytes(triple) == 3 * plan.run_bytes(single)
    works = [
        [training.work_of(dataclasses.replace(run, settings=run.settings | {"epochs": n})) for n in (1, 2)]
        for run in (triple, single)
    ]
    epoch = [work[1] - work[0] for work in works]
    assert epoch[0] == pytest.approx(3 * epoch[1])
    assert epoch[1] > 0
    counts = estimate.estimate_study(asked, data)["parameters"]
    assert counts["ensemble"] == training.model_for(triple.settings, data).parameter_count == 3 * counts["single"]
    monkeypatch.setattr(plan, "BLOCK_BYTES", 4 * plan.run_bytes(single))
    blocks = {name: plan.grouped([run for runs in planned[name] for run in runs]) for name in planned}
    assert [len(block) for block in blocks["single"]] == [4]
    assert [len(block) for block in blocks["ensemble"]] == [1, 1, 1, 1]


def test_members_are_a_setting_like_others_in_a_grid_and_in_names(tmp_path: Path, data: plan.Data) -> None:
    text = SMALL.replace("cross: {qubits: [2, 3]}", "cross: {members: [1, 2]}").replace("{qubits} qubits", "{members}")
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    assert [arm["name"] for arm in results["arms"][:2]] == ["1", "2"]
    assert [arm.get("ensemble") for arm in results["arms"][:2]] == [None, {"members": 2, "bootstrap": False}]
    tuned = SMALL.replace("tune: {learning_rate: [1e-3, 0.05]}", "tune: {members: [1, 2]}")
    for arm in running.run_study(read(tmp_path, tuned), data, tmp_path / "tuned")["arms"][:2]:
        assert arm.get("ensemble", {"members": 1})["members"] == arm["chosen"]["members"]


def test_a_matched_head_may_train_as_much_as_all_members(tmp_path: Path, data: plan.Data) -> None:
    plain, many = (
        plan.trials(read(tmp_path, SMALL.replace("epochs: 2,", f"epochs: 2, members: {count},")), data)
        for count in (1, 4)
    )
    assert many["matched linear"][0]["parameters"] == 4 * plain["matched linear"][0]["parameters"]


def test_a_bootstrap_of_a_single_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="set members to 2 or more"):
        read(tmp_path, ENSEMBLE.replace("members: 3, ", ""))


def test_a_search_chooses_among_numbers_of_members(tmp_path: Path, data: plan.Data) -> None:
    pytest.importorskip("optuna")
    text = SEARCH.replace("reuploads: {low: 1, high: 2}", "members: [1, 3]")
    text = text.replace("trials: 8", "trials: 6, objectives: [accuracy, parameters, price]")
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    found = [
        (json.loads(settings).get("members", 1), parameters)
        for settings, parameters in rows(
            tmp_path / "out", "SELECT settings, parameters FROM runs WHERE method = 'hybrid'"
        )
    ]
    assert len(found) == 12
    (one,) = {parameters for count, parameters in found if count == 1}
    assert {parameters for count, parameters in found if count == 3} == {3 * one}
    for best in results["search"]["quantum"]["best"]:
        assert best["values"][1] == best["settings"]["members"] * one
    arm = results["arms"][0]
    assert arm["parameters"] == arm["chosen"]["members"] * one


def test_the_price_of_a_row_is_that_of_all_members() -> None:
    settings = {"qubits": 3, "encoder_layers": 1}
    assert search.price({**settings, "members": 3}) == 3 * search.price(settings) > 0
