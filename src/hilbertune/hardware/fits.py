"""Fits of what circuits take on a simulator and on a QPU, and the width where they cross.

In: points: joules or seconds of circuits of several widths.
Out: fits, 2^(a + b·qubits) for simulators and shots · (c + d·qubits) for QPUs (arXiv 2605.02798: linear for shallow
circuits), and their crossing with its interval.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hilbertune.errors import HilbertuneError

DRAWS = 5_000

WIDEST = 200
"""Lines that have not crossed by this many qubits count as never crossing."""


@dataclass(frozen=True)
class Point:
    """The cost of one circuit: `value` joules or seconds, on `qubits` qubits; for a QPU with `shots`.

    `members` is given where it is one of several heads', so that a prediction takes as many circuits.
    """

    qubits: int
    value: float
    source: str
    shots: int | None = None
    members: int | None = None


@dataclass(frozen=True)
class Fit:
    """Two coefficients, their covariance and the degrees of freedom that are left; with none there is no interval."""

    coefficients: np.ndarray
    covariance: np.ndarray
    freedom: int
    r2: float

    def draws(self, rng: np.random.Generator) -> np.ndarray:
        """Return coefficients [draws, 2] as the data leave them open: Student-t around the estimate."""
        root = np.linalg.cholesky(self.covariance + 1e-300 * np.eye(2))
        scale = np.sqrt(self.freedom / rng.chisquare(self.freedom, DRAWS))
        drawn: np.ndarray = self.coefficients + scale[:, None] * rng.standard_normal((DRAWS, 2)) @ root.T
        return drawn


def _least_squares(columns: np.ndarray, values: np.ndarray) -> Fit:
    solution, *_ = np.linalg.lstsq(columns, values, rcond=None)
    residual = values - columns @ solution
    freedom = len(values) - 2
    variance = float(residual @ residual) / freedom if freedom > 0 else 0.0
    spread = float(((values - values.mean()) ** 2).sum())
    r2 = 1 - float(residual @ residual) / spread if spread else math.nan
    return Fit(solution, variance * np.linalg.inv(columns.T @ columns), freedom, r2)


def simulator_fit(points: Sequence[Point]) -> Fit:
    """Fit log2(value) = a + b · qubits; b is the doublings for each qubit.

    Raises:
        HilbertuneError: fewer than two widths.
    """
    if len({p.qubits for p in points}) < 2:
        raise HilbertuneError("The simulator's figures need at least two numbers of qubits.")
    qubits = np.array([p.qubits for p in points], float)
    values = np.log2([p.value for p in points])
    return _least_squares(np.stack([np.ones_like(qubits), qubits], 1), values)


def qpu_fit(points: Sequence[Point]) -> Fit:
    """Fit value / shots = c + d · qubits.

    Raises:
        HilbertuneError: fewer than two widths, or figures without shots.
    """
    if len({p.qubits for p in points}) < 2:
        raise HilbertuneError(
            "The QPU's figures need at least two numbers of qubits: run heads of two widths, or give --qpu more rows."
        )
    qubits = np.array([p.qubits for p in points], float)
    values = np.array([p.value / (p.shots or 1) for p in points])
    return _least_squares(np.stack([np.ones_like(qubits), qubits], 1), values)


def _dearer(simulator: np.ndarray, qpu: np.ndarray, shots: int, qubits: np.ndarray) -> np.ndarray:
    """Return where the QPU takes more than the simulator; a line below 0 means nothing, and does not count."""
    with np.errstate(invalid="ignore", divide="ignore"):
        line = np.log2(shots * (qpu[:, :1] + qpu[:, 1:] * qubits))
    dearer: np.ndarray = line > simulator[:, :1] + simulator[:, 1:] * qubits
    return dearer


def _crossing(simulator: np.ndarray, qpu: np.ndarray, shots: int) -> np.ndarray:
    """Return from how many qubits [draws] the simulator takes more, for coefficients [draws, 2]; infinite if never."""
    grid = np.arange(1.0, WIDEST + 1)
    dearer = _dearer(simulator, qpu, shots, np.broadcast_to(grid, (len(qpu), len(grid))))
    last = np.where(dearer.any(1), len(grid) - 1 - dearer[:, ::-1].argmax(1), -1)
    low = grid[np.maximum(last, 0)][:, None]
    high = low + 1
    for _ in range(30):
        middle = (low + high) / 2
        above = _dearer(simulator, qpu, shots, middle)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    places: np.ndarray = np.where(last < 0, grid[0], high[:, 0])
    return np.where(last == len(grid) - 1, math.inf, places)


def crossing(simulator: Fit, qpu: Fit, shots: int, seed: int = 0) -> dict[str, float | int | str | None]:
    """Return where the fits cross and its 95 % interval: {"qubits", "low", "high"}.

    None is "never", or for the interval "not known". The interval covers the scatter of the figures around the fits. It
    does not cover the risk of an extrapolation: that the simulator would run out of memory, or the QPU need more shots,
    before that.
    """
    one = _crossing(simulator.coefficients[None], qpu.coefficients[None], shots)[0]
    low = high = None
    if simulator.freedom > 0 or qpu.freedom > 0:
        rng = np.random.default_rng(seed)
        parts = [
            fit.draws(rng) if fit.freedom > 0 else np.tile(fit.coefficients, (DRAWS, 1)) for fit in (simulator, qpu)
        ]
        drawn = _crossing(parts[0], parts[1], shots)
        ends = np.quantile(drawn, [0.025, 0.975], method="nearest")
        low, high = (None if math.isinf(end) else float(end) for end in ends)
    return {"qubits": None if math.isinf(one) else float(one), "low": low, "high": high}
