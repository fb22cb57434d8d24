"""Circuits are the published ones gate by gate, and counted by the published formulas."""

import subprocess
import sys
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune.circuit.builders import ansatz, head, head_blocks, parameter_count, parts
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import (
    PRESETS,
    Basis,
    EncoderKind,
    HeadConfig,
    HeadKind,
    InputScale,
    Merge,
    Padding,
    Projection,
)
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead


def ry(qubit: int, weight: int) -> Operation:
    return Operation("ry", qubit, weight=weight)


def cx(control: int, target: int) -> Operation:
    return Operation("cx", target, control)


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int, int]:
    """Qubits, layers, connectivity of an ansatz that exists."""
    qubits = draw(st.integers(2, 7))
    return qubits, draw(st.integers(0, 4)), draw(st.integers(1, qubits - 1))


def test_fig3_has_28_angles() -> None:
    made = ansatz(4, 3, 2)
    assert made.parameters == 28
    assert made.counts() == {
        "qubits": 4,
        "parameters": 28,
        "inputs": 0,
        "one_qubit_gates": 28,
        "two_qubit_gates": 24,
        "depth": made.depth,
    }


def test_fig3_is_a_layer_then_a_column_then_the_remaining_layers() -> None:
    pairs = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 2), (1, 3), (2, 0), (3, 1)]
    expected: list[Operation] = []
    for control, target in pairs:
        expected += [cx(control, target), ry(target, len(expected) // 2)]
    expected += [ry(qubit, 8 + qubit) for qubit in range(4)]
    for first in (12, 20):
        for place, (control, target) in enumerate(pairs):
            expected += [cx(control, target), ry(target, first + place)]
    assert ansatz(4, 3, 2).operations == tuple(expected)


def test_rings_stand_in_the_order_of_their_offsets() -> None:
    rings = [o.qubits for o in ansatz(5, 1, 4, column=False).operations if o.kind == "cx"]
    assert rings == [(q, (q + offset) % 5) for offset in (1, 2, 3, 4) for q in range(5)]


@given(shapes(), st.booleans())
def test_ansatz_parameters_equal_the_published_formula(shape: tuple[int, int, int], column: bool) -> None:
    qubits, layers, connectivity = shape
    made = ansatz(qubits, layers, connectivity, column)
    assert made.parameters == qubits * (layers * connectivity + column)
    assert made.inputs == 0
    assert made.counts()["two_qubit_gates"] == qubits * layers * connectivity
    assert made.counts()["one_qubit_gates"] == made.parameters
    assert [o.weight for o in made.operations if o.kind == "ry"] == list(range(made.parameters))


@given(shapes(), st.integers(1, 4), st.integers(0, 2), st.booleans(), st.booleans())
def test_head_counts_follow_from_its_blocks(
    shape: tuple[int, int, int], reuploads: int, again: int, column: bool, shared: bool
) -> None:
    qubits, layers, connectivity = shape
    made = head(qubits, reuploads, again, layers, connectivity, column, shared)
    block = qubits * (again * connectivity + column)
    main = qubits * (layers * connectivity + column)
    assert made.parameters == (1 if shared else reuploads) * block + main
    assert made.inputs == qubits
    assert made.counts()["two_qubit_gates"] == (reuploads * again + layers) * qubits * connectivity
    assert made.counts()["one_qubit_gates"] == reuploads * (qubits + block) + main


@pytest.mark.parametrize("qubits", [2, 10, 14])
def test_published_head_has_11_parameters_a_qubit(qubits: int) -> None:
    assert head(qubits, reuploads=4, reupload_layers=1, layers=2, connectivity=1).parameters == (11 * qubits)


def test_head_uploads_before_every_block_and_ends_with_the_main_block() -> None:
    made = head(2, reuploads=2, reupload_layers=0, layers=1)
    upload = (Operation("ry", 0, input=0), Operation("ry", 1, input=1))
    block = [(ry(0, first), ry(1, first + 1)) for first in (0, 2)]
    main = (cx(0, 1), ry(1, 4), cx(1, 0), ry(0, 5), ry(0, 6), ry(1, 7))
    assert made.operations == upload + block[0] + upload + block[1] + main


def test_shared_blocks_repeat_their_weights() -> None:
    made = head(3, reuploads=3, reupload_layers=1, layers=0, shared_reupload=True)
    blocks = [[o for o in made.operations[start : start + 12] if o.input is None] for start in (0, 12, 24)]
    assert blocks[0] == blocks[1] == blocks[2]
    assert made.parameters == 6 + 3


def test_shared_blocks_without_gates_leave_the_uploads() -> None:
    made = head(2, 3, reupload_layers=0, layers=0, column=False, shared_reupload=True)
    assert [o.input for o in made.operations] == [0, 1, 0, 1, 0, 1]
    assert made.parameters == 0


def test_blocks_take_their_sources_in_turn() -> None:
    made = head(2, reuploads=5, reupload_layers=0, layers=0, sources=2)
    uploads = [o.input for o in made.operations if o.input is not None]
    assert uploads == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert made.inputs == 4


@pytest.mark.parametrize(("name", "count"), [("published-886", 886), ("published-374", 374)])
def test_presets_have_the_published_number_of_parameters(name: str, count: int) -> None:
    assert HybridHead(768, 2, PRESETS[name]).parameter_count == count
    made = parts(PRESETS[name])
    both = PRESETS[name].encoders * made["encoder"].parameters + made["head"].parameters
    assert both + 4 == count  # the final linear layer has 2 weights and 2 biases


def test_parts_give_the_head_an_input_for_every_angle() -> None:
    alternate = parts(HeadConfig(qubits=4, encoders=2, merge="alternate", encoder_layers=1))
    assert alternate["encoder"].qubits == 4
    assert alternate["head"].inputs == 8
    concatenate = parts(HeadConfig(qubits=4, encoders=2, encoder_layers=1, encoder_connectivity=1))
    assert concatenate["encoder"].qubits == 2
    assert concatenate["head"].inputs == 4


@pytest.mark.parametrize("connectivity", [-1, 0, 4, 5])
def test_connectivity_outside_the_ring_is_refused(connectivity: int) -> None:
    sentence = f"connectivity must lie between 1 and qubits - 1 = 3, not {connectivity}"
    with pytest.raises(HilbertuneError, match=sentence):
        ansatz(4, 1, connectivity)
    with pytest.raises(HilbertuneError, match=sentence):
        head(4, connectivity=connectivity)


def test_one_qubit_has_no_layer() -> None:
    with pytest.raises(HilbertuneError, match="connectivity"):
        ansatz(1, 1)
    assert ansatz(1, 0).operations == (ry(0, 0),)
    assert head(1, 2, 0, 0).counts()["one_qubit_gates"] == 5


def test_negative_counts_are_refused() -> None:
    with pytest.raises(HilbertuneError, match="layers must be 0 or more, not -1"):
        ansatz(4, -1)
    with pytest.raises(HilbertuneError, match="layers must be 0 or more, not -1"):
        head(4, layers=-1)
    with pytest.raises(HilbertuneError, match="layers must be 0 or more, not -1"):
        head(4, reupload_layers=-1)
    with pytest.raises(HilbertuneError, match="reuploads must be 1 or more, not 0"):
        head(4, reuploads=0)


@pytest.mark.parametrize("sources", [0, -1])
def test_a_head_without_sources_is_refused(sources: int) -> None:
    with pytest.raises(HilbertuneError, match="sources"):
        head(4, sources=sources)


def test_more_sources_than_blocks_are_refused() -> None:
    with pytest.raises(HilbertuneError, match="reuploads must be 3 or more"):
        head(4, reuploads=2, sources=3)


def blocks_of(circuit: Circuit) -> list[tuple[str, tuple[Operation, ...]]]:
    return [(name, circuit.operations[span]) for name, span in head_blocks(circuit)]


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_published_head_has_its_four_blocks_and_ends_with_the_main_one(preset: str) -> None:
    made = parts(PRESETS[preset])["head"]
    block = 4 * made.qubits  # inputs; CNOTs and rotations of PQC1's layer; its column
    assert head_blocks(made) == [
        ("re-upload 1", slice(0, block)),
        ("re-upload 2", slice(block, 2 * block)),
        ("re-upload 3", slice(2 * block, 3 * block)),
        ("end", slice(3 * block, len(made.operations))),
    ]


def test_blocks_that_share_their_weights_are_told_apart() -> None:
    made = head(3, reuploads=3, layers=0, shared_reupload=True)
    (first, one), (second, two), (last, rest) = blocks_of(made)
    assert (first, second, last) == ("re-upload 1", "re-upload 2", "end")
    assert one == two == rest[:12]
    assert rest[12:] == tuple(ry(qubit, 6 + qubit) for qubit in range(3))


def test_blocks_without_layers_are_an_upload_and_a_column() -> None:
    made = head(2, reuploads=2, reupload_layers=0, layers=0, sources=2)
    x = [Operation("ry", q % 2, input=q) for q in range(4)]
    assert blocks_of(made) == [
        ("re-upload 1", (x[0], x[1], ry(0, 0), ry(1, 1))),
        ("end", (x[2], x[3], ry(0, 2), ry(1, 3), ry(0, 4), ry(1, 5))),
    ]


def test_uploads_with_nothing_between_are_one_block() -> None:
    made = head(2, reuploads=3, reupload_layers=0, layers=1, column=False)
    assert head_blocks(made) == [("end", slice(0, len(made.operations)))]


def test_gates_before_the_first_upload_belong_to_the_first_block() -> None:
    x = Operation("ry", 0, input=0)
    assert head_blocks(Circuit(1, (ry(0, 0), x, ry(0, 1), x))) == [("re-upload 1", slice(0, 3)), ("end", slice(3, 4))]
    # A fixed gate between two inputs ends no block.
    h, read = Operation("h", 0), Operation("rx", 0, input=1)
    assert head_blocks(Circuit(1, (x, h, read, ry(0, 0), x))) == [("re-upload 1", slice(0, 4)), ("end", slice(4, 5))]
    assert head_blocks(ansatz(2, 1)) == [("end", slice(0, 6))]
    assert head_blocks(Circuit(2, ())) == [("end", slice(0, 0))]


@given(shapes(), st.integers(1, 5), st.integers(0, 2), st.booleans(), st.booleans(), st.data())
def test_blocks_hold_every_gate_once_and_each_begins_to_read(
    shape: tuple[int, int, int], reuploads: int, again: int, column: bool, shared: bool, data: st.DataObject
) -> None:
    qubits, layers, connectivity = shape
    sources = data.draw(st.integers(1, reuploads))
    made = head(qubits, reuploads, again, layers, connectivity, column, shared, sources)
    blocks = blocks_of(made)
    assert sum((gates for _, gates in blocks), ()) == made.operations
    assert len(blocks) == (reuploads if again or column else 1)
    for number, (name, gates) in enumerate(blocks, 1):
        assert name == ("end" if number == len(blocks) else f"re-upload {number}")
        first = (number - 1) % sources * qubits
        assert [gate.input for gate in gates[:qubits]] == list(range(first, first + qubits))


@st.composite
def models(draw: st.DrawFn) -> tuple[HeadConfig, int, int]:
    """Draw a shape, the width of an embedding and the number of outputs; not all of them go together."""
    encoders = draw(st.integers(1, 3))
    merge = draw(st.sampled_from(get_args(Merge)))
    encoder, kind = draw(st.sampled_from(get_args(EncoderKind))), draw(st.sampled_from(get_args(HeadKind)))
    qubits = draw(st.integers(2, 3)) * (encoders if merge == "concatenate" else 1)
    final = kind == "none" or draw(st.booleans())
    shape = HeadConfig(
        qubits=qubits,
        encoders=encoders,
        encoder=encoder,
        merge=merge,
        encoder_layers=draw(st.integers(0, 2)),
        head=kind,
        reuploads=draw(st.integers(3, 4)),
        layers=draw(st.integers(0, 2)),
        reupload_layers=draw(st.integers(0, 2)),
        column=draw(st.booleans()),
        entanglement=draw(st.booleans()),
        shared_reupload=draw(st.booleans()),
        measured_qubits=None if kind == "none" else draw(st.none() | st.integers(1, qubits)),
        final_linear=final,
        padding=draw(st.sampled_from(get_args(Padding))),
        basis=draw(st.sampled_from(get_args(Basis))),
        input_scale=draw(st.sampled_from(get_args(InputScale))),
        projection=draw(st.none() | st.sampled_from(get_args(Projection))),
    )
    return shape, draw(st.sampled_from([1, 3, 4, 7, 8, 9, 20, 600])), draw(st.integers(0, 4))


@settings(max_examples=300)
@given(models())
def test_parameters_are_counted_as_the_model_has_them(model: tuple[HeadConfig, int, int]) -> None:
    shape, features, outputs = model
    try:
        made = HybridHead(features, outputs, shape)
    except HilbertuneError:
        with pytest.raises(HilbertuneError):
            parameter_count(shape, features, outputs)
    else:
        assert parameter_count(shape, features, outputs) == made.parameter_count


@pytest.mark.parametrize(
    ("changes", "features", "outputs", "count"),
    [
        ({}, 3, 2, 8 + 20 + 4),
        ({"encoders": 2, "merge": "average"}, 3, 2, 2 * 8 + 20 + 4),
        ({"projection": "trainable"}, 10, 2, 3 * 10 + 8 + 20 + 4),
        ({"projection": "trainable", "padding": "zero"}, 10, 2, 4 * 10 + 8 + 20 + 4),
        ({"projection": "trainable"}, 3, 2, 8 + 20 + 4),
        ({"projection": "trainable", "basis": "pca"}, 10, 2, 8 + 20 + 4),
        ({"encoder": "linear"}, 10, 2, 2 * 11 + 20 + 4),
        ({"encoder": "linear", "projection": "trainable"}, 10, 2, 2 * 11 + 20 + 4),
        ({"encoder": "pca", "projection": "trainable"}, 10, 2, 20 + 4),
        ({"encoder": "pca"}, 10, 2, 20 + 4),
        ({"encoder": "pca", "head": "dense"}, 10, 3, 2 * 3 + 2 * 3 + 3 * 3),
        ({"encoder": "pca", "head": "none"}, 10, 3, 3 * 3),
        ({"final_linear": False}, 3, 1, 8 + 20),
        ({"input_scale": "trainable"}, 3, 2, 8 + 20 + 4 + 2 * 2),
        ({"input_scale": "trainable", "encoders": 2, "merge": "alternate"}, 3, 2, 2 * 8 + 20 + 4 + 2 * 4),
    ],
)
def test_parameters_of_small_models(changes: dict[str, Any], features: int, outputs: int, count: int) -> None:
    shape = HeadConfig(qubits=2, encoder_layers=3, reuploads=4, layers=1, **changes)
    assert parameter_count(shape, features, outputs) == count


def test_counting_parameters_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from hilbertune.circuit.builders import parameter_count\n"
        "from hilbertune.config.records import PRESETS\n"
        "print(parameter_count(PRESETS['published-886'], 768, 2), 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["886", "False"]
