"""A quantum head in SetFit's own model and trainer: trains, predicts, saves without pickles, loads."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression

from hilbertune.config.records import HeadConfig
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.setfit import DifferentiableHead, HybridSetFitModel

SMALL = {"qubits": 5, "encoder_layers": 1, "layers": 1}


def trained(kind: type, head: Any, folder: Path, texts: list[str], labels: list[str], out: Path) -> Any:
    body = Embedder(str(folder), cache=None, device="cpu").transformer
    model = kind(model_body=body, model_head=head)
    numbers = [int(label == "positive") for label in labels]
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=8,
        num_epochs=(1, 4),
        batch_size=8,
        body_learning_rate=1e-3,
        head_learning_rate=0.02,
        end_to_end=True,
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
    dataset = Dataset.from_dict({"text": texts, "label": numbers})
    Trainer(model, arguments, train_dataset=dataset).train()
    return model


@pytest.mark.parametrize(("differentiable", "members"), [(False, 1), (False, 3), (True, 1)])
def test_setfits_trainer_trains_the_head_and_the_model_survives_saving(
    tiny_models: dict[str, Path],
    two_kinds: tuple[list[str], list[str]],
    tmp_path: Path,
    differentiable: bool,
    members: int,
) -> None:
    head: Any = HybridClassifier(**SMALL, epochs=20, learning_rate=0.02, members=members)
    if differentiable:
        head = DifferentiableHead(16, 2, HeadConfig(**SMALL))
    texts, labels = two_kinds
    model = trained(HybridSetFitModel, head, tiny_models["encoder"], texts, labels, tmp_path / "t")
    found = np.asarray(model.predict(texts))
    if not differentiable:
        assert (found == np.array([int(label == "positive") for label in labels])).mean() > 0.8
    model.save_pretrained(tmp_path / "model")
    files = {f.suffix for f in (tmp_path / "model").rglob("*") if f.is_file()}
    assert files <= {".json", ".safetensors", ".md", ".txt"}
    again = HybridSetFitModel.from_pretrained(tmp_path / "model", device="cpu")
    np.testing.assert_array_equal(np.asarray(again.predict(texts)), found)
    np.testing.assert_allclose(
        np.asarray(again.predict_proba(texts)), np.asarray(model.predict_proba(texts)), atol=1e-6
    )


def test_setfits_own_model_takes_the_head_too(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    head = HybridClassifier(**SMALL, epochs=5)
    model = trained(SetFitModel, head, tiny_models["encoder"], *two_kinds, tmp_path / "t")
    assert len(model.predict(["w1 good film"])) == 1


def test_saving_over_an_earlier_model_is_all_or_nothing(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = Embedder(str(tiny_models["encoder"]), cache=None, device="cpu").transformer
    one, two = (HybridSetFitModel(body, DifferentiableHead(16, 2, HeadConfig(**SMALL))) for _ in range(2))
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32))
    answers = [model.model_head.predict_proba(vectors) for model in (one, two)]
    assert not torch.equal(*answers)

    def saved() -> Any:
        return HybridSetFitModel.from_pretrained(tmp_path / "model", device="cpu").model_head.predict_proba(vectors)

    one.save_pretrained(tmp_path / "model")
    with monkeypatch.context() as patch:
        patch.setattr(HybridClassifier, "save_pretrained", Mock(side_effect=OSError("full")))
        with pytest.raises(HilbertuneError, match="full"):
            two.save_pretrained(tmp_path / "model")
    assert torch.equal(saved(), answers[0])
    two.save_pretrained(str(tmp_path / "model"))
    assert torch.equal(saved(), answers[1])
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert f"{tmp_path}/.model" not in (tmp_path / "model" / "README.md").read_text()


def test_another_head_is_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    body = Embedder(str(tiny_models["encoder"]), cache=None, device="cpu").transformer
    model = HybridSetFitModel(model_body=body, model_head=LogisticRegression())
    with pytest.raises(HilbertuneError, match="use SetFitModel for others"):
        model.save_pretrained(tmp_path / "model")


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="not a SetFit model with a quantum head"):
        HybridSetFitModel.from_pretrained(tmp_path)
