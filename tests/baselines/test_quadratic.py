"""The quadratic family: its gradient, its rank, and problems that only it can solve."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from hilbertune.baselines.families import FAMILIES
from hilbertune.baselines.quadratic import quadratic_loss


def products(rows: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw rows whose label is the sign of x0 · x1: no line parts them, one quadratic form does."""
    x = np.random.default_rng(seed).normal(size=(rows, features))
    return x, (x[:, 0] * x[:, 1] > 0).astype(int)


def test_only_the_quadratic_family_of_the_matched_linear_ones_parts_a_product() -> None:
    x, y = products(800, 6, 0)
    unseen, truth = products(2000, 6, 1)

    def best(name: str) -> float:
        trials = FAMILIES[name].trials(4, 60, 6, 2, len(x))
        models = [FAMILIES[name].fit(x, y, trial, 60, 0).model for trial in trials]
        return max(float((model.predict(unseen) == truth).mean()) for model in models)

    assert best("matched quadratic") > 0.93
    assert best("matched linear") < 0.6
    assert best("matched feature selection") < 0.6


def test_the_quadratic_family_learns_several_classes_and_gives_shares() -> None:
    x, _ = products(900, 6, 2)
    y = np.abs(x[:, :3]).argmax(1)  # three classes: which of three squares is the largest
    model = FAMILIES["matched quadratic"].fit(x, y, {"rank": 8, "alpha": 1e-3, "share": 1.0}, 200, 0).model
    assert (model.predict(x) == y).mean() > 0.9
    shares = model.predict_proba(x)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_array_equal(shares.argmax(1), model.predict(x))


@pytest.mark.parametrize(("classes", "outputs"), [(2, 1), (3, 3)])
def test_the_gradient_of_the_quadratic_loss_is_that_of_finite_differences(classes: int, outputs: int) -> None:
    rng = np.random.default_rng(0)
    inputs, target = rng.normal(size=(9, 4)), np.eye(classes)[np.arange(9) % classes]
    flat = rng.normal(size=2 * 4 + outputs * (2 + 1))
    _, gradient = quadratic_loss(flat, inputs, target, 2, 0.1)
    numeric = approx_fprime(flat, lambda v: quadratic_loss(v, inputs, target, 2, 0.1)[0], 1e-7)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-6)


def test_the_quadratic_score_is_a_quadratic_form_of_its_rank() -> None:
    x, y = products(100, 6, 3)
    model = FAMILIES["matched quadratic"].fit(x, y, {"rank": 3, "alpha": 1e-2, "share": 1.0}, 100, 0).model
    matrix = model.forms.T @ np.diag(model.weights[0]) @ model.forms
    assert np.linalg.matrix_rank(matrix) == 3
    z = np.hstack([model.projection.transform(x) / model.width, np.ones((100, 1))])
    np.testing.assert_allclose(model.logits(x)[:, 1], np.einsum("ri,ij,rj->r", z, matrix, z) + model.bias[0])
    np.testing.assert_array_equal(model.logits(x)[:, 0], 0)
