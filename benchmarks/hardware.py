"""What each way to better answers buys at equal shots, and what training against the device buys, on an emulated QPU.

Usage: python benchmarks/hardware.py EMBEDDINGS.npz {mitigation,training,ordering} [--qubits 8] [--rows 100]
       [--shots 4096] [--noise forte-1] [--readout-error 0.005] [--seed 0]

No QPU is reached. The emulator of the tests answers as IonQ's REST API, with the vendor's documented noise model as
exact density matrices (up to 10 qubits); a readout error is added as a stated assumption, since the vendor's model
has none. The head is trained on an exact simulator with 256 rows of each class (85 % train, 15 % choose the epoch).

mitigation: --rows test rows, each measured with --shots shots in all, whatever is done with them.
training: test accuracy on --rows rows of the noisy device of the head as the simulator trained it, after its last
layer was fitted anew on 100 training rows, and after 20 SPSA steps, with the shots each takes.
ordering: two-qubit gates of a head on a chip where not every two qubits meet (IBM's fake_guadalupe), with qubits in
their own order and in the one that Qiskit's transpiler finds; needs no file (give -).

Prints a Markdown table.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from helpers.ionq_emulator import NOISE, Emulator

from hilbertune import HybridClassifier
from hilbertune.circuit.binding import bind
from hilbertune.circuit.builders import head
from hilbertune.data.arrays import read_embeddings
from hilbertune.data.labels import encode_labels
from hilbertune.data.splits import few_shot_split
from hilbertune.hardware import measurement
from hilbertune.hardware.adaptive import decide
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.ionq import IonQ
from hilbertune.hardware.options import Options
from hilbertune.hardware.qiskit_provider import ibm
from hilbertune.hardware.recalibration import recalibrate, spsa_steps
from hilbertune.runtime.provenance import environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("what", choices=("mitigation", "training", "ordering"))
    parser.add_argument("--qubits", type=int, default=8)
    parser.add_argument("--reuploads", type=int, default=4)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--shots", type=int, default=4096)
    parser.add_argument("--noise", choices=list(NOISE), default="forte-1")
    parser.add_argument("--readout-error", type=float, default=0.005)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()

    if asked.what == "ordering":
        ordering(asked)
        return
    data = read_embeddings(asked.embeddings)
    assert data.embeddings is not None
    X = data.embeddings.astype(np.float32)
    _, y = encode_labels(data.labels)
    split = few_shot_split(y.tolist(), per_class=256, seed=asked.seed)
    labelled = np.concatenate([split.train, split.validation])
    model = HybridClassifier(
        qubits=asked.qubits,
        reuploads=asked.reuploads,
        basis="pca",
        encoder_layers=8,
        encoder_connectivity=5,
        constant_share=0.9,
        learning_rate=0.01,
        epochs=60,
        random_state=asked.seed,
    ).fit(X[labelled], y[labelled])
    test = np.random.default_rng(asked.seed).permutation(split.test)[: asked.rows]
    # The emulator's QPU has Forte-1's rates; other devices lend theirs.
    NOISE["forte-1"] = NOISE[asked.noise]
    started = time.monotonic()
    with (
        Emulator(readout_error=asked.readout_error, seed=asked.seed) as account,
        tempfile.TemporaryDirectory() as folder,
    ):
        os.environ |= {"IONQ_API_URL": account.url, "IONQ_API_KEY": account.key}
        if asked.what == "mitigation":
            mitigation(asked, model, X[test], y[test], Path(folder))
        else:
            training(asked, model, X, y, split.train, test, Path(folder))
    machine = environment()
    print(
        f"\n{asked.noise}, readout error {asked.readout_error}, seed {asked.seed}; {time.monotonic() - started:.0f} s; "
        f"{machine['processor']}, {machine['threads']} threads"
    )


def device(folder: Path, shots: int, gateset: str = "qis", **options: Any) -> HardwareBackend:
    provider = IonQ("qpu.forte-1", gateset=gateset, wait=0.01)
    return HardwareBackend(provider, folder, shots=shots, max_cost=1e9, batch_circuits=10, pricing="azure", **options)


def mitigation(
    asked: argparse.Namespace,
    model: HybridClassifier,
    vectors: np.ndarray,
    truth: np.ndarray,
    folder: Path,
) -> None:
    options = Options(backend="qpu.forte-1", shots=asked.shots)
    run = measurement.create_run(folder / "run", model, vectors, truth, options)
    right = run.logits(run.exact).argmax(1)
    print(
        "| what is done | one-qubit gates | two-qubit gates | shots a row | error of ⟨Z⟩ | 95 % interval "
        "| same class as exact | accuracy |"
    )
    print("| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |")

    def row(name: str, gates: Any, shots: float, values: np.ndarray) -> None:
        own = run.by_member(values)
        error, classes = (own - run.exact).ravel(), run.logits(own).argmax(1)
        low, high = spread(error)
        one, two = (f"{n:.0f}" for n in gates)
        print(
            f"| {name} | {one} | {two} | {shots:.0f} | {np.sqrt((error**2).mean()):.4f} | {low:.4f} to {high:.4f} "
            f"| {(classes == right).mean():.3f} | {(classes == truth).mean():.3f} |",
            flush=True,
        )

    rng = np.random.default_rng(asked.seed)
    ideal = 2 * rng.binomial(asked.shots, (1 + run.exact) / 2) / asked.shots - 1
    row("exact simulation", (0, 0), 0, run.exact)
    row("shots alone, no noise", (0, 0), asked.shots, ideal)
    ways: list[tuple[str, dict[str, Any]]] = [
        ("every gate sent", {"reduce": False}),
        ("light cone and merged rotations", {}),
        ("our native gates", {"gateset": "native"}),
        ("... readout corrected", {"gateset": "native", "readout": True}),
        ("... zero-noise extrapolation 1, 3", {"gateset": "native", "scales": (1, 3)}),
        (
            "... both",
            {"gateset": "native", "readout": True, "scales": (1, 3)},
        ),
    ]
    for number, (name, options) in enumerate(ways):
        scales = options.get("scales", (1,))
        backend = device(folder / str(number), asked.shots // len(scales), **options)
        circuits = measurement.bind_rows(model, vectors, reduce=options.get("reduce", True))
        gates = np.mean([c.counts(backend.provider.gateset) for c in circuits], 0)
        row(name, gates, asked.shots, backend.expectations(circuits))
    backend = device(folder / "adaptive", asked.shots)
    for confidence in (0.9, 0.99):
        decisions = decide(model, backend, vectors, confidence=confidence, most=asked.shots)
        classes, share = decisions.classes, decisions.decided.mean()
        print(
            f"| adaptive shots, confidence {confidence} ({share:.0%} decided) | | | {decisions.shots.mean():.0f} | | "
            f"| {(classes == right).mean():.3f} | {(classes == truth).mean():.3f} |",
            flush=True,
        )


def training(
    asked: argparse.Namespace,
    model: HybridClassifier,
    X: np.ndarray,
    y: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    folder: Path,
) -> None:
    print("| head | test accuracy on the device | 95 % interval | loss | circuits | shots to train |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    ours = np.random.default_rng([asked.seed, 1]).permutation(train)[:100]

    def row(name: str, trained: HybridClassifier, shots: int, circuits: int, exact: bool = False) -> None:
        options = Options(backend="qpu.forte-1", shots=asked.shots)
        run = measurement.create_run(folder / f"run {name}", trained, X[test], y[test], options)
        values = run.exact
        if not exact:
            values = run.by_member(device(folder / f"test {name}", asked.shots).expectations(run.bound_circuits))
        logits = run.logits(values)
        hit = logits.argmax(1) == y[test]
        half = 1.96 * np.sqrt(hit.mean() * (1 - hit.mean()) / len(hit))
        top = logits - logits.max(1, keepdims=True)
        loss = (np.log(np.exp(top).sum(1)) - top[np.arange(len(hit)), y[test]]).mean()
        print(
            f"| {name} | {hit.mean():.4f} | {hit.mean() - half:.4f} to {hit.mean() + half:.4f} | {loss:.4f} "
            f"| {circuits} | {shots:,} |",
            flush=True,
        )

    row("trained on the simulator, exact simulation", model, 0, 0, exact=True)
    row("trained on the simulator", model, 0, 0)
    backend = device(folder / "recalibration", 1024)
    fitted = recalibrate(model, backend, X[ours], y[ours])
    row("last layer fitted anew on 100 rows", fitted.model, fitted.shots, fitted.circuits)  # type: ignore[arg-type]
    for name, start, before in (
        ("20 SPSA steps", model, 0),
        ("both: fitted, then 20 steps", fitted.model, 1),
    ):
        moved = spsa_steps(
            start,
            device(folder / f"spsa {name}", 1024),
            X[ours],
            y[ours],
            steps=20,
            shots_per_step=20 * 1024,
            seed=asked.seed,
        )
        row(name, moved.model, moved.shots + before * fitted.shots, moved.circuits + before * fitted.circuits)  # type: ignore[arg-type]


def ordering(asked: argparse.Namespace) -> None:
    print(
        "| optimisation level of the transpiler | two-qubit gates | depth in two-qubit gates |\n| --- | ---: | ---: |"
    )
    circuit, rng = head(asked.qubits, reuploads=asked.reuploads, layers=2), np.random.default_rng(0)
    bound = bind(circuit, rng.normal(size=circuit.parameters).tolist(), rng.normal(size=circuit.inputs).tolist(), (0,))
    print(f"| as it is, any two qubits meet | {bound.counts()[1]} | |")
    for level in range(4):
        provider = ibm("fake_guadalupe")
        provider.optimization = level
        (made,) = provider.compiled([bound])
        pairs = [i for i in made.data if i.operation.num_qubits == 2 and i.operation.name != "barrier"]
        depth = made.depth(lambda i: i.operation.num_qubits == 2)
        print(f"| {level} | {len(pairs)} | {depth} |")


def spread(errors: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the root mean square, over rows."""
    rng = np.random.default_rng(0)
    drawn = errors[rng.integers(len(errors), size=(draws, len(errors)))]
    low, high = np.quantile(np.sqrt((drawn**2).mean(1)), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
