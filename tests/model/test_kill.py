"""A training that is killed with SIGKILL, again and again, ends with the bytes of one that was left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hilbertune
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit

SCRIPT = Path(__file__).parents[1] / "helpers" / "killed_training.py"
CHECKPOINT, RESULT = "checkpoint.safetensors", "result.safetensors"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


RECIPE = {"shots": None, "schedule": "one-cycle", "keep": "last", "standardise": True}


def start(folder: Path, when: str, **settings: object) -> "subprocess.Popen[str]":
    source = str(Path(hilbertune.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), when, json.dumps(settings)],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def train(folder: Path, when: str, **settings: object) -> tuple[bytes, int, int]:
    """Return the result, how many processes were killed, and how many half-written files are left in the end."""
    process = start(folder, when, **settings)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    killed, writing = map(int, out.split())
    return (folder / RESULT).read_bytes(), killed, writing


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return train(tmp_path_factory.mktemp("uninterrupted"), "never")[0]


def test_kills_while_a_checkpoint_is_written_change_no_bit(uninterrupted: bytes, tmp_path: Path) -> None:
    result, killed, writing = train(tmp_path, "writing")
    assert (killed, writing) == (6, 0)  # four left one, and the next process swept it
    assert result == uninterrupted


def test_kills_at_random_moments_change_no_bit(uninterrupted: bytes, tmp_path: Path) -> None:
    result, killed, _ = train(tmp_path, "1")
    assert killed >= 1
    assert result == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(RECIPE, id="exact"),
        pytest.param(RECIPE | {"training_shots": 20, "start": 0.5}, id="sampled"),
    ],
)
def test_kills_change_no_bit_of_the_recipe(settings: dict[str, object], tmp_path: Path) -> None:
    whole, _, _ = train(tmp_path / "whole", "never", **settings)
    result, killed, _ = train(tmp_path / "killed", "writing", **settings)
    assert killed == 6
    assert result == whole


@pytest.mark.slow
def test_kills_change_no_bit_of_a_circuit_of_ones_own(tmp_path: Path) -> None:
    """Whose gates go through autograd, with shots in the steps."""
    own = Circuit(2, (*(Operation("rx", q % 2, input=q) for q in range(3)), Operation("crz", 1, 0, weight=0)))
    shape = {"head_circuit": own.to_qasm3(), "reuploads": 4, "layers": 2}
    settings = {"shape": shape, "epochs": 12, "training_shots": 20, **RECIPE}
    whole, _, _ = train(tmp_path / "whole", "never", **settings)
    result, killed, _ = train(tmp_path / "killed", "writing", **settings)
    assert killed == 6
    assert result == whole


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
def test_many_kills_at_random_moments_change_no_bit(uninterrupted: bytes, tmp_path: Path, seed: int) -> None:
    assert train(tmp_path, str(seed))[0] == uninterrupted


@pytest.mark.slow
def test_a_fresh_interpreter_goes_on_where_a_killed_one_stood(uninterrupted: bytes, tmp_path: Path) -> None:
    rng = random.Random(0)
    killed = 0
    while not (tmp_path / RESULT).exists():
        process = start(tmp_path, "never")
        # Wait for a sign of progress, then a little more; the folder's time changes with every checkpoint.
        before = tmp_path.stat().st_mtime_ns
        while tmp_path.stat().st_mtime_ns == before and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.1))
        if killed < 10 and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
    assert killed >= 3
    assert (tmp_path / RESULT).read_bytes() == uninterrupted
