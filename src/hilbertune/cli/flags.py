"""Flags that several verbs share, and flags that are read off records.

In: dataclasses whose fields declare a flag each.
Out: commands that take one flag for each field and are handed the records themselves.
"""

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import typer

from hilbertune.cli.progress import progress_bars
from hilbertune.config.automatic import AUTO, DECLARED, LEFT_TO_THE_DATA, Automatic, Traits, of_preset, resolved
from hilbertune.config.circuits import OWN
from hilbertune.config.fields import Checked, choices, limits_text
from hilbertune.config.records import PRESETS, HeadConfig, InputConfig, TrainingConfig, TuningConfig
from hilbertune.errors import shown

if TYPE_CHECKING:
    from hilbertune.report.tracking import Mirror

NO_VALUE = object()
"""The value of a flag that says "none", where None means that the flag was not given."""

Preset = Annotated[
    str | None,
    typer.Option(
        help=f"Start from a named shape ({', '.join(PRESETS)}); other flags change it.", rich_help_panel="Shape"
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else.", rich_help_panel="Output")
]
Device = Annotated[str, typer.Option(help="Where tensors live: cpu, cuda, cuda:1 ...")]
TrainingDevice = Annotated[
    str, typer.Option(help="Where tensors live: cpu, cuda, cuda:1 ...", rich_help_panel="Training")
]
BestDevice = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...; auto is a GPU if there is one.")]
ModelArgument = Annotated[str, typer.Argument(help="Model directory.")]
TestData = Annotated[Path, typer.Argument(help="Labelled data: texts, or an .npz file of embeddings.")]
Text = Annotated[str, typer.Option("--text", help="Column of the texts.")]
TextPair = Annotated[str | None, typer.Option("--text-pair", help="Column of the second texts, for pairs.")]
Label = Annotated[str, typer.Option("--label", help="Column of the labels.")]
DataSplit = Annotated[str, typer.Option("--split", help="Split of a Hugging Face dataset.")]
Picture = Annotated[
    Path | None, typer.Option(help="Also draw it to this .png, .svg or .pdf file.", rich_help_panel="Output")
]

ALIASES = {"learning_rate": "--lr", "base_learning_rate": "--base-lr", "weight_decay": "--wd"}
"""Short names that other libraries give a hyperparameter; each names the same one everywhere."""


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of labelled data, and the split of a dataset they are read from."""

    panel: ClassVar[str] = "Data"

    text: Text = "text"
    text_pair: TextPair = None
    label: Label = "label"
    split: DataSplit = "train"


@dataclasses.dataclass(frozen=True)
class TestColumns(Columns):
    """The columns of data to test on."""

    __test__ = False  # not a class of tests, whatever its name

    split: DataSplit = "test"


@dataclasses.dataclass(frozen=True)
class Trackers:
    """The trackers that finished runs are copied to."""

    panel: ClassVar[str] = "Output"

    tensorboard: Annotated[
        Path | None, typer.Option("--tensorboard", help="Copy the runs to this folder of TensorBoard logs.")
    ] = None
    mlflow: Annotated[
        str | None, typer.Option("--mlflow", help="Copy the runs to this MLflow store: a file, or http://....")
    ] = None
    wandb: Annotated[str | None, typer.Option("--wandb", help="Copy the runs to this project of Weights & Biases.")] = (
        None
    )

    def mirrors(self) -> "list[Mirror]":
        """Return the mirrors that copy a run to each tracker that was asked for.

        Raises:
            MissingExtraError: the extra of a tracker is not installed.
            HilbertuneError: a tracker cannot be reached or written.
        """
        if not (self.tensorboard or self.mlflow or self.wandb):
            return []
        from hilbertune.report import tracking

        with progress_bars() as progress:
            progress("trackers", 0.0)
            return tracking.mirrors(self.tensorboard, self.mlflow, self.wandb)


def named_place(text: str) -> Path:
    """Return the path that a flag names; an empty one, which a path cannot tell from ".", is a mistake."""
    if not text.strip():
        raise typer.BadParameter("it is empty: name a place.")
    return Path(text)


PANELS: dict[Any, str] = {InputConfig: "Data", HeadConfig: "Shape", TrainingConfig: "Training", TuningConfig: "Tuning"}
"""The groups in which help shows the flags of hyperparameters; records of commands have theirs as `panel`."""


def with_records(command: Callable[..., None]) -> Callable[..., None]:
    """Turn each parameter that is a record into one flag for each of its fields, and hand the command the records.

    The fields of a dataclass are annotated as the parameters of a command are; those of a record of `config` have
    their help, range and default there. The head's shape brings the flag --preset, its start, whose value a command
    gets only if it has a parameter `preset`. `Automatic` stands for shape and training, whose flags may be "auto", and
    are where they were not given, unless a preset is the start.
    """
    hints = get_type_hints(command, include_extras=True)
    records = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint)}

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        preset = given.get("preset") if "preset" in hints else given.pop("preset", None)
        for name, record in records.items():
            values = {field.name: given.pop(field.name) for field in _fields(record)}
            given[name] = _made(record, values, preset)
        command(**given)

    flags: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in records:
            if records[parameter.name] in (HeadConfig, Automatic) and "preset" not in hints:
                flags.append(_flag("preset", None, Preset))
            flags += _flags(records[parameter.name])
        else:
            flags.append(_flag(parameter.name, parameter.default, hints[parameter.name]))
    wrapped.__signature__ = inspect.Signature(flags)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return wrapped


def _made(record: Any, values: dict[str, Any], preset: str | None) -> Any:
    """Make a record from its flags; those of `config` that were not given (None) keep their defaults."""
    if not issubclass(record, Checked | Automatic):
        return record(**values)
    start = {} if preset is None else of_preset(preset)
    given = {name: None if value is NO_VALUE else value for name, value in values.items() if value is not None}
    if any(name in given for name in OWN):
        from hilbertune.circuit.sources import with_texts

        given = with_texts(given)
    if record is Automatic:
        return Automatic({**DECLARED, **(start or LEFT_TO_THE_DATA), **given})
    shape = {name: start[name] for name in values if name in start} if record is HeadConfig else {}
    if "qubits" not in given and any(name in given for name in OWN):
        # As many as the circuit needs.
        shape["qubits"] = resolved({**DECLARED, **shape, **given, "qubits": AUTO}, Traits())["qubits"]
    return record.from_dict({**shape, **given})


def _fields(record: Any) -> "list[dataclasses.Field[Any]]":
    """Return the fields that a record brings flags for."""
    records = (HeadConfig, TrainingConfig) if record is Automatic else (record,)
    return [field for one in records for field in dataclasses.fields(one)]


def _flags(record: Any) -> Iterator[inspect.Parameter]:
    if record is Automatic:
        for own in (HeadConfig, TrainingConfig):
            hints = get_type_hints(own)
            for field in dataclasses.fields(own):
                annotation = _annotation(field, hints[field.name], auto=bool(field.metadata["auto"]))
                yield _flag(field.name, None, _in_panel(annotation, own))
        return
    hints = get_type_hints(record, include_extras=True)
    for field in dataclasses.fields(record):
        annotation, default = hints[field.name], field.default
        if issubclass(record, Checked):
            annotation, default = _annotation(field, annotation), None
        elif default is dataclasses.MISSING:
            default = inspect.Parameter.empty
        yield _flag(field.name, default, _in_panel(annotation, record))


def _in_panel(annotation: Any, record: Any) -> Any:
    """Return the annotation of a flag, in the group of its record unless it names another."""
    panel = getattr(record, "panel", None) or PANELS.get(record)
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, *about = get_args(annotation)
    placed = [copy.copy(info) for info in about]
    for info in placed:
        if getattr(info, "rich_help_panel", "none has one") is None:
            info.rich_help_panel = panel
    return Annotated[(kind, *placed)]


def _flag(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def finite(low: float, high: float) -> Any:
    """Return a flag's reader: a number from `low` to `high`; typer's own lets NaN pass every range."""

    def read(text: Any) -> float:  # typer reads the default too
        try:
            value = float(text)
        except ValueError:
            raise typer.BadParameter(f"{shown(text)} is not a number.") from None
        if not low <= value <= high:
            raise typer.BadParameter(f"{shown(text)} is not between {low:g} and {high:g}.")
        return value

    return read


def _number_or_word(kind: type, *, optional: bool) -> Any:
    """Return a flag's reader: a number, or "auto", or "none" where a setting need not have a value."""
    words = {AUTO: AUTO, **({"none": NO_VALUE} if optional else {})}

    def read(text: str) -> Any:
        try:
            return words[text] if text in words else kind(text)
        except ValueError:
            expected = " or ".join(["a number" if kind is float else "a whole number", *words])
            raise typer.BadParameter(f"{shown(text)} is not {expected}.") from None

    return read


def _automatic_option(hint: Any, names: list[str], help_: str) -> Any:
    """Return the flag of a hyperparameter that may be left to the data; a switch is, where it is not given."""
    if choices(hint):
        return Annotated[Literal[(*choices(hint), AUTO)] | None, typer.Option(*names, help=help_, show_default=False)]
    kinds = get_args(hint) or (hint,)
    if bool in kinds:
        return Annotated[bool | None, typer.Option(*names, help=help_, show_default=False)]
    kind, optional = float if float in kinds else int, type(None) in kinds
    metavar = f"<{'|'.join([kind.__name__, AUTO, *(['none'] if optional else [])])}>"
    reader = _number_or_word(kind, optional=optional)
    return Annotated[Any | None, typer.Option(*names, parser=reader, metavar=metavar, help=help_, show_default=False)]


def _annotation(field: Any, hint: Any, *, auto: bool = False) -> Any:
    """Return the flag of a hyperparameter, which is None where it was not given."""
    about = field.metadata
    range_text = limits_text(about["limits"])
    default = field.default
    if auto:
        default = f"auto, that is, {about['auto']}"
    elif default is None or isinstance(default, bool):
        default = {None: "none", True: "yes", False: "no"}[default]
    elif isinstance(default, float):
        default = f"{default:g}"
    parts = (
        about["help"],
        f"Letter {about['letter']}." if about["letter"] else "",
        f"Must be {range_text}." if range_text else "",
        "" if "Default: " in about["help"] else f"[default: {default}]",
    )
    names = [f"--{field.name.replace('_', '-')}", ALIASES[field.name]] if field.name in ALIASES else []
    help_ = " ".join(filter(None, parts))
    if auto:
        return _automatic_option(hint, names, help_)
    if about["numbers"]:
        hint = Literal[tuple(choice for choice in choices(hint) if choice is not None)]
    return Annotated[hint | None, typer.Option(*names, help=help_, show_default=False)]
