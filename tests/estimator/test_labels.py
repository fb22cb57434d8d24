"""Labels as users have them: columns of every library, missing ones, huge ones; what the model says is one of them."""

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import torch

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.use.prediction import answers, line

X = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
BITS = [0, 1] * 4
FAST: dict[str, Any] = {"qubits": 4, "encoder_layers": 1, "layers": 1, "epochs": 1, "validation": 0.0}
DAYS = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)] * 4


@pytest.mark.parametrize(
    ("y", "classes", "shown"),
    [
        (BITS, [0, 1], "0"),
        (np.array(BITS, float), [0.0, 1.0], "0"),
        (np.array(BITS, bool), [False, True], "False"),
        (np.array([2**63 + 1, 2**53 + 1] * 4, np.uint64), [2**53 + 1, 2**63 + 1], str(2**53 + 1)),
        ([1, 2**63] * 4, [1, 2**63], "1"),
        ([-1, 2**70] * 4, [-1, 2**70], "-1"),
        (pandas.Series(BITS, dtype="Int64"), [0, 1], "0"),
        (pandas.Series(BITS, dtype="boolean"), [False, True], "False"),
        (pandas.Series(BITS).astype("category"), [0, 1], "0"),
        (pandas.Series(["b", "a"] * 4, dtype="string"), ["a", "b"], "a"),
        (pandas.DataFrame({"y": pandas.Series(BITS, dtype="Int64")}), [0, 1], "0"),
        (pyarrow.chunked_array([BITS]), [0, 1], "0"),
        (torch.tensor(BITS), [0, 1], "0"),
        (torch.tensor(BITS, dtype=torch.bfloat16), [0.0, 1.0], "0"),
        ([decimal.Decimal(1), decimal.Decimal(2)] * 4, [1, 2], "1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_classes_are_what_was_given_before_and_after_saving(
    y: Any, classes: list[Any], shown: str, tmp_path: Path
) -> None:
    model = HybridClassifier(**FAST).fit(X, y)
    # Let the first class win, so that its name is known.
    with torch.no_grad():
        model.head_.linear_bias.copy_(torch.tensor([[50.0, -50.0]]))
    again = HybridClassifier.from_pretrained(model.save_pretrained(tmp_path / "model"))
    for one in (model, again):
        found = one.classes_.tolist()
        assert found == classes
        assert [type(label) for label in found] == [type(label) for label in classes]
        assert line(answers(one, X[:1])[0], ".csv").split(",")[0] == shown
        assert one.predict(X).tolist() == [classes[0]] * 8


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", float("nan")] * 4, "Row 2 has no label"),
        (["a", None] * 4, "Row 2 has no label"),
        (["a", ""] * 4, "Row 2 has no label"),
        (np.array(["a", None] * 4, object), "Row 2 has no label"),
        (pandas.Series(["a", None] * 4), "Row 2 has no label"),
        (pandas.Series([1, None] * 4, dtype="Int64"), "Row 2 has no label"),
        (np.ma.array(BITS, mask=[0, 0, 1, 0, 0, 0, 0, 0]), "Row 3 has no label"),
        ([1, "1"] * 4, "all numbers or all texts"),
        ([True, 1] * 4, "all of them True or False"),
        (["a", "a "] * 4, "differ in nothing but"),
        (DAYS, "a class is a whole number or a word"),
        (np.array(DAYS, "M8[ns]"), "a class is a whole number or a word"),
        (np.array([b"a", b"b"] * 4), "a class is a whole number or a word"),
        (None, "y to be passed"),
    ],
)
def test_labels_that_are_none_are_refused_as_in_files(y: Any, message: str) -> None:
    for X_ in (X, ["text"] * 8):
        with pytest.raises(HilbertuneError, match=message) as caught:
            HybridClassifier(**FAST).fit(X_, y)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "y",
    [
        pandas.Series([["a", "b"], ["a"]] * 4),
        [{"a", "b"}, {"a"}] * 4,
        np.array([{"a", "b"}, {"a"}] * 4),
        pyarrow.array([["a", "b"], ["a"]] * 4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_several_labels_a_row_come_in_any_column(y: Any) -> None:
    model = HybridClassifier(**FAST, task="multi-label").fit(X, y)
    assert model.classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "y",
    [
        pandas.Series(range(8), dtype="Int64"),
        [decimal.Decimal(one) for one in range(8)],
        torch.arange(8, dtype=torch.bfloat16),
        torch.arange(8.0, requires_grad=True),
        np.arange(8, dtype=np.uint64),
        pyarrow.array(range(8)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_numbers_to_learn_come_in_any_column(y: Any) -> None:
    expected = HybridRegressor(**FAST).fit(X, np.arange(8.0)).predict(X)
    np.testing.assert_array_equal(HybridRegressor(**FAST).fit(X, y).predict(X), expected)


@pytest.mark.parametrize("y", [DAYS, np.array(DAYS, "M8[ns]"), [True, False] * 4, pandas.to_timedelta(range(8))])
def test_what_is_no_number_is_not_learnt(y: Any) -> None:
    with pytest.raises(HilbertuneError, match=r"Row 1 of the labels has the label .*: regression needs finite"):
        HybridRegressor(**FAST).fit(X, y)
