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
from hilbertune.data.checks import LARGEST, SMALLEST
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead

FURTHEST = 1e5
"""Largest mean, in deviations: single precision rounds it to a hundredth of a deviation."""


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
            HilbertuneError: the head has no final linear layer to hold the scale, all targets are the same, or single
                precision cannot hold them.
        """
        if not head.final_linear:
            raise HilbertuneError("A regressor needs its final linear layer: leave final_linear on.")
        largest = float(np.abs(targets).max())
        # Squares of numbers next to the ends of double precision would leave it; a power of 2 changes no bit.
        _, exponent = np.frexp(largest)
        parts = np.ldexp(targets, -exponent)
        center, spread = parts.mean(), parts.std()
        if weights is not None:
            center = np.average(parts, weights=weights)
            spread = np.sqrt(np.average((parts - center) ** 2, weights=weights))
        mean, deviation = float(np.ldexp(center, exponent)), float(np.ldexp(spread, exponent))
        if spread == 0:
            raise HilbertuneError(f"All numbers to learn are {mean}: there is nothing to learn.")
        if not (deviation > SMALLEST and largest < LARGEST):
            raise HilbertuneError(
                f"The numbers to learn, of up to {largest:.3g}, are outside of what single precision holds: "
                "give them in another unit."
            )
        if abs(mean) > FURTHEST * deviation:
            raise HilbertuneError(
                f"The numbers to learn lie {deviation:.3g} around {mean:.9g}, too near for single precision: "
                f"subtract {mean:.3g} from them, and add it to predictions."
            )
        return cls(mean, deviation)

    def apply(self, targets: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """Return targets as a head is trained on them."""
        return (targets - self.mean) / self.deviation

    @torch.no_grad()
    def fold_into(self, hybrid: HybridHead) -> None:
        """Move the scale into the final linear layer, so that the head predicts in the units of its targets."""
        hybrid.linear_weight.mul_(self.deviation)
        hybrid.linear_bias.mul_(self.deviation).add_(self.mean)
