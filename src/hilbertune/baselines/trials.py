"""Families of classical heads and the settings that a study tries for each: distinct, repeatable and well spread.

In: a range of values for each setting, and the size of the problem.
Out: lists of settings, and a function that fits one of them.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from hilbertune.baselines.models import Baseline, Embeddings, Targets, standardised

Settings = Mapping[str, Any]
"""One value for each setting of a family."""

Axes = dict[str, Sequence[Any]]
"""The values that each setting may have, in order of size."""

FitTrial = Callable[[np.ndarray, np.ndarray, Settings, int, int], Baseline]
"""A function that fits a head to embeddings x [rows, features] and labels y [rows].

It is called with (x, y, settings, parameters, seed). `settings` is one trial of the family; only matched families look
at `parameters`, the most numbers that may be trained; `seed` draws random starts."""


STANDARDISE = "standardise"
"""The setting, of any family, that gives the columns of a table one scale."""


class Problem(NamedTuple):
    """The sizes that a family's settings may depend on; `parameters` is the most numbers that may be trained."""

    parameters: int
    features: int
    classes: int
    rows: int


@dataclass(frozen=True)
class Family:
    """One kind of classical head: the axes of its settings, and `train`, which fits it with one of them.

    Raises:
        HilbertuneError: not even the smallest model of a matched family has so few parameters
            (from `trials` and from `fit`).
    """

    axes: Callable[[Problem], Axes]
    train: FitTrial

    def trials(
        self, count: int, parameters: int, features: int, classes: int, rows: int, *, standardise: bool = False
    ) -> list[dict[str, Any]]:
        """Return at most `count` distinct settings; fewer if the family has no more.

        They are always the same, well spread, and begin in the middle; fewer trials are the first of
        more trials. `parameters` is the most numbers that may be trained, `rows` how many rows train.
        With `standardise` every trial standardises the columns, and says so.
        """
        settings = spread(count, self.axes(Problem(parameters, features, classes, rows)))
        return [{**one, STANDARDISE: True} for one in settings] if standardise else settings

    def fit(self, x: Embeddings, y: Targets, settings: Settings, parameters: int, seed: int) -> Baseline:
        """Fit the head to embeddings and labels with one trial of its settings, as `FitTrial` says."""
        if not settings.get(STANDARDISE):
            return self.train(x, y, settings, parameters, seed)
        return standardised(x, lambda columns: self.train(columns, y, settings, parameters, seed))


def spread(count: int, axes: Axes) -> list[dict[str, Any]]:
    """Return the first `count` distinct points of Roberts' R sequence, which fills a box evenly, on a grid."""
    root = 2.0
    for _ in range(60):  # converges to the root of root^(axes + 1) = root + 1
        root = (1 + root) ** (1 / (len(axes) + 1))
    steps = [root ** -(i + 1) for i in range(len(axes))]
    wanted = min(count, math.prod(len(values) for values in axes.values()))
    points: dict[tuple[int, ...], dict[str, Any]] = {}
    for number in itertools.count():
        if len(points) == wanted:
            break
        shares = [(0.5 + number * step) % 1 for step in steps]
        place = tuple(int(share * len(values)) for share, values in zip(shares, axes.values(), strict=True))
        points.setdefault(place, {name: axes[name][i] for name, i in zip(axes, place, strict=True)})
    return list(points.values())


def scale(low: float, high: float) -> list[float]:
    """Return geometric steps of a continuous setting, to three digits."""
    return [float(f"{v:.3g}") for v in np.geomspace(low, high, 121)]


def sizes(low: int, high: int) -> list[int]:
    """Return distinct whole numbers in geometric steps, both ends included."""
    return sorted({round(v) for v in np.geomspace(low, high, 41)})


def always(**axes: Sequence[Any]) -> Callable[[Problem], Axes]:
    """Return a function that gives these axes whatever the problem."""
    return lambda _problem: axes
