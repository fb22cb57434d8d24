"""Files and folders that are whole or absent, the cache's place, and databases that several processes open.

In: bytes, a folder to fill, or the path of an SQLite file.
Out: the finished path (after a crash at any moment, the old state or the new one), or an open connection.
"""

import contextlib
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from errno import EBUSY, ENOTDIR
from pathlib import Path
from typing import Literal

from hilbertune.errors import HilbertuneError, warn_once
from hilbertune.runtime.unfinished import unfinished


class CannotWriteError(HilbertuneError):
    """A failure to write a file: no permission, or the disk is full."""


def flush(path: Path) -> None:
    """Wait until a file or a folder's list of names is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, *, private: bool = False) -> None:
    """Make a folder and those above it as far as they are missing; `private` ones and the cache's are their owner's.

    A stricter umask holds.

    Raises:
        OSError: a folder cannot be made.
    """
    folder = folder.absolute()
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for one in reversed(missing):
        own = (private and one == folder) or _in_cache(one)
        one.mkdir(mode=0o700 if own else 0o777, exist_ok=True)


def _in_cache(path: Path) -> bool:
    """Return True for a place in the cache, which is its owner's alone."""
    return path.absolute().is_relative_to(_named_cache().absolute())


def write_atomically(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    The umask says who may read it; a `private` file only its owner.

    Raises:
        CannotWriteError: the folder cannot be written (no permission, disk full).
    """
    with told(path):
        make_folder(path.parent)
        with unfinished(path, mode=0o600 if private else 0o666) as temporary:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        flush(path.parent)


@contextlib.contextmanager
def new_directory(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Yield a folder to fill that takes the name `path` only when the block ends without an error.

    A symbolic link is followed. An empty folder may be there: it is replaced, which a mounted volume cannot be.
    A `private` folder is its owner's alone.

    Raises:
        CannotWriteError: `path` exists already, or cannot be written (no permission, disk full).
    """
    refuse_existing(path)
    with told(path):
        place = destination(path)
        make_folder(place.parent)
        with unfinished(place, folder=True, mode=0o700 if private or _in_cache(place) else 0o777) as temporary:
            yield temporary
            for file in temporary.rglob("*"):
                flush(file)
            flush(temporary)
            os.rename(temporary, place)
        flush(place.parent)


def destination(path: Path) -> Path:
    """Return where a path leads, with ~ and symbolic links followed: the name that a new file or folder takes.

    Raises:
        CannotWriteError: it names nothing new, as an empty one, "." and ".." do, or leads nowhere.
    """
    if path.name in ("", ".."):
        raise CannotWriteError(f"Cannot write {str(path)!r}: name a new place, such as model.")
    _check_name(path)
    with told(path):
        place = Path(os.path.realpath(os.path.expanduser(path)))
        if place.exists() and place.samefile(os.curdir):
            raise CannotWriteError(f"Cannot write {path}: it is the current folder; name a new one in it.")
        return place


def _check_name(path: Path) -> None:
    """Raise CannotWriteError if no file of the system can have this name."""
    try:
        if b"\0" in os.fsencode(path):
            raise CannotWriteError(f"Cannot write {str(path)!r}: a name holds no NUL.")
    except UnicodeEncodeError as error:
        raise CannotWriteError(f"Cannot write {str(path)!r}: the locale cannot spell this name.") from error


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn the errors of the system into a sentence about `path`."""
    try:
        yield
    except OSError as error:
        if error.errno == ENOTDIR:
            nearest = next((parent for parent in path.parents if parent.exists()), path)
            raise CannotWriteError(f"Cannot write {path}: {nearest} is not a folder that you may write to.") from error
        hint = f"; name a new folder in it, such as {path / 'model'}" if error.errno == EBUSY else ""
        raise CannotWriteError(f"Cannot write {path}: {error.strerror or error}{hint}.") from error


def refuse_existing(path: Path) -> None:
    """Raise CannotWriteError if something exists at `path` (an empty folder may stay)."""
    _check_name(path)
    with told(path):
        place = Path(os.path.expanduser(path))
        taken = place.exists() and not (place.is_dir() and not any(place.iterdir()))
    if taken:
        raise CannotWriteError(f"{path} already exists: name another place or remove it first.")


def cache_root() -> Path:
    """Return $HILBERTUNE_CACHE, else $XDG_CACHE_HOME/hilbertune, else ~/.cache/hilbertune.

    Where that cannot be written, or there is no home, the private folder stands in for it, and a warning says so once.
    """
    named = _named_cache()
    if named.is_absolute() and _may_be_made(named):
        return named
    private = private_folder()
    instead = f"using {private} instead" if private else "nothing is kept"
    warn_once(
        f"The cache {named} cannot be written: {instead}. Set HILBERTUNE_CACHE to a folder that you may write to."
    )
    return private or (named if named.is_absolute() else Path(os.devnull) / "hilbertune")


def _named_cache() -> Path:
    """Return where the cache should be, a relative path if there is no home."""
    own, everyone = os.environ.get("HILBERTUNE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    named = Path(os.path.expanduser(own or os.path.join(everyone or "~/.cache", "hilbertune")))
    return named.absolute() if own or everyone else named


def _may_be_made(folder: Path) -> bool:
    """Return True if a folder can be written, or is not there and can be made."""
    nearest = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), None)
    return nearest is not None and nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def private_folder() -> Path | None:
    """Return a folder in the temporary directory that only this user can read and write; None if there can be none."""
    try:
        folder = Path(tempfile.gettempdir()) / f"hilbertune-{os.geteuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
    except OSError:
        return None
    mine = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077
    return folder if mine else None


def open_database(
    path: Path,
    *,
    timeout: float = 30.0,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    private: bool = False,
) -> sqlite3.Connection:
    """Open an SQLite file in WAL mode, made if it does not exist.

    Each statement commits at once unless BEGIN has opened a transaction.

    Args:
        path: the file, in a folder that exists.
        timeout: seconds to wait for a lock that another connection holds.
        synchronous: FULL keeps a commit through a power cut; NORMAL may lose the last ones, never the file.
        private: make the file readable to its owner alone; SQLite gives its other files the same rights.

    Raises:
        sqlite3.Error: the file is not a database, cannot be opened, or stays locked.
    """
    if private:
        with contextlib.suppress(OSError):  # SQLite says what is wrong
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=timeout, isolation_level=None)
    deadline = time.monotonic() + timeout
    try:
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                break
            except sqlite3.OperationalError as error:
                # If another connection is about to write, say to make the same new file, SQLite fails here at once.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        connection.execute(f"PRAGMA synchronous={synchronous}")
    except BaseException:
        connection.close()
        raise
    return connection
