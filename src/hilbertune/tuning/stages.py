"""A base and a head that are trained one stage after the other: pairs of texts, the head on the base's embeddings, both together.

In: texts, targets, a split and the settings of head, training and tuning. Out: the tuned base as a folder, and the head that belongs to
it. Finished stages lie in the cache, so that the same training, killed at any moment, goes on where it stood.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.config.records import EngineName, HeadConfig, TrainingConfig, TuningConfig
from hilbertune.data.splits import Split
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.model import training as training_loop
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import TrainingResult
from hilbertune.runtime import processes
from hilbertune.runtime.storage import cache_root
from hilbertune.tuning import contrastive, joint


@dataclass(frozen=True)
class Trained:
    """A head, the base below it, and the curves: the head's epochs, then those of the joint stage.

    `folder` holds the base under the name "base", and everything that is no longer needed once the model is saved elsewhere. `resumed`: a part of it
    was done by an earlier process.
    """

    head: HybridHead
    embedder: Embedder
    training: TrainingResult
    folder: Path
    resumed: bool


def train_with_base(
    embedder: Embedder,
    texts: Sequence[Any],
    targets: np.ndarray,
    outputs: int,
    split: Split,
    head: HeadConfig,
    training: TrainingConfig,
    tuning: TuningConfig,
    seed: int,
    *,
    engine: EngineName = "auto",
    device: str = "cpu",
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> Trained:
    """Train base and head as `tuning.tune` says; test rows are not read.

    Args:
        embedder: the base to begin with.
        texts: all rows.
        targets: of all rows, as `tasks.losses` takes them.
        outputs: logits of the head.
        progress: called with the stage ("contrastive", "training", "joint") and the share of it that is done.

    Raises:
        HilbertuneError: the base cannot learn from these data; see `tuning.contrastive`, `tuning.joint` and `training.train`.
    """
    _check(embedder, texts, training, tuning)
    if tuning.tune != "joint":
        processes.alone(f"tune={tuning.tune!r}")
    joint.check_batches(tuning)
    folder = cache_root() / "tuned" / _name(embedder, texts, targets, split, head, training, tuning, seed)
    resumed = folder.exists()
    made = partial(Embedder, device=device, cache=embedder.cache)
    base = embedder
    if tuning.tune != "joint":
        out = folder / ("base" if tuning.tune == "contrastive" else "contrastive")
        if not out.exists():
            fresh = made(str(embedder.folder), pooling=embedder.pooling)
            contrastive.train_contrastive(
                fresh,
                [texts[row] for row in split.train],
                targets[split.train],
                tuning,
                seed,
                out,
                progress=lambda share: progress("contrastive", share),
            )
        base = made(str(out))
    rows = np.concatenate([split.train, split.validation])
    with processes.first_before_others(device):
        vectors = base.embed([texts[row] for row in rows])
        model = HybridHead(vectors.shape[1], outputs, head, engine=engine).to(device)
        own = Split(np.arange(len(split.train)), np.arange(len(split.train), len(rows)), np.arange(0))
        result = training_loop.train(
            model,
            torch.from_numpy(vectors),
            torch.from_numpy(targets[rows]),
            [own],
            [training],
            [seed],
            checkpoint=folder / "head.safetensors",
            progress=lambda epoch, _: progress("training", epoch / training.epochs),
        )
    if tuning.tune != "contrastive":
        fresh = made(str(base.folder), pooling=base.pooling)
        found = joint.train_joint(
            fresh,
            model,
            texts,
            targets,
            split,
            tuning,
            training,
            seed,
            folder / "base",
            checkpoint=folder / "joint.safetensors",
            progress=lambda share: progress("joint", share),
        )
        result = _joined(result, found, model)
    final = made(str(folder / "base"))
    final.model = "./base"
    return Trained(model.eval(), final, result, folder, resumed)


def _check(embedder: Embedder, texts: Sequence[Any], training: TrainingConfig, tuning: TuningConfig) -> None:
    if embedder.kind != "text" or any(not isinstance(text, str) for text in texts):
        raise HilbertuneError(
            f"tune={tuning.tune!r} takes single texts: leave out pairs, pictures, sound and fingerprints, or use tune='frozen'."
        )
    if "contrastive" in tuning.tune and training.task in ("multi-label", "regression"):
        raise HilbertuneError(
            f"Contrastive tuning needs one class for each row, which task={training.task!r} has not: use tune='joint'."
        )


def _name(
    embedder: Embedder,
    texts: Sequence[Any],
    targets: np.ndarray,
    split: Split,
    head: HeadConfig,
    training: TrainingConfig,
    tuning: TuningConfig,
    seed: int,
) -> str:
    """A folder name that only the same training has."""
    rows = np.concatenate([split.train, split.validation])
    about = [
        embedder.record()["fingerprint"],
        embedder.pooling,
        head.to_dict(),
        training.to_dict(),
        tuning.to_dict(),
        int(seed),
        len(split.train),
        [texts[row] for row in rows],
        targets[rows].tolist(),
    ]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _joined(result: TrainingResult, found: joint.JointResult, model: HybridHead) -> TrainingResult:
    """The head's epochs and then those of the joint stage; what that began with is the head's best epoch."""
    before = len(result.train_loss)

    def curve(first: np.ndarray, second: list[float]) -> np.ndarray:
        return np.concatenate([first, np.array(second[1:], np.float64).reshape(-1, 1)])

    best = result.best_epoch if found.best_epoch == 0 else np.array([before - 1 + found.best_epoch])
    return TrainingResult(
        train_loss=curve(result.train_loss, found.train_loss),
        validation_loss=curve(result.validation_loss, found.validation_loss),
        validation_accuracy=curve(result.validation_accuracy, found.validation_accuracy),
        best_epoch=best,
        last={name: p.detach().clone() for name, p in model.named_parameters()},
        seconds=result.seconds + found.seconds,
    )
