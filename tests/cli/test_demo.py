"""The verb demo, with drawn vectors and, slowly, as users run it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Run, in_a_process

from hilbertune.cli import demo
from hilbertune.config.automatic import LEFT_TO_THE_DATA, Automatic


def test_the_demo_trains_tests_and_takes_a_free_name(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With vectors that are drawn instead of embedded, and two epochs."""
    from hilbertune.embedding import embedder as embedding

    class Drawn:
        fingerprint, truncated = "drawn", 0

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def embed(self, texts: list[str], progress: Callable[[int], None]) -> np.ndarray:
            progress(len(texts))
            return np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)

        def record(self) -> dict[str, str]:
            return {"model": "drawn", "fingerprint": "drawn"}

    monkeypatch.setattr(embedding, "Embedder", Drawn)
    monkeypatch.setattr(demo, "SETTINGS", Automatic({**LEFT_TO_THE_DATA, "qubits": 4, "epochs": 2}))
    monkeypatch.setattr(demo, "MEMBERS", 3)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hilbertune-demo").mkdir()
    code, answer, err = run("demo", "--seeds", 2, "--json")
    assert code == 0, err
    figures = json.loads(answer)
    assert figures["out"] == "hilbertune-demo-2"
    assert figures["rows"] == {"train": 435, "validation": 77, "test": 2000}
    single, together, *classical = figures["table"]
    assert together["method"] == "3 such heads, averaged"
    assert together["parameters"] == 3 * single["parameters"] == 3 * figures["parameters"]
    assert [row["kind"] for row in classical] == ["classical"] * 4
    assert (tmp_path / "hilbertune-demo-2" / "picture.png").is_file()


@pytest.mark.slow
def test_the_real_demo_beats_chance(tmp_path: Path) -> None:
    done = in_a_process("demo", "--seeds", 1, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["test_accuracy"]["mean"] > 0.65
    assert (tmp_path / "hilbertune-demo" / "model.safetensors").is_file()
