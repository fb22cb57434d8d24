"""Error rates of a device, and those of IonQ's own noise models.

In: rates.
Out: a checked `Noise`, which the engines apply as random Pauli errors.
"""

from dataclasses import dataclass

from hilbertune.config.fields import Checked, hyperparameter


@dataclass(frozen=True)
class Noise(Checked):
    """Error rates of a device, in the parametrisation of IonQ's noise models (and of Qiskit Aer).

    Raises:
        HilbertuneError: a rate outside its range, or less than one trajectory.
    """

    one_qubit: float = hyperparameter(
        0.0, "After every RY, each of X, Y, Z occurs with probability one_qubit / 4.", low=0.0, high=1.0
    )
    two_qubit: float = hyperparameter(
        0.0,
        "After every CNOT, each of the 15 Paulis but the identity occurs with probability two_qubit / 16.",
        low=0.0,
        high=1.0,
    )
    readout: float = hyperparameter(0.0, "Probability that a measured qubit is read wrongly.", low=0.0, high=0.5)
    trajectories: int = hyperparameter(8, "Random courses of the noise for each sample.", low=1)


NOISE_PRESETS = {
    "aria-1": Noise(0.0005, 0.0133),
    "aria-2": Noise(0.000657333, 0.01856),
    "forte-1": Noise(0.000266667, 0.004949333),
}
"""The depolarizing rates of IonQ's cloud noise models (docs.ionq.com, "Simulation with noise models").

Those models have no readout error: add one as an assumption of your own. Real devices have been found to do worse than
such models.
"""
