"""A foundation model that learns: from pairs of sentences (SetFit), or together with the head above it.

In: an embedder, texts, labels or targets, and a `TuningConfig`. Out: the tuned base as a folder that `Embedder` reads; for the joint
stage also the head at its best epoch. Rows outside the split's training and validation parts are never read.
"""

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.config.records import TuningConfig
from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.transformer import quiet
from hilbertune.errors import HilbertuneError, require
from hilbertune.runtime import storage

Progress = Callable[[float], None]
"""Called with the share of a stage that is done."""


def train_contrastive(
    embedder: Embedder,
    texts: Sequence[str],
    labels: np.ndarray,
    config: TuningConfig,
    seed: int,
    out: Path,
    *,
    progress: Progress = lambda share: None,
) -> None:
    """Tune the base on pairs of texts of equal or different classes with SetFit's trainer, and write it to `out`.

    The same seed gives the same base. A stage that was killed begins again.

    Args:
        texts: those to learn from, and nothing else.
        labels: their class indices [rows].
        out: a folder that does not exist; it appears when the stage is finished.

    Raises:
        HilbertuneError: fewer than two classes, or two texts; the model cannot be loaded or `out` not be written.
        MissingExtraError: the extra `tune` is not installed.
    """
    setfit = require("setfit", "tune")
    datasets = require("datasets", "tune")
    from transformers import TrainerCallback

    if len(np.unique(labels)) < 2:
        raise HilbertuneError("Contrastive tuning needs texts of at least two classes: add rows.")

    class Report(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            progress(min(1.0, state.global_step / max(1, state.max_steps)))

    base = embedder.transformer
    with _seeded(seed), _silent():
        from sklearn.linear_model import LogisticRegression

        # SetFit wants a head; this stage does not fit it.
        model = setfit.SetFitModel(model_body=base, model_head=LogisticRegression())
        arguments = setfit.TrainingArguments(
            output_dir=str(out.with_name(f".{out.name}.trainer")),
            max_steps=config.contrastive_steps,
            batch_size=config.contrastive_batch_size,
            body_learning_rate=config.base_learning_rate,
            seed=seed,
            report_to="none",
            logging_strategy="no",
            save_strategy="no",
            show_progress_bar=False,
        )
        rows = {"text": list(texts), "label": labels.tolist()}
        trainer = setfit.Trainer(
            model,
            arguments,
            train_dataset=datasets.Dataset.from_dict(rows),
            callbacks=[Report()],
        )
        trainer.train_embeddings(rows["text"], rows["label"], args=arguments)
    write_base(base, out)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, which the library draws from, and give them back as they were."""
    kept = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed % (1 << 32))
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """No bars and tables of the libraries: the caller has a progress bar of its own."""
    import io
    import logging

    import datasets
    from transformers.utils import logging as noise

    bars, level = datasets.utils.logging.is_progress_bar_enabled(), noise.get_verbosity()
    logger = logging.getLogger("setfit")
    before = logger.level
    datasets.disable_progress_bars()
    noise.set_verbosity_error()
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*pin_memory")
            yield
    finally:
        logger.setLevel(before)
        noise.set_verbosity(level)
        if bars:
            datasets.enable_progress_bars()


def write_base(base: Any, out: Path) -> None:
    """The base as safetensors and JSON, in a folder that is whole or absent."""
    with storage.new_directory(out) as folder, quiet():
        base.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
