"""The output of commands: one JSON object on stdout, sentences on stderr, as many of them as were asked for.

In: figures and sentences, --quiet and --verbose.
Out: printed lines.
"""

import contextlib
import functools
import inspect
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Annotated, Any, get_type_hints

import typer

from hilbertune.runtime.escaping import json_text, visible

LONGEST_WORD = 200
"""Characters of a word of a message, such as a path, beyond which its middle is left out."""


LOUDNESS: ContextVar[int] = ContextVar("loudness", default=0)
"""What the command tells on stderr: -1 warnings and questions alone, 0 remarks and progress too, 1 and 2 its log."""

Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Neither progress nor remarks: results and errors.", rich_help_panel="Output"),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="Tell what is done, and where an error arose; twice: every detail.",
        rich_help_panel="Output",
    ),
]


def with_loudness(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags --quiet and --verbose, which hold for all that it calls."""

    @functools.wraps(command)
    def wrapped(quiet: bool = False, verbose: int = 0, **given: Any) -> None:
        if quiet or verbose:
            LOUDNESS.set(-1 if quiet else min(verbose, 2))
        with _log_on_stderr():
            command(**given)

    hints = get_type_hints(command, include_extras=True)
    signature = inspect.signature(command)
    flags = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints.get(one.name, one.annotation))
        for one in signature.parameters.values()
    ]
    for name, kind, default in (("quiet", Quiet, False), ("verbose", Verbose, 0)):
        flags.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))
    wrapped.__signature__ = signature.replace(parameters=flags)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {flag.name: flag.annotation for flag in flags}
    return wrapped


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show what the package logs within the block, if --verbose asks for it."""
    logger = logging.getLogger("hilbertune")
    if LOUDNESS.get() < 1 or logger.handlers:
        yield
        return
    before, handler = logger.level, logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if LOUDNESS.get() == 1 else logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def literal(text: str) -> Any:
    """Return a text that rich prints as it is: names may hold what rich reads as markup, such as [/red]."""
    from rich.text import Text

    return Text(visible(text))


def one_line(sentence: str) -> str:
    """Return a message on one line, the middle of words that nobody reads to their end left out."""
    words = " ".join(sentence.split())
    return re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:80]}...{word[0][-40:]}", words)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    print(json_text(value))


def say(sentence: str) -> None:
    """Print a sentence on stderr."""
    print(visible(sentence, lines=True), file=sys.stderr)


def remark(sentence: str) -> None:
    """Print a sentence on stderr that --quiet leaves out."""
    if LOUDNESS.get() >= 0:
        say(sentence)


def say_truncated(count: int) -> None:
    """Say how many texts were cut, if any were."""
    if count:
        remark(f"{count} texts were longer than the embedding model takes and were cut.")


def say_classical(figures: Mapping[str, Any]) -> None:
    """Say by how much a plain classical head did better on validation, if it did."""
    if figures["classical_did_better"]:
        remark(figures["classical_did_better"]["sentence"])
