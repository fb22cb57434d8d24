"""Files that are either whole or absent: write beside the target, flush to disk, rename.

In: bytes, or a folder to fill. Out: the finished path; after a crash at any moment, the old state or the new one.


FIXME Raw items to vectors through a foundation model, cached on disk by content.

In: texts, pairs of texts, images, sounds or SMILES, and a model's name or folder (safetensors
weights only; nothing in the folder is run).
Out: float32 vectors, one row an item; what the same model embedded before is not computed.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hilbertune.errors import HilbertuneError


class CannotWriteError(HilbertuneError):
    """A file cannot be written: no permission, or the disk is full."""


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that a reader sees the old file or the new one, never a part.

    Raises:
        CannotWriteError: the folder cannot be written (no permission, disk full).
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.umask(mask := os.umask(0))
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as error:
        raise CannotWriteError(f"Cannot write {path}: {error.strerror}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """A folder to fill that takes the name `path` only when the block ends without an error.

    Raises:
        HilbertuneError: `path` exists already, or cannot be written (no permission, disk full).
    """
    refuse_existing(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        temporary.chmod(0o755)
        yield temporary
        for file in temporary.rglob("*"):
            _flush(file)
        _flush(temporary)
        os.rename(temporary, path)
        _flush(path.parent)
    except OSError as error:
        raise HilbertuneError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def refuse_existing(path: Path) -> None:
    """Raise HilbertuneError if something stands at `path` (an empty folder may stay)."""
    try:
        taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    except OSError as error:
        raise HilbertuneError(f"Cannot write {path}: {error.strerror}.") from error
    if taken:
        raise HilbertuneError(f"{path} already exists: name another place or remove it first.")


def cache_root() -> Path:
    """$HILBERTUNE_CACHE, else $XDG_CACHE_HOME/hilbertune, else ~/.cache/hilbertune."""
    if own := os.environ.get("HILBERTUNE_CACHE"):
        return Path(own).expanduser()
    if everyone := os.environ.get("XDG_CACHE_HOME"):
        return Path(everyone).expanduser() / "hilbertune"
    return Path.home() / ".cache" / "hilbertune"
