"""Training with hardware in the loop, for budgets of thousands of shots and not of millions: fit the last linear layer anew, or take SPSA steps with the last block.

In: a model trained on a simulator, a `HardwareBackend`, labelled embeddings. Out: a copy of the model whose last layers fit the device's expectations. Whoever can pay for a full
gradient trains as always: `hilbertune.train` with `model.head.engine = backend` and gradient="parameter-shift" or "spsa". After a crash the same call finds its measurements in the ledger.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from hilbertune.circuit.binding import bind
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.measurement import programs_of
from hilbertune.model import tasks


@dataclass
class Recalibration:
    """The model that fits the device, what was spent, and the mean losses on the measured rows: before and after, or of each SPSA step."""

    model: HybridEstimator
    shots: int
    circuits: int
    losses: list[float] = field(default_factory=list)


def recalibrate(
    model: HybridEstimator,
    backend: HardwareBackend,
    vectors: Float[np.ndarray, "rows features"],
    targets: Shaped[np.ndarray, "rows *classes"],
    *,
    strength: float = 1.0,
) -> Recalibration:
    """Fit the final linear layer on expectations of the training rows that the device measured; the circuit keeps its angles.

    Args:
        vectors: embeddings of training rows.
        targets: as `tasks.losses` takes them.
        strength: weight of a squared pull towards the simulator's layer, in rows; it keeps few rows from overfitting.

    Raises:
        HilbertuneError: no final linear layer, no quantum head, or what the backend refuses.
    """
    _check(model)
    programs, _ = programs_of(model, vectors, reduce=backend.reduce)
    measured = torch.from_numpy(backend.expectations(programs))
    made = copy.deepcopy(model)
    before, after = _fit_linear(made, measured, torch.from_numpy(targets), strength)
    spent = backend.estimate(programs)
    return Recalibration(made, spent.shots, spent.circuits, [before, after])


def spsa_steps(
    model: HybridEstimator,
    backend: HardwareBackend,
    vectors: Float[np.ndarray, "rows features"],
    targets: Shaped[np.ndarray, "rows *classes"],
    *,
    steps: int = 20,
    shots_per_step: int = 20_000,
    learning_rate: float = 0.1,
    step_size: float = 0.2,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> Recalibration:
    """Steps of simultaneous perturbation (Spall 1992) with the angles of the head's last block (PQC2); the final linear layer follows by its exact gradient.

    A step draws as many training rows as its shots allow and measures each with all angles moved up and with all moved down by `step_size` radians along random signs.

    Args:
        shots_per_step: both sides together.
        learning_rate: of the first step; the k-th has it divided by k to the power 0.602 (and `step_size` by k to the power 0.101, both after Spall).
        progress: called after every step with its number, from 1, and its mean loss.

    Raises:
        HilbertuneError: fewer shots than one row needs, no final linear layer, no quantum head, or what the backend refuses.
    """
    _check(model)
    rows = min(len(vectors), shots_per_step // (2 * backend.shots))
    if rows < 1:
        raise HilbertuneError(
            f"A step of {shots_per_step} shots cannot measure one row twice with {backend.shots} shots each: allow {2 * backend.shots} or more."
        )
    made = copy.deepcopy(model)
    head = made.head_
    _, angles = programs_of(made, vectors)
    circuit = head.circuits["head"]
    last = np.array(_last_block(made))
    weights = head.head.weights[0].detach().double().numpy().copy()
    goals = torch.from_numpy(targets)
    rng = np.random.default_rng([seed, 7])
    losses: list[float] = []
    shots = circuits = 0
    for step in range(1, steps + 1):
        chosen = np.sort(rng.choice(len(vectors), rows, replace=False))
        signs = rng.choice([-1.0, 1.0], len(last))
        size = step_size / step**0.101
        sides = []
        for side in (1, -1):
            moved = weights.copy()
            moved[last] += side * size * signs
            sides += [
                bind(circuit, moved.tolist(), row, head.head.measured, reduce=backend.reduce)
                for row in angles[chosen].tolist()
            ]
        spent = backend.estimate(sides)
        shots, circuits = shots + spent.shots, circuits + spent.circuits
        found = torch.from_numpy(backend.expectations(sides)).view(2, rows, -1)
        linear = [head.linear_weight.detach().double(), head.linear_bias.detach().double()]
        for tensor in linear:
            tensor.requires_grad_()
        both = torch.stack([_loss(made, z, goals[chosen], *linear) for z in found])
        slope = float((both[0] - both[1]).detach()) / (2 * size)
        by_linear = torch.autograd.grad(both.mean(), linear)
        rate = learning_rate / step**0.602
        weights[last] -= rate * slope * signs
        with torch.no_grad():
            for parameter, gradient in zip((head.linear_weight, head.linear_bias), by_linear, strict=True):
                parameter.sub_(rate * gradient.to(parameter))
        losses.append(float(both.mean().detach()))
        progress(step, losses[-1])
    with torch.no_grad():
        head.head.weights[0].copy_(torch.from_numpy(weights))
    return Recalibration(made, shots, circuits, losses)


def _check(model: HybridEstimator) -> None:
    if "head" not in model.head_.circuits:
        raise HilbertuneError("This model's head is classical: there is nothing to run on a QPU.")
    if not model.head_.config.final_linear:
        raise HilbertuneError("This model has no final linear layer to fit: train it with one.")


def _loss(
    model: HybridEstimator, z: Float[Tensor, "rows measured"], targets: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:  # fmt: skip
    """Mean loss of expectations."""
    logits = z @ weight[0].T + bias[0]
    return tasks.losses(model.task_, logits[None], targets[None]).mean()


def _fit_linear(
    model: HybridEstimator, z: Float[Tensor, "rows measured"], targets: Tensor, strength: float
) -> tuple[float, float]:
    """Newton-like descent of a convex loss, from the simulator's layer; the losses before and after."""
    head = model.head_
    start = [head.linear_weight.detach().double(), head.linear_bias.detach().double()]
    values = [t.clone().requires_grad_() for t in start]
    optimizer = torch.optim.LBFGS(values, max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")
    before = float(_loss(model, z, targets, *start))

    def closure() -> float:
        optimizer.zero_grad()
        pull = sum(((a - b) ** 2).sum() for a, b in zip(values, start, strict=True))
        total = _loss(model, z, targets, *values) + strength / (2 * len(z)) * pull
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    after = float(_loss(model, z, targets, *values).detach())
    with torch.no_grad():
        head.linear_weight.copy_(values[0])
        head.linear_bias.copy_(values[1])
    return before, after


def _last_block(model: HybridEstimator) -> list[int]:
    """The weights of PQC2, which follow the last upload; where PQC2 has none, those after the last upload."""
    operations = model.head_.circuits["head"].operations
    last = max(i for i, o in enumerate(operations) if o.input is not None)
    config = model.head_.config
    after = [o.weight for o in operations[last:] if o.weight is not None]
    second = config.qubits * (config.layers * config.connectivity + config.column)
    return after[-second:] if second else after
