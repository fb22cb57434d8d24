"""A base that learns in two processes: the same losses as in one, on real sockets."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hilbertune.cli.app import main
from hilbertune.runtime import processes

pytest.importorskip("accelerate")


def words(folder: Path, out: str, model: Path, *flags: str, tune: str = "joint") -> list[str]:
    """Return the arguments of `hilbertune`."""
    chosen = ["fit", str(folder / "rows.csv"), "--out", str(folder / out), "--embedding", str(model)]
    chosen += ["--tune", tune, "--qubits", "5", "--encoder-layers", "1", "--layers", "1"]
    chosen += ["--epochs", "3", "--tuning-epochs", "3", "--base-learning-rate", "0.002"]
    chosen += ["--tuning-batch-size", "3", "--validation", "0.3"]
    return [*chosen, "--no-baselines", "--json", *flags]


def together(folder: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run two processes as a user starts them, in a cache of their own."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    environment = os.environ | {
        "HILBERTUNE_CACHE": str(folder / "cache-two"),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    command = [sys.executable, *launch, "hilbertune", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)


@pytest.fixture
def rows(tmp_path: Path, two_kinds: tuple[list[str], list[str]]) -> Path:
    with (tmp_path / "rows.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(zip(*two_kinds, strict=True))
    return tmp_path


def curves(folder: Path) -> np.ndarray:
    return np.genfromtxt(folder / "curves.csv", delimiter=",", skip_header=1)


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param((), marks=pytest.mark.slow),
        pytest.param(("--shots", "64"), marks=pytest.mark.slow),
        pytest.param(("--lora-rank", "2"), marks=pytest.mark.slow),
    ],
)
def test_two_processes_have_the_losses_of_one(
    rows: Path,
    tiny_models: dict[str, Path],
    flags: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Five steps an epoch of 17 rows need not divide: the last step has a batch for one process alone.
    given = (tiny_models["encoder"], "--accumulation", "3", *flags)
    two = together(rows, words(rows, "two", *given))
    assert two.returncode == 0, two.stderr
    monkeypatch.setattr("sys.argv", ["hilbertune", *words(rows, "one", *given)])
    capsys.readouterr()
    main()
    one = json.loads(capsys.readouterr().out)
    # Sums in another order, and Adam, which makes much of small differences.
    np.testing.assert_allclose(curves(rows / "two"), curves(rows / "one"), rtol=0, atol=2e-4)
    joint = curves(rows / "one")[3:, 2]
    assert np.ptp(joint) > 2e-3, "the losses hardly move, so that their equality says nothing"
    recorded = json.loads((rows / "two" / "environment.json").read_text())["processes"]
    assert recorded == 2
    # One process prints and saves.
    assert json.loads(two.stdout)["parameters"] == one["parameters"]


@pytest.mark.slow
def test_what_processes_cannot_share_is_refused(rows: Path, tiny_models: dict[str, Path]) -> None:
    done = together(rows, words(rows, "two", tiny_models["encoder"]))
    assert done.returncode != 0
    assert "use --accumulation 2" in done.stderr
    done = together(rows, words(rows, "two", tiny_models["encoder"], tune="contrastive"))
    assert "runs in one process" in done.stderr
    assert not (rows / "two").exists()


def test_one_process_is_the_first_and_sums_are_themselves() -> None:
    assert (processes.count(), processes.is_first()) == (1, True)
    total = torch.ones(3)
    processes.add_up([total], "cpu")
    assert total.tolist() == [1, 1, 1]
    assert list(processes.mine(range(3), "cpu")) == [0, 1, 2]
    assert processes.all_parts([total], "cpu")[0] is total
