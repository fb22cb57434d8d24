"""The scale of columns: tables mix units, embeddings do not.

In: rows of numbers [rows, features].
Out: whether a model that adds columns up would hear the widest ones alone.
"""

import numpy as np
from jaxtyping import Shaped

WIDEST = 10.0
"""The deviation of the widest column, in those of the lower quartile, above which columns are not on one scale."""


ORDINARY = (1e-10, 1e15)
"""Largest numbers of a row between which single precision computes norms and products as they stand."""


def in_range(x: Shaped[np.ndarray, "rows features"]) -> Shaped[np.ndarray, "rows features"]:
    """Return rows divided by their largest number if that is far from 1, so that classical models can square them."""
    largest = float(np.abs(x).max(initial=0))
    return x if largest == 0 or ORDINARY[0] <= largest <= ORDINARY[1] else x / largest


def on_one_scale(x: Shaped[np.ndarray, "rows features"]) -> bool:
    """Return False if the widest column deviates more than `WIDEST` times as much as the lower quartile of columns.

    Columns that never vary are left out. Our choice: embeddings (normalised or not) and the pixels of images have
    ratios of about 2, fingerprints of molecules 7, tables of measurements with units of their own hundreds.
    """
    deviations = x.std(axis=0, dtype=np.float64)
    deviations = deviations[deviations > 0]
    if not len(deviations):
        return True
    return bool(deviations.max() <= WIDEST * np.quantile(deviations, 0.25, method="lower"))
