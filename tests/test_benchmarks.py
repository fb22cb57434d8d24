"""The yardstick: its peers agree, its counts are right, and what it prints can be read by a program.

In: scripts of benchmarks/, imported by path. Out: nothing kept.
"""

import importlib
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from argparse import Namespace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hilbertune.circuit.builders import ansatz, head
from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
QUICK = ["--qubits", "4", "--peers", "torch", "--seconds", "0"]


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("step")


@pytest.mark.parametrize("qubits", [4, 5, 6])
def test_the_plain_torch_loop_agrees_with_ours(step: ModuleType, qubits: int):
    peers = step.peers
    loss, gradients = peers.Epoch(*peers.start(qubits))()
    other_loss, others = peers.plain_torch(*peers.start(qubits))()
    assert other_loss == pytest.approx(loss, abs=1e-6)
    assert others.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 1e-3, f"{name} has no gradient to compare"
        np.testing.assert_allclose(others[name], gradient, atol=1e-6, err_msg=name)


def test_few_rows_says_what_one_row_costs_beside_eight(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.syspath_prepend(BENCHMARKS)
    few_rows = importlib.import_module("few_rows")
    quick = ["few_rows", "--qubits", "5", "--seconds", "0.01", "--steps", "2", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", [*quick, "--json"])
    few_rows.main()
    table = json.loads(capsys.readouterr().out)
    assert table["sizes"][0]["qubits"] == 5
    for name in ("one row, ms", "eight rows, ms", "lightning.qubit, one row, ms", "lightning / ours"):
        assert all(value > 0 for value in table["sizes"][0][name])
    assert [row["qubits"] for row in table["loops"]] == [10, 12, 14]


def test_a_rotation_counts_11_operations_an_amplitude_and_a_cnot_none(step: ModuleType):
    circuit = Circuit(2, (Operation("ry", 0, weight=0), Operation("cx", 1, 0), Operation("ry", 1, input=0)))
    assert step.flops(circuit, batch=3) == 2 * 3 * 4 * (3 + 8)


def test_a_gate_moves_its_state_twice_forward_and_both_states_backward(step: ModuleType):
    circuit = Circuit(2, (Operation("ry", 0, weight=0), Operation("cx", 1, 0)))
    one_state = 3 * 4 * 4
    assert step.traffic(circuit, batch=3) == 2 * (2 + 4) * one_state


def test_the_heads_first_blocks_repeat(step: ModuleType):
    circuit = head(5, reuploads=4)
    length, count = step.peers.repeated(circuit.operations)
    assert (length, count) == (4 * 5, 4)
    assert step.peers.repeated(ansatz(5, 2).operations) == (0, 0)


def test_one_json_object_is_printed(step: ModuleType, capsys: pytest.CaptureFixture[str]):
    assert step.main([*QUICK, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    ours, torch = report["rows"]
    assert [ours["peer"], torch["peer"]] == ["hilbertune", "torch"]
    assert torch["gap"] < 1e-5
    assert torch["ratio"] == torch["ms"] / ours["ms"]
    assert report["summary"][0]["best_peer"] == "torch"
    assert report["machine"]["sgemm_gflops"] > 0


def test_shots_are_timed_beside_exact_steps_and_follow_their_law(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    shots = importlib.import_module("shots")
    assert shots.main(["--qubits", "4", "--shots", "16", "--rounds", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    (row,) = report["rows"]
    assert row["ratio"] == row["ms"] / row["exact_ms"] > 0
    assert abs(report["law"]["mean"]) < 5
    assert abs(report["law"]["deviation"] - 1) < 0.1


def test_curves_know_accuracy_and_margin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    x = rng.normal(size=(600, 20)) + 3.0 * labels[:, None]
    np.savez(tmp_path / "two.npz", embeddings=x.astype(np.float32), labels=labels)
    monkeypatch.syspath_prepend(BENCHMARKS)
    curves = importlib.import_module("curves")
    arguments = [str(tmp_path / "two.npz"), "--shots", "64", "0", "--seeds", "2", "--epochs", "4", "--json"]
    assert curves.main(arguments) == 0
    for row in json.loads(capsys.readouterr().out)["rows"]:
        accuracy, margin = np.array(row["test accuracy"]), np.array(row["test margin"])
        assert accuracy.shape == margin.shape == (4, 2)
        # Two classes this far apart are told apart by whatever learns at all.
        assert accuracy[-1].min() > 0.95
        assert margin[-1].min() > 0.02


@pytest.mark.slow
def test_data_sets_are_judged_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    sets = importlib.import_module("many_sets")
    quick = sets.STUDY.read_text().replace("epochs: 30", "epochs: 15, training_shots: null")
    (tmp_path / "quick.yaml").write_text(quick)
    monkeypatch.setattr(sets, "STUDY", tmp_path / "quick.yaml")
    arguments = [str(tmp_path), "--out", str(tmp_path / "runs"), "--sets", "iris", "--size", "quick", "--json"]
    assert sets.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert all(len(row["test"]) == 3 and not row["failed"] and min(row["test"]) > 0.6 for row in report["rows"])
    plain = next(row for row in report["rows"] if row["arm"] == sets.REFERENCE)
    for one in report["comparisons"]:
        (other,) = (row for row in report["rows"] if f"iris: {row['arm']}" == one["name"])
        assert one["difference"] == pytest.approx(np.mean(other["test"]) - np.mean(plain["test"]))


def test_the_shape_that_fits_is_compared_on_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    x = rng.normal(size=(100, 5)) * [1, 1, 1, 1, 1000] + 3.0 * labels[:, None] * [1, 1, 1, 1, 0]
    np.savez(tmp_path / "two.npz", embeddings=x.astype(np.float32), labels=labels)
    monkeypatch.syspath_prepend(BENCHMARKS)
    shape = importlib.import_module("shape")
    arguments = [str(tmp_path / "two.npz"), "--rows", "60", "--seeds", "2", "--set", "qubits=5,norm=drop", "--json"]
    assert shape.main([*arguments, "--declared"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert table["rows"] == {"train": 51, "validation": 9, "test": 40}
    chosen, declared, changed, classical = table["heads"].values()
    assert (chosen["settings"]["qubits"], chosen["settings"]["scale"]) == (4, "standardise")
    assert (declared["settings"]["qubits"], declared["settings"]["scale"]) == (10, "none")
    assert (changed["settings"]["qubits"], changed["settings"]["norm"]) == (5, "drop")
    assert classical["parameters"] == 6
    assert min(chosen["test"] + changed["test"] + classical["test"]) > 0.9


GOOD = {
    "ms": 2.0,
    "quartiles_ms": [1.0, 3.0],
    "memory_mb": 1.0,
    "loss": 0.5,
    "gradients": {"w": [0.1, 0.2], "b": [0.3]},
}


@pytest.fixture
def pretend(step: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """Answers that stand for what the processes of the peers would say."""
    found = {"packages": {}, "threads": 1, "processor": "a processor"}
    machine = {"sgemm_gflops": 1.0, "triad_gb_s": 1.0, "environment": found}
    answers = {"machine": machine, "hilbertune": GOOD, "torch": GOOD}
    monkeypatch.setattr(step, "run", lambda name, *_: dict(answers[name]))
    return answers


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 0.5002},
        {"gradients": {"w": [0.1, 0.2002], "b": [0.3]}},
        {"gradients": {"w": [0.1, float("nan")], "b": [0.3]}},
    ],
)
def test_a_peer_that_disagrees_makes_the_exit_status_1(
    step: ModuleType,
    pretend: dict[str, dict[str, object]],
    capsys: pytest.CaptureFixture[str],
    wrong: dict[str, object],
):
    assert step.main(QUICK) == 0
    pretend["torch"] = GOOD | wrong
    assert step.main(QUICK) == 1
    assert "torch at 4 qubits: disagrees by" in capsys.readouterr().err


def test_a_peer_without_an_answer_leaves_the_rest(
    step: ModuleType,
    pretend: dict[str, dict[str, object]],
    capsys: pytest.CaptureFixture[str],
):
    pretend["torch"] = {"why": "over 300 s"}
    assert step.main(QUICK) == 0
    out = capsys.readouterr().out
    assert "| 4 | torch | over 300 s |" in out
    assert "| 4 | hilbertune | 2.00 |" in out


def test_without_ours_there_is_nothing_to_agree_with(step: ModuleType, pretend: dict[str, dict[str, object]]):
    pretend["hilbertune"] = {"why": "failed"}
    assert step.main(QUICK) == 1


def test_a_peer_without_all_gradients_is_not_the_best(
    step: ModuleType,
    pretend: dict[str, dict[str, object]],
    capsys: pytest.CaptureFixture[str],
):
    pretend["torch"] = GOOD | {"gradients": {"b": [0.3]}}
    assert step.main([*QUICK, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"][1]["without"] == ["w"]
    assert report["summary"][0]["best_peer"] is None


@pytest.mark.usefixtures("pretend")
def test_the_plot_names_every_peer(step: ModuleType, tmp_path: Path):
    settings = pytest.importorskip("matplotlib").rc_context({"svg.fonttype": "none"})
    with settings:
        assert step.main([*QUICK, "--plot", str(tmp_path / "times.svg")]) == 0
    drawn = (tmp_path / "times.svg").read_text()
    assert ">hilbertune<" in drawn
    assert ">torch<" in drawn


def test_a_peer_that_takes_too_long_is_stopped(step: ModuleType):
    asked = Namespace(threads=1, seconds=0.0, device="cpu", limit=0.01)
    assert step.run("torch", 4, asked) == {"why": "over 0.01 s"}


def test_a_peer_that_fails_says_so_in_a_line(step: ModuleType):
    asked = Namespace(threads=1, seconds=0.0, device="cpu", limit=60.0)
    why = step.run("torch", 0, asked)["why"]
    assert why.startswith("failed: hilbertune.errors.HilbertuneError: ")
    assert "\n" not in why


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.delenv("OUT", raising=False)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return importlib.import_module("gpu")


def test_a_plain_image_runs_the_checks_of_the_kernels(tmp_path: Path) -> None:
    project = tomllib.loads((BENCHMARKS.parent / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    lacking = {re.split(r"[>=\[;]", line)[0].replace("-", "_") for line in named} | {"pennylane", "qiskit"}
    lacking -= {"hilbertune", "torch", "triton", "numba", "numpy", "scipy", "scikit_learn", "safetensors"}
    lacking -= {"threadpoolctl", "typing_extensions", "filelock"}  # scikit-learn and torch bring them
    code = f"""
import runpy, sys
sys.modules |= dict.fromkeys({sorted(lacking)})
sys.argv = ["gpu.py", "--device", "cpu", "--only", "(head, 13", "--no-sweep", "--minutes", "5"]
sys.path.insert(0, {str(BENCHMARKS)!r})
runpy.run_path({str(BENCHMARKS / "gpu.py")!r}, run_name="__main__")
"""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OUT": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["finished"]
    assert [part["status"] for part in report["parts"]] == ["passed", "passed"]
    assert done.stderr.count("(head, 13, float64): passed") == 1
    assert "2 passed, 0 failed, 0 skipped" in done.stdout


def test_the_stand_ins_know_every_name_that_the_package_takes() -> None:
    sources = "\n".join(file.read_text() for file in (BENCHMARKS.parent / "src").rglob("*.py"))
    taken = {name.strip() for line in re.findall(r"from jaxtyping import (.+)", sources) for name in line.split(",")}
    assert "(" not in "".join(taken)
    plain = runpy.run_path(str(BENCHMARKS / "plain_image.py"))
    assert taken <= set(plain["JAXTYPING"])
    get, listed, names = plain["_attach"]("hilbertune.circuit", submod_attrs={"builders": ["ansatz", "head"]})
    assert listed() == names == ["ansatz", "head"]
    assert get("head") is head
    with pytest.raises(AttributeError, match="no attribute 'tail'"):
        get("tail")


def test_without_a_gpu_one_sentence_ends_it(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"^PyTorch finds no GPU here: run this where .*\.$"):
        gpu.main([])


def test_trainings_are_written_with_their_precision_and_energy(
    gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--device", "cpu", "--qubits", "4", "--epochs", "2", "--no-kernels", "--out", str(tmp_path / "a.json")]
    assert gpu.main([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert json.loads((tmp_path / "a.json").read_text()) == report
    precision, one, sweep = report["parts"]
    assert 0 < precision["gap"] < 1e-5
    assert (one["runs"], sweep["runs"]) == (1, 70)
    for row in (one, sweep):
        assert (row["status"], row["epochs"]) == ("passed", 2)
        assert row["ms_a_step"] == pytest.approx(1e3 * row["s"] / 2 / 28)
        assert row["energy"]["joules"] is not None or row["energy"]["reason"]
    assert [line.split(",")[0] for line in err.splitlines()][-1] == "training: 4 qubits"


def test_a_training_ends_when_its_time_is_over(gpu: ModuleType) -> None:
    x, y = gpu.data(None)
    row = gpu.training("a training", 4, False, 10**6, x, y, "cpu", 1.0)
    assert row["status"] == "cut off"
    assert 0 < row["epochs"] < row["of_epochs"]
    assert f"after {row['epochs']} of 1000000 epochs" in row["reason"]


def test_what_does_not_fit_the_minutes_is_named(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "STARTED", gpu.STARTED - 300)
    assert gpu.main(["--device", "cpu", "--minutes", "5", "--out", str(tmp_path / "a.json")]) == 0
    parts = json.loads((tmp_path / "a.json").read_text())["parts"]
    assert {part["status"] for part in parts} == {"skipped"}
    assert {part["reason"] for part in parts} == {"no time was left of 5 minutes", "there is no GPU"}
    assert [part["part"] for part in parts[-4:]] == [
        "training: 10 qubits, 1 run",
        "training: 16 qubits, 1 run",
        "training: 18 qubits, 1 run",
        "training: 10 qubits, 70 runs",
    ]


def test_the_file_is_whole_before_and_after_every_part(gpu: ModuleType, tmp_path: Path) -> None:
    report = gpu.Report("cpu", None, tmp_path / "a.json")

    def statuses() -> list[str]:
        return [part["status"] for part in json.loads((tmp_path / "a.json").read_text())["parts"]]

    seen = []

    def fails(_: float) -> dict[str, object]:
        seen.append(statuses())
        assert seen == [], "it cannot hold"
        return {}

    def stopped(_: float) -> dict[str, object]:
        raise KeyboardInterrupt

    report.part("one", lambda _: {"found": 1}, 1.0)
    for name, work in (("two", fails), ("three", stopped), ("four", fails)):
        report.part(name, work, 1.0)
    assert seen == [["passed", "begun"]]
    assert statuses() == ["passed", "failed", "cut off", "skipped"]
    assert report.parts[1]["reason"].startswith("AssertionError: it cannot hold")
    assert report.parts[3]["reason"] == "the run was stopped"


def test_circuits_of_others_are_compared_before_they_are_timed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The re-uploading classifier and QAOA of PennyLane's demos, whose gradients the devices agree on."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    own_circuits = importlib.import_module("own_circuits")
    out = tmp_path / "out.json"
    asked = ["--circuits", "re-uploading", "qaoa", "--seconds", "0", "--json", "--out", str(out)]
    assert own_circuits.main(asked) == 0
    report = json.loads(capsys.readouterr().out)
    assert json.loads(out.read_text()) == report
    assert [row["peer"] for row in report["rows"]] == 2 * ["QuantumHead", *own_circuits.DEVICES]
    assert {row["ratio"] for row in report["rows"] if row["peer"] == "QuantumHead"} == {1.0}
    assert max(row["gap"] for row in report["rows"]) < own_circuits.TOLERANCE
    assert {row["rows"] for row in report["rows"]} == {1, 16}
