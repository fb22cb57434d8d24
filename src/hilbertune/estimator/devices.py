"""The devices on which torch can compute.

In: the name of a device, as PyTorch has it.
Out: nothing if the device can be used, else one sentence that says why not; the best device there is.
"""

from hilbertune.errors import HilbertuneError, first_line


def best_device() -> str:
    """Return the name of a GPU if torch can use one, else "cpu"."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str) -> None:
    """Refuse a device that torch cannot use.

    Raises:
        HilbertuneError: torch does not know it, or was built without it.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise HilbertuneError(
            f"The device {device!r} cannot be used ({reason}): choose another, such as 'cpu'."
        ) from error
