"""Sentences in the words of the command line."""

import dataclasses

import pytest
from helpers.commands import Run

from hilbertune.cli.wording import as_typed_flags, flags_text, naming_the_column
from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig

NAMES = [field.name for record in (HeadConfig, TrainingConfig, TuningConfig) for field in dataclasses.fields(record)]
SPELLING = {
    name: (f"--{name.replace('_', '-')}", f"--no-{name.replace('_', '-')}" if name == "final_linear" else None)
    for name in NAMES
}


@pytest.mark.parametrize(
    ("sentence", "typed"),
    [
        ("use more qubits, or basis='pca'.", "use more qubits, or --basis pca."),
        ("or merge='average' or 'alternate'.", "or --merge average or alternate."),
        (
            "projection='truncate', 'random' or 'pca', or basis='pca'.",
            "--projection truncate, random or pca, or --basis pca.",
        ),
        ("With final_linear=False it is so.", "With --no-final-linear it is so."),
        ("not measured_qubits=3: raise it", "not --measured-qubits 3: raise it"),
        ("learning_rate must be above 0, not -1.", "--learning-rate must be above 0, not -1."),
        ("qubits must be at least 1, not 0.", "--qubits must be at least 1, not 0."),
        ("leave patience out, or keep='best'.", "leave --patience out, or --keep best."),
        ("leave out learning_rate_decay.", "leave out --learning-rate-decay."),
        ("fewer than learning_rate = 0.5: ask for less", "fewer than --learning-rate 0.5: ask for less"),
    ],
)
def test_settings_are_named_by_their_flags(sentence: str, typed: str) -> None:
    assert as_typed_flags(sentence, SPELLING) == typed


@pytest.mark.parametrize(
    "sentence",
    [
        "The head has shots and a basis, and the layers of its circuit are many.",
        "There is no file learning_rate.csv: check the name.",
        "a/learning_rate is no column, nor is 'learning_rate'.",
        "https://example.org/?epochs=3",
        "--learning-rate must be above 0.",
    ],
)
def test_plain_words_and_names_of_other_things_stay(sentence: str) -> None:
    assert as_typed_flags(sentence, SPELLING) == sentence


def test_settings_become_flags_that_can_be_copied() -> None:
    settings = {"qubits": 8, "column": True, "frozen": False, "patience": None, "training_shots": None}
    assert flags_text(settings) == "--qubits 8 --column --no-frozen --training-shots none"


def test_a_missing_column_is_named_with_its_flag() -> None:
    sentence = "a.csv has no column 'lable'; it has 'my label'; did you mean 'my label'?"
    assert naming_the_column(sentence, {"text": "text", "label": "lable"}).endswith("did you mean --label 'my label'?")
    assert naming_the_column(sentence, {"label": "other"}) == sentence


def test_a_command_refuses_in_its_own_words(run: Run) -> None:
    code, out, err = run("circuit", "--part", "model", "--encoders", "2", "--merge", "alternate", "--reuploads", "1")
    assert (code, out) == (2, "")
    assert err == ("error: With --merge alternate every encoder needs a block: --reuploads must be 2 or more.\n")
