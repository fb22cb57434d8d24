"""What the options of a run stand for."""

import pytest

from hilbertune.hardware.options import is_simulated


@pytest.mark.parametrize(
    ("backend", "simulated"),
    [
        ("simulator", True),
        ("local", True),
        ("ibm:fake_manila", True),
        ("braket:local", True),
        ("qpu.forte-1", False),
        ("ibm:ibm_torino", False),
        ("braket:Forte 1", False),
        ("braket:fake_name", False),
    ],
)
def test_simulators_are_told_from_devices(backend: str, simulated: bool) -> None:
    assert is_simulated(backend) is simulated
