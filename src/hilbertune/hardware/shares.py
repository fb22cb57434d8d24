"""Results given to the circuits that they are of, and checked: names, keys, sums, whole shots.

In: the circuits of a job, its children as the vendor names them, tables of shares.
Out: shares of the measured qubits' outcomes for each circuit, or one sentence about what does not fit.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from hilbertune.circuit.binding import BoundCircuit
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.answers import Listed, Table, read, shown
from hilbertune.hardware.ledger import Counts

ROUNDING = 1e-6
"""The most that the vendor's rounding may change a share."""

_STAYS = "ask the vendor, nothing was sent again."


def name_of(number: int, circuit: BoundCircuit) -> str:
    """Return the name of a circuit in its job: its number, and the beginning of a hash of it."""
    about = json.dumps([circuit.qubits, circuit.measured, [gate.facts() for gate in circuit.gates]])
    return f"{number} {hashlib.sha256(about.encode()).hexdigest()[:8]}"


def in_order(job: str, children: Sequence[Listed], circuits: Sequence[BoundCircuit], *, unhashed: bool) -> list[str]:
    """Return the id of each circuit's child job, found by its name, whatever the order of the children.

    `unhashed` accepts names of older versions, which have the number alone. Where the vendor gives no name at all, the
    order is the vendor's, as it documents it.

    Raises:
        HilbertuneError: the children are not those of the circuits.
    """
    if all(child.name is None for child in children) and len(children) == len(circuits):
        return [child.id for child in children]
    numbers = {name_of(number, circuit): number for number, circuit in enumerate(circuits)}
    if unhashed:
        numbers |= {str(number): number for number in range(len(circuits))}
    found: dict[int, str] = {}
    for child in children:
        number = None if child.name is None else numbers.get(child.name)
        if number is None or number in found:
            wrong = "has no name" if child.name is None else f"is named {shown(child.name, 40)!r}"
            raise HilbertuneError(
                f"IonQ's job {job} has a circuit that was not sent in it, or twice (job {child.id} {wrong}): {_STAYS}"
            )
        found[number] = child.id
    missing = [number for number in range(len(circuits)) if number not in found]
    if missing:
        raise lacking(job, missing, len(circuits))
    return [found[number] for number in range(len(circuits))]


def lacking(job: str, missing: Sequence[int], circuits: int) -> HilbertuneError:
    """Return the error about circuits that have no results; they are counted from 1."""
    named = ", ".join(str(number + 1) for number in missing[:10]) + (", ..." if len(missing) > 10 else "")
    have = circuits - len(missing)
    return HilbertuneError(
        f"IonQ's job {job} has results for {have} circuits, not {circuits} (missing: {named}): {_STAYS}"
    )


def tables_of(job: str, answer: object, children: Sequence[str], circuits: int) -> list[object]:
    """Return the table of each circuit, not checked yet, from the results of a whole job.

    Raises:
        HilbertuneError: circuits are missing, or there are results of others.
    """
    if not isinstance(answer, Mapping):
        raise HilbertuneError(f"The results of IonQ's job {job} are not a table: {_STAYS}")
    if circuits == 1 and not any(isinstance(value, Mapping) for value in answer.values()):
        return [answer]
    missing = [number for number, child in enumerate(children) if child not in answer]
    if missing:
        raise lacking(job, missing, circuits)
    if len(answer) != len(children):
        raise HilbertuneError(f"The results of IonQ's job {job} are also those of jobs that are not its own: {_STAYS}")
    return [answer[child] for child in children]


def counts_of(job: str, table: object, circuit: BoundCircuit, number: int, shots: int | None) -> Counts:
    """Return the shares of the measured qubits' outcomes from those of all qubits.

    `shots` says that each share is of whole shots, None that it need not be.

    Raises:
        HilbertuneError: the table is not one of shares of this circuit's outcomes.
    """
    of = f"The results of circuit {number + 1} of IonQ's job {job} are not probabilities"
    try:
        shares: Table = read(Table, table, "results")
    except HilbertuneError as error:
        why = str(error).partition("(")[2].partition(")")[0]
        raise HilbertuneError(f"{of} of numbered outcomes ({why}): {_STAYS}") from None
    if beyond := [key for key in shares if int(key) >> circuit.qubits]:
        raise HilbertuneError(f"{of} of its {circuit.qubits} qubits (it has the outcome {beyond[0]}): {_STAYS}")
    total = sum(shares.values())
    if abs(total - 1) > min(ROUNDING * (1 + len(shares)), 1e-3):
        raise HilbertuneError(f"{of} (their sum is {total:.6f}): {_STAYS}")
    if shots is not None and not _whole(shares.values(), shots):
        raise HilbertuneError(f"{of} of {shots:,} shots (they are not of whole shots): {_STAYS}")
    counts: Counts = {}
    for key, share in shares.items():
        state = int(key)
        bits = "".join(str(state >> q & 1) for q in reversed(circuit.measured))
        counts[bits] = counts.get(bits, 0.0) + share
    return counts


def _whole(shares: Iterable[float], shots: int) -> bool:
    """Return whether shares are of whole shots, and of all of them; where rounding hides that, they may be."""
    allowed = ROUNDING * (1 + shots)
    if allowed > 0.25:
        return True
    exact = [share * shots for share in shares]
    whole = [round(value) for value in exact]
    return sum(whole) == shots and all(abs(a - b) <= allowed for a, b in zip(exact, whole, strict=True))


def room_for(circuits: Sequence[BoundCircuit]) -> int:
    """Return the most bytes that results of these circuits can take: every outcome with its key and its share."""
    outcomes = sum(1 << min(circuit.qubits, 22) for circuit in circuits)
    return min((1 << 20) + 200 * len(circuits) + 100 * outcomes, 256 << 20)
