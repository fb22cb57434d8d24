"""A sweep on Ray against the same runs in one process, and what handing out a block costs.

Usage: python benchmarks/sweep.py [--runs 70] [--qubits 10] [--epochs 40] [--workers 2]

Made-up embeddings (768 numbers, 435 rows to train), the published head; learning rates and seeds side by side. Ray's
start and each worker's first job (imports, compiled code from the cache) are timed apart. The two tables of runs are
compared bit for bit.
"""

import argparse
import contextlib
import io
import sqlite3
import tempfile
import time
from pathlib import Path

import numpy as np

from hilbertune.runtime.provenance import environment
from hilbertune.study.configuration import read_study
from hilbertune.study.plan import Data, Study
from hilbertune.study.running import run_study
from hilbertune.study.workers import open_pool

TEXT = """
title: A sweep
seeds: {seeds}
settings: {{qubits: {qubits}, epochs: {epochs}, per_class: 256}}
arms:
  - {{name: quantum, tune: {{learning_rate: [0.5e-3, 1.0e-3, 1.5e-3, 2.0e-3, 2.5e-3, 3.0e-3, 5.0e-3]}}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=70)
    parser.add_argument("--qubits", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    x = rng.normal(size=(600, 768)) + 0.1 * labels[:, None]
    data = Data(x.astype(np.float32), labels, ["no", "yes"], "made up")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "s.yaml").write_text(TEXT.format(seeds=asked.runs // 7, qubits=asked.qubits, epochs=asked.epochs))
        (folder / "w.yaml").write_text(TEXT.format(seeds=1, qubits=asked.qubits, epochs=1))
        whole, warm = read_study(folder / "s.yaml"), read_study(folder / "w.yaml")
        run_study(warm, data, folder / "warm")  # compiles
        alone = timed(whole, data, folder / "alone", None)
        begun = time.perf_counter()
        with open_pool(asked.workers) as pool:
            first = list(pool.scatter(_imported, None, range(4 * pool.slots)))
            start = time.perf_counter() - begun
            begun = time.perf_counter()
            count = len(list(pool.scatter(_nothing, data, range(100))))
            each = (time.perf_counter() - begun) / count
            spread = timed(whole, data, folder / "spread", asked.workers)
        equal = table(folder / "alone") == table(folder / "spread")
    machine = environment()
    print(f"{asked.runs} runs, {asked.qubits} qubits, {asked.epochs} epochs, training and testing")
    print("| | s |\n| --- | ---: |")
    print(f"| one process, {machine['threads']} threads | {alone:.1f} |")
    print(f"| Ray, {asked.workers} workers of one thread | {spread:.1f} |")
    print(f"| starting Ray and its workers, once ({len(first)} jobs) | {start:.1f} |")
    print(f"| handing out an empty block | {each:.4f} |")
    print(
        f"\nRatio {spread / alone:.3f}; tables equal bit for bit: {equal}. "
        f"{machine['processor']}, {machine['cores']} cores"
    )


def timed(asked: Study, data: Data, out: Path, workers: int | None) -> float:
    begun = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        run_study(asked, data, out, workers=workers)
    return time.perf_counter() - begun


def _imported(job: int, shared: None) -> int:
    import time

    import hilbertune.study.table  # noqa: F401

    time.sleep(0.2)  # so that every worker gets one
    return job


def _nothing(job: int, shared: Data) -> int:
    return len(shared.labels)


def table(directory: Path) -> list[object]:
    connection = sqlite3.connect(directory / "runs.sqlite")
    query = "SELECT id, validation_accuracy, curves, hex(weights) FROM runs ORDER BY id"
    return connection.execute(query).fetchall()


if __name__ == "__main__":
    main()
