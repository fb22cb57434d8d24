"""Base and head as one module: texts in, logits out, gradients through the circuits and the encoding into the base.

In: a base (a sentence transformer), a head of one run or a linear one, examples and settings.
Out: losses, steps of an optimiser shared by all processes, and what validation measures.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hilbertune.model import tasks, weighting
from hilbertune.model.classical import LinearHead
from hilbertune.model.layers import HybridHead
from hilbertune.runtime import processes
from hilbertune.tuning import forward
from hilbertune.tuning.records import LabelledTexts, Settings

AT_ONCE = 64
"""Rows that are validated together."""


class JointModel(nn.Module):
    """A base and the head above it, with the rows that they learn from."""

    def __init__(self, base: Any, head: HybridHead | LinearHead, examples: LabelledTexts, settings: Settings) -> None:
        super().__init__()
        training = settings.training
        self.base, self.head = base, head
        self.texts, self.config, self.task = examples.texts, settings.tuning, training.task
        self.targets = torch.from_numpy(examples.targets).to(self.device)
        given = None if examples.weights is None else torch.from_numpy(examples.weights)
        self.row_weights = weighting.row_weights(given, [examples.split], len(examples.targets))
        weights = weighting.class_weights(
            training, self.targets.cpu(), [examples.split], head.outputs, self.row_weights
        )
        self.weights = None if weights is None else weights.to(next(head.parameters()))
        self.shots, self.step_shots = training.shots, training.step_shots
        if isinstance(head, HybridHead):
            head.head.shots, head.head.gradient, head.head.noise = training.shots, training.gradient, training.noise

    @property
    def device(self) -> torch.device:
        """The device of the head, on which the base must be too."""
        return next(self.head.parameters()).device

    def draw(self, seed: int | Sequence[int] | None, shots: int | None) -> None:
        """Have the next batch draw so many shots from a generator of this seed; a linear head has none."""
        if isinstance(self.head, HybridHead):
            self.head.head.rngs = None if seed is None else [np.random.default_rng(seed)]
            self.head.head.shots = shots

    def logits(self, rows: np.ndarray) -> Tensor:
        """Return the logits [1, rows, outputs] of these texts."""
        texts = [self.texts[row] for row in rows]
        embeddings = forward.vectors(self.base, texts, device=self.device, precision=self.config.precision)
        logits: Tensor = self.head(embeddings.to(next(self.head.parameters()).dtype))
        return logits[None]

    def losses(self, rows: np.ndarray, logits: Tensor) -> Tensor:
        """Return the losses [1, rows] of the logits of these rows, without the weights of rows."""
        return tasks.losses(self.task, logits, self._targets_of(rows)[None], self.weights)

    def step(self, rows: np.ndarray, optimizer: torch.optim.Optimizer, seeds: Sequence[int]) -> float:
        """Take one step over as many batches as are accumulated, and return the summed loss.

        A batch's dropout and shots are drawn from its seed. Several processes share the batches.
        """
        self.train()
        optimizer.zero_grad(set_to_none=True)
        size, device = self.config.tuning_batch_size, self.device
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        total = torch.zeros(1, dtype=torch.float64, device=device)
        with torch.random.fork_rng():
            for number in processes.mine(range(len(batches)), device.type):
                batch = batches[number]
                self.draw(seeds[number], self.step_shots)
                torch.manual_seed(seeds[number])
                losses = self.losses(batch, self.logits(batch))
                loss = weighting.weighted(losses, self._row_weights(losses), torch.from_numpy(batch)[None]).sum()
                (loss / len(rows)).backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
        processes.add_up([total, *_gradients(optimizer)], device.type)
        optimizer.step()
        self.draw(None, self.shots)
        return float(total)

    @torch.no_grad()
    def validate(self, rows: np.ndarray) -> tuple[float, float]:
        """Return the mean loss and the accuracy of these rows, NaN where there are none."""
        if not len(rows):
            return math.nan, math.nan
        self.eval()
        device = self.device
        parts = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
        own = []
        for part in processes.mine(range(len(parts)), device.type):
            self.draw([0, part], self.shots)
            own.append(self.logits(parts[part]))
        self.draw(None, self.shots)
        logits = torch.cat(processes.all_parts(own, device.type), 1)
        right = tasks.correct(self.task, logits, self._targets_of(rows)[None])
        losses = self.losses(rows, logits)
        places, weights = torch.from_numpy(rows)[None], self._row_weights(losses)
        accuracy = math.nan if right is None else float(weighting.mean(right, weights, places))
        return float(weighting.mean(losses, weights, places)), accuracy

    def _row_weights(self, losses: Tensor) -> Tensor | None:
        return None if self.row_weights is None else self.row_weights.to(losses.device)

    def _targets_of(self, rows: np.ndarray) -> Tensor:
        return self.targets[torch.from_numpy(rows).to(self.device)]


def _gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the gradients of all that learns, in the same order in every process."""
    gradients = []
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            # A part of the base that no text reached has none; with several processes all must send alike.
            if parameter.grad is None and processes.count() > 1:
                parameter.grad = torch.zeros_like(parameter)
            if parameter.grad is not None:
                gradients.append(parameter.grad)
    return gradients
