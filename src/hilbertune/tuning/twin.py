"""The classical twin of joint tuning: the same base learns in the same steps, with a plain linear head above it.

In: an embedder, examples and settings.
Out: the tuned base as a folder, and its linear head. It tells what of joint tuning is the quantum head's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hilbertune.baselines.models import logistic
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.model.classical import LinearHead
from hilbertune.tuning import joint
from hilbertune.tuning.parameters import check_base
from hilbertune.tuning.records import LabelledTexts, Settings


@dataclass(frozen=True)
class Twin:
    """A linear head, the base below it, and the curves of the joint stage."""

    head: LinearHead
    embedder: Embedder
    training: joint.JointResult


def train_twin(
    embedder: Embedder,
    examples: LabelledTexts,
    outputs: int,
    settings: Settings,
    folder: Path,
    *,
    device: str = "cpu",
    progress: Callable[[float], None] = lambda _: None,
) -> Twin:
    """Train a base together with a linear head as `train_with_base` does with a quantum one; test rows are not read.

    The head begins as logistic regression (C = 1) on the frozen base, and learns at the rate of `settings.training`.

    Args:
        embedder: the base to begin with.
        examples: all rows, of one class each.
        outputs: the number of classes.
        settings: how both learn; the shape of the head plays no part.
        folder: where the base ("base") and a checkpoint to resume from are written.
        device: where both learn, as PyTorch names it.
        progress: called after every step with the share of the joint stage that is done.

    Raises:
        HilbertuneError: the base cannot learn from these data; see `train_joint`.
    """
    if settings.training.task != "classification":
        raise HilbertuneError("The linear twin learns one class of each row: use task='classification'.")
    check_base(embedder.transformer, settings.tuning)
    vectors = embedder.embed([examples.texts[row] for row in examples.split.train])
    fitted = logistic(1.0).fit(vectors, examples.targets[examples.split.train])
    head = LinearHead(vectors.shape[1], outputs)
    head.set_to(fitted.coef_, fitted.intercept_)
    result = joint.train_joint(
        Embedder(str(embedder.folder), device=device, cache=None, pooling=embedder.pooling),
        head.to(device),
        examples,
        settings,
        folder / "base",
        checkpoint=folder / "joint.safetensors",
        progress=progress,
    )
    return Twin(head.eval(), Embedder(str(folder / "base"), device=device, cache=folder), result)


def predict(head: LinearHead, embeddings: np.ndarray) -> np.ndarray:
    """Return the class index of each embedding [rows, width]."""
    weight, bias = (p.detach().cpu().numpy() for p in (head.weight, head.bias))
    classes: np.ndarray = (embeddings @ weight.T + bias).argmax(1)
    return classes
