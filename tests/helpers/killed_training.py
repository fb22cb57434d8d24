"""Trains a small model in processes that are killed with SIGKILL, one after another, until one comes to its end.

In: a folder, when to kill: `never`, `writing` (while a checkpoint is written), or a seed for random moments, and
    as JSON the settings of the training that differ from CONFIG, and under "shape" those that differ from SHAPE.
Out: `result.safetensors` in the folder; on stdout the numbers of processes killed and of those killed while they wrote.
"""

import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train
from hilbertune.runtime import storage

SHAPE = HeadConfig(qubits=3, encoder_layers=1, reuploads=2, layers=1, basis="pca")
CONFIG = TrainingConfig(epochs=40, batch_size=8, shots=30, learning_rate=0.05)
CHECKPOINT, RESULT = "checkpoint.safetensors", "result.safetensors"


def training(folder: Path) -> None:
    """Train three runs and write all that training leaves."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(50, 6)).astype(np.float32)
    labels = (embeddings[:, 0] > 0).astype(np.int64)
    rows = [rng.permutation(50) for _ in range(3)]
    settings = json.loads(sys.argv[3])
    shape = replace(SHAPE, **settings.pop("shape", {}))
    model = HybridHead(6, 2, shape, runs=3)
    result = train(
        model,
        torch.from_numpy(embeddings),
        torch.from_numpy(labels),
        [Split(r[:30], r[30:], r[:0]) for r in rows],
        [replace(CONFIG, **settings)] * 3,
        [0, 1, 2],
        checkpoint=folder / CHECKPOINT,
        checkpoint_seconds=0,
    )
    left = {f"best {name}": values for name, values in model.state_dict().items()}
    left |= {f"last {name}": values for name, values in result.last.items()}
    for name in ("train_loss", "validation_loss", "validation_accuracy", "best_epoch"):
        left[name] = torch.from_numpy(getattr(result, name).copy())
    storage.write_atomically(folder / RESULT, safetensors.torch.save(left))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_while_writing(moment: str, writes: int) -> None:
    """Have this process killed in its write number `writes`: `half` done, `flushed` to disk, or `renamed`."""
    count = iter(range(1, 10_000))
    open_, replace = Path.open, os.replace

    def open_to_die(*arguments: Any, **named: Any) -> Any:
        file = open_(*arguments, **named)
        if arguments[1:] == ("wb",) and next(count) == writes:
            write = file.write

            def write_half(content: bytes) -> None:
                write(content[: len(content) // 2])
                file.flush()
                die()

            file.write = write_half
        return file

    def replace_and_die(*arguments: Any) -> None:
        last = next(count) == writes
        if last and moment == "flushed":
            die()
        replace(*arguments)
        if last:
            die()

    if moment == "half":
        Path.open = open_to_die
    else:
        os.replace = replace_and_die


def attempt(folder: Path, delay: float | None = None, moment: str = "", writes: int = 0) -> bool:
    """Train in a process of its own, killed after `delay` seconds or while writing; whether it was killed."""
    child = os.fork()  # far quicker than an interpreter that imports torch anew
    if child == 0:
        if moment:
            die_while_writing(moment, writes)
        training(folder)
        os._exit(0)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), status
    return status == signal.SIGKILL


def main(folder: Path, when: str) -> None:
    killed = 0
    if when == "writing":
        for writes in (1, 3):
            for moment in ("half", "flushed", "renamed"):
                killed += attempt(folder, moment=moment, writes=writes)
    elif when != "never":
        rng = random.Random(int(when))
        started = time.monotonic()
        attempt(folder)
        whole = time.monotonic() - started
        for name in (CHECKPOINT, RESULT):
            (folder / name).unlink()
        # Those that die before their first epoch get nothing done, so there is a limit.
        for _ in range(6):
            if not attempt(folder, delay=rng.uniform(0.3, 0.9) * whole):
                break
            killed += 1
    if not (folder / RESULT).exists():
        training(folder)
    print(killed, len(list(folder.glob(f".{CHECKPOINT}.*"))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
