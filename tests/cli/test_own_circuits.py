"""A circuit in a file, from `fit` to a QPU."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Run

from hilbertune.circuit.table import Circuit
from hilbertune.hardware.measurement import read_run

THEIRS = """OPENQASM 3;
include "stdgates.inc";
input float x_a; input float x_b; // the data, read twice
input float first; input float second;
qubit[2] q;
h q;
rz(2*x_a) q[0]; rz(2*x_b) q[1];
crx(first) q[0], q[1];
rx(x_a + 0.5) q[0]; t q[1];
ry(second) q[0];
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("circuit") / "own.qasm"
    path.write_text(THEIRS)
    return path


def test_a_circuit_goes_from_a_file_to_a_model_to_a_qpu(file: Path, vectors: Path, run: Run, tmp_path: Path) -> None:
    own, data = tmp_path / "model", np.load(vectors)
    np.savez(tmp_path / "t.npz", embeddings=data["embeddings"][:6], labels=data["labels"][:6])
    shape = ("--head-circuit", file, "--epochs", 4, "--no-baselines")
    code, _, err = run("fit", "--embeddings", vectors, *shape, "--out", own)
    assert code == 0, err
    assert "--qubits 2" in err
    assert "reuploads" not in err, "a setting that has no meaning here"
    stored = json.loads((own / "config.json").read_text())["head"]["head_circuit"]
    assert stored == Circuit.from_qasm3(THEIRS).to_qasm3()
    for verb in (("evaluate", own, vectors), ("export", own, "--onnx", tmp_path / "graph")):
        code, _, err = run(*verb)
        assert code == 0, err
    flags = ("--backend", "local", "--shots", 4000)
    code, out, err = run("qpu", "estimate", own, tmp_path / "t.npz", *flags, "--json")
    assert code == 0, err
    assert json.loads(out)["circuits"] == 6
    code, _, err = run("qpu", "run", own, tmp_path / "t.npz", *flags, "--out", tmp_path / "r", "--json")
    assert code == 0, err
    measured = read_run(tmp_path / "r")
    assert [gate.name for gate in measured.bound_circuits[0].gates][:3] == ["h", "h", "rz"], "as it is written"
    found = measured.reader().expectations(measured.bound_circuits)
    assert np.abs(measured.by_member(found) - measured.exact).max() < 6 / np.sqrt(4000)


def test_the_circuit_is_shown(file: Path, run: Run) -> None:
    code, out, err = run("circuit", "--head-circuit", file)
    assert code == 0, err
    assert "2 qubits, 2 parameters, 2 inputs" in out
    assert "RZ(2·x0)" in out


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--head-circuit", "nowhere.qasm"), "Cannot read the circuit nowhere.qasm: No such file or directory"),
        (("--head-circuit", None, "--qubits", 5), "reads 2 inputs, but 1 encoder of 5 qubits"),
        (("--head-circuit", None, "--head", "dense"), "has no circuit: leave out"),
        (("--encoder-circuit", None), "starts from the embedding's amplitudes and reads no inputs"),
    ],
)
def test_mistakes_are_one_sentence(
    flags: tuple[object, ...], sentence: str, file: Path, vectors: Path, run: Run, tmp_path: Path
) -> None:
    given = [file if flag is None else flag for flag in flags]
    code, _, err = run("fit", "--embeddings", vectors, *given, "--out", tmp_path / "m")
    assert code == 2
    assert err.startswith("error: ")
    assert sentence in err
    assert not (tmp_path / "m").exists()
