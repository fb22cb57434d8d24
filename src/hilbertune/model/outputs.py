"""The number of logits of a task, and the number of classes that they tell apart; needs no torch.

In: a task and a count.
Out: the other count.
"""

from hilbertune.config.records import Task
from hilbertune.errors import HilbertuneError


def outputs(task: Task, classes: int) -> int:
    """Return the number of logits: one per class; one per step of an ordinal scale (Li and Lin 2007); one for a number.

    Raises:
        HilbertuneError: too few classes.
    """
    if task == "regression":
        return 1
    fewest = 1 if task == "multi-label" else 2
    if classes < fewest:
        raise HilbertuneError(f"task={task!r} needs at least {fewest} classes, not {classes}.")
    return classes - 1 if task == "ordinal" else classes


def classes_of(task: Task, outputs: int) -> int:
    """Return how many classes a head with this many logits tells apart; 0 for numbers."""
    return {"ordinal": outputs + 1, "regression": 0}.get(task, outputs)
