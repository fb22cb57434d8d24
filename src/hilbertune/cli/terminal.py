"""The standard streams: open, in UTF-8 unless they are a terminal, and no reason for a command to fail half-way.

In: whatever the process was started with (a terminal, a pipe, a full disk, a closed descriptor, any locale).
Out: streams that take every character; a standard error that is gone swallows what it is told.
"""

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any


class Forgiving(io.TextIOBase):
    """A standard error whose reader may leave or whose disk may fill: progress and warnings must not cost a result."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
        return str(self._stream.encoding)

    def write(self, text: str) -> int:
        """Write a text, or nothing if that is impossible."""
        try:
            self._stream.write(text)
        except OSError:
            silence(self._stream)
        return len(text)

    def flush(self) -> None:
        """Write what waits to be written, or nothing."""
        try:
            self._stream.flush()
        except OSError:
            silence(self._stream)

    def isatty(self) -> bool:
        """Return True for a terminal."""
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        """Return the descriptor."""
        return int(self._stream.fileno())


class _Nowhere(io.TextIOWrapper):
    """What stands in for a stream that was closed from the start."""


def output_is_closed() -> bool:
    """Return True if the standard output was closed from the start."""
    return isinstance(sys.stdout, _Nowhere)


@contextlib.contextmanager
def usable_streams() -> Iterator[None]:
    """Make the standard streams usable within the block; a closed standard input stays None."""
    _open_descriptors()
    before = sys.stdout, sys.stderr
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream: Any = getattr(sys, name)
        if stream is None:
            setattr(sys, name, stream := _Nowhere(os.fdopen(number, "wb", closefd=False), encoding="utf-8"))
        if isinstance(stream, io.TextIOWrapper):
            # A name that no terminal can show, or that is no Unicode at all, is shown by its numbers.
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
    sys.stderr = Forgiving(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def as_typed(argument: str) -> str:
    """Return a text of the command line, which is UTF-8 whatever the locale takes it for."""
    try:
        return os.fsencode(argument).decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return argument


def has_no_reader(stream: Any) -> bool:
    """Return True for a pipe whose reader has left."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def silence(stream: Any) -> None:
    """Send what a stream holds and will be given nowhere, so that the interpreter does not stumble over it at its end.

    A descriptor that cannot be replaced, such as one of a test's stream, stays.
    """
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _open_descriptors() -> None:
    """Open the null device in the place of closed standard descriptors, which the next file would take otherwise."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
