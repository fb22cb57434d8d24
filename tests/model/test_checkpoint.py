"""Checkpoints come back bit for bit, and only to the training that wrote them."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from hilbertune.errors import HilbertuneError
from hilbertune.model import checkpoint

TENSORS = {
    "weights": torch.tensor([[0.1, -0.0], [torch.nan, torch.inf]], dtype=torch.float64),
    "step": torch.tensor(7),
    "active": torch.tensor([True, False]),
}
ABOUT = {"epoch": 3, "rngs": {"batches": [{"state": 1 << 100}]}, "at": [0, 1, 0.1], "none": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "new" / "checkpoint.safetensors"
    checkpoint.save(file, "training", "abc", TENSORS, ABOUT)
    return file


def test_a_state_comes_back_bit_for_bit(path: Path) -> None:
    tensors, about = checkpoint.load(path, "training", "abc")
    assert set(tensors) == set(TENSORS)
    for name, values in TENSORS.items():
        assert tensors[name].dtype == values.dtype
        assert tensors[name].numpy().tobytes() == values.numpy().tobytes(), name
    assert about == {"fingerprint": "abc", **ABOUT}


def test_the_file_is_plain_safetensors_with_a_line_about_it(path: Path) -> None:
    with safetensors.safe_open(path, "pt") as file:
        assert list(file.metadata()) == ["training"]
        assert json.loads(file.metadata()["training"]) == {"fingerprint": "abc", **ABOUT}


def test_parameters_and_views_are_written_as_plain_tensors(tmp_path: Path) -> None:
    table = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
    checkpoint.save(tmp_path / "file", "joint", "x", {"turned": table.T}, {})
    tensors, _ = checkpoint.load(tmp_path / "file", "joint", "x")
    assert torch.equal(tensors["turned"], table.T)
    assert not tensors["turned"].requires_grad


def test_anothers_checkpoint_is_refused(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(HilbertuneError, match="belongs to a training with other data or settings: remove it or name"):
        checkpoint.load(path, "training", "abd")
    assert path.read_bytes() == before


def test_a_checkpoint_of_the_other_kind_is_refused(path: Path) -> None:
    with pytest.raises(HilbertuneError, match="not a complete checkpoint: remove it to start afresh"):
        checkpoint.load(path, "joint", "abc")


def test_truncated_and_foreign_files_are_refused(path: Path) -> None:
    content = path.read_bytes()
    broken: list[bytes] = [content[:size] for size in (0, 1, 8, 100, len(content) // 2, len(content) - 1)]
    broken += [b"not a checkpoint at all", content[1:], content + b"x", safetensors.torch.save(TENSORS)]
    metadata: list[Any] = ["{", "{}", "[]", "null", "3"]
    broken += [safetensors.torch.save(TENSORS, {"training": text}) for text in metadata]
    for bad in broken:
        path.write_bytes(bad)
        with pytest.raises(HilbertuneError, match=f"{path} is not a complete checkpoint"):
            checkpoint.load(path, "training", "abc")
        assert path.read_bytes() == bad


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(HilbertuneError, match="not a complete checkpoint"):
            checkpoint.load(place, "training", "abc")


def test_a_full_disk_leaves_the_old_checkpoint_and_is_told_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("hilbertune.runtime.storage.os.replace", full)
        checkpoint.save(path, "training", "abc", {}, {})
        checkpoint.save(path, "training", "abc", {}, {})
    assert caplog.text.count("No space left on device") == 1
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
