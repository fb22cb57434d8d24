"""The report of a study: its files against results.json, and its page in a real browser."""

import csv
import importlib.util
import itertools
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.report import page as report
from hilbertune.study.comparison import compare, holm, summary

SEEDS = [0, 1, 2, 3, 4, 5]


# Results ------------------------------------------------------------------------------------------


def arm(name: str, kind: str = "quantum", mean: float = 0.85, **values: Any) -> dict[str, Any]:
    """An arm whose accuracies scatter around `mean`, the same way every time."""
    random = np.random.default_rng(sum(name.encode()))
    seeds = values.pop("seeds", list(SEEDS))
    test = [round(float(v), 4) for v in random.normal(mean, 0.006, len(seeds))]
    right = [int(1000 * accuracy) for accuracy in test]
    confusion = np.sum([[[r // 2, 500 - r // 2], [500 - r // 2, r // 2]] for r in right], axis=0)
    given = {
        "name": name,
        "kind": kind,
        "method": "hybrid" if kind == "quantum" else name,
        "group": name,
        "factors": {},
        "parameters": 374.0,
        "trials": 3,
        "chosen": {"learning_rate": 0.002, "learning_rate_decay": 1.0},
        "seeds": seeds,
        "validation": [v + 0.003 for v in test],
        "test": test,
        "summary": summary(test),
        "evaluations": [],
        "confusion": confusion.tolist(),
        "seconds": 34.5 if kind == "quantum" else 0.012,
        "energy_joules": None,
        "curves": None,
        "head": None,
        "failed": [],
    }
    if kind == "quantum":
        fall = [[0.7 * 0.97**epoch + 0.01 * seed for seed in seeds] for epoch in range(40)]
        given["curves"] = {
            "epoch": list(range(1, 41)),
            "train_loss": fall,
            "validation_loss": [[v + 0.05 for v in row] for row in fall],
            "validation_accuracy": [[mean - 0.2 * v for v in row] for row in fall],
        }
    return given | values


def results(arms: list[dict[str, Any]], **values: Any) -> dict[str, Any]:
    classical = next((a for a in arms if a["kind"] == "classical" and a["test"]), None)
    compared = [a for a in arms if a["kind"] == "quantum" and a["test"]] if classical else []
    found = [compare(a["name"], a["test"], classical["name"], classical["test"][: len(a["test"])]) for a in compared]  # fmt: skip
    return {
        "title": "Accuracy against qubits",
        "about": "Test accuracy of heads with 10 to 18 qubits.",
        "size": "quick",
        "created": "2026-11-23T10:00:00+00:00",
        "seconds": 7234.5,
        "config": "title: Accuracy against qubits\narms:\n  - name: one encoder\n",
        "command": "hilbertune study config.yaml --size quick",
        "environment": {
            "python": "3.11.2",
            "packages": {"hilbertune": "0.1.0", "torch": "2.13.0", "transformers": None},
            "processor": "a processor of 2 cores",
            "gpu": None,
            "energy_joules": None,
        },
        "data": {
            "source": "sst2.npz",
            "rows": 9613,
            "features": 768,
            "classes": ["negative", "positive"],
            "train": 435,
            "validation": 77,
            "test": 9101,
        },
        "figure": {"kind": "bars", "x": None, "series": None, "conditions": False},
        "arms": arms,
        "comparisons": holm(found),
        "effects": None,
        "published": [],
        "failures": [{"arm": a["name"], **failed} for a in arms for failed in a["failed"]],
    } | values


def line() -> dict[str, Any]:
    arms = [
        arm(
            f"{count} encoder{'s' * (count == 'two')}, {qubits} qubits",
            mean=0.8 + 0.004 * qubits + 0.01 * (count == "two"),
            group=f"{count} encoder{'s' * (count == 'two')}",
            head=HeadConfig(qubits=4, encoder_layers=1, encoder_connectivity=1).to_dict(),
            factors={"qubits": qubits},
            parameters=37.0 * qubits + 4,
        )
        for count in ("one", "two")
        for qubits in (10, 14, 18)
    ]
    arms += [
        arm("logistic regression", "classical", 0.884, parameters=1538.0),
        arm("matched linear", "classical", 0.871, parameters=374.0),
    ]
    published = [
        {"what": "two encoders, 14 qubits", "value": 0.927, "source": "arXiv 2504.08732", "x": 14},
        {"what": "one encoder, 10 qubits", "value": 0.9021, "source": "arXiv 2504.08732", "x": 10},
        {"what": "best classical", "value": 0.8956, "source": "arXiv 2504.08732", "x": None},
    ]
    figure = {"kind": "line", "x": "qubits", "series": None, "conditions": False}
    return results(arms, figure=figure, published=published)


def bars() -> dict[str, Any]:
    error = "Training diverged to infinite losses: use a smaller learning rate."
    failed = [{"seed": seed, "error": error} for seed in SEEDS]
    nothing = {"summary": None, "confusion": None, "seconds": None, "curves": None, "seeds": []}
    arms = [
        arm("full model", mean=0.86),
        arm("no head (linear on the encoder's expectations)", mean=0.84, failed=failed[:1]),
        arm("no entanglement", mean=0.45),
        arm("four encoders", failed=failed, **nothing),
        arm("logistic regression", "classical", 0.884, energy_joules=0.5),
    ]
    return results(arms, title="Ablations")


def effects() -> dict[str, Any]:
    names = ["qubits", "learning_rate", "shots", "final_linear"]
    values = zip(names, (0.032, -0.011, 0.002, 0.0), (0.0004, 0.06, 1.0, 1.0), strict=True)
    found: list[dict[str, Any]] = []
    for name, value, p in values:
        ends = {"effect": value, "interval": [value - 0.01, value + 0.01], "p": p, "p_holm": p}
        found.append({"factor": name, "low": "6", "high": "8", **ends})
    found[3] |= {"effect": None, "interval": [None, None], "p": None, "p_holm": None}
    arms = [arm(f"design row {i}", mean=0.8 + 0.004 * i, group="design") for i in range(1, 13)]
    figure = {"kind": "effects", "x": None, "series": None, "conditions": False}
    return results(arms, effects=found, figure=figure, title="Main effects")


def conditions(kind: str = "shots") -> dict[str, Any]:
    values = {"shots": [64, 256, 1024, 8192, None], "two qubit error": [0.0, 0.001, 0.01, 0.1]}
    arms = []
    for number, name in enumerate(("trained exactly", "trained with 64 shots")):
        evaluations = []
        for place, value in enumerate(values[kind]):
            shown = f"{value} shots" if kind == "shots" else f"two qubit error {value:g}"
            spread = [round(0.8 + 0.01 * place + 0.002 * s + 0.01 * number, 4) for s in range(6)]
            evaluations.append(
                {
                    "name": shown if value is not None else "exact",
                    "value": value,
                    "accuracy": spread,
                }
                | {k: v for k, v in summary(spread).items() if k in ("mean", "low", "high")}
                | {"trajectory_error": None if kind == "shots" else 0.004}
            )
        if kind != "shots":
            device = {**evaluations[0], "value": None}
            evaluations += [{**device, "name": "no noise"}, {**device, "name": "aria-1"}]
        arms.append(arm(name, evaluations=evaluations))
    arms.append(arm("logistic regression", "classical", 0.884))
    figure = {"kind": "line", "x": None, "series": None, "conditions": True}
    return results(arms, figure=figure, title="Noise")


def minimal() -> dict[str, Any]:
    """One arm, one seed, and nothing known that may be unknown."""
    nothing = dict.fromkeys(("parameters", "seconds", "curves", "head", "confusion", "energy_joules"))
    alone = arm("only one", seeds=[3], validation=[None], **nothing)
    return results([alone], seconds=None, published=[{"what": "p", "value": None, "source": "s", "x": None}])  # fmt: skip


HOSTILE = '<img src="http://127.0.0.1:9/x.png" onerror="console.error(1)">&amp; $\\frac{1}{2}$ _a\x00\x1b\ud800'


def hostile() -> dict[str, Any]:
    """Every string that a person may write, as someone would who means harm."""
    found = line()
    for key in ("title", "about", "config", "command"):
        found[key] += HOSTILE
    found["data"]["classes"] = [f"{HOSTILE} {i}" for i in range(2)]
    for number, entry in enumerate(found["arms"]):
        entry["name"] = entry["group"] = f"_{number} {HOSTILE}"
        entry["chosen"] = {HOSTILE: HOSTILE}
    found["published"][0]["what"] = found["published"][1]["source"] = HOSTILE
    found["failures"] = [{"arm": HOSTILE, "seed": 0, "error": HOSTILE}]
    for entry in found["comparisons"]:
        entry["sentence"] = entry["name"] = HOSTILE
    return found


def many() -> dict[str, Any]:
    arms = [
        arm(
            f"the arm of number {i} that has a rather long name, which says all of its settings",
            "quantum" if i % 2 else "classical",
            0.7 + 0.004 * i,
            energy_joules=3.0 * i,
        )
        for i in range(40)
    ]
    return results(arms, title="Forty arms")


CASES: dict[str, Any] = {
    "line": line,
    "bars": bars,
    "effects": effects,
    "shots": conditions,
    "noise": lambda: conditions("two qubit error"),
    "minimal": minimal,
    "hostile": hostile,
    "many": many,
}
COMMON = {"curves", "parameters", "confusion", "time"}
FIGURES = {
    "line": COMMON | {"accuracy", "encoder", "head"},
    "bars": COMMON | {"accuracy", "energy"},
    "effects": COMMON | {"effects"},
    "shots": COMMON | {"conditions"},
    "noise": COMMON | {"conditions"},
    "minimal": {"accuracy"},
    "hostile": COMMON | {"accuracy", "encoder", "head"},
    "many": COMMON | {"accuracy", "energy"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reports of all cases."""
    folders = {}
    for name, case in CASES.items():
        folders[name] = tmp_path_factory.mktemp(name)
        (folders[name] / "results.json").write_text(json.dumps(case()))
        assert report.write_report(folders[name]) == folders[name] / "report.html"
    return folders


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text()


def table_of(folder: Path, name: str) -> list[dict[str, str]]:
    with open(folder / "figures" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_every_figure_is_in_the_page_and_in_three_files(made: dict[str, Path], case: str) -> None:
    folder = made[case]
    wanted = {f"{name}.{suffix}" for name in FIGURES[case] for suffix in ("svg", "png", "csv")}
    assert {file.name for file in (folder / "figures").iterdir()} == wanted
    assert set(re.findall(r'<figure id="figure-(\w+)"', page_of(folder))) == FIGURES[case]
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
    report.write_report(tmp_path)
    files = [file.relative_to(tmp_path) for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) == 2 + 3 * len(FIGURES[case])
    for file in files:
        assert (tmp_path / file).read_bytes() == (made[case] / file).read_bytes(), file


def test_a_figure_of_an_earlier_report_goes(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("effects.svg", "mine.svg"):
        (tmp_path / "figures" / name).write_text("<svg/>")
    (tmp_path / "results.json").write_text(json.dumps(minimal()))
    report.write_report(tmp_path)
    left = {file.name for file in (tmp_path / "figures").iterdir()}
    assert left == {"accuracy.svg", "accuracy.png", "accuracy.csv", "mine.svg"}


# The page -----------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Collects what a page is made of, and complains of tags that do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("case", CASES)
def test_the_page_is_well_formed_and_needs_no_network(made: dict[str, Path], case: str) -> None:
    page = page_of(made[case])
    outline = Outline(page)
    names = [tag for tag, _ in outline.tags]
    assert not {"script", "img", "iframe", "object", "embed"} & set(names)
    for tag, attributes in outline.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in {"src", "href", "xlink:href", "srcset", "data"} & attributes.keys():
            assert re.match(r"#|figures/\w+\.\w+$|data:,$", attributes[name] or ""), attributes
        if tag == "svg":
            assert attributes["role"] == "img"
            assert attributes["aria-label"]
    assert all(place.startswith("#") for place in re.findall(r"url\(\s*['\"]?([^)]*)\)", page))
    assert "@import" not in page
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'(?:xlink:href="|url\()#([\w-]+)', page))
    assert targets <= set(ids)
    levels = [int(name[1]) for name in names if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert dict(outline.tags)["html"] == {"lang": "en"}


def test_the_page_tells_the_numbers_of_the_results(made: dict[str, Path]) -> None:
    given = json.loads((made["line"] / "results.json").read_text())
    text = Outline(page_of(made["line"])).text
    for one in given["arms"]:
        mean, low, high = (f"{100 * one['summary'][k]:.1f}" for k in ("mean", "low", "high"))
        assert f"{one['name']}{one['kind']}{mean} ({low} to {high})" in text
    for comparison in given["comparisons"]:
        assert comparison["sentence"] in text
    for entry in given["published"]:
        assert f"{entry['what']}{100 * entry['value']:.1f}{entry['source']}" in text
    assert given["config"] in text
    assert given["command"] in text
    for shown in ("a processor of 2 cores", "torch2.13.0", "seeds0, 1, 2, 3, 4, 5", "2.0 h in all"):
        assert shown in text
    assert "transformers" not in text
    assert "No energy was measured" in text
    assert "No energy was measured" not in page_of(made["bars"])


def test_what_was_metered_and_what_a_search_found_are_tables(tmp_path: Path) -> None:
    cost = {"joules_per_training": 812.0, "joules_per_1000_predictions": 3.25, "joules_per_correct_prediction": 0.0041, "seconds_per_1000_predictions": 0.0625}  # fmt: skip
    given = results(
        [
            arm("full model", mean=0.86, energy=cost, energy_joules=812.0),
            arm("logistic regression", "classical", 0.884, energy=dict.fromkeys(cost) | {"seconds_per_1000_predictions": 0.5}),
            arm("of before", "classical", 0.88),
        ],
        search={
            "full model": {
                "objectives": ["accuracy", "parameters"], "complete": 7, "pruned": 2, "failed": 1,
                "best": [{"values": [0.91, 120.0], "settings": {"qubits": 4}}, {"values": [0.93, 300.0], "settings": {"qubits": 8}}],
            }
        },
    )  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(given))
    report.write_report(tmp_path)
    text = Outline(page_of(tmp_path)).text
    assert "full modelquantum8123.250.00410.0625" in text
    assert "logistic regressionclassical–––0.5" in text
    assert "of beforeclassical–" not in text
    assert "7 trials complete, 2 trials pruned, 1 trials failed" in text
    assert "0.91120qubits = 4" in text
    assert "they flatter" in text


def test_captions_tell_the_finding(made: dict[str, Path]) -> None:
    given = json.loads((made["effects"] / "results.json").read_text())
    best = max(given["arms"], key=lambda a: a["summary"]["mean"])
    text = Outline(page_of(made["effects"])).text
    assert f"mean, {100 * best['summary']['mean']:.1f} %" in text
    assert "from 6 to 8 the mean accuracy changes by +3.20 points (95 % interval +2.20 to +4.20, Holm-corrected p < 0.001)" in text  # fmt: skip
    # The arm that did best on validation, at its worst and at its best.
    shots = Outline(page_of(made["shots"])).text
    assert re.search(r"trained with 64 shots reaches from 81\.5 % \(.{12}\) \(64 shots\) to 85\.5 % \(.{12}\) \(exact\)", shots)  # fmt: skip


def test_failed_runs_are_listed(made: dict[str, Path]) -> None:
    text = Outline(page_of(made["bars"])).text
    assert text.count("Training diverged to infinite losses") == 7
    assert 'id="failures"' in page_of(made["bars"])
    assert 'id="failures"' not in page_of(made["minimal"])


def test_one_seed_has_no_interval_and_unknown_is_a_dash(made: dict[str, Path]) -> None:
    given = json.loads((made["minimal"] / "results.json").read_text())
    text = Outline(page_of(made["minimal"])).text
    mean = f"{100 * given['arms'][0]['summary']['mean']:.1f}"
    assert f"only onequantum{mean}–3" in text
    assert "nan" not in text.lower()
    assert "None" not in text


def test_hostile_strings_are_shown_as_they_are(made: dict[str, Path]) -> None:
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace("\ud800", "\ufffd")
    text = Outline(page_of(made["hostile"])).text
    assert text.count(shown) > 20
    for name in ("accuracy", "curves"):
        drawn = ET.parse(made["hostile"] / "figures" / f"{name}.svg").getroot()
        assert any("<img" in words for words in drawn.itertext())


def test_a_dollar_in_a_figure_is_a_dollar(tmp_path: Path) -> None:
    given = bars()
    given["arms"][0]["name"] = "_costs $1 and $\\frac{1}{2}$ of it"
    (tmp_path / "results.json").write_text(json.dumps(given))
    report.write_report(tmp_path)
    drawn = (tmp_path / "figures" / "accuracy.svg").read_text()
    assert "_costs $1 and $\\frac{1}{2}$" in drawn


def test_a_factor_that_spans_much_has_a_log_axis_with_its_own_values(tmp_path: Path) -> None:
    sizes = [8, 16, 32, 64, 128, 256]
    arms = [arm(f"logistic regression, {n} a class", "classical", group="all", factors={"per_class": n}) for n in sizes]
    figure = {"kind": "line", "x": "per_class", "series": None, "conditions": False}
    (tmp_path / "results.json").write_text(json.dumps(results(arms, figure=figure)))
    report.write_report(tmp_path)
    root = ET.parse(tmp_path / "figures" / "accuracy.svg").getroot()
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    # Labels of the x axis are centred, those of the y axis are not.
    across = [t for t in texts if "middle" in t.attrib["style"] and str(t.text).isdigit()]
    places = {int(str(t.text)): float(t.attrib["x"]) for t in across}
    assert list(places) == sizes
    steps = np.diff([places[n] for n in sizes])
    np.testing.assert_allclose(steps, steps[0], rtol=0.01)  # each is twice the one before


# Mistakes -----------------------------------------------------------------------------------------


def broken(**values: Any) -> str:
    return json.dumps({**minimal(), **values})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing: name the directory of a study"),
        ("", "is cut short or damaged: run the study again"),
        (broken()[:-40], "is cut short or damaged: run the study again"),
        ("[" * 100_000, "is cut short or damaged: run the study again"),
        ("[1, 2]", "does not hold the results of a study"),
        ('{"title": "a fit"}', "does not hold the results of a study"),
        (broken(arms={}), "does not hold the results of a study"),
        (broken(arms=[{"name": "a"}]), "entry 0 of 'arms' has no 'kind'"),
        (broken(published=["p"]), "entry 0 of 'published' has no 'what'"),
    ],
)
def test_a_file_that_is_no_whole_result_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(HilbertuneError, match=re.escape(message)) as caught:
        report.write_report(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(broken())
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(HilbertuneError, match="Cannot write"):
        report.write_report(tmp_path)
    (tmp_path / "results.json").unlink()
    (tmp_path / "results.json").mkdir()
    with pytest.raises(HilbertuneError, match=r"Cannot read .*results.json"):
        report.write_report(tmp_path)


def test_numbers_that_are_none_count_as_unknown(tmp_path: Path) -> None:
    given = json.dumps(minimal()).replace('"validation": [null]', '"validation": [NaN, Infinity, 1e999]')  # fmt: skip
    assert "NaN" in given
    (tmp_path / "results.json").write_text(given)
    assert report.write_report(tmp_path).exists()


def test_a_study_in_which_nothing_finished_says_so(tmp_path: Path) -> None:
    given = bars()
    empty = next(a for a in given["arms"] if a["summary"] is None)
    given |= {"arms": [empty], "comparisons": []}
    (tmp_path / "results.json").write_text(json.dumps(given))
    page = report.write_report(tmp_path).read_text()
    assert "No run has finished, so nothing can be said." in page


# In a browser -------------------------------------------------------------------------------------

BROWSER = ("line", "effects", "noise", "hostile", "many")


@pytest.fixture(scope="module")
def seen(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], Path]]:
    """What a browser saw of each page, and the folder of its pictures."""
    for package in ("PySide6", "pypdfium2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no browser: the extra 'dev' brings {package}")
    look = Path(__file__).parents[1] / "helpers" / "look.py"
    found = {}
    for case in BROWSER:
        pictures = tmp_path_factory.mktemp(f"seen-{case}")
        command = [sys.executable, look, made[case] / "report.html", pictures, "1200", "390"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found[case] = (json.loads(done.stdout), pictures)
    return found


@pytest.mark.parametrize("case", BROWSER)
def test_a_browser_draws_every_figure_and_complains_of_nothing(
    made: dict[str, Path], seen: dict[str, tuple[dict[str, Any], Path]], case: str
) -> None:
    found, pictures = seen[case]
    assert found["loaded"]
    assert found["console"] == []
    assert found["requests"] == [(made[case] / "report.html").resolve().as_uri()]
    for width, measured in found["widths"].items():
        assert (measured["scripts"], measured["images"]) == (0, 0)
        assert set(measured["figures"]) == {f"figure-{name}" for name in FIGURES[case]}
        with Image.open(pictures / f"{width}.png") as picture:
            pixels = np.asarray(picture.convert("L"))
        for name, (left, top, wide, high) in measured["figures"].items():
            assert min(wide, high) > 50, name
            assert measured["shapes"][name] > 10, name
            box = pixels[int(top) : int(top + high), int(left) : int(left + wide)]
            assert 0.004 < (box < 140).mean() < 0.9, f"{name} at {width} pixels is blank"


@pytest.mark.parametrize("case", BROWSER)
def test_the_page_is_readable_on_a_phone(seen: dict[str, tuple[dict[str, Any], Path]], case: str) -> None:
    found, _ = seen[case]
    for measured in found["widths"].values():
        assert measured["page"][0] <= measured["width"], "the page is wider than the window"
        assert measured["outside"] == []
        assert min(measured["letters"].values()) > 7.5
        assert not any(measured["overlaps"].values()), measured["overlaps"]
        assert not any(measured["cut"].values()), measured["cut"]
    assert found["widths"]["390"]["width"] <= 390


@pytest.mark.parametrize("case", BROWSER)
def test_the_page_prints_whole(made: dict[str, Path], seen: dict[str, tuple[dict[str, Any], Path]], case: str) -> None:
    found, _ = seen[case]
    given = json.loads((made[case] / "results.json").read_text())
    printed = re.sub(r"\s", "", "".join(found["pages"]))
    assert found["printed"]
    # A closed configuration is printed all the same; tables are printed to their last column.
    wanted = ["Verdict", "Chosen settings", "title: Accuracy against qubits", "Parameters against accuracy"]  # fmt: skip
    for words in (*wanted, *(a["kind"] for a in given["arms"])):
        assert re.sub(r"\s", "", words) in printed
    assert all(len(text.strip()) > 20 for text in found["pages"]), "an empty sheet"
