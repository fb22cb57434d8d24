"""Small results that must not move: trainings, a preset, a study's table, a QPU run's ledger, a model, accuracies.

In: an empty folder. Out: the same files whenever the same code runs on the same machine.
Those in tests/golden were made before the modules moved into their packages.
Those of the preset were made before anything was left to the data. The accuracies stand in the CHANGELOG too.
To make them anew (and say so in the CHANGELOG): `PYTHONPATH=tests python tests/helpers/golden.py tests/golden`.
"""

import hashlib
import json
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from helpers.declared import declared

STUDY = """
title: Golden
data: {file: data.npz}
seeds: 2
settings: {qubits: 4, encoder_layers: 1, encoder_connectivity: 2, per_class: 16, epochs: 6}
arms:
  - {name: exact, tune: {learning_rate: [0.005, 0.05]}}
  - {name: shots, shots: 64}
  - {method: logistic regression}
  - {method: matched linear}
conditions: {shots: [32], noise: forte-1}
"""


def rows(count: int = 80, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings [rows, features] that a head can learn, and classes 0 and 1."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 2, count)
    vectors = rng.normal(size=(count, width)) + 1.5 * labels[:, None] * np.linspace(1, -1, width)
    return vectors.astype(np.float32), labels


def trainings() -> dict[str, Callable[[], Any]]:
    """Fitted estimators by name: the declared defaults, shots and noise and three classes, a regressor, a preset."""
    from hilbertune import HybridClassifier, HybridRegressor

    vectors, labels = rows()
    thirds = np.digitize(vectors[:, 0], [-0.2, 0.9])
    exact = declared(qubits=4, encoder_layers=2, learning_rate=0.05)
    return {
        "exact": lambda: HybridClassifier(**exact, epochs=8, random_state=1).fit(vectors, labels),
        "noisy": lambda: HybridClassifier(
            **declared(qubits=4, encoder_layers=1, reuploads=2, learning_rate=0.05),
            encoders=2,
            merge="average",
            padding="zero",
            shots=64,
            two_qubit_error=0.01,
            trajectories=2,
            epochs=3,
            class_weight="balanced",
            random_state=2,
        ).fit(vectors, thirds),
        "regressor": lambda: HybridRegressor(
            **declared(qubits=3, basis="pca", encoder_layers=1, learning_rate=0.05), epochs=6, random_state=3
        ).fit(vectors, vectors[:, 0] + 0.1 * vectors[:, 1]),
        "preset": lambda: HybridClassifier.from_preset("published-374", epochs=3, random_state=4).fit(vectors, labels),
    }


def accuracies() -> dict[str, float]:
    """Return the default head's test accuracy on scikit-learn's own data: a fixed seed, 100 rows to train."""
    from sklearn.datasets import load_breast_cancer, load_iris, load_wine
    from sklearn.model_selection import train_test_split

    from hilbertune import HybridClassifier

    found = {}
    for name, load in (("iris", load_iris), ("wine", load_wine), ("breast cancer", load_breast_cancer)):
        rows, labels = load(return_X_y=True)
        parts = train_test_split(rows, labels, train_size=100, random_state=0, stratify=labels)
        model = HybridClassifier(random_state=0).fit(parts[0], parts[2])
        found[name] = round(float(model.score(parts[1], parts[3])), 4)
    return found


Command = Callable[..., object]
"""Runs `hilbertune ARGUMENTS`."""


def in_a_process(*arguments: object) -> None:
    """Run the command line in a process of its own."""
    line = [sys.executable, "-m", "hilbertune", *map(str, arguments)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def table(path: Path, queries: dict[str, str]) -> dict[str, list[list[Any]]]:
    """Return the rows of some queries of an SQLite file, weights as floats."""
    with closing(sqlite3.connect(path)) as connection:
        found = {}
        for name, query in queries.items():
            found[name] = [list(row) for row in connection.execute(query)]
    for name, own in found.items():
        for row in own:
            for place, cell in enumerate(row):
                if isinstance(cell, bytes):
                    tensors = safetensors.numpy.load(cell)
                    row[place] = {k: v.ravel().tolist() for k, v in sorted(tensors.items())}
                elif isinstance(cell, str) and cell.startswith(("{", "[")):
                    row[place] = json.loads(cell)
        found[name] = own
    return found


STUDY_QUERIES = {
    "runs": "SELECT id, method, seed, settings, error, validation_accuracy, validation_loss, parameters, curves, "
    "weights FROM runs ORDER BY id",
    "tests": "SELECT run, condition, accuracy, trajectory_error, confusion FROM tests ORDER BY run, condition",
    "predictions": "SELECT run, rows, right FROM predictions ORDER BY run",
}
LEDGER_QUERIES = {
    "batches": "SELECT number, hash, state, backend, circuits, shots, one_qubit_gates, two_qubit_gates, cost, billed, "
    "attempts, qubits FROM batches ORDER BY number",
    "results": "SELECT hash, program, counts FROM results ORDER BY hash, program",
}


def make(folder: Path, command: Command = in_a_process) -> None:
    """Fill the folder."""
    vectors, labels = rows()
    np.savez(folder / "data.npz", embeddings=vectors, labels=labels)
    for name, fit in trainings().items():
        model = fit()
        tensors = {k: v.detach().cpu().numpy() for k, v in model.head_.state_dict().items()}
        for curve in ("train_loss", "validation_loss", "validation_accuracy"):
            tensors[curve] = np.ascontiguousarray(getattr(model.training_, curve))
        tensors["predictions"] = np.ascontiguousarray(model.predict(vectors)).astype(np.float64)
        safetensors.numpy.save_file(tensors, folder / f"{name}.safetensors")
        if name == "exact":
            model.save_pretrained(folder / "model-format-2")
    flags = ["--preset", "published-374", "--epochs", 3, "--seeds", 2, "--no-baselines"]
    command("fit", "--embeddings", folder / "data.npz", *flags, "--out", folder / "preset")
    shutil.copy(folder / "preset" / "model.safetensors", folder / "preset-command.safetensors")
    shutil.rmtree(folder / "preset")
    (folder / "study.yaml").write_text(STUDY)
    command("study", folder / "study.yaml", "--out", folder / "study")
    found = table(folder / "study" / "runs.sqlite", STUDY_QUERIES)
    (folder / "study.json").write_text(json.dumps(found, indent=1))
    results = (folder / "study" / "results.json").read_text()
    (folder / "results.json").write_text(results.replace(str(folder / "data.npz"), "data.npz"))
    run = folder / "qpu"
    flags = ["--shots", 128, "--backend", "local", "--noise", "forte-1", "--readout"]
    np.savez(first := folder / "first.npz", embeddings=vectors[:6], labels=labels[:6])
    command("qpu", "run", folder / "model-format-2", first, *flags, "--out", run)
    first.unlink()
    found = table(run / "ledger.sqlite", LEDGER_QUERIES)
    (folder / "ledger.json").write_text(json.dumps(found, indent=1))
    (folder / "accuracies.json").write_text(json.dumps(accuracies(), indent=1) + "\n")
    (folder / "machine.json").write_text(json.dumps({"processor": processor()}))


def processor() -> str:
    """Return what decides about the last bits: the processor with its instructions, and the libraries that compute."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    wanted = ("vendor_id", "cpu family", "model", "model name", "flags")
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    known = {k.strip(): v.strip() for k, v in facts.items() if k.strip() in wanted}
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
    releases = ", ".join(f"{name} {version(name)}" for name in ("torch", "numba", "numpy"))
    return f"{known.get('model name', platform.processor())} ({digest}), {releases}"


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    with closing(sqlite3.connect(Path(sys.argv[1]) / "qpu" / "ledger.sqlite")) as ledger:
        ledger.execute("PRAGMA journal_mode=DELETE")  # one file
