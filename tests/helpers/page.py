"""The blocks of a page of documentation, run one after another in a folder, as a reader would run them.

In: the text of a page. As a program of its own: a file with its blocks as JSON.
Out: what each block shows and what it printed.
"""

import ast
import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(python|console)\n(.*?)^```\n(?:\n?```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")
NEAR = 0.04
"""How far a figure of four digits or more may be from the one shown: another processor rounds otherwise."""


@dataclass(frozen=True)
class Block:
    """A block of Python, or of commands with what they print, and the output shown below it, if any."""

    line: int
    kind: str
    code: str
    shown: str | None


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a page in order."""
    return [Block(text[: m.start()].count("\n") + 2, m[1], m[2], m[3]) for m in BLOCK.finditer(text)]


def expectations(block: Block) -> list[tuple[str, str]]:
    """Return what a block of Python says that it prints: pairs of where and what, `print(...)  # this` among them."""
    lines, said = block.code.splitlines(), []
    for statement in ast.parse(block.code).body:
        last = lines[(statement.end_lineno or 1) - 1]
        if _prints(statement) and "  # " in last[(statement.end_col_offset or 0) :]:
            said.append(
                (f"{block.line + statement.lineno - 1}", last[(statement.end_col_offset or 0) :].split("# ", 1)[1])
            )
    return said + ([(f"{block.line}", block.shown)] if block.shown is not None else [])


def _prints(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Name)
        and statement.value.func.id == "print"
    )


def alike(shown: str, printed: str) -> bool:
    """Return True for the same words; figures of four digits after the point are near each other, others any."""
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True)
    return all(
        one == other or (len(one.partition(".")[2]) >= 4 and abs(float(one) - float(other)) <= NEAR)
        for one, other in pairs
    )


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Return each command of a console with the lines that it is shown to print."""
    found: list[tuple[str, list[str]]] = []
    for line in block.code.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def run_page(blocks: list[Block]) -> dict[str, str]:
    """Run the blocks and return what was printed, by line: by each block and each `print` of Python, each command."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed: dict[str, str] = {}
    for block in blocks:
        if block.kind == "python":
            whole = ""
            for statement in ast.parse(block.code).body:
                code = compile(ast.Module([statement], []), f"<block at line {block.line}>", "exec")
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    exec(code, names)
                whole += out.getvalue()
                printed[f"{block.line + statement.lineno - 1}"] = out.getvalue()
            printed[f"{block.line}"] = whole if block.shown is not None else printed[f"{block.line}"]
            continue
        for number, (command, _) in enumerate(commands(block)):
            line = re.sub(r"^hilbertune\b", f"{shlex.quote(sys.executable)} -m hilbertune", command)
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
            printed[f"{block.line}: {number}"] = done.stderr + done.stdout
    return printed


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    answer = run_page([Block(**one) for one in given])
    Path(sys.argv[2]).write_text(json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # a page may leave threads of servers behind
