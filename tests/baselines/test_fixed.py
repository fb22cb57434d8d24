"""The four heads with fixed settings: what they learn and what they count as parameters."""

import warnings

import numpy as np
import pytest
from helpers.classical import clouds, held
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune.baselines.fixed import (
    BASELINES,
    baselines,
    logistic_regression,
    matched_logistic_regression,
    mlp,
    rbf_svm,
)
from hilbertune.baselines.models import score_of


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_learns_separate_clouds(name: str, classes: int) -> None:
    x, y = clouds(classes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = BASELINES[name](x, y, 40, 0)
    assert (fitted.model.predict(x) == y).mean() > 0.95
    again = BASELINES[name](x, y, 40, 0)
    np.testing.assert_array_equal(again.model.predict(x), fitted.model.predict(x))


@pytest.mark.parametrize(("classes", "parameters"), [(2, 9), (3, 27)])
def test_logistic_regression_counts_weights_and_intercepts(classes: int, parameters: int) -> None:
    assert logistic_regression(*clouds(classes), 0, 0).parameters == parameters


def test_a_support_vector_machine_counts_its_stored_numbers() -> None:
    fitted = rbf_svm(*clouds(2), 0, 0)
    vectors = len(fitted.model.support_vectors_)
    assert fitted.parameters == vectors * 8 + vectors + 1


@pytest.mark.parametrize(("classes", "outputs"), [(2, 1), (3, 3)])
def test_the_mlp_has_48_hidden_units(classes: int, outputs: int) -> None:
    assert mlp(*clouds(classes), 0, 0).parameters == 48 * 8 + 48 + outputs * 49


@settings(max_examples=30)
@given(
    classes=st.integers(2, 4),
    extra=st.integers(0, 60),
    rows=st.integers(8, 30),
    features=st.integers(1, 12),
)
def test_the_matched_model_is_never_larger_than_asked(classes: int, extra: int, rows: int, features: int) -> None:
    outputs = 1 if classes == 2 else classes
    asked = 2 * outputs + extra
    fitted = matched_logistic_regression(*clouds(classes, rows, features), asked, 0)
    regression = fitted.model[-1]
    assert fitted.parameters == regression.coef_.size + regression.intercept_.size
    assert fitted.parameters <= asked
    # ... and it is the largest that is not: one more component would not be there, or be too much.
    components = fitted.model[0].n_components_
    assert components == min(rows, features) or outputs * (components + 2) > asked


def test_the_matched_model_has_at_least_one_component() -> None:
    assert matched_logistic_regression(*clouds(2), 0, 0).parameters == 2


@pytest.mark.parametrize("task", ["classification", "one-vs-rest", "regression"])
def test_heads_of_a_table_standardise_its_columns_and_those_of_embeddings_do_not(task: str) -> None:
    x, y = clouds(2)
    targets = x[:, 0].astype(np.float64) if task == "regression" else y
    stretched = x * np.geomspace(1e-3, 1e3, 8)
    for name, fit in baselines(task).items():  # type: ignore[arg-type]
        assert not hasattr(fit(x, targets, 60, 0).model, "scaler"), name
        fitted = fit(stretched, targets, 60, 0)
        assert fitted.parameters == held(fitted.model), name
        np.testing.assert_allclose(fitted.model.scaler.scale_, stretched.std(0), rtol=1e-5)


def test_the_score_of_a_standardised_head_is_that_of_scikit_learns_pipeline() -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    x, y = clouds(2)
    stretched = x * np.geomspace(1e-3, 1e3, 8)
    model = BASELINES["RBF SVM"](stretched, y, 0, 0).model
    expected = make_pipeline(StandardScaler(), SVC()).fit(stretched, y).decision_function(stretched)
    np.testing.assert_array_equal(score_of(model, stretched), expected)
