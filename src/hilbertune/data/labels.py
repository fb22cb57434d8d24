"""Labels as classes and as the targets that a head learns.

In: labels of any task, as read from a file or given by a user.
Out: sorted classes, and an array of targets: class indices, rows of 0 and 1, or numbers.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from hilbertune.config.records import Task
from hilbertune.data.checks import checked_number
from hilbertune.errors import HilbertuneError
from hilbertune.runtime.escaping import cell

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def unify_labels(labels: list[Any], *, parse_integers: bool) -> list[Any]:
    """Return checked labels (or lists of them) as all int, or all str if one of them is a word; floats stay.

    With `parse_integers`, words are int if every label is written as an integer is. "01" and "+1"
    stay words, lest two classes become one.
    """
    classes = [c for label in labels for c in (label if isinstance(label, list) else [label])]
    if any(isinstance(c, float) for c in classes):
        return labels
    words = [str(c) for c in classes]
    if parse_integers and all(_INTEGER.fullmatch(word) for word in words):
        kind: type = int
    elif all(isinstance(c, int) for c in classes):
        return labels
    else:
        kind = str
    return [[kind(c) for c in label] if isinstance(label, list) else kind(label) for label in labels]


def encode_labels(
    labels: Iterable[Any], task: Task = "classification"
) -> tuple[
    list[Any],
    Int64[np.ndarray, " rows"] | Float32[np.ndarray, "rows classes"] | Float64[np.ndarray, " rows"],
]:
    """Return the sorted classes, as Python values, and the target that a head learns for each label.

    The target is the label's index among the classes; for multi-label data, whose labels are
    collections of classes or an array of 0 and 1 [rows, classes], a row of 0 and 1; for regression,
    which has no classes, the number itself.

    Raises:
        HilbertuneError: fewer than two classes, a missing label, labels that cannot be sorted
            (numbers among texts), words as ordinal labels, labels of multi-label data that are not
            collections, a label for regression that is not a finite number.
    """
    if task == "regression":
        return [], label_targets(labels, [], task)
    distinct: set[Any] = set()
    if task == "multi-label":
        if isinstance(labels, np.ndarray) and labels.ndim == 2:
            distinct.update(range(labels.shape[1]))  # with those that no row has
        labels = _indicators(labels)
        distinct.update(*labels)
    else:
        labels = _plain(labels)
        distinct.update(labels)
    try:
        classes = sorted(distinct)
    except TypeError as error:
        raise HilbertuneError("Labels must be all numbers or all texts.") from error
    if len(classes) < 2:
        shown = f"is only the class {classes[0]!r}" if classes else "are no labels"
        raise HilbertuneError(f"There {shown}: training needs at least two classes.")
    if task == "ordinal" and any(isinstance(value, str) for value in classes):
        raise HilbertuneError(
            f"The ordinal label {classes[0]!r} is a word, whose rank is unknown: number the classes in their order."
        )
    return classes, label_targets(labels, classes, task)


def label_targets(
    labels: Iterable[Any], classes: Sequence[Any], task: Task = "classification"
) -> Int64[np.ndarray, " rows"] | Float32[np.ndarray, "rows classes"] | Float64[np.ndarray, " rows"]:
    """Return the target that a head with these classes learns for each label, as `encode_labels` does.

    Raises:
        HilbertuneError: a label that is not among the classes, or a missing one; a label for
            regression that is not a finite number.
    """
    if task == "regression":
        return np.array(
            [checked_number(value, row, "the labels") for row, value in enumerate(_plain(labels), 1)],
            dtype=np.float64,
        )
    if task != "multi-label":
        return label_indices(labels, classes)
    rows = _indicators(labels)
    targets = np.zeros((len(rows), len(classes)), dtype=np.float32)
    index = _places(classes)
    for row, some in enumerate(rows):
        for one in some:
            if one not in index:
                raise _unknown(row + 1, one, classes)
            targets[row, index[one]] = 1
    return targets


def label_indices(labels: Iterable[Any], classes: Sequence[Any]) -> Int64[np.ndarray, " rows"]:
    """Return the index of each label in `classes`.

    Raises:
        HilbertuneError: a label that is not among the classes, or a missing one.
    """
    index = _places(classes)
    plain = _plain(labels)
    for row, label in enumerate(plain, 1):
        if label not in index:
            raise _unknown(row, label, classes)
    return np.array([index[label] for label in plain], dtype=np.int64)


def _places(classes: Sequence[Any]) -> dict[Any, int]:
    """Return the index of each class under its own name, and of words also as files of predictions write them."""
    written = {cell(name): place for place, name in enumerate(classes) if isinstance(name, str)}
    return written | {name: place for place, name in enumerate(classes)}


def _unknown(row: int, label: object, classes: Sequence[Any]) -> HilbertuneError:
    shown = ", ".join(map(repr, classes[:10])) + (", ..." if len(classes) > 10 else "")
    return HilbertuneError(f"Row {row} has the unknown label {label!r}; the known ones are {shown}.")


def _indicators(labels: Iterable[Any]) -> list[list[Any]]:
    """Return the classes of each row; those of an array of 0 and 1 are the numbers of its columns."""
    if isinstance(labels, np.ndarray) and labels.ndim == 2:
        if not np.isin(labels, (0, 1)).all():
            raise HilbertuneError("An array of multi-label data must hold nothing but 0 and 1.")
        return [np.flatnonzero(row).tolist() for row in labels]
    rows = list(labels)
    for row, some in enumerate(rows, 1):
        if not isinstance(some, list | tuple | set | frozenset | np.ndarray):
            raise HilbertuneError(f"Row {row} has the label {some!r}: the labels of a row must be a list.")
    return [_plain(some) for some in rows]


def _plain(labels: Iterable[Any]) -> list[Any]:
    """Return the labels as Python values; raise HilbertuneError if one is missing."""
    plain = [value.item() if isinstance(value, np.generic) else value for value in labels]
    for row, label in enumerate(plain, 1):
        if label is None or label != label:
            raise HilbertuneError(f"Row {row} has no label: fill it in or remove the row.")
    return plain
