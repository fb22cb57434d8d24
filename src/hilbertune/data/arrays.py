"""Embeddings and their labels from files of arrays: .npz, .npy, .safetensors and Parquet.

In: a file of vectors, and perhaps another of labels.
Out: float32 embeddings [rows, width] with checked labels.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.config.records import Task
from hilbertune.data.checks import check_embeddings, checked_label
from hilbertune.data.files import Labelled
from hilbertune.data.labels import unify_labels
from hilbertune.data.tables import (
    READERS,
    TABLE_FORMATS,
    UNTYPED_FORMATS,
    column_index,
    open_file,
    read_records,
    utf8_lines,
)
from hilbertune.errors import HilbertuneError, first_line, require


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
    has no labels. `labels_from` is another file of labels, one a row: .npy, .txt (one a line), or
    .csv, .tsv, .jsonl, .parquet with the column `label`. Embeddings become float32. Labels are like
    those of `read_labelled`, but multi-label data may also be an array of 0 and 1, [rows, classes];
    they are not read if `labelled` is false. Pickled arrays are never read.

    Raises:
        HilbertuneError: no such file, a file that is not valid, a missing, pickled or wrongly shaped array,
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
    untyped = False
    if own:
        labels = _label_rows(arrays[label], label, name, task)
    elif labelled:
        other = Path(os.path.expanduser(str(labels_from)))
        name, untyped = str(other), other.suffix.lower() in UNTYPED_FORMATS
        labels = _labels_in(other, label, task)
    else:
        labels = []
    if labelled and len(labels) != len(vectors):
        raise HilbertuneError(
            f"{path} has {len(vectors)} embeddings and {len(labels)} labels: each row needs one of each."
        )
    # A number too large for float32 becomes infinite, and is refused below.
    with np.errstate(over="ignore"):
        vectors = vectors.astype(np.float32)
    check_embeddings(vectors)
    checked = [checked_label(value, row, name, task) for row, value in enumerate(labels, 1)]
    return Labelled(unify_labels(checked, parse_integers=untyped), None, vectors, str(path))


def _arrays(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    """Return the arrays or columns that `wanted` names."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet_arrays(path, wanted)
    arrays, names = (_safetensors if suffix == ".safetensors" else _numpy_arrays)(path, wanted)
    if missing := " and ".join(repr(name) for name in wanted if name not in arrays):
        how = "write it with numpy.savez(path, embeddings=..., labels=...)"
        if suffix == ".npy":
            how = "name the file of its labels"
        raise HilbertuneError(f"{path} has no array {missing} (it has {', '.join(map(repr, names)) or 'none'}): {how}.")
    return arrays


def _numpy_arrays(path: Path, wanted: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the wanted arrays that are there, and the names of all; an .npy file has the first, by whatever name."""
    with open_file(path) as file:
        try:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                return {wanted[0]: archive}, [wanted[0]]
            names = list(archive.files)
            return {name: archive[name] for name in wanted if name in names}, names
        except Exception as error:  # zipfile, zlib and numpy each have errors of their own
            reason = "it holds Python objects" if "pickle" in str(error) else first_line(error)
            raise HilbertuneError(
                f"{path} is not a valid .npz file of plain arrays ({reason}): "
                "write it with numpy.savez(path, embeddings=..., labels=...)."
            ) from error


def _safetensors(path: Path, wanted: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    from safetensors import SafetensorError, safe_open

    open_file(path).close()
    try:
        with safe_open(path, framework="pt") as file:  # torch knows bfloat16, NumPy does not
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in wanted if name in names}
    except (SafetensorError, OSError) as error:
        raise HilbertuneError(
            f"{path} is not a valid .safetensors file ({first_line(error)}): write it again."
        ) from error
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy() for name, tensor in tensors.items()
    }, names


def _parquet_arrays(path: Path, wanted: list[str]) -> dict[str, np.ndarray]:
    pyarrow = require("pyarrow", "data")
    parquet = require("pyarrow.parquet", "data")
    with open_file(path) as file:
        try:
            source = parquet.ParquetFile(file)
            for column in wanted:
                column_index(column, source.schema_arrow.names, str(path))
            table = source.read(columns=wanted)
        except (pyarrow.ArrowException, OSError) as error:
            raise HilbertuneError(
                f"{path} is not a valid Parquet file ({first_line(error)}): write it again."
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
    if not any(check(lists.type) for check in (kinds.is_list, kinds.is_large_list, kinds.is_fixed_size_list)):
        raise HilbertuneError(f"{name!r} in {path} must be a column of lists of floats, not {lists.type}.")
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
    """Return Python values, one a row; an array [rows, classes] of 0 and 1 becomes lists of class numbers."""
    if array.dtype == object:  # a column of Parquet, whose values are checked one by one
        return list(array)
    if task == "multi-label" and array.ndim == 2 and np.isin(array, (0, 1)).all():
        return [np.flatnonzero(row).tolist() for row in array]
    kinds, needed = ("iubf", "numbers") if task == "regression" else ("iubU", "whole numbers or texts")
    if task == "multi-label":
        needed = "texts such as 'news|sport', or 0 and 1 of the shape [rows, classes]"
    if array.ndim != 1 or array.dtype.kind not in kinds:
        raise HilbertuneError(
            f"{label!r} in {name} must be one row of {needed}, not {array.dtype} of the shape {list(array.shape)}."
        )
    rows: list[Any] = array.tolist()
    return rows


def _labels_in(path: Path, label: str, task: Task) -> list[Any]:
    """Return the labels in a file of their own, as they are written there."""
    suffix = path.suffix.lower()
    if suffix in READERS:
        return [value for _, (value,) in read_records(path, [label])]
    if suffix == ".npy":
        return _label_rows(_numpy_arrays(path, [label])[0][label], label, str(path), task)
    with open_file(path) as file:
        if suffix != ".txt":
            raise HilbertuneError(
                f"{path} has an unknown format: labels are read from .npy, .txt, {TABLE_FORMATS} files."
            )
        return [line.rstrip("\r\n") for line in utf8_lines(file, str(path))]
