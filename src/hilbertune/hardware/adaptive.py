"""Adaptive shots: measure a row until its class is decided at a stated confidence, and no longer.

In: a model of classes, single head or ensemble, a `HardwareBackend`, embeddings.
Out: for each row the class, its shots, and whether it is decided. Rounds grow, so that a few jobs measure all rows.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from hilbertune.circuit.binding import BoundCircuit
from hilbertune.config.records import Task
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.ledger import Counts
from hilbertune.hardware.measurement import bind_rows
from hilbertune.model import tasks
from hilbertune.model.readout import in_double, logits_of

Layer = tuple[Float[np.ndarray, "outputs measured"], Float[np.ndarray, " outputs"]]
"""A head's final linear layer: its matrix and its biases."""


@dataclass(frozen=True)
class Decisions:
    """Class indices, shots and whether the confidence was reached, for each row; logits from all of a row's shots.

    The shots are those of all heads of an ensemble together, the logits those of their averaged answers.
    """

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
    """Decide the classes of embeddings [rows, features] by `first` shots, then more, up to `most`, for each circuit.

    Each round takes as many shots as all before it. A row is decided when the empirical Bernstein interval (Maurer
    and Pontil 2009) of every difference between its best logit and another is above zero; the error probability 1 -
    confidence is shared among the rounds and the differences, so that it holds for a row whenever it stops. What it
    promises is the answer of infinitely many shots on the same, noisy, device. Readout correction and noise scales
    are not applied.

    Every head of an ensemble measures a row until it is decided: until no logits within the intervals of all heads,
    which share the error probability too, would give the averaged answers another class.

    Before anything is sent the spending limit must hold for the worst case, in which no row is decided before `most`
    shots.

    Raises:
        HilbertuneError: a task other than classes, impossible settings, or what the backend refuses.
    """
    if model.task_ not in ("classification", "one-vs-rest"):
        raise HilbertuneError(f"task={model.task_!r} has no class to decide: use a fixed number of shots.")
    if not 0.5 < confidence < 1 or not 1 <= first <= most:
        raise HilbertuneError("confidence must lie between 0.5 and 1, and first be at most `most`.")
    circuits = bind_rows(model, vectors, reduce=backend.reduce)
    layers, rows, sizes = _layers(model), len(vectors), _rounds(first, most)
    share = (1 - confidence) / len(sizes)
    seen: list[Counts] = [{} for _ in circuits]
    shots, decided = np.zeros(rows, np.int64), np.zeros(rows, bool)
    logits = np.zeros((rows, len(layers[0][1])))
    for number, size in enumerate(sizes, 1):
        open_rows = np.flatnonzero(~decided)
        if not len(open_rows):
            break
        asked = [member * rows + row for member in range(len(layers)) for row in open_rows]
        bound = [circuits[n] for n in asked]
        ahead = partial(_worst, backend, bound, sizes[number:])
        for place, counts in zip(asked, backend.counts(bound, size, ahead=ahead), strict=True):
            total = sum(counts.values())
            for bits, weight in counts.items():
                seen[place][bits] = seen[place].get(bits, 0.0) + size * weight / total
        shots[open_rows] += size * len(layers)
        for row in open_rows:
            logits[row], decided[row] = _judge(model.task_, seen[row::rows], layers, share)
        progress(int((~decided).sum()))
    return Decisions(logits.argmax(1), shots, decided, logits)


def _worst(backend: HardwareBackend, circuits: Sequence[BoundCircuit], sizes: Sequence[int]) -> float:
    """Return what further rounds cost if none of these circuits' rows is decided before the last."""
    return sum(backend.estimate_jobs(circuits, size).cost for size in sizes)


def _layers(model: HybridClassifier) -> list[Layer]:
    """Return the final linear layer of each member."""
    weight, bias = model.head_.linear_weight, model.head_.linear_bias
    return [in_double(weight[n : n + 1], bias[n : n + 1]) for n in range(model.head_.members)]


def _rounds(first: int, most: int) -> list[int]:
    """Return the shots of each round: the sum doubles until it is `most`."""
    sizes = [first]
    while sum(sizes) < most:
        sizes.append(min(sum(sizes), most - sum(sizes)))
    return sizes


class _Shots:
    """The shots of a circuit so far, as logits: each shot has logits of its own, whose mean is the circuit's."""

    def __init__(self, counts: Counts, layer: Layer) -> None:
        self.matrix, bias = layer
        z = np.array([[1 - 2 * int(b) for b in reversed(bits)] for bits in counts], np.float64)
        self.weights = np.array(list(counts.values()))
        self.total = self.weights.sum()
        self.each = logits_of(z, self.matrix, bias)
        self.logits: Float[np.ndarray, " outputs"] = self.weights @ self.each / self.total

    def gap(self, best: int, other: int, share: float) -> tuple[float, float]:
        """Return the difference of two logits and the bound of its error, which fails with the probability `share`."""
        own = self.matrix[best] - self.matrix[other]
        return self._bounded(self.each[:, best] - self.each[:, other], own, share)

    def logit(self, output: int, share: float) -> tuple[float, float]:
        """Return a logit and the bound of its error, which fails with the probability `share`."""
        return self._bounded(self.each[:, output], self.matrix[output], share)

    def _bounded(
        self, values: Float[np.ndarray, " outcomes"], coefficients: Float[np.ndarray, " measured"], share: float
    ) -> tuple[float, float]:
        mean = self.weights @ values / self.total
        variance = self.weights @ (values - mean) ** 2 / max(1.0, self.total - 1)
        width = 2 * np.abs(coefficients).sum()
        log = math.log(2 / share)
        bound = math.sqrt(2 * variance * log / self.total) + 7 * width * log / (3 * max(1.0, self.total - 1))
        return mean, bound


def _judge(
    task: Task, counts: Sequence[Counts], layers: Sequence[Layer], share: float
) -> tuple[Float[np.ndarray, " outputs"], bool]:
    """Return a row's logits from the shots of each head so far, and whether the best of them is decided.

    `share` is the probability of a wrong decision in this round.
    """
    heads = [_Shots(own, layer) for own, layer in zip(counts, layers, strict=True)]
    logits = tasks.averaged(task, np.stack([head.logits for head in heads])[:, None])[0]
    best, outputs = int(logits.argmax()), len(logits)
    others = [output for output in range(outputs) if output != best]
    if len(heads) == 1:
        share /= max(1, len(others))
        return logits, all(mean > bound for mean, bound in (heads[0].gap(best, other, share) for other in others))
    if task == "one-vs-rest":
        share /= len(heads) * outputs * 2  # the two sides of each logit
        bounds = np.array([[head.logit(output, share) for output in range(outputs)] for head in heads])
        low, high = (expit(bounds[..., 0] + side * bounds[..., 1]).mean(0) for side in (-1, 1))
        return logits, all(low[best] > high[other] for other in others)
    share /= len(heads) * max(1, outputs * len(others))  # the two sides of each difference
    gaps = np.array([[head.gap(best, other, share) for other in others] for head in heads])
    return logits, bool((least_leads(gaps[..., 0], gaps[..., 1]).mean(0) > 0).all())


def least_leads(
    gaps: Float[np.ndarray, "heads others"], bounds: Float[np.ndarray, "heads others"]
) -> Float[np.ndarray, "heads others"]:
    """Return the least by which each head's probability of the best class can exceed that of each other class.

    With the gaps d between the best logit and the others, the difference of the probabilities of the best and of o is
    (1 - e^-d_o) / (1 + the sum of all e^-d). It grows with d_o; with the other gaps it grows where it is positive and
    falls where it is negative.
    """
    # Beyond e^600 nothing changes, and sums do not overflow.
    low, high = (np.exp(-np.clip(gaps + side * bounds, -600, 600)) for side in (-1, 1))
    rest = np.where(low < 1, low.sum(1, keepdims=True) - low, high.sum(1, keepdims=True) - high)
    leads: np.ndarray = (1 - low) / (1 + low + rest)
    return leads
