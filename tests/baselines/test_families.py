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


def test_bagged_logistic_regression_is_scikit_learns_with_eight_members() -> None:
    from sklearn.ensemble import BaggingClassifier
    from sklearn.linear_model import LogisticRegression

    x, y = clouds(3)
    x = x + np.random.default_rng(1).normal(0, 8, x.shape)
    fitted = FAMILIES["bagged logistic regression"].fit(x, y, {"C": 0.3}, 0, 5)
    regression = LogisticRegression(C=0.3, max_iter=2000)
    expected = BaggingClassifier(regression, n_estimators=8, random_state=5).fit(x, y)
    np.testing.assert_array_equal(fitted.model.predict_proba(x), expected.predict_proba(x))
    assert fitted.parameters == 8 * 3 * (8 + 1)
    members = [member.coef_ for member in fitted.model.estimators_]
    assert len({coefficients.tobytes() for coefficients in members}) == 8


def test_one_row_a_class_is_enough_for_bagging() -> None:
    x, y = clouds(2, rows=2)
    for seed in range(8):
        assert set(FAMILIES["bagged logistic regression"].fit(x, y, {"C": 100.0}, 0, seed).model.classes_) == {0, 1}


def test_noisy_logistic_regression_without_noise_is_the_plain_one() -> None:
    x, y = clouds(3)
    x = x + np.random.default_rng(1).normal(0, 8, x.shape)
    plain = FAMILIES["logistic regression"].fit(x, y, {"C": 0.3}, 0, 0)
    noisy = FAMILIES["noisy logistic regression"].fit(x, y, {"C": 0.3, "noise": 0.0}, 0, 0)
    np.testing.assert_allclose(noisy.model.predict_proba(x), plain.model.predict_proba(x), atol=1e-3)
    assert noisy.parameters == plain.parameters == 3 * (8 + 1)


def test_noise_is_a_share_of_each_columns_deviation(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    seen: list[tuple[np.ndarray, np.ndarray]] = []
    fit = LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", lambda self, x, y: (seen.append((x, y)), fit(self, x, y))[1])
    x, y = clouds(2, rows=400)
    x = x * np.geomspace(0.1, 10, 8, dtype=np.float32)
    for seed in (0, 0, 1):
        FAMILIES["noisy logistic regression"].fit(x, y, {"C": 1.0, "noise": 0.5}, 0, seed)
    rows, labels = seen[0]
    assert rows.shape == (8 * 400, 8)
    np.testing.assert_array_equal(labels.reshape(400, 8), np.tile(y[:, None], 8))
    noise = (rows.reshape(400, 8, 8) - x[:, None]).reshape(-1, 8)
    np.testing.assert_allclose(noise.std(0) / x.std(0), 0.5, rtol=0.05)
    np.testing.assert_array_equal(seen[1][0], rows)
    assert not np.array_equal(seen[2][0], rows)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_standardises_columns_if_a_trial_says_so(name: str) -> None:
    x, y = clouds(2)
    # Shifted and stretched columns, which standardising undoes.
    stretched = (100 + x * np.geomspace(1e-2, 1e3, 8)).astype(np.float64)
    (plain,) = FAMILIES[name].trials(1, 60, 8, 2, len(x))
    (trial,) = FAMILIES[name].trials(1, 60, 8, 2, len(x), standardise=True)
    assert trial == {**plain, "standardise": True}
    fitted = FAMILIES[name].fit(stretched, y, trial, 60, 0)
    assert fitted.parameters == held(fitted.model)
    assert (fitted.model.predict(stretched) == y).mean() > 0.9
    np.testing.assert_allclose(fitted.model.scaler.mean_, stretched.mean(0))


def test_standardised_logistic_regression_is_scikit_learns_pipeline() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = clouds(3)
    x = (x + np.random.default_rng(1).normal(0, 8, x.shape)) * np.geomspace(1e-2, 1e3, 8)
    fitted = FAMILIES["logistic regression"].fit(x, y, {"C": 0.3, "standardise": True}, 0, 0)
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000)).fit(x, y)
    np.testing.assert_array_equal(fitted.model.predict(x), expected.predict(x))
    np.testing.assert_array_equal(fitted.model.model.coef_, expected[-1].coef_)
    assert fitted.parameters == 3 * (8 + 1)
