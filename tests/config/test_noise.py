"""Noise is checked like every record, and the presets are IonQ's."""

import dataclasses
from typing import Any

import pytest

from hilbertune.config.noise import NOISE_PRESETS, Noise
from hilbertune.config.records import TrainingConfig
from hilbertune.errors import HilbertuneError

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        ({"one_qubit": 1.1}, "one_qubit must be at least 0 and at most 1, not 1.1."),
        ({"one_qubit": float("nan")}, "one_qubit must be at least 0 and at most 1, not nan."),
        ({"two_qubit": -0.1}, "two_qubit must be at least 0 and at most 1, not -0.1."),
        ({"readout": 0.6}, "readout must be at least 0 and at most 0.5, not 0.6."),
        ({"trajectories": 0}, "trajectories must be at least 1, not 0."),
        ({"trajectories": 2.5}, "trajectories must be int, not 2.5."),
    ],
)
def test_rates_out_of_range_are_refused(rates: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HilbertuneError) as error:
        Noise(**rates)
    assert str(error.value) == sentence


def test_rates_may_lie_at_the_ends_of_their_ranges() -> None:
    assert dataclasses.astuple(Noise(1, 1, 0.5, 1)) == (1, 1, 0.5, 1)
    assert dataclasses.astuple(Noise()) == (0.0, 0.0, 0.0, 8)


def test_a_training_allows_the_rates_that_a_noise_allows() -> None:
    training = {field.name: field for field in dataclasses.fields(TrainingConfig)}
    for field in dataclasses.fields(Noise):
        own = training[field.name if field.name == "trajectories" else f"{field.name}_error"]
        assert (own.metadata["limits"], own.default) == (field.metadata["limits"], field.default)


def test_presets_have_the_errors_of_randomised_benchmarking() -> None:
    # arXiv 2308.05071: 2.0e-4 and 46.4e-4, of which 3/4 and 15/16 of the rates are the parts that change the state.
    forte = NOISE_PRESETS["forte-1"]
    assert forte.one_qubit * 3 / 4 == pytest.approx(2.0e-4, rel=1e-3)
    assert forte.two_qubit * 15 / 16 == pytest.approx(46.4e-4, rel=1e-3)
    assert sorted(NOISE_PRESETS) == ["aria-1", "aria-2", "forte-1"]


def test_presets_are_the_published_rates() -> None:
    assert {
        "aria-1": Noise(0.0005, 0.0133, 0.0, 8),
        "aria-2": Noise(0.000657333, 0.01856, 0.0, 8),
        "forte-1": Noise(0.000266667, 0.004949333, 0.0, 8),
    } == NOISE_PRESETS
