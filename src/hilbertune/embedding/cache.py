"""Vectors of one embedding model in an SQLite file, by the content of what was embedded.

In: 32-byte keys and float32 vectors.
Out: the vectors that an earlier run has kept, bit for bit.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from hilbertune.errors import HilbertuneError, warn_once
from hilbertune.runtime.storage import make_folder, open_database

_SCHEMA = "CREATE TABLE IF NOT EXISTS vectors (text_sha256 BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"

_KEYS_A_QUERY = 500
"""Older SQLite takes at most 999 values in a query."""


class VectorCache:
    """The vectors in `file`, which is made if it does not exist; None keeps nothing. Several processes may share it.

    Use it in a `with` statement, which opens and closes the file. One that cannot be opened or written is left alone
    from then on, and a warning says so once: the vectors are computed all the same.

    Raises:
        HilbertuneError: a file that is damaged, on any use.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        if self.file is not None:
            with self._errors():
                make_folder(self.file.parent, private=True)
                # A vector that a power cut loses is computed again.
                self._connection = open_database(self.file, timeout=60, synchronous="NORMAL", private=True)
                self._connection.execute(_SCHEMA)
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def read(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the float32 vectors of those keys that have one."""
        if self._connection is None:
            return {}
        blobs: dict[bytes, bytes] = {}
        with self._errors():
            for start in range(0, len(keys), _KEYS_A_QUERY):
                some = keys[start : start + _KEYS_A_QUERY]
                marks = ",".join("?" * len(some))
                query = f"SELECT text_sha256, vector FROM vectors WHERE text_sha256 IN ({marks})"
                blobs.update(self._connection.execute(query, some))
            widths = {len(blob) if isinstance(blob, bytes) else -1 for blob in blobs.values()}
            if len(widths) > 1 or any(width <= 0 or width % 4 for width in widths):
                raise sqlite3.DatabaseError("vectors of different lengths")
        return {key: np.frombuffer(blob, dtype="<f4") for key, blob in blobs.items()}

    def write(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        """Keep all vectors or none; a key that has one already keeps that."""
        if self._connection is None:
            return
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()]
        with self._errors(), self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Go on without a file that cannot be used; refuse one that is damaged."""
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            self.__exit__()
            warn_once(
                f"The embedding cache {self.file} cannot be used ({error}), so nothing is kept: "
                "set HILBERTUNE_CACHE to a folder with room that you may write to."
            )
        except sqlite3.DatabaseError as error:
            raise HilbertuneError(
                f"The embedding cache {self.file} is damaged ({error}): delete this file, and run again."
            ) from error
