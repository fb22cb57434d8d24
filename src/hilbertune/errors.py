"""The mistakes a user can mend, each told in one sentence that says what to do.

In: a sentence. Out: an exception that the command line prints without a trace-back (exit code 2).
"""

import difflib
import importlib
from collections.abc import Sequence
from types import ModuleType


class HilbertuneError(ValueError):
    """Bad input or an impossible request; the message says what is wrong and what to do."""


class MissingExtraError(HilbertuneError, ImportError):
    """A package from one of the extras is needed and not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import `module`, which the extra `extra` installs.

    Raises:
        MissingExtraError: the module is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"This needs the package {error.name!r}: run pip install 'hilbertune[{extra}]'."
        ) from error


def first_line(error: BaseException) -> str:
    """Return the first line of what somebody else's error says, or its name, without the full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def nearest(name: str, known: Sequence[str]) -> str:
    """Return the end of a sentence that helps with an unknown name: the nearest known one, or all of them."""
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}."
