"""The page of a report in a real browser: on a desk, on a phone, on a dark ground and in print."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers.study_results import FIGURES
from PIL import Image

from hilbertune.runtime import plotting

pytestmark = pytest.mark.slow  # two browsers and seven pages

LOOK = Path(__file__).parents[1] / "helpers" / "look.py"
BROWSER = ("line", "effects", "noise", "hostile", "many")
DARK = ("line", "bars")


class Seen(NamedTuple):
    """What the browser saw of a page, and its pictures by width."""

    facts: dict[str, Any]
    pictures: dict[str, Path]


@pytest.fixture(scope="module")
def looked(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Seen], dict[str, Seen]]:
    """Two browsers look at the pages at the same time, one on light and one on dark ground.

    One looks at all of its pages: to start it takes as long as to look at one.
    """
    for package in ("PySide6", "pypdfium2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no browser: the extra 'dev' brings {package}")
    folders = [tmp_path_factory.mktemp(name) for name in ("light", "dark")]
    started = []
    for folder, flags, cases in zip(folders, ([], ["--dark"]), (BROWSER, DARK), strict=True):
        command = [sys.executable, LOOK, *flags, folder, *(made[case] / "report.html" for case in cases)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    seen = []
    for process, folder, cases in zip(started, folders, (BROWSER, DARK), strict=True):
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        pages = enumerate(zip(cases, json.loads(output), strict=True))
        seen.append(
            {
                case: Seen(facts, {width: folder / f"{number}-{width}.png" for width in facts["widths"]})
                for number, (case, facts) in pages
            }
        )
    return seen[0], seen[1]


@pytest.fixture
def seen(looked: tuple[dict[str, Seen], dict[str, Seen]]) -> dict[str, Seen]:
    return looked[0]


@pytest.mark.parametrize("case", BROWSER)
def test_a_browser_draws_every_figure_and_complains_of_nothing(
    made: dict[str, Path], seen: dict[str, Seen], case: str
) -> None:
    facts, pictures = seen[case]
    assert facts["loaded"]
    assert facts["console"] == []
    assert facts["requests"] == [(made[case] / "report.html").resolve().as_uri()]
    for width, measured in facts["widths"].items():
        assert (measured["scripts"], measured["images"]) == (0, 0)
        assert set(measured["figures"]) == {f"figure-{name}" for name in FIGURES[case]}
        with Image.open(pictures[width]) as picture:
            pixels = np.asarray(picture.convert("L"))
        for name, (left, top, wide, high) in measured["figures"].items():
            assert min(wide, high) > 50, name
            assert measured["shapes"][name] > 10, name
            box = pixels[int(top) : int(top + high), int(left) : int(left + wide)]
            assert 0.004 < (box < 140).mean() < 0.9, f"{name} at {width} pixels is blank"


@pytest.mark.parametrize("case", BROWSER)
def test_the_page_is_readable_on_a_phone(seen: dict[str, Seen], case: str) -> None:
    facts = seen[case].facts
    for measured in facts["widths"].values():
        assert measured["page"][0] <= measured["width"], "the page is wider than the window"
        assert measured["outside"] == []
        assert min(measured["letters"].values()) > 7.5
        assert not any(measured["overlaps"].values()), measured["overlaps"]
        assert not any(measured["cut"].values()), measured["cut"]
        assert measured["first"] == "FIGURE"
    assert facts["widths"]["390"]["width"] <= 390
    assert facts["widths"]["390"]["scrolls"] == [], "something has to be scrolled sideways"


@pytest.mark.parametrize("case", BROWSER)
def test_the_page_prints_whole(made: dict[str, Path], seen: dict[str, Seen], case: str) -> None:
    facts = seen[case].facts
    given = json.loads((made[case] / "results.json").read_text())
    printed = re.sub(r"\s", "", "".join(facts["pages"]))
    assert facts["printed"]
    # A closed configuration is printed all the same; tables are printed to their last column.
    wanted = ["Result", "Chosen settings", "title: Accuracy against qubits", "Parameters against accuracy"]
    for words in (*wanted, *(a["kind"] for a in given["arms"])):
        assert re.sub(r"\s", "", words) in printed
    assert all(len(text.strip()) > 20 for text in facts["pages"]), "an empty sheet"


@pytest.mark.parametrize("case", DARK)
def test_on_a_dark_ground_every_figure_is_dark_and_paper_stays_white(
    looked: tuple[dict[str, Seen], dict[str, Seen]], case: str
) -> None:
    facts, pictures = looked[1][case]
    dark, ink = (_rgb(plotting.DARK[colour]) for colour in (plotting.PAPER, plotting.INK))
    for width, measured in facts["widths"].items():
        assert (measured["ground"], measured["ink"]) == (f"rgb{dark}", f"rgb{ink}")
        assert set(measured["papers"]) == {f"rgb{dark}"}
        # Black and white are the numbers on coloured gates and cells alone.
        assert set(measured["labels"]) <= {f"rgb{ink}", "rgb(0, 0, 0)", "rgb(255, 255, 254)"}
        with Image.open(pictures[width]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        assert (np.abs(pixels.astype(int) - dark).max(axis=2) < 8).mean() > 0.7
        for name, (left, top, wide, high) in measured["figures"].items():
            box = pixels[int(top) : int(top + high), int(left) : int(left + wide)].min(axis=2)
            assert 0.002 < (box > 170).mean() < 0.5, f"{name} cannot be read on a dark ground"
    assert {tuple(corner) for corner in facts["paper"]} == {(255, 255, 255)}


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
