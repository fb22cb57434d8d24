"""From how many qubits on a QPU takes less energy than simulating it: fits of both, and where they cross.

In: what circuits of several widths took on a simulator and on a QPU, in joules or, where nothing was metered, in seconds. Out: the crossing with its
interval. Simulators grow as 2^(a + b·qubits), QPUs as shots · (c + d·qubits) (arXiv 2605.02798: linear for shallow circuits).
"""

import csv
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from hilbertune.circuit.builders import head
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError, require
from hilbertune.hardware.fits import WIDEST, Fit, Point, crossing, qpu_fit, simulator_fit
from hilbertune.hardware.ledger import Ledger
from hilbertune.runtime import energy

Unit = Literal["joules", "seconds"]


Simulator = Literal["hilbertune", "pennylane"]


CLAIMS = (
    (46, "an estimate from the time of arXiv 2504.08732"),
    (34, "measured on a Forte Enterprise, arXiv 2605.02798"),
)
"""Published break-even qubits, and where from. Neither publishes joules."""


ROWS = 8
"""Rows that our engine is measured with; with one alone a row takes six to nine times as long, since its vectors run over the rows."""


def read_figures(path: Path, *, qpu: bool) -> tuple[Unit, list[Point]]:
    """A CSV file with the columns qubits, joules or seconds (of one circuit), source, and for a QPU shots.

    Raises:
        HilbertuneError: a column or a source is missing, or a number is none.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise HilbertuneError(f"Cannot read {path}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise HilbertuneError(f"{path} is no CSV file in UTF-8.") from error
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
            raise HilbertuneError(f"{path}, line {line}: a number is missing or none.") from None
        if not (0 < value < math.inf and qubits > 0 and (shots is None or shots > 0)):
            raise HilbertuneError(f"{path}, line {line}: numbers must be above 0.")
        points.append(Point(qubits, value, source, shots))
    return units[0], points


def read_ledgers(runs: Sequence[Path]) -> list[Point]:
    """Joules of a circuit in each batch that the vendor reported kWh for.

    Raises:
        HilbertuneError: a directory has no ledger, or no batch has kWh and qubits.
    """
    points = []
    for run in runs:
        path = run / "ledger.sqlite"
        if not path.exists():
            raise HilbertuneError(f"{run} has no ledger: name the directory of a run on a QPU.")
        ledger = Ledger(path)
        for batch in ledger.batches():
            if batch.state == "done" and batch.kwh and batch.qubits:
                joules = 3.6e6 * batch.kwh / batch.circuits
                source = f"{batch.backend}, job {batch.job}, reported by the vendor"
                points.append(Point(batch.qubits, joules, source, batch.shots))
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
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Unit, list[Point]]:
    """What <Z> of qubit 0 of the published head (4 re-uploads) takes for one row, in single precision on this machine's processor.

    Ours takes `ROWS` rows at once, as in training and prediction; PennyLane one after the other on `lightning.qubit`, or where that is not
    installed on `default.qubit`. Joules where all widths could be measured, else seconds. Call it within `energy.metering`.

    Raises:
        MissingExtraError: "pennylane" without the extra.
    """
    make = {"hilbertune": _ours, "pennylane": _pennylane}[simulator]
    found: list[tuple[int, energy.Energy]] = []
    for number, count in enumerate(qubits):
        rng = np.random.default_rng(count)
        circuit = head(count)
        weights = rng.normal(size=circuit.parameters).astype(np.float32)
        work, rows = make(circuit, weights, rng.normal(size=(ROWS, circuit.inputs)))
        work()  # compiles
        for repeat in range(repeats):
            taken = energy.each(work, minimum=0.1)[1]
            found.append((count, taken.over(rows)))
            progress((number + (repeat + 1) / repeats) / len(qubits))
    source = f"{simulator}, measured on this machine"
    if all(one.joules is not None for _, one in found):
        return "joules", [Point(q, one.joules or 0.0, source) for q, one in found]
    return "seconds", [Point(q, one.seconds, source) for q, one in found]


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
    measured: dict[str, tuple[Unit, Sequence[Point]]],
    qpu: tuple[Unit, Sequence[Point]] | None,
    shots: int,
) -> dict[str, Any]:
    """Fits, crossings and what the published claims would mean, for JSON.

    Args:
        measured: for each simulator its unit and points.
        qpu: the same of the QPU; None gives no crossing.

    Raises:
        HilbertuneError: joules on one side and seconds on the other, or too few widths.
    """
    units = {unit for unit, _ in measured.values()} | ({qpu[0]} if qpu else set())
    if len(units) > 1:
        raise HilbertuneError(
            "One side is in joules and the other in seconds: give --qpu the seconds of a circuit, or --simulator its joules."
        )
    unit = units.pop()
    line = qpu_fit(qpu[1]) if qpu else None
    fits = {name: simulator_fit(points) for name, (_, points) in measured.items()}
    crossed = {n: crossing(fit, line, shots) if line else None for n, fit in fits.items()}
    places = [c and c["qubits"] for c in crossed.values()]
    both = len(places) == 2 and all(isinstance(place, float) for place in places)
    notes = []
    if unit == "seconds":
        notes.append(
            "No meter of this machine could be read, or the figures are seconds: all of this is time, not energy."
        )
    if qpu is None:
        notes.append(
            "No figures of a QPU were given (--qpu or --ledger), and none are assumed: there is no break-even, only what it would take."
        )
    notes += [
        f"{name} grew by {fit.coefficients[1]:.2f} doublings a qubit, less than its state vector: fixed costs rule these widths, and what is extrapolated is too low. Measure wider ones."
        for name, fit in fits.items()
        if fit.coefficients[1] < 0.9
    ]
    notes.append(
        "Widths beyond those measured are extrapolated; a state vector of 46 qubits needs 280 TB in single precision."
    )
    return {
        "unit": unit,
        "shots": shots,
        "simulators": {
            name: {
                "points": [_plain(p) for p in measured[name][1]],
                "from_qubits": min(p.qubits for p in measured[name][1]),
                "to_qubits": (widest := max(p.qubits for p in measured[name][1])),
                "log2_at_0": float(fit.coefficients[0]),
                "doublings_per_qubit": float(fit.coefficients[1]),
                "r2": fit.r2,
                "at_widest": _simulated(fit, widest),
                "breakeven": crossed[name],
            }
            for name, fit in fits.items()
        },
        "qpu": None
        if qpu is None or line is None
        else {
            "points": [_plain(p) for p in qpu[1]],
            f"{unit}_per_shot": float(line.coefficients[0]),
            f"{unit}_per_shot_and_qubit": float(line.coefficients[1]),
            "r2": line.r2,
        },
        "claims": [
            {
                "qubits": claimed,
                "source": source,
                "simulated": {name: _simulated(fit, claimed) for name, fit in fits.items()},
            }
            for claimed, source in CLAIMS
        ],
        "moved_by": places[0] - places[1] if both else None,  # type: ignore[operator]
        "notes": notes,
    }


def _simulated(fit: Fit, qubits: int) -> float:
    return float(2 ** (fit.coefficients[0] + fit.coefficients[1] * qubits))


def _plain(point: Point) -> dict[str, Any]:
    return {k: v for k, v in vars(point).items() if v is not None}


def draw(found: dict[str, Any], path: Path) -> None:
    """The points, the fits, the crossings with their intervals and the published claims.

    Raises:
        HilbertuneError: the file cannot be written.
        MissingExtraError: matplotlib is not installed.
    """
    require("matplotlib", "plot")
    from matplotlib.figure import Figure

    unit, shots = found["unit"], found["shots"]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    grid = np.arange(8, 51)
    for number, (name, own) in enumerate(found["simulators"].items()):
        colour = f"C{number}"
        points = own["points"]
        axes.plot([p["qubits"] for p in points], [p["value"] for p in points], "os"[number % 2], color=colour, markersize=4)  # fmt: skip
        axes.plot(grid, 2 ** (own["log2_at_0"] + own["doublings_per_qubit"] * grid), color=colour, label=f"{name}, simulated")  # fmt: skip
        crossed = own["breakeven"]
        if crossed and crossed["qubits"] is not None:
            axes.axvline(crossed["qubits"], color=colour, linestyle="--", linewidth=1)
            if crossed["low"] is not None:
                axes.axvspan(crossed["low"], min(crossed["high"] or WIDEST, grid[-1]), color=colour, alpha=0.12)  # fmt: skip
    if found["qpu"]:
        points = found["qpu"]["points"]
        scaled = [p["value"] * shots / p["shots"] for p in points]
        axes.plot([p["qubits"] for p in points], scaled, "^", color="black", markersize=5)
        slope = found["qpu"][f"{unit}_per_shot_and_qubit"]
        line = shots * (found["qpu"][f"{unit}_per_shot"] + slope * grid)
        axes.plot(grid, np.where(line > 0, line, np.nan), color="black", label=f"QPU, {shots} shots")  # fmt: skip
    for claimed, _ in CLAIMS:
        axes.axvline(claimed, color="grey", linestyle=":", linewidth=1)
        axes.annotate(f"claim: {claimed}", (claimed, 0.98), xycoords=("data", "axes fraction"), rotation=90, va="top", ha="right", fontsize=8, color="grey")  # fmt: skip
    axes.set(yscale="log", xlabel="qubits", ylabel=f"{unit} for one circuit", xlim=(grid[0], grid[-1]))  # fmt: skip
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)
    try:
        figure.savefig(path)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {path}: {error.strerror}.") from error
