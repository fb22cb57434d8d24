"""Rows of tables: CSV, TSV, JSONL and Parquet files, and Hugging Face datasets, read by the names of their columns.

In: an open file or a dataset's name, and the columns wanted.
Out: rows one by one, each with its number, from 1 and without the header.
"""

import csv
import difflib
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from hilbertune.data.foreign import refuse_other_bytes, refuse_other_separator, returns
from hilbertune.errors import HilbertuneError, first_line, nearest, require

Record = tuple[int, list[object]]
"""The number of a row, from 1 and without the header, and its values in the order of the columns wanted."""

_LONGEST_FIELD = 1 << 24
"""Characters of a CSV field; the standard library's own limit (131,072) refuses long documents."""


def open_file(path: Path) -> BinaryIO:
    """Open a file to read its bytes.

    Raises:
        HilbertuneError: no such file, a folder, a file that cannot be read.
    """
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
    """Yield the lines of a UTF-8 file with their ends, without its byte order mark.

    Raises:
        HilbertuneError: bytes that are not UTF-8 (the message says where, or what they are), lines without line feeds.
    """
    offset = 0
    for number, raw in enumerate(file, 1):
        if number == 1:
            refuse_other_bytes(raw, name)
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise HilbertuneError(
                f"Line {number} of {name} is not UTF-8 (byte {offset + error.start} of the file): save it as UTF-8."
            ) from error
        yield line.removeprefix("\ufeff") if number == 1 else line
        offset += len(raw)


def column_index(wanted: str, existing: Sequence[str], name: str) -> int:
    """Return the place of the column `wanted` among those of the table `name`.

    Raises:
        HilbertuneError: no such column, or several; the message suggests the most similar one, ignoring case.
    """
    if existing.count(wanted) == 1:
        return existing.index(wanted)
    if wanted in existing:
        raise HilbertuneError(f"{name} has several columns {wanted!r}: rename all but one.")
    folded = {column.casefold(): column for column in existing}
    similar = difflib.get_close_matches(wanted.casefold(), folded, 1)
    hint = f"; did you mean {folded[similar[0]]!r}?" if similar else "; name one of them."
    shown = ", ".join(map(repr, existing[:20])) + (", ..." if len(existing) > 20 else "")
    raise HilbertuneError(f"{name} has no column {wanted!r}; it has {shown or 'none'}{hint}")


def read_records(path: Path, columns: list[str]) -> Iterator[Record]:
    """Yield the rows of a table whose suffix is one of READERS.

    Raises:
        HilbertuneError: a missing column, a row that cannot be read.
        MissingExtraError: Parquet without the extra `data`.
    """
    with open_file(path) as file:
        yield from READERS[path.suffix.lower()](file, str(path), columns)


def _csv_records(file: BinaryIO, name: str, columns: list[str], delimiter: str = ",") -> Iterator[Record]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    lines = utf8_lines(file, name)
    first = next(lines, "")
    # Strict: otherwise a quote that is never closed would swallow the rest of the file in silence.
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    try:
        refuse_other_separator(first, columns, delimiter, name)
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
                    f"and the header {len(header)}: put texts that contain {delimiter!r} in double quotes."
                )
            yield row, [fields[index] for index in wanted]
    except csv.Error as error:
        if "new-line character" in str(error):
            raise returns(f"{name} (line {reader.line_num})") from error
        raise HilbertuneError(
            f"Line {reader.line_num} of {name} cannot be read ({error}): check its quotes, and double those inside."
        ) from error


def _tsv_records(file: BinaryIO, name: str, columns: list[str]) -> Iterator[Record]:
    return _csv_records(file, name, columns, delimiter="\t")


def _jsonl_records(file: BinaryIO, name: str, columns: list[str]) -> Iterator[Record]:
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
            raise HilbertuneError(f"Line {number} of {name} is not a JSON object with named fields.")
        for column in columns:
            if column not in record:
                column_index(column, list(record), f"Line {number} of {name}")
        yield number, [record[column] for column in columns]


def _parquet_records(file: BinaryIO, name: str, columns: list[str]) -> Iterator[Record]:
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
        raise HilbertuneError(f"{name} is not a valid Parquet file ({first_line(error)}): write it again.") from error


READERS = {
    ".csv": _csv_records,
    ".tsv": _tsv_records,
    ".jsonl": _jsonl_records,
    ".ndjson": _jsonl_records,
    ".parquet": _parquet_records,
}
"""Readers of an open file, by its suffix: called with the file, its name for messages, and the columns."""

TABLE_FORMATS = ", ".join(READERS)
"""The suffixes of tables, for messages."""

UNTYPED_FORMATS = (".csv", ".tsv", ".txt")
"""Suffixes of formats in which every value is a text, numbers included."""


def is_saved_dataset(path: Path) -> bool:
    """Return True for a folder that `save_to_disk` of a dataset, or of a dictionary of its splits, has written."""
    return any(os.path.isfile(path / name) for name in ("dataset_dict.json", "state.json"))


def saved_splits(path: Path) -> list[str]:
    """Return the names of the splits of a folder that `save_to_disk` has written; a single dataset has none."""
    try:
        named = json.loads((path / "dataset_dict.json").read_bytes())
        return [str(split) for split in named["splits"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _saved_split(saved: Any, split: str, source: str) -> Any:
    """Return a split of what was saved; a single dataset is the one that is asked for by default, or the one it was.

    Raises:
        HilbertuneError: no such split.
    """
    if hasattr(saved, "keys"):
        if split not in saved:
            raise HilbertuneError(f"{source} has no split {split!r}: {nearest(split, list(saved))}")
        return saved[split].with_format(None)
    own = None if saved.split is None else str(saved.split)
    if split not in ("train", own):
        only = "no splits" if own is None else f"the split {own!r} alone"
        raise HilbertuneError(f"{source} has {only}, not {split!r}: leave the split out.")
    return saved.with_format(None)


def read_dataset(source: str, split: str, columns: list[str]) -> Iterator[Record]:
    """Return the rows of a split of a Hugging Face dataset, as `read_records` does.

    Raises:
        HilbertuneError: a dataset or split that cannot be loaded, a missing column.
        MissingExtraError: the extra `data` is not installed.
    """
    datasets = require("datasets", "data")
    try:
        if is_saved_dataset(Path(source)):
            dataset = _saved_split(datasets.load_from_disk(source), split, source)
        else:
            dataset = datasets.load_dataset(source, split=split)
    except HilbertuneError:
        raise
    except Exception as error:  # the hub, the network and each file format have errors of their own
        raise HilbertuneError(
            f"{source} is neither a file nor a dataset whose split {split!r} can be loaded "
            f"({first_line(error)}): check the name and the split, or give a local file."
        ) from error
    for column in columns:
        column_index(column, dataset.column_names, source)
    values = [dataset[column] for column in columns]
    return ((row, list(record)) for row, record in enumerate(zip(*values, strict=True), 1))
