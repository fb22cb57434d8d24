"""Start-up: seconds until a fresh process has imported a name, printed help or refused, and the slow modules it loaded.

Usage: python benchmarks/startup.py [--times 5] [--json]

Each line is a process of its own, started --times times after one that is not counted: that one fills the file cache
and says which modules were loaded. Seconds are those of the whole process; the first line gives the interpreter's own
start alone. Prints a Markdown table.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from hilbertune.runtime.provenance import environment

HEAVY = ("numpy", "scipy", "torch", "numba", "sklearn", "pandas", "transformers", "sentence_transformers", "matplotlib")
MAIN = "import sys; sys.argv[1:] = {0!r}.split(); from hilbertune.cli import main; main()"
CASES = {
    "python": "pass",
    "import hilbertune": "import hilbertune",
    "from hilbertune import HybridClassifier": "from hilbertune import HybridClassifier",
    "import hilbertune.study.plan": "import hilbertune.study.plan",
    "hilbertune --help": MAIN.format("--help"),
    "hilbertune predict nomodel": MAIN.format("predict nomodel"),
}


def process(code: str, folder: str) -> str:
    """Run code in a process of its own and return what it printed; a command may refuse (exit code 2)."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode not in (0, 2):
        raise RuntimeError(done.stderr)
    return done.stdout


def loaded(code: str, folder: str) -> list[str]:
    """Return the slow modules that a process has loaded when it ends."""
    look = f"import atexit, sys\natexit.register(lambda: print('\\n', *(m for m in {HEAVY} if m in sys.modules)))\n"
    return process(look + code, folder).splitlines()[-1].split()


def measured(name: str, times: int) -> dict[str, Any]:
    """Return the seconds of each process, the best and the median of them, and the slow modules."""
    with tempfile.TemporaryDirectory() as folder:
        modules = loaded(CASES[name], folder)
        seconds = []
        for _ in range(times):
            started = time.perf_counter()
            process(CASES[name], folder)
            seconds.append(time.perf_counter() - started)
    return {
        "name": name,
        "best": min(seconds),
        "median": statistics.median(seconds),
        "seconds": seconds,
        "modules": modules,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    rows = [measured(name, asked.times) for name in CASES]
    if asked.json:
        print(json.dumps({"rows": rows, "environment": environment()}))
        return 0
    print(f"| fresh process | best of {asked.times}, s | median, s | slow modules |\n| --- | ---: | ---: | --- |")
    for row in rows:
        print(f"| `{row['name']}` | {row['best']:.2f} | {row['median']:.2f} | {', '.join(row['modules']) or 'none'} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
