"""The arrays of a run directory, rows.safetensors, checked against what its run.json says before anything is built.

In: a folder and its description.
Out: weights, angles, exact expectations, truth and, where there is one, the final linear layer, each with its axis of
members; or one sentence that names the file and the array.
"""

from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from hilbertune.circuit.builders import parts
from hilbertune.config.records import HeadConfig
from hilbertune.errors import HilbertuneError
from hilbertune.hardware.folder import Description, not_a_run


def parameters_of(head: HeadConfig) -> int:
    """Return the number of a head's weights without building a published circuit, whose size nobody has checked yet."""
    if head.head_circuit is not None:
        return parts(head)["head"].parameters
    blocks = 1 if head.shared_reupload else head.reuploads
    column = int(head.column)
    first, last = (layers * head.connectivity + column for layers in (head.reupload_layers, head.layers))
    return head.qubits * (blocks * first + last)


def read_arrays(folder: Path, about: Description) -> dict[str, np.ndarray]:
    """Return the arrays of a run; those of a single head as of an ensemble of one.

    Raises:
        HilbertuneError: the file is missing or broken, or an array does not belong to what run.json says.
    """
    path = folder / "rows.safetensors"
    try:
        if not path.is_file():
            raise not_a_run(folder)
        arrays = safetensors.numpy.load_file(path)
    except (OSError, ValueError, KeyError, TypeError, MemoryError, safetensors.SafetensorError) as error:
        if isinstance(error, HilbertuneError):
            raise
        raise not_a_run(folder) from error
    wanted = {"weights", "angles", "exact", "truth"} | ({"linear"} if about.head.final_linear else set())
    if odd := sorted(wanted ^ set(arrays)):
        raise _bad(path, f"{odd[0]} is {'missing' if odd[0] in wanted else 'not an array of a run'}")
    truth = arrays.pop("truth")
    _check_truth(path, truth, about)
    rows = len(truth)
    lead = () if about.members == 1 and arrays["weights"].ndim == 1 else (about.members,)
    measured = about.head.measured(about.outputs)
    shapes = {
        "weights": (*lead, parameters_of(about.head)),
        "angles": (*lead, rows, about.head.angles),
        "exact": (*lead, rows, measured),
        "linear": (*lead, about.outputs, measured + 1),
    }
    for name, values in arrays.items():
        if values.shape != shapes[name]:
            raise _bad(path, f"{name} has the shape {list(values.shape)}, not {list(shapes[name])}")
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise _bad(path, f"{name} has values that are not finite numbers")
    if np.abs(arrays["exact"]).max(initial=0) > 1 + 1e-6:
        raise _bad(path, "exact has expectations beyond 1")
    found = {name: values if lead else values[None] for name, values in arrays.items()}
    return {**found, "truth": truth}


def _check_truth(path: Path, truth: np.ndarray, about: Description) -> None:
    """Raise HilbertuneError unless there is a target of the task for each row."""
    classes = len(about.classes)
    many = about.task == "multi-label"
    if truth.ndim != 1 + many or not len(truth) or (many and truth.shape[1] != classes):
        raise _bad(path, f"truth has the shape {list(truth.shape)}")
    if truth.dtype.kind not in "iubf" or not np.isfinite(truth).all():
        raise _bad(path, "truth has values that are not finite numbers")
    if about.task == "regression":
        return
    most = 1 if many else classes - 1
    if not ((truth >= 0) & (truth <= most) & (truth == np.floor(truth))).all():
        raise _bad(path, "truth names a class that run.json does not have")


def _bad(path: Path, why: str) -> HilbertuneError:
    return HilbertuneError(f"{path} cannot be used ({why}): restore it from a copy.")
