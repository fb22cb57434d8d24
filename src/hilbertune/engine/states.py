"""What else a circuit can be asked for: its state, the probabilities of its outcomes, samples.

In: a `Circuit` and tensors, as `expectation` takes them.
Out: complex amplitudes and probabilities, both differentiable, and bits.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Complex, Float, Inexact, Int
from torch import Tensor

from hilbertune.circuit.table import Circuit
from hilbertune.engine import expectations, reference
from hilbertune.errors import HilbertuneError


def state(
    circuit: Circuit,
    weights: Float[Tensor, "*runs weights"],
    inputs: Float[Tensor, "*runs_batch inputs"] | None = None,
    amplitudes: Inexact[Tensor, "*runs_batch amplitudes"] | None = None,
) -> Complex[Tensor, "*runs_batch states"]:
    """Return the amplitudes at the end of the circuit, up to a global phase; differentiable.

    Axes are those of `expectation`; qubit 0 is the least significant bit of an amplitude's index.

    Raises:
        HilbertuneError: shapes, dtypes or devices do not fit.
    """

    def of_runs(weights: Tensor, inputs: Tensor | None, amplitudes: Tensor | None) -> Tensor:
        measured = tuple(range(circuit.qubits))
        x, start = expectations.checked(circuit, weights, inputs, amplitudes, measured)
        plain, w, x, start, wires = expectations.in_ry_and_cnot(circuit, weights, x, start, measured)
        if weights.device.type == "cpu":
            from hilbertune.engine import cpu

            found = cpu.final_state(plain, w, x, start)
        else:
            found = reference.final_state(plain, w, x, start)
        rows = torch.arange(1 << circuit.qubits, device=weights.device)
        place = sum(((rows >> qubit) % 2 << wire for qubit, wire in enumerate(wires)), torch.zeros_like(rows))
        ones = sum(((place >> wire) % 2 for wire in plain.negated), torch.zeros_like(rows))
        signs = (1 - 2 * (ones % 2)).to(found.dtype)
        real = found[..., place] * signs
        if plain.qubits == circuit.qubits:
            return torch.complex(real, torch.zeros_like(real))
        return torch.complex(real, found[..., place + len(rows)] * signs)

    if weights.dim() == 1:
        return expectations.one_run(of_runs, weights, inputs, amplitudes)
    return of_runs(weights, inputs, amplitudes)


def probabilities(
    circuit: Circuit,
    weights: Float[Tensor, "*runs weights"],
    inputs: Float[Tensor, "*runs_batch inputs"] | None = None,
    amplitudes: Inexact[Tensor, "*runs_batch amplitudes"] | None = None,
    *,
    measured: Sequence[int] | None = None,
) -> Float[Tensor, "*runs_batch outcomes"]:
    """Return the joint probabilities of the measured qubits (default: all); differentiable.

    Bit k of an outcome's index is the k-th of the measured qubits, in the order asked for.

    Raises:
        HilbertuneError: shapes, dtypes or devices do not fit, or a qubit does not exist.
    """
    measured = range(circuit.qubits) if measured is None else measured
    if len(set(measured)) < len(measured) or not all(0 <= qubit < circuit.qubits for qubit in measured):
        raise HilbertuneError(f"measured must name different qubits of 0..{circuit.qubits - 1}, not {list(measured)}.")
    every = state(circuit, weights, inputs, amplitudes).abs() ** 2
    rows = torch.arange(1 << circuit.qubits, device=every.device)
    outcome = sum(((rows >> qubit) % 2 << bit for bit, qubit in enumerate(measured)), torch.zeros_like(rows))
    return every.new_zeros(*every.shape[:-1], 1 << len(measured)).index_add(-1, outcome, every)


def samples(
    circuit: Circuit,
    weights: Float[Tensor, "*runs weights"],
    inputs: Float[Tensor, "*runs_batch inputs"] | None = None,
    amplitudes: Inexact[Tensor, "*runs_batch amplitudes"] | None = None,
    *,
    shots: int,
    measured: Sequence[int] | None = None,
    seed: int | None = None,
) -> Int[Tensor, "*runs_batch shots measured"]:
    """Return the bits of the measured qubits (default: all) in each shot.

    Raises:
        HilbertuneError: as `probabilities`, or shots < 1.
    """
    if shots < 1:
        raise HilbertuneError(f"shots must be 1 or more, not {shots}.")
    with torch.no_grad():
        shares = probabilities(circuit, weights, inputs, amplitudes, measured=measured).double().cpu()
    rng = np.random.default_rng(seed)
    flat = shares.reshape(-1, shares.shape[-1]).clamp(min=0).numpy()
    drawn = np.stack([rng.choice(len(row), shots, p=row / row.sum()) for row in flat])
    qubits = circuit.qubits if measured is None else len(measured)
    bits = torch.from_numpy(drawn)[..., None] >> torch.arange(qubits) & 1
    return bits.view(*shares.shape[:-1], shots, qubits)
