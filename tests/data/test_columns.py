"""The scale of columns: tables mix units, embeddings do not."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from hilbertune.data.columns import on_one_scale


@pytest.mark.parametrize(
    ("load", "expected"), [(load_wine, False), (load_breast_cancer, False), (load_digits, True), (load_iris, True)]
)
def test_measurements_in_units_of_their_own_are_not_on_one_scale(load: Callable[..., object], expected: bool) -> None:
    assert on_one_scale(load(return_X_y=True)[0]) is expected  # type: ignore[index]


@pytest.mark.parametrize("normalised", [True, False])
def test_embeddings_are_on_one_scale(normalised: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 64)) * rng.uniform(0.5, 1.5, 64)
    if normalised:
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert on_one_scale(x.astype(np.float32))


def test_bits_are_on_one_scale_whatever_their_frequency() -> None:
    frequencies = np.linspace(0.03, 0.5, 64)
    assert on_one_scale(np.random.default_rng(0).random((500, 64)) < frequencies)


def test_columns_that_never_vary_do_not_count() -> None:
    x = np.random.default_rng(0).normal(size=(50, 4))
    assert on_one_scale(np.hstack([x, np.full((50, 30), 7.0)]))
    assert not on_one_scale(np.hstack([1000 * x[:, :1], x[:, 1:], np.full((50, 30), 7.0)]))
    assert on_one_scale(np.ones((5, 3)))


def test_two_columns_are_enough_to_tell() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    assert on_one_scale(x)
    assert not on_one_scale(x * [1.0, 100.0])
