"""A head as an ONNX graph: from embeddings to logits and probabilities.

In: a `HybridHead`. Trained angles are constants: gates that touch few qubits are multiplied into one small matrix,
which a permutation of axes and a matrix product apply to all amplitudes.
Out: the graph.
"""

import math
from typing import Any

import numpy as np
import torch

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.lowering import lowered
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import Task
from hilbertune.data.columns import ORDINARY
from hilbertune.engine.dense import apply_operation
from hilbertune.errors import require
from hilbertune.model.classical import ClassicalEncoder, ClassicalHead
from hilbertune.model.layers import HybridHead
from hilbertune.model.readout import in_double

_TOGETHER = 6
"""Qubits that a matrix of merged gates acts on at most: 16 KiB in single precision."""


class GraphBuilder:
    """Nodes of a graph, one after another; every method returns the name of what it computes."""

    def __init__(self) -> None:
        self.onnx = require("onnx", "export")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, kind: Any = np.float32) -> str:
        """Add numbers that the graph carries."""
        name = f"c{len(self.constants)}"
        array = np.asarray(values, kind, order="C")
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an operation and return the name of its result."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def reshape(self, x: str, *shape: int) -> str:
        """Give the same numbers another shape."""
        return self("Reshape", x, self.constant(shape, np.int64))

    def column(self, x: str, index: int, axis: int) -> str:
        """Take one entry along an axis, which vanishes."""
        return self("Gather", x, self.constant(index, np.int64), axis=axis)

    def normalised(self, x: str) -> str:
        """Divide rows by their norms, as `tensors.unit` does."""
        largest = self("ReduceMax", self("Abs", x), self.constant([-1], np.int64), keepdims=1)
        small = self(
            "And", self("Less", largest, self.constant(ORDINARY[0])), self("Greater", largest, self.constant(0))
        )
        extreme = self("Or", self("Greater", largest, self.constant(ORDINARY[1])), small)
        x = self("Div", x, self("Where", extreme, largest, self.constant(1)))
        norm = self("ReduceL2", x, self.constant([-1], np.int64), keepdims=1)
        return self("Div", x, self("Max", norm, self.constant(1e-12)))

    def side_by_side(self, columns: list[str]) -> str:
        """Put values [batch] side by side as columns [batch, columns]."""
        return self("Concat", *(self.reshape(one, -1, 1) for one in columns), axis=1)


def head_graph(hybrid: HybridHead, task: Task, opset: int) -> Any:
    """Return the head as a graph from `embeddings` to the answers."""
    add = GraphBuilder()
    helper, kind = add.onnx.helper, add.onnx.TensorProto.FLOAT
    logits = _averaged(add, [_logits(add, hybrid.member(number)) for number in range(hybrid.members)], task)
    outputs = {"value": logits}
    if task != "regression":
        outputs = {
            "logits": logits,
            "probabilities": _probabilities(add, logits, task, hybrid.outputs),
        }
    nodes = [
        *add.nodes,
        *(helper.make_node("Identity", [value], [name]) for name, value in outputs.items()),
    ]
    graph = helper.make_graph(
        nodes,
        "hilbertune",
        [helper.make_tensor_value_info("embeddings", kind, ["batch", hybrid.features])],
        [helper.make_tensor_value_info(name, kind, ["batch", None]) for name in outputs],
        add.constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def _logits(add: GraphBuilder, hybrid: HybridHead) -> str:
    """Compute the logits [batch, outputs] of a single head."""
    state = {k: v.detach().cpu().double().numpy()[0] for k, v in hybrid.state_dict().items()}
    angles = add("Mul", _angles(add, hybrid, state), add.constant(state.get("input_factor", hybrid.config.angle_scale)))
    if "input_shift" in state:
        angles = add("Add", angles, add.constant(state["input_shift"]))
    if isinstance(hybrid.head, ClassicalHead):
        values = _dense(add, hybrid.head, angles, state["head.weights"])
    else:
        values = _circuit(add, hybrid.head.circuit, state["head.weights"], angles, hybrid.head.measured)
    matrix, bias = in_double(hybrid.linear_weight, hybrid.linear_bias)
    return add("Add", add("MatMul", values, add.constant(matrix.T)), add.constant(bias))


def _averaged(add: GraphBuilder, each: list[str], task: Task) -> str:
    """Compute what `tasks.averaged` does of the logits of each member."""
    if len(each) == 1:
        return each[0]
    if task == "regression":
        return add("Mean", *each)

    def summed(logarithms: list[str]) -> str:
        stacked = add("Concat", *(add("Unsqueeze", one, add.constant([0], np.int64)) for one in logarithms), axis=0)
        return add("ReduceLogSumExp", stacked, add.constant([0], np.int64), keepdims=0)

    if task == "classification":
        total = summed([add("LogSoftmax", one, axis=1) for one in each])
        return add("Sub", total, add.constant(math.log(len(each))))
    yes = summed([add("Neg", add("Softplus", add("Neg", one))) for one in each])
    no = summed([add("Neg", add("Softplus", one)) for one in each])
    return add("Sub", yes, no)


def _angles(add: GraphBuilder, hybrid: HybridHead, state: dict[str, np.ndarray]) -> str:
    """Compute what the encoders hand to the head, before scaling."""
    config = hybrid.config
    if isinstance(hybrid.encoder, ClassicalEncoder):
        parts = _classical_encoders(add, hybrid, hybrid.encoder, state)
    else:
        x = _amplitudes(add, hybrid, state)
        circuit = hybrid.encoder.circuit
        measured = tuple(range(circuit.qubits))
        parts = [_circuit(add, circuit, own, x, measured) for own in state["encoder.weights"]]
    if config.merge == "average":
        return add("Mean", *parts)
    return parts[0] if len(parts) == 1 else add("Concat", *parts, axis=1)


def _classical_encoders(
    add: GraphBuilder, hybrid: HybridHead, encoder: ClassicalEncoder, state: dict[str, np.ndarray]
) -> list[str]:
    """Compute the outputs of the classical encoders used for comparisons, [batch, qubits] each."""
    config, x = hybrid.config, "embeddings"
    if encoder.linear:
        weights = state["encoder.weights"]
        x = add("Mul", add.normalised(x), add.constant(math.sqrt(hybrid.features)))
        product = add("MatMul", x, add.constant(weights[:, :-1].T))
        values = add("Tanh", add("Add", product, add.constant(weights[:, -1])))
    else:
        centred = add("Sub", x, add.constant(state["encoder.mean"]))
        values = add("MatMul", centred, add.constant(state["encoder.matrix"].T))
    return [
        add(
            "Gather",
            values,
            add.constant(np.arange(config.encoder_qubits) + start, np.int64),
            axis=1,
        )
        for start in range(0, config.encoders * config.encoder_qubits, config.encoder_qubits)
    ]


def _amplitudes(add: GraphBuilder, hybrid: HybridHead, state: dict[str, np.ndarray]) -> str:
    """Compute the amplitudes [batch, 2^qubits] that the encoders load."""
    config, loading, x = hybrid.config, hybrid.loading, "embeddings"
    assert loading is not None
    if "loading.mean" in state:
        x = add("Sub", x, add.constant(state["loading.mean"]))
    if "loading.matrix" in state:
        x = add("MatMul", x, add.constant(state["loading.matrix"].T))
    elif loading.width < hybrid.features:
        x = add("Gather", x, add.constant(np.arange(loading.width), np.int64), axis=1)
    if config.norm == "keep":
        x = add("Pad", x, add.constant([0, 0, 0, 1], np.int64), add.constant(state["loading.length"]))
    x = add.normalised(x)
    if config.padding == "constant":
        x = add("Mul", x, add.constant(math.sqrt(1 - config.constant_share**2)))
    ends = add.constant([0, 0, 0, loading.free], np.int64)
    x = add("Pad", x, ends, add.constant(loading.rest))
    return add.normalised(x) if config.padding == "constant" else x


def _dense(add: GraphBuilder, head: ClassicalHead, angles: str, weights: np.ndarray) -> str:
    """Compute the classical head used for comparisons."""
    if not head.dense:
        return angles
    cut = head.qubits * (head.inputs + 1)
    for rows, part in ((head.qubits, weights[:cut]), (len(head.measured), weights[cut:])):
        layer = part.reshape(rows, -1)
        product = add("MatMul", angles, add.constant(layer[:, :-1].T))
        angles = add("Tanh", add("Add", product, add.constant(layer[:, -1])))
    return angles


def _circuit(add: GraphBuilder, circuit: Circuit, weights: np.ndarray, x: str, measured: tuple[int, ...]) -> str:
    """Compute <Z> of the measured qubits [batch, measured] for amplitudes `x`, or angles `x` if the circuit has inputs.

    The state is [batch, 2, 2, ...] with an axis for each qubit, in an order that changes from step to step.
    """
    if not circuit.plain:
        plain = lowered(circuit)
        weights = np.array(plain.weight_angles.of(weights.tolist()))
        if circuit.inputs:
            sources, scales, offsets = (np.array(column) for column in plain.input_angles)
            x = add("Mul", add("Gather", x, add.constant(sources, np.int64), axis=1), add.constant(scales))
            x = add("Add", x, add.constant(offsets))
        else:
            more = (1 << plain.qubits) - (1 << circuit.qubits)
            x = add("Pad", x, add.constant([0, 0, 0, more], np.int64))
        circuit, measured = plain, tuple(plain.wires[qubit] for qubit in measured)
    qubits = circuit.qubits
    # Axis 1 is the highest qubit, as the index of an amplitude has it.
    order = list(range(qubits - 1, -1, -1))
    shape = (-1, *(2,) * qubits)
    if circuit.inputs:
        state = add.constant(np.eye(1, 1 << qubits).reshape(1, *shape[1:]))
        half = add("Mul", x, add.constant(0.5))
        cosines, sines = add("Cos", half), add("Sin", half)
    else:
        state = add.reshape(x, *shape)
    for step in steps_of(circuit):
        if step[0].input is None:
            touched = sorted({q for o in step for q in o.qubits})
            wanted = [q for q in order if q not in touched] + touched[::-1]
            state = add("Transpose", state, perm=[0, *(1 + order.index(q) for q in wanted)])
            order = wanted
            flat = add.reshape(state, -1, 1 << (qubits - len(touched)), 1 << len(touched))
            matrix = add.constant(_matrix(circuit, step, touched, weights).T)
            state = add.reshape(add("MatMul", flat, matrix), *shape)
            continue
        place = order.index(step[0].target)
        sizes = 1 << place, 1 << (qubits - 1 - place)
        parts = add.reshape(state, -1, sizes[0], 2, sizes[1])
        zero, one = add.column(parts, 0, 2), add.column(parts, 1, 2)
        column = circuit.slot(step[0]) - circuit.parameters
        cosine, sine = (add.reshape(add.column(values, column, 1), -1, 1, 1) for values in (cosines, sines))
        halves = (
            add("Sub", add("Mul", cosine, zero), add("Mul", sine, one)),
            add("Add", add("Mul", sine, zero), add("Mul", cosine, one)),
        )
        turned = [add.reshape(one, -1, sizes[0], 1, sizes[1]) for one in halves]
        state = add.reshape(add("Concat", *turned, axis=2), *shape)
    squared = add("Mul", state, state)
    values = []
    for qubit in measured:
        place = order.index(qubit)
        parts = add.reshape(squared, -1, 1 << place, 2, 1 << (qubits - 1 - place))
        share = add("ReduceSum", parts, add.constant([1, 3], np.int64), keepdims=0)
        values.append(add("Sub", add.column(share, 0, 1), add.column(share, 1, 1)))
    return add.side_by_side(values)


def steps_of(circuit: Circuit) -> list[list[Operation]]:
    """Return the gates in groups: rotations by an input alone, others together while they touch few qubits."""
    steps: list[list[Operation]] = []
    for operation in circuit.operations:
        if steps and operation.input is None and steps[-1][0].input is None:
            touched = {q for o in (*steps[-1], operation) for q in o.qubits}
            if len(touched) <= _TOGETHER:
                steps[-1].append(operation)
                continue
        steps.append([operation])
    return steps


def _probabilities(add: GraphBuilder, logits: str, task: Task, outputs: int) -> str:
    """Compute what `tasks.probabilities` does."""
    if task == "classification":
        return add("Softmax", logits, axis=1)
    shares = add("Sigmoid", logits)
    if task == "multi-label":
        return shares
    if task == "one-vs-rest":
        return add("Div", shares, add("ReduceSum", shares, add.constant([1], np.int64), keepdims=1))
    parts = []
    lowest = ""
    for step in range(outputs):
        now = add.column(shares, step, 1)
        now = add("Min", lowest, now) if lowest else now
        parts.append(add("Sub", lowest or add.constant(1.0), now))
        lowest = now
    return add.side_by_side([*parts, lowest])


def _matrix(circuit: Circuit, group: list[Operation], touched: list[int], weights: np.ndarray) -> np.ndarray:
    """Return the product of gates on a few qubits, of which the first is the least significant bit."""
    # A row for each basis state, which the gates turn into a column of the product.
    states = torch.eye(1 << len(touched), dtype=torch.float64)
    for operation in group:
        control = None if operation.control is None else touched.index(operation.control)
        moved = operation._replace(target=touched.index(operation.target), control=control)
        angle = 0.0 if operation.kind == "cx" else float(circuit.angle(operation, weights, None))
        states = apply_operation(states, moved, angle)
    product: np.ndarray = states.T.numpy()
    return product
