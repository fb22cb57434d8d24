"""The few-shot protocol: which rows train, which choose the best epoch, and which test.

In: the labels of all rows, rows per class and a seed.
Out: three arrays of row numbers; or a sample in which each class has its share.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Int64

from hilbertune.config.fields import is_whole
from hilbertune.config.records import Task
from hilbertune.data.labels import encode_labels
from hilbertune.errors import HilbertuneError


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
    """Draw the labelled rows and divide them into training and validation rows; all other rows test.

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
    if not (per_class is None or is_whole(per_class)) or not is_whole(seed):
        raise HilbertuneError(f"per_class and seed must be whole numbers, not {per_class!r} and {seed!r}.")
    if per_class is not None and per_class < 1:
        raise HilbertuneError(f"per_class must be at least 1, not {per_class}.")
    if not isinstance(validation, Real) or not 0 <= validation < 1:
        raise HilbertuneError(f"validation must be a share from 0 to below 1, not {validation}.")
    if seed < 0:
        raise HilbertuneError(f"seed must be 0 or more, not {seed}.")
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    if task in ("multi-label", "regression"):
        if per_class is not None:
            raise HilbertuneError(
                f"per_class has no meaning for {task} data, whose rows do not have one class each: leave it out."
            )
        return _split_of_all(len(list(labels)), validation, generator)
    classes, indices = encode_labels(labels)
    drawn = []
    for index, value in enumerate(classes):
        rows = np.flatnonzero(indices == index)
        if per_class is not None and len(rows) < per_class:
            raise HilbertuneError(
                f"Class {value!r} has {len(rows)} rows, fewer than per_class = {per_class}: ask for fewer or add rows."
            )
        drawn.append(generator.permutation(rows)[:per_class].astype(np.int64))
    taken = _validation_rows([len(rows) for rows in drawn], validation)
    everything = np.arange(len(indices), dtype=np.int64)
    return Split(
        train=generator.permutation(np.concatenate([rows[n:] for rows, n in zip(drawn, taken, strict=True)])),
        validation=generator.permutation(np.concatenate([rows[:n] for rows, n in zip(drawn, taken, strict=True)])),
        test=generator.permutation(np.setdiff1d(everything, np.concatenate(drawn))),
    )


def draw_by_class(labels: Sequence[Any], count: int, *, seed: int, task: Task = "classification") -> list[int]:
    """Draw rows so that each class has its share of them; return their places, ascending.

    Shares are rounded by largest remainder, and every class has a row if there are as many rows as classes. Rows of
    multi-label data and numbers, which have no one class, are drawn from all. The same seed draws the same rows.
    """
    if count >= len(labels):
        return list(range(len(labels)))
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    if task in ("multi-label", "regression"):
        return sorted(generator.permutation(len(labels))[:count].tolist())
    places: dict[Any, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    rows = list(places.values())
    least = int(count >= len(rows))
    exact = [count * len(own) / len(labels) for own in rows]
    sizes = [max(least, math.floor(share)) for share in exact]
    # One at a time to the class, or from the class, that is furthest from its share.
    while sum(sizes) < count:
        sizes[int(np.argmax([share - size for share, size in zip(exact, sizes, strict=True)]))] += 1
    while sum(sizes) > count:
        surplus = [size - share if size > least else -math.inf for share, size in zip(exact, sizes, strict=True)]
        sizes[int(np.argmax(surplus))] -= 1
    drawn = [generator.permutation(own)[:size].tolist() for own, size in zip(rows, sizes, strict=True)]
    return sorted(place for own in drawn for place in own)


def _split_of_all(rows: int, share: float, generator: np.random.Generator) -> Split:
    """Divide all rows, whatever their labels, into training and validation rows."""
    if not rows:
        raise HilbertuneError("There are no labels: training needs labelled rows.")
    order = generator.permutation(rows).astype(np.int64)
    taken = _validation_rows([rows], share)[0]
    return Split(train=order[taken:], validation=order[:taken], test=np.zeros(0, dtype=np.int64))


def _validation_rows(sizes: list[int], share: float) -> list[int]:
    """Return the number of validation rows of each class: by largest remainder, at most all rows but one."""
    # Rounded first, since 0.07 * 100 is a little more than 7 in floating point.
    total = math.ceil(round(share * sum(sizes), 9))
    if total and max(sizes) == 1:
        raise HilbertuneError(
            f"{sum(sizes)} rows for {len(sizes)} classes leave none for validation: add rows or set validation to 0."
        )
    quotas = [total * size / sum(sizes) for size in sizes]
    taken = [min(math.floor(quota), size - 1) for quota, size in zip(quotas, sizes, strict=True)]
    for _ in range(min(total, sum(sizes) - len(sizes)) - sum(taken)):
        free = [index for index, size in enumerate(sizes) if taken[index] < size - 1]
        taken[max(free, key=lambda index: quotas[index] - taken[index])] += 1
    return taken
