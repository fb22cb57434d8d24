"""The data from which a base and a head learn, and the settings by which they do.

In: rows and settings, as the estimators and studies have them.
Out: two records that every stage of tuning takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError


@dataclass(frozen=True)
class LabelledTexts:
    """All texts and their targets, as `tasks.losses` takes them; the split says which rows train and which choose.

    `weights` say how much each row counts; None weighs all alike.
    """

    texts: Sequence[Any]
    targets: np.ndarray
    split: Split
    weights: np.ndarray | None = None

    @property
    def rows(self) -> np.ndarray:
        """The rows that are read: those to train on, then those to choose by."""
        return np.concatenate([self.split.train, self.split.validation])


@dataclass(frozen=True)
class Settings:
    """The shape of the head, how it is trained, how the base learns, and the seed of all of it.

    Raises:
        HilbertuneError: several heads are to learn together with one base.
    """

    head: HeadConfig
    training: TrainingConfig
    tuning: TuningConfig
    seed: int

    def __post_init__(self) -> None:
        check_members(self.training, self.tuning)


def check_members(training: TrainingConfig, tuning: TuningConfig) -> None:
    """Raise HilbertuneError if several heads are to learn together with the one base that they share."""
    if training.members > 1 and "joint" in tuning.tune:
        raise HilbertuneError(
            f"tune={tuning.tune!r} trains the base with one head, and members share a base: "
            "leave members out, or use tune='contrastive' or 'frozen'."
        )
