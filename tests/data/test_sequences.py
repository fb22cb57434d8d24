"""Texts in whatever holds a column of them are the same list of texts; what is no column is named in one sentence."""

import collections
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from hilbertune.data.sequences import are_items, listed
from hilbertune.errors import HilbertuneError

TEXTS = ["a film", "ein Film", "電影", "", "nan"]


class Series:
    """A column with polars' names, which has no `tolist` and no type that NumPy knows."""

    ndim = 1

    def __init__(self, values: list[Any]) -> None:
        self.values, self.dtype, self.shape = values, type("String", (), {})(), (len(values),)

    def to_list(self) -> list[Any]:
        return list(self.values)


class Frame:
    """A table with polars' names."""

    def __init__(self, **columns: list[Any]) -> None:
        self.columns, self.own = list(columns), [Series(c) for c in columns.values()]
        self.shape = (len(self.own[0].values), len(self.own))

    def get_columns(self) -> list[Series]:
        return self.own


def strings(values: list[str]) -> np.ndarray:
    return np.array(values, np.dtypes.StringDType())


COLUMNS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "deque": collections.deque,
    "UserList": collections.UserList,
    "generator": lambda v: (text for text in v),
    "map": lambda v: map(str, v),
    "values of a dict": lambda v: dict(enumerate(v)).values(),
    "lists of one": lambda v: [[text] for text in v],
    "tuples of one": lambda v: tuple((text,) for text in v),
    "numpy's own texts": lambda v: [np.str_(text) for text in v],
    "array": np.array,
    "array of objects": lambda v: np.array(v, object),
    "array of StringDType": strings,
    "array (n, 1)": lambda v: np.array(v)[:, None],
    "array of objects (n, 1)": lambda v: np.array(v, object)[:, None],
    "array of StringDType (n, 1)": lambda v: strings(v)[:, None],
    "datasets column": lambda v: datasets.Dataset.from_dict({"t": v, "other": v})["t"],
    "datasets dataset": lambda v: datasets.Dataset.from_dict({"t": v}),
    "datasets stream": lambda v: datasets.Dataset.from_dict({"t": v}).to_iterable_dataset(),
    "pyarrow array": pa.array,
    "pyarrow large_string": lambda v: pa.array(v, pa.large_string()),
    "pyarrow dictionary": lambda v: pa.array(v).dictionary_encode(),
    "pyarrow ChunkedArray": lambda v: pa.chunked_array([v[:2], v[2:]]),
    "pyarrow table": lambda v: pa.table({"t": v}),
    "pyarrow batch": lambda v: pa.record_batch({"t": v}),
    "polars series": Series,
    "polars frame": lambda v: Frame(t=v),
    "pandas series": pd.Series,
    "pandas series of string": lambda v: pd.Series(v, dtype="string"),
    "pandas series of pyarrow": lambda v: pd.Series(v, dtype="string[pyarrow]"),
    "pandas series of categories": lambda v: pd.Series(v, dtype="category"),
    "pandas series of objects": lambda v: pd.Series(v, dtype=object, index=range(9, 9 - len(v), -1)),
    "pandas index": pd.Index,
    "pandas array": pd.array,
    "pandas frame": lambda v: pd.DataFrame({"t": v}, index=range(7, 7 + len(v))),
}


@pytest.mark.parametrize("form", COLUMNS)
def test_a_column_of_texts_is_a_list_of_texts(form: str) -> None:
    found = listed(COLUMNS[form](TEXTS))
    assert found == TEXTS
    assert are_items(found)
    assert all(isinstance(text, str) for text in found)


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", "b"), ("c", "d")],
        [["a", "b"], ["c", "d"]],
        pd.MultiIndex.from_tuples([("a", "b"), ("c", "d")]),
        pd.Series([["a", "b"], ["c", "d"]]),
        pa.array([["a", "b"], ["c", "d"]]),
        datasets.Dataset.from_dict({"t": [["a", "b"], ["c", "d"]]})["t"],
    ],
)
def test_pairs_of_texts_are_tuples(pairs: Any) -> None:
    assert listed(pairs) == [("a", "b"), ("c", "d")]
    assert are_items(listed(pairs))


@pytest.mark.parametrize(
    "missing",
    [
        ["a", None],
        ["a", float("nan")],
        pd.Series(["a", None], dtype="string"),
        pd.Series(["a", pd.NaT], dtype=object),
        pd.Series(["a", None], dtype="category"),
        pa.array(["a", None]),
        np.array(["a", np.nan], object),
        np.ma.array(["a", "b"], mask=[False, True]),
    ],
)
def test_missing_texts_are_none(missing: Any) -> None:
    assert listed(missing) == ["a", None]


@pytest.mark.parametrize(
    "numbers",
    [
        np.eye(3),
        np.eye(3, dtype=int),
        np.array([[1.0, "nan"]], object)[:, :1],
        pd.DataFrame(np.eye(3)),
        pd.DataFrame({"a": pd.array([1, 2], "Int64")}),
        sparse.csr_matrix(np.eye(3)),
    ],
)
def test_tables_of_numbers_stay_as_they_are(numbers: Any) -> None:
    assert listed(numbers) is numbers
    assert not are_items(numbers)


@pytest.mark.parametrize(
    "vectors",
    [
        pd.Series([[1.0, 2.0], [3.0, 4.0]]),
        pa.array([[1.0, 2.0], [3.0, 4.0]]),
        datasets.Dataset.from_dict({"v": [[1.0, 2.0], [3.0, 4.0]]})["v"],
        collections.deque([[1.0, 2.0], [3.0, 4.0]]),
        (row for row in ([1.0, 2.0], [3.0, 4.0])),
    ],
)
def test_a_column_of_vectors_is_a_list_of_vectors(vectors: Any) -> None:
    found = listed(vectors)
    assert found == [[1.0, 2.0], [3.0, 4.0]]
    assert not are_items(found)


@pytest.mark.parametrize(
    ("X", "sentence"),
    [
        ("one text", "X is a single string: give a list of texts"),
        (np.array("one text"), "single string"),
        (np.str_("one text"), "single string"),
        (b"one", "X is bytes"),
        (None, "X is None"),
        (3, "X is int"),
        (Path("a.png"), "give a list of rows"),
        (len, "give a list of rows"),
        ({"text": ["a"]}, "with the keys 'text': give one of its columns"),
        (datasets.DatasetDict(), "give one of its columns"),
        ({"a", "b"}, "a set, which has no order"),
        ([], "X is empty"),
        ((text for text in ()), "X is empty"),
        (pd.Series([], dtype="string"), "X is empty"),
        ([None, None], "All rows of X are missing"),
        ([b"a"], "Row 1 of X is bytes: decode it"),
        (np.array(["a"], "S"), "Row 1 of X is bytes: decode it"),
        ([{"text": "a", "label": 1}], "Row 1 of X is a dict with the keys 'text', 'label'"),
        (pd.DataFrame({"id": [1], "text": ["a"]}), "X has 2 columns .'id', 'text'., and 'text' holds texts"),
        (pd.DataFrame([["a", "b"]], columns=["t", "t"]), "X has 2 columns"),
        (datasets.Dataset.from_dict({"t": ["a"], "label": [0]}), "'t' holds texts"),
        (pa.table({"t": ["a"], "label": [0]}), "'t' holds texts"),
        (Frame(t=["a"], label=[0]), "'t' holds texts"),
        (np.array([["a", "b"]]), "one column of texts, or two and pairs="),
        (np.array([[["a"]]]), r"an array of texts of the shape \[1, 1, 1\]"),
    ],
)
def test_what_is_no_column_is_named(X: Any, sentence: str) -> None:
    with pytest.raises(HilbertuneError, match=sentence):
        listed(X)
