"""Bad command lines made from the help of each verb, and files of our own that somebody has touched.

Each ends in exit code 0, or in 1 or 2 with one sentence; never in a trace-back, never in a wait without a word.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import typer
from helpers import bad_input
from helpers.bad_input import Case, Tally

from hilbertune.cli.app import app
from hilbertune.errors import HilbertuneError

GOLDEN = Path(__file__).parents[1] / "golden"
LINES, FILES = 200, 200
"""Command lines and damaged files of a usual test run."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unchecked: None) -> Path:
    """Make a folder for good files, a cache of its own, and a terminal, so that progress can be seen."""
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("IONQ_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("IONQ_API_KEY", "none")
    (tmp_path / "good").mkdir()
    return tmp_path


def run_all(some: list[Case], place: Path) -> Tally:
    """Run every case in a fresh copy of the good files."""
    tally = Tally()
    for name, line, path, make in some:
        tally.add(
            name,
            lambda line=line, path=path, make=make: bad_input.tried(
                line, place / "good", place / "scratch", path, make
            ),
        )
    return tally


@pytest.fixture(scope="module")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make good files without training."""
    folder = tmp_path_factory.mktemp("cheap")
    (folder / "good").mkdir()
    bad_input.make_cheap_files(folder / "good", GOLDEN)
    return folder


@pytest.fixture(scope="module")
def command() -> Any:
    """Make the tree of commands once for all."""
    return typer.main.get_command(app)


@pytest.fixture
def quick(cheap: Path, command: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let no command train, measure or draw: all is checked before."""

    def refuse(*_: object, **__: object) -> None:
        raise HilbertuneError("Nothing is trained in this test.")

    monkeypatch.setattr("typer.main.get_command", lambda _: command)
    monkeypatch.setattr("hilbertune.cli.demo._drawn", refuse)
    monkeypatch.setattr("hilbertune.cli.fit._trained", refuse)
    monkeypatch.setattr("hilbertune.study.running.train_missing", refuse)
    monkeypatch.setattr("hilbertune.study.estimate._rate", refuse)
    monkeypatch.setattr("hilbertune.cli.energy._measured", refuse)
    monkeypatch.setattr("hilbertune.cli.machine.examine", list)
    monkeypatch.setattr("hilbertune.report.figures.draw", lambda *_: None)
    monkeypatch.setattr("hilbertune.cli.qpu._finish", refuse)
    monkeypatch.setattr("hilbertune.report.tracking.mirrors", lambda *_: [])
    return cheap


def test_no_command_line_and_no_damaged_file_ends_in_a_trace_back(quick: Path) -> None:
    every = bad_input.cases(app, quick / "good")
    lines = [case for case in every if not case[2]][:LINES]
    files = [case for case in every if case[2]][:FILES]
    assert (len(lines), len(files)) == (LINES, FILES)
    tally = run_all(lines + files, quick)
    assert not tally.faults


@pytest.mark.parametrize("name", bad_input.YAML_TEXTS)
def test_a_study_that_nobody_can_compute_is_refused_at_once(quick: Path, name: str) -> None:
    text = bad_input.YAML_TEXTS[name]
    line = ["study", "study.yaml", "--out", "new", "--data", "x.npz"]
    answer = bad_input.tried(line, quick / "good", quick / "scratch", "study.yaml", text.encode)
    assert answer.fault() is None
    assert answer.code == 2
    assert not (Path("/tmp") / "owned").exists(), "a tag of the file has run a command"


@pytest.mark.slow
def test_thousands_of_bad_command_lines_and_files(place: Path) -> None:
    """All of them, or the share of HILBERTUNE_BAD_INPUT; nothing is left out of the work."""
    bad_input.make_good_files(place / "good", GOLDEN)
    every = bad_input.cases(app, place / "good")
    tally = run_all(every[: int(len(every) * float(os.environ.get("HILBERTUNE_BAD_INPUT", "0.1")))], place)
    print(f"{tally.tried} tried, {len(tally.faults)} faults, the slowest took {tally.slowest}")
    assert not tally.faults
