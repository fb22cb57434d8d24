"""Errors that a user can mend, each stated in one sentence that says what is wrong and what to do.

In: a sentence, or a module that may be missing.
Out: an exception, which the command line prints without a trace-back (exit code 2), or a warning that stops nothing.
"""

import difflib
import functools
import importlib
import logging
from collections.abc import Sequence
from types import ModuleType


class HilbertuneError(ValueError):
    """Bad input or an impossible request; the message says what is wrong and what to do."""


class MissingExtraError(HilbertuneError, ImportError):
    """A package of an extra that is needed but not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import a module that an extra installs.

    Raises:
        MissingExtraError: the module, or a package that it imports, is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"This needs the package {error.name!r}: run pip install 'hilbertune[{extra}]'."
        ) from error


@functools.cache
def warn_once(sentence: str) -> None:
    """Say on stderr, once, what went wrong without stopping the work (through `logging`, whose user may silence it)."""
    logging.getLogger("hilbertune").warning("%s", sentence)


LONGEST_SHOWN = 60
"""Characters of a value that a message repeats."""


def shown(value: object) -> str:
    """Return a value as a message repeats it: short and without an error of its own, whatever it is."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list deeper than the stack
        return f"a {type(value).__name__} that nobody can read"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 8]} ... {text[-3:]}"


def first_line(error: BaseException) -> str:
    """Return the first line of another library's error, or the name of its class, without a full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the end of a sentence about an unknown name: the nearest known name, or all of them."""
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}."
