"""Files and folders that are whole or absent, the cache's place, and databases that several processes open.

In: bytes, a folder to fill, or the path of an SQLite file.
Out: the finished path (after a crash at any moment, the old state or the new one), or an open connection.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from hilbertune.errors import HilbertuneError


class CannotWriteError(HilbertuneError):
    """A failure to write a file: no permission, or the disk is full."""


def _flush(path: Path) -> None:
    """Wait until a file or a folder's list of names is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    Args:
        path: the file.
        content: of the file.
        mode: its permissions, less the umask's; 0o600 is private to the owner.

    Raises:
        CannotWriteError: the folder cannot be written (no permission, disk full).
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.umask(mask := os.umask(0))
        temporary.chmod(mode & ~mask)
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as error:
        raise CannotWriteError(f"Cannot write {path}: {error.strerror}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_directory(path: Path, *, mode: int = 0o755) -> Iterator[Path]:
    """Yield a folder to fill that takes the name `path` only when the block ends without an error.

    Args:
        path: the folder.
        mode: its permissions; 0o700 is private to the owner, and honours a stricter umask.

    Raises:
        HilbertuneError: `path` exists already, or cannot be written (no permission, disk full).
    """
    refuse_existing(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        os.umask(mask := os.umask(0))
        temporary.chmod(mode if mode != 0o700 else mode & ~mask)
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        _flush(temporary)
        os.rename(temporary, path)
        _flush(path.parent)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """Raise HilbertuneError if something exists at `path` (an empty folder may stay)."""
    try:
        taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    except OSError as error:
        raise HilbertuneError(f"Cannot write {path}: {error.strerror}.") from error
    if taken:
        raise HilbertuneError(f"{path} already exists: name another place or remove it first.")


def cache_root() -> Path:
    """Return $HILBERTUNE_CACHE, else $XDG_CACHE_HOME/hilbertune, else ~/.cache/hilbertune."""
    if own := os.environ.get("HILBERTUNE_CACHE"):
        return Path(own).expanduser()
    if everyone := os.environ.get("XDG_CACHE_HOME"):
        return Path(everyone).expanduser() / "hilbertune"
    return Path.home() / ".cache" / "hilbertune"


def open_database(
    path: Path, *, timeout: float = 30.0, synchronous: Literal["FULL", "NORMAL"] = "FULL"
) -> sqlite3.Connection:
    """Open an SQLite file in WAL mode, made if it does not exist.

    Each statement commits at once unless BEGIN has opened a transaction.

    Args:
        path: the file, in a folder that exists.
        timeout: seconds to wait for a lock that another connection holds.
        synchronous: FULL keeps a commit through a power cut; NORMAL may lose the last ones, never the file.

    Raises:
        sqlite3.Error: the file is not a database, cannot be opened, or stays locked.
    """
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
