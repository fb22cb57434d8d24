"""Labelled data and the few-shot protocol.

In: CSV, TSV, JSONL and Parquet files, Hugging Face datasets, files of embeddings, streams.
Out: texts or embeddings with their labels; index arrays that say which rows train, validate, test.
"""

import csv
import difflib
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32

from hilbertune.config.records import Task
from hilbertune.data.checks import checked_label, checked_text, of_one_kind
from hilbertune.errors import HilbertuneError, first_line, require

_LONGEST_FIELD = 1 << 24
"""Characters of a CSV field; the standard library's own limit (131,072) refuses long documents."""


@dataclass(frozen=True)
class Labelled:
    """Rows with labels: texts (or pairs of texts) or embeddings, of which the other is None.

    A label is a class; for regression a number, for multi-label data a list of classes.
    """

    labels: list[int] | list[str] | list[float] | list[list[int]] | list[list[str]]
    texts: list[str] | list[tuple[str, str]] | None
    embeddings: Float32[np.ndarray, "rows width"] | None
    source: str


def read_labelled(
    source: str | Path,
    *,
    text: str = "text",
    text_pair: str | None = None,
    label: str = "label",
    split: str = "train",
    task: Task = "classification",
) -> Labelled:
    """Read the columns `text` and `label` of a file, or of a Hugging Face dataset.

    `source` is a .csv, .tsv, .jsonl, .ndjson or .parquet file (UTF-8), a dataset's name, or a
    folder that `datasets` can load; only the last two have splits. With `text_pair`, the column of
    the second texts, the texts are pairs. Rows are counted from 1 in messages, without the header.

    Labels are int if every one of them is a whole number (in CSV and TSV: is written as one), else
    str. For regression they are numbers; for multi-label data lists, which CSV and TSV write as
    "news|sport", and as nothing at all for no label.

    Raises:
        HilbertuneError: no such file or dataset, a folder without data, an unknown file format,
            bytes that are not UTF-8, a missing column, a ragged or undecodable row, an empty text,
            a missing label or one that does not suit the task, no rows.
        MissingExtraError: Parquet or a dataset without the extra `data`.
    """
    path = Path(os.path.expanduser(source))
    name = str(source)
    suffix = path.suffix.lower()
    is_name = _DATASET_NAME.fullmatch(name) and not suffix[1:].isalpha()
    columns = [text, label] if text_pair is None else [text, text_pair, label]
    if os.path.isdir(path) or (is_name and not os.path.exists(path)):
        records = _dataset_records(str(path), split, columns)
    elif suffix in READERS:
        records = read_records(path, columns)
    else:
        with open_file(path):
            raise HilbertuneError(f"{name} has an unknown format: labelled data are read from {TABLE_FORMATS} files.")
    texts: list[Any] = []
    labels: list[Any] = []
    for row, (*some, one_label) in records:
        checked = tuple(checked_text(one, row, name) for one in some)
        texts.append(checked[0] if text_pair is None else checked)
        labels.append(checked_label(one_label, row, name, task))
    if not texts:
        raise HilbertuneError(f"{name} holds no rows: give it labelled texts.")
    return Labelled(of_one_kind(labels, literals=suffix in WRITES_NUMBERS_AS_TEXT), texts, None, name)


def stream_texts(
    source: str | Path, *, text: str = "text", text_pair: str | None = None, chunk: int = 1024
) -> Iterator[list[Any]]:
    """Lists of at most `chunk` texts, in memory that does not grow with the source.

    `source` is "-" (standard input) or a .txt file with one text a line, or a .csv, .tsv, .jsonl,
    .ndjson or .parquet file with the column `text` (and `text_pair`, for pairs). The first list is read at once, so that most
    mistakes show before any work starts.

    Raises:
        HilbertuneError: no such file, an unknown format, bytes that are not UTF-8, a missing
            column, a ragged or undecodable row, an empty text (with its row, counted from 1), no
            texts at all.
    """
    if chunk < 1:
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
    if second is not None and Path(source).suffix.lower() not in READERS:
        raise HilbertuneError(f"Pairs of texts are read from {TABLE_FORMATS} files, not from {name}.")
    if source == "-":
        yield from _text_lines(sys.stdin.buffer, name)
        return
    path = Path(os.path.expanduser(source))
    suffix = path.suffix.lower()
    if suffix in READERS:
        for row, values in read_records(path, [column] if second is None else [column, second]):
            checked = [checked_text(value, row, name) for value in values]
            yield checked[0] if second is None else tuple(checked)
        return
    with open_file(path) as file:
        # Without a suffix it may be a pipe, such as the shell's <(command).
        if suffix not in (".txt", ""):
            raise HilbertuneError(
                f"{name} has an unknown format: texts are read from .txt, {TABLE_FORMATS} files or '-'."
            )
        yield from _text_lines(file, name)


def _shown(source: str | Path) -> str:
    return "The standard input" if source == "-" else str(source)


def _text_lines(file: Iterable[bytes], name: str) -> Iterator[str]:
    for row, line in enumerate(utf8_lines(file, name), 1):
        yield checked_text(line.rstrip("\r\n"), row, name)


_DATASET_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def open_file(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise HilbertuneError(f"There is no file {path}: check the name.") from error
    except IsADirectoryError as error:
        raise HilbertuneError(f"{path} is a folder: name a file in it.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise HilbertuneError(f"{path} cannot be read: {reason}.") from error


def utf8_lines(file: Iterable[bytes], name: str) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends; a byte order mark is dropped."""
    offset = 0
    for number, raw in enumerate(file, 1):
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise HilbertuneError(
                f"Line {number} of {name} is not UTF-8 (byte {offset + error.start} of the file): save it as UTF-8."
            ) from error
        yield line.removeprefix("\ufeff") if number == 1 else line
        offset += len(raw)


def column_index(wanted: str, existing: Sequence[str], name: str) -> int:
    if existing.count(wanted) == 1:
        return existing.index(wanted)
    if wanted in existing:
        raise HilbertuneError(f"{name} has several columns {wanted!r}: rename all but one.")
    folded = {column.casefold(): column for column in existing}
    nearest = difflib.get_close_matches(wanted.casefold(), folded, 1)
    hint = f"; did you mean {folded[nearest[0]]!r}?" if nearest else "; name one of them."
    shown = ", ".join(map(repr, existing[:20])) + (", ..." if len(existing) > 20 else "")
    raise HilbertuneError(f"{name} has no column {wanted!r}; it has {shown or 'none'}{hint}")


def read_records(path: Path, columns: list[str]) -> Iterator[tuple[int, list[object]]]:
    """The row's number, from 1 and without the header, and its values in the order of `columns`."""
    with open_file(path) as file:
        yield from READERS[path.suffix.lower()](file, str(path), columns)


def _csv_records(
    file: BinaryIO, name: str, columns: list[str], delimiter: str = ","
) -> Iterator[tuple[int, list[object]]]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    # Strict: otherwise a quote that is never closed would swallow the rest of the file in silence.
    reader = csv.reader(utf8_lines(file, name), delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise HilbertuneError(f"{name} is empty or begins with a blank line: it needs a header.")
        wanted = [column_index(column, header, name) for column in columns]
        row = 0
        for fields in reader:
            if not fields:  # a blank line
                continue
            row += 1
            if len(fields) != len(header):
                raise HilbertuneError(
                    f"Row {row} of {name} (line {reader.line_num}) has {len(fields)} fields "
                    f"and the header {len(header)}: "
                    f"put texts that contain {delimiter!r} in double quotes."
                )
            yield row, [fields[index] for index in wanted]
    except csv.Error as error:
        raise HilbertuneError(
            f"Line {reader.line_num} of {name} cannot be read ({error}): check its quotes, and double those inside."
        ) from error


def _tsv_records(file: BinaryIO, name: str, columns: list[str]) -> Iterator[tuple[int, list[object]]]:
    return _csv_records(file, name, columns, delimiter="\t")


def _jsonl_records(file: BinaryIO, name: str, columns: list[str]) -> Iterator[tuple[int, list[object]]]:
    for number, line in enumerate(utf8_lines(file, name), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise HilbertuneError(
                f"Line {number} of {name} is not JSON ({error}): each line must be one JSON object."
            ) from error
        if not isinstance(record, dict):
            raise HilbertuneError(f"Line {number} of {name} is no JSON object with named fields.")
        for column in columns:
            if column not in record:
                column_index(column, list(record), f"Line {number} of {name}")
        yield number, [record[column] for column in columns]


def _parquet_records(file: BinaryIO, name: str, columns: list[str]) -> Iterator[tuple[int, list[object]]]:
    pyarrow = require("pyarrow", "data")
    parquet = require("pyarrow.parquet", "data")
    try:
        table = parquet.ParquetFile(file)
        for column in columns:
            column_index(column, table.schema_arrow.names, name)
        rows = itertools.count(1)
        for batch in table.iter_batches(batch_size=1024, columns=list(dict.fromkeys(columns))):
            values = [batch.column(column).to_pylist() for column in columns]
            for record in zip(*values, strict=True):
                yield next(rows), list(record)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise HilbertuneError(f"{name} is not a whole Parquet file ({first_line(error)}): write it anew.") from error


READERS = {
    ".csv": _csv_records,
    ".tsv": _tsv_records,
    ".jsonl": _jsonl_records,
    ".ndjson": _jsonl_records,
    ".parquet": _parquet_records,
}


TABLE_FORMATS = ", ".join(READERS)


WRITES_NUMBERS_AS_TEXT = (".csv", ".tsv", ".txt")
"""Formats that write numbers as texts."""


def _dataset_records(source: str, split: str, columns: list[str]) -> Iterator[tuple[int, list[object]]]:
    datasets = require("datasets", "data")
    try:
        dataset = datasets.load_dataset(source, split=split)
    except Exception as error:  # the hub, the network and each file format have errors of their own
        raise HilbertuneError(
            f"{source} is neither a file nor a dataset whose split {split!r} can be loaded "
            f"({first_line(error)}): check the name and the split, or give a local file."
        ) from error
    for column in columns:
        column_index(column, dataset.column_names, source)
    values = [dataset[column] for column in columns]
    return ((row, list(record)) for row, record in enumerate(zip(*values, strict=True), 1))
