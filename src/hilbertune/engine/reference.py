"""The reference engine: plain torch, one gate after another, any device, derivatives by autograd.

In: a circuit and tensors with a leading `runs` axis. Out: <Z> of the measured qubits, and joint probabilities if asked.
Short and obviously right; the other engines are tested against it, and it against PennyLane.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from hilbertune.circuit.table import Circuit
from hilbertune.engine.dense import apply_operation


def exact(
    circuit: Circuit,
    weights: Float[Tensor, "runs weights"],
    inputs: Float[Tensor, "runs batch inputs"],
    amplitudes: Float[Tensor, "runs batch amplitudes"],
    measured: tuple[int, ...],
    sampled: bool,
) -> tuple[Float[Tensor, "runs batch measured"], Float[Tensor, "runs batch outcomes"]]:
    """Return exact <Z> of the measured qubits and, if `sampled`, their joint probabilities.

    The lowest measured qubit is the least significant bit of an outcome. `amplitudes` with a last axis of length 0
    stand for |0...0>; those that are not given are 0.
    """
    runs, batch = inputs.shape[:2]
    rows = torch.arange(1 << circuit.qubits, device=weights.device)
    probabilities = final_state(circuit, weights, inputs, amplitudes) ** 2
    signs = torch.stack([1 - 2 * ((rows >> qubit) % 2) for qubit in measured])
    outcome = sum((rows >> q) % 2 << place for place, q in enumerate(sorted(measured)))
    marginal = probabilities.new_zeros(runs, batch, 1 << len(measured) if sampled else 0)
    if sampled:
        marginal = marginal.index_add(2, torch.as_tensor(outcome), probabilities.detach())
    return probabilities @ signs.to(probabilities.dtype).T, marginal


def final_state(
    circuit: Circuit,
    weights: Float[Tensor, "runs weights"],
    inputs: Float[Tensor, "runs batch inputs"],
    amplitudes: Float[Tensor, "runs batch amplitudes"],
) -> Float[Tensor, "runs batch states"]:
    """Return the amplitudes at the end of a plain circuit."""
    circuit.require_plain()
    states = 1 << circuit.qubits
    if amplitudes.shape[2] == 0:
        rows = torch.arange(states, device=weights.device)
        state = (rows == 0).to(weights.dtype).expand(*inputs.shape[:2], -1)
    else:
        state = functional.pad(amplitudes, (0, states - amplitudes.shape[2]))
    for operation in circuit.operations:
        angle = 0.0 if operation.kind == "cx" else circuit.angle(operation, weights[:, None], inputs)
        state = apply_operation(state, operation, angle)
    return state
