"""The verb doctor: a line for each check, and exit code 1 if a needed one fails."""

import json

import pytest
from helpers.commands import Run


def test_doctor_answers_with_its_checks(run: Run) -> None:
    code, answer, err = run("doctor", "--json")
    assert (code, err.replace("checking       0 %\n", "")) == (0, ""), "a slow machine says what it does"
    report = json.loads(answer)
    assert report["ok"] is True
    assert all(set(c) == {"name", "ok", "needed", "detail"} for c in report["checks"])
    text = run("doctor")[1]
    assert len(text.splitlines()) == len(report["checks"])
    assert text.startswith("ok      versions: Python 3.")


def test_a_failing_check_is_told_apart_from_an_absent_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        {"name": "cache", "ok": False, "needed": True, "detail": "full"},
        {"name": "extra data", "ok": False, "needed": False, "detail": "pip install it"},
    ]
    monkeypatch.setattr("hilbertune.cli.machine.examine", lambda: checks)
    code, answer, _ = run("doctor")
    assert code == 1
    assert answer == "FAILS   cache: full\nabsent  extra data: pip install it\n"
    code, answer, _ = run("doctor", "--json")
    assert code == 1
    assert json.loads(answer) == {"ok": False, "checks": checks}
