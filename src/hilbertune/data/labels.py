"""Labels as classes and as the targets that a head learns.

In: labels of any task, as read from a file or given by a user.
Out: sorted classes, and an array of targets: class indices, rows of 0 and 1, or numbers.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from hilbertune.config.records import Task
from hilbertune.data.checks import checked_class, checked_number
from hilbertune.data.values import is_missing, text_of
from hilbertune.errors import HilbertuneError
from hilbertune.runtime.escaping import cell

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def unify_labels(labels: list[Any], *, parse_integers: bool) -> list[Any]:
    """Return checked labels (or lists of them) as all int, all bool, or all str if one of them is a word; floats stay.

    With `parse_integers`, words are int if every label is written as an integer is. "01" and "+1"
    stay words, lest two classes become one.

    Raises:
        HilbertuneError: a number and a word that is written like it, such as 1 and "1".
    """
    classes = [c for label in labels for c in (label if isinstance(label, list) else [label])]
    kinds = {type(c) for c in classes}
    if float in kinds:
        return labels
    if parse_integers and all(_INTEGER.fullmatch(str(c)) for c in classes):
        kind: type = int
    elif str in kinds:
        kind = str
        check_distinct({(type(c), c): c for c in classes}.values())
    elif len(kinds) > 1:  # True among numbers is 1
        kind = int
    else:
        return labels
    return [[kind(c) for c in label] if isinstance(label, list) else kind(label) for label in labels]


def check_distinct(classes: Iterable[Any]) -> None:
    """Refuse classes that are one and the same but for their type or the blanks around them.

    Raises:
        HilbertuneError: two such classes.
    """
    known: dict[str, Any] = {}
    for label in classes:
        text = str(label).strip()
        if text in known:
            raise HilbertuneError(
                f"The labels {known[text]!r} and {label!r} differ in nothing but their type or blanks: "
                "write both alike."
            )
        known[text] = label


def sorted_classes(labels: Iterable[Any], task: Task = "classification") -> tuple[list[Any], list[Any]]:
    """Return the sorted classes, as Python values, and the labels as such.

    Raises:
        HilbertuneError: see `encode_labels`; fewer than two classes are fine.
    """
    found: dict[Any, Any] = {}
    if task == "multi-label":
        if isinstance(labels, np.ndarray) and labels.ndim == 2:
            found.update(((int, column), column) for column in range(labels.shape[1]))  # with those that no row has
        labels = _indicators(labels)
        found.update(((type(one), one), one) for some in labels for one in some)
    else:
        labels = _plain(labels)
        found.update(((type(one), one), one) for one in labels)
    kinds = {type(one) for one in found.values()}
    if len(kinds) > 1 and kinds != {int, float}:
        raise HilbertuneError("Labels must be all numbers or all texts, or all of them True or False.")
    if str in kinds:
        check_distinct(found.values())
    return sorted(set(found.values())), labels


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
        HilbertuneError: fewer than two classes, a missing label, labels of several kinds (numbers
            among texts), labels that differ in blanks alone, a label that is no whole number, word or
            bool (such as a date), words as ordinal labels, labels of multi-label data that are not
            collections, a label for regression that is not a finite number.
    """
    if task == "regression":
        return [], label_targets(labels, [], task)
    classes, labels = sorted_classes(labels, task)
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
        return _numbers(labels)
    if task != "multi-label":
        return label_indices(labels, classes)
    rows = _indicators(labels)
    targets = np.zeros((len(rows), len(classes)), dtype=np.float32)
    place = _places(classes, [one for some in rows for one in some])
    for row, some in enumerate(rows):
        for one in some:
            targets[row, place(one, row + 1)] = 1
    return targets


def label_indices(labels: Iterable[Any], classes: Sequence[Any]) -> Int64[np.ndarray, " rows"]:
    """Return the index of each label in `classes`.

    The labels may come from another source than the classes, in which the same one has another type: 1 is "1" and 1.0
    elsewhere, True is "true".

    Raises:
        HilbertuneError: a label that is not among the classes, or a missing one.
    """
    plain = _plain(labels)
    place = _places(classes, plain)
    return np.array([place(label, row) for row, label in enumerate(plain, 1)], dtype=np.int64)


def _places(classes: Sequence[Any], labels: Sequence[Any]) -> Callable[[Any, int], int]:
    """Return a function that gives the index of one of these labels, and names its row if it is unknown."""
    exact = {(isinstance(value, bool), value): index for index, value in enumerate(classes)}
    # Words as files of predictions write them.
    written = {cell(value): index for index, value in enumerate(classes) if isinstance(value, str)}
    texts = Counter(map(text_of, classes))
    alike = {text_of(value): index for index, value in enumerate(classes) if texts[text_of(value)] == 1}
    if len({type(label) for label in labels}) > 1:
        alike = {}  # labels of one source are of one type: 1 and "1" side by side are not the same
    if set(texts) <= {"0", "1", "false", "true"}:
        # Formats without booleans write them as numbers.
        for one, other in (("0", "false"), ("1", "true"), ("false", "0"), ("true", "1")):
            if one in alike:
                alike.setdefault(other, alike[one])

    def place(label: Any, row: int) -> int:
        index = exact.get((isinstance(label, bool), label))
        index = alike.get(text_of(label)) if index is None else index
        index = written.get(label) if index is None and isinstance(label, str) else index
        if index is None:
            raise _unknown(row, label, classes)
        return index

    return place


def _numbers(labels: Iterable[Any]) -> Float64[np.ndarray, " rows"]:
    """Return numbers to learn in double precision."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "fiu" and np.isfinite(labels).all():
        return labels.astype(np.float64)
    values = label_list(labels)
    for row, value in enumerate(values, 1):
        if is_missing(value):
            raise HilbertuneError(f"Row {row} has no label: fill it in or remove the row.")
    return np.array([checked_number(value, row, "the labels") for row, value in enumerate(values, 1)], dtype=np.float64)


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
    """Return the labels as Python values; raise HilbertuneError if one is missing, or no label."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "biu" and not np.ma.isMaskedArray(labels):
        return list(labels.tolist())
    return [checked_class(value, row) for row, value in enumerate(label_list(labels), 1)]


def label_list(labels: Any) -> list[Any]:
    """Return labels one by one, from whatever holds them; times stay what they are."""
    if getattr(getattr(labels, "dtype", None), "kind", "") in ("m", "M"):
        return list(labels)
    for name in ("to_pylist", "tolist", "to_list"):
        if hasattr(labels, name):
            return list(getattr(labels, name)())
    return list(labels)


def class_array(classes: Sequence[Any], like: Any = None) -> np.ndarray:
    """Return classes as an array [classes]: of the type of `like` where that is an array of NumPy's own types.

    Whole numbers stay exact, however large.
    """
    dtype = getattr(like, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "biufUO":
        return np.array(classes, dtype=dtype)
    if any(type(one) is int for one in classes):
        for whole in (np.int64, np.uint64):
            if all(np.iinfo(whole).min <= one <= np.iinfo(whole).max for one in classes):
                return np.array(classes, dtype=whole if all(type(one) is int for one in classes) else None)
        return np.array(classes, dtype=object)
    return np.array(list(classes))
