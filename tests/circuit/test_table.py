"""Circuits are the published ones gate by gate, counted by the published formulas, and refuse what is no circuit."""

import dataclasses
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilbertune.circuit.builders import ansatz, head, parts
from hilbertune.circuit.table import Circuit, Operation
from hilbertune.config.records import PRESETS, HeadConfig
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


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, tuple[Operation, ...]]:
    """Qubits and gates of any circuit."""
    qubits = draw(st.integers(1, 5))
    wire = st.integers(0, qubits - 1)
    gates = [
        st.builds(ry, wire, st.integers(0, 4)),
        st.builds(lambda q, i: Operation("ry", q, input=i), wire, st.integers(0, 3)),
    ]
    if qubits > 1:
        gates.append(st.lists(wire, min_size=2, max_size=2, unique=True).map(lambda pair: cx(*pair)))
    return qubits, tuple(draw(st.lists(st.one_of(gates), max_size=30)))


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


@given(tables())
def test_columns_hold_every_gate_once_and_never_two_on_a_wire(
    table: tuple[int, tuple[Operation, ...]],
) -> None:
    made = Circuit(*table)
    assert sorted(map(str, sum(made.columns, ()))) == sorted(map(str, made.operations))
    for column in made.columns:
        wires = [wire for gate in column for wire in range(min(gate.qubits), max(gate.qubits) + 1)]
        assert len(wires) == len(set(wires))
    for qubit in range(made.qubits):  # gates on a wire keep their order
        drawn = [g for column in made.columns for g in column if qubit in g.qubits]
        assert drawn == [g for g in made.operations if qubit in g.qubits]


@given(tables())
def test_depth_lies_between_the_busiest_wire_and_the_number_of_gates(
    table: tuple[int, tuple[Operation, ...]],
) -> None:
    made = Circuit(*table)
    busiest = max(sum(q in o.qubits for o in made.operations) for q in range(made.qubits))
    assert busiest <= made.depth <= min(len(made.operations), len(made.columns))


def test_depth_of_small_circuits() -> None:
    assert Circuit(3, ()).depth == 0
    assert ansatz(4, 0).depth == 1
    assert ansatz(2, 1, column=False).depth == 4
    crossing = Circuit(4, (cx(0, 3), ry(1, 0)))
    assert (crossing.depth, len(crossing.columns)) == (1, 2)


@given(tables())
def test_every_angle_an_input_keeps_the_gates_and_lists_the_rotations(
    table: tuple[int, tuple[Operation, ...]],
) -> None:
    made = Circuit(*table)
    spread, rotations = made.with_every_angle_an_input()
    assert rotations == tuple(o for o in made.operations if o.kind == "ry")
    assert (spread.parameters, spread.inputs) == (0, len(rotations))
    assert [o[:3] for o in spread.operations] == [o[:3] for o in made.operations]
    assert [o.input for o in spread.operations if o.kind == "ry"] == list(range(len(rotations)))


def test_gaps_in_the_numbering_count_as_weights_and_inputs() -> None:
    made = Circuit(1, (ry(0, 5), Operation("ry", 0, input=2)))
    assert (made.parameters, made.inputs) == (6, 3)


def test_labels_name_the_angles() -> None:
    assert [o.label for o in (ry(0, 3), Operation("ry", 0, input=0), cx(0, 1))] == ["w3", "x0", ""]


@pytest.mark.parametrize(
    "operation",
    [
        Operation("cx", 0),
        Operation("cx", 1, 1),
        Operation("cx", 2, 0),
        Operation("cx", 0, 2),
        Operation("cx", 1, 0, weight=0),
        Operation("cx", 1, 0, input=0),
        Operation("ry", 0),
        Operation("ry", 0, weight=0, input=0),
        Operation("ry", 0, 1, weight=0),
        Operation("ry", 2, weight=0),
        Operation("ry", -1, weight=0),
        Operation("ry", 0, weight=-1),
        Operation("ry", 0, input=-1),
        Operation("rx", 0, weight=0),  # type: ignore[arg-type]
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_gate_that_is_none_is_refused_with_its_place(operation: Operation) -> None:
    with pytest.raises(HilbertuneError, match="Operation 1 is not a gate on 2 qubits"):
        Circuit(2, (ry(0, 0), operation))


@pytest.mark.parametrize("qubits", [0, -3])
def test_a_circuit_without_qubits_is_refused(qubits: int) -> None:
    with pytest.raises(HilbertuneError, match=f"at least 1 qubit, not {qubits}"):
        Circuit(qubits, ())


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


def test_equal_tables_are_equal_circuits() -> None:
    assert ansatz(3, 2) == ansatz(3, 2)
    assert hash(ansatz(3, 2)) == hash(ansatz(3, 2))
    assert ansatz(3, 2) != ansatz(3, 2, column=False)
    assert len({ansatz(3, 2), ansatz(3, 2), ansatz(3, 1)}) == 2


def test_a_used_circuit_still_equals_a_fresh_one() -> None:
    used = ansatz(3, 2)
    _ = used.columns, used.depth, used.parameters, used.inputs
    assert used == ansatz(3, 2)
    assert hash(used) == hash(ansatz(3, 2))
    assert pickle.loads(pickle.dumps(used)) == used


def test_a_circuit_cannot_be_changed() -> None:
    made = ansatz(3, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.qubits = 4  # type: ignore[misc]
    with pytest.raises(AttributeError):
        made.operations[0].target = 2  # type: ignore[misc]


@pytest.mark.usefixtures("unchecked")
def test_a_list_of_operations_is_a_circuit_too() -> None:
    made = Circuit(2, [ry(0, 0), cx(0, 1)])  # type: ignore[arg-type]
    assert hash(made) == hash(Circuit(2, (ry(0, 0), cx(0, 1))))


@given(tables())
def test_numbers_count_the_largest_index(table: tuple[int, tuple[Operation, ...]]) -> None:
    made = Circuit(*table)
    weights = [o.weight for o in made.operations if o.weight is not None]
    inputs = [o.input for o in made.operations if o.input is not None]
    assert made.parameters == (max(weights) + 1 if weights else 0)
    assert made.inputs == (max(inputs) + 1 if inputs else 0)
