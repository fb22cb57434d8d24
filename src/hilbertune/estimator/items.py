"""The input of `fit` and `predict`: tables of numbers or raw items, labels in their many forms.

In: X and y as users have them.
Out: arrays, and errors of one sentence.
"""

import contextlib
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from hilbertune.data.labels import encode_labels
from hilbertune.data.sequences import as_list
from hilbertune.errors import HilbertuneError

NUMBERS: dict[str, Any] = {"dtype": [np.float32, np.float64], "accept_sparse": "csr"}
"""The kinds of X that hold numbers, as arguments of scikit-learn's `validate_data`."""


def weights_in_order(weights: Mapping[Any, float], classes: np.ndarray) -> tuple[float, ...]:
    """Return the weight of each class, in the order of the classes; classes without one weigh 1.

    Raises:
        HilbertuneError: a weight for something that is not a class.
    """
    known = classes.tolist()
    if unknown := [label for label in weights if label not in known]:
        raise HilbertuneError(f"class_weight names {unknown[0]!r}, which is not a label of the training rows.")
    return tuple(float(weights.get(label, 1.0)) for label in known)


def label_sets(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels, and 0 and 1 [rows, labels], of a table of 0 and 1 or of a collection of labels for each row.

    Raises:
        HilbertuneError: y is neither.
    """
    if sparse.issparse(y):
        y = y.toarray()
    if getattr(y, "ndim", 1) == 1 and not isinstance(y, list | tuple):
        y = as_list(y)
    if isinstance(y, list | tuple) and any(isinstance(v, list | tuple | set | frozenset) for v in y):
        numbers = all(isinstance(v, int | float) for row in y for v in row)
        if not (numbers and len({len(row) for row in y}) == 1 and {v for row in y for v in row} <= {0, 1}):
            names, targets = encode_labels([list(row) for row in y], "multi-label")
            return np.array(names), targets
    table = np.asarray(y)
    if table.ndim != 2 or not np.isin(table, (0, 1)).all():
        raise HilbertuneError(
            "With task='multi-label' y must be an array of 0 and 1 [rows, classes], or a list of labels for each row."
        )
    return np.arange(table.shape[1]), table


def row_weights(sample_weight: Any, rows: int) -> np.ndarray | None:
    """Return the weight of each row, of at most 1, or None where all weigh the same.

    Raises:
        HilbertuneError: not one finite weight of 0 or more for each row, or none above 0.
    """
    if sample_weight is None or isinstance(sample_weight, Real):
        sample_weight = np.full(rows, 1.0 if sample_weight is None else float(sample_weight))
    with one_sentence("sample_weight holds no numbers, one a row: "):
        weights = check_array(as_labels(sample_weight), ensure_2d=False, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (rows,):
        raise HilbertuneError(
            f"sample_weight has the shape {list(weights.shape)}: give one weight for each of the {rows} rows."
        )
    if (weights < 0).any() or not weights.any():
        wrong = "hold negative numbers" if (weights < 0).any() else "are all zero"
        raise HilbertuneError(f"The weights in sample_weight {wrong}: a weight is 0 or more, and one at least is more.")
    return None if weights.min() == weights.max() else weights / weights.max()


def as_labels(y: Any) -> Any:
    """Return the labels of a generator as a list, and texts of NumPy's newer type as those of the older one."""
    if isinstance(y, Iterator):
        return list(y)
    return np.array(y.tolist()) if isinstance(y, np.ndarray) and y.dtype.kind == "T" else y


def as_dense(X: Any) -> np.ndarray:
    """Return X as an array; amplitudes are stored whole, so a sparse matrix gains nothing behind this point."""
    dense: np.ndarray = X.toarray() if sparse.issparse(X) else np.asarray(X)
    # PyTorch warns of arrays that it may not write to, such as pandas has.
    return dense if dense.flags.writeable else dense.copy()


@contextlib.contextmanager
def one_sentence(prefix: str = "") -> Iterator[None]:
    """Turn what scikit-learn or NumPy says about unusable data into a HilbertuneError on one line, after a prefix."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError) as error:
        raise HilbertuneError(prefix + " ".join(str(error).split())) from error
