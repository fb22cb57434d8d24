"""Results of a job, believed only as far as they can be: form and sum of counts, and a circuit whose answer is known.

In: circuits, shots, and what came back.
Out: nothing, or one sentence that says what cannot be true.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hilbertune.circuit.binding import BoundCircuit, Gate
from hilbertune.hardware.ledger import Counts


def check_circuit(qubits: int) -> BoundCircuit:
    """Return the circuit that shows the order of bits: X on qubit 0, all others in |0>, every qubit measured."""
    return BoundCircuit(qubits, (Gate(0, None, math.pi),), tuple(range(qubits)))


def fault(counts: Any, circuits: Sequence[BoundCircuit], shots: int) -> str | None:
    """Return what cannot be true of the counts of these circuits, None if nothing."""
    if not isinstance(counts, Sequence) or len(counts) != len(circuits):
        found = len(counts) if isinstance(counts, Sequence) else 0
        return f"there are results for {found} circuits, not {len(circuits)}"
    for number, (own, circuit) in enumerate(zip(counts, circuits, strict=True), 1):
        if said := fault_of_one(own, circuit, shots):
            return f"circuit {number} {said}"
    return None


def fault_of_one(counts: Any, circuit: BoundCircuit, shots: int) -> str | None:
    """Return what cannot be true of one circuit's counts, None if nothing; they are shares, or counts of all shots."""
    if not isinstance(counts, Mapping) or not counts:
        return "has no counts"
    width = len(circuit.measured)
    for bits, value in counts.items():
        if not isinstance(bits, str) or len(bits) != width or bits.strip("01"):
            return f"has the outcome {str(bits)[:40]!r}, which is not {width} bits"
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:
            return f"has {str(value)[:40]} of the outcome {bits}"
    total = math.fsum(counts.values())
    # A shot that is missing shows, rounding does not.
    slack = max(1e-6, min(1e-3, 0.4 / shots))
    if abs(total - 1) > slack and abs(total - shots) > slack:
        return f"has outcomes that sum to {total:.6g}, which is neither 1 nor its {shots} shots"
    return None


def wrong_order(counts: Counts) -> str | None:
    """Return how the counts of `check_circuit` contradict it, None if most of them are what it must give.

    Noise and readout errors leave the right state the most frequent one.
    """
    width = len(next(iter(counts)))
    right, reversed_ = "1".rjust(width, "0"), "1".ljust(width, "0")
    most = max(counts.values())
    if counts.get(right, 0.0) == most:
        return None
    seen = max(counts, key=lambda bits: counts[bits])
    how = "in reversed order" if seen == reversed_ else "wrongly"
    said = f"the circuit whose answer is known came back {how}: most often as {seen}, not {right}"
    return f"{said} (qubit 0 is the last bit)"
