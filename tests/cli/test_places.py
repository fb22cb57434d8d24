"""What is checked before anything slow is imported: files, folders, models."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "numba", "transformers", "sentence_transformers", "sklearn")
LOOK = (
    "import sys\n"
    "from hilbertune.cli import main\n"
    "try: main()\n"
    "except SystemExit as end: code = end.code or 0\n"
    "else: code = 0\n"
    f"print('loaded', code, *(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)"
)


def loaded(arguments: list[str], folder: Path) -> tuple[str, list[str]]:
    """Run a command in its own process; return what it said on stderr, and its exit code with the slow modules."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *arguments], capture_output=True, text=True, timeout=300, check=True, cwd=folder
    )
    *sentences, last = done.stderr.splitlines()
    return "\n".join(sentences), last.split()[1:]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("predict nomodel", "There is no model directory nomodel"),
        ("predict other", "it has no config.json"),
        ("evaluate nomodel x.csv", "There is no model directory nomodel"),
        ("explain nomodel text", "There is no model directory nomodel"),
        ("export nomodel --onnx o", "There is no model directory nomodel"),
        ("serve nomodel", "There is no model directory nomodel"),
        ("qpu estimate nomodel x.csv", "There is no model directory nomodel"),
        ("qpu run nomodel x.csv --out r", "There is no model directory nomodel"),
        ("qpu run nomodel x.csv --out taken", "taken already exists"),
        ("qpu status norun", "norun is not a complete run directory"),
        ("qpu resume norun", "norun is not a complete run directory"),
        ("qpu cancel norun", "norun is not a complete run directory"),
        ("qpu results norun", "norun is not a complete run directory"),
        ("fit nofile.csv --out m", "There is no file nofile.csv"),
        ("fit nofile.csv --out taken", "taken already exists"),
        ("fit nofile.csv --out m --qubits 0", "qubits must be at least 1"),
        ("demo --out taken", "taken already exists"),
        ("study nofile.yaml --out s", "Cannot read the study nofile.yaml"),
        ("report other", "is missing"),
        ("circuit --preset none", "There is no preset 'none'"),
    ],
)
def test_a_command_that_only_refuses_loads_nothing_slow(tmp_path: Path, command: str, sentence: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "taken").write_text("")
    err, (code, *slow) = loaded(command.split(), tmp_path)
    assert sentence in err
    assert err.startswith("error: ")
    assert code == "2"
    assert slow == []


@pytest.mark.parametrize("command", ["--help", "fit --help", "qpu run --help", "circuit --part model --qubits 3"])
def test_help_and_circuits_load_nothing_slow(tmp_path: Path, command: str) -> None:
    err, (code, *slow) = loaded(command.split(), tmp_path)
    assert (err, code, slow) == ("", "0", [])


def test_a_model_that_is_there_is_not_enough_for_a_missing_input(tmp_path: Path, model: Path) -> None:
    err, (code, *slow) = loaded(["predict", str(model), "--input", "absent.txt"], tmp_path)
    assert (err, code, slow) == ("error: There is no file absent.txt: check the name.", "2", [])
    err, (code, *slow) = loaded(["evaluate", str(model), "absent.csv"], tmp_path)
    assert (err, code, slow) == ("error: There is no file absent.csv: check the name.", "2", [])
