"""One owner a run directory: a lock that the operating system drops when its process ends, however it ends.

In: a run directory.
Out: a block that nobody else is in, or one sentence that names who is. Local disks keep the lock, and so does NFS where
its lock service runs; elsewhere the ledger's own check of a batch's state still keeps two processes from sending it.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hilbertune.errors import HilbertuneError


class Owner:
    """The right to send, cancel and settle the jobs of a run directory; held any number of times by one holder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: FileLock | None = None
        self._depth = 0

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Be the owner within the block.

        Raises:
            HilbertuneError: another process, or another part of this one, is the owner.
        """
        if not self._depth:
            self._acquire()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self._lock is not None:
                self._lock.release()

    def _acquire(self) -> None:
        name = self.folder / "owner"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Always a new one: a lock that came through a fork is the parent's.
            self._lock = FileLock(self.folder / "owner.lock", timeout=0, mode=0o600, thread_local=False)
            self._lock.acquire()
            name.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%F %T')}", "utf-8")
        except Timeout:
            raise HilbertuneError(
                f"{self.folder} is in the hands of {_owner(name)}: wait until it ends, or end it; 'hilbertune qpu "
                "status' and 'hilbertune qpu results' may be used meanwhile."
            ) from None
        except (OSError, NotImplementedError) as error:
            if self._lock is not None:
                self._lock.release()
            raise HilbertuneError(
                f"{self.folder} cannot be locked ({getattr(error, 'strerror', None) or error}): "
                "use a folder that you may write to, on a disk that takes locks."
            ) from None


def _owner(name: Path) -> str:
    """Return who holds the lock, as it wrote itself down."""
    with contextlib.suppress(OSError, ValueError):
        if said := name.read_text("utf-8").strip()[:200]:
            return "".join(c if c.isprintable() else "?" for c in said)
    return "another process"
