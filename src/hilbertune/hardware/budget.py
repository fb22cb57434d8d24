"""What a budget buys: rows, shots, and which of both is worth more, by a simulation of the head and its shot noise.

In: a trained model, labelled rows, the options of a run, a provider to ask for prices, an amount.
Out: a `Plan`: what fits, and for each number of shots how far the measured accuracy would be off. Nothing is sent.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from hilbertune.circuit.binding import BoundCircuit
from hilbertune.engine.expectations import expectation
from hilbertune.estimator.base import HybridEstimator
from hilbertune.hardware.measurement import angles_of, bind_rows
from hilbertune.hardware.options import Options, noise_of
from hilbertune.hardware.outlook import NOWHERE
from hilbertune.hardware.pricing import Estimate
from hilbertune.hardware.provider import DEBIASING_SHOTS, Provider
from hilbertune.model import evaluation, tasks
from hilbertune.model.readout import logits_of

SHOTS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""The numbers of shots that are weighed against rows."""

MOST_SHOTS = 1 << 14
"""Shots beyond which nobody looks for what a budget buys."""

SIMULATED = 200
"""The rows that are simulated, each `REPEATS` times."""

REPEATS = 8


@dataclass(frozen=True)
class Choice:
    """As many rows at `shots` as a budget pays, and how far their accuracy would be off.

    `accuracy` is the one expected at these shots, `lost` what they cost of it, `standard_error` its spread over the
    choice of so many rows, and `off` the root of the sum of both squares.
    """

    shots: int
    rows: int
    cost: float
    accuracy: float
    lost: float
    standard_error: float
    off: float


@dataclass(frozen=True)
class Plan:
    """What a budget buys.

    `rows` are those that fit at the shots that were asked for, and `shots` those that fit at the rows that were asked
    for: 0 where not even one fits. `choices` and `best`, the one that is least off, are empty where a task has no
    accuracy of rows. `noise` says whether a noise model of the device was simulated, too.
    """

    budget: float
    unit: str
    rows: int
    shots: int
    choices: list[Choice]
    best: Choice | None
    simulated_rows: int
    noise: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


class _Prices:
    """What so many rows at so many shots cost, each row being a circuit of the usual size for each head."""

    def __init__(self, circuit: BoundCircuit, members: int, options: Options, provider: Provider) -> None:
        self.executor, self.members = options.executor(NOWHERE, provider), members
        *self.calibrations, (self.folded, _) = self.executor.groups([circuit])

    def estimate(self, rows: int, shots: int) -> Estimate:
        groups = [(circuits, shots) for circuits, _ in self.calibrations]
        circuits = [circuit for circuit in self.folded for _ in range(rows * self.members)]
        return self.executor.estimate_groups([*groups, (circuits, shots)])

    def rows_within(self, budget: float, shots: int, most: int) -> int:
        """Return the largest number of rows, at most `most`, that a budget pays at these shots."""
        return _largest(lambda rows: self.estimate(rows, shots).cost <= budget, most)

    def shots_within(self, budget: float, rows: int) -> int:
        """Return the largest number of shots that a budget pays for these rows."""
        return _largest(lambda shots: self.estimate(rows, shots).cost <= budget, MOST_SHOTS)


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number up to `most` that fits, where all smaller ones do, too; 0 if none does."""
    if fits(most):
        return most
    low, high = 0, most  # low fits, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def plan(
    model: HybridEstimator,
    vectors: np.ndarray,
    truth: np.ndarray,
    options: Options,
    provider: Provider,
    budget: float,
    *,
    rows: int,
    available: int,
) -> Plan:
    """Return what a budget buys; nothing is sent.

    Args:
        model: with a quantum head.
        vectors: embeddings of rows to simulate, `SIMULATED` of them or all that there are.
        truth: their targets.
        options: of the run: its shots, backend, prices and corrections.
        provider: asked for prices.
        budget: in the currency of the prices.
        rows: that were asked for.
        available: the rows of the file, of which more cannot be measured.

    Raises:
        HilbertuneError: the provider gives no usable estimate.
    """
    circuits = bind_rows(model, vectors, reduce=options.reduce)
    largest = max(circuits, key=lambda c: c.counts(provider.gateset)[::-1])
    prices = _Prices(largest, model.head_.members, options, provider)
    choices: list[Choice] = []
    if model.task_ not in ("regression", "multi-label"):
        exact, *drawn = _accuracies(model, vectors, truth, options)
        # More shots lose no more than fewer: what the simulation says otherwise is its own spread.
        lost = np.maximum.accumulate(np.maximum(exact - np.array(drawn), 0.0)[::-1])[::-1]
        for shots, own in zip(_candidates(options), lost.tolist(), strict=True):
            if fit := prices.rows_within(budget, shots, available):
                choices.append(_choice(shots, fit, prices.estimate(fit, shots).cost, exact, own))
    return Plan(
        budget=budget,
        unit=prices.estimate(1, options.shots).unit,
        rows=prices.rows_within(budget, options.shots, available),
        shots=prices.shots_within(budget, rows),
        choices=choices,
        best=min(choices, key=lambda c: (c.off, c.cost), default=None),
        simulated_rows=len(vectors) if choices else 0,
        noise=noise_of(options) is not None,
    )


def _candidates(options: Options) -> list[int]:
    """Return the shots that are weighed: the usual ones and those that were asked for, as far as they are allowed."""
    least = DEBIASING_SHOTS if options.debiasing else 1
    return [shots for shots in sorted({*SHOTS, options.shots}) if shots >= least]


def _choice(shots: int, rows: int, cost: float, exact: float, lost: float) -> Choice:
    accuracy = exact - lost
    error = math.sqrt(accuracy * (1 - accuracy) / rows)
    return Choice(shots, rows, cost, accuracy, lost, error, math.hypot(lost, error))


def _accuracies(model: HybridEstimator, vectors: np.ndarray, truth: np.ndarray, options: Options) -> list[float]:
    """Return the simulated accuracy without shot noise, and at each number of shots that is weighed.

    Gate errors are simulated where the device's noise model is known. The rows are measured `REPEATS` times.
    """
    hybrid, task, noise = model.head_, model.task_, noise_of(options)
    members = hybrid.members
    angles = torch.from_numpy(np.tile(angles_of(model, vectors), (1, REPEATS, 1)))
    weights = hybrid.head.weights.detach().double().cpu()
    right = []
    for shots in (None, *_candidates(options)):
        values = expectation(
            hybrid.circuits["head"],
            weights,
            angles,
            measured=hybrid.head.measured,
            shots=shots,
            noise=noise,
            rngs=evaluation.member_streams(options.seed, members),
        ).numpy()
        predicted = tasks.predicted(task, _logits(model, values))
        right.append(float((predicted == np.tile(truth, REPEATS)).mean()))
    return right


def _logits(model: HybridEstimator, values: np.ndarray) -> np.ndarray:
    """Return the averaged logits of expectations [members, rows, measured]."""
    matrix, bias = (t.detach().double().cpu().numpy() for t in (model.head_.linear_weight, model.head_.linear_bias))
    return tasks.averaged(model.task_, logits_of(values, matrix[:, None], bias[:, None]))
