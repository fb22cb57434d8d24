"""Saved models whose numbers or weights are impossible are refused before anything is built."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.models import copied
from safetensors.torch import load_file, save_file

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.directory import load_pretrained
from hilbertune.model import members

ROWS = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = np.where(ROWS[:, 0] > 0, "a", "b")
    model = HybridClassifier(qubits=3, epochs=1, norm="keep").fit(ROWS, labels)
    return model.save_pretrained(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return copied(trained, tmp_path / "model")


def probabilities(folder: Path) -> np.ndarray:
    model = load_pretrained(folder)
    assert isinstance(model, HybridClassifier)
    return model.predict_proba(ROWS)


IMPOSSIBLE: list[dict[str, Any]] = [
    {"head": {"qubits": 10**9}},
    {"head": {"qubits": 10**9, "allow_large": True}},
    {"head": {"qubits": 60, "allow_large": True}},
    {"head": {"reuploads": 1000}},
    {"head": {"reuploads": 1000, "layers": 1000, "reupload_layers": 1000}},
    {"head": {"encoder_layers": 10**9}},
    {"head": {"connectivity": 10**30}},
    {"head": {"measured_qubits": 10**9}},
    {"head": {"encoders": 1000, "merge": "average"}},
    {"head": {"angle_scale": 1e300}},
    {"head": {"angle_scale": float("nan")}},
    {"head": {"qubits": "3"}},
    {"head": {"qubits": [3]}},
    {"training": {"shots": 10**30}},
    {"training": {"training_shots": 10**30}},
    {"training": {"trajectories": 10**9, "two_qubit_error": 0.1}},
    {"training": {"epochs": 10**12}},
    {"training": {"members": 10**9}},
    {"training": {"members": 64}},
    {"training": {"batch_size": 10**30}},
    {"tuning": {"lora_rank": 10**9}},
    {"features": 10**9},
    {"features": 10**6},
    {"classes": ["a"]},
    {"classes": [str(number) for number in range(100_000)]},
    {"classes": [float("nan"), 1.0]},
    {"embedding": {"model": "./../other", "fingerprint": "x"}},
    {"embedding": {"model": "x", "fingerprint": "x", "pooling": ["mean"]}},
]


@pytest.mark.parametrize("changes", IMPOSSIBLE, ids=lambda changes: json.dumps(changes)[:60])
def test_impossible_numbers_are_refused_before_anything_is_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    for name, value in changes.items():
        config[name] = {**config[name], **value} if name in ("head", "training", "tuning") else value
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(members, "untrained", lambda *_, **__: pytest.fail("a head was built"))
    with pytest.raises(HilbertuneError) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def rewrite(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor]) -> None:
    file = folder / "model.safetensors"
    save_file({name: change(name, tensor).contiguous() for name, tensor in load_file(file).items()}, file)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_one_weight_that_is_not_finite_is_enough(folder: Path, value: float, dtype: torch.dtype) -> None:
    names = list(load_file(folder / "model.safetensors"))
    assert "loading.length" in names, "also among the numbers that are not trained"
    for bad in names:

        def spoiled(name: str, tensor: torch.Tensor, bad: str = bad) -> torch.Tensor:
            tensor = tensor.to(dtype)
            if name == bad:
                tensor.view(-1)[-1] = value
            return tensor

        own = copied(folder, folder.with_name(f"without {bad}"))
        rewrite(own, spoiled)
        with pytest.raises(HilbertuneError, match="NaN, infinite or too large"):
            load_pretrained(own)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_half_precision_is_computed_with_in_single(folder: Path, dtype: torch.dtype) -> None:
    rounded = copied(folder, folder.with_name("rounded"))
    rewrite(rounded, lambda _, tensor: tensor.to(dtype).float())
    rewrite(folder, lambda _, tensor: tensor.to(dtype))
    assert {tensor.dtype for tensor in load_pretrained(folder).head_.state_dict().values()} == {torch.float32}
    assert np.array_equal(probabilities(folder), probabilities(rounded))


def without(name: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {k: v for k, v in tensors.items() if k != name}


FOREIGN: dict[str, Callable[[Tensors], Tensors]] = {
    "a missing tensor": without("linear_bias"),
    "no weights": without("head.weights"),
    "another tensor": lambda t: t | {"x": torch.zeros(2)},
    "another shape": lambda t: t | {"linear_bias": torch.zeros(7)},
    "whole numbers": lambda t: {k: v.int() for k, v in t.items()},
    "complex numbers": lambda t: {k: v.to(torch.complex64) for k, v in t.items()},
    "nothing": lambda _: {"x": torch.zeros(0)},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_weights_of_another_model_are_refused(folder: Path, kind: str) -> None:
    file = folder / "model.safetensors"
    save_file(FOREIGN[kind](load_file(file)), file)
    with pytest.raises(HilbertuneError, match=r"does not belong to its config\.json"):
        load_pretrained(folder)


STRANGE = [b"", b"[1]", b"[" * 10**6, b'{"a":' * 10**5, b'{"format": 2, "head": {}, "features": NaN}']


@pytest.mark.parametrize("content", STRANGE, ids=lambda content: str(content[:9]))
def test_strange_configurations_are_refused(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    with pytest.raises(HilbertuneError, match=r"cannot be read as JSON|another program's|no usable 'features'"):
        load_pretrained(folder)


def test_a_configuration_of_many_megabytes_is_refused(folder: Path) -> None:
    os.truncate(folder / "config.json", 65 << 20)
    with pytest.raises(HilbertuneError, match="cannot be read as JSON"):
        load_pretrained(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "base/x.txt"])
def test_pipes_and_links_out_are_refused_before_they_are_opened(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(HilbertuneError, match="is neither a file nor a folder"):
        load_pretrained(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(HilbertuneError, match="link that leads out"):
        load_pretrained(folder)
