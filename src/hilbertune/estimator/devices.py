"""The scikit-learn face: fit, predict, save and load a hybrid head on embeddings or on raw items such as texts.

In: embeddings [rows, features] or a list of items, and labels or numbers. Out: a fitted estimator, or a directory of JSON and safetensors that holds it.
"""

import torch

from hilbertune.errors import HilbertuneError, first_line


def best_device() -> str:
    """A GPU if torch can use one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str) -> None:
    """Refuse a device that torch cannot use.

    Raises:
        HilbertuneError: torch does not know it, or was built without it.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise HilbertuneError(
            f"The device {device!r} cannot be used ({reason}): choose another, such as 'cpu'."
        ) from error
