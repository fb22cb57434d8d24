"""The door for files of our own: what is refused, and that the field is named."""

from pathlib import Path
from typing import Any, NotRequired

import pytest
from typing_extensions import TypedDict

from hilbertune.errors import HilbertuneError
from hilbertune.runtime.schema import DamagedError, ShapeError, conform, parse_json, read_bytes


class Part(TypedDict):
    seeds: list[int]
    mean: float | None


class Whole(TypedDict):
    title: str
    parts: list[Part]
    chosen: NotRequired[dict[str, str | int | float | None]]


GOOD: dict[str, Any] = {"title": "t", "parts": [{"seeds": [0, 1], "mean": 0.5}], "chosen": {"a": 1, "b": None}}


def part(**values: Any) -> dict[str, Any]:
    return GOOD | {"parts": [GOOD["parts"][0], GOOD["parts"][0] | values]}


@pytest.mark.parametrize(
    "value", [GOOD, part(mean=None), part(mean=1), part(mean=-1e99), part(seeds=[]), GOOD | {"x": {}}]
)
def test_what_fits_is_returned_as_it_is(value: Any) -> None:
    assert conform(value, Whole) is value


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([], "the file should be a table of keys and values, not []"),
        ({"title": "t"}, "the file has no 'parts'"),
        (GOOD | {"title": 3}, "'title' should be a text, not 3"),
        (part(mean="x"), "'parts[1].mean' should be a number, not 'x'"),
        (part(mean=True), "'parts[1].mean' should be a number, not True"),
        (part(seeds=[0, 1.5]), "'parts[1].seeds[1]' should be a whole number, not 1.5"),
        (part(seeds=[True]), "'parts[1].seeds[0]' should be a whole number, not True"),
        (part(seeds={}), "'parts[1].seeds' should be a list, not {}"),
        (part(mean=1e101), "'parts[1].mean' is 1e+101, a number that nobody can compute with"),
        (part(mean=float("nan")), "'parts[1].mean' is nan, a number that nobody can compute with"),
        (part(seeds=[10**30]), f"'parts[1].seeds[0]' is {10**30}, a number that nobody can compute with"),
        (part(seeds=[10**5000]), "'parts[1].seeds[0]' is a int that nobody can read, a number"),
        (GOOD | {"title": "a\ud800"}, "'title' holds the character U+D800, which cannot be shown"),
        (GOOD | {"title": "a\0"}, "'title' holds the character U+0000, which cannot be shown"),
        (GOOD | {"chosen": {"\x1b": 1}}, "'chosen' has a key that holds the character U+001B"),
        (GOOD | {"chosen": {"a": []}}, "'chosen.a' should be a text, not []"),
        (GOOD | {"title": ["x" * 9999]}, "'title' should be a text, not ['xxx"),
    ],
)
def test_the_field_that_does_not_fit_is_named(value: Any, sentence: str) -> None:
    with pytest.raises(ShapeError) as caught:
        conform(value, Whole)
    assert str(caught.value).startswith(sentence)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 100_000, b"[" * 50 + b"]" * 50, b"1" * 5000, b'{"a":' * 500]
)
def test_what_is_no_json_or_too_deep_is_damaged(content: bytes) -> None:
    with pytest.raises(DamagedError):
        parse_json(content)


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100))
    assert read_bytes(tmp_path / "file", 100) == bytes(100)
    with pytest.raises(HilbertuneError, match="is larger than"):
        read_bytes(tmp_path / "file", 99)
    with pytest.raises(HilbertuneError, match="is larger than"):
        read_bytes(Path("/dev/zero"), 1000)
