"""Running circuits: `expectation`, exact or sampled, differentiable in weights, inputs and amplitudes.

In: a `Circuit` and tensors with a leading `runs` axis (models side by side). Out: <Z> of the measured qubits. The engine that computes
exact values is chosen by the tensors' device; shots and the gradients of a QPU stand on top of any engine (sampling.py).
"""

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.table import Circuit
from hilbertune.config.records import EngineName, Gradient
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.config.noise import Noise
    from hilbertune.engine import sampling


@torch.compiler.disable  # type: ignore[untyped-decorator]
def expectation(
    circuit: Circuit,
    weights: Float[Tensor, "runs weights"],
    inputs: Float[Tensor, "runs batch inputs"] | None = None,
    amplitudes: Float[Tensor, "runs batch amplitudes"] | None = None,
    *,
    measured: Sequence[int] | None = None,
    shots: int | None = None,
    gradient: Gradient = "adjoint",
    noise: "Noise | None" = None,
    rngs: Sequence[np.random.Generator] | None = None,
    engine: "EngineName | sampling.Engine" = "auto",
) -> Float[Tensor, "runs batch measured"]:
    """<Z> of each measured qubit, in the order asked for (default: all qubits).

    Args:
        circuit: what to run.
        weights: angles [runs, circuit.parameters] in radians, float32 or float64.
        inputs: angles [runs, batch, circuit.inputs] in radians; None if the circuit reads none.
        amplitudes: the start state [runs, batch, 2^qubits], of norm 1 where samples are drawn; None is |0...0>. Fewer than 2^qubits
            are the first ones; the others are 0, and not computed with before a gate fills them.
        measured: the qubits to measure.
        shots: None is exact; otherwise bitstrings of the measured qubits are drawn jointly, `shots` for each sample.
        gradient: "adjoint" (exact), "parameter-shift" (what hardware returns: two expectations for each use of an angle, each
            with `shots`), or "spsa" (two expectations in all, a random direction).
        noise: gate and readout errors of the circuit (hilbertune.engine.noise), as a mean over random trajectories; None has none.
        rngs: a random generator for each run, so that a run's samples do not depend on its neighbours.
        engine: "cpu", "gpu", "reference", "auto" by the device of `weights`, or hardware (hilbertune.hardware.HardwareBackend), which has
            its own shots and noise.

    Raises:
        HilbertuneError: shapes, dtypes or devices do not fit, shots < 1, or a qubit does not exist.
    """
    from hilbertune.engine import sampling

    runs = len(weights) if weights.dim() else 1
    batch = inputs.shape[1] if inputs is not None and inputs.dim() == 3 else "batch"
    for name, tensor, shape in (
        ("weights", weights, [runs, circuit.parameters]),
        ("inputs", inputs, [runs, "batch", circuit.inputs]),
        ("amplitudes", amplitudes, [runs, batch, 1 << circuit.qubits]),
    ):
        if tensor is not None and tensor.dim() != len(shape):
            raise HilbertuneError(f"{name} must have the shape {shape}, not {list(tensor.shape)}.")
    measured = tuple(range(circuit.qubits)) if measured is None else tuple(measured)
    inputs, amplitudes = _complete(circuit, weights, inputs, amplitudes)
    _check(circuit, weights, inputs, amplitudes, measured)
    run, shift = _engine(engine, weights.device)
    if callable(engine):
        # What is measured has no derivative that could be followed backwards, and shots and noise of its own.
        shots = noise = None
        if gradient == "adjoint":
            if torch.is_grad_enabled() and (weights.requires_grad or inputs.requires_grad):
                raise HilbertuneError("Hardware has no adjoint gradient: use gradient='parameter-shift' or 'spsa'.")
            return run(circuit, weights, inputs, amplitudes, measured, False)[0]
    if shots is None and gradient == "adjoint" and noise is None:
        return run(circuit, weights, inputs, amplitudes, measured, False)[0]
    if shots is not None and shots < 1:
        raise HilbertuneError(f"shots must be 1 or more, not {shots}; None is exact.")
    if rngs is None:
        rngs = [np.random.default_rng() for _ in range(len(weights))]
    if len(rngs) != len(weights):
        raise HilbertuneError(f"rngs holds {len(rngs)} generators for {len(weights)} runs.")
    if noise is not None:
        from hilbertune.engine.noise import noisy

        run = noisy(run, noise, rngs)
        shift = partial(sampling.shifted, run)
        if shots is None and gradient == "adjoint":
            return run(circuit, weights, inputs, amplitudes, measured, False)[0]
    call = sampling.Call(run, circuit, amplitudes, measured, shots, rngs)
    if gradient == "adjoint":
        return sampling.adjoint(call, weights, inputs)
    if amplitudes.requires_grad:
        raise HilbertuneError(
            f"gradient={gradient!r} has no derivative by amplitudes: use gradient='adjoint' for encoders."
        )
    if gradient == "parameter-shift":
        return sampling.parameter_shift(shift, call, weights, inputs)
    if gradient == "spsa":
        return sampling.spsa(call, weights, inputs)
    raise HilbertuneError(f"gradient must be 'adjoint', 'parameter-shift' or 'spsa', not {gradient!r}.")


def _engine(name: "str | sampling.Engine", device: torch.device) -> tuple["sampling.Engine", "sampling.Engine"]:
    """The engine's exact values, and the same with each rotation shifted."""
    from hilbertune.engine import sampling

    if callable(name):
        return name, partial(sampling.shifted, name)
    if name == "auto":
        name = "cpu" if device.type == "cpu" else "reference"
        if device.type == "cuda" and find_spec("triton"):
            name = "gpu"
    if name == "cpu":
        from hilbertune.engine import cpu

        if device.type != "cpu":
            raise HilbertuneError(f"engine='cpu' needs tensors on the CPU, these are on {device}.")
        return cpu.exact, cpu.shifted
    if name == "gpu":
        from hilbertune.engine import gpu

        return gpu.exact, partial(sampling.shifted, gpu.exact)
    if name == "reference":
        from hilbertune.engine import reference

        return reference.exact, partial(sampling.shifted, reference.exact)
    raise HilbertuneError(f"engine must be 'auto', 'cpu', 'gpu' or 'reference', not {name!r}.")


def _complete(
    circuit: Circuit, weights: Tensor, inputs: Tensor | None, amplitudes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Fill in what is absent: inputs and amplitudes whose last axis has length 0."""
    given = inputs if inputs is not None else amplitudes
    batch = 1 if given is None or given.dim() < 2 else given.shape[1]
    absent = weights.new_zeros(len(weights), batch, 0)
    return (
        absent if inputs is None else inputs,
        absent if amplitudes is None else amplitudes,
    )


def _check(
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor,
    amplitudes: Tensor,
    measured: tuple[int, ...],
) -> None:
    if weights.dtype not in (torch.float32, torch.float64):
        raise HilbertuneError(f"weights must be float32 or float64, not {weights.dtype}.")
    runs, batch = len(weights), inputs.shape[1] if inputs.dim() == 3 else None
    states = min(amplitudes.shape[-1], 1 << circuit.qubits)
    wanted = {
        "weights": (weights, (runs, circuit.parameters)),
        "inputs": (inputs, (runs, batch, circuit.inputs)),
        "amplitudes": (amplitudes, (runs, batch, states)),
    }
    for name, (tensor, shape) in wanted.items():
        if tuple(tensor.shape) != shape:
            raise HilbertuneError(f"{name} must have the shape {list(shape)}, not {list(tensor.shape)}.")
        if tensor.dtype != weights.dtype or tensor.device != weights.device:
            raise HilbertuneError(
                f"{name} are {tensor.dtype} on {tensor.device}, weights {weights.dtype} on {weights.device}: "
                "bring them together with .to()."
            )
    if not measured or len(set(measured)) < len(measured):
        raise HilbertuneError(f"measured must name different qubits, at least one, not {measured}.")
    if not all(0 <= qubit < circuit.qubits for qubit in measured):
        raise HilbertuneError(f"measured names qubits outside 0..{circuit.qubits - 1}: {measured}.")
