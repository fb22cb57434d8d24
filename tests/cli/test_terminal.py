"""Standard streams that are closed, full, gone or in another encoding cost no result."""

import errno
import io
import os
import subprocess
import sys
from typing import Any

import pytest

from hilbertune.cli.output import say
from hilbertune.cli.terminal import Forgiving, as_typed, output_is_closed, usable_streams

NAME = "R² größe ✓ \ud800"


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "encoding", "shown"),
    [
        (io.TextIOWrapper, "ascii", "R² größe ✓ \\ud800\n".encode()),
        (io.TextIOWrapper, "latin-1", "R² größe ✓ \\ud800\n".encode()),
        (Terminal, "ascii", b"R\\xb2 gr\\xf6\\xdfe \\u2713 \\ud800\n"),
        (Terminal, "utf-8", "R² größe ✓ \\ud800\n".encode()),
    ],
)
def test_files_and_pipes_are_utf8_and_terminals_get_replacements(
    monkeypatch: pytest.MonkeyPatch, kind: type[io.TextIOWrapper], encoding: str, shown: bytes
) -> None:
    streams = {name: kind(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    with usable_streams():
        print(NAME)
        say(NAME)
    for name, stream in streams.items():
        assert getattr(sys, name) is stream
        stream.flush()
        assert stream.buffer.getvalue() == shown  # type: ignore[attr-defined]


class Full(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, _: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_standard_error_that_cannot_be_written_swallows_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (io.TextIOWrapper(Full(), write_through=True), io.TextIOWrapper(io.BufferedWriter(Full()))):
        forgiving = Forgiving(stream)
        assert forgiving.write("x" * 100_000) == 100_000
        forgiving.flush()
        with pytest.raises(OSError, match="No space"):
            stream.write("x" * 100_000)


def test_streams_that_were_closed_from_the_start_are_stood_in_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with usable_streams():
        assert output_is_closed()
        assert sys.stdout.encoding == "utf-8"
    assert sys.stdout is None
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert not output_is_closed()


CIRCUIT = f"{sys.executable} -m hilbertune circuit --qubits 12 --layers 100 --format qasm3"


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        ("<&- >&- 2>&-", b"0", b""),
        (">/dev/full", b"2", b"error: No space left on device.\n"),
        ("2>&1 | true", b"0", b""),
        ("--draw /dev/null/x.png 2>/dev/full", b"2", b""),
    ],
)
def test_a_command_ends_well_whatever_its_streams_are(redirected: str, code: bytes, said: bytes) -> None:
    script = f"exec 3>&1; {{ {CIRCUIT} {redirected}; echo ${{PIPESTATUS[0]}} >&3; }}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=100, check=True)
    assert done.stdout.splitlines()[-1] == code
    assert done.stderr == said


def test_a_text_that_was_typed_in_another_locale_is_utf8() -> None:
    assert as_typed("größe".encode().decode("ascii", "surrogateescape")) == "größe"
    assert as_typed("größe") == "größe"
    assert as_typed("\ud800") == "\ud800"
