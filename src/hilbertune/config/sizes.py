"""Sizes that nobody can compute, refused before anything is built.

In: numbers of qubits, gates, shots, seeds.
Out: their limits, or one sentence that names the limit and what to lower.
"""

from typing import TYPE_CHECKING

from hilbertune.errors import HilbertuneError, shown

if TYPE_CHECKING:
    from hilbertune.config.records import HeadConfig

MAX_QUBITS = 26
"""Most qubits without `allow_large`: a thread that trains takes 1.5 GiB of memory at 24 qubits, 6 GiB at 26."""

MOST_QUBITS = 1_000
"""Most qubits of a circuit that is drawn or listed alone."""

MOST_GATES = 100_000
"""Most gates of a circuit; the published one has some 700."""

MOST_SHOTS = 1_000_000_000
"""Most shots of an expectation, which leave an error of 0.00003."""

MOST_SEEDS = 10_000
"""Most seeds of an experiment."""

LEAST_SEEDS = 3
"""Fewest seeds that give an interval of their mean: with two, Student's t is 12.7, and shares reach from 0 to 1."""

LARGEST_SEED = 2**32 - 1
"""Largest seed that the generators of NumPy and scikit-learn take."""


def check_qubits(qubits: int, *, allow_large: bool) -> None:
    """Raise HilbertuneError for more qubits than a machine holds, unless they are meant and can be drawn at least."""
    if qubits > MAX_QUBITS and not allow_large:
        memory = (
            f"{1.5 * 2.0 ** (qubits - 24):.4g} GiB of memory" if qubits <= MOST_QUBITS else "more memory than there is"
        )
        raise HilbertuneError(
            f"{shown(qubits)} qubits take {memory} for each thread that trains: "
            f"use at most {MAX_QUBITS}, or set allow_large (--allow-large) if you mean it."
        )
    if qubits > MOST_QUBITS:
        raise HilbertuneError(f"A circuit can have at most {MOST_QUBITS:,} qubits, not {shown(qubits)}: lower qubits.")


def check_connectivity(shape: "HeadConfig") -> None:
    """Raise HilbertuneError if the ring of a published circuit has an offset that its qubits do not have."""
    for own, name, qubits, layers in (
        (shape.encoder_circuit, "encoder_connectivity", shape.encoder_qubits, shape.encoder_layers),
        (shape.head_circuit, "connectivity", shape.qubits, max(shape.layers, shape.reupload_layers)),
    ):
        value = getattr(shape, name)
        absent = own is not None or (name == "encoder_connectivity" and shape.encoder != "quantum")
        if not layers or absent:
            continue
        if qubits < 2:
            raise HilbertuneError(f"A layer of {name.replace('_', ' ')} needs at least 2 qubits.")
        if value is not None and value >= qubits:
            raise HilbertuneError(f"{name} must lie between 1 and qubits - 1 = {qubits - 1}, not {value}.")


def check_gates(shape: "HeadConfig") -> None:
    """Raise HilbertuneError if a circuit of this shape has more gates than anybody can run, draw or list."""
    for name, gates, remedy in (
        ("encoder", encoder_gates(shape), "encoder_layers or encoder_connectivity"),
        ("head", head_gates(shape), "layers, reuploads, reupload_layers or connectivity"),
    ):
        if gates > MOST_GATES:
            raise HilbertuneError(
                f"The circuit of the {name} would have {gates:,} gates, more than the {MOST_GATES:,} that can be "
                f"computed: use fewer qubits, or less of {remedy}."
            )


def encoder_gates(shape: "HeadConfig") -> int:
    """Count the gates of a published encoder without building it; one of the user's own is counted when it is read."""
    if shape.encoder_circuit is not None:
        return 0
    return _ansatz_gates(shape, shape.encoder_qubits, shape.encoder_layers, shape.encoder_offsets)


def head_gates(shape: "HeadConfig") -> int:
    """Count the gates of a published head without building it; one of the user's own is counted when it is read."""
    if shape.head_circuit is not None:
        return 0
    block = shape.qubits + _ansatz_gates(shape, shape.qubits, shape.reupload_layers, shape.connectivity)
    return shape.reuploads * block + _ansatz_gates(shape, shape.qubits, shape.layers, shape.connectivity)


def _ansatz_gates(shape: "HeadConfig", qubits: int, layers: int, connectivity: int) -> int:
    """Count the gates of an ansatz; without entanglement a block is its rotation alone."""
    return qubits * (layers * connectivity * (1 + shape.entanglement) + shape.column)
