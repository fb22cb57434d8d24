"""What the commands print: names as they are, characters that no encoding has, where slow work stands."""

import io
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


def test_slow_work_says_in_a_pipe_where_it_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    monkeypatch.setattr(progress, "FIRST_LINE", 0.05)
    with progress.progress_bars() as update:
        update("training", 0.25, "[/red]")
        for _ in range(100):
            if err := capsys.readouterr().err:
                break
            time.sleep(0.02)
        assert err == "training      25 %  [/red]\n"
        update("training", 1.0)
        update("testing", 0.0)
    assert capsys.readouterr().err == "training     100 %\n"


def test_quick_work_says_nothing_of_what_it_has_not_begun(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bars() as update:
        update("planning", 0.0)
    assert capsys.readouterr().err == ""
