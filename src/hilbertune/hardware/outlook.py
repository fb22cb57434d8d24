"""What a run will take, before its rows are embedded: a key, a backend and a price checked at once, not after an hour.

In: what a model's config.json says of its head, a number of rows, the options of a run, a provider.
Out: an `Estimate` of circuits as they usually are; a row whose angles happen to be 0 has fewer gates.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.circuit.binding import bind
from hilbertune.circuit.builders import parts
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.options import Options
from hilbertune.hardware.pricing import Estimate
from hilbertune.hardware.provider import Provider
from hilbertune.model.outputs import outputs

NOWHERE = Path(os.devnull) / "run"
"""A folder that is not there, for estimates, which write nothing."""


def outlook(config: Mapping[str, Any], rows: int, options: Options, provider: Provider) -> Estimate:
    """Return what measuring this many rows of a model takes; nothing is written or sent.

    Args:
        config: the content of the model's config.json.
        rows: to measure.
        options: of the run.
        provider: asked for prices.

    Raises:
        HilbertuneError: the model has no quantum head, or the provider gives no usable estimate.
    """
    shape, training = _shape(config), TrainingConfig.from_dict(config.get("training", {}))
    if shape.head != "quantum":
        raise HilbertuneError("This model's head is classical: there is nothing to run on a QPU.")
    measured = shape.measured(outputs(training.task, len(config["classes"])))
    circuit, rng = parts(shape)["head"], np.random.default_rng(0)
    weights, inputs = (rng.uniform(0.5, 1.0, count).tolist() for count in (circuit.parameters, circuit.inputs))
    usual = bind(circuit, weights, inputs, range(measured), reduce=options.reduce)
    # Equal circuits, of which each row of each member has one.
    return options.executor(NOWHERE, provider).estimate([usual] * (rows * training.members))


def require_room(config: Mapping[str, Any], provider: Provider) -> None:
    """Raise HilbertuneError if a model's head has more qubits than the backend."""
    qubits, width = provider.qubits(), _shape(config).head_qubits
    if qubits is not None and width > qubits:
        raise HilbertuneError(
            f"The head has {width} qubits, but {provider.name} has only {qubits}: use another backend."
        )


def _shape(config: Mapping[str, Any]) -> HeadConfig:
    return HeadConfig.from_dict(config["head"])
