"""An emulated account, a small model, and the same model saved beside its test set."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers.ionq_emulator import Emulator
from helpers.qpu import Trained

from hilbertune.estimator.classifier import HybridClassifier


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as emulator:
        monkeypatch.setenv("IONQ_API_URL", emulator.url)
        monkeypatch.setenv("IONQ_API_KEY", emulator.key)
        yield emulator


@pytest.fixture(scope="session")
def trained() -> Trained:
    rng = np.random.default_rng(0)
    y = np.arange(160) % 2
    X = rng.normal(size=(160, 8)) + 0.8 * y[:, None]
    model = HybridClassifier(
        qubits=4,
        basis="pca",
        encoder_layers=2,
        reuploads=1,
        layers=1,
        epochs=30,
        learning_rate=0.02,
        encoder_connectivity=2,
    )
    return model.fit(X[:100], y[:100]), X, y


@pytest.fixture
def saved(trained: Trained, tmp_path: Path) -> tuple[Path, Path]:
    model, X, y = trained
    np.savez(tmp_path / "test.npz", embeddings=X[100:110], labels=y[100:110])
    return model.save_pretrained(tmp_path / "model"), tmp_path / "test.npz"
