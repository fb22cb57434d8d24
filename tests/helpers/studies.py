"""A small study and what is asked of its table.

In: a folder. Out: a configuration that was read, rows of runs.sqlite, data that two classes share out.
"""

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.study import configuration, plan

SMALL = """
title: A small study
about: Two   lines,
  one sentence.
seeds: 2
settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, projection: pca, epochs: 2, per_class: 20}
arms:
  - name: "{qubits} qubits"
    cross: {qubits: [2, 3]}
    tune: {learning_rate: [1e-3, 0.05]}
  - {method: logistic regression}
  - {method: matched linear}
"""


SCREENING = """
settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, projection: pca, epochs: 1, per_class: 20}
design: {factors: {qubits: [2, 3], learning_rate: [0.0001, 0.3], final_linear: [false, true]}}
arms: [{method: logistic regression}]
seeds: 3
figure: {kind: effects}
"""


SEARCH = """
title: A small search
mode: search
seeds: 2
settings: {encoder_layers: 1, encoder_connectivity: 1, projection: pca, epochs: 3, per_class: 20}
search: {sampler: tpe, trials: 8}
arms:
  - name: quantum
    qubits: 3
    search:
      learning_rate: {low: 1.0e-4, high: 0.1, log: true}
      reuploads: {low: 1, high: 2}
      padding: [zero, constant]
  - {method: logistic regression}
"""


LONGER = SMALL.replace("epochs: 2", "epochs: 60").replace("seeds: 2", "seeds: 4")
TRAINED = (
    "SELECT id, error, validation_accuracy, validation_loss, parameters, curves, hex(weights) FROM runs ORDER BY id"
)
TESTED = "SELECT * FROM tests ORDER BY run, condition"


def made_up() -> plan.Data:
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    x = rng.normal(size=(100, 12)) + labels[:, None]
    return plan.Data(x.astype(np.float32), labels, ["no", "yes"], "made up")


def read(tmp_path: Path, text: str = SMALL, **options: Any) -> plan.Study:
    (tmp_path / "s.yaml").write_text(text)
    return configuration.read_study(tmp_path / "s.yaml", **options)


def rows(directory: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(directory / "runs.sqlite")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def same(one: Path, other: Path) -> bool:
    return all(rows(one, query) == rows(other, query) for query in (TRAINED, TESTED))
