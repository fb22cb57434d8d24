"""Matched families: no larger than asked, and as large as they may be."""

from typing import Any

import numpy as np
import pytest
from helpers.classical import clouds, held
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune.baselines.families import FAMILIES
from hilbertune.errors import HilbertuneError

MATCHED = [name for name in FAMILIES if name.startswith("matched")]


@settings(max_examples=40)
@given(
    name=st.sampled_from(MATCHED),
    classes=st.integers(2, 6),
    features=st.integers(6, 40),
    per_class=st.integers(3, 10),
    budget=st.integers(1, 400),
    seed=st.integers(0, 3),
)
def test_a_matched_family_is_never_larger_than_asked(
    name: str, classes: int, features: int, per_class: int, budget: int, seed: int
) -> None:
    x, y = clouds(classes, classes * per_class, features)
    outputs = 1 if classes == 2 else classes
    smallest = {
        "matched linear": 2 * outputs,
        "matched feature selection": 2 * outputs + 1,
    }.get(name, 2 + 2 * outputs)
    family, shape = FAMILIES[name], (budget, features, classes, len(x))
    if budget < smallest:
        with pytest.raises(HilbertuneError, match=f"smallest {name} has {smallest} parameters"):
            family.trials(3, *shape)
        trial = family.trials(1, 400, *shape[1:])[0]
        with pytest.raises(HilbertuneError, match="leave it out or raise the budget"):
            family.fit(x, y, trial, budget, seed)
        return
    for trial in family.trials(3, *shape):
        fitted = family.fit(x, y, trial, budget, seed)
        assert fitted.parameters == held(fitted.model)
        assert fitted.parameters <= budget
        assert len(fitted.model.predict(x)) == len(x)


@pytest.mark.parametrize(
    ("name", "trial", "parameters"),
    [
        # one more component, or feature, would be more than 100
        ("matched linear", {"C": 1.0, "components": 999}, 100),
        ("matched feature selection", {"C": 1.0, "features": 999}, 2 * 49 + 1),
        ("matched MLP", {"hidden": 4, "learning_rate": 0.01, "alpha": 0.1}, 4 * 23 + 4 + 4 + 1 - 4),
        ("matched quadratic", {"rank": 4, "alpha": 0.1, "share": 1.0}, 4 * 22 + 4 + 4 + 1),
    ],
)
def test_a_matched_family_fills_what_it_may_have(name: str, trial: dict[str, Any], parameters: int) -> None:
    x, y = clouds(2, rows=300, features=150)
    assert FAMILIES[name].fit(x, y, trial, 100, 0).parameters == parameters <= 100


def test_a_feature_that_never_varies_is_not_selected() -> None:
    x, y = clouds(2)
    x = np.hstack([np.ones((len(x), 3), np.float32), x])
    model = FAMILIES["matched feature selection"].fit(x, y, {"C": 1.0, "features": 8}, 100, 0).model
    np.testing.assert_array_equal(np.flatnonzero(model[0].get_support()), np.arange(3, 11))
