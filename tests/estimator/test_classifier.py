"""The scikit-learn face: its contract, every kind of label, and a model directory that is safe to load."""

import dataclasses
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.declared import declared
from helpers.weights import inexact
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from hilbertune.config.records import EMBEDDED_MODEL, PRESETS, HeadConfig, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError
from hilbertune.estimator import devices as module
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.directory import load_pretrained
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.model.layers import HybridHead

SMALL: dict[str, Any] = {
    **declared(qubits=4, encoder_layers=2, reuploads=1, learning_rate=0.2),
    "encoder_connectivity": 2,
    "layers": 1,
    "epochs": 12,
    "batch_size": 64,
}
TEXTS = ["a fine film", "a dull film", "simply superb", "a waste of time", "moving", "awful"]


def blobs(classes: int = 2, rows: int = 60, features: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Rows around one point a class, far apart."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % classes
    return (4 * rng.normal(size=(classes, features))[y] + rng.normal(size=(rows, features))), y


def fitted(**changes: Any) -> HybridClassifier:
    X, y = blobs()
    return HybridClassifier(**{**SMALL, "epochs": 2, **changes}).fit(X, y)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model directory; tests that change it copy it first."""
    return fitted().save_pretrained(tmp_path_factory.mktemp("models") / "model")


def copied(saved: Path, to: Path) -> Path:
    to.mkdir(parents=True)
    for file in saved.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


# scikit-learn


@parametrize_with_checks([HybridClassifier(**SMALL), HybridRegressor(**SMALL)], expected_failed_checks=inexact)
def test_scikit_learns_contract_is_kept(estimator: Any, check: Any, unchecked: None) -> None:
    check(estimator)


def test_the_parameters_are_the_hyperparameters_with_their_defaults() -> None:
    parameters = inspect.signature(HybridClassifier).parameters
    fields = {
        field.name: "auto" if field.metadata["auto"] else field.default
        for record in (HeadConfig, TrainingConfig, TuningConfig)
        for field in dataclasses.fields(record)
    }
    own = {
        "validation": 0.15,
        "embedding": EMBEDDED_MODEL,
        "pooling": None,
        "pairs": None,
        "engine": "auto",
        "device": "cpu",
        "random_state": 0,
        "verbose": 0,
        "callbacks": None,
    }
    assert {name: p.default for name, p in parameters.items()} == {**fields, **own}
    assert HybridClassifier().get_params() == {**fields, **own}


def test_a_grid_of_numpy_scalars_is_searched() -> None:
    X, y = blobs()
    grid = {
        "reuploads": np.arange(1, 3),
        "angle_scale": np.array([1.0, np.pi]),
        "column": np.array([True]),
    }
    search = GridSearchCV(HybridClassifier(**{**SMALL, "epochs": 2}), grid, cv=2).fit(X, y)
    assert set(search.best_params_) == set(grid)
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()


def test_it_works_in_a_pipeline_and_in_cross_validation() -> None:
    X, y = blobs()
    pipeline = make_pipeline(StandardScaler(), HybridClassifier(**SMALL))
    scores = cross_val_score(pipeline, X, y, cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > 0.8


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
def test_a_sparse_matrix_is_as_good_as_its_dense_twin(kind: str) -> None:
    from scipy import sparse

    X, y = blobs()
    X[np.abs(X) < 1] = 0
    whole = HybridClassifier(**SMALL).fit(X, y)
    made = HybridClassifier(**SMALL).fit(sparse.coo_matrix(X).asformat(kind), y)
    np.testing.assert_array_equal(made.predict_proba(sparse.coo_matrix(X).asformat(kind)), whole.predict_proba(X))


def test_a_clone_has_the_parameters_and_is_not_fitted() -> None:
    made = fitted(shots=64)
    other = clone(made)
    assert other.get_params() == made.get_params()
    assert not hasattr(other, "head_")


@pytest.mark.parametrize("how", ["pickle", "joblib"])
def test_a_pickled_estimator_predicts_the_same(how: str, tmp_path: Path) -> None:
    X, _ = blobs()
    made = fitted()
    if how == "pickle":
        again = pickle.loads(pickle.dumps(made))
    else:
        joblib.dump(made, tmp_path / "model.joblib")
        again = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(made.predict_proba(X), again.predict_proba(X))


@pytest.mark.parametrize(
    "names",
    [["bad", "good"], [0, 1], [-3, 7], [False, True], [0.0, 2.0], ["a", "b", "c"], [2, 5, 9]],
    ids=str,
)
def test_every_kind_of_label_comes_back(names: list[Any], tmp_path: Path) -> None:
    X, y = blobs(len(names))
    labels = np.array(names)[y]
    made = HybridClassifier(**SMALL).fit(X, labels)
    assert made.classes_.tolist() == names
    predicted = made.predict(X)
    assert predicted.dtype == labels.dtype
    assert (predicted == labels).mean() > 0.8
    probabilities = made.predict_proba(X)
    assert probabilities.shape == (60, len(names))
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
    np.testing.assert_array_equal(made.classes_[probabilities.argmax(1)], predicted)
    decisions = made.decision_function(X)
    assert decisions.shape == ((60,) if len(names) == 2 else (60, len(names)))
    again = HybridClassifier.from_pretrained(made.save_pretrained(tmp_path / "model"))
    assert again.classes_.tolist() == names
    assert [type(c) for c in again.classes_.tolist()] == [type(c) for c in names]
    np.testing.assert_array_equal(again.predict(X), predicted)


def test_a_random_state_fixes_the_weights_and_another_changes_them() -> None:
    weights = [fitted(random_state=s).head_.head.weights for s in (0, 0, np.int64(0), 1)]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    drawn = [fitted(random_state=np.random.RandomState(5)).head_.head.weights for _ in range(2)]
    assert torch.equal(*drawn)


def test_predictions_with_shots_repeat_and_are_multiples_of_a_shot() -> None:
    X, _ = blobs()
    made = fitted(shots=16, final_linear=False)
    values = made.decision_function(X) / 2  # <Z> - (-<Z>)
    np.testing.assert_array_equal(values, made.decision_function(X) / 2)
    np.testing.assert_allclose(values * 8, np.round(values * 8), atol=1e-5)


def test_without_validation_every_row_trains_and_the_accuracy_is_nan() -> None:
    made = fitted(validation=0.0)
    assert np.isnan(made.validation_accuracy_)
    assert made.training_.best_epoch.tolist() == [1]
    assert 0 <= fitted().validation_accuracy_ <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_an_estimator(name: str) -> None:
    made = HybridClassifier(**PRESETS[name].to_dict())
    hybrid = HybridHead(768, 2, made._settings().head)
    assert hybrid.parameter_count == int(name.split("-")[1])


# Tasks


def test_a_weight_for_each_label_pulls_towards_the_heavy_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 6)), np.array(["no", "yes"])[np.arange(80) % 2]
    shares = {}
    for heavy in ("no", "yes"):
        made = HybridClassifier(**SMALL, class_weight={heavy: 1000}).fit(X, y)
        shares[heavy] = (made.predict(X) == heavy).mean()
        again = HybridClassifier.from_pretrained(made.save_pretrained(tmp_path / heavy))
        assert again.class_weight == ((1000.0, 1.0) if heavy == "no" else (1.0, 1000.0))
    assert min(shares.values()) > 0.95
    with pytest.raises(HilbertuneError, match="names 'perhaps', which is not a label"):
        HybridClassifier(**SMALL, class_weight={"perhaps": 2}).fit(X, y)
    with pytest.raises(HilbertuneError, match="3 weights for 2 classes"):
        HybridClassifier(**SMALL, class_weight=(1.0, 2.0, 3.0)).fit(X, y)
    with pytest.raises(HilbertuneError, match="numbers of at least 0"):
        HybridClassifier(**SMALL, class_weight=(1.0, -2.0)).fit(X, y)


def test_a_scale_is_learned_and_its_steps_come_back(tmp_path: Path) -> None:
    X, _ = blobs()
    y = np.digitize(X[:, 0], np.quantile(X[:, 0], [0.33, 0.66])) * 5
    made = HybridClassifier(**{**SMALL, "epochs": 40}, task="ordinal").fit(X, y)
    assert (made.predict(X) == y).mean() > 0.5
    assert set(made.predict(X)) <= {0, 5, 10}
    assert made.decision_function(X).shape == (60, 3)
    np.testing.assert_allclose(made.predict_proba(X).sum(1), 1)
    again = load_pretrained(made.save_pretrained(tmp_path / "model"))
    assert isinstance(again, HybridClassifier)
    assert again.task == "ordinal"
    np.testing.assert_array_equal(again.predict(X), made.predict(X))


@pytest.mark.parametrize("names", [True, False])
def test_any_number_of_labels_a_row(names: bool, tmp_path: Path) -> None:
    X, _ = blobs()
    table = np.stack([X[:, 0] > X[:, 0].mean(), X[:, 1] > X[:, 1].mean()], 1).astype(int)
    y: Any = [[["a", "b"][i] for i in np.flatnonzero(row)] for row in table] if names else table
    made = HybridClassifier(**{**SMALL, "epochs": 40}, task="multi-label").fit(X, y)
    assert made.classes_.tolist() == (["a", "b"] if names else [0, 1])
    assert (made.predict(X) == table).mean() > 0.7
    probabilities = made.predict_proba(X)
    assert probabilities.shape == (60, 2)
    assert not np.allclose(probabilities.sum(1), 1)
    again = load_pretrained(made.save_pretrained(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(X), made.predict(X))
    with pytest.raises(HilbertuneError, match="an array of 0 and 1"):
        HybridClassifier(**SMALL, task="multi-label").fit(X, np.arange(60))


def test_numbers_are_predicted_in_their_own_units(tmp_path: Path) -> None:
    X, _ = blobs()
    y = 1000 + 50 * np.tanh(X[:, 0] / 4)
    made = HybridRegressor(**{**SMALL, "epochs": 60, "learning_rate": 0.05}).fit(X, y)
    assert made.score(X, y) > 0.5
    assert made.task_ == "regression"
    again = load_pretrained(made.save_pretrained(tmp_path / "model"))
    assert isinstance(again, HybridRegressor)
    np.testing.assert_array_equal(again.predict(X), made.predict(X))
    with pytest.raises(HilbertuneError, match="holds a HybridRegressor"):
        HybridClassifier.from_pretrained(tmp_path / "model")
    with pytest.raises(HilbertuneError, match="nothing to learn"):
        HybridRegressor(**SMALL).fit(X, np.ones(60))
    with pytest.raises(HilbertuneError, match="final linear layer"):
        HybridRegressor(**SMALL, final_linear=False).fit(X, y)


def test_a_regressors_parameters_are_the_classifiers_less_two() -> None:
    both = [set(kind().get_params()) for kind in (HybridClassifier, HybridRegressor)]
    assert both[0] - both[1] == {"task", "class_weight"}
    assert both[1] < both[0]
    assert clone(HybridRegressor(qubits=3)).qubits == 3
    with pytest.raises(TypeError, match="'quibts'"):
        HybridRegressor(quibts=3)


@pytest.mark.parametrize("classes", [2, 4])
def test_eight_examples_a_class_are_enough_to_fit(classes: int) -> None:
    X, y = blobs(classes, rows=8 * classes)
    made = HybridClassifier(**{**SMALL, "epochs": 40}).fit(X, y)
    assert (made.predict(X) == y).mean() > 0.8


# Bad data


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((4, 3)), [1, 1, 1, 1], "only one class"),
        ([[np.nan, 1.0], [1.0, 2.0]], [0, 1], "NaN"),
        ([[np.inf, 1.0], [1.0, 2.0]], [0, 1], "infinity"),
        (np.ones(4), [0, 1, 0, 1], "2D array"),
        (np.ones((4, 3)), [0, 1], "inconsistent numbers of samples"),
        (np.ones((2, 3)), [0, 1], "leave none for validation"),
        (["one", "two", "three"], [0, 1], "There are 3 texts and 2 labels"),
        ("one text", [0], "single string"),
    ],
    ids=str,
)
def test_unusable_data_are_refused_in_one_line(X: Any, y: Any, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message) as caught:
        HybridClassifier(**SMALL).fit(X, y)
    assert "\n" not in str(caught.value)


def test_rows_of_zeros_are_refused_with_zero_padding() -> None:
    X, y = blobs()
    made = fitted(padding="zero")
    X[7] = 0
    with pytest.raises(HilbertuneError, match=r"Row 8 .* nothing but zeros"):
        HybridClassifier(**SMALL, padding="zero").fit(X, y)
    with pytest.raises(HilbertuneError, match=r"Row 8 .* nothing but zeros"):
        made.set_params(padding="constant").predict(X)
    assert fitted().predict(X).shape == (60,)


def test_another_width_is_refused_at_predict() -> None:
    with pytest.raises(HilbertuneError, match="X has 5 features"):
        fitted().predict(np.ones((2, 5)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"connectivity": 4}, "connectivity must lie between 1 and qubits - 1 = 3"),
        ({"shots": 0}, "shots must be at least 1"),
        ({"qubits": 27}, "allow_large"),
        ({"qubits": 2, "encoder_connectivity": 1}, "does not fit the 3 amplitudes of 2 qubits"),
        ({"validation": 1.0}, "validation must be a share"),
        ({"learning_rate": "fast"}, "learning_rate must be float"),
        ({"device": "abacus"}, "device 'abacus' cannot be used"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("unchecked")
def test_impossible_parameters_are_refused_when_fitting(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        fitted(**changes)


def test_a_device_that_torch_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    monkeypatch.setattr(torch, "empty", fail)
    with pytest.raises(HilbertuneError, match=r"'cuda' cannot be used .Torch not compiled with"):
        module.check_device("cuda")


# Texts


@pytest.fixture(scope="module")
def of_texts() -> HybridClassifier:
    return HybridClassifier(**{**SMALL, "qubits": 9, "epochs": 1}).fit(TEXTS, [1, 0, 1, 0, 1, 0])


def test_texts_are_embedded_with_the_embedded_model(of_texts: HybridClassifier) -> None:
    assert of_texts.n_features_in_ == 384
    assert of_texts.embedding_ is not None
    assert of_texts.embedding_["model"] == EMBEDDED_MODEL
    assert len(of_texts.embedding_["fingerprint"]) == 64
    probabilities = of_texts.predict_proba(TEXTS)
    np.testing.assert_array_equal(probabilities, of_texts.predict_proba(np.array(TEXTS)))
    vectors = of_texts.embed(TEXTS)
    np.testing.assert_allclose(of_texts.predict_proba(vectors), probabilities, atol=1e-6)


def test_a_series_of_texts_is_a_list_of_texts(of_texts: HybridClassifier) -> None:
    pandas = pytest.importorskip("pandas")
    np.testing.assert_array_equal(of_texts.predict(pandas.Series(TEXTS)), of_texts.predict(TEXTS))


@pytest.mark.parametrize("hole", [None, float("nan"), " ", 3])
@pytest.mark.usefixtures("unchecked")
def test_a_hole_among_texts_is_named_by_its_row(of_texts: HybridClassifier, hole: Any) -> None:
    with pytest.raises(HilbertuneError, match="Row 2 of the texts"):
        of_texts.predict(["fine", hole, "dull"])


def test_a_saved_model_of_texts_predicts_texts(of_texts: HybridClassifier, tmp_path: Path) -> None:
    again = HybridClassifier.from_pretrained(of_texts.save_pretrained(tmp_path / "model"))
    assert again.get_params()["embedding"] == EMBEDDED_MODEL
    np.testing.assert_allclose(again.predict_proba(TEXTS), of_texts.predict_proba(TEXTS), atol=1e-6)
    assert '["a text"]' in (tmp_path / "model/README.md").read_text()


def test_another_version_of_the_embedding_model_is_refused(of_texts: HybridClassifier) -> None:
    other = clone(of_texts)
    other.__dict__.update(of_texts.__dict__)
    other.embedding_ = {"model": EMBEDDED_MODEL, "fingerprint": "0" * 64}
    with pytest.raises(HilbertuneError, match="is not the version this model was trained with"):
        other.predict(TEXTS)


def test_texts_are_refused_by_a_model_of_embeddings() -> None:
    with pytest.raises(HilbertuneError, match="trained on embeddings, not on texts"):
        fitted().predict(TEXTS)


# Model directories


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"basis": "pca"},
        {"qubits": 2, "encoder_connectivity": 1, "projection": "trainable"},
        {"qubits": 2, "encoder_connectivity": 1, "projection": "random"},
        {"encoders": 2, "merge": "average"},
        {"final_linear": False},
        {"shots": 100},
        {"measured_qubits": 3, "encoder_layers": 0, "gradient": "spsa"},
    ],
    ids=str,
)
def test_a_loaded_model_gives_the_same_bits(changes: dict[str, Any], tmp_path: Path) -> None:
    X, _ = blobs()
    made = fitted(**changes)
    again = HybridClassifier.from_pretrained(made.save_pretrained(tmp_path / "model"))
    np.testing.assert_array_equal(made.predict_proba(X), again.predict_proba(X))
    for record in (HeadConfig, TrainingConfig, TuningConfig):
        for field in dataclasses.fields(record):
            assert getattr(again, field.name) == getattr(made, field.name), field.name
    assert again.n_features_in_ == 6
    assert again.head_.head.weights.dtype == torch.float32


def test_a_model_in_double_precision_keeps_it(tmp_path: Path) -> None:
    X, _ = blobs()
    made = fitted()
    made.head_.double()
    again = HybridClassifier.from_pretrained(made.save_pretrained(tmp_path / "model"))
    assert again.head_.head.weights.dtype == torch.float64
    np.testing.assert_array_equal(made.predict_proba(X), again.predict_proba(X))


def test_a_loaded_model_can_be_saved_again(saved: Path, tmp_path: Path) -> None:
    again = HybridClassifier.from_pretrained(saved).save_pretrained(tmp_path / "model")
    for name in ("config.json", "model.safetensors"):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_how_a_head_was_trained_is_saved_and_loaded(tmp_path: Path) -> None:
    X, _ = blobs()
    chosen = {"standardise": True, "schedule": "one-cycle", "keep": "last", "training_shots": 40, "start": 0.5}
    made = fitted(**chosen)
    assert made.training_.best_epoch.tolist() == [made.epochs - 1]
    folder = made.save_pretrained(tmp_path / "model")
    assert json.loads((folder / "config.json").read_bytes())["training"].items() >= chosen.items()
    assert "| training_shots | 40 |" in (folder / "README.md").read_text()
    again = HybridClassifier.from_pretrained(folder)
    assert {name: getattr(again, name) for name in chosen} == chosen
    assert again.training_config_ == made.training_config_
    assert again.head_.head.shots is None
    np.testing.assert_array_equal(made.predict_proba(X), again.predict_proba(X))


def test_a_readout_without_a_linear_layer_is_not_standardised() -> None:
    with pytest.raises(HilbertuneError, match="standardise needs a head and its final linear layer"):
        fitted(standardise=True, final_linear=False)


def test_parameters_that_were_set_after_fitting_do_not_spoil_the_file(tmp_path: Path) -> None:
    X, _ = blobs()
    made = fitted().set_params(qubits=9, epochs=7)
    again = HybridClassifier.from_pretrained(made.save_pretrained(tmp_path / "model"))
    assert (again.qubits, again.epochs) == (4, 2)
    np.testing.assert_array_equal(made.predict_proba(X), again.predict_proba(X))


def test_a_model_directory_is_json_safetensors_and_a_card(saved: Path) -> None:
    assert sorted(f.name for f in saved.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    config = json.loads((saved / "config.json").read_bytes())
    assert config["format"] == 2
    assert config["tuning"]["tune"] == "frozen"
    assert config["classes"] == [0, 1]
    assert config["features"] == 6
    assert config["embedding"] is None
    tensors = safetensors.torch.load_file(saved / "model.safetensors")
    assert sum(t.numel() for t in tensors.values()) == config["parameters"]
    card = (saved / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: hilbertune\n")
    assert "- validation accuracy of this model: " in card
    assert "- validation accuracy of the plain classical head: " in card
    assert "No advantage over a classical head is claimed" in card


def test_a_card_tells_what_was_measured(tmp_path: Path) -> None:
    results = {
        "test_accuracy": {"mean": 0.875, "low": 0.85, "high": 0.9},
        "validation_accuracy": {"mean": 0.8, "low": None, "high": None},
        "saved_seed": 3,
        "training_seconds": 1.25,
    }
    folder = fitted().save_pretrained(tmp_path / "model", results=results, files={"curves.csv": b"epoch\n"})
    card = (folder / "README.md").read_text()
    assert "| test accuracy | not kept | 0.8750 | 0.8500 to 0.9000 |" in card
    assert "| validation accuracy | not kept | 0.8000 | one seed has none |" in card
    assert "- saved seed: 3" in card
    assert "- training seconds: 1.2500" in card
    assert (folder / "curves.csv").read_bytes() == b"epoch\n"
    assert json.loads((folder / "config.json").read_bytes())["results"] == results


def test_an_existing_directory_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine").write_text("mine")
    with pytest.raises(HilbertuneError, match="already exists"):
        fitted().save_pretrained(tmp_path / "model")
    assert [f.name for f in tmp_path.rglob("*")] == ["model", "mine"]


def test_weights_cut_anywhere_are_refused(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path / "model")
    whole = (saved / "model.safetensors").read_bytes()
    cuts = sorted({*range(20), *range(20, len(whole), 37), len(whole) - 1})
    for cut in cuts:
        (folder / "model.safetensors").write_bytes(whole[:cut])
        with pytest.raises(HilbertuneError, match="truncated"):
            HybridClassifier.from_pretrained(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_weights_load_or_are_refused(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = copied(saved, tmp_path_factory.mktemp("damaged") / "model")
    content = bytearray((saved / "model.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "model.safetensors").write_bytes(bytes(content))
    try:
        HybridClassifier.from_pretrained(folder)
    except HilbertuneError as error:
        assert "\n" not in str(error)  # noqa: PT017


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 600))
def test_a_cut_config_is_refused(saved: Path, tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = copied(saved, tmp_path_factory.mktemp("cut") / "model")
    (folder / "config.json").write_bytes((saved / "config.json").read_bytes()[:cut])
    with pytest.raises(HilbertuneError):
        HybridClassifier.from_pretrained(folder)


JUNK: list[Any] = [None, -1, 0, 2.5, 1e300, "", "x", [], [1], {}, {"a": 1}, True]


@pytest.mark.usefixtures("unchecked")
def test_a_config_with_a_missing_or_wrong_value_is_refused_or_loads(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path / "model")
    config = json.loads((saved / "config.json").read_bytes())
    places = [(name,) for name in config] + [(part, name) for part in ("head", "training") for name in config[part]]
    # What a reader does not need, or another value of which is as good.
    harmless = {"results", "parameters", "training", "tuning", "allow_large"}
    for place in places:
        for value in ["missing", *JUNK]:
            changed = json.loads(json.dumps(config))
            inner = changed if len(place) == 1 else changed[place[0]]
            if value == "missing":
                del inner[place[-1]]
            else:
                inner[place[-1]] = value
            (folder / "config.json").write_text(json.dumps(changed))
            try:
                HybridClassifier.from_pretrained(folder)
                loaded = True
            except HilbertuneError as error:
                loaded = False
                assert "\n" not in str(error)  # noqa: PT017
            if len(place) == 1 and not harmless & set(place):
                same = place[0] == "format" and value is True  # JSON's true is 1 in Python
                assert loaded == (same or (place[0] == "embedding" and value is None)), (
                    place,
                    value,
                )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as JSON"),
        (b"{", "cannot be read as JSON"),
        (b"\xff\xfe", "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"[]", "another program's"),
        (b'{"model_type": "bert", "architectures": ["BertModel"]}', "another program's"),
        (b'{"format": 99, "head": {}}', "has the format 99, but this version reads 1 and 2: upgrade"),
        (b'{"format": 1, "head": {}}', "no usable 'features'"),
    ],
    ids=lambda v: str(v)[:30],
)
def test_a_foreign_config_is_refused(saved: Path, tmp_path: Path, content: bytes, message: str) -> None:
    folder = copied(saved, tmp_path / "model")
    (folder / "config.json").write_bytes(content)
    with pytest.raises(HilbertuneError, match=message):
        HybridClassifier.from_pretrained(folder)


def test_missing_files_are_named(saved: Path, tmp_path: Path) -> None:
    folder = copied(saved, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    with pytest.raises(HilbertuneError, match=r"model\.safetensors is missing"):
        HybridClassifier.from_pretrained(folder)
    (folder / "config.json").unlink()
    with pytest.raises(HilbertuneError, match=r"it has no config\.json"):
        HybridClassifier.from_pretrained(folder)
    with pytest.raises(HilbertuneError, match="There is no model directory"):
        HybridClassifier.from_pretrained(tmp_path / "absent")


class _Bomb:
    """Its pickle writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "code was run"))


def test_a_pickle_in_a_model_directory_is_never_run(saved: Path, tmp_path: Path) -> None:
    folder, proof = copied(saved, tmp_path / "model"), tmp_path / "proof"
    bomb = pickle.dumps(_Bomb(proof))
    for name in ("model.pkl", "pytorch_model.bin", "model.joblib", "training.pt"):
        (folder / name).write_bytes(bomb)
    (folder / "hilbertune.py").write_text(f"open({str(proof)!r}, 'w')")
    X, _ = blobs()
    assert HybridClassifier.from_pretrained(folder).predict(X).shape == (60,)
    (folder / "model.safetensors").write_bytes(bomb)
    with pytest.raises(HilbertuneError):
        HybridClassifier.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(HilbertuneError):
        HybridClassifier.from_pretrained(folder)
    assert not proof.exists()
    pickle.loads(bomb)
    assert proof.exists(), "the bomb itself must work, or this test proves nothing"


def test_a_device_is_chosen_when_loading(saved: Path) -> None:
    assert HybridClassifier.from_pretrained(saved, device="cpu").device == "cpu"
    with pytest.raises(HilbertuneError, match="'abacus' cannot be used"):
        HybridClassifier.from_pretrained(saved, device="abacus")


def test_a_name_that_is_no_folder_is_asked_of_the_hub(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(saved)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert HybridClassifier.from_pretrained("someone/model").qubits == 4
    patterns = ["*.json", "*.safetensors", "*.md", "base/*.txt"]
    assert asked == {"name": "someone/model", "allow_patterns": patterns}

    def refuse(name: str, **_: Any) -> str:
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(HilbertuneError, match=r"neither a folder nor a model .*ConnectionError"):
        HybridClassifier.from_pretrained("someone/model")
