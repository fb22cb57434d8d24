"""Gate and readout noise as unbiased Pauli trajectories, on top of any engine and without a kernel of its own.

In: an engine and the error rates. Out: an engine that returns means over random courses of the noise. A Pauli error need not be applied to the state: pushed
to the circuit's end it turns the sign of the rotations it passes (RY(a) X = X RY(-a), likewise Z; Y commutes), spreads through CNOTs, and at the end flips
what is read. So a trajectory is the same circuit with some angles negated.
"""

from dataclasses import dataclass

from hilbertune.errors import HilbertuneError


@dataclass(frozen=True)
class Noise:
    """Error rates of a device, in the parametrisation of IonQ's noise models (and of Qiskit Aer).

    `one_qubit`: after every RY, each of X, Y, Z with probability one_qubit / 4. `two_qubit`: after every CNOT, each of the 15 Paulis but the identity with
    probability two_qubit / 16. `readout`: probability that a measured qubit is read wrongly. `trajectories`: random courses of the noise for each sample.

    Raises:
        HilbertuneError: a rate outside [0, 1] (readout: [0, 0.5]), or less than one trajectory.
    """

    one_qubit: float = 0.0
    two_qubit: float = 0.0
    readout: float = 0.0
    trajectories: int = 8

    def __post_init__(self) -> None:
        for name, most in (("one_qubit", 1.0), ("two_qubit", 1.0), ("readout", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise HilbertuneError(f"{name} must lie between 0 and {most:g}, not {getattr(self, name)}.")
        if self.trajectories < 1:
            raise HilbertuneError(f"trajectories must be at least 1, not {self.trajectories}.")


NOISE_PRESETS = {
    "aria-1": Noise(0.0005, 0.0133),
    "aria-2": Noise(0.000657333, 0.01856),
    "forte-1": Noise(0.000266667, 0.004949333),
}
"""The depolarizing rates of IonQ's cloud noise models (docs.ionq.com, "Simulation with noise models"). Those models have no readout error: add one as an
assumption of your own. Real devices have been found to do worse than such models."""
