"""The verb that shows circuits: circuit.

In: hyperparameters of a shape.
Out: drawings, counts, OpenQASM 3.
"""

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hilbertune.cli.flags import Json, Picture, Preset, with_records
from hilbertune.cli.output import print_json, remark
from hilbertune.cli.places import check_picture
from hilbertune.config.circuits import OWN
from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.circuit.table import Circuit

PARTS = ("encoder", "head")
"""The parts of a model that may be circuits."""

Part = Annotated[
    Literal["ansatz", "encoder", "head", "model"] | None,
    typer.Option(
        help="Circuit to show: the plain ansatz (default), a model's encoder or head, or both (default with --preset); "
        "by default what --head-circuit or --encoder-circuit names."
    ),
]
Format = Annotated[
    Literal["text", "json", "qasm3"],
    typer.Option("--format", help="For a model, qasm3 gives its head, the part that a QPU runs."),
]


@with_records
def circuit(
    *,
    preset: Preset = None,
    part: Part = None,
    format_: Format = "text",
    draw: Picture = None,
    json_: Json = False,
    shape: HeadConfig,
) -> None:
    """Print, draw, export and count circuits.

    Example: hilbertune circuit --qubits 4 --layers 3 --connectivity 2 --json

    Example: hilbertune circuit --preset published-886 --format qasm3

    Example: hilbertune circuit --part head --qubits 6 --draw head.png

    Example: hilbertune circuit --head-circuit head.qasm
    """
    check_picture(draw)
    shown = part or _usual_part(preset, shape)
    circuits = _circuits(shown, shape)
    if json_ or format_ == "json":
        print_json(_model_counts(circuits, shape, preset) if shown == "model" else circuits[shown].counts())
    elif format_ == "qasm3":
        single = "head" if shown == "model" else shown
        _require(single, circuits, shape)
        sys.stdout.write(circuits[single].to_qasm3(measured=_measured(single, shape)))
    else:
        _print(shown, circuits, shape)
    if draw is not None:
        _draw(shown, circuits, shape, draw)


def _usual_part(preset: str | None, shape: HeadConfig) -> str:
    """Return the part that is shown where none is named: a circuit that was given, else a model or the ansatz."""
    own = [name.removesuffix("_circuit") for name in OWN if getattr(shape, name) is not None]
    if preset or len(own) > 1:
        return "model"
    return own[0] if own else "ansatz"


def _circuits(part: str, shape: HeadConfig) -> "dict[str, Circuit]":
    """Return the circuits to show: one, or those of a model.

    Raises:
        HilbertuneError: the part is classical.
    """
    from hilbertune.circuit import builders

    if part == "ansatz":
        return {part: builders.ansatz(shape.qubits, shape.layers, shape.connectivity, shape.column, shape.entanglement)}
    circuits = builders.parts(shape)
    if part == "model":
        return circuits
    _require(part, circuits, shape)
    return {part: circuits[part]}


def _require(part: str, circuits: "Mapping[str, Circuit]", shape: HeadConfig) -> None:
    """Raise HilbertuneError if the part is classical."""
    if part not in circuits:
        raise HilbertuneError(f"With --{part} {getattr(shape, part)} there is no circuit of the {part} to show.")


def _measured(part: str, shape: HeadConfig) -> tuple[int, ...]:
    """Return the qubits that are read out: the head's measured ones, all of an encoder's, none of a plain ansatz."""
    counts = {"head": shape.measured(2), "encoder": shape.encoder_qubits, "ansatz": 0}
    return tuple(range(counts[part]))


def _draw(part: str, circuits: "Mapping[str, Circuit]", shape: HeadConfig, path: Path) -> None:
    """Draw one circuit; for a model, draw its head if that is a circuit, and say so."""
    from hilbertune.circuit.drawing import draw_image

    if not circuits:
        raise HilbertuneError(
            f"With --encoder {shape.encoder} and --head {shape.head} the model has no circuit to draw."
        )
    single = "head" if part == "model" and "head" in circuits else next(iter(circuits))
    draw_image(circuits[single], path, title=single, measured=_measured(single, shape))
    if len(circuits) > 1:
        remark(f"{path} shows the head alone: --part encoder draws the encoder.")
    elif part == "model":
        remark(f"{path} shows the {single}, the only circuit of this model.")


def _print(part: str, circuits: "Mapping[str, Circuit]", shape: HeadConfig) -> None:
    """Print circuits with their counts, and for a model its classical parts and its parameters."""
    from hilbertune.circuit.drawing import draw_text

    for name in PARTS if part == "model" else (part,):
        if name in circuits:
            numbers = ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in circuits[name].counts().items())
            print(f"{name}: {numbers}\n\n{draw_text(circuits[name])}\n")
        else:
            print(f"{name}: {getattr(shape, name)}, without a circuit\n")
    if part == "model":
        count, outputs, uncounted = _parameters(shape)
        more = f"; those of the {' and the '.join(uncounted)} depend on the width of the embedding and are not counted"
        print(f"{count} parameters of the model, for {outputs} classes{more if uncounted else ''}.")


def _model_counts(circuits: "Mapping[str, Circuit]", shape: HeadConfig, preset: str | None) -> dict[str, Any]:
    """Return the counts of a model and of its parts; a classical part has None.

    "not_counted" names what has parameters that depend on the width of the embedding, if anything does.
    """
    count, outputs, uncounted = _parameters(shape)
    return {
        "preset": preset,
        "parameters": count,
        "encoders": shape.encoders,
        "final_linear_parameters": outputs * (shape.measured(outputs) + 1) if shape.final_linear else 0,
        **{name: circuits[name].counts() if name in circuits else None for name in PARTS},
        **({"not_counted": uncounted} if uncounted else {}),
    }


def _parameters(shape: HeadConfig) -> tuple[int, int, list[str]]:
    """Count a model's parameters without knowing how wide the embeddings are.

    Returns the count, the number of classes it is for (2 where the shape allows it), and the names of the parts whose
    parameters depend on the width and are left out.
    """
    from hilbertune.circuit.builders import parameter_count

    outputs = 2 if shape.final_linear else max(2, shape.measured(2))
    uncounted = ["linear encoder"] if shape.encoder == "linear" else []
    projects = shape.encoder == "quantum" and shape.trains_projection(shape.capacity + 1)
    uncounted += ["trainable projection"] if projects else []
    # Principal components stand in for the linear encoder: they have no parameters.
    known = dataclasses.replace(shape, encoder="pca" if shape.encoder == "linear" else shape.encoder, projection=None)
    features = known.capacity if known.encoder == "quantum" else known.encoders * known.encoder_qubits
    return parameter_count(known, features, outputs), outputs, uncounted
