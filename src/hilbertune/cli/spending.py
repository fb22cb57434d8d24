"""Money and a QPU: what a run would take in words, and the question before it is spent.

In: an estimate, and a limit if one was given.
Out: a spending limit that somebody agreed to.
"""

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilbertune.cli.output import say
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.hardware.budget import Choice, Plan
    from hilbertune.hardware.options import Options
    from hilbertune.hardware.pricing import Estimate


def money(amount: float, unit: str | None) -> str:
    """Return an amount with its currency; older ledgers do not name theirs."""
    return f"{amount:,.2f} {unit.upper() if unit else '(currency not written down)'}"


def limit_for(cost: float) -> str:
    """Return the smallest limit in cents that a cost is within, as it is typed after --max-cost."""
    return f"{math.ceil(cost * 100 - 1e-6) / 100:.2f}"


def in_words(estimate: "Estimate", rows: int, members: int = 1, scales: int = 1) -> str:
    """Return an estimate as sentences; that of several heads says how their circuits come about.

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
    return (
        f"{circuits} in {estimate.batches} job(s), {estimate.shots:,} shots; "
        f"{estimate.one_qubit_gates:,} one-qubit and {estimate.two_qubit_gates:,} two-qubit gates.\n"
        f"Price: {price_in_words(estimate, rows)}\n"
        f"Time: {_time_in_words(estimate)} Energy: not known before the run."
    )


def price_in_words(estimate: "Estimate", rows: int) -> str:
    """Return the price of a row and of all rows, and who says so."""
    if not estimate.cost:
        return f"nothing ({estimate.source})."
    checks = (
        f", {money(estimate.check_cost, estimate.unit)} of it for {estimate.checks} circuit(s) that check the order "
        "of bits"
        if estimate.checks
        else ""
    )
    a_row, whole = (money(cost, estimate.unit) for cost in (estimate.cost / rows, estimate.cost))
    return f"{a_row} a row, {whole} in all{checks} ({estimate.source})."


def _time_in_words(estimate: "Estimate") -> str:
    """Return how long a run takes as far as its estimate says so, and who says so."""
    known = []
    if estimate.seconds is not None:
        known.append(f"{duration(estimate.seconds)} on the device")
    if estimate.queue_seconds:
        known.append(f"{duration(estimate.queue_seconds)} of queue")
    if not known:
        more = "; only IonQ's own estimate names times (--pricing vendor, which needs a key)" if estimate.cost else ""
        return f"not known before the run{more}."
    return f"{' after '.join(known)} ({estimate.source})."


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def plan_in_words(plan: "Plan", options: "Options", rows: int, of: int, command: str) -> str:
    """Return what a budget buys, as lines: rows, shots, a table of both, and the suggestion with its reason.

    Args:
        plan: what fits.
        options: of the run that was asked for.
        rows: that were asked for.
        of: the rows of the file.
        command: that measures, without rows, shots and limit.
    """
    fits = f"{plan.rows:,} of {of:,} rows" if plan.rows else "not one row"
    shots = f"{plan.shots:,} shots a row" if plan.shots else "not even one shot a row"
    lines = [
        f"What fits in {money(plan.budget, plan.unit)}:",
        f"  at {options.shots:,} shots a row: {fits}",
        f"  at {rows:,} rows: {shots}",
    ]
    if plan.best is None:
        why = "nothing fits" if not (plan.rows or plan.shots) else "only answers that are a class have an accuracy"
        return "\n".join([*lines, f"No suggestion: {why}."])
    gates = (
        "shot noise and the published gate errors of the device" if plan.noise else "shot noise, without gate errors"
    )
    lines += [
        f"Rows against shots, simulated with {gates} on {plan.simulated_rows:,} rows:",
        "  shots   rows         cost  accuracy  lost to shots  standard error  off by",
    ]
    lines += [
        f"{one.shots:7,}{one.rows:7,}{one.cost:13,.2f}{one.accuracy:10.3f}{one.lost:15.3f}{one.standard_error:16.3f}"
        f"{one.off:8.3f}"
        for one in plan.choices
    ]
    return "\n".join([*lines, _suggestion(plan, plan.best, command)])


def _suggestion(plan: "Plan", best: "Choice", command: str) -> str:
    """Return the choice that is least off, why, and the command that runs it."""
    larger = "the choice of rows" if best.standard_error > best.lost else "shot noise"
    return (
        f"Suggested: --rows {best.rows} --shots {best.shots}, {money(best.cost, plan.unit)}. Its accuracy would be off "
        f"by about {best.off:.3f}, least of all: {best.standard_error:.3f} from measuring only {best.rows:,} rows, "
        f"{best.lost:.3f} from so few shots. Most of it is {larger}.\n"
        f"  {command} --rows {best.rows} --shots {best.shots} --max-cost {limit_for(best.cost)} --out FOLDER"
    )


def bill_in_words(ledger: Mapping[str, Any], rows: int) -> str:
    """Return what a run took so far, of a row and of all, from the figures of a ledger.

    Args:
        ledger: as `results.totals` returns it.
        rows: the rows that were measured.
    """
    unit, estimated, billed = ledger["unit"], ledger["estimated"], ledger["billed"]
    measured = f"{ledger['circuits']:,} circuits, {ledger['shots']:,} shots"
    if not (estimated or billed):
        return f"{measured}, nothing to pay."
    if billed is None:
        bill = "no bill yet"
    else:
        bill = f"billed {money(billed, unit)} ({money(billed / rows, unit)} a row)"
        if ledger["jobs_without_bill"]:
            bill += f" so far ({ledger['jobs_without_bill']} jobs without a bill yet)"
    return f"{measured}, estimated {money(estimated, unit)}, {bill}."


def of_extras(ledger: Mapping[str, Any], folder: Path) -> list[str]:
    """Return a sentence about each job that the vendor made twice, from the figures of a ledger."""
    sentences = []
    for extra in ledger["extra_jobs"]:
        bill = "without a bill yet" if extra["billed"] is None else f"billed {money(extra['billed'], ledger['unit'])}"
        sentences.append(
            f"Job {extra['job']} ({extra['state']}, {bill}) carries the mark of batch {extra['batch']}, which has "
            f"another job: it was made twice; 'hilbertune qpu cancel {folder} --extra' cancels it."
        )
    return sentences


def allowed(estimate: "Estimate", max_cost: float | None, *, rows: int, folder: Path | None = None) -> float:
    """Return the spending limit; ask where none was given.

    Args:
        estimate: of the whole run.
        max_cost: the limit, None where none was given.
        rows: the rows that it is for.
        folder: the run directory, which can be resumed after a refusal; None where there is none yet.

    Raises:
        HilbertuneError: the estimate is higher than the limit, or nobody confirmed.
    """
    cost = f"{money(estimate.cost, estimate.unit)} ({money(estimate.cost / rows, estimate.unit)} a row)"
    if max_cost is None:
        return confirmed(f"Spend {cost}", estimate.cost, folder)
    if estimate.cost > max_cost * (1 + 1e-9):
        enough = f"--max-cost {limit_for(estimate.cost)}"
        raise HilbertuneError(
            f"The estimate of {cost} is above --max-cost {max_cost:.2f}: use fewer --rows or --shots ('hilbertune qpu "
            f"estimate' with --budget {max_cost:.2f} says what fits), or "
            + (f"give {enough}." if folder is None else f"run {_resume(folder)} {enough}'.")
        )
    return max_cost


def _resume(folder: Path) -> str:
    return f"'hilbertune qpu resume {folder}"


def confirmed(question: str, cost: float, folder: Path | None = None, *, spent: float = 0.0) -> float:
    """Ask for a yes and return the cost; without a cost, ask nothing.

    Args:
        question: to be answered with yes.
        cost: that is asked about.
        folder: the run directory, None where there is none yet.
        spent: what the limit must cover besides.

    Raises:
        HilbertuneError: nobody is there to answer, or the answer is no.
    """
    if not cost:
        return 0.0
    if not sys.stdin.isatty():
        enough = f"--max-cost {limit_for(spent + cost)}"
        how = f"give {enough} or more" if folder is None else f"run {_resume(folder)} {enough}'"
        raise HilbertuneError(f"{question}? Nobody can confirm here: {how}.")
    say(f"{question}? Type yes to continue:")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        again = "" if folder is None else f"; {_resume(folder)}' asks again"
        raise HilbertuneError(f"Not confirmed: nothing was sent{again}.")
    return cost
