"""Shots until a class is decided."""

from pathlib import Path

import pytest
from helpers.qpu import Trained

from hilbertune.errors import HilbertuneError
from hilbertune.hardware.adaptive import decide
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.qiskit_provider import local


def test_sure_rows_take_few_shots(trained: Trained, tmp_path: Path) -> None:
    model, X, _ = trained
    made = HardwareBackend(local("forte-1"), tmp_path, shots=1)
    found = decide(model, made, X[100:], confidence=0.95, first=64, most=2048)
    assert set(found.shots.tolist()) <= {64, 128, 256, 512, 1024, 2048}
    assert found.shots.mean() < 1500
    # The answer of infinitely many shots: what the noise model leaves of each expectation.
    sure = found.decided
    assert sure.mean() > 0.6
    assert (model.classes_[found.classes[sure]] == model.predict(X[100:])[sure]).mean() >= 0.95
    with pytest.raises(HilbertuneError, match="confidence"):
        decide(model, made, X[100:], confidence=0.3)
