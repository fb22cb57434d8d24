"""What is counted as trained, and the score behind an ROC-AUC."""

import warnings

import numpy as np
from helpers.classical import clouds

from hilbertune.baselines.families import FAMILIES
from hilbertune.baselines.models import score_of, trained_numbers


def test_a_selection_counts_and_components_do_not() -> None:
    from sklearn.decomposition import PCA
    from sklearn.feature_selection import SelectKBest
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    x, y = clouds(3)
    assert trained_numbers(make_pipeline(PCA(2), LogisticRegression()).fit(x, y)) == 3 * (2 + 1)
    assert trained_numbers(make_pipeline(SelectKBest(k=2), LogisticRegression()).fit(x, y)) == 3 * (2 + 1) + 2


def test_one_model_a_class_counts_each_and_nothing_for_a_class_that_is_never_there() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    x, y = clouds(3)
    labels = np.eye(4, dtype=int)[y]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = OneVsRestClassifier(LogisticRegression()).fit(x, labels)
    assert trained_numbers(model) == 3 * (8 + 1)


def test_the_score_grows_with_the_second_class_and_is_for_two_classes_only() -> None:
    x, y = clouds(2)
    boosted = FAMILIES["gradient boosting"].fit(x, y, {"learning_rate": 0.1, "depth": 1}, 0, 0).model
    neighbours = FAMILIES["k-NN"].fit(x, y, {"neighbours": 3}, 0, 0).model
    np.testing.assert_array_equal(score_of(boosted, x), boosted.decision_function(x))
    np.testing.assert_array_equal(score_of(neighbours, x), np.where(y == 1, 1.0, -1.0))
    three = FAMILIES["k-NN"].fit(*clouds(3), {"neighbours": 3}, 0, 0).model
    assert score_of(three, x) is None
    assert score_of(object(), x) is None
