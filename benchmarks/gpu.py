"""The GPU engine on one GPU: its kernels against the reference, then whole trainings of the published model.

Usage: make gpu [MINUTES=5], or python benchmarks/gpu.py [--minutes 5] [--out FILE.json] [--epochs 800]
    [--qubits 10 16 18] [--embeddings FILE.npz] [--device cuda] [--no-kernels] [--no-sweep] [--only WORD] [--json]

Nothing need be installed but torch, triton, numba, numpy, scipy, scikit-learn and safetensors. The parts, in order: the
kernels' checks (tests/helpers/kernels.py), float32 against float64, one run at each number of qubits, and at the first
of them a sweep of 10 seeds times 7 learning rates as one program of 70 runs. The model is the yardstick's (peers.py),
batch 16, 448 rows to train and 77 to validate; an epoch that compiles comes before each training and is not counted.
Joules are read with zeus, if it is there. A line is printed for each part as it ends, and the JSON (to FILE, else to
$OUT/gpu.json) is written anew, so that a run that is cut off loses nothing. With --minutes parts are cut short or left
out, which the JSON says with the reason. Exit status 1 if a part failed: a check, or a loss or gradient in float32 that
is 1e-5 or more from float64.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

STARTED = time.monotonic()

import plain_image

plain_image.provide(("torch", "numba", "numpy", "scipy", "sklearn", "safetensors"))

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is imported

import peers

from hilbertune.config.records import TrainingConfig
from hilbertune.data.arrays import read_embeddings
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import train
from hilbertune.runtime import energy, storage
from hilbertune.runtime.provenance import environment

TRAIN, VALIDATION = 448, 77
SEEDS, RATES = range(10), np.geomspace(1e-3, 1e-1, 7).tolist()
TOLERANCE = 1e-5
PUBLISHED_HOURS = {10: "6.8 (A100)", 16: "43 (A100)", 18: "90 (H100)"}
KERNELS_SHARE = 0.45
"""Of the minutes, so that a slow compiler leaves time for the trainings."""
KEPT_BACK = 0.05
"""Of the minutes, for the end of what has begun."""

Row = dict[str, Any]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class Enough(Exception):
    """The time of a part is over."""


class Report:
    """The parts so far, in a file that is whole after each of them."""

    def __init__(self, device: str, minutes: float | None, file: Path | None) -> None:
        found = environment()
        found["packages"]["triton"] = triton_version()
        self.device, self.minutes, self.file = device, minutes, file
        self.parts: list[Row] = []
        self.over: str | None = None
        self.content: Row = {"device": device, "minutes": minutes, "finished": False, "environment": found}

    def left(self) -> float:
        """Return the seconds until nothing new may begin."""
        if self.minutes is None:
            return float("inf")
        return 60 * self.minutes * (1 - KEPT_BACK) - (time.monotonic() - STARTED)

    def write(self, finished: bool = False) -> None:
        self.content |= {"finished": finished, "seconds": time.monotonic() - STARTED, "parts": self.parts}
        if self.file is not None:
            storage.write_atomically(self.file, json.dumps(self.content, indent=1).encode())

    def part(self, name: str, work: Callable[[float], Row], until: float, why_not: str | None = None) -> None:
        """Run a part, which is given the seconds that it may take, and write down how it ended."""
        part: Row = {"part": name, "status": "begun"}
        self.parts.append(part)
        reason = self.over or why_not
        if reason is None and until <= 0:
            reason = f"no time was left of {self.minutes:g} minutes"
        if reason is not None:
            part |= {"status": "skipped", "reason": reason}
        else:
            self.write()
            part |= self._ended(work, until)
        self.write()
        seconds = f", {part['seconds']:.1f} s" if "seconds" in part else ""
        say(f"{name}: {part['status']}{seconds}" + (f" ({part['reason']})" if "reason" in part else ""))

    def _ended(self, work: Callable[[float], Row], until: float) -> Row:
        started = time.monotonic()
        try:
            found = {"status": "passed"} | work(until)
        except KeyboardInterrupt:
            self.over = "the run was stopped"
            found = {"status": "cut off", "reason": self.over}
        except Exception as error:
            found = {"status": "failed", "reason": first_line(error)}
            if not answers(self.device):
                self.over = "the GPU no longer answers after the part that failed"
        return found | {"seconds": time.monotonic() - started}


def first_line(error: Exception) -> str:
    """Return the error in a line; of a bare assertion, what was asserted."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else last.line} ({Path(last.filename).name}:{last.lineno})"


def answers(device: str) -> bool:
    """Say whether the device still computes: an illegal access ends everything that the process has on a GPU."""
    try:
        return float(torch.ones(1, device=device)) == 1
    except RuntimeError:
        return False


def data(file: Path | None) -> tuple[Tensor, Tensor]:
    """Return embeddings and class indices for a training: two overlapping clouds unless there is a file."""
    rows = TRAIN + VALIDATION
    if file is None:
        rng = np.random.default_rng(0)
        labels = rng.integers(2, size=rows)
        embeddings = rng.normal(size=(rows, peers.FEATURES)) + 0.1 * (2 * labels[:, None] - 1)
    else:
        read = read_embeddings(file)
        assert read.embeddings is not None
        embeddings, labels = read.embeddings, np.unique(read.labels, return_inverse=True)[1]
        if embeddings.shape[1] != peers.FEATURES or len(labels) < rows or labels.max() != 1:
            raise SystemExit(f"{file} must hold {rows} or more embeddings of {peers.FEATURES} numbers in two classes.")
        chosen = np.random.default_rng(0).permutation(len(labels))[:rows]
        embeddings, labels = embeddings[chosen], labels[chosen]
    return torch.from_numpy(embeddings).float(), torch.from_numpy(labels)


class Clock:
    """Called after each epoch: says how far it is every few seconds, and ends the training when its time is over."""

    def __init__(self, name: str, epochs: int, until: float, device: str) -> None:
        self.name, self.epochs, self.device = name, epochs, device
        self.began = self.said = time.monotonic()
        self.until = self.began + until
        self.done, self.seconds = 0, 0.0

    def __call__(self, done: int, accuracy: float) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
        now = time.monotonic()
        self.done, self.seconds = done, now - self.began
        if now - self.said > 5:
            self.said = now
            say(f"{self.name}: epoch {done} of {self.epochs}, {self.seconds:.0f} s")
        if now > self.until and done < self.epochs:
            raise Enough


def training(name: str, qubits: int, sweep: bool, epochs: int, x: Tensor, y: Tensor, device: str, until: float) -> Row:
    """Seconds, joules and peak memory of one program of runs, after an epoch that compiles."""
    settings = [(s, r) for s in SEEDS for r in RATES] if sweep else [(0, 0.005)]
    runs = len(settings)
    order = np.random.default_rng(1).permutation(TRAIN + VALIDATION)
    split = Split(order[:TRAIN], order[TRAIN:], order[:0])

    def timed(epochs: int, until: float) -> Clock:
        model = HybridHead(peers.FEATURES, 2, peers.shape_for(qubits), runs=runs).to(device)
        configs = [TrainingConfig(epochs=epochs, learning_rate=rate) for _, rate in settings]
        clock = Clock(name, epochs, until, device)
        with contextlib.suppress(Enough):
            train(model, x, y, [split] * runs, configs, [seed for seed, _ in settings], progress=clock)
        return clock

    first = timed(1, until)
    row: Row = {"qubits": qubits, "runs": runs, "epochs": 0, "of_epochs": epochs, "first_epoch_s": first.seconds}
    if until <= first.seconds:
        return row | {"status": "cut off", "reason": "its share of the time went into the epoch that compiles"}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with energy.window() as window:
        clock = timed(epochs, until - first.seconds)
    row |= {"epochs": clock.done, "s": clock.seconds}
    row["ms_a_step"] = 1e3 * clock.seconds / clock.done / (TRAIN // peers.BATCH)
    row["peak_mb"] = torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else None
    row["published_hours"] = PUBLISHED_HOURS.get(qubits)
    row["energy"] = window.energy.to_dict()
    if window.energy.joules is None:
        row["energy"]["reason"] = "there is no meter" if find_spec("zeus") else "zeus is not installed"
    if clock.done < epochs:
        row |= {"status": "cut off", "reason": f"its share of the time was over after {clock.done} of {epochs} epochs"}
    return row


def gap(qubits: int, x: Tensor, y: Tensor, device: str) -> Row:
    """Return the largest difference between float32 and float64 in loss and gradients of one training step."""
    x, y = x[: peers.BATCH].to(device), y[: peers.BATCH].to(device)
    found = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        model = HybridHead(peers.FEATURES, 2, peers.shape_for(qubits)).to(device, dtype)
        loss = functional.cross_entropy(model(x.to(dtype)), y)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        found.append([loss.detach().double(), *(gradient.double() for gradient in gradients)])
    largest = max(float((a - b).abs().max()) for a, b in zip(*found, strict=True))
    if largest < TOLERANCE:
        return {"qubits": qubits, "gap": largest}
    return {"qubits": qubits, "gap": largest, "status": "failed", "reason": f"they differ by {largest:.1e}"}


def check_kernels(report: Report, only: str) -> None:
    """Run every check of the kernels that the time allows."""
    if triton_version() is None:
        return report.part("kernels", lambda _: {}, 0.0, "triton is not installed")
    from helpers import kernels

    kept = (1 - KERNELS_SHARE) * 60 * (report.minutes or 0)

    def held(check: Callable[[], None]) -> Row:
        check()
        return {}

    for check in kernels.checks():
        why_not = "there is no GPU" if check.native and kernels.DEVICE == "cpu" else None
        name = f"kernels: {check.fact}"
        if only in name:
            report.part(name, lambda _, check=check: held(check.hold), report.left() - kept, why_not)
    return None


def trainings(report: Report, asked: argparse.Namespace) -> None:
    """Compare the precisions, then train; the time that is left is shared by the trainings that are left."""
    x, y = data(asked.embeddings)
    for qubits in asked.qubits:
        name = f"float32 and float64: {qubits} qubits"
        if asked.only in name:
            report.part(name, lambda _, qubits=qubits: gap(qubits, x, y, asked.device), report.left())
    todo = [(qubits, False) for qubits in asked.qubits]
    todo += [] if asked.no_sweep else [(asked.qubits[0], True)]
    sizes = {False: "1 run", True: f"{len(SEEDS) * len(RATES)} runs"}
    names = {own: f"training: {own[0]} qubits, {sizes[own[1]]}" for own in todo}
    todo = [own for own in todo if asked.only in names[own]]
    for number, own in enumerate(todo):

        def work(until: float, own: tuple[int, bool] = own) -> Row:
            return training(names[own], *own, asked.epochs, x, y, asked.device, until)

        report.part(names[own], work, report.left() / (len(todo) - number))


def table(report: Report) -> str:
    lines = [
        "| qubits | runs | epochs | seconds | ms a step | first epoch, s | peak MB | joules | float32 − float64 | "
        "published hours for one run of 800 epochs |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    gaps = {part["qubits"]: f"{part['gap']:.0e}" for part in report.parts if "gap" in part}
    for row in report.parts:
        if row.get("epochs"):
            peak = "" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
            joules = row["energy"]["joules"]
            lines.append(
                f"| {row['qubits']} | {row['runs']} | {row['epochs']} | {row['s']:.2f} | {row['ms_a_step']:.3f} | "
                f"{row['first_epoch_s']:.1f} | {peak} | {'' if joules is None else f'{joules:.0f}'} | "
                f"{gaps.get(row['qubits'], '')} | {row['published_hours'] or ''} |"
            )
    found = report.content["environment"]
    packages = ", ".join(f"{k} {v}" for k, v in found["packages"].items() if v)
    machine = found["gpu"] if report.device == "cuda" else found["processor"]
    checks = [part["status"] for part in report.parts if part["part"].startswith("kernels")]
    counts = ", ".join(f"{checks.count(status)} {status}" for status in ("passed", "failed", "skipped"))
    return "\n".join([*lines, "", f"Checks of the kernels: {counts}.", f"{machine}; {packages}."])


def triton_version() -> str | None:
    try:
        return importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return None


def flags(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, help="cut short or leave out what does not fit; all of it if not given"
    )
    parser.add_argument("--out", type=Path, help="JSON file; gpu.json in the folder $OUT if that is set")
    parser.add_argument("--epochs", type=int, default=800)
    parser.add_argument("--qubits", type=int, nargs="+", default=[10, 16, 18])
    parser.add_argument("--embeddings", type=Path, help=".npz with embeddings and labels")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--no-kernels", action="store_true", help="leave out the checks of the kernels")
    parser.add_argument("--no-sweep", action="store_true", help="leave out the sweep of 70 runs")
    parser.add_argument("--only", default="", metavar="WORD", help="only the parts with this in their name")
    parser.add_argument("--json", action="store_true", help="print one JSON object, not a table")
    asked = parser.parse_args(arguments)
    if asked.out is None and os.environ.get("OUT"):
        asked.out = Path(os.environ["OUT"]) / "gpu.json"
    if asked.device == "cuda":
        if not torch.cuda.is_available():
            raise SystemExit("PyTorch finds no GPU here: run this where torch.cuda.is_available().")
        plain_image.provide()
    return asked


def main(arguments: list[str] | None = None) -> int:
    asked = flags(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report(asked.device, asked.minutes, asked.out)
    try:
        report.write()
        with energy.metering():
            if not asked.no_kernels:
                check_kernels(report, asked.only)
            trainings(report, asked)
        report.write(finished=report.over is None)
    except HilbertuneError as error:  # a file that cannot be read or written
        raise SystemExit(str(error)) from None
    print(json.dumps(report.content) if asked.json else table(report), flush=True)
    return 1 if report.over or any(part["status"] == "failed" for part in report.parts) else 0


if __name__ == "__main__":
    sys.exit(main())
