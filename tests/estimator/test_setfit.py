"""A quantum head in SetFit's own model and trainer: trains, predicts, saves without pickles, loads."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from datasets import Dataset
from helpers.models import PROMPTED, saved_base
from sentence_transformers import SentenceTransformer
from setfit import SetFitModel, Trainer, TrainingArguments
from sklearn.linear_model import LogisticRegression

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
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


def test_setfits_batches_hold_the_prompt_that_predictions_have(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = saved_base(tiny_models["encoder"], tmp_path / "base", truncate_dim=8, **PROMPTED)
    body = SentenceTransformer(str(folder), device="cpu")
    model = HybridSetFitModel(model_body=body, model_head=DifferentiableHead(8, 2, HeadConfig(**SMALL)))
    texts = ["w1 good film", "bad"]
    tokens, labels = next(iter(model._prepare_dataloader(texts, [1, 0], batch_size=2, max_length=99, shuffle=False)))
    assert labels.tolist() == [1, 0]
    with torch.no_grad():
        found = body.eval()(tokens)["sentence_embedding"].numpy()
    np.testing.assert_allclose(found, body.encode(texts), atol=1e-6)
    model.fit(
        texts, [1, 0], num_epochs=1, batch_size=2, head_learning_rate=0.01, end_to_end=True, show_progress_bar=False
    )
    assert model.predict_proba(texts).shape == (2, 2)


def named(head: Any, folder: Path, **settings: Any) -> HybridSetFitModel:
    body = Embedder(str(folder), cache=None, device="cpu").transformer
    return HybridSetFitModel(model_body=body, model_head=head, **settings)


@pytest.fixture
def fetched(tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Make a hub that has a model `me/model` with labels, and the arguments it was last asked with."""
    head = HybridClassifier(**SMALL, epochs=1)
    model = named(head, tiny_models["encoder"], labels=["bad", "good"], normalize_embeddings=True)
    texts = [f"w{i} film" for i in range(10)]
    head.fit(np.asarray(model.encode(texts)), np.arange(10) % 2)
    model.save_pretrained(tmp_path / "model")
    asked: dict[str, Any] = {"model": model, "texts": texts, "folder": tmp_path / "model"}

    def snapshot_download(name: str, **arguments: Any) -> str:
        if name != "me/model":
            raise FileNotFoundError(f"no repository {name}")
        asked.update(arguments)
        return str(tmp_path / "model")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def test_a_name_on_the_hub_is_fetched_at_its_revision(fetched: dict[str, Any]) -> None:
    again = HybridSetFitModel.from_pretrained("me/model", device="cpu", revision="v1.2", token="secret")
    assert (fetched["revision"], fetched["token"]) == ("v1.2", "secret")
    assert not any(pattern.endswith((".pkl", ".bin", ".py")) for pattern in fetched["allow_patterns"])
    found = fetched["model"].predict(fetched["texts"])
    for column in (fetched["texts"], Dataset.from_dict({"t": fetched["texts"]})["t"], np.array(fetched["texts"])):
        assert again.predict(column) == found
        assert again.predict_proba(column).argmax(-1).tolist() == [["bad", "good"].index(label) for label in found]
    assert (again.labels, again.normalize_embeddings) == (["bad", "good"], True)
    with pytest.raises(HilbertuneError, match=r"me/other is neither a folder nor a model .* check the name"):
        HybridSetFitModel.from_pretrained("me/other")


def test_labels_may_be_others_than_those_that_were_saved(fetched: dict[str, Any]) -> None:
    model = HybridSetFitModel.from_pretrained(fetched["folder"], device="cpu", labels=("schlecht", "gut"))
    plain = {"bad": "schlecht", "good": "gut"}
    assert model.predict(fetched["texts"]) == [plain[label] for label in fetched["model"].predict(fetched["texts"])]
    model.save_pretrained(fetched["folder"].parent / "again")
    assert HybridSetFitModel.from_pretrained(fetched["folder"].parent / "again").labels == ["schlecht", "gut"]
    with pytest.raises(HilbertuneError, match="2 classes and 3 labels"):
        HybridSetFitModel.from_pretrained(fetched["folder"], labels=["a", "b", "c"])


def test_the_card_names_the_class_that_loads_the_model(fetched: dict[str, Any]) -> None:
    text = (fetched["folder"] / "README.md").read_text(encoding="utf-8")
    assert "from hilbertune.estimator import HybridSetFitModel" in text
    assert "model = HybridSetFitModel.from_pretrained(" in text
    assert "pip install 'hilbertune[tune]'" in text
    assert "library_name: hilbertune" in text
    assert " SetFitModel" not in text
    assert "setfit_model_id" not in text
    assert "### Out-of-Scope Use\n\n- Decisions about people" in text
    assert "inference: false" in text
    head = (fetched["folder"] / "head" / "README.md").read_text(encoding="utf-8")
    assert "HybridSetFitModel.from_pretrained(" in head
    assert "HybridClassifier" not in head


@pytest.mark.parametrize(("strategy", "differentiable"), [("one-vs-rest", False), ("multi-output", True)])
def test_several_labels_a_text_survive_saving(
    tiny_models: dict[str, Path], tmp_path: Path, strategy: str, differentiable: bool
) -> None:
    model = HybridSetFitModel.from_pretrained(
        tiny_models["encoder"],
        device="cpu",
        labels=["a", "b", "c"],
        multi_target_strategy=strategy,
        use_differentiable_head=differentiable,
        head_params=SMALL,
    )
    texts = [f"w{i} good film" for i in range(12)]
    targets = np.random.default_rng(0).integers(0, 2, (12, 3)).tolist()
    dataset = Dataset.from_dict({"text": texts, "label": targets})
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "t"), max_steps=2, num_epochs=(1, 1), end_to_end=True, report_to="none",
        save_strategy="no", show_progress_bar=False,
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=dataset).train()
    found = np.asarray(model.predict(texts))
    assert found.shape == (12, 3)
    probabilities = np.asarray(model.predict_proba(texts))
    np.testing.assert_array_equal(found, probabilities > 0.5)
    model.save_pretrained(tmp_path / "model")
    again = HybridSetFitModel.from_pretrained(tmp_path / "model", device="cpu")
    assert (again.multi_target_strategy, again.labels) == (strategy, ["a", "b", "c"])
    np.testing.assert_array_equal(np.asarray(again.predict(texts)), found)
    np.testing.assert_allclose(np.asarray(again.predict_proba(texts)), probabilities, atol=1e-6)


def test_a_sentence_transformer_gets_a_new_head(tiny_models: dict[str, Path]) -> None:
    model = HybridSetFitModel.from_pretrained(tiny_models["encoder"], device="cpu", head_params={"qubits": 5})
    assert isinstance(model.model_head, HybridClassifier)
    assert model.model_head.qubits == 5
    labelled = HybridSetFitModel.from_pretrained(
        tiny_models["encoder"], labels=["a", "b", "c"], use_differentiable_head=True, head_params=SMALL
    )
    assert np.asarray(labelled.predict_proba(["w1 film"])).shape == (1, 3)


def test_a_new_head_may_be_a_circuit_of_ones_own(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    circuit = Circuit(1, (Operation("rx", 0, input=0), Operation("rz", 0, weight=0), Operation("rx", 0, input=1)))
    (tmp_path / "own.qasm").write_text(circuit.to_qasm3())
    shape = {"head_circuit": tmp_path / "own.qasm", "qubits": 2, "basis": "raw", "projection": "truncate"}
    model = HybridSetFitModel.from_pretrained(
        tiny_models["encoder"], device="cpu", use_differentiable_head=True, head_params=shape
    )
    model.save_pretrained(tmp_path / "model")
    again = HybridSetFitModel.from_pretrained(tmp_path / "model", device="cpu")
    assert again.model_head.head.circuits["head"] == circuit
    torch.testing.assert_close(again.predict_proba(["a b"]), model.predict_proba(["a b"]))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"multi_target_strategy": "classifier-chain"}, "not one that a quantum head has"),
        ({"head_params": {"solver": "lbfgs"}}, "head_params are not those of a quantum head"),
        ({"head_params": {"solver": "lbfgs"}, "use_differentiable_head": True}, "head_params are not those"),
    ],
)
def test_what_only_another_head_has_is_refused(
    tiny_models: dict[str, Path], settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(HilbertuneError, match=sentence):
        HybridSetFitModel.from_pretrained(tiny_models["encoder"], device="cpu", **settings)


def test_a_head_that_is_not_trained_leaves_nothing_half_written(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    model = named(HybridClassifier(**SMALL), tiny_models["encoder"])
    with pytest.raises(ValueError, match="not fitted"):
        model.save_pretrained(tmp_path / "model")
    assert not list((tmp_path / "model").glob("*"))


def test_a_pickled_setfit_model_is_refused(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    body = Embedder(str(tiny_models["encoder"]), cache=None, device="cpu").transformer
    body.save_pretrained(str(tmp_path / "model"))
    (tmp_path / "model/model_head.pkl").write_bytes(b"never read")
    with pytest.raises(HilbertuneError, match="not a SetFit model with a quantum head"):
        HybridSetFitModel.from_pretrained(tmp_path / "model")
