"""The part of a run directory that says what the run is, readable without torch.

In: a folder.
Out: the content of its run.json, or one sentence that says why it is not a run directory.
"""

import json
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError

FORMAT, FORMAT_OF_MEMBERS = 1, 2
"""Versions of the layout of a run directory: a single head's, and an ensemble's, whose arrays begin with its heads."""


def read_about(folder: Path) -> dict[str, Any]:
    """Return the content of run.json.

    Raises:
        HilbertuneError: there is no such file, or it is broken or of another format.
    """
    try:
        about: dict[str, Any] = json.loads((folder / "run.json").read_bytes())
        if about["format"] not in (FORMAT, FORMAT_OF_MEMBERS):
            raise HilbertuneError(
                f"{folder} has the format {about['format']}, but this version reads {FORMAT} and {FORMAT_OF_MEMBERS}: "
                "upgrade hilbertune."
            )
        return about
    except HilbertuneError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise not_a_run(folder) from error


def members_of(folder: Path) -> int:
    """Return how many heads a run measures for each row; a ledger without a run.json does not say, which counts as 1.

    Raises:
        HilbertuneError: its run.json is broken or of another format.
    """
    return int(read_about(folder).get("members", 1)) if (folder / "run.json").exists() else 1


def not_a_run(folder: Path) -> HilbertuneError:
    """Return the error about a folder that is not a complete run directory."""
    return HilbertuneError(f"{folder} is not a complete run directory: name one that 'hilbertune qpu run' has written.")
