"""A head that is trained on scaled numbers predicts in their units."""

from typing import Any

import numpy as np
import pytest
import torch

from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead
from hilbertune.model.scaling import Scale

HEAD = HeadConfig(qubits=3, encoder_layers=1, layers=1)


def test_scaled_numbers_have_mean_0_and_deviation_1() -> None:
    targets = np.array([1.0, 5.0, 6.0])
    scale = Scale.of(targets, HEAD)
    assert (scale.mean, scale.deviation) == (4.0, pytest.approx(np.sqrt(14 / 3)))
    scaled = scale.apply(targets)
    assert scaled.mean() == pytest.approx(0)
    assert scaled.std() == pytest.approx(1)


def test_other_rows_keep_the_scale_of_the_training_rows() -> None:
    scale = Scale(mean=10.0, deviation=2.0)
    assert scale.apply(np.array([10.0, 14.0, 9.0])).tolist() == [0, 2, -0.5]


@pytest.mark.parametrize("runs", [1, 3])
def test_a_folded_head_predicts_in_the_units_of_its_targets(runs: int) -> None:
    torch.manual_seed(0)
    hybrid = HybridHead(5, 1, HEAD, runs=runs).double()
    x = torch.randn(7, 5)
    with torch.no_grad():
        before = hybrid(x)
        Scale(mean=-3.0, deviation=20.0).fold_into(hybrid)
        torch.testing.assert_close(hybrid(x), 20 * before - 3)


@pytest.mark.parametrize(
    ("targets", "changes", "message"),
    [
        ([2.0, 2.0], {}, "All numbers to learn are 2.0"),
        ([2.0], {}, "All numbers to learn are 2.0"),
        ([1.0, 2.0], {"final_linear": False}, "needs its final linear layer"),
        ([1e300, 2e300], {}, r"of up to 2e\+300, are outside of what single precision holds"),
        ([1e-300, 2e-300], {}, "of up to 2e-300, are outside of what single precision holds"),
        ([1e9 + 1, 1e9 + 2], {}, r"lie 0.5 around 1e\+09, too near for single precision: subtract 1e\+09"),
    ],
)
def test_what_has_no_scale_is_refused(targets: list[float], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        Scale.of(np.array(targets), HeadConfig(qubits=3, **changes))


@pytest.mark.parametrize("unit", [1e-25, 1e-9, 1e9, 1e25])
def test_the_unit_of_the_numbers_does_not_matter(unit: float) -> None:
    targets = np.array([1.0, 5.0, 6.0])
    scale = Scale.of(targets * unit, HEAD)
    np.testing.assert_allclose(scale.apply(targets * unit), Scale.of(targets, HEAD).apply(targets), rtol=1e-12)
    torch.manual_seed(0)
    hybrid = HybridHead(5, 1, HEAD)
    x = torch.randn(7, 5)
    with torch.no_grad():
        before = hybrid(x).double()
        scale.fold_into(hybrid)
        torch.testing.assert_close(hybrid(x).double(), before * scale.deviation + scale.mean, rtol=1e-5, atol=0)
