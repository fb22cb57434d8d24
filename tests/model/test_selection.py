"""The rule of choosing on validation: accuracy, then loss; what is missing loses; without torch or NumPy."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilbertune.model.selection import rank

SHARES, LOSSES = st.floats(0, 1), st.floats(0, 1e9)


@given(SHARES, LOSSES, SHARES, LOSSES)
def test_accuracy_decides_and_loss_breaks_ties(accuracy: float, loss: float, other: float, others: float) -> None:
    better = accuracy > other or (accuracy == other and loss < others)
    assert (rank(accuracy, loss) > rank(other, others)) is better


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_missing_figure_is_the_worst(missing: float | None) -> None:
    assert rank(missing, 0.0) < rank(0.0, 1e9)
    assert rank(0.5, missing) < rank(0.5, 1e9)
    assert rank(missing, missing) < rank(missing, 1e9)
    assert rank(missing, missing) == rank(None, math.nan)


@pytest.mark.parametrize("missing", [None, math.nan])
def test_without_accuracies_the_lowest_loss_is_best(missing: float | None) -> None:
    losses = [3.0, 0.5, math.nan, 0.5, 2.0]
    ranks = [rank(missing, loss) for loss in losses]
    assert ranks.index(max(ranks)) == 1


@pytest.mark.parametrize("missing", [None, math.nan])
def test_without_losses_the_highest_accuracy_is_best(missing: float | None) -> None:
    accuracies = [0.5, 0.75, 0.75, 0.0]
    ranks = [rank(accuracy, missing) for accuracy in accuracies]
    assert ranks.index(max(ranks)) == 1


def test_equal_results_are_ties_so_the_first_wins() -> None:
    assert rank(0.75, 0.25) == rank(0.75, 0.25)
    assert not rank(0.75, 0.25) > rank(0.75, 0.25)
    assert rank(0.0, 0.0) == rank(0.0, -0.0)


def test_an_infinite_loss_is_as_bad_as_none() -> None:
    assert rank(0.5, math.inf) == rank(0.5, None)


def test_the_rule_needs_neither_torch_nor_numpy() -> None:
    code = "import sys, hilbertune.model.selection; assert not {'torch', 'numpy', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
