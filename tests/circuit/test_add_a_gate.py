"""A gate is added as docs/explanation/add-a-gate.md says, by one record, and every place that reads gates must know it.

The gate is an echoed cross-resonance gate (ECR). PennyLane and Qiskit, which have one of their own, are the judges.
"""

import ast
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from qiskit import qasm3
from qiskit.quantum_info import Statevector

from hilbertune import expectation
from hilbertune.circuit.binding import bind
from hilbertune.circuit.drawing import draw_image, draw_text
from hilbertune.circuit.kinds import KINDS, Kind, Operation, Part
from hilbertune.circuit.lowering import lowered
from hilbertune.circuit.table import Circuit
from hilbertune.config.noise import Noise
from hilbertune.engine import noise as noise_engine

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "add-a-gate.md").read_text()

QUBITS = 3
WEIGHTS = np.array([0.3, -1.1, 0.7, 2.0])
INPUTS = np.array([[0.5, -0.4], [1.3, 0.2]])


ECR = Kind(
    qubits=2,
    angle=False,
    symbols=("ECR", "ECR"),
    qasm="ecr",
    qiskit="ecr",
    pennylane="ECR",
    parts=(Part("s", (0,)), Part("sx", (1,)), Part("cx", (0, 1)), Part("x", (0,))),
    definition="s q0; sx q1; cx q0, q1; x q0;",
)


@pytest.fixture(autouse=True)
def ecr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the gate: all that it takes."""
    monkeypatch.setitem(KINDS, "ecr", ECR)


def test_the_page_shows_this_record() -> None:
    shown = re.search(r"\nKINDS\[\"ecr\"\] = (.*?)```", PAGE, re.DOTALL)
    own = re.search(r"^ECR = (.*?^\))", Path(__file__).read_text(), re.DOTALL | re.MULTILINE)
    assert shown is not None
    assert own is not None
    assert ast.dump(ast.parse(shown[1])) == ast.dump(ast.parse(own[1]))


@pytest.fixture
def circuit() -> Circuit:
    """Rotations by weights and inputs with two ECR gates and a CNOT between them."""
    return Circuit(
        QUBITS,
        (
            Operation("ry", 0, input=0),
            Operation("ry", 1, weight=0),
            Operation("ecr", 2, 0),
            Operation("ry", 2, weight=1),
            Operation("cx", 1, 2),
            Operation("ry", 1, input=1),
            Operation("ecr", 0, 1),
            Operation("ry", 0, weight=2),
            Operation("ry", 1, weight=3),
        ),
    )


def tensors() -> tuple[torch.Tensor, torch.Tensor]:
    weights, inputs = (torch.from_numpy(a)[None].requires_grad_() for a in (WEIGHTS, INPUTS))
    return weights, inputs


def judged(circuit: Circuit) -> np.ndarray:
    """Return PennyLane's expectations [rows, qubits]."""
    device = qml.device("default.qubit", wires=QUBITS)

    @qml.qnode(device)
    def node(inputs: np.ndarray) -> list:
        circuit.to_pennylane()(WEIGHTS, inputs)
        return [qml.expval(qml.PauliZ(q)) for q in range(QUBITS)]

    return np.array([node(row) for row in INPUTS])


@pytest.mark.parametrize("engine", ["cpu", "reference"])
def test_values_are_pennylanes(circuit: Circuit, engine: str) -> None:
    values = expectation(circuit, *tensors(), engine=engine)
    np.testing.assert_allclose(values[0].detach().numpy(), judged(circuit), atol=1e-12)


@pytest.mark.parametrize("engine", ["cpu", "reference"])
@pytest.mark.parametrize("gradient", ["adjoint", "parameter-shift"])
def test_gradients_are_those_of_finite_differences(circuit: Circuit, engine: str, gradient: str) -> None:
    def total(weights: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        return expectation(circuit, weights, inputs, engine=engine, gradient=gradient).square().sum()

    own = tensors()
    total(*own).backward()
    step = 1e-6
    for place, tensor in enumerate(own):
        assert tensor.grad is not None
        for index in np.ndindex(*tensor.shape):
            sides = []
            for sign in (1, -1):
                moved = [t.detach().clone() for t in own]
                moved[place][index] += sign * step
                sides.append(float(total(*moved)))
            assert float(tensor.grad[index]) == pytest.approx((sides[0] - sides[1]) / (2 * step), abs=1e-7)


def test_shots_are_drawn_from_its_distribution(circuit: Circuit) -> None:
    rngs = [np.random.default_rng(0)]
    values = expectation(circuit, *tensors(), shots=200_000, rngs=rngs)[0].detach().numpy()
    np.testing.assert_allclose(values, judged(circuit), atol=5 / math.sqrt(200_000))


def test_exports_run_elsewhere(circuit: Circuit) -> None:
    for row, expected in zip(INPUTS, judged(circuit), strict=True):
        for made in (circuit.to_qiskit(WEIGHTS, row), qasm3.loads(circuit.to_qasm3(WEIGHTS, row))):
            assert made.count_ops()["ecr"] == 2
            shares = Statevector(made).probabilities()
            signs = 1 - 2 * (np.arange(len(shares))[:, None] >> np.arange(QUBITS) & 1)
            np.testing.assert_allclose(shares @ signs, expected, atol=1e-12)


def test_noise_errs_once_after_it_as_written(circuit: Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chance of an error after each of six rotations and three two-qubit gates, though an ECR is four gates."""
    chances: list[int] = []
    right = noise_engine._errors

    def counting(rng: np.random.Generator, cells: int, *more: Any) -> Any:
        chances.append(cells)
        return right(rng, cells, *more)

    monkeypatch.setattr(noise_engine, "_errors", counting)
    noise_engine.draw(circuit, Noise(0.1, 0.1), 100, [np.random.default_rng(0)])
    assert chances == [600, 300]


def test_noise_has_the_mean_of_aer(circuit: Circuit) -> None:
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel, depolarizing_error

    model = NoiseModel(basis_gates=["ry", "cx", "ecr"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.05, 1), ["ry"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.2, 2), ["cx", "ecr"])
    simulator = AerSimulator(method="density_matrix", noise_model=model, basis_gates=["ry", "cx", "ecr"])
    made = circuit.to_qiskit(WEIGHTS, INPUTS[0])
    made.save_probabilities()
    shares = simulator.run(made).result().data()["probabilities"]
    signs = 1 - 2 * (np.arange(len(shares))[:, None] >> np.arange(QUBITS) & 1)
    weights, inputs = tensors()
    noise, rngs = Noise(0.05, 0.2, trajectories=20_000), [np.random.default_rng(1)]
    values = expectation(circuit, weights, inputs[:, :1], noise=noise, rngs=rngs)[0, 0].detach().numpy()
    np.testing.assert_allclose(values, shares @ signs, atol=0.02)


def test_it_is_bound_as_it_is_written_and_made_of_what_vendors_have(circuit: Circuit) -> None:
    for row, expected in zip(INPUTS, judged(circuit), strict=True):
        bound = bind(circuit, WEIGHTS.tolist(), row.tolist(), range(QUBITS))
        assert [gate.name for gate in bound.gates].count("ecr") == 2
        assert {gate["gate"] for gate in bound.qis()} == {"ry", "s", "v", "cnot", "x"}
        for form in (bound, bound.folded(3)):
            made = form.to_qiskit().remove_final_measurements(inplace=False)
            shares = Statevector(made).probabilities()
            signs = 1 - 2 * (np.arange(len(shares))[:, None] >> np.array(form.measured) & 1)
            np.testing.assert_allclose(shares @ signs, expected, atol=1e-12)


def test_a_model_with_it_is_exported_and_explained(circuit: Circuit) -> None:
    from hilbertune.use import explanation, graph

    steps = graph.steps_of(lowered(circuit))
    assert {o.kind for step in steps for o in step} <= {"ry", "cx"}
    blocks = explanation.qubits_after_blocks(circuit, WEIGHTS, INPUTS[0])
    np.testing.assert_allclose(blocks[-1].z, judged(circuit)[0], atol=1e-12)


def test_it_is_counted_and_drawn(circuit: Circuit, tmp_path: Path) -> None:
    assert circuit.counts()["two_qubit_gates"] == 3
    assert circuit.counts()["one_qubit_gates"] == 6
    assert draw_text(circuit).count("ECR") == 4
    draw_image(circuit, tmp_path / "ecr.svg")
    assert (tmp_path / "ecr.svg").read_text().count("ECR") == 4


def test_the_page_names_every_place_that_reads_gates() -> None:
    """Places look at an operation's kind, control or record; nothing else may, lest a gate be forgotten there."""
    named = set(re.findall(r"\| `(\w+/\w+\.py)` \| `([\w.]+)` \|", PAGE))
    readers = set()
    for file in (ROOT / "src" / "hilbertune").rglob("*.py"):
        name = file.relative_to(ROOT / "src" / "hilbertune").as_posix()
        if not name.startswith(("circuit/", "engine/", "use/", "hardware/")):
            continue
        for owner, function in functions(ast.parse(file.read_text())):
            reads = {n.attr for n in ast.walk(function) if isinstance(n, ast.Attribute)}
            if reads & {"about", "operations", "steps"}:
                readers.add((name, f"{owner}.{function.name}" if owner else function.name))
    assert readers == named


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield "", node
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield node.name, inner
