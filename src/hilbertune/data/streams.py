"""Texts without labels, read in chunks, so that a source may be larger than memory or never end.

In: a file of lines or a table, or the standard input.
Out: lists of texts or of pairs of texts.
"""

import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hilbertune.config.fields import is_whole
from hilbertune.data.checks import checked_text
from hilbertune.data.live import LiveLines
from hilbertune.data.tables import (
    READERS,
    TABLE_FORMATS,
    Record,
    is_saved_dataset,
    open_file,
    read_dataset,
    read_records,
    saved_splits,
    utf8_lines,
)
from hilbertune.errors import HilbertuneError

PATIENCE = 0.2
"""Seconds that a line waits for others to share its piece, which is as long as a source that pauses is not answered."""


def stream_texts(
    source: str | Path, *, text: str = "text", text_pair: str | None = None, chunk: int = 1024
) -> Iterator[list[Any]]:
    """Read texts in lists of at most `chunk`; the memory used does not grow with the source.

    `source` is "-" (standard input), a .txt file with one text a line, a .csv, .tsv, .jsonl, .ndjson
    or .parquet file with the column `text` (and `text_pair`, for pairs), or a folder that
    `save_to_disk` of a dataset has written, with one split. The first list is read at once, so that
    most mistakes show before any work starts. Lines that come through a pipe or from a terminal wait
    for others for PATIENCE seconds at most.

    Raises:
        HilbertuneError: no such file, an unknown format, bytes that are not UTF-8, a missing
            column, a ragged or undecodable row, an empty text (with its row, counted from 1), no
            texts at all.
    """
    if not is_whole(chunk) or chunk < 1:
        raise HilbertuneError(f"chunk must be at least 1, not {chunk}.")
    path = Path(os.path.expanduser(source))
    if source != "-" and (path.suffix.lower() in READERS or is_saved_dataset(path)):
        chunks = _chunks(_table_texts(path, text, text_pair), chunk)
    else:
        chunks = _chunks_of_lines(source, text_pair, chunk)
    first = next(chunks, None)
    if first is None:
        raise HilbertuneError(f"{_shown(source)} holds no texts.")
    return itertools.chain([first], chunks)


def _chunks(texts: Iterator[Any], chunk: int) -> Iterator[list[Any]]:
    while some := list(itertools.islice(texts, chunk)):
        yield some


def _table_texts(path: Path, column: str, second: str | None) -> Iterator[Any]:
    columns = [column] if second is None else [column, second]
    records = _saved_rows(path, columns) if is_saved_dataset(path) else read_records(path, columns)
    for row, values in records:
        checked = [checked_text(value, row, str(path)) for value in values]
        yield checked[0] if second is None else tuple(checked)


def _chunks_of_lines(source: str | Path, second: str | None, chunk: int) -> Iterator[list[Any]]:
    name = _shown(source)
    if second is not None:
        raise HilbertuneError(f"Pairs of texts are read from {TABLE_FORMATS} files, not from {name}.")
    if source == "-":
        if sys.stdin is None:
            raise HilbertuneError("The standard input is closed: name a file.")
        yield from _chunks_of(sys.stdin.buffer, name, chunk)
        return
    path = Path(os.path.expanduser(source))
    with open_file(path) as file:
        # Without a suffix it may be a pipe, such as the shell's <(command).
        if path.suffix.lower() not in (".txt", ""):
            raise HilbertuneError(
                f"{name} has an unknown format: texts are read from .txt, {TABLE_FORMATS} files or '-'."
            )
        yield from _chunks_of(file, name, chunk)


def _chunks_of(file: Iterable[bytes], name: str, chunk: int) -> Iterator[list[Any]]:
    """Yield the lines in lists of `chunk`; what has come through a pipe is yielded once it has waited long enough."""
    live = LiveLines.of(file)
    if live is None:
        yield from _chunks(_text_lines(file, name), chunk)
        return
    texts = _text_lines(live, name)
    for first in texts:
        some, patience = [first], time.monotonic() + PATIENCE
        while len(some) < chunk and live.waited(patience - time.monotonic()):
            if (text := next(texts, None)) is None:
                break
            some.append(text)
        yield some


def _saved_rows(path: Path, columns: list[str]) -> Iterator[Record]:
    """Return the rows of a saved dataset that has one split, or is one."""
    splits = saved_splits(path)
    if len(splits) > 1:
        raise HilbertuneError(
            f"{path} has the splits {', '.join(splits)}: name one of them, such as {path / splits[-1]}."
        )
    return read_dataset(str(path), splits[0] if splits else "train", columns)


def _shown(source: str | Path) -> str:
    return "The standard input" if source == "-" else str(source)


def _text_lines(file: Iterable[bytes], name: str) -> Iterator[str]:
    for row, line in enumerate(utf8_lines(file, name), 1):
        yield checked_text(line.rstrip("\r\n"), row, name)
