"""Logits of expectations: the one readout says what the model's forward pass says, for every configuration."""

from typing import Any

import numpy as np
import pytest
import torch

from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead
from hilbertune.model.readout import fixed_matrix, in_double, logits_of

CONFIGURATIONS: list[tuple[int, dict[str, Any]]] = [
    (1, {}),
    (2, {}),
    (3, {}),
    (7, {}),
    (2, {"measured_qubits": 3}),
    (1, {"final_linear": False}),
    (2, {"final_linear": False}),
    (2, {"final_linear": False, "measured_qubits": 2}),
    (3, {"final_linear": False}),
    (3, {"head": "dense"}),
    (2, {"head": "dense", "final_linear": False}),
    (3, {"head": "none"}),
    (2, {"encoder": "linear"}),
    (2, {"encoder": "pca"}),
]


def hybrid_head(outputs: int, changes: dict[str, Any], runs: int = 1) -> HybridHead:
    torch.manual_seed(0)
    return HybridHead(6, outputs, HeadConfig(qubits=3, encoder_layers=1, layers=1, **changes), runs=runs)


def embeddings(rows: int = 9) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(rows, 6))).float()


@pytest.mark.parametrize(("outputs", "changes"), CONFIGURATIONS)
def test_the_readout_of_arrays_is_the_models_forward_pass(outputs: int, changes: dict[str, Any]) -> None:
    hybrid, x = hybrid_head(outputs, changes).double(), embeddings()
    with torch.no_grad():
        expectations, logits = hybrid.expectations(x)[0], hybrid(x)
    matrix, bias = in_double(hybrid.linear_weight, hybrid.linear_bias)
    assert (matrix.shape, bias.shape) == ((outputs, hybrid.measured_qubits), (outputs,))
    assert matrix.dtype == bias.dtype == np.float64
    np.testing.assert_allclose(logits_of(expectations.numpy(), matrix, bias), logits.numpy(), rtol=1e-15, atol=1e-16)
    tensors = logits_of(expectations, torch.from_numpy(matrix), torch.from_numpy(bias))
    assert torch.equal(tensors, logits)


@pytest.mark.parametrize(("outputs", "changes"), CONFIGURATIONS)
def test_the_readout_is_a_matrix_product_and_a_bias(outputs: int, changes: dict[str, Any]) -> None:
    hybrid, x = hybrid_head(outputs, changes), embeddings()
    with torch.no_grad():
        expectations, logits = hybrid.expectations(x)[0].double().numpy(), hybrid(x).double().numpy()
    matrix, bias = in_double(hybrid.linear_weight, hybrid.linear_bias)
    np.testing.assert_allclose(expectations @ matrix.T + bias, logits, atol=1e-6)


@pytest.mark.parametrize(("outputs", "changes"), CONFIGURATIONS)
def test_runs_side_by_side_are_read_as_each_alone(outputs: int, changes: dict[str, Any]) -> None:
    stack, x = hybrid_head(outputs, changes, runs=3), embeddings()
    with torch.no_grad():
        together = stack(x)
        for run in range(3):
            assert torch.equal(stack.select(run)(x), together[run])


def test_without_a_linear_layer_logits_are_the_expectations_or_both_signs_of_one() -> None:
    x = embeddings()
    with torch.no_grad():
        each = hybrid_head(3, {"final_linear": False})
        assert torch.equal(each(x), each.expectations(x)[0])
        single = hybrid_head(2, {"final_linear": False})
        z = single.expectations(x)[0]
        assert torch.equal(single(x), torch.cat([z, -z], dim=1))


def test_the_fixed_matrix() -> None:
    assert fixed_matrix(3, 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert fixed_matrix(1, 1).tolist() == [[1]]
    assert fixed_matrix(2, 1).tolist() == [[1], [-1]]


@pytest.mark.parametrize(("outputs", "measured"), [(3, 1), (1, 2), (2, 3), (4, 2)])
def test_no_fixed_matrix_reads_other_shapes(outputs: int, measured: int) -> None:
    with pytest.raises(HilbertuneError, match=f"{outputs} outputs need measured_qubits = {outputs}"):
        fixed_matrix(outputs, measured)


def test_a_trained_layer_is_not_changed_through_what_is_returned() -> None:
    hybrid = hybrid_head(3, {}).double()
    before = hybrid.linear_weight.detach().clone()
    matrix, _ = in_double(hybrid.linear_weight, hybrid.linear_bias)
    assert torch.equal(torch.from_numpy(matrix.copy()), before[0])
    matrix[:] = 0
    assert torch.equal(hybrid.linear_weight, before)
