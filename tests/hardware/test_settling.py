"""Money: whatever happens to an answer, to a process or to a list of jobs, nothing is paid twice or unseen."""

import math
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.qpu import Trained
from helpers.vendors import PRICE, Clock, Provider, Vendor, rows, shares

from hilbertune.errors import HilbertuneError
from hilbertune.hardware import collecting, ledger, ledger_file, settling
from hilbertune.hardware.adaptive import decide
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.mitigation import expectations_of
from hilbertune.hardware.owner import Owner
from hilbertune.hardware.provider import Mark
from hilbertune.hardware.recalibration import spsa_steps
from hilbertune.runtime.storage import open_database

Make = Callable[..., HardwareBackend]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (collecting, settling, ledger):
        monkeypatch.setattr(module, "time", made)
    # Nothing here survives the power cut that a test would need.
    monkeypatch.setattr(ledger_file, "open_database", partial(open_database, synchronous="NORMAL"))
    return made


@pytest.fixture
def vendor(clock: Clock) -> Vendor:
    return Vendor(clock)


@pytest.fixture
def made(vendor: Vendor, tmp_path: Path) -> Make:
    """Return a function that begins or resumes the run of the test, as a new process would."""

    def make(*, check: bool = False, **options: Any) -> HardwareBackend:
        own = {"max_cost": 1e3, "shots": 100, "batch_circuits": 1, **options}
        backend = HardwareBackend(Provider(vendor), options.pop("run", tmp_path / "run"), **own)
        backend.check = check
        return backend

    return make


def exact(count: int = 2) -> np.ndarray:
    return np.array([expectations_of(shares(circuit)) for circuit in rows(count)])


@pytest.mark.parametrize("late", [0.0, 90.0, 500.0, math.inf], ids=lambda late: f"listed after {late:.0f} s")
@pytest.mark.parametrize("answer", ["lost 0", "lost 1", "lost 2", "busy 0", "busy 1", "busy 2", "twice 2", ""])
def test_no_batch_is_paid_twice_and_no_job_is_unseen(
    vendor: Vendor, made: Make, clock: Clock, answer: str, late: float
) -> None:
    vendor.answers, vendor.late = [answer], late
    jobs = int(answer[-1]) if answer else 1
    known = not answer.startswith(("lost", "busy"))
    if not known and (jobs == 0 or late == math.inf):
        with pytest.raises(HilbertuneError, match=r"none is sent again.*--batch 1 and --sent-as ID or --not-sent"):
            made().expectations(rows())
        assert len(vendor.jobs) == jobs, "the second batch is not sent while the first is in doubt"
        assert sum(clock.slept) >= 600, "looked for as long as was said"
        before = len(clock.slept)
        with pytest.raises(HilbertuneError, match="none is sent again"):
            made().expectations(rows())
        assert len(clock.slept) == before, "the time is over: one more look"
        assert len(vendor.jobs) == jobs
        made().settle_by_hand("job-1" if jobs else None)
    np.testing.assert_allclose(made().expectations(rows()), exact())
    assert len(vendor.jobs) == max(1, jobs) + 1
    made().expectations(rows())
    assert len(vendor.jobs) == max(1, jobs) + 1, "all is in the ledger"
    if jobs == 2 and late == math.inf:
        return
    clock.sleep(1000)
    book = made().cancel_extras()
    assert [extra.job for extra in book] == (["job-2"] if jobs == 2 else [])
    assert made().ledger.committed() == vendor.paid


@pytest.mark.parametrize("late", [0.0, 40.0, math.inf])
@pytest.mark.parametrize("answer", ["lost 0", "lost 1", "busy 0", "busy 1"])
def test_what_the_vendor_gives_for_nothing_is_sent_again_after_a_look(
    vendor: Vendor, made: Make, clock: Clock, answer: str, late: float
) -> None:
    vendor.answers, vendor.late, vendor.free = [answer], late, True
    np.testing.assert_allclose(made(max_cost=None).expectations(rows()), exact())
    never = answer.endswith("0") or late == math.inf
    assert len(vendor.jobs) == (2 if answer.endswith("0") else 2 + never)
    if answer.startswith("busy"):
        assert clock.slept[0] == 7.0, "what the vendor asked for"


def test_every_attempt_is_looked_for_before_a_batch_is_sent_again(vendor: Vendor, made: Make, clock: Clock) -> None:
    vendor.answers, vendor.late = ["lost 1"], 5000.0
    with pytest.raises(HilbertuneError, match="none is sent again"):
        made().expectations(rows(1))
    made().settle_by_hand(None)  # wrongly: the vendor lists it later
    clock.sleep(5000)
    np.testing.assert_allclose(made().expectations(rows(1)), exact(1))
    assert list(vendor.jobs) == ["job-1"]


def test_a_job_that_is_listed_is_not_called_unsent(vendor: Vendor, made: Make) -> None:
    vendor.answers = ["interrupted 1"]
    with pytest.raises(KeyboardInterrupt):
        made().expectations(rows(1))
    made().settle_by_hand(None)
    assert made().ledger.batches()[0].job == "job-1"


def test_several_batches_in_doubt_are_settled_by_number(vendor: Vendor, made: Make) -> None:
    backend = made()
    for part in backend.parts(backend.groups(rows(3))):
        backend.ledger.plan(part.hash, "x", 1, 100, (2, 1), PRICE, 2)
        backend.ledger.sending(part.hash)
    vendor.late = math.inf
    parts = backend.parts(backend.groups(rows(3)))
    vendor.make(Mark(backend.ledger.run, parts[1].hash, 1), parts[1].circuits, 100)
    for job, number, message in (
        (None, None, r"3 batches are in doubt, not one \(1, 2, 3\): name one with --batch"),
        (None, 7, "There is no batch 7"),
        ("job-1", 1, "mark of another batch than 1"),
        ("job-9", 1, "has no job job-9"),
    ):
        with pytest.raises(HilbertuneError, match=message):
            backend.settle_by_hand(job, number)
    backend.settle_by_hand("job-1", 2)
    with pytest.raises(HilbertuneError, match="Job job-1 is that of batch 2, not of 3"):
        backend.settle_by_hand("job-1", 3)
    backend.settle_by_hand(None, 1)
    backend.settle_by_hand(None, 3)
    np.testing.assert_allclose(made().expectations(rows(3)), exact(3))
    assert len(vendor.jobs) == 3
    with pytest.raises(HilbertuneError, match="Batch 2 is done, not in doubt"):
        backend.settle_by_hand(None, 2)


@pytest.mark.parametrize("settled", ["sent-as", "not-sent", "there again"])
def test_a_job_that_vanished_blocks_no_other_and_is_settled_by_name(
    vendor: Vendor, made: Make, clock: Clock, settled: str
) -> None:
    vendor.ends = ["gone"]
    with pytest.raises(
        HilbertuneError, match=r"job job-1 is not at the vendor any more.*batch 1.*other results are kept"
    ):
        made().expectations(rows())
    assert [b.state for b in made().ledger.batches()] == ["vanished", "done"]
    with pytest.raises(HilbertuneError, match="--batch 1 and --sent-as ID or --not-sent"):
        made().expectations(rows())
    assert len(vendor.jobs) == 2
    if settled == "there again":
        vendor.jobs["job-1"]["end"] = ""
    elif settled == "sent-as":
        copy = vendor.jobs["job-1"]
        vendor.jobs["job-1b"] = {**copy, "end": ""}
        made().settle_by_hand("job-1b", 1)
    else:
        made().settle_by_hand(None, 1)
    np.testing.assert_allclose(made().expectations(rows()), exact())
    assert len(vendor.jobs) == (2 if settled == "there again" else 3)
    vanished = 0 if settled == "there again" else PRICE
    assert made().ledger.committed() == 2 * PRICE + vanished, "it may be on the bill all the same"


@pytest.mark.parametrize("price", [math.nan, math.inf, -1.0, "four", None, True, [], {}, 1e308])
def test_an_estimate_that_is_no_price_sends_nothing(vendor: Vendor, made: Make, price: Any) -> None:
    vendor.price = price
    for _ in range(2):
        with pytest.raises(HilbertuneError, match=r"no usable estimate|is no price|would cost"):
            made().expectations(rows(3))
        with (
            pytest.raises(HilbertuneError, match=r"no usable estimate")
            if price != 1e308
            else pytest.raises(HilbertuneError)
        ):
            made().estimate(rows(3))
    assert not vendor.jobs
    assert all(batch.cost is not None for batch in made().ledger.batches())


@pytest.mark.parametrize("limit", [math.nan, math.inf, -math.inf, -1.0])
def test_a_limit_that_is_none_is_refused(made: Make, limit: Any) -> None:
    with pytest.raises(HilbertuneError, match="max_cost must be a finite number"):
        made(max_cost=limit)
    backend = made()
    with pytest.raises(HilbertuneError, match="max_cost must be a finite number"):
        backend.max_cost = limit


@pytest.mark.parametrize("limit", [None, 0.0, 4.0, 7.99])
def test_the_whole_is_checked_before_the_first_is_sent(vendor: Vendor, made: Make, limit: float | None) -> None:
    with pytest.raises(HilbertuneError, match=r"would cost 8.00 after 0.00 so far"):
        made(max_cost=limit).expectations(rows())
    assert not vendor.jobs
    made(max_cost=8.0).expectations(rows())
    assert vendor.paid == made().ledger.committed() == 8.0


def test_what_is_paid_is_collected_before_the_rest_is_refused(vendor: Vendor, made: Make) -> None:
    vendor.answers = ["", "refused"]
    vendor.ends = ["waiting"]
    backend = made()
    (first, second), real = backend.batches(rows(), 100), backend.ledger.plan
    for hash_, own in (first, second):
        real(hash_, "x", len(own), 100, (2, 1), PRICE, 2)
    backend.send(*first)
    vendor.jobs["job-1"]["end"] = ""
    with pytest.raises(HilbertuneError, match=r"would cost 4.00 after 4.00 so far, and the limit is 5.00"):
        made(max_cost=5.0).expectations(rows())
    assert [b.state for b in made().ledger.batches()] == ["done", "planned"]
    assert made().ledger.batches()[0].billed == PRICE
    with pytest.raises(HilbertuneError, match=r"No credit"):
        made().expectations(rows())
    assert vendor.paid == made().ledger.committed() == PRICE


def test_sending_a_failed_batch_again_costs_again(vendor: Vendor, made: Make) -> None:
    vendor.ends = ["failed"]
    with pytest.raises(HilbertuneError, match=r"job-1 is failed: resume with --retry-failed"):
        made(max_cost=8.0).expectations(rows())
    with pytest.raises(HilbertuneError, match=r"would cost 4.00 after 8.00 so far"):
        made(max_cost=8.0, retry_failed=True).expectations(rows())
    assert len(vendor.jobs) == 2
    made(max_cost=12.0, retry_failed=True).expectations(rows())
    assert vendor.paid == made().ledger.committed() == 12.0


def test_readout_calibration_is_part_of_the_whole(vendor: Vendor, made: Make) -> None:
    with pytest.raises(HilbertuneError, match=r"would cost 16.00"):
        made(max_cost=15.0, readout=True).expectations(rows())
    assert not vendor.jobs
    made(max_cost=16.0, readout=True).expectations(rows())
    assert vendor.paid == 16.0


def test_adaptive_shots_and_training_are_checked_as_a_whole(vendor: Vendor, made: Make, trained: Trained) -> None:
    model, X, y = trained
    rounds = {"first": 64, "most": 256}  # 64, 64 and 128 shots
    with pytest.raises(HilbertuneError, match=r"would cost 24.00"):
        decide(model, made(max_cost=23.0, batch_circuits=9), X[:2], **rounds)
    steps = {"steps": 3, "shots_per_step": 400}  # 2 rows, up and down
    with pytest.raises(HilbertuneError, match=r"would cost 48.00"):
        spsa_steps(model, made(max_cost=47.0), X[:9], y[:9], **steps)
    assert not vendor.jobs
    spsa_steps(model, made(max_cost=48.0), X[:9], y[:9], **steps)
    assert vendor.paid == 48.0
    vendor.asked.clear()
    decide(model, made(max_cost=48.0 + 24.0), X[:2], **rounds)
    assert vendor.paid <= 48.0 + 24.0


def test_amounts_of_different_units_have_no_sum(vendor: Vendor, made: Make) -> None:
    made().expectations(rows(1))
    vendor.unit = "usd"
    made().expectations(rows(2))
    vendor.unit = "credits"
    with pytest.raises(HilbertuneError, match=r"Prices come in USD and credits"):
        made().expectations(rows(4))
    assert len(vendor.jobs) == 2


@pytest.mark.parametrize(
    "bill", [RuntimeError("429"), KeyError("cost"), KeyboardInterrupt(), math.nan, -1.0, "much", [1]], ids=repr
)
def test_results_are_kept_whatever_becomes_of_the_bill(vendor: Vendor, made: Make, bill: Any) -> None:
    vendor.bill = bill
    backend = made()
    if isinstance(bill, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            backend.expectations(rows(1))
    else:
        backend.expectations(rows(1))
    (batch,) = made().ledger.batches()
    assert (batch.state, batch.billed) == ("done", None)
    assert made().ledger.unbilled() == ["job-1"]
    vendor.bill = None
    resumed = made()
    resumed.ask_for_bills()
    assert resumed.ledger.batches()[0].billed == PRICE
    vendor.asked.clear()
    resumed.ask_for_bills()
    assert not vendor.asked, "what is known is not asked for again"


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("reversed", r"came back in reversed order: most often as 10, not 01"),
        ("short", r"results for 1 circuits, not 2"),
        ("lossy", r"sum to 0.995"),
    ],
)
def test_results_that_cannot_be_right_are_kept_apart(vendor: Vendor, made: Make, end: str, message: str) -> None:
    vendor.ends = [end]
    with pytest.raises(HilbertuneError, match=rf"job job-1 \(batch 1\) cannot be right: .*{message}.*other results"):
        made(check=True).expectations(rows())
    book = made(check=True).ledger
    refused, done = book.batches()
    assert (refused.state, done.state) == ("refused", "done")
    assert len(book.refused(refused.hash)) == (1 if end == "short" else 2), "as they came"
    assert not book.results(refused.hash)
    assert book.committed() == vendor.paid == 4 * PRICE, "a circuit that checks rode with each"
    with pytest.raises(HilbertuneError, match=r"was refused.*--retry-failed"):
        made(check=True).expectations(rows())
    assert len(vendor.jobs) == 2
    accepted = made(check=True)
    parts = accepted.parts(accepted.groups(rows()))
    if end == "lossy":
        with pytest.raises(HilbertuneError, match="cannot be used at all"):
            accepted.accept(1, parts)
        made(check=True, retry_failed=True).expectations(rows())
        assert len(vendor.jobs) == 3
    else:
        accepted.accept(1, parts)
        wrong = accepted.expectations(rows())
        assert len(vendor.jobs) == 2
        if end == "reversed":
            np.testing.assert_allclose(wrong[0], exact()[0][::-1])


def test_the_circuit_that_checks_is_paid_shown_and_can_be_left_out(vendor: Vendor, made: Make) -> None:
    expected = made(check=True, batch_circuits=2).estimate(rows(3))
    assert (expected.cost, expected.check_cost, expected.checks, expected.circuits) == (20.0, 8.0, 2, 3)
    assert made(batch_circuits=2).estimate(rows(3)).cost == 12.0
    with pytest.raises(HilbertuneError, match=r"would cost 20.00"):
        made(check=True, batch_circuits=2, max_cost=19.0).expectations(rows(3))
    made(batch_circuits=2).expectations(rows(3))
    assert vendor.paid == 12.0
    made(check=True, batch_circuits=2).expectations(rows(3))
    assert vendor.paid == 12.0, "what was measured without it is not measured again"


def test_one_owner_at_a_time(vendor: Vendor, made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """While the first sends, a second is refused, by the lock and, without a lock, by the ledger."""
    real, tried = Provider.submit, []

    def both(self: Provider, *a: Any) -> str:
        monkeypatch.setattr(Provider, "submit", real)
        with pytest.raises(HilbertuneError, match=rf"in the hands of process {os.getpid()} on "):
            made().expectations(rows(1))
        with pytest.raises(HilbertuneError, match="in the hands of"):
            made().cancel()
        tried.append(True)
        return real(self, *a)

    monkeypatch.setattr(Provider, "submit", both)
    made().expectations(rows(1))
    assert tried
    assert len(vendor.jobs) == 1


def test_of_two_that_decide_to_send_one_may(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    first.plan("h", "b", 1, 10, (1, 1), 4.0, 1)
    first.plan("g", "b", 1, 10, (1, 1), 4.0, 1)
    seen, other = second.batch("h"), second.batch("g")
    first.sending("h", limit=4.0)
    with pytest.raises(HilbertuneError, match="Batch 1 is sending by now"):
        second.sending("h", seen=seen)
    with pytest.raises(HilbertuneError, match=r"would cost 4.00 after 4.00"):
        second.sending("g", seen=other, limit=4.0)
    assert second.committed() == 4.0


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            with Owner(tmp_path).hold():
                os.write(write, b"held")
                signal.pause()
        finally:
            os._exit(1)
    assert os.read(read, 4) == b"held"
    with pytest.raises(HilbertuneError, match=f"in the hands of process {child} on"), Owner(tmp_path).hold():
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with Owner(tmp_path).hold():
        pass


def test_a_run_that_was_copied_or_restored_pays_nothing_twice(vendor: Vendor, made: Make, tmp_path: Path) -> None:
    """A copy from before the batches were sent finds them at the vendor, by the name of the run that it shares."""
    made().ledger.close()
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    values = made().expectations(rows())
    copy = HardwareBackend(Provider(vendor), tmp_path / "copy", max_cost=8.0, shots=100, batch_circuits=1)
    copy.check = False
    np.testing.assert_array_equal(copy.expectations(rows()), values)
    assert copy.ledger.committed() == vendor.paid == 8.0
    other = HardwareBackend(Provider(vendor), tmp_path / "other", max_cost=8.0, shots=100, batch_circuits=1)
    other.check = False
    other.expectations(rows())
    assert vendor.paid == 16.0, "another run of the same circuits is another one"


def test_counts_that_are_there_are_not_measured_again(vendor: Vendor, made: Make, tmp_path: Path) -> None:
    made().expectations(rows())
    with sqlite3.connect(tmp_path / "run" / "ledger.sqlite") as file:
        file.execute("UPDATE batches SET state = 'planned'")
    file.close()
    np.testing.assert_allclose(made().expectations(rows()), exact())
    assert len(vendor.jobs) == 2
    with sqlite3.connect(tmp_path / "run" / "ledger.sqlite") as file:
        file.execute("UPDATE batches SET circuits = 5")
    file.close()
    with pytest.raises(HilbertuneError, match=r"batches.circuits or batches.shots of batch 1"):
        made().expectations(rows())
    assert len(vendor.jobs) == 2


def test_a_job_that_was_made_twice_and_is_listed_late_is_looked_for_again(
    vendor: Vendor, made: Make, clock: Clock
) -> None:
    vendor.answers, vendor.late = ["twice 2"], 300.0
    backend = made()
    backend.expectations(rows(1))
    assert not backend.ledger.extras()
    assert settling.to_look_for(backend.ledger) == [backend.ledger.batches()[0].hash]
    clock.sleep(700)
    backend.look_for_extras(settling.to_look_for(backend.ledger))
    assert [extra.job for extra in backend.ledger.extras()] == ["job-2"]
    assert not settling.to_look_for(backend.ledger), "listed or not, that was long enough"
