"""Reference pages that are read off the code: the table of hyperparameters and the help of the command line.

In: a page with a marker such as `<!-- GENERATED:cli -->`.
Out: the page with the marker replaced; mkdocs calls the functions `on_page_...`.
"""

import dataclasses
import html
import re
from typing import Any, get_args, get_origin, get_type_hints

import typer.main

from hilbertune.cli.app import app
from hilbertune.cli.pages import EXAMPLE, first_sentence, paragraphs, sections
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
    """Keep an expectation in a docstring, <Z>, from being read as an HTML tag, and names in code from being broken."""
    page = html.replace("<Z>", "⟨Z⟩").replace("</Z>", "")
    return re.sub(r"(?<!<span></span>)<code>([^<\n]*)</code>", lambda code: f"<code>{_unbroken(code[1])}</code>", page)


def _unbroken(text: str) -> str:
    """Return code in which no line ends within a name or a flag, unless it is too long for a phone."""
    words = re.split(r"(\s+)", text)
    return "".join(f'<span class="whole">{w}</span>' if 0 < len(html.unescape(w.strip())) < 28 else w for w in words)


def hyperparameters(record: type[Checked]) -> str:
    """Return a table with a row for every field of the record."""
    rows = ["| name | letter | default | auto | allowed | what it is |", "| --- | --- | --- | --- | --- | --- |"]
    for field in dataclasses.fields(record):
        about = field.metadata
        hint = get_type_hints(record)[field.name]
        allowed = limits_text(about["limits"]) or _kind(hint)
        cells = (f"`{field.name}`", about["letter"], f"`{field.default}`", about["auto"], allowed, about["help"])
        rows.append(f"| {' | '.join(cells)} |")
    return _cards(rows, "fields")


def _cards(rows: list[str], kind: str) -> str:
    """Return a table whose rows become cards on a phone (stylesheets/site.css)."""
    table = "\n".join(rows)
    return f'<div class="cards-on-a-phone {kind}" markdown>\n\n{table}\n\n</div>'


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
    """Return the help of `hilbertune` and of every verb: what it does, how it is called, a table for each group."""
    group: Any = typer.main.get_command(app)
    root = group.context_class(group, info_name="hilbertune", **group.context_settings)
    parts = ["## All commands", _commands(group, ""), _tables(group, root)]
    for name, command in group.commands.items():
        context = command.context_class(command, info_name=name, parent=root)
        parts.append(f"## {name}\n\n{_page(command, context, f'{name}-')}")
        for verb, own in getattr(command, "commands", {}).items():
            below = own.context_class(own, info_name=verb, parent=context)
            parts.append(f"### {name} {verb}\n\n{_page(own, below, '')}")
    return "\n\n".join(parts)


def _page(command: Any, context: Any, prefix: str) -> str:
    """Return what a command does, its usage and examples, its flags, and what is below it, named with the prefix."""
    texts = [text for text in paragraphs(command) if not text.startswith(EXAMPLE)]
    examples = [text.removeprefix(EXAMPLE) for text in paragraphs(command) if text.startswith(EXAMPLE)]
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    calls = "\n".join([f"# {usage}", *examples])
    parts = [*map(_prose, texts), f"```sh\n{calls}\n```", _commands(command, prefix), _tables(command, context)]
    return "\n\n".join(part for part in parts if part)


def _commands(command: Any, prefix: str) -> str:
    """Return a table of the commands of a group, with links to them; nothing for a single command."""
    below = getattr(command, "commands", {})
    if not below:
        return ""
    rows = [f"| [{name}](#{prefix}{name}) | {_prose(first_sentence(own))} |" for name, own in below.items()]
    return "\n".join(["| command | what it does |", "| --- | --- |", *rows])


def _tables(command: Any, context: Any) -> str:
    """Return a table for each group of flags."""
    parts = []
    for name, rows in sections(command, context):
        table = [f"| {name} | value | default | what it is |", "| --- | --- | --- | --- |"]
        for flag, help_ in rows:
            names, _, value = flag.partition(" <")
            default, text = _default_of(help_)
            cells = (
                "<br>".join(map(_code, names.replace(" / ", ", ").split(", "))),
                _code(f"<{value}") if value else "",
                _prose(default),
                _prose(text),
            )
            table.append(f"| {' | '.join(cells)} |")
        parts.append(_cards(table, "flags"))
    return "\n\n".join(parts)


def _default_of(help_: str) -> tuple[str, str]:
    """Return the default that a help text names, and the text without it."""
    if (said := re.search(r"\s*\bDefault: (.*?)\.(?= |$)", help_)) is not None:
        return said[1], help_[: said.start()] + help_[said.end() :]
    if (last := re.search(r"\s*\[([^][]*)\]$", help_)) is None:
        return "", help_
    parts = last[1].split("; ")
    default = next((part.removeprefix("default: ") for part in parts if part.startswith("default: ")), "")
    others = [part for part in parts if not part.startswith("default: ")]
    known = default or any(part == "required" or "<=" in part or ">=" in part for part in others)
    if not known:
        return "", help_
    return default, " ".join([help_[: last.start()], *(f"[{part}]" for part in others)])


def _code(text: str) -> str:
    """Return code in which no name is broken: only after a bar may a line end."""
    pieces = [html.escape(piece) for piece in re.split(r"(?<=\|)", text)]
    spans = (f'<span style="white-space: nowrap">{piece}</span>' for piece in pieces if piece)
    return f"<code>{'<wbr>'.join(spans).replace('|', '&#124;')}</code>"


def _prose(text: str) -> str:
    """Return a help text for a cell of a table, its flags as code."""
    escaped = html.escape(text, quote=False).replace("|", "&#124;").replace("*", "&#42;").replace("_", "&#95;")
    return re.sub(r"(?<![\w-])--[a-z][a-z-]*", lambda flag: _code(flag[0]), escaped)
