"""A study that is killed with SIGKILL again and again ends with the table of one that was left alone."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import hilbertune

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from hilbertune.study import Data, read_study, run_study

rng = np.random.default_rng(0)
labels = np.arange(100) % 2
x = (rng.normal(size=(100, 12)) + labels[:, None]).astype(np.float32)
data = Data(x, labels, ["no", "yes"], "made up")
folder = Path(sys.argv[1])
run_study(read_study(folder / "study.yaml"), data, folder / "out")
"""

STUDY = """
seeds: 3
settings:
  {qubits: 6, encoder_layers: 2, encoder_connectivity: 2, projection: pca, epochs: 40, per_class: 20, shots: 100}
arms:
  - {name: "{qubits} qubits", cross: {qubits: [4, 6, 8]}, tune: {learning_rate: [0.01, 0.05]}}
  - {name: ensemble, members: 3, bootstrap: true, tune: {learning_rate: [0.01, 0.05]}}
  - {method: logistic regression}
conditions: {shots: [16, null], two_qubit_error: [0.1]}
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")


def start(folder: Path) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(STUDY)
    source = str(Path(hilbertune.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(folder: Path) -> tuple[list[Any], list[Any], Any]:
    """Return both tables without times, and the arms of the results."""
    connection = sqlite3.connect(folder / "out" / "runs.sqlite")
    try:
        runs = connection.execute(
            "SELECT id, error, validation_accuracy, curves, weights FROM runs ORDER BY id"
        ).fetchall()
        tests = connection.execute("SELECT * FROM tests ORDER BY run, condition").fetchall()
    finally:
        connection.close()
    arms = json.loads((folder / "out" / "results.json").read_text())["arms"]
    return (
        runs,
        tests,
        [{k: v for k, v in arm.items() if k not in ("seconds", "energy")} for arm in arms],
    )


COUNT = "SELECT (SELECT COUNT(*) FROM runs) + (SELECT COUNT(*) FROM tests)"


def rows(folder: Path) -> int:
    """Return how many rows a running study has in its tables."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'out' / 'runs.sqlite'}?mode=ro", uri=True)) as connection:
            return int(connection.execute(COUNT).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def rows_of_killed(folder: Path) -> int:
    """Return how many rows a killed study has left; what it wrote last may have to be recovered, so not read-only."""
    with closing(sqlite3.connect(folder / "out" / "runs.sqlite")) as connection:
        return int(connection.execute(COUNT).fetchone()[0])


@pytest.mark.slow
def test_kills_at_random_moments_lose_and_change_nothing(tmp_path: Path) -> None:
    alone, disturbed = tmp_path / "alone", tmp_path / "disturbed"
    process = start(alone)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    rng, kept = random.Random(0), [0]
    for _ in range(2):
        # Some moment after the process has got somewhere: in a block's training, between blocks, in the tests.
        process = start(disturbed)
        while rows(disturbed) <= kept[-1]:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept.append(rows_of_killed(disturbed))
    assert kept == sorted(kept)
    assert 0 < kept[1] < len(end(alone)[0])
    process = start(disturbed)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert end(disturbed) == end(alone)
