"""Checks of single rows: a text that can be embedded, a label that suits the task, an embedding that a head can read.

In: values as they were read, with the row and the name of their source for messages.
Out: the values, in Python's own types; or an error that says which row is wrong and how to mend it.
"""

import math

import numpy as np

from hilbertune.config.records import HeadConfig, Task
from hilbertune.data.values import Plain, from_file, plain
from hilbertune.errors import HilbertuneError

SMALLEST, LARGEST = float(np.float32(1e-30)), float(np.float32(1e30))
"""Between these the largest number of a row must lie, so that single precision can compute with it."""


def checked_text(value: object, row: int, name: str) -> str:
    """Return `value` if it is a text that can be embedded.

    Raises:
        HilbertuneError: it is missing, blank, not a text, or cannot be written as UTF-8; `row` and
            `name` say where.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise HilbertuneError(f"Row {row} of {name} has an empty text: fill it in or remove the row.")
    if not isinstance(value, str):
        raise HilbertuneError(
            f"Row {row} of {name} has a value of type {type(value).__name__} where a text belongs: "
            "name the column of the texts."
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise HilbertuneError(
            f"Row {row} of {name} has half a character (a lone surrogate) at position {error.start + 1}: repair it."
        ) from error
    return value


def checked_label(value: object, row: int, name: str, task: Task) -> Plain | list[Plain]:
    """Return the label of a row of a file: a class, for regression a number, for multi-label data a list of classes.

    A class is a bool, a whole number or a word without blanks around it; dates and bytes become words.

    Raises:
        HilbertuneError: it is missing, or does not suit the task; `row` and `name` say where.
    """
    if task == "regression":
        return checked_number(value, row, name)
    if task != "multi-label":
        return _class_in_file(value, row, name)
    if isinstance(value, str):
        value = [part for part in value.split("|") if part.strip()]
    if not isinstance(value, list | tuple | np.ndarray):
        raise HilbertuneError(
            f"Row {row} of {name} has the label {value!r}: the labels of a row are a list, "
            "or in CSV and TSV a text such as 'news|sport'."
        )
    return [_class_in_file(one, row, name) for one in value]


def _class_in_file(value: object, row: int, name: str) -> Plain:
    try:
        label = from_file(value)
    except (TypeError, ValueError) as error:
        raise _no_class(value, row, f" of {name}") from error
    label = checked_class(label.strip() if isinstance(label, str) else label, row, f" of {name}")
    return int(label) if isinstance(label, float) else label


def checked_class(value: object, row: int, where: str = "") -> Plain:
    """Return the class of a row as a bool, int, float or str.

    Raises:
        HilbertuneError: it is missing, neither a whole number nor a word, or of another type, such as a date.
    """
    try:
        label = plain(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_class(value, row, where) from error
    if label is None or (isinstance(label, str) and not label.strip()):
        raise HilbertuneError(f"Row {row}{where} has no label: fill it in or remove the row.")
    if isinstance(label, float) and not label.is_integer():
        raise _no_class(value, row, where)
    return label


def _no_class(value: object, row: int, where: str) -> HilbertuneError:
    return HilbertuneError(f"Row {row}{where} has the label {repr(value)[:80]}: a class is a whole number or a word.")


def checked_number(value: object, row: int, name: str) -> float:
    """Return the label of a row for regression.

    Raises:
        HilbertuneError: it is missing, or not a finite number; `row` and `name` say where.
    """
    try:
        label = plain(value)
        if label is None or (isinstance(label, str) and not label.strip()):
            raise HilbertuneError(f"Row {row} of {name} has no label: fill it in or remove the row.")
        if not isinstance(label, bool):
            number = float(label)
            if math.isfinite(number):
                return number
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, HilbertuneError):
            raise
    raise HilbertuneError(f"Row {row} of {name} has the label {repr(value)[:80]}: regression needs finite numbers.")


def check_rows(embeddings: np.ndarray, head: HeadConfig, width: int) -> None:
    """Raise HilbertuneError unless a head of this shape can read these embeddings [rows, width].

    Raises:
        HilbertuneError: see `check_embeddings`; rows of zeros pass where the shape loads them, and rows next to nothing
            where it loads more than directions.
    """
    lengths = head.norm == "keep" or head.scale == "standardise" or head.basis == "pca"
    check_embeddings(embeddings, width=width, zeros=head.loads_zeros, tiny=head.loads_zeros and lengths)


def check_embeddings(
    embeddings: np.ndarray, *, width: int | None = None, zeros: bool = False, tiny: bool = False
) -> None:
    """Raise HilbertuneError unless a head can read these embeddings [rows, width].

    With `zeros` a row may hold nothing but zeros, with `tiny` next to nothing.

    Raises:
        HilbertuneError: another shape or type, no rows, not `width` numbers a row, rows with NaN or
            infinity, rows of zeros (they have no direction to load into a state), numbers that single
            precision cannot hold or compute with; the message names the first such row, from 1.
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
    # Not their absolute values, which the smallest of an integer type does not have.
    largest = np.maximum(embeddings.max(axis=1).astype(np.float64), -embeddings.min(axis=1).astype(np.float64))
    for bad, content, advice in (
        (~np.isfinite(largest), "NaN or infinite numbers", "repair or remove it"),
        ((largest == 0) & (not zeros), "nothing but zeros", "repair or remove it"),
        (largest > LARGEST, f"numbers beyond {LARGEST:.0e}", "divide all rows by such a number"),
        (
            (largest < SMALLEST) & (largest > 0) & (not tiny),
            f"no number beyond {SMALLEST:.0e}",
            "divide all rows by such a number",
        ),
    ):
        if count := int(bad.sum()):
            others = f" (and {count - 1} more of {len(embeddings)})" if count > 1 else ""
            raise HilbertuneError(f"Row {int(bad.argmax()) + 1}{others} of the embeddings holds {content}: {advice}.")


def check_table(rows: np.ndarray) -> None:
    """Raise HilbertuneError unless a model can be trained on these rows [rows, width]; some may hold nothing but zeros.

    Raises:
        HilbertuneError: see `check_embeddings`; all rows are next to nothing.
    """
    check_embeddings(rows, zeros=True, tiny=True)
    if 0 < max(float(rows.max()), -float(rows.min())) < SMALLEST:
        check_embeddings(rows, zeros=True)
