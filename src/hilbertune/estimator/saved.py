"""A saved head, read back: config.json and model.safetensors become a `Saved` record, whose parts fit together.

In: a model directory, or the name of a repository on the Hugging Face hub. Nothing in it is executed.
Out: the head and the settings it was trained with, or one sentence that says which file is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilbertune.circuit.builders import parameter_count
from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError, first_line
from hilbertune.estimator.devices import check_device
from hilbertune.estimator.files import folder_of, read_config
from hilbertune.model.outputs import outputs as outputs_of

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead


LARGEST_WEIGHT = 1e30
"""Weights beyond it would answer NaN: single precision ends at 3e38."""


@dataclass(frozen=True)
class Saved:
    """The content of a model directory; `base_home` is the folder that holds a tuned base under the name "base"."""

    head: "HybridHead"
    training: TrainingConfig
    tuning: TuningConfig
    classes: list[Any]
    embedding: Mapping[str, str] | None
    base_home: Path | None
    device: str
    results: Mapping[str, Any]
    about: Mapping[str, Any]
    base_model: str | None


def read_saved(directory: str | Path, device: str) -> Saved:
    """Read a model directory. Half-precision weights are computed with in single precision.

    Raises:
        HilbertuneError: there is no such model, or a file of it is missing, truncated or not ours; its numbers are
            impossible, or its weights not finite.
    """
    folder = folder_of(directory)
    config = read_config(folder)
    check_device(device)
    file = folder / "config.json"
    try:
        training = TrainingConfig.from_dict(config["training"])
        tuning = TuningConfig.from_dict(config.get("tuning", {}))
        shape = HeadConfig.from_dict(config["head"])
        outputs = outputs_of(training.task, len(config["classes"]))
        shape.check_fit(config["features"], outputs)
        own = (config["embedding"] or {}).get("model", "").startswith("./")
        home = folder.absolute() if own else None
        hybrid = _head(folder / "model.safetensors", config["features"], outputs, shape, training)
    except _ForeignWeightsError:
        raise
    except (HilbertuneError, KeyError, TypeError, ValueError, ArithmeticError, MemoryError) as error:
        reason = first_line(error).rstrip(".")
        raise HilbertuneError(f"{file} does not describe a model ({reason}): copy the model again.") from error
    said = {name: value if isinstance(value := config.get(name), dict) else {} for name in ("results", "about")}
    base = config.get("base_model")
    return Saved(
        hybrid.to(device),
        training,
        tuning,
        config["classes"],
        config["embedding"],
        home,
        device,
        **said,
        base_model=base if isinstance(base, str) else None,
    )


class _ForeignWeightsError(HilbertuneError):
    """A file of weights that is not the one of its config.json."""


def _head(file: Path, features: int, outputs: int, shape: HeadConfig, training: TrainingConfig) -> "HybridHead":
    """Build the head that a file of weights belongs to, and only if the file is large enough to be one."""
    import safetensors.torch
    import torch

    from hilbertune.model import members

    try:
        tensors = safetensors.torch.load_file(file)
        stored = sum(tensor.numel() for tensor in tensors.values())
        if stored < training.members * _fewest_numbers(shape, features, outputs):
            raise RuntimeError("too few weights")
        if not all(tensor.is_floating_point() for tensor in tensors.values()):
            raise RuntimeError("weights that are no real numbers")
        hybrid = members.untrained(features, outputs, shape, training)
        if tensors["head.weights"].dtype == torch.float64:
            hybrid = hybrid.double()
        hybrid.load_state_dict(tensors)
    except (OSError, KeyError, safetensors.SafetensorError, RuntimeError) as error:
        raise _ForeignWeightsError(
            f"{file} is missing, truncated or does not belong to its config.json: copy the model again."
        ) from error
    # NaN is not below any number.
    if not all(bool((tensor.abs() < LARGEST_WEIGHT).all()) for tensor in hybrid.state_dict().values()):
        raise _ForeignWeightsError(
            f"{file} holds weights that are NaN, infinite or too large to compute with: copy or train the model again."
        )
    return hybrid


def _fewest_numbers(shape: HeadConfig, features: int, outputs: int) -> int:
    """Count the numbers without which no file holds a head of this shape."""
    count = parameter_count(shape, features, outputs)
    wide = features > shape.capacity and shape.projection in ("random", "pca")
    if shape.encoder == "quantum" and (wide or shape.basis == "pca" or shape.scale == "standardise"):
        count += features * min(features, shape.capacity)
    elif shape.encoder == "pca":
        count += features
    return count
