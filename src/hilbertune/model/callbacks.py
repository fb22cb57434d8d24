"""Callbacks: objects that are told how a training goes, and may stop it, in the shape of those of transformers.

In: callbacks, the settings of a training, its curves.
Out: calls of `on_train_begin`, `on_step_end`, `on_evaluate`, `on_log`, `on_epoch_end`, `on_train_end`; a wish to stop.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from hilbertune.config.records import TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError, nearest, shown
from hilbertune.runtime import processes

Stage = Literal["contrastive", "training", "joint"]

EVENTS = (
    "on_train_begin",
    "on_epoch_begin",
    "on_step_end",
    "on_evaluate",
    "on_log",
    "on_epoch_end",
    "on_train_end",
)
"""The events that a callback may have a method for."""

NAMES = {"train_loss": "loss", "validation_loss": "eval_loss", "validation_accuracy": "eval_accuracy"}
"""The names that curves have in the history, which are those of transformers."""


@dataclass(frozen=True)
class Arguments:
    """The settings of a training, under the names that `transformers.TrainingArguments` has for them."""

    num_train_epochs: int
    per_device_train_batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int
    metric_for_best_model: str
    greater_is_better: bool
    load_best_model_at_end: bool
    eval_strategy: str
    output_dir: str = "."

    def to_json_string(self) -> str:
        """Return the settings as JSON."""
        return json.dumps(asdict(self), indent=2)


@dataclass
class TrainingState:
    """How far a stage of a training is, under the names that `transformers.TrainerState` has.

    `epoch` counts the epochs done, `global_step` the steps. `log_history` has the figures of every epoch, means over
    the members of an ensemble: epoch, loss, eval_loss, eval_accuracy, as far as there are such. A training that is
    resumed begins with those of the epochs that were done before.
    """

    stage: Stage
    num_train_epochs: int
    max_steps: int
    epoch: float = 0
    global_step: int = 0
    log_history: list[dict[str, float]] = field(default_factory=list)
    best_metric: float | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True
    is_hyper_param_search: bool = False


@dataclass
class TrainingControl:
    """What a callback may ask for: `should_training_stop` ends the stage after this epoch, or step."""

    should_training_stop: bool = False


class Callback:
    """A base class that does nothing; overwrite what you need. Any object with such methods is a callback, too.

    Each method is called with the settings, the state and the control, and by name with `head`, the `HybridHead` in
    training (None while the base alone learns); `on_log` with `logs`, the figures of an epoch, and `on_evaluate` with
    `metrics`, those of the validation rows.
    """

    def on_train_begin(self, args: Arguments, state: TrainingState, control: TrainingControl, /, **more: Any) -> Any:
        """Do something before a stage, or before it is resumed."""

    def on_step_end(self, args: Arguments, state: TrainingState, control: TrainingControl, /, **more: Any) -> Any:
        """Do something after a step of a base that learns; the steps of a head alone are compiled, and tell nothing."""

    def on_evaluate(self, args: Arguments, state: TrainingState, control: TrainingControl, /, **more: Any) -> Any:
        """Do something after the validation of an epoch."""

    def on_log(self, args: Arguments, state: TrainingState, control: TrainingControl, /, **more: Any) -> Any:
        """Do something with the figures of an epoch."""

    def on_epoch_end(self, args: Arguments, state: TrainingState, control: TrainingControl, /, **more: Any) -> Any:
        """Do something after an epoch, whose figures are the last entry of `state.log_history`."""

    def on_train_end(self, args: Arguments, state: TrainingState, control: TrainingControl, /, **more: Any) -> Any:
        """Do something after a stage."""


class EarlyStopping(Callback):
    """Stop a training once a figure has not improved for some epochs.

    It judges by the history alone, so a training that is resumed stops where it would have stopped. Which epoch's
    weights remain is `keep`'s choice: set keep="best" unless the last ones are wanted.

    Args:
        monitor: "eval_loss", "eval_accuracy" or "loss".
        patience: epochs without a better figure after which training stops.
        threshold: how much better a figure must be to count.

    Raises:
        HilbertuneError: there is no such figure, or the patience is less than an epoch.
    """

    def __init__(self, monitor: str = "eval_loss", patience: int = 10, threshold: float = 0.0) -> None:
        if monitor not in NAMES.values():
            raise HilbertuneError(
                f"EarlyStopping cannot watch {shown(monitor)}: {nearest(str(monitor), [*NAMES.values()])}"
            )
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise HilbertuneError(f"patience must be a whole number of epochs, at least 1, not {shown(patience)}.")
        self.monitor, self.patience, self.threshold = monitor, patience, threshold

    def on_train_begin(self, _args: Arguments, state: TrainingState, control: TrainingControl, /, **_: Any) -> None:
        """Stop a training that is resumed after the epoch at which it was to stop."""
        self._judge(state, control)

    def on_epoch_end(self, _args: Arguments, state: TrainingState, control: TrainingControl, /, **_: Any) -> None:
        """Stop if the figure has not improved for too long."""
        self._judge(state, control)

    def _judge(self, state: TrainingState, control: TrainingControl) -> None:
        sign = -1 if self.monitor.endswith("accuracy") else 1
        best, since = math.inf, 0
        for log in state.log_history:
            if self.monitor not in log:
                raise HilbertuneError(
                    f"EarlyStopping watches {self.monitor!r}, which this training does not have: choose another "
                    "figure, or a validation share above 0."
                )
            better = sign * log[self.monitor] < best - self.threshold
            best, since = (sign * log[self.monitor], 0) if better else (best, since + 1)
        if since >= self.patience:
            control.should_training_stop = True


def checked(callbacks: Any) -> list[Any]:
    """Return callbacks as a list; a class stands for an object of it, as in transformers.

    Raises:
        HilbertuneError: it is no list, or something in it has no method of a callback.
    """
    if callbacks is None:
        return []
    if not isinstance(callbacks, list | tuple):
        raise HilbertuneError(f"callbacks must be a list of callbacks, not {type(callbacks).__name__}.")
    made = [callback() if isinstance(callback, type) else callback for callback in callbacks]
    for callback in made:
        if not any(callable(getattr(callback, event, None)) for event in EVENTS):
            raise HilbertuneError(
                f"{type(callback).__name__} is no callback: it has none of the methods {', '.join(EVENTS)}."
            )
    return made


class Listeners:
    """The callbacks of one stage of a training, with its state; without callbacks it does nothing."""

    def __init__(self, callbacks: Sequence[Any], stage: Stage, args: Arguments, steps: int, head: Any) -> None:
        self.callbacks, self.args, self.head, self.steps = callbacks, args, head, steps
        first = processes.is_first()
        self.state = TrainingState(
            stage,
            args.num_train_epochs,
            args.num_train_epochs * steps,
            is_local_process_zero=first,
            is_world_process_zero=first,
        )
        self.control = TrainingControl()

    @property
    def stopped(self) -> bool:
        """True if a callback asked for the end of the training."""
        return self.control.should_training_stop

    def tell(self, event: str, **more: Any) -> None:
        """Call the method of every callback that has one for this event."""
        for callback in self.callbacks:
            method = getattr(callback, event, None)
            if method is not None:
                answer = method(self.args, self.state, self.control, head=self.head, **more)
                if getattr(answer, "should_training_stop", False):
                    self.control.should_training_stop = True

    def begin(self, curves: Mapping[str, Any], epochs: int) -> None:
        """Tell that training begins, or is resumed after so many epochs with these curves."""
        if self.callbacks:
            for epoch in range(epochs):
                self._remember(_figures(curves, epoch))
            self.state.global_step = epochs * self.steps
            self.tell("on_train_begin")

    def step(self, number: int) -> None:
        """Tell that so many steps of the stage are done."""
        if self.callbacks:
            self.state.global_step = number
            self.tell("on_step_end")

    def epoch(self, curves: Mapping[str, Any], epoch: int) -> None:
        """Tell of an epoch, counted from 0, that is done and stands in the curves."""
        if self.callbacks:
            logs = _figures(curves, epoch)
            self.state.epoch, self.state.global_step = epoch + 1, (epoch + 1) * self.steps
            metrics = {name: value for name, value in logs.items() if name.startswith("eval_")}
            if metrics:
                self.tell("on_evaluate", metrics=metrics | {"epoch": logs["epoch"]})
            self._remember(logs)
            # A copy: transformers' PrinterCallback takes figures out of what it is given.
            self.tell("on_log", logs=dict(logs))
            self.tell("on_epoch_end")

    def end(self) -> None:
        """Tell that the stage has ended."""
        if self.callbacks:
            self.tell("on_train_end")

    def _remember(self, logs: dict[str, float]) -> None:
        state, args = self.state, self.args
        state.log_history.append(logs)
        state.epoch = logs["epoch"]
        value = logs.get(f"eval_{args.metric_for_best_model}")
        sign = 1 if args.greater_is_better else -1
        if value is not None and (state.best_metric is None or sign * value > sign * state.best_metric):
            state.best_metric = value


def listening(
    callbacks: Sequence[Any],
    stage: Stage,
    config: TrainingConfig,
    split: Split,
    seed: int,
    head: Any,
    *,
    epochs: int | None = None,
    batch: int | None = None,
) -> Listeners:
    """Return the callbacks for a stage with these rows; epochs and rows a step are those of the settings, or others."""
    epochs, batch = epochs or config.epochs, batch or config.batch_size
    validated = len(split.validation) > 0
    accurate = validated and config.task != "regression"
    args = Arguments(
        num_train_epochs=epochs,
        per_device_train_batch_size=batch,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        seed=int(seed),
        metric_for_best_model="accuracy" if accurate else "loss",
        greater_is_better=accurate,
        load_best_model_at_end=config.keep == "best",
        eval_strategy="epoch" if validated else "no",
    )
    return Listeners(callbacks, stage, args, -(-len(split.train) // batch), head)


def _figures(curves: Mapping[str, Any], epoch: int) -> dict[str, float]:
    """Return the figures of an epoch, counted from 0, means of the runs that still train; those that are not NaN."""
    figures: dict[str, float] = {"epoch": epoch + 1}
    for curve, name in NAMES.items():
        each = curves[curve][epoch]
        known = [v for v in (each if isinstance(each, list) else each.tolist()) if v == v]
        if known:
            figures[name] = sum(known) / len(known)
    return figures
