"""A base that learns: gradients, layers, adapters, accumulation, resuming, and what is never read."""

import copy
import gc
import math
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.model.layers import HybridHead
from hilbertune.model.schedule import one_cycle
from hilbertune.tuning import contrastive, joint, stages
from hilbertune.tuning.joint_model import JointModel
from hilbertune.tuning.parameters import parameter_groups
from hilbertune.tuning.records import LabelledTexts, Settings

HEAD = HeadConfig(qubits=5, encoder_layers=1, reuploads=2, layers=1)
TRAINING = TrainingConfig(epochs=3, learning_rate=0.02)


class Job:
    """A joint stage on the tiny encoder, with everything at its defaults but what is named."""

    def __init__(self, folder: Path, texts: list[str], labels: list[str], out: Path) -> None:
        self.folder, self.texts, self.out = folder, texts, out
        self.targets = np.array([label == "positive" for label in labels]).astype(np.int64)
        self.split = few_shot_split(self.targets, per_class=None, validation=0.25, seed=0)

    def run(self, name: str, *, seed: int = 0, **settings: Any) -> tuple[HybridHead, Any, dict[str, torch.Tensor]]:
        options = {k: settings.pop(k) for k in ("checkpoint", "checkpoint_seconds", "progress") if k in settings}
        training = settings.pop("training", TRAINING)
        torch.manual_seed(1)
        hybrid = HybridHead(16, 2, HEAD)
        embedder = Embedder(str(self.folder), cache=None, device="cpu")
        config = TuningConfig(
            **{
                "tune": "joint",
                "tuning_epochs": 2,
                "base_learning_rate": 1e-3,
                "tuning_batch_size": 4,
                **settings,
            }
        )
        examples, settled = self.examples(), Settings(HEAD, training, config, seed)
        result = joint.train_joint(embedder, hybrid, examples, settled, self.out / name, **options)
        return hybrid, result, dict(Embedder(str(self.out / name), cache=None).transformer.state_dict())

    def examples(self) -> LabelledTexts:
        return LabelledTexts(self.texts, self.targets, self.split)


@pytest.fixture
def job(tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path) -> Job:
    return Job(tiny_models["encoder"], *two_kinds, tmp_path)


def start(job: Job) -> dict[str, torch.Tensor]:
    return dict(Embedder(str(job.folder), cache=None).transformer.state_dict())


def test_gradients_reach_the_base_as_finite_differences_say(job: Job) -> None:
    base = Embedder(str(job.folder), cache=None, device="cpu").transformer.double().eval()
    torch.manual_seed(0)
    hybrid = HybridHead(16, 2, HEAD).double()
    stage = JointModel(base, hybrid, job.examples(), Settings(HEAD, TRAINING, TuningConfig(), 0))
    rows = np.arange(6)
    stage.losses(rows, stage.logits(rows)).sum().backward()  # type: ignore[no-untyped-call]
    checked = 0
    for name, parameter in base.named_parameters():
        if parameter.grad is None or not re.search(r"(query|dense|word_embed).*weight", name):
            continue
        place = int(parameter.grad.abs().argmax())
        with torch.no_grad():
            flat, values = parameter.view(-1), []
            for sign in (1, -1):
                flat[place] += sign * 1e-5
                values.append(float(stage.losses(rows, stage.logits(rows)).sum()))
                flat[place] -= sign * 1e-5
        slope = (values[0] - values[1]) / 2e-5
        assert float(parameter.grad.view(-1)[place]) == pytest.approx(slope, rel=1e-6, abs=1e-9)
        checked += 1
    assert checked > 6


def test_base_and_head_learn_and_the_saved_base_is_the_tuned_one(job: Job) -> None:
    head, result, state = job.run("out", tuning_epochs=8)
    assert result.train_loss[-1] < result.train_loss[1]
    changed = [k for k, v in state.items() if not torch.equal(v, start(job)[k])]
    assert any("word_embeddings" in k for k in changed)
    assert any("layer.2" in k for k in changed)
    vectors = torch.from_numpy(Embedder(str(job.out / "out"), cache=None).embed(job.texts))
    with torch.no_grad():
        found = head(vectors)[torch.from_numpy(job.split.validation)].argmax(1).numpy()
    accuracy = float((found == job.targets[job.split.validation]).mean())
    assert accuracy == result.validation_accuracy[result.best_epoch]
    assert not [f for f in (job.out / "out").rglob("*") if f.suffix in (".bin", ".pt", ".pkl", ".pickle")]


def test_the_last_layers_alone_learn_if_asked(job: Job) -> None:
    _, result, state = job.run("out", tuned_layers=1, tuning_epochs=4)
    before = start(job)
    changed = {k for k, v in state.items() if not torch.equal(v, before[k])}
    assert result.best_epoch > 0
    assert changed
    assert all("layer.2." in k for k in changed)


def test_each_layer_has_the_stated_rate(job: Job) -> None:
    base = Embedder(str(job.folder), cache=None, device="cpu").transformer
    hybrid = HybridHead(16, 2, HEAD)
    config = TuningConfig(tune="joint", base_learning_rate=1e-3, layer_decay=0.5)
    groups = parameter_groups(base, hybrid, config, TRAINING)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    for name, parameter in base.named_parameters():
        layer = re.search(r"layer\.(\d)", name)
        expected = 1e-3 * 0.5 ** (2 - int(layer[1])) if layer else 1e-3 * (0.5**3 if "embed" in name else 1)
        assert rates[id(parameter)] == pytest.approx(expected), name
    assert {rates[id(p)] for p in hybrid.parameters()} == {TRAINING.learning_rate}


def test_adapters_learn_alone_and_are_merged(job: Job) -> None:
    _, result, state = job.run("out", lora_rank=2, tuning_epochs=4)
    before = start(job)
    assert set(state) == set(before)
    changed = {k for k, v in state.items() if not torch.allclose(v, before[k], atol=1e-9)}
    assert result.best_epoch > 0
    assert changed
    assert all(re.search(r"(query|key|value|dense)\.weight", k) for k in changed)
    weight = next(k for k in changed if "query" in k)
    # What rank-2 adapters add has rank 2.
    assert int(torch.linalg.matrix_rank(state[weight] - before[weight], atol=1e-6)) <= 2


def test_accumulated_batches_make_the_step_of_one_large_batch(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JointModel, "train", lambda self, mode=True: self.eval() if mode else self)
    monkeypatch.setattr(JointModel, "eval", lambda self: torch.nn.Module.train(self, False))
    _, _, small = job.run("small", tuning_batch_size=3, accumulation=4)
    _, _, large = job.run("large", tuning_batch_size=12)
    for name, values in small.items():
        torch.testing.assert_close(values, large[name], atol=2e-4, rtol=0)


def test_test_rows_are_never_read(job: Job) -> None:
    cut = Split(job.split.train[:8], job.split.validation, job.split.train[8:])
    job.split = cut
    _, _, clean = job.run("clean")
    for row in cut.test:
        job.texts = [*job.texts[:row], "w29", *job.texts[row + 1 :]]
        job.targets[row] = 1 - job.targets[row]
    _, _, other = job.run("other")
    assert all(torch.equal(clean[k], other[k]) for k in clean)


class Killed(Exception):
    pass


@pytest.mark.parametrize("moment", [1, 3, 5, 8, 9])
@pytest.mark.parametrize("settings", [{}, {"lora_rank": 2}])
def test_a_stopped_stage_goes_on_bit_for_bit(job: Job, moment: int, settings: dict[str, Any]) -> None:
    head, result, state = job.run("undisturbed", **settings)
    checkpoint, calls = job.out / "joint.safetensors", 0

    def stop(share: float) -> None:
        nonlocal calls
        calls += 1
        if calls == moment:
            raise Killed

    with pytest.raises(Killed):
        job.run("out", checkpoint=checkpoint, checkpoint_seconds=0.0, progress=stop, **settings)
    assert not (job.out / "out").exists()
    again, resumed, other = job.run("out", checkpoint=checkpoint, checkpoint_seconds=0.0, **settings)
    assert all(torch.equal(state[k], other[k]) for k in state)
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), again.parameters(), strict=True))
    assert resumed.validation_loss == result.validation_loss
    assert resumed.train_loss[1:] == result.train_loss[1:]
    # Finished, it is not done again.
    third, _, _ = job.run("out", checkpoint=checkpoint, progress=stop, **settings)
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), third.parameters(), strict=True))


def test_a_foreign_or_broken_checkpoint_is_refused(job: Job) -> None:
    checkpoint = job.out / "joint.safetensors"
    job.run("out", checkpoint=checkpoint)
    with pytest.raises(HilbertuneError, match="other data or settings"):
        job.run("other", checkpoint=checkpoint, seed=1)
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(HilbertuneError, match="not a complete checkpoint"):
        job.run("other", checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("measured", "best"),
    [
        ([(1.0, 0.5), (0.9, 0.5), (0.9, 0.5)], 1),
        ([(1.0, 0.5), (0.1, 0.25), (2.0, 0.75)], 2),
        ([(1.0, 0.5), (math.nan, 0.5), (math.nan, 0.5)], 0),
        ([(1.0, math.nan), (math.nan, math.nan), (0.5, math.nan)], 2),
    ],
)
def test_the_best_epoch_is_chosen_as_for_a_head(
    job: Job, monkeypatch: pytest.MonkeyPatch, measured: list[tuple[float, float]], best: int
) -> None:
    said = iter(measured)
    monkeypatch.setattr(JointModel, "validate", lambda *_: next(said))
    _, result, _ = job.run("out")
    assert result.best_epoch == best
    assert [loss for loss, _ in measured] == pytest.approx(result.validation_loss, nan_ok=True)


def test_steps_have_shots_of_their_own(job: Job) -> None:
    exact, result, _ = job.run("exact")
    sampled, noisy, _ = job.run("sampled", training=TrainingConfig(epochs=3, learning_rate=0.02, training_shots=20))
    assert sampled.head.shots is None
    assert result.validation_loss[0] == noisy.validation_loss[0]
    assert result.train_loss[1] != noisy.train_loss[1]
    assert not torch.equal(exact.head.weights, sampled.head.weights)


def test_the_last_epoch_is_kept_if_asked(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    accuracies = iter([0.9, 0.5, 0.6] * 2)
    monkeypatch.setattr(JointModel, "validate", lambda *_: (1.0, next(accuracies)))
    best, first, _ = job.run("best")
    last, result, base = job.run("last", training=replace(TRAINING, keep="last"))
    assert (first.best_epoch, result.best_epoch) == (0, 2)
    assert not torch.equal(best.head.weights, last.head.weights)
    assert any(not torch.equal(value, base[name]) for name, value in start(job).items())


def test_one_cycle_sets_the_rate_of_every_step(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[list[float]] = []
    step = JointModel.step

    def recorded(model: JointModel, rows: Any, optimizer: torch.optim.Optimizer, seeds: Any) -> float:
        rates.append([group["lr"] for group in optimizer.param_groups])
        return step(model, rows, optimizer, seeds)

    monkeypatch.setattr(JointModel, "step", recorded)
    job.run("plain")
    full = np.array(rates)
    rates.clear()
    job.run("cycle", training=replace(TRAINING, schedule="one-cycle"))
    shares = one_cycle((np.arange(len(rates)) + 0.5) / len(full))
    assert (full == full[0]).all()
    np.testing.assert_allclose(rates, shares[:, None] * full, rtol=1e-12)


def test_without_validation_rows_the_last_epoch_is_the_best(job: Job) -> None:
    job.split = Split(job.split.train, job.split.validation[:0], job.split.validation)
    _, result, _ = job.run("out")
    assert result.best_epoch == 2
    assert np.isnan(result.validation_loss).all()


def test_a_stage_is_hashed_once_and_only_for_a_checkpoint(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    fingerprint = joint._fingerprint

    def counted(*arguments: Any) -> str:
        calls.append(arguments)
        return fingerprint(*arguments)

    monkeypatch.setattr(joint, "_fingerprint", counted)
    job.run("out")
    assert calls == []
    job.run("other", checkpoint=job.out / "joint.safetensors", checkpoint_seconds=0.0)
    assert len(calls) == 1


def test_more_layers_than_the_base_has_are_refused(job: Job) -> None:
    with pytest.raises(HilbertuneError, match="has 3 layers"):
        job.run("out", tuned_layers=4)


def test_class_weights_and_scales_train_with_the_base(job: Job) -> None:
    job.targets = np.arange(len(job.texts)) % 3
    training = TrainingConfig(task="ordinal", class_weight="balanced", learning_rate=0.02)
    _, result, _ = job.run("out", training=training)
    assert np.isfinite(result.validation_loss).all()


def test_contrastive_tuning_moves_classes_apart_and_repeats(job: Job) -> None:
    def tuned(name: str, seed: int) -> np.ndarray:
        embedder = Embedder(str(job.folder), cache=None, device="cpu")
        config = TuningConfig(
            tune="contrastive",
            contrastive_steps=12,
            contrastive_batch_size=8,
            base_learning_rate=1e-3,
        )
        before = np.random.get_state()[1][:4].tolist(), torch.initial_seed()  # type: ignore[index]
        contrastive.train_contrastive(embedder, job.texts, job.targets, config, seed, job.out / name)
        # The global generators are as they were.
        assert (np.random.get_state()[1][:4].tolist(), torch.initial_seed()) == before  # type: ignore[index]
        return Embedder(str(job.out / name), cache=None).embed(job.texts)

    def apart(vectors: np.ndarray) -> float:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        same = (job.targets[:, None] == job.targets) & ~np.eye(len(unit), dtype=bool)
        cosines = unit @ unit.T
        return float(cosines[same].mean() - cosines[job.targets[:, None] != job.targets].mean())

    one = tuned("one", 0)
    assert apart(one) > apart(Embedder(str(job.folder), cache=None).embed(job.texts)) + 0.1
    np.testing.assert_array_equal(one, tuned("same", 0))
    assert not np.array_equal(one, tuned("other", 1))


def test_contrastive_tuning_needs_two_classes(job: Job) -> None:
    embedder = Embedder(str(job.folder), cache=None, device="cpu")
    with pytest.raises(HilbertuneError, match="at least two classes"):
        contrastive.train_contrastive(embedder, job.texts, job.targets * 0, TuningConfig(), 0, job.out / "x")


# The stages together

SMALL = {
    "qubits": 5,
    "encoder_layers": 1,
    "layers": 1,
    "epochs": 4,
    "contrastive_steps": 6,
    "tuning_epochs": 2,
    "base_learning_rate": 1e-3,
}


@pytest.mark.parametrize("tune", ["contrastive", "joint", "contrastive+joint"])
def test_a_tuned_model_predicts_from_texts_after_it_moved(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path, tune: Any
) -> None:
    texts, labels = two_kinds
    model = HybridClassifier(embedding=str(tiny_models["encoder"]), tune=tune, **SMALL).fit(texts, labels)
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "moved")
    again = HybridClassifier.from_pretrained(tmp_path / "moved")
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))
    assert again.tune == tune
    again.save_pretrained(tmp_path / "copy")
    third = HybridClassifier.from_pretrained(tmp_path / "copy")
    np.testing.assert_array_equal(third.predict_proba(texts), model.predict_proba(texts))
    before = Embedder(str(tiny_models["encoder"]), cache=None).embed(texts)
    assert not np.allclose(again.embed(texts), before, atol=1e-4)


def test_an_ensemble_stands_on_a_base_that_was_tuned_once(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    texts, labels = two_kinds
    settings = {**SMALL, "embedding": str(tiny_models["encoder"]), "tune": "contrastive", "random_state": 5}
    model = HybridClassifier(members=3, **settings).fit(texts, labels)
    single = HybridClassifier(**settings).fit(texts, labels)
    for name, values in single.head_.state_dict().items():
        assert torch.equal(model.head_.member(0).state_dict()[name], values), name
    assert model.validation_accuracy_ == model.training_.best_validation_accuracy(0)
    again = HybridClassifier.from_pretrained(model.save_pretrained(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))
    assert again.head_.members == 3


def test_a_finished_stage_is_not_done_again_after_a_stop_and_a_finished_fit_leaves_nothing(
    tiny_models: dict[str, Path],
    two_kinds: tuple[list[str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    texts, labels = two_kinds
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path))
    tuned = tmp_path / "tuned"
    settings = {**SMALL, "embedding": str(tiny_models["encoder"]), "tune": "contrastive+joint", "random_state": 3}
    first = HybridClassifier(**settings).fit(texts, labels)
    expected = first.predict_proba(texts)
    assert [path.name.partition(".")[0] for path in tuned.iterdir()] == ["owned"]
    del first
    gc.collect()
    assert not list(tuned.iterdir())

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the stage was done again")

    with monkeypatch.context() as patch:
        patch.setattr(JointModel, "step", stopped)
        with pytest.raises(KeyboardInterrupt):
            HybridClassifier(**settings).fit(texts, labels)
    monkeypatch.setattr(contrastive, "train_contrastive", never)
    second = HybridClassifier(**settings).fit(texts, labels)
    np.testing.assert_array_equal(expected, second.predict_proba(texts))


def test_the_same_training_twice_at_once_has_two_folders(
    tiny_models: dict[str, Path],
    two_kinds: tuple[list[str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    texts, labels = (some[:8] for some in two_kinds)
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path))
    embedder = Embedder(str(tiny_models["encoder"]), cache=None, device="cpu")
    targets = (np.array(labels) == "positive").astype(np.int64)
    examples = LabelledTexts(texts, targets, few_shot_split(targets, per_class=None, validation=0.25, seed=0))
    tuning = TuningConfig(tune="joint", tuning_epochs=1, tuning_batch_size=8)
    first, second = (
        stages.train_with_base(embedder, examples, 2, Settings(HEAD, TRAINING, tuning, 0)) for _ in range(2)
    )
    assert first.folder != second.folder
    shutil.rmtree(first.folder)  # as its process does at the end
    assert second.embedder.embed(texts[:1]).shape == (1, 16)


@pytest.mark.slow
def test_a_pickle_holds_the_tuned_base(
    tiny_models: dict[str, Path],
    two_kinds: tuple[list[str], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    texts, labels = two_kinds
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "one"))
    model = HybridClassifier(embedding=str(tiny_models["encoder"]), **SMALL, tune="joint").fit(texts, labels)
    expected, packed = model.predict_proba(texts), pickle.dumps(model)
    del model
    gc.collect()
    monkeypatch.setenv("HILBERTUNE_CACHE", str(tmp_path / "two"))
    again = pickle.loads(packed)
    np.testing.assert_array_equal(again.predict_proba(texts), expected)
    copied = copy.deepcopy(again)
    del again
    gc.collect()
    assert copied.save_pretrained(tmp_path / "saved")
    loaded = HybridClassifier.from_pretrained(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.predict_proba(texts), expected)


@pytest.mark.parametrize(
    ("X", "settings", "message"),
    [
        (np.eye(24), {"tune": "joint"}, "needs the texts themselves"),
        ("pairs", {"tune": "joint", "pairs": "u,v"}, "takes single texts"),
        ("texts", {"tune": "contrastive", "task": "multi-label"}, "needs one class for each row"),
        ("texts", {"tune": "joint", "lora_rank": 2, "tuned_layers": 1}, "leave out either"),
        ("texts", {"tune": "contrastive+joint", "members": 2}, "members share a base"),
    ],
)
def test_what_cannot_be_tuned_is_refused_before_work(
    tiny_models: dict[str, Path],
    two_kinds: tuple[list[str], list[str]],
    X: Any,
    settings: dict[str, Any],
    message: str,
) -> None:
    texts, labels = two_kinds
    rows = {"pairs": [(t, t) for t in texts], "texts": texts}.get(X, X) if isinstance(X, str) else X
    y: Any = [[label] for label in labels] if settings.get("task") else labels
    with pytest.raises(HilbertuneError, match=message):
        HybridClassifier(embedding=str(tiny_models["encoder"]), **{**SMALL, **settings}).fit(rows, y)
