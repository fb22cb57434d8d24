"""The price of circuits: published formulas, estimates that are really numbers, limits, and the record of an estimate.

In: shots and gates; what a vendor calls a price; a limit.
Out: a price with its unit and source; an `Estimate`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hilbertune.errors import HilbertuneError

Pricing = Literal["vendor", "azure", "braket", "free"]

_AZURE = (
    "Azure Quantum's list of December 2024: 0.000220 a one-qubit and 0.000975 a two-qubit gate and shot, "
    "at least 12.4166 a circuit"
)
_BRAKET = "Amazon Braket's list for Forte, an undated copy: 0.30 a circuit and 0.08 a shot"


def formula(pricing: Pricing, shots: int, one: int, two: int) -> dict[str, Any]:
    """Return the published price of one circuit on a Forte, in USD; contracts differ.

    azure: at least 12.4166 per job, else 0.000220 a one-qubit gate and shot and 0.000975 a two-qubit gate and shot
    (Azure Quantum's list of December 2024; the minimum is taken for each circuit). braket: 0.30 a task and 0.08 a shot
    (Amazon Braket's list, undated copy).
    """
    if pricing == "azure":
        cost = max(12.4166, shots * (0.000220 * one + 0.000975 * two))
        return {"cost": cost, "unit": "USD", "source": _AZURE}
    if pricing == "braket":
        return {"cost": 0.30 + 0.08 * shots, "unit": "USD", "source": _BRAKET}
    return {"cost": 0.0, "unit": "USD", "source": "free"}


def checked_price(said: Any, name: str) -> dict[str, Any]:
    """Return a price as a provider gave it, its cost finite and not negative; times that are no numbers become None.

    Raises:
        HilbertuneError: it is no price.
    """
    if not isinstance(said, Mapping) or not _is_amount(said.get("cost")):
        cost = said.get("cost") if isinstance(said, Mapping) else said
        raise HilbertuneError(
            f"{name} gives no usable estimate (its cost is {str(cost)[:40]}): nothing was sent; name a published "
            "formula with --pricing azure or braket."
        )
    if not isinstance(unit := said.get("unit"), str) or not unit.strip():
        raise HilbertuneError(f"{name} gives an estimate without a unit: name a published formula with --pricing.")
    times = {key: said.get(key) if _is_amount(said.get(key)) else None for key in ("seconds", "queue_seconds")}
    return {"cost": float(said["cost"]), "unit": unit, "source": str(said.get("source") or name), **times}


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def amount_or_none(value: Any) -> float | None:
    """Return a bill or an energy as a number, None if it is none."""
    return float(value) if _is_amount(value) else None


def same_unit(units: "set[str]") -> str:
    """Return the one unit of several prices, whatever its letters' case; that of nothing is USD.

    Raises:
        HilbertuneError: amounts of different units, which have no sum.
    """
    if len({unit.casefold() for unit in units}) > 1:
        raise HilbertuneError(
            f"Prices come in {' and '.join(sorted(units))}, which have no sum: nothing was sent; use one --pricing, "
            "and another run directory for other units."
        )
    return min(units, default="USD")


def checked_limit(limit: Any) -> float | None:
    """Return a spending limit, None for none given.

    Raises:
        HilbertuneError: it is not a finite number of at least 0.
    """
    if limit is not None and not _is_amount(limit):
        raise HilbertuneError(f"max_cost must be a finite number of at least 0, not {str(limit)[:40]}.")
    return None if limit is None else float(limit)


@dataclass(frozen=True)
class Estimate:
    """The cost, in `unit`, and extent of batches; None where it is not known.

    Circuits, shots and gates are those of the rows; `checks` more circuits check the order of bits, and `check_cost` is
    their part of `cost`.
    """

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
    checks: int = 0
    check_cost: float = 0.0
