"""Heads and encoders of the user's own: values, gradients, training, graphs and explanations, judged by PennyLane."""

from typing import Any

import numpy as np
import pennylane as qml
import pytest
import torch
from helpers.circuits import apply, judged, random_circuit

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError
from hilbertune.model import fused
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train

X = np.random.default_rng(0).normal(size=(24, 6))
Y = (X[:, 0] > 0).astype(np.int64)
SPLIT = Split(np.arange(18), np.arange(18, 24), np.arange(0))
PUBLISHED = {"qubits": 3, "encoder_layers": 1, "reuploads": 2, "layers": 1}
SAME = {"qubits": 3, "head_circuit": head(3, 2, 1, 1).to_qasm3(), "encoder_circuit": ansatz(3, 1, 2).to_qasm3()}


def circuits(seed: int) -> tuple[Circuit, Circuit]:
    """Return a head of three inputs on four qubits, and an encoder of three qubits, of gates of all kinds."""
    rng = np.random.default_rng(seed)
    own = random_circuit(rng, 4, 25)
    written = random_circuit(rng, 3, 15)
    encoder = [o._replace(input=None, weight=o.input) if o.input is not None else o for o in written.operations]
    return own, Circuit(3, tuple(encoder))


def trained(shape: HeadConfig, engine: Any = "auto", **settings: Any) -> dict[str, torch.Tensor]:
    model = HybridHead(6, 2, shape, engine=engine)
    config = TrainingConfig(epochs=3, batch_size=8, learning_rate=0.05, **settings)
    train(model, torch.from_numpy(X).float(), torch.from_numpy(Y), [SPLIT], [config], [0])
    return model.state_dict()


def pennylanes(model: HybridHead, row: np.ndarray) -> np.ndarray:
    """Return the measured expectations of one row: amplitudes, encoder, angles, head, gate by gate."""
    state = {name: values.detach().numpy() for name, values in model.state_dict().items()}
    encoder, own = model.circuits["encoder"], model.circuits["head"]
    loaded = model.loading(torch.from_numpy(row)[None, None]).detach().numpy()[0, 0]  # type: ignore[misc]
    amplitudes = np.concatenate([loaded, np.zeros((1 << encoder.qubits) - len(loaded))])

    @qml.qnode(qml.device("default.qubit", wires=encoder.qubits))
    def encoded() -> list[Any]:
        qml.StatePrep(amplitudes, wires=range(encoder.qubits)[::-1])
        for operation in encoder.operations:
            apply(operation, state["encoder.weights"][0, 0], np.zeros(0))
        return [qml.expval(qml.PauliZ(q)) for q in range(encoder.qubits)]

    return judged(own, state["head.weights"][0], np.array(encoded()))[: model.measured_qubits]


@pytest.mark.parametrize("seed", range(4))
def test_expectations_are_pennylanes_whatever_the_gates(seed: int) -> None:
    own, encoder = circuits(seed)
    model = HybridHead(6, 3, head=own, encoder=encoder).double()
    assert (model.config.qubits, model.config.head_qubits, model.measured_qubits) == (3, 4, 3)
    found = model.expectations(torch.from_numpy(X[:3]))[0].detach().numpy()
    right = [pennylanes(model, row) for row in X[:3]]
    np.testing.assert_allclose(found, right, atol=1e-10)


def test_gradients_are_those_of_finite_differences() -> None:
    own, encoder = circuits(5)
    model = HybridHead(6, 2, head=own, encoder=encoder).double()
    x = torch.from_numpy(X[:4]).requires_grad_()
    (model(x) ** 2).sum().backward()
    rng = np.random.default_rng(0)
    for tensor in [x, *model.parameters()]:
        assert tensor.grad is not None
        way = torch.from_numpy(rng.normal(size=tuple(tensor.shape)))
        with torch.no_grad():
            sides = []
            for step in (1e-6, -2e-6):
                tensor += step * way
                sides.append(float((model(x) ** 2).sum()))
            tensor += 1e-6 * way
        assert float((tensor.grad * way).sum()) == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("settings", [{}, {"shots": 20}, {"training_shots": 20}, {"two_qubit_error": 0.02}])
def test_the_published_circuits_as_ones_own_train_to_the_same_bits(settings: dict[str, Any]) -> None:
    """Plain circuits go through the compiled training, whoever wrote them."""
    assert fused.usable(HybridHead(6, 2, HeadConfig(**SAME)), 24)
    for name, values in trained(HeadConfig(**PUBLISHED), **settings).items():
        assert torch.equal(values, trained(HeadConfig(**SAME), **settings)[name]), name


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([("ry", 0, 0), ("ry", 0, 1), ("cx", 1, 0), ("ry", 1, 2)], id="narrower than its inputs"),
        pytest.param([("ry", q, q % 3) for q in range(5)] + [("cx", 4, 0), ("cx", 0, 4)], id="wider"),
    ],
)
def test_a_plain_head_of_any_width_trains_compiled_as_uncompiled(operations: list[Any]) -> None:
    gates = [Operation(k, t, a) if k == "cx" else Operation(k, t, input=a) for k, t, a in operations]
    ends = [Operation("ry", q, weight=q) for q in range(2)]
    shape = HeadConfig(qubits=3, head_circuit=Circuit(5, (*gates, *ends)).to_qasm3(), measured_qubits=2)
    compiled, uncompiled = trained(shape), trained(shape, engine="reference")
    for name, values in compiled.items():
        torch.testing.assert_close(values, uncompiled[name], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "settings",
    [
        {"shots": 50},
        {"training_shots": 50, "standardise": True, "schedule": "one-cycle", "keep": "last"},
        {"gradient": "parameter-shift"},
        {"gradient": "spsa", "shots": 50},
        {"one_qubit_error": 0.01, "two_qubit_error": 0.05, "readout_error": 0.01},
    ],
)
def test_every_way_to_train_takes_any_circuit(settings: dict[str, Any]) -> None:
    shape = HeadConfig(qubits=3, head_circuit=random_circuit(np.random.default_rng(3), 3, 12).to_qasm3())
    assert not fused.usable(HybridHead(6, 2, shape), 24)
    once, again = trained(shape, **settings), trained(shape, **settings)
    start = HybridHead(6, 2, shape)
    start.reset_parameters([np.random.default_rng(0)])
    for name, values in once.items():
        assert torch.equal(values, again[name])
        assert torch.isfinite(values).all()
    assert not torch.equal(once["head.weights"], start.state_dict()["head.weights"])


def test_circuits_without_weights_are_fine() -> None:
    encoder = Circuit(2, (Operation("h", 0), Operation("cx", 1, 0)))
    own = Circuit(2, (Operation("rx", 0, input=0), Operation("rx", 1, input=1), Operation("cz", 1, 0)))
    model = HybridHead(3, 2, head=own, encoder=encoder)
    assert model.parameter_count == 4
    shape = model.config
    assert torch.isfinite(trained(HeadConfig(**{**shape.to_dict(), "projection": "truncate"}))["linear_weight"]).all()


def test_a_circuit_beside_a_shape_takes_its_place_in_it() -> None:
    own, _ = circuits(1)
    model = HybridHead(6, 2, HeadConfig(qubits=3, padding="zero"), head=own)
    assert model.config == HeadConfig(qubits=3, padding="zero", head_circuit=own.to_qasm3())
    with pytest.raises(HilbertuneError, match="reads 3 inputs, but 1 encoder of 10 qubits"):
        HybridHead(6, 2, HeadConfig(), head=own)
