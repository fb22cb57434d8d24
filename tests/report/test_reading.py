"""Reading results.json: what is refused, and what counts as unknown."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.study_results import CASES, arm, bars, minimal

from hilbertune.errors import HilbertuneError
from hilbertune.report import reading
from hilbertune.report.page import write_report


def broken(**values: Any) -> str:
    return json.dumps({**minimal(), **values})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing: name the directory of a study"),
        ("", "is cut short or damaged: run the study again"),
        (broken()[:-40], "is cut short or damaged: run the study again"),
        ("[" * 100_000, "is cut short or damaged: run the study again"),
        ("[1, 2]", "does not hold the results of a study"),
        ('{"title": "a fit"}', "does not hold the results of a study"),
        (broken(arms={}), "does not hold the results of a study"),
        (broken(arms=[{"name": "a"}]), "'arms[0]' has no 'kind'"),
        (broken(published=["p"]), "'published[0]' should be a table of keys and values, not 'p'"),
        (broken(seconds="1"), "does not hold the results of a study: 'seconds' should be a number, not '1'"),
        (broken(data={"source": "x.npz"}), "'data' has no 'rows'"),
        (broken(arms=[minimal()["arms"][0] | {"seeds": 3}]), "'arms[0].seeds' should be a list, not 3"),
        (broken(arms=[minimal()["arms"][0] | {"summary": {"low": 0}}]), "'arms[0].summary' has no 'mean'"),
        (broken(search={"a": {"objectives": []}}), "'search.a' has no 'best'"),
    ],
)
def test_a_file_that_is_no_whole_result_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(HilbertuneError, match=re.escape(message)) as caught:
        write_report(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(broken())
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(HilbertuneError, match="Cannot write"):
        write_report(tmp_path)
    (tmp_path / "results.json").unlink()
    (tmp_path / "results.json").mkdir()
    with pytest.raises(HilbertuneError, match=r"Cannot read .*results.json"):
        write_report(tmp_path)


def test_numbers_that_are_none_count_as_unknown(tmp_path: Path) -> None:
    given = json.dumps(minimal()).replace('"validation": [null]', '"validation": [NaN, Infinity, 1e999]')
    (tmp_path / "results.json").write_text(given)
    assert reading.read_results(tmp_path / "results.json")["arms"][0]["validation"] == [None] * 3
    assert write_report(tmp_path).exists()


@pytest.mark.parametrize("case", ["line", "bars", "effects", "noise", "minimal", "hostile"])
def test_whole_results_are_read_as_they_are(tmp_path: Path, case: str) -> None:
    given = json.loads(json.dumps(CASES[case]()))
    (tmp_path / "results.json").write_text(json.dumps(given))
    read = reading.read_results(tmp_path / "results.json")
    text = json.dumps(given, ensure_ascii=False)
    for character in ("\\u0000", "\\u001b", "\ud800"):
        text = text.replace(character, "\ufffd")
    assert read == json.loads(text)


def test_what_older_results_lack_may_be_missing(tmp_path: Path) -> None:
    given = bars()
    del given["search"], given["arms"][0]["group"], given["arms"][0]["energy"]
    (tmp_path / "results.json").write_text(json.dumps(given))
    read = reading.read_results(tmp_path / "results.json")
    assert "search" not in read
    assert "energy" not in read["arms"][0]


def test_validation_ranks_the_arms_and_the_first_of_equals_stays_first() -> None:
    arms = [
        arm("low", validation=[0.7, None, 0.8], test=[0.99]),
        arm("unknown", validation=[None], test=[0.99]),
        arm("high", "classical", validation=[0.9, 0.9]),
        arm("equal", validation=[0.9]),
        arm("also unknown", validation=[]),
    ]
    assert [a["name"] for a in reading.best_first(arms)] == ["high", "equal", "low", "unknown", "also unknown"]
    assert [a["name"] for a in reading.best_of_each_kind(arms)] == ["equal", "high"]
    assert reading.best_of_each_kind(arms[2:3]) == [arms[2]]
    assert reading.best_of_each_kind([]) == []
