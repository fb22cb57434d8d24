"""Reference pages that are read off the code: the table of hyperparameters and the help of the command line.

In: a page with a marker such as `<!-- GENERATED:cli -->`.
Out: the page with the marker replaced; mkdocs calls the functions `on_page_...`.
"""

import dataclasses
from typing import Any, get_args, get_origin, get_type_hints

import typer.main

from hilbertune.cli.app import app
from hilbertune.config.fields import Checked, limits_text
from hilbertune.config.records import PRESETS, HeadConfig, InputConfig, MachineConfig, TrainingConfig, TuningConfig


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace every marker of a page by the text it stands for."""
    makers = {
        "hyperparameters:input": lambda: hyperparameters(InputConfig),
        "hyperparameters:machine": lambda: hyperparameters(MachineConfig),
        "hyperparameters:head": lambda: hyperparameters(HeadConfig),
        "hyperparameters:training": lambda: hyperparameters(TrainingConfig),
        "hyperparameters:tuning": lambda: hyperparameters(TuningConfig),
        "presets": presets,
        "cli": command_line,
    }
    for name, make in makers.items():
        marker = f"<!-- GENERATED:{name} -->"
        if marker in markdown:
            markdown = markdown.replace(marker, make())
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Keep an expectation in a docstring, <Z>, from being read as an HTML tag."""
    return html.replace("<Z>", "⟨Z⟩").replace("</Z>", "")


def hyperparameters(record: type[Checked]) -> str:
    """Return a table with a row for every field of the record."""
    rows = ["| name | letter | default | auto | allowed | what it is |", "| --- | --- | --- | --- | --- | --- |"]
    for field in dataclasses.fields(record):
        about = field.metadata
        hint = get_type_hints(record)[field.name]
        allowed = limits_text(about["limits"]) or _kind(hint)
        cells = (f"`{field.name}`", about["letter"], f"`{field.default}`", about["auto"], allowed, about["help"])
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _kind(hint: Any) -> str:
    """Return the values of a Literal or the name of a type."""
    if isinstance(hint, type):
        return {"bool": "`True`, `False`"}.get(hint.__name__, hint.__name__)
    words = []
    for part in get_args(hint):
        if part is type(None):
            words.append("`None`")
        elif isinstance(part, str):
            words.append(f"`{part}`")
        elif get_origin(part) is tuple:
            words.append("a number for each class")
        else:
            words.append(_kind(part))
    return ", ".join(words)


def presets() -> str:
    """Return a table of the settings in which each preset differs from the defaults."""
    rows = ["| preset | what differs from the defaults |", "| --- | --- |"]
    plain = HeadConfig().to_dict()
    for name, shape in PRESETS.items():
        changed = {k: v for k, v in shape.to_dict().items() if v != plain[k]}
        rows.append(f"| `{name}` | {', '.join(f'`{k}={v!r}`' for k, v in changed.items())} |")
    return "\n".join(rows)


def command_line() -> str:
    """Return what `hilbertune --help` and the help of every verb print."""
    group: Any = typer.main.get_command(app)
    parts = [_help(group, "hilbertune")]
    for name, command in group.commands.items():
        parts.append(f"## {name}\n\n{_help(command, f'hilbertune {name}')}")
        for verb, own in getattr(command, "commands", {}).items():
            parts.append(f"### {name} {verb}\n\n{_help(own, f'hilbertune {name} {verb}')}")
    return "\n\n".join(parts)


def _help(command: Any, name: str) -> str:
    context = command.context_class(command, info_name=name, terminal_width=100)
    return f"```text\n{command.get_help(context).rstrip()}\n```"
