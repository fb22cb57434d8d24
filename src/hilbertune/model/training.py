"""The training loop: one loop, many models side by side, that can be killed at any moment and resumed bit for bit.

In: a `HybridHead` with a runs axis, embeddings, targets, and a split, a seed and a `TrainingConfig` for each run.
Out: best-on-validation and last weights, and the curves. A run's result does not depend on its neighbours.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hilbertune.config.records import TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.engine import sampling
from hilbertune.engine.threads import cores_for_kernels
from hilbertune.errors import HilbertuneError
from hilbertune.model import checkpoint as checkpoints
from hilbertune.model import optimiser, schedule, standardising, tasks, weighting
from hilbertune.model.arguments import check_arguments
from hilbertune.model.callbacks import Listeners, listening
from hilbertune.model.checkpoint import Checkpoint
from hilbertune.model.layers import HybridHead
from hilbertune.model.selection import rank
from hilbertune.runtime.gradients import with_gradients

if TYPE_CHECKING:
    from hilbertune.model.fused import Fused

INIT, BATCHES, SHOTS, STEP_SHOTS, BOOTSTRAP = 1, 2, 3, 4, 5
"""The random streams of a run (`members` draws its rows); `few_shot_split` draws the split from the seed itself."""

STANDARD = ("shift", "factor")
"""What a checkpoint calls the standardisation of a run's expectations."""

CURVES = ("train_loss", "validation_loss", "validation_accuracy")
"""The figures recorded after every epoch."""

AT_ONCE = 64
"""Rows of each run that are validated together: with many qubits a state is large."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of training: curves [epochs, runs], the best epoch of each run and the weights after the last one.

    Epochs count from 0; the best is -1 for a run that diverged in the first, and the last where the last weights are
    kept. Curves are NaN once a run has stopped. `averaged` has the validation accuracy and loss of each ensemble,
    whose members the runs are; it is None where each run is a model of its own.
    """

    train_loss: np.ndarray
    validation_loss: np.ndarray
    validation_accuracy: np.ndarray
    best_epoch: np.ndarray
    last: dict[str, Tensor]
    seconds: float
    averaged: Sequence[tuple[float, float]] | None = None

    @property
    def models(self) -> int:
        """The number of models: of ensembles, or of runs where each is a model of its own."""
        return self.train_loss.shape[1] if self.averaged is None else len(self.averaged)

    def of_model(self, values: np.ndarray, model: int) -> np.ndarray:
        """Return what belongs to the members of one model, of values [..., runs]."""
        return values.reshape(*values.shape[:-1], self.models, -1)[..., model, :]

    def mean_curve(self, name: str) -> np.ndarray:
        """Return a curve [epochs, models]: the mean of the members that still train, NaN where none does."""
        values = getattr(self, name).reshape(len(self.train_loss), self.models, -1)
        known = ~np.isnan(values)
        counts = known.sum(-1)
        sums = np.where(known, values, 0.0).sum(-1)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)

    def best_validation_accuracy(self, run: int) -> float:
        """Return the validation accuracy of a run's best epoch, or of an ensemble's average; NaN if there is none."""
        return self._at_best(self.validation_accuracy, run) if self.averaged is None else self.averaged[run][0]

    def best_validation_loss(self, run: int) -> float:
        """Return the validation loss of a run's best epoch, or of an ensemble's average; NaN if there is none."""
        return self._at_best(self.validation_loss, run) if self.averaged is None else self.averaged[run][1]

    def _at_best(self, curve: np.ndarray, run: int) -> float:
        best = int(self.best_epoch[run])
        return float(curve[best, run]) if best >= 0 else math.nan


def stream(seed: int, number: int) -> np.random.Generator:
    """Return one of the independent random streams of a seed."""
    return np.random.default_rng([seed, number])


@dataclass(frozen=True)
class _Problem:
    """The problem of the runs: rows of the same embeddings, each run from its own part of them.

    Shapes: embeddings [rows, features], targets [rows] or [rows, classes], class weights [runs, classes], row weights
    [runs, rows], rows of embeddings [runs, count]. All lie on the model's device but the training rows, which are
    shuffled on the CPU.
    """

    embeddings: Tensor
    targets: Tensor
    class_weights: Tensor | None
    row_weights: Tensor | None
    train_rows: npt.NDArray[np.int64]
    validation_rows: Tensor
    configs: Sequence[TrainingConfig]

    @property
    def config(self) -> TrainingConfig:
        """The settings that all runs share, those in PER_RUN apart."""
        return self.configs[0]

    def loss(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Return the loss [runs, count] of the logits of these rows [runs, count], each times the row's weight."""
        return weighting.weighted(self.plain_loss(logits, rows), self.row_weights, rows)

    def plain_loss(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Return the loss without the weights of rows."""
        return tasks.losses(self.config.task, logits, self.targets[rows], self.class_weights)

    @property
    def train_weights(self) -> Tensor | None:
        """The weights [runs, count] of the training rows."""
        return weighting.chosen(self.row_weights, torch.from_numpy(self.train_rows))


@dataclass
class _State:
    """Everything that changes while training, by name, so that a checkpoint is this and nothing else."""

    tensors: dict[str, Tensor]
    rngs: dict[str, list[np.random.Generator]]
    counter: sampling.Counter | None = None  # made from the seeds and the steps, and so not in a checkpoint
    epoch: int = 0
    seconds: float = 0.0


@with_gradients
@cores_for_kernels()
def train(
    model: HybridHead,
    embeddings: Tensor,
    targets: Tensor,
    splits: Sequence[Split],
    configs: Sequence[TrainingConfig],
    seeds: Sequence[int],
    *,
    sample_weight: Tensor | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    checkpoint_seconds: float = 5.0,
    progress: Callable[[int, float], None] | None = None,
    callbacks: Sequence[Any] = (),
) -> TrainingResult:
    """Train every run of `model`; afterwards it holds each run's best weights on validation, or the last if asked.

    Best is the highest validation accuracy, then the lowest validation loss, then the earliest epoch. Numbers have no
    accuracy (its curve is NaN), so there the loss decides; without a validation set the last epoch is the best. With
    keep="last" the best weights are left only to a run that diverged. The optimiser is Adam with L2 weight decay and a
    schedule of the learning rate.

    Args:
        model: its `runs` axis has one entry for each seed; its parameters are drawn anew.
        embeddings: [rows, features], shared by all runs.
        targets: of all rows, as their task takes them: class indices [rows], 0 and 1 [rows, classes], or floats [rows].
        splits: the rows of each run; all runs have as many training and validation rows as the first.
        configs: one for each run, equal but for `PER_RUN`.
        seeds: a seed for each run: it draws the parameters, the mini-batches and the shots.
        sample_weight: a weight for each row [rows], of any scale; None weighs all rows alike.
        checkpoint: a file to keep the state in and to resume from; one from `checkpoint_for` is hashed already.
        checkpoint_seconds: time between checkpoints; 0 writes one after every epoch.
        progress: called after every epoch with the epochs done and the mean validation accuracy.
        callbacks: told of every epoch, and may stop the training of all runs; see `Callback`.

    Raises:
        HilbertuneError: the arguments do not fit together, the checkpoint is another training's, or every run diverged.
    """
    problem = _problem(model, embeddings, targets, splits, configs, seeds, sample_weight)
    if isinstance(checkpoint, str | Path):
        owner = _fingerprint(model, embeddings, targets, splits, configs, seeds, sample_weight)
        checkpoint = Checkpoint(Path(checkpoint), owner)
    state = _start(model, problem, seeds)
    _restore(state, checkpoint)
    fused, steps = _engines(model, problem, state)
    told = listening(callbacks, "training", configs[0], splits[0], seeds[0], model)
    started, saved = time.monotonic() - state.seconds, time.monotonic()
    told.begin(state.tensors, state.epoch)
    while state.epoch < problem.config.epochs and bool(state.tensors["active"].any()) and not told.stopped:
        train_loss = _train_epoch(model, fused, steps, problem, state)
        validation = _validate(model, fused, problem, state)
        _record(state, train_loss, *validation, problem)
        state.epoch += 1
        state.seconds = time.monotonic() - started
        if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
            _save(state, checkpoint)
            saved = time.monotonic()
        if progress is not None:
            progress(state.epoch, float(validation[1].nanmean()))
        told.epoch(state.tensors, state.epoch - 1)
    return _finish(model, state, problem.config, told)


def _problem(
    model: HybridHead,
    embeddings: Tensor,
    targets: Tensor,
    splits: Sequence[Split],
    configs: Sequence[TrainingConfig],
    seeds: Sequence[int],
    sample_weight: Tensor | None,
) -> _Problem:
    """Return the problem to learn; raise HilbertuneError if the arguments do not fit together."""
    check_arguments(model, embeddings, targets, splits, configs, seeds)
    config = configs[0]
    weights = weighting.row_weights(sample_weight, splits, len(targets))
    class_weights = weighting.class_weights(config, targets.cpu(), splits, model.outputs, weights)
    device = model.head.weights.device
    return _Problem(
        embeddings=embeddings.to(device, model.head.weights.dtype),
        targets=targets.to(device),
        class_weights=class_weights if class_weights is None else class_weights.to(device),
        row_weights=weights if weights is None else weights.to(device),
        train_rows=_rows(splits, "train").numpy(),
        validation_rows=_rows(splits, "validation").to(device),
        configs=configs,
    )


def _rows(splits: Sequence[Split], part: str) -> Tensor:
    """Return the rows [runs, count] of one part of each split."""
    rows = [getattr(split, part) for split in splits]
    if len({len(r) for r in rows}) > 1:
        raise HilbertuneError("Runs that train side by side need splits of equal sizes.")
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def _start(model: HybridHead, problem: _Problem, seeds: Sequence[int]) -> _State:
    """Draw the parameters, fit the basis, set the head to the settings, and lay out what training changes."""
    config, runs = problem.config, len(seeds)
    model.reset_parameters([stream(seed, INIT) for seed in seeds], config.start)
    model.standard = None
    model.fit_basis(problem.embeddings[problem.train_rows], problem.train_weights)
    if config.standardise_angles:
        standardising.fit_angles(model, problem.embeddings, problem.train_rows, problem.train_weights)
    weights = optimiser.as_one_tensor(model)
    learns = [
        torch.full((p[0].numel(),), not config.frozen or name.startswith("linear_"))
        for name, p in model.named_parameters()
    ]
    tensors = {
        "weights": weights,
        "best": weights.clone(),
        **optimiser.moments(weights, torch.cat(learns)),
        **{curve: torch.full((config.epochs, runs), torch.nan, dtype=torch.float64) for curve in CURVES},
        "best_epoch": torch.full((runs,), -1),
        "active": torch.ones(runs, dtype=torch.bool),
    }
    rngs = {
        "batches": [stream(seed, BATCHES) for seed in seeds],
        "shots": [stream(seed, SHOTS) for seed in seeds],
    }
    model.head.shots, model.head.gradient, model.head.noise = config.step_shots, config.gradient, config.noise
    if config.standardise:
        model.standard = standardising.fitted(model, problem.embeddings, problem.train_rows, problem.train_weights)
        tensors |= dict(zip(STANDARD, model.standard, strict=True))
    return _State(tensors, rngs, _counter(config, seeds, tensors["steps"]))


def _counter(config: TrainingConfig, seeds: Sequence[int], steps: Tensor) -> sampling.Counter | None:
    """Return what draws the shots of the steps, None where generators do.

    They do where validation has the same shots, so that what was trained so comes out the same for ever, and where more
    is drawn than shots.
    """
    if config.step_shots == config.shots or config.gradient != "adjoint" or config.noise is not None:
        return None
    return sampling.counter([stream(seed, STEP_SHOTS) for seed in seeds], steps)


def _engines(
    model: HybridHead, problem: _Problem, state: _State
) -> "tuple[Fused | None, tuple[optimiser.Step, optimiser.Step]]":
    """Return what the model allows of compiled epochs and validation, and what takes single steps otherwise.

    Single steps are taken by the first of two functions where they are exact, by the second where they have shots.
    """
    config, tensors = problem.config, state.tensors
    compiled = None
    if config.gradient == "adjoint" and not config.frozen:
        from hilbertune.model import fused  # here: it loads Numba

        # Where only the steps have shots, validation is exact.
        model.head.shots = config.shots
        if fused.usable(model, len(problem.embeddings)):
            goal = fused.goal_of(
                config.task, problem.targets, problem.class_weights, model.outputs, problem.row_weights
            )
            shots = state.counter and (config.step_shots or 0, state.counter.keys.numpy())
            compiled = fused.Fused(model, problem.embeddings, weights=tensors["weights"], goal=goal, shots=shots)
    exact: optimiser.Step = partial(optimiser.step, model, problem.embeddings, problem.loss, tensors)
    sampled = exact
    if tensors["weights"].device.type == "cuda" and config.noise is None and config.gradient == "adjoint":
        # A graph repeats what was captured, with shots or without.
        changed = [tensors[name] for name in optimiser.CHANGED]
        exact = optimiser.Replayed(exact, changed)
        if state.counter is not None:
            sampled = optimiser.Replayed(sampled, changed)
    return compiled, (exact, sampled)


def _train_epoch(
    model: HybridHead,
    fused: "Fused | None",
    steps: tuple[optimiser.Step, optimiser.Step],
    problem: _Problem,
    state: _State,
) -> Tensor:
    """Pass once over every run's training set and return the mean losses [runs]."""
    rows, batch_size = problem.train_rows, problem.config.batch_size
    step_shots = problem.config.shots_at(state.epoch)
    size: int = rows.shape[1]
    count = -(-size // batch_size)
    order = np.stack([own[rng.permutation(size)] for rng, own in zip(state.rngs["batches"], rows, strict=True)])
    rates = schedule.rates(problem.configs, state.epoch, count)
    decays = [c.weight_decay for c in problem.configs]
    tensors = state.tensors
    if fused is not None and (step_shots is None or state.counter is not None):
        moments = tensors["first_moment"].numpy(), tensors["second_moment"].numpy()
        before, active = int(tensors["steps"]), tensors["active"].numpy()
        sums = fused.train(
            order, batch_size, moments, before, rates, np.array(decays), active, exact=step_shots is None
        )
        tensors["steps"] += count
        return torch.from_numpy(sums) / size
    going = [float(active) for active in tensors["active"].tolist()]
    settings = tensors["weights"].new_tensor([[own, decays, going] for own in rates.tolist()])
    total = torch.zeros(len(rows), dtype=torch.float64, device=settings.device)
    model.head.shots, model.head.rngs = step_shots, state.counter or state.rngs["shots"]
    step = steps[step_shots is not None]
    for number, batch in enumerate(torch.split(torch.from_numpy(order).to(settings.device), batch_size, dim=1)):
        total += step(batch, settings[number])
    return total / size


@torch.no_grad()
def _validate(model: HybridHead, fused: "Fused | None", problem: _Problem, state: _State) -> tuple[Tensor, Tensor]:
    """Return the mean loss and the accuracy of every run on its validation set.

    Both are NaN without a validation set; numbers have no accuracy.
    """
    rows = problem.validation_rows
    model.head.shots, model.head.rngs = problem.config.shots, state.rngs["shots"]
    if rows.shape[1] == 0:
        nothing = torch.full((len(rows),), torch.nan, dtype=torch.float64)
        return nothing, nothing
    if fused is not None:
        logits = torch.from_numpy(fused.logits(rows.numpy()))
    else:
        parts = [model(problem.embeddings[part]) for part in torch.split(rows, AT_ONCE, dim=1)]
        logits = torch.cat(parts, dim=1)
    losses = weighting.mean(problem.plain_loss(logits, rows), problem.row_weights, rows)
    right = tasks.correct(problem.config.task, logits, problem.targets[rows])
    nothing = torch.full_like(losses, torch.nan)
    return losses, nothing if right is None else weighting.mean(right, problem.row_weights, rows)


def _record(state: _State, loss: Tensor, validation_loss: Tensor, accuracy: Tensor, problem: _Problem) -> None:
    """Write the curves, keep the best weights, and stop runs that diverged or ran out of patience."""
    tensors, epoch = state.tensors, state.epoch
    # NumPy's calls take a fraction of torch's: with one small run that is a good part of an epoch.
    active, best_epoch = tensors["active"].numpy(), tensors["best_epoch"].numpy()
    losses = loss.cpu().numpy()
    going = slice(None) if active.all() else active
    for name, values in zip(CURVES, (losses, validation_loss.cpu().numpy(), accuracy.cpu().numpy()), strict=True):
        tensors[name].numpy()[epoch, going] = values[going]
    weights = tensors["weights"].detach().cpu().numpy()
    active &= np.isfinite(losses) & np.isfinite(weights).all(1)
    patience = problem.config.patience
    better = []
    for run in np.flatnonzero(active).tolist():
        if _is_best(tensors, epoch, run, validated=problem.validation_rows.shape[1] > 0):
            best_epoch[run] = epoch
            better.append(run)
        if patience is not None and epoch - best_epoch[run] >= patience:
            active[run] = False
    if better:
        tensors["best"][better] = tensors["weights"][better]


def _is_best(tensors: dict[str, Tensor], epoch: int, run: int, *, validated: bool) -> bool:
    """Return True if a run's epoch beats its best before; without a validation set the last epoch is the best."""
    best = int(tensors["best_epoch"].numpy()[run])
    if best < 0 or not validated:
        return True
    accuracies, losses = (tensors[name].numpy()[:, run] for name in ("validation_accuracy", "validation_loss"))
    return rank(accuracies[epoch], losses[epoch]) > rank(accuracies[best], losses[best])


def _finish(model: HybridHead, state: _State, config: TrainingConfig, told: Listeners) -> TrainingResult:
    """Leave the model with the weights that each run keeps, and return the rest of the state that outlives training."""
    tensors = state.tensors
    if bool((tensors["best_epoch"] < 0).all()):
        raise HilbertuneError("Training diverged to infinite losses: use a smaller learning rate.")
    kept, last, epochs = tensors["best"], tensors["weights"], tensors["best_epoch"]
    if config.keep == "last":
        going = tensors["active"]
        kept = torch.where(going.to(last.device)[:, None], last, kept)
        epochs = torch.where(going, state.epoch - 1, epochs)
    if model.standard is not None:
        kept, last = (standardising.folded(model, weights, model.standard) for weights in (kept, last))
        model.standard = None
    for name, values in optimiser.views(model, kept).items():
        model.get_parameter(name).data = values.clone()
    model.head.rngs, model.head.shots = None, config.shots
    told.end()
    return TrainingResult(
        **{curve: tensors[curve][: state.epoch].numpy() for curve in CURVES},
        best_epoch=epochs.numpy(),
        last={name: w.clone() for name, w in optimiser.views(model, last).items()},
        seconds=state.seconds,
        averaged=None,
    )


def checkpoint_for(
    folder: Path,
    model: HybridHead,
    embeddings: Tensor,
    targets: Tensor,
    splits: Sequence[Split],
    configs: Sequence[TrainingConfig],
    seeds: Sequence[int],
) -> Checkpoint:
    """Return the checkpoint in a folder that only the same training has, for `train(checkpoint=...)`."""
    fingerprint = _fingerprint(model, embeddings, targets, splits, configs, seeds)
    return Checkpoint(folder / f"{fingerprint[:32]}.safetensors", fingerprint)


def _fingerprint(
    model: HybridHead,
    embeddings: Tensor,
    targets: Tensor,
    splits: Sequence[Split],
    configs: Sequence[TrainingConfig],
    seeds: Sequence[int],
    sample_weight: Tensor | None = None,
) -> str:
    """Return a hash of what a checkpoint belongs to: the data, the model's shape, the settings and the seeds."""
    digest = hashlib.sha256()
    rows = [_rows(splits, part) for part in ("train", "validation")]
    weights = () if sample_weight is None else (sample_weight.double(),)
    for tensor in (embeddings.to(model.head.weights.dtype), targets, *rows, *weights):
        digest.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.contiguous().cpu().numpy().tobytes())
    settings: list[Any] = [model.config.identity(), [c.identity() for c in configs]]
    engine = model.head.engine
    name = engine if isinstance(engine, str) else getattr(engine, "name", type(engine).__name__)
    settings += [[int(seed) for seed in seeds], model.features, model.outputs, name]
    digest.update(json.dumps(settings).encode())
    return digest.hexdigest()


def _save(state: _State, checkpoint: Checkpoint) -> None:
    about = {
        "epoch": state.epoch,
        "seconds": state.seconds,
        "rngs": {name: [rng.bit_generator.state for rng in rngs] for name, rngs in state.rngs.items()},
    }
    checkpoints.save(checkpoint.path, "training", checkpoint.fingerprint, state.tensors, about)


def _restore(state: _State, checkpoint: Checkpoint | None) -> None:
    if checkpoint is None or not checkpoint.path.exists():
        return
    with checkpoints.restoring(checkpoint.path):
        tensors, about = checkpoints.load(checkpoint.path, "training", checkpoint.fingerprint)
        for name, tensor in state.tensors.items():
            tensor.copy_(tensors[name])
        for name, generators in state.rngs.items():
            for generator, value in zip(generators, about["rngs"][name], strict=True):
                generator.bit_generator.state = value
        state.epoch, state.seconds = about["epoch"], about["seconds"]
