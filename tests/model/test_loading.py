"""The scale of columns and the length of rows in the loading, against scikit-learn and against the formula."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead
from hilbertune.model.loading import AmplitudeLoading

UNITS = np.array([1e-3, 1.0, 50.0, 4e3, 0.2])


def table(rows: int = 40, seed: int = 0) -> np.ndarray:
    """Return rows whose columns differ in unit and offset, correlated so that components are not columns."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, 5)) @ rng.normal(size=(5, 5)) + 3) * UNITS


def loaded(train: np.ndarray, **settings: Any) -> AmplitudeLoading:
    loading = AmplitudeLoading(HeadConfig(**{"qubits": 3, **settings}), train.shape[1]).double()
    loading.fit_basis(torch.from_numpy(train)[None])
    return loading


def amplitudes(loading: AmplitudeLoading, rows: np.ndarray) -> Tensor:
    states: Tensor = loading(torch.from_numpy(rows)[None])[0]
    return states


@pytest.mark.parametrize("qubits", [2, 3])
def test_scaled_components_are_those_of_scikit_learn(qubits: int) -> None:
    train, new = table(), table(9, 1)
    width = min(5, 2**qubits - 1)
    scaler = StandardScaler().fit(train)
    pca = PCA(width).fit(scaler.transform(train))
    wanted = pca.transform(scaler.transform(new))
    loading = loaded(train, qubits=qubits, basis="pca", scale="standardise")
    found = amplitudes(loading, new)[:, :width].numpy()
    # The sign of a component is a convention.
    signs = np.sign((pca.components_ * (loading.matrix[0].numpy() * scaler.scale_)).sum(1))
    wanted = 0.6 * wanted / np.linalg.norm(wanted, axis=1, keepdims=True) * signs
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@pytest.mark.parametrize("projection", [None, "truncate"])
def test_scaled_columns_are_those_of_scikit_learn(projection: Any) -> None:
    train, new = table(), table(9, 1)
    qubits = 2 if projection else 3
    wanted = StandardScaler().fit(train).transform(new)[:, : 2**qubits]
    loading = loaded(train, qubits=qubits, padding="zero", scale="standardise", projection=projection)
    found = amplitudes(loading, new).numpy()
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-9)


def test_a_constant_column_is_left_out_and_rows_of_nothing_else_make_no_nan() -> None:
    train = table()
    train[:, 2] = 1e6 / 3
    for basis in ("raw", "pca"):
        loading = loaded(train, basis=basis, scale="standardise")
        assert not loading.matrix[0, :, 2].any()
        moved = train.copy()
        moved[:, 2] = -5
        torch.testing.assert_close(amplitudes(loading, moved), amplitudes(loading, train))
        same = loaded(np.ones((6, 5)), basis=basis, scale="standardise", norm="keep")
        assert amplitudes(same, train).isfinite().all()
        assert same.length.item() == 1


@pytest.mark.parametrize("padding", ["zero", "constant"])
@pytest.mark.parametrize("scale", ["none", "standardise"])
@pytest.mark.parametrize("basis", ["raw", "pca"])
def test_the_length_of_a_row_is_one_more_amplitude(padding: Any, scale: Any, basis: Any) -> None:
    train, new = table(), table(7, 2)
    plain = loaded(train, qubits=4, padding="zero", scale=scale, basis=basis)
    x, z = torch.from_numpy(train), torch.from_numpy(new)
    if plain.fitted_to_data:
        x, z = ((rows - plain.mean[0]) @ plain.matrix[0].T for rows in (x, z))
    c = math.sqrt(float((x**2).sum(1).mean()))
    wanted = torch.cat([z, torch.full((7, 1), c, dtype=torch.float64)], 1)
    wanted /= torch.sqrt((z**2).sum(1, keepdim=True) + c**2)
    loading = loaded(train, qubits=4, padding=padding, scale=scale, basis=basis, norm="keep")
    found = amplitudes(loading, new)
    share = 0.8 if padding == "constant" else 0.0
    torch.testing.assert_close(found[:, :6], math.sqrt(1 - share**2) * wanted, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(7, dtype=torch.float64))
    if padding == "constant":
        assert found.shape == (7, 16)
        torch.testing.assert_close(found[:, 6:], torch.full((7, 10), 0.8 / math.sqrt(10), dtype=torch.float64))


def test_it_takes_one_amplitude_of_the_capacity() -> None:
    assert HeadConfig(qubits=3, norm="keep", padding="zero").capacity == 7
    assert HeadConfig(qubits=3, norm="keep").capacity == 6
    AmplitudeLoading(HeadConfig(qubits=3, norm="keep"), 6)
    with pytest.raises(HilbertuneError, match="7 numbers does not fit the 6 amplitudes"):
        AmplitudeLoading(HeadConfig(qubits=3, norm="keep"), 7)


def test_rows_on_one_ray_differ_and_a_row_of_zeros_is_the_length_alone() -> None:
    train = table()
    for padding in ("zero", "constant"):
        config = HeadConfig(qubits=3, padding=padding, norm="keep")
        assert config.loads_zeros
        loading = loaded(train, padding=padding, norm="keep")
        states = amplitudes(loading, np.stack([train[0], 2 * train[0], 0 * train[0]]))
        assert (states[0] - states[1]).norm() > 1e-3
        assert states[2, :5].abs().max() == 0
        assert states[2, 5] == pytest.approx(1.0 if padding == "zero" else 0.6)
    assert not HeadConfig(padding="zero").loads_zeros


def test_every_run_has_the_scale_and_the_length_of_its_own_rows() -> None:
    both = torch.from_numpy(np.stack([table(20, 1), 5 * table(20, 2)]))
    config = HeadConfig(qubits=3, basis="pca", scale="standardise", norm="keep")
    loading = AmplitudeLoading(config, 5, runs=2).double()
    loading.fit_basis(both)
    for run in (0, 1):
        alone = loaded(both[run].numpy(), basis="pca", scale="standardise", norm="keep")
        assert torch.equal(loading.matrix[run], alone.matrix[0])
        assert torch.equal(loading.length[run], alone.length[0])
    model = HybridHead(5, 2, config, runs=2)
    model.fit_basis(both)
    torch.testing.assert_close(model.select(1)(both[1]), model(both)[1])


def test_the_length_of_projected_rows_is_that_after_the_projection() -> None:
    train = table()
    loading = AmplitudeLoading(HeadConfig(qubits=2, projection="random", norm="keep"), 5)
    loading.reset_parameters([np.random.default_rng(0)])
    loading.fit_basis(torch.from_numpy(train)[None])
    length = functional.linear(torch.from_numpy(train), loading.matrix[0].double()).square().sum(1).mean().sqrt()
    assert loading.length.item() == pytest.approx(length.item())


@pytest.mark.parametrize("projection", ["random", "trainable"])
def test_a_projection_that_is_drawn_is_not_scaled(projection: Any) -> None:
    with pytest.raises(HilbertuneError, match="scale='standardise' does not go with projection="):
        HeadConfig(scale="standardise", projection=projection)
    assert HeadConfig(scale="standardise", projection=projection, basis="pca").basis == "pca"
