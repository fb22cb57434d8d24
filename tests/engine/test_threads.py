"""Cores that the kernels get: shares of the work, and torch's threads, which come back whoever asked at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from hilbertune.circuit.builders import head
from hilbertune.engine import threads
from hilbertune.engine.threads import cores_for_kernels, most_threads, spread, threads_for
from hilbertune.model.layers import QuantumHead


@pytest.fixture(autouse=True)
def _five_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("items", "cost", "most", "wanted"),
    [(0, 10, 4, 1), (3, 10**7, 4, 3), (100, 10**7, 4, 4), (100, 10, 4, 1), (4, 125_000, 4, 2)],
)
def test_threads_are_taken_where_the_work_is_worth_them(items: int, cost: int, most: int, wanted: int) -> None:
    assert threads_for(items, cost, most) == wanted


@pytest.mark.parametrize("items", [0, 1, 7, 23])
def test_every_item_is_worked_on_once(items: int) -> None:
    done: list[int] = []
    spread(lambda: lambda start, stop: done.extend(range(start, stop)), items, 10**9)
    assert sorted(done) == list(range(items))


def test_an_error_in_a_share_reaches_the_caller() -> None:
    def work(start: int, stop: int) -> None:
        if start > 0:
            raise ValueError("share")

    with pytest.raises(ValueError, match="share"):
        spread(lambda: work, 10, 10**9)


def test_a_share_that_no_thread_takes_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where other work holds all cores but this thread's."""
    busy, free = ThreadPoolExecutor(1), threading.Event()
    busy.submit(free.wait)
    monkeypatch.setattr(threads, "_pool", lambda _: busy)
    done: list[int] = []
    try:
        spread(lambda: lambda start, stop: done.extend(range(start, stop)), 20, 10**9)
        assert sorted(done) == list(range(20))
    finally:
        free.set()
        busy.shutdown()


def test_a_call_asks_torch_for_nothing_that_wakes_its_threads() -> None:
    """MKL's cosine of 100 numbers waits for all threads of torch: 8 ms where a core is taken, 0.1 ms for the rest."""
    module = QuantumHead(head(3))
    x = torch.rand(16, 3, requires_grad=True)
    module(x)  # what is made once may ask for more
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        module(x).sum().backward()
        module(x.detach())
    asked = {event.key for event in profile.key_averages()}
    assert "aten::sum" in asked
    heavy = ("cos", "sin", "exp", "log", "tanh", "sqrt", "pow", "mm", "bmm", "addmm")
    assert asked.isdisjoint(f"aten::{name}" for name in heavy)


def test_the_kernels_get_the_threads_that_torch_had() -> None:
    with cores_for_kernels():
        assert (torch.get_num_threads(), most_threads()) == (1, 5)
        with cores_for_kernels():
            assert (torch.get_num_threads(), most_threads()) == (1, 5)
        assert (torch.get_num_threads(), most_threads()) == (1, 5)
    assert (torch.get_num_threads(), most_threads()) == (5, 5)


def test_threads_that_come_and_go_at_once_leave_torch_as_it_was() -> None:
    meet = threading.Barrier(3)

    def inside(leaves: int) -> tuple[int, int, int]:
        with cores_for_kernels():
            meet.wait()
            seen = torch.get_num_threads(), most_threads()
            for turn in range(3):  # they leave one after another
                if turn == leaves:
                    break
                meet.wait()
        for _ in range(2 - leaves):
            meet.wait()
        return *seen, torch.get_num_threads()

    def waiting(leaves: int) -> tuple[int, int, int]:
        try:
            return inside(leaves)
        except BaseException:
            meet.abort()
            raise

    with ThreadPoolExecutor(3) as pool:
        seen = list(pool.map(waiting, range(3)))
    assert seen == [(1, 5, 5)] * 3
    assert torch.get_num_threads() == 5
    assert threads._kernel_threads is None
