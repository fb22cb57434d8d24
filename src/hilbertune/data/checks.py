"""Labelled data and the few-shot protocol.

In: CSV, TSV, JSONL and Parquet files, Hugging Face datasets, files of embeddings, streams.
Out: texts or embeddings with their labels; index arrays that say which rows train, validate, test.
"""

import math
import re
from typing import Any

import numpy as np

from hilbertune.config.records import Task
from hilbertune.errors import HilbertuneError


def checked_text(value: object, row: int, name: str) -> str:
    """`value` itself if it is a text that can be embedded.

    Raises:
        HilbertuneError: it is missing, blank, no text, or cannot be written as UTF-8; `row` and
            `name` say where.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise HilbertuneError(f"Row {row} of {name} has an empty text: fill it in or remove the row.")
    if not isinstance(value, str):
        raise HilbertuneError(
            f"Row {row} of {name} has a {type(value).__name__} where a text belongs: name the column of the texts."
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise HilbertuneError(
            f"Row {row} of {name} has half a character (a lone surrogate) at position {error.start + 1}: repair it."
        ) from error
    return value


def checked_label(value: object, row: int, name: str, task: Task) -> int | str | float | list[int | str]:
    if task == "regression":
        return checked_number(value, row, name)
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
    raise HilbertuneError(f"Row {row} of {name} has the label {value!r}: a class is a whole number or a word.")


def checked_number(value: object, row: int, name: str) -> float:
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        raise HilbertuneError(f"Row {row} of {name} has no label: fill it in or remove the row.")
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass
    raise HilbertuneError(f"Row {row} of {name} has the label {value!r}: regression needs finite numbers.")


def of_one_kind(labels: list[Any], *, literals: bool) -> list[Any]:
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
    return [[kind(c) for c in label] if isinstance(label, list) else kind(label) for label in labels]


_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


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
                f"Row {int(bad.argmax()) + 1}{others} of the embeddings holds {what}: repair or remove it."
            )
