"""A test set on hardware, from the command line: estimate, run, resume, results."""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.ionq_emulator import Emulator
from helpers.qpu import Run

from hilbertune.circuit import binding
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.hardware import measurement
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.breakeven import read_ledgers
from hilbertune.hardware.ionq import IonQ
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.options import Options
from hilbertune.hardware.provider import Mark
from hilbertune.hardware.qiskit_provider import local


@pytest.mark.parametrize(
    ("classes", "settings"),
    [
        (2, {}),
        (3, {}),
        (2, {"final_linear": False}),
        (2, {"final_linear": False, "measured_qubits": 2}),
        (3, {"final_linear": False, "measured_qubits": 3}),
    ],
)
def test_a_run_directory_makes_the_models_logits_of_exact_expectations(
    tmp_path: Path, classes: int, settings: dict[str, Any]
) -> None:
    X = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    y = np.arange(30) % classes
    model = HybridClassifier(qubits=3, encoder_layers=1, reuploads=1, layers=1, epochs=1, **settings).fit(X, y)
    made = measurement.create_run(tmp_path / "r", model, X, y, Options(backend="local"))
    assert made.exact.shape == (1, 30, model.head_.measured_qubits)
    right = model.decision_function(X)
    found = made.logits(made.exact)
    np.testing.assert_allclose(found[:, 1] - found[:, 0] if right.ndim == 1 else found, right, atol=1e-5)


def test_a_whole_run_binds_each_row_once(
    run: Run, saved: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[tuple[float, ...]] = []

    def counted(circuit: Any, weights: Any, inputs: Any, *more: Any, **options: Any) -> Any:
        bound.append(tuple(inputs))
        return real(circuit, weights, inputs, *more, **options)

    real = binding.bind
    for name, module in list(sys.modules.items()):
        if name.startswith("hilbertune.") and vars(module).get("bind") is real:
            monkeypatch.setattr(module, "bind", counted)
    out = tmp_path / "r"
    flags = ("--backend", "local", "--shots", 50, "--readout", "--noise-scales", "1,3")
    code, _, err = run("qpu", "run", *saved, *flags, "--out", out)
    assert code == 0, err
    assert len(bound) == len(set(bound)) == 10 + 1, "and one as rows usually are, for the price before all else"
    bound.clear()
    code, _, err = run("qpu", "resume", out)
    assert code == 0, err
    assert len(bound) == 10


def test_a_classical_head_has_nothing_to_measure(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    model = HybridClassifier(qubits=3, head="none", encoder_layers=1, epochs=1).fit(X, X[:, 0] > 0)
    for refused in (measurement.angles_of, measurement.bind_rows):
        with pytest.raises(HilbertuneError, match="nothing to run on a QPU"):
            refused(model, X)
    with pytest.raises(HilbertuneError, match="nothing to run on a QPU"):
        measurement.create_run(tmp_path / "r", model, X, X[:, 0], Options())
    assert not (tmp_path / "r").exists()


def test_the_engine_measures_every_head_of_an_ensemble(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    model = HybridClassifier(qubits=3, encoder_layers=1, layers=1, epochs=1, members=2, validation=0.0)
    exact = model.fit(X, [0, 1, 0, 1]).predict_proba(X)
    model.head_.head.engine = HardwareBackend(local(), tmp_path, shots=200_000)
    np.testing.assert_allclose(model.predict_proba(X), exact, atol=0.01)


def test_a_test_set_runs_from_estimate_to_results(
    run: Run, account: Emulator, saved: tuple[Path, Path], tmp_path: Path
) -> None:
    out, flags = tmp_path / "r", ("--backend", "qpu.forte-1", "--shots", 200)
    code, answer, err = run("qpu", "estimate", *saved, *flags, "--json")
    assert code == 0, err
    cost = json.loads(answer)["cost"]
    code, answer, err = run("qpu", "estimate", *saved, *flags, "--pricing", "azure", "--json")
    assert json.loads(answer)["source"].startswith("Azure")
    assert not account.created

    code, _, err = run("qpu", "run", *saved, *flags, "--max-cost", cost / 2, "--out", out)
    assert code == 2
    assert "above --max-cost" in err
    assert not account.created
    code, _, err = run("qpu", "resume", out)
    assert code == 2
    assert "Nobody can confirm here" in err
    code, answer, err = run("qpu", "resume", out, "--max-cost", cost + 1, "--json")
    assert code == 0, err
    found = json.loads(answer)
    assert set(found["methods"]) == {"exact", "hardware", "noise model"}
    assert found["ledger"]["shots"] == 2000
    assert found["expectation_error"]["root_mean_square"] < 0.3
    assert np.sum(found["methods"]["hardware"]["confusion"]) == 10
    assert {f.name for f in out.iterdir()} >= {
        "run.json",
        "rows.safetensors",
        "ledger.sqlite",
        "results.json",
        "predictions.csv",
        "picture.png",
    }
    assert len(account.created) == 1
    code, answer, err = run("qpu", "results", out, "--json")
    assert code == 0, err
    assert json.loads(answer)["methods"] == found["methods"]
    code, answer, _ = run("qpu", "status", out)
    assert answer.startswith("batch 1: done, 10 circuits x 200 shots, job ")
    assert account.key not in answer + err


def test_the_energy_of_a_run_is_what_the_vendor_reports(
    run: Run, account: Emulator, saved: tuple[Path, Path], tmp_path: Path
) -> None:
    flags = ("--backend", "qpu.forte-1", "--max-cost", 1e6, "--json")
    code, answer, err = run("qpu", "run", *saved, *flags, "--out", tmp_path / "none")
    assert code == 0, err
    found = json.loads(answer)
    assert set(found["energy"].values()) == {None}
    account.kwh = lambda qubits, circuits, shots: 1e-6 * qubits * circuits * shots
    code, answer, err = run("qpu", "run", *saved, *flags, "--shots", 300, "--out", tmp_path / "some")
    assert code == 0, err
    found = json.loads(answer)
    ledger = Ledger(tmp_path / "some" / "ledger.sqlite")
    (batch,) = ledger.batches()
    ledger.close()
    assert (batch.circuits, batch.checks) == (10, 1)
    joules = 3.6 * batch.qubits * 11 * 300
    assert found["ledger"]["joules_vendor_reported"] == pytest.approx(joules)
    assert found["energy"]["method"] == "reported by the vendor"
    assert found["energy"]["joules_per_1000_predictions"] == pytest.approx(100 * joules)
    right = 10 * found["methods"]["hardware"]["accuracy"]["mean"]
    assert found["energy"]["joules_per_correct_prediction"] == pytest.approx(joules / right)
    (point,) = read_ledgers([tmp_path / "some"])
    assert (point.qubits, point.shots) == (batch.qubits, 300)
    assert point.value == pytest.approx(3.6 * batch.qubits * 300)


def test_backends_are_listed(run: Run, account: Emulator) -> None:
    code, answer, _ = run("qpu", "backends")
    assert code == 0
    assert "qpu.forte-1" in answer
    assert "36 qubits, available" in answer


def test_an_open_job_is_cancelled(run: Run, account: Emulator, saved: tuple[Path, Path], tmp_path: Path) -> None:
    account.outcome("stuck")
    out = tmp_path / "r"
    model = HybridClassifier.from_pretrained(saved[0])
    X = np.load(saved[1])
    options = Options(backend="qpu.forte-1", shots=100)
    made = measurement.create_run(out, model, X["embeddings"], X["labels"], options)
    executor = options.executor(out, IonQ("qpu.forte-1", wait=0.01), max_cost=1e6)
    for hash_, own in executor.batches(made.bound_circuits, 100):
        executor.ledger.plan(hash_, "x", len(own), 100, (0, 0), 1.0, 3)
        executor.send(hash_, own)
    code, answer, err = run("qpu", "status", out)
    assert code == 0, err
    assert "batch 1: sent" in answer
    code, _, err = run("qpu", "results", out)
    assert (code, f"resume {out}' finishes the run" in err) == (2, True)
    code, answer, err = run("qpu", "cancel", out)
    assert (code, answer) == (0, "Cancelled: 1 of 1 batches.\n"), err
    code, _, err = run("qpu", "resume", out, "--max-cost", 1000)
    assert code == 2
    assert "was cancelled" in err


def test_a_dry_run_needs_no_account(run: Run, saved: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "r"
    code, answer, err = run(
        "qpu",
        "run",
        *saved,
        "--backend",
        "local",
        "--noise",
        "forte-1",
        "--shots",
        300,
        "--readout",
        "--noise-scales",
        "1,3",
        "--out",
        out,
        "--json",
    )
    assert code == 0, err
    found = json.loads(answer)
    assert found["ledger"]["circuits"] == 22
    with sqlite3.connect(out / "ledger.sqlite") as file:
        assert file.execute("SELECT count(*) FROM results").fetchone() == (22,)


def test_an_ibm_chip_is_simulated_without_an_account(run: Run, saved: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    answers = []
    for name in ("r", "again"):
        flags = ("--backend", "ibm:fake_manila", "--shots", 500, "--rows", 4, "--json")
        code, answer, err = run("qpu", "run", *saved, *flags, "--out", tmp_path / name)
        assert code == 0, err
        answers.append(json.loads(answer)["methods"]["hardware"])
    assert answers[0] == answers[1]
    other = HybridClassifier(qubits=6, epochs=1, reuploads=1, encoder_layers=1, layers=1)
    X = np.load(saved[1])
    other.fit(np.tile(X["embeddings"], (2, 1)), np.tile(X["labels"], 2))
    wide = other.save_pretrained(tmp_path / "wide")
    out = tmp_path / "refused"
    code, _, err = run("qpu", "run", wide, saved[1], "--backend", "ibm:fake_manila", "--out", out)
    assert code == 2
    assert "6 qubits, but ibm:fake_manila has only 5" in err
    assert not out.exists()


def test_a_job_in_doubt_is_settled_from_the_command_line(
    run: Run, account: Emulator, saved: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "r"
    X = np.load(saved[1])
    model = HybridClassifier.from_pretrained(saved[0])
    options = Options(backend="qpu.forte-1", shots=100)
    made = measurement.create_run(out, model, X["embeddings"], X["labels"], options)
    executor = options.executor(out)
    ((hash_, own),) = executor.batches(made.bound_circuits, 100)
    executor.ledger.plan(hash_, "x", len(own), 100, (0, 0), 1.0, 3)
    executor.ledger.sending(hash_)
    job = executor.provider.submit(Mark(executor.ledger.run, hash_, 0), own, 100)  # whichever attempt it says it is
    code, _, err = run("qpu", "resume", out, "--sent-as", job, "--max-cost", 1000, "--json")
    assert code == 0, err
    assert account.created == [job]
    code, _, err = run("qpu", "resume", out, "--not-sent")
    assert (code, "0 batches are in doubt" in err) == (2, True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--noise-scales", "2"], "begin with 1"),
        (["--noise-scales", "x"], "odd numbers"),
        (["--noise", "aria-9"], "no noise model"),
        (["--backend", "ibm:fake_manila", "--debiasing"], "are IonQ's"),
        (["--backend", "ibm:fake_nowhere"], "gives no device 'fake_nowhere'"),
    ],
)
def test_impossible_flags_are_refused(
    run: Run, saved: tuple[Path, Path], tmp_path: Path, flags: list[str], message: str
) -> None:
    code, _, err = run("qpu", "run", *saved, "--backend", "local", *flags, "--out", tmp_path / "r")
    assert code == 2
    assert message in err
