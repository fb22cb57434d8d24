"""One training step of the published model, ours beside rivals: milliseconds, and whether all agree.

Usage: python benchmarks/step.py [--qubits 10 12 14] [--peers all] [--threads 1] [--seconds 5] [--json]

The yardstick: batch 16, one encoder of 2 layers (768 numbers, zero-padded, Z of all qubits), head with R=4, N=1, M=2, C=1 (Z of qubit 0),
Linear(1 → 2), cross-entropy; forward and backward with all gradients. Each peer is timed in turn in this process, after warm-up, for at
least 3 steps; the median counts. Losses and gradients must agree to 1e-4. Peers: reference (a plain torch gate loop), pennylane
(default.qubit, torch backprop, broadcasting).
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hilbertune.config import HeadConfig
from hilbertune.environment import environment
from hilbertune.layers import HybridHead

Step = Callable[[], tuple[float, list[Tensor]]]
BATCH, FEATURES = 16, 768
PUBLISHED_HOURS = {10: "6.8 (A100)", 16: "43 (A100)", 18: "90 (H100)"}


def model_for(qubits: int, engine: Any) -> HybridHead:
    shape = HeadConfig(
        qubits=qubits, encoder_layers=2, encoder_connectivity=1, padding="zero", basis="raw",
        projection="truncate" if 1 << qubits < FEATURES else None,
    )  # fmt: skip
    torch.manual_seed(0)
    return HybridHead(FEATURES, 2, shape, engine=engine)


def ours(qubits: int, x: Tensor, y: Tensor, engine: Any = "cpu") -> Step:
    model = model_for(qubits, engine)

    def step() -> tuple[float, list[Tensor]]:
        model.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        return float(loss.detach()), [p.grad for p in model.parameters() if p.grad is not None]

    return step


def pennylane(qubits: int, x: Tensor, y: Tensor) -> Step:
    import pennylane as qml

    model = model_for(qubits, "reference")
    encoder, head = model.encoder.circuit.to_pennylane(), model.head.circuit.to_pennylane()
    device = qml.device("default.qubit", wires=qubits)

    @qml.qnode(device, interface="torch", diff_method="backprop")
    def encode(weights: Tensor, amplitudes: Tensor) -> Any:
        encoder(weights, None, amplitudes)
        return [qml.expval(qml.PauliZ(q)) for q in range(qubits)]

    @qml.qnode(device, interface="torch", diff_method="backprop")
    def read(weights: Tensor, angles: Tensor) -> Any:
        head(weights, angles.T)
        return qml.expval(qml.PauliZ(0))

    def step() -> tuple[float, list[Tensor]]:
        model.zero_grad()
        states = model.loading(x[None])[0]
        angles = torch.stack(encode(model.encoder.weights[0, 0], states), dim=1)
        value = read(model.head.weights[0], angles)
        logits = value[:, None].float() * model.linear_weight[0, :, 0] + model.linear_bias[0]
        loss = functional.cross_entropy(logits, y)
        loss.backward()
        return float(loss.detach()), [p.grad for p in model.parameters() if p.grad is not None]

    return step


PEERS: dict[str, Callable[[int, Tensor, Tensor], Step]] = {
    "hilbertune": ours,
    "reference": lambda q, x, y: ours(q, x, y, "reference"),
    "pennylane": pennylane,
}


def measure(step: Step, seconds: float) -> tuple[float, float, list[Tensor]]:
    """Median milliseconds of a step, its loss and its gradients."""
    for _ in range(2):
        loss, gradients = step()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times), loss, [g.clone() for g in gradients]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qubits", type=int, nargs="+", default=[10, 12, 14])
    parser.add_argument("--peers", nargs="+", default=["all"], choices=["all", *PEERS])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="Least time for each peer.")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    names = list(PEERS) if "all" in asked.peers else ["hilbertune", *asked.peers]
    rows = []
    for qubits in asked.qubits:
        torch.manual_seed(1)
        x, y = torch.randn(BATCH, FEATURES), torch.randint(0, 2, (BATCH,))
        answers: dict[str, Any] = {}
        for name in dict.fromkeys(names):
            ms, loss, gradients = measure(PEERS[name](qubits, x, y), asked.seconds)
            answers[name] = (loss, gradients)
            first_loss, first = answers["hilbertune"]
            gap = max(
                abs(loss - first_loss),
                *(float((a - b).abs().max()) for a, b in zip(gradients, first, strict=True)),
            )
            if not gap < 1e-4:
                raise SystemExit(f"{name} disagrees by {gap:.1e} at {qubits} qubits")
            rows.append({"qubits": qubits, "peer": name, "ms": ms, "gap": gap})
    for row in rows:
        mine = next(r for r in rows if r["qubits"] == row["qubits"] and r["peer"] == "hilbertune")
        row["ratio"] = row["ms"] / mine["ms"]
        row["hours_for_800_epochs"] = row["ms"] * 28 * 800 / 3.6e6
        row["published_hours"] = PUBLISHED_HOURS.get(row["qubits"])
    found = environment()
    if asked.json:
        print(json.dumps({"rows": rows, "environment": found}))
        return
    print("| qubits | peer | ms a step | ours is faster by | 800 epochs, hours | published hours |")
    print("| ---: | --- | ---: | ---: | ---: | --- |")
    for row in rows:
        print(
            f"| {row['qubits']} | {row['peer']} | {row['ms']:.2f} | {row['ratio']:.1f} | "
            f"{row['hours_for_800_epochs']:.4f} | {row['published_hours'] or ''} |"
        )
    packages = ", ".join(f"{k} {v}" for k, v in found["packages"].items() if v)
    print(f"\n{found['processor']}, {asked.threads} thread(s); {packages}")


if __name__ == "__main__":
    main()
