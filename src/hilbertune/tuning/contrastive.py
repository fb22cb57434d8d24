"""The contrastive stage: a base learns from pairs of texts of equal or different classes (SetFit).

In: an embedder, texts, class indices, and a `TuningConfig`.
Out: the tuned base as a folder that `Embedder` reads.
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
from hilbertune.model.callbacks import Arguments, Listeners
from hilbertune.runtime import storage
from hilbertune.runtime.gradients import with_gradients

Progress = Callable[[float], None]
"""A function called with the share of a stage that is done."""


@with_gradients
def train_contrastive(
    embedder: Embedder,
    texts: Sequence[str],
    labels: np.ndarray,
    config: TuningConfig,
    seed: int,
    out: Path,
    *,
    progress: Progress = lambda _: None,
    callbacks: Sequence[Any] = (),
) -> None:
    """Tune the base on pairs of texts of equal or different classes with SetFit's trainer, and write it to `out`.

    The same seed gives the same base. A stage that was killed begins again.

    Args:
        embedder: the base to begin with; its model is changed in place.
        texts: those to learn from, and nothing else.
        labels: their class indices [rows].
        config: the steps, the pairs in each, and the learning rate.
        seed: draws the pairs and the dropout.
        out: a folder that does not exist; it appears when the stage is finished.
        progress: called after every step.
        callbacks: told of every step, and may end the stage; see `hilbertune.model.callbacks.Callback`.

    Raises:
        HilbertuneError: there are fewer than two classes, the model cannot be loaded, or `out` cannot be written.
        MissingExtraError: the extra `tune` is not installed.
    """
    require("setfit", "tune")
    require("datasets", "tune")
    if len(np.unique(labels)) < 2:
        raise HilbertuneError("Contrastive tuning needs texts of at least two classes: add rows.")
    base = embedder.transformer
    told = _listeners(config, seed, callbacks)
    with _seeded(seed), _silent():
        trainer = _trainer(base, texts, labels, config, seed, out.with_name(f".{out.name}.trainer"), progress, told)
        told.begin({}, 0)
        if not told.stopped:
            trainer.train_embeddings(list(texts), labels.tolist(), args=trainer.args)
        told.end()
    write_base(base, out)


def _trainer(
    base: Any,
    texts: Sequence[str],
    labels: np.ndarray,
    config: TuningConfig,
    seed: int,
    scratch: Path,
    progress: Progress,
    told: Listeners,
) -> Any:
    """Return SetFit's trainer of these texts; it writes nothing but what it needs to `scratch`."""
    import datasets
    import setfit
    from sklearn.linear_model import LogisticRegression
    from transformers import TrainerCallback

    class Report(TrainerCallback):  # type: ignore[misc, unused-ignore]
        """A callback that tells `progress` and the callbacks of every step."""

        def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
            progress(min(1.0, state.global_step / max(1, state.max_steps)))
            told.step(state.global_step)
            control.should_training_stop |= told.stopped

    arguments = setfit.TrainingArguments(
        output_dir=str(scratch),
        max_steps=config.contrastive_steps,
        batch_size=config.contrastive_batch_size,
        body_learning_rate=config.base_learning_rate,
        seed=seed,
        report_to="none",
        logging_strategy="no",
        save_strategy="no",
        show_progress_bar=False,
    )
    return setfit.Trainer(
        # SetFit wants a head; this stage does not fit it.
        setfit.SetFitModel(model_body=base, model_head=LogisticRegression()),
        arguments,
        train_dataset=datasets.Dataset.from_dict({"text": list(texts), "label": labels.tolist()}),
        callbacks=[Report()],
    )


def _listeners(config: TuningConfig, seed: int, callbacks: Sequence[Any]) -> Listeners:
    """Return the callbacks with what they are told of this stage, which has steps and no epochs."""
    args = Arguments(
        num_train_epochs=1,
        per_device_train_batch_size=config.contrastive_batch_size,
        learning_rate=config.base_learning_rate,
        weight_decay=0.0,
        seed=seed,
        metric_for_best_model="loss",
        greater_is_better=False,
        load_best_model_at_end=False,
        eval_strategy="no",
    )
    return Listeners(callbacks, "contrastive", args, config.contrastive_steps, None)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, which the library draws from, and restore them afterwards."""
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
    """Silence the bars and tables of the libraries: the caller has a progress bar of its own."""
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
    """Write the base as safetensors and JSON to a folder that is whole or absent."""
    with storage.new_directory(out) as folder, quiet():
        base.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
