"""Money and a QPU: what a run would take in words, and the question before it is spent.

In: an estimate, and a limit if one was given.
Out: a spending limit that somebody agreed to.
"""

import sys
from typing import TYPE_CHECKING

from hilbertune.cli.output import say
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.hardware.pricing import Estimate


def in_words(estimate: "Estimate", rows: int, members: int = 1, scales: int = 1) -> str:
    """Return an estimate as a sentence; that of several heads says how their circuits come about.

    Args:
        estimate: of all circuits.
        rows: the rows that are measured.
        members: the heads that measure each of them.
        scales: the noise scales at which each circuit runs.
    """
    circuits = f"{estimate.circuits:,} circuits"
    if members > 1:
        parts = f"{members} heads x {rows:,} rows" + (f" x {scales} noise scales" if scales > 1 else "")
        others = estimate.circuits - members * rows * scales
        circuits = parts + (f" + {others} for readout" if others else "") + f" = {circuits}"
    time = "" if estimate.seconds is None else f", {estimate.seconds:.0f} s on the device"
    queue = "" if not estimate.queue_seconds else f", {estimate.queue_seconds / 60:.0f} minutes of queue"
    return (
        f"{circuits} in {estimate.batches} job(s), {estimate.shots:,} shots; "
        f"{estimate.one_qubit_gates:,} one-qubit and {estimate.two_qubit_gates:,} two-qubit gates; "
        f"{estimate.cost:.2f} {estimate.unit} ({estimate.source}){time}{queue}; energy: not known before the run."
    )


def allowed(estimate: "Estimate", max_cost: float | None) -> float:
    """Return the spending limit; ask where none was given.

    Raises:
        HilbertuneError: the estimate is higher than the limit, or nobody confirmed.
    """
    if max_cost is None:
        return confirmed(f"Spend {estimate.cost:.2f} {estimate.unit}", estimate.cost)
    if estimate.cost > max_cost:
        raise HilbertuneError(
            f"The estimate of {estimate.cost:.2f} {estimate.unit} is above --max-cost {max_cost:.2f}: "
            "use fewer rows or shots, or raise it, then 'hilbertune qpu resume'."
        )
    return max_cost


def confirmed(question: str, cost: float) -> float:
    """Ask for a yes and return the cost; without a cost, ask nothing.

    Raises:
        HilbertuneError: nobody is there to answer, or the answer is no.
    """
    if not cost:
        return 0.0
    if not sys.stdin.isatty():
        raise HilbertuneError(
            f"{question}? Nobody can confirm here: give --max-cost {cost:.2f} or more to 'hilbertune qpu resume'."
        )
    say(f"{question}? Type yes to continue:")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise HilbertuneError("Not confirmed: nothing was sent; 'hilbertune qpu resume' asks again.")
    return cost
