"""A run directory: everything that measuring a test set on hardware needs, from the angles to the ledger.

In: a trained model and labelled rows; the encoders are simulated, what runs on the QPU is the head.
Out: a directory (run.json, rows.safetensors, ledger.sqlite) and what it says, a `MeasuredRun`. Each row takes a circuit
for each member of an ensemble: all rows of the first member, then all of the next, as an engine is asked for them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from jaxtyping import Float
from torch import Tensor

from hilbertune.circuit.binding import BoundCircuit, bind
from hilbertune.circuit.builders import parts
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import HeadConfig, Task
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.hardware.arrays import read_arrays
from hilbertune.hardware.backend import HardwareBackend
from hilbertune.hardware.folder import FORMAT, FORMAT_OF_MEMBERS, read_description
from hilbertune.hardware.ledger import Ledger
from hilbertune.hardware.options import Options
from hilbertune.hardware.provider import Recorded
from hilbertune.model import tasks
from hilbertune.model.evaluation import row_slices
from hilbertune.model.layers import HybridHead
from hilbertune.model.outputs import outputs
from hilbertune.model.readout import fixed_matrix, logits_of
from hilbertune.runtime import storage
from hilbertune.runtime.escaping import json_text
from hilbertune.runtime.provenance import environment


@dataclass(frozen=True)
class MeasuredRun:
    """The content of a run directory; with it neither the model nor the data are needed again.

    `linear` is the final linear layer's weights and, in the last column, its biases; None where there is none. `exact`
    are the simulated expectations, `truth` the targets. A single head is an ensemble of one member. `numbers` are those
    that the rows have in their file, from 1.
    """

    folder: Path
    options: Options
    head: HeadConfig
    task: Task
    classes: list[Any]
    weights: Float[np.ndarray, "members parameters"]
    linear: Float[np.ndarray, "members outputs columns"] | None
    angles: Float[np.ndarray, "members rows inputs"]
    exact: Float[np.ndarray, "members rows measured"]
    truth: np.ndarray
    numbers: Sequence[int]

    @property
    def members(self) -> int:
        """The number of heads whose answers are averaged."""
        return len(self.weights)

    @property
    def circuit(self) -> Circuit:
        """The head's circuit, its angles not bound."""
        return parts(self.head)["head"]

    @cached_property
    def bound_circuits(self) -> list[BoundCircuit]:
        """The circuits to measure, one for each row of each member, bound when they are first asked for."""
        return _bound(self.circuit, self.weights, self.angles, range(self.exact.shape[2]), self.options.reduce)

    def reader(self) -> HardwareBackend:
        """Return a backend that reads the ledger and nothing else: it needs no key, vendor or package.

        A ledger of an older version does not say what its provider was, which is then made anew.

        Raises:
            HilbertuneError: there is no usable ledger.
        """
        # Only a run of an older version may have no ledger yet: any other was refused when it was read.
        ledger = Ledger(self.folder / "ledger.sqlite")
        known = ledger.provider_facts()
        ledger.close()
        made = self.options.executor(self.folder, None if known is None else Recorded(*known))
        made.offline = True
        return made

    def by_member(self, values: Float[np.ndarray, "circuits measured"]) -> Float[np.ndarray, "members rows measured"]:
        """Return the expectations of `bound_circuits` as those of each member."""
        return values.reshape(self.exact.shape)

    def logits(self, expectations: Float[np.ndarray, "members rows measured"]) -> Float[np.ndarray, "rows outputs"]:
        """Return the logits of expectations; those of an ensemble are averaged as predictions are."""
        if self.linear is not None:
            matrix, bias = self.linear[:, None, :, :-1], self.linear[:, None, :, -1]
        else:
            count = outputs(self.task, len(self.classes))
            matrix, bias = fixed_matrix(count, expectations.shape[2]), np.zeros(count)
        return tasks.averaged(self.task, logits_of(expectations, matrix, bias))


def require_quantum_head(model: HybridEstimator) -> None:
    """Raise HilbertuneError unless the model's head is one circuit."""
    if "head" not in model.head_.circuits:
        raise HilbertuneError("This model's head is classical: there is nothing to run on a QPU.")


def angles_of(model: HybridEstimator, vectors: np.ndarray) -> Float[np.ndarray, "members rows inputs"]:
    """Return the angles that each member's simulated encoders hand to its head, for embeddings [rows, features].

    Raises:
        HilbertuneError: the model has no quantum head.
    """
    require_quantum_head(model)
    hybrid = model.head_
    device = hybrid.head.weights.device
    with torch.no_grad():
        pieces = [
            hybrid.angles(torch.as_tensor(vectors[rows], device=device)) for rows in row_slices(hybrid, len(vectors))
        ]
    return _in_double(torch.cat(pieces, 1))


def _in_double(values: Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().double().cpu().numpy()
    return array


def _bound(
    circuit: Circuit,
    weights: Float[np.ndarray, "members parameters"],
    angles: Float[np.ndarray, "members rows inputs"],
    measured: Sequence[int],
    reduce: bool,
) -> list[BoundCircuit]:
    """Return the circuits of all rows of the first member, then of the next."""
    return [
        bind(circuit, own, row, measured, reduce=reduce)
        for own, rows in zip(weights.tolist(), angles.tolist(), strict=True)
        for row in rows
    ]


def bind_rows(model: HybridEstimator, vectors: np.ndarray, *, reduce: bool = True) -> list[BoundCircuit]:
    """Return the head's circuit for each embedding [rows, features], its angles bound.

    For an ensemble there are the circuits of all rows for its first member, then for the next.

    Raises:
        HilbertuneError: the model has no quantum head.
    """
    angles, hybrid = angles_of(model, vectors), model.head_
    return _bound(hybrid.circuits["head"], _in_double(hybrid.head.weights), angles, hybrid.head.measured, reduce)


def create_run(
    folder: Path,
    model: HybridEstimator,
    vectors: np.ndarray,
    truth: np.ndarray,
    options: Options,
    numbers: Sequence[int] | None = None,
) -> MeasuredRun:
    """Make a new run directory and return what it says; nothing is sent.

    Args:
        folder: the new directory.
        model: a trained model.
        vectors: embeddings [rows, features].
        truth: targets as `tasks.metrics` takes them, [rows] or [rows, classes].
        options: where and how it will be measured.
        numbers: of the rows in their file, from 1; None where they are its first ones.

    Raises:
        HilbertuneError: the folder exists, or the model has no quantum head.
    """
    angles, hybrid = angles_of(model, vectors), model.head_
    arrays = {"weights": _in_double(hybrid.head.weights), "angles": angles, "exact": _exact(hybrid, vectors)}
    if hybrid.config.final_linear:
        both = [hybrid.linear_weight, hybrid.linear_bias[..., None]]
        arrays["linear"] = _in_double(torch.cat([t.detach().double() for t in both], 2))
    single = hybrid.members == 1
    if single:  # as before there were ensembles, so that older versions read it
        arrays = {name: values[0] for name, values in arrays.items()}
    about = {
        "format": FORMAT if single else FORMAT_OF_MEMBERS,
        **({} if single else {"members": hybrid.members}),
        "options": asdict(options),
        "head": hybrid.config.identity(),
        "task": model.task_,
        "classes": np.asarray(getattr(model, "classes_", [])).tolist(),
        "environment": environment(),
        **({} if numbers is None else {"rows": list(numbers)}),
    }
    arrays["truth"] = np.ascontiguousarray(truth)
    with storage.new_directory(folder, private=True) as new:
        # From the first moment a run has its ledger, so that one which is missing later is known to be lost.
        ledger = Ledger(new / "ledger.sqlite")
        about["run"] = ledger.run
        ledger.close()
        storage.write_atomically(new / "run.json", json_text(about, indent=2).encode(), private=True)
        storage.write_atomically(new / "rows.safetensors", safetensors.numpy.save(arrays), private=True)
    return read_run(folder)


def _exact(hybrid: HybridHead, vectors: np.ndarray) -> Float[np.ndarray, "members rows measured"]:
    """Return each member's expectations without shots, noise or hardware, whatever its settings are."""
    ideal = hybrid.varied(engine="auto", shots=None, noise=None)
    with torch.no_grad():
        pieces = [
            ideal.expectations(torch.as_tensor(vectors[rows], device=hybrid.head.weights.device))
            for rows in row_slices(hybrid, len(vectors))
        ]
    return _in_double(torch.cat(pieces, 1))


def read_run(folder: Path) -> MeasuredRun:
    """Return what a run directory says.

    Raises:
        HilbertuneError: it is not a run directory, or a file of it is missing or broken.
    """
    about = read_description(folder)
    arrays = read_arrays(folder, about)
    rows = len(arrays["truth"])
    numbers = range(1, rows + 1) if about.rows is None else about.rows
    if len(numbers) != rows:
        raise HilbertuneError(
            f"{folder / 'run.json'} cannot be used (rows has {len(numbers)} numbers for {rows} rows): restore it from "
            "a copy."
        )
    return MeasuredRun(
        folder,
        about.options,
        about.head,
        about.task,
        about.classes,
        arrays["weights"],
        arrays.get("linear"),
        arrays["angles"],
        arrays["exact"],
        arrays["truth"],
        numbers,
    )
