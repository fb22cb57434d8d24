"""The number of qubits from which a QPU takes less energy than a simulation: figures read or measured, and a report.

In: what circuits of several widths took on a simulator and on a QPU, in joules or, if nothing was metered, seconds.
Out: fits, crossings and what published claims would mean, for JSON.
"""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hilbertune.circuit.builders import head
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError, require
from hilbertune.hardware.fits import Fit, Point, crossing, qpu_fit, simulator_fit
from hilbertune.hardware.folder import members_of
from hilbertune.hardware.ledger import Ledger
from hilbertune.runtime import energy

Unit = Literal["joules", "seconds"]

Figures = tuple[Unit, Sequence[Point]]
"""The unit and the points of what circuits took on one side."""

Simulator = Literal["hilbertune", "pennylane"]

CLAIMS = (
    (46, "an estimate from the time of arXiv 2504.08732"),
    (34, "measured on a Forte Enterprise, arXiv 2605.02798"),
)
"""Published numbers of qubits at break-even, and their sources; neither publishes joules."""

ROWS = 8
"""Rows that our engine is measured with.

With a single one, a row takes six to nine times as long, since the engine's vectors run over the rows.
"""


def read_figures(path: Path, *, qpu: bool) -> tuple[Unit, list[Point]]:
    """Read a CSV file with the columns qubits, joules or seconds (of one circuit), source, and for a QPU shots.

    Raises:
        HilbertuneError: a column or a source is missing, or a number cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise HilbertuneError(f"Cannot read {path}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise HilbertuneError(f"{path} is not a CSV file in UTF-8.") from error
    names = set(rows[0]) if rows else set()
    units: list[Unit] = [unit for unit in ("joules", "seconds") if unit in names]
    wanted = {"qubits", "source"} | ({"shots"} if qpu else set())
    if len(units) != 1 or not wanted <= names:
        raise HilbertuneError(f"{path} needs the columns {', '.join(sorted(wanted))}, and one of joules and seconds.")
    points = []
    for line, row in enumerate(rows, 2):
        source = (row["source"] or "").strip()
        if not source:
            raise HilbertuneError(f"{path}, line {line}: say in 'source' where the figure is from.")
        try:
            value, qubits = float(row[units[0]]), int(row["qubits"])
            shots = int(row["shots"]) if qpu else None
        except (TypeError, ValueError):
            raise HilbertuneError(f"{path}, line {line}: a number is missing or cannot be read.") from None
        if not (0 < value < math.inf and qubits > 0 and (shots is None or shots > 0)):
            raise HilbertuneError(f"{path}, line {line}: numbers must be above 0.")
        points.append(Point(qubits, value, source, shots))
    return units[0], points


def read_ledgers(runs: Sequence[Path]) -> list[Point]:
    """Return the joules of a circuit in each batch that the vendor reported kWh for.

    A run of several heads has a circuit for each row and head, and all of them are counted.

    Raises:
        HilbertuneError: a directory has no ledger, or no batch has kWh and qubits.
    """
    points = []
    for run in runs:
        path = run / "ledger.sqlite"
        if not path.exists():
            raise HilbertuneError(f"{run} has no ledger: name the directory of a run on a QPU.")
        members = members_of(run)
        ledger = Ledger(path, new=False)
        for batch in ledger.batches():
            if batch.state == "done" and batch.kwh and batch.qubits:
                joules = 3.6e6 * batch.kwh / (batch.circuits + batch.checks)
                source = f"{batch.backend}, job {batch.job}, reported by the vendor"
                points.append(Point(batch.qubits, joules, source, batch.shots, members if members > 1 else None))
        ledger.close()
    if not points:
        raise HilbertuneError(
            "No job in these ledgers has kilowatt-hours from its vendor: give --qpu a file of figures instead."
        )
    return points


def measure_simulator(
    simulator: Simulator,
    qubits: Sequence[int],
    repeats: int = 3,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[Unit, list[Point]]:
    """Measure what <Z> of qubit 0 of the published head (4 re-uploads) costs per row, in float32 on this CPU.

    Ours takes `ROWS` rows at once, as in training and prediction; PennyLane one after the other on `lightning.qubit`,
    or where that is not installed on `default.qubit`. Joules where all widths could be measured, else seconds. Call it
    within `energy.metering`.

    Raises:
        MissingExtraError: "pennylane" without the extra.
    """
    make = {"hilbertune": _ours, "pennylane": _pennylane}[simulator]
    taken: list[tuple[int, energy.Energy]] = []
    for number, count in enumerate(qubits):
        rng = np.random.default_rng(count)
        circuit = head(count)
        weights = rng.normal(size=circuit.parameters).astype(np.float32)
        work, rows = make(circuit, weights, rng.normal(size=(ROWS, circuit.inputs)))
        work()  # compiles
        for repeat in range(repeats):
            spent = energy.each(work, minimum=0.1)[1]
            taken.append((count, spent.over(rows)))
            progress((number + (repeat + 1) / repeats) / len(qubits))
    source = f"{simulator}, measured on this machine"
    if all(one.joules is not None for _, one in taken):
        return "joules", [Point(q, one.joules or 0.0, source) for q, one in taken]
    return "seconds", [Point(q, one.seconds, source) for q, one in taken]


def _ours(circuit: Circuit, weights: np.ndarray, inputs: np.ndarray) -> tuple[Callable[[], Any], int]:
    w = torch.from_numpy(weights)[None]
    x = torch.from_numpy(inputs.astype(np.float32))[None]

    def work() -> Any:
        with torch.no_grad():
            return expectation(circuit, w, x, measured=(0,))

    return work, len(inputs)


def _pennylane(circuit: Circuit, weights: np.ndarray, inputs: np.ndarray) -> tuple[Callable[[], Any], int]:
    qml = require("pennylane", "pennylane")
    try:
        device = qml.device("lightning.qubit", wires=circuit.qubits, c_dtype=np.complex64)
    except Exception:  # PennyLane's own error for a plug-in that is not installed
        device = qml.device("default.qubit", wires=circuit.qubits)
    gates = circuit.to_pennylane()

    @qml.qnode(device, diff_method=None)  # type: ignore[untyped-decorator, unused-ignore]
    def work() -> Any:
        gates(weights, inputs[0])
        return qml.expval(qml.PauliZ(0))

    return work, 1


def report(
    measured: Mapping[str, Figures],
    qpu: Figures | None,
    shots: int,
) -> dict[str, Any]:
    """Return fits, crossings and what the published claims would mean, for JSON.

    Args:
        measured: for each simulator its unit and points.
        qpu: the same of the QPU; None gives no crossing.
        shots: of the circuit that is compared.

    Raises:
        HilbertuneError: joules on one side and seconds on the other, or too few widths.
    """
    unit = _unit([*measured.values(), *([qpu] if qpu else [])])
    line = qpu_fit(qpu[1]) if qpu else None
    fits = {name: simulator_fit(points) for name, (_, points) in measured.items()}
    crossings = {name: crossing(fit, line, shots) if line else None for name, fit in fits.items()}
    return {
        "unit": unit,
        "shots": shots,
        "simulators": {
            name: {**_simulator(measured[name][1], fit), "breakeven": crossings[name]} for name, fit in fits.items()
        },
        "qpu": None if qpu is None or line is None else _qpu(unit, qpu[1], line),
        "claims": [
            {
                "qubits": qubits,
                "source": source,
                "simulated": {name: _simulated(fit, qubits) for name, fit in fits.items()},
            }
            for qubits, source in CLAIMS
        ],
        "moved_by": _moved_by(list(crossings.values())),
        "notes": _notes(unit, fits, qpu),
    }


def _unit(figures: Sequence[Figures]) -> Unit:
    """Return the one unit of all figures."""
    units = {unit for unit, _ in figures}
    if len(units) > 1:
        raise HilbertuneError(
            "One side is in joules and the other in seconds: give --qpu the seconds of a circuit, or --simulator its "
            "joules."
        )
    return units.pop()


def _simulator(points: Sequence[Point], fit: Fit) -> dict[str, Any]:
    """Return a simulator's points and fit, for JSON."""
    widest = max(p.qubits for p in points)
    return {
        "points": [_plain(p) for p in points],
        "from_qubits": min(p.qubits for p in points),
        "to_qubits": widest,
        "log2_at_0": float(fit.coefficients[0]),
        "doublings_per_qubit": float(fit.coefficients[1]),
        "r2": fit.r2,
        "at_widest": _simulated(fit, widest),
    }


def _qpu(unit: Unit, points: Sequence[Point], line: Fit) -> dict[str, Any]:
    """Return the QPU's points and fit, for JSON."""
    return {
        "points": [_plain(p) for p in points],
        f"{unit}_per_shot": float(line.coefficients[0]),
        f"{unit}_per_shot_and_qubit": float(line.coefficients[1]),
        "r2": line.r2,
    }


def _moved_by(crossings: Sequence[Mapping[str, Any] | None]) -> float | None:
    """Return by how many qubits the first of two crossings lies above the second; None where there are not two."""
    places = [place["qubits"] for place in crossings if place and place["qubits"] is not None]
    return places[0] - places[1] if len(places) == len(crossings) == 2 else None


def _notes(unit: Unit, fits: Mapping[str, Fit], qpu: Figures | None) -> list[str]:
    """Return what a reader must know about the figures, a sentence each."""
    notes = []
    if unit == "seconds":
        notes.append(
            "No meter of this machine could be read, or the figures are seconds: all of this is time, not energy."
        )
    if qpu is None:
        notes.append(
            "No figures of a QPU were given (--qpu or --ledger), and none are assumed: there is no break-even, only "
            "what it would take."
        )
    notes += [
        f"A prediction of {members} heads takes {members} circuits, measured or simulated: {members} times what one "
        "circuit takes, on both sides, and the same break-even."
        for members in sorted({p.members for p in (qpu[1] if qpu else ()) if p.members})
    ]
    notes += [
        f"{name} grew by {fit.coefficients[1]:.2f} doublings a qubit, less than its state vector: fixed costs "
        "dominate at these widths, and extrapolated values are too low. Measure wider ones."
        for name, fit in fits.items()
        if fit.coefficients[1] < 0.9
    ]
    notes.append(
        "Widths beyond those measured are extrapolated; a state vector of 46 qubits needs 280 TB in single precision."
    )
    return notes


def _simulated(fit: Fit, qubits: int) -> float:
    return float(2 ** (fit.coefficients[0] + fit.coefficients[1] * qubits))


def _plain(point: Point) -> dict[str, Any]:
    return {k: v for k, v in vars(point).items() if v is not None}
