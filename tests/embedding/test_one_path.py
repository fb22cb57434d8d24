"""Whoever asks a base for vectors gets those of predictions: its forward pass, the joint stage, tuning by pairs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.models import PROMPTED, saved_base, saved_static

from hilbertune.config.records import HeadConfig, TrainingConfig, TuningConfig
from hilbertune.data.splits import Split
from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.transformer import as_encoded
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.model import evaluation
from hilbertune.model.callbacks import Callback
from hilbertune.model.layers import HybridHead
from hilbertune.tuning.contrastive import train_contrastive
from hilbertune.tuning.joint_model import JointModel
from hilbertune.tuning.records import LabelledTexts, Settings

TEXTS = ["good film", "w1", "w2 bad film w3 w4 w5 W7 Good", "film film", "w9 w8 w7 w6 w5 w4 w3 w2 w1"]


def normalize() -> Any:
    from sentence_transformers.models import Normalize

    return Normalize()


def dense() -> Any:
    from sentence_transformers.models import Dense

    torch.manual_seed(3)
    return Dense(16, 12)


BASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "prompt": PROMPTED,
    "prompt left out of the mean": {**PROMPTED, "pooling": {"include_prompt": False}},
    "prompt and truncation": {**PROMPTED, "transformer": {"max_seq_length": 6}},
    "cut": {"truncate_dim": 8},
    "cut, normalised": {**PROMPTED, "truncate_dim": 8, "more": [normalize]},
    "dense": {"more": [dense, normalize]},
    "lower case": {"transformer": {"do_lower_case": True}},
    "several poolings": {"pooling": {"pooling_mode": ("cls", "max", "mean", "weightedmean", "lasttoken")}},
    "float16": {"dtype": torch.float16},
    "bfloat16": {**PROMPTED, "dtype": torch.bfloat16},
    "static": {"static": True},
    "static with a prompt": {**PROMPTED, "static": True, "truncate_dim": 8},
}


def base(plain: Path, to: Path, name: str) -> Path:
    options = dict(BASES[name])
    if options.pop("static", False):
        return saved_static(plain, to, **options)
    return saved_base(plain, to, *(make() for make in options.pop("more", [])), **options)


@pytest.mark.parametrize("name", BASES)
def test_the_joint_stage_reads_the_vectors_of_predictions(
    name: str, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = base(tiny_models["encoder"], tmp_path / "base", name)
    embedder = Embedder(str(folder), cache=None, device="cpu")
    vectors = embedder.embed(TEXTS)
    np.testing.assert_array_equal(vectors, SentenceTransformer(str(folder), device="cpu").float().encode(TEXTS))
    torch.manual_seed(0)
    head = HybridHead(vectors.shape[1], 2, HeadConfig(qubits=7, encoder_layers=1, layers=1))
    rows = np.arange(len(TEXTS))
    examples = LabelledTexts(TEXTS, np.array([0, 1, 0, 1, 0]), Split(rows, rows[:0], rows[:0]))
    joint = JointModel(embedder.transformer, head, examples, Settings(head.config, TrainingConfig(), TuningConfig(), 0))
    joint.eval()
    with torch.no_grad():
        found = joint.logits(rows)[0].numpy()
    np.testing.assert_allclose(found, evaluation.logits(head, vectors), atol=1e-5)


def test_a_prompt_is_read_while_a_base_is_tuned_by_pairs(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    embedder = Embedder(str(base(tiny_models["encoder"], tmp_path / "base", "prompt")), cache=None, device="cpu")
    seen: list[torch.Tensor] = []
    plain = Pooling.forward
    monkeypatch.setattr(Pooling, "forward", lambda self, x, **o: (seen.append(x["input_ids"]), plain(self, x, **o))[1])
    config = TuningConfig(tune="contrastive", contrastive_steps=2, contrastive_batch_size=2)
    train_contrastive(embedder, TEXTS[:4], np.array([0, 1, 0, 1]), config, 0, tmp_path / "out")
    start = embedder.transformer.preprocess(["good"])["input_ids"][0, :3].tolist()
    assert start == embedder.transformer.tokenizer("query : film", add_special_tokens=False)["input_ids"]
    assert sum(map(len, seen)) == 8
    assert all(row[:3].tolist() == start for batch in seen for row in batch)
    tuned = Embedder(str(tmp_path / "out"), cache=None, device="cpu")
    assert tuned.transformer.default_prompt_name == "query", "the tuned base keeps its prompt"


def test_a_tuned_model_predicts_what_it_was_validated_on(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    folder = base(tiny_models["encoder"], tmp_path / "base", "cut, normalised")
    options: dict[str, Any] = {"tune": "joint", "tuning_epochs": 1, "epochs": 1, "base_learning_rate": 1e-3}
    model = HybridClassifier(embedding=str(folder), qubits=5, encoder_layers=1, validation=0.5, **options)
    model.fit(*two_kinds)
    assert model.n_features_in_ == 8
    from hilbertune.data.splits import few_shot_split

    targets = np.searchsorted(model.classes_, two_kinds[1])
    rows = few_shot_split(targets, per_class=None, validation=0.5, seed=0).validation
    found = model.predict([two_kinds[0][row] for row in rows])
    accuracy = float((found == np.array(two_kinds[1])[rows]).mean())
    assert accuracy == pytest.approx(model.validation_accuracy_)


def test_a_base_that_cannot_learn_is_refused_before_its_head_is_trained(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    folder = base(tiny_models["encoder"], tmp_path / "base", "static")
    done: list[str] = []

    class Watch(Callback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            done.append("begun")

    shape = {"tune": "joint", "qubits": 5, "encoder_layers": 1, "epochs": 1}
    model = HybridClassifier(embedding=str(folder), callbacks=[Watch()], **shape)
    with pytest.raises(HilbertuneError, match="no transformer that could learn: use tune='frozen'"):
        model.fit(*two_kinds)
    assert not done


def test_padding_on_the_left_does_not_shift_a_text(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = saved_base(tiny_models["encoder"], tmp_path / "base")
    embedder = Embedder(str(folder), cache=None, device="cpu")
    alone = np.stack([embedder.embed([text])[0] for text in TEXTS])
    model = Embedder(str(folder), cache=None, device="cpu").transformer
    del model.preprocess
    model.tokenizer.padding_side = "left"
    assert np.abs(model.encode(TEXTS) - alone).max() > 1e-3, "as sentence-transformers pads"
    np.testing.assert_allclose(as_encoded(model).encode(TEXTS), alone, atol=1e-6)
