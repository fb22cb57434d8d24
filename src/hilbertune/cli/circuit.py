"""Verbs that look at things: circuit, doctor.

In: hyperparameters. Out: drawings, counts and checks.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hilbertune.cli.flags import Json, Preset, hyperparameters
from hilbertune.cli.output import print_json
from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.circuit.table import Circuit


@hyperparameters(HeadConfig)
def circuit(
    *,
    preset: Preset = None,
    part: Annotated[
        Literal["ansatz", "encoder", "head", "model"] | None,
        typer.Option(
            help="What to show: the plain ansatz (default), a model's encoder or head, or both (default with --preset)."
        ),
    ] = None,
    format_: Annotated[
        Literal["text", "json", "qasm3"],
        typer.Option("--format", help="Of a model, qasm3 is its head, the part a QPU runs."),
    ] = "text",
    draw: Annotated[Path | None, typer.Option(help="Also draw it to this .png, .svg or .pdf file.")] = None,
    json_: Json = False,
    shape: HeadConfig,
) -> None:
    """Print, draw, export and count circuits.

    Example: hilbertune circuit --qubits 4 --layers 3 --connectivity 2 --json

    Example: hilbertune circuit --preset published-886 --format qasm3

    Example: hilbertune circuit --part head --qubits 6 --draw head.png
    """
    from hilbertune.circuit import builders as circuits
    from hilbertune.circuit import drawing

    part = part or ("model" if preset else "ansatz")
    parts = circuits.parts(shape)
    ansatz = circuits.ansatz(shape.qubits, shape.layers, shape.connectivity, shape.column, shape.entanglement)
    chosen = {"ansatz": ansatz} if part == "ansatz" else {n: parts[n] for n in parts if part in (n, "model")}
    # Of a model, the head: that is the part a QPU runs, and an encoder has a picture of its own.
    single = "head" if part == "model" else part
    if single not in chosen:
        kind = shape.head if single == "head" else shape.encoder
        raise HilbertuneError(f"With --{single} {kind} there is no circuit of the {single} to show.")
    measured = _measured(single, shape)
    if draw is not None:
        drawing.draw_image(chosen[single], draw, title=single, measured=measured)
    if json_ or format_ == "json":
        print_json(_counts(part, chosen, shape, preset))
    elif format_ == "qasm3":
        sys.stdout.write(chosen[single].to_qasm3(measured=measured))
    else:
        for name, made in chosen.items():
            numbers = ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in made.counts().items())
            print(f"{name}: {numbers}\n\n{drawing.draw_text(made)}\n")
        if part == "model":
            print(f"{_counts(part, chosen, shape, preset)['parameters']} parameters of the model, for 2 classes.")


def _measured(part: str, shape: HeadConfig) -> tuple[int, ...]:
    """The qubits that are read out: the head's measured ones, all of an encoder's, none of a plain ansatz."""
    counts = {"head": shape.measured(2), "encoder": shape.encoder_qubits, "ansatz": 0}
    return tuple(range(counts[part]))


def _counts(part: str, chosen: Mapping[str, "Circuit"], shape: HeadConfig, preset: str | None) -> dict[str, Any]:
    """Counts of one circuit, or of a model's parts and its parameters for two classes."""
    if part != "model":
        return chosen[part].counts()
    trained = {name: made.parameters for name, made in chosen.items()}
    linear = 2 * (shape.measured(2) + 1) if shape.final_linear else 0
    return {
        "preset": preset,
        "parameters": shape.encoders * trained["encoder"] + trained["head"] + linear,
        "encoders": shape.encoders,
        "final_linear_parameters": linear,
        **{name: made.counts() for name, made in chosen.items()},
    }
