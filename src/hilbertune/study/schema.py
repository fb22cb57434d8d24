"""The content of a study's YAML file: the types of all keys.

In: the table of a YAML file.
Out: nothing, every key being of the type declared here, or one sentence that names the field. Needs pydantic.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from hilbertune.errors import HilbertuneError
from hilbertune.runtime.schema import ShapeError, conform

LARGEST_STUDY = 1 << 18
"""Bytes of the largest study file; those that ship have 3,000."""

LONGEST_NAME = 200


def _name(value: Any) -> Any:
    """Check what may be written as a text or as a number, such as a name."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("should be a text")
    if len(str(value)) > LONGEST_NAME:
        raise ValueError(f"should have at most {LONGEST_NAME} characters")
    return value


Name = Annotated[Any, AfterValidator(_name)]
Settings = dict[str, Any]
"""Settings, whose values their records check."""

Share = Annotated[float, Field(ge=0, le=1)]


class DataKeys(TypedDict, total=False):
    """The data of a study."""

    file: str
    text: str
    label: str
    split: str
    embedding: str


class ArmKeys(TypedDict, total=False):
    """An entry under `arms`, its settings left out."""

    name: Name
    group: Name
    method: str
    trials: Annotated[int, Field(ge=1, le=10_000)] | None
    budget: Annotated[int, Field(ge=1, le=100_000_000)] | None
    cross: Settings
    tune: Settings
    search: Settings


class SearchKeys(TypedDict, total=False):
    """The way settings are proposed."""

    sampler: str
    trials: Annotated[int, Field(le=10_000)]
    objectives: list[str]
    prune: bool


class FigureKeys(TypedDict, total=False):
    """The figure of the report."""

    kind: Literal["bars", "line", "effects"]
    x: str | None
    series: str | None
    conditions: bool


class DesignKeys(TypedDict, total=False):
    """A screening design."""

    factors: Settings


class PublishedKeys(TypedDict, total=False):
    """A published accuracy; what it is and where it stands must be said."""

    what: Name
    value: Share | None
    source: Name
    x: float | None


class StudyKeys(TypedDict, total=False):
    """A whole study, and each of its sizes."""

    title: Name
    about: str
    mode: str
    search: SearchKeys
    data: DataKeys
    settings: Settings
    arms: list[ArmKeys]
    design: DesignKeys
    conditions: Settings
    figure: FigureKeys
    against: Name | None
    published: list[PublishedKeys]
    sizes: dict[str, Any]


def check_types(given: dict[Any, Any], name: str) -> None:
    """Raise HilbertuneError unless the keys of a study that are known have the types declared here."""
    try:
        conform(given, StudyKeys)
    except ShapeError as error:
        raise HilbertuneError(f"{name}: {error}.") from error
