"""PyTorch's gradients switched on while something learns, whatever the caller has switched off.

In: a function that trains.
Out: the same function, which trains under torch.no_grad and torch.inference_mode as well.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


def with_gradients(function: Callable[Given, Answer]) -> Callable[Given, Answer]:
    """Return a function whose calls record gradients, also where they are switched off globally."""

    @functools.wraps(function)
    def learning(*args: Given.args, **kwargs: Given.kwargs) -> Answer:
        import torch  # here: it takes seconds to load

        with torch.inference_mode(False), torch.enable_grad():
            return function(*args, **kwargs)

    return learning
