"""The learning rate of every step: a factor after every epoch, or one cycle over the whole training.

In: a `TrainingConfig` for each run, the epoch, and the number of steps in an epoch.
Out: rates [steps, runs] of the epoch's steps.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hilbertune.config.records import TrainingConfig

WARM_UP = 0.15
"""Share of all steps over which the rate of one cycle rises (ours)."""


def rates(configs: Sequence[TrainingConfig], epoch: int, steps: int) -> Float[np.ndarray, "steps runs"]:
    """Return the learning rates of an epoch's steps; epochs count from 0, and all runs share schedule and epochs."""
    return np.stack([c.learning_rate * shares(c, epoch, c.epochs, steps) for c in configs], axis=1)


def shares(config: TrainingConfig, epoch: int, epochs: int, steps: int) -> Float[np.ndarray, " steps"]:
    """Return the shares of the full learning rate at the steps of one of so many epochs."""
    if config.schedule == "decay":
        return np.full(steps, config.learning_rate_decay**epoch)
    # The middle of each step: neither the first nor the last is lost to a rate of 0.
    return one_cycle((epoch * steps + np.arange(steps) + 0.5) / (epochs * steps))


def one_cycle(passed: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
    """Return shares of the peak rate: a straight rise from 0, and from `WARM_UP` on half a cosine back to 0.

    `passed` is the share of the training that has passed, from 0 to 1.
    """
    falling = 0.5 * (1 + np.cos(np.pi * (passed - WARM_UP) / (1 - WARM_UP)))
    return np.where(passed < WARM_UP, passed / WARM_UP, falling)
