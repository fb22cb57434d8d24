"""What the tests of hardware share: heads with their exact answers, and a backend on the emulated account.

In: the address and the key of an emulated account, in the environment.
Out: bound circuits and their expectations, a `HardwareBackend` that waits for nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.builders import head
from hilbertune.engine.expectations import expectation
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.ionq import IonQ

Run = Callable[..., tuple[int, str, str]]
"""`hilbertune ARGUMENTS`: exit code, stdout, stderr."""

Trained = tuple[HybridClassifier, np.ndarray, np.ndarray]
"""A model, embeddings and labels, of which it was trained on the first 100 rows."""


def backend(run: Path, name: str = "qpu.forte-1", *, check: bool = False, **options: Any) -> HardwareBackend:
    """Return a backend on the emulated account; `options` are those of `IonQ` and of `HardwareBackend`.

    Args:
        run: folder of the ledger.
        name: of the emulated device.
        check: let the circuit whose answer is known ride along.
        options: of both.
    """
    own = {k: options.pop(k) for k in ("noise", "debiasing", "gateset", "seed") if k in options}
    provider = IonQ(name, wait=0.01, patience=options.pop("patience", 3.0), **own)
    made = HardwareBackend(provider, run, **{"max_cost": 1e6, "shots": 100, "settle": 0.2, **options})
    made.check = check
    return made


def circuits(count: int = 3, qubits: int = 3, seed: int = 0) -> tuple[list[BoundCircuit], np.ndarray]:
    """Return heads with different inputs, and their exact expectations."""
    circuit, rng = head(qubits, reuploads=1, layers=1), np.random.default_rng(seed)
    weights, inputs = rng.normal(size=circuit.parameters), rng.normal(size=(count, circuit.inputs))
    measured = (0, 2)
    w, x = torch.from_numpy(weights)[None], torch.from_numpy(inputs)[None]
    exact = expectation(circuit, w, x, measured=measured)[0].numpy()
    return [bind(circuit, weights.tolist(), row, measured) for row in inputs.tolist()], exact
