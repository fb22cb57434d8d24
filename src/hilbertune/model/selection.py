"""The one rule of choosing on validation: the highest accuracy, then the lowest loss.

In: what validation measured of an epoch, a run or a trial; None or NaN where there is no such figure.
Out: a rank that Python compares.
"""

import math

WORST = -math.inf
"""The rank of a figure that is missing."""


def rank(accuracy: float | None, loss: float | None) -> tuple[float, float]:
    """Return a pair that is larger the better a result is: accuracy first, loss only between equal accuracies.

    A missing figure (None or NaN) ranks below any other; numbers, which have no accuracy, are ranked by their loss.
    """
    return _known(accuracy), _known(None if loss is None else -loss)


def _known(value: float | None) -> float:
    return WORST if value is None or math.isnan(value) else float(value)
