"""`verbose`, `callbacks` and the log of an estimator: who is told, in every kind of fit, and that nobody else is."""

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.declared import declared
from helpers.following import Recorder
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.plots import LivePlot
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.model.callbacks import Callback, EarlyStopping

SMALL: dict[str, Any] = {
    **declared(qubits=4, encoder_layers=1, reuploads=1, learning_rate=0.05),
    "encoder_connectivity": 2,
    "layers": 1,
    "epochs": 3,
    "batch_size": 32,
    "basis": "pca",
}
RNG = np.random.default_rng(0)
Y = np.arange(40) % 2
X = RNG.normal(size=(40, 5)) + Y[:, None]


def test_a_fit_is_silent_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    HybridClassifier(**SMALL, validation=0).fit(X, Y)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [1, True])
def test_a_bar_is_shown_for_the_training(verbose: int, capfd: pytest.CaptureFixture[str]) -> None:
    HybridClassifier(**SMALL, validation=0, verbose=verbose).fit(X, Y)
    out, err = capfd.readouterr()
    assert out == ""
    assert "training" in err
    assert "100 %" in err
    assert "epoch 1 of 3" not in err


def test_a_line_is_shown_for_each_epoch(capfd: pytest.CaptureFixture[str]) -> None:
    made = HybridRegressor(**SMALL, verbose=2).fit(X, X[:, 0])
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("training epoch")]
    assert lines == [
        f"training epoch {row.epoch:.0f} of 3, loss {row.train_loss:.4f}, eval_loss {row.validation_loss:.4f}"
        for row in made.curves().itertuples()
    ]


def test_the_log_says_when_a_training_begins_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hilbertune"):
        made = HybridClassifier(**SMALL, callbacks=[Recorder(stop_after=2)]).fit(X, Y)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert said[0] == "training begins: 3 epochs."
    assert said[1].startswith("training ends, stopped by a callback: epoch 2 of 3, loss ")
    assert len(said) == 2
    assert len(made.curves()) == 2


def test_every_epoch_is_in_the_log_of_who_wants_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "hilbertune"):
        HybridClassifier(**SMALL).fit(X, Y)
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if text.startswith("training epoch ")][2].startswith("training epoch 3 of 3, loss ")


@pytest.mark.parametrize("changes", [{}, {"members": 2}, {"shots": 32}], ids=str)
def test_callbacks_are_told_of_a_fit(changes: dict[str, Any]) -> None:
    seen = Recorder()
    made = HybridClassifier(**{**SMALL, **changes}, callbacks=[seen]).fit(X, Y)
    assert seen.of("on_epoch_end") == [1, 2, 3]
    means = made.curves().groupby("epoch").mean()["train_loss"]
    assert [log["loss"] for log in seen.states["training"].log_history] == pytest.approx(means.tolist())


@pytest.mark.parametrize("tune", ["contrastive", "joint"])
def test_callbacks_follow_a_base_that_learns_and_may_stop_each_stage(
    tune: str, tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path))
    seen = Recorder(stop_after=1)
    tuning = {"tune": tune, "contrastive_steps": 2, "contrastive_batch_size": 4, "tuning_epochs": 3}
    made = HybridClassifier(**SMALL, **tuning, embedding=str(tiny_models["encoder"]), callbacks=[seen])
    made.fit(*two_kinds)
    assert seen.of("on_epoch_end") == [1]
    if tune == "contrastive":
        assert len(seen.of("on_step_end", "contrastive")) == 2
        assert seen.events[0][:2] == ("on_train_begin", "contrastive")
        assert seen.states["contrastive"].global_step == 2
    else:
        assert seen.of("on_epoch_end", "joint") == [1]
        assert len(seen.of("on_step_end", "joint")) == seen.states["joint"].global_step > 0
        assert len(made.curves()) == 2
    assert made.base_model_ == str(tiny_models["encoder"])


def test_a_callback_ends_the_contrastive_stage(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path))

    class Once(Callback):
        def on_step_end(self, args: Any, state: Any, control: Any, /, **_: Any) -> None:
            control.should_training_stop = True

    seen = Recorder()
    tuning = {"tune": "contrastive", "contrastive_steps": 5, "contrastive_batch_size": 4}
    made = HybridClassifier(**SMALL, **tuning, embedding=str(tiny_models["encoder"]), callbacks=[Once(), seen])
    made.fit(*two_kinds)
    assert seen.states["contrastive"].global_step == 1
    assert len(made.curves()) == 3


def test_a_joint_stage_that_was_killed_is_told_of_from_where_it_stood(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path))

    class Killed(Callback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, /, **_: Any) -> None:
            if state.stage == "joint" and state.epoch == 2:
                raise KeyboardInterrupt

    settings = {**SMALL, "tune": "joint", "tuning_epochs": 3, "embedding": str(tiny_models["encoder"])}
    with pytest.raises(KeyboardInterrupt):
        HybridClassifier(**settings, callbacks=[Killed]).fit(*two_kinds)
    seen = Recorder()
    made = HybridClassifier(**settings, callbacks=[seen]).fit(*two_kinds)
    assert seen.of("on_train_begin", "joint") == [2]
    assert seen.of("on_epoch_end", "joint") == [3]
    assert len(seen.states["joint"].log_history) == 3
    assert len(made.curves()) == 3 + 3


def test_clones_pickles_and_searches_keep_their_callbacks(tmp_path: Path) -> None:
    made = HybridClassifier(**SMALL, callbacks=[EarlyStopping(patience=1), LivePlot(tmp_path / "live.svg")])
    made.fit(X, Y)
    assert (tmp_path / "live.svg").read_text().count("<svg")
    copied = clone(made)
    assert copied.callbacks[0] is not made.callbacks[0]
    assert copied.callbacks[0].patience == 1
    again = pickle.loads(pickle.dumps(made))
    assert np.array_equal(again.predict(X), made.predict(X))
    assert again.callbacks[0].monitor == "eval_loss"
    assert cross_val_score(made, X, Y, cv=2).shape == (2,)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"verbose": -1}, "verbose must be at least 0, not -1"),
        ({"verbose": "much"}, "verbose must be int, not 'much'"),
        ({"callbacks": [3]}, "int is no callback"),
        ({"callbacks": "early"}, "callbacks must be a list of callbacks, not str"),
    ],
)
def test_unusable_settings_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HilbertuneError, match=sentence):
        HybridClassifier(**SMALL, **changes).fit(X, Y)


def test_a_live_plot_needs_a_file_outside_of_a_notebook(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="elsewhere name a file"):
        LivePlot()
    with pytest.raises(HilbertuneError, match="must end in"):
        LivePlot(tmp_path / "curves.bmp")
