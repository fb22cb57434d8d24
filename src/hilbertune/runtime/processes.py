"""Several processes that train one model, started by `accelerate launch` or `torchrun`: who is who, sums over all, and turns.

In: the environment that those set. Out: the same answers with one process, where every sum is itself.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

from hilbertune.errors import HilbertuneError, require

T = TypeVar("T")


_PATIENCE = timedelta(days=2)
"""How long a process waits for the first one to embed and to train the head, before its library gives up on it."""


def count() -> int:
    """Processes that run this program together."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def is_first() -> bool:
    """Whether this process is the one that writes, prints and tests."""
    return count() == 1 or os.environ.get("RANK", "0") == "0"


def alone(what: str) -> None:
    """Refuse to do in several processes what gains nothing from them.

    Raises:
        HilbertuneError: there are several processes.
    """
    if count() > 1:
        raise HilbertuneError(
            f"{what} runs in one process: start it without 'accelerate launch' or 'torchrun'. Only tune='joint' shares its work."
        )


def _state(device: str) -> Any:
    accelerate = require("accelerate", "tune")
    return accelerate.PartialState(cpu=device == "cpu", timeout=_PATIENCE)


def join(device: str) -> None:
    """Meet the other processes, and take this one's GPU as the current one; before anything is put on `device`."""
    if count() > 1:
        _state(device)


@contextlib.contextmanager
def first_before_others(device: str) -> Iterator[None]:
    """The first process runs the block before the others do, which find in the cache what it has left there."""
    if count() == 1:
        yield
        return
    with _state(device).main_process_first():
        yield


def wait(device: str) -> None:
    """Until all processes are here."""
    if count() > 1:
        _state(device).wait_for_everyone()


def mine(parts: Sequence[T], device: str) -> Sequence[T]:
    """The parts of this process: every n-th of them."""
    if count() == 1:
        return parts
    state = _state(device)
    return parts[state.process_index :: state.num_processes]


def add_up(tensors: Sequence[Tensor], device: str) -> None:
    """Replace each tensor by its sum over all processes; one message for each type of number."""
    if count() == 1:
        return
    _state(device)
    # In the order of the tensors, which all processes have alike; that of a set they have not.
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        some = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in some])
        torch.distributed.all_reduce(flat)
        totals = torch.split(flat, [t.numel() for t in some])
        for tensor, total in zip(some, totals, strict=True):
            tensor.copy_(total.view_as(tensor))


def all_parts(own: Sequence[Tensor], device: str) -> list[Tensor]:
    """The results of all parts in their order, from those of each process's own parts."""
    if count() == 1:
        return list(own)
    from accelerate.utils import gather_object

    state = _state(device)
    shares = gather_object([[tensor.cpu() for tensor in own]])
    longest = max(len(share) for share in shares)
    every = [share[i] for i in range(longest) for share in shares if i < len(share)]
    return [tensor.to(state.device) for tensor in every]
