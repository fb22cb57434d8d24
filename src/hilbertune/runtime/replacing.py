"""A folder that takes the place of an earlier one in a single step, so that a crash leaves the one or the other.

In: the folder's path, and a file by which an earlier one is known as ours.
Out: a new folder to fill, which stands at the path once it is whole.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from hilbertune.runtime.storage import destination, flush, new_directory, told
from hilbertune.runtime.unfinished import unfinished


@contextlib.contextmanager
def replaced_directory(path: Path, known_by: str) -> Iterator[Path]:
    """Yield a folder to fill that takes the name `path`, and the place of an earlier folder with a file `known_by`.

    Raises:
        CannotWriteError: something else exists at `path`, or it cannot be written (no permission, disk full).
    """
    if not (path / known_by).is_file():
        with new_directory(path) as folder:
            yield folder
        return
    with told(path):
        place = destination(path)
        with unfinished(place, folder=True, mode=0o777) as temporary:
            yield temporary
            for file in (*temporary.rglob("*"), temporary):
                flush(file)
            _exchange(temporary, place)
            # What bears the temporary name now is the earlier folder, which goes with it.
            flush(place.parent)


def _exchange(one: Path, other: Path) -> None:
    """Exchange two folders in one step where the system can, else in two renames."""
    library = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        done = library.renamex_np(*names, 2) == 0
    else:
        here, swap = -100, 2
        done = hasattr(library, "renameat2") and library.renameat2(here, names[0], here, names[1], swap) == 0
    if done:
        return
    aside = one.with_name(f"{one.name}.old")
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)
