"""The places that a user names for results: tried before the work, replaced by another if they fail after it.

In: a path, and what writes to it.
Out: an error before any work, from the operation that will be used at its end; after the work the result, wherever it
could be written.
"""

import contextlib
import itertools
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from hilbertune.runtime import storage
from hilbertune.runtime.storage import CannotWriteError, cache_root, destination, new_directory, refuse_existing
from hilbertune.runtime.unfinished import unfinished

T = TypeVar("T")


def try_new_folder(path: Path) -> None:
    """Make an empty folder at `path` as a result will be, and remove it again.

    Raises:
        CannotWriteError: something exists there (an empty folder may stay), or it cannot be made.
    """
    refuse_existing(path)
    place = destination(path)
    with _removed_again((place, *place.parents)), new_directory(path):
        pass


def try_folder(path: Path) -> None:
    """Write a file in the folder `path`, which is made and removed again if it is not there.

    Raises:
        CannotWriteError: it is no folder, or cannot be written.
    """
    with storage.told(path):
        folder = Path(os.path.expanduser(path))
        with _removed_again((folder, *folder.parents)):
            folder.mkdir(parents=True, exist_ok=True)
            _try_to_rename(folder / "results.json")


def try_file(path: Path, *, new: bool = False) -> None:
    """Write a file beside `path` and rename it.

    Raises:
        CannotWriteError: what exists there is no file that may be replaced, or it must be `new`, or it cannot be made.
    """
    place = destination(path)
    with storage.told(path):
        try:
            kind = os.stat(os.path.expanduser(path)).st_mode
        except FileNotFoundError:
            kind = None
        if kind is not None and new:
            raise CannotWriteError(f"{path} already exists: name another place or remove it first.")
        if kind is not None and (not stat.S_ISREG(kind) or str(place) in _mounts()):
            raise CannotWriteError(f"Cannot write {path}: it is not a file that can be replaced; name another.")
        with _removed_again(place.parents):
            place.parent.mkdir(parents=True, exist_ok=True)
            _try_to_rename(place)


def kept(write: Callable[[Path], T], path: Path) -> tuple[T, CannotWriteError | None]:
    """Return what `write(path)` returns, and None; if it cannot write there, the error, with what another place gave.

    The other place is one beside `path`, else in the current folder, the cache or the temporary directory; the error
    names it.

    Raises:
        CannotWriteError: nothing can be written anywhere.
    """
    try:
        return write(path), None
    except CannotWriteError as error:
        for place in _other_places(path):
            try:
                made = write(place)
            except (CannotWriteError, OSError):
                continue
            return made, CannotWriteError(f"{error} The result is in {place} instead.")
        raise


def _other_places(path: Path) -> Iterator[Path]:
    """Yield a free name in each folder that might be writable."""
    folders: tuple[Callable[[], Path], ...] = (
        lambda: Path(os.path.realpath(path)).parent,
        lambda: path.absolute().parent,
        Path.cwd,
        lambda: cache_root() / "kept",
        lambda: Path(tempfile.gettempdir()),
    )
    for folder in folders:
        try:
            tried = (folder() / f"{path.stem}-{number}{path.suffix}" for number in itertools.count(2))
            yield next(place for place in tried if not os.path.lexists(place))
        except (OSError, ValueError):  # no current folder, no temporary one, a name that no file can have
            continue


@contextlib.contextmanager
def _removed_again(folders: Iterable[Path]) -> Iterator[None]:
    """Remove those folders, innermost first, that are not there yet and that the block makes, unless they fill."""
    missing = list(itertools.takewhile(lambda folder: not os.path.lexists(folder), folders))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for folder in missing:
                folder.rmdir()


def _try_to_rename(place: Path) -> None:
    """Do in the folder of `place` what writing it will do there."""
    with contextlib.suppress(FileNotFoundError):
        place.lstat()  # a name that is too long shows here
    with unfinished(place) as first, unfinished(place) as second:
        first.write_bytes(b"\n")
        os.replace(first, second)


def _mounts() -> set[str]:
    """Return the places where something is mounted: one file may be, and cannot be replaced then."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        return {line.split()[4].replace("\\040", " ") for line in lines}
    except (OSError, IndexError):
        return set()
