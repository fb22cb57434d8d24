"""`hilbertune qpu` and money, on an emulated account: what is checked before work begins, and what is said of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.ionq_emulator import Emulator
from helpers.qpu import Run
from helpers.vendors import rows

from hilbertune.estimator import directory
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.hardware.ionq import IonQ
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.provider import Mark


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Return a model of texts, whose embedding is not there, with texts and vectors to measure."""
    folder = tmp_path_factory.mktemp("model")
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    model = HybridClassifier(qubits=3, encoder_layers=1, reuploads=1, layers=1, epochs=1, validation=0.0)
    path = model.fit(X, np.arange(20) % 2).save_pretrained(folder / "m")
    (folder / "t.csv").write_text("text,label\n" + "".join(f"text {n},{n % 2}\n" for n in range(4)))
    np.savez(folder / "t.npz", embeddings=X[:4], labels=np.arange(4) % 2)
    return path, folder / "t.csv", folder / "t.npz"


PRICE = 12.4166 * 5
"""Four rows and the circuit that checks."""

FLAGS = ("--backend", "qpu.forte-1", "--shots", 100)


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "load_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))


@pytest.mark.usefixtures("nothing_loaded")
@pytest.mark.parametrize(
    ("flags", "key", "message"),
    [
        (
            ["--max-cost", PRICE - 1],
            None,
            f"The estimate of {PRICE:.2f} USD (15.52 USD a row) is above --max-cost {PRICE - 1:.2f}",
        ),
        ([], None, f"Spend {PRICE:.2f} USD (15.52 USD a row)? Nobody can confirm here"),
        (["--max-cost", "nan"], None, "Invalid value for '--max-cost'"),
        (["--max-cost", 99], "", "no key for IonQ"),
        (["--max-cost", 99], "wrong", "does not accept the key"),
        (["--max-cost", 99, "--backend", "qpu.forte-9"], None, "no backend 'qpu.forte-9'"),
        (["--max-cost", 99, "--shots", 10**25], None, "'--shots'"),
        (["--max-cost", 99, "--noise-scales", "1,1000001"], None, "takes odd numbers up to 99"),
    ],
)
def test_money_key_and_backend_are_checked_before_anything_is_embedded(
    account: Emulator,
    run: Run,
    saved: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[Any],
    key: str | None,
    message: str,
) -> None:
    if key is not None:
        monkeypatch.setenv("IONQ_API_KEY", key)
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    code, answer, err = run("qpu", "run", saved[0], saved[1], *FLAGS, *flags, "--out", tmp_path / "r")
    assert (code, answer) == (2, ""), err
    assert message in err
    assert not account.created
    assert not (tmp_path / "r").exists()


def test_the_circuit_that_checks_is_in_the_price_and_can_be_left_out(
    account: Emulator, run: Run, saved: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    data = saved[0], saved[2]
    for more, checks in (([], 1), (["--no-check-circuit"], 0), (["--backend", "local"], 0)):
        code, answer, err = run("qpu", "estimate", *data, *FLAGS, *more, "--json")
        assert code == 0, err
        assert json.loads(answer)["checks"] == checks
        assert json.loads(answer)["circuits"] == 4
    _, answer, _ = run("qpu", "estimate", *data, *FLAGS)
    assert f"Price: 15.52 USD a row, {PRICE:.2f} USD in all, " in answer
    assert "12.42 USD of it for 1 circuit(s) that check the order of bits" in answer
    code, answer, err = run("qpu", "run", *data, *FLAGS, "--max-cost", PRICE, "--out", tmp_path / "r", "--json")
    assert code == 0, err
    assert len(account.jobs[account.created[0]]["child_job_ids"]) == 5
    found = json.loads(answer)["ledger"]
    assert (found["circuits"], found["shots"], found["billed"]) == (4, 400, pytest.approx(12.4166, abs=1))


def test_reversed_bits_are_refused_kept_and_taken_only_by_hand(
    account: Emulator, run: Run, saved: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = IonQ.results
    monkeypatch.setattr(
        IonQ, "results", lambda *a: [{bits[::-1]: share for bits, share in table.items()} for table in real(*a)]
    )
    out = tmp_path / "r"
    flags = ("--backend", "simulator", "--out", out)
    code, answer, err = run("qpu", "run", saved[0], saved[2], *flags)
    assert (code, answer) == (2, ""), err
    assert "came back in reversed order: most often as 100, not 001" in err
    assert "resume with --accept 1 to take them as they are" in err
    code, answer, _ = run("qpu", "status", out)
    assert answer.startswith("batch 1: refused, 4 circuits")
    assert run("qpu", "results", out)[0] == 2
    code, _, err = run("qpu", "resume", out, "--accept", 1)
    assert code == 0, err
    assert len(account.created) == 1


def test_a_job_that_was_made_twice_is_told_billed_and_cancelled(
    account: Emulator, run: Run, saved: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = IonQ.submit

    def twice(self: IonQ, mark: Mark, *rest: Any) -> str:
        real(self, mark, *rest)
        return real(self, mark, *rest)

    monkeypatch.setattr(IonQ, "submit", twice)
    out = tmp_path / "r"
    flags = ("--max-cost", 99, "--no-check-circuit", "--out", out)
    code, answer, err = run("qpu", "run", saved[0], saved[2], *FLAGS, *flags)
    assert code == 0, err
    extra, own = account.created
    assert f"Job {extra} carries the mark of batch 1, which is job {own}" in err
    assert f"'hilbertune qpu cancel {out} --extra' cancels it" in answer
    assert json.loads((out / "results.json").read_text())["ledger"]["extra_jobs"][0]["job"] == extra
    code, answer, err = run("qpu", "cancel", out, "--extra")
    assert (code, answer) == (0, f"Extra jobs: 1; {extra} is cancelled.\n"), err
    assert account.jobs[extra]["status"] == "canceled"
    code, answer, _ = run("qpu", "status", out, "--json")
    found = json.loads(answer)
    assert [one["state"] for one in found["extra_jobs"]] == ["cancelled"]
    one = next(one["billed"] for one in found["jobs"])
    assert found["billed"] == pytest.approx(2 * one), "the bill covers both"


def test_a_job_is_taken_only_for_the_batch_whose_mark_it_carries(
    account: Emulator, run: Run, saved: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "r"
    code, _, err = run("qpu", "run", saved[0], saved[2], *FLAGS, "--max-cost", 1, "--out", out)
    assert code == 2
    ledger = Ledger(out / "ledger.sqlite")
    ledger.plan("ab" * 32, "ionq:qpu.forte-1", 4, 100, (1, 1), 4.0, 3)
    ledger.sending("ab" * 32)
    provider = IonQ("qpu.forte-1")
    stranger = provider.submit(Mark("other", "cd" * 32, 1), rows(2), 100)
    for job, message in ((stranger, "carries the mark of another batch"), ("nowhere", "has no job nowhere")):
        code, _, err = run("qpu", "resume", out, "--sent-as", job)
        assert (code, message in err) == (2, True), err
    assert ledger.batches()[0].state == "sending"


@pytest.mark.slow
def test_of_three_processes_that_resume_one_run_one_sends(
    account: Emulator, run: Run, saved: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    account.polls = 3
    out = tmp_path / "r"
    assert run("qpu", "run", saved[0], saved[2], *FLAGS, "--batch-circuits", 1, "--max-cost", 1, "--out", out)[0] == 2
    command = [sys.executable, "-m", "hilbertune", "qpu", "resume", str(out), "--max-cost", "999"]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) for _ in "abc"]
    ends = [(process.communicate()[1], process.returncode) for process in started]
    assert sorted(code for _, code in ends) in ([0, 2, 2], [0, 0, 2], [0, 0, 0])
    assert all("is in the hands of process" in err for err, code in ends if code == 2)
    assert len(account.created) == 4
