"""A command that is run here ends when this process does, with all that it has started."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import hilbertune
from hilbertune.runtime import children

RUN = "import sys; from hilbertune.runtime import children; sys.exit(children.run(sys.argv[1:]))"

SOURCE = str(Path(hilbertune.__file__).parents[1])


def start(*command: str) -> "subprocess.Popen[bytes]":
    """Run a command in a process of its own, away from the terminal of the tests and from what they ignore (nohup)."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *command],
        env=os.environ | {"PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=heed_signals,
    )


def heed_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def gone(process: int) -> bool:
    """Return True once a process has ended, within five seconds."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_what_ends_this_process_ends_the_command_and_all_that_it_has_started(number: signal.Signals) -> None:
    with start("sh", "-c", "sleep 300 & echo $!; sleep 300 & echo $!; echo $$; wait") as process:
        assert process.stdout is not None
        started = [int(process.stdout.readline()) for _ in range(3)]
        process.send_signal(number)
        assert process.wait(60) == (-9 if number == signal.SIGKILL else 128 + number)
        assert [one for one in started if not gone(one)] == []


def test_a_command_may_clean_up_when_it_is_told_to_end() -> None:
    with start("sh", "-c", "trap 'echo cleaned; exit 7' TERM; sleep 300 & echo ready; wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.terminate()
        assert process.stdout.read() == b"cleaned\n"
        assert process.wait(60) == 7


def test_what_was_to_be_ignored_is_not_passed_on() -> None:
    ignoring = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); {RUN}"
    with subprocess.Popen(
        [sys.executable, "-c", ignoring, "sh", "-c", "echo ready; read -r line; exit 5"],
        env=os.environ | {"PYTHONPATH": SOURCE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGHUP)
        process.communicate(b"\n")
        assert process.returncode == 5


@pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("kill -TERM $$", 143), ("true", 0)])
def test_the_exit_code_is_the_commands(command: str, code: int) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert children.run(["sh", "-c", command]) == code
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_thread_may_run_a_command() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(children.run(["sh", "-c", "exit 4"])))
    thread.start()
    thread.join()
    assert codes == [4]


@pytest.mark.parametrize("command", [["no-such-command"], [""], ["a\0b"]])
def test_a_command_that_cannot_be_leaves_no_watcher(command: list[str]) -> None:
    before = own_children()
    with pytest.raises((OSError, ValueError)):
        children.run(command)
    assert own_children() == before


def own_children() -> set[str]:
    """Return what this process has started; other tests may have left some."""
    return set(" ".join(file.read_text() for file in Path("/proc/self/task").glob("*/children")).split())
