"""The progress of a fit: a bar on stderr if `verbose`, lines of the log named "hilbertune", and the user's callbacks.

In: `verbose` and `callbacks` of an estimator.
Out: one list of callbacks, for as long as the fit lasts.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hilbertune.model.callbacks import Arguments, Callback, TrainingControl, TrainingState, checked
from hilbertune.runtime import processes

LOG = logging.getLogger("hilbertune")


class Logged(Callback):
    """A callback that logs the beginning and the end of each stage (INFO), and every epoch (DEBUG)."""

    def on_train_begin(self, args: Arguments, state: TrainingState, _control: TrainingControl, /, **_: Any) -> None:
        """Log what is going to be trained."""
        done = f", {state.epoch:g} of them done" if state.epoch else ""
        LOG.info("%s begins: %s%s.", state.stage, _length(state), done)
        LOG.debug("%s settings: %s", state.stage, " ".join(args.to_json_string().split()))

    def on_epoch_end(self, _args: Arguments, state: TrainingState, _control: TrainingControl, /, **_: Any) -> None:
        """Log the figures of an epoch."""
        LOG.debug("%s %s", state.stage, line(state))

    def on_train_end(self, _args: Arguments, state: TrainingState, control: TrainingControl, /, **_: Any) -> None:
        """Log the last figures."""
        why = ", stopped by a callback" if control.should_training_stop else ""
        LOG.info("%s ends%s: %s.", state.stage, why, line(state))


class Bar(Callback):
    """A callback that shows a bar for each stage, and with `lines` a line for each epoch; rich draws both."""

    def __init__(self, progress: Any, *, lines: bool) -> None:
        self.progress, self.lines = progress, lines
        self.task: Any = None
        self.embedding: Any = None

    def embedded(self, total: int, count: int) -> None:
        """Move the bar of the embedding, for items newly done of `total`."""
        if self.embedding is None:
            self.embedding = self.progress.add_task("embedding", total=total, note=f"{total} rows")
        self.progress.advance(self.embedding, count)

    def on_train_begin(self, _args: Arguments, state: TrainingState, _control: TrainingControl, /, **_: Any) -> None:
        """Show the bar of a stage."""
        self.task = self.progress.add_task(
            state.stage, total=state.max_steps, completed=state.global_step, note=_length(state)
        )

    def on_step_end(self, _args: Arguments, state: TrainingState, _control: TrainingControl, /, **_: Any) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=state.global_step)

    def on_epoch_end(self, _args: Arguments, state: TrainingState, _control: TrainingControl, /, **_: Any) -> None:
        """Move the bar and show the last figures beside it."""
        last = state.log_history[-1]
        shown = next((name for name in ("eval_accuracy", "eval_loss", "loss") if name in last), "")
        note = f"{_length(state)}, {shown} {last[shown]:.3f}" if shown else _length(state)
        self.progress.update(self.task, completed=state.global_step, note=note)
        if self.lines:
            self.progress.console.print(f"{state.stage} {line(state)}", markup=False, highlight=False)


class Following(NamedTuple):
    """The callbacks of a fit, and a function that is told, of how many items in all, how many are newly embedded."""

    callbacks: list[Any]
    embedded: Callable[[int, int], None]


@contextlib.contextmanager
def following(verbose: int, callbacks: Any) -> Iterator[Following]:
    """Yield the callbacks of a fit: the user's, the log where anyone reads it, and the bar, which ends with the block.

    Raises:
        HilbertuneError: `callbacks` is no list of callbacks.
    """
    told = checked(callbacks)
    if LOG.isEnabledFor(logging.INFO):
        told = [Logged(), *told]
    if not verbose or not processes.is_first():
        yield Following(told, lambda *_: None)
        return
    with _bars() as progress:
        bar = Bar(progress, lines=verbose > 1)
        yield Following([bar, *told], bar.embedded)


def _bars() -> Any:
    """Return rich's bars on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description:11}", markup=False),
        BarColumn(20),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
    )


def line(state: TrainingState) -> str:
    """Return the figures of the last epoch on one line; of a stage without epochs, its steps."""
    if not state.log_history:
        return f"{state.global_step} of {state.max_steps} steps"
    last = state.log_history[-1]
    figures = [f"{name} {value:.4f}" for name, value in last.items() if name != "epoch"]
    return ", ".join([f"epoch {last['epoch']:g} of {state.num_train_epochs}", *figures])


def _length(state: TrainingState) -> str:
    return f"{state.max_steps} steps" if state.stage == "contrastive" else f"{state.num_train_epochs} epochs"
