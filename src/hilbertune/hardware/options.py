"""The options of a measured run, as its directory keeps them, and what they stand for.

In: names and numbers, as flags or in run.json.
Out: a provider, and a `HardwareBackend` on a run directory.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilbertune.circuit.binding import GateSet
from hilbertune.config.fields import Checked, hyperparameter
from hilbertune.config.noise import NOISE_PRESETS, Noise
from hilbertune.errors import HilbertuneError, shown
from hilbertune.hardware.pricing import Pricing
from hilbertune.hardware.provider import MAX_SHOTS, Provider, Say

if TYPE_CHECKING:
    from hilbertune.hardware.backend import HardwareBackend

LARGEST_SCALE = 99


@dataclass(frozen=True)
class Options(Checked):
    """The way a run is measured.

    `backend` is an IonQ backend, "ibm:NAME", "braket:NAME", or "local" for Aer on this machine.

    Raises:
        HilbertuneError: a value of another type or outside its range; values that do not go together (when the provider
            is made).
    """

    backend: str = hyperparameter("simulator", "Where circuits run.")
    shots: int = hyperparameter(1024, "Shots of each circuit.", low=1, high=MAX_SHOTS)
    noise: str | None = hyperparameter(None, "Noise model of a simulator.")
    gateset: GateSet = hyperparameter("qis", "Who compiles.")
    debiasing: bool = hyperparameter(False, "The vendor's error mitigation.")
    readout: bool = hyperparameter(False, "Undo readout errors.")
    scales: tuple[int, ...] = hyperparameter((1,), "Noise scales.")
    reduce: bool = hyperparameter(True, "Drop gates that the measured qubits cannot see.")
    pricing: Pricing = hyperparameter("vendor", "Who says the price.")
    seed: int = hyperparameter(0, "Seed of a simulator.", low=0, high=2**63 - 1)
    readout_error: float = hyperparameter(0.0, "Probability that `local` reads a qubit wrongly.", low=0.0, high=0.5)
    batch_circuits: int | None = hyperparameter(None, "Most circuits in a job.", low=1, high=1_000_000)
    check_circuit: bool = hyperparameter(True, "Let a circuit whose answer is known ride in each job of a vendor.")

    @classmethod
    def check_values(cls, values: Mapping[str, Any]) -> None:
        """Raise HilbertuneError if one of these values is not allowed."""
        # The type of `scales` is beyond `Checked`.
        super().check_values({name: value for name, value in values.items() if name != "scales"})
        for name in ("backend", "noise"):
            value = values.get(name)
            if value is not None and not (value.isprintable() and value.strip() == value and 0 < len(value) <= 100):
                raise HilbertuneError(f"{name} must be a name, not {value[:40]!r}.")
        if "scales" in values:
            _check_scales(values["scales"])

    def provider(self, say: Say = lambda _: None) -> Provider:
        """Return where circuits run; `say` is called with a sentence when there is a wait."""
        if self.backend == "local":
            from hilbertune.hardware.qiskit_provider import local

            return local(self.noise, readout_error=self.readout_error, seed=self.seed)
        vendor, _, name = self.backend.partition(":")
        if vendor in ("ibm", "braket"):
            from hilbertune.hardware import qiskit_provider

            if self.noise or self.debiasing or self.gateset != "qis":
                raise HilbertuneError(
                    f"A noise model, debiasing and the gate set 'native' are IonQ's: leave them out for {self.backend}."
                )
            if vendor == "braket":
                return qiskit_provider.braket(name)
            return qiskit_provider.ibm(name, seed=self.seed)
        if not re.fullmatch(r"simulator|qpu(\.[\w-]+)+", self.backend, re.ASCII):
            raise HilbertuneError(
                f"There is no backend {shown(self.backend)}: name simulator, qpu.forte-1 ('hilbertune qpu backends' "
                "lists all of IonQ's), ibm:NAME, braket:NAME or local."
            )
        from hilbertune.hardware.ionq import IonQ

        return IonQ(
            self.backend,
            noise=self.noise,
            debiasing=self.debiasing,
            gateset=self.gateset,
            seed=self.seed if self.backend == "simulator" else None,
            say=say,
        )

    def executor(self, run: Path, provider: Provider | None = None, **more: Any) -> "HardwareBackend":
        """Return the backend of a run directory; `more` are arguments of `HardwareBackend`."""
        from hilbertune.hardware.backend import HardwareBackend

        made = HardwareBackend(
            self.provider(more.get("say", lambda _: None)) if provider is None else provider,
            run,
            shots=self.shots,
            pricing=self.pricing,
            readout=self.readout,
            scales=self.scales,
            reduce=self.reduce,
            batch_circuits=self.batch_circuits,
            **more,
        )
        made.check = made.check and self.check_circuit
        return made


def is_simulated(backend: str) -> bool:
    """Tell if circuits of a backend run on a simulator, of a device or of none."""
    vendor, _, name = backend.rpartition(":")
    return name in ("simulator", "local") or (vendor == "ibm" and name.startswith("fake_"))


def _check_scales(scales: Any) -> None:
    whole = isinstance(scales, tuple) and all(type(scale) is int for scale in scales)
    if not (whole and scales and scales[0] == 1 and len(set(scales)) == len(scales)):
        raise HilbertuneError(f"scales must begin with 1 and be different whole numbers, not {str(scales)[:60]}.")
    if any(scale % 2 == 0 or not 1 <= scale <= LARGEST_SCALE for scale in scales):
        raise HilbertuneError(f"scales must be odd numbers from 1 to {LARGEST_SCALE}, not {str(scales)[:60]}.")


def noise_of(options: Options) -> Noise | None:
    """Return the noise model of the device, None if it is not known."""
    known = options.noise or {"qpu.forte-1": "forte-1"}.get(options.backend)
    return NOISE_PRESETS.get(known) if known else None
