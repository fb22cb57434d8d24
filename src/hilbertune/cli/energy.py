"""The verbs of `hilbertune energy`: measure, breakeven.

In: a command, or what QPU circuits took.
Out: joules, or seconds where nothing is metered, and the number of qubits from which a QPU takes less.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertune.cli.flags import Json, finite
from hilbertune.cli.output import print_json, say
from hilbertune.cli.places import check_picture
from hilbertune.cli.progress import progress_bars
from hilbertune.config.sizes import MOST_SHOTS
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.hardware.breakeven import Unit
    from hilbertune.hardware.fits import Point
    from hilbertune.runtime.energy import Energy

app = typer.Typer(
    name="energy",
    help="Joules of a command, and where a QPU takes less than a simulator.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)

STDERR = 2
"""The descriptor that takes what a measured command prints, where stdout is for one JSON object."""

QpuFigures = Annotated[
    Path | None,
    typer.Option(help="CSV of what QPU circuits took: qubits, shots, joules (or seconds), source."),
]
Ledgers = Annotated[
    list[Path] | None,
    typer.Option(help="Run directory of 'qpu run', whose vendor reports kWh; may be repeated."),
]
SimulatorFigures = Annotated[
    Path | None,
    typer.Option(
        help="CSV of what simulated circuits took: qubits, joules (or seconds), source. "
        "By default they are measured here."
    ),
]
Widths = Annotated[
    list[int] | None,
    typer.Option(min=2, max=40, help="Width to measure here; may be repeated.", show_default="18 to 22"),
]
Compare = Annotated[
    bool,
    typer.Option(help="Measure PennyLane too, to see how far faster simulation moves it.", show_default="yes"),
]
Plot = Annotated[Path | None, typer.Option(help="Draw it: a .svg, .png or .pdf file.", rich_help_panel="Output")]


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def measure(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --.")],
    estimate_watts: Annotated[
        float | None,
        typer.Option(
            parser=finite(0, 1e9),
            metavar="<float>",
            help="Also estimate: this power, say from the data sheet, times the seconds.",
        ),
    ] = None,
    json_: Json = False,
) -> None:
    """Run a command and measure the joules of GPUs and processors meanwhile; what has no meter is null.

    With --json what the command writes to stdout goes to stderr.

    Example: hilbertune energy measure -- hilbertune fit train.csv --out model

    Example: hilbertune energy measure --estimate-watts 65 --json -- python train.py
    """
    from hilbertune.runtime import energy

    measured, code = energy.measure(command, output=STDERR if json_ else None)
    figures = measured.to_dict()
    if estimate_watts is not None:
        figures["estimate"] = {
            "joules": estimate_watts * measured.seconds,
            "method": f"estimated: {estimate_watts:g} W (given by the user) times the seconds, not measured",
        }
    print_json(figures) if json_ else _print_measured(measured, estimate_watts)
    sys.stdout.flush()
    if code:
        raise typer.Exit(code)


def _print_measured(measured: "Energy", watts: float | None) -> None:
    print(f"{measured.seconds:.2f} s")
    for name, joules in measured.sources.items():
        print(f"{name}: {'not measured' if joules is None else f'{joules:.2f} J'}")
    if watts is not None:
        print(f"Estimated, not measured: {watts * measured.seconds:.2f} J ({watts:g} W times the seconds)")
    if measured.joules is None:
        say("No meter of this machine could be read (NVIDIA, AMD, RAPL): there are no joules.")


@app.command()
def breakeven(
    qpu: QpuFigures = None,
    ledger: Ledgers = None,
    simulator: SimulatorFigures = None,
    shots: Annotated[int, typer.Option(min=1, max=MOST_SHOTS, help="Shots of a circuit on the QPU.")] = 1000,
    qubits: Widths = None,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Measurements of each width.")] = 3,
    compare: Compare = True,
    plot: Plot = None,
    json_: Json = False,
) -> None:
    """Find the number of qubits from which a QPU takes less energy than simulating: fits, crossing, interval.

    Example: hilbertune energy breakeven

    Example: hilbertune energy breakeven --qpu figures.csv --shots 1000 --plot breakeven.svg

    Example: hilbertune energy breakeven --ledger run-8 --ledger run-12 --json
    """
    check_picture(plot)
    from hilbertune.hardware import breakeven as fits

    given = _qpu_points(qpu, ledger or [])
    simulated: dict[str, tuple[Unit, Sequence[Point]]]
    if simulator is not None:
        simulated = {"given": fits.read_figures(simulator, qpu=False)}
    else:
        simulated = _measured(sorted(set(qubits or range(18, 23))), repeats, compare)
    figures = fits.report(simulated, given, shots)
    print_json(figures) if json_ else _print_breakeven(figures)
    if plot is not None:
        from hilbertune.hardware.picture import draw_breakeven

        draw_breakeven(figures, plot)


def _qpu_points(file: Path | None, runs: Sequence[Path]) -> "tuple[Unit, Sequence[Point]] | None":
    """Return what QPU circuits took, from a file or from the ledgers of runs; None without either."""
    from hilbertune.hardware import breakeven as fits

    if file is not None and runs:
        raise HilbertuneError("Give --qpu or --ledger, not both.")
    if file is not None:
        return fits.read_figures(file, qpu=True)
    if runs:
        return "joules", fits.read_ledgers(runs)
    return None


def _measured(widths: Sequence[int], repeats: int, compare: bool) -> "dict[str, tuple[Unit, Sequence[Point]]]":
    """Measure our simulator here, and PennyLane's where it is installed and wanted."""
    import importlib.util

    from hilbertune.hardware import breakeven as fits
    from hilbertune.runtime import energy

    if len(widths) < 2:
        raise HilbertuneError("Measure at least two widths: repeat --qubits.")
    names: list[Any] = ["hilbertune"]
    if compare and importlib.util.find_spec("pennylane") is not None:
        names.append("pennylane")
    with progress_bars() as progress, energy.metering():
        return {name: fits.measure_simulator(name, widths, repeats, partial(progress, name)) for name in names}


def _print_breakeven(figures: dict[str, Any]) -> None:
    unit, shots = figures["unit"], figures["shots"]
    for name, own in figures["simulators"].items():
        print(
            f"{name}: {own['doublings_per_qubit']:.2f} doublings a qubit from {own['from_qubits']} to "
            f"{own['to_qubits']} qubits (R² {own['r2']:.3f}), "
            f"{own['at_widest']:.3g} {unit} a circuit at {own['to_qubits']}"
        )
        crossing = own["breakeven"]
        if crossing is not None:
            print(f"  break-even with the QPU at {shots} shots: {_place(crossing)}")
    for claim in figures["claims"]:
        needed = ", ".join(f"{name} {value:.3g}" for name, value in claim["simulated"].items())
        print(
            f"At {claim['qubits']} qubits ({claim['source']}) a circuit would take, extrapolated: {needed} {unit}; "
            f"a QPU breaks even there if {shots} shots take as much."
        )
    if figures["moved_by"] is not None:
        print(f"The faster simulation moves the break-even by {figures['moved_by']:+.1f} qubits.")
    for note in figures["notes"]:
        say(note)


def _place(crossing: dict[str, Any]) -> str:
    """Return in words where two fits cross."""
    if crossing["qubits"] is None:
        return "never"
    if crossing["low"] is None:
        return f"{crossing['qubits']:.1f} qubits (interval not known)"
    high = "never" if crossing["high"] is None else f"{crossing['high']:.1f}"
    return f"{crossing['qubits']:.1f} qubits (95 % interval {crossing['low']:.1f} to {high})"
