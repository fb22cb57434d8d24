"""Processes that train one model together, started by `accelerate launch` or `torchrun`: ranks, sums, turns.

In: the environment variables that those set, and tensors.
Out: shares of the work, sums and results over all processes; a single process has all of the work, and its own sums.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from hilbertune.errors import HilbertuneError, require

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

_PATIENCE = timedelta(days=2)
"""The time that a process waits for the first one, which embeds and trains the head, before its library gives up."""


def count() -> int:
    """Return the number of processes that run this program together."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def is_first() -> bool:
    """Return True in the process that writes, prints and tests."""
    return count() == 1 or os.environ.get("RANK", "0") == "0"


def alone(what: str) -> None:
    """Raise HilbertuneError if there are several processes, from which `what` would gain nothing."""
    if count() > 1:
        raise HilbertuneError(
            f"{what} runs in one process: start it without 'accelerate launch' or 'torchrun'. "
            "Only tune='joint' shares its work."
        )


def _state(device: str) -> Any:
    """Return accelerate's state of this process, joined to the others on first use.

    Raises:
        MissingExtraError: the extra `tune` is not installed.
    """
    accelerate = require("accelerate", "tune")
    return accelerate.PartialState(cpu=device == "cpu", timeout=_PATIENCE)


def join(device: str) -> None:
    """Meet the other processes and make this one's GPU the current one, before anything is put on `device`."""
    if count() > 1:
        _state(device)


@contextlib.contextmanager
def first_before_others(device: str) -> Iterator[None]:
    """Let the first process run the block before the others, so that they find its work in the cache."""
    if count() == 1:
        yield
        return
    with _state(device).main_process_first():
        yield


def wait(device: str) -> None:
    """Wait until all processes are here."""
    if count() > 1:
        _state(device).wait_for_everyone()


def mine(parts: Sequence[T], device: str) -> Sequence[T]:
    """Return the parts of the work that are this process's own: every n-th one of n processes."""
    if count() == 1:
        return parts
    state = _state(device)
    return parts[state.process_index :: state.num_processes]


def add_up(tensors: "Sequence[Tensor]", device: str) -> None:
    """Replace each tensor by its sum over all processes, with one message for each type of number."""
    if count() == 1:
        return
    import torch

    _state(device)
    # In the order of the tensors: it is the same in all processes, that of a set is not.
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in alike])
        torch.distributed.all_reduce(flat)
        totals = torch.split(flat, [t.numel() for t in alike])
        for tensor, total in zip(alike, totals, strict=True):
            tensor.copy_(total.view_as(tensor))


def all_parts(own: "Sequence[Tensor]", device: str) -> "list[Tensor]":
    """Return the results of all parts in their order, given those of this process's own parts."""
    if count() == 1:
        return list(own)
    from accelerate.utils import gather_object

    state = _state(device)
    shares = gather_object([[tensor.cpu() for tensor in own]])
    longest = max(len(share) for share in shares)
    every = [share[i] for i in range(longest) for share in shares if i < len(share)]
    return [tensor.to(state.device) for tensor in every]
