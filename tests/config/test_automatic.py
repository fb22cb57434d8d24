"""The rule for what is left to the data: each branch, what was given wins, impossible values are refused at once."""

import dataclasses
from typing import Any

import pytest

from hilbertune.config import automatic
from hilbertune.config.automatic import AUTOMATIC, DECLARED, LEFT_TO_THE_DATA, Automatic, Traits
from hilbertune.config.records import PRESETS, HeadConfig, TrainingConfig
from hilbertune.errors import HilbertuneError

TEXT = Traits(features=384)
TABLE = Traits(features=30, lengths_differ=True, units_differ=True)
PIXELS = Traits(features=64, classes=10, lengths_differ=True)


def chosen(traits: Traits = TEXT, **given: Any) -> dict[str, Any]:
    """Return all settings as they are used."""
    head, training = Automatic({**LEFT_TO_THE_DATA, **given}).resolved(traits)
    return {**head.to_dict(), **training.to_dict()}


def test_every_setting_that_may_be_left_to_the_data_has_a_rule_and_a_place_in_a_record() -> None:
    assert set(automatic.RULES) == set(AUTOMATIC)
    assert set(DECLARED) == set(HeadConfig().to_dict()) | set(TrainingConfig().to_dict())


@pytest.mark.parametrize(
    ("traits", "wanted"),
    [
        (
            TEXT,
            {
                "qubits": 8,
                "encoder_layers": 8,
                "basis": "pca",
                "constant_share": 0.95,
                "scale": "none",
                "norm": "drop",
                "training_shots": 64,
            },
        ),
        (
            TABLE,
            {
                "qubits": 6,
                "encoder_layers": 8,
                "basis": "pca",
                "constant_share": 0.7,
                "scale": "standardise",
                "norm": "keep",
                "training_shots": 64,
            },
        ),
        (
            PIXELS,
            {
                "qubits": 8,
                "encoder_layers": 24,
                "constant_share": 0.7,
                "scale": "none",
                "norm": "keep",
                "training_shots": 1024,
            },
        ),
        (Traits(features=768, classes=6), {"qubits": 8, "encoder_layers": 24, "constant_share": 0.9}),
        (Traits("regression", 384, 0), {"encoder_layers": 8, "constant_share": 0.9, "training_shots": 1024}),
    ],
)
def test_the_rule_by_the_data(traits: Traits, wanted: dict[str, Any]) -> None:
    found = chosen(traits)
    always = {
        "reuploads": 1,
        "learning_rate": 0.02,
        "schedule": "one-cycle",
        "keep": "last",
        "standardise": True,
        "epochs": 60,
    }
    assert {name: found[name] for name in (*wanted, *always)} == {**wanted, **always}


@pytest.mark.parametrize(
    ("features", "lengths_differ", "qubits"),
    [(1, True, 4), (13, True, 4), (14, True, 5), (14, False, 4), (15, False, 5), (126, False, 7), (254, False, 8)],
)
def test_qubits_are_the_fewest_that_hold_a_row(features: int, lengths_differ: bool, qubits: int) -> None:
    assert chosen(Traits(features=features, lengths_differ=lengths_differ))["qubits"] == qubits


@pytest.mark.parametrize(
    ("traits", "given", "qubits"),
    [
        (Traits(features=2, classes=7), {}, 7),
        (Traits(features=2, classes=20), {}, 8),
        (Traits(features=2, classes=9), {"final_linear": False}, 9),
        (Traits(features=2), {"measured_qubits": 6}, 6),
        (Traits(features=2), {"connectivity": 5}, 6),
        (Traits(features=2), {"encoder_connectivity": 5}, 6),
        (Traits(features=2), {"encoder_connectivity": 3, "encoders": 2}, 8),
        (Traits(features=40), {"encoders": 4}, 8),
        (Traits(features=40), {"encoders": 3}, 6),
        (Traits(features=40), {"encoders": 3, "merge": "average"}, 6),
        (TEXT, {"basis": "raw"}, 9),
        (Traits(features=5000), {"basis": "raw", "projection": "truncate"}, 8),
        (Traits(features=6), {"encoder": "pca"}, 4),
        (Traits(features=3), {"encoder": "pca"}, 3),
        (Traits(features=5), {"encoder": "pca", "encoders": 2, "merge": "average"}, 2),
        (Traits(features=5), {"encoder": "pca", "encoders": 2}, 4),
        (Traits(features=384), {"encoder": "linear"}, 8),
    ],
)
def test_qubits_suit_what_was_asked_for(traits: Traits, given: dict[str, Any], qubits: int) -> None:
    found = chosen(traits, **given)
    assert found["qubits"] == qubits
    head = HeadConfig.from_dict({k: v for k, v in found.items() if k in HeadConfig().to_dict()})
    head.check_fit(traits.features, traits.classes)


def test_an_explicit_raw_basis_is_held_whole_up_to_ten_qubits_and_refused_beyond() -> None:
    assert chosen(Traits(features=768), basis="raw")["qubits"] == 10
    head, _ = Automatic({**LEFT_TO_THE_DATA, "basis": "raw"}).resolved(Traits(features=1024))
    with pytest.raises(HilbertuneError, match="1024 numbers does not fit the 1023 amplitudes of 10 qubits"):
        head.check_fit(1024, 2)


def test_the_length_of_a_row_is_dropped_where_a_row_that_is_held_whole_leaves_no_room() -> None:
    full = Traits(features=7, lengths_differ=True)
    assert chosen(full, qubits=3, basis="raw")["norm"] == "drop"
    assert chosen(dataclasses.replace(full, features=6), qubits=3, basis="raw")["norm"] == "keep"
    assert chosen(full, qubits=3)["norm"] == "keep"
    assert chosen(full, qubits=3, basis="raw", padding="zero")["norm"] == "keep"
    assert chosen(full, qubits=6, encoders=2, basis="raw")["norm"] == "drop"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"projection": "random"}, {"basis": "raw", "scale": "none", "norm": "keep"}),
        ({"projection": "trainable"}, {"basis": "raw", "scale": "none"}),
        ({"projection": "truncate"}, {"basis": "raw", "scale": "standardise"}),
        ({"projection": "random", "basis": "pca"}, {"basis": "pca", "scale": "standardise"}),
        ({"encoder": "linear"}, {"scale": "none", "norm": "drop"}),
        ({"encoder": "pca"}, {"scale": "none", "norm": "drop"}),
        ({"merge": "alternate", "encoders": 3}, {"reuploads": 3}),
        ({"learning_rate_decay": 0.9}, {"schedule": "decay", "learning_rate": 0.005, "keep": "best"}),
        ({"patience": 5}, {"schedule": "decay", "learning_rate": 0.005, "keep": "best", "standardise": True}),
        ({"patience": 5, "schedule": "one-cycle"}, {"learning_rate": 0.02, "keep": "best"}),
        ({"schedule": "decay"}, {"learning_rate": 0.005, "keep": "best", "training_shots": 64, "exact_start": 0.15}),
        ({"training_shots": 16}, {"exact_start": 0.15}),
        ({"training_shots": None}, {"exact_start": 0.0}),
        ({"schedule": "decay", "keep": "last"}, {"learning_rate": 0.005, "keep": "last"}),
        ({"learning_rate": 0.3}, {"learning_rate": 0.3, "schedule": "one-cycle", "keep": "last"}),
        ({"head": "none"}, {"standardise": False, "training_shots": None}),
        ({"head": "dense"}, {"standardise": True, "training_shots": None}),
        ({"final_linear": False}, {"standardise": False}),
        ({"shots": 100}, {"training_shots": None, "exact_start": 0.0}),
        ({"gradient": "spsa"}, {"training_shots": None}),
        ({"one_qubit_error": 0.1}, {"training_shots": None}),
        ({"two_qubit_error": 0.1}, {"training_shots": None}),
        ({"readout_error": 0.1}, {"training_shots": None}),
        (
            {"frozen": True},
            {
                "schedule": "decay",
                "learning_rate": 0.005,
                "keep": "best",
                "standardise": False,
                "training_shots": None,
            },
        ),
    ],
)
def test_what_is_chosen_goes_with_what_was_given(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = chosen(TABLE, **given)
    assert {name: found[name] for name in (*wanted, *given)} == {**given, **wanted}


@pytest.mark.parametrize("traits", [TEXT, TABLE, PIXELS])
def test_values_that_were_given_win(traits: Traits) -> None:
    given = {
        "qubits": 10,
        "encoder_layers": 2,
        "reuploads": 3,
        "constant_share": 0.5,
        "basis": "raw",
        "scale": "standardise",
        "norm": "drop",
        "learning_rate": 0.1,
        "schedule": "decay",
        "keep": "last",
        "standardise": False,
        "training_shots": None,
        "exact_start": 0.3,
    }
    assert set(given) == set(AUTOMATIC)
    found = chosen(traits, **given)
    assert {name: found[name] for name in given} == given
    for name, value in given.items():
        assert chosen(traits, **{name: value})[name] == value


def test_what_is_left_out_has_its_declared_default() -> None:
    assert Automatic({}).resolved(TABLE) == (HeadConfig(), TrainingConfig())
    # 384 numbers in the declared basis, which is raw.
    assert Automatic({"qubits": "auto"}).resolved(TEXT)[0] == HeadConfig(qubits=9)
    assert Automatic({"qubits": "auto", "layers": 1}).names == ["qubits"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"qubits": 0}, "qubits must be at least 1, not 0"),
        ({"qubits": "many"}, "qubits must be int, not 'many'"),
        ({"layers": "auto"}, "layers must be int, not 'auto'"),
        ({"padding": "auto"}, "padding must be one of"),
        ({"scale": "yes"}, "scale must be one of"),
        ({"learning_rate": -1.0}, "learning_rate must be above 0"),
        ({"standardise": True, "head": "none"}, "standardise needs a head"),
        ({"keep": "last", "patience": 3}, "With keep='last' validation chooses no epoch"),
        ({"measured_qubits": 40}, "allow_large"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_impossible_values_are_refused_before_there_are_data(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HilbertuneError, match=sentence):
        Automatic({**LEFT_TO_THE_DATA, **given})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_leaves_nothing_to_the_data(name: str) -> None:
    settings = Automatic(automatic.of_preset(name))
    assert settings.names == []
    assert settings.resolved(TABLE) == (PRESETS[name], TrainingConfig())


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(HilbertuneError, match="There is no preset 'small': choose one of published-886, "):
        automatic.of_preset("small")
