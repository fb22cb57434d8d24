"""The joint stage: a base and the head above it learn together, from the head that was trained on the frozen base.

In: an embedder, a trained head, examples and settings.
Out: the base of the best epoch as a folder that `Embedder` reads, the head at that epoch, and the curves.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hilbertune.config.records import Keep, TuningConfig
from hilbertune.embedding.embedder import Embedder
from hilbertune.engine.threads import cores_for_kernels
from hilbertune.errors import HilbertuneError
from hilbertune.model import checkpoint as checkpoints
from hilbertune.model import schedule
from hilbertune.model.callbacks import NAMES, Listeners, listening
from hilbertune.model.checkpoint import Checkpoint
from hilbertune.model.classical import LinearHead
from hilbertune.model.layers import HybridHead
from hilbertune.model.selection import rank
from hilbertune.runtime import processes
from hilbertune.runtime.gradients import with_gradients
from hilbertune.tuning.contrastive import Progress, write_base
from hilbertune.tuning.joint_model import JointModel
from hilbertune.tuning.keeping import Keeper, adam, restore, tensors_of
from hilbertune.tuning.parameters import add_adapters, parameter_groups
from hilbertune.tuning.records import LabelledTexts, Settings

JOINT = 4
"""The random stream of the joint stage; those of the head are in model/training.py."""


@dataclass
class JointResult:
    """Curves of the joint stage (entry 0 is what it began with, each other one an epoch), best epoch and seconds."""

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0


@dataclass
class _State:
    """Everything that changes in the stage; `at` is the epoch, the steps done in it, and their summed loss."""

    learning: dict[str, nn.Parameter]
    best: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    result: JointResult
    at: tuple[int, int, float] = (0, 0, 0.0)


def check_batches(config: TuningConfig) -> None:
    """Refuse more processes than a joint step has batches.

    Raises:
        HilbertuneError: there are more.
    """
    if processes.count() > config.accumulation:
        raise HilbertuneError(
            f"{processes.count()} processes share the batches of a step, but accumulation={config.accumulation} "
            f"makes fewer: use --accumulation {processes.count()} and a tuning_batch_size smaller by as much."
        )


@with_gradients
@cores_for_kernels()
def train_joint(
    embedder: Embedder,
    head: HybridHead | LinearHead,
    examples: LabelledTexts,
    settings: Settings,
    out: Path,
    *,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Progress = lambda _: None,
    callbacks: Sequence[Any] = (),
) -> JointResult:
    """Train base and head together, and write the base of the best epoch to `out`.

    Gradients flow through the circuits and the amplitude encoding into the base. Best is the highest validation
    accuracy, then the lowest validation loss; the state before the first epoch takes part. Without validation rows or
    with keep="last" it is the last epoch. The optimiser is AdamW without decay of the base; `parameter_groups` has the
    rates, and the schedule their course.

    Started by `accelerate launch`, the processes share the `accumulation` batches of each step and the validation rows
    among them; since a batch's dropout and shots are drawn from its own number, the losses do not depend on how many
    processes there are.

    Args:
        embedder: the base to begin with; its model is changed in place.
        head: one run, or a linear head, the classical twin; it is left at the best epoch.
        examples: only the training and validation rows are read.
        settings: how both learn.
        out: a folder that does not exist, or that this very stage has written.
        checkpoint: a file to resume from; on the CPU bit for bit. It keeps the best head until it is removed.
        checkpoint_seconds: the least time between checkpoints within an epoch; one is written after every epoch.
        progress: called after every step with the share of the stage that is done.
        callbacks: told of every step and epoch, and may stop the stage; see `hilbertune.model.callbacks.Callback`.

    Raises:
        HilbertuneError: the base has no such layers, the checkpoint is another stage's, the loss became infinite, or
            there are more processes than batches in a step.
        MissingExtraError: adapters without the extra `tune`.
    """
    check_batches(settings.tuning)
    base = embedder.transformer.to(next(head.parameters()).device)
    adapters = add_adapters(base, settings.tuning, settings.seed)
    model = JointModel(base, head, examples, settings)
    state = _start(model, settings)
    owner = None if checkpoint is None else Checkpoint(checkpoint, _fingerprint(embedder, head, examples, settings))
    if owner is not None and owner.path.exists():
        with checkpoints.restoring(owner.path):
            _restore(state, owner)
    else:
        _record(state, math.nan, model, examples, settings.training.keep)
    told = _listening(head, examples, settings, callbacks)
    keeper = Keeper(lambda: _save(state, owner, keeper.seconds), checkpoint_seconds, state.result.seconds)
    _train(model, state, examples, settings, keeper, progress, told)
    _finish(model, state, told)
    if adapters is not None:
        adapters.merge_and_unload()
    if processes.is_first() and not out.exists():
        write_base(base, out)
    processes.wait(model.device.type)
    return state.result


def _start(model: JointModel, settings: Settings) -> _State:
    """Choose what learns, and at which rates."""
    groups = parameter_groups(model.base, model.head, settings.tuning, settings.training)
    optimizer = adam(groups, model.device)
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    best = {name: p.detach().clone() for name, p in learning.items()}
    return _State(learning, best, optimizer, JointResult())


def _listening(head: nn.Module, examples: LabelledTexts, settings: Settings, callbacks: Sequence[Any]) -> Listeners:
    """Return the callbacks for this stage."""
    tuning = settings.tuning
    size, epochs = tuning.tuning_batch_size * tuning.accumulation, tuning.tuning_epochs
    about = settings.training, examples.split, settings.seed
    return listening(callbacks, "joint", *about, head, epochs=epochs, batch=size)


def _curves(result: JointResult) -> dict[str, list[list[float]]]:
    """Return the curves of the epochs of the stage, without what it began with."""
    return {name: [[value] for value in getattr(result, name)[1:]] for name in NAMES}


def _stopped(told: Listeners, device: torch.device) -> bool:
    """Return True if a callback of any process asked for the end: they must stop together."""
    wish = torch.tensor([float(told.stopped)], device=device)
    processes.add_up([wish], device.type)
    return bool(wish > 0)


def _train(
    model: JointModel,
    state: _State,
    examples: LabelledTexts,
    settings: Settings,
    keeper: Keeper,
    progress: Progress,
    told: Listeners,
) -> None:
    """Go through the epochs that are left, and record each."""
    tuning, seed, train_rows = settings.tuning, settings.seed, examples.split.train
    size = tuning.tuning_batch_size * tuning.accumulation
    steps = -(-len(train_rows) // size)
    rates = [group["lr"] for group in state.optimizer.param_groups]
    told.begin(_curves(state.result), state.at[0])
    while state.at[0] < tuning.tuning_epochs and not _stopped(told, model.device):
        epoch, done, total = state.at
        order = np.random.default_rng([seed, JOINT, epoch]).permutation(train_rows)
        shares = schedule.shares(settings.training, epoch, tuning.tuning_epochs, steps).tolist()
        for step in range(done, steps):
            for group, rate in zip(state.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * shares[step]
            seeds = _batch_seeds(seed, epoch, step * tuning.accumulation, tuning.accumulation)
            total += model.step(order[step * size : (step + 1) * size], state.optimizer, seeds)
            progress((epoch + (step + 1) / steps) / tuning.tuning_epochs)
            state.at = (epoch, step + 1, total)
            keeper.save_if_due()
            told.step(epoch * steps + step + 1)
        if not math.isfinite(total):
            raise HilbertuneError(
                "The joint stage diverged to infinite losses: use a smaller base_learning_rate or learning_rate."
            )
        _record(state, total / len(train_rows), model, examples, settings.training.keep)
        state.at = (epoch + 1, 0, 0.0)
        keeper.save()
        told.epoch(_curves(state.result), epoch)


def _batch_seeds(seed: int, epoch: int, first: int, count: int) -> list[int]:
    """Return a seed for each batch of a step.

    It does not depend on what was drawn before, so that no generator's state needs to be kept.
    """
    sequences = (np.random.SeedSequence([seed, JOINT, epoch, first + i]) for i in range(count))
    return [int(sequence.generate_state(1)[0]) for sequence in sequences]


def _record(state: _State, loss: float, model: JointModel, examples: LabelledTexts, keep: Keep) -> None:
    """Validate, write the curves, and keep the best parameters, or the last if asked."""
    result, rows = state.result, examples.split.validation
    validation_loss, accuracy = model.validate(rows)
    result.train_loss.append(loss)
    result.validation_loss.append(validation_loss)
    result.validation_accuracy.append(accuracy)
    epoch, best = len(result.train_loss) - 1, result.best_epoch
    before = rank(result.validation_accuracy[best], result.validation_loss[best])
    if epoch == 0 or keep == "last" or not len(rows) or rank(accuracy, validation_loss) > before:
        result.best_epoch = epoch
        for name, parameter in state.learning.items():
            state.best[name].copy_(parameter.detach())


@torch.no_grad()
def _finish(model: JointModel, state: _State, told: Listeners) -> None:
    """Leave base and head at the best epoch, without gradients, and say that the stage has ended."""
    for name, parameter in state.learning.items():
        parameter.copy_(state.best[name])
    for parameter in model.parameters():
        parameter.grad = None
    told.end()


def _fingerprint(embedder: Embedder, head: HybridHead | LinearHead, examples: LabelledTexts, settings: Settings) -> str:
    """Return a hash of what a checkpoint belongs to: base, head, rows and settings."""
    digest = hashlib.sha256()
    rows, cut = examples.rows, len(examples.split.train)
    shape = head.config.identity() if isinstance(head, HybridHead) else "linear"
    configs = [settings.tuning.identity(), settings.training.identity(), shape, int(settings.seed)]
    digest.update(json.dumps([configs, embedder.record()["fingerprint"]]).encode())
    digest.update(json.dumps([examples.texts[row] for row in rows]).encode())
    digest.update(json.dumps([cut, rows.tolist(), examples.targets[rows].tolist()]).encode())
    if examples.weights is not None:
        digest.update(json.dumps(examples.weights[rows].tolist()).encode())
    for tensor in head.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _save(state: _State, checkpoint: Checkpoint | None, seconds: float) -> None:
    """Count the seconds, and write the state if there is a checkpoint."""
    state.result.seconds = seconds
    if checkpoint is None or not processes.is_first():
        return
    tensors = tensors_of(state.learning, state.optimizer)
    tensors |= {f"best.{name}": value for name, value in state.best.items()}
    about = {"at": state.at, "result": vars(state.result)}
    checkpoints.save(checkpoint.path, "joint", checkpoint.fingerprint, tensors, about)


def _restore(state: _State, checkpoint: Checkpoint) -> None:
    tensors, about = checkpoints.load(checkpoint.path, "joint", checkpoint.fingerprint)
    restore(state.learning, state.optimizer, tensors)
    for name, best in state.best.items():
        best.copy_(tensors[f"best.{name}"])
    vars(state.result).update(about["result"])
    epoch, done, total = about["at"]
    state.at = (epoch, done, total)
