"""Classical heads: what they learn, what they count as parameters, and that the matched ones are no larger than asked."""

import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from hilbertune.baselines.families import FAMILIES
from hilbertune.baselines.fixed import BASELINES, logistic_regression, matched, mlp, rbf_svm
from hilbertune.baselines.quadratic import quadratic_loss
from hilbertune.errors import HilbertuneError

MATCHED = [name for name in FAMILIES if name.startswith("matched")]
FIXED = ["RBF SVM C=1", "RBF SVM C=100"]


def clouds(classes: int, rows: int = 60, features: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(rows) % classes
    centres = 5 * rng.normal(size=(classes, features))
    return (centres[y] + rng.normal(size=(rows, features))).astype(np.float32), y


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
    fitted = matched(*clouds(classes, rows, features), asked, 0)
    regression = fitted.model[-1]
    assert fitted.parameters == regression.coef_.size + regression.intercept_.size
    assert fitted.parameters <= asked
    # ... and it is the largest that is not: one more component would not be there, or be too much.
    components = fitted.model[0].n_components_
    assert components == min(rows, features) or outputs * (components + 2) > asked


def test_the_matched_model_has_at_least_one_component() -> None:
    assert matched(*clouds(2), 0, 0).parameters == 2


# What a study tunes ------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_warnings() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def held(model: Any) -> int:
    """Trained numbers found in a fitted model, whatever it says of itself."""
    if hasattr(model, "steps"):
        chosen = model[0].get_support().sum() if hasattr(model[0], "get_support") else 0
        return int(chosen) + held(model[-1])
    if hasattr(model, "forms"):
        return model.forms.size + model.weights.size + model.bias.size
    if hasattr(model, "coefs_"):
        return sum(a.size for a in (*model.coefs_, *model.intercepts_))
    if hasattr(model, "support_vectors_"):
        return model.support_vectors_.size + model.dual_coef_.size + model.intercept_.size
    if hasattr(model, "estimators_"):
        features = [tree.tree_.feature for tree in model.estimators_.ravel()]
        inner = sum(int((f >= 0).sum()) for f in features)  # leaves have the feature -2
        return 2 * inner + sum(len(f) for f in features) - inner + len(model.init_.class_prior_)
    if hasattr(model, "_fit_X"):
        return model._fit_X.size + model._y.size
    return model.coef_.size + model.intercept_.size


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
        at = sorted(every.index(trial[key]) / (len(every) - 1) for trial in few if trial[key] in every)  # fmt: skip
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


def test_the_fixed_svm_is_that_of_the_table() -> None:
    x, y = clouds(3)
    trial = FAMILIES["RBF SVM C=1"].trials(9, 374, 8, 3, 60)
    assert trial == [{"C": 1.0, "gamma": 1.0}]
    fitted = FAMILIES["RBF SVM C=1"].fit(x, y, trial[0], 0, 0).model
    np.testing.assert_allclose(fitted.decision_function(x), rbf_svm(x, y, 0, 0).model.decision_function(x), rtol=1e-3)


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


def products(rows: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The label is the sign of x0 · x1: no line parts it, one quadratic form does."""
    x = np.random.default_rng(seed).normal(size=(rows, features))
    return x, (x[:, 0] * x[:, 1] > 0).astype(int)


def test_only_the_quadratic_family_of_the_matched_linear_ones_parts_a_product() -> None:
    x, y = products(800, 6, 0)
    unseen, truth = products(2000, 6, 1)

    def best(name: str) -> float:
        trials = FAMILIES[name].trials(4, 60, 6, 2, len(x))
        models = [FAMILIES[name].fit(x, y, trial, 60, 0).model for trial in trials]
        return max(float((model.predict(unseen) == truth).mean()) for model in models)

    assert best("matched quadratic") > 0.93
    assert best("matched linear") < 0.6
    assert best("matched feature selection") < 0.6


def test_the_quadratic_family_learns_several_classes_and_gives_shares() -> None:
    x, _ = products(900, 6, 2)
    y = np.abs(x[:, :3]).argmax(1)  # three classes: which of three squares is the largest
    model = FAMILIES["matched quadratic"].fit(x, y, {"rank": 8, "alpha": 1e-3, "share": 1.0}, 200, 0).model
    assert (model.predict(x) == y).mean() > 0.9
    shares = model.predict_proba(x)
    np.testing.assert_allclose(shares.sum(1), 1)
    np.testing.assert_array_equal(shares.argmax(1), model.predict(x))


@pytest.mark.parametrize(("classes", "outputs"), [(2, 1), (3, 3)])
def test_the_gradient_of_the_quadratic_loss_is_that_of_finite_differences(classes: int, outputs: int) -> None:
    rng = np.random.default_rng(0)
    inputs, target = rng.normal(size=(9, 4)), np.eye(classes)[np.arange(9) % classes]
    flat = rng.normal(size=2 * 4 + outputs * (2 + 1))
    _, gradient = quadratic_loss(flat, inputs, target, 2, 0.1)
    numeric = approx_fprime(flat, lambda v: quadratic_loss(v, inputs, target, 2, 0.1)[0], 1e-7)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-6)


def test_the_quadratic_score_is_a_quadratic_form_of_its_rank() -> None:
    x, y = products(100, 6, 3)
    model = FAMILIES["matched quadratic"].fit(x, y, {"rank": 3, "alpha": 1e-2, "share": 1.0}, 100, 0).model
    matrix = model.forms.T @ np.diag(model.weights[0]) @ model.forms
    assert np.linalg.matrix_rank(matrix) == 3
    z = np.hstack([model.projection.transform(x) / model.width, np.ones((100, 1))])
    np.testing.assert_allclose(model.logits(x)[:, 1], np.einsum("ri,ij,rj->r", z, matrix, z) + model.bias[0])
    np.testing.assert_array_equal(model.logits(x)[:, 0], 0)


def test_a_feature_that_never_varies_is_not_selected() -> None:
    x, y = clouds(2)
    x = np.hstack([np.ones((len(x), 3), np.float32), x])
    model = FAMILIES["matched feature selection"].fit(x, y, {"C": 1.0, "features": 8}, 100, 0).model
    np.testing.assert_array_equal(np.flatnonzero(model[0].get_support()), np.arange(3, 11))
