"""Plain Hugging Face models: pooled as named whatever shares the batch, truncated and counted, refused if broken."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.models import LONG_AND_SHORT, SMALL, copied, pictures, saved, word_tokenizer

from hilbertune.config.records import Pooling
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
@pytest.mark.parametrize("name", ["gpt2", "mistral"])
def test_a_causal_model_is_pooled_as_named_whatever_shares_the_batch(
    name: str, pooling: Pooling, request: pytest.FixtureRequest
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


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_an_encoder_is_pooled_as_named_whatever_shares_the_batch(tiny: Path, tmp_path: Path, pooling: Pooling) -> None:
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


def test_a_model_that_cannot_be_loaded_is_one_sentence(tiny: Path, tmp_path: Path) -> None:
    folder = copied(tiny, tmp_path / "model")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(HilbertuneError, match="cannot be loaded") as caught:
        Embedder(str(folder), cache=None).embed(["a"])
    assert "\n" not in str(caught.value)
    with pytest.raises(HilbertuneError, match="cannot be loaded on the device 'warp'"):
        Embedder(str(tiny), device="warp", cache=None).embed(["a"])
