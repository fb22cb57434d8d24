"""A command that runs with this process's input and output, and that does not outlive it.

In: a command and its arguments.
Out: its exit code. Signals that would end this process go to the command and to all that it has started; if this
process is killed outright, a watcher ends them.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

_FROM_THE_KEYBOARD = (signal.SIGINT, signal.SIGQUIT)

_WATCHER = """
trap '' INT TERM HUP QUIT TSTP
family() { echo $1; for one in $(cat /proc/$1/task/*/children); do family $one; done; }
read -r target && read -r _ && exit
case $target in -*) all=$target ;; ?*) all=$(family $target) ;; *) exit ;; esac
kill -s TERM -- $all; kill -s CONT -- $all
for _ in 1 2 3 4 5; do kill -s 0 -- $all || exit; sleep 1; done
kill -s KILL -- $all
"""
"""A shell that reads what to watch and waits for another line: none comes if the process that would write it dies."""


def run(command: Sequence[str], output: int | None = None) -> int:
    """Run a command to its end and return its exit code, for a signal 128 and its number, as shells do.

    `output` is a descriptor that takes its standard output in the place of this process's.

    The command is a process group of its own, unless it shares the foreground of a terminal with this process: there
    Ctrl-C and Ctrl-Z reach both as they are.

    Raises:
        OSError: there is no such command.
        ValueError: a word holds a NUL.
    """
    shared = _in_the_foreground()
    with _watcher() as watch, _passed_on(_FROM_THE_KEYBOARD if shared else ()) as started:
        sign = 1 if shared else -1
        # The watcher is told before the command begins, so that no moment is without a watch.
        child = subprocess.Popen(
            list(command),
            stdout=output,
            process_group=None if shared else 0,
            preexec_fn=lambda: watch(sign * os.getpid()),
        )
        started(sign * child.pid)
        code = child.wait()
    return code if code >= 0 else 128 - code


def _in_the_foreground() -> bool:
    """Return True if this process is in the foreground of a terminal, which sends it what is typed."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


@contextlib.contextmanager
def _passed_on(not_these: Sequence[int]) -> Iterator[Any]:
    """Within the block, send the signals that would end this process to a target, which the yielded function is told.

    What the terminal sends to both already, and what this process was told to ignore (nohup), is not passed on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda _: None  # only the main thread receives signals
        return
    targets: list[int] = []
    received: list[int] = []

    def pass_on(number: int, _frame: object) -> None:
        received.append(number)
        if targets and number not in not_these:
            _send(targets[0], number)

    def start(target: int) -> None:
        targets.append(target)
        for number in received:
            _send(target, number)

    before = {number: signal.getsignal(number) for number in _PASSED_ON}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    try:
        yield start
    finally:
        if received and targets and targets[0] < 0:
            _end_the_rest(targets[0])
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _send(target: int, number: int) -> None:
    """Send a signal to a group (a negative number), or to a process and all that it has started."""
    for one in [target] if target < 0 else _family(target):
        with contextlib.suppress(OSError):
            os.kill(one, number)


def _end_the_rest(group: int) -> None:
    """End what is left of a group whose first process has ended: jobs in the background of a shell ignore Ctrl-C.

    More than once, since what is being started just now may lose a signal.
    """
    for pause in (0.0, 0.1, 0.3):
        time.sleep(pause)
        try:
            os.kill(group, signal.SIGTERM)
        except OSError:
            return


def _family(process: int) -> list[int]:
    """Return a process and all that it has started, as far as the system knows."""
    children: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for file in Path(f"/proc/{process}/task").glob("*/children"):
            children += map(int, file.read_bytes().split())
    return [process, *(one for child in children for one in _family(child))]


@contextlib.contextmanager
def _watcher() -> Iterator[Any]:
    """Within the block, have a target ended if this process dies; the yielded function is told which."""
    reading, writing = os.pipe()
    quiet: dict[str, Any] = {"stdin": reading, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    try:
        watcher = subprocess.Popen(["/bin/sh", "-c", _WATCHER], start_new_session=True, **quiet)
    except OSError:
        os.close(writing)
        yield lambda _: None  # no shell: the command is looked after as far as signals go
        return
    finally:
        os.close(reading)
    try:
        yield lambda target: os.write(writing, b"%d\n" % target)
        with contextlib.suppress(OSError):
            os.write(writing, b"done\n")
    finally:
        os.close(writing)
        watcher.wait()
