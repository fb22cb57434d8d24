"""The verbs study and report."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Run


def test_a_study_ends_in_a_table_sentences_and_a_report(run: Run, asked: Path) -> None:
    out = asked.parent / "out"
    code, text, err = run("study", asked, "--out", out)
    assert code == 0
    assert re.search(r"8 of 8 runs to train: about \d+ s on this machine, within a factor of 2", err)
    assert re.search(r"quantum +0\.\d{4} +needs 3 seeds +\d+ +2", text)
    assert "seeds" in text
    assert f"Report: {out / 'report.html'}" in text
    first = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    code, text, _ = run("report", out, "--json")
    assert (code, json.loads(text)) == (0, {"report": str(out / "report.html")})
    assert (out / "report.html").read_bytes() == first


def test_the_command_in_the_report_runs_as_it_is_printed(
    run: Run, asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = asked.parent / "out"
    assert run("study", asked, "--out", out)[0] == 0
    results = json.loads((out / "results.json").read_text())
    program, *words = shlex.split(results["command"])
    assert program == "hilbertune"
    assert f"<pre><code>{results['command']}</code></pre>" in (out / "report.html").read_text()
    again = tmp_path / "elsewhere"
    again.mkdir()
    (again / "config.yaml").write_text(results["config"])
    shutil.copy(asked.parent / results["data"]["source"], again)
    monkeypatch.chdir(again)
    assert run(*words)[0] == 0
    repeated = json.loads((again / "repeated/results.json").read_text())
    assert [arm["test"] for arm in repeated["arms"]] == [arm["test"] for arm in results["arms"]]


def test_a_study_prints_json_and_takes_other_data(run: Run, asked: Path, tmp_path: Path) -> None:
    data = (tmp_path / "x.npz").rename(tmp_path / "y.npz")
    code, text, _ = run("study", asked, "--data", data, "--out", tmp_path / "out", "--json")
    results = json.loads(text)
    assert code == 0
    assert [arm["name"] for arm in results["arms"]] == ["quantum", "logistic regression"]
    assert results["comparisons"][0]["against"] == "logistic regression"
    assert Path(results["report"]).is_file()


def test_a_dry_run_says_what_it_would_cost_and_does_nothing(run: Run, asked: Path, tmp_path: Path) -> None:
    code, text, _ = run("study", asked, "--out", tmp_path / "out", "--dry-run")
    assert code == 0
    assert re.search(
        r"8 runs, 8 of them missing, in 5 blocks: about \d+ s on this machine .*MB\.",
        text,
    )
    assert re.search(r"arm +trials +parameters", text)
    assert re.search(r"quantum +2 +\d+", text)
    code, text, _ = run("study", asked, "--out", tmp_path / "out", "--dry-run", "--json", "--seeds", "3")
    assert json.loads(text)["runs"] == 12
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("epochs:", "epoch:", "'epoch' is not a key of 'settings': did you mean 'epochs'?"),
        ("data: {file: x.npz}", "", "names no data: add 'file' under 'data', or give --data."),
        ("x.npz", "absent.npz", "absent.npz"),
        ("per_class: 20", "per_class: 50", "Class 0 has 40 rows, fewer than per_class = 50"),
        ("projection: pca, ", "", "An embedding of 9 numbers does not fit the 7 amplitudes"),
    ],
)
def test_a_study_that_cannot_run_is_refused_before_it_starts(
    old: str, new: str, sentence: str, run: Run, asked: Path, tmp_path: Path
) -> None:
    asked.write_text(asked.read_text().replace(old, new))
    code, text, err = run("study", asked, "--out", tmp_path / "out")
    assert (code, text) == (2, "")
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_report_of_nothing_is_refused(run: Run, tmp_path: Path) -> None:
    code, _, err = run("report", tmp_path)
    assert code == 2
    assert len(err.strip().splitlines()) == 1


def test_the_studies_of_the_package_are_listed_and_found_by_name(run: Run, vectors: Path, tmp_path: Path) -> None:
    code, text, err = run("study", "--list")
    assert (code, err) == (0, "")
    assert re.search(r"^ ablations +Ablations +14 +full, quick", text, re.MULTILINE)
    listed = json.loads(run("study", "--list", "--json")[1])["studies"]
    assert {"ablations", "low-data", "search"} <= {one["name"] for one in listed}
    assert all(one["about"] and one["arms"] for one in listed)
    wanted = ("--size", "quick", "--data", vectors, "--seeds", "2", "--out", tmp_path / "s", "--dry-run", "--json")
    code, text, _ = run("study", "shot-noise", *wanted)
    assert (code, json.loads(text)["runs"] > 0) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Invalid value for config: name a YAML file, or a study of hilbertune study --list: see"),
        (["ablations"], "A study needs a directory for its runs: give --out."),
        (
            ["ablation", "--out", "s"],
            "There is no file ablation, and no study of that name comes with the package: did",
        ),
        (
            ["ablations", "--out", "s"],
            "The data of ablations do not come with the package: give --data FILE, or --data",
        ),
    ],
    ids=str,
)
def test_a_study_that_is_not_named_well_is_one_sentence(run: Run, arguments: list[str], sentence: str) -> None:
    code, out, err = run("study", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {sentence}")


def test_a_batch_script_can_be_json(run: Run, asked: Path, tmp_path: Path) -> None:
    job = ("--cluster", "slurm", "--system", "cpu", "--print")
    text = run("study", asked, "--out", tmp_path / "s", *job)[1]
    assert json.loads(run("study", asked, "--out", tmp_path / "s", *job, "--json")[1]) == {"script": text[:-1]}


@pytest.fixture
def on_bases(asked: Path) -> Path:
    """Return a study on a folder of two bases, one of which was tuned for each of two seeds."""
    folder = asked.parent / "bases"
    folder.mkdir()
    for number, name in enumerate(("frozen", "tuned-0", "tuned-1")):
        with np.load(asked.parent / "x.npz") as arrays:
            np.savez(folder / f"{name}.npz", embeddings=arrays["embeddings"] + number, labels=arrays["labels"])
    asked.write_text(
        "data: {file: bases}\n"
        "seeds: 2\n"
        "settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, basis: pca, epochs: 2, per_class: 20}\n"
        "arms:\n"
        '  - {name: "quantum, {base}", cross: {base: [frozen, tuned]}}\n'
        '  - {name: "LR, {base}", method: logistic regression, cross: {base: [frozen, tuned]}}\n'
    )
    return asked


def test_a_study_on_a_folder_of_bases_runs_and_is_reported(run: Run, on_bases: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text, err = run("study", on_bases, "--out", out)
    assert (code, "8 of 8 runs to train" in err) == (0, True)
    assert re.search(r"quantum, tuned +0\.\d{4}", text)
    page = (out / "report.html").read_text()
    assert "bases: 80 rows, 9 features" in page
    assert "LR, tuned" in page
    code, text, _ = run("study", on_bases, "--data", on_bases.parent / "bases", "--out", out, "--dry-run", "--json")
    assert json.loads(text)["missing"] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seeds", "3"], "has no base 'tuned' for seed 2: neither tuned.npz, for all seeds, nor tuned-2.npz."),
        (["--data", "x.npz"], "Arms that have a base need a folder of bases as the data: x.npz is a file."),
        (["--data", "demo"], "Arms that have a base need a folder of bases as the data: demo does not exist."),
    ],
    ids=str,
)
def test_bases_that_do_not_fit_are_one_sentence(
    arguments: list[str], sentence: str, run: Run, on_bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(on_bases.parent)
    code, text, err = run("study", on_bases, "--out", tmp_path / "out", *arguments)
    assert (code, text, err.count("\n")) == (2, "", 1)
    assert sentence in err
    assert not (tmp_path / "out").exists()


def test_a_study_of_the_package_asks_for_its_folder_of_bases(run: Run, tmp_path: Path) -> None:
    code, _, err = run("study", "tuned-bases", "--out", tmp_path / "out")
    assert code == 2
    assert "The data of tuned-bases do not come with the package: give --data FOLDER of bases." in err
