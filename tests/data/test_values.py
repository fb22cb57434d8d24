"""One label in Python's own types, and what makes labels of different sources the same."""

import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas
import pytest
import torch

from hilbertune.data.values import from_file, plain, text_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int8(3), 3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float16(1.5), 1.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (Decimal("12345678901234567890"), 12345678901234567890),
        (Decimal("0.5"), 0.5),
        (Fraction(6, 2), 3),
        (torch.tensor(2), 2),
        (torch.tensor(2.0, dtype=torch.bfloat16), 2.0),
        (np.array(7), 7),
        (None, None),
        (float("nan"), None),
        (np.float32("nan"), None),
        (Decimal("nan"), None),
        (pandas.NA, None),
        (pandas.NaT, None),
        (np.ma.masked, None),
    ],
)
def test_values_of_any_library_become_pythons_own(value: Any, expected: Any) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "value",
    [b"a", datetime.date(2024, 1, 1), pandas.Timestamp("2024"), np.datetime64("2024"), np.timedelta64(1), 1j, [1], {}],
)
def test_other_types_are_no_labels(value: Any) -> None:
    with pytest.raises(TypeError):
        plain(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"pos", "pos"),
        (datetime.date(2024, 1, 31), "2024-01-31"),
        (datetime.datetime(2024, 1, 31), "2024-01-31"),
        (datetime.datetime(2024, 1, 31, 10, 5), "2024-01-31 10:05:00"),
        (True, True),
        (None, None),
    ],
)
def test_files_write_dates_and_bytes_as_words(value: Any, expected: Any) -> None:
    assert from_file(value) == expected


@pytest.mark.parametrize(
    "same", [(1, 1.0, "1", "1.0", " 1 "), (True, "True", "true", "TRUE"), ("a", " a"), (0.5, "0.5")]
)
def test_a_label_is_the_same_in_every_format(same: tuple[Any, ...]) -> None:
    assert len({text_of(one) for one in same}) == 1


@pytest.mark.parametrize("other", [("1", "01"), (1, "+1"), (1, "1.5"), ("a", "A"), (2**53, 2**53 + 1), (10, "1.00")])
def test_other_labels_stay_others(other: tuple[Any, Any]) -> None:
    assert text_of(other[0]) != text_of(other[1])
