"""The help of a verb as a page: flags in groups, nothing cut off, no name broken at the end of a line.

In: commands as typer makes them, whose flags name their group (`rich_help_panel`).
Out: the text that `--help` prints; a mistake of the user names settings by the flags of the command they ran.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

from hilbertune.cli.fit_config import with_its_file
from hilbertune.cli.wording import Spelling, as_typed_flags, naming_the_column
from hilbertune.errors import HilbertuneError

FIRST, LAST = ("Arguments", "Data", "Shape", "Training", "Tuning"), ("Options", "Output")
"""The groups of flags that come first and last on a page; a flag that names none is one of the options."""

HYPHEN = "\N{NON-BREAKING HYPHEN}"
"""What stands for a hyphen while lines are broken: typer would break --learning-rate into two."""

EXAMPLE = "Example: "


class Verb(TyperCommand):
    """A command whose help is grouped, and whose mistakes name flags as they are typed."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            HilbertuneError: as the command raises it, the settings in it named by their flags.
        """
        try:
            return super().invoke(ctx)
        except HilbertuneError as error:
            spelling = spelling_of(self)
            sentence = as_typed_flags(str(error), spelling)
            first = [name for name, (flag, _) in spelling.items() if sentence.startswith(f"{flag} ")]
            sentence = naming_the_column(with_its_file(sentence, ctx, first), ctx.params)
            if sentence == str(error):
                raise
            raise HilbertuneError(sentence) from error

    def get_help(self, ctx: Any) -> str:
        """Return the page."""
        return super().get_help(ctx).replace(HYPHEN, "-")

    def format_help_text(self, _ctx: Any, formatter: Any) -> None:
        """Write what the command does."""
        _write_text(formatter, [text for text in paragraphs(self) if not text.startswith(EXAMPLE)])

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and flags, group by group, and the examples below them."""
        for name, rows in sections(self, ctx):
            with formatter.section(name):
                formatter.write_dl([(first, _whole(second)) for first, second in rows])
        examples = [text.removeprefix(EXAMPLE) for text in paragraphs(self) if text.startswith(EXAMPLE)]
        if examples:
            with formatter.section("Examples"):
                for example in examples:
                    formatter.write(_command_lines(example, formatter.width) + "\n")


class Verbs(TyperGroup):
    """A group of commands whose list says in whole sentences what each does."""

    def complete_and_leave(self, name: str) -> None:
        """Answer the shell and end the process, if it was a shell that asked how a line can be completed."""
        self._main_shell_completion({}, name)

    def get_help(self, ctx: Any) -> str:
        """Return the page."""
        return super().get_help(ctx).replace(HYPHEN, "-")

    def format_help_text(self, _ctx: Any, formatter: Any) -> None:
        """Write what the commands are for."""
        _write_text(formatter, paragraphs(self))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, and the flags that stand before them."""
        self.format_commands(ctx, formatter)
        for name, rows in sections(self, ctx):
            with formatter.section(name):
                formatter.write_dl([(first, _whole(second)) for first, second in rows])

    def format_commands(self, _ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its help."""
        rows = [(name, _whole(first_sentence(command))) for name, command in self.commands.items()]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def spelling_of(command: Any) -> Spelling:
    """Return the flags of a command by the names of their settings."""
    return {
        param.name: (param.opts[0], param.secondary_opts[0] if param.secondary_opts else None)
        for param in command.params
        if param.param_type_name == "option" and param.opts[0].startswith("--")
    }


def paragraphs(command: Any) -> list[str]:
    """Return the paragraphs of a command's help, each on one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", command.help or "") if part.strip()]


def first_sentence(command: Any) -> str:
    """Return the first sentence of a command's help."""
    return re.split(r"(?<=\.) ", (paragraphs(command) or [""])[0])[0]


def sections(command: Any, ctx: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each group of arguments and flags that has any: its name, and (flag, help) of each."""
    groups: dict[str, list[tuple[str, str]]] = {name: [] for name in FIRST}
    spelling = spelling_of(command)
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is None:
            continue
        argument = param.param_type_name == "argument"
        name = "Arguments" if argument else getattr(param, "rich_help_panel", None) or "Options"
        groups.setdefault(name, []).append((record[0], as_typed_flags(record[1].replace("\\[", "["), spelling)))
    ordered = [*(name for name in groups if name not in LAST), *LAST]
    return ((name, groups[name]) for name in ordered if groups.get(name))


def _write_text(formatter: Any, texts: Sequence[str]) -> None:
    if texts:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(_whole("\n\n".join(texts)))


def _whole(text: str) -> str:
    """Return a text whose words with hyphens are not broken."""
    return text.replace("-", HYPHEN)


def _command_lines(command: str, width: int) -> str:
    """Return a command as it can be copied: on one line, or continued by a backslash before a flag."""
    lines, line = [], "  "
    for words in re.split(r" (?=--[a-z]|\| )", command):
        if line.strip() and len(f"{line} {words} \\") > width:
            lines.append(f"{line} \\")
            line = "     "
        line = f"{line}{' ' * bool(line.strip())}{words}"
    return "\n".join([*lines, line])
