"""What is predicted: one class, one class by a yes or no for each, any number of classes, a step of a scale, a number.

In: logits [runs, batch, outputs] or [rows, outputs], and targets: class indices [rows] (classification, one-vs-rest, ordinal), 0 and 1 [rows, classes]
(multi-label) or floats [rows] (regression). Out: losses, class weights, probabilities, predictions, metrics. Nothing else depends on the task.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy import stats
from scipy.special import expit, softmax
from torch import Tensor
from torch.nn import functional

from hilbertune.config.records import HeadConfig, Task, TrainingConfig
from hilbertune.errors import HilbertuneError
from hilbertune.model import kernels

METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "roc_auc"),
    "one-vs-rest": ("accuracy", "macro_f1", "roc_auc"),
    "ordinal": ("accuracy", "macro_f1", "roc_auc", "mean_absolute_error", "quadratic_kappa"),
    "multi-label": ("subset_accuracy", "micro_f1", "macro_f1"),
    "regression": ("r2", "rmse", "mean_absolute_error", "spearman"),
}
"""What `metrics` gives; ROC-AUC where two classes occur and no more, and whatever has a value (a constant has no rank correlation)."""


RANGES: dict[str, tuple[float, float]] = {
    "r2": (-math.inf, 1.0),
    "rmse": (0.0, math.inf),
    "mean_absolute_error": (0.0, math.inf),
    "spearman": (-1.0, 1.0),
    "quadratic_kappa": (-1.0, 1.0),
}
"""Values that a metric can take; from 0 to 1 where it is not listed."""


def outputs(task: Task, classes: int) -> int:
    """Logits of the head: one a class; for a scale one between each two steps (Li and Lin 2007); for a number one.

    Raises:
        HilbertuneError: too few classes.
    """
    if task == "regression":
        return 1
    fewest = 1 if task == "multi-label" else 2
    if classes < fewest:
        raise HilbertuneError(f"task={task!r} needs at least {fewest} classes, not {classes}.")
    return classes - 1 if task == "ordinal" else classes


def classes_of(task: Task, outputs: int) -> int:
    """How many classes a head with so many logits tells apart; 0 for numbers."""
    return {"ordinal": outputs + 1, "regression": 0}.get(task, outputs)


def check(task: Task, targets: Tensor, outputs: int) -> None:
    """Refuse targets that are not what the task takes.

    Raises:
        HilbertuneError: another shape or type, a class that the head has no logit for, or a number that is not finite; the message
            names the first such row, from 1.
    """
    classes = classes_of(task, outputs)
    many, real = task == "multi-label", task in ("multi-label", "regression")
    shape = "[rows, classes]" if many else "[rows]"
    if targets.dim() != 1 + many or targets.is_floating_point() != real:
        kind = {"multi-label": "floats of 0 and 1", "regression": "floats"}.get(task, "class indices")
        raise HilbertuneError(
            f"task={task!r} needs {kind} of the shape {shape}, not {targets.dtype} of the shape {list(targets.shape)}."
        )
    if many and targets.shape[1] != classes:
        raise HilbertuneError(
            f"The targets have {targets.shape[1]} columns, and the head {classes} outputs: give as many."
        )
    if task == "regression":
        wrong, what = ~targets.isfinite(), "is not finite: repair or remove it"
    elif many:
        wrong, what = ((targets != 0) & (targets != 1)).any(1), "holds other numbers than 0 and 1"
    else:
        wrong = (targets < 0) | (targets >= classes)
        what = f"is no class from 0 to {classes - 1}"
    if count := int(wrong.sum()):
        row = int(wrong.nonzero()[0, 0])
        others = f" (and those of {count - 1} more rows)" if count > 1 else ""
        raise HilbertuneError(f"The target of row {row + 1}{others} {what}.")


def check_head(task: Task, head: HeadConfig, outputs: int) -> None:
    """Refuse a head whose two logits would be one expectation and its negative where that means nothing.

    Raises:
        HilbertuneError: no final linear layer, and not one measured qubit for each output.
    """
    single = task in ("classification", "one-vs-rest")
    if not single and not head.final_linear and head.measured(outputs) != outputs:
        raise HilbertuneError(
            f"task={task!r} needs the final linear layer or measured_qubits = {outputs}, not {head.measured(outputs)}."
        )


def shape(task: Task, head: HeadConfig, outputs: int) -> HeadConfig:
    """The head's shape with the measured qubits spelled out where two logits are no two sides of one answer: two labels of a row."""
    if task == "multi-label" and outputs == 2 and head.head == "quantum" and not head.measured_qubits:
        return replace(head, measured_qubits=min(2, head.qubits))
    return head


def class_weights(
    training: TrainingConfig, targets: Shaped[Tensor, "rows *classes"], classes: int
) -> Float[Tensor, " classes"] | None:
    """Weights that make each class count alike among one run's training rows, or None where every row counts alike.

    "balanced" is scikit-learn's rows / (classes · count), over the classes that occur; a class without a training row has the weight 1,
    which only validation sees. For several labels it is the weight of a label's positive rows, negatives / positives; 1 where
    either is missing.

    Raises:
        HilbertuneError: the task is regression, which has no classes, or there are not as many given weights as classes.
    """
    if training.class_weight is None:
        return None
    if training.task == "regression":
        raise HilbertuneError("task='regression' has no classes to weigh: leave class_weight out.")
    if isinstance(training.class_weight, tuple):
        if len(training.class_weight) != classes:
            raise HilbertuneError(
                f"class_weight holds {len(training.class_weight)} weights for {classes} classes: give one for each."
            )
        return torch.tensor(training.class_weight, dtype=torch.float64)
    if training.task == "multi-label":
        positive = targets.double().sum(0)
        negative = len(targets) - positive
        both = (positive > 0) & (negative > 0)
        return torch.where(both, negative / positive.clamp(min=1), 1.0)
    count = torch.bincount(targets, minlength=classes).double()
    fair = len(targets) / (max(1, int((count > 0).sum())) * count.clamp(min=1))
    return torch.where(count > 0, fair, 1.0)


def losses(
    task: Task,
    logits: Float[Tensor, "runs batch outputs"],
    targets: Shaped[Tensor, "runs batch *classes"],
    weights: Float[Tensor, "runs classes"] | None = None,
) -> Float[Tensor, "runs batch"]:
    """The loss of every sample.

    One class: cross-entropy. Yes or no (one-vs-rest, multi-label, ordinal): the binary cross-entropies, summed over the logits; the
    j-th of a scale asks whether the step is above j. A number: the squared error.
    """
    if task == "classification":
        found = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        return found if weights is None else found * weights.to(found.dtype).gather(1, targets)
    if task == "regression":
        return (logits[..., 0] - targets.to(logits.dtype)).square()
    wanted = _wanted(task, targets, logits.shape[-1])
    # A softmax over no (0) and yes: torch's binary cross-entropy rounds by how many samples stand side by side.
    pairs = torch.stack([torch.zeros_like(logits), logits], dim=-1).flatten(0, -2)
    each = functional.cross_entropy(pairs, wanted.long().flatten(), reduction="none")
    each = each.view(logits.shape)
    if weights is not None:
        each = each * _weight_of_each(task, targets, weights, wanted).to(each.dtype)
    return each.sum(-1)


def _wanted(task: Task, targets: Tensor, outputs: int) -> Tensor:
    """What each logit should say [..., outputs], from targets [...] or, with several labels, [..., classes]."""
    if task == "multi-label":
        return targets
    if task == "regression":
        return targets[..., None]
    steps = torch.arange(outputs, device=targets.device)
    return targets[..., None] > steps if task == "ordinal" else targets[..., None] == steps


def _weight_of_each(task: Task, targets: Tensor, weights: Tensor, wanted: Tensor) -> Tensor:
    """The weights [runs, batch, 1 or outputs] of each logit's loss."""
    if task == "multi-label":
        return torch.where(wanted > 0, weights[:, None], 1.0)
    return weights.gather(1, targets)[..., None]


def goal(
    task: Task,
    targets: Shaped[Tensor, "rows *classes"],
    weights: Float[Tensor, "runs classes"] | None,
    outputs: int,
) -> kernels.Goal:
    """The loss as the compiled training reads it."""
    nothing = np.zeros((0, 0))
    kind = {"classification": kernels.CROSS_ENTROPY, "regression": kernels.SQUARED}.get(task, kernels.BINARY)
    wanted = nothing
    if kind != kernels.CROSS_ENTROPY:
        wanted = _wanted(task, targets, outputs).double().numpy()
    if weights is None:
        factors = np.ones((1, len(targets), 1))
    else:
        every = targets.expand(len(weights), *targets.shape)
        each = _weight_of_each(task, every, weights, _wanted(task, every, outputs))
        factors = each.double().contiguous().numpy()
    labels = np.zeros(0, np.int64)
    if kind == kernels.CROSS_ENTROPY:
        labels = targets.numpy()
    return kernels.Goal(kind, labels, np.ascontiguousarray(wanted), factors)


def correct(
    task: Task, logits: Float[Tensor, "*rows outputs"], targets: Shaped[Tensor, "..."]
) -> Float[Tensor, "*rows"] | None:
    """1 for every row that is predicted rightly (with several labels: all of them), else 0; None for numbers."""
    if task == "regression":
        return None
    if task == "multi-label":
        return ((logits > 0) == (targets > 0)).all(-1).double()
    found = (logits > 0).sum(-1) if task == "ordinal" else logits.argmax(-1)
    return (found == targets).double()


def probabilities(task: Task, logits: Float[np.ndarray, "rows outputs"]) -> Float[np.ndarray, "rows classes"]:
    """The probability of each class; for several labels of each by itself.

    One-vs-rest: the sigmoids, scaled to sum 1. Ordinal: differences of P(y > j), each taken no higher than the one before.

    Raises:
        HilbertuneError: the task is regression.
    """
    if task == "regression":
        raise HilbertuneError("task='regression' predicts numbers, which have no probabilities.")
    logits = logits.astype(np.float64)
    shares: np.ndarray
    if task == "classification":
        shares = softmax(logits, axis=1)
    elif task == "multi-label":
        shares = expit(logits)
    elif task == "one-vs-rest":
        # Through logarithms, so that sigmoids that are all next to 0 still have a ratio.
        shares = softmax(-np.logaddexp(0, -logits), axis=1)
    else:
        above = np.minimum.accumulate(expit(logits), axis=1)
        ends = np.ones((len(logits), 1)), np.zeros((len(logits), 1))
        shares = -np.diff(np.hstack([ends[0], above, ends[1]]), axis=1)
    return shares


def predicted(task: Task, logits: Float[np.ndarray, "rows outputs"]) -> np.ndarray:
    """Class indices [rows]; 0 and 1 [rows, classes] for several labels; floats [rows] for numbers.

    A step of a scale is the number of thresholds that are passed (Li and Lin 2007).
    """
    if task == "regression":
        return logits[:, 0].astype(np.float64)
    if task == "multi-label":
        return (logits > 0).astype(np.int64)
    if task == "ordinal":
        passed: np.ndarray = (logits > 0).sum(1)
        return passed
    found: np.ndarray = logits.argmax(1)
    return found


def metrics(
    task: Task,
    truth: Shaped[np.ndarray, "rows *classes"],
    logits: Float[np.ndarray, "rows outputs"],
) -> dict[str, float]:
    """What is measured of a head: the names in METRICS that have a value."""
    score = None
    if classes_of(task, logits.shape[1]) == 2 and task != "multi-label":
        score = logits[:, 0] if task == "ordinal" else logits[:, 1] - logits[:, 0]
    return judged(task, truth, predicted(task, logits), score)


def judged(
    task: Task,
    truth: Shaped[np.ndarray, "rows *classes"],
    found: np.ndarray,
    score: Float[np.ndarray, " rows"] | None = None,
) -> dict[str, float]:
    """What is measured of any model's predictions; `score` ranks the rows by how sure the second of two classes is."""
    from sklearn import metrics as m

    values: dict[str, Any]
    if task == "regression":
        error = found - truth
        values = {
            "r2": m.r2_score(truth, found) if len(truth) > 1 and np.ptp(truth) else math.nan,
            "rmse": math.sqrt(float(np.mean(error**2))),
            "mean_absolute_error": np.abs(error).mean(),
            "spearman": math.nan,
        }
        if len(truth) > 1 and np.ptp(truth) and np.ptp(found):
            values["spearman"] = stats.spearmanr(truth, found).statistic
    elif task == "multi-label":
        truth = truth.astype(np.int64)
        values = {
            "subset_accuracy": (truth == found).all(1).mean(),
            "micro_f1": m.f1_score(truth, found, average="micro", zero_division=0),
            "macro_f1": m.f1_score(truth, found, average="macro", zero_division=0),
        }
    else:
        values = {
            "accuracy": (truth == found).mean(),
            "macro_f1": m.f1_score(truth, found, average="macro", zero_division=0),
        }
        if score is not None and len(np.unique(truth)) == 2 and np.isfinite(score).all():
            values["roc_auc"] = m.roc_auc_score(truth, score)
        if task == "ordinal":
            values["mean_absolute_error"] = np.abs(truth - found).mean()
            one = len(np.unique(np.concatenate([truth, found]))) == 1
            values["quadratic_kappa"] = math.nan if one else m.cohen_kappa_score(truth, found, weights="quadratic")
    return {k: float(v) for k, v in values.items() if not math.isnan(v)}
