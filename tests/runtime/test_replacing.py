"""A folder in the place of an earlier one: killed at any operation on files, the one or the other stands there."""

import ctypes
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.runtime import replacing
from hilbertune.runtime.replacing import replaced_directory


def write(path: Path, version: Any) -> None:
    """Write a model of files that must go together; each version has a file that the other has not."""
    with replaced_directory(path, "known.json") as folder:
        for name in ("known.json", "weights", f"only-{version}"):
            (folder / name).write_text(json.dumps(version))
        (folder / "part").mkdir()
        (folder / "part" / "inner").write_text(json.dumps(version))


def version_of(path: Path) -> int:
    """Return the version of a whole model."""
    versions = {json.loads(file.read_text()) for file in path.rglob("*") if file.is_file()}
    (version,) = versions
    assert {file.name for file in path.rglob("*")} == {"known.json", "weights", "part", "inner", f"only-{version}"}
    return int(version)


def test_a_new_one_and_one_in_the_place_of_another(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        write(tmp_path / "model", version)
        assert version_of(tmp_path / "model") == version
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_not_ours_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis").write_text("years of work")
    with pytest.raises(HilbertuneError, match="already exists"):
        write(tmp_path / "mine", 1)
    assert (tmp_path / "mine" / "thesis").exists()


@pytest.mark.parametrize("atomic", [True, False])
def test_an_error_while_it_is_filled_leaves_the_earlier_one(
    tmp_path: Path, atomic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not atomic:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    write(tmp_path / "model", 1)
    with pytest.raises(TypeError):
        write(tmp_path / "model", object())
    assert version_of(tmp_path / "model") == 1
    write(tmp_path / "model", 2)
    assert version_of(tmp_path / "model") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


class KilledError(BaseException):
    """The end of a process, which does nothing more."""


def test_killed_before_or_after_any_operation_one_of_both_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "model", 1)
    seen, moment, killed = set[int](), 0, True
    while killed:
        moment += 1
        with monkeypatch.context() as patch:
            _die_at(moment, patch)
            try:
                write(tmp_path / "model", 2)
                killed = False
            except KilledError:
                pass
        seen.add(version_of(tmp_path / "model"))
        for left in tmp_path.glob(".model.*"):
            shutil.rmtree(left)
    assert moment > 10
    assert seen == {1, 2}


def _die_at(moment: int, patch: pytest.MonkeyPatch) -> None:
    """Let nothing more reach the disk from the given call on."""
    calls = 0

    def counted(function: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= moment:
                raise KilledError
            return function(*given, **named)

        return call

    for name in ("open", "mkdir", "rename", "replace", "fsync", "chmod", "unlink", "rmdir"):
        patch.setattr(os, name, counted(getattr(os, name)))
    patch.setattr(replacing, "_exchange", counted(replacing._exchange))
