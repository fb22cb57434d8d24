"""Seconds for one expectation of a head by its number of qubits: state vector, exact contraction, matrix product state.

Usage: python benchmarks/tensor_network.py [--qubits 10 16 20 24 28 32 36] [--reuploads 1] [--layers 1] [--bond 64]
       [--state-vector-to 24] [--plot FILE.svg]

One row, one measured qubit, random angles, float64, one thread; the first call (compilation, search for a contraction
order) is timed apart. Contractions that would need more than 4 GiB are left out, and said so. Prints a Markdown table
with the difference of each from the state vector, where there is one, else of the matrix product state from the exact
contraction.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.circuit.binding import bind
from hilbertune.circuit.builders import head
from hilbertune.engine.expectations import expectation
from hilbertune.engine.tensor_network import contract
from hilbertune.errors import HilbertuneError
from hilbertune.runtime.provenance import environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qubits", type=int, nargs="+", default=[10, 16, 20, 24, 28, 32, 36])
    parser.add_argument("--reuploads", type=int, default=1)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--bond", type=int, default=64)
    parser.add_argument("--state-vector-to", type=int, default=24)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()

    print(
        "| qubits | CNOTs | state vector s | exact contraction s | first time s | log2 of its largest tensor "
        "| MPS s | bond | 1 - fidelity | difference |"
    )
    print("|" + " ---: |" * 10)
    times: dict[str, dict[int, float]] = {"state vector": {}, "exact contraction": {}, "matrix product state": {}}
    for qubits in asked.qubits:
        circuit, rng = head(qubits, reuploads=asked.reuploads, layers=asked.layers), np.random.default_rng(0)
        weights, inputs = rng.normal(size=circuit.parameters), rng.normal(size=(2, circuit.inputs))
        circuits = [bind(circuit, weights.tolist(), x, (0,)) for x in inputs.tolist()]
        cells: list[Any] = [qubits, circuits[0].counts()[1]]
        answers = []

        if qubits <= asked.state_vector_to:
            given = [torch.from_numpy(weights)[None], torch.from_numpy(inputs[1:])[None]]
            expectation(circuit, *given, measured=(0,))
            begun = time.perf_counter()
            answers.append(float(expectation(circuit, *given, measured=(0,))))
            times["state vector"][qubits] = time.perf_counter() - begun
            cells.append(f"{times['state vector'][qubits]:.4f}")
        else:
            cells.append("")
        try:
            first = contract(circuits[:1])
            exact = contract(circuits[1:])
            times["exact contraction"][qubits] = exact.seconds
            answers.append(float(exact.values[0, 0]))
            cells += [f"{exact.seconds:.3f}", f"{first.seconds:.2f}", f"{exact.width:.0f}"]
        except HilbertuneError:
            cells += ["over 4 GiB", "", ""]
        cut = contract(circuits[1:], bond=asked.bond)
        times["matrix product state"][qubits] = cut.seconds
        answers.append(float(cut.values[0, 0]))
        cells += [f"{cut.seconds:.3f}", f"{cut.width:.0f}", f"{cut.truncation[0]:.1e}"]
        cells.append(f"{max(answers) - min(answers):.1e}" if len(answers) > 1 else "")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)
    about = environment()
    print(f"\n{about['processor']}, {about['threads']} threads; reuploads {asked.reuploads}, layers {asked.layers}")
    if asked.plot:
        plot(times, asked.plot)


def plot(times: dict[str, dict[int, float]], path: Path) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for (name, own), marker in zip(times.items(), "os^", strict=True):
        axes.plot(list(own), list(own.values()), marker=marker, label=name)
    axes.set(yscale="log", xlabel="qubits", ylabel="seconds for one row")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
