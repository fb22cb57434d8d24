"""Progress on stderr: bars in a terminal, a line every few seconds elsewhere, with the time that is left.

In: the name of a stage and the share of it that is done.
Out: one bar for each stage, or lines; of several processes, only the first one tells. --quiet leaves it out.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hilbertune.cli.output import LOUDNESS

FIRST_LINE, NEXT_LINES, SLOWEST_LINES = 4.0, 5.0, 60.0
"""Seconds until a file or a pipe gets the first line on the progress, and between the next ones; the latter grow to
SLOWEST_LINES where the work takes hours, or where nothing has changed."""


@dataclass
class Stage:
    """How far a stage came, when it said so, and where and when it began; a resumed one does not begin at 0."""

    share: float
    note: str
    at: float
    first: float
    since: float

    def left(self, now: float) -> float | None:
        """Return the seconds that are left if the work goes on as it did; None where nobody can know, or it did not."""
        done = self.share - self.first
        if done <= 0 or self.share >= 1:
            return None
        left = (self.at - self.since) * (1 - self.share) / done - (now - self.at)
        return left if left > 0 else None


@contextmanager
def progress_bars() -> Iterator[Callable[..., None]]:
    """Show progress.

    The yielded function is called with a stage, the share of it that is done, and perhaps a note such as a rate.
    """
    from rich.console import Console

    from hilbertune.runtime import processes

    if LOUDNESS.get() < 0 or not processes.is_first():
        yield lambda *_: None
        return
    console = Console(stderr=True)
    with _bars(console) if console.is_terminal else _lines() as update:
        yield update


@contextmanager
def _bars(console: Any) -> Iterator[Callable[..., None]]:
    """Draw a bar for each stage."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description:12}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
    ) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, share: float, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0, note=note)
            bars.update(tasks[stage], completed=share, note=note)

        yield update


@contextmanager
def _lines() -> Iterator[Callable[..., None]]:
    """Say every few seconds where the work stands, and of each stage when it is done."""
    done, lock, stream = threading.Event(), threading.Lock(), sys.stderr
    stages: dict[str, Stage] = {}
    told: dict[str, float] = {}

    def tell(name: str) -> None:
        stage, now = stages[name], time.monotonic()
        left = stage.left(now)
        parts = [f"{name:12} {100 * stage.share:3.0f} %", f"after {duration(now - stage.since)}"]
        parts += [] if left is None else [f"about {duration(left)} left"]
        parts += [stage.note] if stage.note else []
        told[name] = stage.share
        print(", ".join(parts), file=stream, flush=True)

    def update(name: str, share: float, note: str = "") -> None:
        with lock:
            now = time.monotonic()
            before = stages.pop(name, None)  # the latest is the last
            first, since = (share, now) if before is None else (before.first, before.since)
            stages[name] = Stage(share, note, now, first, since)
            if share >= 1 and told.get(name) != share:
                tell(name)

    def talk() -> None:
        began, wait = time.monotonic(), FIRST_LINE
        while not done.wait(wait):
            with lock:
                if not stages:
                    stages["starting"] = Stage(0.0, "", began, 0.0, began)
                latest = next(reversed(stages))
                unchanged = told.get(latest) == stages[latest].share
                if not unchanged or stages[latest].share < 1:
                    tell(latest)
            # A log of a night should be readable too.
            spent = time.monotonic() - began
            wait = min(SLOWEST_LINES, max(NEXT_LINES, spent / 60, 2 * wait if unchanged else 0.0))

    speaker = threading.Thread(target=talk, daemon=True)
    speaker.start()
    try:
        yield update
    finally:
        done.set()
        speaker.join()
        for name, stage in stages.items():
            if stage.share and told.get(name) != stage.share:
                tell(name)


def duration(seconds: float) -> str:
    """Return a time as people say it: seconds, minutes and seconds, or hours and minutes."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
