"""What the commands print: names as they are, characters that no encoding has, where slow work stands."""

import io
import re
import sys
import time
from pathlib import Path

import pytest
from helpers.commands import Run

from hilbertune.cli import output, progress, tables


@pytest.mark.parametrize("name", ["[/red]", "[bold]x[/bold]", "[link=file:///x]y", "a [1, 2]"])
def test_a_name_is_printed_as_it_is(capsys: pytest.CaptureFixture[str], name: str) -> None:
    arm = {"name": name, "summary": None, "parameters": None, "seeds": []}
    failed = {"arm": name, "seed": 0, "error": name}
    tables.print_study({"arms": [arm], "comparisons": [], "search": None, "failures": [failed]}, Path("r"))  # type: ignore[arg-type]
    assert capsys.readouterr().out.count(name) == 3


def test_half_a_character_is_printed_as_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    output.print_json({"out": "m-\udcff"})
    stream.flush()
    assert stream.buffer.getvalue() == b'{"out": "m-\\udcff"}\n'  # type: ignore[attr-defined]


def test_a_message_leaves_out_the_middle_of_what_nobody_reads() -> None:
    assert output.one_line("a  b\nc") == "a b c"
    assert output.one_line("x" * 199) == "x" * 199
    long = output.one_line(f"There is no file {'x' * 10_000}: check it.")
    assert len(long) < 200
    assert long.endswith("x: check it.")


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e400", "word", ""])
@pytest.mark.parametrize(
    "line",
    [
        ["energy", "measure", "--estimate-watts", "{}", "--", "true"],
        ["study", "s.yaml", "--out", "s", "--hours", "{}"],
        ["serve", "model", "--max-seconds", "{}"],
    ],
)
def test_numbers_that_are_none_are_no_flags_value(run: Run, line: list[str], value: str) -> None:
    code, out, err = run(*(word.format(value) for word in line))
    assert (code, out) == (2, "")
    assert err.startswith(f"error: Invalid value for '{line[2] if line[0] != 'study' else line[4]}'")
    assert err.count("\n") == 1


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines on the progress many times a second."""
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    for name in ("FIRST_LINE", "NEXT_LINES", "SLOWEST_LINES"):
        monkeypatch.setattr(progress, name, 0.05)


def lines_of(capsys: pytest.CaptureFixture[str], count: int) -> list[str]:
    """Wait until so many lines are on stderr."""
    err = ""
    for _ in range(500):
        err += capsys.readouterr().err
        if err.count("\n") >= count:
            break
        time.sleep(0.01)
    return err.splitlines()


@pytest.mark.usefixtures("often")
def test_slow_work_says_in_a_pipe_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bars() as update:
        update("training", 0.0)
        time.sleep(0.4)
        capsys.readouterr()
        update("training", 0.25, "[/red]")
        lines = lines_of(capsys, 3)  # more than one: the next ones come too
        assert re.fullmatch(r"training      25 %, after \d s, about [01] s left, \[/red\]", lines[0])
        assert all(line.startswith("training      25 %") for line in lines)
        update("training", 1.0)
        assert re.fullmatch(r"training     100 %, after \d s", lines_of(capsys, 1)[0])
        update("testing", 0.0)
        assert lines_of(capsys, 1)[0].startswith("testing        0 %, after 0 s")
    assert "training" not in capsys.readouterr().err


def test_the_time_left_counts_from_where_a_stage_was_resumed() -> None:
    resumed = progress.Stage(0.75, "", at=20.0, first=0.5, since=10.0)
    assert resumed.left(now=20.0) == pytest.approx(10.0)
    assert resumed.left(now=24.0) == pytest.approx(6.0)
    assert resumed.left(now=90.0) is None  # it took longer than before
    assert progress.Stage(0.5, "", at=20.0, first=0.5, since=10.0).left(now=20.0) is None
    assert progress.Stage(1.0, "", at=20.0, first=0.0, since=10.0).left(now=20.0) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.7, "1 min 00 s"), (61, "1 min 01 s"), (3 * 3600 + 125, "3 h 02 min")]
)
def test_a_duration_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert progress.duration(seconds) == words


@pytest.mark.usefixtures("often")
def test_a_quiet_command_tells_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    token = output.LOUDNESS.set(-1)
    try:
        with progress.progress_bars() as update:
            update("training", 1.0)
            time.sleep(0.2)
        output.remark("By the way.")
        output.say("A warning.")
    finally:
        output.LOUDNESS.reset(token)
    assert capsys.readouterr().err == "A warning.\n"


def test_quick_work_says_nothing_of_what_it_has_not_begun(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bars() as update:
        update("planning", 0.0)
    assert capsys.readouterr().err == ""
