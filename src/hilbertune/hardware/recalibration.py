"""Training with hardware in the loop for thousands of shots: fit the last linear layer anew, or take SPSA steps.

In: a model trained on a simulator, a `HardwareBackend`, labelled embeddings.
Out: a copy whose last layers fit the device; the members of an ensemble are fitted side by side, each by its own loss.
For a full gradient, train with `model.head.engine = backend` instead.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.builders import ansatz, head_blocks
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.measurement import angles_of, bind_rows, require_quantum_head
from hilbertune.model import tasks
from hilbertune.model.layers import HybridHead
from hilbertune.model.readout import logits_of


@dataclass
class Recalibration:
    """The model that fits the device, the shots and circuits spent, and mean losses on the measured rows.

    There are two losses, before and after a fit, or one of each SPSA step; the mean over the members of an ensemble.
    """

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
    """Fit the final linear layer of each member on expectations of training rows that the device measured.

    The circuits keep their angles. After a crash the same call finds its measurements in the ledger.

    Args:
        model: trained on a simulator; it is not changed.
        backend: measures the rows.
        vectors: embeddings of training rows.
        targets: as `tasks.losses` takes them.
        strength: weight of a squared pull towards the simulator's layer, in rows; it keeps few rows from overfitting.

    Raises:
        HilbertuneError: no final linear layer, no quantum head, or what the backend refuses.
    """
    _check(model)
    circuits = bind_rows(model, vectors, reduce=backend.reduce)
    measured = torch.from_numpy(backend.expectations(circuits)).view(model.head_.members, len(vectors), -1)
    fitted = _copy(model)
    before, after = _fit_linear(fitted, measured, torch.from_numpy(targets), strength)
    spent = backend.estimate(circuits)
    return Recalibration(fitted, spent.shots, spent.circuits, [before, after])


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
    progress: Callable[[int, float], None] = lambda *_: None,
) -> Recalibration:
    """Take steps of simultaneous perturbation (Spall 1992) with the angles of the head's last block (PQC2).

    The final linear layer follows by its exact gradient. A step draws as many training rows as its shots allow and
    measures each with all angles moved up and with all moved down by `step_size` radians along random signs. Members
    of an ensemble take their steps on the same rows, along signs of their own. After a crash the same call finds its
    measurements in the ledger. The spending limit must hold for all steps before the first is sent.

    Args:
        model: trained on a simulator; it is not changed.
        backend: measures the rows.
        vectors: embeddings of training rows.
        targets: as `tasks.losses` takes them.
        steps: number of steps.
        shots_per_step: both sides and all members together.
        learning_rate: of the first step; the k-th has it divided by k to the power 0.602 (after Spall).
        step_size: of the first step; the k-th has it divided by k to the power 0.101 (after Spall).
        seed: of the rows and signs.
        progress: called after every step with its number, from 1, and its mean loss.

    Raises:
        HilbertuneError: fewer shots than one row needs, no final linear layer, no quantum head, or what the backend
            refuses.
    """
    _check(model)
    members = model.head_.members
    least = 2 * members * backend.shots
    rows = min(len(vectors), shots_per_step // least)
    if rows < 1:
        heads = f" for each of {members} heads" if members > 1 else ""
        raise HilbertuneError(
            f"A step of {shots_per_step} shots cannot measure one row twice{heads} with {backend.shots} shots each: "
            f"allow {least} or more."
        )
    descent = _Descent(model, backend, vectors, targets)
    rng = np.random.default_rng([seed, 7])
    losses: list[float] = []
    for step in range(1, steps + 1):
        descent.steps_left = steps - step
        chosen = np.sort(rng.choice(len(vectors), rows, replace=False))
        signs = rng.choice([-1.0, 1.0], (members, len(descent.last)))
        losses.append(descent.step(chosen, signs, step_size / step**0.101, learning_rate / step**0.602))
        progress(step, losses[-1])
    return Recalibration(descent.finished(), descent.shots, descent.circuits, losses)


class _Descent:
    """A copy of the model on its way down: its members' angles in double precision, the shots and circuits spent."""

    def __init__(
        self,
        model: HybridEstimator,
        backend: HardwareBackend,
        vectors: Float[np.ndarray, "rows features"],
        targets: Shaped[np.ndarray, "rows *classes"],
    ) -> None:
        self.model, self.backend = _copy(model), backend
        self.hybrid: HybridHead = self.model.head_
        self.inputs = angles_of(self.model, vectors)
        self.targets = torch.from_numpy(targets)
        self.last = np.array(last_block(self.hybrid))
        self.weights = self.hybrid.head.weights.detach().double().numpy().copy()
        self.shots = self.circuits = self.steps_left = 0

    def step(
        self, rows: Int[np.ndarray, " rows"], signs: Float[np.ndarray, "members angles"], size: float, rate: float
    ) -> float:
        """Move the last block's angles and the final layer by their gradients on these rows; return the mean loss."""
        measured = self._measured(rows, signs, size)
        return float(np.mean([self._move(n, measured[:, n], rows, signs[n], size, rate) for n in range(len(signs))]))

    def _move(
        self,
        member: int,
        sides: Float[Tensor, "2 rows measured"],
        rows: Int[np.ndarray, " rows"],
        signs: Float[np.ndarray, " angles"],
        size: float,
        rate: float,
    ) -> float:
        """Move one member by what was measured on its two sides; return its mean loss."""
        layer = (self.hybrid.linear_weight, self.hybrid.linear_bias)
        linear = [tensor[member].detach().double().requires_grad_() for tensor in layer]
        both = torch.stack([_loss(self.model, z, self.targets[rows], *linear) for z in sides])
        slope = float((both[0] - both[1]).detach()) / (2 * size)
        by_linear = torch.autograd.grad(both.mean(), linear)
        self.weights[member, self.last] -= rate * slope * signs
        with torch.no_grad():
            for parameter, gradient in zip(layer, by_linear, strict=True):
                parameter[member].sub_(rate * gradient.to(parameter))
        return float(both.mean().detach())

    def _measured(
        self, rows: Int[np.ndarray, " rows"], signs: Float[np.ndarray, "members angles"], size: float
    ) -> Float[Tensor, "2 members rows measured"]:
        """Return the device's expectations of the rows with the last blocks' angles moved up, and moved down."""
        circuit, measured = self.hybrid.circuits["head"], self.hybrid.head.measured
        sides = []
        for side in (1, -1):
            moved = self.weights.copy()
            moved[:, self.last] += side * size * signs
            sides += [
                bind(circuit, own, row, measured, reduce=self.backend.reduce)
                for own, inputs in zip(moved.tolist(), self.inputs[:, rows].tolist(), strict=True)
                for row in inputs
            ]
        spent = self.backend.estimate(sides)
        self.shots, self.circuits = self.shots + spent.shots, self.circuits + spent.circuits
        values = self.backend.expectations(sides, ahead=lambda: self._ahead(sides))
        return torch.from_numpy(values).view(2, len(signs), len(rows), -1)

    def _ahead(self, sides: Sequence[BoundCircuit]) -> float:
        """Return what the steps that are left cost, each as much as this one."""
        return self.steps_left * self.backend.estimate_groups(self.backend.groups(sides)[-1:]).cost

    def finished(self) -> HybridEstimator:
        """Return the model with the angles that were reached."""
        with torch.no_grad():
            self.hybrid.head.weights.copy_(torch.from_numpy(self.weights))
        return self.model


def _copy(model: HybridEstimator) -> HybridEstimator:
    """Return a copy of the model on the CPU, where what hardware measures arrives."""
    copied = copy.deepcopy(model)
    copied.head_ = copied.head_.cpu()
    return copied


def _check(model: HybridEstimator) -> None:
    """Raise HilbertuneError unless the model has a quantum head and a final linear layer."""
    require_quantum_head(model)
    if not model.head_.config.final_linear:
        raise HilbertuneError("This model has no final linear layer to fit: train it with one.")


def _loss(
    model: HybridEstimator, z: Float[Tensor, "rows measured"], targets: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """Return the mean loss of one member's expectations."""
    logits = logits_of(z, weight, bias)
    return tasks.losses(model.task_, logits[None], targets[None]).mean()


def _fit_linear(
    model: HybridEstimator, z: Float[Tensor, "members rows measured"], targets: Tensor, strength: float
) -> tuple[float, float]:
    """Fit each member's final linear layer; return the mean losses before and after."""
    losses = [_fit_member(model, member, own, targets, strength) for member, own in enumerate(z)]
    before, after = np.mean(losses, axis=0).tolist()
    return before, after


def _fit_member(
    model: HybridEstimator, member: int, z: Float[Tensor, "rows measured"], targets: Tensor, strength: float
) -> tuple[float, float]:
    """Minimise a convex loss from the simulator's layer by L-BFGS; return the losses before and after."""
    hybrid = model.head_
    start = [hybrid.linear_weight[member].detach().double(), hybrid.linear_bias[member].detach().double()]
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
        hybrid.linear_weight[member].copy_(values[0])
        hybrid.linear_bias[member].copy_(values[1])
    return before, after


def last_block(hybrid: HybridHead) -> list[int]:
    """Return the weights of PQC2, which follow the last upload; where PQC2 has none, those after the last upload.

    Of a circuit of the user's own they are all that its last block reads, or all of them where that reads none.
    """
    circuit, config = hybrid.circuits["head"], hybrid.config
    _, end = head_blocks(circuit)[-1]
    after = [o.weight for o in circuit.operations[end] if o.weight is not None]
    if config.head_circuit is not None:
        return sorted(set(after)) or list(range(circuit.parameters))
    second = ansatz(config.qubits, config.layers, config.connectivity, config.column, config.entanglement).parameters
    return after[-second:] if second else after
