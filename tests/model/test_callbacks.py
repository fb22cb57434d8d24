"""What callbacks are told in every kind of training, that they can stop it, and that a resumed one stops alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.following import Recorder

from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.errors import HilbertuneError
from hilbertune.model.callbacks import Callback, EarlyStopping, checked
from hilbertune.model.layers import HybridHead
from hilbertune.model.training import TrainingResult, train

SHAPE = HeadConfig(qubits=3, encoder_layers=1, reuploads=1, layers=1)
SPLIT = Split(np.arange(20), np.arange(20, 30), np.arange(0))
NO_VALIDATION = Split(np.arange(30), np.arange(0), np.arange(0))
RNG = np.random.default_rng(0)
LABELS = torch.from_numpy(np.arange(30) % 2)
ROWS = torch.from_numpy(RNG.normal(size=(30, 4)) + LABELS.numpy()[:, None]).float()


def trained(callbacks: Any, *, runs: int = 1, split: Split = SPLIT, file: Path | None = None, **changes: Any) -> Any:
    config = TrainingConfig(**{"epochs": 5, "batch_size": 8, "learning_rate": 0.05, **changes})
    model = HybridHead(4, 2, SHAPE, runs=runs)
    result: TrainingResult = train(
        model, ROWS, LABELS, [split] * runs, [config] * runs, list(range(runs)),
        checkpoint=file, checkpoint_seconds=0, callbacks=callbacks,
    )  # fmt: skip
    return model, result


# Fused on the CPU; by autograd because of its gradient; with shots in the steps; with noise.
KINDS: list[dict[str, Any]] = [{}, {"gradient": "parameter-shift"}, {"training_shots": 16}, {"two_qubit_error": 0.01}]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_epoch_is_told_and_changes_nothing(kind: dict[str, Any]) -> None:
    seen = Recorder()
    model, result = trained([seen], epochs=2, **kind)
    plain, _ = trained([], epochs=2, **kind)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    assert [name for name, *_ in seen.events] == [
        "on_train_begin",
        *["on_evaluate", "on_log", "on_epoch_end"] * 2,
        "on_train_end",
    ]
    state = seen.states["training"]
    assert (state.epoch, state.global_step, state.max_steps, state.num_train_epochs) == (2, 6, 6, 2)
    assert state.log_history == [
        {
            "epoch": epoch + 1,
            "loss": result.train_loss[epoch, 0],
            "eval_loss": result.validation_loss[epoch, 0],
            "eval_accuracy": result.validation_accuracy[epoch, 0],
        }
        for epoch in range(2)
    ]
    assert state.best_metric == result.validation_accuracy.max()
    assert seen.given["head"] is model


@pytest.mark.parametrize("kind", KINDS[:2], ids=str)
def test_a_callback_stops_the_training_and_the_kept_weights_are_those_of_a_shorter_one(kind: dict[str, Any]) -> None:
    model, result = trained([Recorder(stop_after=2)], **kind)
    shorter, _ = trained([], epochs=2, **kind)
    assert len(result.train_loss) == 2
    for name, value in shorter.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_several_runs_are_told_of_as_one_by_their_means() -> None:
    seen = Recorder()
    _, result = trained([seen], runs=3, epochs=1)
    (log,) = seen.states["training"].log_history
    assert log["loss"] == pytest.approx(result.train_loss.mean())


def test_without_validation_rows_nothing_is_evaluated() -> None:
    seen = Recorder()
    trained([seen], split=NO_VALIDATION, epochs=1)
    assert seen.of("on_evaluate") == []
    assert set(seen.states["training"].log_history[0]) == {"epoch", "loss"}
    assert (seen.given["args"].eval_strategy, seen.given["args"].metric_for_best_model) == ("no", "loss")


def test_a_training_that_is_resumed_tells_of_the_epochs_before_and_goes_on(tmp_path: Path) -> None:
    class Killed(Callback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, /, **_: Any) -> None:
            if state.epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained([Killed()], file=tmp_path / "state")
    seen, whole = Recorder(), Recorder()
    trained([seen], file=tmp_path / "state")
    trained([whole])
    assert seen.events[0] == ("on_train_begin", "training", 2)
    assert seen.of("on_epoch_end") == [3, 4, 5]
    assert seen.states["training"] == whole.states["training"]


def test_early_stopping_stops_a_resumed_training_at_the_same_epoch(tmp_path: Path) -> None:
    """Its answer hangs on the history alone, whose first part an earlier process has seen."""
    stopping = {"monitor": "eval_loss", "patience": 2, "threshold": 10.0}  # nothing is better by as much
    _, whole = trained([EarlyStopping(**stopping)])
    assert len(whole.train_loss) == 3  # the first epoch is better than nothing, the next two are not better
    for before in (1, 2, 3):
        file = tmp_path / str(before)
        trained([Recorder(stop_after=before)], file=file)
        _, resumed = trained([EarlyStopping(**stopping)], file=file)
        assert len(resumed.train_loss) == 3, before


@pytest.mark.parametrize(
    ("values", "monitor", "stops"),
    [
        ([3, 2, 1, 1, 1], "eval_loss", True),
        ([3, 2, 1, 1, 0.9], "eval_loss", False),
        ([0.5, 0.7, 0.6, 0.7], "eval_accuracy", True),
        ([0.5, 0.7, 0.6, 0.8], "eval_accuracy", False),
    ],
)
def test_early_stopping_counts_epochs_without_a_better_figure(
    values: list[float], monitor: str, stops: bool, unchecked: None
) -> None:
    from hilbertune.model.callbacks import TrainingControl, TrainingState

    state, control = TrainingState("training", 9, 9), TrainingControl()
    state.log_history = [{"epoch": i + 1, monitor: value} for i, value in enumerate(values)]
    EarlyStopping(monitor, patience=2).on_epoch_end(None, state, control)  # type: ignore[arg-type]
    assert control.should_training_stop is stops


def test_early_stopping_that_cannot_work_says_so() -> None:
    with pytest.raises(HilbertuneError, match="does not have: choose another figure, or a validation share above 0"):
        trained([EarlyStopping("eval_accuracy")], split=NO_VALIDATION)
    with pytest.raises(HilbertuneError, match="cannot watch 'eval_los': did you mean 'eval_loss'"):
        EarlyStopping("eval_los")
    with pytest.raises(HilbertuneError, match="patience must be a whole number of epochs, at least 1, not 0"):
        EarlyStopping(patience=0)


@pytest.mark.parametrize(
    ("callbacks", "sentence"),
    [
        (EarlyStopping(), "callbacks must be a list of callbacks, not EarlyStopping"),
        ([print], "builtin_function_or_method is no callback: it has none of the methods on_train_begin"),
    ],
)
def test_what_is_no_callback_is_refused(callbacks: Any, sentence: str) -> None:
    with pytest.raises(HilbertuneError, match=sentence):
        checked(callbacks)


def test_a_class_stands_for_an_object_of_it() -> None:
    assert [type(one) for one in checked([EarlyStopping])] == [EarlyStopping]


def test_callbacks_of_transformers_work_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    from transformers.trainer_callback import EarlyStoppingCallback, PrinterCallback

    early = EarlyStoppingCallback(early_stopping_patience=1, early_stopping_threshold=1.0)
    _, result = trained([early, PrinterCallback()])
    assert len(result.train_loss) == 2
    assert capsys.readouterr().out.count("'eval_accuracy'") == 2


@pytest.mark.slow
def test_a_tracker_of_transformers_works_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from transformers.integrations import TensorBoardCallback

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path))
    _, result = trained([TensorBoardCallback()])
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [e.value for e in read.Scalars("eval/loss")] == pytest.approx(result.validation_loss[:, 0])
