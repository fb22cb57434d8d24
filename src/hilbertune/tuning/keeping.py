"""The state of a base that learns, kept so that a stage that was killed goes on from its last checkpoint.

In: the parameters that learn and their optimiser; a function that writes a stage's state.
Out: tensors for a checkpoint, and the state from them again; a clock that writes from time to time.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")

_SHARE = 0.05
"""Share of the time between two checkpoints that writing may take; where it takes more, they are written less often."""


def adam(groups: list[dict[str, Any]], device: torch.device) -> torch.optim.AdamW:
    """Return AdamW over groups that have a rate, without decay unless a group names one.

    On a CPU it takes its step in one pass over memory, which is five times as fast.
    """
    return torch.optim.AdamW(groups, weight_decay=0.0, fused=device.type == "cpu")


def tensors_of(learning: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the parameters that learn, and the moments that Adam keeps of each, by name."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in learning.items():
        tensors[f"now.{name}"] = parameter
        for key, value in optimizer.state[parameter].items():
            tensors[f"{key}.{name}"] = value
    return tensors


@torch.no_grad()
def restore(
    learning: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Set parameters and moments to what `tensors_of` returned; KeyError if one is missing."""
    for name, parameter in learning.items():
        parameter.copy_(tensors[f"now.{name}"])
        moments = {key: tensors[f"{key}.{name}"] for key in _MOMENTS if f"{key}.{name}" in tensors}
        if moments:
            optimizer.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device) for key, value in moments.items()
            }


class Keeper:
    """The clock of a stage, which writes its state from time to time.

    Args:
        write: writes the state; it may be asked for at any moment between two steps.
        pause: seconds between two checkpoints; more where writing takes long.
        spent: seconds of the stage before this process.
    """

    def __init__(self, write: Callable[[], None], pause: float, spent: float) -> None:
        self.write, self.pause, self.slower = write, pause, 1.0
        self.saved = time.monotonic()
        self.started = self.saved - spent

    @property
    def seconds(self) -> float:
        """Seconds that the stage has taken, in all of its processes."""
        return time.monotonic() - self.started

    def save(self) -> None:
        """Write the state."""
        began = time.monotonic()
        self.write()
        self.saved = time.monotonic()
        self.slower = max(1.0, (self.saved - began) / (_SHARE * self.pause)) if self.pause else 1.0

    def save_if_due(self) -> None:
        """Write the state if it was last written long enough ago."""
        if time.monotonic() - self.saved > self.slower * self.pause:
            self.save()
