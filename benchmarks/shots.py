"""What shots cost in a training step: milliseconds of a sampled step over those of an exact one, side by side.

Usage: python benchmarks/shots.py [--qubits 8 10 12] [--shots 32 128 1024 8192] [--rounds 15] [--device cpu] [--json]

The yardstick's model and batch (step.py) on one thread, or on a GPU in a captured graph. Exact and sampled steps take
turns, and the medians count. In the end statistics of the model's own draws are compared with the exact expectations:
their mean difference and spread, in standard errors of shots (0 and 1 where all is right).
"""

import argparse
import json
import math
import statistics
import time
from typing import Any

import peers
import torch

from hilbertune.engine import sampling
from hilbertune.engine.expectations import expectation
from hilbertune.runtime.provenance import environment

Row = dict[str, Any]


def timed(step: Any, device: str) -> float:
    """Milliseconds of a step, of which a call takes several."""
    started = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - started) / step.steps


def rows_for(qubits: int, shots: list[int], rounds: int, device: str) -> list[Row]:
    kind: Any = peers.Replays if device == "cuda" else peers.Epoch
    steps = {}
    for count in (None, *shots):
        model, x, y = peers.start(qubits)
        steps[count] = kind(model.to(device), x.to(device), y.to(device), count)
        steps[count]()  # compiles
    times: dict[int | None, list[float]] = {count: [] for count in steps}
    for _ in range(rounds):
        for count, step in steps.items():
            times[count].append(timed(step, device))
    exact = statistics.median(times[None])
    found = []
    for count in shots:
        ms = statistics.median(times[count])
        found.append({"qubits": qubits, "shots": count, "exact_ms": exact, "ms": ms, "ratio": ms / exact})
    return found


def law(device: str) -> Row:
    """Compare a head's draws with what they should be: mean and variance of 50 shots in 2,000 rows."""
    model, _, _ = peers.start(10)
    angles = torch.rand(1, 2000, 10, generator=torch.Generator().manual_seed(0)).to(device)
    weights, circuit = model.head.weights.detach().to(device), model.head.circuit
    counter = sampling.Counter(torch.tensor([[3, 4]], device=device), torch.tensor(7, device=device))
    with torch.no_grad():
        exact = expectation(circuit, weights, angles, measured=(0, 1))
        drawn = expectation(circuit, weights, angles, measured=(0, 1), shots=50, rngs=counter)
    scaled = (drawn - exact) / ((1 - exact**2) / 50).sqrt()
    return {"mean": float(scaled.mean()) * math.sqrt(scaled.numel()), "deviation": float(scaled.std())}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qubits", type=int, nargs="+", default=[8, 10, 12])
    parser.add_argument("--shots", type=int, nargs="+", default=[32, 128, 1024, 8192])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON object, not a table")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [row for qubits in asked.qubits for row in rows_for(qubits, asked.shots, asked.rounds, asked.device)]
    report = {"device": asked.device, "rows": rows, "law": law(asked.device), "environment": environment()}
    if asked.json:
        print(json.dumps(report))
        return 0
    print("| qubits | shots | exact step, ms | sampled step, ms | ratio |\n| ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        print(f"| {row['qubits']} | {row['shots']} | {row['exact_ms']:.3f} | {row['ms']:.3f} | {row['ratio']:.2f} |")
    own = report["law"]
    print(f"\nDraws: mean {own['mean']:+.1f}, deviation {own['deviation']:.3f} standard errors (0 and 1 are right).")
    found = report["environment"]
    print(found["gpu"] if asked.device == "cuda" else found["processor"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
