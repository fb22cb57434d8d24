"""What a circuit is: an immutable table of gates, and the builders of the published ones.

In: numbers of qubits, layers and so on. Out: a `Circuit`, which the engines run, and which is drawn, counted and exported
from the same table; no second description of a circuit exists. Source of the ansatz: arXiv 2504.08732, figures 2 and 3.
"""

from collections.abc import Iterator

from hilbertune.circuit.table import Circuit, Operation
from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError


def _check_ansatz(qubits: int, layers: int, connectivity: int) -> None:
    if layers < 0:
        raise HilbertuneError(f"layers must be 0 or more, not {layers}.")
    if layers and not 1 <= connectivity < qubits:
        raise HilbertuneError(f"connectivity must lie between 1 and qubits - 1 = {qubits - 1}, not {connectivity}.")


def _ansatz(
    qubits: int,
    layers: int,
    connectivity: int,
    column: bool,
    entanglement: bool,
    weights: Iterator[int],
) -> list[Operation]:
    """Figure 3 of arXiv 2504.08732: a layer, one column of RY, then the remaining layers."""
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


def _counter() -> Iterator[int]:
    return iter(range(1_000_000_000))


def ansatz(
    qubits: int,
    layers: int,
    connectivity: int = 1,
    column: bool = True,
    entanglement: bool = True,
) -> Circuit:
    """The published ansatz: qubits · (layers · connectivity + 1) parameters, or without the column qubits · layers · connectivity.

    An encoder is this circuit after the loading of amplitudes (arXiv 2504.08732). Without `entanglement` its CNOTs are left out.

    Raises:
        HilbertuneError: connectivity outside 1..qubits-1, or layers < 0.
    """
    _check_ansatz(qubits, layers, connectivity)
    return Circuit(qubits, tuple(_ansatz(qubits, layers, connectivity, column, entanglement, _counter())))


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
    """The re-uploading head: (RY(x_k) on qubit k, then PQC1) `reuploads` times, then PQC2 (arXiv 2504.08732).

    `reupload_layers` are the layers of PQC1, `layers` those of PQC2. Whether the repeated PQC1 share their weights is not
    published: `shared_reupload=False` is our choice. With `sources` > 1 block r reads the inputs of source r mod sources
    (the merge mode `alternate`), so that the circuit has sources · qubits inputs.

    Raises:
        HilbertuneError: connectivity outside 1..qubits-1, or a negative count.
    """
    for count in (reupload_layers, layers):
        _check_ansatz(qubits, count, connectivity)
    if sources < 1:
        raise HilbertuneError(f"sources must be 1 or more, not {sources}.")
    if reuploads < 1:
        raise HilbertuneError(f"reuploads must be 1 or more, not {reuploads}.")
    if sources > reuploads:
        raise HilbertuneError(
            f"With merge='alternate' every encoder needs a block: reuploads must be {sources} or more."
        )
    weights = _counter()
    shared: list[Operation] = []
    operations = []
    for block in range(reuploads):
        first = (block % sources) * qubits
        operations += [Operation("ry", q, input=first + q) for q in range(qubits)]
        if not (shared_reupload and shared):
            shared = _ansatz(qubits, reupload_layers, connectivity, column, entanglement, weights)
        operations += shared
    operations += _ansatz(qubits, layers, connectivity, column, entanglement, weights)
    return Circuit(qubits, tuple(operations))


def parts(shape: HeadConfig) -> dict[str, Circuit]:
    """The circuits of a hybrid head: one of its encoders, and the re-uploading head; a classical part has none."""
    found = {}
    if shape.encoder == "quantum":
        found["encoder"] = ansatz(
            shape.encoder_qubits,
            shape.encoder_layers,
            shape.encoder_offsets,
            shape.column,
            shape.entanglement,
        )
    if shape.head == "quantum":
        found["head"] = head(
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
    return found
