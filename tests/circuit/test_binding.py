"""Bound circuits against state vectors: reduction, native gates and folding change no answer."""

import math
from typing import Any

import numpy as np
import pytest
from helpers.heads import exact, heads
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Statevector

from hilbertune.circuit.binding import BoundCircuit, Gate, bind
from hilbertune.circuit.builders import head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError


def native(bound: BoundCircuit) -> QuantumCircuit:
    """Return the vendor's gates by their matrices (docs of ionq_core.gates), independent of the code under test."""
    made = QuantumCircuit(bound.qubits)
    for gate in bound.native():
        if gate["gate"] == "zz":
            made.rzz(2 * math.pi * gate["angle"], *gate["targets"])
            continue
        e = np.exp(2j * math.pi * gate["phase"])
        matrix = np.array([[0, e.conjugate()], [e, 0]])
        if gate["gate"] == "gpi2":
            matrix = np.array([[1, -1j * e.conjugate()], [-1j * e, 1]]) / math.sqrt(2)
        made.append(UnitaryGate(matrix), [gate["target"]])
    return made


def z_of(made: QuantumCircuit, measured: tuple[int, ...]) -> list[float]:
    shares = Statevector(made).probabilities()
    signs = [1 - 2 * (np.arange(len(shares)) >> q & 1) for q in measured]
    return [float(s @ shares) for s in signs]


@settings(max_examples=60)
@given(case=heads(), reduce=st.booleans(), scale=st.sampled_from([1, 3]))
def test_every_form_of_a_bound_circuit_has_the_circuits_answer(case: Any, reduce: bool, scale: int) -> None:
    bound = bind(*case[:1], case[1].tolist(), case[2].tolist(), case[3], reduce=reduce)
    folded = bound.folded(scale)
    plain = folded.to_qiskit().remove_final_measurements(inplace=False)
    for made in (plain, native(folded)):
        np.testing.assert_allclose(z_of(made, folded.measured), exact(case), atol=1e-10)
    assert folded.counts()[1] == scale * bound.counts()[1]
    assert sum(bound.counts("native")) == len(bound.native())


def test_a_reduced_circuit_is_never_longer_and_often_shorter() -> None:
    circuit = head(10)
    rng = np.random.default_rng(0)
    angles = [rng.normal(size=n).tolist() for n in (circuit.parameters, circuit.inputs)]
    whole, reduced = (bind(circuit, *angles, (0,), reduce=r) for r in (False, True))
    assert whole.counts() == (circuit.counts()["one_qubit_gates"], 60)
    assert reduced.counts() == (115, 60)
    assert reduced.counts("native")[1] == 60, "our compilation adds no two-qubit gate"


def test_what_the_measured_qubits_cannot_see_is_left_out() -> None:
    ry, cx = (lambda q, w: Operation("ry", q, weight=w)), (lambda c, t: Operation("cx", t, c))
    circuit = Circuit(5, (ry(0, 0), cx(0, 1), cx(0, 1), ry(0, 1), cx(2, 1), ry(3, 2), cx(3, 4), ry(1, 3)))
    bound = bind(circuit, [0.1, 0.2, 0.3, 0.4], [], (1, 0))
    # The two CNOTs cancel, qubit 2 is still |0>, qubits 3 and 4 are outside, the rotations of qubit 0 meet.
    assert bound.qubits == 2
    assert bound.measured == (1, 0)
    assert bound.gates == (Gate(0, None, pytest.approx(0.3)), Gate(1, None, 0.4))


def test_an_even_scale_is_refused() -> None:
    with pytest.raises(HilbertuneError, match="odd number"):
        BoundCircuit(1, (), (0,)).folded(2)


def test_too_few_angles_are_refused() -> None:
    with pytest.raises(HilbertuneError, match="The circuit reads 44 weights and 4 inputs: give them all"):
        bind(head(4), [0.0] * 44, [0.0] * 3, (0,))
