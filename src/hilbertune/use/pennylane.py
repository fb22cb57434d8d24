"""A PennyLane device: `qml.device("hilbertune.qubit", wires=n)`, this engine behind PennyLane's own QNodes.

In: PennyLane's tapes, with broadcast parameters.
Out: their results, exact or sampled, and derivatives by the adjoint method. PennyLane finds the device by its entry
point. With torch's tensors results are differentiable by torch itself; other interfaces ask for derivatives.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pennylane as qml
import torch
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.default_qubit import accepted_analytic_measurement, accepted_sample_measurement
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import (
    decompose,
    device_resolve_dynamic_wires,
    validate_adjoint_trainable_params,
    validate_device_wires,
    validate_measurements,
)
from pennylane.devices.qubit.simulate import measure_final_state
from pennylane.tape import QuantumScript
from torch import Tensor

from hilbertune.circuit.imports import Linear, operations_of
from hilbertune.circuit.kinds import KINDS, Operation
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation
from hilbertune.engine.states import state

_OURS = {
    (f"Adjoint({kind.pennylane[:-1]})" if kind.pennylane.endswith("†") else kind.pennylane): name
    for name, kind in KINDS.items()
}
"""Our gates by the name that a PennyLane operation bears."""


@simulator_tracking
@single_tape_support
class HilbertuneQubit(Device):  # type: ignore[misc]
    """A simulator of circuits without noise on the CPU, for many rows at once.

    Args:
        wires: their number or labels; None takes those of each circuit.
        shots: see PennyLane.
        seed: of the shots.
    """

    @property
    def name(self) -> str:
        """Return the device's name in PennyLane."""
        return "hilbertune.qubit"

    def __init__(self, wires: Any = None, shots: Any = None, seed: Any = None) -> None:
        super().__init__(wires=wires, shots=shots)
        self._rng = np.random.default_rng(seed)

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """Return whether the adjoint method gives the derivatives: of exact expectations alone."""
        if execution_config is None:
            return True
        torchs = execution_config.interface == qml.math.Interface.TORCH
        if execution_config.gradient_method not in ("adjoint", "best") and not (
            torchs and execution_config.gradient_method == "backprop"
        ):
            return False
        return circuit is None or (not circuit.shots and all(_words(m) is not None for m in circuit.measurements))

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """Return the configuration with our choices filled in."""
        config = config or ExecutionConfig()
        ours = self.supports_derivatives(config, circuit)
        if config.gradient_method == "best" and ours:
            torchs = config.interface == qml.math.Interface.TORCH
            config = replace(config, gradient_method="backprop" if torchs else "adjoint")
        if config.gradient_method == "backprop" and ours:
            return replace(config, use_device_gradient=True, grad_on_execution=False, convert_to_numpy=False)
        if config.gradient_method == "adjoint":
            config = replace(
                config, use_device_gradient=True, use_device_jacobian_product=ours, grad_on_execution=False
            )
        return replace(config, convert_to_numpy=True)

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> Any:
        """Return what brings a tape into our gates."""
        config = execution_config or ExecutionConfig()
        program = qml.CompilePipeline()
        program.add_transform(qml.defer_measurements, allow_postselect=False)
        program.add_transform(
            decompose,
            stopping_condition=_known,
            decomposer=_decomposed,
            device_wires=self.wires,
            target_gates={*_OURS, "GlobalPhase"},
            name=self.name,
        )
        program.add_transform(device_resolve_dynamic_wires, wires=self.wires, allow_resets=False)
        program.add_transform(validate_device_wires, self.wires, name=self.name)
        program.add_transform(
            validate_measurements,
            analytic_measurements=accepted_analytic_measurement,
            sample_measurements=accepted_sample_measurement,
            name=self.name,
        )
        if config.gradient_method == "adjoint":
            program.add_transform(validate_adjoint_trainable_params)
        return program

    def execute(self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None) -> Any:
        """Return the results of each tape."""
        followed = execution_config is not None and execution_config.gradient_method == "backprop"
        return tuple(self._run(tape, followed) for tape in circuits)

    def compute_vjp(
        self, circuits: Any, cotangents: Any, execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, ...]:
        """Return the derivatives of the results, weighted by the cotangents, by each trainable parameter."""
        slopes: tuple[Any, ...] = self.execute_and_compute_vjp(circuits, cotangents, execution_config)[1]
        return slopes

    def execute_and_compute_vjp(
        self, circuits: Any, cotangents: Any, execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, Any]:
        """Return the results, and what `compute_vjp` returns."""
        del execution_config
        done = [_with_gradient(tape, own) for tape, own in zip(circuits, cotangents, strict=True)]
        return tuple(result for result, _ in done), tuple(slopes for _, slopes in done)

    def compute_derivatives(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, ...]:
        """Return the Jacobian of each tape's results."""
        slopes: tuple[Any, ...] = self.execute_and_compute_derivatives(circuits, execution_config)[1]
        return slopes

    def execute_and_compute_derivatives(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, Any]:
        """Return the results, and the Jacobian of each tape's."""
        del execution_config
        done = [_with_jacobian(tape) for tape in circuits]
        return tuple(result for result, _ in done), tuple(slopes for _, slopes in done)

    def _run(self, tape: QuantumScript, followed: bool) -> Any:
        """Return a tape's results, which torch can follow backwards if they are `followed`."""
        tape = tape.map_to_standard_wires()
        words = [_words(measurement) for measurement in tape.measurements]
        read = _Read.of(tape)
        with torch.set_grad_enabled(followed):
            if not tape.shots and all(own is not None for own in words):
                values = read.expectations(words)
                return _shaped(values if followed else values.numpy(), read.batched)
            final = read.state().detach().numpy()
        lead = final.shape[:-1] if read.batched else ()
        qubits = read.circuit.qubits
        wires = final.reshape(*lead, *(2,) * qubits)
        # PennyLane's first wire is the most significant bit, ours the least.
        wires = wires.transpose(*range(len(lead)), *reversed(range(len(lead), len(lead) + qubits)))
        return measure_final_state(tape, wires, is_state_batched=read.batched, rng=self._rng)


class _Read(NamedTuple):
    """A tape as this engine takes it: parameters that have no batch are weights, the others inputs."""

    circuit: Circuit
    weights: Tensor
    inputs: Tensor | None
    start: Tensor | None
    batched: bool
    parameters: list[Tensor]
    """The trainable ones, in the tape's order."""

    @classmethod
    def of(cls, tape: QuantumScript, gradient: bool = False) -> "_Read":
        """Read a tape on wires 0, 1, ..."""
        start, operations, first = None, tape.operations, 0
        qubits = max(1, tape.num_wires)
        if operations and isinstance(operations[0], qml.operation.StatePrepBase):
            start = _start(operations[0], qubits)
            first = len(operations[0].data)
            operations = operations[1:]
        tensors = [_tensor(value) for operation in operations for value in operation.data]
        phases = [operation.name == "GlobalPhase" for operation in operations for _ in operation.data]
        operations = [operation for operation in operations if operation.name != "GlobalPhase"]
        batch = tape.batch_size
        circuit = _circuit(
            qubits,
            tuple((_OURS[o.name], tuple(o.wires), tuple(np.ndim(v) > 0 for v in o.data)) for o in operations),
        )
        # Parameters of observables follow those of gates.
        trainable = [place - first for place in tape.trainable_params if 0 <= place - first < len(tensors)]
        for place in trainable if gradient else ():
            tensors[place].requires_grad_()
        # No measurement sees a global phase.
        seen = [t for t, global_ in zip(tensors, phases, strict=True) if not global_]
        scalars = [t for t in seen if t.dim() == 0]
        rows = [t for t in seen if t.dim() > 0]
        batched = batch is not None
        weights = torch.stack(scalars) if scalars else torch.zeros(0, dtype=torch.float64)
        inputs = torch.stack(rows, 1) if rows else None
        if start is not None and batched and start.dim() == 1:
            start = start.expand(batch, -1)
        if start is not None and start.dim() == 2 and inputs is None:
            inputs = torch.zeros(len(start), 0, dtype=torch.float64)
        return cls(circuit, weights, inputs, start, batched, [tensors[place] for place in trainable])

    def expectations(self, words: Sequence[dict[str, float] | None]) -> Tensor:
        observables = [own for own in words if own is not None]
        return expectation(self.circuit, self.weights, self.inputs, self.start, observables=observables)

    def state(self) -> Tensor:
        return state(self.circuit, self.weights, self.inputs, self.start)


@lru_cache(maxsize=256)
def _circuit(qubits: int, gates: tuple[tuple[str, tuple[int, ...], tuple[bool, ...]], ...]) -> Circuit:
    """Return the circuit of gates (kind, qubits, for its angle whether it is batched)."""
    counts = {"w": 0, "x": 0}
    operations: list[Operation] = []
    for kind, wires, batched in gates:
        angle = None
        if batched:
            side = "x" if batched[0] else "w"
            angle = Linear({(side, counts[side]): 1.0}, 0.0)
            counts[side] += 1
        operations += operations_of(kind, wires, angle)
    return Circuit(qubits, tuple(operations))


def _tensor(value: Any) -> Tensor:
    """Return an angle in double precision; a tensor of torch's stays part of its graph."""
    if isinstance(value, Tensor):
        return value.to(torch.float64)
    return torch.from_numpy(np.array(value, dtype=np.float64))


def _start(preparation: Any, qubits: int) -> Tensor:
    """Return the start state in our order of bits."""
    vector = np.asarray(preparation.state_vector(wire_order=range(qubits)), dtype=np.complex128)
    lead = vector.ndim - qubits
    ours = vector.transpose(*range(lead), *reversed(range(lead, vector.ndim)))
    flat = torch.from_numpy(np.ascontiguousarray(ours.reshape(*vector.shape[:lead], -1)))
    return flat if bool((flat.imag != 0).any()) else flat.real.contiguous()


def _known(operation: Any) -> bool:
    return operation.name in (*_OURS, "GlobalPhase") or isinstance(operation, qml.operation.StatePrepBase)


def _decomposed(operation: Any) -> Sequence[Any]:
    """Return what a gate is made of, by its matrix if PennyLane does not know."""
    if operation.has_decomposition or not operation.has_matrix:
        parts: Sequence[Any] = operation.decomposition()
        return parts
    return [qml.QubitUnitary(qml.matrix(operation), wires=operation.wires)]


def _words(measurement: Any) -> dict[str, float] | None:
    """Return an expectation's Pauli words with their weights, None for anything else."""
    if not isinstance(measurement, qml.measurements.ExpectationMP) or measurement.obs is None:
        return None
    sentence = measurement.obs.pauli_rep
    if sentence is None or any(np.iscomplex(weight) for weight in sentence.values()):
        return None
    return {
        " ".join(f"{letter}{wire}" for wire, letter in word.items()): float(np.real(weight))
        for word, weight in sentence.items()
    } or {"": 0.0}


def _shaped(values: Any, batched: bool) -> Any:
    """Return expectations [batch, measurements] as PennyLane has results: one, or a tuple of them."""
    results = tuple(values[:, k] if batched else values[k] for k in range(values.shape[-1]))
    return results[0] if len(results) == 1 else results


def _with_gradient(tape: QuantumScript, cotangents: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a tape's results and the derivative of their product with the cotangents by each parameter."""
    tape = tape.map_to_standard_wires()
    read = _Read.of(tape, gradient=True)
    values = read.expectations([_words(measurement) for measurement in tape.measurements])
    each = cotangents if len(tape.measurements) > 1 else (cotangents,)
    weights = torch.stack([torch.as_tensor(np.asarray(c, dtype=np.float64)) for c in each], -1)
    slopes = _grad((values * weights).sum(), read.parameters)
    return _shaped(values.detach().numpy(), read.batched), tuple(slope.numpy() for slope in slopes)


def _with_jacobian(tape: QuantumScript) -> tuple[Any, Any]:
    """Return a tape's results and their derivatives: a row for each result, a column for each parameter."""
    tape = tape.map_to_standard_wires()
    read = _Read.of(tape, gradient=True)
    values = read.expectations([_words(measurement) for measurement in tape.measurements])
    rows = []
    for number in range(values.shape[-1]):
        slopes = [slope.numpy() for slope in _grad(values[..., number].sum(), read.parameters, retain=True)]
        rows.append(slopes[0] if len(slopes) == 1 else tuple(slopes))
    result = _shaped(values.detach().numpy(), read.batched)
    return result, (rows[0] if len(rows) == 1 else tuple(rows))


def _grad(total: Tensor, parameters: Sequence[Tensor], retain: bool = False) -> list[Tensor]:
    """Return derivatives, 0 by what the total does not depend on."""
    if not parameters or not total.requires_grad:
        return [torch.zeros_like(parameter) for parameter in parameters]
    found = torch.autograd.grad(total, parameters, retain_graph=retain, allow_unused=True)
    return [torch.zeros_like(p) if slope is None else slope for p, slope in zip(parameters, found, strict=True)]
