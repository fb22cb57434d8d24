"""A test set on hardware: a folder that holds everything a run needs, from the angles to the last result.

In: a trained model and labelled rows. Out: a run directory (run.json, rows.safetensors, ledger.sqlite), its state, and, when all is measured, results.json, predictions.csv
and a picture: accuracy on hardware beside exact simulation and the device's noise model. The encoders are simulated; what runs on the QPU is the head.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from jaxtyping import Float

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.builders import parts
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import HeadConfig, Task
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.hardware.options import Options
from hilbertune.model import evaluation, tasks
from hilbertune.runtime import storage
from hilbertune.runtime.provenance import environment

FORMAT = 1


@dataclass(frozen=True)
class MeasuredRun:
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

    def programs(self) -> list[BoundCircuit]:
        """One for each row."""
        measured = range(self.exact.shape[1])
        return [
            bind(self.circuit, self.weights.tolist(), row, measured, reduce=self.options.reduce)
            for row in self.angles.tolist()
        ]

    def logits(self, expectations: Float[np.ndarray, "rows measured"]) -> Float[np.ndarray, "rows outputs"]:
        """What follows the head: the final linear layer, if there is one."""
        if self.linear is not None:
            return np.asarray(expectations @ self.linear[:, :-1].T + self.linear[:, -1])
        outputs = tasks.outputs(self.task, len(self.classes))
        if expectations.shape[1] == outputs:
            return expectations
        return np.hstack([expectations, -expectations])


def programs_of(
    model: HybridEstimator, vectors: np.ndarray, *, reduce: bool = True
) -> tuple[list[BoundCircuit], Float[np.ndarray, "rows inputs"]]:
    """A program for each row, and its angles; the encoders are simulated.

    Raises:
        HilbertuneError: the model has no quantum head.
    """
    head = model.head_
    if "head" not in head.circuits:
        raise HilbertuneError("This model's head is classical: there is nothing to run on a QPU.")
    with torch.no_grad():
        pieces = [
            head.angles(torch.as_tensor(vectors[block]))[0] for block in evaluation.row_slices(head, len(vectors))
        ]
    angles = torch.cat(pieces).double().numpy()
    weights = head.head.weights[0].detach().double().tolist()
    measured = head.head.measured
    circuit = head.circuits["head"]
    return [bind(circuit, weights, row, measured, reduce=reduce) for row in angles.tolist()], angles


def create_run(
    folder: Path, model: HybridEstimator, vectors: np.ndarray, truth: np.ndarray, options: Options
) -> MeasuredRun:
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
                [head.expectations(torch.as_tensor(vectors[b]))[0] for b in evaluation.row_slices(head, len(vectors))]
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
    return read_run(folder)


def read_run(folder: Path) -> MeasuredRun:
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
        return MeasuredRun(
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
