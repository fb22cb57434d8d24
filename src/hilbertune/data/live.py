"""The lines of a source that may pause, such as a pipe that somebody types into or `tail -f`.

In: an open file.
Out: its lines one by one, and whether another is there yet.
"""

import os
import select
import stat
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Self

_PIECE = 1 << 16
"""Bytes read at once."""


class LiveLines(Iterator[bytes]):
    """The lines of a pipe, terminal or socket as bytes with their ends; the last one may have none."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._lines: deque[bytes] = deque()
        self._part = bytearray()
        self._ended = False

    @classmethod
    def of(cls, file: Any) -> Self | None:
        """Return the lines of an open file; None for a regular file, which never pauses, or one that is not open."""
        try:
            descriptor = file.fileno()
            return None if stat.S_ISREG(os.fstat(descriptor).st_mode) else cls(descriptor)
        except (AttributeError, OSError):
            return None

    def __next__(self) -> bytes:
        while not self._lines:
            if self._ended:
                raise StopIteration
            self._poll.poll()
            self._read()
        return self._lines.popleft()

    def waited(self, seconds: float) -> bool:
        """Wait until a line is there or the source has ended; False if `seconds` pass before."""
        end = time.monotonic() + seconds
        while not self._lines and not self._ended:
            if not self._poll.poll(max(0.0, 1000 * (end - time.monotonic()))):
                return False
            self._read()
        return True

    def _read(self) -> None:
        """Take what is there."""
        try:
            data = os.read(self._descriptor, _PIECE)
        except BlockingIOError:
            return
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._lines.append(bytes(self._part) + end + b"\n")
            self._part.clear()
        self._part += rest
        if not data:
            self._ended = True
            if self._part:
                self._lines.append(bytes(self._part))
