"""Results are of the circuit whose name they carry, and they are shares of whole shots, or they are refused."""

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.hostile_ionq import Hostile, refusal, reply

from hilbertune.circuit.binding import BoundCircuit, Gate
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.ionq import IonQ
from hilbertune.hardware.provider import Mark, NotThereError
from hilbertune.hardware.shares import counts_of, name_of, room_for
from hilbertune.hardware.wire import Answer

CIRCUITS = [BoundCircuit(3, (Gate(0, None, 0.1 * n), Gate(1, 0)), (0, 2)) for n in (1, 2, 3)]
RIGHT = [{"01": 0.25, "10": 0.75}, {"00": 1.0}, {"00": 0.5, "11": 0.5}]
"""Of outcomes 1 and 6, 2, 0 and 7, of which qubits 0 (the right bit) and 2 are measured."""


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    monkeypatch.setenv("IONQ_API_KEY", "test-key")
    with Hostile() as server:
        sent(server).submit(Mark("r", "h", 1), CIRCUITS, 100)
        yield server


def sent(account: Hostile, backend: str = "qpu.forte-1", **options: Any) -> IonQ:
    return IonQ(backend, url=account.url, wait=0.01, patience=5.0, **options)


def test_results_are_the_marginals_of_the_right_circuits(account: Hostile) -> None:
    assert sent(account).results("job-1", CIRCUITS) == RIGHT


@pytest.mark.parametrize("by_parent", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_children_does_not_matter(account: Hostile, order: tuple[int, ...], by_parent: bool) -> None:
    """Nor whether the vendor lists them by their parent."""
    account.listed_by_parent = by_parent
    shuffled = [f"child-{n}" for n in order]
    account.instead("GET /jobs/job-1", account.job(child_job_ids=shuffled))
    results = {f"child-{n}": account.tables[n] for n in order}
    account.instead("GET /jobs/job-1/results/probabilities", results)
    assert sent(account).results("job-1", CIRCUITS) == RIGHT
    lookups = sum(path.startswith("/jobs/child-") for _, path in account.requests)
    assert lookups == (0 if by_parent else 3), "pages of a list, where there are some"


def test_pages_of_children_are_read_to_their_end(account: Hostile) -> None:
    def page(client: Any) -> None:
        number = sum(path == "/jobs" for _, path in account.requests) - 1 - posted
        content = {"jobs": [account.child(number)], "next": str(number + 1) if number < 2 else None}
        client.sendall(reply(json.dumps(content).encode()))

    posted = sum(path == "/jobs" for _, path in account.requests)
    account.instead("GET /jobs", page)
    assert sent(account).results("job-1", CIRCUITS) == RIGHT


def children(account: Hostile, *changed: dict[str, Any]) -> dict[str, Any]:
    return {"jobs": [account.child(n, **c) for n, c in enumerate(changed)], "next": None}


def names(account: Hostile) -> list[str]:
    return [circuit["name"] for circuit in account.posted[0]["input"]["circuits"]]


def test_a_circuit_is_named_by_its_number_and_what_it_is(account: Hostile) -> None:
    assert [name.split()[0] for name in names(account)] == ["0", "1", "2"]
    assert len({name.split()[1] for name in names(account)}) == 3
    (gate, *_) = CIRCUITS[0].gates
    turned = replace(CIRCUITS[0], gates=(gate._replace(angle=gate.angle + 1e-15), *CIRCUITS[0].gates[1:]))
    assert name_of(0, turned) != name_of(0, CIRCUITS[0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("of another circuit", "was not sent in it"),
        ("bare numbers", "was not sent in it"),
        ("one without a name", "was not sent in it, or twice"),
        ("one twice", "or twice"),
        ("one missing", r"results for 2 circuits, not 3 \(missing: 2\)"),
        ("one too many", "once each"),
        ("the same child twice", "once each"),
        ("another parent's", "is not a circuit of job"),
        ("no children", r"results for 0 circuits, not 3 \(missing: 1, 2, 3\)"),
    ],
)
def test_children_that_are_not_those_of_the_circuits_are_refused(account: Hostile, wrong: str, message: str) -> None:
    first, second, third = names(account)
    ids = ["child-0", "child-1", "child-2"]
    listing = children(account, {}, {}, {})
    if wrong == "of another circuit":
        listing = children(account, {}, {"name": first.replace("0", "1", 1)}, {})
    elif wrong == "bare numbers":
        listing = children(account, {"name": "0"}, {"name": "1"}, {"name": "2"})
    elif wrong == "one without a name":
        listing = children(account, {}, {"name": None}, {})
    elif wrong == "one twice":
        listing = children(account, {}, {"name": third}, {})
    elif wrong == "one missing":
        ids, listing = [ids[0], ids[2]], {"jobs": [account.child(0), account.child(2)], "next": None}
    elif wrong == "one too many":
        listing["jobs"].append(account.child(0, id="child-9", name=second))
    elif wrong == "the same child twice":
        ids = ["child-0", "child-1", "child-1"]
    elif wrong == "another parent's":
        listing = children(account, {}, {"parent_job_id": "job-9"}, {})
        account.instead("GET /jobs/child-1", account.child(1, parent_job_id="job-9"))
    else:
        ids, listing = [], {"jobs": [], "next": None}
    account.instead("GET /jobs/job-1", account.job(child_job_ids=ids))
    account.instead("GET /jobs", listing)
    with pytest.raises(HilbertuneError, match=message) as caught:
        sent(account).results("job-1", CIRCUITS)
    assert str(caught.value).endswith(("nothing was sent again.", "ask the vendor."))
    assert account.count("POST") == 1


def test_jobs_of_an_older_version_have_numbers_for_names(account: Hostile) -> None:
    bare = children(account, {"name": "2"}, {"name": "1"}, {"name": "0"})
    account.instead("GET /jobs", bare)
    account.instead("GET /jobs/job-1", account.job(metadata={"hilbertune": "h", "attempt": "1"}))
    tables = {"child-2": account.tables[0], "child-1": account.tables[1], "child-0": account.tables[2]}
    account.instead("GET /jobs/job-1/results/probabilities", tables)
    assert sent(account).results("job-1", CIRCUITS) == RIGHT


def test_where_the_vendor_names_no_circuit_its_order_is_taken_and_said(account: Hostile) -> None:
    account.instead("GET /jobs", children(account, {"name": None}, {"name": None}, {"name": None}))
    account.instead("GET /jobs/child-0", account.child(0, name=None))
    said: list[str] = []
    assert sent(account, say=said.append).results("job-1", CIRCUITS) == RIGHT
    assert any("order is taken" in one for one in said)


def test_names_that_a_list_leaves_out_are_looked_up(account: Hostile) -> None:
    unnamed = children(account, {"name": None}, {"name": None}, {"name": None})
    account.instead("GET /jobs", {"jobs": unnamed["jobs"][::-1], "next": None})
    account.instead("GET /jobs/job-1", account.job(child_job_ids=["child-2", "child-0", "child-1"]))
    said: list[str] = []
    assert sent(account, say=said.append).results("job-1", CIRCUITS) == RIGHT
    assert said == []


def test_a_list_that_is_refused_is_read_one_by_one(account: Hostile) -> None:
    account.instead("GET /jobs", refusal(400, "no such parameter"), 400)
    assert sent(account).results("job-1", CIRCUITS) == RIGHT


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"child-0": {"1": 1.0}, "child-2": {"1": 1.0}}, r"results for 2 circuits, not 3 \(missing: 2\)"),
        ({}, "results for 0 circuits"),
        ([{"1": 1.0}] * 3, "not a table"),
        ({"0": {"1": 1.0}, "1": {"1": 1.0}, "2": {"1": 1.0}}, "results for 0 circuits"),
        ({**{f"child-{n}": {"1": 1.0} for n in range(4)}}, "not its own"),
        ({"child-0": {"1": 1.0}, "child-1": None, "child-2": {"1": 1.0}}, "circuit 2 .*not probabilities"),
        ({"child-0": {"1": 1.0}, "child-1": [1.0], "child-2": {"1": 1.0}}, "circuit 2 .*not probabilities"),
        (None, "not a table"),
        ("probabilities", "not a table"),
        (1.0, "not a table"),
    ],
)
def test_results_of_other_circuits_are_refused(account: Hostile, answer: Any, message: str) -> None:
    account.instead("GET /jobs/job-1/results/probabilities", answer)
    with pytest.raises(HilbertuneError, match=message):
        sent(account).results("job-1", CIRCUITS)


WRONG_TABLES: dict[str, Any] = {
    "sum of .995": {"1": 0.25, "6": 0.745},
    "sum of .99": {"1": 0.25, "6": 0.74},
    "sum of .9999": {"1": 0.25, "6": 0.7499},
    "sum of 1.001": {"1": 0.251, "6": 0.75},
    "nothing": {},
    "zeros": {"1": 0.0},
    "shots": {"1": 25, "6": 75},
    "bits": {"001": 0.25, "110": 0.75},
    "a leading zero": {"01": 0.25, "6": 0.75},
    "a sign": {"+1": 0.25, "6": 0.75},
    "a negative outcome": {"-1": 0.25, "6": 0.75},
    "a blank": {" 1": 0.25, "6": 0.75},
    "an underscore": {"1_0": 0.25, "6": 0.75},
    "another script's digit": {"١": 0.25, "6": 0.75},
    "hexadecimal": {"0x1": 0.25, "6": 0.75},
    "a fraction": {"1.0": 0.25, "6": 0.75},
    "beyond the qubits": {"1": 0.25, "8": 0.75},
    "far beyond": {"1": 0.25, "9" * 25: 0.75},
    "endless": {"9" * 5000: 1.0},
    "registers": {"registers": {"output_all": {"001": 1.0}}},
    "histogram": {"histogram": {"1": 25, "6": 75}},
    "a link": {"url": "/v0.4/jobs/job-1/results"},
    "a negative share": {"1": -0.25, "6": 1.25},
    "more than one": {"1": 1.1},
    "words": {"1": "0.25", "6": "0.75"},
    "true": {"1": True},
    "null": {"1": None, "6": 1.0},
    "nan": {"1": float("nan"), "6": 1.0},
    "infinite": {"1": float("inf")},
    "a list of shares": {"1": [1.0]},
    "half a shot": {"1": 0.255, "6": 0.745},
    "a third": {"1": 1 / 3, "6": 2 / 3},
}


@pytest.mark.parametrize("wrong", WRONG_TABLES)
def test_a_table_that_is_not_one_of_shares_of_whole_shots_is_refused(account: Hostile, wrong: str) -> None:
    account.tables[0] = WRONG_TABLES[wrong]
    with pytest.raises(HilbertuneError, match="circuit 1 of IonQ's job job-1 are not probabilities") as caught:
        sent(account).results("job-1", CIRCUITS)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert account.count("POST") == 1


def test_rounding_is_no_fault() -> None:
    rng = np.random.default_rng(3)
    circuit = BoundCircuit(6, (), tuple(range(6)))
    for shots in (1, 7, 1000, 8192, 200_000, 1_000_000):
        counts = rng.multinomial(shots, np.full(64, 1 / 64))
        shares = {str(n): round(float(c) / shots, 6) for n, c in enumerate(counts) if c}
        found = counts_of("j", shares, circuit, 0, shots)
        for n, c in enumerate(counts):
            assert found.get(f"{n:06b}", 0.0) == pytest.approx(c / shots, abs=1e-6)


def test_exact_and_corrected_shares_need_not_be_of_whole_shots(account: Hostile) -> None:
    account.tables[0] = {"1": 1 / 3, "6": 2 / 3}
    for provider in (
        sent(account, "simulator"),
        sent(account, debiasing=True),
    ):
        assert provider.results("job-1", CIRCUITS)[0] == {"01": 1 / 3, "10": 2 / 3}
    with pytest.raises(HilbertuneError, match="whole shots"):
        sent(account, "simulator", noise="forte-1").results("job-1", CIRCUITS)


def test_of_a_failed_job_what_is_right_is_kept(account: Hostile) -> None:
    """A circuit that was not run is left out, and so is one whose results are no results."""
    account.instead("GET /jobs/job-1", account.job(status="failed", failure={"code": "InternalError", "message": "m"}))
    account.instead("GET /jobs", children(account, {}, {"status": "failed"}, {}))
    assert sent(account).partial("job-1", CIRCUITS) == {0: RIGHT[0], 2: RIGHT[2]}
    assert sent(account).status("job-1") == (
        "failed",
        "job job-1 failed (InternalError: m; 2 of its 3 circuits were run)",
    )
    account.instead("GET /jobs/child-2/results/probabilities", {"0": 0.5})
    said: list[str] = []
    assert sent(account, say=said.append).partial("job-1", CIRCUITS) == {0: RIGHT[0]}
    assert any("Circuit 3 counts as not run" in one for one in said)
    account.instead("GET /jobs/child-2/results/probabilities", refusal(404), 404)
    assert sent(account).partial("job-1", CIRCUITS) == {0: RIGHT[0]}


def test_results_that_come_late_are_waited_for_and_their_job_is_not_gone(account: Hostile) -> None:
    late = [404, 404, 200]

    def answer(client: Any) -> None:
        status = late.pop(0)
        content = refusal(404) if status == 404 else {f"child-{n}": t for n, t in enumerate(account.tables)}
        client.sendall(reply(json.dumps(content).encode(), status))

    account.instead("GET /jobs/job-1/results/probabilities", answer)
    assert sent(account).results("job-1", CIRCUITS) == RIGHT
    account.instead("GET /jobs/job-1/results/probabilities", refusal(404), 404)
    account.instead("GET /jobs/child-1", refusal(404), 404)
    provider = IonQ("qpu.forte-1", url=account.url, wait=0.01, patience=0.05)
    for by_parent in (True, False):
        account.listed_by_parent = by_parent
        with pytest.raises(HilbertuneError) as caught:
            provider.results("job-1", CIRCUITS)
        assert not isinstance(caught.value, NotThereError), "the job itself is there"


def test_the_room_for_results_is_that_of_their_outcomes() -> None:
    small, wide = BoundCircuit(3, (), (0,)), BoundCircuit(20, (), (0,))
    assert room_for([small] * 10) < 2 << 20
    longest = len('"1048575": 0.00000095367431640625, ') * (1 << 20)
    assert longest < room_for([wide]) <= 256 << 20
    assert room_for([BoundCircuit(36, (), (0,))] * 5000) == 256 << 20


def test_a_job_of_one_circuit_may_answer_with_its_table_alone(account: Hostile) -> None:
    provider = sent(account)
    account.tables[:] = account.tables[:1]
    for child_job_ids in (None, ["child-0"]):
        account.instead("GET /jobs/job-1", account.job(child_job_ids=child_job_ids))
        account.instead("GET /jobs/job-1/results/probabilities", account.tables[0])
        assert provider.results("job-1", CIRCUITS[:1]) == RIGHT[:1]


WRONG = [
    None,
    True,
    -1,
    0,
    7,
    0.5,
    1e300,
    math.nan,
    math.inf,
    "",
    "0",
    "job-9",
    "child-1",
    "\x1b[31m\ud800",
    [],
    ["child-0"],
    {},
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to each part of a value, the whole first."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a value with another part."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def test_no_change_of_a_single_part_brings_another_result(account: Hostile) -> None:
    """Every part of each of the three answers that results come from, replaced by each of many others or left out."""
    provider = sent(account)
    right = {
        path: account.right("GET", path, {"parent_job_id": "job-1"})[1]
        for path in ("/jobs/job-1", "/jobs", "/jobs/job-1/results/probabilities")
    }
    told = dict(right)

    def ask(method: str, path: str, **_: Any) -> Answer:
        content = told[path] if path in told else account.right(method, path, {})[1]
        return Answer(
            f"{method} {path}",
            404 if path not in told and "statusCode" in content else 200,
            None,
            json.dumps(content).encode(),
        )

    provider._wire.ask = ask  # type: ignore[method-assign]
    refusals, same = [], 0
    for request, content in right.items():
        for path in places(content):
            for new in WRONG:
                told.update(right)
                told[request] = changed(content, path, new)
                try:
                    found = provider.results("job-1", CIRCUITS)
                except HilbertuneError as error:
                    refusals.append(str(error))
                else:
                    assert found == RIGHT, (request, path, new)
                    same += 1
    assert all(refusal.isprintable() for refusal in refusals)
    assert len(refusals) > 300
    assert same > 500, "parts that do not matter may be anything"
