"""What the verbs of the command line share: flags that are read off the hyperparameters, progress bars, reading and embedding rows.

In: declarations and files. Out: typer options, labelled rows, vectors; words for people go to stderr.


FIXME Verbs that make and use a model: fit, demo, evaluate, predict.

In: files and flags. Out: a model directory, or figures and predictions on stdout.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError


def print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False))


@contextmanager
def progress_bars() -> Iterator[Callable[..., None]]:
    """Progress bars on stderr, one a stage: call with the stage's name, the share that is done, and perhaps a note such as a rate."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from hilbertune.runtime import processes

    columns = ("{task.description:12}", BarColumn(), "{task.percentage:3.0f} %")
    with Progress(
        *(TextColumn(c) if isinstance(c, str) else c for c in columns),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True, quiet=not processes.is_first()),
    ) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, share: float, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0, note=note)
            bars.update(tasks[stage], completed=share, note=note)

        yield update


def say_truncated(count: int) -> None:
    """Tell how many texts were cut."""
    if count:
        say(f"{count} texts were longer than the embedding model takes and were cut.")


def check_place(out: Path) -> None:
    """Find out before the work whether its result can be written."""
    from hilbertune.runtime import storage

    storage.refuse_existing(out)
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise HilbertuneError(f"Cannot write {out}: {above} is no folder that you may write to.")


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def print_figures(figures: Mapping[str, Any]) -> None:
    """The table of methods and what was saved, for people."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    seeds, rows = len(figures["seeds"]), figures["rows"]
    # Narrow enough for 80 columns.
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    numbers = bool(figures["table"]) and "accuracy" not in figures["table"][0]
    for name in (
        "method",
        "R²" if numbers else "accuracy",
        "95 % interval",
        "parameters",
        "seconds",
    ):
        table.add_column(name, justify="left" if name == "method" else "right")
    for row in figures["table"]:
        score = row["metrics"]["r2"] if numbers else row["accuracy"]
        ends = [score["low"], score["high"]]
        table.add_row(
            row["method"],
            f"{score['mean']:.4f}",
            "needs 2 seeds" if ends[0] is None else f"{ends[0]:.4f} to {ends[1]:.4f}",
            str(row["parameters"]),
            f"{row['seconds']:.2f}",
        )
    if figures["table"]:
        print(
            f"Test {'R²' if numbers else 'accuracy'} over {seeds} seed{'s' * (seeds > 1)} ({rows['train']} rows to train, "
            f"{rows['validation']} to validate, {rows['test']} to test; seconds are those of one training):"
        )
        Console().print(table)
        _metrics_text(figures["table"])
    _energy_text(figures["table"])
    if figures["validation_accuracy"] is not None:
        print(f"Validation accuracy {figures['validation_accuracy']['mean']:.4f}")
    print(f"{figures['parameters']} parameters, {figures['seconds']:.1f} s in all")
    print(f"Saved: {figures['out']} (seed {figures['saved_seed']}, the best on validation)")


def _energy_text(rows: Sequence[Mapping[str, Any]]) -> None:
    """What was metered, a line each with the methods in the order of the table; nothing where nothing was."""
    for name in (
        "joules_per_training",
        "joules_per_1000_predictions",
        "joules_per_correct_prediction",
    ):
        values = [row["energy"][name] for row in rows]
        if any(v is not None for v in values):
            shown = ", ".join("not measured" if v is None else f"{v:.3g}" for v in values)
            print(f"{name.replace('_', ' ')}, in the same order: {shown}")


def _metrics_text(rows: Sequence[Mapping[str, Any]]) -> None:
    """The other metrics, a line each with the methods in the order of the table."""
    for name in rows[0]["metrics"]:
        if name.endswith("accuracy") or name == "r2":
            continue  # it is in the table
        values = [row["metrics"].get(name) for row in rows]
        shown = ", ".join("undefined" if v is None else f"{v['mean']:.4f}" for v in values)
        print(f"{name.replace('_', ' ')}, in the same order: {shown}")
