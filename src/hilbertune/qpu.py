"""A test set on hardware: a folder that holds everything a run needs, from the angles to the last result.

In: a trained model and labelled rows. Out: a run directory (run.json, rows.safetensors, ledger.sqlite), its state, and, when all is measured, results.json, predictions.csv
and a picture: accuracy on hardware beside exact simulation and the device's noise model. The encoders are simulated; what runs on the QPU is the head.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from jaxtyping import Float

from hilbertune import evaluation, storage, tasks
from hilbertune.circuit import Circuit, parts
from hilbertune.classifier import HybridEstimator
from hilbertune.config import HeadConfig, Task
from hilbertune.engine.noise import PRESETS, Noise
from hilbertune.environment import environment
from hilbertune.errors import HilbertuneError
from hilbertune.hardware import HardwareBackend, Pricing, Provider
from hilbertune.programs import GateSet, Program, bind

FORMAT = 1


@dataclass(frozen=True)
class Options:
    """How a run is measured. `backend` is an IonQ backend, "ibm:NAME", "braket:NAME", or "local" for Aer on this machine.

    Raises:
        HilbertuneError: values that do not go together (when the provider is made).
    """

    backend: str = "simulator"
    shots: int = 1024
    noise: str | None = None
    gateset: GateSet = "qis"
    debiasing: bool = False
    readout: bool = False
    scales: tuple[int, ...] = (1,)
    reduce: bool = True
    pricing: Pricing = "vendor"
    seed: int = 0
    readout_error: float = 0.0
    batch_circuits: int | None = None

    def provider(self) -> Provider:
        """Where programs run."""
        if self.backend == "local":
            from hilbertune.qiskit_provider import local

            return local(self.noise, readout_error=self.readout_error, seed=self.seed)
        vendor, _, name = self.backend.partition(":")
        if vendor in ("ibm", "braket"):
            from hilbertune import qiskit_provider

            if self.noise or self.debiasing or self.gateset != "qis":
                raise HilbertuneError(
                    f"A noise model, debiasing and the gate set 'native' are IonQ's: leave them out for {self.backend}."
                )
            if vendor == "braket":
                return qiskit_provider.braket(name)
            return qiskit_provider.ibm(name, seed=self.seed)
        from hilbertune.ionq import IonQ

        return IonQ(
            self.backend,
            noise=self.noise,
            debiasing=self.debiasing,
            gateset=self.gateset,
            seed=self.seed if self.backend == "simulator" else None,
        )

    def executor(self, run: Path, provider: Provider | None = None, **more: Any) -> HardwareBackend:
        """The backend of a run directory; `more` are arguments of `HardwareBackend`."""
        return HardwareBackend(
            provider or self.provider(),
            run,
            shots=self.shots,
            pricing=self.pricing,
            readout=self.readout,
            scales=self.scales,
            reduce=self.reduce,
            batch_circuits=self.batch_circuits,
            **more,
        )


@dataclass(frozen=True)
class Run:
    """What a run directory says: the head's weights and the angles of every row, so that neither model nor data are needed again."""

    folder: Path
    options: Options
    head: HeadConfig
    task: Task
    classes: list[Any]
    weights: Float[np.ndarray, " parameters"]
    linear: Float[np.ndarray, "outputs _"] | None
    angles: Float[np.ndarray, "rows inputs"]
    exact: Float[np.ndarray, "rows measured"]
    truth: np.ndarray

    @property
    def circuit(self) -> Circuit:
        """The head."""
        return parts(self.head)["head"]

    def programs(self) -> list[Program]:
        """One for each row."""
        measured = range(self.exact.shape[1])
        return [
            bind(self.circuit, self.weights.tolist(), row, measured, reduce=self.options.reduce)
            for row in self.angles.tolist()
        ]

    def logits(
        self, expectations: Float[np.ndarray, "rows measured"]
    ) -> Float[np.ndarray, "rows outputs"]:
        """What follows the head: the final linear layer, if there is one."""
        if self.linear is not None:
            return np.asarray(expectations @ self.linear[:, :-1].T + self.linear[:, -1])
        outputs = tasks.outputs(self.task, len(self.classes))
        if expectations.shape[1] == outputs:
            return expectations
        return np.hstack([expectations, -expectations])


def programs_of(
    model: HybridEstimator, vectors: np.ndarray, *, reduce: bool = True
) -> tuple[list[Program], Float[np.ndarray, "rows inputs"]]:
    """A program for each row, and its angles; the encoders are simulated.

    Raises:
        HilbertuneError: the model has no quantum head.
    """
    head = model.head_
    if "head" not in head.circuits:
        raise HilbertuneError("This model's head is classical: there is nothing to run on a QPU.")
    with torch.no_grad():
        pieces = [
            head.angles(torch.as_tensor(vectors[block]))[0]
            for block in evaluation.blocks(head, len(vectors))
        ]
    angles = torch.cat(pieces).double().numpy()
    weights = head.head.weights[0].detach().double().tolist()
    measured = head.head.measured
    circuit = head.circuits["head"]
    return [bind(circuit, weights, row, measured, reduce=reduce) for row in angles.tolist()], angles


def create(
    folder: Path, model: HybridEstimator, vectors: np.ndarray, truth: np.ndarray, options: Options
) -> Run:
    """A new run directory. Nothing is sent.

    Args:
        vectors: embeddings [rows, features].
        truth: targets as `tasks.metrics` takes them, [rows] or [rows, classes].

    Raises:
        HilbertuneError: the folder exists, or the model has no quantum head.
    """
    _, angles = programs_of(model, vectors)
    head = model.head_
    kept = head.head.engine, head.head.shots, head.head.noise
    head.head.engine, head.head.shots, head.head.noise = "auto", None, None
    try:
        with torch.no_grad():
            exact = torch.cat(
                [
                    head.expectations(torch.as_tensor(vectors[b]))[0]
                    for b in evaluation.blocks(head, len(vectors))
                ]
            )
    finally:
        head.head.engine, head.head.shots, head.head.noise = kept
    arrays = {
        "weights": head.head.weights[0].detach().double().numpy(),
        "angles": angles,
        "exact": exact.double().numpy(),
        "truth": np.ascontiguousarray(truth),
    }
    if head.config.final_linear:
        both = [head.linear_weight[0], head.linear_bias[0][:, None]]
        arrays["linear"] = torch.cat([t.detach().double() for t in both], 1).numpy()
    about = {
        "format": FORMAT,
        "options": asdict(options),
        "head": head.config.to_dict(),
        "task": model.task_,
        "classes": np.asarray(getattr(model, "classes_", [])).tolist(),
        "environment": environment(),
    }
    with storage.new_directory(folder) as new:
        (new / "run.json").write_text(json.dumps(about, indent=2, ensure_ascii=False))
        (new / "rows.safetensors").write_bytes(safetensors.numpy.save(arrays))
    return read(folder)


def read(folder: Path) -> Run:
    """A run directory.

    Raises:
        HilbertuneError: it is none, or a file of it is missing or broken.
    """
    try:
        about = json.loads((folder / "run.json").read_text())
        arrays = safetensors.numpy.load_file(folder / "rows.safetensors")
        if about["format"] != FORMAT:
            raise HilbertuneError(
                f"{folder} has the format {about['format']}, this version reads {FORMAT}: upgrade hilbertune."
            )
        options = dict(about["options"], scales=tuple(about["options"]["scales"]))
        return Run(
            folder,
            Options(**options),
            HeadConfig.from_dict(about["head"]),
            about["task"],
            about["classes"],
            arrays["weights"],
            arrays.get("linear"),
            arrays["angles"],
            arrays["exact"],
            arrays["truth"],
        )
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        if isinstance(error, HilbertuneError):
            raise
        raise HilbertuneError(
            f"{folder} is no whole run directory: name one that 'hilbertune qpu run' has written."
        ) from error


def results(
    run: Run, measured: Float[np.ndarray, "rows measured"], ledger: Mapping[str, Any]
) -> dict[str, Any]:
    """Hardware beside the exact simulation and, where the device's noise model is known, beside that; written to the run directory."""
    columns = {"exact": run.exact, "hardware": measured}
    model = noise_of(run.options)
    if model is not None:
        columns["noise model"] = expected(run, model)
    figures: dict[str, Any] = {
        "rows": len(run.truth),
        "backend": run.options.backend,
        "shots": run.options.shots,
        "ledger": dict(ledger),
        "methods": {name: _figures(run, expectations) for name, expectations in columns.items()},
    }
    figures["energy"] = _energy(run, figures["ledger"], figures["methods"]["hardware"])
    error = measured - run.exact
    figures["expectation_error"] = {
        "mean": float(error.mean()),
        "root_mean_square": float(np.sqrt((error**2).mean())),
        "largest": float(np.abs(error).max()),
        # What shots alone would do to an ideal device.
        "from_shots_alone": float(np.sqrt(((1 - run.exact**2) / run.options.shots).mean())),
    }
    storage.write_atomically(run.folder / "predictions.csv", _table(run, columns).encode())
    storage.write_atomically(
        run.folder / "results.json", json.dumps(figures, indent=2, ensure_ascii=False).encode()
    )
    return figures


def _energy(
    run: Run, ledger: Mapping[str, Any], hardware: Mapping[str, Any]
) -> dict[str, float | str | None]:
    """Joules as the vendor reports them, None where it does not."""
    joules, rows = ledger.get("joules_vendor_reported"), len(run.truth)
    right = rows * hardware["accuracy"]["mean"] if "accuracy" in hardware else 0.0
    return {
        "method": None if joules is None else "reported by the vendor",
        "joules_per_1000_predictions": None if joules is None else 1000 * joules / rows,
        "joules_per_correct_prediction": None if joules is None or not right else joules / right,
    }


def noise_of(options: Options) -> Noise | None:
    """The noise model of the device, None if it is not known."""
    known = options.noise or {"qpu.forte-1": "forte-1"}.get(options.backend)
    return PRESETS.get(known) if known else None


def expected(run: Run, noise: Noise, trajectories: int = 256) -> Float[np.ndarray, "rows measured"]:
    """What the noise model makes of the head's expectations, without shots."""
    from dataclasses import replace

    from hilbertune.engine import expectation

    rows = []
    for start in range(0, len(run.angles), 256):
        values = expectation(
            run.circuit,
            torch.from_numpy(run.weights)[None],
            torch.from_numpy(run.angles[start : start + 256])[None],
            measured=range(run.exact.shape[1]),
            noise=replace(noise, trajectories=trajectories),
            rngs=[np.random.default_rng(run.options.seed)],
        )
        rows.append(values[0].numpy())
    return np.concatenate(rows)


def _figures(run: Run, expectations: np.ndarray) -> dict[str, Any]:
    logits = run.logits(expectations)
    found = tasks.predicted(run.task, logits)
    figures: dict[str, Any] = {"metrics": tasks.metrics(run.task, run.truth, logits)}
    if run.task != "regression":
        right = found == run.truth
        figures["accuracy"] = evaluation.over_rows(right.all(1) if right.ndim == 2 else right)
    if run.task not in ("regression", "multi-label"):
        figures["confusion"] = evaluation.confusion(run.truth, found, len(run.classes)).tolist()
        figures["calibration"] = calibration(tasks.probabilities(run.task, logits), run.truth)
    return figures


def calibration(
    probabilities: Float[np.ndarray, "rows classes"], truth: np.ndarray, bins: int = 10
) -> dict[str, Any]:
    """How far stated probabilities are from what came true: the expected calibration error and Brier's score, and for each bin of
    the predicted class's probability the rows, the mean probability and the share that was right."""
    sure, found = probabilities.max(1), probabilities.argmax(1)
    right = found == truth
    place = np.minimum((sure * bins).astype(int), bins - 1)
    table = [
        {"rows": int(own.sum()), "probability": float(sure[own].mean()), "right": float(right[own].mean())}
        for own in (place == b for b in range(bins))
        if own.any()
    ]  # fmt: skip
    error = sum(b["rows"] * abs(b["probability"] - b["right"]) for b in table) / len(truth)
    hot = np.eye(probabilities.shape[1])[truth]
    brier = float(((probabilities - hot) ** 2).sum(1).mean())
    return {"expected_error": float(error), "brier": brier, "bins": table}


def _table(run: Run, columns: Mapping[str, np.ndarray]) -> str:
    """One line a row: truth, each method's prediction and expectations."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measured = range(run.exact.shape[1])
    head = ["row", "truth"]
    for name in columns:
        head += [f"{name} prediction", *(f"{name} <Z{q}>" for q in measured)]
    writer.writerow(head)
    predictions = {k: tasks.predicted(run.task, run.logits(v)) for k, v in columns.items()}
    for row in range(len(run.truth)):
        cells: list[Any] = [row + 1, _label(run, run.truth[row])]
        for name, values in columns.items():
            cells += [
                _label(run, predictions[name][row]),
                *(f"{v:.6f}" for v in values[row]),
            ]
        writer.writerow(cells)
    return text.getvalue()


def _label(run: Run, value: Any) -> Any:
    if run.task == "regression":
        return float(value)
    if run.task == "multi-label":
        return "|".join(str(run.classes[i]) for i in np.flatnonzero(value))
    return run.classes[int(value)]


def totals(batches: Sequence[Any]) -> dict[str, Any]:
    """The ledger in figures: batches by state, circuits, shots and gates of those that are done, estimate and bill, kWh where the vendor says."""
    done = [b for b in batches if b.state == "done"]
    billed = [b.billed for b in done if b.billed is not None]
    kwh = [b.kwh for b in done if b.kwh]
    states = sorted({b.state for b in batches})
    return {
        "batches": {state: sum(b.state == state for b in batches) for state in states},
        "circuits": sum(b.circuits for b in done),
        "shots": sum(b.circuits * b.shots for b in done),
        "one_qubit_gates": sum(b.one_qubit_gates for b in done),
        "two_qubit_gates": sum(b.two_qubit_gates for b in done),
        "estimated": sum(b.cost or 0.0 for b in batches),
        "billed": sum(billed) if billed else None,
        "kwh_vendor_reported": sum(kwh) if kwh else None,
        "joules_vendor_reported": 3.6e6 * sum(kwh) if kwh else None,
    }
