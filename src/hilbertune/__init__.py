"""Hilbertune fine-tunes foundation models with a quantum head. The public names; each is imported when it is first used."""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hilbertune.circuit import Circuit as Circuit
    from hilbertune.circuit import Operation as Operation
    from hilbertune.circuit import ansatz as ansatz
    from hilbertune.circuit import head as head
    from hilbertune.classifier import HybridClassifier as HybridClassifier
    from hilbertune.classifier import HybridRegressor as HybridRegressor
    from hilbertune.classifier import load_pretrained as load_pretrained
    from hilbertune.config import PRESETS as PRESETS
    from hilbertune.config import HeadConfig as HeadConfig
    from hilbertune.config import TrainingConfig as TrainingConfig
    from hilbertune.config import TuningConfig as TuningConfig
    from hilbertune.embedding import Embedder as Embedder
    from hilbertune.engine import expectation as expectation
    from hilbertune.errors import HilbertuneError as HilbertuneError
    from hilbertune.hardware import HardwareBackend as HardwareBackend
    from hilbertune.ionq import IonQ as IonQ
    from hilbertune.layers import HybridHead as HybridHead
    from hilbertune.layers import QuantumEncoder as QuantumEncoder
    from hilbertune.layers import QuantumHead as QuantumHead
    from hilbertune.qiskit_provider import QiskitProvider as QiskitProvider
    from hilbertune.tensor_network import TensorNetwork as TensorNetwork
    from hilbertune.training import train as train

_HOME = {
    "Circuit": "circuit",
    "Operation": "circuit",
    "ansatz": "circuit",
    "head": "circuit",
    "HybridClassifier": "classifier",
    "HybridRegressor": "classifier",
    "load_pretrained": "classifier",
    "PRESETS": "config",
    "HeadConfig": "config",
    "TrainingConfig": "config",
    "TuningConfig": "config",
    "Embedder": "embedding",
    "expectation": "engine",
    "HilbertuneError": "errors",
    "HardwareBackend": "hardware",
    "IonQ": "ionq",
    "HybridHead": "layers",
    "QuantumEncoder": "layers",
    "QuantumHead": "layers",
    "QiskitProvider": "qiskit_provider",
    "TensorNetwork": "tensor_network",
    "train": "training",
}
__all__ = sorted(_HOME)

try:
    __version__ = version("hilbertune")
except PackageNotFoundError:
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    # torch takes over a second to import; a command such as --help should not wait for it.
    if name in _HOME:
        return getattr(importlib.import_module(f"hilbertune.{_HOME[name]}"), name)
    raise AttributeError(f"module 'hilbertune' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
