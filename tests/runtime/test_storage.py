"""Files and folders are whole or absent: crashes, full disks, occupied places."""

import errno
import os
import stat
from pathlib import Path

import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.runtime.storage import new_directory, refuse_existing, write_atomically


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def full_disk(monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)


def test_a_file_is_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "deep" / "er" / "file", b"\x00content\xff")
    assert (tmp_path / "deep" / "er" / "file").read_bytes() == b"\x00content\xff"
    assert everything(tmp_path) == ["deep", "deep/er", "deep/er/file"]


def test_a_file_replaces_an_older_one(tmp_path: Path) -> None:
    for content in (b"a long first version", b"second", b""):
        write_atomically(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
    assert everything(tmp_path) == ["file"]


def test_a_file_is_readable_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "file", b"")
        with new_directory(tmp_path / "model"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o755


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_full_disk_leaves_the_old_file_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, before: bytes | None
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    full_disk(monkeypatch, call)
    with pytest.raises(HilbertuneError, match=r"Cannot write .*file: No space left on device"):
        write_atomically(path, b"new")
    assert everything(tmp_path) == ([] if before is None else ["file"])
    assert before is None or path.read_bytes() == before


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert everything(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_file_that_cannot_be_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HilbertuneError, match="Cannot write"):
        write_atomically(tmp_path, b"")
    with pytest.raises(HilbertuneError, match="Cannot write"):
        write_atomically(tmp_path / "file" / "below", b"")
    with pytest.raises(HilbertuneError, match="Cannot write"):
        write_atomically(tmp_path / ("x" * 300), b"")
    assert everything(tmp_path) == ["file"]


def test_a_directory_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    with new_directory(tmp_path / "sub" / "model") as folder:
        (folder / "weights").write_bytes(b"1")
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_bytes(b"2")
        assert not (tmp_path / "sub" / "model").exists()
    assert everything(tmp_path / "sub") == [
        "model",
        "model/inner",
        "model/inner/file",
        "model/weights",
    ]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, HilbertuneError])
def test_a_crash_in_the_block_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fill() -> None:
        with new_directory(tmp_path / "model") as folder:
            (folder / "half").write_bytes(b"1")
            raise error

    with pytest.raises(error):
        fill()
    assert everything(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_full_disk_leaves_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    full_disk(monkeypatch, call)
    with (
        pytest.raises(HilbertuneError, match=r"Cannot write .*model: No space left on device"),
        new_directory(tmp_path / "model") as folder,
    ):
        (folder / "weights").write_bytes(b"1")
    assert everything(tmp_path) == []


def test_a_write_that_fails_in_the_block_is_told_as_such(tmp_path: Path) -> None:
    with (
        pytest.raises(HilbertuneError, match=r"Cannot write .*model: No space left on device"),
        new_directory(tmp_path / "model"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert everything(tmp_path) == []


def test_a_full_directory_or_a_file_is_refused_before_the_block(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    for path in (tmp_path, tmp_path / "file"):
        entered = False
        with (
            pytest.raises(HilbertuneError, match="already exists: name another place"),
            new_directory(path),
        ):
            entered = True
        assert not entered
    assert everything(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_an_empty_directory_may_be_taken(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    refuse_existing(tmp_path / "model")
    refuse_existing(tmp_path / "free")
    with new_directory(tmp_path / "model") as folder:
        (folder / "weights").write_bytes(b"1")
    assert everything(tmp_path) == ["model", "model/weights"]


def test_a_directory_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    def fill() -> None:
        with new_directory(tmp_path / "model") as folder:
            (folder / "mine").write_bytes(b"1")
            (tmp_path / "model").mkdir()
            (tmp_path / "model" / "theirs").write_bytes(b"2")

    with pytest.raises(HilbertuneError, match="Cannot write"):
        fill()
    assert everything(tmp_path) == ["model", "model/theirs"]


def test_a_directory_that_cannot_be_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(HilbertuneError), new_directory(path):
            pass
    assert everything(tmp_path) == ["file"]


def test_a_place_that_cannot_be_looked_at_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "model").mkdir()
    monkeypatch.setattr(os, "scandir", denied)
    monkeypatch.setattr(os, "listdir", denied)
    with pytest.raises(HilbertuneError, match="Permission denied"):
        refuse_existing(tmp_path / "model")
