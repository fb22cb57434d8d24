"""The settings that a study tries: distinct, repeatable, well spread."""

import json

import numpy as np
import pytest
from helpers.classical import clouds

from hilbertune.baselines.families import FAMILIES

FIXED = ["RBF SVM C=1", "RBF SVM C=100"]


@pytest.mark.parametrize("count", [1, 7, 70])
@pytest.mark.parametrize("name", FAMILIES)
def test_trials_are_distinct_repeatable_plain_data_and_extend_shorter_lists(name: str, count: int) -> None:
    shape = (374, 768, 2, 435)
    trials = FAMILIES[name].trials(count, *shape)
    texts = [json.dumps(trial, sort_keys=True) for trial in trials]
    assert len(set(texts)) == len(texts)
    most = {"k-NN": len(FAMILIES["k-NN"].trials(1000, *shape)), **dict.fromkeys(FIXED, 1)}
    assert len(trials) == min(count, most.get(name, count))
    assert FAMILIES[name].trials(count + 5, *shape)[: len(trials)] == trials


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - set(FIXED)))
def test_trials_are_spread_over_their_range(name: str) -> None:
    shape = (374, 768, 2, 435)
    few, many = FAMILIES[name].trials(7, *shape), FAMILIES[name].trials(500, *shape)
    for key in few[0]:
        every = sorted({trial[key] for trial in many})
        at = sorted(every.index(trial[key]) / (len(every) - 1) for trial in few if trial[key] in every)
        assert len(at) == 7
        assert at[0] <= 0.34, key
        assert at[-1] >= 0.66, key
        assert max(np.diff(at)) <= 0.5, key


def test_neighbours_are_never_more_than_half_of_the_rows() -> None:
    trials = FAMILIES["k-NN"].trials(100, 374, 768, 2, 16)
    assert sorted(t["neighbours"] for t in trials) == list(range(1, 9))
    # ... and fewer rows than neighbours are no error.
    x, y = clouds(2, rows=6)
    assert len(FAMILIES["k-NN"].fit(x, y, {"neighbours": 8}, 0, 0).model.predict(x)) == 6
