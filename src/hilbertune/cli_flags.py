"""What the verbs of the command line share: flags that are read off the hyperparameters, progress bars, reading and embedding rows.

In: declarations and files. Out: typer options, labelled rows, vectors; words for people go to stderr.
"""

import dataclasses
import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from hilbertune.config import (
    PRESETS,
    HeadConfig,
    TrainingConfig,
    TuningConfig,
    choices,
    limits_text,
)
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.config import Task
    from hilbertune.data import Labelled
    from hilbertune.embedding import Embedder

Record = type[HeadConfig] | type[TrainingConfig] | type[TuningConfig]
_ARGUMENTS: dict[Record, str] = {
    HeadConfig: "shape",
    TrainingConfig: "training",
    TuningConfig: "tuning",
}
"""The argument of a verb that takes the record."""

Preset = Annotated[
    str | None,
    typer.Option(help=f"Start from a named shape ({', '.join(PRESETS)}); other flags change it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Device = Annotated[str, typer.Option(help="Where tensors live: cpu, cuda, cuda:1 ...")]
TensorBoard = Annotated[
    Path | None, typer.Option("--tensorboard", help="Mirror the runs to this folder of logs.")
]
MLflow = Annotated[
    str | None,
    typer.Option("--mlflow", help="Mirror the runs to this MLflow store: a file, or http://...."),
]
WandB = Annotated[
    str | None,
    typer.Option("--wandb", help="Mirror the runs to this project of Weights & Biases."),
]
Text = Annotated[str, typer.Option("--text", help="Column of the texts.")]
Label = Annotated[str, typer.Option("--label", help="Column of the labels.")]
TextPair = Annotated[
    str | None, typer.Option("--text-pair", help="Column of the second texts, for pairs.")
]
BestDevice = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...; auto is the best there is.")]
DataSplit = Annotated[str, typer.Option("--split", help="Split of a Hugging Face dataset.")]


def hyperparameters(*records: Record) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for every field of the records and hand it the records, made from --preset and the flags."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapped(**given: Any) -> None:
            for record in records:
                names = [f.name for f in dataclasses.fields(record)]
                values = {n: v for n in names if (v := given.pop(n)) is not None}
                base = {}
                if record is HeadConfig and given["preset"] is not None:
                    base = preset_named(given["preset"]).to_dict()
                given[_ARGUMENTS[record]] = record.from_dict({**base, **values})
            command(**given)

        own = [
            p
            for p in inspect.signature(command).parameters.values()
            if p.name not in _ARGUMENTS.values()
        ]
        flags = [flag for record in records for flag in _flags(record)]
        wrapped.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
        return wrapped

    return decorate


def _flags(record: Record) -> Iterator[inspect.Parameter]:
    for field in dataclasses.fields(record):
        about = field.metadata
        range_text = limits_text(about["limits"])
        default: Any = field.default
        if default is None or isinstance(default, bool):
            default = {None: "none", True: "yes", False: "no"}[default]
        text = " ".join(
            part
            for part in (
                about["help"],
                f"Letter {about['letter']}." if about["letter"] else "",
                f"Must be {range_text}." if range_text else "",
                f"[default: {default}]",
            )
            if part
        )
        hint: Any = get_type_hints(record)[field.name]
        if about["numbers"]:
            hint = Literal[tuple(choices(hint))]
        annotation = Annotated[hint | None, typer.Option(help=text, show_default=False)]
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
        )


def preset_named(name: str) -> HeadConfig:
    if name not in PRESETS:
        raise HilbertuneError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


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

    from hilbertune import processes

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


def first_row(labelled: "Labelled") -> "Labelled":
    """The first row, where it has yet to be embedded."""
    if labelled.texts is None:
        return labelled
    return dataclasses.replace(labelled, texts=labelled.texts[:1], labels=labelled.labels[:1])


def embed_rows(
    labelled: "Labelled",
    embedder: "Embedder | None",
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> "np.ndarray":
    """Embeddings of the rows; precomputed ones need no embedder."""
    from hilbertune.data import check_embeddings

    if labelled.embeddings is not None:
        check_embeddings(labelled.embeddings)
        return labelled.embeddings
    assert labelled.texts is not None
    assert embedder is not None
    done, total = 0, len(labelled.texts)

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress("embedding", min(1.0, done / total))

    before = embedder.truncated
    embeddings = embedder.embed(labelled.texts, progress=step)
    say_truncated(embedder.truncated - before)
    return embeddings


def say_truncated(count: int) -> None:
    """Tell how many texts were cut."""
    if count:
        say(f"{count} texts were longer than the embedding model takes and were cut.")


def check_place(out: Path) -> None:
    """Find out before the work whether its result can be written."""
    from hilbertune import storage

    storage.refuse_existing(out)
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise HilbertuneError(f"Cannot write {out}: {above} is no folder that you may write to.")


def targets_like(
    labels: Sequence[Any], classes: Sequence[Any], task: "Task" = "classification"
) -> "np.ndarray":
    """Targets of labels whose classes are known; labels that all look like numbers may still belong to classes that are words."""
    from hilbertune.data import label_targets

    words = task not in ("multi-label", "regression") and all(isinstance(c, str) for c in classes)
    return label_targets([str(v) for v in labels] if words else labels, classes, task)


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def read_rows(
    data: Path | None,
    embeddings: Path | None,
    text: str,
    label: str,
    split: str,
    *,
    text_pair: str | None = None,
    labels: Path | None = None,
    task: "Task" = "classification",
) -> "Labelled":
    """Labelled texts, or labelled embeddings."""
    from hilbertune.data import read_embeddings, read_labelled

    if (data is None) == (embeddings is None):
        raise HilbertuneError("Name either a file of labelled texts or --embeddings, and not both.")
    if embeddings is not None or Path(str(data)).suffix.lower() in (".npz", ".npy", ".safetensors"):
        return read_embeddings(embeddings or Path(str(data)), labels_from=labels, task=task)
    return read_labelled(
        str(data), text=text, text_pair=text_pair, label=label, split=split, task=task
    )
