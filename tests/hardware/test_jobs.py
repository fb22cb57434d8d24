"""Paid jobs against an emulated account: nothing is lost, nothing is sent twice, and every fault is a sentence."""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.ionq_emulator import Emulator
from helpers.qpu import backend, circuits

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.builders import head
from hilbertune.errors import HilbertuneError
from hilbertune.hardware import ionq as ionq_module
from hilbertune.hardware import ledger as ledger_module
from hilbertune.hardware.ionq import IonQ


@pytest.mark.parametrize("kind", ["504-after-create", "drop-after-create", "500-after-create", "truncated", "html"])
def test_a_job_whose_answer_got_lost_is_adopted_and_never_sent_again(
    account: Emulator, tmp_path: Path, kind: str
) -> None:
    account.fault("POST /jobs", kind)
    asked, exact = circuits()
    made = backend(tmp_path, "simulator")
    np.testing.assert_allclose(made.expectations(asked), exact, atol=1e-9)
    assert len(account.created) == 1


@pytest.mark.parametrize("kind", ["429", "500", "502", "503", "504", "drop"])
def test_a_job_that_was_not_created_is_sent_again(account: Emulator, tmp_path: Path, kind: str) -> None:
    account.fault("POST /jobs", kind)
    asked, exact = circuits()
    found = backend(tmp_path, "simulator").expectations(asked)
    np.testing.assert_allclose(found, exact, atol=1e-9)
    assert len(account.created) == 1


@pytest.mark.parametrize("kind", ["429", "500", "503", "drop", "truncated", "html"])
@pytest.mark.parametrize("request_", ["GET /jobs/", "GET /backends"])
def test_reading_is_repeated_until_it_works(account: Emulator, tmp_path: Path, kind: str, request_: str) -> None:
    account.fault(request_, kind, times=2)
    asked, _ = circuits()
    made = backend(tmp_path)
    made.provider.ready()
    made.expectations(asked)
    assert len(account.created) == 1


def test_a_retry_after_is_kept(account: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account.fault("GET /jobs/", "429", retry_after=0.5)
    pauses: list[float] = []
    monkeypatch.setattr(ionq_module.time, "sleep", pauses.append)
    backend(tmp_path, "simulator").expectations(circuits()[0])
    assert pauses[0] == 0.5, "what the vendor asked for, not our own 0.01"


@pytest.mark.parametrize(
    ("kind", "message"),
    [("402", "Insufficient credit.*add credit"), ("400", "refuses the request")],
)
def test_a_refusal_is_one_sentence_and_nothing_was_sent(
    account: Emulator, tmp_path: Path, kind: str, message: str
) -> None:
    account.fault("POST /jobs", kind)
    made = backend(tmp_path)
    with pytest.raises(HilbertuneError, match=message) as caught:
        made.expectations(circuits()[0])
    assert account.key not in str(caught.value)
    assert not account.created
    assert made.ledger.batches()[0].state == "planned"
    again = backend(tmp_path)
    again.expectations(circuits()[0])
    assert len(account.created) == 1, "resuming sends it"


@pytest.mark.parametrize("code", ["QuotaExhaustedError", "PreflightError", "TooManyGates"])
def test_a_failed_job_is_told_and_sent_again_only_if_asked(account: Emulator, tmp_path: Path, code: str) -> None:
    account.outcome("failed", code=code)
    asked, _ = circuits()
    with pytest.raises(HilbertuneError, match=f"failed .{code}.*retry-failed"):
        backend(tmp_path).expectations(asked)
    with pytest.raises(HilbertuneError, match=r"was failed .*--retry-failed"):
        backend(tmp_path).expectations(asked)
    assert len(account.created) == 1
    backend(tmp_path, retry_failed=True).expectations(asked)
    assert len(account.created) == 2


def test_of_a_partly_failed_job_only_the_missing_circuits_are_sent_again(account: Emulator, tmp_path: Path) -> None:
    account.outcome("partial", failed=[1])
    asked, _ = circuits(4)
    with pytest.raises(HilbertuneError, match="3 of its 4 circuits were run"):
        backend(tmp_path).expectations(asked)
    backend(tmp_path, retry_failed=True).expectations(asked)
    assert [len(account.jobs[j]["child_job_ids"]) for j in account.created] == [4, 1]


def test_other_jobs_are_kept_when_one_is_cancelled(account: Emulator, tmp_path: Path) -> None:
    account.outcome("canceled")
    asked, _ = circuits(4)
    made = backend(tmp_path, batch_circuits=2)
    with pytest.raises(HilbertuneError, match=r"was cancelled: .* all other results are kept"):
        made.expectations(asked)
    assert [b.state for b in made.ledger.batches()] == ["cancelled", "done"]


@pytest.mark.parametrize(
    ("kind", "message"),
    [("wrong-sum", "are not probabilities"), ("wrong-children", "results for 2 circuits, not 3")],
)
def test_results_that_cannot_be_true_are_refused(account: Emulator, tmp_path: Path, kind: str, message: str) -> None:
    account.outcome(kind)
    with pytest.raises(HilbertuneError, match=message):
        backend(tmp_path).expectations(circuits()[0])
    assert len(account.created) == 1


def test_a_network_that_stays_away_stops_the_run_which_then_goes_on(account: Emulator, tmp_path: Path) -> None:
    account.fault("GET /jobs", "503", times=1000)
    with pytest.raises(HilbertuneError, match="nothing is lost"):
        backend(tmp_path, patience=0.3).expectations(circuits()[0])
    account._faults.clear()
    backend(tmp_path).expectations(circuits()[0])
    assert len(account.created) == 1


def test_a_slow_queue_is_waited_for_and_calibration_told(account: Emulator, tmp_path: Path) -> None:
    account.polls = 6
    account.backends["qpu.forte-1"]["status"] = "unavailable"
    said: list[str] = []
    made = backend(tmp_path, say=said.append)
    assert "calibration" in str(made.provider.ready())
    made.expectations(circuits()[0])
    assert any("minutes to wait" in sentence for sentence in said)
    account.backends["qpu.forte-1"]["status"] = "retired"
    with pytest.raises(HilbertuneError, match="retired"):
        made.provider.ready()


def test_the_limit_is_kept_before_anything_is_sent(account: Emulator, tmp_path: Path) -> None:
    asked, _ = circuits(4)
    made = backend(tmp_path, max_cost=30.0, batch_circuits=2)
    assert made.estimate(asked).cost == pytest.approx(4 * 12.4166)
    with pytest.raises(HilbertuneError, match="raise --max-cost"):
        made.expectations(asked)
    assert not account.created, "the first batch alone was within the limit, but not the whole"
    with pytest.raises(HilbertuneError, match="nothing was allowed"):
        backend(tmp_path / "other", max_cost=None).expectations(asked)
    assert not account.created


@pytest.mark.parametrize("style", ["may", "october"])
def test_the_live_estimate_is_read_in_both_forms(account: Emulator, tmp_path: Path, style: str) -> None:
    account.estimate_style = style
    found = backend(tmp_path).estimate(circuits(3)[0])
    assert found.cost == pytest.approx(3 * 12.4166)
    assert "live estimate" in found.source
    assert found.queue_seconds == 60


def test_debiasing_needs_shots(account: Emulator, tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="at least 500 shots"):
        backend(tmp_path, debiasing=True, shots=100).expectations(circuits()[0])
    backend(tmp_path, debiasing=True, shots=500).expectations(circuits()[0])
    job = account.jobs[account.created[-1]]
    assert job["settings"]["error_mitigation"] == {"debiasing": True}


def test_keys_are_needed_and_never_written(account: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend(tmp_path).expectations(circuits()[0])
    assert account.key.encode() not in b"".join(p.read_bytes() for p in tmp_path.rglob("*"))
    monkeypatch.delenv("IONQ_API_KEY")
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with pytest.raises(HilbertuneError, match="set IONQ_API_KEY"):
        IonQ("simulator")
    monkeypatch.setenv("IONQ_API_KEY", "secret")
    with pytest.raises(HilbertuneError, match="not encrypted"):
        IonQ("simulator", url="http://example.com/v0.4")


STEPS = [
    f"{place} {when}"
    for place in (
        "ledger Ledger plan",
        "ledger Ledger sending",
        "ionq IonQ submit",
        "ledger Ledger sent",
        "ionq IonQ status",
        "ionq IonQ results",
        "ledger Ledger keep",
    )
    for when in ("before", "after")
]


def client(run: Path, url: str, step: str, *, settle: bool = False) -> int:
    """Measure four circuits in two jobs in a forked process, killed by SIGKILL at a step; return its exit status.

    With `settle` say instead, as a person would who has looked, that what is in doubt was not sent.
    """
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    os.environ.update(IONQ_API_URL=url, IONQ_API_KEY="test-key")
    try:
        if step:
            module, owner, name, when = step.split()
            deadly_class = getattr({"ledger": ledger_module, "ionq": ionq_module}[module], owner)
            real = getattr(deadly_class, name)

            def deadly(*a: Any, **k: Any) -> Any:
                if when == "after":
                    real(*a, **k)
                os.kill(os.getpid(), signal.SIGKILL)

            setattr(deadly_class, name, deadly)
        if settle:
            for batch in (made := backend(run, batch_circuits=2)).ledger.batches():
                if batch.state == "sending":
                    made.settle_by_hand(None, batch.number)
            os._exit(0)
        values = backend(run, batch_circuits=2).expectations(circuits_of_client())
        (run / "values.json").write_text(json.dumps(values.tolist()))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def circuits_of_client() -> list[BoundCircuit]:
    """Bind four, without torch, whose threads do not survive a fork."""
    circuit = head(3, reuploads=1, layers=1)
    weights = np.linspace(-1, 1, circuit.parameters).tolist()
    return [bind(circuit, weights, [0.1 * row, 0.5, -0.3], (0, 2)) for row in range(4)]


def test_a_client_killed_at_every_step_of_a_job_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """The account is a process of its own; the client is killed before and after each step, then started again."""
    port, run = tmp_path / "port", tmp_path / "run"
    emulator = Path(__file__).parents[1] / "helpers" / "ionq_emulator.py"
    server = subprocess.Popen([sys.executable, str(emulator), "--port-file", str(port)])
    try:
        for _ in range(600):
            if port.exists():
                break
            time.sleep(0.1)
        url = port.read_text()
        killed = doubts = 0
        for step in STEPS:
            status = client(run, url, step)
            if status not in (0, signal.SIGKILL):  # killed between the decision to send and the sending
                doubts += 1
                assert client(run, url, "", settle=True) == 0
                status = client(run, url, step)
            killed += status == signal.SIGKILL
        assert doubts >= 2, "what nobody knows is left to a person"
        assert killed >= 12, "steps that were passed before an earlier kill are not met again"
        assert client(run, url, "") == 0
        first = (run / "values.json").read_text()
        assert client(run, url, "") == 0
        assert (run / "values.json").read_text() == first
        with urllib.request.urlopen(url.removesuffix("/v0.4") + "/emulator/log") as answer:
            created = json.loads(answer.read())["created"]
        assert len(created) == 2, "each of the two batches was created once"
    finally:
        server.kill()
