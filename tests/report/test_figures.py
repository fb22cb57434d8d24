"""The figures of a report: which there are, and their files against the numbers of results.json."""

import csv
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from helpers.pictures import collisions
from helpers.study_results import CASES, FIGURES, arm, bars, conditions, line, make_results, minimal
from matplotlib.colors import to_hex
from PIL import Image

from hilbertune.report.accuracy import accuracy_figure
from hilbertune.report.conditions import conditions_figure
from hilbertune.report.figures import FIGURES as NAMES
from hilbertune.report.figures import draw
from hilbertune.report.page import write_report
from hilbertune.runtime.plotting import LINEAR, QUANTUM, STYLE


@pytest.mark.parametrize("case", ["line", "bars", "effects", "noise", "many"])
def test_no_name_lies_on_a_line_or_on_another_name(case: str) -> None:
    for name in FIGURES[case] - {"encoder", "head", "time", "energy"}:
        with matplotlib.rc_context(STYLE):
            figure = NAMES[name](CASES[case]())
        assert figure is not None
        assert collisions(figure.drawing) == [], name
        assert not figure.drawing.legends
        assert not any(axes.get_legend() for axes in figure.drawing.axes)


def test_bars_are_sorted_and_the_reference_is_marked() -> None:
    with matplotlib.rc_context(STYLE):
        figure = accuracy_figure(bars())
    assert figure is not None
    (axes,) = figure.drawing.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "logistic regression\n(reference)"
    assert names[-1] == "four encoders"
    lengths = [patch.get_width() for patch in axes.patches]
    assert lengths == sorted(lengths, reverse=True)
    assert {to_hex(patch.get_facecolor()) for patch in axes.patches} == {QUANTUM, LINEAR}


def table_of(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / "figures" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def accuracy_svg(results: dict[str, Any]) -> str:
    """Return the SVG of the figure of accuracies alone."""
    drawn = draw("accuracy", results)
    assert drawn is not None
    return drawn[1]["svg"].decode()


@pytest.mark.parametrize("case", CASES)
def test_every_figure_is_in_the_page_and_in_three_files(made: dict[str, Path], case: str) -> None:
    folder = made[case]
    wanted = {f"{name}.{suffix}" for name in FIGURES[case] for suffix in ("svg", "png", "csv")}
    assert {file.name for file in (folder / "figures").iterdir()} == wanted
    assert set(re.findall(r'<figure id="figure-(\w+)"', (folder / "report.html").read_text())) == FIGURES[case]
    for name in FIGURES[case]:
        root = ET.parse(folder / "figures" / f"{name}.svg").getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        with Image.open(folder / "figures" / f"{name}.png") as image:
            pixels = np.asarray(image.convert("L"))
        assert min(pixels.shape) > 100
        assert 0.005 < (pixels < 128).mean() < 0.9, f"{name} is blank"
        assert table_of(folder, name)


def test_the_figure_of_accuracies_tells_the_numbers_of_the_results(made: dict[str, Path]) -> None:
    for case in ("line", "bars"):
        given = json.loads((made[case] / "results.json").read_text())
        rows = {row["arm"]: row for row in table_of(made[case], "accuracy")}
        for one in (a for a in given["arms"] if a["summary"]):
            for key in ("mean", "low", "high"):
                assert float(rows[one["name"]][key]) == one["summary"][key]
        for entry in given["published"]:
            assert float(rows[f"published: {entry['what']}"]["mean"]) == entry["value"]
    assert rows["four encoders"]["mean"] == ""


def test_the_tables_of_the_other_figures_tell_the_numbers_of_the_results(
    made: dict[str, Path],
) -> None:
    given = json.loads((made["noise"] / "results.json").read_text())
    rows = {(row["arm"], row["condition"]): row for row in table_of(made["noise"], "conditions")}
    asked = [(a["name"], e) for a in given["arms"] for e in a["evaluations"]]
    assert len(asked) == len(rows) == 12
    for name, evaluation in asked:
        row = rows[name, evaluation["name"]]
        for key in ("mean", "low", "high", "trajectory_error"):
            assert float(row[key]) == evaluation[key]
    given = json.loads((made["effects"] / "results.json").read_text())
    rows = table_of(made["effects"], "effects")
    known = [e for e in given["effects"] if e["effect"] is not None]
    assert [float(row["effect"]) for row in rows] == [e["effect"] for e in known]
    arms = {a["name"]: a for a in given["arms"]}
    for row in table_of(made["effects"], "parameters"):
        assert float(row["parameters"]) == arms[row["arm"]]["parameters"]
    for row in table_of(made["effects"], "time"):
        assert float(row["seconds"]) == arms[row["arm"]]["seconds"]
    losses = table_of(made["effects"], "curves")
    assert len(losses) == 12 * 40
    for row in losses[:40]:
        seeds = arms[row["arm"]]["curves"]["train_loss"][int(row["epoch"]) - 1]
        assert float(row["train_loss, mean"]) == pytest.approx(sum(seeds) / len(seeds))
    confusion = table_of(made["bars"], "confusion")
    given = json.loads((made["bars"] / "results.json").read_text())
    tables = {a["name"]: a["confusion"] for a in given["arms"]}
    for row in confusion:
        place = ["negative", "positive"]
        true, taken = place.index(row["true"]), place.index(row["predicted"])
        assert int(row["rows"]) == tables[row["arm"]][true][taken]


@pytest.mark.parametrize("case", ["noise"])
def test_the_same_results_give_the_same_bytes(made: dict[str, Path], case: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes((made[case] / "results.json").read_bytes())
    write_report(tmp_path)
    files = [file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) == 2 + 3 * len(FIGURES[case])
    for file in files:
        assert (tmp_path / file).read_bytes() == (made[case] / file).read_bytes(), file


def test_a_figure_of_an_earlier_report_goes(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("effects.svg", "mine.svg"):
        (tmp_path / "figures" / name).write_text("<svg/>")
    (tmp_path / "results.json").write_text(json.dumps(minimal()))
    write_report(tmp_path)
    left = {file.name for file in (tmp_path / "figures").iterdir()}
    assert left == {"accuracy.svg", "accuracy.png", "accuracy.csv", "mine.svg"}


def test_a_dollar_in_a_figure_is_a_dollar() -> None:
    given = bars()
    given["arms"][0]["name"] = "_costs $1 and $\\frac{1}{2}$ of it"
    drawn = accuracy_svg(given)
    assert "_costs $1 and $\\frac{1}{2}$" in drawn


def test_a_factor_that_spans_much_has_a_log_axis_with_its_own_values() -> None:
    sizes = [8, 16, 32, 64, 128, 256]
    arms = [arm(f"logistic regression, {n} a class", "classical", group="all", factors={"per_class": n}) for n in sizes]
    figure = {"kind": "line", "x": "per_class", "series": None, "conditions": False}
    root = ET.fromstring(accuracy_svg(make_results(arms, figure=figure)))
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    # Labels of the x axis are centred, those of the y axis are not.
    across = [t for t in texts if "middle" in t.attrib["style"] and str(t.text).isdigit()]
    places = {int(str(t.text)): float(t.attrib["x"]) for t in across}
    assert list(places) == sizes
    steps = np.diff([places[n] for n in sizes])
    np.testing.assert_allclose(steps, steps[0], rtol=0.01)  # each is twice the one before


def test_conditions_stand_by_the_logarithm_of_their_number_with_names_beside_them() -> None:
    with matplotlib.rc_context(STYLE):
        shots = conditions_figure(conditions())
        noise = conditions_figure(conditions("two qubit error"))
    assert shots is not None
    assert noise is not None
    (axes,) = shots.drawing.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["64", "256", "1,024", "8,192", "exact"]
    np.testing.assert_allclose(axes.get_xticks(), [6, 8, 10, 13, 13 + 7 / 3])
    numbers, names = noise.drawing.axes
    assert numbers.get_xlabel() == "two qubit error in the test"
    thousandth, hundredth, tenth = np.log2([0.001, 0.01, 0.1])
    step = (tenth - thousandth) / 2
    np.testing.assert_allclose(numbers.get_xticks(), [thousandth - step, thousandth, hundredth, tenth])
    assert [label.get_text() for label in names.get_xticklabels()] == ["no noise", "aria-1"]
    assert list(names.get_xticks()) == [0, 1]


def test_arms_of_a_series_are_a_line_for_each_of_its_values() -> None:
    given = line()
    given["figure"]["series"] = "encoders"
    for number, one in enumerate(given["arms"][:6]):
        one["factors"]["encoders"] = 1 + number // 3
    with matplotlib.rc_context(STYLE):
        figure = accuracy_figure(given)
    assert figure is not None
    assert [row["line"] for row in figure.rows[:8]] == [
        *["encoders = 1"] * 3,
        *["encoders = 2"] * 3,
        "logistic regression",
        "matched linear",
    ]
    assert [row["x"] for row in figure.rows[:8]] == [10, 14, 18, 10, 14, 18, None, None]


def test_a_factor_of_words_has_a_block_for_each_of_them() -> None:
    means = {"frozen": 0.88, "contrastive": 0.91}
    heads = (("one head", "quantum", 0.0), ("logistic regression", "classical", 0.004))
    arms = [
        arm(f"{head}, {base}", kind, mean + more, group=head, factors={"base": base})
        for head, kind, more in heads
        for base, mean in means.items()
    ]
    for one in arms:
        if one["kind"] == "classical":
            one["method"] = "logistic regression"
    published = [{"what": "SetFit", "value": 0.9256, "source": "a reader", "x": None}]
    wish = {"kind": "line", "x": "base", "series": None, "conditions": False}
    with matplotlib.rc_context(STYLE):
        figure = accuracy_figure(make_results(arms, figure=wish, published=published))
    assert figure is not None
    (axes,) = figure.drawing.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        "frozen",
        "one head",
        "logistic regression",
        "contrastive",
        "one head",
        "logistic regression",
        "published",
        "SetFit",
    ]
    drawn = {round(float(line.get_xdata()[0]), 4): line for line in axes.lines if line.get_marker() in ("o", "s", "D")}
    expected = [100 * one["summary"]["mean"] for one in arms] + [92.56]
    np.testing.assert_allclose(sorted(drawn), sorted(expected), atol=1e-3)
    colours = {to_hex(line.get_color()) for line in drawn.values() if line.get_marker() == "o"}
    assert colours == {QUANTUM}
    # Its logistic regression runs through each block.
    dashed = [line for line in axes.lines if line.is_dashed()]
    assert sorted(round(float(line.get_xdata()[0]), 3) for line in dashed) == sorted(
        round(100 * one["summary"]["mean"], 3) for one in arms if one["kind"] == "classical"
    )
    assert not figure.drawing.legends
    assert collisions(figure.drawing) == []
    assert [row["x"] for row in figure.rows] == ["frozen", "frozen", "contrastive", "contrastive", None]
