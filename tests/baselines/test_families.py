"""Families that a study tunes: they learn, repeat, and count what they train."""

import numpy as np
import pytest
from helpers.classical import clouds, held

from hilbertune.baselines.families import FAMILIES
from hilbertune.baselines.fixed import rbf_svm


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_learns_separate_clouds_from_few_rows(name: str, classes: int) -> None:
    x, y = clouds(classes, rows=8 * classes)
    trials = FAMILIES[name].trials(5, 200, 8, classes, len(x))
    fitted = [FAMILIES[name].fit(x, y, trial, 200, 0) for trial in trials]
    accuracies = [float((f.model.predict(x) == y).mean()) for f in fitted]
    assert max(accuracies) > 0.9
    for one, trial in zip(fitted, trials, strict=True):
        assert one.parameters == held(one.model), trial


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_gives_the_same_model_for_the_same_seed(name: str) -> None:
    x, y = clouds(2)
    x = x + np.random.default_rng(1).normal(0, 8, x.shape)
    trial = FAMILIES[name].trials(1, 60, 8, 2, len(x))[0]
    scores = []
    for _ in range(2):
        model = FAMILIES[name].fit(x, y, trial, 60, 3).model
        score = model.predict_proba if hasattr(model, "predict_proba") else model.decision_function
        scores.append(score(x))
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("name", FAMILIES)
def test_predictions_are_the_labels_that_were_given(name: str) -> None:
    x, y = clouds(2)
    labels = np.array([7, 3])[y]
    trial = FAMILIES[name].trials(1, 60, 8, 2, len(x))[0]
    assert set(FAMILIES[name].fit(x, labels, trial, 60, 0).model.predict(x)) == {3, 7}


def test_the_fixed_svm_is_that_of_the_table() -> None:
    x, y = clouds(3)
    trial = FAMILIES["RBF SVM C=1"].trials(9, 374, 8, 3, 60)
    assert trial == [{"C": 1.0, "gamma": 1.0}]
    fitted = FAMILIES["RBF SVM C=1"].fit(x, y, trial[0], 0, 0).model
    np.testing.assert_allclose(fitted.decision_function(x), rbf_svm(x, y, 0, 0).model.decision_function(x), rtol=1e-3)
