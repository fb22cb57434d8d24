"""Programs are the circuits they were made from: merged, ordered and cut, but the same unitary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.engine.program import CX, RY, Program, program


def dense(circuit: Circuit, slots: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Run the circuit gate by gate on a state [2^qubits], by indexing."""
    for o in circuit.operations:
        slot = o.weight if o.weight is not None else circuit.parameters + (o.input or 0)
        state = gate(state, o.target, o.control, None if o.kind == "cx" else slots[slot])
    return state


def gate(state: np.ndarray, target: int, control: int | None, angle: float | None) -> np.ndarray:
    rows = np.arange(len(state))
    if control is not None:
        state = np.where(rows >> control & 1, state[rows ^ 1 << target], state)
    if angle is None:
        return state
    sign = np.where(rows >> target & 1, 1, -1)
    return np.cos(angle / 2) * state + sign * np.sin(angle / 2) * state[rows ^ 1 << target]


def run(made: Program, slots: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Run the program, pass by pass and block by block, touching only what its tables say may be touched."""
    angles = np.zeros(made.angles + 1)
    for angle, slot in made.uses:
        angles[angle] += slots[slot]
    state = state.copy()
    rows = np.arange(len(state))
    for first, stop, window, others in made.passes:
        inside = rows[rows & ~window == 0]
        for outer in rows[rows & ~others == 0]:
            block = state[inside + outer]
            for what, target, control, angle, size in made.gates[first:stop]:
                assert not block[size:].any(), "an amplitude beyond `size` is not zero"
                turn = None if what == CX else angles[angle]
                block[:size] = gate(block[:size], target, None if what == RY else control, turn)
            state[inside + outer] = block
    return state


@st.composite
def circuits(draw: st.DrawFn) -> Circuit:
    qubits = draw(st.integers(1, 6))
    wire = st.integers(0, qubits - 1)
    rotation = st.builds(
        lambda q, i, w: Operation("ry", q, **{w: i}), wire, st.integers(0, 3), st.sampled_from(["weight", "input"])
    )
    kinds = [rotation]
    if qubits > 1:
        pairs = st.lists(wire, min_size=2, max_size=2, unique=True)
        kinds.append(pairs.map(lambda pair: Operation("cx", *pair)))
    return Circuit(qubits, tuple(draw(st.lists(st.one_of(kinds), max_size=40))))


@settings(max_examples=200)
@given(circuits(), st.integers(2, 6), st.integers(0, 64), st.integers(0, 3), st.integers(0, 9))
def test_a_program_is_its_circuit(circuit: Circuit, window: int, amplitudes: int, lowest: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    amplitudes = min(amplitudes, 1 << circuit.qubits)
    slots = rng.normal(0, 2, circuit.parameters + circuit.inputs)
    state = np.zeros(1 << circuit.qubits)
    state[: max(1, amplitudes)] = rng.normal(size=amplitudes) if amplitudes else 1
    made = program(circuit, window, amplitudes, lowest)
    np.testing.assert_allclose(run(made, slots, state), dense(circuit, slots, state), atol=1e-12)


@given(circuits(), st.integers(2, 6))
def test_windows_are_no_larger_than_asked_and_uses_stand_in_the_order_of_the_rotations(
    circuit: Circuit, window: int
) -> None:
    made = program(circuit, window)
    assert all(int(inside).bit_count() <= window for _, _, inside, _ in made.passes)
    slots = [
        o.weight if o.weight is not None else circuit.parameters + (o.input or 0)
        for o in circuit.operations
        if o.kind == "ry"
    ]
    assert made.uses[:, 1].tolist() == slots


def test_the_published_head_loses_a_third_of_its_gates() -> None:
    made = program(head(10), 10)
    assert len(head(10).operations) == 210  # 150 rotations, 60 CNOTs
    assert len(made.gates) == 115  # a CNOT and its rotation are one gate, rotations that meet are one
    assert made.gates[:, 4].sum() < 94.1 * 2**10  # the first gates act on a small state


@pytest.mark.parametrize(("qubits", "passes"), [(12, 1), (18, 4)])
def test_an_encoder_of_768_numbers_starts_in_their_subspace(qubits: int, passes: int) -> None:
    made = program(ansatz(qubits, 2), 12, 768, 2)
    assert len(made.passes) == passes
    assert made.passes[0][3] & ~0b1111111111 == 0  # no block beyond the first 1,024 amplitudes
