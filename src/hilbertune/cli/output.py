"""The output of commands: one JSON object on stdout, sentences on stderr.

In: figures and sentences.
Out: printed lines.
"""

import re
import sys
from collections.abc import Mapping
from typing import Any

from hilbertune.runtime.escaping import json_text, visible

LONGEST_WORD = 200
"""Characters of a word of a message, such as a path, beyond which its middle is left out."""


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


def say_truncated(count: int) -> None:
    """Say how many texts were cut, if any were."""
    if count:
        say(f"{count} texts were longer than the embedding model takes and were cut.")


def say_classical(figures: Mapping[str, Any]) -> None:
    """Say by how much a plain classical head did better on validation, if it did."""
    if figures["classical_did_better"]:
        say(figures["classical_did_better"]["sentence"])
