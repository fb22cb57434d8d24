"""An engine whose expectations are measured: `expectation(..., engine=backend)`, or as the engine of a model's head.

In: a circuit with its angles, or bound circuits; shots and the mitigation that was asked for.
Out: measured <Z>; `predict`, `evaluate` and `train` run on hardware unchanged.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.jobs import Ahead, Group, JobRunner
from hilbertune.hardware.mitigation import (
    calibration_circuits,
    expectations_of,
    extrapolated,
    without_readout_error,
)
from hilbertune.hardware.pricing import Estimate, Pricing
from hilbertune.hardware.provider import MAX_SHOTS, Provider, Say
from hilbertune.hardware.settling import SETTLE


class HardwareBackend(JobRunner):
    """An engine whose expectations are measured.

    Args:
        provider: where circuits run.
        run: folder of the ledger; the same folder finds what was sent before.
        shots: for each circuit.
        max_cost: circuits that would bring the ledger's sum above it are refused before the first is sent; None allows
            none that cost anything.
        pricing: "vendor" asks the provider for an estimate, "azure" and "braket" are published formulas.
        readout: undo readout errors, measured with two more circuits (all qubits in |0>, all in |1>).
        scales: odd noise scales for zero-noise extrapolation, such as (1, 3); (1,) means none.
        reduce: drop gates that the measured qubits cannot see, and merge what meets.
        batch_circuits: the most circuits in a job; the provider's limit holds too.
        retry_failed: send failed batches once more.
        say: called with a sentence when there is a wait.
        settle: seconds for which a job whose creation got lost is looked for before it is left in doubt.

    Raises:
        HilbertuneError: impossible settings; a refusal of the provider, or a spending limit, when circuits are sent.
    """

    def __init__(
        self,
        provider: Provider,
        run: Path,
        *,
        shots: int = 1024,
        max_cost: float | None = None,
        pricing: Pricing = "vendor",
        readout: bool = False,
        scales: Sequence[int] = (1,),
        reduce: bool = True,
        batch_circuits: int | None = None,
        retry_failed: bool = False,
        say: Say = lambda _: None,
        settle: float = SETTLE,
    ) -> None:
        _check_shots(shots)
        if not scales or scales[0] != 1 or len(set(scales)) != len(scales):
            raise HilbertuneError(f"scales must begin with 1 and be different, not {tuple(scales)}.")
        if len(scales) > 1 and provider.gateset == "qis" and provider.name.startswith("ionq"):
            raise HilbertuneError(
                "The vendor's compiler would take folded CNOTs out again: use the gate set 'native' with noise scales."
            )
        super().__init__(
            provider,
            run,
            max_cost=max_cost,
            pricing=pricing,
            batch_circuits=batch_circuits,
            retry_failed=retry_failed,
            say=say,
            settle=settle,
        )
        self.name = f"{provider.name}, {shots} shots"
        self.shots, self.readout, self.scales, self.reduce = shots, readout, tuple(scales), reduce
        self._calibrations: dict[int, Float[np.ndarray, "2 qubits"]] = {}

    def __call__(
        self,
        circuit: Circuit,
        weights: Tensor,
        inputs: Tensor,
        amplitudes: Tensor,
        measured: tuple[int, ...],
        sampled: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return measured <Z> [runs, batch, measured]; there are no joint probabilities to hand on."""
        del sampled
        if amplitudes.shape[-1]:
            raise HilbertuneError(
                "Only the head runs on hardware: amplitudes cannot be loaded, so leave encoders on a simulator."
            )
        w, x = weights.detach().double().cpu().numpy(), inputs.detach().double().cpu().numpy()
        circuits = [
            bind(circuit, w[run].tolist(), x[run, row].tolist(), measured, reduce=self.reduce)
            for run in range(len(w))
            for row in range(x.shape[1])
        ]
        values = torch.from_numpy(self.expectations(circuits)).to(weights)
        return values.view(len(w), x.shape[1], len(measured)), values.new_zeros(0)

    def expectations(
        self, circuits: Sequence[BoundCircuit], shots: int | None = None, *, ahead: Ahead = lambda: 0.0
    ) -> Float[np.ndarray, "circuits measured"]:
        """Return <Z> of each circuit's measured qubits, with the mitigation that was asked for.

        `ahead` gives what the measurements that follow cost at most; see `counts`.
        """
        sizes, folded = self._unseen(circuits), self._folded(circuits)
        *calibrations, counts = self.measure(self.groups(circuits, shots), ahead=ahead)
        for qubits, own in zip(sizes, calibrations, strict=True):
            self._calibrations[qubits] = np.array([expectations_of(c) for c in own])
        raw = np.array([expectations_of(c) for c in counts])
        if self.readout:
            raw = np.array([self._corrected(z, circuit) for z, circuit in zip(raw, folded, strict=True)])
        by_scale = raw.reshape(len(self.scales), len(circuits), -1)
        return np.asarray(np.clip(extrapolated(self.scales, by_scale), -1.0, 1.0))

    def groups(self, circuits: Sequence[BoundCircuit], shots: int | None = None) -> list[Group]:
        """Return all that `expectations` measures: how |0> and |1> are read, once for each width, and the circuits."""
        shots = self.shots if shots is None else shots
        _check_shots(shots)
        calibrations: list[Group] = [(calibration_circuits(qubits), shots) for qubits in self._unseen(circuits)]
        return [*calibrations, (self._folded(circuits), shots)]

    def _unseen(self, circuits: Sequence[BoundCircuit]) -> list[int]:
        """Return the numbers of qubits whose readout errors are asked for and not known."""
        return sorted({c.qubits for c in circuits} - set(self._calibrations)) if self.readout else []

    def estimate(self, circuits: Sequence[BoundCircuit], shots: int | None = None) -> Estimate:
        """Return what measuring these circuits takes, mitigation included; nothing is sent."""
        return self.estimate_groups(self.groups(circuits, shots))

    def _folded(self, circuits: Sequence[BoundCircuit]) -> list[BoundCircuit]:
        """Return all circuits at the first noise scale, then all at the next."""
        return [circuit.folded(scale) for scale in self.scales for circuit in circuits]

    def _corrected(self, z: Float[np.ndarray, " measured"], circuit: BoundCircuit) -> Float[np.ndarray, " measured"]:
        zero, one = self._calibrations[circuit.qubits][:, list(circuit.measured)]
        return without_readout_error(z, zero, one)


def _check_shots(shots: int) -> None:
    if not 1 <= shots <= MAX_SHOTS:
        raise HilbertuneError(f"shots must be at least 1 and at most {MAX_SHOTS:,}, not {shots}.")
