"""The notebooks of the documentation: each runs in an empty folder and prints what is stored in it.

Figures agree within `NEAR` of their size: on the machine that made them they are the same, another processor rounds
otherwise. What a run cannot repeat, such as times and the dates of jobs, is in cells with the tag "varies".
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from helpers.notebooks import ROOT, executed

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
QUICK = {"own-circuit"}
"""Notebooks that take a few seconds."""

NUMBER = re.compile(r"\d[\d,]*\.?\d*")
NEAR = 0.06


def text_of(outputs: list[Any]) -> str:
    """Return what a cell printed, without the names of jobs."""
    printed = "".join(output.get("text", output.get("data", {}).get("text/plain", "")) for output in outputs)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "JOB", printed)


def pictures_of(outputs: list[Any]) -> list[str]:
    return [kind for output in outputs for kind in output.get("data", {}) if kind.startswith("image/")]


def code_of(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def alike(stored: str, new: str) -> bool:
    """Return True for the same words, and figures that are near each other."""
    if NUMBER.sub("#", stored).split() != NUMBER.sub("#", new).split():
        return False
    pairs = zip(NUMBER.findall(stored), NUMBER.findall(new), strict=True)
    values = ((float(one.replace(",", "")), float(other.replace(",", ""))) for one, other in pairs)
    return all(abs(one - other) <= NEAR * max(1.0, abs(one)) for one, other in values)


def test_a_changed_output_is_found() -> None:
    assert alike("accuracy 0.973, job 3 of 4", "accuracy 0.968,  job 3 of 4\n")
    assert not alike("accuracy 0.973", "accuracy 0.873")
    assert not alike("accuracy 0.973", "loss 0.973")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_it_was_run(path: Path) -> None:
    cells = code_of(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    printed = "".join(str(cell.outputs) for cell in cells)
    assert not re.search(r"/(home|root|tmp|work|Users)/|Traceback|\\x1b", printed)
    assert not [cell.source for cell in cells if pictures_of(cell.outputs) and not cell.metadata.get("alt")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_of_the_site_shows_every_cell_and_output(path: Path) -> None:
    specification = importlib.util.spec_from_file_location("pictures", ROOT / "docs" / "pictures.py")
    assert specification is not None
    assert specification.loader is not None
    hook = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(hook)
    files: dict[str, bytes] = {}
    page = "\n\n".join(hook.parts(nbformat.read(path, as_version=4), path.stem, files))
    for cell in code_of(path):
        assert cell.source.splitlines()[-1].removeprefix("!") in page
        for output in cell.outputs:
            assert pictures_of([output]) or output.get("text", output.get("data", {}).get("text/plain")).strip() in page
    assert len(files) == sum(len(pictures_of(cell.outputs)) for cell in code_of(path)) > 0
    for name, content in files.items():
        assert f"]({name})" in page
        if name.endswith(".svg"):
            dark = hook.turning_dark(content.decode())
            assert "prefers-color-scheme: dark" in dark
            assert hook.turning_dark(dark) == dark


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[] if p.stem in QUICK else [pytest.mark.slow]) for p in NOTEBOOKS],
)
def test_a_notebook_runs_and_prints_what_is_stored(path: Path, tmp_path: Path) -> None:
    new = [cell for cell in executed(path, tmp_path).cells if cell.cell_type == "code"]
    for old, cell in zip(code_of(path), new, strict=True):
        assert pictures_of(cell.outputs) == pictures_of(old.outputs), cell.source
        if "varies" not in cell.metadata.get("tags", []):
            said, shown = text_of(cell.outputs), text_of(old.outputs)
            assert alike(shown, said), f"{cell.source}\nprinted\n{said}\nand not\n{shown}"
