"""Trained models on held-out data, over seeds, beside classical baselines: numbers with intervals.

In: embeddings, labels and splits. Out: accuracies and other metrics as {"mean", "low", "high", "values"} with 95 % intervals, and rows of one table.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import stats
from threadpoolctl import threadpool_limits

from hilbertune.baselines.fixed import baselines, score_of
from hilbertune.config.records import ClassWeight, Task
from hilbertune.data.splits import Split
from hilbertune.engine.cpu import cores_for_kernels
from hilbertune.model import tasks
from hilbertune.model.fused import Fused, usable
from hilbertune.model.layers import HybridHead
from hilbertune.runtime import energy

AMPLITUDES = 1 << 21
"""Amplitudes that go through the head at once (8 MiB in single precision)."""


def row_slices(model: HybridHead, rows: int) -> list[slice]:
    """Pieces of `rows` rows that are small enough for the model's number of qubits."""
    step = max(8, AMPLITUDES >> model.config.encoder_qubits)
    return [slice(start, start + step) for start in range(0, rows, step)]


@cores_for_kernels()
@torch.no_grad()
def logits(
    model: HybridHead,
    embeddings: Float[np.ndarray, "rows features"],
    seed: int | Sequence[int] = 0,
) -> Float[np.ndarray, "rows outputs"]:
    """A single model's logits, computed block by block; shots and noise are drawn from `seed`, so that predictions repeat."""
    device = model.head.weights.device
    if usable(model, len(embeddings)):
        rows = torch.as_tensor(embeddings).to(model.head.weights.dtype)
        found: np.ndarray = Fused(model, rows).logits(np.arange(len(rows))[None])[0]
        return found
    kept, model.head.rngs = model.head.rngs, [np.random.default_rng(seed)]
    try:
        parts = [
            model(torch.as_tensor(embeddings[block], device=device)).cpu()
            for block in row_slices(model, len(embeddings))
        ]
    finally:
        model.head.rngs = kept
    empty = torch.zeros(0, model.outputs)
    return torch.cat([empty.to(parts[0].dtype) if parts else empty, *parts]).numpy()


def over_seeds(values: Sequence[float], bounds: tuple[float, float] = (0.0, 1.0)) -> dict[str, Any]:
    """Mean and 95 % Student-t interval (within `bounds`) of one value a seed; without a second seed the ends are None."""
    mean = float(np.mean(values))
    low = high = None
    if len(values) > 1:
        half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
        low, high = max(bounds[0], mean - half), min(bounds[1], mean + half)
    return {"mean": mean, "low": low, "high": high, "values": [float(v) for v in values]}


def over_rows(correct: Bool[np.ndarray, " rows"]) -> dict[str, Any]:
    """Share of correct rows and its 95 % Wilson interval."""
    result = stats.binomtest(int(correct.sum()), len(correct)).proportion_ci(0.95, "wilson")
    return {"mean": float(correct.mean()), "low": float(result.low), "high": float(result.high)}


def confusion(
    truth: Int[np.ndarray, " rows"], predicted: Int[np.ndarray, " rows"], classes: int
) -> Int[np.ndarray, "classes classes"]:
    """Counts: a row for each true class, a column for each predicted one."""
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
    """The quantum head's row of the table: what was measured on the test rows of each run of `model`.

    `labels` are targets as `train` takes them, for all rows; `seconds` and `joules` what the training of all runs took.
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
    training: float | None, taken: energy.Energy, rows: int, measured: Mapping[str, float]
) -> dict[str, float | None]:
    share = measured.get("accuracy", measured.get("subset_accuracy"))
    return energy.of_predictions(training, taken, rows, (share or 0.0) * rows)


def mean_cost(costs: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Over seeds; None unless every seed was measured."""
    found: dict[str, float | None] = {}
    for name in costs[0] if costs else ():
        known = [c[name] for c in costs]
        found[name] = None if None in known else float(np.mean([v for v in known if v is not None]))
    return found


def _figures(task: Task, measured: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Metrics over seeds, those that have a value in every seed; "accuracy" (all labels right, where there are several) but for numbers."""
    found = {
        name: over_seeds([m[name] for m in measured], tasks.RANGES.get(name, (0.0, 1.0)))
        for name in tasks.METRICS[task]
        if all(name in m for m in measured)
    }
    leading = {"regression": None, "multi-label": "subset_accuracy"}.get(task, "accuracy")
    return {**({"accuracy": found[leading]} if leading else {}), "metrics": found}


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
    """A row of the table for each classical baseline, on the same splits; seconds are those of one training."""
    rows = []
    for name, fit in baselines(task, class_weight).items():
        measured, counts, seconds, costs = [], [], 0.0, []
        for split, seed in zip(splits, seeds, strict=True):
            # On matrices this small the threads of a linear algebra library only wait for each other.
            with threadpool_limits(1), energy.window() as window:
                fitted = fit(embeddings[split.train], labels[split.train], parameters, seed)
            seconds += window.energy.seconds
            x, model = embeddings[split.test], fitted.model
            answer, taken = energy.each(lambda model=model, x=x: model.predict(x))  # type: ignore[misc]
            found = tasks.judged(task, labels[split.test], answer, score_of(model, x))
            measured.append(found)
            counts.append(fitted.parameters)
            costs.append(_cost(window.energy.joules, taken, len(x), found))
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
    """One table over seeds from a table for each seed, of the same methods."""
    rows = []
    for same in zip(*tables, strict=True):
        measured = [{k: v["mean"] for k, v in row["metrics"].items()} for row in same]
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
