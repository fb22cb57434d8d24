"""The page of a report in a real browser: on a desk, on a phone and in print."""

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

LOOK = Path(__file__).parents[1] / "helpers" / "look.py"
BROWSER = ("line", "effects", "noise", "hostile", "many")


class Seen(NamedTuple):
    """What the browser saw of a page, and its pictures by width."""

    facts: dict[str, Any]
    pictures: dict[str, Path]


@pytest.fixture(scope="module")
def seen(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """One browser looks at all pages: to start it takes as long as to look at one."""
    for package in ("PySide6", "pypdfium2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no browser: the extra 'dev' brings {package}")
    folder = tmp_path_factory.mktemp("seen")
    command = [sys.executable, LOOK, folder, *(made[case] / "report.html" for case in BROWSER)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return {
        case: Seen(facts, {width: folder / f"{number}-{width}.png" for width in facts["widths"]})
        for number, (case, facts) in enumerate(zip(BROWSER, json.loads(done.stdout), strict=True))
    }


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
    assert facts["widths"]["390"]["width"] <= 390


@pytest.mark.parametrize("case", BROWSER)
def test_the_page_prints_whole(made: dict[str, Path], seen: dict[str, Seen], case: str) -> None:
    facts = seen[case].facts
    given = json.loads((made[case] / "results.json").read_text())
    printed = re.sub(r"\s", "", "".join(facts["pages"]))
    assert facts["printed"]
    # A closed configuration is printed all the same; tables are printed to their last column.
    wanted = ["Verdict", "Chosen settings", "title: Accuracy against qubits", "Parameters against accuracy"]
    for words in (*wanted, *(a["kind"] for a in given["arms"])):
        assert re.sub(r"\s", "", words) in printed
    assert all(len(text.strip()) > 20 for text in facts["pages"]), "an empty sheet"
