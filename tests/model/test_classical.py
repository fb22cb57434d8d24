"""Classical parts in place of quantum ones, no entanglement, circuits that do not learn: each computed by hand."""

from typing import Any

import numpy as np
import pytest
import torch

from hilbertune.circuit.builders import parts
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import few_shot_split
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train

PARTS = [
    {"encoder": "linear"},
    {"encoder": "pca"},
    {"head": "dense"},
    {"head": "none"},
    {"encoder": "linear", "head": "dense"},
    {"encoder": "pca", "encoders": 2, "merge": "average"},
    {"encoder": "linear", "encoders": 2, "merge": "alternate", "head": "none"},
    {"entanglement": False},
]


def shape(**changes: Any) -> HeadConfig:
    settings = {"qubits": 4, "encoder_layers": 1, "encoder_connectivity": 2, "reuploads": 2}
    return HeadConfig(**{**settings, **changes})


def model(runs: int = 1, features: int = 9, **changes: Any) -> HybridHead:
    made = HybridHead(features, 2, shape(**changes), runs=runs)
    made.reset_parameters([np.random.default_rng(run) for run in range(runs)])
    return made


def problem(rows: int = 60, features: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, rows)
    x = rng.normal(size=(rows, features)) + 1.5 * y[:, None]
    return torch.from_numpy(x).float(), torch.from_numpy(y)


def fitted(runs: int, seeds: list[int], training: TrainingConfig, **changes: Any) -> HybridHead:
    x, y = problem()
    splits = [few_shot_split(y.tolist(), per_class=20, validation=0.2, seed=s) for s in seeds]
    made = model(runs, **changes)
    train(made, x, y, splits, [training] * runs, seeds)
    return made


def test_a_linear_encoder_is_an_affine_map_and_tanh() -> None:
    made, (x, _) = model(encoder="linear"), problem()
    weights = made.encoder.weights[0].detach().double().numpy()
    scaled = 3 * x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True)
    wanted = np.tanh(scaled @ weights[:, :-1].T + weights[:, -1])
    np.testing.assert_allclose(made.angles(x)[0].detach(), wanted, atol=1e-6)


def test_a_pca_encoder_gives_components_of_unit_deviation() -> None:
    from sklearn.decomposition import PCA

    made, (x, _) = model(encoder="pca"), problem()
    made.fit_basis(x[None])
    wanted = PCA(4, whiten=True).fit_transform(x.numpy())
    found = made.angles(x)[0].numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), atol=2e-4)


def test_a_direction_without_variance_becomes_zero() -> None:
    made = model(encoder="pca")
    x = torch.zeros(8, 9)
    x[:, 0] = torch.arange(8)
    made.fit_basis(x[None])
    angles = made.angles(x)[0]
    assert torch.isfinite(angles).all()
    assert (angles[:, 1:] == 0).all()


def test_a_dense_head_is_two_layers_of_tanh() -> None:
    made = model(head="dense", measured_qubits=2)
    weights = made.head.weights[0].detach().double().numpy()
    first, second = weights[:20].reshape(4, 5), weights[20:].reshape(2, 5)
    angles = np.random.default_rng(1).normal(size=(3, 4))
    hidden = np.tanh(angles @ first[:, :-1].T + first[:, -1])
    wanted = np.tanh(hidden @ second[:, :-1].T + second[:, -1])
    found = made.head(torch.from_numpy(angles).float()[None])[0].detach()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_without_a_head_the_linear_layer_reads_the_angles() -> None:
    made, (x, _) = model(head="none"), problem()
    wanted = made.angles(x)[0] @ made.linear_weight[0].T + made.linear_bias[0]
    torch.testing.assert_close(made(x), wanted)
    assert made.measured_qubits == 4


def test_at_ten_qubits_the_dense_head_is_about_as_large_as_the_circuit() -> None:
    counts = {kind: HybridHead(768, 2, HeadConfig(head=kind)).head.weights.numel() for kind in ("quantum", "dense")}
    assert counts == {"quantum": 110, "dense": 121}


def test_without_entanglement_no_cnot_is_left_and_no_parameter_is_lost() -> None:
    whole, without = parts(shape()), parts(shape(entanglement=False))
    for name in ("encoder", "head"):
        assert without[name].counts()["two_qubit_gates"] == 0
        assert without[name].parameters == whole[name].parameters


@pytest.mark.parametrize("changes", PARTS, ids=str)
def test_gradients_are_those_of_finite_differences(changes: dict[str, Any]) -> None:
    made, (x, y) = model(**changes).double(), problem(rows=5)
    made.fit_basis(x[None].double())

    def loss() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(made(x.double()), y)

    loss().backward()
    rng = np.random.default_rng(0)
    for parameter in made.parameters():
        if not parameter.numel():
            continue
        flat = parameter.data.view(-1)
        for index in rng.integers(0, len(flat), 3):
            kept = float(flat[index])
            ends = []
            for step in (1e-5, -1e-5):
                flat[index] = kept + step
                ends.append(float(loss()))
            flat[index] = kept
            assert float(parameter.grad.view(-1)[index]) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("changes", PARTS, ids=str)
def test_a_run_does_not_depend_on_its_neighbours(changes: dict[str, Any]) -> None:
    training = TrainingConfig(epochs=3, batch_size=7, learning_rate=0.02)
    together = fitted(3, [4, 5, 6], training, **changes)
    alone = fitted(1, [5], training, **changes)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, together.select(1).state_dict()[name]), name


@pytest.mark.parametrize("changes", PARTS, ids=str)
def test_every_part_learns(changes: dict[str, Any]) -> None:
    before = model(**changes)
    before.reset_parameters([np.random.default_rng([5, 1])])
    after = fitted(1, [5], TrainingConfig(epochs=2), **changes)
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert not old.numel() or not torch.equal(old, new), name


def test_a_frozen_circuit_stays_as_it_was_drawn_and_the_linear_layer_learns() -> None:
    training = TrainingConfig(epochs=4, weight_decay=0.1, frozen=True)
    before = model()
    before.reset_parameters([np.random.default_rng([5, 1])])
    after = fitted(1, [5], training)
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(old, new) != name.startswith("linear_"), name


def test_parts_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(HilbertuneError, match="With head='none' the linear layer reads"):
        shape(head="none", final_linear=False)
    with pytest.raises(HilbertuneError, match="With head='none' the linear layer reads"):
        shape(head="none", measured_qubits=2)
    with pytest.raises(HilbertuneError, match="no 4 principal components"):
        model(features=3, encoder="pca")
