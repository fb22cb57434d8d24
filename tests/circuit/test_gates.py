"""Gates of a bound circuit against Qiskit: matrices, what vendors are sent, and what may be left out."""

import math
from typing import Any

import numpy as np
import pytest
from helpers.circuits import INPUTS, WEIGHTS, judged, random_circuit
from ionq_core.models.qis_gate import QIS_GATE_VALUES
from qiskit import QuantumCircuit
from qiskit.circuit.library import UnitaryGate
from qiskit.quantum_info import Operator, Statevector

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.gates import Gate, expanded, gate, matrix
from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.circuit.native import KNOWN
from hilbertune.circuit.table import Circuit


def qiskits(kind: str, angle: float) -> np.ndarray:
    """Return Qiskit's matrix of a gate, the first of its qubits the most significant bit."""
    about = KINDS[kind]
    made = QuantumCircuit(about.qubits)
    getattr(made, about.qiskit)(*([angle] if about.angle else []), *range(about.qubits))
    return Operator(made.reverse_bits()).data


def equal_up_to_phase(first: np.ndarray, second: np.ndarray) -> bool:
    return abs(abs(np.vdot(first, second)) - len(first)) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_matrices_are_qiskits(kind: str) -> None:
    for angle in (0.7, -2.9, 4.1):
        own = gate(kind, range(KINDS[kind].qubits), angle)
        assert equal_up_to_phase(matrix(own), qiskits(kind, angle)), angle
        product = np.eye(1 << len(own.qubits), dtype=complex)
        for part in expanded(own, KNOWN | {"id"}):
            step = QuantumCircuit(len(own.qubits))
            step.append(UnitaryGate(qiskits(part.name, part.angle)), [*reversed(part.qubits)])
            product = Operator(step.reverse_bits()).data @ product
        assert equal_up_to_phase(product, qiskits(kind, angle)), "in the gates of the native compiler"


def from_qis(bound: BoundCircuit) -> QuantumCircuit:
    """Return what IonQ's API is sent, by its documentation of these gates."""
    names = {"cnot": "cx", "si": "sdg", "ti": "tdg", "v": "sx", "xx": "rxx", "yy": "ryy", "zz": "rzz"}
    made = QuantumCircuit(bound.qubits)
    for one in bound.qis():
        assert one["gate"] in QIS_GATE_VALUES
        angle = [one["rotation"]] if "rotation" in one else []
        qubits = one.get("targets") or [q for q in (one.get("control"), one["target"]) if q is not None]
        getattr(made, names.get(one["gate"], one["gate"]))(*angle, *qubits)
    return made


def from_native(bound: BoundCircuit) -> QuantumCircuit:
    """Return native gates by their matrices in IonQ's documentation."""
    made = QuantumCircuit(bound.qubits)
    for one in bound.native():
        if one["gate"] == "zz":
            assert 0 < one["angle"] <= 0.25
            made.rzz(2 * math.pi * one["angle"], *one["targets"])
            continue
        e = np.exp(2j * math.pi * one["phase"])
        turned = {"gpi": [[0, 1 / e], [e, 0]], "gpi2": np.array([[1, -1j / e], [-1j * e, 1]]) / math.sqrt(2)}
        made.append(UnitaryGate(np.array(turned[one["gate"]])), [one["target"]])
    return made


def z_of(made: QuantumCircuit, measured: tuple[int, ...]) -> np.ndarray:
    shares = Statevector(made).probabilities()
    return shares @ (1 - 2 * (np.arange(len(shares))[:, None] >> np.array(measured) & 1))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("reduce", [True, False])
def test_every_form_of_a_bound_circuit_has_pennylanes_answer(seed: int, reduce: bool) -> None:
    """Random circuits of all kinds: as Qiskit gets them, as IonQ's QIS and native gates, and folded."""
    rng = np.random.default_rng(seed)
    qubits = int(rng.integers(2, 5))
    circuit = random_circuit(rng, qubits, int(rng.integers(5, 30)))
    weights, inputs = rng.normal(size=WEIGHTS), rng.normal(size=INPUTS)
    measured = tuple(int(q) for q in rng.permutation(qubits)[: rng.integers(1, qubits + 1)])
    right = judged(circuit, weights, inputs)[list(measured)]
    bound = bind(circuit, weights.tolist(), inputs.tolist(), measured, reduce=reduce)
    if not reduce:
        assert [g.name for g in bound.gates] == [o.kind for o in circuit.operations]
    for scale in (1, 3):
        folded = bound.folded(scale)
        plain = folded.to_qiskit().remove_final_measurements(inplace=False)
        for made in (plain, from_qis(folded), from_native(folded)):
            np.testing.assert_allclose(z_of(made, folded.measured), right, atol=1e-10)
        one, two = folded.counts()
        assert one + two == len(folded.qis())


def test_gates_are_sent_as_they_are_written_where_the_vendor_has_them() -> None:
    circuit = Circuit(
        2,
        (
            Operation("h", 0),
            Operation("rx", 1, weight=0),
            Operation("rzz", 1, 0, input=0, scale=2.0, offset=0.1),
            Operation("t", 0),
            Operation("h", 0),
        ),
    )
    bound = bind(circuit, [0.3], [0.5], (0, 1))
    assert bound.gates == (
        Gate(0, kind="h"),
        Gate(1, angle=0.3, kind="rx"),
        Gate(1, 0, 1.1, "rzz"),
        Gate(0, kind="t"),
        Gate(0, kind="h"),
    )
    assert bound.qis() == [
        {"gate": "h", "target": 0},
        {"gate": "rx", "target": 1, "rotation": 0.3},
        {"gate": "zz", "targets": [0, 1], "rotation": 1.1},
        {"gate": "t", "target": 0},
        {"gate": "h", "target": 0},
    ]
    assert bound.counts() == (4, 1)


@pytest.mark.parametrize(
    ("gates", "left"),
    [
        pytest.param([("rx", (0,), 0.2), ("rx", (0,), 0.5)], [("rx", 0.7)], id="rotations about one axis meet"),
        pytest.param([("rx", (0,), 0.2), ("ry", (0,), 0.5)], [("rx", 0.2), ("ry", 0.5)], id="other axes do not"),
        pytest.param([("h", (0,), 0), ("h", (0,), 0), ("x", (0,), 0)], [("x", 0)], id="two H are none"),
        pytest.param([("rz", (0,), 0.4), ("h", (0,), 0)], [("h", 0)], id="a phase of |0> is none"),
        pytest.param([("h", (0,), 0), ("rz", (0,), 2 * math.pi)], [("h", 0)], id="a turn is none"),
        pytest.param([("crx", (1, 0), 0.4), ("x", (0,), 0)], [("x", 0)], id="a control that is |0>"),
        pytest.param([("x", (0,), 0), ("swap", (0, 1), 0)], [], id="a swap renames"),
    ],
)
def test_what_changes_no_answer_is_left_out(gates: list[Any], left: list[tuple[str, float]]) -> None:
    operations = [
        Operation(k, q[-1], q[0] if len(q) > 1 else None, offset=float(a) if KINDS[k].angle else None)
        for k, q, a in gates
    ]
    bound = bind(Circuit(2, tuple(operations)), [], [], (0,))
    assert [(g.name, g.angle) for g in bound.gates] == [(name, pytest.approx(angle)) for name, angle in left]


def test_a_full_turn_of_a_controlled_rotation_is_kept() -> None:
    """It is a Z on the control."""
    h, turn = Operation("h", 0), Operation("crx", 1, 0, offset=2 * math.pi)
    bound = bind(Circuit(2, (h, turn, h)), [], [], (0,))
    np.testing.assert_allclose(z_of(from_native(bound), bound.measured), [-1.0], atol=1e-12)


def test_hashes_of_ry_and_cnot_are_those_of_three_numbers() -> None:
    """Ledgers that were begun before there were other gates are found again."""
    assert Gate(1, 0).facts() == [1, 0, 0.0]
    assert Gate(1, None, 0.5).facts() == [1, None, 0.5]
    assert Gate(1, None, 0.5, "rx").facts() == [1, None, 0.5, "rx", None]
