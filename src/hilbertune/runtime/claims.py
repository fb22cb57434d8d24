"""Folders and files that one owner holds: another process, or another part of this one, finds them taken.

In: a path.
Out: a `Claim`, whose lock is the system's own (flock): it ends with its process however that ends, and leaves no file.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import time
import weakref
from pathlib import Path

KEPT_DAYS = 30
"""Days after which a folder that a dead process has left is removed, whether or not anybody could go on with it."""

_OWNED = "owned."


class Claim:
    """A locked file or folder; it is let go by `release`, by `remove`, or when nothing refers to the claim any more."""

    def __init__(self, path: Path, descriptor: int, *, locked: bool = True) -> None:
        self.path, self.locked = path, locked
        self._process = os.getpid()
        self.release = weakref.finalize(self, os.close, descriptor)
        self.release.atexit = False

    def remove(self) -> None:
        """Remove a folder with all that is in it and let it go; in a process that was forked off, do nothing."""
        if self.release.alive and os.getpid() == self._process:
            shutil.rmtree(self.path, ignore_errors=True)
            self.release()


def claimed(path: Path) -> Claim | None:
    """Return the claim to a file or folder that exists; None if it is another's, or has gone.

    A file system without locks has claims that hold nobody off.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    mine = locked = True
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mine = False
        except OSError:
            locked = False
        # Its owner may have removed or renamed it in the moment before.
        mine = mine and path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        mine = False
    finally:
        if not mine:
            os.close(descriptor)
    return Claim(path, descriptor, locked=locked) if mine else None


def claim_folder(parent: Path, name: str) -> Claim:
    """Return the claim to a folder for work of this name: one that a dead process has left, else a new one.

    Raises:
        OSError: it cannot be made.
    """
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    for path in sorted(parent.glob(f"{name}*")):
        if (claim := claimed(path)) is not None:
            return claim
    while True:
        path = parent / name
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            if (claim := claimed(path)) is not None:
                return claim
        name = f"{name.partition('.')[0]}.{secrets.token_hex(4)}"


def owned_folder(parent: Path) -> Claim:
    """Return the claim to a new folder that nobody can go on with: it is swept once its process is dead.

    Raises:
        OSError: it cannot be made.
    """
    return claim_folder(parent, f"{_OWNED}{secrets.token_hex(8)}")


def sweep(parent: Path) -> None:
    """Remove the folders of dead processes that nobody can go on with, and all that were left KEPT_DAYS ago."""
    with contextlib.suppress(OSError):
        for path in list(parent.iterdir()):
            with contextlib.suppress(OSError):
                old = time.time() - path.stat().st_mtime > KEPT_DAYS * 24 * 3600
                claim = claimed(path) if old or path.name.startswith(_OWNED) else None
                if claim is not None and claim.locked:
                    claim.remove()
