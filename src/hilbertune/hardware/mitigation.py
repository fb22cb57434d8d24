"""Counts turned into expectations, and the undoing of errors: readout correction and zero-noise extrapolation.

In: counts of a circuit's measured qubits; expectations at several noise scales.
Out: <Z> of each measured qubit, with fewer errors.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hilbertune.circuit.binding import BoundCircuit, Gate
from hilbertune.hardware.ledger import Counts


def expectations_of(counts: Counts) -> Float[np.ndarray, " measured"]:
    """Return <Z> of each measured qubit: bit i, from the right, is the i-th."""
    total = sum(counts.values())
    width = len(next(iter(counts)))
    z = np.zeros(width)
    for bits, share in counts.items():
        z += share * np.array([1 - 2 * int(b) for b in reversed(bits)])
    return np.asarray(z / total)


def calibration_circuits(qubits: int) -> list[BoundCircuit]:
    """Return the two circuits that show readout errors: all qubits in |0>, and all in |1>."""
    everything = tuple(range(qubits))
    ones = tuple(Gate(q, None, np.pi) for q in everything)
    return [BoundCircuit(qubits, gates, everything) for gates in ((), ones)]


def without_readout_error(
    z: Float[np.ndarray, " measured"], zero: Float[np.ndarray, " measured"], one: Float[np.ndarray, " measured"]
) -> Float[np.ndarray, " measured"]:
    """Return <Z> with each qubit's readout error undone; `zero` and `one` are what |0> and |1> are read as.

    A readout that flips 0 with probability a and 1 with b turns <Z> into (b - a) + (1 - a - b) <Z>; the two
    calibrations are the ends of that line.
    """
    return np.asarray((2 * z - (zero + one)) / np.maximum(zero - one, 0.1))


def extrapolated(scales: Sequence[int], values: Float[np.ndarray, "scales ..."]) -> Float[np.ndarray, "..."]:
    """Return the values at noise 0: on the line through two scales, or by least squares through more.

    Richardson's exact polynomial through many scales would multiply shot noise.
    """
    if len(scales) == 1:
        return np.asarray(values[0])
    x = np.asarray(scales, np.float64)
    design = np.stack([np.ones_like(x), x], axis=1)
    row = np.linalg.pinv(design)[0]
    return np.asarray(np.tensordot(row, values, axes=1))
