"""Searches: proposals, a crash that changes none, bad trials that stop early, machines that share a database."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.studies import SEARCH, read, rows

from hilbertune.errors import HilbertuneError
from hilbertune.study import estimate, plan, running, search, table, training

optuna = pytest.importorskip("optuna")


def trials(directory: Path) -> list[Any]:
    url = f"sqlite:///{directory / 'search.sqlite'}"
    (name,) = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=name, storage=url).get_trials()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "qmc"])
def test_a_search_tries_what_is_in_range_and_tests_what_validation_chose(
    tmp_path: Path, data: plan.Data, sampler: str
) -> None:
    text = SEARCH.replace("tpe", sampler)
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    found = trials(tmp_path / "out")
    assert len(found) == 8
    assert all(1e-4 <= t.params["learning_rate"] <= 0.1 for t in found)
    assert {t.params["reuploads"] for t in found} <= {1, 2}
    assert len({t.params["learning_rate"] for t in found}) == 8
    arm = results["arms"][0]
    best = max(found, key=lambda t: t.value)
    assert arm["chosen"] == pytest.approx(best.params) or arm["chosen"] == best.params
    assert np.mean(arm["validation"]) == pytest.approx(best.value)
    assert len(arm["test"]) == 2
    about = results["search"]["quantum"]
    assert (about["complete"], about["pruned"], about["failed"]) == (8, 0, 0)
    assert arm["trials"] == results["arms"][1]["trials"] == 8, "the classical head has as many"
    # Once more does nothing, and ends in the same.
    again = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    assert again["arms"] == results["arms"]
    assert len(trials(tmp_path / "out")) == 8


def test_a_search_that_was_stopped_goes_on_with_the_same_proposals(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = read(tmp_path, SEARCH)
    running.run_study(asked, data, tmp_path / "whole")
    right, calls = training.train, []

    def stopped(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return right(*arguments, **options)

    monkeypatch.setattr(training, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        running.run_study(asked, data, tmp_path / "out")
    assert [t.state.name for t in trials(tmp_path / "out")] == ["COMPLETE"] * 3 + ["RUNNING"]
    running.run_study(asked, data, tmp_path / "out")
    whole, out = trials(tmp_path / "whole"), trials(tmp_path / "out")
    assert [(t.params, t.values) for t in out] == [(t.params, t.values) for t in whole]
    query = "SELECT id, validation_accuracy, hex(weights) FROM runs ORDER BY id"
    assert rows(tmp_path / "out", query) == rows(tmp_path / "whole", query)


@pytest.mark.parametrize("shared", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_search_that_was_stopped_goes_on_in_another_folder_and_on_another_host(
    tmp_path: Path, data: plan.Data, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    asked = read(tmp_path, SEARCH.replace("trials: 8", "trials: 3"))
    storage = f"sqlite:///{tmp_path / 'shared.sqlite'}" if shared else None
    calls, right = [], training.train

    def stopped(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return right(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", stopped)
        with pytest.raises(KeyboardInterrupt):
            running.run_study(asked, data, tmp_path / "out", storage=storage)
    (tmp_path / "out").rename(tmp_path / "moved")
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    results = running.run_study(asked, data, tmp_path / "moved", storage=storage)
    assert results["search"]["quantum"]["complete"] == 3
    if shared:
        # Another study's directory does not take trials that are in progress elsewhere.
        with table.open_table(tmp_path / "moved") as one:
            (tmp_path / "other").mkdir()
            with table.open_table(tmp_path / "other") as two:
                assert table.owner_of(one) == table.owner_of(one) != table.owner_of(two)


def test_several_objectives_end_in_what_no_other_beats(tmp_path: Path, data: plan.Data) -> None:
    text = SEARCH.replace("trials: 8", "trials: 10, objectives: [accuracy, parameters, depth, price]")
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    about = results["search"]["quantum"]
    values = np.array([t.values for t in trials(tmp_path / "out")]) * [-1, 1, 1, 1]
    best = np.array([b["values"] for b in about["best"]]) * [-1, 1, 1, 1]
    for mine in best:
        assert not any((other <= mine).all() and (other < mine).any() for other in values)
    assert len(best) < 10
    for trial in trials(tmp_path / "out"):
        settings = {"qubits": 3, "encoder_layers": 1, "encoder_connectivity": 1, **trial.params}
        assert trial.values[3] == search.price(settings)
        one, two = (4 * trial.params["reuploads"], 0)
        assert trial.values[2] > two
        assert trial.values[3] >= 12.4166 > one * 0.00022


@pytest.mark.slow
def test_a_trial_that_learns_badly_is_stopped_early(tmp_path: Path, data: plan.Data) -> None:
    text = SEARCH.replace("trials: 8", "trials: 16, prune: true").replace("epochs: 3", "epochs: 40")
    text = text.replace("{low: 1.0e-4, high: 0.1, log: true}", "[1.0e-9, 0.05]").replace("tpe", "random")
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    about = results["search"]["quantum"]
    assert about["pruned"] > 0
    assert about["complete"] + about["pruned"] == 16
    assert results["arms"][0]["chosen"]["learning_rate"] == 0.05
    pruned = [t for t in trials(tmp_path / "out") if t.state.name == "PRUNED"]
    assert {t.params["learning_rate"] for t in pruned} == {1e-9}
    assert all(max(t.intermediate_values) < 40 for t in pruned)


def test_settings_that_do_not_go_together_fail_and_cost_nothing(tmp_path: Path, data: plan.Data) -> None:
    text = SEARCH.replace("reuploads: {low: 1, high: 2}", "encoder_connectivity: [1, 7]")
    results = running.run_study(read(tmp_path, text), data, tmp_path / "out")
    about = results["search"]["quantum"]
    assert about["failed"] > 0
    assert about["complete"] + about["failed"] == 8
    with pytest.raises(HilbertuneError, match="go together"):
        estimate.estimate_study(read(tmp_path, text.replace("[1, 7]", "[7]")), data)


def test_a_storage_that_is_none_is_refused_without_its_password(tmp_path: Path, data: plan.Data) -> None:
    url = "postgresql://me:secret@127.0.0.1:1/none"
    with pytest.raises(HilbertuneError, match="storage of the search") as caught:
        running.run_study(read(tmp_path, SEARCH), data, tmp_path / "out", storage=url)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.fixture
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a database server from Debian's packages on a free port, as the user postgres; yield its URL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or os.geteuid():
        pytest.skip("needs Debian's postgresql, and root to become its user")
    programs = found[-1].parent
    place = Path("/tmp") / f"hilbertune-postgresql-{os.getpid()}"
    place.mkdir()
    shutil.chown(place, "postgres")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    own: dict[str, Any] = {"user": "postgres", "cwd": place, "check": True, "capture_output": True}
    subprocess.run([programs / "initdb", "-D", place / "data", "-A", "trust"], **own)
    options = f"-p {port} -k {place} -h 127.0.0.1"
    control = [programs / "pg_ctl", "-D", place / "data", "-l", place / "log", "-w"]
    subprocess.run(
        [*control, "-o", options, "start"], user="postgres", cwd=place, check=True, stdout=subprocess.DEVNULL
    )
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **own)
        shutil.rmtree(place)


def test_two_directories_share_a_search_in_postgresql(tmp_path: Path, data: plan.Data, postgresql: str) -> None:
    """As two machines would: trials are proposed once, and each ends with the best of all."""
    asked = read(tmp_path, SEARCH.replace("trials: 8", "trials: 4"))
    first = running.run_study(asked, data, tmp_path / "one", storage=postgresql)
    more = read(tmp_path, SEARCH)
    second = running.run_study(more, data, tmp_path / "two", storage=postgresql)
    assert first["search"]["quantum"]["complete"] == 4
    assert second["search"]["quantum"]["complete"] == 8
    ours = rows(tmp_path / "two", "SELECT id FROM runs WHERE method = 'hybrid'")
    assert len(ours) in (2 * 4, 2 * 5), "its own trials, and the best one if that was another's"
    place = training.Place(data, tmp_path, "cpu")
    with table.open_table(tmp_path / "two") as connection:
        shared = search.ArmSearch(more, more.arms[0], connection, place, postgresql)
        best = shared.trials.best_value
    assert np.mean(second["arms"][0]["validation"]) == pytest.approx(best)


@pytest.mark.slow
def test_workers_share_a_search(tmp_path: Path, data: plan.Data) -> None:
    pytest.importorskip("ray")
    results = running.run_study(read(tmp_path, SEARCH), data, tmp_path / "out", workers=2)
    assert results["search"]["quantum"]["complete"] == 8
    assert len(rows(tmp_path / "out", "SELECT id FROM runs WHERE method = 'hybrid'")) == 16
