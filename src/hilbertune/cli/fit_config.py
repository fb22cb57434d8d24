"""The flags of a fit as a file: read before anything else, and written beside the model.

In: a YAML file whose keys are flags, or the directory of a model that `fit` has saved.
Out: values that stand where no flag was given; the file from which a fit can be repeated.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hilbertune.config.automatic import AUTOMATIC
from hilbertune.errors import HilbertuneError, require, shown

FILE = "fit.yaml"
"""The file in a model directory from which the fit can be repeated."""

LARGEST = 1 << 18
"""Bytes of the largest file of flags."""


def read_config(path: Path, command: Any) -> dict[str, str]:
    """Return the values of a file, by the names of the command's parameters, as they would be typed.

    Raises:
        HilbertuneError: there is no such file, it is no table of single values, or it has a key that is no flag.
    """
    from hilbertune.runtime.schema import read_bytes
    from hilbertune.runtime.yaml_text import parse_yaml

    require("yaml", "study")
    file = path / FILE if path.is_dir() else path
    try:
        text = read_bytes(file, LARGEST).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise HilbertuneError(f"Cannot read --config {file}: {reason}.") from error
    table = parse_yaml(text, file.name, kind="flags of fit", needs="lines such as 'epochs: 60'")
    known = _known(command)
    values: dict[str, str] = {}
    for key, value in table.items():
        param = known.get(str(key).replace("-", "_"))
        if param is None:
            close = difflib.get_close_matches(str(key)[:100].replace("-", "_"), known, 1, 0.5)
            hint = f"did you mean {close[0]!r}?" if close else "hilbertune fit --help lists them."
            raise HilbertuneError(f"{file.name}: {shown(key)} is no flag of fit: {hint}")
        if param.name in values:
            raise HilbertuneError(f"{file.name} sets {param.opts[0]} twice: keep one of its names.")
        if (typed := _typed(value, param, file.name, key)) is not None:
            values[param.name] = typed
    return values


def _known(command: Any) -> dict[str, Any]:
    """Return the parameters of a command by every name that a key may have."""
    known: dict[str, Any] = {}
    for param in command.params:
        names = [name.lstrip("-") for name in param.opts if not name.startswith("-") or name.startswith("--")]
        known |= {name.replace("-", "_"): param for name in names}
    return {name: param for name, param in known.items() if param.name not in ("config", "version")}


def _typed(value: Any, param: Any, file: str, key: Any) -> Any:
    """Return a value as it would be typed; None for one that is left open."""
    if isinstance(value, dict | list):
        raise HilbertuneError(f"{file}: {key} takes one value, not {shown(value)}.")
    if isinstance(value, bool):
        if not getattr(param, "is_bool_flag", False):
            raise HilbertuneError(f"{file}: {key} is no switch: give it a value, not {str(value).lower()}.")
        return value
    if value is None:
        return "none" if "none" in (param.metavar or "") else None
    if getattr(param, "is_bool_flag", False):
        raise HilbertuneError(f"{file}: {key} is a switch: true or false, not {shown(value)}.")
    return str(value)


def _take(context: Any, value: Path | None) -> Path | None:
    """Let the values of the file stand where no flag is given."""
    if value is not None and not context.resilient_parsing:
        context.default_map = read_config(value, context.command)
        context.meta[FILE] = value
    return value


def with_its_file(sentence: str, context: Any, names: Iterable[str]) -> str:
    """Return a sentence about a flag with the name of the file in front, if it was the file that gave the flag."""
    from_file = [n for n in names if str(context.get_parameter_source(n)).endswith("DEFAULT_MAP")]
    return f"{context.meta[FILE]}: {sentence}" if FILE in context.meta and from_file else sentence


Config = Annotated[
    Path | None,
    typer.Option(
        callback=_take,
        is_eager=True,
        help="YAML file of flags, such as 'epochs: 60'; a flag on the command line wins. The directory of a model "
        "that fit saved repeats that fit.",
        rich_help_panel="Data",
    ),
]


def record(settings: Mapping[str, Any]) -> bytes:
    """Return the file from which a fit with these settings, the values of its flags by name, can be repeated."""
    lines = ["# hilbertune fit --config THIS_FILE --out NEW_FOLDER, in the folder of the first time, repeats this fit."]
    for name, value in settings.items():
        if value is None and name in AUTOMATIC:
            value = "none"  # left out it would be chosen anew
        if value is not None:
            text = value if isinstance(value, bool | int | float) else str(value)
            lines.append(f"{name}: {json.dumps(text, ensure_ascii=False)}")
    return ("\n".join(lines) + "\n").encode(errors="backslashreplace")
