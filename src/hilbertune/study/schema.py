"""The content of a study's YAML file: the types of all keys, and values that are read safely.

In: the text of a YAML file.
Out: its table, every key of the type declared here, or one sentence that names the field. No tag makes an object, no
    anchor more than a file may hold. Needs pydantic and PyYAML.
"""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime.schema import DEEPEST, ShapeError, conform

LARGEST_STUDY = 1 << 18
"""Bytes of the largest study file; those that ship have 3,000."""

MOST_VALUES = 20_000
"""Values of a study, those that anchors repeat counted each time."""

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


def parse_yaml(text: str, name: str) -> dict[Any, Any]:
    """Return the table that a YAML text holds; whole numbers stay whole, and 5e-3 is a number.

    Raises:
        HilbertuneError: no YAML, no table, a key that stands twice, a tag of another language, or more values, their
            repetitions counted, than a study may have.
    """
    yaml = require("yaml", "study")

    class Loader(yaml.SafeLoader):  # type: ignore[name-defined,misc]
        """A loader that reads 5e-3 as a number (in YAML 1.1 it is a word), and refuses a key that stands twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = [key.value for key, _ in node.value if isinstance(key.value, str) and key.value != "<<"]
            if twice := next((key for key in seen if seen.count(key) > 1), None):
                raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} stands twice", node.start_mark)
            return super().construct_mapping(node, deep)

    number = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789"))
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        _refuse_bombs(node, name)
        given = None if node is None else loader.construct_document(node)
    except HilbertuneError:
        raise
    except yaml.YAMLError as error:
        said = " ".join(str(error).split()).replace('in "<unicode string>",', "in")
        raise HilbertuneError(f"{name} is not valid YAML: {said[:300]}.") from error
    except RecursionError as error:
        raise HilbertuneError(f"{name} is nested too deeply for a study.") from error
    except (ValueError, TypeError, ArithmeticError) as error:  # numbers and dates that Python cannot hold
        raise HilbertuneError(f"{name} holds a value that cannot be read ({str(error)[:100]}).") from error
    if not isinstance(given, dict):
        raise HilbertuneError(f"{name} does not hold a study: it needs keys such as 'title' and 'arms'.")
    return given


def _refuse_bombs(root: Any, name: str) -> None:
    """Raise HilbertuneError for a document whose anchors repeat more than a study may hold, or itself."""
    sizes: dict[int, float] = {}
    depths: dict[int, int] = {}

    def measure(node: Any) -> tuple[float, int]:
        if id(node) not in sizes:
            sizes[id(node)], depths[id(node)] = math.inf, 0  # what it is as long as it is inside itself
            below = node.value if isinstance(node.value, list) else []
            parts = [measure(one) for entry in below for one in (entry if isinstance(entry, tuple) else (entry,))]
            sizes[id(node)] = 1 + sum(size for size, _ in parts)
            depths[id(node)] = 1 + max((depth for _, depth in parts), default=0)
        return sizes[id(node)], depths[id(node)]

    size, depth = measure(root) if root is not None else (0, 0)
    if math.isinf(size):
        raise HilbertuneError(f"{name} has an anchor that contains itself: write its values out.")
    if size > MOST_VALUES:
        raise HilbertuneError(
            f"{name} holds {size:,} values, those that anchors repeat counted each time: "
            f"a study may have {MOST_VALUES:,}."
        )
    if depth > DEEPEST:
        raise HilbertuneError(f"{name} is nested too deeply for a study.")
