"""Tables as other programs write them: in another encoding, with other line ends or another separator.

In: the first bytes or the first line of a file.
Out: one sentence that names what it is, so that nothing is read wrongly.
"""

from collections.abc import Sequence

from hilbertune.errors import HilbertuneError

_BEGINNINGS = {
    b"\xff\xfe\x00\x00": "UTF-32: save it as UTF-8",
    b"\x00\x00\xfe\xff": "UTF-32: save it as UTF-8",
    b"\xff\xfe": "UTF-16 (often called Unicode): save it as UTF-8",
    b"\xfe\xff": "UTF-16 (often called Unicode): save it as UTF-8",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"BZh": "a bzip2 archive: unpack it",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"\x28\xb5\x2f\xfd": "a zstd archive: unpack it",
    b"PK\x03\x04": "a zip archive or a spreadsheet (.xlsx): unpack it, or export it as CSV in UTF-8",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls): export it as CSV in UTF-8",
    b"PAR1": "a Parquet file: give it the suffix .parquet",
    b"ARROW1": "an Arrow file: write it as Parquet, CSV or JSONL",
    b"SQLite format 3": "an SQLite database: export a table of it as CSV",
}
"""Bytes with which files begin that are no text in UTF-8, and what to do with them."""

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def refuse_other_bytes(first: bytes, name: str) -> None:
    """Raise HilbertuneError if the first line of a file shows that it is no text in UTF-8, or has no line ends of ours.

    Raises:
        HilbertuneError: another encoding, an archive, or lines that end with carriage returns alone.
    """
    # A text may well begin with "PAR1" or "BZh": then it is one all the same.
    strange = b"\0" in first or not _decodes(first)
    what = next((what for beginning, what in _BEGINNINGS.items() if strange and first.startswith(beginning)), None)
    if what is not None:
        raise HilbertuneError(f"{name} is not UTF-8 but {what}.")
    if b"\0" in first:
        raise HilbertuneError(
            f"{name} is not UTF-8: it holds zero bytes, as UTF-16 without a mark does; save it as UTF-8."
        )
    if not first.endswith(b"\n") and b"\r" in first.rstrip(b"\r"):
        raise returns(name)


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def returns(name: str) -> HilbertuneError:
    """Return the error about a file whose lines end with carriage returns alone."""
    return HilbertuneError(
        f"The lines of {name} end with carriage returns alone (CR, as on old Macs): save it with line feeds (LF)."
    )


def refuse_other_separator(line: str, wanted: Sequence[str], delimiter: str, name: str) -> None:
    """Raise HilbertuneError if the header of a table has the wanted columns only with another separator.

    Raises:
        HilbertuneError: another separator, or Excel's line that says which.
    """
    line = line.rstrip("\r\n")
    if line.lower().startswith("sep=") and len(line) <= 5:
        raise HilbertuneError(f"{name} begins with {line!r}, a line for Excel alone: remove it.")
    if _has(line, wanted, delimiter):
        return
    likely = [other for other in _SEPARATORS if other != delimiter and other in line]
    found = next((other for other in likely if _has(line, wanted, other)), None)
    if found is None and delimiter not in line and len(likely) == 1:
        found = likely[0]
    if found is not None:
        suffix = ".tsv" if delimiter == "\t" else ".csv"
        better = {"\t": "give it the suffix .tsv", ",": "give it the suffix .csv"}.get(found, "")
        how = better if better and better[-4:] != suffix else f"save it with {_SEPARATORS[delimiter]}"
        raise HilbertuneError(
            f"The columns of {name} are separated by {_SEPARATORS[found]} ({found!r}), "
            f"not by {_SEPARATORS[delimiter]}: {how}."
        )


def _has(line: str, wanted: Sequence[str], delimiter: str) -> bool:
    names = {part.strip().strip('"').strip().casefold() for part in line.split(delimiter)}
    return all(column.casefold() in names for column in wanted)
