"""A small experiment over three seeds.

In: options of `run_experiment`.
Out: labelled points, their splits, and the outcome.
"""

from typing import Any

import numpy as np

from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.study import experiment
from hilbertune.study.outcome import Outcome

SHAPE = HeadConfig(qubits=3, encoder_connectivity=2, reuploads=1, basis="raw")
TRAINING = TrainingConfig(epochs=4, learning_rate=0.05)
SEEDS = [3, 4, 5]


def clouds(rows: int = 60, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    centres = rng.normal(size=(classes, 6))
    return (centres[labels] + rng.normal(size=(rows, 6))).astype(np.float32), labels


def splits_of(labels: np.ndarray, **options: Any) -> list[Split]:
    return [few_shot_split(labels.tolist(), per_class=15, seed=s, **options) for s in SEEDS]


def run(**options: Any) -> Outcome:
    embeddings, labels = clouds()
    given = {"splits": splits_of(labels), "training": TRAINING, "baselines": False, **options}
    splits, training = given.pop("splits"), given.pop("training")
    examples = experiment.Examples(labels, ["bad", "good"], splits, SEEDS)
    return experiment.run_experiment(embeddings, examples, SHAPE, training, **given)
