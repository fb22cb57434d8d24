"""Checkpoints: everything that changes in a training, in one safetensors file that only the same training reads.

In: a file, the kind of training, the fingerprint of its data and settings, and its state.
Out: the file, which is whole or absent, and from it the state.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import safetensors.torch
from torch import Tensor

from hilbertune.errors import HilbertuneError, warn_once
from hilbertune.runtime.storage import CannotWriteError, write_atomically

Kind = Literal["training", "contrastive", "joint"]
"""Whose state a file holds: a head's training, or the contrastive or joint stage of a base."""


class Checkpoint(NamedTuple):
    """A file for the state of one training, and the fingerprint that says which."""

    path: Path
    fingerprint: str


def save(path: Path, kind: Kind, fingerprint: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a state: tensors by name, and about them whatever JSON can hold.

    If it cannot be written (no permission, disk full), a warning says so once, an old file stays as it was, and the
    training goes on.
    """
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata: dict[str, str] = {kind: json.dumps({"fingerprint": fingerprint, **about})}
    try:
        write_atomically(path, safetensors.torch.save(content, metadata))
    except CannotWriteError as error:
        warn_once(f"{error} The training goes on, but could not be resumed.")


@contextmanager
def restoring(path: Path) -> Iterator[None]:
    """Say which file is damaged where what a checkpoint holds does not fit the training it belongs to.

    Raises:
        HilbertuneError: it lacks something, or holds something else in its place.
    """
    try:
        yield
    except HilbertuneError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise HilbertuneError(f"{path} is not a complete checkpoint: remove it to start afresh.") from error


def load(path: Path, kind: Kind, fingerprint: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a state, on the CPU, and what was written about them.

    Raises:
        HilbertuneError: the file is truncated or no checkpoint of this kind, or belongs to another training.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            about: dict[str, Any] = json.loads(file.metadata()[kind])
            owner = about["fingerprint"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, KeyError, TypeError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        raise HilbertuneError(f"{path} is not a complete checkpoint: remove it to start afresh.") from error
    if owner != fingerprint:
        raise HilbertuneError(
            f"The checkpoint {path} belongs to a training with other data or settings: remove it or name another file."
        )
    return tensors, about
