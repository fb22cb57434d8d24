"""PyTorch's own transforms of a computation: tracing, exporting, torch.func, forward derivatives.

In: the tensors of a call.
Out: whether something records or transforms what is done with them, which compiled kernels cannot see.
"""

from typing import Any, NoReturn

import torch
from torch import Tensor

from hilbertune.errors import HilbertuneError


def transformed(*tensors: Tensor) -> bool:
    """Return True while torch.jit.trace, torch.export, torch.func or a dual level of forward derivatives is at work.

    A kernel would get values where these need operations of PyTorch: the answer would be an error, or a constant.
    """
    # No public function tells of torch.func's levels, nor of modes that record operations (make_fx, fake tensors).
    private: Any = torch._C
    if recorded() or torch.compiler.is_compiling():
        return True
    if private._functorch.peek_interpreter_stack() is not None or private._len_torch_dispatch_stack() > 0:
        return True
    unpack: Any = torch.autograd.forward_ad.unpack_dual
    return any(unpack(tensor).tangent is not None for tensor in tensors)


def recorded() -> bool:
    """Return True within torch.jit.trace and torch.export, whose record must do for any number of rows."""
    jit: Any = torch.jit
    return bool(jit.is_tracing()) or exporting()


def exporting() -> bool:
    """Return True within torch.export, where nothing may be left to Python."""
    ask = getattr(torch.compiler, "is_exporting", None)  # PyTorch 2.7 and later
    return bool(ask and ask())


def refuse_batched(by_value: Tensor) -> None:
    """Raise HilbertuneError in a backward pass that is asked for many derivatives at once (vectorize=True)."""
    private: Any = torch._C
    if transformed(by_value) or private._functorch.is_legacy_batchedtensor(by_value):
        raise HilbertuneError(
            "Only engine='reference' with gradient='adjoint' gives many derivatives at once (vectorize, "
            "is_grads_batched): name it, or ask for one after another."
        )


def refuse_script(module: torch.nn.Module) -> NoReturn:
    """Raise HilbertuneError where torch.jit.script reads a module: PyTorch calls it as `__prepare_scriptable__`."""
    raise HilbertuneError(
        f"TorchScript cannot compile the source of a {type(module).__name__}: "
        "use torch.jit.trace or torch.export, which record what it does."
    )


def require_tensor(value: Any, name: str, *, real: bool = True) -> None:
    """Raise HilbertuneError unless a value is a tensor of (`real`) numbers that lie in memory as they are."""
    if not isinstance(value, Tensor):
        raise HilbertuneError(f"{name} must be a tensor, not {type(value).__name__}: use torch.as_tensor.")
    if (real and value.is_complex()) or value.layout != torch.strided:
        kind = "sparse" if value.layout != torch.strided else "complex"
        raise HilbertuneError(f"{name} must be a dense tensor of real numbers, not a {kind} one.")
