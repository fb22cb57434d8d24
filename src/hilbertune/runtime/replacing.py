"""A folder that takes the place of an earlier one in a single step, so that a crash leaves the one or the other.

In: the folder's path, and a file by which an earlier one is known as ours.
Out: a new folder to fill, which stands at the path once it is whole.
"""

import contextlib
import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hilbertune.errors import HilbertuneError
from hilbertune.runtime.storage import new_directory


@contextlib.contextmanager
def replaced_directory(path: Path, known_by: str) -> Iterator[Path]:
    """Yield a folder to fill that takes the name `path`, and the place of an earlier folder with a file `known_by`.

    Raises:
        HilbertuneError: something else exists at `path`, or it cannot be written (no permission, disk full).
    """
    if not (path / known_by).is_file():
        with new_directory(path) as folder:
            yield folder
        return
    place = path.resolve()
    temporary = None
    try:
        temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
        temporary.chmod(0o755)
        yield temporary
        for file in (*temporary.rglob("*"), temporary):
            _flush(file)
        _exchange(temporary, place)
        _flush(place.parent)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)  # by now the earlier one


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


def _flush(path: Path) -> None:
    """Wait until a file or a folder's list of names is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
