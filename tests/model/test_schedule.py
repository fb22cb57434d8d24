"""The rate of every step is the published factor after every epoch, or one cycle that rises and falls to nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilbertune.config.records import TrainingConfig
from hilbertune.model.schedule import WARM_UP, one_cycle, rates


def test_decay_is_a_factor_after_every_epoch() -> None:
    configs = [TrainingConfig(learning_rate=0.1, learning_rate_decay=0.5), TrainingConfig(learning_rate=0.3)]
    assert rates(configs, 0, 3).tolist() == [[0.1, 0.3]] * 3
    assert rates(configs, 2, 2).tolist() == [[0.1 * 0.5**2, 0.3]] * 2


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing() -> None:
    assert one_cycle(np.array([0.0, WARM_UP / 2, WARM_UP, (1 + WARM_UP) / 2, 1.0])) == pytest.approx(
        [0, 0.5, 1, 0.5, 0], abs=1e-12
    )


@given(st.integers(1, 40), st.integers(1, 30), st.floats(1e-4, 1.0))
def test_epochs_follow_each_other_in_one_cycle(epochs: int, steps: int, peak: float) -> None:
    config = TrainingConfig(epochs=epochs, learning_rate=peak, schedule="one-cycle")
    other = TrainingConfig(epochs=epochs, learning_rate=2 * peak, schedule="one-cycle")
    every = np.concatenate([rates([config, other], epoch, steps) for epoch in range(epochs)])
    assert every.shape == (epochs * steps, 2)
    assert (every[:, 0] > 0).all()
    assert (every[:, 0] <= peak).all()
    np.testing.assert_allclose(every[:, 1], 2 * every[:, 0], rtol=1e-12)
    top = int(every[:, 0].argmax())
    assert (np.diff(every[: top + 1, 0]) > 0).all()
    assert (np.diff(every[top:, 0]) < 0).all()
    assert abs((top + 0.5) / len(every) - WARM_UP) <= 1 / len(every) or len(every) < 4
