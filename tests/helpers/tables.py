"""Small files of labelled rows.

In: a path and what the file shall hold.
Out: the path.
"""

from pathlib import Path
from typing import Any


def write(path: Path, content: str | bytes) -> Path:
    """Write a text as UTF-8, or bytes as they are."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path: Path, **columns: Any) -> Path:
    """Write a Parquet file with these columns."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path
