"""Texts without labels, read in chunks, so that a source may be larger than memory or never end.

In: a file of lines or a table, or the standard input.
Out: lists of texts or of pairs of texts.
"""

import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hilbertune.config.fields import is_whole
from hilbertune.data.checks import checked_text
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


def stream_texts(
    source: str | Path, *, text: str = "text", text_pair: str | None = None, chunk: int = 1024
) -> Iterator[list[Any]]:
    """Read texts in lists of at most `chunk`; the memory used does not grow with the source.

    `source` is "-" (standard input), a .txt file with one text a line, a .csv, .tsv, .jsonl, .ndjson
    or .parquet file with the column `text` (and `text_pair`, for pairs), or a folder that
    `save_to_disk` of a dataset has written, with one split. The first list is read at once, so that
    most mistakes show before any work starts.

    Raises:
        HilbertuneError: no such file, an unknown format, bytes that are not UTF-8, a missing
            column, a ragged or undecodable row, an empty text (with its row, counted from 1), no
            texts at all.
    """
    if not is_whole(chunk) or chunk < 1:
        raise HilbertuneError(f"chunk must be at least 1, not {chunk}.")
    chunks = _chunks(_texts(source, text, text_pair), chunk)
    first = next(chunks, None)
    if first is None:
        raise HilbertuneError(f"{_shown(source)} holds no texts.")
    return itertools.chain([first], chunks)


def _chunks(texts: Iterator[Any], chunk: int) -> Iterator[list[Any]]:
    while some := list(itertools.islice(texts, chunk)):
        yield some


def _texts(source: str | Path, column: str, second: str | None) -> Iterator[Any]:
    name = _shown(source)
    path = Path(os.path.expanduser(source))
    columns = [column] if second is None else [column, second]
    if is_saved_dataset(path):
        yield from _checked(_saved_rows(path, columns), name)
        return
    if second is not None and Path(source).suffix.lower() not in READERS:
        raise HilbertuneError(f"Pairs of texts are read from {TABLE_FORMATS} files, not from {name}.")
    if source == "-":
        yield from _text_lines(sys.stdin.buffer, name)
        return
    suffix = path.suffix.lower()
    if suffix in READERS:
        yield from _checked(read_records(path, columns), name)
        return
    with open_file(path) as file:
        # Without a suffix it may be a pipe, such as the shell's <(command).
        if suffix not in (".txt", ""):
            raise HilbertuneError(
                f"{name} has an unknown format: texts are read from .txt, {TABLE_FORMATS} files or '-'."
            )
        yield from _text_lines(file, name)


def _checked(records: Iterable[Record], name: str) -> Iterator[Any]:
    for row, values in records:
        checked = [checked_text(value, row, name) for value in values]
        yield checked[0] if len(checked) == 1 else tuple(checked)


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
