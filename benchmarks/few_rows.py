"""One row and eight, one thread and two, and a training loop of one's own: what small batches cost on the CPU.

Usage: python benchmarks/few_rows.py [--qubits 8 10 ... 22] [--threads 2] [--seconds 1] [--steps 200] [--no-peer]
    [--json]

The circuit is the published head at each size. Times are the least of many calls, with all gradients or none. The peer
is lightning.qubit (adjoint, single precision, one row). The loop is a linear layer, the head and Adam in plain torch,
with operations of torch between the steps that wake all its threads; what counts is the time inside our module, with
torch's default threads beside one.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from hilbertune.circuit.builders import head
from hilbertune.circuit.table import Circuit
from hilbertune.engine.expectations import expectation
from hilbertune.model.layers import QuantumHead
from hilbertune.runtime.provenance import environment

Row = dict[str, Any]


def least(call: Callable[[], Any], seconds: float) -> float:
    """Return the milliseconds of the fastest warm call."""
    call()
    best, spent = float("inf"), 0.0
    while spent < seconds:
        started = time.perf_counter()
        call()
        taken = time.perf_counter() - started
        best, spent = min(best, taken), spent + taken
    return 1e3 * best


def ours(circuit: Circuit, batch: int, seconds: float) -> tuple[float, float]:
    """Return the milliseconds of expectations, and of expectations with all gradients."""
    torch.manual_seed(0)
    weights = torch.rand(circuit.parameters).requires_grad_()
    inputs = torch.rand(batch, circuit.inputs).requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            expectation(circuit, weights, inputs, measured=(0,))

    def both() -> None:
        torch.autograd.grad(expectation(circuit, weights, inputs, measured=(0,)).sum(), [weights, inputs])

    return least(forward, seconds), least(both, seconds)


def lightning(circuit: Circuit, seconds: float) -> tuple[float, float]:
    """Return the same of one row on lightning.qubit."""
    import numpy as np
    import pennylane as qml

    run = circuit.to_pennylane()
    device = qml.device("lightning.qubit", wires=circuit.qubits, c_dtype=np.complex64)

    @qml.qnode(device, interface="torch", diff_method="adjoint")
    def node(weights: Any, angles: Any) -> Any:
        run(weights, angles)
        return qml.expval(qml.PauliZ(0))

    torch.manual_seed(0)
    weights, angles = torch.rand(circuit.parameters).requires_grad_(), torch.rand(circuit.inputs).requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            node(weights, angles)

    return least(forward, seconds), least(
        lambda: torch.autograd.grad(node(weights, angles), [weights, angles]), seconds
    )


def sizes(qubits: list[int], threads: int, seconds: float, peer: bool) -> list[Row]:
    """Time every size."""
    rows = []
    for count in qubits:
        circuit = head(count)
        torch.set_num_threads(1)
        one, eight = ours(circuit, 1, seconds), ours(circuit, 8, seconds)
        row: Row = {"qubits": count, "one row, ms": one, "eight rows, ms": eight}
        row["eight / one"] = tuple(e / o for e, o in zip(eight, one, strict=True))
        if peer:
            other = lightning(circuit, seconds)
            row["lightning.qubit, one row, ms"] = other
            row["lightning / ours"] = tuple(o / m for o, m in zip(other, one, strict=True))
        torch.set_num_threads(threads)
        row[f"one row / {threads} threads"] = tuple(o / m for o, m in zip(one, ours(circuit, 1, seconds), strict=True))
        row[f"eight rows / {threads} threads"] = tuple(
            o / m for o, m in zip(eight, ours(circuit, 8, seconds), strict=True)
        )
        rows.append(row)
    return rows


def loop(threads: int, qubits: int, batch: int, steps: int) -> tuple[float, float]:
    """Return the milliseconds inside our module in a step of training and in one of inference: medians."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    module, data = QuantumHead(head(qubits)), torch.randn(512, 768)
    before = torch.nn.Linear(768, qubits)
    optimizer = torch.optim.Adam([*module.parameters(), *before.parameters()], lr=1e-3)
    trained, predicted = [], []
    for _ in range(steps):
        angles = torch.tanh(before(torch.tanh(data.sin() * data.cos())[:batch]))
        started = time.perf_counter()
        value = module(angles)
        inside = time.perf_counter() - started
        loss = (value**2).mean()
        started = time.perf_counter()
        loss.backward()
        trained.append(inside + time.perf_counter() - started)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            angles = torch.tanh(before(torch.tanh(data.sin() * data.cos())[:batch]))
            started = time.perf_counter()
            module(angles)
            predicted.append(time.perf_counter() - started)
    return 1e3 * statistics.median(trained), 1e3 * statistics.median(predicted)


def loops(threads: int, steps: int) -> list[Row]:
    """Time loops of one's own with one thread and with torch's default."""
    rows = []
    for qubits, batch in ((10, 16), (12, 64), (14, 64)):
        one, every = loop(1, qubits, batch, steps), loop(threads, qubits, batch, steps)
        ratio = tuple(e / o for e, o in zip(every, one, strict=True))
        rows.append({"qubits": qubits, "batch": batch, "one thread, ms": one, f"{threads} threads, ms": every})
        rows[-1]["ratio"] = ratio
    return rows


def said(rows: list[Row]) -> str:
    """Return a table in Markdown; a pair is one without and one with gradients (for a loop: trained, predicted)."""
    lines = ["| " + " | ".join(rows[0]) + " |", "| " + " | ".join("---:" for _ in rows[0]) + " |"]
    for row in rows:
        cells = (" / ".join(f"{v:.3g}" for v in value) if isinstance(value, tuple) else value for value in row.values())
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qubits", type=int, nargs="+", default=[8, 10, 12, 14, 16, 18, 20, 22])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--steps", type=int, default=200, help="Of a loop.")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    of_sizes = sizes(given.qubits, given.threads, given.seconds, not given.no_peer)
    of_loops = loops(given.threads, given.steps)
    if given.json:
        print(json.dumps({"sizes": of_sizes, "loops": of_loops, "environment": environment()}))
        return
    print("Forward / with all gradients:\n")
    print(said(of_sizes))
    print("\nInside our module in a loop of one's own, a step of training / of prediction:\n")
    print(said(of_loops))


if __name__ == "__main__":
    main()
