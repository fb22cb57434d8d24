"""One training step of the published model, ours beside rivals: milliseconds, memory, and whether all agree.

Usage: python benchmarks/step.py [--qubits 10 12 14] [--peers all] [--threads 1] [--seconds 5] [--device cpu] [--json]
    [--plot FILE]

The yardstick: batch 16, one encoder of 2 layers (768 numbers, zero-padded, Z of all qubits), head with R=4, N=1, M=2,
C=1 (Z of qubit 0), Linear(1 → 2), cross-entropy; forward and backward with all gradients. The peers (peers.py) run one
after another, each in a process of its own on the same cores, from the same numbers; the median of at least 3 warm
steps counts. Exit status 1 if a loss or gradient differs from ours by 1e-4 or more.
"""

import argparse
import functools
import importlib.metadata
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import peers

from hilbertune.circuit.builders import parts
from hilbertune.circuit.table import Circuit

Row = dict[str, Any]
PUBLISHED_HOURS = {10: "6.8 (A100)", 16: "43 (A100)", 18: "90 (H100)"}
STEPS = 28 * 800
TOLERANCE = 1e-4
RIVALS = (
    "pennylane",
    "pennylane-lightning",
    "tensorcircuit-ng",
    "jax",
    "deepquantum",
    "qiskit",
    "qiskit-machine-learning",
    "pennylane-lightning-gpu",
    "cudaq",
)
# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7")
MARKERS = "os^vDPX"


def flops(circuit: Circuit, batch: int) -> int:
    """Arithmetic of a circuit as it is written, forward and backward; nominal, since an engine may fuse or skip gates.

    An RY takes 3 operations an amplitude forward (2 products, 1 sum), and 8 backward: 3 to undo it on each of the two
    states, 2 for the derivative. A CNOT takes none.
    """
    rotations = sum(o.kind == "ry" for o in circuit.operations)
    return 11 * rotations * batch << circuit.qubits


def traffic(circuit: Circuit, batch: int) -> int:
    """Bytes if each gate read and wrote its float32 state once, and both states backward.

    Nominal, since caches and fusion spare them.
    """
    return 6 * 4 * len(circuit.operations) * batch << circuit.qubits


def confine(threads: int) -> None:
    """Limit this process to some cores and to memory that is free, whatever libraries think of environment variables.

    Before any library is loaded: OpenMP counts the cores as it starts, and with more threads than cores
    (lightning.qubit asks for 2 at 18 qubits, whatever the limit) it spins, which took seven times as long.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    import resource

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    with open("/proc/meminfo") as info:
        free = next(int(line.split()[1]) for line in info if "MemAvailable" in line) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        free = min(free, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (free, hard))


def run(name: str, qubits: int, asked: argparse.Namespace) -> Row:
    """Return the answer of a process of its own, or {"why": ...} where there is none."""
    threads = str(asked.threads)
    counts = ("OMP", "MKL", "OPENBLAS", "NUMBA", "RAYON")
    settings = {f"{library}_NUM_THREADS": threads for library in counts} | {
        "OMP_THREAD_LIMIT": threads,
        "NPROC": threads,  # of XLA
        "XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={str(asked.threads > 1).lower()}",
        "PYTHONWARNINGS": "ignore",
        # glibc keeps what is freed: page faults otherwise took up to half of a step of the peers that allocate a state
        # for each gate, and differ between machines. It costs them up to a quarter more memory.
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    }
    if asked.device == "cpu":
        settings |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, peers.__file__, name, qubits, asked.seconds, threads, asked.device]
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            timeout=asked.limit,
            preexec_fn=functools.partial(confine, asked.threads) if asked.device == "cpu" else None,
        )
    except subprocess.TimeoutExpired:
        return {"why": f"over {asked.limit:g} s"}
    if done.returncode < 0:
        return {"why": f"killed by signal {-done.returncode}"}
    if done.returncode:
        return {"why": "failed: " + (done.stderr.split("\n\n")[-1].strip().splitlines() or [""])[-1]}
    answer: Row = json.loads(done.stdout.splitlines()[-1])
    return answer


def compare(row: Row, ours: Row) -> None:
    """Add the largest differences from our loss and gradients to the row, also relative to a gradient's largest."""
    pairs = {n: (np.array(g), np.array(ours["gradients"][n])) for n, g in row["gradients"].items()}
    differences = {n: float(np.abs(theirs - mine).max()) for n, (theirs, mine) in pairs.items()}
    row["gap"] = float(np.max([abs(row["loss"] - ours["loss"]), *differences.values()]))
    row["relative_gap"] = max(differences[n] / np.abs(mine).max() for n, (_, mine) in pairs.items())
    row["ratio"] = row["ms"] / ours["ms"]
    row["without"] = sorted(ours["gradients"].keys() - row["gradients"].keys())


def rows_for(qubits: int, names: list[str], asked: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    for name in names:
        print(f"{qubits} qubits, {name} ...", end=" ", file=sys.stderr, flush=True)
        row = {"qubits": qubits, "peer": name, **run(name, qubits, asked)}
        rows.append(row)
        if "ms" in row and "ms" in rows[0]:
            compare(row, rows[0])
        print(
            row.get("why") or f"{row['ms']:.2f} ms, gap {row.get('gap', math.nan):.1e}",
            file=sys.stderr,
        )
    for row in rows:
        row.pop("gradients", None)
        row["published_hours"] = PUBLISHED_HOURS.get(qubits)
        if "ms" in row:
            row["hours_for_800_epochs"] = row["ms"] * STEPS / 3.6e6
    return rows


def summary(rows: list[Row]) -> Row:
    """Ours at one number of qubits: beside the best peer with all gradients, and its nominal rates."""
    ours, *others = rows
    circuits = parts(peers.shape_for(ours["qubits"])).values()
    rivals = [r for r in others if not r["peer"].startswith("hilbertune")]
    whole = [r for r in rivals if "ms" in r and not r.get("without")]
    best = min(whole, key=lambda r: r["ms"], default=None)
    found: Row = {"qubits": ours["qubits"], "ms": ours.get("ms")}
    found["best_peer"] = best and best["peer"]
    found["faster_by"] = best and best.get("ratio")
    if "ms" in ours:
        found["gflops"] = sum(flops(c, peers.BATCH) for c in circuits) / ours["ms"] / 1e6
        found["gb_s"] = sum(traffic(c, peers.BATCH) for c in circuits) / ours["ms"] / 1e6
    return found


def table(report: Row) -> str:
    lines = [
        "| qubits | peer | ms a step | quartiles | peak MB | times ours | gap | 800 epochs, hours | published hours |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in report["rows"]:
        head = f"| {row['qubits']} | {row['peer']} | "
        if "ms" not in row:
            lines.append(f"{head}{row['why']} | | | | | | |")
            continue
        low, high = row["quartiles_ms"]
        without = f", without {', '.join(row['without'])}" if row.get("without") else ""
        lines.append(
            f"{head}{row['ms']:.2f}{without} | {low:.2f} – {high:.2f} | {row['memory_mb']:.0f} | "
            f"{row.get('ratio', math.nan):.1f} | {row.get('gap', math.nan):.0e} | "
            f"{row['hours_for_800_epochs']:.4f} | {row['published_hours'] or ''} |"
        )
    lines += [
        "",
        "| qubits | ours, ms | best peer | ours is faster by | nominal Gflop/s | nominal GB/s |",
        "| ---: | ---: | --- | ---: | ---: | ---: |",
    ]
    for s in report["summary"]:
        if s["ms"] is not None:
            faster = f"{s['best_peer']} | {s['faster_by']:.1f}" if s["best_peer"] else " | "
            lines.append(f"| {s['qubits']} | {s['ms']:.2f} | {faster} | {s['gflops']:.1f} | {s['gb_s']:.1f} |")
    rates, found = report["machine"], report["environment"]
    packages = ", ".join(f"{k} {v}" for k, v in found["packages"].items() if v)
    return "\n".join(
        [
            *lines,
            "",
            f"The same {found['threads']} thread(s): sgemm {rates['sgemm_gflops']:.1f} Gflop/s, "
            f"stream triad {rates['triad_gb_s']:.1f} GB/s.",
            f"{found['gpu'] if report['device'] == 'cuda' else found['processor']}; {packages}",
        ]
    )


def plot(rows: list[Row], file: Path) -> None:
    """Time against qubits, a labelled line for each peer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    timed = [r for r in rows if "ms" in r]
    ends = []
    for number, name in enumerate(dict.fromkeys(r["peer"] for r in timed)):
        points = sorted((r["qubits"], r["ms"]) for r in timed if r["peer"] == name)
        width = 2.5 if name == "hilbertune" else 1.5
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(*zip(*points, strict=True), color=colour, marker=MARKERS[number % 7], lw=width)
        ends.append((*points[-1], name, colour))
    axes.set(yscale="log", xlabel="qubits", ylabel="milliseconds a training step")
    axes.set_xticks(sorted({r["qubits"] for r in timed}))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    scale = axes.get_ylim()[1] / axes.get_ylim()[0]
    taken: dict[int, float] = {}
    for qubits, ms, name, colour in sorted(ends):
        # Names at the same number of qubits keep a line's height apart.
        height = max(ms, taken.get(qubits, 0.0) * scale**0.045)
        taken[qubits] = height
        axes.annotate(name, (qubits, height), (8, -3), textcoords="offset points", color=colour)
    figure.savefig(file, dpi=150)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qubits", type=int, nargs="+", default=[10, 12, 14])
    parser.add_argument("--peers", nargs="+", default=["all"], help="all, or names from peers.py")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="least time for each peer")
    parser.add_argument("--limit", type=float, default=300.0, help="most seconds for each peer")
    parser.add_argument("--device", choices=list(peers.PEERS), default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON object, not tables")
    parser.add_argument("--plot", type=Path, help="draw time against qubits into a .svg or .png")
    asked = parser.parse_args(arguments)
    known = list(peers.PEERS[asked.device])
    names = known if "all" in asked.peers else list(dict.fromkeys(["hilbertune", *asked.peers]))
    if unknown := set(names) - set(known):
        parser.error(f"no peer {', '.join(sorted(unknown))} on {asked.device}: choose from {known}")

    machine = run("machine", 0, asked)
    if "why" in machine:
        raise SystemExit(f"The machine's own rates could not be measured: {machine['why']}")
    groups = [rows_for(qubits, names, asked) for qubits in asked.qubits]
    rows = [row for group in groups for row in group]
    found = machine.pop("environment")
    found["packages"] |= {name: _version(name) for name in RIVALS}
    report = {
        "device": asked.device,
        "rows": rows,
        "summary": [summary(group) for group in groups],
        "machine": machine,
        "environment": found,
    }
    print(json.dumps(report) if asked.json else table(report))
    if asked.plot:
        plot(rows, asked.plot)
    bad = [r for r in rows if "gap" in r and not r["gap"] < TOLERANCE]
    bad += [group[0] for group in groups if "ms" not in group[0]]
    for row in bad:
        said = f"disagrees by {row['gap']:.1e}" if "gap" in row else row["why"]
        print(f"{row['peer']} at {row['qubits']} qubits: {said}", file=sys.stderr)
    return 1 if bad else 0


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
