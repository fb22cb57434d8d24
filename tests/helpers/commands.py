"""The command line in tests: what running it answers, and small settings.

In: arguments of `hilbertune`.
Out: an exit code, stdout and stderr.
"""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = tuple[int, str, str]
"""Exit code, stdout, stderr."""

Run = Callable[..., Answer]
"""The fixture `run`: `hilbertune ARGUMENTS` in this process."""

SMALL = ["--qubits", "4", "--epochs", "3", "--no-baselines"]
QUICK = ["--qubits", "5", "--encoder-layers", "1", "--epochs", "3"]
SENTENCES = [("a b fine film", "good"), ("c d dull film", "bad")] * 10


def in_a_process(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run `hilbertune ARGUMENTS` in a process of its own."""
    command = [sys.executable, "-m", "hilbertune", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=300, check=False, **options)


def fitted(run: Run, *arguments: object) -> dict[str, Any]:
    """Run `hilbertune fit ARGUMENTS` with a quick shape; the figures."""
    code, out, err = run("fit", *arguments, *QUICK, "--json")
    assert code == 0, err
    figures: dict[str, Any] = json.loads(out)
    return figures


def write_table(path: Path, header: list[str], rows: list[tuple[object, ...]]) -> Path:
    """Write a CSV file."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path
