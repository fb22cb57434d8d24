"""What else the CPU engine promises: nothing lost to Python, many runs at once, fast evaluation, shots, many qubits.

Usage: python benchmarks/cpu.py [--threads 2] [--large 20 22 24] [--pennylane] [--json]

The model is the yardstick of step.py at 10 qubits; embeddings are random numbers. Times are medians of at least 3
repetitions after a warm-up. Two are single: --large, a step of 16 samples after a warm-up at 10 qubits, and
--pennylane, a step of the same sampled parameter-shift in PennyLane (minutes).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from peers import FEATURES, Epoch, shape_for, start

from hilbertune.config.records import TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.engine.expectations import expectation
from hilbertune.model import evaluation, kernels
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train
from hilbertune.runtime.provenance import environment

ROWS, SHOTS = 448, 8192


def median(call: Callable[[], Any], seconds: float = 2.0) -> float:
    """Return the seconds of a warm call."""
    call()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def training(runs: int, threads: int, epochs: int) -> tuple[float, float]:
    """Return the seconds of `train` for each step of all runs, and of the kernels in it.

    The latter count on one thread only, where they are one call after another.
    """
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(ROWS, FEATURES))).float()
    y = torch.from_numpy(rng.integers(0, 2, ROWS))
    split = Split(np.arange(ROWS), np.arange(0), np.arange(0))
    inside = 0.0
    compiled = kernels.train

    def clocked(*arguments: Any) -> None:
        nonlocal inside
        started = time.perf_counter()
        compiled(*arguments)
        inside += time.perf_counter() - started

    model = HybridHead(FEATURES, 2, shape_for(10), runs=runs)
    kernels.train = clocked
    try:
        result = train(model, x, y, [split] * runs, [TrainingConfig(epochs=epochs)] * runs, list(range(runs)))
    finally:
        kernels.train = compiled
    steps = epochs * ROWS // 16
    return result.seconds / steps, inside / steps


def pennylane_shift() -> float:
    """Return the seconds of a step of the head with sampled parameter-shift in PennyLane.

    It takes a sample at a time: PennyLane refuses a batch whose inputs are trained.
    """
    import pennylane as qml

    circuit = start(10)[0].head.circuit
    run = circuit.to_pennylane()

    @qml.set_shots(SHOTS)
    @qml.qnode(qml.device("default.qubit", wires=10), interface="torch", diff_method="parameter-shift")
    def node(weights: torch.Tensor, angles: torch.Tensor) -> Any:
        run(weights, angles)
        return qml.expval(qml.PauliZ(0))

    weights = torch.rand(circuit.parameters, dtype=torch.float64).requires_grad_()
    angles = torch.rand(16, 10, dtype=torch.float64).requires_grad_()
    started = time.perf_counter()
    value = torch.stack([node(weights, row) for row in angles])
    torch.autograd.grad(value.sum(), [weights, angles])
    return time.perf_counter() - started


def measure(threads: int, large: list[int], pennylane: bool) -> dict[str, float]:
    found: dict[str, float] = {}
    training(1, 1, 2)
    alone, inside = min(training(1, 1, 40) for _ in range(3))
    found["one run, one thread, ms a step"] = 1e3 * alone
    found["share of it outside the kernels, %"] = 100 * (1 - inside / alone)
    found[f"one run, {threads} threads, ms a step"] = 1e3 * min(training(1, threads, 40))
    together = min(training(70, threads, 4)[0] for _ in range(3))
    found[f"70 runs, {threads} threads, ms a step"] = 1e3 * together
    found[f"... over 70 · one run / {threads}"] = together / (70 * alone / threads)

    model, _, _ = start(10)
    rows = np.random.default_rng(1).normal(size=(9101, FEATURES)).astype(np.float32)
    found["evaluation of 9,101 rows, exact, s"] = median(lambda: evaluation.logits(model, rows))
    model.head.shots = SHOTS
    found[f"evaluation of 9,101 rows, {SHOTS} shots, s"] = median(lambda: evaluation.logits(model, rows))

    torch.set_num_threads(1)
    circuit = model.head.circuit
    weights = model.head.weights.detach().clone().requires_grad_()
    angles = torch.rand(1, 16, 10).requires_grad_()

    def step(**options: Any) -> None:
        value = expectation(circuit, weights, angles, measured=(0,), **options)
        torch.autograd.grad(value.sum(), [weights, angles])

    found["head alone, adjoint, exact, one thread, ms"] = 1e3 * median(step)
    found["head alone, adjoint, 8192 shots, one thread, ms"] = 1e3 * median(lambda: step(shots=SHOTS))
    found["head alone, parameter-shift, 8192 shots, one thread, ms"] = 1e3 * median(
        lambda: step(shots=SHOTS, gradient="parameter-shift")
    )
    if pennylane:
        found["... the same in PennyLane, ms"] = 1e3 * pennylane_shift()
    torch.set_num_threads(threads)
    for qubits in large:
        one = Epoch(*start(qubits))
        started = time.perf_counter()
        one()
        found[f"{qubits} qubits, {threads} threads, s a step"] = time.perf_counter() - started
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--large", type=int, nargs="*", default=[])
    parser.add_argument("--pennylane", action="store_true", help="time its parameter-shift too")
    parser.add_argument("--json", action="store_true", help="print one JSON object, not a table")
    asked = parser.parse_args()
    found = measure(asked.threads, asked.large, asked.pennylane)
    if asked.json:
        print(json.dumps({"figures": found, "environment": environment()}))
        return
    print("| what | |\n| --- | ---: |")
    for name, value in found.items():
        print(f"| {name} | {value:.3g} |")


if __name__ == "__main__":
    main()
