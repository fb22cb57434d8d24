"""A saved head, read back: config.json and model.safetensors become a `Saved` record, whose parts fit together.

In: a model directory, or the name of a repository on the Hugging Face hub. Nothing in it is executed.
Out: the head and the settings it was trained with, or one sentence that says which file is wrong.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.devices import check_device
from hilbertune.estimator.files import folder_of, read_config

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead


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


def read_saved(directory: str | Path, device: str) -> Saved:
    """Read a model directory.

    Raises:
        HilbertuneError: there is no such model, or a file of it is missing, truncated or not ours.
    """
    import safetensors.torch
    import torch

    from hilbertune.model import members, tasks

    folder = folder_of(directory)
    config = read_config(folder)
    check_device(device)
    try:
        training = TrainingConfig.from_dict(config["training"])
        tuning = TuningConfig.from_dict(config.get("tuning", {}))
        outputs = tasks.outputs(training.task, len(config["classes"]))
        shape = HeadConfig.from_dict(config["head"])
        hybrid = members.untrained(config["features"], outputs, shape, training)
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        hybrid = hybrid.to(torch.promote_types(tensors["head.weights"].dtype, torch.float32))
        hybrid.load_state_dict(tensors)
        own = (config["embedding"] or {}).get("model", "").startswith("./")
        home = folder.absolute() if own else None
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        raise HilbertuneError(
            f"{folder / 'model.safetensors'} is missing, truncated or does not belong to its config.json: "
            "copy the model again."
        ) from error
    except (KeyError, TypeError, ValueError, ArithmeticError, MemoryError) as error:
        raise HilbertuneError(
            f"{folder / 'config.json'} does not describe a model ({error}): copy the model again."
        ) from error
    return Saved(hybrid.to(device), training, tuning, config["classes"], config["embedding"], home, device)
