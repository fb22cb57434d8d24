"""Adaptive shots: measure a row until its class is decided at a stated confidence, and no longer.

In: a model of classes, a `HardwareBackend`, embeddings.
Out: for each row the class, its shots, and whether it is decided. Rounds grow, so that a few jobs measure all rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.ledger import Counts
from hilbertune.hardware.measurement import bind_rows
from hilbertune.model.readout import in_double, logits_of


@dataclass(frozen=True)
class Decisions:
    """Class indices, shots and whether the confidence was reached, for each row; logits from all of a row's shots."""

    classes: Int[np.ndarray, " rows"]
    shots: Int[np.ndarray, " rows"]
    decided: Bool[np.ndarray, " rows"]
    logits: Float[np.ndarray, "rows outputs"]


def decide(
    model: HybridClassifier,
    backend: HardwareBackend,
    vectors: np.ndarray,
    *,
    confidence: float = 0.95,
    first: int = 64,
    most: int = 4096,
    progress: Callable[[int], None] = lambda _: None,
) -> Decisions:
    """Decide the classes of embeddings [rows, features] by `first` shots, then more, up to `most`.

    Each round takes as many shots as all before it. A row is decided when the empirical Bernstein interval (Maurer
    and Pontil 2009) of every difference between its best logit and another is above zero; the error probability 1 -
    confidence is shared among the rounds and the differences, so that it holds for a row whenever it stops. What it
    promises is the answer of infinitely many shots on the same, noisy, device. Readout correction and noise scales
    are not applied.

    Raises:
        HilbertuneError: a task other than classes, impossible settings, or what the backend refuses.
    """
    if model.task_ not in ("classification", "one-vs-rest"):
        raise HilbertuneError(f"task={model.task_!r} has no class to decide: use a fixed number of shots.")
    if not 0.5 < confidence < 1 or not 1 <= first <= most:
        raise HilbertuneError("confidence must lie between 0.5 and 1, and first be at most `most`.")
    circuits = bind_rows(model, vectors, reduce=backend.reduce)
    matrix, bias = in_double(model.head_.linear_weight, model.head_.linear_bias)
    sizes = _rounds(first, most)
    outputs = len(bias)
    share = (1 - confidence) / (len(sizes) * max(1, outputs - 1))
    seen: list[Counts] = [{} for _ in circuits]
    shots = np.zeros(len(circuits), np.int64)
    logits = np.zeros((len(circuits), outputs))
    decided = np.zeros(len(circuits), bool)
    for size in sizes:
        open_rows = np.flatnonzero(~decided)
        if not len(open_rows):
            break
        measured = backend.counts([circuits[row] for row in open_rows], size)
        for row, counts in zip(open_rows, measured, strict=True):
            total = sum(counts.values())
            for bits, weight in counts.items():
                seen[row][bits] = seen[row].get(bits, 0.0) + size * weight / total
            shots[row] += size
            logits[row], decided[row] = _judge(seen[row], matrix, bias, share)
        progress(int((~decided).sum()))
    return Decisions(logits.argmax(1), shots, decided, logits)


def _rounds(first: int, most: int) -> list[int]:
    """Return the shots of each round: the sum doubles until it is `most`."""
    sizes = [first]
    while sum(sizes) < most:
        sizes.append(min(sum(sizes), most - sum(sizes)))
    return sizes


def _judge(
    counts: Counts, matrix: Float[np.ndarray, "outputs measured"], bias: Float[np.ndarray, " outputs"], share: float
) -> tuple[Float[np.ndarray, " outputs"], bool]:
    """Return the logits from the shots so far, and whether the best of them is decided."""
    z = np.array([[1 - 2 * int(b) for b in reversed(bits)] for bits in counts], np.float64)
    weights = np.array(list(counts.values()))
    shots = weights.sum()
    each = logits_of(z, matrix, bias)  # a shot's own logits
    logits = weights @ each / shots
    best = int(logits.argmax())
    for other in range(len(bias)):
        if other == best:
            continue
        gaps = each[:, best] - each[:, other]
        mean = weights @ gaps / shots
        variance = weights @ (gaps - mean) ** 2 / max(1.0, shots - 1)
        width = 2 * np.abs(matrix[best] - matrix[other]).sum()
        log = math.log(2 / share)
        bound = math.sqrt(2 * variance * log / shots) + 7 * width * log / (3 * max(1.0, shots - 1))
        if mean - bound <= 0:
            return logits, False
    return logits, True
