"""Whatever a hostile server answers: the right value or one sentence, in bounded time and memory, and one POST."""

import itertools
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from helpers.hostile_ionq import Behaviour, Hostile, bomb, drip, packed, refusal, reply, reset, silence

from hilbertune.circuit.binding import BoundCircuit, Gate
from hilbertune.errors import HilbertuneError
from hilbertune.hardware import ionq as ionq_module
from hilbertune.hardware.ionq import IonQ
from hilbertune.hardware.provider import LostAnswerError, Mark, NotThereError

KEY = "a-key-that-nobody-may-see"
MARK = Mark("run-1", "f" * 64, 1)
CIRCUITS = [BoundCircuit(3, (Gate(0, None, 0.1 * n), Gate(1, 0)), (0, 2)) for n in (1, 2, 3)]
RIGHT = [{"01": 0.25, "10": 0.75}, {"00": 1.0}, {"00": 0.5, "11": 0.5}]
"""Of outcomes 1 and 6, 2, 0 and 7 on three qubits, of which qubits 0 (the right bit) and 2 are measured."""


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    monkeypatch.setenv("IONQ_API_KEY", KEY)
    with Hostile() as server:
        yield server


def ionq(account: Hostile, backend: str = "qpu.forte-1", patience: float = 5.0, **options: Any) -> IonQ:
    return IonQ(backend, url=account.url, wait=0.01, patience=patience, **options)


def sentence(error: BaseException) -> str:
    """Return the message, which must be one sentence without the key or anything that a terminal obeys."""
    text = str(error)
    assert isinstance(error, HilbertuneError), repr(error)
    assert text.isprintable(), text
    assert 10 < len(text) < 600, text
    assert KEY not in text
    return text


CALLS: dict[str, tuple[str, Callable[[IonQ], Any]]] = {
    "backends": ("GET /backends", lambda i: i.backends()),
    "ready": ("GET /jobs", lambda i: i.ready()),
    "qubits": ("GET /backends", lambda i: i.qubits()),
    "price": ("GET /jobs/estimate", lambda i: i.price(100, 1, 1, 3)),
    "find": ("GET /jobs", lambda i: i.find("run-1", "f" * 64)),
    "status": ("GET /jobs/job-1", lambda i: i.status("job-1")),
    "about": ("GET /jobs/job-1", lambda i: i.about("job-1")),
    "results": ("GET /jobs/job-1/results/probabilities", lambda i: i.results("job-1", CIRCUITS)),
    "cancel": ("PUT /jobs/job-1/status/cancel", lambda i: i.cancel("job-1")),
}
"""What is asked of a provider, and the request whose answer is at fault."""

HEAD = b"HTTP/1.1 200 X\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

FAULTS: dict[str, bytes | Behaviour] = {
    "nothing": silence,
    "closed": reset(),
    "reset in the answer": reset(reply(b'{"id": "job', length=400)),
    "cut off": reply(b'{"id": "job-1", "sta', length=400),
    "cut off and whole": reply(b'{"id": "job-1", "sta'),
    "empty": reply(b""),
    "no content": b"HTTP/1.1 204 X\r\n\r\n",
    "not http": b"220 smtp.example ESMTP\r\n",
    "a page": reply(b"<html>Sign in</html>"),
    "broken utf-8": reply(b'{"id": "job-\xff\xfe"}'),
    "utf-16": reply('{"id": "job-1"}'.encode("utf-16")),
    "broken gzip": reply(b"\x1f\x8bnonsense", 200, "Content-Encoding: gzip"),
    "no gzip": reply(b'{"id": "job-1"}', 200, "Content-Encoding: gzip"),
    "gzip cut off": packed(b'{"id": "job-1", "status": "ready"}', -6),
    "brotli": reply(b"\x0b\x02\x80", 200, "Content-Encoding: br"),
    "gzip twice": reply(b"\x1f\x8b", 200, "Content-Encoding: gzip, gzip"),
    "bomb": bomb(40),
    "chunk without a size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "chunk of a negative size": CHUNKED + b"-5\r\n{}\r\n0\r\n\r\n",
    "chunks without an end": CHUNKED + b"2\r\n{}\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length that is a word": HEAD + b"Content-Length: many\r\n\r\n{}",
    "headers without end": drip(itertools.chain([HEAD], itertools.repeat(b"X-A: " + b"b" * 40_000 + b"\r\n")), 0.0),
    "a header a moment": drip(itertools.chain([HEAD], itertools.repeat(b"X-A: b\r\n"))),
    "a byte a moment": drip(itertools.chain([HEAD + b"Content-Length: 9999\r\n\r\n"], itertools.repeat(b" "))),
    "only hold on": drip(itertools.repeat(b"HTTP/1.1 102 X\r\n\r\n")),
    "deep": reply(b"[" * 100_000),
    "deep table": reply(b'{"id":' * 50_000 + b"1" + b"}" * 50_000),
    "a number of a million digits": reply(b'{"id": ' + b"9" * 1_000_000),
    "many parts": reply(b'{"id": [' + b"[]," * 2_000_000 + b"[]]}"),
    "a field twice": reply(b'{"id": "job-1", "id": "job-2", "status": "ready", "status": "failed"}'),
    "a redirect to itself": reply(b"", 302, "Location: /v0.4/jobs"),
    "a redirect elsewhere": reply(b"", 307, "Location: http://127.0.0.1:9/v0.4/jobs"),
    "a redirect to nowhere": reply(b"", 308),
    "300": reply(b"{}", 300),
    "304": reply(b"", 304),
    "400 of a proxy": reply(b"<html>Bad</html>", 400),
    "403 of a proxy": reply(b'{"message": "blocked"}', 403),
    "404 of a proxy": reply(b"<html>gone</html>", 404),
    "422 of another form": reply(json.dumps(refusal(400)).encode(), 422),
    "400 with a word as its number": reply(json.dumps({**refusal(400), "statusCode": "400"}).encode(), 400),
    "401": reply(json.dumps(refusal(401)).encode(), 401),
    "407": reply(b"", 407),
    "408": reply(json.dumps(refusal(408)).encode(), 408),
    "409": reply(json.dumps(refusal(409)).encode(), 409),
    "410": reply(json.dumps(refusal(410)).encode(), 410),
    "413": reply(b"", 413),
    "429": reply(json.dumps(refusal(429)).encode(), 429),
    **{
        f"429 until {until}": reply(b"{}", 429, f"Retry-After: {until}")
        for until in ("inf", "nan", "-5", "86400", "1e400", "soon", "Wed, 21 Oct 2099 07:28:00 GMT", "", "٣", "9" * 400)
        if until.isascii()
    },
    **{str(status): reply(json.dumps(refusal(status)).encode(), status) for status in (500, 502, 503, 504, 520, 599)},
    "999": reply(b"{}", 999),
    "099": b"HTTP/1.1 099 X\r\n\r\n",
    "200 that is a refusal": reply(json.dumps(refusal(400)).encode()),
    "null": reply(b"null"),
    "a word": reply(b'"ready"'),
    "a number": reply(b"17"),
    "true": reply(b"true"),
    "nan": reply(b"NaN"),
    "a list of lists": reply(b"[[[]]]"),
    "an echo of the key": reply(json.dumps(refusal(500, f"apiKey {KEY}\x1b[31m")).encode(), 500),
    "a key in the refusal": reply(json.dumps(refusal(403, f"{KEY} \x1b[31m\u202e\ud800")).encode(), 403),
}
"""Answers that are none, whatever was asked."""

CERTAIN = {"a key in the refusal"}
"""Those by which the vendor itself says that it made nothing."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_job_is_posted_once_and_in_doubt_unless_the_vendor_itself_refuses(account: Hostile, fault: str) -> None:
    account.instead("POST /jobs", FAULTS[fault])
    started = time.monotonic()
    with pytest.raises(HilbertuneError) as caught:
        ionq(account, patience=0.1).submit(MARK, CIRCUITS, 100)
    sentence(caught.value)
    assert isinstance(caught.value, LostAnswerError) is (fault not in CERTAIN)
    assert account.count("POST") == 1
    assert time.monotonic() - started < 5


def ask(account: Hostile, fault: str, calls: Iterable[str]) -> None:
    """Ask questions whose answers are at fault: each ends in a sentence, and no answer is taken for one."""
    account.posted.append(ionq(account)._body(MARK, CIRCUITS, 100))
    provider = ionq(account, patience=0.03)
    for name in calls:
        request, call = CALLS[name]
        account.clear()
        account.instead(request, FAULTS[fault])
        started = time.monotonic()
        try:
            call(provider)
        except HilbertuneError as error:
            sentence(error)
        else:
            # What was asked for is in no answer to a cancelling.
            assert name == "cancel", f"{name} took {fault!r} for an answer"
        assert time.monotonic() - started < 5, name
    assert account.count("POST") == 0
    account.clear()
    assert ionq(account).results("job-1", CIRCUITS) == RIGHT


@pytest.mark.parametrize(("place", "fault"), list(enumerate(FAULTS)))
def test_a_question_gets_one_sentence_in_bounded_time(account: Hostile, place: int, fault: str) -> None:
    ask(account, fault, [list(CALLS)[place % len(CALLS)]])


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_every_question_gets_one_sentence_in_bounded_time(account: Hostile, fault: str) -> None:
    ask(account, fault, CALLS)


@pytest.mark.parametrize("fault", [fault for place, fault in enumerate(FAULTS) if place % 4 == 0 or "429" in fault])
def test_a_bill_that_is_none_holds_nothing_up(account: Hostile, fault: str) -> None:
    account.instead("GET /jobs/job-1/cost", FAULTS[fault])
    account.instead("GET /jobs/job-1", FAULTS[fault])
    started = time.monotonic()
    assert ionq(account, patience=0.03).bill("job-1") == (None, None)
    assert time.monotonic() - started < 5


WRONG: dict[str, Any] = {
    "word": "many",
    "digits": "12",
    "list": [1],
    "table": {"a": 1},
    "true": True,
    "negative": -1,
    "nan": math.nan,
    "infinite": math.inf,
    "huge": 1e300,
    "null": None,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_estimate_is_a_finite_number_from_zero_or_none(account: Hostile, wrong: str) -> None:
    value = WRONG[wrong]
    provider = ionq(account)
    for form in (
        account.estimate(estimated_cost=value),
        account.estimate(estimated_cost={"value": value}),
        {"estimated_total_cost": value, "estimated_unit": "usd"},
    ):
        account.clear()
        account.instead("GET /jobs/estimate", form)
        with pytest.raises(HilbertuneError) as caught:
            provider.price(100, 1, 1, 3)
        assert "cost" in sentence(caught.value) or wrong == "null"
    for field, told in (("current_predicted_queue_time", "queue_seconds"), ("estimated_execution_time", "seconds")):
        account.clear()
        account.instead("GET /jobs/estimate", account.estimate(**{field: value}))
        found = provider.price(100, 1, 1, 3)
        assert found["cost"] == 12.5
        assert found[told] is None


def test_the_estimates_of_may_and_october_are_read(account: Hostile) -> None:
    assert ionq(account).price(100, 1, 1, 3)["cost"] == 12.5
    account.instead("GET /jobs/estimate", {"estimated_total_cost": 4000, "estimated_unit": "credit"})
    found = ionq(account).price(100, 1, 1, 3)
    assert (found["cost"], found["unit"]) == (4000, "credit")
    # Where both are there, the higher one counts against a limit.
    account.instead("GET /jobs/estimate", {"estimated_total_cost": 4000, "estimated_cost": 1})
    assert ionq(account).price(100, 1, 1, 3)["cost"] == 4000


@pytest.mark.parametrize("wrong", WRONG)
def test_each_field_of_each_answer_may_be_of_another_type(account: Hostile, wrong: str) -> None:
    """What is needed is named in the sentence; what is not needed is None."""
    value, provider = WRONG[wrong], ionq(account)
    account.posted.append(provider._body(MARK, CIRCUITS, 100))

    def fails(call: Callable[[], Any], field: str) -> None:
        with pytest.raises(HilbertuneError) as caught:
            call()
        assert field in sentence(caught.value)
        assert "GET /" in str(caught.value)

    if wrong not in ("word", "digits"):
        account.instead("GET /backends", [account.device(backend=value)])
        fails(provider.qubits, "0.backend")
        account.instead("GET /jobs/job-1", account.job(status=value))
        fails(lambda: provider.status("job-1"), "status")
        account.instead("GET /jobs", {"jobs": [account.job(id=value)], "next": None})
        fails(lambda: provider.find("run-1", "f" * 64), "jobs.0.id")
        account.instead("GET /jobs/job-1", account.job(id=value))
        fails(lambda: provider.status("job-1"), "id")
    if wrong not in ("null", "table"):
        account.instead("GET /jobs", {"jobs": [account.job(metadata=value)], "next": None})
        fails(lambda: provider.find("run-1", "f" * 64), "metadata")
    account.instead("GET /jobs", {"jobs": value, "next": None})
    fails(lambda: provider.find("run-1", "f" * 64), "jobs")
    if wrong not in ("word", "digits", "null"):
        account.instead("GET /jobs", {"jobs": [], "next": value})
        fails(lambda: provider.find("run-1", "f" * 64), "next")
    if wrong != "null":
        account.instead("GET /jobs/job-1", account.job(child_job_ids=value))
        if wrong != "list":
            fails(lambda: provider.status("job-1"), "child_job_ids")
        fails(lambda: provider.results("job-1", CIRCUITS), "child_job_ids")
    account.clear()
    account.instead("GET /backends", [account.device(qubits=value, status=value, average_queue_time=value)])
    assert provider.qubits() is None
    assert provider.backends()[0]["average_queue_time"] is None
    assert "forte-1 is" in str(provider.ready()) or "does not say" in str(provider.ready())
    account.instead("GET /jobs/job-1", account.job(status="ready", predicted_wait_time_ms=value, failure=value))
    assert provider.status("job-1") == ("waiting", "job job-1 is ready")
    account.instead("GET /jobs/job-1", account.job(status="failed", failure=value, child_job_ids=None))
    assert provider.status("job-1")[0] == "failed"
    for bill in ({"cost": value}, {"cost": {"value": value}}, value):
        account.instead("GET /jobs/job-1/cost", bill)
        for stats in (value, {"kwh": value}):
            account.instead("GET /jobs/job-1", account.job(stats=stats))
            assert provider.bill("job-1") == (None, None)


def test_what_a_job_cost_is_read_in_both_forms(account: Hostile) -> None:
    assert ionq(account).bill("job-1") == (12.5, 0.125)
    account.instead("GET /jobs/job-1/cost", {"cost": 3})
    assert ionq(account).bill("job-1") == (3.0, 0.125)


@pytest.mark.parametrize("status", [400, 402, 403, 404, 422])
def test_a_refusal_in_the_vendors_own_form_means_that_nothing_was_made(account: Hostile, status: int) -> None:
    account.instead("POST /jobs", refusal(status, "the reason why"), status)
    with pytest.raises(HilbertuneError, match="the reason why") as caught:
        ionq(account).submit(MARK, CIRCUITS, 100)
    assert not isinstance(caught.value, LostAnswerError)
    assert account.count("POST") == 1


@pytest.mark.parametrize("id_", [None, 3, "", ["job-1"], "a b", "../jobs", "job\n1", "job?x", "ü", "x" * 200, {}, True])
def test_a_created_job_has_an_id_that_can_be_one(account: Hostile, id_: Any) -> None:
    account.instead("POST /jobs", {"id": id_, "status": "ready"}, 201)
    with pytest.raises(LostAnswerError, match="no job id"):
        ionq(account).submit(MARK, CIRCUITS, 100)
    assert account.count("POST") == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("0", 0.0), ("inf", None), ("nan", None), ("-1", None), ("soon", None), ("", None)],
)
def test_the_runner_is_told_how_long_the_vendor_asks_to_wait(
    account: Hostile, header: str, seconds: float | None
) -> None:
    account.instead("POST /jobs", reply(b"{}", 429, f"Retry-After: {header}"))
    with pytest.raises(LostAnswerError, match="429") as caught:
        ionq(account).submit(MARK, CIRCUITS, 100)
    assert caught.value.retry_after == seconds
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=90))
    account.instead("POST /jobs", reply(b"{}", 503, f"Retry-After: {moment}"))
    with pytest.raises(LostAnswerError) as caught:
        ionq(account).submit(MARK, CIRCUITS, 100)
    assert caught.value.retry_after == pytest.approx(90, abs=3)


def test_a_wait_that_is_asked_for_is_said_and_bounded_by_what_is_left(account: Hostile) -> None:
    said: list[str] = []
    account.instead("GET /backends", reply(b"{}", 429, "Retry-After: 86400"))
    started = time.monotonic()
    with pytest.raises(HilbertuneError, match="for 0 s"):
        ionq(account, patience=0.4, say=said.append).backends()
    assert 0.4 <= time.monotonic() - started < 4
    assert any("asks to wait 86,400 s; asking again in 0." in one for one in said)
    assert account.count("GET") == 2, "one more request when the patience ends"


def test_nothing_is_sent_where_nothing_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a job was certainly not created: no port, no name, no encryption."""
    monkeypatch.setenv("IONQ_API_KEY", KEY)
    with Hostile() as plain:
        free = plain.port
        secure = f"https://127.0.0.1:{free}/v0.4"
        with pytest.raises(HilbertuneError, match="nothing was sent") as caught:
            IonQ("simulator", url=secure, patience=0.2).submit(MARK, CIRCUITS, 100)
        assert not isinstance(caught.value, LostAnswerError)
        assert plain.count("POST") == 0
    for url in (f"http://127.0.0.1:{free}/v0.4", "https://name.invalid/v0.4"):
        said: list[str] = []
        provider = IonQ("simulator", url=url, patience=0.2, wait=0.01, say=said.append)
        with pytest.raises(HilbertuneError, match="cannot be reached") as caught:
            provider.submit(MARK, CIRCUITS, 100)
        assert not isinstance(caught.value, LostAnswerError)
        with pytest.raises(HilbertuneError, match=r"cannot be reached .* nothing is lost"):
            provider.backends()
        assert any("asking again in" in one for one in said), "retries are shown"


def test_a_proxy_sees_no_key_and_its_refusal_means_that_nothing_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONQ_API_KEY", KEY)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Hostile() as proxy, Hostile() as vendor:
        for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://user:secret@127.0.0.1:{proxy.port}")
        assert ionq(vendor).qubits() == 36
        assert proxy.requests == [], "this machine needs no proxy, and the key would be in the clear"
        provider = IonQ("simulator", url="https://ionq.example/v0.4", patience=0.2, wait=0.01)
        for answer in (reply(b"", 407), reset(), b"nonsense", reply(b"", 502)):
            proxy.instead("CONNECT ionq.example:443", answer)
            with pytest.raises(HilbertuneError, match="nothing was sent") as caught:
                provider.submit(MARK, CIRCUITS, 100)
            assert not isinstance(caught.value, LostAnswerError)
            assert "secret" not in sentence(caught.value)
        assert {method for method, _ in proxy.requests} == {"CONNECT"}
        assert not any(KEY in head for head in proxy.headers)
    for wrong in ("socks5://127.0.0.1:1", "http://", "http://127.0.0.1:99999", "http://secret:@:8"):
        monkeypatch.setenv("https_proxy", wrong)
        with pytest.raises(HilbertuneError, match="HTTPS_PROXY names no proxy"):
            provider.submit(MARK, CIRCUITS, 100)


@pytest.mark.parametrize("end", ["a circle", "no end", "pages of nothing"])
def test_a_list_without_end_is_left(account: Hostile, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr(ionq_module, "MAX_PAGES", 30)
    numbers = itertools.count()

    def page(client: Any) -> None:
        mark = "same" if end == "a circle" else f"page-{next(numbers)}"
        jobs = [] if end == "pages of nothing" else [{"id": f"j{next(numbers)}"}]
        client.sendall(reply(json.dumps({"jobs": jobs, "next": mark}).encode()))

    account.instead("GET /jobs", page)
    with pytest.raises(HilbertuneError, match="circle" if end == "a circle" else "no end after") as caught:
        ionq(account, patience=5).find("run-1", "f" * 64)
    sentence(caught.value)
    assert account.count("GET") <= 31


def test_what_is_known_of_a_job_is_told(account: Hostile) -> None:
    account.posted.append(ionq(account)._body(MARK, CIRCUITS, 100))
    assert ionq(account).about("job-1") == {"run": "run-1", "hash": "f" * 64, "shots": 100, "circuits": 3}
    account.instead("GET /jobs/job-1", account.job(metadata={"run": ["x"]}, shots="many", child_job_ids=None))
    assert ionq(account).about("job-1") == {}


def test_every_job_with_our_mark_is_found_and_no_other(account: Hostile) -> None:
    def job(id_: str, parent: str | None = None, **metadata: Any) -> dict[str, Any]:
        return {"id": id_, "metadata": metadata or None, "parent_job_id": parent}

    mine = {"hilbertune": "f" * 64, "run": "run-1"}
    jobs = [
        job("third", **mine, attempt="2"),
        job("other-run", **{**mine, "run": "run-2"}, attempt="1"),
        job("other-hash", **{**mine, "hilbertune": "0" * 64}, attempt="1"),
        job("child", "second", **mine, attempt="1"),
        job("nobody"),
        job("second", **mine, attempt="1"),
        job("first-of-an-older-version", hilbertune="f" * 64),
    ]
    account.instead("GET /jobs", {"jobs": jobs, "next": ""})
    assert list(ionq(account).find("run-1", "f" * 64).items()) == [
        ("first-of-an-older-version", 1),
        ("second", 1),
        ("third", 2),
    ]
    account.instead("GET /jobs", {"jobs": [job("odd", **mine, attempt="one")], "next": None})
    with pytest.raises(HilbertuneError, match="odd carries our mark, but not whole"):
        ionq(account).find("run-1", "f" * 64)


def test_an_unknown_status_is_said_and_left_after_a_stated_time(account: Hostile) -> None:
    provider = ionq(account, patience=60)
    account.instead("GET /jobs/job-1", account.job(status="pondering\x1b[31m"))
    state, words = provider.status("job-1")
    assert state == "waiting"
    assert "'pondering?[31m', which this version does not know" in words
    assert provider.status("job-1")[0] == "waiting"
    provider._puzzled["job-1"] -= 61  # as if so many seconds had passed
    with pytest.raises(HilbertuneError, match=r"pondering.* for 60 s: nothing is lost"):
        provider.status("job-1")
    account.instead("GET /jobs/job-1", account.job(status="ready"))
    assert provider.status("job-1")[0] == "waiting", "a known status may last"
    account.instead("GET /jobs/job-1", account.job(status="pondering"))
    assert provider.status("job-1")[0] == "waiting", "and the time begins anew"


def test_a_job_that_the_vendor_does_not_know_is_told_from_a_proxys_page(account: Hostile) -> None:
    with pytest.raises(NotThereError, match="does not know /jobs/gone"):
        ionq(account).status("gone")
    account.instead("GET /jobs/gone", reply(b"<html>404</html>", 404))
    with pytest.raises(HilbertuneError, match="not in IonQ's form") as caught:
        ionq(account).status("gone")
    assert not isinstance(caught.value, NotThereError)
    account.instead("GET /jobs/gone", account.job())
    with pytest.raises(HilbertuneError, match="answers about job job-1, not gone"):
        ionq(account).status("gone")
    with pytest.raises(HilbertuneError, match="not the id of a job"):
        ionq(account).status("../backends?x")
    ionq(account).cancel("gone")


def test_cancelling_what_has_ended_is_no_error(account: Hostile) -> None:
    account.instead("PUT /jobs/job-1/status/cancel", refusal(400, "job has ended"), 400)
    ionq(account).cancel("job-1")
    account.instead("GET /jobs/job-1", account.job(status="started"))
    with pytest.raises(HilbertuneError, match="job has ended"):
        ionq(account).cancel("job-1")


def test_a_key_is_checked_before_anything_else(account: Hostile) -> None:
    assert ionq(account).ready() is None
    account.instead("GET /jobs", refusal(401), 401)
    for backend in ("simulator", "qpu.forte-1"):
        with pytest.raises(HilbertuneError, match="does not accept the key"):
            ionq(account, backend).ready()


def test_a_circuit_with_an_angle_that_is_none_is_not_sent(account: Hostile) -> None:
    with pytest.raises(HilbertuneError, match="angle") as caught:
        ionq(account).submit(MARK, [BoundCircuit(1, (Gate(0, None, math.nan),), (0,))], 100)
    assert not isinstance(caught.value, LostAnswerError)
    assert account.count("POST") == 0


def test_the_key_goes_to_the_address_alone_and_into_no_text(account: Hostile, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Hostile() as other:
        account.instead("GET /backends", reply(b"", 302, f"Location: {other.url}/backends"))
        provider = ionq(account)
        with pytest.raises(HilbertuneError, match="sends GET /backends elsewhere"):
            provider.backends()
        assert other.requests == []
    account.instead("POST /jobs", refusal(400, f"your key {KEY} is bad"), 400)
    with pytest.raises(HilbertuneError, match=r"your key \*\*\* is bad") as caught:
        provider.submit(MARK, CIRCUITS, 100)
    assert any(f"apiKey {KEY}" in head for head in account.headers), "or the test would see nothing"
    for text in (caplog.text, repr(provider), str(caught.value), repr(caught.value)):
        assert KEY not in text


def test_a_slow_answer_is_spoken_of(account: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    from hilbertune.hardware import wire

    monkeypatch.setattr(wire, "SILENCE", 0.02)
    said: list[str] = []
    account.instead("GET /backends", silence)
    with pytest.raises(HilbertuneError, match=r"has not answered GET /backends in 0\.1 s for 0 s"):
        ionq(account, patience=0.1, say=said.append).backends()
    assert said[0] == "Waiting for 127.0.0.1 to answer GET /backends, for up to 0 s."
    assert threading.active_count() < 20


@pytest.mark.slow
def test_two_gigabytes_in_two_megabytes_take_no_memory(account: Hostile) -> None:
    import tracemalloc

    account.instead("GET /backends", bomb(2048))
    tracemalloc.start()
    with pytest.raises(HilbertuneError, match="longer than 16 MB"):
        ionq(account, patience=60).backends()
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()
