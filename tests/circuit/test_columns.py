"""Columns of a picture: repeated blocks stand once, and nothing is lost or shown twice."""

import pytest

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.columns import LAST, LONG, MOST, columns_of, folded
from hilbertune.circuit.table import Circuit


@pytest.mark.parametrize("circuit", [ansatz(4, 9), head(4), head(3, 6, shared_reupload=True), ansatz(3, 30, 2)])
def test_frames_stand_for_all_columns_they_replace(circuit: Circuit) -> None:
    sheet = folded(circuit.qubits, circuit.operations)
    assert sheet.gap is None
    assert sheet.frames
    gates = sum(map(len, sheet.columns))
    for frame in sheet.frames:
        gates += (frame.times - 1) * sum(map(len, sheet.columns[frame.start : frame.stop]))
    assert gates == len(circuit.operations)
    assert len(sheet.columns) < len(circuit.columns)


def test_a_frame_says_if_the_weights_are_the_same() -> None:
    for shared, label in ((True, "× 6, same weights"), (False, "× 6, new weights")):
        circuit = head(3, 6, shared_reupload=shared)
        assert folded(3, circuit.operations).frames[0].label == label


def test_a_short_circuit_is_drawn_as_it_is() -> None:
    circuit = ansatz(4, 2, column=False)
    assert len(circuit.columns) <= LONG
    assert folded(4, circuit.operations).columns == list(circuit.columns)


def test_of_a_circuit_that_stays_long_the_middle_is_left_out() -> None:
    circuit = ansatz(8, 8, 7)
    sheet = folded(8, circuit.operations)
    assert len(sheet.columns) == MOST + 1
    assert sheet.gap is not None
    place, _ = sheet.gap
    assert place == MOST - LAST
    assert sheet.columns[place] == ()
    assert [list(column) for column in sheet.columns[:5]] == [list(c) for c in circuit.columns[:5]]
    # The frame of the layers begins in what is left out: it takes in the empty column.
    (frame,) = sheet.frames
    assert (frame.start, frame.stop, frame.times) == (place, len(sheet.columns), 7)


def test_columns_hold_all_operations_in_their_order() -> None:
    circuit = ansatz(5, 2, 3)
    for qubit in range(5):
        own = [o for o in circuit.operations if qubit in o.qubits]
        assert [o for column in columns_of(5, circuit.operations) for o in column if qubit in o.qubits] == own
