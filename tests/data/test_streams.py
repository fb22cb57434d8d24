"""Texts read in chunks."""

import contextlib
import io
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.tables import write, write_parquet

from hilbertune.data.streams import PATIENCE, stream_texts
from hilbertune.errors import HilbertuneError


def test_text_files_stream_in_chunks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\ufeffone\r\ntwo\nthree")
    assert list(stream_texts(path, chunk=2)) == [["one", "two"], ["three"]]


def test_tables_stream_by_column(tmp_path: Path) -> None:
    csv = write(tmp_path / "a.csv", "label,said\n1,hello\n0,bye\n")
    assert list(stream_texts(csv, text="said")) == [["hello", "bye"]]
    parquet = write_parquet(tmp_path / "a.parquet", text=[str(i) for i in range(3000)])
    chunks = list(stream_texts(parquet, chunk=1000))
    assert [len(chunk) for chunk in chunks] == [1000, 1000, 1000]
    assert chunks[2][-1] == "2999"


def test_pairs_of_texts_are_streamed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("p,h\none,two\nthree,four\n")
    pieces = list(stream_texts(tmp_path / "a.csv", text="p", text_pair="h", chunk=1))
    assert pieces == [[("one", "two")], [("three", "four")]]
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(HilbertuneError, match="Pairs of texts are read from"):
        stream_texts(tmp_path / "a.txt", text_pair="h")


def test_standard_input_is_decoded_as_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é\nb\n".encode()), "ascii"))
    assert list(stream_texts("-")) == [["é", "b"]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(HilbertuneError, match="The standard input holds no texts"):
        stream_texts("-")


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Make the standard input a pipe, and return the end to write to."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield writing
    with contextlib.suppress(OSError):
        os.close(writing)


def test_what_has_come_through_a_pipe_is_answered_while_it_stays_open(pipe: int) -> None:
    os.write(pipe, b"one\ntwo\nthr")
    chunks = stream_texts("-")
    started = time.monotonic()
    assert next(chunks) == ["one", "two"]
    assert time.monotonic() - started < 10 * PATIENCE
    os.write(pipe, b"ee\nfour")
    assert next(chunks) == ["three"]
    os.close(pipe)
    assert list(chunks) == [["four"]]


def test_a_pipe_that_does_not_pause_is_read_in_whole_chunks(pipe: int) -> None:
    lines = [f"line {number}" for number in range(10_000)]

    def write() -> None:
        with os.fdopen(pipe, "wb") as file:
            file.write("\n".join(lines).encode())

    writer = threading.Thread(target=write)
    writer.start()
    chunks = list(stream_texts("-", chunk=3000))
    writer.join()
    assert list(itertools.chain(*chunks)) == lines
    assert [len(chunk) for chunk in chunks] == [3000, 3000, 3000, 1000]


def test_a_standard_input_that_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(HilbertuneError, match="standard input is closed"):
        stream_texts("-")


def test_an_endless_stream_is_read_only_as_far_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        buffer = (b"%d\n" % i for i in itertools.count())

    monkeypatch.setattr(sys, "stdin", Endless)
    chunks = stream_texts("-", chunk=10)
    assert [chunk[0] for chunk in itertools.islice(chunks, 3)] == ["0", "10", "20"]
    assert next(Endless.buffer) == b"30\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "holds no texts"),
        ("a.txt", "one\n \nthree\n", "Row 2 of .* has an empty text"),
        ("a.txt", b"one\nd\xff\n", r"Line 2 of .* is not UTF-8 \(byte 5 of the file\)"),
        ("a.csv", "label\n1\n", "has no column 'text'"),
        ("a.pdf", "x", r"texts are read from \.txt, \.csv"),
    ],
)
def test_bad_streams_are_refused_before_the_first_chunk(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(HilbertuneError, match=message):
        stream_texts(write(tmp_path / name, content))


def test_a_stream_needs_a_chunk_size(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="chunk must be at least 1, not 0"):
        stream_texts(write(tmp_path / "a.txt", "x"), chunk=0)
