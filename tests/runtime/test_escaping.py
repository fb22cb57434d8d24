"""Names of classes and the like, harmless in each medium."""

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune.data.labels import label_targets
from hilbertune.runtime.escaping import cell, json_text, markdown, visible
from hilbertune.use.prediction import line

ESCAPE, OVERRIDE, NEXT_LINE, HALF = "\x1b[31m", "\u202e", "\x85", "\ud800"
HARMLESS = ["good", "naïve", "日本語", "a b", "👩\u200d🔬", "50 %", "C:\\x", "$a$"]


@pytest.mark.parametrize("name", HARMLESS)
def test_plain_names_stay(name: str) -> None:
    assert visible(name) == cell(name) == name
    assert json_text(name) == json.dumps(name, ensure_ascii=False)


def test_what_steers_a_terminal_is_shown() -> None:
    assert visible(ESCAPE) == r"\x1b[31m"
    assert visible(f"a{OVERRIDE}b{NEXT_LINE}\u2066\u200f{HALF}\u2028") == r"a\u202eb\x85\u2066\u200f\ud800\u2028"
    assert visible("a\nb\tc") == r"a\nb\tc"
    assert visible("a\nb\x1b", lines=True) == "a\nb\\x1b"
    assert visible(None) == "None"


@settings(max_examples=40)
@given(st.text())
def test_nothing_that_steers_is_left(text: str) -> None:
    for shown in (visible(text), cell(text), markdown(text), json_text(text)):
        shown.encode()
        assert not any(c < " " or "\x7f" <= c <= "\x9f" or c in "\u202a\u202b\u202d\u202e\u2066\u2069" for c in shown)


@settings(max_examples=40)
@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_json_is_read_back_as_it_was(value: object) -> None:
    assert json.loads(json_text(value)) == value
    assert json.loads(json_text(value, indent=2)) == value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@user", "'@user"),
        ("+a", "'+a"),
        ("-a", "'-a"),
        ("'=1", "''=1"),
        ("＝1", "'＝1"),
        ("-1", "-1"),
        ("+2.5", "+2.5"),
        (-1, "-1"),
        ("a=b", "a=b"),
        ("'quoted'", "'quoted'"),
        ("a\nb", "a b"),
    ],
)
def test_cells_are_no_formulas(value: object, written: str) -> None:
    assert cell(value) == written


NAMES = [
    "=1+1",
    "'=1+1",
    "@user",
    "-a",
    ESCAPE,
    OVERRIDE,
    HALF,
    "<b>",
    "[/red]",
    'say "x", y',
    "a\nb",
    "a|b",
    "-1",
    "x",
]


def test_predicted_labels_are_found_again() -> None:
    for suffix, delimiter in ((".csv", ","), (".tsv", "\t")):
        text = "".join(line({"label": name, "probability": 0.5}, suffix) for name in NAMES)
        read = [row[0] for row in csv.reader(io.StringIO(text), delimiter=delimiter)]
        # Of two names where one is the other's cell, the cell means the name that it is.
        assert label_targets(read, NAMES).tolist() == [1, *range(1, len(NAMES))]
        assert not any(shown.startswith(("=", "+", "@")) for shown in read)
    json_lines = [line({"label": name, "probability": 0.5}, ".jsonl") for name in NAMES]
    assert [json.loads(one)["label"] for one in json_lines] == NAMES
    several = line({"labels": ["=1", "b"], "probabilities": [0.5, 0.5]}, ".csv")
    assert label_targets([next(csv.reader([several]))[0].split("|")], ["=1", "b"], "multi-label").tolist() == [[1, 1]]


def test_markdown_is_neither_markup_nor_html() -> None:
    assert markdown("<script>") == "&lt;script&gt;"
    assert markdown("[a](b) *c* `d` | e") == r"\[a\](b) \*c\* \`d\` \| e"
    assert markdown("two\nlines") == r"two\\nlines"
