"""The price of circuits: published formulas, and the record of an estimate.

In: shots and gates.
Out: a price with its unit and source; an `Estimate`.
"""

from dataclasses import dataclass
from typing import Any, Literal

Pricing = Literal["vendor", "azure", "braket", "free"]


def formula(pricing: Pricing, shots: int, one: int, two: int) -> dict[str, Any]:
    """Return the published price of one circuit on a Forte, in USD; contracts differ.

    azure: at least 12.4166 per job, else 0.000220 a one-qubit gate and shot and 0.000975 a two-qubit gate and shot
    (Azure Quantum's list of December 2024; the minimum is taken for each circuit). braket: 0.30 a task and 0.08 a shot
    (Amazon Braket's list, undated copy).
    """
    if pricing == "azure":
        cost = max(12.4166, shots * (0.000220 * one + 0.000975 * two))
        return {"cost": cost, "unit": "USD", "source": "Azure Quantum's list, December 2024"}
    if pricing == "braket":
        return {"cost": 0.30 + 0.08 * shots, "unit": "USD", "source": "Amazon Braket's list, Forte"}
    return {"cost": 0.0, "unit": "USD", "source": "free"}


@dataclass(frozen=True)
class Estimate:
    """The cost, in `unit`, and extent of batches; None where it is not known."""

    batches: int
    circuits: int
    shots: int
    one_qubit_gates: int
    two_qubit_gates: int
    cost: float
    unit: str
    source: str
    seconds: float | None
    queue_seconds: float | None
    kwh: float | None = None
