"""Numbers as the report words them."""

from typing import Any

import pytest
from helpers.study_results import effects

from hilbertune.report import words
from hilbertune.report.reading import Accuracy


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (1538.0, "1,538"),
        (1234567, "1,234,567"),
        (0.00123456, "0.00123"),
        (-2.5, "-2.5"),
        (1e20, "1e+20"),
        (True, "True"),
        ("aria-1", "aria-1"),
    ],
)
def test_a_number_is_short(value: Any, text: str) -> None:
    assert words.number_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.012, "0.012 s"),
        (9.96, "10 s"),
        (34.5, "34.5 s"),
        (119, "119.0 s"),
        (120, "2.0 min"),
        (7200, "2.0 h"),
        (172800, "2.0 days"),
    ],
)
def test_a_duration_has_the_largest_unit_of_which_there_are_two(seconds: float | None, text: str) -> None:
    assert words.seconds_text(seconds) == text


def test_shares_are_percent_and_differences_points() -> None:
    assert words.accuracy_text(Accuracy(0.8844, 0.879, 0.888)) == "88.4 % (87.9 to 88.8)"
    assert words.accuracy_text(Accuracy(0.8844, None, None)) == "88.4 %"
    assert (words.points_text(0.032), words.points_text(-0.0114)) == ("+3.20", "−1.14")
    assert (words.points_text(0.032, ""), words.points_text(None)) == ("3.20", "–")


def test_a_p_value_below_its_digits_is_said_to_be_smaller() -> None:
    assert [words.p_text(p) for p in (None, 0.0009, 0.001, 0.25)] == ["–", "< 0.001", "0.001", "0.250"]
    small, large, *_ = effects()["effects"]
    assert words.largest_effect_text([small, large]).endswith("Holm-corrected p < 0.001).")
    assert words.largest_effect_text([large]).endswith("Holm-corrected p = 0.060).")
    assert words.largest_effect_text([large | {"p_holm": None}]).endswith("Holm-corrected p unknown).")


def test_settings_are_named_and_no_settings_are_a_dash() -> None:
    assert words.settings_text({"qubits": 4, "shots": None}) == "qubits = 4, shots = None"
    assert (words.settings_text({}), words.settings_text(None), words.settings_text("default")) == ("–", "–", "default")
