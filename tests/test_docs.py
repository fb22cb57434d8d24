"""What the documentation shows: every Python block runs and prints what is shown, every command line is one that works.

The blocks of a page run one after another, in an empty folder, as a reader would run them. A block ```text right below
a block of Python is what it prints, and so is the comment behind a `print`. Commands in a block ```console run too,
where a page is slow or one of RUN_CONSOLES: each line shown below a command is one that it prints.
"""

import ast
import dataclasses
import importlib.util
import itertools
import json
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
from helpers.page import Block, alike, blocks_of, commands, expectations

from hilbertune.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

SLOW = {"README.md", "docs/howto/serve-and-export.md", "docs/howto/tune-the-base.md", "docs/tutorial.md"}
"""Pages that embed hundreds of texts."""

RUN_CONSOLES = {"docs/howto/many-runs.md"}
"""Pages that are not slow, and whose commands are run although."""

NEED_A_HUB = {"docs/results.md"}
"""Pages that fetch a data set or a model: their blocks are compiled, not run."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


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


def python_of(page: Path) -> list[Block]:
    return [block for block in blocks_of(page.read_text()) if block.kind == "python"]


@pytest.mark.parametrize("page", slow_where_marked([page for page in PAGES if python_of(page)]))
def test_every_python_block_runs_and_prints_what_is_shown(page: Path, tmp_path: Path) -> None:
    blocks = blocks_of(page.read_text())
    for block in blocks:
        if block.kind == "python":
            compile(block.code, f"{name_of(page)}:{block.line}", "exec")
    if name_of(page) in NEED_A_HUB:
        return
    run = blocks if name_of(page) in SLOW | RUN_CONSOLES else python_of(page)
    folder = tmp_path / "page"
    folder.mkdir()
    (tmp_path / "blocks.json").write_text(json.dumps([dataclasses.asdict(block) for block in run]))
    command = [sys.executable, str(Path(__file__).parent / "helpers" / "page.py"), "../blocks.json", "../printed.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    check_output(name_of(page), run, json.loads((tmp_path / "printed.json").read_text()))


def check_output(name: str, blocks: list[Block], printed: dict[str, str]) -> None:
    """Compare what each block shows with what it printed."""
    for block in blocks:
        if block.kind == "python":
            for line, shown in expectations(block):
                assert alike(shown, printed[line]), f"{name}:{line} shows\n{shown}\nand printed\n{printed[line]}"
            continue
        for number, (command, shown_lines) in enumerate(commands(block)):
            said = printed[f"{block.line}: {number}"]
            for shown in shown_lines:
                found = any(alike_in_a_table(shown, line) for line in said.splitlines())
                assert found, f"{name}:{block.line}: {command} did not print\n{shown}\nbut\n{said}"


def alike_in_a_table(shown: str, printed: str) -> bool:
    """Compare lines of a command: figures of less than four digits after the point are times and counts, and vary."""
    short = re.compile(r"(?<![\d.])\d+(\.\d{1,3})?(?![\d.])")
    return alike(*(re.sub(r"\W*─\W*", "", short.sub("_", line)) for line in (shown, printed)))


def test_no_page_has_hidden_code() -> None:
    for page in PAGES:
        assert "<!-- setup" not in page.read_text(), name_of(page)


def test_a_page_that_shows_another_output_is_found(tmp_path: Path) -> None:
    text = "```python\nprint(1.23456)  # 1.2346 one\nprint('a', 0.51239)\n```\n\n```text\n1.2345\na 0.5\n```\n"
    (block,) = blocks_of(text)
    assert expectations(block) == [("2", "1.2346 one"), ("2", "1.2345\na 0.5\n")]
    assert alike("1.2345 a", "1.23456 a")
    assert not alike("1.2345 a", "1.3345 a")
    assert not alike("7 a", "8 a")
    assert not alike("7 a", "7 b")
    assert alike_in_a_table(" head  0.7092   372   0.46", " head  0.7075   372   5.18")
    assert not alike_in_a_table(" head  0.7092   372   0.46", " head  0.7592   372   5.18")


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
    assert sum(len(python_of(page)) for page in PAGES) > 25
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
