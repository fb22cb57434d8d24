"""What a table is like, as far as the rule of config/automatic.py asks."""

import numpy as np
import pytest

from hilbertune.config.automatic import Traits
from hilbertune.data.traits import traits_of

ROWS = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
UNIT = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("rows", "lengths", "units"),
    [
        (UNIT, False, False),
        (UNIT.astype(np.float16), False, False),
        (7 * UNIT, False, False),
        (ROWS, True, False),
        (ROWS * np.array([1, 1, 1, 1, 1, 1000]), True, True),
        (UNIT * np.array([1, 1, 1, 1, 1, 1000]), True, True),
        (ROWS + 1000, False, False),
        (np.ones((5, 3)), False, False),
        (np.zeros((5, 3)), False, False),
        (np.eye(4)[:1], False, False),
    ],
)
def test_rows_of_unequal_length_are_a_table(rows: np.ndarray, lengths: bool, units: bool) -> None:
    wanted = Traits("ordinal", rows.shape[1], 3, lengths_differ=lengths, units_differ=units)
    assert traits_of(rows, "ordinal", 3) == wanted


def test_embedded_rows_are_no_table_whatever_they_look_like() -> None:
    assert traits_of(1000 * ROWS, "regression", 0, embedded=True) == Traits("regression", 6, 0)
