"""Circuits as users name them: one of ours, a text, or a file.

In: a `Circuit`, OpenQASM 3, or the path of a file of it.
Out: the text that a shape holds (`HeadConfig.head_circuit`), always in the form of `Circuit.to_qasm3`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hilbertune.circuit.table import Circuit
from hilbertune.config.circuits import OWN
from hilbertune.errors import HilbertuneError, shown

LARGEST = 32 << 20
"""Bytes of a file that is read: 100,000 gates take some 4 MB."""


def circuit_text(source: "Circuit | str | Path", folder: Path | None = None) -> str:
    """Return the OpenQASM 3 of a circuit.

    Args:
        source: a circuit; a text, which has a semicolon; or a file.
        folder: where a relative path starts; default the working directory.

    Raises:
        HilbertuneError: there is no such file, or it cannot be read; the sentence names the file.
        MissingExtraError: Qiskit, which reads the OpenQASM 3 of others, is not installed.
    """
    if isinstance(source, Circuit):
        return source.to_qasm3()
    if isinstance(source, str) and ";" in source:
        return Circuit.from_qasm3(source).to_qasm3()
    if not isinstance(source, str | Path) or not str(source).strip():
        raise HilbertuneError(
            f"A circuit must be a hilbertune.Circuit, OpenQASM 3 text or the path of such a file, not {shown(source)}."
        )
    path = Path(source) if folder is None else folder / source
    try:
        if path.stat().st_size > LARGEST:
            raise HilbertuneError(f"{path} is larger than any circuit of {LARGEST >> 20} MiB.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise HilbertuneError(f"Cannot read the circuit {path}: {reason}.") from error
    try:
        return Circuit.from_qasm3(text).to_qasm3()
    except HilbertuneError as error:
        if type(error) is not HilbertuneError:
            raise
        raise HilbertuneError(f"{path}: {error}") from error


def with_texts(settings: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """Return settings with the text of every circuit that they name, or list, in its place; see `circuit_text`."""
    read = dict(settings)
    for name in OWN:
        if (given := read.get(name)) is not None:
            every = [given] if not isinstance(given, list) else given
            texts = [None if one is None else circuit_text(one, folder) for one in every]
            read[name] = texts if isinstance(given, list) else texts[0]
    return read
