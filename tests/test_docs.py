"""What the documentation shows: every Python block runs, every command line is one that the program takes.

The blocks of a page run one after another, in a folder of their own. A comment `<!-- setup ... -->` runs at its place:
it makes what the page takes for granted, such as a model from an earlier page.
"""

import ast
import importlib.util
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from hilbertune.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

SLOW = {"README.md", "docs/howto/serve-and-export.md", "docs/howto/tune-the-base.md", "docs/tutorial.md"}
"""Pages that embed hundreds of texts."""

NEED_A_HUB = {"docs/results.md"}
"""Pages that fetch a data set or a model: their blocks are compiled, not run."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[tuple[int, str]]:
    """Return the Python blocks and set-ups of a page with their lines."""
    text = page.read_text()
    pattern = re.compile(r"^```python\n(.*?)^```|^<!-- setup\n(.*?)^-->", re.MULTILINE | re.DOTALL)
    return [(text[: m.start()].count("\n") + 2, m[1] or m[2]) for m in pattern.finditer(text)]


def lines(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of every `hilbertune ...` that a page shows."""
    for line in page.read_text().replace("\\\n", " ").splitlines():
        shown = re.match(r"(?:    |\$ |    \$ )(?:.*\| |.*-- |.*-m )?hilbertune (.*)", line)
        if shown and not line.lstrip().startswith(("#", "|")):
            words = shlex.split(shown[1], comments=True)
            yield list(itertools.takewhile(lambda word: word not in ("|", ">", "&&"), words))


def slow_where_marked(pages: list[Path]) -> list[Any]:
    return [
        pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if name_of(page) in SLOW else [])
        for page in pages
    ]


@pytest.mark.parametrize("page", slow_where_marked([page for page in PAGES if blocks(page)]))
def test_every_python_block_runs(page: Path, tmp_path: Path) -> None:
    program = "".join(f"# line {line}\n{code}\n" for line, code in blocks(page))
    compile(program, str(page), "exec")
    if name_of(page) in NEED_A_HUB:
        return
    (tmp_path / "page.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "page.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("page", [page for page in PAGES if any(lines(page))], ids=name_of)
def test_every_command_line_is_one_that_the_program_takes(page: Path) -> None:
    for arguments in lines(page):
        check(typer.main.get_command(app), "hilbertune", arguments)


def check(command: Any, name: str, arguments: list[str], parent: Any = None) -> None:
    """Parse the arguments down to the last verb, flags and types included; nothing is run."""
    if arguments == ["--help"]:
        return
    context = command.make_context(name, list(arguments), parent=parent)
    if hasattr(command, "resolve_command"):
        verb, own, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        check(own, verb, rest, context)


def test_the_pages_show_what_is_looked_for_here() -> None:
    assert sum(len(blocks(page)) for page in PAGES) > 25
    assert sum(len(list(lines(page))) for page in PAGES) > 70


def stops(page: Path) -> list[tuple[str, str]]:
    """Return file and function of each stop that a page names in a row of a table."""
    return re.findall(r"\| `(\w+/\w+\.py)` \| `([\w.]+)` \|", page.read_text())


@pytest.mark.parametrize("page", [p for p in PAGES if stops(p)], ids=name_of)
def test_every_stop_of_a_walk_is_there(page: Path) -> None:
    for file, function in stops(page):
        tree = ast.parse((ROOT / "src" / "hilbertune" / file).read_text())
        names = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        assert function.split(".")[-1] in names, f"{name_of(page)}: {file} has no {function}"


def test_the_architecture_names_every_package_and_no_other() -> None:
    tree = (ROOT / "docs" / "explanation" / "architecture.md").read_text().split("```")[1]
    named = set(re.findall(r"(\w+)/ ", tree)) - {"hilbertune"}
    assert named == {folder.parent.name for folder in (ROOT / "src" / "hilbertune").glob("*/__init__.py")}


def test_the_reference_of_the_command_line_names_every_flag_with_its_default() -> None:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    page = re.sub(r"</?(?:span|code)[^>]*>|<wbr>", "", hooks.command_line())
    of_fit = page.split("\n## ")[1].splitlines()
    rows = {row.split(" | ")[0].removeprefix("| "): row.split(" | ") for row in of_fit if row.startswith("| -")}
    assert rows["--epochs"][1:3] == ["&lt;int&gt;", "60"]
    assert rows["--learning-rate<br>--lr"][2] == "auto, that is, 0.02 with one-cycle, otherwise 0.005"
    assert rows["--encoder-connectivity"][2] == "5, or its qubits - 1 if that is less"
    assert rows["--basis"][1] == "&lt;raw&#124;pca&#124;auto&gt;"
    assert all(row.count(" | ") == 3 for row in page.splitlines() if row.startswith("| -") and "---" not in row)
    headings = {heading.replace(" ", "-") for heading in re.findall(r"^##+ (.+)$", page, re.MULTILINE)}
    assert {"fit", "qpu-run", "energy-measure"} <= headings
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= headings
