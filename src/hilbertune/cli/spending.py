"""Money and a QPU: what a run would take in words, and the question before it is spent.

In: an estimate, and a limit if one was given.
Out: a spending limit that somebody agreed to.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilbertune.cli.output import say
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.hardware.pricing import Estimate

_RESUME = "'hilbertune qpu resume'"


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
    checks = (
        f", {estimate.check_cost:.2f} of it for {estimate.checks} circuit(s) that check the order of bits"
        if estimate.checks
        else ""
    )
    queue = "" if not estimate.queue_seconds else f", {estimate.queue_seconds / 60:.0f} minutes of queue"
    return (
        f"{circuits} in {estimate.batches} job(s), {estimate.shots:,} shots; "
        f"{estimate.one_qubit_gates:,} one-qubit and {estimate.two_qubit_gates:,} two-qubit gates; "
        f"{estimate.cost:.2f} {estimate.unit} ({estimate.source}{checks}){time}{queue}; "
        "energy: not known before the run."
    )


def of_extras(ledger: Mapping[str, Any], folder: Path) -> list[str]:
    """Return a sentence about each job that the vendor made twice, from the figures of a ledger."""
    sentences = []
    for extra in ledger["extra_jobs"]:
        bill = "without a bill yet" if extra["billed"] is None else f"billed {extra['billed']:.2f}"
        sentences.append(
            f"Job {extra['job']} ({extra['state']}, {bill}) carries the mark of batch {extra['batch']}, which has "
            f"another job: it was made twice; 'hilbertune qpu cancel {folder} --extra' cancels it."
        )
    return sentences


def allowed(estimate: "Estimate", max_cost: float | None, *, again: bool = True) -> float:
    """Return the spending limit; ask where none was given.

    Args:
        estimate: of the whole run.
        max_cost: the limit, None where none was given.
        again: the run has a directory, which can be resumed after a refusal.

    Raises:
        HilbertuneError: the estimate is higher than the limit, or nobody confirmed.
    """
    if max_cost is None:
        return confirmed(f"Spend {estimate.cost:.2f} {estimate.unit}", estimate.cost, again=again)
    if estimate.cost > max_cost:
        raise HilbertuneError(
            f"The estimate of {estimate.cost:.2f} {estimate.unit} is above --max-cost {max_cost:.2f}: "
            f"use fewer rows or shots, or raise it{', then ' + _RESUME if again else ''}."
        )
    return max_cost


def confirmed(question: str, cost: float, *, again: bool = True) -> float:
    """Ask for a yes and return the cost; without a cost, ask nothing.

    Raises:
        HilbertuneError: nobody is there to answer, or the answer is no.
    """
    if not cost:
        return 0.0
    if not sys.stdin.isatty():
        where = f" to {_RESUME}" if again else ""
        raise HilbertuneError(f"{question}? Nobody can confirm here: give --max-cost {cost:.2f} or more{where}.")
    say(f"{question}? Type yes to continue:")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise HilbertuneError(f"Not confirmed: nothing was sent{'; ' + _RESUME + ' asks again' if again else ''}.")
    return cost
