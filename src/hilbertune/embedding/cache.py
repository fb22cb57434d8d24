"""Raw items to vectors through a foundation model, cached on disk by content.

In: texts, pairs of texts, images, sounds or SMILES, and a model's name or folder (safetensors
weights only; nothing in the folder is run).
Out: float32 vectors, one row an item; what the same model embedded before is not computed.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hilbertune.errors import HilbertuneError


def open_cache(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, timeout=60)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS vectors (text_sha256 BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")
    return connection


def read_vectors(connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, np.ndarray]:
    found: dict[bytes, bytes] = {}
    for start in range(0, len(keys), 500):  # older SQLite takes at most 999 values in a query
        some = keys[start : start + 500]
        marks = ",".join("?" * len(some))
        found.update(
            connection.execute(f"SELECT text_sha256, vector FROM vectors WHERE text_sha256 IN ({marks})", some)
        )
    widths = {len(blob) if isinstance(blob, bytes) else -1 for blob in found.values()}
    if len(widths) > 1 or any(width <= 0 or width % 4 for width in widths):
        raise sqlite3.DatabaseError("vectors of different lengths")
    return {key: np.frombuffer(blob, dtype="<f4") for key, blob in found.items()}


def write_vectors(connection: sqlite3.Connection, vectors: dict[bytes, np.ndarray]) -> None:
    with connection:
        connection.executemany(
            "INSERT OR IGNORE INTO vectors VALUES (?, ?)",
            [(key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()],
        )


@contextlib.contextmanager
def cache_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise HilbertuneError(
            f"The embedding cache {file} cannot be used ({error}): "
            "set HILBERTUNE_CACHE to a folder with room that you may write to."
        ) from error
    except sqlite3.DatabaseError as error:
        raise HilbertuneError(
            f"The embedding cache {file} is damaged ({error}): delete this file, and run again."
        ) from error
