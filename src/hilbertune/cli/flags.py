"""What the verbs of the command line share: flags that are read off the hyperparameters, progress bars, reading and embedding rows.

In: declarations and files. Out: typer options, labelled rows, vectors; words for people go to stderr.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from hilbertune.config.fields import choices, limits_text
from hilbertune.config.records import PRESETS, HeadConfig, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError

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


TensorBoard = Annotated[Path | None, typer.Option("--tensorboard", help="Mirror the runs to this folder of logs.")]


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


TextPair = Annotated[str | None, typer.Option("--text-pair", help="Column of the second texts, for pairs.")]


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

        own = [p for p in inspect.signature(command).parameters.values() if p.name not in _ARGUMENTS.values()]
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
        yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def preset_named(name: str) -> HeadConfig:
    if name not in PRESETS:
        raise HilbertuneError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]
