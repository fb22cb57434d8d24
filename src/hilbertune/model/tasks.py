"""The tasks: one class, one class by a yes or no for each, any number of classes, a step of a scale, a number.

In: logits [rows, outputs], and targets: class indices, 0 and 1 [rows, classes] (multi-label), or floats (regression).
Out: losses, class weights, probabilities, predictions and metrics; nothing else depends on the task.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy import stats
from scipy.special import expit, log_softmax, logsumexp, softmax
from torch import Tensor
from torch.nn import functional

from hilbertune.config.records import HeadConfig, Task, TrainingConfig
from hilbertune.errors import HilbertuneError
from hilbertune.model.outputs import classes_of as classes_of
from hilbertune.model.outputs import outputs as outputs

METRICS: dict[Task, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "roc_auc"),
    "one-vs-rest": ("accuracy", "macro_f1", "roc_auc"),
    "ordinal": ("accuracy", "macro_f1", "roc_auc", "mean_absolute_error", "quadratic_kappa"),
    "multi-label": ("subset_accuracy", "micro_f1", "macro_f1"),
    "regression": ("r2", "rmse", "mean_absolute_error", "spearman"),
}
"""The metrics of each task; ROC-AUC only where there are two classes and the answers have an order."""

NEEDS = {
    "roc_auc": "rows of both classes",
    "r2": "two different numbers",
    "spearman": "two different numbers, and answers that are not all equal",
    "quadratic_kappa": "rows or answers of two classes",
}
"""What the rows must hold for a metric to have a value; the others always have one."""


RANGES: dict[str, tuple[float, float]] = {
    "r2": (-math.inf, 1.0),
    "rmse": (0.0, math.inf),
    "mean_absolute_error": (0.0, math.inf),
    "spearman": (-1.0, 1.0),
    "quadratic_kappa": (-1.0, 1.0),
}
"""The values that a metric can take; from 0 to 1 where it is not listed."""


def check(task: Task, targets: Tensor, outputs: int) -> None:
    """Refuse targets that are not what the task takes.

    Raises:
        HilbertuneError: another shape or type, a class that the head has no logit for, or a number that is not finite;
            the message names the first such row, from 1.
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
        what = f"is not a class from 0 to {classes - 1}"
    if count := int(wrong.sum()):
        row = int(wrong.nonzero()[0, 0])
        others = f" (and those of {count - 1} more rows)" if count > 1 else ""
        raise HilbertuneError(f"The target of row {row + 1}{others} {what}.")


def check_head(task: Task, head: HeadConfig, outputs: int) -> None:
    """Refuse a head whose two logits would be one expectation and its negative in a task where that means nothing.

    Raises:
        HilbertuneError: no final linear layer, and not one measured qubit for each output.
    """
    single = task in ("classification", "one-vs-rest")
    if not single and not head.final_linear and head.measured(outputs) != outputs:
        raise HilbertuneError(
            f"task={task!r} needs the final linear layer or measured_qubits = {outputs}, not {head.measured(outputs)}."
        )


def shape(task: Task, head: HeadConfig, outputs: int) -> HeadConfig:
    """Return the shape with two measured qubits for two labels of a row, which are not two sides of one answer."""
    if task == "multi-label" and outputs == 2 and head.head == "quantum" and not head.measured_qubits:
        return replace(head, measured_qubits=min(2, head.head_qubits))
    return head


def class_weights(
    training: TrainingConfig,
    targets: Shaped[Tensor, "rows *classes"],
    classes: int,
    rows: Float[Tensor, " rows"] | None = None,
) -> Float[Tensor, " classes"] | None:
    """Return weights of the classes from one run's training rows, or None if every row counts alike.

    "balanced" is scikit-learn's rows / (classes · count), over the classes that occur; a class without a training row
    has the weight 1, which only validation sees. For several labels it is the weight of a label's positive rows,
    negatives / positives; 1 where either is missing. Where the rows have weights, these are what is counted.

    Raises:
        HilbertuneError: the task is regression, which has no classes, or there are more or fewer weights than classes.
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
        every = targets.double() if rows is None else targets.double() * rows[:, None]
        positive = every.sum(0)
        negative = (len(targets) if rows is None else rows.sum()) - positive
        both = (positive > 0) & (negative > 0)
        return torch.where(both, negative / positive.clamp(min=1), 1.0)
    count = torch.bincount(targets, rows, minlength=classes).double()
    fair = count.sum() / (max(1, int((count > 0).sum())) * torch.where(count > 0, count, 1.0))
    return torch.where(count > 0, fair, 1.0)


def losses(
    task: Task,
    logits: Float[Tensor, "runs batch outputs"],
    targets: Shaped[Tensor, "runs batch *classes"],
    weights: Float[Tensor, "runs classes"] | None = None,
) -> Float[Tensor, "runs batch"]:
    """Return the loss of every sample.

    One class: cross-entropy. Yes or no (one-vs-rest, multi-label, ordinal): the binary cross-entropies, summed over the
    logits; the j-th of a scale asks whether the step is above j. A number: the squared error.
    """
    if task == "classification":
        plain = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        return plain if weights is None else plain * weights.to(plain.dtype).gather(1, targets)
    if task == "regression":
        return (logits[..., 0] - targets.to(logits.dtype)).square()
    wanted = logit_targets(task, targets, logits.shape[-1])
    # A softmax over no (0) and yes: torch's binary cross-entropy rounds by how many samples stand side by side.
    pairs = torch.stack([torch.zeros_like(logits), logits], dim=-1).flatten(0, -2)
    each = functional.cross_entropy(pairs, wanted.long().flatten(), reduction="none")
    each = each.view(logits.shape)
    if weights is not None:
        each = each * logit_weights(task, targets, weights, wanted).to(each.dtype)
    return each.sum(-1)


def logit_targets(task: Task, targets: Tensor, outputs: int) -> Tensor:
    """Return what each logit should say [..., outputs], from targets [...] or, with several labels, [..., classes]."""
    if task == "multi-label":
        return targets
    if task == "regression":
        return targets[..., None]
    steps = torch.arange(outputs, device=targets.device)
    return targets[..., None] > steps if task == "ordinal" else targets[..., None] == steps


def logit_weights(task: Task, targets: Tensor, weights: Tensor, wanted: Tensor) -> Tensor:
    """Return the weights [runs, batch, 1 or outputs] of each logit's loss."""
    if task == "multi-label":
        return torch.where(wanted > 0, weights[:, None], 1.0)
    return weights.gather(1, targets)[..., None]


def correct(
    task: Task, logits: Float[Tensor, "*rows outputs"], targets: Shaped[Tensor, "..."]
) -> Float[Tensor, "*rows"] | None:
    """Return 1 for every row that is predicted rightly (with several labels: all of them), else 0; None for numbers."""
    if task == "regression":
        return None
    if task == "multi-label":
        return ((logits > 0) == (targets > 0)).all(-1).double()
    answers = (logits > 0).sum(-1) if task == "ordinal" else logits.argmax(-1)
    return (answers == targets).double()


def averaged(task: Task, logits: Float[np.ndarray, "members rows outputs"]) -> Float[np.ndarray, "rows outputs"]:
    """Return logits whose probabilities are the mean of those of the members; a single member's as they are.

    One class: the logarithm of the mean softmax. Yes or no: for each logit, that of the mean sigmoid. A number: the
    mean. Everything is summed as logarithms, so that no probability next to 0 becomes 0.
    """
    if len(logits) == 1:
        only: np.ndarray = logits[0]
        return only
    logits = logits.astype(np.float64)
    mean: np.ndarray
    if task == "regression":
        mean = logits.mean(0)
    elif task == "classification":
        mean = logsumexp(log_softmax(logits, axis=2), axis=0) - math.log(len(logits))
    else:
        mean = logsumexp(-np.logaddexp(0, -logits), axis=0) - logsumexp(-np.logaddexp(0, logits), axis=0)
    return mean


def probabilities(task: Task, logits: Float[np.ndarray, "rows outputs"]) -> Float[np.ndarray, "rows classes"]:
    """Return the probability of each class; for several labels that of each by itself.

    One-vs-rest: the sigmoids, scaled to sum 1. Ordinal: differences of P(y > j), each taken no higher than
    the one before.

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
    """Return class indices [rows]; 0 and 1 [rows, classes] for several labels; floats [rows] for numbers.

    A step of a scale is the number of thresholds that are passed (Li and Lin 2007).
    """
    if task == "regression":
        return logits[:, 0].astype(np.float64)
    if task == "multi-label":
        return (logits > 0).astype(np.int64)
    if task == "ordinal":
        passed: np.ndarray = (logits > 0).sum(1)
        return passed
    classes: np.ndarray = logits.argmax(1)
    return classes


def metrics(
    task: Task,
    truth: Shaped[np.ndarray, "rows *classes"],
    logits: Float[np.ndarray, "rows outputs"],
) -> dict[str, float | None]:
    """Return the metrics of a head, those in METRICS; None where these rows leave one undefined (NEEDS)."""
    score = None
    if classes_of(task, logits.shape[1]) == 2 and task != "multi-label":
        score = logits[:, 0] if task == "ordinal" else logits[:, 1] - logits[:, 0]
    return judged(task, truth, predicted(task, logits), score)


def judged(
    task: Task,
    truth: Shaped[np.ndarray, "rows *classes"],
    answers: np.ndarray,
    score: Float[np.ndarray, " rows"] | None = None,
) -> dict[str, float | None]:
    """Return the metrics of any model's answers; `score` ranks the rows by how sure the second of two classes is."""
    if task == "regression":
        values = _judged_numbers(truth, answers)
    elif task == "multi-label":
        values = _judged_labels(truth.astype(np.int64), answers)
    else:
        values = _judged_classes(task, truth, answers, score)
    return {k: float(v) if math.isfinite(v) else None for k, v in values.items()}


def _judged_numbers(truth: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
    from sklearn.metrics import r2_score

    error = answers - truth
    varied = len(truth) > 1 and np.ptp(truth)
    return {
        "r2": r2_score(truth, answers) if varied else math.nan,
        "rmse": math.sqrt(float(np.mean(error**2))),
        "mean_absolute_error": np.abs(error).mean(),
        # A constant has no rank correlation.
        "spearman": stats.spearmanr(truth, answers).statistic if varied and np.ptp(answers) else math.nan,
    }


def _judged_labels(truth: np.ndarray, answers: np.ndarray) -> dict[str, Any]:
    from sklearn.metrics import f1_score

    return {
        "subset_accuracy": (truth == answers).all(1).mean(),
        "micro_f1": f1_score(truth, answers, average="micro", zero_division=0),
        "macro_f1": f1_score(truth, answers, average="macro", zero_division=0),
    }


def _judged_classes(task: Task, truth: np.ndarray, answers: np.ndarray, score: np.ndarray | None) -> dict[str, Any]:
    from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score

    values: dict[str, Any] = {
        "accuracy": (truth == answers).mean(),
        "macro_f1": f1_score(truth, answers, average="macro", zero_division=0),
    }
    if score is not None:
        ranked = len(np.unique(truth)) == 2 and np.isfinite(score).all()
        values["roc_auc"] = roc_auc_score(truth, score) if ranked else math.nan
    if task == "ordinal":
        values["mean_absolute_error"] = np.abs(truth - answers).mean()
        one = len(np.unique(np.concatenate([truth, answers]))) == 1
        values["quadratic_kappa"] = math.nan if one else cohen_kappa_score(truth, answers, weights="quadratic")
    return values
