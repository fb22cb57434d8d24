"""A base and a head that learn in stages: the base from pairs of texts, the head on its embeddings, both together.

In: an embedder, examples and settings.
Out: the tuned base as a folder, and its head. Finished stages lie in the cache, so a training that was killed resumes.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.config.records import EngineName
from hilbertune.data.splits import Split
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.model import members
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import TrainingResult
from hilbertune.runtime import processes
from hilbertune.runtime.claims import Claim, claim_folder, claimed
from hilbertune.runtime.storage import cache_root
from hilbertune.tuning import contrastive, joint
from hilbertune.tuning.parameters import check_base
from hilbertune.tuning.records import LabelledTexts, Settings

Progress = Callable[[str, float], None]
"""A function called with the stage ("contrastive", "training", "joint") and the share of it that is done."""


@dataclass(frozen=True)
class Trained:
    """A head, the base below it, and the curves: the head's epochs, then those of the joint stage.

    `folder` holds the base under the name "base", and whatever is no longer needed once the model is saved elsewhere.
    It is this process's own as long as `claim` is referred to. `resumed`: an earlier process did a part of it.
    """

    head: HybridHead
    embedder: Embedder
    training: TrainingResult
    folder: Path
    claim: Claim | None
    resumed: bool


_ONE_AT_A_TIME = threading.RLock()
"""Held while a base learns: its libraries draw from generators, and write to streams, that all threads share."""


def train_with_base(
    embedder: Embedder,
    examples: LabelledTexts,
    outputs: int,
    settings: Settings,
    *,
    engine: EngineName = "auto",
    device: str = "cpu",
    progress: Progress = lambda *_: None,
    callbacks: Sequence[Any] = (),
) -> Trained:
    """Train base and head as `settings.tuning.tune` says; test rows are not read.

    Threads train one after the other. Another process in the same training works in a folder of its own.

    Args:
        embedder: the base to begin with.
        examples: all rows.
        outputs: logits of the head.
        settings: how both learn.
        engine: see `hilbertune.expectation`.
        device: where both learn, as PyTorch names it.
        progress: called as each stage advances.
        callbacks: told of every stage, each of which they may stop; see `hilbertune.model.callbacks.Callback`.

    Raises:
        HilbertuneError: the base cannot learn from these data; see `train_contrastive`, `train_joint` and `train`.
    """
    _check(embedder, examples, settings)
    with _ONE_AT_A_TIME:
        folder, claim = _claim(_name(embedder, examples, settings))
        resumed = any(folder.iterdir())
        # Vectors of a base that is thrown away with its folder lie there too.
        cache = None if embedder.cache is None else folder
        try:
            head, base, result = _stages(
                folder, cache, embedder, examples, outputs, settings, engine, device, progress, callbacks
            )
        except BaseException:
            if claim is not None:
                claim.release()  # the trace-back may live on, and the next training goes on in this folder
            raise
    return Trained(head, base, result, folder, claim, resumed)


def _claim(name: str) -> tuple[Path, Claim | None]:
    """Return the folder of a training, and the claim to it; several processes that train together share that of one.

    Raises:
        HilbertuneError: it cannot be written, or processes that train together find others in the same training.
    """
    parent = cache_root() / "tuned"
    try:
        if processes.count() == 1:
            claim = claim_folder(parent, name)
            return claim.path, claim
        (parent / name).mkdir(parents=True, exist_ok=True)
        own = claimed(parent / name) if processes.is_first() else None
    except OSError as error:
        raise HilbertuneError(f"Cannot write {parent}: {error.strerror}. Set HILBERTUNE_CACHE.") from error
    if processes.is_first() and own is None:
        raise HilbertuneError(f"{parent / name} is in use by another process in the same training: wait until it ends.")
    return parent / name, own


def _stages(
    folder: Path,
    cache: Path | None,
    embedder: Embedder,
    examples: LabelledTexts,
    outputs: int,
    settings: Settings,
    engine: EngineName,
    device: str,
    progress: Progress,
    callbacks: Sequence[Any],
) -> tuple[HybridHead, Embedder, TrainingResult]:
    """Do the stages that are not finished in this folder; return the head, the embedder of the base, and the curves."""
    tuning = settings.tuning
    fresh = partial(Embedder, device=device, cache=cache)
    base = embedder
    if tuning.tune != "joint":
        out = folder / ("base" if tuning.tune == "contrastive" else "contrastive")
        if not out.exists():
            start = fresh(str(embedder.folder), pooling=embedder.pooling)
            kept = folder / "contrastive.safetensors"
            _train_on_pairs(start, examples, settings, out, kept, partial(progress, "contrastive"), callbacks)
        base = fresh(str(out))
    with processes.first_before_others(device):
        vectors = base.embed([examples.texts[row] for row in examples.rows])
        hybrid = members.untrained(vectors.shape[1], outputs, settings.head, settings.training, engine=engine)
        hybrid = hybrid.to(device)
        checkpoint = folder / "head.safetensors"
        result = _train_head(hybrid, vectors, examples, settings, checkpoint, partial(progress, "training"), callbacks)
    if tuning.tune != "contrastive":
        stage = joint.train_joint(
            fresh(str(base.folder), pooling=base.pooling),
            hybrid,
            examples,
            settings,
            folder / "base",
            checkpoint=folder / "joint.safetensors",
            progress=partial(progress, "joint"),
            callbacks=callbacks,
        )
        result = _joined(result, stage, hybrid)
    final = fresh(str(folder / "base"))
    final.model = "./base"
    return hybrid.eval(), final, result


def _check(embedder: Embedder, examples: LabelledTexts, settings: Settings) -> None:
    """Raise HilbertuneError if this base cannot learn from these texts in this way."""
    tune, task = settings.tuning.tune, settings.training.task
    if embedder.kind != "text" or any(not isinstance(text, str) for text in examples.texts):
        raise HilbertuneError(
            f"tune={tune!r} takes single texts: "
            "leave out pairs, pictures, sound and fingerprints, or use tune='frozen'."
        )
    if "contrastive" in tune and task in ("multi-label", "regression"):
        raise HilbertuneError(
            f"Contrastive tuning needs one class for each row, which task={task!r} does not have: use tune='joint'."
        )
    if "contrastive" in tune and examples.weights is not None:
        raise HilbertuneError(
            f"tune={tune!r} draws pairs of rows, which have no weights: leave sample_weight out, or use tune='joint'."
        )
    if tune != "joint":
        processes.alone(f"tune={tune!r}")
    if tune != "contrastive":
        check_base(embedder.transformer, settings.tuning)
    joint.check_batches(settings.tuning)


def _name(embedder: Embedder, examples: LabelledTexts, settings: Settings) -> str:
    """Return a folder name that only the same training has."""
    rows = examples.rows
    about = [
        embedder.record()["fingerprint"],
        embedder.pooling,
        settings.head.identity(),
        settings.training.identity(),
        settings.tuning.identity(),
        int(settings.seed),
        len(examples.split.train),
        [examples.texts[row] for row in rows],
        examples.targets[rows].tolist(),
    ]
    if examples.weights is not None:
        about.append(examples.weights[rows].tolist())
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _train_on_pairs(
    base: Embedder,
    examples: LabelledTexts,
    settings: Settings,
    out: Path,
    checkpoint: Path,
    progress: contrastive.Progress,
    callbacks: Sequence[Any],
) -> None:
    """Tune the base on pairs of the training rows, and write it to `out`."""
    rows = examples.split.train
    texts = [examples.texts[row] for row in rows]
    contrastive.train_contrastive(
        base,
        texts,
        examples.targets[rows],
        settings.tuning,
        settings.seed,
        out,
        checkpoint=checkpoint,
        progress=progress,
        callbacks=callbacks,
    )


def _train_head(
    hybrid: HybridHead,
    vectors: np.ndarray,
    examples: LabelledTexts,
    settings: Settings,
    checkpoint: Path,
    progress: contrastive.Progress,
    callbacks: Sequence[Any],
) -> TrainingResult:
    """Train the head on the vectors of the rows that are read."""
    count, cut = len(vectors), len(examples.split.train)
    return members.train(
        hybrid,
        torch.from_numpy(vectors),
        torch.from_numpy(examples.targets[examples.rows]),
        [Split(np.arange(cut), np.arange(cut, count), np.arange(0))],
        [settings.training],
        [settings.seed],
        sample_weight=None if examples.weights is None else torch.from_numpy(examples.weights[examples.rows]),
        checkpoint=checkpoint,
        progress=lambda epoch, _: progress(epoch / settings.training.epochs),
        callbacks=callbacks,
    )


def _joined(result: TrainingResult, stage: joint.JointResult, hybrid: HybridHead) -> TrainingResult:
    """Return the head's epochs and then those of the joint stage, which began with the head's best epoch."""
    before = len(result.train_loss)

    def curve(first: np.ndarray, second: list[float]) -> np.ndarray:
        return np.concatenate([first, np.array(second[1:], np.float64).reshape(-1, 1)])

    best = result.best_epoch if stage.best_epoch == 0 else np.array([before - 1 + stage.best_epoch])
    return TrainingResult(
        train_loss=curve(result.train_loss, stage.train_loss),
        validation_loss=curve(result.validation_loss, stage.validation_loss),
        validation_accuracy=curve(result.validation_accuracy, stage.validation_accuracy),
        best_epoch=best,
        last={name: p.detach().clone() for name, p in hybrid.named_parameters()},
        seconds=result.seconds + stage.seconds,
    )
