"""One door for every file of our own that somebody may have touched: its content is of the declared type, or refused.

In: a JSON or YAML file, or what was read from one, and a type (typed dictionaries, with pydantic's annotations).
Out: the content, or one sentence that names the file and the field.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError, require, shown

LARGEST_FILE = 256 << 20
"""Bytes of the largest file that is read whole."""

LARGEST_NUMBER, LARGEST_COUNT = 1e100, 1 << 62
"""Numbers beyond them are no result of ours, not even of a training that diverged; nothing can be drawn with them."""

DEEPEST = 40
"""Lists and tables inside each other; ours have ten."""


class DamagedError(HilbertuneError):
    """A file that is no JSON, or lists inside lists without end."""


class ShapeError(HilbertuneError):
    """A file whose content is not what it must be; the message begins with the field."""


def read_bytes(path: Path, most: int = LARGEST_FILE) -> bytes:
    """Return the content of a file.

    Raises:
        HilbertuneError: it is larger than `most` bytes, which files such as /dev/zero are too.
        OSError: there is no such file, or it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise HilbertuneError(f"{path} is larger than the {most / 2**20:g} MiB that such a file may have.")
    return content


def parse_json(content: bytes) -> Any:
    """Return what JSON holds; NaN and infinity are None.

    Raises:
        DamagedError: it is no JSON, or nested too deeply.
    """
    try:
        value = json.loads(content, parse_constant=lambda _: None)
    except RecursionError as error:
        raise DamagedError("it is nested too deeply") from error
    except ValueError as error:  # bad JSON, bytes that are not UTF-8, a number of thousands of digits
        raise DamagedError("it is no JSON") from error
    level = [value]
    for _ in range(DEEPEST):
        level = [below for one in level for below in _below(one)]
    if level:
        raise DamagedError("it is nested too deeply")
    return value


def _below(value: Any) -> Iterable[Any]:
    """Return what a list or a table holds."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def conform(value: Any, kind: Any) -> Any:
    """Return `value` as it is if it is of the type `kind`.

    Raises:
        ShapeError: a field is missing or has another type, a number that nobody can compute with, or characters that
            nobody can show.
    """
    for path, wrong in _impossible(value):
        raise ShapeError(f"{_place(path)} {wrong}")
    pydantic = require("pydantic", "study")
    try:
        _adapter(kind).validate_python(value, strict=True)
    except pydantic.ValidationError as error:
        raise ShapeError(_sentence(error.errors(include_url=False)[0])) from error
    return value


@lru_cache(maxsize=16)
def _adapter(kind: Any) -> Any:
    return require("pydantic", "study").TypeAdapter(kind)


def _impossible(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield the paths of numbers and texts that no type speaks of, and what is wrong with them."""
    if isinstance(value, dict):
        for key, entry in value.items():
            if isinstance(key, str) and (wrong := _unwritable(key)):
                yield path, f"has a key that {wrong}"
            yield from _impossible(entry, (*path, key))
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _impossible(entry, (*path, number))
    elif isinstance(value, str):
        if wrong := _unwritable(value):
            yield path, wrong
    elif isinstance(value, int | float) and not abs(value) <= (
        LARGEST_COUNT if isinstance(value, int) else LARGEST_NUMBER
    ):
        yield path, f"is {shown(value)}, a number that nobody can compute with"


def _unwritable(text: str) -> str | None:
    """Return what is wrong with a text that holds control characters or half a character (a lone surrogate)."""
    for character in text:
        if character not in "\n\r\t" and unicodedata.category(character) in ("Cc", "Cs"):
            return f"holds the character U+{ord(character):04X}, which cannot be shown"
    return None


def _place(path: tuple[Any, ...]) -> str:
    """Return the path of a field as one would write it in Python, such as arms[0].seeds."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if isinstance(part, str) else f".{shown(part)}"
    text = text.removeprefix(".")
    return f"'{text if len(text) <= 100 else text[:90] + '...'}'" if text else "the file"


def _sentence(error: Mapping[str, Any]) -> str:
    """Return the first of pydantic's errors as the end of a sentence of ours."""
    # The options of a union are part of pydantic's path: none of our keys looks like a type.
    path = tuple(part for part in error["loc"] if not (isinstance(part, str) and part in _OPTIONS))
    if error["type"] == "missing":
        return f"{_place(path[:-1])} has no {path[-1]!r}"
    said = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{_place(path)} {_KINDS.get(error['type'], said)}, not {shown(error['input'])}"


_KINDS = {
    "dict_type": "should be a table of keys and values",
    "list_type": "should be a list",
    "string_type": "should be a text",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
}
"""Our words for pydantic's errors."""

_OPTIONS = ("int", "float", "str", "bool", "none", "[key]")
"""Names that pydantic gives the options of a union and the keys of a table."""
