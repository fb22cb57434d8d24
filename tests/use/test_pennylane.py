"""The PennyLane device: its QNodes against default.qubit, through every interface, and PennyLane's own test suite."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp

WIRES = 3


def circuit(weights: object, x: object) -> object:
    qml.AngleEmbedding(x, wires=range(WIRES), rotation="X")
    qml.StronglyEntanglingLayers(weights, wires=range(WIRES))
    total = qml.Hamiltonian([0.5, 2.0], [qml.PauliY(2), qml.PauliZ(1) @ qml.PauliZ(0)])
    return qml.expval(qml.PauliZ(0) @ qml.PauliX(1)), qml.expval(total)


@pytest.fixture(scope="module")
def nodes() -> tuple[qml.QNode, qml.QNode]:
    return tuple(qml.QNode(circuit, qml.device(name, wires=WIRES)) for name in ("hilbertune.qubit", "default.qubit"))


@pytest.fixture
def values() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, WIRES, 3)), rng.normal(size=(5, WIRES))


@pytest.mark.parametrize("batched", [False, True])
def test_values_and_jacobians_of_autograd(
    nodes: tuple[qml.QNode, qml.QNode], values: tuple[np.ndarray, np.ndarray], batched: bool
) -> None:
    weights, x = pnp.array(values[0], requires_grad=True), pnp.array(values[1], requires_grad=False)
    x = x if batched else x[0]
    found, expected = (np.array(node(weights, x)) for node in nodes)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    slopes = [qml.jacobian(lambda w, node=node: pnp.stack(node(w, x)))(weights) for node in nodes]
    np.testing.assert_allclose(slopes[0], slopes[1], atol=1e-12)


def test_torch_follows_weights_and_a_batch_of_inputs(
    nodes: tuple[qml.QNode, qml.QNode], values: tuple[np.ndarray, np.ndarray]
) -> None:
    slopes = []
    for node in nodes:
        weights, x = (torch.from_numpy(v).clone().requires_grad_() for v in values)
        first, second = node(weights, x)
        (first.square().sum() + second.sum()).backward()
        slopes.append((weights.grad, x.grad))
    for found, expected in zip(*slopes, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


def test_a_layer_of_torch_trains(nodes: tuple[qml.QNode, qml.QNode]) -> None:
    @qml.qnode(qml.device("hilbertune.qubit", wires=2))
    def node(inputs: torch.Tensor, weights: torch.Tensor) -> object:
        qml.AngleEmbedding(inputs, wires=range(2))
        qml.BasicEntanglerLayers(weights, wires=range(2))
        return qml.expval(qml.PauliZ(0))

    torch.manual_seed(0)
    layer = qml.qnn.TorchLayer(node, {"weights": (2, 2)})
    x = torch.rand(8, 2)
    optimiser = torch.optim.Adam(layer.parameters(), 0.1)
    losses = []
    for _ in range(20):
        loss = (layer(x) + 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_other_measurements_and_shots() -> None:
    def of(name: str, **options: object) -> qml.QNode:
        @qml.qnode(qml.device(name, wires=2, **options))
        def node() -> object:
            qml.StatePrep(np.array([0.6, 0.8j]), wires=[0])
            qml.CNOT([0, 1])
            qml.RX(0.3, 1)
            return qml.probs(wires=[1, 0]), qml.var(qml.PauliY(1)), qml.expval(qml.Projector([0, 1], [0, 1]))

        return node

    for found, expected in zip(of("hilbertune.qubit")(), of("default.qubit")(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    drawn = qml.set_shots(of("hilbertune.qubit", seed=1), 50_000)()
    np.testing.assert_allclose(drawn[0], of("default.qubit")()[0], atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("shots", ["None", "20000"])
def test_pennylanes_own_suite(shots: str, tmp_path: Path) -> None:
    folder = Path(qml.__file__).parent / "devices" / "tests"
    suite = [sys.executable, "-m", "pytest", str(folder), "-q", "-W", "ignore"]
    done = subprocess.run(
        [*suite, "--device", "hilbertune.qubit", "--shots", shots, "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
