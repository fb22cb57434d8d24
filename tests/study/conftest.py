"""Data that the tests of a study share."""

from pathlib import Path

import pytest
from helpers.studies import made_up

from hilbertune.study.plan import Data


@pytest.fixture
def data() -> Data:
    """Return labelled embeddings [100, 12] of two classes."""
    return made_up()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache of this test alone, which holds its checkpoints."""
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
