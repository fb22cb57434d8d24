"""Verbs of `hilbertune energy`: measure, breakeven.

In: a command, or figures of a QPU. Out: joules, or seconds where nothing is metered, and from how many qubits on a QPU takes less.
"""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertune.cli.flags import Json
from hilbertune.cli.output import print_json, progress_bars, say
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.hardware.breakeven import Unit
    from hilbertune.hardware.fits import Point


app = typer.Typer(
    name="energy",
    help="Joules of a command, and where a QPU takes less than a simulator.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def measure(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --.")],
    estimate_watts: Annotated[
        float | None,
        typer.Option(min=0, help="Also estimate: so many watts, say of the data sheet, times the seconds."),
    ] = None,
    json_: Json = False,
) -> None:
    """Run a command and measure the joules of GPUs and processors meanwhile; what has no meter is null.

    Example: hilbertune energy measure -- hilbertune fit train.csv --out model

    Example: hilbertune energy measure --estimate-watts 65 --json -- python train.py
    """
    from hilbertune.runtime import energy

    found, code = energy.measure(command)
    figures = found.to_dict()
    if estimate_watts is not None:
        figures["estimate"] = {
            "joules": estimate_watts * found.seconds,
            "method": f"estimated: {estimate_watts:g} W (given by the user) times the seconds, measured by nothing",
        }
    if json_:
        print_json(figures)
    else:
        print(f"{found.seconds:.2f} s")
        for name, joules in found.sources.items():
            print(f"{name}: {'not measured' if joules is None else f'{joules:.2f} J'}")
        if estimate_watts is not None:
            print(
                f"Estimated, not measured: {figures['estimate']['joules']:.2f} J ({estimate_watts:g} W times the seconds)"
            )
        if found.joules is None:
            say("No meter of this machine could be read (NVIDIA, AMD, RAPL): there are no joules.")
    sys.stdout.flush()
    if code:
        raise typer.Exit(code)


@app.command()
def breakeven(
    qpu: Annotated[
        Path | None,
        typer.Option(help="CSV of what QPU circuits took: qubits, shots, joules (or seconds), source."),
    ] = None,
    ledger: Annotated[
        list[Path] | None,
        typer.Option(help="Run directory of 'qpu run', whose vendor reports kWh; may be repeated."),
    ] = None,
    simulator: Annotated[
        Path | None,
        typer.Option(
            help="CSV of what simulated circuits took: qubits, joules (or seconds), source. Else it is measured here."
        ),
    ] = None,
    shots: Annotated[int, typer.Option(min=1, help="Shots of a circuit on the QPU.")] = 1000,
    qubits: Annotated[
        list[int] | None,
        typer.Option(min=2, help="Width that is measured here; may be repeated.  [default: 18 to 22]"),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Measurements of each width.")] = 3,
    compare: Annotated[
        bool, typer.Option(help="Measure PennyLane too, to see how far faster simulation moves it.")
    ] = True,
    plot: Annotated[Path | None, typer.Option(help="Draw it: a .svg, .png or .pdf file.")] = None,
    json_: Json = False,
) -> None:
    """From how many qubits on a QPU takes less energy than simulating: fits, crossing, interval.

    Example: hilbertune energy breakeven

    Example: hilbertune energy breakeven --qpu figures.csv --shots 1000 --plot breakeven.svg

    Example: hilbertune energy breakeven --ledger run-8 --ledger run-12 --json
    """
    import importlib.util

    from hilbertune.hardware import breakeven as fits
    from hilbertune.runtime import energy

    given = _qpu_points(qpu, ledger or [])
    if plot is not None:
        from hilbertune.errors import require

        require("matplotlib", "plot")
        if plot.suffix not in (".svg", ".png", ".pdf"):
            raise HilbertuneError(f"{plot} must end in .svg, .png or .pdf.")
    measured: dict[str, tuple[Unit, Sequence[Point]]] = {}
    if simulator is not None:
        measured["given"] = fits.read_figures(simulator, qpu=False)
    else:
        widths = sorted(set(qubits or range(18, 23)))
        if len(widths) < 2:
            raise HilbertuneError("Measure at least two widths: repeat --qubits.")
        names: list[Any] = ["hilbertune"]
        if compare and importlib.util.find_spec("pennylane") is not None:
            names.append("pennylane")
        with progress_bars() as progress, energy.metering():
            for name in names:
                measured[name] = fits.measure_simulator(name, widths, repeats, partial(progress, name))
    found = fits.report(measured, given, shots)
    if plot is not None:
        fits.draw(found, plot)
    print_json(found) if json_ else _text(found)


def _qpu_points(file: Path | None, runs: Sequence[Path]) -> "tuple[Unit, Sequence[Point]] | None":
    from hilbertune.hardware import breakeven as fits

    if file is not None and runs:
        raise HilbertuneError("Give --qpu or --ledger, not both.")
    if file is not None:
        return fits.read_figures(file, qpu=True)
    if runs:
        return "joules", fits.read_ledgers(runs)
    return None


def _text(found: dict[str, Any]) -> None:
    unit = found["unit"]
    for name, own in found["simulators"].items():
        print(
            f"{name}: {own['doublings_per_qubit']:.2f} doublings a qubit from {own['from_qubits']} to {own['to_qubits']} qubits "
            f"(R² {own['r2']:.3f}), {own['at_widest']:.3g} {unit} a circuit at {own['to_qubits']}"
        )
        crossed = own["breakeven"]
        if crossed is not None:
            print(f"  break-even with the QPU at {found['shots']} shots: {_place(crossed)}")
    for claim in found["claims"]:
        needed = ", ".join(f"{name} {value:.3g}" for name, value in claim["simulated"].items())
        print(
            f"At {claim['qubits']} qubits ({claim['source']}) a circuit would take, extrapolated: {needed} {unit}; "
            f"a QPU breaks even there if {found['shots']} shots take as much."
        )
    if found["moved_by"] is not None:
        print(f"The faster simulation moves the break-even by {found['moved_by']:+.1f} qubits.")
    for note in found["notes"]:
        say(note)


def _place(crossed: dict[str, Any]) -> str:
    if crossed["qubits"] is None:
        return "never"
    if crossed["low"] is None:
        return f"{crossed['qubits']:.1f} qubits (interval not known)"
    high = "never" if crossed["high"] is None else f"{crossed['high']:.1f}"
    return f"{crossed['qubits']:.1f} qubits (95 % interval {crossed['low']:.1f} to {high})"
