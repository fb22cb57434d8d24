"""What a killed process leaves is swept by the next one that writes there; what a living one fills never is."""

import os
import signal
import time
from pathlib import Path

import pytest

from hilbertune.runtime import unfinished as module
from hilbertune.runtime.storage import new_directory, write_atomically
from hilbertune.runtime.unfinished import sweep, unfinished


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def die_in_the_middle(path: Path, *, folder: bool) -> int:
    """Have a child killed while it fills a file or folder; its process number."""
    child = os.fork()
    if child == 0:
        with unfinished(path, folder=folder) as made:
            (made / "half" if folder else made).write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    return child


@pytest.fixture(autouse=True)
def a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_swept", set())


@pytest.mark.parametrize("folder", [True, False])
@pytest.mark.parametrize("next_one", ["model", "other", "folder"])
def test_the_next_process_that_writes_there_sweeps(tmp_path: Path, folder: bool, next_one: str) -> None:
    die_in_the_middle(tmp_path / "model", folder=folder)
    (left,) = names(tmp_path)
    assert left.startswith(".model.")
    assert left.endswith(".hilbertune")
    if next_one == "folder":
        with new_directory(tmp_path / next_one):
            pass
    else:
        write_atomically(tmp_path / next_one, b"whole")
    assert names(tmp_path) == [next_one]


@pytest.mark.parametrize("folder", [True, False])
def test_what_a_living_process_fills_is_not_swept(tmp_path: Path, folder: bool) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with unfinished(tmp_path / "model", folder=folder):
            os.write(writing, b"x")
            signal.pause()
    os.read(reading, 1)
    try:
        before = names(tmp_path)
        assert sweep(tmp_path) == []
        assert names(tmp_path) == before
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert [path.name for path in sweep(tmp_path)] == before


def test_our_own_is_not_swept_by_ourselves(tmp_path: Path) -> None:
    with unfinished(tmp_path / "model", folder=True) as made:
        assert sweep(tmp_path) == []
        assert made.is_dir()
    assert names(tmp_path) == []


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_text("")
    kept = [".model.hilbertune", ".model.0123abcd.hilbertune", "model.0123abcd.0123abcd.hilbertune", ".model.0123abcd"]
    for name in kept:
        (tmp_path / name).write_text("")
    here = module._host()
    (tmp_path / f".link.0123abcd.{here}.hilbertune").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / f".pipe.0123abcd.{here}.hilbertune")
    before = names(tmp_path)
    assert sweep(tmp_path) == []
    assert names(tmp_path) == before
    assert names(tmp_path / "elsewhere") == ["file"]


@pytest.mark.parametrize(("age", "swept"), [(3600, 0), (48 * 3600, 1)])
def test_another_machines_is_swept_only_when_it_is_old(tmp_path: Path, age: int, swept: int) -> None:
    left = tmp_path / ".model.0123abcd.ffffffff.hilbertune"
    left.mkdir()
    then = time.time() - age
    os.utime(left, (then, then))
    assert len(sweep(tmp_path)) == swept


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "a"])
def test_names_may_be_as_long_as_the_system_allows(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, b"1")
    assert names(tmp_path) == [name]
    with new_directory(tmp_path / "sub" / name) as folder:
        (folder / "file").write_bytes(b"2")
    assert (tmp_path / "sub" / name / "file").read_bytes() == b"2"
