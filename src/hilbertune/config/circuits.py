"""Circuits of the user's own in a head's shape: what their text says of itself, and whether they fit the shape.

In: OpenQASM 3 as `Circuit.to_qasm3` writes it, and a `HeadConfig`.
Out: numbers of qubits and inputs, or one sentence that says which sizes go together. Gates are read by `circuit`.
"""

import dataclasses
import re
from typing import TYPE_CHECKING, NamedTuple

from hilbertune.config.sizes import check_qubits
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.config.records import HeadConfig

OWN = ("head_circuit", "encoder_circuit")
"""The settings that hold a circuit."""

REPLACED = {
    "head_circuit": ("reuploads", "layers", "reupload_layers", "connectivity", "shared_reupload"),
    "encoder_circuit": ("encoder_layers", "encoder_connectivity"),
}
"""The settings of the published circuits that mean nothing beside each of them."""

_QUBITS = re.compile(r"^qubit\[(\d{1,9})\] q;$", re.MULTILINE)
_INPUT = re.compile(r"^input float\[64\] x(\d{1,9});$", re.MULTILINE)


class Declared(NamedTuple):
    """The sizes of a circuit."""

    qubits: int
    inputs: int


def declared(text: str, name: str) -> Declared:
    """Return what the text of a circuit declares.

    Raises:
        HilbertuneError: it is not such a text.
    """
    qubits = _QUBITS.findall(text)
    if len(qubits) != 1 or not text.startswith("OPENQASM 3"):
        raise HilbertuneError(
            f"{name} must be a Circuit or what its to_qasm3() returns: read OpenQASM 3 of others with "
            "Circuit.from_qasm3."
        )
    return Declared(int(qubits[0]), 1 + max(map(int, _INPUT.findall(text)), default=-1))


def take_texts(shape: "HeadConfig") -> None:
    """Put the text of a circuit in its place: a `Circuit` itself is as good as that."""
    for name in OWN:
        if hasattr(circuit := getattr(shape, name), "to_qasm3"):
            object.__setattr__(shape, name, circuit.to_qasm3())


def check_own(shape: "HeadConfig") -> None:
    """Raise HilbertuneError if circuits of the user's own do not go together with the rest of a shape."""
    for name in OWN:
        if (text := getattr(shape, name)) is None:
            continue
        part = name.removesuffix("_circuit")
        if (kind := getattr(shape, part)) != "quantum":
            raise HilbertuneError(f"{part}={kind!r} has no circuit: leave out {name}, or keep {part}='quantum'.")
        default = {field.name: field.default for field in dataclasses.fields(shape)}
        if set_too := [other for other in REPLACED[name] if getattr(shape, other) != default[other]]:
            raise HilbertuneError(
                f"{set_too[0]} shapes the published {part}, whose place {name} takes: leave out one of them."
            )
        sizes = declared(text, name)
        check_qubits(sizes.qubits, allow_large=shape.allow_large)
        if part == "head":
            _check_head(shape, sizes)
        else:
            _check_encoder(shape, sizes)
    if shape.measured_qubits is not None and shape.measured_qubits > shape.head_qubits:
        where = "qubits" if shape.head_circuit is None else "the qubits of head_circuit"
        raise HilbertuneError(
            f"measured_qubits must be at most {where} = {shape.head_qubits}, not {shape.measured_qubits}."
        )


def _check_head(shape: "HeadConfig", sizes: Declared) -> None:
    """Raise HilbertuneError unless a head reads as many inputs as the encoders have angles for it."""
    if not sizes.inputs:
        raise HilbertuneError("head_circuit reads no inputs: let rotations turn by x0, x1, ..., the encoders' angles.")
    if sizes.inputs == shape.angles:
        return
    share, rest = divmod(sizes.inputs, shape.encoders)
    fitting = sizes.inputs if shape.merge != "alternate" else share
    remedy = f"set qubits to {fitting}"
    if rest and shape.merge != "average":
        remedy = f"choose a number of encoders that divides {sizes.inputs}, or merge='average'"
    hand = "encoder of" if shape.encoders == 1 else "encoders of"
    raise HilbertuneError(
        f"head_circuit reads {sizes.inputs} inputs, but {shape.encoders} {hand} {shape.encoder_qubits} qubits "
        f"(merge={shape.merge!r}) give {shape.angles} angles: {remedy}, or let the circuit read {shape.angles}."
    )


def _check_encoder(shape: "HeadConfig", sizes: Declared) -> None:
    """Raise HilbertuneError unless an encoder is as wide as the shape says, and reads nothing but its amplitudes."""
    if sizes.inputs:
        raise HilbertuneError(
            "encoder_circuit starts from the embedding's amplitudes and reads no inputs x0, x1, ...: "
            "let its rotations turn by weights or fixed angles."
        )
    if sizes.qubits != shape.encoder_qubits:
        count = shape.encoders if shape.merge == "concatenate" else 1
        raise HilbertuneError(
            f"encoder_circuit has {sizes.qubits} qubits, but each encoder has {shape.encoder_qubits}: "
            f"set qubits to {sizes.qubits * count}."
        )
