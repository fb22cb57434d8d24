"""Runs on hardware for people: lists, states and results as printed text.

In: the figures of runs and the entries of a list.
Out: lines on stdout.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilbertune.cli.spending import bill_in_words, money, of_extras
from hilbertune.cli.tables import value_text
from hilbertune.runtime.escaping import visible

if TYPE_CHECKING:
    from hilbertune.hardware.accounts import Entry


def print_runs(entries: Sequence["Entry"], sums: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a line a run, what they cost in each currency, and what to do about those that are not done."""
    lines: list[tuple[str, ...]] = [("run", "backend", "state", "rows", "shots", "cost", "a row", "sent")]
    lines += [_cells(entry) for entry in entries if entry.error is None]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines if len(lines) > 1 else []:
        texts = [
            cell.ljust(width) if place < 3 or place == 7 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(texts).rstrip())
    for unit, own in sums.items():
        open_ = own["spent"] - own["billed"]
        estimates = f", {money(open_, unit)} of it estimates of jobs without a bill" if open_ > 0.005 else ""
        print(f"{own['runs']} run(s) cost {money(own['spent'], unit)}{estimates}.")
    for entry in entries:
        if entry.error is not None:
            print(visible(f"{entry.folder} cannot be read: {entry.error}"))
        elif entry.state != "done":
            print(f"{visible(entry.folder)} is {entry.state}: 'hilbertune qpu resume {visible(entry.folder)}'.")


def _cells(entry: "Entry") -> tuple[str, ...]:
    done = "?" if entry.rows_done is None else str(entry.rows_done)
    rows = "" if entry.rows is None else f"{done} of {entry.rows}"
    cost = money(entry.spent or 0.0, entry.unit) if entry.spent else "0"
    about = "about " if (entry.spent or 0.0) > (entry.billed or 0.0) else ""
    a_row = money(entry.spent / entry.rows_done, entry.unit) if entry.spent and entry.rows_done else ""
    sent = "" if entry.begun is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.begun))
    shots = "" if entry.shots is None else f"{entry.shots:,}"
    return visible(entry.folder), visible(entry.backend or ""), entry.state, rows, shots, about + cost, a_row, sent


def print_state(state: Mapping[str, Any], folder: Path) -> None:
    """Print the batches of a run, how far it is, what it cost and how it goes on.

    Args:
        state: as `status --json` prints it.
        folder: the run directory.
    """
    if "members" in state:
        print(f"{state['members']} heads x {state['rows']:,} rows")
    for b in state["jobs"]:
        job = f", job {b['job']}" if b["job"] else ""
        why = (b["vendor"] or b["error"] or "").removeprefix(f"job {b['job']} is ")
        about = f" ({visible(why)})" if why else ""
        print(f"batch {b['number']}: {b['state']}, {b['circuits']} circuits x {b['shots']} shots{job}{about}")
    done = "" if state["rows_done"] is None else f", {state['rows_done']} of {state['rows']} rows measured"
    print(f"The run is {state['state']}{done}; {bill_in_words(state, state['rows'])}")
    print(
        f"'hilbertune qpu {'results' if state['state'] == 'done' else 'resume'} {visible(folder)}' "
        f"{'shows' if state['state'] == 'done' else 'goes on with it and shows'} the results."
    )
    for sentence in of_extras(state, folder):
        print(sentence)


def print_results(figures: Mapping[str, Any], folder: Path) -> None:
    """Print the accuracies of a run, what it took, and where its files are."""
    from hilbertune.hardware.options import is_simulated

    if "members" in figures:
        print(f"The averaged answers of {figures['members']} heads on {figures['rows']:,} rows:")
    names = {"hardware": "simulated device"} if is_simulated(figures["backend"]) else {}
    for method, own in figures["methods"].items():
        name = names.get(method, method)
        if "accuracy" in own:
            a = own["accuracy"]
            print(f"{name:>16}: accuracy {a['mean']:.4f} (95 % interval {a['low']:.4f} to {a['high']:.4f})")
        else:
            print(f"{name:>16}: " + ", ".join(f"{k} {value_text(v)}" for k, v in own["metrics"].items()))
    error = figures["expectation_error"]
    print(
        f"Expectations differ from the exact ones by {error['root_mean_square']:.4f} "
        f"(root mean square; shots alone: {error['from_shots_alone']:.4f})."
    )
    print(f"{bill_in_words(figures['ledger'], figures['rows'])} Saved: {visible(folder)}")
    for sentence in of_extras(figures["ledger"], folder):
        print(sentence)
