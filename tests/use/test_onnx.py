"""The ONNX graph gives the answers of the package: random heads of every kind, and a whole model from texts."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
import torch
from helpers.models import PROMPTED, saved_base, saved_static
from sentence_transformers.sentence_transformer.modules import Normalize
from tokenizers import Tokenizer

from hilbertune.config.records import Task
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.use.onnx import export_onnx

X = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)


def fitted(task: Any = "classification", **settings: Any) -> Any:
    options = {"qubits": 5, "encoder_layers": 2, "layers": 1, "epochs": 2, **settings}
    if task == "regression":
        return HybridRegressor(**options).fit(X, 10 + 3 * X[:, 0])
    y: Any = np.digitize(X[:, 0], [-0.4, 0.4])
    if task == "multi-label":
        y = (X[:, :4] > 0).astype(int)
    return HybridClassifier(task=task, **options).fit(X, y)


def run(folder: Path, rows: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"embeddings": rows}), strict=True))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"padding": "zero"},
        {"basis": "pca"},
        {"qubits": 3, "projection": "truncate"},
        {"qubits": 3, "projection": "random"},
        {"qubits": 3, "projection": "trainable", "padding": "zero"},
        {"qubits": 8, "encoders": 2, "measured_qubits": 3},
        {"encoders": 2, "merge": "average"},
        {"encoders": 2, "merge": "alternate", "angle_scale": 2.0},
        {"encoders": 2, "merge": "alternate", "angle_scale": 2.0, "input_scale": "trainable"},
        {"final_linear": False, "measured_qubits": 3},
        {"shared_reupload": True, "column": False, "entanglement": False},
        {"encoder": "linear"},
        {"encoder": "pca", "head": "dense"},
        {"head": "none"},
        {"qubits": 9, "connectivity": 3},
        {"scale": "standardise", "basis": "raw"},
        {"qubits": 3, "scale": "standardise", "projection": "truncate", "norm": "keep"},
        {"scale": "standardise", "norm": "keep", "basis": "pca", "padding": "zero"},
        {"norm": "keep", "basis": "raw", "members": 2},
    ],
)
def test_random_heads_give_the_same_answers(tmp_path: Path, settings: dict[str, Any]) -> None:
    model = fitted(**settings)
    about = export_onnx(model, tmp_path / "out")
    assert about["bytes"] == (tmp_path / "out/model.onnx").stat().st_size
    for count in (1, 3, 32):
        found = run(tmp_path / "out", X[:count])
        expected = model.predict_proba(X[:count])
        np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)
        np.testing.assert_allclose(found["logits"], model.decision_function(X[:count]), atol=1e-4)


@pytest.mark.parametrize("settings", [{"padding": "zero", "basis": "raw"}, {"encoder": "linear"}])
def test_rows_of_any_size_are_read(tmp_path: Path, settings: dict[str, Any]) -> None:
    model = fitted(**settings)
    export_onnx(model, tmp_path / "out")
    for factor in (1e-25, 1e25):
        rows = X * np.float32(factor)
        np.testing.assert_allclose(run(tmp_path / "out", rows)["probabilities"], model.predict_proba(rows), atol=1e-5)


@pytest.mark.parametrize("task", ["one-vs-rest", "ordinal", "multi-label"])
def test_every_task_has_its_probabilities(tmp_path: Path, task: str) -> None:
    model = fitted(task)
    export_onnx(model, tmp_path / "out")
    found = run(tmp_path / "out", X)["probabilities"]
    np.testing.assert_allclose(found, model.predict_proba(X), atol=1e-5)


def test_a_regressor_gives_its_number(tmp_path: Path) -> None:
    model = fitted("regression")
    assert export_onnx(model, tmp_path / "out")["outputs"] == ["value"]
    found = run(tmp_path / "out", X)["value"][:, 0]
    np.testing.assert_allclose(found, model.predict(X), atol=1e-4)


@pytest.mark.parametrize("task", get_args(Task))
@pytest.mark.parametrize("settings", [{}, {"basis": "pca", "head": "dense"}, {"encoders": 2, "merge": "average"}])
@pytest.mark.parametrize("sure", [1.0, 1000.0])
def test_the_graph_of_an_ensemble_averages_its_members(
    tmp_path: Path, task: Task, settings: dict[str, Any], sure: float
) -> None:
    model = fitted(task, members=3, bootstrap=True, **settings)
    # With huge logits the members contradict each other, each with a probability next to 1.
    model.head_.linear_weight.data *= sure
    assert export_onnx(model, tmp_path / "out")["members"] == 3
    found = run(tmp_path / "out", X)
    if task == "regression":
        np.testing.assert_allclose(found["value"][:, 0], model.predict(X), atol=1e-4 * sure)
        return
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5 if sure == 1.0 else 1e-3)
    alone = fitted(task, **settings).predict_proba(X)
    assert np.abs(found["probabilities"] - alone).max() > 0.01


def answers(folder: Path, texts: list[str]) -> np.ndarray:
    """Probabilities as a user without this package gets them: docs/howto/serve-and-export.md."""
    about = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(about["max_tokens"])
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(texts)
    columns = {
        "input_ids": [one.ids for one in encoded],
        "attention_mask": [one.attention_mask for one in encoded],
        "token_type_ids": [one.type_ids for one in encoded],
    }
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    feeds = {name: np.array(columns[name], np.int64) for name in about["inputs"]}
    found: np.ndarray = session.run(["probabilities"], feeds)[0]
    return found


@pytest.mark.parametrize(
    "kind",
    [
        "static",  # with a prompt, and cut
        pytest.param("prompted", marks=pytest.mark.slow),
        pytest.param("truncated", marks=pytest.mark.slow),
        pytest.param("cut", marks=pytest.mark.slow),
        pytest.param("half", marks=pytest.mark.slow),
    ],
)
def test_a_base_is_exported_with_its_prompt_and_its_cut(
    kind: str, tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    plain, to = tiny_models["encoder"], tmp_path / "base"
    if kind == "static":
        folder = saved_static(plain, to, truncate_dim=8, **PROMPTED)
    elif kind == "prompted":
        folder = saved_base(plain, to, **PROMPTED)
    elif kind == "truncated":
        folder = saved_base(plain, to, transformer={"max_seq_length": 6}, **PROMPTED)
    elif kind == "cut":
        folder = saved_base(plain, to, Normalize(), truncate_dim=8)
    else:
        folder = saved_base(plain, to, dtype=torch.bfloat16, **PROMPTED)
    model = HybridClassifier(embedding=str(folder), qubits=5, encoder_layers=1, epochs=2).fit(*two_kinds)
    export_onnx(model, tmp_path / "out")
    texts = ["good film", "w1", "a [SEP] good", "w2 bad film w3 w4 w5 w6 w7", "film"]
    np.testing.assert_allclose(answers(tmp_path / "out", texts), model.predict_proba(texts), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": {"query": "query-"}, "default_prompt_name": "query"}, "it reads .* otherwise than a plain"),
        ({"pooling": {"include_prompt": False}, **PROMPTED}, "leaves its prompt out"),
    ],
)
def test_a_prompt_that_a_graph_cannot_hold_is_refused(
    options: dict[str, Any],
    message: str,
    tiny_models: dict[str, Path],
    two_kinds: tuple[list[str], list[str]],
    tmp_path: Path,
) -> None:
    folder = saved_base(tiny_models["encoder"], tmp_path / "base", **options)
    model = HybridClassifier(embedding=str(folder), qubits=5, encoder_layers=1, epochs=1).fit(*two_kinds)
    with pytest.raises(HilbertuneError, match=message):
        export_onnx(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_graph_with_other_answers_is_refused(
    tiny_models: dict[str, Path],
    two_kinds: tuple[list[str], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = saved_static(tiny_models["encoder"], tmp_path / "base")
    model = HybridClassifier(embedding=str(folder), qubits=5, encoder_layers=1, epochs=1).fit(*two_kinds)
    real = model.embed
    monkeypatch.setattr(model, "embed", lambda texts: real(texts) + 1)
    with pytest.raises(HilbertuneError, match="gives other answers than the model does"):
        export_onnx(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_of_texts_is_one_graph_from_tokens(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    model = HybridClassifier(embedding=str(tiny_models["encoder"]), qubits=5, encoder_layers=1, epochs=2).fit(
        *two_kinds
    )
    export_onnx(model, tmp_path / "out")
    for texts in (["good film"], ["w1", "w2 bad film w3 w4 w5", "film film"], two_kinds[0]):
        np.testing.assert_allclose(answers(tmp_path / "out", texts), model.predict_proba(texts), atol=1e-5)
    about = json.loads((tmp_path / "out/config.json").read_text())
    assert about["classes"] == ["negative", "positive"]


def test_graphs_of_many_qubits_stay_small(tmp_path: Path) -> None:
    model = HybridClassifier(qubits=14, encoder_layers=1, reuploads=1, layers=1, epochs=1)
    model.fit(X[:4], [0, 1, 0, 1])
    assert export_onnx(model, tmp_path / "out")["bytes"] < 5e6
    found = run(tmp_path / "out", X[:2])["probabilities"]
    np.testing.assert_allclose(found, model.predict_proba(X[:2]), atol=1e-5)


def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]]
) -> None:
    model = fitted()
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").write_text("x")
    with pytest.raises(HilbertuneError, match="already exists"):
        export_onnx(model, tmp_path / "there")
    pairs = [(text, text) for text in two_kinds[0]]
    paired = HybridClassifier(
        embedding=str(tiny_models["encoder"]), pairs="u,v", qubits=6, encoder_layers=1, epochs=1
    ).fit(pairs, two_kinds[1])
    with pytest.raises(HilbertuneError, match="single texts or of embeddings"):
        export_onnx(paired, tmp_path / "out")
    object.__setattr__(model.head_.config, "qubits", 17)
    with pytest.raises(HilbertuneError, match="more than 16 qubits"):
        export_onnx(model, tmp_path / "out")
