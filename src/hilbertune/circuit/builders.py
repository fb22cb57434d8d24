"""Builders of the published circuits: the ansatz, which is also an encoder's circuit, and the re-uploading head.

In: numbers of qubits, layers and so on, or a `HeadConfig`.
Out: a `Circuit`, its blocks, or the size of the whole model. Source: arXiv 2504.08732, figures 2 and 3.
"""

import functools
import itertools
from collections.abc import Iterator

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.circuit.text import read
from hilbertune.config.circuits import declared
from hilbertune.config.fields import is_whole
from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError

MOST_GATES = 100_000
"""Gates of a circuit that take a few seconds to prepare; published ones have some hundred."""


def ansatz(
    qubits: int,
    layers: int,
    connectivity: int = 1,
    column: bool = True,
    entanglement: bool = True,
) -> Circuit:
    """Build the published ansatz, which an encoder runs after the loading of amplitudes (arXiv 2504.08732).

    It has qubits · (layers · connectivity + 1) parameters, or qubits · layers · connectivity without the column.
    Without `entanglement` its CNOTs are left out.

    Raises:
        HilbertuneError: connectivity outside 1..qubits-1, layers < 0, or more than MOST_GATES gates.
    """
    _check_ansatz(qubits, layers, connectivity)
    _check_size(_gates(qubits, layers, connectivity, column, entanglement))
    return Circuit(qubits, tuple(_ansatz(qubits, layers, connectivity, column, entanglement, itertools.count())))


def head(
    qubits: int,
    reuploads: int = 4,
    reupload_layers: int = 1,
    layers: int = 2,
    connectivity: int = 1,
    column: bool = True,
    shared_reupload: bool = False,
    sources: int = 1,
    entanglement: bool = True,
) -> Circuit:
    """Build the re-uploading head: (RY(x_k) on qubit k, then PQC1) `reuploads` times, then PQC2 (arXiv 2504.08732).

    PQC1 has `reupload_layers` layers, PQC2 has `layers`. Whether the repeated PQC1 share their weights is not
    published: `shared_reupload=False` is our choice. With `sources` > 1 block r reads the inputs of source
    r mod sources (the merge mode `alternate`), so that the circuit has sources · qubits inputs.

    Raises:
        HilbertuneError: connectivity outside 1..qubits-1, a count too small, more sources than blocks, or more
            than MOST_GATES gates.
    """
    for count in (reupload_layers, layers):
        _check_ansatz(qubits, count, connectivity)
    if not is_whole(sources) or sources < 1:
        raise HilbertuneError(f"sources must be 1 or more, not {sources}.")
    if not is_whole(reuploads) or reuploads < 1:
        raise HilbertuneError(f"reuploads must be 1 or more, not {reuploads}.")
    if sources > reuploads:
        raise HilbertuneError(
            f"With merge='alternate' every encoder needs a block: reuploads must be {sources} or more."
        )
    block = qubits + _gates(qubits, reupload_layers, connectivity, column, entanglement)
    _check_size(reuploads * block + _gates(qubits, layers, connectivity, column, entanglement))
    weights = itertools.count()
    shared: list[Operation] = []
    operations = []
    for number in range(reuploads):
        first = (number % sources) * qubits
        operations += [Operation("ry", q, input=first + q) for q in range(qubits)]
        if not (shared_reupload and shared):
            shared = _ansatz(qubits, reupload_layers, connectivity, column, entanglement, weights)
        operations += shared
    operations += _ansatz(qubits, layers, connectivity, column, entanglement, weights)
    return Circuit(qubits, tuple(operations))


def _check_ansatz(qubits: int, layers: int, connectivity: int) -> None:
    """Raise HilbertuneError if no ansatz has these numbers."""
    for name, count in {"qubits": qubits, "layers": layers, "connectivity": connectivity}.items():
        if not is_whole(count):
            raise HilbertuneError(f"{name} must be a whole number, not {count!r}.")
    if layers < 0:
        raise HilbertuneError(f"layers must be 0 or more, not {layers}.")
    if layers and not 1 <= connectivity < qubits:
        raise HilbertuneError(f"connectivity must lie between 1 and qubits - 1 = {qubits - 1}, not {connectivity}.")


def _gates(qubits: int, layers: int, connectivity: int, column: bool, entanglement: bool) -> int:
    """Count the gates of an ansatz."""
    return qubits * (layers * connectivity * (1 + entanglement) + column)


def _check_size(gates: int) -> None:
    """Raise HilbertuneError for more gates than a circuit may have."""
    if gates > MOST_GATES:
        raise HilbertuneError(
            f"The circuit would have {gates:,} gates, more than {MOST_GATES:,}: "
            "use fewer qubits, layers, re-uploads or offsets."
        )


def _ansatz(
    qubits: int,
    layers: int,
    connectivity: int,
    column: bool,
    entanglement: bool,
    weights: Iterator[int],
) -> list[Operation]:
    """Return the gates of figure 3 of arXiv 2504.08732: a layer, one column of RY, then the remaining layers."""
    operations = []
    for layer in range(layers):
        for offset in range(1, connectivity + 1):
            for control in range(qubits):
                target = (control + offset) % qubits
                # Figure 2: the block U is a CNOT and then a rotation of its target.
                if entanglement:
                    operations.append(Operation("cx", target, control))
                operations.append(Operation("ry", target, weight=next(weights)))
        if layer == 0 and column:
            operations += [Operation("ry", q, weight=next(weights)) for q in range(qubits)]
    if layers == 0 and column:
        operations += [Operation("ry", q, weight=next(weights)) for q in range(qubits)]
    return operations


def parts(shape: HeadConfig) -> dict[str, Circuit]:
    """Build the circuits of a hybrid head: "encoder" (one of them) and "head", as far as they are quantum."""
    circuits = {}
    if shape.encoder_circuit is not None:
        circuits["encoder"] = _own(shape.encoder_circuit)
    elif shape.encoder == "quantum":
        circuits["encoder"] = ansatz(
            shape.encoder_qubits,
            shape.encoder_layers,
            shape.encoder_offsets,
            shape.column,
            shape.entanglement,
        )
    if shape.head_circuit is not None:
        circuits["head"] = _own(shape.head_circuit)
    elif shape.head == "quantum":
        circuits["head"] = head(
            shape.qubits,
            shape.reuploads,
            shape.reupload_layers,
            shape.layers,
            shape.connectivity,
            shape.column,
            shape.shared_reupload,
            shape.encoders if shape.merge == "alternate" else 1,
            shape.entanglement,
        )
    return circuits


@functools.lru_cache(maxsize=64)
def _own(text: str) -> Circuit:
    """Return a circuit of the user's own from the text that a shape holds.

    Raises:
        HilbertuneError: it is not such a text, or has more than MOST_GATES gates.
    """
    found = read(text)
    circuit = None if found is None else Circuit(*found)
    if circuit is None or declared(text, "The circuit") != (circuit.qubits, circuit.inputs):
        raise HilbertuneError(
            "A shape holds a circuit as its to_qasm3() writes it: read OpenQASM 3 of others with Circuit.from_qasm3."
        )
    if len(circuit.operations) > MOST_GATES:
        raise HilbertuneError(
            f"The circuit has {len(circuit.operations):,} gates, more than the {MOST_GATES:,} that can be computed."
        )
    return circuit


def head_blocks(circuit: Circuit) -> list[tuple[str, slice]]:
    """Return the blocks of a head by name, each with its span of operations, and together all operations.

    A block begins where the circuit starts to read inputs, after a gate that is trained or joins qubits. The blocks are
    "re-upload 1", "re-upload 2" and so on; the last one, to the end of the circuit, is "end".
    """
    starts, reading = [], False
    for number, operation in enumerate(circuit.operations):
        if operation.input is not None:
            starts += [] if reading else [number]
            reading = True
        elif operation.weight is not None or len(operation.qubits) > 1:
            reading = False
    # Gates before the first input belong to the first block.
    spans = [slice(*edges) for edges in itertools.pairwise([0, *starts[1:], len(circuit.operations)])]
    names = [*(f"re-upload {number}" for number in range(1, len(spans))), "end"]
    return list(zip(names, spans, strict=True))


def parameter_count(shape: HeadConfig, features: int, outputs: int) -> int:
    """Count the trained numbers of a whole model, from embeddings of `features` numbers to `outputs` logits.

    Raises:
        HilbertuneError: the shape does not fit the embedding or the number of outputs.
    """
    shape.check_fit(features, outputs)
    measured = shape.measured(outputs)
    count = shape.encoders * shape.encoder_qubits * (features + 1) if shape.encoder == "linear" else 0
    count += shape.capacity * features if shape.trains_projection(features) else 0
    count += shape.qubits * (shape.angles + 1) + measured * (shape.qubits + 1) if shape.head == "dense" else 0
    count += outputs * (measured + 1) if shape.final_linear else 0
    count += 2 * shape.angles if shape.input_scale == "trainable" else 0
    copies = {"encoder": shape.encoders, "head": 1}
    return count + sum(copies[name] * circuit.parameters for name, circuit in parts(shape).items())
