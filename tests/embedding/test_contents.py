"""Model folders that ask for code: nothing in them runs, whatever they name, and good folders load as before."""

import json
import os
import pickle
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.models import copied

from hilbertune.embedding.contents import allowed_copy, readable
from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.folders import model_folder
from hilbertune.errors import HilbertuneError

MODULE = "sentence_transformers.models."


class _Bomb:
    """Its pickle makes a file when it is loaded."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


@pytest.fixture(scope="session")
def dense(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save the tiny model with the modules Dense and Normalize behind its pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    folder = tmp_path_factory.mktemp("dense") / "model"
    parts = list(SentenceTransformer(str(tiny), device="cpu"))
    SentenceTransformer(modules=[*parts, modules.Dense(8, 4), modules.Normalize()], device="cpu").save(str(folder))
    return folder


@pytest.fixture
def folder(dense: Path, tmp_path: Path) -> Path:
    return copied(dense, tmp_path / "model")


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    return tmp_path / "proof"


def edit(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file, which is made if need be."""
    before = json.loads(file.read_bytes()) if file.exists() else {}
    file.write_text(json.dumps(before | changes))


def modules(folder: Path, *changed: tuple[str, str]) -> None:
    """Let modules.json end in other modules."""
    listed = json.loads((folder / "modules.json").read_bytes())[: 4 - len(changed)]
    listed += [{"type": kind, "path": path} for kind, path in changed]
    (folder / "modules.json").write_text(json.dumps(listed))


def router(folder: Path, proof: Path) -> None:
    """Write the Router of a class by any name, whose `load` unpickles a file of the folder."""
    (folder / "r").mkdir()
    (folder / "r/x").write_bytes(pickle.dumps(_Bomb(proof)))
    about = {"types": {"x": "sklearn.utils.parallel.joblib"}, "structure": {"q": ["x"]}, "parameters": {}}
    (folder / "r/router_config.json").write_text(json.dumps(about))
    (folder / "modules.json").write_text(json.dumps([{"type": MODULE + "Router", "path": "r"}]))


def own_class(folder: Path, proof: Path) -> None:
    """Write a module that makes the proof when it is imported."""
    (folder / "hilbertune_evil.py").write_text(f"open({str(proof)!r}, 'w')\nclass Own: pass\n")


BERT, TOKENS, ABOUT = "sentence_bert_config.json", "tokenizer_config.json", "config_sentence_transformers.json"

EDITS: list[tuple[str, dict[str, Any], str]] = [
    ("2_Dense/config.json", {"activation_function": "hilbertune_evil.Own"}, "asks for the activation"),
    ("2_Dense/config.json", {"activation_function": "os.getpid"}, "asks for the activation"),
    ("2_Dense/config.json", {"activation_function": "torch.hub.load"}, "asks for the activation"),
    ("2_Dense/config.json", {"activation_function": "torch.nn.modules.activation.torch.hub.load"}, "activation"),
    ("2_Dense/config.json", {"activation_function": ["torch.nn.modules.activation.Tanh"]}, "activation"),
    ("2_Dense/config.json", {"loader": "x"}, "setting 'loader', which Dense has not"),
    ("1_Pooling/config.json", {"pooling_mode": "os.system"}, "neither a number nor a word"),
    ("config.json", {"model_type": "own", "auto_map": {"AutoModel": "hilbertune_evil.Own"}}, "code of its own"),
    ("config.json", {"model_type": None}, "names no model_type"),
    ("config.json", {"model_type": "timm_wrapper", "architecture": "hf-hub:evil/x"}, "asks for code"),
    ("config.json", {"use_timm_backbone": True, "backbone": "evil/x"}, "asks for"),
    ("config.json", {"quantization_config": {"quant_method": "evil"}}, "asks for quantization_config"),
    ("config.json", {"text_config": {"a": [{"_target_": "os.system"}]}}, "asks for _target_"),
    ("config.json", {"text_config": {"a": [{"loader": "sklearn.utils.parallel.joblib"}]}}, "asks for code"),
    ("config.json", {"num_hidden_layers": 10**9}, "asks for 1000000000 layers"),
    ("config.json", {"tokenizer_class": "os.system"}, "asks for code"),
    (TOKENS, {"tokenizer_class": "pipeline"}, "asks for code"),
    (TOKENS, {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["evil.Own", None]}}, "asks for code"),
    (TOKENS, {"sudachi_kwargs": {"sudachi_config_path": "/x"}}, "passes the argument"),
    (TOKENS, {"mecab_kwargs": {"mecab_dic": "/x/y"}}, "neither a number nor a word"),
    (TOKENS, {"added_tokens_decoder": {"0": {"content": "a", "__type": "Own"}}}, "asks for code"),
    ("processor_config.json", {"processor_class": "Own", "auto_map": {"AutoProcessor": "e.Own"}}, "asks for code"),
    ("preprocessor_config.json", {"image_processor_type": "os.system"}, "asks for code"),
    (BERT, {"model_args": {"allow_all_kernels": True}}, "loading arguments .model_args: allow_all_kernels."),
    (BERT, {"model_kwargs": {"gguf_file": "x.gguf"}}, "loading arguments"),
    (BERT, {"tokenizer_args": {"tokenizer_type": "x"}}, "loading arguments"),
    (BERT, {"config_args": ["x"]}, "loading arguments"),
    (BERT, {"tokenizer_name_or_path": "/elsewhere"}, "loading arguments"),
    (BERT, {"modality_config": {"text": {"method": "push_to_hub", "method_output_name": "x"}}}, "modality_config"),
    (BERT, {"processing_kwargs": {"chat_template": {"chat_template": "{{ 1 }}"}}}, "passes the argument"),
    (BERT, {"something_new": 1}, "not known here"),
    (ABOUT, {"model_type": "CrossEncoder"}, "belongs to a CrossEncoder"),
    (ABOUT, {"prompts": {"query": {"a": 1}}}, "no usable 'prompts'"),
    (ABOUT, {"truncate_dim": "64"}, "no usable 'truncate_dim'"),
    ("adapter_config.json", {"base_model_name_or_path": "/elsewhere"}, "belongs to an adapter"),
    ("model.safetensors.index.json", {"weight_map": {"a": "../other.safetensors"}}, "not shards of this model"),
    ("model.safetensors.index.json", {"weight_map": {"a": "vocab.txt"}}, "not shards of this model"),
]


@pytest.mark.parametrize(("file", "changes", "message"), EDITS, ids=[f"{f}-{next(iter(c))}" for f, c, _ in EDITS])
def test_what_names_code_or_another_place_is_refused(
    folder: Path, proof: Path, monkeypatch: pytest.MonkeyPatch, file: str, changes: dict[str, Any], message: str
) -> None:
    own_class(folder, proof)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    edit(folder / file, **changes)
    with pytest.raises(HilbertuneError, match=message) as caught:
        Embedder(str(folder), cache=None).embed(["a"])
    assert "\n" not in str(caught.value)
    assert not proof.exists()


@pytest.mark.parametrize(
    "kind", ["Router", "Asym", "WordEmbeddings", "BoW", "WordWeights", "CNN", "LSTM", "x.Pooling2"]
)
@pytest.mark.parametrize("first", [True, False])
def test_modules_that_import_by_name_are_refused(folder: Path, kind: str, first: bool) -> None:
    (folder / "modules.json").write_text(json.dumps([{"type": MODULE + kind, "path": "r"}])) if first else modules(
        folder, (MODULE + kind, "r")
    )
    with pytest.raises(HilbertuneError, match="which is not read here"):
        model_folder(str(folder))


def test_the_router_of_a_pickle_never_loads_it(folder: Path, proof: Path) -> None:
    router(folder, proof)
    with pytest.raises(HilbertuneError, match="lists the module"):
        Embedder(str(folder), cache=None)
    assert not proof.exists()
    pickle.loads((folder / "r/x").read_bytes())
    assert proof.exists(), "the bomb itself must work, or this test proves nothing"


@pytest.mark.parametrize("path", ["../out", "/etc", "..", ".", "a/b", "", "~", "a\\b", ".hidden"])
def test_modules_lie_in_folders_of_the_model(folder: Path, path: str) -> None:
    modules(folder, (MODULE + "Normalize", path))
    with pytest.raises(HilbertuneError, match=r"not one of the model's own|the same folder"):
        model_folder(str(folder))


@pytest.mark.parametrize(
    "name", ["x.pkl", "a/b/c.PKL", "x.joblib", "x.pt", "x.npy", "x.bin", "x.h5", "x.ckpt", "x.so", "2_Dense/x.pth"]
)
def test_files_that_may_hold_pickles_are_refused_anywhere(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"\x80\x04N.")
    with pytest.raises(HilbertuneError, match=f"holds {name}, which can run code"):
        model_folder(str(folder))


def _fifo(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)


def _link(folder: Path, name: str, target: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(target)


STRANGE: dict[str, Callable[[Path], object]] = {
    "weights are a pipe": lambda f: _fifo(f, "model.safetensors"),
    "modules.json is a pipe": lambda f: _fifo(f, "modules.json"),
    "a module's settings are a pipe": lambda f: _fifo(f, "2_Dense/config.json"),
    "any file is a pipe": lambda f: _fifo(f, "notes.txt"),
    "a link to a pipe": lambda f: (_fifo(f, "p"), _link(f, "vocab.txt", "p")),
    "a link to a device": lambda f: _link(f, "tokenizer.json", "/dev/zero"),
    "a link out": lambda f: (f.with_name("w").write_bytes(b""), _link(f, "model.safetensors", "../w")),
    "a folder out": lambda f: _link(f, "etc", "/etc"),
    "a link to nowhere": lambda f: _link(f, "x", "nowhere"),
    "a link to itself": lambda f: _link(f, "x", "x"),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_links_out_and_pipes_are_refused_before_they_are_opened(folder: Path, strange: str) -> None:
    STRANGE[strange](folder)
    with pytest.raises(HilbertuneError, match=r"is neither a file nor a folder|is a link that leads"):
        model_folder(str(folder))


def test_a_socket_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)  # an address has at most 108 bytes
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("s.json")
        with pytest.raises(HilbertuneError, match=r"s\.json is neither a file nor a folder"):
            model_folder(str(folder))


def test_links_within_the_model_and_the_hubs_cache_are_read(dense: Path, tmp_path: Path) -> None:
    hub = tmp_path / "models--a--b"
    (hub / "blobs").mkdir(parents=True)
    folder = copied(dense, hub / "snapshots/abc")
    (folder / "model.safetensors").rename(hub / "blobs/w")
    (folder / "model.safetensors").symlink_to("../../blobs/w")
    (folder / "tokenizer.json").rename(folder / "t")
    (folder / "tokenizer.json").symlink_to("t")
    assert np.array_equal(vectors(folder), vectors(dense))


def vectors(folder: Path) -> np.ndarray:
    return Embedder(str(folder), device="cpu", cache=None).embed(["a b", "c"])


def test_what_is_not_allowed_is_left_out_and_changes_nothing(dense: Path, folder: Path, proof: Path) -> None:
    own_class(folder, proof)
    for name in ("pytorch_model.bin", "tf_model.h5", "rust_model.ot"):
        (folder / name).write_bytes(pickle.dumps(_Bomb(proof)))
    kernels = {"attn_implementation": "evil/kernel", "allow_all_kernels": True}
    edit(folder / "config.json", auto_map={"AutoModel": "hilbertune_evil.Own"}, **kernels)
    edit(folder / "generation_config.json", custom_generate="evil/x")
    edit(folder / BERT, model_args={"trust_remote_code": True, "torch_dtype": "float32"}, tokenizer_args={})
    listed = json.loads((folder / "modules.json").read_bytes())
    short = [{**one, "type": MODULE + one["type"].rpartition(".")[2]} for one in listed]
    (folder / "modules.json").write_text(json.dumps(short))
    assert np.array_equal(vectors(folder), vectors(dense))
    assert not proof.exists()
    with allowed_copy(folder) as copy:
        names = {path.name for path in copy.rglob("*")}
        assert not {"hilbertune_evil.py", "pytorch_model.bin", "generation_config.json"} & names
        assert not {"auto_map", *kernels} & set(json.loads((copy / "config.json").read_bytes()))
        assert "model_args" not in json.loads((copy / BERT).read_bytes())
    assert not copy.exists()


@pytest.mark.parametrize("name", ["Identity", "ReLU", "GELU"])
def test_activations_of_torch_are_read(folder: Path, name: str) -> None:
    edit(folder / "2_Dense/config.json", activation_function=f"torch.nn.modules.activation.{name}")
    assert "2_Dense/config.json" in readable(folder)


@pytest.mark.parametrize("content", ["[]", "{}", "[" * 100_000, '{"model_type": "bert", "a": ' + "9" * 5000 + "}", ""])
def test_broken_json_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(HilbertuneError, match=r"is not a JSON object|names no model_type"):
        model_folder(str(folder))


def test_foreign_weights_are_refused(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    whole, tensors = file.read_bytes(), load_file(file)
    for bad in (b"", whole[:-5], b"\x80\x04N.", (1 << 40).to_bytes(8, "little") + whole[8:]):
        file.write_bytes(bad)
        with pytest.raises(HilbertuneError, match="cannot be loaded"):
            vectors(folder)
    for changed, message in (
        ({"x": torch.zeros(3)}, "not all of this model's"),
        ({k: v for k, v in tensors.items() if "attention" not in k}, "not all of this model's"),
        ({k: v * float("nan") for k, v in tensors.items()}, "NaN or infinite"),
    ):
        save_file(changed, file, {"format": "pt"})
        with pytest.raises(HilbertuneError, match=message):
            vectors(folder)


@pytest.mark.parametrize(("file", "changes"), [(BERT, {"max_seq_length": -3}), (TOKENS, {"model_max_length": -7})])
def test_parts_that_do_not_fit_end_in_a_sentence(folder: Path, file: str, changes: dict[str, Any]) -> None:
    edit(folder / file, **changes)
    with pytest.raises(HilbertuneError, match=r"cannot read these texts|cannot be loaded"):
        vectors(folder)


def test_a_folder_of_very_many_files_is_no_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hilbertune.embedding.contents._MOST_FILES", 5)
    with pytest.raises(HilbertuneError, match="more than 5 files"):
        model_folder(str(folder))
    shutil.rmtree(folder / "2_Dense")
