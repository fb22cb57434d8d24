"""The mistakes a user can mend, each told in one sentence that says what to do.

In: a sentence. Out: an exception that the command line prints without a trace-back (exit code 2).
"""

import importlib
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
