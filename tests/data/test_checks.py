"""Which labels and embeddings are refused, row by row."""

from pathlib import Path

import numpy as np
import pytest
from helpers.tables import write

from hilbertune.data.checks import check_embeddings, check_table
from hilbertune.data.files import read_labelled
from hilbertune.errors import HilbertuneError


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"high"', "Row 2 of .* has the label 'high': regression needs finite numbers"),
        ("1e999", "has the label inf: regression needs finite numbers"),
        ("true", "has the label True: regression needs finite numbers"),
        ("[1]", r"has the label \[1\]: regression needs"),
        ("null", "Row 2 of .* has no label"),
        ("NaN", "Row 2 of .* has no label"),
        ('" "', "Row 2 of .* has no label"),
        ("1" + "0" * 400, "regression needs finite numbers"),
    ],
)
def test_what_is_no_number_is_refused_for_regression(tmp_path: Path, value: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "a", "label": 1}}\n{{"text": "b", "label": {value}}}')
    with pytest.raises(HilbertuneError, match=message):
        read_labelled(path, task="regression")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("3", "has the label 3: the labels of a row are a list"),
        ("null", "has the label None: the labels of a row are a list"),
        ("[0.5]", "has the label 0.5: a class is a whole number or a word"),
        ("[null]", "Row 1 of .* has no label"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(tmp_path: Path, value: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "a", "label": {value}}}')
    with pytest.raises(HilbertuneError, match=message):
        read_labelled(path, task="multi-label")


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.zeros((2, 2)), r"^Row 1 \(and 1 more of 2\) of the embeddings holds nothing but zeros"),
        (np.array([[1, 0], [0, 0], [1, 1.0]]), r"^Row 2 of the embeddings holds nothing but zeros"),
        (np.array([[1, 0], [0, np.nan], [1, np.inf]]), r"Row 2 \(and 1 more of 3\).*NaN or inf"),
        (
            np.full((2, 2), 1e31),
            r"^Row 1 \(and 1 more of 2\) .* numbers beyond 1e\+30: divide all rows by such a number",
        ),
        (np.array([[1, 0], [1e-31, 0]]), "^Row 2 .* no number beyond 1e-30: divide"),
        (np.full((1, 2), 1e-42, np.float32), "^Row 1 .* no number beyond 1e-30"),
        (np.ones(3), r"must be numbers of the shape \[rows, width\], not float64 of the shape \[3\]"),
        (np.array([["a"]]), "must be numbers"),
        (np.ones((0, 4)), r"shape \[0, 4\] hold no numbers"),
        (np.ones((4, 2)), "must be 3 numbers wide, not 2"),
    ],
)
def test_unusable_embeddings_are_refused(embeddings: np.ndarray, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        check_embeddings(embeddings, width=3 if embeddings.shape == (4, 2) else None)


def test_usable_embeddings_pass() -> None:
    check_embeddings(np.eye(3, dtype=np.float32), width=3)
    check_embeddings(np.eye(3, dtype=np.int64))


def test_rows_next_to_nothing_pass_where_zeros_do() -> None:
    check_embeddings(np.array([[1, 0], [0, 0], [1e-40, 0]]), zeros=True, tiny=True)
    check_embeddings(np.array([[-128, 0]], np.int8))
    check_embeddings(np.array([[1e30, 0], [0, 1e-30]], np.float32))
    check_embeddings(np.full((3, 2), 1e-40), tiny=True)
    check_table(np.array([[0, 1], [0, 0], [1e-40, 0]]))
    check_table(np.zeros((2, 2)))
    with pytest.raises(HilbertuneError, match=r"Row 1 .* no number beyond"):
        check_table(np.full((3, 2), 1e-40))
    with pytest.raises(HilbertuneError, match=r"Row 2 .* NaN or infinite"):
        check_embeddings(np.array([[1, 0], [np.inf, 0]]), zeros=True)
