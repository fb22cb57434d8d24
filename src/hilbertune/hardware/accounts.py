"""What runs took and how far they are, from their ledgers alone: no vendor is asked, and torch is not needed.

In: a ledger, or a folder with run directories below it.
Out: the figures of a ledger; an `Entry` for each run, and sums for each currency.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from hilbertune.errors import HilbertuneError
from hilbertune.hardware.folder import Description, read_description
from hilbertune.hardware.ledger import Batch, Ledger

LEDGER = "ledger.sqlite"


@dataclass(frozen=True)
class Entry:
    """A run; None where its folder does not say, as that of a `HardwareBackend` does not know of rows.

    `spent` takes the estimates of jobs without a bill, `billed` leaves them out. `begun` and `ended` are seconds
    since 1970. Of a folder that cannot be read there is only `error`.
    """

    folder: Path
    state: str
    backend: str | None = None
    shots: int | None = None
    members: int | None = None
    rows: int | None = None
    rows_done: int | None = None
    estimated: float | None = None
    billed: float | None = None
    spent: float | None = None
    unit: str | None = None
    jobs_without_bill: int = 0
    begun: float | None = None
    ended: float | None = None
    error: str | None = None


def totals(ledger: Ledger) -> dict[str, Any]:
    """Return a ledger in figures: batches by state; circuits, shots and gates of what is done; costs and kWh.

    What was billed includes jobs that failed and those that the vendor made twice, which are listed by themselves.
    What was spent takes a bill where there is one, and else the estimate. `unit` is None in older ledgers.
    """
    batches, extras = ledger.batches(), ledger.extras()
    done = [b for b in batches if b.state == "done"]
    billed = [b for b in (*(b.billed for b in batches), *(e.billed for e in extras)) if b is not None]
    kwh = [b.kwh for b in done if b.kwh]
    states = sorted({b.state for b in batches})
    units = sorted({b.unit for b in batches if b.unit is not None})
    return {
        "batches": {state: sum(b.state == state for b in batches) for state in states},
        "circuits": sum(b.circuits for b in done),
        "shots": sum(b.circuits * b.shots for b in done),
        "one_qubit_gates": sum(b.one_qubit_gates for b in done),
        "two_qubit_gates": sum(b.two_qubit_gates for b in done),
        "estimated": sum(b.cost or 0.0 for b in batches),
        "billed": sum(billed) if billed else None,
        "spent": sum(billed) + ledger.without_bill(),
        "unit": units[0] if units else None,
        "jobs_without_bill": len(ledger.unbilled()),
        "extra_jobs": [vars(extra) for extra in extras],
        "kwh_vendor_reported": sum(kwh) if kwh else None,
        "joules_vendor_reported": 3.6e6 * sum(kwh) if kwh else None,
    }


def find_runs(root: Path) -> Iterator[Path]:
    """Return every folder below `root`, itself included, that has a ledger; hidden folders and links are left out."""
    for folder, names, files in os.walk(root):
        if LEDGER in files:
            names.clear()
            yield Path(folder)
        names[:] = sorted(name for name in names if not name.startswith("."))


def entry_of(folder: Path) -> Entry:
    """Return what the ledger of a folder says; one that cannot be read is an entry, too."""
    try:
        about = read_description(folder) if (folder / "run.json").exists() else None
        ledger = Ledger(folder / LEDGER, new=False)
        try:
            return _entry(folder, about, ledger)
        finally:
            ledger.close()
    except (HilbertuneError, OSError) as error:
        return Entry(folder, "unreadable", error=str(error))


def _entry(folder: Path, about: Description | None, ledger: Ledger) -> Entry:
    batches, figures = ledger.batches(), totals(ledger)
    rows = None if about is None else rows_of(folder)
    ends = [b.done_at for b in batches if b.done_at is not None]
    shots = {b.shots for b in batches}
    return Entry(
        folder,
        state_of(batches),
        backend=about.options.backend if about else next((b.backend for b in batches), None),
        shots=about.options.shots if about else (shots.pop() if len(shots) == 1 else None),
        members=about.members if about else None,
        rows=rows,
        rows_done=None if about is None or rows is None else rows_done(about, ledger, batches, rows),
        estimated=figures["estimated"],
        billed=figures["billed"],
        spent=figures["spent"],
        unit=figures["unit"],
        jobs_without_bill=figures["jobs_without_bill"],
        begun=min((b.sent_at for b in batches if b.sent_at is not None), default=None),
        ended=max(ends) if ends and len(ends) == len(batches) else None,
    )


def state_of(batches: Sequence[Batch]) -> str:
    """Return the state of a run in a word or three: that of its batches which needs a person most."""
    states = {b.state for b in batches}
    for state, words in (
        ("sending", "in doubt"),
        ("refused", "refused"),
        ("vanished", "vanished"),
        ("failed", "failed"),
        ("sent", "at the vendor"),
        ("cancelled", "cancelled"),
    ):
        if state in states:
            return words
    if "planned" in states:
        return "partly sent" if "done" in states else "not sent"
    return "done" if batches else "not sent"


def rows_of(folder: Path) -> int | None:
    """Return how many rows a run directory measures, None if its file of rows cannot be read."""
    try:
        with safetensors.safe_open(folder / "rows.safetensors", "numpy") as file:
            return int(file.get_slice("truth").get_shape()[0])
    except (OSError, ValueError, IndexError, safetensors.SafetensorError):
        return None


def rows_done(about: Description, ledger: Ledger, batches: Sequence[Batch], rows: int) -> int | None:
    """Return how many rows have all of their results: of every head and at every noise scale.

    None where the batches are not those of the rows, as in a folder that something else was measured in, too.
    """
    calibrations = 2 * about.options.readout
    whole = calibrations + len(about.options.scales) * about.members * rows
    have = np.zeros(sum(b.circuits for b in batches), bool)
    start = 0
    for batch in batches:  # in the order of their circuits
        have[[start + number for number in ledger.results(batch.hash) if number < batch.circuits]] = True
        start += batch.circuits
    if not len(have):
        return 0
    if len(have) != whole:
        return None
    return int(have[calibrations:].reshape(-1, rows).all(0).sum())


def sums(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """Return for each currency the number of runs and what they were estimated, billed and spent in all.

    "" stands for ledgers of older versions, which do not name theirs. Runs that sent nothing that costs are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if not (entry.spent or entry.billed):
            continue
        own = found.setdefault((entry.unit or "").upper(), {"runs": 0, "estimated": 0.0, "billed": 0.0, "spent": 0.0})
        own["runs"] += 1
        for name in ("estimated", "billed", "spent"):
            own[name] += getattr(entry, name) or 0.0
    return found
