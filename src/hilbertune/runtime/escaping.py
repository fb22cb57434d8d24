"""Text of a user's or a stranger, such as the name of a class, made harmless for each medium that shows it.

In: any text.
Out: the same text where it is plain; otherwise with escapes for what would steer a terminal, turn the direction of
writing, or become a formula of a spreadsheet or Markdown.
"""

import html
import json
import re
import unicodedata
from typing import Any

_JOINERS = "\u200c\u200d"
"""Marks within words of Persian and within emoji, which turn nothing around."""

_PLAIN = re.compile(r"[ -~]*")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")
_MARKDOWN = re.compile(r"([\\`*\[\]|~])")


def _steers(character: str) -> bool:
    """Return True for control characters, marks of direction, line separators, and halves of surrogate pairs."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS


def visible(text: object, *, lines: bool = False) -> str:
    r"""Return a text for a terminal or a page: "\x1b" for an escape character, and so on; `lines` keeps line breaks."""
    text = str(text)
    if _PLAIN.fullmatch(text):
        return text
    kept = "\n\t" if lines else ""
    return "".join(c.encode("unicode_escape").decode() if _steers(c) and c not in kept else c for c in text)


def cell(value: object) -> str:
    """Return a value as a cell of a CSV or TSV file: on one line, visible, and never a formula of a spreadsheet.

    A word that begins like a formula gets an apostrophe before it, as spreadsheets themselves write such words; numbers
    stay. `labels.label_indices` knows labels in this form.
    """
    text = visible(" ".join(str(value).splitlines()))
    is_word = isinstance(value, str) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_word and _FORMULA.match(text) else text


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return JSON in which letters stay as they are, and what steers a terminal is escaped, which readers undo."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isascii():
        return text.replace("\x7f", "\\u007f")
    return "".join(json.dumps(c)[1:-1] if _steers(c) and c != "\n" else c for c in text)


def markdown(text: object) -> str:
    """Return a text for a line of Markdown, where it is neither markup nor HTML."""
    return _MARKDOWN.sub(r"\\\1", html.escape(visible(text), quote=False))
