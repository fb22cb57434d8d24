"""The figures of a report by name, and the files of each: SVG, PNG and a table of its numbers.

In: the results of a study.
Out: bytes of files, and the SVG as it stands in the page; the same results give the same bytes.
"""

import csv
import io
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from functools import partial

from hilbertune.errors import require
from hilbertune.report.accuracy import accuracy_figure, parameters_figure
from hilbertune.report.circuits import circuit_figure
from hilbertune.report.conditions import conditions_figure
from hilbertune.report.confusion import confusion_figure
from hilbertune.report.costs import energy_figure, time_figure
from hilbertune.report.curves import curves_figure
from hilbertune.report.effects import effects_figure
from hilbertune.report.style import Figure
from hilbertune.runtime.escaping import cell
from hilbertune.runtime.plotting import STYLE, image
from hilbertune.study.record import Results

FIGURES: Mapping[str, Callable[[Results], Figure | None]] = {
    "accuracy": accuracy_figure,
    "conditions": conditions_figure,
    "effects": effects_figure,
    "curves": curves_figure,
    "parameters": parameters_figure,
    "confusion": confusion_figure,
    "time": time_figure,
    "energy": energy_figure,
    "encoder": partial(circuit_figure, part="encoder"),
    "head": partial(circuit_figure, part="head"),
}
SUFFIXES = ("svg", "png", "csv")
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"


def draw(name: str, results: Results) -> tuple[Figure, dict[str, bytes]] | None:
    """Draw the figure of that name and return it with the content of its files by suffix; None if it shows nothing."""
    with require("matplotlib", "study").rc_context(STYLE):
        figure = FIGURES[name](results)
        return None if figure is None else (figure, _files(figure, name))


def _files(figure: Figure, name: str) -> dict[str, bytes]:
    """Return the files by suffix: the same drawing gives the same bytes."""
    with warnings.catch_warnings():
        # A name may have characters that the font lacks: they are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        files = {"svg": image(figure.drawing, ".svg", salt=name), "png": image(figure.drawing, ".png", dpi=200)}
    table = io.StringIO(newline="")
    columns = list(dict.fromkeys(key for row in figure.rows for key in row))
    writer = csv.DictWriter(table, columns, restval="")
    writer.writeheader()
    writer.writerows({k: cell(v) if isinstance(v, str) else v for k, v in row.items()} for row in figure.rows)
    return {**files, "csv": table.getvalue().encode()}


def inline_svg(name: str, figure: Figure, content: bytes) -> str:
    """Return the SVG for the page: named for screen readers, as wide as its place, its ids like no other figure's."""
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    root = ET.fromstring(content)
    # The page has the rules for dark ground itself, once.
    for part in (*root.findall(f"{{{SVG}}}metadata"), *root.findall(f"{{{SVG}}}style")):
        root.remove(part)
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == f"{{{XLINK}}}href" and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            else:
                element.set(key, value.replace("url(#", f"url(#{name}-"))
    del root.attrib["width"], root.attrib["height"]
    root.set("role", "img")
    root.set("aria-label", f"{figure.title}. {figure.caption}")
    title = ET.Element(f"{{{SVG}}}title")
    title.text = figure.title
    root.insert(0, title)
    return ET.tostring(root, encoding="unicode")
