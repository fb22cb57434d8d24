"""The contrastive stage: a base learns from pairs of texts of equal or different classes (SetFit).

In: an embedder, texts, class indices, and a `TuningConfig`.
Out: the tuned base as a folder that `Embedder` reads.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from hilbertune.config.records import TuningConfig
from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.transformer import quiet
from hilbertune.errors import HilbertuneError
from hilbertune.model import checkpoint as checkpoints
from hilbertune.model.callbacks import Arguments, Listeners
from hilbertune.model.checkpoint import Checkpoint
from hilbertune.runtime import storage
from hilbertune.runtime.gradients import with_gradients
from hilbertune.tuning import forward
from hilbertune.tuning.keeping import Keeper, adam, restore, tensors_of

Progress = Callable[[float], None]
"""A function called with the share of a stage that is done."""

WARM_UP, DECAY, CLIP = 0.1, 0.01, 1.0
"""The share of the steps in which the rate rises, the weight decay, and the largest norm of a step's gradient, which
are those of SetFit's trainer."""

PAIRS, STEPS = 5, 6
"""The random streams of the stage; those of the head are in model/training.py, that of the joint stage in joint.py."""


@dataclass
class _Stage:
    """The base, the pairs [pairs] of row numbers that it learns from, and all that changes in the stage."""

    base: Any
    texts: Sequence[str]
    first: Int64[np.ndarray, " pairs"]
    second: Int64[np.ndarray, " pairs"]
    alike: Float[Tensor, " pairs"]
    config: TuningConfig
    learning: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    step: int = 0


@with_gradients
def train_contrastive(
    embedder: Embedder,
    texts: Sequence[str],
    labels: Int64[np.ndarray, " rows"],
    config: TuningConfig,
    seed: int,
    out: Path,
    *,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Progress = lambda _: None,
    callbacks: Sequence[Any] = (),
) -> float:
    """Tune the base on pairs of texts of equal or different classes, write it to `out`, and return the seconds.

    SetFit's recipe (arXiv 2209.11055): as many pairs of equal classes as of different ones, the squared difference of
    their vectors' cosine to 1 or 0, AdamW, a rate that rises over a tenth of the steps and then falls to 0. The same
    seed gives the same base.

    Args:
        embedder: the base to begin with; its model is changed in place.
        texts: those to learn from, and nothing else.
        labels: their class indices [rows].
        config: the steps, the pairs in each, the learning rate and the arithmetic.
        seed: draws the pairs and the dropout.
        out: a folder that does not exist; it appears when the stage is finished.
        checkpoint: a file to resume from; on the CPU bit for bit. It is removed when the stage is finished.
        checkpoint_seconds: the least time between two checkpoints.
        progress: called after every step.
        callbacks: told of every step, and may end the stage; see `hilbertune.model.callbacks.Callback`.

    Raises:
        HilbertuneError: there are fewer than two classes, the model cannot be loaded, the checkpoint is another
            stage's, the loss became infinite, or `out` cannot be written.
    """
    if len(np.unique(labels)) < 2:
        raise HilbertuneError("Contrastive tuning needs texts of at least two classes: add rows.")
    stage = _start(embedder.transformer, texts, labels, config, seed)
    owner = None if checkpoint is None else Checkpoint(checkpoint, _fingerprint(embedder, texts, labels, config, seed))
    spent = 0.0
    if owner is not None and owner.path.exists():
        with checkpoints.restoring(owner.path):
            spent = _restore(stage, owner)

    keeper = Keeper(lambda: None if owner is None else _save(stage, owner, keeper.seconds), checkpoint_seconds, spent)
    _train(stage, seed, keeper, progress, _listeners(config, seed, callbacks))
    for parameter in stage.learning.values():
        parameter.grad = None
    write_base(stage.base, out)
    if owner is not None:
        owner.path.unlink(missing_ok=True)
    return keeper.seconds


def _start(
    base: Any, texts: Sequence[str], labels: Int64[np.ndarray, " rows"], config: TuningConfig, seed: int
) -> _Stage:
    """Draw the pairs, and let all of the base learn; norms and biases do not decay."""
    first, second, alike = draw_pairs(labels, config.contrastive_steps * config.contrastive_batch_size, seed)
    learning = {name: p.requires_grad_() for name, p in base.named_parameters()}
    rigid = [p for name, p in learning.items() if p.dim() > 1]
    free = [p for name, p in learning.items() if p.dim() <= 1]
    device = next(base.parameters()).device
    rate = {"lr": config.base_learning_rate}
    optimizer = adam([{"params": rigid, "weight_decay": DECAY, **rate}, {"params": free, **rate}], device)
    return _Stage(base, texts, first, second, torch.from_numpy(alike).to(device), config, learning, optimizer)


def draw_pairs(
    labels: Int64[np.ndarray, " rows"], count: int, seed: int
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Draw `count` pairs of rows, every other one of equal classes; return first rows, second rows, and 1 if equal.

    All pairs of equal classes are equally likely, and so are all pairs of different ones. As in SetFit, a row may
    stand beside itself, so that a class of one row has a pair too.
    """
    rng = np.random.default_rng([seed, PAIRS])
    _, numbers, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = np.argsort(numbers, kind="stable")
    starts = np.cumsum(sizes) - sizes
    rows, own = len(labels), sizes[numbers]
    alike = np.arange(count) % 2 == 0
    first = np.where(
        alike, rng.choice(rows, count, p=own / own.sum()), rng.choice(rows, count, p=(rows - own) / (rows - own).sum())
    )
    size, start = own[first], starts[numbers[first]]
    within = start + rng.integers(size)
    # The rows of other classes lie before and after those of the own class.
    beyond = (start + size + rng.integers(rows - size)) % rows
    return first, by_class[np.where(alike, within, beyond)], alike.astype(np.float32)


def _train(stage: _Stage, seed: int, keeper: Keeper, progress: Progress, told: Listeners) -> None:
    """Take the steps that are left."""
    steps = stage.config.contrastive_steps
    told.begin({}, 0)
    while stage.step < steps and not told.stopped:
        if not math.isfinite(_step(stage, seed)):
            raise HilbertuneError("Contrastive tuning diverged to infinite losses: use a smaller base_learning_rate.")
        stage.step += 1
        progress(stage.step / steps)
        told.step(stage.step)
        if stage.step < steps:
            keeper.save_if_due()
    told.end()


def _step(stage: _Stage, seed: int) -> float:
    """Learn from the pairs of one step, and return their mean loss.

    The dropout of a step is drawn from its own number, so that no generator's state needs to be kept.
    """
    size = stage.config.contrastive_batch_size
    pairs = slice(stage.step * size, (stage.step + 1) * size)
    rows = np.concatenate([stage.first[pairs], stage.second[pairs]])
    base, device = stage.base.train(), stage.alike.device
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence([seed, STEPS, stage.step]).generate_state(1)[0]))
        texts = [stage.texts[row] for row in rows]
        both = forward.vectors(base, texts, device=device, precision=stage.config.precision).float()
    first, second = both.chunk(2)
    loss = (torch.cosine_similarity(first, second) - stage.alike[pairs]).square().mean()
    stage.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(stage.learning.values(), CLIP)
    for group in stage.optimizer.param_groups:
        group["lr"] = stage.config.base_learning_rate * rate_share(stage.step, stage.config.contrastive_steps)
    stage.optimizer.step()
    return float(loss.detach())


def rate_share(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step, from 0: a straight rise from 0 over `WARM_UP`, then a fall."""
    rising = math.ceil(WARM_UP * steps)
    return step / rising if step < rising else (steps - step) / max(1, steps - rising)


def _fingerprint(
    embedder: Embedder, texts: Sequence[str], labels: Int64[np.ndarray, " rows"], config: TuningConfig, seed: int
) -> str:
    """Return a hash of what a checkpoint belongs to: base, rows and settings."""
    about = [embedder.record()["fingerprint"], config.identity(), int(seed), list(texts), labels.tolist()]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _save(stage: _Stage, checkpoint: Checkpoint, seconds: float) -> None:
    tensors, about = tensors_of(stage.learning, stage.optimizer), {"step": stage.step, "seconds": seconds}
    checkpoints.save(checkpoint.path, "contrastive", checkpoint.fingerprint, tensors, about)


def _restore(stage: _Stage, checkpoint: Checkpoint) -> float:
    """Set the stage to where the checkpoint left it, and return the seconds that it had taken."""
    tensors, about = checkpoints.load(checkpoint.path, "contrastive", checkpoint.fingerprint)
    restore(stage.learning, stage.optimizer, tensors)
    stage.step = int(about["step"])
    return float(about["seconds"])


def _listeners(config: TuningConfig, seed: int, callbacks: Sequence[Any]) -> Listeners:
    """Return the callbacks with what they are told of this stage, which has steps and no epochs."""
    args = Arguments(
        num_train_epochs=1,
        per_device_train_batch_size=config.contrastive_batch_size,
        learning_rate=config.base_learning_rate,
        weight_decay=DECAY,
        seed=seed,
        metric_for_best_model="loss",
        greater_is_better=False,
        load_best_model_at_end=False,
        eval_strategy="no",
    )
    return Listeners(callbacks, "contrastive", args, config.contrastive_steps, None)


def write_base(base: Any, out: Path) -> None:
    """Write the base as safetensors and JSON to a folder that is whole or absent."""
    with storage.new_directory(out) as folder, quiet():
        base.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
