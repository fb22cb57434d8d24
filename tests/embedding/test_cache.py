"""Vectors kept on disk: what is computed again, and what a damaged or unusable file says."""

import json
import re
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.models import copied

from hilbertune.embedding import embedder as embedder_module
from hilbertune.embedding.cache import VectorCache
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError

TEXTS = ["a fine film", "a dull film", "a fine film", "the end"]


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


def test_each_pooling_has_its_own_cache(gpt2: Path, tmp_path: Path) -> None:
    last = Embedder(str(gpt2), cache=tmp_path)
    mean = Embedder(str(gpt2), cache=tmp_path, pooling="mean")
    assert np.abs(last.embed(["a b"]) - mean.embed(["a b"])).max() > 1e-3
    assert (last.computed, mean.computed) == (1, 1)
    again = Embedder(str(gpt2), cache=tmp_path, pooling="last")
    np.testing.assert_array_equal(again.embed(["a b"]), last.embed(["a b"]))
    assert again.computed == 0


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


def test_a_cache_that_cannot_be_written_is_told_once_and_left_out(
    tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = Embedder(str(tiny), cache=None).embed(["a"])
    (tmp_path / "file").write_text("")
    for place, reason in (("file", "Not a directory|File exists"), ("folder", "unable to open")):
        embedder = Embedder(str(tiny), cache=tmp_path / place)
        if place == "folder":
            (tmp_path / place / f"embeddings-{embedder.fingerprint}.sqlite").mkdir(parents=True)
        for _ in range(2):
            np.testing.assert_array_equal(embedder.embed(["a"]), expected)
        assert embedder.computed == 2
        assert len(re.findall(rf"cannot be used .*({reason}).*set HILBERTUNE_CACHE", caplog.text)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file", "folder"]


def test_a_cache_whose_disk_fills_up_keeps_what_it_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = np.ones(2, np.float32)
    with VectorCache(tmp_path / "a.sqlite") as cache:
        cache.write({b"k": first})
        assert cache._connection is not None
        cache._connection.execute("PRAGMA max_page_count = 1")  # SQLite says that the disk is full
        cache.write({bytes([n]): np.ones(4000, np.float32) for n in range(9)})
        cache.write({b"l": first})
        assert cache.read([b"k"]) == {}
    assert "disk is full" in caplog.text
    with VectorCache(tmp_path / "a.sqlite") as cache:
        assert list(cache.read([b"k", b"l", bytes([0])])) == [b"k"]


def test_the_first_vector_of_a_key_stays_bit_for_bit(tmp_path: Path) -> None:
    first = np.array([0.1, -0.0, 1e-42], np.float32)
    with VectorCache(tmp_path / "deep/a.sqlite") as cache:
        cache.write({b"k": first})
        cache.write({b"k": first + 1, b"l": first + 2})
    with VectorCache(tmp_path / "deep/a.sqlite") as cache:
        vectors = cache.read([b"k", b"l", b"m"])
    assert sorted(vectors) == [b"k", b"l"]
    assert vectors[b"k"].tobytes() == first.tobytes()
    np.testing.assert_array_equal(vectors[b"l"], first + 2)


def test_without_a_file_nothing_is_kept() -> None:
    with VectorCache(None) as cache:
        cache.write({b"k": np.ones(2, np.float32)})
        assert cache.read([b"k"]) == {}


@pytest.mark.usefixtures("unchecked")
def test_a_write_that_fails_half_way_keeps_nothing(tmp_path: Path) -> None:
    with VectorCache(tmp_path / "a.sqlite") as cache:
        cache.write({b"old": np.ones(2, np.float32)})
        broken: Any = {b"new": np.ones(2, np.float32), "not bytes": np.ones(2, np.float32), object(): np.ones(2)}
        with pytest.raises((HilbertuneError, sqlite3.Error)):
            cache.write(broken)
        assert list(cache.read([b"old", b"new"])) == [b"old"]


def test_a_new_cache_can_be_opened_by_many_at_the_same_moment(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def write(number: int) -> None:
        together.wait()
        with VectorCache(tmp_path / f"{number % 2}.sqlite") as cache:
            cache.write({bytes([number]): np.full(2, number, np.float32)})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    for half in (0, 1):
        with VectorCache(tmp_path / f"{half}.sqlite") as cache:
            vectors = cache.read([bytes([number]) for number in range(8)])
        assert {key[0]: vector.tolist() for key, vector in vectors.items()} == {n: [n, n] for n in range(half, 8, 2)}
