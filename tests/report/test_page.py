"""The page of a report against the numbers of results.json."""

import itertools
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.study_results import CASES, HOSTILE, bars, minimal

from hilbertune.config.records import HeadConfig
from hilbertune.report.page import write_report
from hilbertune.report.words import p_text, points_text
from hilbertune.runtime import plotting
from hilbertune.study.comparison import compare, holm


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
        marked = f"{one['name']} (reference)" if one["name"] == "logistic regression" else one["name"]
        assert f"{marked}{one['kind']}{mean}{low} to {high}" in text
    assert text.count("(reference)") > 1
    for comparison in given["comparisons"]:
        low, high = (points_text(end) for end in comparison["interval"])
        p = p_text(comparison["p_permutation"]) + p_text(comparison["p_holm"])
        row = f"{comparison['name']}{points_text(comparison['difference'])}{low} to {high}{p}6"
        assert f"{row}no: too few seeds" in text
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
    assert "qubits = 40.91120" in text
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
    assert f"only onequantum{mean}31" in text  # 3 trials, 1 seed, and no column of dashes
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


def test_what_all_comparisons_lack_is_said_once(made: dict[str, Path], tmp_path: Path) -> None:
    text = text_of(made["line"])
    assert text.count("however large") == 1
    # 2 / 2^n of six comparisons is below 5 % from 8 seeds on.
    assert "With 6 seeds no effect can be shown at the 5 % level, however large: 8 seeds or more could." in text
    assert "cannot show any difference" not in text
    given = bars() | {"comparisons": []}
    (tmp_path / "results.json").write_text(json.dumps(given))
    write_report(tmp_path)
    assert "however large" not in text_of(tmp_path)


def test_comparisons_that_can_be_told_say_what_they_tell(tmp_path: Path) -> None:
    given = minimal()
    given["comparisons"] = holm([compare("a", np.arange(9) / 100 + 0.5, "b", np.full(9, 0.4))])
    (tmp_path / "results.json").write_text(json.dumps(given))
    write_report(tmp_path)
    assert "yes: better" in text_of(tmp_path)
    given["comparisons"] = holm([compare("a", [0.5, 0.6] * 4, "b", [0.6, 0.5] * 4)])
    (tmp_path / "results.json").write_text(json.dumps(given))
    write_report(tmp_path)
    least = points_text(given["comparisons"][0]["detectable"], "")
    assert f"not shown: it sees {least} points or more" in text_of(tmp_path)


def test_the_contents_name_every_section_and_the_figure_stands_above_the_verdict(made: dict[str, Path]) -> None:
    for case in ("bars", "minimal"):
        page = page_of(made[case])
        sections = re.findall(r'<h2 id="(\w+)">(.*?)</h2>', page)
        assert re.findall(r'<li><a href="#(\w+)">(.*?)</a></li>', page) == sections
        assert page.index('<figure id="figure-accuracy"') < page.index('class="verdict"') < page.index("<table>")
    assert {"costs", "search", "failures"} <= {
        place for place, _ in re.findall(r'<h2 id="(\w+)">(.*?)</h2>', page_of(made["bars"]))
    }


def test_no_column_is_made_of_dashes(made: dict[str, Path]) -> None:
    for case in CASES:
        for table in re.findall(r"<table>.*?</table>", page_of(made[case]), re.DOTALL):
            rows = [re.findall(r"<t[hd][^>]*>(?:<span>)?(.*?)(?:</span>)?</t[hd]>", row) for row in table.split("<tr>")]
            for column in zip(*rows[2:], strict=True):
                assert set(column) - {"–", ""}, (case, rows[1])


def test_a_published_number_of_a_study_without_an_axis_has_no_place(tmp_path: Path) -> None:
    given = bars()
    given["published"] = [{"what": "theirs", "value": 0.9, "source": "a paper", "x": 14}]
    (tmp_path / "results.json").write_text(json.dumps(given))
    write_report(tmp_path)
    page = page_of(tmp_path)
    assert "None" not in Outline(page).text
    assert ">At</th>" not in page
    assert "theirs90.0a paper" in text_of(tmp_path)


def test_the_command_of_older_results_names_a_directory_too(tmp_path: Path) -> None:
    given = minimal()
    given["command"] = "hilbertune study config.yaml --size full --seeds 1 --data x.npz"
    (tmp_path / "results.json").write_text(json.dumps(given))
    write_report(tmp_path)
    command = re.search(r"<pre><code>(hilbertune .*?)</code>", page_of(tmp_path))
    assert command is not None
    assert command[1].endswith("--data x.npz --out repeated")


def test_page_and_figures_turn_dark_together(made: dict[str, Path]) -> None:
    page = page_of(made["line"])
    assert (
        page.count("@media screen and (prefers-color-scheme: dark)") == 2
    )  # the page's colours, the drawings' colours
    for name, colour in (("paper", plotting.PAPER), ("ink", plotting.INK), ("quantum", plotting.QUANTUM)):
        assert f"--{name}: {colour};" in page
        assert f"--{name}: {plotting.DARK[colour]};" in page
