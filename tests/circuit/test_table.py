"""Circuits count their gates, angles and columns, find an angle, and refuse what is no circuit."""

import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hilbertune.circuit.builders import ansatz
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError


def ry(qubit: int, weight: int) -> Operation:
    return Operation("ry", qubit, weight=weight)


def cx(control: int, target: int) -> Operation:
    return Operation("cx", target, control)


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
    ],
)
def test_a_gate_that_is_none_is_refused_with_its_place(operation: Operation) -> None:
    with pytest.raises(HilbertuneError, match="Operation 1 is not a gate on 2 qubits"):
        Circuit(2, (ry(0, 0), operation))


def test_a_kind_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(HilbertuneError, match=r"Operation 1 is a 'rzx', which is not one of \['ry', 'cx', "):
        Circuit(2, (ry(0, 0), Operation("rzx", 0, 1, weight=0)))


def test_a_plain_circuit_is_of_ry_and_cnot_by_bare_angles() -> None:
    assert Circuit(2, (ry(0, 0), cx(0, 1))).plain
    for other in (Operation("h", 0), Operation("ry", 0, offset=0.1), Operation("ry", 0, weight=0, scale=2.0)):
        assert not Circuit(2, (ry(0, 0), other)).plain


@pytest.mark.parametrize("qubits", [0, -3])
def test_a_circuit_without_qubits_is_refused(qubits: int) -> None:
    with pytest.raises(HilbertuneError, match=f"at least 1 qubit, not {qubits}"):
        Circuit(qubits, ())


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


MIXED = Circuit(2, (ry(0, 1), Operation("ry", 1, input=2), cx(0, 1), Operation("ry", 0, input=0)))


def test_a_slot_counts_the_weights_and_then_the_inputs() -> None:
    assert [MIXED.slot(o) for o in MIXED.operations if o.kind == "ry"] == [1, 4, 2]


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_an_angle_is_a_weight_or_an_input(kind: Any) -> None:
    weights, inputs = kind([0.5, 1.5]), kind([2.5, 3.5, 4.5])
    assert [float(MIXED.angle(o, weights, inputs)) for o in MIXED.operations if o.kind == "ry"] == [1.5, 4.5, 2.5]


@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_an_angle_is_looked_up_along_the_last_axis(kind: Any) -> None:
    weights = kind([[0.5, 1.5], [10.5, 11.5]])
    inputs = kind([[[2.5, 3.5, 4.5]], [[12.5, 13.5, 14.5]]])
    by_weight, by_input, _, _ = MIXED.operations
    assert MIXED.angle(by_weight, weights, inputs).tolist() == [1.5, 11.5]
    assert MIXED.angle(by_input, weights, inputs).tolist() == [[4.5], [14.5]]


@given(tables())
def test_slots_and_angles_agree(table: tuple[int, tuple[Operation, ...]]) -> None:
    made = Circuit(*table)
    both = np.random.default_rng(0).normal(size=made.parameters + made.inputs)
    weights, inputs = np.split(both, [made.parameters])
    for rotation in (o for o in made.operations if o.kind == "ry"):
        assert made.angle(rotation, weights, inputs) == both[made.slot(rotation)]


@pytest.mark.parametrize(
    ("weights", "inputs"),
    [
        (None, [0.0] * 3),
        ([0.0], [0.0] * 3),
        (torch.zeros(2, 1), torch.zeros(2, 3)),
    ],
)
def test_an_angle_that_is_not_given_is_refused(weights: Any, inputs: Any) -> None:
    with pytest.raises(HilbertuneError, match="The circuit reads 2 weights and 3 inputs: give them all"):
        MIXED.angle(MIXED.operations[0], weights, inputs)


def test_a_cnot_has_no_angle() -> None:
    with pytest.raises(HilbertuneError, match="has no angle"):
        MIXED.angle(cx(0, 1), [0.0] * 2, [0.0] * 3)
    with pytest.raises(HilbertuneError, match="has no angle"):
        MIXED.slot(cx(0, 1))
