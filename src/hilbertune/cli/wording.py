"""Messages in the words of the command line: `--basis pca` for what Python calls basis='pca'.

In: a sentence of any layer below, and the flags of the command that was run.
Out: the sentence with flags as they are typed.
"""

import re
import shlex
from collections.abc import Mapping

from hilbertune.config.automatic import AUTOMATIC

Spelling = Mapping[str, tuple[str, str | None]]
"""The flag of each setting, and for a switch the one that turns it off."""

_QUOTED = r"'[^']*'"
_MORE = rf"(?:(?:,| or|, or) {_QUOTED}(?![\w=]))*"
"""Further values of the same setting: merge='average' or 'alternate'."""


COLUMNS = ("text", "text_pair", "label")
"""The settings that name columns of data."""


def as_typed_flags(sentence: str, spelling: Spelling) -> str:
    """Return a sentence in which settings are named by their flags.

    What Python calls name=value is always a setting. A name that could be a plain word, such as "shots", is one only
    where the sentence asks for a change of it; one with an underscore is no plain word. What is quoted stays.
    """
    names = [name for name in spelling if name.isidentifier()]
    if not names:
        return sentence
    any_name = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    given = re.compile(rf"(?<![\w.'/?&-])({any_name}) ?= ?({_QUOTED}|\[[^]]*\]|[\w+-]+(?:\.\d+)?)({_MORE})")
    sentence = given.sub(lambda found: _given(found, spelling), sentence)
    asked = re.compile(
        rf"(?<![\w.'/=-])(?:(?<=leave out )({any_name})|(?<=leave out either )({any_name})(?= or )|"
        rf"(?<=leave )({any_name})(?= out\b)|(?<=or drop )({any_name})|"
        rf"({any_name})(?= (?:must be|must lie|must hold|can be at most) ))(?![\w.'/=-])"
    )
    sentence = asked.sub(lambda found: _named(found, spelling), sentence)
    underscored = "|".join(re.escape(name) for name in names if "_" in name.strip("_"))
    if underscored:
        plain = re.compile(rf"(?<![\w.'/=-])({underscored})(?![\w.'/=-]*[\w'/=-])")
        sentence = plain.sub(lambda found: _named(found, spelling), sentence)
    return re.sub(r"(--[a-z-]+) \(\1\)", r"\1", sentence)  # a sentence may name both


def naming_the_column(sentence: str, params: Mapping[str, object]) -> str:
    """Return a sentence about a missing column with the flag that names another; `params` are the flags' values."""
    missing = re.search(r"has no column '([^']*)'", sentence)
    flag = next((f for f in COLUMNS if missing and params.get(f) == missing[1]), None)
    if flag is None:
        return sentence
    typed = f"--{flag.replace('_', '-')}"
    sentence = re.sub(
        r"; did you mean '([^']*)'\?", lambda found: f"; did you mean {typed} {shlex.quote(found[1])}?", sentence
    )
    return sentence.replace("; name one of them.", f"; name one of them with {typed}.")


def flags_text(settings: Mapping[str, object]) -> str:
    """Return hyperparameters as flags that can be copied; one without a value is left out, or "none" if it may be."""
    pairs = {name: (f"--{name.replace('_', '-')}", f"--no-{name.replace('_', '-')}") for name in settings}
    kept = {name: value for name, value in settings.items() if value is not None or name in AUTOMATIC}
    return " ".join(
        _flag(name, str(value), {name: pairs[name] if isinstance(value, bool) else (pairs[name][0], None)})
        for name, value in kept.items()
    )


def _named(found: re.Match[str], spelling: Spelling) -> str:
    return spelling[next(group for group in found.groups() if group)][0]


def _given(found: re.Match[str], spelling: Spelling) -> str:
    name, value, more = found.groups()
    return _flag(name, value.strip("'"), spelling) + more.replace("'", "")


def _flag(name: str, value: str, spelling: Spelling) -> str:
    """Return a flag with its value; a switch has none."""
    flag, off = spelling[name]
    if off is not None and value in ("True", "yes", "False", "no"):
        return flag if value in ("True", "yes") else off
    return f"{flag} {'none' if value == 'None' else value}"
