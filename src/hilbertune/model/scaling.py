"""The scale of numbers to predict: a head learns them at mean 0 and deviation 1, and predicts in their own units.

In: the targets of training rows, and later the trained head.
Out: scaled targets, and a head whose final linear layer holds the scale.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float

from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the numbers to learn, in their units."""

    mean: float
    deviation: float

    @classmethod
    def of(
        cls, targets: Float[np.ndarray, " rows"], head: HeadConfig, weights: Float[np.ndarray, " rows"] | None = None
    ) -> Self:
        """Return the scale of these training targets, which may have weights, for a head of this shape.

        Raises:
            HilbertuneError: the head has no final linear layer to hold the scale, or all targets are the same.
        """
        if not head.final_linear:
            raise HilbertuneError("A regressor needs its final linear layer: leave final_linear on.")
        mean, deviation = float(targets.mean()), float(targets.std())
        if weights is not None:
            mean = float(np.average(targets, weights=weights))
            deviation = float(np.sqrt(np.average((targets - mean) ** 2, weights=weights)))
        if deviation == 0:
            raise HilbertuneError(f"All numbers to learn are {mean}: there is nothing to learn.")
        return cls(mean, deviation)

    def apply(self, targets: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """Return targets as a head is trained on them."""
        return (targets - self.mean) / self.deviation

    @torch.no_grad()
    def fold_into(self, hybrid: HybridHead) -> None:
        """Move the scale into the final linear layer, so that the head predicts in the units of its targets."""
        hybrid.linear_weight.mul_(self.deviation)
        hybrid.linear_bias.mul_(self.deviation).add_(self.mean)
