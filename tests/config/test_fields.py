"""Records check types, choices and ranges against their declarations, and travel through dictionaries."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

import pytest

from hilbertune.config.fields import Checked, choices, hyperparameter, limits_text
from hilbertune.config.records import HeadConfig, InputConfig, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError

pytestmark = pytest.mark.usefixtures("unchecked")


@dataclass(frozen=True)
class Shape(Checked):
    size: int = hyperparameter(3, "Size.", letter="S", low=1, high=9)
    share: float | None = hyperparameter(None, "Share.", above=0.0, below=1.0)
    kind: Literal["round", "flat"] | tuple[float, ...] | None = hyperparameter(None, "Kind.", numbers=True)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"size": 0}, "size must be at least 1 and at most 9, not 0."),
        ({"size": 10}, "size must be at least 1 and at most 9, not 10."),
        ({"share": 0.0}, "share must be above 0 and below 1, not 0.0."),
        ({"share": 1}, "share must be above 0 and below 1, not 1."),
        ({"share": float("nan")}, "share must be above 0 and below 1, not nan."),
        ({"share": "half"}, "share must be float or None, not 'half'."),
        ({"kind": "long"}, "kind must be one of ['round', 'flat', None], not 'long'."),
        ({"kind": (0.5, -1)}, "kind must hold numbers of at least 0, not (0.5, -1)."),
        ({"kind": (0.5, float("inf"))}, "kind must hold numbers of at least 0, not (0.5, inf)."),
        ({"kind": (True,)}, "kind must hold numbers of at least 0, not (True,)."),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HilbertuneError) as error:
        Shape(**values)
    assert str(error.value) == sentence


def test_values_at_the_ends_of_a_range_are_allowed_as_declared() -> None:
    assert [Shape(size=size).size for size in (1, 9)] == [1, 9]
    assert Shape(share=1e-9, kind=(0, 2.5)) == Shape(3, 1e-9, (0, 2.5))
    assert Shape() == Shape(3, None, None)


def test_a_list_in_a_dictionary_becomes_a_tuple() -> None:
    assert Shape.from_dict({"kind": [0.5, 1]}).kind == (0.5, 1)
    with pytest.raises(HilbertuneError, match=r"Shape needs settings by name, not \['size'\]"):
        Shape.from_dict(["size"])  # type: ignore[arg-type]


def test_a_field_knows_its_declaration() -> None:
    size = dataclasses.fields(Shape)[0]
    assert (size.default, size.metadata["help"], size.metadata["letter"]) == (3, "Size.", "S")
    assert limits_text(size.metadata["limits"]) == "at least 1 and at most 9"


@pytest.mark.parametrize(
    ("hint", "allowed"),
    [
        (Literal["a", "b"], ["a", "b"]),
        (Literal["a"] | None, ["a", None]),
        (Literal["a"] | tuple[float, ...] | None, ["a", None]),
        (int | None, []),
        (float, []),
    ],
)
def test_choices_are_those_of_a_literal(hint: Any, allowed: list[Any]) -> None:
    assert choices(hint) == allowed


@pytest.mark.parametrize(
    ("name", "bad", "wanted"),
    [
        ("qubits", "10", "int"),
        ("qubits", 10.0, "int"),
        ("qubits", True, "int"),
        ("qubits", None, "int"),
        ("column", 1, "bool"),
        ("final_linear", "yes", "bool"),
        ("angle_scale", "1", "float"),
        ("angle_scale", False, "float"),
        ("encoder_connectivity", 2.0, "int or None"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, bad: Any, wanted: str) -> None:
    with pytest.raises(HilbertuneError, match=f"{name} must be {wanted}, not {bad!r}"):
        HeadConfig(**{name: bad})


def test_a_whole_number_is_a_float() -> None:
    assert HeadConfig(angle_scale=2).angle_scale == 2.0
    assert TrainingConfig(weight_decay=0, learning_rate=1).learning_rate == 1.0


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("merge", "sum"),
        ("merge", None),
        ("padding", "ones"),
        ("basis", ""),
        ("projection", "svd"),
        ("projection", ["pca"]),
        ("padding", 0),
    ],
)
def test_a_choice_that_does_not_exist_is_refused_and_the_choices_named(name: str, bad: Any) -> None:
    with pytest.raises(HilbertuneError, match=rf"{name} must be one of \['"):
        HeadConfig(**{name: bad})


def test_optional_values_may_be_none() -> None:
    assert HeadConfig(projection=None).projection is None
    training = TrainingConfig(shots=None, patience=None)
    assert (training.shots, training.patience) == (None, None)


def test_an_unknown_gradient_is_refused() -> None:
    with pytest.raises(HilbertuneError, match="'adjoint', 'parameter-shift', 'spsa'"):
        TrainingConfig(gradient="finite-differences")  # type: ignore[arg-type]


@pytest.mark.parametrize("record", [HeadConfig, TrainingConfig, TuningConfig, InputConfig, Shape])
def test_a_record_survives_json(record: type[Checked]) -> None:
    made = record()
    assert record.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert set(made.to_dict()) == {field.name for field in dataclasses.fields(record)}


def test_missing_names_take_their_defaults() -> None:
    assert HeadConfig.from_dict({}) == HeadConfig()
    assert HeadConfig.from_dict({"qubits": 6}).qubits == 6


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(HilbertuneError, match="'qbits' is not a setting of HeadConfig"):
        HeadConfig.from_dict({"qbits": 4})
    with pytest.raises(HilbertuneError, match="'qubits' is not a setting of TrainingConfig"):
        TrainingConfig.from_dict({"qubits": 4})


def test_a_dictionary_is_checked_like_arguments() -> None:
    with pytest.raises(HilbertuneError, match="qubits must be int"):
        HeadConfig.from_dict({"qubits": "four"})


def test_records_are_values() -> None:
    assert HeadConfig(qubits=6) == HeadConfig(qubits=6) != HeadConfig(qubits=7)
    assert len({HeadConfig(), HeadConfig(), TrainingConfig()}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        HeadConfig().qubits = 4  # type: ignore[misc]
    with pytest.raises(HilbertuneError):
        dataclasses.replace(HeadConfig(), qubits=0)


def test_limits_in_words() -> None:
    limits = {"low": None, "high": 1.0, "above": 0.0, "below": None}
    assert limits_text(limits) == "at most 1 and above 0"
    for record in (HeadConfig, TrainingConfig):
        assert set(get_type_hints(record)) == {f.name for f in dataclasses.fields(record)}
