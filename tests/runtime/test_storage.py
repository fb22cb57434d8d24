"""Files and folders are whole or absent: crashes, full disks, occupied places; databases open for several processes."""

import errno
import multiprocessing
import os
import sqlite3
import stat
import tempfile
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Literal

import pytest

from hilbertune.errors import HilbertuneError
from hilbertune.runtime import storage
from hilbertune.runtime.storage import (
    cache_root,
    new_directory,
    open_database,
    private_folder,
    refuse_existing,
    write_atomically,
)


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


def surroundings(monkeypatch: pytest.MonkeyPatch, here: Path, variables: dict[str, str]) -> None:
    for name in ("HILBERTUNE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "{here}/home", **variables}.items():
        monkeypatch.setenv(name, value.replace("{here}", str(here)))
    (here / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(here / "temporary"))


@pytest.mark.parametrize(
    ("variables", "root"),
    [
        ({"HILBERTUNE_CACHE": "{here}/own", "XDG_CACHE_HOME": "{here}/all"}, "own"),
        ({"HILBERTUNE_CACHE": "~/own"}, "home/own"),
        ({"HILBERTUNE_CACHE": "", "XDG_CACHE_HOME": "{here}/all"}, "all/hilbertune"),
        ({}, "home/.cache/hilbertune"),
    ],
)
def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], root: str
) -> None:
    surroundings(monkeypatch, tmp_path, variables)
    assert cache_root() == tmp_path / root
    assert everything(tmp_path) == ["temporary"]


@pytest.mark.parametrize(
    "variables",
    [
        {"HILBERTUNE_CACHE": "{here}/file/cache"},
        {"HILBERTUNE_CACHE": "{here}/file"},
        {"XDG_CACHE_HOME": "{here}/file"},
        {"HOME": "{here}/file"},
        {"HOME": "~"},  # what a user without a home and without an entry in passwd gets
    ],
)
def test_where_no_cache_can_be_a_private_folder_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variables: dict[str, str]
) -> None:
    (tmp_path / "file").write_text("")
    surroundings(monkeypatch, tmp_path, variables)
    assert cache_root() == cache_root() == tmp_path / "temporary" / f"hilbertune-{os.geteuid()}"
    assert stat.S_IMODE(cache_root().stat().st_mode) == 0o700
    assert caplog.text.count("cannot be written: using") == 1


def test_a_private_folder_that_others_can_write_to_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surroundings(monkeypatch, tmp_path, {})
    folder = tmp_path / "temporary" / f"hilbertune-{os.geteuid()}"
    folder.mkdir()
    folder.chmod(0o770)
    assert private_folder() is None
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    assert private_folder() is None
    folder.unlink()
    assert private_folder() == folder
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    folder.rename(folder.with_name("hilbertune-4242"))
    assert private_folder() is None


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.mark.parametrize(("synchronous", "number"), [("NORMAL", 1), ("FULL", 2)])
def test_a_database_writes_ahead_and_syncs_as_asked(
    tmp_path: Path, synchronous: Literal["FULL", "NORMAL"], number: int
) -> None:
    with closing(open_database(tmp_path / "file", timeout=7.5, synchronous=synchronous)) as made:
        assert pragma(made, "journal_mode") == "wal"
        assert pragma(made, "synchronous") == number
        assert pragma(made, "busy_timeout") == 7500
    with closing(open_database(tmp_path / "file")) as again:
        assert (pragma(again, "journal_mode"), pragma(again, "synchronous")) == ("wal", 2)


def test_a_statement_commits_at_once_and_a_transaction_as_a_whole(tmp_path: Path) -> None:
    with closing(open_database(tmp_path / "file")) as one, closing(open_database(tmp_path / "file")) as two:
        one.execute("CREATE TABLE numbers (n)")
        one.execute("INSERT INTO numbers VALUES (1)")
        assert two.execute("SELECT n FROM numbers").fetchall() == [(1,)]
        with one:
            one.execute("BEGIN")
            one.execute("INSERT INTO numbers VALUES (2)")
            assert two.execute("SELECT n FROM numbers").fetchall() == [(1,)]
        assert two.execute("SELECT n FROM numbers").fetchall() == [(1,), (2,)]


def test_a_new_file_that_another_is_about_to_write_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(tmp_path / "file", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            open_database(tmp_path / "file", timeout=0.0)
        # SQLite itself does not wait here, whatever the timeout: the lock goes after the third refusal.
        refusals: list[float] = []

        def wait(seconds: float) -> None:
            refusals.append(seconds)
            if len(refusals) == 3:
                other.execute("COMMIT")

        monkeypatch.setattr(storage.time, "sleep", wait)
        with closing(open_database(tmp_path / "file", timeout=60.0)) as made:
            assert pragma(made, "journal_mode") == "wal"
        assert len(refusals) == 3


ready: Barrier


def hold(barrier: Barrier) -> None:
    """Keep what makes all workers start at the same time."""
    global ready
    ready = barrier


def write_one(path: Path) -> None:
    ready.wait()
    with closing(open_database(path)) as made:
        made.execute("CREATE TABLE IF NOT EXISTS numbers (n)")
        made.execute("INSERT INTO numbers VALUES (1)")


def test_processes_that_open_a_new_file_at_once_all_write(tmp_path: Path) -> None:
    context, workers = multiprocessing.get_context("spawn"), 4
    with ProcessPoolExecutor(workers, context, initializer=hold, initargs=(context.Barrier(workers),)) as pool:
        for attempt in range(10):
            path = tmp_path / str(attempt)
            list(pool.map(write_one, [path] * workers))
            with closing(open_database(path)) as made:
                assert made.execute("SELECT count(*) FROM numbers").fetchone() == (workers,)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no database at all, and longer than a header" * 10)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        open_database(tmp_path / "file")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        open_database(tmp_path / "missing" / "file")


@pytest.mark.parametrize(
    ("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o027, 0o640, 0o750)]
)
def test_the_umask_holds_and_caches_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: int, file: int, folder: int
) -> None:
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "above" / "cache"))
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "a" / "open", b"")
        write_atomically(tmp_path / "a" / "own", b"", private=True)
        write_atomically(tmp_path / "above" / "cache" / "tuned" / "file", b"")
        with new_directory(tmp_path / "model"):
            pass
        with new_directory(tmp_path / "above" / "cache" / "base"):
            pass
        with closing(open_database(tmp_path / "a" / "cache.sqlite", private=True)) as connection:
            connection.execute("CREATE TABLE t (x)")
            rights = {name: _rights(tmp_path / name) for name in everything(tmp_path)}
    finally:
        os.umask(before)
    private = {name: mode for name, mode in rights.items() if "cache" in name or "own" in name}
    # What lies in a folder that nobody else may enter needs no rights of its own.
    assert private.pop("above/cache/tuned/file") == file
    assert not any(mode & 0o077 for mode in private.values()), private
    assert {"a/cache.sqlite", "a/cache.sqlite-wal", "above/cache", "above/cache/base"} <= set(private)
    assert (rights["a"], rights["model"], rights["a/open"], rights["above"]) == (folder, folder, file, folder)


def _rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
