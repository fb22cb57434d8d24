"""One gate on a whole state vector in plain torch: the readable definition of what RY and CNOT do.

In: a state [..., 2^qubits], a gate of a circuit's table, its angle. Out: the state after the gate, differentiable.
Short and obviously right; the reference engine, explanations and the ONNX export are made of it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.kinds import Operation


def apply_operation(
    state: Float[Tensor, "*leading amplitudes"], operation: Operation, angle: Tensor | float = 0.0
) -> Float[Tensor, "*_ amplitudes"]:
    """Return the state after one gate.

    Args:
        state: real amplitudes in the last axis, qubit 0 the least significant bit of their index.
        operation: the gate; its weight or input is not looked up.
        angle: radians, a number or a tensor that broadcasts against the leading axes; a CNOT has none.
    """
    rows = torch.arange(state.shape[-1], device=state.device)
    bit = 1 << operation.target
    flipped = state[..., rows ^ bit]
    if operation.control is not None:
        return torch.where((rows >> operation.control) % 2 == 1, flipped, state)
    angle = torch.as_tensor(angle, dtype=state.dtype)
    cosine, sine = (angle / 2).cos()[..., None], (angle / 2).sin()[..., None]
    return cosine * state + torch.where(rows & bit > 0, sine, -sine) * flipped
