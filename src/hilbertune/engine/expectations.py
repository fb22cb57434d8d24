"""Running circuits: `expectation`, exact or sampled, differentiable in weights, inputs and amplitudes.

In: a `Circuit` and tensors with a leading `runs` axis (models side by side). Out: <Z> of the measured qubits.
The tensors' device chooses the engine; shots and the gradients of a QPU stand on top of any engine (sampling.py).
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.table import Circuit
from hilbertune.config.fields import is_whole
from hilbertune.config.records import EngineName, Gradient
from hilbertune.engine import sampling, transforms
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.config.noise import Noise


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
    rngs: sampling.Shots | None = None,
    engine: EngineName | sampling.Engine = "auto",
) -> Float[Tensor, "runs batch measured"]:
    """Return <Z> of each measured qubit, in the order asked for (default: all qubits).

    Args:
        circuit: what to run.
        weights: angles [runs, circuit.parameters] in radians, float32 or float64.
        inputs: angles [runs, batch, circuit.inputs] in radians; None if the circuit reads none.
        amplitudes: the start state [runs, batch, 2^qubits], of norm 1 where samples are drawn; None is |0...0>. Fewer
            than 2^qubits are the first ones; the others are 0, and not computed with before a gate fills them.
        measured: the qubits to measure.
        shots: None is exact; otherwise bitstrings of the measured qubits are drawn jointly, `shots` for each sample.
        gradient: "adjoint" (exact), "parameter-shift" (what hardware returns: two expectations for each use of an
            angle, each with `shots`), or "spsa" (two expectations in all, a random direction).
        noise: gate and readout errors (hilbertune.engine.noise), as a mean over random trajectories; None has none.
        rngs: a random generator for each run, so that a run's samples do not depend on its neighbours; or, for shots
            with gradient="adjoint" and without noise, a `hilbertune.engine.sampling.Counter`.
        engine: "cpu", "gpu", "reference", "auto" by the device of `weights`, or hardware
            (hilbertune.hardware.HardwareBackend), which has its own shots and noise. Where PyTorch traces, exports or
            transforms the call (torch.jit.trace, torch.export, torch.func), "auto" is "reference".

    Raises:
        HilbertuneError: shapes, dtypes or devices do not fit, shots < 1, a qubit does not exist, or PyTorch is to trace
            or transform what is not made of its own operations: shots, noise, hardware and its gradients, kernels.
    """
    compiling = "torch._dynamo" in sys.modules and not transforms.exporting()
    run: Callable[..., Tensor] = _uncompiled() if compiling else _expectation
    return run(circuit, weights, inputs, amplitudes, measured, shots, gradient, noise, rngs, engine)


_disabled: Any = None


def _uncompiled() -> Any:
    """Return `_expectation` kept out of torch.compile, whose import takes seconds: it is left to those who compile."""
    global _disabled
    if _disabled is None:
        _disabled = torch.compiler.disable(_expectation)  # type: ignore[no-untyped-call]
    return _disabled


def _expectation(
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor | None,
    amplitudes: Tensor | None,
    measured: Sequence[int] | None,
    shots: int | None,
    gradient: Gradient,
    noise: "Noise | None",
    rngs: sampling.Shots | None,
    engine: EngineName | sampling.Engine,
) -> Tensor:
    if not isinstance(circuit, Circuit) or is_whole(measured):
        raise HilbertuneError("expectation needs a Circuit, and measured qubits as a list such as [0].")
    measured = tuple(range(circuit.qubits)) if measured is None else tuple(measured)
    inputs, amplitudes = _checked(circuit, weights, inputs, amplitudes, measured)
    if transforms.transformed(weights, inputs, amplitudes):
        engine = _traceable(engine, shots, gradient, noise)
    run, shift = _engine(engine, weights.device)
    if callable(engine):
        # Hardware has shots and noise of its own, and no derivative that could be followed backwards.
        shots = noise = None
        if gradient == "adjoint" and torch.is_grad_enabled() and (weights.requires_grad or inputs.requires_grad):
            raise HilbertuneError("Hardware has no adjoint gradient: use gradient='parameter-shift' or 'spsa'.")
    if shots is None and noise is None and gradient == "adjoint":
        return run(circuit, weights, inputs, amplitudes, measured, False)[0]
    if shots is not None and is_whole(shots) and shots >= 1 << 31:
        raise HilbertuneError(f"shots must be below 2^31, not {shots}; None is exact.")
    if shots is not None and not (is_whole(shots) and shots >= 1):
        raise HilbertuneError(f"shots must be 1 or more, not {shots}; None is exact.")
    if isinstance(rngs, sampling.Counter):
        if gradient != "adjoint" or noise is not None or len(rngs.keys) != len(weights):
            raise HilbertuneError(
                "A counter draws the shots of gradient='adjoint' without noise and has a key for each run: "
                "give random generators instead."
            )
        return sampling.adjoint(sampling.Call(run, circuit, amplitudes, measured, shots, rngs), weights, inputs)
    rngs = _generators(rngs, len(weights))
    if noise is not None and not hasattr(noise, "trajectories"):
        raise HilbertuneError(f"noise must be a hilbertune.config.Noise, not {noise!r}.")
    if noise is not None:
        from hilbertune.engine.noise import noisy

        run = noisy(run, noise, rngs)
        shift = partial(sampling.shifted, run)
    call = sampling.Call(run, circuit, amplitudes, measured, shots, rngs)
    return _differentiable(call, shift, gradient, weights, inputs)


def _traceable(
    engine: "EngineName | sampling.Engine", shots: int | None, gradient: Gradient, noise: "Noise | None"
) -> EngineName:
    """Return the engine that PyTorch's transforms see through."""
    if shots is not None or noise is not None or gradient != "adjoint":
        raise HilbertuneError(
            "PyTorch cannot trace, export or transform shots, noise, or the gradients of a QPU, which are not "
            "operations of its own: use gradient='adjoint' without shots and noise."
        )
    if engine not in ("auto", "reference"):
        named = repr(engine) if isinstance(engine, str) else type(engine).__name__
        raise HilbertuneError(
            f"PyTorch cannot trace, export or transform what engine={named} runs: use engine='reference' or 'auto'."
        )
    return "reference"


def _differentiable(
    call: sampling.Call, shift: sampling.Engine, gradient: Gradient, weights: Tensor, inputs: Tensor
) -> Tensor:
    """Return the call's expectations with the gradient asked for."""
    if gradient == "adjoint":
        return sampling.adjoint(call, weights, inputs)
    if call.amplitudes.requires_grad:
        raise HilbertuneError(
            f"gradient={gradient!r} has no derivative by amplitudes: use gradient='adjoint' for encoders."
        )
    if gradient == "parameter-shift":
        return sampling.parameter_shift(shift, call, weights, inputs)
    if gradient == "spsa":
        return sampling.spsa(call, weights, inputs)
    raise HilbertuneError(f"gradient must be 'adjoint', 'parameter-shift' or 'spsa', not {gradient!r}.")


def _generators(rngs: Sequence[np.random.Generator] | None, runs: int) -> Sequence[np.random.Generator]:
    if rngs is None:
        return [np.random.default_rng() for _ in range(runs)]
    if len(rngs) != runs:
        raise HilbertuneError(f"rngs holds {len(rngs)} generators for {runs} runs.")
    if not all(isinstance(rng, np.random.Generator) for rng in rngs):
        raise HilbertuneError("rngs must hold random generators: make them with numpy.random.default_rng(seed).")
    return rngs


def _engine(name: "str | sampling.Engine", device: torch.device) -> tuple[sampling.Engine, sampling.Engine]:
    """Return the engine's exact values, and the same with each rotation shifted; compilers load with their engine."""
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


def _checked(
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor | None,
    amplitudes: Tensor | None,
    measured: tuple[int, ...],
) -> tuple[Tensor, Tensor]:
    """Return inputs and amplitudes, empty where they are absent; raise HilbertuneError if anything does not fit."""
    for name, tensor in (("weights", weights), ("inputs", inputs), ("amplitudes", amplitudes)):
        if tensor is not None:
            transforms.require_tensor(tensor, name)
    runs = len(weights) if weights.dim() else 1
    batch = inputs.shape[1] if inputs is not None and inputs.dim() == 3 else "batch"
    for name, tensor, shape in (
        ("weights", weights, [runs, circuit.parameters]),
        ("inputs", inputs, [runs, "batch", circuit.inputs]),
        ("amplitudes", amplitudes, [runs, batch, 1 << circuit.qubits]),
    ):
        if tensor is not None and tensor.dim() != len(shape):
            raise HilbertuneError(f"{name} must have the shape {shape}, not {list(tensor.shape)}.")
    given = inputs if inputs is not None else amplitudes
    absent = weights.new_zeros(len(weights), 1 if given is None else given.shape[1], 0)
    inputs = absent if inputs is None else inputs
    amplitudes = absent if amplitudes is None else amplitudes
    _check_sizes(circuit, weights, inputs, amplitudes)
    if not all(is_whole(qubit) for qubit in measured):
        raise HilbertuneError(f"measured must hold numbers of qubits, not {measured}.")
    if not measured or len(set(measured)) < len(measured):
        raise HilbertuneError(f"measured must name different qubits, at least one, not {measured}.")
    if not all(0 <= qubit < circuit.qubits for qubit in measured):
        raise HilbertuneError(f"measured names qubits outside 0..{circuit.qubits - 1}: {measured}.")
    return inputs, amplitudes


def _check_sizes(circuit: Circuit, weights: Tensor, inputs: Tensor, amplitudes: Tensor) -> None:
    """Raise HilbertuneError if shapes, types or devices do not fit the circuit or each other."""
    if weights.dtype not in (torch.float32, torch.float64):
        raise HilbertuneError(f"weights must be float32 or float64, not {weights.dtype}.")
    runs, batch = len(weights), inputs.shape[1]
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
