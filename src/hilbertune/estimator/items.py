"""The input of `fit` and `predict`: tables of numbers or raw items, labels in their many forms.

In: X and y as users have them.
Out: arrays, and errors of one sentence.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from hilbertune.config.records import Task
from hilbertune.data.labels import class_array, encode_labels, label_indices, label_list, sorted_classes
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


def classes_and_targets(y: Any, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted classes, and what a head learns: their indices [rows], or 0 and 1 [rows, classes].

    Raises:
        HilbertuneError: labels that cannot be learnt, a missing one among them; for several labels, y is neither a
            table of 0 and 1 nor a collection of labels for each row.
    """
    if task == "multi-label":
        return _label_sets(y)
    y = column(y)
    if isinstance(y, np.ndarray) and y.dtype.kind == "f" and np.isfinite(y).all():
        with one_sentence():
            check_classification_targets(y)
    classes, labels = sorted_classes(y)
    if len(classes) == 1:
        raise HilbertuneError(f"Training needs at least 2 classes, but has only one class: {classes[0]!r}.")
    return class_array(classes, y), label_indices(labels, classes)


def column(y: Any) -> Any:
    """Return labels or numbers [rows] as they are; of a table of one column, that column.

    Raises:
        HilbertuneError: there is no y, or it has another shape.
    """
    if y is None:
        raise HilbertuneError("Training requires y to be passed, but the target y is None.")
    if getattr(getattr(y, "dtype", None), "kind", "") == "c":
        raise HilbertuneError("Complex data not supported: give y real numbers or words.")
    if getattr(y, "ndim", 1) == 2 and hasattr(y, "columns") and y.shape[1] == 1:
        return y[y.columns[0]]
    nested = isinstance(y, list | tuple) and len(y) and all(isinstance(one, list | tuple | np.ndarray) for one in y)
    if nested or isinstance(y, str | bytes) or getattr(y, "ndim", 1) != 1 or not hasattr(y, "__len__"):
        with one_sentence():
            return column_or_1d(y, warn=True)
    return y


def _label_sets(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels, and 0 and 1 [rows, labels], of a table of 0 and 1 or of a collection of labels a row."""
    if sparse.issparse(y):
        y = y.toarray()
    if getattr(y, "ndim", 1) == 1 and not isinstance(y, str | bytes):
        rows = label_list(y)
        if any(isinstance(v, list | tuple | set | frozenset | np.ndarray) for v in rows):
            rows = [v.tolist() if isinstance(v, np.ndarray) else v for v in rows]
            numbers = all(isinstance(v, Iterable) and all(isinstance(one, int | float) for one in v) for v in rows)
            if not (numbers and len({len(row) for row in rows}) == 1 and {v for row in rows for v in row} <= {0, 1}):
                names, targets = encode_labels(rows, "multi-label")
                return class_array(names), targets
            y = rows
    table = np.asarray(y)
    if table.ndim != 2 or not np.isin(table, (0, 1)).all():
        raise HilbertuneError(
            "With task='multi-label' y must be an array of 0 and 1 [rows, classes], or a list of labels for each row."
        )
    return np.arange(table.shape[1]), np.asarray(table, np.float32)


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


def as_numbers(X: Any) -> Any:
    """Return a tensor of torch as an array, half precision as single; anything else as it is.

    Raises:
        HilbertuneError: X holds times, whose numbers would depend on the unit in which they are stored.
    """
    columns = getattr(X, "dtypes", None)
    kinds = [getattr(X, "dtype", None)] if columns is None else list(columns)
    if any(getattr(kind, "kind", "") in ("m", "M") for kind in kinds):
        raise HilbertuneError("X holds dates or times: make numbers of them, such as days since the first one.")
    if not (hasattr(X, "detach") and hasattr(X, "is_floating_point")):
        return X
    X = X.detach().cpu()
    return (X.float() if X.is_floating_point() and X.element_size() < 4 else X).numpy()


def as_dense(X: Any) -> np.ndarray:
    """Return X as an array; amplitudes are stored whole, so a sparse matrix gains nothing behind this point."""
    return writeable(X.toarray() if sparse.issparse(X) else np.asarray(X))


def writeable(values: np.ndarray) -> np.ndarray:
    """Return an array that may be written to: PyTorch warns of others, such as pandas 3 gives."""
    return values if values.flags.writeable else values.copy()


@contextlib.contextmanager
def one_sentence(prefix: str = "") -> Iterator[None]:
    """Turn what scikit-learn or NumPy says about unusable data into a HilbertuneError on one line, after a prefix."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise HilbertuneError(prefix + " ".join(str(error).split())) from error
