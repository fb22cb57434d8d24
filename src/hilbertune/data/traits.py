"""What a table of numbers is like, as far as settings that are left to the data depend on it.

In: rows [rows, features], with their task and their number of classes.
Out: the `Traits` that the rule of config/automatic.py reads.
"""

import numpy as np

from hilbertune.config.automatic import Traits
from hilbertune.config.records import Task
from hilbertune.data.columns import on_one_scale

SAME_LENGTH = 0.01
"""Largest deviation of the rows' lengths, as a share of their mean, with which they count as equal."""


def traits_of(rows: np.ndarray, task: Task, classes: int, *, embedded: bool = False) -> Traits:
    """Return the traits of training rows; `embedded`: they come from an embedding model, whatever they look like."""
    features = rows.shape[1]
    if embedded:
        return Traits(task, features, classes)
    numbers = rows.astype(np.float64)
    lengths = np.linalg.norm(numbers, axis=1)
    if lengths.std() <= SAME_LENGTH * lengths.mean():
        return Traits(task, features, classes)
    return Traits(task, features, classes, lengths_differ=True, units_differ=not on_one_scale(numbers))
