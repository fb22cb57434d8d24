"""Pairs of texts: combined vectors, joined texts, unusable pairs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.pairs import joined, whole_pairs
from hilbertune.errors import HilbertuneError


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
    for folder, text in ((tiny, "a [SEP] b"), (gpt2, "a </s> b")):
        embedder = Embedder(str(folder), cache=None, pairs="text")
        assert embedder.joined([("a", "b")]) == [text]
        np.testing.assert_allclose(
            embedder.embed([("a", "b")]),
            Embedder(str(folder), cache=None).embed([text]),
            atol=1e-6,
        )
    tokens = embedder.transformer.tokenizer("a </s> b")["input_ids"]
    assert tokens == [2, 0, 3, 0]


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["a"], "Row 1 of the texts is not a pair"),
        ([("a", "b"), ("a",)], "Row 2 of the texts is not a pair"),
        ([("a", "b"), ("a", "")], "Row 2 of the second texts has an empty text"),
        ([("a", 1)], "Row 1 of the second texts has a value of type int where a text belongs"),
    ],
)
def test_unusable_pairs_are_refused(tiny: Path, items: list, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        Embedder(str(tiny), cache=None, pairs="u,v").embed(items)


def test_progress_counts_pairs_once_both_halves_are_done() -> None:
    steps: list[int] = []
    done = whole_pairs(steps.append)
    for count in (1, 1, 3, 1, 4):
        done(count)
    assert steps == [1, 1, 1, 2]
    whole_pairs(None)(2)


def test_a_tokenizer_without_a_separator_puts_its_end_or_a_new_line_between() -> None:
    for tokens, between in (
        ({"sep_token": "|", "eos_token": "$"}, " | "),
        ({"sep_token": None, "eos_token": "$"}, " $ "),
        ({}, "\n"),
    ):
        assert joined([("a", "b")], SimpleNamespace(**tokens)) == [f"a{between}b"]
