"""Files and folders in the making: known as ours by name, locked by the process that fills them, swept once it is dead.

In: the path that a file or folder is to take.
Out: a hidden file or folder beside it. A process that is killed leaves it; the next one that writes to the same folder
removes it. The lock is the system's own (flock): it ends with its process however that ends, so nothing that a living
process fills is ever swept.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

_ENDING = ".hilbertune"

_OURS = re.compile(r"\..*\.[0-9a-f]{8}\.(?P<host>[0-9a-f]{8})\.hilbertune", re.DOTALL)

_LONGEST_NAME = 255
"""Bytes of a file's name on common file systems."""

_ABANDONED_ELSEWHERE = 24 * 3600.0
"""Seconds without a change after which another machine's is swept: its locks may not be seen from here."""

_swept: set[tuple[int, str]] = set()


@contextlib.contextmanager
def unfinished(path: Path, *, folder: bool = False, mode: int = 0o700) -> Iterator[Path]:
    """Yield a new, empty file or folder beside `path`; what is left of it at the end is removed.

    The system takes its umask off the `mode`: to read the mask, a process must set it, also for its other threads.

    Raises:
        OSError: the folder of `path` cannot be written.
    """
    _sweep_once(path.parent)
    temporary, lock = _made(path, folder, mode)
    try:
        yield temporary
    finally:
        _remove(temporary)
        os.close(lock)


def sweep(folder: Path) -> list[Path]:
    """Remove what dead processes have left unfinished in a folder, and return it; what cannot be removed stays."""
    removed = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(_ENDING)]
        for name in names:
            found = _OURS.fullmatch(name)
            if found and _swept_one(folder / name, here=found["host"] == _host()):
                removed.append(folder / name)
    return removed


def _sweep_once(folder: Path) -> None:
    """Sweep a folder the first time that this process writes to it."""
    if (key := (os.getpid(), str(folder))) not in _swept:
        _swept.add(key)
        sweep(folder)


def _made(path: Path, folder: bool, mode: int) -> tuple[Path, int]:
    """Make a file or folder and lock it; return it with the descriptor that holds the lock."""
    ending = f".{secrets.token_hex(4)}.{_host()}{_ENDING}"
    room = _LONGEST_NAME - len(ending) - 1
    temporary = path.with_name(f".{os.fsdecode(os.fsencode(path.name)[:room])}{ending}")
    if folder:
        os.mkdir(temporary, mode)
        lock = os.open(temporary, os.O_RDONLY)
    else:
        lock = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        # A sweeper may have been faster in the moment before the lock: then it holds the lock, or the name is gone.
        if _locked(lock) is not False and temporary.exists():
            return temporary, lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return _made(path, folder, mode)


def _locked(descriptor: int) -> bool | None:
    """Lock a file or folder; False if another process holds it, None where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _swept_one(path: Path, *, here: bool) -> bool:
    """Remove one of ours if its process is dead, and return True if it has gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        about = os.fstat(descriptor)
        kind = stat.S_ISDIR(about.st_mode) or stat.S_ISREG(about.st_mode)
        old = here or time.time() - about.st_mtime > _ABANDONED_ELSEWHERE
        if about.st_uid != os.geteuid() or not kind or not old or not _locked(descriptor):
            return False
        _remove(path)
        return not path.exists()
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a file or a folder if it is there and that can be done."""
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _host() -> str:
    """Return eight digits that tell this machine from others."""
    return f"{zlib.crc32(os.uname().nodename.encode()):08x}"
