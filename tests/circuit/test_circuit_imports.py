"""Circuits from Qiskit, PennyLane and OpenQASM 3: round trips, and the other package's own answers."""

import numpy as np
import pennylane as qml
import pytest
import torch
from helpers.circuits import INPUTS, WEIGHTS, judged, random_circuit
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Parameter, ParameterVector
from qiskit.circuit.random import random_circuit as qiskits
from qiskit.quantum_info import SparsePauliOp, Statevector

from hilbertune import expectation
from hilbertune.circuit.kinds import KINDS
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError


def z_of(circuit: Circuit, weights: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    w, x = torch.from_numpy(weights[: circuit.parameters]), torch.from_numpy(inputs[: circuit.inputs])
    return expectation(circuit, w, x).numpy()


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_round_trips_keep_every_gate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    qubits = int(rng.integers(1, 5))
    circuit = random_circuit(rng, qubits, int(rng.integers(1, 20)))
    w, x = rng.normal(size=WEIGHTS), rng.normal(size=INPUTS)
    expected = judged(circuit, w, x)
    function = circuit.to_pennylane()
    for made in (
        Circuit.from_qiskit(circuit.to_qiskit()),
        Circuit.from_qasm3(circuit.to_qasm3()),
        Circuit.from_pennylane(function, WEIGHTS, INPUTS, qubits=qubits),
    ):
        np.testing.assert_allclose(z_of(made, w, x), expected, atol=1e-10)
    assert [o.kind for o in Circuit.from_qiskit(circuit.to_qiskit()).operations] == [o.kind for o in circuit.operations]


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_random_circuits_of_qiskit(seed: int) -> None:
    """Many gates that we have not by name are followed into their definitions."""
    made = qiskits(3, 4, max_operands=3, seed=seed % 2**31)
    found = expectation(Circuit.from_qiskit(made), torch.zeros(0, dtype=torch.float64), observables=["X0 Z1", "Y2"])
    state = Statevector(made)
    expected = [state.expectation_value(SparsePauliOp(word)).real for word in ("IZX", "YII")]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)


def test_expressions_of_parameters_and_their_gradients() -> None:
    a, b = Parameter("a"), Parameter("b")
    x = ParameterVector("x", 2)
    made = QuantumCircuit(2)
    made.rx(2 * a - b / 3 + 0.1, 0)
    made.cu(a, b, 0.2, x[1], 0, 1)
    made.u(x[0], a, 0.3, 1)
    made.rzx(b, 0, 1)
    circuit = Circuit.from_qiskit(made)
    assert (circuit.parameters, circuit.inputs) == (2, 2)
    values = torch.tensor([0.4, -1.2, 0.9, 0.3], dtype=torch.float64)

    def ours(v: torch.Tensor) -> torch.Tensor:
        return expectation(circuit, v[:2], v[2:])

    def theirs(v: np.ndarray) -> np.ndarray:
        state = Statevector(made.assign_parameters(dict(zip((a, b, *x), v.tolist(), strict=True))))
        return np.array([state.expectation_value(SparsePauliOp(word)).real for word in ("IZ", "ZI")])

    np.testing.assert_allclose(ours(values).numpy(), theirs(values.numpy()), atol=1e-10)
    slopes = torch.autograd.functional.jacobian(ours, values).numpy()
    steps = np.eye(4) * 1e-5
    differences = [(theirs(values.numpy() + s) - theirs(values.numpy() - s)) / 2e-5 for s in steps]
    np.testing.assert_allclose(slopes, np.array(differences).T, atol=1e-9)


def test_inputs_are_named_or_begin_with_x() -> None:
    made = QuantumCircuit(1)
    for name in ("data", "x", "theta"):
        made.ry(Parameter(name), 0)
    assert (Circuit.from_qiskit(made).parameters, Circuit.from_qiskit(made).inputs) == (2, 1)
    circuit = Circuit.from_qiskit(made, inputs=["data"])
    assert [(o.weight, o.input) for o in circuit.operations] == [(None, 0), (1, None), (0, None)]
    with pytest.raises(HilbertuneError, match="no parameter 'dat'"):
        Circuit.from_qiskit(made, inputs=["dat"])


def test_a_gate_of_the_users_own_is_not_taken_for_its_namesake() -> None:
    text = 'OPENQASM 3.0;\ninclude "stdgates.inc";\ngate ryy(a) q0, q1 { x q0; }\nqubit[2] q;\nryy(0.3) q[0], q[1];\n'
    assert [o.kind for o in Circuit.from_qasm3(text).operations] == ["x"]


def test_templates_of_pennylane() -> None:
    def template(w: np.ndarray, x: np.ndarray) -> object:
        qml.AngleEmbedding(x, wires=range(4), rotation="X")
        qml.StronglyEntanglingLayers(w, wires=range(4))
        qml.PauliRot(2 * w[0, 0, 0] + x[1], "XYZ", wires=[0, 1, 3])
        qml.QFT(wires=range(3))
        qml.DoubleExcitation(x[0], wires=range(4))
        qml.IsingXY(x[2], wires=[0, 1])
        qml.MultiControlledX([0, 1, 2, 3])
        qml.adjoint(qml.SX)(1)
        return [qml.expval(qml.PauliZ(q)) for q in range(4)]

    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(2, 4, 3)), rng.normal(size=4)
    node = qml.QNode(template, qml.device("default.qubit", wires=4))
    for function in (template, node):
        circuit = Circuit.from_pennylane(function, (2, 4, 3), 4)
        np.testing.assert_allclose(z_of(circuit, w.ravel(), x), np.array(node(w, x)), atol=1e-10)


def test_what_is_no_circuit_is_refused_by_name() -> None:
    made = QuantumCircuit(1, 1)
    made.measure(0, 0)
    made.x(0)
    reset = QuantumCircuit(1)
    reset.reset(0)
    a = Parameter("a")
    curved = QuantumCircuit(1)
    curved.rx(a * a, 0)
    cases = {
        "after it was measured": lambda: Circuit.from_qiskit(made),
        "'reset' is not known": lambda: Circuit.from_qiskit(reset),
        "not linear": lambda: Circuit.from_qiskit(curved),
        "not OpenQASM 3": lambda: Circuit.from_qasm3("qubit q[2;"),
        "angle of gate 0": lambda: Circuit.from_pennylane(lambda w: qml.RX(w[0] ** 2, 0), 1),
        "depend on the values": lambda: Circuit.from_pennylane(lambda w: qml.RX(w[0], int(w[0] > 0)), 1),
        "Wires must be numbers": lambda: Circuit.from_pennylane(lambda w: qml.RX(w[0], "a"), 1),
    }
    for message, attempt in cases.items():
        with pytest.raises(HilbertuneError, match=message):
            attempt()


def test_final_measurements_are_left_out() -> None:
    made = QuantumCircuit(2)
    made.h(0)
    made.measure_all()
    assert [o.kind for o in Circuit.from_qiskit(made).operations] == ["h"]


def test_every_kind_is_exported_by_its_own_name() -> None:
    rng = np.random.default_rng(0)
    for kind, about in KINDS.items():
        circuit = Circuit(about.qubits, random_circuit(rng, about.qubits, 1, [kind]).operations[:1])
        angles = [0.1] * circuit.parameters, [0.2] * circuit.inputs
        assert [i.operation.name for i in circuit.to_qiskit(*angles).data] == [about.qiskit]
        if kind != "id":  # which Qiskit reads as U(0, 0, 0)
            assert qasm3.loads(circuit.to_qasm3(*angles)).data[0].operation.name == about.qasm
