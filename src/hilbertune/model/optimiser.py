"""One step of Adam for every run at once: a handful of operations on one tensor that holds all parameters.

In: a model whose parameters are views of `weights` [runs, parameters], a loss, a batch of rows for each run.
Out: weights and moments that have taken the step, and the summed loss of each run.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hilbertune.model.layers import HybridHead

Loss = Callable[[Tensor, Tensor], Tensor]
"""The loss [runs, batch] of logits [runs, batch, outputs] for the rows [runs, batch] they belong to."""

Step = Callable[[Int[Tensor, "runs batch"], Float[Tensor, "3 runs"]], Tensor]
"""A function that takes one step with the rows of a batch and the settings, and returns the summed losses [runs]."""

CHANGED = ("weights", "first_moment", "second_moment", "steps")
"""The tensors that a step changes."""


def views(model: HybridHead, weights: Float[Tensor, "runs parameters"]) -> dict[str, Tensor]:
    """Return views of a tensor [runs, parameters] in the shapes of the model's parameters, by name."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    parts = torch.split(weights, [math.prod(shape[1:]) for shape in shapes.values()], dim=1)
    return {name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}


def as_one_tensor(model: HybridHead) -> Float[Tensor, "runs parameters"]:
    """Return a tensor [runs, parameters] whose views the model's parameters become."""
    weights = torch.cat([p.detach().reshape(model.runs, -1) for p in model.parameters()], dim=1)
    for name, values in views(model, weights).items():
        model.get_parameter(name).data = values
        model.get_parameter(name).grad = None
    return weights


def moments(weights: Float[Tensor, "runs parameters"], learns: Bool[Tensor, " parameters"]) -> dict[str, Tensor]:
    """Return what Adam keeps beside the weights, by name; parameters that do not learn stand still."""
    return {
        "first_moment": torch.zeros_like(weights),
        "second_moment": torch.zeros_like(weights),
        "steps": torch.zeros((), dtype=torch.int64, device=weights.device),
        "learns": learns.to(weights.device),
    }


def step(
    model: HybridHead,
    embeddings: Float[Tensor, "rows features"],
    loss: Loss,
    tensors: dict[str, Tensor],
    batch: Int[Tensor, "runs batch"],
    settings: Float[Tensor, "3 runs"],
) -> Float[Tensor, " runs"]:
    """Take one step of every run and return the summed loss of each.

    `settings` are the rates, the decays, and 1 for each run that still trains, 0 for others.
    """
    losses = loss(model(embeddings[batch]), batch)
    # The sum over runs: a run's gradient is that of its own mean loss.
    # A circuit without angles gives its empty weights no gradient.
    gradients = torch.autograd.grad(
        losses.mean(1).sum(), list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    gradient = torch.cat([g.flatten(1) for g in gradients], dim=1)
    _adam(gradient, tensors, *settings[:, :, None])
    return losses.detach().sum(1)


@torch.no_grad()
def _adam(gradient: Tensor, tensors: dict[str, Tensor], rates: Tensor, decays: Tensor, active: Tensor) -> None:
    """Take a step of Adam (Kingma and Ba 2015) with a learning rate and an L2 penalty [runs, 1] for each run.

    Runs with active 0 stand still.
    """
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8
    steps = tensors["steps"].add_(1).double()
    gradient = gradient + decays * tensors["weights"]
    first = tensors["first_moment"].mul_(beta1).add_(gradient * (1 - beta1))
    second = tensors["second_moment"].mul_(beta2).add_(gradient * gradient * (1 - beta2))
    scale = (second / (1 - beta2**steps)).sqrt_().add_(epsilon)
    update = rates / (1 - beta1**steps) * first / scale
    # A diverged run holds NaN, which a rate of zero would not silence.
    tensors["weights"].sub_(torch.where((active > 0) & tensors["learns"], update, 0.0))


class Replayed:
    """A step on a GPU as one graph: the host launches it with a single call, however many operations it is made of."""

    def __init__(self, step: Step, changed: Sequence[Tensor]) -> None:
        self.step, self.changed = step, changed
        self.graph: Any = None

    def __call__(self, batch: Tensor, settings: Tensor) -> Tensor:
        """Take one step, by the graph if the batch has the shape of the first one."""
        if self.graph is None:
            self._capture(batch, settings)
        if batch.shape != self.batch.shape:
            return self.step(batch, settings)
        self.batch.copy_(batch)
        self.settings.copy_(settings)
        self.graph.replay()
        return self.loss

    def _capture(self, batch: Tensor, settings: Tensor) -> None:
        """Record the step once, and leave what it changed as it was."""
        self.batch, self.settings = batch.clone(), settings.clone()
        before = [tensor.clone() for tensor in self.changed]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            # Whatever compiles or allocates on its first call must do so before the capture.
            for _ in range(3):
                self.step(self.batch, self.settings)
        torch.cuda.current_stream().wait_stream(side)
        for tensor, value in zip(self.changed, before, strict=True):
            tensor.copy_(value)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.step(self.batch, self.settings)
