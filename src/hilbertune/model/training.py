"""The training loop: one loop, many models side by side, that can be killed at any moment and resumed bit for bit.

In: a `HybridHead` with a runs axis, embeddings, targets, a split, a seed and a `TrainingConfig` for each run. Out: best-on-validation and last weights,
and the curves. A run's result does not depend on which others stand beside it.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from torch import Tensor

from hilbertune.config.records import Task, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.engine.cpu import cores_for_kernels
from hilbertune.errors import HilbertuneError
from hilbertune.model import tasks
from hilbertune.model.fused import Fused, usable
from hilbertune.model.layers import HybridHead
from hilbertune.runtime.storage import write_atomically

INIT, BATCHES, SHOTS = 1, 2, 3
"""The random streams of a run; the split is drawn by `few_shot_split` from the seed itself."""


PER_RUN = ("learning_rate", "learning_rate_decay", "weight_decay")
"""The settings in which runs that train side by side may differ."""


PARTS = ("train", "validation")
"""The parts of a split that training sees."""


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves: curves [epochs, runs], the best epoch of each run and the weights after the last one.

    Epochs count from 0; the best is -1 for a run that diverged in the first. Curves are NaN once a run has stopped.
    """

    train_loss: np.ndarray
    validation_loss: np.ndarray
    validation_accuracy: np.ndarray
    best_epoch: np.ndarray
    last: dict[str, Tensor]
    seconds: float

    def best_validation_accuracy(self, run: int) -> float:
        """Validation accuracy of a run's best epoch; NaN without a validation set, or if it diverged in the first epoch."""
        best = int(self.best_epoch[run])
        return float(self.validation_accuracy[best, run]) if best >= 0 else math.nan

    def best_validation_loss(self, run: int) -> float:
        """Validation loss of a run's best epoch; NaN without a validation set, or if it diverged in the first epoch."""
        best = int(self.best_epoch[run])
        return float(self.validation_loss[best, run]) if best >= 0 else math.nan


def stream(seed: int, number: int) -> np.random.Generator:
    """One of the independent random streams of a seed."""
    return np.random.default_rng([seed, number])


@dataclass
class _State:
    """Everything that changes while training, by name, so that a checkpoint is this and nothing else."""

    tensors: dict[str, Tensor]
    rngs: dict[str, list[np.random.Generator]]
    epoch: int = 0
    seconds: float = 0.0


@cores_for_kernels()
def train(
    model: HybridHead,
    embeddings: Tensor,
    targets: Tensor,
    splits: Sequence[Split],
    configs: Sequence[TrainingConfig],
    seeds: Sequence[int],
    *,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 5.0,
    progress: Callable[[int, float], None] | None = None,
) -> TrainingResult:
    """Train every run of `model`; afterwards it holds each run's best weights on validation.

    Best is the highest validation accuracy, then the lowest validation loss, then the earliest epoch; for numbers, which have no
    accuracy (its curve is NaN), the lowest validation loss; without a validation set the last epoch. The optimiser is Adam with L2 weight decay and a factor on the learning rate after every epoch.

    Args:
        model: its `runs` axis has one entry for each seed; its parameters are drawn anew.
        embeddings: [rows, features], shared by all runs.
        targets: what the task of `configs` takes (hilbertune.tasks), for all rows: class indices [rows], 0 and 1 [rows, classes], or floats [rows].
        splits: the rows of each run; all runs have as many training and validation rows as the first.
        configs: one for each run, equal but for `PER_RUN`.
        seeds: a seed for each run: it draws the parameters, the mini-batches and the shots.
        checkpoint: a file to write the state to; training goes on from it if it exists.
        checkpoint_seconds: time between checkpoints; 0 writes one after every epoch.
        progress: called after every epoch with the epochs done and the mean validation accuracy.

    Raises:
        HilbertuneError: the arguments do not fit together, the checkpoint is another training's, or every run diverged.
    """
    if not model.runs == len(splits) == len(configs) == len(seeds):
        raise HilbertuneError(
            f"{model.runs} runs need as many splits, configs and seeds, not {len(splits)}, {len(configs)}, {len(seeds)}."
        )
    config = _common(configs)
    tasks.check(config.task, targets, model.outputs)
    tasks.check_head(config.task, model.config, model.outputs)
    class_weights = _class_weights(config, targets, splits, model.outputs)
    fingerprint = _fingerprint(model, embeddings, targets, splits, configs, seeds)
    device = model.head.weights.device
    embeddings = embeddings.to(device, model.head.weights.dtype)
    targets = targets.to(device)
    class_weights = class_weights if class_weights is None else class_weights.to(device)
    train_rows, validation_rows = (
        torch.from_numpy(_same_length([getattr(s, part) for s in splits])).to(device) for part in PARTS
    )
    state = _start(model, embeddings[train_rows], config, seeds)
    if checkpoint is not None and checkpoint.exists():
        _restore(state, checkpoint, fingerprint)
    model.head.shots, model.head.gradient = config.shots, config.gradient
    model.head.noise = config.noise
    model.head.rngs = state.rngs["shots"]
    fused = None
    if config.gradient == "adjoint" and not config.frozen and usable(model, len(embeddings)):
        goal = tasks.goal(config.task, targets, class_weights, model.outputs)
        fused = Fused(model, embeddings, weights=state.tensors["weights"], goal=goal)

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        return tasks.losses(config.task, logits, targets[rows], class_weights)

    step: Callable[[Tensor, Tensor], Tensor] = partial(_step, model, embeddings, loss, state.tensors)
    sampled = config.shots is not None or config.noise is not None
    if device.type == "cuda" and not sampled and config.gradient == "adjoint":
        changed = [state.tensors[name] for name in ("weights", "first_moment", "second_moment", "steps")]
        step = _Replayed(step, changed)

    to_train = train_rows.cpu().numpy()
    started = time.monotonic() - state.seconds
    saved = time.monotonic()
    while state.epoch < config.epochs and bool(state.tensors["active"].any()):
        train_loss = _train_epoch(fused, step, to_train, state, configs)
        validation = _validate(model, fused, embeddings, config.task, loss, targets, validation_rows)
        _record(state, train_loss, *validation, config, validation_rows.shape[1] > 0)
        state.epoch += 1
        state.seconds = time.monotonic() - started
        if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
            _save(state, checkpoint, fingerprint)
            saved = time.monotonic()
        if progress is not None:
            progress(state.epoch, float(validation[1].nanmean()))
    return _finish(model, state)


def _common(configs: Sequence[TrainingConfig]) -> TrainingConfig:
    alike = {name: getattr(configs[0], name) for name in PER_RUN}
    if any(replace(c, **alike) != configs[0] for c in configs):
        raise HilbertuneError(f"Runs that train side by side may differ in {', '.join(PER_RUN)} only.")
    return configs[0]


def _same_length(rows: list[np.ndarray]) -> np.ndarray:
    if len({len(r) for r in rows}) > 1:
        raise HilbertuneError("Runs that train side by side need splits of equal sizes.")
    return np.stack(rows).astype(np.int64)


def _start(model: HybridHead, embeddings: Tensor, config: TrainingConfig, seeds: Sequence[int]) -> _State:
    """Draw the parameters, fit the basis, and lay out the tensors that training changes.

    All parameters become views of one tensor [runs, parameters], so that a step of the optimiser is a handful of operations.
    """
    runs = len(seeds)
    model.reset_parameters([stream(seed, INIT) for seed in seeds])
    model.fit_basis(embeddings)
    weights = torch.cat([p.detach().reshape(runs, -1) for p in model.parameters()], dim=1)
    for name, values in _named(model, weights).items():
        model.get_parameter(name).data = values
        model.get_parameter(name).grad = None
    tensors = {
        "weights": weights,
        "best": weights.clone(),
        "first_moment": torch.zeros_like(weights),
        "second_moment": torch.zeros_like(weights),
    }
    for curve in ("train_loss", "validation_loss", "validation_accuracy"):
        tensors[curve] = torch.full((config.epochs, runs), torch.nan, dtype=torch.float64)
    tensors["best_epoch"] = torch.full((runs,), -1)
    tensors["active"] = torch.ones(runs, dtype=torch.bool)
    tensors["steps"] = torch.zeros((), dtype=torch.int64, device=weights.device)
    learns = [
        torch.full((p[0].numel(),), not config.frozen or name.startswith("linear_"))
        for name, p in model.named_parameters()
    ]
    tensors["learns"] = torch.cat(learns).to(weights.device)
    rngs = {
        "batches": [stream(seed, BATCHES) for seed in seeds],
        "shots": [stream(seed, SHOTS) for seed in seeds],
    }
    return _State(tensors, rngs)


def _train_epoch(
    fused: Fused | None,
    step: Callable[[Tensor, Tensor], Tensor],
    rows: npt.NDArray[np.int64],
    state: _State,
    configs: Sequence[TrainingConfig],
) -> Tensor:
    """One pass over every run's training set; the mean loss [runs]."""
    size: int = rows.shape[1]
    order = np.stack([own[rng.permutation(size)] for rng, own in zip(state.rngs["batches"], rows, strict=True)])
    at_rates = [c.learning_rate * c.learning_rate_decay**state.epoch for c in configs]
    at_decays = [c.weight_decay for c in configs]
    if fused is not None:
        moments = state.tensors["first_moment"].numpy(), state.tensors["second_moment"].numpy()
        sums = fused.train(
            order,
            configs[0].batch_size,
            moments,
            int(state.tensors["steps"]),
            np.array(at_rates),
            np.array(at_decays),
            state.tensors["active"].numpy(),
        )
        state.tensors["steps"] += -(-size // configs[0].batch_size)
        return torch.from_numpy(sums) / size
    going = [float(active) for active in state.tensors["active"].tolist()]
    weights = state.tensors["weights"]
    settings = weights.new_tensor([at_rates, at_decays, going])
    total = torch.zeros(len(rows), dtype=torch.float64, device=weights.device)
    batches = torch.from_numpy(order).to(weights.device)
    for batch in torch.split(batches, configs[0].batch_size, dim=1):
        total += step(batch, settings)
    return total / size


def _step(
    model: HybridHead,
    embeddings: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    tensors: dict[str, Tensor],
    batch: Tensor,
    settings: Tensor,
) -> Tensor:
    """One step of every run: the summed loss of each. `settings` are the rates, the decays and 1 for each run that goes on, 0 for others."""
    losses = loss(model(embeddings[batch]), batch)
    # The sum over runs: a run's gradient is that of its own mean loss. A circuit without angles gives its empty weights none.
    gradients = torch.autograd.grad(
        losses.mean(1).sum(), list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    gradient = torch.cat([g.flatten(1) for g in gradients], dim=1)
    _adam_step(gradient, tensors, *settings[:, :, None])
    return losses.detach().sum(1)


class _Replayed:
    """A step on a GPU as one graph: the host launches it with a single call, however many operations it is made of."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor], changed: Sequence[Tensor]) -> None:
        self.step, self.changed = step, changed
        self.graph: Any = None

    def __call__(self, batch: Tensor, settings: Tensor) -> Tensor:
        if self.graph is None:
            self._capture(batch, settings)
        if batch.shape != self.batch.shape:
            return self.step(batch, settings)
        self.batch.copy_(batch)
        self.settings.copy_(settings)
        self.graph.replay()
        return self.loss

    def _capture(self, batch: Tensor, settings: Tensor) -> None:
        self.batch, self.settings = batch.clone(), settings.clone()
        before = [tensor.clone() for tensor in self.changed]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            # Whatever compiles or allocates on its first call must do so before the capture.
            for _ in range(3):
                self.step(self.batch, self.settings)
        torch.cuda.current_stream().wait_stream(side)
        for tensor, value in zip(self.changed, before, strict=True):
            tensor.copy_(value)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.loss = self.step(self.batch, self.settings)


def _named(model: HybridHead, weights: Tensor) -> dict[str, Tensor]:
    """Views of a tensor [runs, parameters] in the shapes of the model's parameters."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    parts = torch.split(weights, [math.prod(shape[1:]) for shape in shapes.values()], dim=1)
    return {name: part.view(shapes[name]) for name, part in zip(shapes, parts, strict=True)}


@torch.no_grad()
def _adam_step(gradient: Tensor, tensors: dict[str, Tensor], rates: Tensor, decays: Tensor, active: Tensor) -> None:
    """Adam (Kingma and Ba 2015) with a learning rate and an L2 penalty [runs, 1] for each run; runs with active 0 stand still."""
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8
    steps = tensors["steps"].add_(1).double()
    gradient = gradient + decays * tensors["weights"]
    first = tensors["first_moment"].mul_(beta1).add_(gradient * (1 - beta1))
    second = tensors["second_moment"].mul_(beta2).add_(gradient * gradient * (1 - beta2))
    scale = (second / (1 - beta2**steps)).sqrt_().add_(epsilon)
    update = rates / (1 - beta1**steps) * first / scale
    # A diverged run holds NaN, which a rate of zero would not silence.
    tensors["weights"].sub_(torch.where((active > 0) & tensors["learns"], update, 0.0))


@torch.no_grad()
def _validate(
    model: HybridHead,
    fused: Fused | None,
    embeddings: Tensor,
    task: Task,
    loss: Callable[[Tensor, Tensor], Tensor],
    targets: Tensor,
    rows: Tensor,
) -> tuple[Tensor, Tensor]:
    """Mean loss and accuracy of every run on its validation set, NaN if there is none; numbers have no accuracy."""
    if rows.shape[1] == 0:
        nothing = torch.full((len(rows),), torch.nan, dtype=torch.float64)
        return nothing, nothing
    if fused is not None:
        logits = torch.from_numpy(fused.logits(rows.numpy()))
    else:
        # A few rows at a time: with many qubits a state is large.
        parts = [model(embeddings[part]) for part in torch.split(rows, 64, dim=1)]
        logits = torch.cat(parts, dim=1)
    losses = loss(logits, rows).double().mean(1)
    right = tasks.correct(task, logits, targets[rows])
    return losses, torch.full_like(losses, torch.nan) if right is None else right.mean(1)


def _record(
    state: _State,
    loss: Tensor,
    validation_loss: Tensor,
    accuracy: Tensor,
    config: TrainingConfig,
    validated: bool,
) -> None:
    """Write the curves, keep the best weights, and stop runs that diverged or ran out of patience.

    `validated` says whether there is a validation set: without one the last epoch is the best.
    """
    tensors, epoch = state.tensors, state.epoch
    # NumPy's calls take a fraction of torch's: with one small run that is a good part of an epoch.
    active, best_epoch = tensors["active"].numpy(), tensors["best_epoch"].numpy()
    losses = loss.cpu().numpy()
    curves = {
        "train_loss": losses,
        "validation_loss": validation_loss.cpu().numpy(),
        "validation_accuracy": accuracy.cpu().numpy(),
    }
    going = slice(None) if active.all() else active
    for name, values in curves.items():
        tensors[name].numpy()[epoch, going] = values[going]
    weights = tensors["weights"].detach().cpu().numpy()
    finite = np.isfinite(losses) & np.isfinite(weights).all(1)
    accuracies, validation_losses = (tensors[name].numpy() for name in ("validation_accuracy", "validation_loss"))
    better = []
    for run in np.flatnonzero(active).tolist():
        if not finite[run]:
            active[run] = False
            continue
        best = best_epoch[run]
        now, then = (
            # Numbers have no accuracy: then the loss decides. One that is NaN is worse than any other.
            (
                np.nan_to_num(accuracies[e, run]),
                np.nan_to_num(-validation_losses[e, run], nan=-np.inf, neginf=-np.inf),
            )
            for e in (epoch, max(best, 0))
        )
        if best < 0 or not validated or now > then:
            best_epoch[run] = best = epoch
            better.append(run)
        if config.patience is not None and epoch - best >= config.patience:
            active[run] = False
    if better:
        tensors["best"][better] = tensors["weights"][better]


def _class_weights(config: TrainingConfig, targets: Tensor, splits: Sequence[Split], outputs: int) -> Tensor | None:
    """Weights [runs, classes] from each run's own training rows, or None."""
    classes = tasks.classes_of(config.task, outputs)
    found = [tasks.class_weights(config, targets[s.train], classes) for s in splits]
    return torch.stack([w for w in found if w is not None]) if config.class_weight else None


def _finish(model: HybridHead, state: _State) -> TrainingResult:
    tensors = state.tensors
    if bool((tensors["best_epoch"] < 0).all()):
        raise HilbertuneError("Training diverged to infinite losses: use a smaller learning rate.")
    for name, values in _named(model, tensors["best"]).items():
        model.get_parameter(name).data = values.clone()
    model.head.rngs = None
    return TrainingResult(
        train_loss=tensors["train_loss"][: state.epoch].numpy(),
        validation_loss=tensors["validation_loss"][: state.epoch].numpy(),
        validation_accuracy=tensors["validation_accuracy"][: state.epoch].numpy(),
        best_epoch=tensors["best_epoch"].numpy(),
        last={name: w.clone() for name, w in _named(model, tensors["weights"]).items()},
        seconds=state.seconds,
    )


def checkpoint_name(
    model: HybridHead,
    embeddings: Tensor,
    targets: Tensor,
    splits: Sequence[Split],
    configs: Sequence[TrainingConfig],
    seeds: Sequence[int],
) -> str:
    """A file name that only the same training has, for `train(checkpoint=...)`."""
    return _fingerprint(model, embeddings, targets, splits, configs, seeds)[:32] + ".safetensors"


def _fingerprint(
    model: HybridHead,
    embeddings: Tensor,
    targets: Tensor,
    splits: Sequence[Split],
    configs: Sequence[TrainingConfig],
    seeds: Sequence[int],
) -> str:
    """What a checkpoint belongs to: the data, the model's shape, the settings and the seeds."""
    digest = hashlib.sha256()
    rows = [torch.from_numpy(_same_length([getattr(s, p) for s in splits])) for p in PARTS]
    for tensor in (embeddings.to(model.head.weights.dtype), targets, *rows):
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    settings: list[Any] = [model.config.to_dict(), [c.to_dict() for c in configs]]
    engine = model.head.engine
    name = engine if isinstance(engine, str) else getattr(engine, "name", type(engine).__name__)
    settings += [[int(seed) for seed in seeds], model.features, model.outputs, name]
    digest.update(json.dumps(settings).encode())
    return digest.hexdigest()


def _save(state: _State, path: Path, fingerprint: str) -> None:
    about = {
        "fingerprint": fingerprint,
        "epoch": state.epoch,
        "seconds": state.seconds,
        "rngs": {k: [rng.bit_generator.state for rng in v] for k, v in state.rngs.items()},
    }
    tensors = {name: tensor.contiguous() for name, tensor in state.tensors.items()}
    write_atomically(path, safetensors.torch.save(tensors, {"training": json.dumps(about)}))


def _restore(state: _State, path: Path, fingerprint: str) -> None:
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["training"])
            owner = about["fingerprint"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise HilbertuneError(f"{path} is no whole checkpoint: remove it to start afresh.") from error
    if owner != fingerprint:
        raise HilbertuneError(
            f"The checkpoint {path} belongs to a training with other data or settings: remove it or name another file."
        )
    for name, tensor in state.tensors.items():
        tensor.copy_(tensors[name])
    for name, generators in state.rngs.items():
        for generator, value in zip(generators, about["rngs"][name], strict=True):
            generator.bit_generator.state = value
    state.epoch, state.seconds = about["epoch"], about["seconds"]
