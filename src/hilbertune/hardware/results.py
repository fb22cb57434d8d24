"""The results of a measured run: accuracy on hardware beside exact simulation and the device's noise model.

In: a `MeasuredRun`, its measured expectations, the ledger's batches.
Out: results.json and predictions.csv in the run directory, and the same figures for JSON.
"""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from hilbertune.config.noise import Noise
from hilbertune.hardware.measurement import MeasuredRun
from hilbertune.hardware.options import noise_of
from hilbertune.model import evaluation, tasks
from hilbertune.model.intervals import over_rows
from hilbertune.runtime import storage
from hilbertune.runtime.escaping import cell


def write_results(
    run: MeasuredRun, measured: Float[np.ndarray, "members rows measured"], ledger: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare hardware with the exact simulation and, where it is known, the device's noise model.

    Write results.json and predictions.csv to the run directory and return the figures. Each method's answers are
    averaged over the members of an ensemble, whose number the figures then say; errors are those of all expectations.
    """
    columns = {"exact": run.exact, "hardware": measured}
    model = noise_of(run.options)
    if model is not None:
        columns["noise model"] = expected(run, model)
    figures: dict[str, Any] = {
        **of_members(run.members),
        "rows": len(run.truth),
        "backend": run.options.backend,
        "shots": run.options.shots,
        "ledger": dict(ledger),
        "cost_per_row": None if "spent" not in ledger else ledger["spent"] / len(run.truth),
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
    storage.write_atomically(run.folder / "predictions.csv", _table(run, columns).encode(), private=True)
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    storage.write_atomically(run.folder / "results.json", text.encode(), private=True)
    return figures


def of_members(members: int) -> dict[str, int]:
    """Return the number of members as figures say it: not at all for a single head."""
    return {"members": members} if members > 1 else {}


def _energy(run: MeasuredRun, ledger: Mapping[str, Any], hardware: Mapping[str, Any]) -> dict[str, float | str | None]:
    """Return joules as the vendor reports them, None where it does not."""
    joules, rows = ledger.get("joules_vendor_reported"), len(run.truth)
    right = rows * hardware["accuracy"]["mean"] if "accuracy" in hardware else 0.0
    return {
        "method": None if joules is None else "reported by the vendor",
        "joules_per_1000_predictions": None if joules is None else 1000 * joules / rows,
        "joules_per_correct_prediction": None if joules is None or not right else joules / right,
    }


def expected(run: MeasuredRun, noise: Noise, trajectories: int = 256) -> Float[np.ndarray, "members rows measured"]:
    """Return what the noise model makes of each member's expectations, without shots."""
    from dataclasses import replace

    from hilbertune.engine.expectations import expectation

    rows, step = [], max(1, 256 // run.members)
    for start in range(0, len(run.truth), step):
        values = expectation(
            run.circuit,
            torch.from_numpy(run.weights),
            torch.from_numpy(run.angles[:, start : start + step]),
            measured=range(run.exact.shape[2]),
            noise=replace(noise, trajectories=trajectories),
            rngs=evaluation.member_streams(run.options.seed, run.members),
        )
        rows.append(values.numpy())
    return np.concatenate(rows, 1)


def _figures(run: MeasuredRun, expectations: np.ndarray) -> dict[str, Any]:
    logits = run.logits(expectations)
    predicted = tasks.predicted(run.task, logits)
    figures: dict[str, Any] = {"metrics": tasks.metrics(run.task, run.truth, logits)}
    if run.task != "regression":
        right = predicted == run.truth
        figures["accuracy"] = over_rows(right.all(1) if right.ndim == 2 else right)
    if run.task not in ("regression", "multi-label"):
        figures["confusion"] = evaluation.confusion(run.truth, predicted, len(run.classes)).tolist()
        figures["calibration"] = calibration(tasks.probabilities(run.task, logits), run.truth)
    return figures


def calibration(probabilities: Float[np.ndarray, "rows classes"], truth: np.ndarray, bins: int = 10) -> dict[str, Any]:
    """Return how far stated probabilities are from what came true: expected calibration error and Brier's score.

    For each bin of the predicted class's probability there are the rows, the mean probability and the share that was
    right.
    """
    sure, predicted = probabilities.max(1), probabilities.argmax(1)
    right = predicted == truth
    place = np.minimum((sure * bins).astype(int), bins - 1)
    table = [
        {"rows": int(own.sum()), "probability": float(sure[own].mean()), "right": float(right[own].mean())}
        for own in (place == b for b in range(bins))
        if own.any()
    ]
    error = sum(b["rows"] * abs(b["probability"] - b["right"]) for b in table) / len(truth)
    hot = np.eye(probabilities.shape[1])[truth]
    brier = float(((probabilities - hot) ** 2).sum(1).mean())
    return {"expected_error": float(error), "brier": brier, "bins": table}


def _table(run: MeasuredRun, columns: Mapping[str, np.ndarray]) -> str:
    """Return one line a row: truth, each method's prediction and the expectations of every head."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    members, _, measured = run.exact.shape
    heads = [f" head {member + 1}" if members > 1 else "" for member in range(members)]
    head = ["row", "truth"]
    for name in columns:
        head += [f"{name} prediction", *(f"{name}{of} <Z{q}>" for of in heads for q in range(measured))]
    writer.writerow(head)
    predictions = {k: tasks.predicted(run.task, run.logits(v)) for k, v in columns.items()}
    for row in range(len(run.truth)):
        cells: list[Any] = [run.numbers[row], _label(run, run.truth[row])]
        for name, values in columns.items():
            cells += [
                _label(run, predictions[name][row]),
                *(f"{v:.6f}" for v in values[:, row].ravel()),
            ]
        writer.writerow(cells)
    return text.getvalue()


def _label(run: MeasuredRun, value: Any) -> Any:
    if run.task == "regression":
        return float(value)
    if run.task == "multi-label":
        return "|".join(cell(run.classes[i]) for i in np.flatnonzero(value))
    return cell(run.classes[int(value)])
