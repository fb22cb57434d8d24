"""Running circuits: `expectation`, exact or sampled, differentiable in weights, inputs and amplitudes.

In: a `Circuit` and tensors, with a leading `runs` axis for models side by side. Out: <Z> of the measured qubits, or of
other observables.
The tensors' device chooses the engine; shots and the gradients of a QPU stand on top of any engine (sampling.py).
"""

import functools
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Inexact
from torch import Tensor
from torch.nn import functional

from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.circuit.lowering import Angles, Lowered, lowered
from hilbertune.circuit.observables import Observable, Word, groups, sums
from hilbertune.circuit.table import Circuit
from hilbertune.config.fields import is_whole
from hilbertune.config.records import EngineName, Gradient
from hilbertune.engine import sampling, transforms
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.config.noise import Noise


_CONTROLLED_ROTATIONS = {"crx", "cry", "crz", "cp"}
"""Kinds whose generators have more than two eigenvalues: the rule of two terms holds for what they are made of."""


def expectation(
    circuit: Circuit,
    weights: Float[Tensor, "*runs weights"],
    inputs: Float[Tensor, "*runs_batch inputs"] | None = None,
    amplitudes: Inexact[Tensor, "*runs_batch amplitudes"] | None = None,
    *,
    measured: Sequence[int] | None = None,
    observables: Sequence[Observable] | None = None,
    shots: int | None = None,
    gradient: Gradient = "adjoint",
    noise: "Noise | None" = None,
    rngs: sampling.Shots | None = None,
    engine: EngineName | sampling.Engine = "auto",
) -> Float[Tensor, "*runs_batch measured"]:
    """Return <Z> of each measured qubit, in the order asked for (default: all qubits), or of each observable.

    The axis `runs` is for models side by side. Without it in `weights` it is absent everywhere, and then `batch` may be
    absent from inputs and amplitudes as well, for one row: the result has the axes that these have.

    Args:
        circuit: what to run.
        weights: angles [runs, circuit.parameters] in radians, float32 or float64.
        inputs: angles [runs, batch, circuit.inputs] in radians; None if the circuit reads none.
        amplitudes: the start state [runs, batch, 2^qubits], real or complex, of norm 1 where samples are drawn; None is
            |0...0>. Fewer than 2^qubits are the first ones; the others are 0, and not computed with before a gate fills
            them.
        measured: the qubits to measure.
        observables: Pauli words such as "Z0 X2", or weighted sums such as {"Z0 Z1": 0.5, "X0": -1.0}, instead of
            `measured`. Words that commute qubit by qubit share a measurement, and so its shots.
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
    how = shots, gradient, noise, rngs, engine
    if weights.dim() == 1:

        def of_runs(*tensors: Tensor | None) -> Tensor:
            return _of_observables(run, circuit, tensors, measured, observables, how)

        return one_run(of_runs, weights, inputs, amplitudes)
    return _of_observables(run, circuit, (weights, inputs, amplitudes), measured, observables, how)


def one_run(
    of_runs: Callable[[Tensor, Tensor | None, Tensor | None], Tensor],
    weights: Float[Tensor, " weights"],
    inputs: Float[Tensor, "*batch inputs"] | None,
    amplitudes: Inexact[Tensor, "*batch amplitudes"] | None,
) -> Tensor:
    """Return what a function of tensors with the axes `runs` and `batch` returns, for tensors without them."""
    given = [tensor for tensor in (inputs, amplitudes) if tensor is not None]
    if any(tensor.dim() > 2 for tensor in given):
        raise HilbertuneError(
            f"weights must have the shape [runs, {len(weights)}], not {list(weights.shape)}, beside inputs or "
            "amplitudes with an axis for runs."
        )
    batched = any(tensor.dim() > 1 for tensor in given)
    inputs, amplitudes = (t if t is None or t.dim() > 1 else t[None] for t in (inputs, amplitudes))
    result = of_runs(
        weights[None], None if inputs is None else inputs[None], None if amplitudes is None else amplitudes[None]
    )[0]
    return result if batched else result[0]


def _of_observables(
    run: Callable[..., Tensor],
    circuit: Circuit,
    tensors: tuple[Tensor | None, ...],
    measured: Sequence[int] | None,
    observables: Sequence[Observable] | None,
    how: tuple[Any, ...],
) -> Float[Tensor, "runs batch measured"]:
    """Return <Z> or the observables of tensors with all axes; `how` ends the arguments of `_expectation`."""
    if observables is None:
        return run(circuit, *tensors, measured, (), *how)
    if measured is not None:
        raise HilbertuneError("Give measured or observables, not both.")
    terms = sums(observables, circuit.qubits)
    words = tuple(dict.fromkeys(word for own in terms for word in own))
    noise, rngs = how[2], how[3]
    if isinstance(rngs, sampling.Counter):
        raise HilbertuneError("A counter draws the shots of measured qubits: give random generators for observables.")
    if noise is not None and noise.readout and any(len(word) > 1 for word in words):
        raise HilbertuneError(
            "Readout errors are simulated for words of one qubit: leave `readout` at 0 for longer ones."
        )
    values: dict[Word, Tensor] = {}
    for group in groups(words):
        answer = run(circuit, *tensors, group.measured, group.after, *how)
        values |= dict(zip(group.words, answer.unbind(-1), strict=True))
    if () in words:
        weights = tensors[0]
        assert weights is not None
        batch = next((t.shape[1] for t in tensors[1:] if t is not None), 1)
        values[()] = weights.new_ones(len(weights), batch)
    return torch.stack([torch.stack([w * values[word] for word, w in own.items()]).sum(0) for own in terms], -1)


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
    after: tuple[Operation, ...],
    shots: int | None,
    gradient: Gradient,
    noise: "Noise | None",
    rngs: sampling.Shots | None,
    engine: EngineName | sampling.Engine,
) -> Tensor:
    if not isinstance(circuit, Circuit) or is_whole(measured):
        raise HilbertuneError("expectation needs a Circuit, and measured qubits as a list such as [0].")
    measured = tuple(range(circuit.qubits)) if measured is None else tuple(measured)
    inputs, amplitudes = checked(circuit, weights, inputs, amplitudes, measured)
    if transforms.transformed(weights, inputs, amplitudes):
        engine = _traceable(engine, shots, gradient, noise)
    circuit = _as_sent(circuit, after, gradient) if callable(engine) else _as_erring(circuit, noise)
    if not callable(engine) and (after or not circuit.plain or amplitudes.is_complex()):
        circuit, weights, inputs, amplitudes, measured = in_ry_and_cnot(
            circuit, weights, inputs, amplitudes, measured, after
        )
    run, shift = _engine(engine, weights.device)
    if callable(engine):
        # Hardware has shots and noise of its own, and no derivative that could be followed backwards.
        shots = noise = None
        if gradient == "adjoint" and torch.is_grad_enabled() and (weights.requires_grad or inputs.requires_grad):
            raise HilbertuneError("Hardware has no adjoint gradient: use gradient='parameter-shift' or 'spsa'.")
    if shots is None and noise is None and gradient == "adjoint":
        return run(circuit, weights, inputs, amplitudes, measured, False)[0]
    _check_sampling(shots, noise)
    if isinstance(rngs, sampling.Counter):
        if gradient != "adjoint" or noise is not None or len(rngs.keys) != len(weights):
            raise HilbertuneError(
                "A counter draws the shots of gradient='adjoint' without noise and has a key for each run: "
                "give random generators instead."
            )
        return sampling.adjoint(sampling.Call(run, circuit, amplitudes, measured, shots, rngs), weights, inputs)
    rngs = _generators(rngs, len(weights))
    if noise is not None:
        from hilbertune.engine.noise import noisy

        run = noisy(run, noise, rngs)
        shift = partial(sampling.shifted, run)
    call = sampling.Call(run, circuit, amplitudes, measured, shots, rngs)
    return _differentiable(call, shift, gradient, weights, inputs)


def _as_sent(circuit: Circuit, after: tuple[Operation, ...], gradient: Gradient) -> Circuit:
    """Return the circuit as hardware gets it: as it is written, and then the change of basis in which it is measured.

    For gradients by parameter-shift controlled rotations are written as what they are made of.
    """
    whole = Circuit(circuit.qubits, (*circuit.operations, *after)) if after else circuit
    shifts = gradient == "parameter-shift" and torch.is_grad_enabled()
    return whole.without(_CONTROLLED_ROTATIONS) if shifts else whole


def _as_erring(circuit: Circuit, noise: "Noise | None") -> Circuit:
    """Return the circuit whose gates err: one on three qubits as those on one and two that it is made of."""
    if noise is None:
        return circuit
    return circuit.without({name for name, kind in KINDS.items() if kind.qubits == 3})


def _check_sampling(shots: int | None, noise: "Noise | None") -> None:
    """Raise HilbertuneError for a number of shots that is none, or for noise of another kind."""
    if shots is not None and is_whole(shots) and shots >= 1 << 31:
        raise HilbertuneError(f"shots must be below 2^31, not {shots}; None is exact.")
    if shots is not None and not (is_whole(shots) and shots >= 1):
        raise HilbertuneError(f"shots must be 1 or more, not {shots}; None is exact.")
    if noise is not None and not hasattr(noise, "trajectories"):
        raise HilbertuneError(f"noise must be a hilbertune.config.Noise, not {noise!r}.")


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


def in_ry_and_cnot(
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor,
    amplitudes: Tensor,
    measured: tuple[int, ...],
    after: tuple[Operation, ...] = (),
) -> tuple[Lowered, Tensor, Tensor, Tensor, tuple[int, ...]]:
    """Return the circuit that engines run in its place, with its angles, its start and the qubits to measure."""
    plain = lowered(circuit, after, amplitudes.is_complex())
    if amplitudes.is_complex():
        missing = (1 << circuit.qubits) - amplitudes.shape[-1]
        amplitudes = torch.cat([functional.pad(amplitudes.real, (0, missing)), amplitudes.imag], -1)
    w, x = _angles(plain.weight_angles, weights), _angles(plain.input_angles, inputs)
    return plain, w, x, amplitudes, tuple(plain.wires[qubit] for qubit in measured)


def _angles(angles: Angles, values: Float[Tensor, "*leading slots"]) -> Float[Tensor, "*leading angles"]:
    """Return the angles of a circuit in RY and CNOT from those of the circuit as written; differentiable."""
    made = _columns if transforms.transformed(values) else _kept_columns
    sources, scales, offsets = made(angles, values.dtype, values.device)
    # A fixed angle reads the column of zeros, which stands last, where -1 points.
    return functional.pad(values, (0, 1))[..., sources] * scales + offsets


def _columns(angles: Angles, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three columns of angles as tensors."""
    sources = torch.tensor(angles.sources, dtype=torch.long, device=device)
    scales, offsets = (torch.tensor(column, dtype=dtype, device=device) for column in angles[1:])
    return sources, scales, offsets


@functools.lru_cache(maxsize=256)
def _kept_columns(angles: Angles, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the columns, made once: a training step that a GPU records may not copy anything from the host."""
    with torch.inference_mode(False):  # where they are made must not say where they may be used
        return _columns(angles, dtype, device)


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


def checked(
    circuit: Circuit,
    weights: Tensor,
    inputs: Tensor | None,
    amplitudes: Tensor | None,
    measured: tuple[int, ...],
) -> tuple[Tensor, Tensor]:
    """Return inputs and amplitudes, empty where they are absent; raise HilbertuneError if anything does not fit."""
    for name, tensor in (("weights", weights), ("inputs", inputs), ("amplitudes", amplitudes)):
        if tensor is not None:
            transforms.require_tensor(tensor, name, real=name != "amplitudes")
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
        raise HilbertuneError(f"weights must be float32 or float64, not {weights.dtype}: call .float().")
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
        real = tensor.real.dtype if name == "amplitudes" and tensor.is_complex() else tensor.dtype
        if real != weights.dtype or tensor.device != weights.device:
            raise HilbertuneError(
                f"{name} are {tensor.dtype} on {tensor.device}, weights {weights.dtype} on {weights.device}: "
                "bring them together with .to()."
            )
