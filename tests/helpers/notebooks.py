"""The notebooks of the documentation, executed in an empty folder.

In: a notebook.
Out: the same with new outputs. `python tests/helpers/notebooks.py NOTEBOOK ...` stores them.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]


def executed(path: Path, folder: Path) -> Any:
    """Return the notebook after it has run in the folder; `!hilbertune` is the command of this environment."""
    notebook = nbformat.read(path, as_version=4)
    paths = {"PATH": [str(Path(sys.executable).parent), os.environ["PATH"]], "PYTHONPATH": [str(ROOT / "src")]}
    environment = {**os.environ, **{name: os.pathsep.join(found) for name, found in paths.items()}}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            del cell.metadata["execution"]
            cell.outputs = [plain(output) for output in cell.outputs if output.get("text") != "\x1b[0m"]
    return notebook


def plain(output: Any) -> Any:
    """Return an output without colours, which IPython adds to what a command prints."""
    if "text" in output:
        output.text = re.sub(r"\x1b\[[0-9;]*m", "", output.text).replace("\r\n", "\n")
    return output


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as place:
            nbformat.write(executed(Path(name), Path(place)), name)
