"""Rows as users keep them: lists, columns of tables, queues, generators, arrays of one column.

In: X as it was given to a model or an embedder.
Out: a list of raw items (texts, pairs, files, pictures), or X as it is where it holds numbers.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.errors import HilbertuneError

_NUMBERS = "biufcmM"
"""Kinds of NumPy's types whose columns hold no texts; what has no such kind is looked through."""


def listed(X: Any, *, pairs: bool = False) -> Any:
    """Return a list of rows for whatever is one column of anything; tables and arrays of numbers stay as they are.

    Missing texts are None. Lists of two texts are pairs, and become tuples; with `pairs` two columns of texts are, too.

    Raises:
        HilbertuneError: X is one item, a mapping, a set, a table of several columns with texts among them, bytes, empty
            or not a sequence at all.
    """
    if X is None or isinstance(X, np.generic) or getattr(X, "ndim", None) == 0:
        X = X.item() if hasattr(X, "item") else X
    if X is None or _is_item(X) or isinstance(X, bytes | bytearray | int | float | complex):
        kind = "a single string: give a list of texts" if isinstance(X, str) else f"{_kind(X)}: give a list of rows"
        raise HilbertuneError(f"X is {kind}.")
    if isinstance(X, Mapping):
        raise HilbertuneError(f"X is a {_kind(X)} with the keys {_shown(X)}: give one of its columns.")
    if isinstance(X, set | frozenset):
        raise HilbertuneError("X is a set, which has no order: give a list.")
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):  # polars reads it when it is asked for
        X = X.collect()
    columns = _columns(X)
    if columns is not None:
        X = _only_column(X, columns, pairs=pairs)
    rows = as_list(X)
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "UST":
        raise HilbertuneError(f"X is an array of texts of the shape {list(rows.shape)}: give one column of texts.")
    return _checked(rows) if isinstance(rows, list) else rows


def are_items(X: Any) -> bool:
    """Return True if X, as `listed` returns it, is a list of raw items, False if it holds numbers."""
    return isinstance(X, list) and any(
        _is_item(v) or (isinstance(v, tuple | list) and any(map(_is_item, v))) for v in X
    )


def _is_item(value: Any) -> bool:
    """Return True for a text, a path or a picture."""
    return isinstance(value, str | Path) or type(value).__module__.startswith("PIL.")


def _kind(X: Any) -> str:
    return "None" if X is None else type(X).__name__


def _shown(names: Iterable[Any]) -> str:
    known = list(names)
    return ", ".join(map(repr, known[:5])) + (", ..." if len(known) > 5 else "")


def _columns(X: Any) -> dict[Any, Any] | None:
    """Return the columns of a table by name (pandas, polars, pyarrow, datasets, an array of texts), or None."""
    if isinstance(X, np.ndarray):
        texts = X.ndim == 2 and X.dtype.kind in "OUTS"
        return {number: X[:, number] for number in range(X.shape[1])} if texts else None
    if hasattr(X, "iloc") and getattr(X, "ndim", 1) == 2:
        if all(getattr(dtype, "kind", "O") in _NUMBERS for dtype in X.dtypes):
            return None
        return {(number, name): X.iloc[:, number] for number, name in enumerate(X.columns)}
    if hasattr(X, "get_columns"):
        return dict(zip(X.columns, X.get_columns(), strict=True))
    if hasattr(X, "column_names") and X.column_names:
        if hasattr(X, "to_pylist"):
            return dict(zip(X.column_names, X.columns, strict=True))
        if hasattr(X, "__len__"):
            return {name: X[name] for name in X.column_names}
    return None


def _only_column(X: Any, columns: Mapping[Any, Any], *, pairs: bool) -> Any:
    """Return the only column of a table of raw items, pairs of two, or the table itself if it holds numbers.

    Raises:
        HilbertuneError: several columns, with raw items among them.
    """
    texts = [name for name, column in columns.items() if _holds_items(column)]
    if not texts:
        # The tables of pyarrow and datasets are no arrays by themselves.
        plain = not hasattr(X, "iloc") and not hasattr(X, "get_columns") and not isinstance(X, np.ndarray)
        return np.column_stack([np.asarray(as_list(column)) for column in columns.values()]) if plain else X
    if len(columns) == 1:
        return next(iter(columns.values()))
    if pairs and len(columns) == len(texts) == 2:
        return list(zip(*map(as_list, columns.values()), strict=True))
    names = [name[1] if isinstance(name, tuple) else name for name in (*columns, texts[0])]
    raise HilbertuneError(
        f"X has {len(columns)} columns ({_shown(names[:-1])}), and {names[-1]!r} holds texts: "
        "give one column of texts, or two and pairs='u,v,|u-v|,u*v' for pairs of texts."
    )


def _holds_items(column: Any) -> bool:
    """Return True if a column holds a raw item; columns of a numeric type are not looked through."""
    if getattr(getattr(column, "dtype", None), "kind", "O") in _NUMBERS:
        return False
    return any(isinstance(value, bytes) or _is_item(value) for value in as_list(column))


def as_list(X: Any) -> Any:
    """Return one column as a list of Python values; arrays and tables of numbers, which have more axes, as they are."""
    if isinstance(X, list | tuple):
        return list(X)
    if getattr(X, "ndim", 1) == 1:
        for name in ("to_pylist", "to_list", "tolist"):
            if hasattr(X, name):
                return list(getattr(X, name)())
    if hasattr(X, "__array__") or hasattr(X, "shape"):
        return X
    if not isinstance(X, Iterable):
        raise HilbertuneError(f"X is a {_kind(X)}: give a list of rows.")
    return list(X)


def _checked(rows: list[Any]) -> list[Any]:
    """Return rows with None for what is missing, texts alone for rows of one text, and tuples for pairs."""
    if not rows:
        raise HilbertuneError("There are no texts to embed, and no rows of numbers: X is empty.")
    if all(isinstance(value, Mapping) and len(value) == 1 for value in rows):
        rows = [next(iter(value.values())) for value in rows]
    if all(value is None or _is_missing(value) for value in rows):
        raise HilbertuneError("All rows of X are missing: fill them in.")
    for row, value in enumerate(rows, 1):
        if isinstance(value, bytes | bytearray):
            raise HilbertuneError(f"Row {row} of X is bytes: decode it, with .decode() for UTF-8.")
        if isinstance(value, Mapping):
            raise HilbertuneError(f"Row {row} of X is a {_kind(value)} with the keys {_shown(value)}: give one column.")
    if not are_items(rows):
        return rows
    nested = [value for value in rows if isinstance(value, list | tuple)]
    if len(nested) == len(rows) and all(len(value) == 1 for value in nested):
        rows = [value[0] for value in nested]
    pairs = [tuple(value) if isinstance(value, list) and len(value) == 2 else value for value in rows]
    return [None if _is_missing(value) else value for value in pairs]


def _is_missing(value: Any) -> bool:
    """Return True for NaN and for the marks of a missing value that pandas has."""
    return (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
