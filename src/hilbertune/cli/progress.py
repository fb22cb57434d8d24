"""Progress bars on stderr.

In: the name of a stage and the share of it that is done.
Out: one bar for each stage; of several processes, only the first one draws.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bars() -> Iterator[Callable[..., None]]:
    """Show progress bars.

    The yielded function is called with a stage, the share of it that is done, and perhaps a note such as a rate.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from hilbertune.runtime import processes

    with Progress(
        TextColumn("{task.description:12}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True, quiet=not processes.is_first()),
    ) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, share: float, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0, note=note)
            bars.update(tasks[stage], completed=share, note=note)

        yield update
