"""Cores and memory of this machine: how many threads the CPU engine's kernels may take, and what fits.

In: amounts of work and of memory. Out: work shared out among threads, or an error that says what does not fit.
Needs no Numba: a caller that only holds torch's threads back need not wait for the kernels.
"""

import contextlib
import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from hilbertune.errors import HilbertuneError

_WORTH_A_THREAD = 250_000
"""Rows times gates that take about as long (0.2 ms) as several hand-overs to a thread."""


_PIECES = 4
"""Pieces of work for each thread."""


_kernel_threads: int | None = None
_inside = 0
_lock = threading.Lock()
_own = threading.local()


@contextlib.contextmanager
def cores_for_kernels() -> Iterator[None]:
    """Keep torch's own operations on one thread, and give the kernels the threads that torch had.

    Torch's threads spin while they wait for work, on the very cores that the kernels need: on a busy machine a training
    step took twenty times as long with them. The torch operations around the kernels are small. Several threads may be
    in here at once: torch has a number for each of them, and gives a new one what any of them set last.
    """
    global _kernel_threads, _inside
    if getattr(_own, "inside", False):
        yield
        return
    own = torch.get_num_threads()  # before it is set: a thread's first question overrides what was set
    with _lock:
        if _inside == 0:
            _kernel_threads = own
        _inside += 1
        before = most_threads()
    _own.inside = True
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _own.inside = False
        with _lock:
            _inside -= 1
            if _inside == 0:
                _kernel_threads = None


def most_threads() -> int:
    """Return how many threads the kernels may take: as many as torch's operations would."""
    return _kernel_threads or torch.get_num_threads()


def threads_for(items: int, cost: int, most: int) -> int:
    """Return how many threads, 1 to `most`, are worth it for items that each cost `cost` rows times gates."""
    return max(1, min(most, items, items * cost // _WORTH_A_THREAD))


def spread(prepare: Callable[[], Callable[[int, int], None]], items: int, cost: int) -> None:
    """Run pieces of the items on as many threads as are worth it; an item costs `cost` rows times gates.

    Each thread calls prepare(), which takes its memory and returns work(start, stop). Whoever is free takes the next
    piece, and this thread does not wait for one that has not begun: where other work holds a core (torch's own threads
    do, while they wait) the call takes no longer than on one thread.
    """
    workers = threads_for(items, cost, most_threads())
    if workers == 1:
        prepare()(0, items)
        return
    pieces = min(items, _PIECES * workers)
    left = deque((items * k // pieces, items * (k + 1) // pieces) for k in range(pieces))

    def take() -> None:
        work = None
        while True:
            try:
                start, stop = left.popleft()
            except IndexError:
                return
            work = work or prepare()
            work(start, stop)

    others = [_pool(os.getpid()).submit(take) for _ in range(1, workers)]
    try:
        take()
    finally:
        left.clear()
        begun = [other for other in others if not other.cancel()]
        for other in begun:
            other.result()


@functools.lru_cache(maxsize=1)
def _pool(_process: int) -> ThreadPoolExecutor:
    """Return the threads of this process; a forked child gets its own."""
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="hilbertune")


def memory() -> int:
    """Return the bytes of memory that are free, or all of the machine's where it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii", errors="replace") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def require_memory(needed: int, what: str, remedy: str) -> None:
    """Refuse what does not fit into memory.

    Raises:
        HilbertuneError: less than `needed` bytes of memory are free.
    """
    if needed > 1 << 30 and needed > memory():
        raise HilbertuneError(
            f"{what} take {needed / 2**30:.1f} GiB, and {memory() / 2**30:.1f} GiB of memory are free: {remedy}."
        )
