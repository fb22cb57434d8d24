"""The ledger keeps what it was told, and refuses what is no ledger."""

import subprocess
import sys
from pathlib import Path

import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ledger import Ledger


def test_a_foreign_file_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("hello " * 100)
    with pytest.raises(HilbertuneError, match="cannot be used as a ledger"):
        Ledger(tmp_path / "ledger.sqlite")


def test_results_that_are_there_are_never_overwritten(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    ledger.plan("h", "b", 2, 10, (1, 1), 5.0, 3)
    ledger.sending("h")
    assert ledger.committed() == 5.0
    ledger.sent("h", "job")
    assert ledger.keep("h", {0: {"0": 1.0}}).state == "sent"
    ledger.ended("h", "failed", "a part of it failed")
    ledger.charge("job", 2.0, 0.25)
    assert ledger.committed() == 2.0, "what failed costs what was billed"
    ledger.sending("h")
    assert ledger.committed() == 2.0 + 5.0, "and sending it again costs again"
    ledger.sent("h", "second")
    assert ledger.keep("h", {0: {"1": 1.0}, 1: {"0": 1.0}}).state == "done"
    assert ledger.results("h") == {0: {"0": 1.0}, 1: {"0": 1.0}}
    assert ledger.unbilled() == ["second"]
    assert (ledger.batch("h").billed, ledger.batch("h").kwh) == (2.0, 0.25)
    ledger.charge("second", None, 0.5)
    assert ledger.unbilled() == ["second"], "asked for again"
    ledger.charge("second", 4.0, None)
    ledger.ended("h", "failed", "late")
    with pytest.raises(HilbertuneError, match="Batch 1 is done by now"):
        ledger.sending("h")
    batch = ledger.batch("h")
    assert (batch.state, batch.billed, batch.kwh) == ("done", 6.0, 0.75)
    assert ledger.committed() == 2.0 + 5.0


def test_two_processes_may_open_a_new_ledger_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from hilbertune.hardware.ledger import Ledger\n"
        "ledger = Ledger(Path(sys.argv[1])); ledger.plan(sys.argv[2], 'b', 1, 1, (1, 1), 0.0, 1)"
    )
    path = tmp_path / "run" / "ledger.sqlite"
    started = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in ("first", "second")]
    assert [process.wait() for process in started] == [0, 0]
    assert {batch.hash for batch in Ledger(path).batches()} == {"first", "second"}
