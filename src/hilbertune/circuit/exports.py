"""Conversions of a circuit to Qiskit, PennyLane and OpenQASM 3.

In: a `Circuit`, and angles or amplitudes where they are known.
Out: an object of that package or a text with the same gates in the same order; each method `Circuit.to_...` calls one.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hilbertune.errors import HilbertuneError, require

if TYPE_CHECKING:
    from hilbertune.circuit.table import Circuit


def qiskit_circuit(circuit: "Circuit", weights: Any | None, inputs: Any | None, amplitudes: Any | None) -> Any:
    """Return a `qiskit.QuantumCircuit`, after the loading of amplitudes [2^qubits] if they are given.

    Raises:
        HilbertuneError: fewer angles are given than the circuit reads.
        MissingExtraError: Qiskit is not installed.
    """
    qiskit = require("qiskit", "qiskit")
    vector = require("qiskit.circuit", "qiskit").ParameterVector
    w: Any = vector("w", circuit.parameters) if weights is None else _numbers(weights)
    x: Any = vector("x", circuit.inputs) if inputs is None else _numbers(inputs)
    made = qiskit.QuantumCircuit(circuit.qubits)
    if amplitudes is not None:
        made.prepare_state(np.asarray(amplitudes, dtype=np.float64), normalize=True)
    for operation in circuit.operations:
        angle = [circuit.angle(operation, w, x)] if operation.about.angle else []
        getattr(made, operation.about.qiskit)(*angle, *operation.qubits)
    return made


def pennylane_function(circuit: "Circuit") -> Callable[..., None]:
    """Return a PennyLane quantum function `f(weights, inputs=None, amplitudes=None)` on wires 0..qubits-1.

    Raises:
        HilbertuneError: the function is called with fewer angles than the circuit reads.
        MissingExtraError: PennyLane is not installed.
    """
    qml = require("pennylane", "pennylane")

    def quantum_function(weights: Any, inputs: Any | None = None, amplitudes: Any | None = None) -> None:
        if amplitudes is not None:
            # PennyLane counts wires from the most significant bit.
            qml.AmplitudeEmbedding(amplitudes, wires=range(circuit.qubits)[::-1], normalize=True)
        for operation in circuit.operations:
            angle = [circuit.angle(operation, weights, inputs)] if operation.about.angle else []
            getattr(qml, operation.about.pennylane)(*angle, wires=list(operation.qubits))

    return quantum_function


def qasm3_text(circuit: "Circuit", weights: Any | None, inputs: Any | None, measured: Sequence[int]) -> str:
    """Return OpenQASM 3 text: the header with the declarations, a line for each gate, the measurements.

    Raises:
        HilbertuneError: fewer angles are given than the circuit reads, an angle is not finite, or a measured qubit
            does not exist or is named twice.
    """
    if len(set(measured)) < len(measured) or not all(0 <= q < circuit.qubits for q in measured):
        raise HilbertuneError(f"measured must name different qubits of 0..{circuit.qubits - 1}, not {measured}.")
    names = {o.label: None for o in circuit.operations if o.about.angle}
    bound = {"w": weights is not None, "x": inputs is not None}
    w: Any = [f"w{i}" for i in range(circuit.parameters)] if weights is None else weights
    x: Any = [f"x{i}" for i in range(circuit.inputs)] if inputs is None else inputs
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    lines += [f"input float[64] {name};" for name in names if not bound[name[0]]]
    lines += [f"qubit[{circuit.qubits}] q;"]
    lines += [f"bit[{len(measured)}] c;"] if measured else []
    for operation in circuit.operations:
        name, on = operation.about.qasm, ", ".join(f"q[{qubit}]" for qubit in operation.qubits)
        if operation.about.angle:
            angle = circuit.angle(operation, w, x)
            text = angle if isinstance(angle, str) else repr(float(angle))
            if text in ("nan", "inf", "-inf"):
                raise HilbertuneError(f"Angle {operation.label} must be finite, not {text}.")
            name = f"{name}({text})"
        lines.append(f"{name} {on};")
    lines += [f"c[{bit}] = measure q[{qubit}];" for bit, qubit in enumerate(measured)]
    return "\n".join(lines) + "\n"


def _numbers(values: Any) -> list[float]:
    """Return angles as Python's numbers; a tensor that requires a gradient gives its values without a warning."""
    return [float(value) for value in (values.tolist() if hasattr(values, "tolist") else values)]
