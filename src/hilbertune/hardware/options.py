"""The options of a measured run, as its directory keeps them, and what they stand for.

In: names and numbers, as flags or in run.json.
Out: a provider, and a `HardwareBackend` on a run directory.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hilbertune.circuit.binding import GateSet
from hilbertune.config.noise import NOISE_PRESETS, Noise
from hilbertune.errors import HilbertuneError, shown
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.pricing import Pricing
from hilbertune.hardware.provider import Provider


@dataclass(frozen=True)
class Options:
    """The way a run is measured.

    `backend` is an IonQ backend, "ibm:NAME", "braket:NAME", or "local" for Aer on this machine.

    Raises:
        HilbertuneError: values that do not go together (when the provider is made).
    """

    backend: str = "simulator"
    shots: int = 1024
    noise: str | None = None
    gateset: GateSet = "qis"
    debiasing: bool = False
    readout: bool = False
    scales: tuple[int, ...] = (1,)
    reduce: bool = True
    pricing: Pricing = "vendor"
    seed: int = 0
    readout_error: float = 0.0
    batch_circuits: int | None = None

    def provider(self) -> Provider:
        """Return where circuits run."""
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
        )

    def executor(self, run: Path, provider: Provider | None = None, **more: Any) -> HardwareBackend:
        """Return the backend of a run directory; `more` are arguments of `HardwareBackend`."""
        return HardwareBackend(
            provider or self.provider(),
            run,
            shots=self.shots,
            pricing=self.pricing,
            readout=self.readout,
            scales=self.scales,
            reduce=self.reduce,
            batch_circuits=self.batch_circuits,
            **more,
        )


def noise_of(options: Options) -> Noise | None:
    """Return the noise model of the device, None if it is not known."""
    known = options.noise or {"qpu.forte-1": "forte-1"}.get(options.backend)
    return NOISE_PRESETS.get(known) if known else None
