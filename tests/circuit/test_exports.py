"""An exported circuit, run by the package it is exported to, has our expectations."""

import math
import sys
from typing import Any, NamedTuple

import numpy as np
import pennylane
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit import Parameter
from qiskit.quantum_info import Statevector

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation
from hilbertune.errors import HilbertuneError

Array = np.ndarray
quick = settings(deadline=None, max_examples=25)


class Example(NamedTuple):
    """A circuit by its table, with values for everything it reads."""

    qubits: int
    operations: tuple[Operation, ...]
    seed: int

    @property
    def circuit(self) -> Circuit:
        return Circuit(self.qubits, self.operations)

    @property
    def weights(self) -> list[float]:
        drawn: list[float] = self.draw(1, self.circuit.parameters).tolist()
        return drawn

    @property
    def inputs(self) -> list[float]:
        drawn: list[float] = self.draw(2, self.circuit.inputs).tolist()
        return drawn

    @property
    def amplitudes(self) -> list[float]:
        state = self.draw(3, 1 << self.qubits)
        normed: list[float] = (state / np.linalg.norm(state)).tolist()
        return normed

    def draw(self, stream: int, size: int) -> Array:
        return np.random.default_rng([self.seed, stream]).normal(0, 2, size)

    def expected(self, loaded: bool = False) -> Array:
        """Our <Z> of every qubit."""
        state = torch.tensor([[self.amplitudes]], dtype=torch.float64) if loaded else None
        values = expectation(
            self.circuit,
            torch.tensor([self.weights], dtype=torch.float64),
            torch.tensor([[self.inputs]], dtype=torch.float64),
            state,
        )
        return values[0, 0].numpy()


@st.composite
def examples(draw: st.DrawFn, qubits: int = 5) -> Example:
    n = draw(st.integers(1, qubits))
    wire = st.integers(0, n - 1)
    kinds = [
        st.builds(lambda q, i: Operation("ry", q, weight=i), wire, st.integers(0, 11)),
        st.builds(lambda q, i: Operation("ry", q, input=i), wire, st.integers(0, 3)),
    ]
    if n > 1:
        pairs = st.lists(wire, min_size=2, max_size=2, unique=True)
        kinds.append(pairs.map(lambda pair: Operation("cx", *pair)))
    operations = draw(st.lists(st.one_of(kinds), max_size=25))
    return Example(n, tuple(operations), draw(st.integers(0, 2**32 - 1)))


PUBLISHED = [
    Example(4, ansatz(4, 3, 2).operations, 1),
    Example(10, head(10).operations, 2),
    Example(4, head(4, 4, shared_reupload=True, sources=2).operations, 3),
]


def by_qiskit(made: QuantumCircuit) -> Array:
    """<Z> of every qubit of a circuit without free angles, by Qiskit's state vector."""
    return in_z(Statevector(made).probabilities(), made.num_qubits)


def in_z(probabilities: Array, qubits: int) -> Array:
    outcomes = np.arange(1 << qubits)
    return np.array([probabilities @ (1 - 2 * (outcomes >> q & 1)) for q in range(qubits)])


def filled(made: QuantumCircuit, example: Example) -> QuantumCircuit:
    """Replace the free angles `w3`, `x[0]` ... by the example's values."""
    values = {"w": example.weights, "x": example.inputs}

    def value(parameter: Parameter) -> float:
        name = parameter.name
        return values[name[0]][int(name[1:].strip("[]"))]

    return made.assign_parameters({p: value(p) for p in made.parameters})


def assert_equal(found: Array, wanted: Array) -> None:
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-10


@pytest.mark.parametrize("example", PUBLISHED)
def test_qiskit_gives_the_published_circuits_our_expectations(example: Example) -> None:
    made = example.circuit.to_qiskit(example.weights, example.inputs)
    assert_equal(by_qiskit(made), example.expected())


@quick
@given(examples())
def test_qiskit_gives_our_expectations(example: Example) -> None:
    circuit = example.circuit
    assert_equal(by_qiskit(circuit.to_qiskit(example.weights, example.inputs)), example.expected())


@quick
@given(examples())
def test_qiskit_angles_may_be_given_later(example: Example) -> None:
    circuit = example.circuit
    for made in (
        circuit.to_qiskit(),
        circuit.to_qiskit(weights=example.weights),
        circuit.to_qiskit(inputs=example.inputs),
    ):
        assert_equal(by_qiskit(filled(made, example)), example.expected())
    read = {o.label for o in example.operations if o.kind == "ry"}
    assert {p.name.replace("[", "").replace("]", "") for p in circuit.to_qiskit().parameters} == read


@quick
@given(examples(qubits=4))
def test_qiskit_starts_from_our_amplitudes(example: Example) -> None:
    made = example.circuit.to_qiskit(example.weights, example.inputs, example.amplitudes)
    assert_equal(by_qiskit(made), example.expected(loaded=True))
    scaled = [3 * amplitude for amplitude in example.amplitudes]
    made = example.circuit.to_qiskit(example.weights, example.inputs, scaled)
    assert_equal(by_qiskit(made), example.expected(loaded=True))


def test_qiskit_has_our_gates_in_our_order() -> None:
    made = ansatz(3, 1, 1).to_qiskit()
    gates = [(step.operation.name, tuple(made.find_bit(q).index for q in step.qubits)) for step in made.data]
    block = [g for q in range(3) for g in (("cx", (q, (q + 1) % 3)), ("ry", ((q + 1) % 3,)))]
    assert gates == [*block, ("ry", (0,)), ("ry", (1,)), ("ry", (2,))]


def by_pennylane(example: Example, *arguments: Any) -> Array:
    function = example.circuit.to_pennylane()

    @pennylane.qnode(pennylane.device("default.qubit", wires=example.qubits))
    def node() -> Any:
        function(*arguments)
        return [pennylane.expval(pennylane.PauliZ(qubit)) for qubit in range(example.qubits)]

    return np.array(node())


@pytest.mark.parametrize("example", PUBLISHED)
def test_pennylane_gives_the_published_circuits_our_expectations(example: Example) -> None:
    assert_equal(by_pennylane(example, example.weights, example.inputs), example.expected())


@quick
@given(examples())
def test_pennylane_gives_our_expectations(example: Example) -> None:
    assert_equal(by_pennylane(example, example.weights, example.inputs), example.expected())


@quick
@given(examples())
def test_pennylane_starts_from_our_amplitudes(example: Example) -> None:
    found = by_pennylane(example, example.weights, example.inputs, example.amplitudes)
    assert_equal(found, example.expected(loaded=True))


@pytest.mark.parametrize("example", PUBLISHED)
def test_qasm_gives_the_published_circuits_our_expectations(example: Example) -> None:
    text = example.circuit.to_qasm3(example.weights, example.inputs)
    assert_equal(by_qiskit(qasm3.loads(text)), example.expected())


@quick
@given(examples())
def test_qasm_gives_our_expectations(example: Example) -> None:
    circuit = example.circuit
    bound = qasm3.loads(circuit.to_qasm3(example.weights, example.inputs))
    assert not bound.parameters
    assert_equal(by_qiskit(bound), example.expected())


@quick
@given(examples())
def test_qasm_angles_may_be_given_later(example: Example) -> None:
    circuit = example.circuit
    for text in (
        circuit.to_qasm3(),
        circuit.to_qasm3(weights=example.weights),
        circuit.to_qasm3(inputs=example.inputs),
    ):
        assert_equal(by_qiskit(filled(qasm3.loads(text), example)), example.expected())
    read = {(o.label[0], int(o.label[1:])) for o in example.operations if o.kind == "ry"}
    assert {(p.name[0], int(p.name[1:])) for p in qasm3.loads(circuit.to_qasm3()).parameters} == read


@pytest.mark.parametrize("qubits", [1, 4, 10, 12])
@pytest.mark.parametrize("given", ["neither", "weights", "inputs"])
def test_values_are_bound_in_order(qubits: int, given: str) -> None:
    """A list of values means the weights in order, then the inputs, however many there are."""
    operations = [o for q in range(qubits) for o in (Operation("ry", q, input=q), Operation("ry", q, weight=q))]
    many = [Operation("ry", number % qubits, weight=qubits + number) for number in range(11 * qubits)]
    example = Example(qubits, tuple([*many[::-1], *operations]), 5)
    circuit, bound = example.circuit, {} if given == "neither" else {given: getattr(example, given)}
    assert (circuit.parameters, circuit.inputs) == (12 * qubits, qubits)
    values = [v for name in ("weights", "inputs") if name != given for v in getattr(example, name)]
    text = circuit.to_qasm3(**bound)
    for made in (qasm3.loads(text), circuit.to_qiskit(**bound)):
        assert len(made.parameters) == len(values)
        assert_equal(by_qiskit(made.assign_parameters(values)), example.expected())
    declared = [line.split()[-1].strip(";") for line in text.splitlines() if line.startswith("input")]
    assert declared == sorted(declared)


def test_up_to_ten_angles_keep_their_short_names() -> None:
    text = head(2, 1, 1, 1).to_qasm3()
    assert "input float[64] w7;" in text
    assert "w00" not in text


@quick
@given(examples(), st.data())
def test_qasm_measures_the_qubits_asked_for_in_that_order(example: Example, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(example.qubits)))
    measured = order[: data.draw(st.integers(1, example.qubits))]
    made = qasm3.loads(example.circuit.to_qasm3(example.weights, example.inputs, measured))
    steps = [step for step in made.data if step.operation.name == "measure"]
    bits = {made.find_bit(step.clbits[0]).index: made.find_bit(step.qubits[0]).index for step in steps}
    assert [bits[bit] for bit in range(made.num_clbits)] == list(measured)
    made.remove_final_measurements()
    assert_equal(by_qiskit(made), example.expected())


@pytest.mark.parametrize("angle", [0.0, -0.0, -1.5, 1e-300, 5e-324, 1e16, 1e22, -1e-5, 1 / 3])
def test_qasm_keeps_every_bit_of_an_angle(angle: float) -> None:
    made = qasm3.loads(Circuit(1, (Operation("ry", 0, weight=0),)).to_qasm3([angle]))
    assert float(made.data[0].operation.params[0]) == angle


def test_qasm_text_of_a_small_circuit() -> None:
    circuit = Circuit(2, (Operation("ry", 0, input=0), Operation("cx", 1, 0), Operation("ry", 1, weight=0)))
    assert circuit.to_qasm3(weights=[0.5], measured=[1]).splitlines() == [
        "OPENQASM 3.0;",
        'include "stdgates.inc";',
        "input float[64] x0;",
        "qubit[2] q;",
        "bit[1] c;",
        "ry(x0) q[0];",
        "cx q[0], q[1];",
        "ry(0.5) q[1];",
        "c[0] = measure q[1];",
    ]


@pytest.mark.parametrize("measured", [[2], [-1], [0, 0]])
def test_qasm_refuses_to_measure_what_it_cannot(measured: list[int]) -> None:
    with pytest.raises(HilbertuneError, match="measured"):
        ansatz(2, 1).to_qasm3(measured=measured)


@pytest.mark.parametrize("angle", [math.nan, math.inf])
def test_qasm_refuses_angles_that_are_no_numbers(angle: float) -> None:
    with pytest.raises(HilbertuneError, match="finite"):
        Circuit(1, (Operation("ry", 0, weight=0),)).to_qasm3([angle])


def test_values_may_be_tensors_and_arrays() -> None:
    example = PUBLISHED[2]
    kinds: list[Any] = [np.array, lambda values: torch.tensor(values, dtype=torch.float64)]
    for kind in kinds:
        weights, inputs = kind(example.weights), kind(example.inputs)
        circuit = example.circuit
        assert_equal(by_qiskit(circuit.to_qiskit(weights, inputs)), example.expected())
        assert_equal(by_pennylane(example, weights, inputs), example.expected())
        assert circuit.to_qasm3(weights, inputs) == circuit.to_qasm3(example.weights, example.inputs)
    trained: Any = torch.nn.Parameter(torch.tensor(example.weights, dtype=torch.float64))
    assert_equal(by_qiskit(circuit.to_qiskit(trained, inputs)), example.expected())


def many_rows(name: str) -> tuple[Any, Any]:
    """Return a QNode of a small head on a device, and the head's expectations row by row."""
    circuit = head(3, 2, 1, 2)
    function = circuit.to_pennylane()

    @pennylane.qnode(pennylane.device(name, wires=3))
    def node(*arguments: Any) -> Any:
        function(*arguments)
        return [pennylane.expval(pennylane.PauliZ(qubit)) for qubit in range(3)]

    def one_by_one(weights: Any, inputs: Any, amplitudes: Any = None) -> Any:
        rows = None if amplitudes is None else amplitudes[None]
        return expectation(circuit, weights.expand(len(inputs), -1)[:1], inputs[None], rows)[0]

    return node, one_by_one


@pytest.mark.parametrize("name", ["default.qubit", "lightning.qubit"])
@pytest.mark.parametrize("form", ["tensor", "array", "lists", "list of arrays", "one row of weights"])
def test_pennylane_takes_many_rows(name: str, form: str) -> None:
    node, one_by_one = many_rows(name)
    rng = np.random.default_rng(0)

    def check(answers: list[Any], wanted: torch.Tensor) -> None:
        found = np.stack([np.asarray(answer) for answer in answers], axis=1)
        # Lightning answers tensors in single precision.
        np.testing.assert_allclose(found, wanted.numpy(), rtol=0, atol=1e-10 if found.dtype == np.float64 else 1e-6)

    weights, inputs = torch.from_numpy(rng.normal(size=(1, 21))), torch.from_numpy(rng.normal(size=(3, 3)))
    states = torch.from_numpy(rng.normal(size=(3, 8)))
    states /= states.norm(dim=1, keepdim=True)
    change: Any = {
        "tensor": lambda values: values,
        "array": lambda values: values.numpy(),
        "lists": lambda values: values.tolist(),
        "list of arrays": lambda values: list(values.numpy()) if values.dim() == 2 else values.numpy(),
        "one row of weights": lambda values: values,
    }[form]
    own = change(weights if form == "one row of weights" else weights[0])
    for more in ([], [change(states)]):
        check(node(own, change(inputs), *more), one_by_one(weights, inputs, *([states] if more else [])))
    each = torch.from_numpy(rng.normal(size=(3, 21)))
    wanted = torch.cat([one_by_one(w[None], x[None]) for w, x in zip(each, inputs, strict=True)])
    check(node(change(each), change(inputs)), wanted)


def test_gradients_through_many_rows_in_pennylane_are_ours() -> None:
    node, one_by_one = many_rows("default.qubit")
    rng = np.random.default_rng(1)
    drawn = [torch.from_numpy(rng.normal(size=size)) for size in ((1, 21), (4, 3))]
    ours, theirs = ([v.clone().requires_grad_() for v in drawn] for _ in range(2))
    weights = torch.arange(12).view(4, 3).double()
    (one_by_one(*ours) * weights).sum().backward()
    (torch.stack(node(theirs[0][0], theirs[1]), dim=1) * weights).sum().backward()
    for own, other in zip(ours, theirs, strict=True):
        assert own.grad is not None and other.grad is not None  # noqa: PT018
        assert_equal(other.grad.numpy(), own.grad.numpy())


@pytest.mark.parametrize(
    ("weights", "inputs", "amplitudes", "sentence"),
    [
        ((21,), (4, 2), None, r"reads 21 weights and 3 inputs.*the inputs are of the shape \[4, 2\]"),
        ((21,), (4, 6), None, "reads 21 weights and 3 inputs"),
        ((21,), (2, 4, 3), None, "reads 21 weights and 3 inputs"),
        ((20,), (4, 3), None, "the weights are of the shape"),
        ((5, 21), (4, 3), None, "5 rows of weights and 4 rows of inputs"),
        ((21,), (4, 3), (3, 8), "4 rows of inputs and 3 rows of amplitudes"),
        ((21,), (4, 3), (4, 7), "amplitudes must be 8 numbers a row"),
        ((21,), (0, 3), None, "0 rows of inputs"),
    ],
)
def test_rows_that_do_not_fit_are_refused_in_pennylane(
    weights: tuple[int, ...], inputs: tuple[int, ...], amplitudes: tuple[int, ...] | None, sentence: str
) -> None:
    state = None if amplitudes is None else np.ones(amplitudes)
    with pytest.raises(HilbertuneError, match=sentence):
        head(3, 2, 1, 2).to_pennylane()(np.zeros(weights), np.zeros(inputs), state)


@pytest.mark.parametrize("values", [[0.0] * 5, [[0.0] * 4] * 2, 3.0, "abcd", [None] * 4, np.zeros((4, 4))])
def test_an_export_binds_one_row_of_numbers(values: Any) -> None:
    circuit = head(2, 1, 0, 0)
    for export in (circuit.to_qiskit, circuit.to_qasm3):
        with pytest.raises(HilbertuneError, match="reads 4 weights and 2 inputs: give them all, and no more"):
            export(values, [0.0] * 2)
    with pytest.raises(HilbertuneError, match="amplitudes must be 4 finite numbers"):
        circuit.to_qiskit([0.0] * 4, [0.0] * 2, [1.0, 0.0])


def test_a_modules_own_weights_are_one_row() -> None:
    weights, circuit = torch.nn.Parameter(torch.ones(1, 4)), head(2, 1, 0, 0)
    assert circuit.to_qasm3(weights, [0.5, 1.0]) == circuit.to_qasm3([1.0] * 4, [0.5, 1.0])


def test_too_few_values_are_refused() -> None:
    circuit = head(2, 1, 0, 0)
    sentence = "The circuit reads 4 weights and 2 inputs: give them all"
    for weights, inputs in (([0.0] * 3, [0.0] * 2), ([0.0] * 4, [0.0])):
        with pytest.raises(HilbertuneError, match=sentence):
            circuit.to_qiskit(weights, inputs)
        with pytest.raises(HilbertuneError, match=sentence):
            circuit.to_qasm3(weights, inputs)
        with pytest.raises(HilbertuneError, match=sentence):
            circuit.to_pennylane()(weights, inputs)
    with pytest.raises(HilbertuneError, match=sentence):
        circuit.to_pennylane()([0.0] * 4)


@pytest.mark.parametrize("package", ["qiskit", "pennylane"])
def test_a_package_that_is_not_installed_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(HilbertuneError, match=rf"pip install 'hilbertune\[{package}\]'"):
        getattr(ansatz(2, 1), f"to_{package}")()
