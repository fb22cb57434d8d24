"""Progress on stderr: bars in a terminal, now and then a line elsewhere.

In: the name of a stage and the share of it that is done.
Out: one bar for each stage; of several processes, only the first one draws.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

FIRST_LINE, NEXT_LINES = 4.0, 60.0
"""Seconds after which a file or a pipe gets the first line on the progress, and the next ones."""


@contextmanager
def progress_bars() -> Iterator[Callable[..., None]]:
    """Show progress bars.

    The yielded function is called with a stage, the share of it that is done, and perhaps a note such as a rate.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from hilbertune.runtime import processes

    console = Console(stderr=True, quiet=not processes.is_first())
    if not console.is_terminal:
        with _lines(quiet=console.quiet) as update:
            yield update
        return
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
def _lines(*, quiet: bool) -> Iterator[Callable[..., None]]:
    """Say where the work stands now and then, even while a stage does not answer, and at the end how far each came."""
    done, stream = threading.Event(), sys.stderr
    stages: dict[str, tuple[float, str]] = {}

    def update(stage: str, share: float, note: str = "") -> None:
        stages.pop(stage, None)  # the latest is the last
        stages[stage] = share, note

    def tell(stage: str, share: float, note: str) -> None:
        print(f"{stage:12} {100 * share:3.0f} %  {note}".rstrip(), file=stream, flush=True)

    def talk() -> None:
        wait = FIRST_LINE
        while not done.wait(wait):
            stage, (share, note) = list(stages.items() or [("starting", (0.0, ""))])[-1]
            tell(stage, share, note)
            wait = NEXT_LINES

    speaker = threading.Thread(target=talk, daemon=True)
    if not quiet:
        speaker.start()
    try:
        yield update
    finally:
        done.set()
        if not quiet:
            speaker.join()
            for stage, (share, note) in stages.items():
                if share:
                    tell(stage, share, note)
