"""The page of a report against the numbers of results.json."""

import itertools
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.study_results import CASES, HOSTILE, bars, minimal

from hilbertune.config.records import HeadConfig
from hilbertune.report.page import write_report


class Outline(HTMLParser):
    """The tags and the text of a page; tags that do not match are an error."""

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


def text_of(folder: Path) -> str:
    """Return the text of the report's page."""
    return Outline(page_of(folder)).text


def page_of(folder: Path) -> str:
    return (folder / "report.html").read_text()


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
    text = text_of(made["line"])
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


def test_what_was_metered_and_what_a_search_found_are_tables(made: dict[str, Path]) -> None:
    text = text_of(made["bars"])
    assert "full modelquantum8123.250.00410.0625" in text
    assert "logistic regressionclassical–––0.5" in text
    assert "no entanglementquantum–" not in text  # an arm whose results say nothing of energy
    assert "7 trials complete, 2 trials pruned, 1 trials failed" in text
    assert "0.91120qubits = 4" in text
    assert "they flatter" in text


def test_an_ensemble_is_called_as_many_heads_where_its_arm_is_described(tmp_path: Path) -> None:
    given = bars()
    shape = HeadConfig(qubits=2, encoder_layers=1, encoder_connectivity=1).to_dict()
    ensemble, tuned, single = given["arms"][:3]
    ensemble |= {"ensemble": {"members": 8, "bootstrap": True}, "parameters": 2992.0, "head": shape}
    tuned |= {"ensemble": {"members": 3, "bootstrap": False}, "chosen": {"members": 3}}
    single["chosen"] = {"members": 1}
    (tmp_path / "results.json").write_text(json.dumps(given))
    write_report(tmp_path)
    text = text_of(tmp_path)
    assert "2,992 in 8 heads" in text
    told = "8 heads, each trained on rows drawn with replacement; learning_rate = 0.002, learning_rate_decay = 1.0"
    assert told in text
    assert "3 heads" in text
    assert "members = 3" not in text
    assert "members = 1" in text
    assert "parameters, time and energy are those of all of them" in text
    assert "Each of the 8 heads has such a circuit" in text
    assert "curves of an ensemble are the means of its heads" in text


def test_a_report_of_single_heads_does_not_speak_of_ensembles(made: dict[str, Path]) -> None:
    assert not re.search(r"ensemble|\d heads", text_of(made["line"]))


def test_captions_tell_the_finding(made: dict[str, Path]) -> None:
    given = json.loads((made["effects"] / "results.json").read_text())
    best = max(given["arms"], key=lambda a: a["summary"]["mean"])
    text = text_of(made["effects"])
    assert f"mean, {100 * best['summary']['mean']:.1f} %" in text
    assert (
        "from 6 to 8 the mean accuracy changes by +3.20 points (95 % interval +2.20 to +4.20, Holm-corrected p < 0.001)"
    ) in text
    # The arm that did best on validation, at its worst and at its best.
    shots = text_of(made["shots"])
    reach = r"trained with 64 shots reaches from 81\.5 % \(.{12}\) \(64 shots\) to 85\.5 % \(.{12}\) \(exact\)"
    assert re.search(reach, shots)


def test_failed_runs_are_listed(made: dict[str, Path]) -> None:
    text = text_of(made["bars"])
    assert text.count("Training diverged to infinite losses") == 7
    assert 'id="failures"' in page_of(made["bars"])
    assert 'id="failures"' not in page_of(made["minimal"])


def test_one_seed_has_no_interval_and_unknown_is_a_dash(made: dict[str, Path]) -> None:
    given = json.loads((made["minimal"] / "results.json").read_text())
    text = text_of(made["minimal"])
    mean = f"{100 * given['arms'][0]['summary']['mean']:.1f}"
    assert f"only onequantum{mean}–3" in text
    assert "nan" not in text.lower()
    assert "None" not in text


def test_hostile_strings_are_shown_as_they_are(made: dict[str, Path]) -> None:
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\x1b", "\ufffd").replace("\ud800", "\ufffd")
    text = text_of(made["hostile"])
    assert text.count(shown) > 20
    for name in ("accuracy", "curves"):
        drawn = ET.parse(made["hostile"] / "figures" / f"{name}.svg").getroot()
        assert any("<img" in words for words in drawn.itertext())


def test_a_study_in_which_nothing_finished_says_so(tmp_path: Path) -> None:
    given = bars()
    empty = next(a for a in given["arms"] if a["summary"] is None)
    given |= {"arms": [empty], "comparisons": []}
    (tmp_path / "results.json").write_text(json.dumps(given))
    page = write_report(tmp_path).read_text()
    assert "No run has finished, so nothing can be said." in page


def test_a_report_is_made_without_torch_numba_and_scipy(tmp_path: Path) -> None:
    given = minimal()
    given["arms"][0]["head"] = HeadConfig(qubits=2, encoder_layers=1, encoder_connectivity=1).to_dict()
    (tmp_path / "results.json").write_text(json.dumps(given))
    code = (
        "import sys; from pathlib import Path; from hilbertune.report import write_report\n"
        "print(write_report(Path(sys.argv[1])))\n"
        "print({'torch', 'numba', 'scipy', 'transformers'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str(tmp_path / "report.html"), "set()"]
    assert (tmp_path / "figures" / "head.svg").exists()


def test_names_turn_no_direction_and_start_no_formula(tmp_path: Path) -> None:
    given = CASES["hostile"]()
    for entry in given["arms"]:
        entry["name"] = f"=\u202e{entry['group'][1]}\u2066"
    (tmp_path / "results.json").write_text(json.dumps(given))
    write_report(tmp_path)
    assert "=\ufffd0\ufffd" in text_of(tmp_path)
    for file in [tmp_path / "report.html", *(tmp_path / "figures").glob("*.[sc]*")]:
        assert not {"\u202e", "\u2066"} & set(file.read_text()), file
    cells = (tmp_path / "figures/accuracy.csv").read_text()
    assert "'=\ufffd0\ufffd" in cells
    assert not re.search(r"(^|,)=", cells, re.MULTILINE)
