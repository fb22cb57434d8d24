"""The classical twin of joint tuning: a base that learns with a plain linear head."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hilbertune.baselines.models import logistic
from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig
from hilbertune.data.splits import few_shot_split
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.model.classical import LinearHead
from hilbertune.tuning import twin
from hilbertune.tuning.joint_model import JointModel
from hilbertune.tuning.records import LabelledTexts, Settings

TUNING = TuningConfig(tune="joint", tuning_epochs=3, base_learning_rate=1e-3, tuning_batch_size=4)
SETTINGS = Settings(HeadConfig(), TrainingConfig(learning_rate=0.02, keep="last"), TUNING, 0)


@pytest.fixture
def examples(two_kinds: tuple[list[str], list[str]]) -> LabelledTexts:
    texts, labels = two_kinds
    targets = np.array([label == "positive" for label in labels]).astype(np.int64)
    return LabelledTexts(texts, targets, few_shot_split(targets, per_class=None, validation=0.25, seed=0))


def base(tiny_models: dict[str, Path]) -> Embedder:
    return Embedder(str(tiny_models["encoder"]), cache=None, device="cpu")


@pytest.mark.parametrize("classes", [2, 3])
def test_a_head_begins_as_the_logistic_regression_that_was_fitted(classes: int) -> None:
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(60, 5)), np.arange(60) % classes
    fitted = logistic(1.0).fit(rows, labels)
    head = LinearHead(5, classes).double()
    head.set_to(fitted.coef_, fitted.intercept_)
    chances = torch.softmax(head(torch.from_numpy(rows)), 1).detach().numpy()
    np.testing.assert_allclose(chances, fitted.predict_proba(rows), atol=1e-10)
    np.testing.assert_array_equal(twin.predict(head, rows), fitted.predict(rows))
    assert head.parameter_count == 6 * classes


def test_gradients_reach_the_base_as_finite_differences_say(
    tiny_models: dict[str, Path], examples: LabelledTexts
) -> None:
    model = base(tiny_models).transformer.double().eval()
    head = LinearHead(16, 2).double()
    rng = np.random.default_rng(0)
    head.set_to(rng.normal(size=(2, 16)), rng.normal(size=2))
    stage, rows = JointModel(model, head, examples, SETTINGS), np.arange(6)
    stage.losses(rows, stage.logits(rows)).sum().backward()  # type: ignore[no-untyped-call]
    for parameter in (next(p for n, p in model.named_parameters() if "query.weight" in n), head.weight, head.bias):
        assert parameter.grad is not None
        place = int(parameter.grad.abs().argmax())
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                flat = parameter.view(-1)
                flat[place] += sign * 1e-5
                values.append(float(stage.losses(rows, stage.logits(rows)).sum()))
                flat[place] -= sign * 1e-5
        slope = (values[0] - values[1]) / 2e-5
        assert float(parameter.grad.view(-1)[place]) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_base_and_linear_head_learn_and_resume_bit_for_bit(
    tiny_models: dict[str, Path], examples: LabelledTexts, tmp_path: Path
) -> None:
    whole = twin.train_twin(base(tiny_models), examples, 2, SETTINGS, tmp_path / "whole")
    assert whole.training.train_loss[-1] < whole.training.train_loss[1]
    rows = examples.split.train
    predicted = twin.predict(whole.head, whole.embedder.embed([examples.texts[row] for row in rows]))
    assert (predicted == examples.targets[rows]).mean() > 0.9

    class Killed(Exception):
        pass

    def stop(share: float) -> None:
        if share > 0.7:
            raise Killed

    with pytest.raises(Killed):
        twin.train_twin(base(tiny_models), examples, 2, SETTINGS, tmp_path / "killed", progress=stop)
    assert not (tmp_path / "killed" / "base").exists()
    again = twin.train_twin(base(tiny_models), examples, 2, SETTINGS, tmp_path / "killed")
    for one, other in zip(whole.head.parameters(), again.head.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)
    one, other = (m.embedder.transformer.state_dict() for m in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_twin_has_classes_alone(tiny_models: dict[str, Path], examples: LabelledTexts, tmp_path: Path) -> None:
    settings = replace(SETTINGS, training=replace(SETTINGS.training, task="ordinal"))
    with pytest.raises(HilbertuneError, match="task='classification'"):
        twin.train_twin(base(tiny_models), examples, 2, settings, tmp_path)
