"""Flags that are read off records."""

import dataclasses
import inspect
import re
from typing import Annotated, Any, get_args

import pytest
import typer
from helpers.commands import Run

from hilbertune.cli.flags import with_records
from hilbertune.config.records import PRESETS, HeadConfig, InputConfig, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError


@pytest.mark.parametrize(
    ("verb", "records"),
    [("fit", (InputConfig, HeadConfig, TrainingConfig, TuningConfig)), ("circuit", (HeadConfig,))],
)
def test_every_hyperparameter_has_a_flag_that_names_its_letter(run: Run, verb: str, records: tuple[Any, ...]) -> None:
    parts = re.split(r"\n  (?=-)", run(verb, "--help")[1].split("Examples:")[0])
    entries = {entry.split()[0].rstrip(","): " ".join(entry.split()) for entry in parts if entry.startswith("-")}
    for record in records:
        for field in dataclasses.fields(record):
            entry = entries["--" + field.name.replace("_", "-")]
            if field.metadata["letter"]:
                assert f"Letter {field.metadata['letter']}." in entry
            assert entry.count("efault: ") == 1


@dataclasses.dataclass(frozen=True)
class Place:
    """A record with a flag that must be given and one that need not."""

    street: Annotated[str, typer.Option(help="Name of the street.")]
    number: Annotated[int, typer.Option(help="Number of the house.")] = 1


@dataclasses.dataclass(frozen=True)
class OtherPlace(Place):
    """The same flags with another default."""

    number: int = 2


received: dict[str, Any] = {}


def place_command(first: int, place: Place, last: bool = False) -> None:
    received.update(first=first, place=place, last=last)


def other_place_command(place: OtherPlace) -> None:
    received.update(place=place)


def shape_command(shape: HeadConfig, inputs: InputConfig) -> None:
    received.update(shape=shape, inputs=inputs)


def preset_command(preset: str | None, shape: HeadConfig) -> None:
    received.update(preset=preset, shape=shape)


def test_a_record_stands_for_its_fields_at_its_place() -> None:
    flags = inspect.signature(with_records(place_command)).parameters
    assert list(flags) == ["first", "street", "number", "last"]
    assert flags["street"].default is inspect.Parameter.empty
    assert flags["number"].default == 1
    assert get_args(flags["street"].annotation)[1].help == "Name of the street."
    other = inspect.signature(with_records(other_place_command)).parameters
    assert other["number"].default == 2


def test_a_command_receives_its_records_whole() -> None:
    with_records(place_command)(first=3, street="High", number=7, last=True)
    assert received["place"] == Place("High", 7)
    assert (received["first"], received["last"]) == (3, True)


def no_flags(*records: type[Any]) -> dict[str, None]:
    """Give every hyperparameter the value of a flag that was not given."""
    return {field.name: None for record in records for field in dataclasses.fields(record)}


def test_hyperparameters_that_are_not_given_keep_their_defaults() -> None:
    with_records(shape_command)(**{**no_flags(HeadConfig, InputConfig), "preset": None, "qubits": 5, "validation": 0.0})
    assert received["shape"] == HeadConfig(qubits=5)
    assert received["inputs"] == InputConfig(validation=0.0)


def test_a_preset_is_a_start_that_flags_change_and_only_some_commands_see() -> None:
    given = {**no_flags(HeadConfig), "preset": "published-374", "layers": 1}
    with_records(shape_command)(**given, **no_flags(InputConfig))
    assert received["shape"] == dataclasses.replace(PRESETS["published-374"], layers=1)
    assert "preset" in inspect.signature(with_records(shape_command)).parameters
    with_records(preset_command)(**given)
    assert received["preset"] == "published-374"
    with pytest.raises(HilbertuneError, match="There is no preset 'none'"):
        with_records(preset_command)(**{**given, "preset": "none"})
