"""Trained models on held-out data, over seeds, beside classical baselines.

In: embeddings, targets and splits.
Out: logits, and the rows of one table: metrics with 95 % intervals, parameters, seconds and energy of each method.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from threadpoolctl import threadpool_limits

from hilbertune.baselines.fixed import baselines
from hilbertune.baselines.models import score_of
from hilbertune.config.records import ClassWeight, Task
from hilbertune.data.columns import in_range
from hilbertune.data.splits import Split
from hilbertune.engine.threads import cores_for_kernels
from hilbertune.errors import HilbertuneError
from hilbertune.model import tasks
from hilbertune.model.intervals import over_seeds
from hilbertune.model.layers import HybridHead
from hilbertune.runtime import energy

AMPLITUDES = 1 << 21
"""Amplitudes that go through the head at once (8 MiB in single precision)."""


def row_slices(model: HybridHead, rows: int) -> list[slice]:
    """Cut `rows` rows into pieces that are small enough for the model's number of qubits."""
    step = max(8, (AMPLITUDES >> model.config.encoder_qubits) // model.members)
    return [slice(start, start + step) for start in range(0, rows, step)]


@cores_for_kernels()
@torch.no_grad()
def logits(
    model: HybridHead,
    embeddings: Float[np.ndarray, "rows features"],
    seed: int | Sequence[int] = 0,
) -> Float[np.ndarray, "rows outputs"]:
    """Return one model's logits, computed piece by piece; those of an ensemble are averaged by `tasks.averaged`.

    Shots and noise are drawn from `seed`, so that predictions repeat.

    Raises:
        HilbertuneError: several models stand side by side.
    """
    if model.runs != model.members:
        raise HilbertuneError(f"{model.runs // model.members} models stand side by side: select one of them.")
    each = _logits_of_members(model, embeddings, seed)
    return each[0] if model.task is None else tasks.averaged(model.task, each)


def _logits_of_members(
    model: HybridHead, embeddings: Float[np.ndarray, "rows features"], seed: int | Sequence[int]
) -> Float[np.ndarray, "members rows outputs"]:
    """Return the logits of each member of one model."""
    device, members = model.head.weights.device, model.members
    from hilbertune.model import fused  # here: it loads Numba

    if fused.usable(model, len(embeddings)):
        rows = torch.as_tensor(embeddings).to(model.head.weights.dtype)
        values: np.ndarray = fused.Fused(model, rows).logits(np.tile(np.arange(len(rows)), (members, 1)))
        return values
    # A copy, since other threads may predict with this model.
    drawing = model.varied(rngs=member_streams(seed, members))
    parts = [
        drawing(torch.as_tensor(embeddings[piece], device=device)).cpu().view(members, -1, model.outputs)
        for piece in row_slices(model, len(embeddings))
    ]
    together = torch.cat([torch.zeros(members, 0, model.outputs, dtype=model.head.weights.dtype), *parts], 1)
    return (together if together.dtype == torch.float64 else together.float()).numpy()


def member_streams(seed: int | Sequence[int], members: int) -> list[np.random.Generator]:
    """Return what each member's shots and noise are drawn from; the first draws as a single head does."""
    streams = [np.random.SeedSequence(seed, spawn_key=(number,) if number else ()) for number in range(members)]
    return [np.random.default_rng(stream) for stream in streams]


def confusion(
    truth: Int[np.ndarray, " rows"], predicted: Int[np.ndarray, " rows"], classes: int
) -> Int[np.ndarray, "classes classes"]:
    """Return counts of rows, with a row for each true class and a column for each predicted one."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (truth, predicted), 1)
    return table


def hybrid_row(
    model: HybridHead,
    embeddings: np.ndarray,
    labels: np.ndarray,
    splits: Sequence[Split],
    seconds: float,
    task: Task = "classification",
    joules: float | None = None,
) -> dict[str, Any]:
    """Return the quantum head's row of the table, measured on the test rows of each model that stands in `model`.

    Args:
        model: the trained runs, single heads or ensembles.
        embeddings: [rows, features] of all rows.
        labels: their targets, as `train` takes them.
        splits: the rows of each run.
        seconds: the time that the training of all runs took.
        task: what is predicted.
        joules: the energy that the training of all runs took, None where it was not measured.
    """
    measured, costs = [], []
    for run, split in enumerate(splits):
        one, x = model.select(run), embeddings[split.test]
        answer, taken = energy.each(lambda one=one, x=x: logits(one, x))  # type: ignore[misc]
        measured.append(tasks.metrics(task, labels[split.test], answer))
        own = None if joules is None else joules / len(splits)
        costs.append(_cost(own, taken, len(x), measured[-1]))
    return {
        "method": "hybrid quantum head",
        "kind": "quantum",
        **_figures(task, measured),
        "parameters": model.parameter_count,
        "seconds": seconds / len(splits),
        "energy": mean_cost(costs),
    }


def _cost(
    training: float | None, taken: energy.Energy, rows: int, measured: Mapping[str, float | None]
) -> dict[str, float | None]:
    """Return the energy of a training and of its predictions on that number of rows."""
    share = measured.get("accuracy", measured.get("subset_accuracy"))
    return energy.of_predictions(training, taken, rows, (share or 0.0) * rows)


def mean_cost(costs: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each cost over seeds; None unless every seed was measured."""
    means: dict[str, float | None] = {}
    for name in costs[0] if costs else ():
        known = [c[name] for c in costs]
        means[name] = None if None in known else float(np.mean([v for v in known if v is not None]))
    return means


def _figures(task: Task, measured: Sequence[dict[str, float | None]]) -> dict[str, Any]:
    """Return the metrics over seeds; None where one is undefined in some seed.

    "accuracy" stands out: with several labels it counts the rows whose labels are all right; numbers have none.
    """
    metrics = {
        name: _over_seeds([m[name] for m in measured], tasks.RANGES.get(name, (0.0, 1.0)))
        for name in tasks.METRICS[task]
        if all(name in m for m in measured)
    }
    leading = {"regression": None, "multi-label": "subset_accuracy"}.get(task, "accuracy")
    return {**({"accuracy": metrics[leading]} if leading else {}), "metrics": metrics}


def _over_seeds(values: Sequence[float | None], bounds: tuple[float, float]) -> dict[str, Any] | None:
    known = [value for value in values if value is not None]
    return over_seeds(known, bounds) if len(known) == len(values) else None


def baseline_rows(
    embeddings: np.ndarray,
    labels: np.ndarray,
    splits: Sequence[Split],
    seeds: Sequence[int],
    parameters: int,
    progress: Callable[[], None] = lambda: None,
    *,
    task: Task = "classification",
    class_weight: ClassWeight | None = None,
) -> list[dict[str, Any]]:
    """Return a row of the table for each classical baseline, on the same splits; seconds are those of one training.

    Args:
        embeddings: [rows, features] of all rows.
        labels: their targets, as `train` takes them.
        splits: the rows of each seed.
        seeds: a seed for each split.
        parameters: the number of parameters that matched baselines aim at.
        progress: called after every training.
        task: what is predicted.
        class_weight: as in `TrainingConfig`.
    """
    rows, embeddings = [], in_range(embeddings)
    for name, fit in baselines(task, class_weight).items():
        measured, counts, seconds, costs = [], [], 0.0, []
        for split, seed in zip(splits, seeds, strict=True):
            # On matrices this small the threads of a linear algebra library only wait for each other.
            with threadpool_limits(1), energy.window() as window:
                fitted = fit(embeddings[split.train], labels[split.train], parameters, seed)
            seconds += window.energy.seconds
            x, model = embeddings[split.test], fitted.model
            answer, taken = energy.each(lambda model=model, x=x: model.predict(x))  # type: ignore[misc]
            measured.append(tasks.judged(task, labels[split.test], answer, score_of(model, x)))
            counts.append(fitted.parameters)
            costs.append(_cost(window.energy.joules, taken, len(x), measured[-1]))
            progress()
        rows.append(
            {
                "method": name,
                "kind": "classical",
                **_figures(task, measured),
                "parameters": round(float(np.mean(counts))),
                "seconds": seconds / len(seeds),
                "energy": mean_cost(costs),
            }
        )
    return rows


def merged(task: Task, tables: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Merge a table for each seed, of the same methods, into one table over seeds."""
    rows = []
    for same in zip(*tables, strict=True):
        measured = [{k: None if v is None else v["mean"] for k, v in row["metrics"].items()} for row in same]
        rows.append(
            {
                "method": same[0]["method"],
                "kind": same[0]["kind"],
                **_figures(task, measured),
                "parameters": round(float(np.mean([row["parameters"] for row in same]))),
                "seconds": float(np.mean([row["seconds"] for row in same])),
                "energy": mean_cost([row["energy"] for row in same]),
            }
        )
    return rows
