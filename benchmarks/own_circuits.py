"""Circuits of others beside PennyLane's devices: forward and gradient of a batch, in milliseconds.

Usage: python benchmarks/own_circuits.py [--circuits layers-6 ...] [--seconds 2] [--slowest 60] [--json]
    [--out FILE.json]

The circuits: PennyLane's StronglyEntanglingLayers (four) after RX of the data on 6, 10 and 13 qubits; the published
head on 10; PennyLane's demo of a data re-uploading classifier (one qubit, three uploads of three numbers), and its demo
of QAOA for MaxCut (four nodes, two layers). The peers are our `QuantumHead`, a QNode on our device, on lightning.qubit
(adjoint, single precision) and on default.qubit (backpropagation), all on one thread of torch. The batch has 16 rows
where a circuit reads data, else 1. Values and gradients are compared with default.qubit before anything is timed; exit
status 1 if one is 1e-4 or more away. Times are medians of at least three repetitions after a warm-up; what takes more
than --slowest seconds once is not repeated.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pennylane as qml
import torch
from torch import Tensor

from hilbertune.circuit.builders import head
from hilbertune.circuit.observables import Observable
from hilbertune.circuit.table import Circuit
from hilbertune.model.layers import QuantumHead
from hilbertune.runtime.provenance import environment
from hilbertune.runtime.storage import write_atomically

BATCH, TOLERANCE = 16, 1e-4
DEVICES = {"hilbertune.qubit": "best", "lightning.qubit": "adjoint", "default.qubit": "backprop"}
"""PennyLane's devices, with the method of differentiation that suits each."""

Row = dict[str, Any]
Answer = tuple[Tensor, list[Tensor]]
"""Expectations [batch], and the gradients of their sum by weights and by inputs."""


class Problem(NamedTuple):
    """A circuit as PennyLane's users write it, the shapes of its weights and of a row of data, and what is measured."""

    function: Callable[..., None]
    qubits: int
    weights: tuple[int, ...]
    inputs: int
    observable: Observable

    @property
    def circuit(self) -> Circuit:
        return Circuit.from_pennylane(self.function, self.weights, self.inputs, qubits=self.qubits)


def layers(qubits: int) -> Problem:
    """Return four strongly entangling layers on data that RX has loaded."""

    def function(weights: Any, x: Any) -> None:
        qml.AngleEmbedding(x, wires=range(qubits), rotation="X")
        qml.StronglyEntanglingLayers(weights, wires=range(qubits))

    return Problem(function, qubits, (4, qubits, 3), qubits, "Z0")


def published(qubits: int) -> Problem:
    """Return the published head."""
    circuit = head(qubits)

    def function(weights: Any, x: Any) -> None:
        circuit.to_pennylane()(weights, x)

    return Problem(function, qubits, (circuit.parameters,), circuit.inputs, "Z0")


def reuploading() -> Problem:
    """Return the classifier of PennyLane's demo: a general rotation by the data, then one by weights, three times."""

    def function(weights: Any, x: Any) -> None:
        for own in weights:
            qml.Rot(x[..., 0], x[..., 1], x[..., 2], wires=0)
            qml.Rot(*own, wires=0)

    return Problem(function, 1, (3, 3), 3, "Z0")


def maxcut() -> Problem:
    """Return QAOA for MaxCut on the graph of PennyLane's demo; its cost is a sum of ZZ on the edges."""
    edges = [(0, 1), (0, 3), (1, 2), (2, 3)]

    def function(weights: Any) -> None:
        for wire in range(4):
            qml.Hadamard(wire)
        for gamma, beta in weights:
            for edge in edges:
                qml.IsingZZ(gamma, wires=edge)
            for wire in range(4):
                qml.RX(2 * beta, wires=wire)

    return Problem(function, 4, (2, 2), 0, {f"Z{a} Z{b}": 0.5 for a, b in edges})


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "layers-6": lambda: layers(6),
    "layers-10": lambda: layers(10),
    "layers-13": lambda: layers(13),
    "published-10": lambda: published(10),
    "re-uploading": reuploading,
    "qaoa": maxcut,
}


def start(problem: Problem) -> tuple[Tensor, Tensor]:
    """Return weights and data rows, the same for every peer."""
    rng = np.random.default_rng(0)
    weights = torch.from_numpy(rng.uniform(-np.pi, np.pi, problem.weights)).float().requires_grad_()
    rows = torch.from_numpy(rng.normal(size=(BATCH, problem.inputs))).float().requires_grad_()
    return weights, rows


def ours(problem: Problem) -> Callable[[], Answer]:
    """Return a step of our module."""
    weights, rows = start(problem)
    module = QuantumHead(problem.circuit, observables=[problem.observable])
    with torch.no_grad():
        module.weights.copy_(weights.reshape(1, -1))
    data = rows if problem.inputs else rows[:1]

    def step() -> Answer:
        values = module(data)[:, 0]
        asked = [module.weights, *([rows] if problem.inputs else [])]
        by_weights, *by_rows = torch.autograd.grad(values.sum(), asked)
        return values.detach(), [by_weights.reshape(problem.weights), *by_rows]

    return step


def pennylanes(problem: Problem, name: str) -> Callable[[], Answer]:
    """Return a step of a QNode on a device."""
    weights, rows = start(problem)
    terms = problem.observable if isinstance(problem.observable, dict) else {str(problem.observable): 1.0}
    words = [qml.prod(*(qml.PauliZ(int(factor[1:])) for factor in word.split())) for word in terms]
    measured = qml.dot(list(terms.values()), words) if len(words) > 1 else words[0]

    single = {"c_dtype": np.complex64} if name == "lightning.qubit" else {}

    @qml.qnode(qml.device(name, wires=problem.qubits, **single), diff_method=DEVICES[name], interface="torch")
    def node(*tensors: Tensor) -> Any:
        problem.function(*tensors)
        return qml.expval(measured)

    def step() -> Answer:
        asked = [weights, *([rows] if problem.inputs else [])]
        values = torch.atleast_1d(node(*asked))
        return values.detach(), list(torch.autograd.grad(values.sum(), asked))

    return step


def gap(one: Answer, other: Answer) -> float:
    """Return the largest difference of two answers."""
    pairs = zip([one[0], *one[1]], [other[0], *other[1]], strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


def median(step: Callable[[], Any], seconds: float, slowest: float) -> float:
    """Return the milliseconds of a warm step."""
    started = time.perf_counter()
    step()
    times = [time.perf_counter() - started]
    if times[0] > slowest:
        return 1e3 * times[0]
    times.clear()
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def measured(name: str, asked: argparse.Namespace) -> list[Row]:
    """Return a row for each peer on one circuit."""
    problem = PROBLEMS[name]()
    steps = {"QuantumHead": ours(problem)} | {device: pennylanes(problem, device) for device in DEVICES}
    right = steps["default.qubit"]()
    times = {peer: median(step, asked.seconds, asked.slowest) for peer, step in steps.items()}
    return [
        {
            "circuit": name,
            "qubits": problem.qubits,
            "weights": problem.circuit.parameters,
            "rows": BATCH if problem.inputs else 1,
            "peer": peer,
            "ms": times[peer],
            "ratio": times[peer] / times["QuantumHead"],
            "gap": gap(step(), right),
        }
        for peer, step in steps.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--circuits", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--slowest", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not asked.json:
        print("| circuit | qubits | weights | rows | peer | ms | times ours | largest gap |")
        print("| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |")
    rows: list[Row] = []
    for name in asked.circuits:
        own = measured(name, asked)
        rows += own
        for row in [] if asked.json else own:
            numbers = f"{row['peer']} | {row['ms']:.2f} | {row['ratio']:.1f} | {row['gap']:.1e}"
            print(f"| {name} | {row['qubits']} | {row['weights']} | {row['rows']} | {numbers} |", flush=True)
    report = json.dumps({"rows": rows, "environment": environment()}, indent=2)
    if asked.json:
        print(report)
    if asked.out is not None:
        write_atomically(asked.out, report.encode())
    return int(any(row["gap"] >= TOLERANCE for row in rows))


if __name__ == "__main__":
    sys.exit(main())
