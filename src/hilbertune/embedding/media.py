"""Images and sounds: found and hashed at once, decoded when their turn comes.

In: names of files, PIL images, arrays of samples.
Out: a key of the content, and a `Media` that loads what a model reads.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.embedding.folders import file_sha256
from hilbertune.errors import HilbertuneError, first_line, require

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Media:
    """An image or sound: its row, from 1, and name for messages, and a function that decodes it."""

    row: int
    name: str
    load: Callable[[], Any]


def names_image(item: str, row: int) -> bool:
    """Return True if a text names an image file: it ends like one, and is a single word or an existing file.

    Raises:
        HilbertuneError: an address on the web.
    """
    if item.startswith(("http://", "https://", "data:")):  # sentence-transformers would fetch it
        raise HilbertuneError(f"Row {row} has the address {item[:60]!r}: fetch the image and give its file's name.")
    return item.lower().endswith(_IMAGE_SUFFIXES) and (not re.search(r"\s", item) or os.path.isfile(item))


def image_item(item: Any, row: int) -> tuple[bytes, Media]:
    """Return the key and the image of a PIL image or of a file, whose header is read.

    Raises:
        HilbertuneError: no such file, not an image (on loading too), an item of another kind.
        MissingExtraError: the extra `media` is not installed.
    """
    pictures = require("PIL.Image", "media")
    if isinstance(item, pictures.Image):
        image = item.convert("RGB")
        key = hashlib.sha256(b"\xffimage %d %d " % image.size + image.tobytes()).digest()
        return key, Media(row, "the image", lambda: image)
    path = _path(item, row, "an image")

    def load() -> Any:
        try:
            with pictures.open(path) as image:
                return image.convert("RGB")
        except Exception as error:  # each format has errors of its own
            raise _undecodable(path, row, "an image", error) from error

    try:
        with pictures.open(path):  # its header at least, before any work starts
            pass
    except Exception as error:
        raise _undecodable(path, row, "an image", error) from error
    return _content_key(b"\xffimage file ", path), Media(row, str(path), load)


def sound_item(item: Any, row: int, rate: Callable[[], int]) -> tuple[bytes, Media]:
    """Return the key and the sound of an array of samples or of a file; `rate` gives the model's samples a second.

    A file is mixed down to one channel and resampled; an array has the model's rate already.

    Raises:
        HilbertuneError: no such file, not a sound (on loading too), an array of another shape, an
            item of another kind.
        MissingExtraError: the extra `media` is not installed.
    """
    if isinstance(item, np.ndarray):
        if item.ndim != 1 or item.dtype.kind != "f" or not item.size:
            raise HilbertuneError(
                f"Row {row} holds {item.dtype} of the shape {list(item.shape)}: "
                "a sound is one row of floating-point samples."
            )
        samples = item.astype("<f4")
        key = hashlib.sha256(b"\xffsound " + samples.tobytes()).digest()
        return key, Media(row, "the sound", lambda: {"array": samples, "sampling_rate": rate()})
    files = require("soundfile", "media")
    path = _path(item, row, "a sound")

    def load() -> Any:
        from scipy.signal import resample_poly

        try:
            samples, own = files.read(path, dtype="float32", always_2d=True)
        except (files.SoundFileError, OSError) as error:
            raise _undecodable(path, row, "a sound", error) from error
        mono = samples.mean(axis=1)
        if own != rate():
            mono = resample_poly(mono, rate(), own).astype(np.float32)
        return {"array": mono, "sampling_rate": rate()}

    try:
        files.info(path)
    except (files.SoundFileError, OSError) as error:
        raise _undecodable(path, row, "a sound", error) from error
    return _content_key(b"\xffsound file ", path), Media(row, str(path), load)


def _path(item: Any, row: int, kind: str) -> Path:
    if not isinstance(item, str | Path):
        raise HilbertuneError(
            f"Row {row} has a value of type {type(item).__name__} where {kind} belongs: give its file's name."
        )
    path = Path(os.path.expanduser(item))
    if not os.path.isfile(path):
        raise HilbertuneError(f"Row {row}: there is no file {path}: check the name.")
    return path


def _undecodable(path: Path, row: int, kind: str, error: Exception) -> HilbertuneError:
    return HilbertuneError(
        f"Row {row}: {path} cannot be read as {kind} ({first_line(error)}): replace it or remove the row."
    )


def _content_key(kind: bytes, path: Path) -> bytes:
    # No UTF-8 text begins with 0xff, so that no text has the key of a file.
    return hashlib.sha256(kind + bytes.fromhex(file_sha256(path))).digest()
