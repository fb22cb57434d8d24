"""The parameters of the base that learn: which layers, through which adapters, at which rates.

In: a base (a sentence transformer), a head, and their settings.
Out: parameter groups for an optimiser; all other parameters are frozen.
"""

import re
from typing import Any

import torch
from torch import nn

from hilbertune.config.records import TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError, require

_LAYER = re.compile(r"\.(\d+)\.")


def layer_of(name: str, layers: int) -> int:
    """Return the layer (from 0) of a parameter; -1 below the first layer (embeddings), `layers` above the last."""
    if match := _LAYER.search(name):
        return int(match[1])
    return -1 if "embed" in name else layers


def check_base(base: Any, tuning: TuningConfig) -> int:
    """Return the number of layers of a base that learns together with a head.

    Raises:
        HilbertuneError: the base has no transformer, or fewer layers than are to learn.
    """
    layers = int(getattr(_transformer(base).config, "num_hidden_layers", 0))
    if tuning.tuned_layers is not None and tuning.tuned_layers > layers:
        raise HilbertuneError(
            f"The base has {layers} layers: tuned_layers must be at most that, not {tuning.tuned_layers}."
        )
    return layers


def parameter_groups(
    base: Any, head: nn.Module, tuning: TuningConfig, training: TrainingConfig
) -> list[dict[str, Any]]:
    """Return the parameters that learn, with their rates, and freeze all others.

    The base's layers learn at base_learning_rate · layer_decay^(layers above), the head at its own learning rate.

    Raises:
        HilbertuneError: see `check_base`.
    """
    layers = check_base(base, tuning)
    transformer = _transformer(base)
    lowest = -1 if tuning.tuned_layers is None else layers - tuning.tuned_layers
    groups = [{"params": list(head.parameters()), "lr": training.learning_rate, "weight_decay": training.weight_decay}]
    for name, parameter in transformer.named_parameters():
        layer = layer_of(name, layers)
        adapter = tuning.lora_rank is None or "lora_" in name
        parameter.requires_grad_(layer >= lowest and adapter)
        if parameter.requires_grad:
            above = max(0, layers - 1 - layer)
            groups.append({"params": [parameter], "lr": tuning.base_learning_rate * tuning.layer_decay**above})
    return groups


def add_adapters(base: Any, tuning: TuningConfig, seed: int) -> Any:
    """Put LoRA adapters (Hu et al. 2021) in every linear layer of the base and return them; None without a rank.

    Raises:
        MissingExtraError: the extra `tune` is not installed.
    """
    if tuning.lora_rank is None:
        return None
    peft = require("peft", "tune")
    settings = peft.LoraConfig(r=tuning.lora_rank, lora_alpha=2 * tuning.lora_rank, target_modules="all-linear")
    with torch.random.fork_rng():
        # The adapters' own initial values; peft draws them from the global generator.
        torch.manual_seed(seed)
        return peft.get_peft_model(_transformer(base), settings)


def _transformer(base: Any) -> nn.Module:
    """Return the transformer itself, without pooling."""
    inner = getattr(base[0], "model", None) or getattr(base[0], "auto_model", None)
    if not isinstance(inner, nn.Module):
        raise HilbertuneError("This base has no transformer that could learn: use tune='frozen'.")
    return inner
