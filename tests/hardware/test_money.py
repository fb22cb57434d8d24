"""Prices in words, what a budget buys, runs that nobody waits for, and what all runs cost."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.ionq_emulator import Emulator
from helpers.qpu import Run, Trained

from hilbertune.config.records import HeadConfig
from hilbertune.hardware import budget, measurement
from hilbertune.hardware.accounts import Entry, entry_of, sums, totals
from hilbertune.hardware.folder import read_description
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.options import Options
from hilbertune.hardware.outlook import outlook
from hilbertune.hardware.provider import Unreachable

ROOT = Path(__file__).parents[2]

QPU = ("--backend", "qpu.forte-1")

ROWS = 60


@pytest.fixture
def data(trained: Trained, tmp_path: Path) -> tuple[Path, Path]:
    """Return a model and sixty rows, a third of which are of class 1."""
    model, X, y = trained
    rows = np.concatenate([np.flatnonzero(y == 0)[:40], np.flatnonzero(y == 1)[:20]])
    np.savez(tmp_path / "test.npz", embeddings=X[rows], labels=y[rows])
    return model.save_pretrained(tmp_path / "model"), tmp_path / "test.npz"


def estimated(run: Run, *arguments: Any) -> dict[str, Any]:
    code, answer, err = run("qpu", "estimate", *arguments, "--json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(answer)
    return found


def test_rows_are_drawn_by_class_and_keep_their_numbers(run: Run, data: tuple[Path, Path], tmp_path: Path) -> None:
    flags = ("--backend", "local", "--rows", 6)
    code, _, err = run("qpu", "run", *data, *flags, "--seed", 3, "--out", tmp_path / "a")
    assert code == 0, err
    assert "6 of 60 rows, drawn by class with --seed 3: 4 of 0, 2 of 1." in err
    made, arrays = measurement.read_run(tmp_path / "a"), np.load(data[1])
    assert made.truth.tolist() == arrays["labels"][np.array(made.numbers) - 1].tolist()
    assert list(made.numbers) != list(range(1, 7))
    lines = (tmp_path / "a" / "predictions.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[0]) for line in lines] == list(made.numbers)
    code, _, err = run("qpu", "run", *data, "--backend", "local", "--rows", 61, "--out", tmp_path / "b")
    assert (code, "There are only 60 rows: all of them are measured." in err) == (0, True), err


@pytest.mark.parametrize("pricing", ["azure", "braket"])
def test_a_budget_says_how_many_rows_and_shots_fit(run: Run, data: tuple[Path, Path], pricing: str) -> None:
    flags = (*QPU, "--pricing", pricing)
    found = estimated(run, *data, *flags, "--rows", 30, "--shots", 500, "--budget", 600)["budget"]

    def cost(rows: int, shots: int) -> float:
        return float(estimated(run, *data, *flags, "--rows", rows, "--shots", shots)["cost"])

    assert cost(found["rows"], 500) <= 600 < cost(found["rows"] + 1, 500)
    assert cost(30, found["shots"]) <= 600 < cost(30, found["shots"] + 1)
    assert all(choice["cost"] <= 600 and choice["rows"] <= ROWS for choice in found["choices"])
    assert found["best"] == min(found["choices"], key=lambda choice: choice["off"])


def test_the_choice_between_rows_and_shots_is_computed(trained: Trained) -> None:
    model, X, y = trained
    options = Options(backend="qpu.forte-1", pricing="braket")
    made = budget.plan(model, X, y, options, Unreachable("q", "qis"), 400.0, rows=50, available=160)
    shots = [choice.shots for choice in made.choices]
    assert shots == [n for n in budget.SHOTS if 2 * (0.3 + 0.08 * n) <= 400.0], "one row and the circuit that checks"
    for choice in made.choices:
        assert choice.rows == min(160, int(400.0 // (0.3 + 0.08 * choice.shots)) - 1)
        error = np.sqrt(choice.accuracy * (1 - choice.accuracy) / choice.rows)
        assert (choice.standard_error, choice.off) == pytest.approx((error, np.hypot(error, choice.lost)))
    lost = [choice.lost for choice in made.choices]
    assert lost == sorted(lost, reverse=True)
    # Counted apart: the accuracy of 16 measured bits a row, by the binomial law of each row's expectation.
    exact = model.score(X, y)
    assert made.choices[-1].accuracy + made.choices[-1].lost == pytest.approx(exact, abs=0.04), "gate errors fade <Z>"
    few = model.head_.varied(shots=16, rngs=[np.random.default_rng(1)], noise=None)
    with torch.no_grad():
        drawn = [
            float((few(torch.from_numpy(X).to(few.head.weights)).argmax(1).numpy() == y).mean()) for _ in range(40)
        ]
    assert lost[0] == pytest.approx(exact - np.mean(drawn), abs=0.04)


def test_the_suggestion_is_a_command_that_runs_at_its_own_limit(
    account: Emulator, run: Run, data: tuple[Path, Path], tmp_path: Path
) -> None:
    code, answer, err = run("qpu", "estimate", *data, *QPU, "--budget", 150, "--no-check-circuit")
    assert code == 0, err
    assert "What fits in 150.00 USD:\n  at 128 shots a row: 12 of 60 rows\n  at 60 rows: not even one shot" in answer
    command = shlex.split(answer.splitlines()[-1].replace("FOLDER", str(tmp_path / "r")))
    assert command[0] == "hilbertune"
    code, _, err = run(*command[1:])
    assert code == 0, err
    assert len(account.created) == 1
    assert not read_description(tmp_path / "r").options.check_circuit


def test_a_budget_for_nothing_and_for_numbers(run: Run, data: tuple[Path, Path]) -> None:
    code, answer, err = run("qpu", "estimate", *data, *QPU, "--pricing", "azure", "--budget", 5)
    assert code == 0, err
    assert "at 128 shots a row: not one row" in answer
    assert answer.endswith("No suggestion: nothing fits.\n")


def test_a_limit_that_is_named_is_enough(account: Emulator, run: Run, data: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "r"
    code, _, err = run("qpu", "run", *data, *QPU, "--rows", 3, "--out", out)
    assert code == 2
    assert "Spend 49.67 USD (16.56 USD a row)? Nobody can confirm here" in err, "49.6664 is above a limit of 49.66"
    command = re.findall(r"'hilbertune (qpu resume .*?)'", err)[-1].split()
    assert command == ["qpu", "resume", str(out), "--max-cost", "49.67"]
    code, answer, err = run(*command)
    assert code == 0, err
    assert re.search(r"3 circuits, 384 shots, estimated 49.67 USD, billed [\d.]+ USD \([\d.]+ USD a row\)", answer)
    found = json.loads((out / "results.json").read_text())
    assert found["cost_per_row"] == pytest.approx(found["ledger"]["billed"] / 3)


def test_a_run_is_sent_left_and_collected_later(
    account: Emulator, run: Run, data: tuple[Path, Path], tmp_path: Path
) -> None:
    account.polls = 1_000
    account.fault("POST /jobs", "504-after-create")  # adopted, not sent again
    out = tmp_path / "runs" / "r"
    flags = (*QPU, "--rows", 3, "--max-cost", 60)
    code, answer, err = run("qpu", "run", *data, *flags, "--no-wait", "--out", out, "--json")
    assert code == 0, err
    state = json.loads(answer)
    assert (state["state"], state["rows_done"], state["rows"]) == ("at the vendor", 0, 3)
    assert state["jobs"][0]["job"] == account.created[0]
    code, answer, err = run("qpu", "results", out)
    assert (code, f"at the vendor as job {account.created[0]}" in err) == (2, True), err
    code, answer, _ = run("qpu", "resume", out, "--no-wait")
    assert (code, f"'hilbertune qpu resume {out}' goes on with it" in answer) == (0, True)
    _, answer, _ = run("qpu", "list", tmp_path)
    assert re.search(r"qpu.forte-1 +at the vendor +0 of 3 +128 +about 49.67 USD ", answer), answer
    assert "1 run(s) cost 49.67 USD, 49.67 USD of it estimates of jobs without a bill." in answer
    account.polls = 0
    code, _, err = run("qpu", "resume", out)
    assert code == 0, err
    assert len(account.created) == 1
    _, answer, _ = run("qpu", "list", tmp_path, "--json")
    listed = json.loads(answer)
    (one,) = listed["runs"]
    assert (one["state"], one["rows_done"], one["folder"]) == ("done", 3, str(out))
    assert (
        one["spent"]
        == one["billed"]
        == listed["totals"]["USD"]["spent"]
        == totals(Ledger(out / "ledger.sqlite"))["billed"]
    )
    assert one["ended"] >= one["begun"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--debiasing"], "--debiasing needs --shots 500 or more, not 128."),
        (["--noise-scales", "1,3"], "--noise-scales needs --gateset native: "),
    ],
)
def test_flags_that_need_others_are_refused_before_a_run_is_made(
    run: Run, data: tuple[Path, Path], tmp_path: Path, flags: list[str], sentence: str
) -> None:
    code, _, err = run("qpu", "run", *data, *QPU, *flags, "--max-cost", 999, "--out", tmp_path / "r")
    assert (code, err.startswith(f"error: {sentence}")) == (2, True), err
    assert not (tmp_path / "r").exists()


def test_what_runs_on_this_machine_cannot_be_left(run: Run, data: tuple[Path, Path], tmp_path: Path) -> None:
    code, _, err = run("qpu", "run", *data, "--backend", "local", "--no-wait", "--out", tmp_path / "r")
    assert (code, "local runs on this machine and ends with the command: leave --no-wait out" in err) == (2, True)
    assert not (tmp_path / "r").exists()


def test_the_list_has_every_ledger_and_what_cannot_be_read(run: Run, trained: Trained, tmp_path: Path) -> None:
    model, X, y = trained
    options = Options(backend="local", shots=10, readout=True, scales=(1, 3), batch_circuits=3)
    made = measurement.create_run(tmp_path / "b" / "mine", model, X[:4], y[:4], options)
    assert entry_of(made.folder).state == "not sent"
    executor = options.executor(made.folder)
    executor.expectations(made.bound_circuits)
    assert entry_of(made.folder).rows_done == 4
    executor.ledger._file.execute("DELETE FROM results WHERE rowid = (SELECT max(rowid) FROM results)")
    assert entry_of(made.folder).rows_done == 3, "a row is done when it is measured at every noise scale"
    shutil.copytree(made.folder, tmp_path / ".trash")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "ledger.sqlite").write_text("no ledger")
    alone = Ledger(tmp_path / "a" / "ledger.sqlite")
    alone.plan("ab" * 32, "qiskit:x", 4, 100, (1, 1), 4.0, 3, unit="CHF")
    code, answer, err = run("qpu", "list", tmp_path, "--json")
    assert code == 0, err
    found = {Path(one["folder"]).name: one for one in json.loads(answer)["runs"]}
    assert set(found) == {"mine", "c", "a"}
    assert (found["a"]["backend"], found["a"]["rows"], found["a"]["state"]) == ("qiskit:x", None, "not sent")
    assert (found["c"]["state"], "cannot be used as a ledger" in found["c"]["error"]) == ("unreadable", True)
    code, answer, _ = run("qpu", "list", tmp_path)
    assert (code, "c cannot be read: " in answer, "3 of 4" in answer) == (0, True, True)
    code, answer, _ = run("qpu", "list", tmp_path / "c" / "..", "--json")
    assert len(json.loads(answer)["runs"]) == 3
    (tmp_path / "empty").mkdir()
    assert run("qpu", "list", tmp_path / "empty")[1].startswith("There is no run below ")
    assert run("qpu", "list", tmp_path / "nowhere")[0] == 2


def test_currencies_are_summed_apart() -> None:
    entries = [
        Entry(Path("a"), "done", spent=2.0, billed=1.0, estimated=3.0, unit="usd"),
        Entry(Path("b"), "done", spent=2.5, billed=2.5, estimated=3.0, unit="USD"),
        Entry(Path("c"), "done", spent=7.0, billed=None, estimated=7.0, unit="CHF"),
        Entry(Path("d"), "done", spent=0.0, unit="USD"),
        Entry(Path("e"), "unreadable", error="why"),
    ]
    assert sums(entries) == {
        "USD": {"runs": 2, "estimated": 6.0, "billed": 3.5, "spent": 4.5},
        "CHF": {"runs": 1, "estimated": 7.0, "billed": 0.0, "spent": 7.0},
    }


def test_a_run_keeps_the_shots_that_it_was_begun_with(trained: Trained, tmp_path: Path) -> None:
    model, X, y = trained
    folder = measurement.create_run(tmp_path / "r", model, X[:4], y[:4], Options(backend="local")).folder
    about = json.loads((folder / "run.json").read_text())
    del about["options"]["shots"]
    (folder / "run.json").write_text(json.dumps(about))
    assert read_description(folder).options.shots == 1024, "what older versions took where nothing was said"
    assert list(measurement.read_run(folder).numbers) == [1, 2, 3, 4]


def commands_with_a_limit() -> list[str]:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "src" / "hilbertune" / "cli" / "qpu.py"]
    found = [
        command
        for page in pages
        for command in re.findall(r"hilbertune qpu run [^\n`#]*--max-cost[^\n`#]*", page.read_text())
    ]
    assert len(found) >= 4
    return found


@pytest.mark.parametrize("command", commands_with_a_limit())
def test_every_example_runs_at_its_own_limit(command: str) -> None:
    flags = dict(re.findall(r"--(rows|shots|max-cost) (\d+)", command))
    for pricing in ("azure", "braket"):
        options = Options(backend="qpu.forte-1", shots=int(flags.get("shots", 128)), pricing=pricing)  # type: ignore[arg-type]
        config = {"head": HeadConfig().to_dict(), "training": {}, "classes": [0, 1]}
        expected = outlook(config, int(flags["rows"]), options, Unreachable("q", "qis"))
        assert expected.cost <= float(flags["max-cost"]), f"{command} costs {expected.cost:.2f} by {expected.source}"


def test_the_help_states_what_the_defaults_cost(run: Run) -> None:
    said = " ".join(run("qpu", "run", "--help")[1].split())
    (braket, azure) = map(int, re.findall(r"50 rows at 128 shots cost (\d+) USD by .*?, (\d+) USD by", said)[0])
    for pricing, price in (("azure", azure), ("braket", braket)):
        options = Options(backend="qpu.forte-1", shots=128, pricing=pricing)  # type: ignore[arg-type]
        config = {"head": HeadConfig().to_dict(), "training": {}, "classes": [0, 1]}
        assert outlook(config, 50, options, Unreachable("q", "qis")).cost == pytest.approx(price, abs=0.6)
