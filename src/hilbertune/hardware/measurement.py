"""A run directory: everything that measuring a test set on hardware needs, from the angles to the ledger.

In: a trained model and labelled rows; the encoders are simulated, what runs on the QPU is the head.
Out: a directory (run.json, rows.safetensors, ledger.sqlite) and what it says, a `MeasuredRun`.
"""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
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
from hilbertune.hardware.folder import FORMAT, not_a_run, read_about
from hilbertune.hardware.options import Options
from hilbertune.model.evaluation import row_slices
from hilbertune.model.layers import HybridHead
from hilbertune.model.outputs import outputs
from hilbertune.model.readout import fixed_matrix, logits_of
from hilbertune.runtime import storage
from hilbertune.runtime.provenance import environment


@dataclass(frozen=True)
class MeasuredRun:
    """The content of a run directory; with it neither the model nor the data are needed again.

    `linear` is the final linear layer's weights and, in the last column, its biases; None where there is none. `exact`
    are the simulated expectations, `truth` the targets.
    """

    folder: Path
    options: Options
    head: HeadConfig
    task: Task
    classes: list[Any]
    weights: Float[np.ndarray, " parameters"]
    linear: Float[np.ndarray, "outputs columns"] | None
    angles: Float[np.ndarray, "rows inputs"]
    exact: Float[np.ndarray, "rows measured"]
    truth: np.ndarray

    @property
    def circuit(self) -> Circuit:
        """The head's circuit, its angles not bound."""
        return parts(self.head)["head"]

    @cached_property
    def bound_circuits(self) -> list[BoundCircuit]:
        """The circuits to measure, one a row, bound when they are first asked for."""
        measured = range(self.exact.shape[1])
        return [
            bind(self.circuit, self.weights.tolist(), row, measured, reduce=self.options.reduce)
            for row in self.angles.tolist()
        ]

    def logits(self, expectations: Float[np.ndarray, "rows measured"]) -> Float[np.ndarray, "rows outputs"]:
        """Return the logits of expectations."""
        if self.linear is not None:
            return logits_of(expectations, self.linear[:, :-1], self.linear[:, -1])
        count = outputs(self.task, len(self.classes))
        return logits_of(expectations, fixed_matrix(count, expectations.shape[1]), np.zeros(count))


def require_quantum_head(model: HybridEstimator) -> None:
    """Raise HilbertuneError unless the model's head is one circuit."""
    if "head" not in model.head_.circuits:
        raise HilbertuneError("This model's head is classical: there is nothing to run on a QPU.")
    if model.head_.members > 1:
        raise HilbertuneError(
            f"This model averages {model.head_.members} heads, and only a single one is measured: train with members=1."
        )


def angles_of(model: HybridEstimator, vectors: np.ndarray) -> Float[np.ndarray, "rows inputs"]:
    """Return the angles that the simulated encoders hand to the head, for embeddings [rows, features].

    Raises:
        HilbertuneError: the model has no quantum head, or several.
    """
    require_quantum_head(model)
    hybrid = model.head_
    device = hybrid.head.weights.device
    with torch.no_grad():
        pieces = [
            hybrid.angles(torch.as_tensor(vectors[rows], device=device))[0] for rows in row_slices(hybrid, len(vectors))
        ]
    angles: np.ndarray = torch.cat(pieces).double().cpu().numpy()
    return angles


def bind_rows(model: HybridEstimator, vectors: np.ndarray, *, reduce: bool = True) -> list[BoundCircuit]:
    """Return the head's circuit for each embedding [rows, features], its angles bound.

    Raises:
        HilbertuneError: the model has no quantum head, or several.
    """
    angles, hybrid = angles_of(model, vectors), model.head_
    weights = hybrid.head.weights[0].detach().double().tolist()
    circuit, measured = hybrid.circuits["head"], hybrid.head.measured
    return [bind(circuit, weights, row, measured, reduce=reduce) for row in angles.tolist()]


def create_run(
    folder: Path, model: HybridEstimator, vectors: np.ndarray, truth: np.ndarray, options: Options
) -> MeasuredRun:
    """Make a new run directory and return what it says; nothing is sent.

    Args:
        folder: the new directory.
        model: a trained model.
        vectors: embeddings [rows, features].
        truth: targets as `tasks.metrics` takes them, [rows] or [rows, classes].
        options: where and how it will be measured.

    Raises:
        HilbertuneError: the folder exists, or the model has no quantum head or several.
    """
    angles, hybrid = angles_of(model, vectors), model.head_
    arrays = {
        "weights": hybrid.head.weights[0].detach().double().cpu().numpy(),
        "angles": angles,
        "exact": _exact(hybrid, vectors),
        "truth": np.ascontiguousarray(truth),
    }
    if hybrid.config.final_linear:
        both = [hybrid.linear_weight[0], hybrid.linear_bias[0][:, None]]
        arrays["linear"] = torch.cat([t.detach().double() for t in both], 1).cpu().numpy()
    about = {
        "format": FORMAT,
        "options": asdict(options),
        "head": hybrid.config.identity(),
        "task": model.task_,
        "classes": np.asarray(getattr(model, "classes_", [])).tolist(),
        "environment": environment(),
    }
    with storage.new_directory(folder) as new:
        (new / "run.json").write_text(json.dumps(about, indent=2, ensure_ascii=False))
        (new / "rows.safetensors").write_bytes(safetensors.numpy.save(arrays))
    return read_run(folder)


def _exact(hybrid: HybridHead, vectors: np.ndarray) -> Float[np.ndarray, "rows measured"]:
    """Return the head's expectations without shots, noise or hardware, whatever its settings are."""
    head = hybrid.head
    settings = head.engine, head.shots, head.noise
    head.engine, head.shots, head.noise = "auto", None, None
    try:
        with torch.no_grad():
            pieces = [
                hybrid.expectations(torch.as_tensor(vectors[rows], device=head.weights.device))[0]
                for rows in row_slices(hybrid, len(vectors))
            ]
    finally:
        head.engine, head.shots, head.noise = settings
    exact: np.ndarray = torch.cat(pieces).double().cpu().numpy()
    return exact


def read_run(folder: Path) -> MeasuredRun:
    """Return what a run directory says.

    Raises:
        HilbertuneError: it is not a run directory, or a file of it is missing or broken.
    """
    about = read_about(folder)
    try:
        arrays = safetensors.numpy.load_file(folder / "rows.safetensors")
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
        raise not_a_run(folder) from error
