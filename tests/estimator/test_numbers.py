"""Numbers at the edge: rows and targets of any unit, half precision, another default type of torch."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from helpers.models import saved_base

from hilbertune.config.records import HeadConfig
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.model.layers import HybridHead
from hilbertune.model.tensors import unit

RNG = np.random.default_rng(0)
Y = np.arange(60) % 2
X = RNG.normal(size=(60, 8)).astype(np.float32)
X[:, 2] += np.where(Y, 2, -2)
COLUMN = X[:, 2].astype(np.float64)
FAST: dict[str, Any] = {"qubits": 4, "encoder_layers": 1, "layers": 1, "epochs": 3, "learning_rate": 0.1}
RAW: dict[str, Any] = {"basis": "raw", "scale": "none", "norm": "drop"}
SHAPES: list[dict[str, Any]] = [
    {},
    {**RAW, "padding": "zero"},
    {**RAW, "qubits": 2, "projection": "trainable"},
    {"basis": "pca", "scale": "none"},
    {"scale": "standardise", "norm": "keep"},
    {**RAW, "norm": "keep"},
    {"encoder": "linear"},
    {"encoder": "pca", "head": "dense"},
]


@pytest.mark.parametrize(("settings", "power"), list(zip(SHAPES, [-90, 90] * 4, strict=True)), ids=str)
def test_the_unit_of_the_rows_does_not_matter(settings: dict[str, Any], power: int) -> None:
    expected = HybridClassifier(**{**FAST, "epochs": 1, **settings}).fit(X, Y)
    rows = np.ldexp(X, power)  # a power of 2, so that ordinary rows are these ones exactly
    found = HybridClassifier(**{**FAST, "epochs": 1, **settings}).fit(rows, Y)
    np.testing.assert_allclose(found.predict_proba(rows), expected.predict_proba(X), atol=2e-3)
    assert found.classical_validation_accuracy_ == pytest.approx(expected.classical_validation_accuracy_, abs=0.12)


def test_ordinary_rows_keep_their_bits() -> None:
    x = torch.from_numpy(np.concatenate([X, 1e6 * X, 1e-6 * X])).requires_grad_()
    plain = x.detach().clone().requires_grad_()
    weights = torch.linspace(-1, 1, 8)
    (unit(x) * weights).sum().backward()
    expected = torch.nn.functional.normalize(plain, dim=-1)
    (expected * weights).sum().backward()
    assert torch.equal(unit(x), expected)
    assert torch.equal(x.grad, plain.grad)


@pytest.mark.parametrize("factor", [1e-38, 1e-30, 1e-20, 1e20, 1e30])
def test_rows_of_any_size_become_1_long(factor: float) -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-1.0, 0.0]]) * factor
    expected = torch.tensor([[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]])
    torch.testing.assert_close(unit(rows), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (X.astype(np.float64) * 1e200, "numbers beyond 1e.30"),
        (X.astype(np.float64) * 1e-200, "no number beyond 1e-30"),
        (X * np.float32(1e-42), "no number beyond 1e-30"),
        ([[10**400] * 8] * 60, "too large"),
        (np.where(X > 2, np.inf, X), "infinity"),
        (torch.tensor([[float("inf")] * 8] * 60).bfloat16(), "infinity"),
    ],
)
def test_rows_beyond_single_precision_are_refused(rows: Any, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message) as caught:
        HybridClassifier(**FAST).fit(rows, Y)
    assert "\n" not in str(caught.value)
    for settings in ({**RAW, "padding": "constant"}, {**RAW, "padding": "zero"}):
        model = HybridClassifier(**{**FAST, **settings, "epochs": 1}).fit(X, Y)
        with pytest.raises(HilbertuneError, match=message):
            model.predict(rows)


def test_rows_next_to_nothing_are_zeros_to_a_model_that_sees_lengths() -> None:
    model = HybridClassifier(**{**FAST, **RAW, "norm": "keep", "epochs": 1}).fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X * np.float32(1e-42)), model.predict_proba(0 * X))


def test_rows_of_different_sizes_stand_side_by_side() -> None:
    rows = X.copy()
    rows[5], rows[6] = rows[5] * 1e25, rows[6] * 1e-25
    settings = {**FAST, **RAW, "padding": "zero"}
    model = HybridClassifier(**settings).fit(X, Y)
    np.testing.assert_allclose(model.predict_proba(rows), model.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_tensors_of_every_precision_are_rows(kind: torch.dtype) -> None:
    rows = torch.from_numpy(X).to(kind).requires_grad_()
    model = HybridClassifier(**FAST).fit(rows, Y)
    same = rows.detach().to(torch.float64 if kind == torch.float64 else torch.float32).numpy()
    np.testing.assert_array_equal(model.predict_proba(rows), model.predict_proba(same))
    np.testing.assert_array_equal(HybridClassifier(**FAST).fit(same, Y).predict(same), model.predict(rows))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_a_model_saved_in_half_precision_loads_in_single(kind: torch.dtype, tmp_path: Path) -> None:
    model = HybridClassifier(**{**FAST, "epochs": 1}).fit(X, Y)
    model.head_.to(kind)
    with pytest.raises(HilbertuneError, match="must be float32 or float64"):
        model.predict(X)
    again = HybridClassifier.from_pretrained(model.save_pretrained(tmp_path / "model"))
    model.head_.float()
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    "rows",
    [
        np.array([["2024-01-01", "2024-01-02"]] * 60, "M8[ns]"),
        np.ones((60, 2), "m8[s]"),
        pandas.DataFrame({"when": pandas.to_datetime(["2024-01-01"] * 60), "x": 1.0}),
    ],
)
def test_dates_are_no_rows(rows: Any) -> None:
    with pytest.raises(HilbertuneError, match="X holds dates or times"):
        HybridClassifier(**FAST).fit(rows, Y)


@pytest.mark.parametrize("unit_of", [1e-20, 1e-9, 1e9, 1e20])
def test_targets_of_any_unit_are_learnt(unit_of: float, tmp_path: Path) -> None:
    y = COLUMN
    expected = HybridRegressor(**FAST).fit(X, y).predict(X)
    model = HybridRegressor(**FAST).fit(X, y * unit_of)
    again = HybridRegressor.from_pretrained(model.save_pretrained(tmp_path / "model"))
    np.testing.assert_allclose(again.predict(X) / unit_of, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("y", [1e9 + COLUMN, 1e300 * COLUMN, 1e-200 * COLUMN, np.full(60, 1e300)])
def test_targets_that_single_precision_cannot_hold_are_refused(y: np.ndarray) -> None:
    with pytest.raises(HilbertuneError, match=r"single precision|nothing to learn"):
        HybridRegressor(**FAST).fit(X, y)


@contextlib.contextmanager
def default_type(kind: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


class TestHalfPrecisionByDefault:
    """What was made with float32 as torch's default type comes out the same, bit for bit."""

    SETTINGS: tuple[dict[str, Any], ...] = (
        {},
        {"members": 2, "encoders": 2, "input_scale": "trainable"},
        {"shots": 50, "gradient": "parameter-shift"},
        {"scale": "standardise", "basis": "pca", "standardise": True},
        {"encoder": "linear", "head": "dense"},
        {"final_linear": False, "measured_qubits": 2},
    )

    @pytest.mark.parametrize("settings", SETTINGS, ids=str)
    def test_estimators(self, settings: dict[str, Any], tmp_path: Path) -> None:
        made = HybridClassifier(**{**FAST, "epochs": 1, **settings})
        expected = made.fit(X, Y).predict_proba(X)
        for kind in (torch.bfloat16, *([] if settings else [torch.float16])):
            with default_type(kind):
                np.testing.assert_array_equal(made.fit(X, Y).predict_proba(X), expected)
                again = HybridClassifier.from_pretrained(made.save_pretrained(tmp_path / str(kind)))
                np.testing.assert_array_equal(again.predict_proba(X), expected)

    def test_regressors(self) -> None:
        expected = HybridRegressor(**FAST).fit(X, X[:, 2]).predict(X)
        with default_type(torch.bfloat16):
            np.testing.assert_array_equal(HybridRegressor(**FAST).fit(X, X[:, 2]).predict(X), expected)

    @pytest.mark.parametrize("shape", [{}, {"encoder": "linear", "head": "dense"}, {"basis": "pca", "norm": "keep"}])
    def test_modules(self, shape: dict[str, Any]) -> None:
        for kind in (torch.bfloat16, torch.float16):
            with default_type(kind):
                head = HybridHead(8, 2, HeadConfig(qubits=4, encoder_layers=1, layers=1, **shape))
                assert {p.dtype for p in head.parameters()} == {torch.float32}
                logits = head(torch.from_numpy(X).to(kind))
                logits.sum().backward()
                assert logits.dtype == torch.float32
                assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())

    def test_embeddings(self, tiny_models: dict[str, Path], tmp_path: Path) -> None:
        from sentence_transformers.sentence_transformer.modules import Dense

        folder = saved_base(tiny_models["encoder"], tmp_path / "base", Dense(16, 12))
        expected = Embedder(str(folder), cache=None, device="cpu").embed(["good film"])
        with default_type(torch.bfloat16):
            found = Embedder(str(folder), cache=None, device="cpu").embed(["good film"])
            np.testing.assert_array_equal(found, expected)
            assert torch.get_default_dtype() == torch.bfloat16
