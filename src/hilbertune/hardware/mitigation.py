"""The head on hardware: programs in batches, written down, estimated, capped, sent, waited for, and turned into expectations.

In: a provider (IonQ's cloud, or any Qiskit backend), a folder for the ledger, shots and a spending limit. Out: a `HardwareBackend`, which stands where an engine
stands: `expectation(..., engine=backend)`, `model.head_.head.engine = backend`, so that `predict`, `evaluate` and `train` run on it unchanged. The same call after a crash
finds its batches in the ledger: nothing is sent, or paid, twice.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hilbertune.hardware.ledger import Counts


def expectations_of(counts: Counts) -> Float[np.ndarray, " measured"]:
    """<Z> of each measured qubit: bit i, from the right, is the i-th."""
    total = sum(counts.values())
    width = len(next(iter(counts)))
    z = np.zeros(width)
    for bits, share in counts.items():
        z += share * np.array([1 - 2 * int(b) for b in reversed(bits)])
    return np.asarray(z / total)


def extrapolated(scales: Sequence[int], values: Float[np.ndarray, "scales ..."]) -> Float[np.ndarray, "..."]:
    """Values at noise 0: the polynomial through two scales, a straight line by least squares through more (Richardson's exact polynomial
    through many scales multiplies shot noise)."""
    if len(scales) == 1:
        return np.asarray(values[0])
    x = np.asarray(scales, np.float64)
    design = np.stack([np.ones_like(x), x], axis=1)
    row = np.linalg.pinv(design)[0]
    return np.asarray(np.tensordot(row, values, axes=1))
