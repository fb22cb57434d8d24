"""Hilbertune fine-tunes foundation models with a quantum head.

In: embeddings, or texts and a sentence transformer.
Out: trained heads, honest figures, circuits, runs on quantum hardware. Each name is imported when it is first used.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from hilbertune.circuit.builders import ansatz as ansatz
    from hilbertune.circuit.builders import head as head
    from hilbertune.circuit.kinds import Operation as Operation
    from hilbertune.circuit.table import Circuit as Circuit
    from hilbertune.config.records import PRESETS as PRESETS
    from hilbertune.config.records import HeadConfig as HeadConfig
    from hilbertune.config.records import TrainingConfig as TrainingConfig
    from hilbertune.config.records import TuningConfig as TuningConfig
    from hilbertune.embedding.embedder import Embedder as Embedder
    from hilbertune.engine.expectations import expectation as expectation
    from hilbertune.engine.tensor_network import TensorNetwork as TensorNetwork
    from hilbertune.errors import HilbertuneError as HilbertuneError
    from hilbertune.estimator.classifier import HybridClassifier as HybridClassifier
    from hilbertune.estimator.directory import load_pretrained as load_pretrained
    from hilbertune.estimator.plots import LivePlot as LivePlot
    from hilbertune.estimator.regressor import HybridRegressor as HybridRegressor
    from hilbertune.hardware.backend import HardwareBackend as HardwareBackend
    from hilbertune.hardware.ionq import IonQ as IonQ
    from hilbertune.hardware.qiskit_provider import QiskitProvider as QiskitProvider
    from hilbertune.model.callbacks import Callback as Callback
    from hilbertune.model.callbacks import EarlyStopping as EarlyStopping
    from hilbertune.model.layers import HybridHead as HybridHead
    from hilbertune.model.layers import QuantumEncoder as QuantumEncoder
    from hilbertune.model.layers import QuantumHead as QuantumHead
    from hilbertune.model.training import train as train

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "circuit.builders": ["ansatz", "head"],
        "circuit.kinds": ["Operation"],
        "circuit.table": ["Circuit"],
        "config.records": ["HeadConfig", "PRESETS", "TrainingConfig", "TuningConfig"],
        "embedding.embedder": ["Embedder"],
        "engine.expectations": ["expectation"],
        "engine.tensor_network": ["TensorNetwork"],
        "errors": ["HilbertuneError"],
        "estimator.classifier": ["HybridClassifier"],
        "estimator.directory": ["load_pretrained"],
        "estimator.plots": ["LivePlot"],
        "estimator.regressor": ["HybridRegressor"],
        "hardware.backend": ["HardwareBackend"],
        "hardware.ionq": ["IonQ"],
        "hardware.qiskit_provider": ["QiskitProvider"],
        "model.callbacks": ["Callback", "EarlyStopping"],
        "model.layers": ["HybridHead", "QuantumEncoder", "QuantumHead"],
        "model.training": ["train"],
    },
)

try:
    __version__ = version("hilbertune")
except PackageNotFoundError:
    __version__ = "0+unknown"
