"""The flags of a fit as a file."""

import json
from pathlib import Path

import pytest
from helpers.commands import Run

FIRST = "qubits: 4\nencoder_layers: 1\nepochs: 2\nlr: 5e-3\nbaselines: false\n"


@pytest.fixture
def file(tmp_path: Path, vectors: Path) -> Path:
    path = tmp_path / "fit.yaml"
    path.write_text(f"{FIRST}embeddings: {vectors}\n")
    return path


def test_a_file_sets_flags_and_the_command_line_wins(run: Run, file: Path, tmp_path: Path) -> None:
    code, out, err = run("fit", "--config", file, "--epochs", "3", "--out", tmp_path / "m", "--json")
    assert code == 0, err
    assert json.loads(out)["rows"]["test"] == 0
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["head"]["qubits"], config["training"]["epochs"]) == (4, 3)
    assert config["training"]["learning_rate"] == 0.005


def test_what_a_fit_records_repeats_it(run: Run, file: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("fit", "--config", file, "--training-shots", "none", "--seed", "7", "-o", first, "-q")[2] == ""
    code, _, err = run("fit", "--config", first, "--out", second)
    assert (code, "Chosen" in err) == (0, False)  # nothing is left to the data
    assert (first / "fit.yaml").read_bytes() == (second / "fit.yaml").read_bytes()
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    configs = [json.loads((folder / "config.json").read_text()) for folder in (first, second)]
    assert [configs[0][part] for part in ("head", "training")] == [configs[1][part] for part in ("head", "training")]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("epoch: 3", "fit.yaml: 'epoch' is no flag of fit: did you mean 'epochs'?"),
        ("zzzzzz: 3", "fit.yaml: 'zzzzzz' is no flag of fit: hilbertune fit --help lists them."),
        ("learning-rate: 3", "fit.yaml sets --learning-rate twice: keep one of its names."),
        ("config: other.yaml", "fit.yaml: 'config' is no flag of fit: "),
        ("layers: [1, 2]", "fit.yaml: layers takes one value, not [1, 2]."),
        ("column: 3", "fit.yaml: column is a switch: true or false, not 3."),
        ("layers: yes", "fit.yaml: layers is no switch: give it a value, not true."),
        ("data: yes", "fit.yaml: data is no switch: give it a value, not true."),
        ("layers: 2.5", "fit.yaml: Invalid value for '--layers': "),
        ("keep: first", "fit.yaml: Invalid value for '--keep': "),
        ("layers: -1", "fit.yaml: --layers must be at least 0 and at most 1000, not -1."),
        ("layers: 1\nlayers: 2", "fit.yaml is not valid YAML: the key 'layers' stands twice"),
        ("- 1", "fit.yaml is not valid YAML: "),
    ],
)
def test_a_file_is_refused_before_any_work(run: Run, file: Path, tmp_path: Path, more: str, sentence: str) -> None:
    file.write_text(f"{file.read_text()}{more}\n")
    code, out, err = run("fit", "--config", file, "--out", tmp_path / "m")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.replace(f"{tmp_path}/", "").startswith(f"error: {sentence}")
    assert not (tmp_path / "m").exists()


def test_a_mistake_of_the_command_line_is_not_said_of_the_file(run: Run, file: Path, tmp_path: Path) -> None:
    err = run("fit", "--config", file, "--lr", "-1", "--out", tmp_path / "m")[2]
    assert err == "error: --learning-rate must be above 0, not -1.0.\n"


@pytest.mark.parametrize("name", ["absent.yaml", "folder"])
def test_a_file_that_is_not_there_is_named(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    code, _, err = run("fit", "--config", tmp_path / name, "--out", tmp_path / "m")
    assert (code, err.count("\n")) == (2, 1)
    assert "Cannot read --config" in err
