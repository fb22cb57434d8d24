"""Wrong calls of the public functions, as users make them: one sentence of ours, before anything is done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy import sparse

import hilbertune
from hilbertune import (
    Circuit,
    Embedder,
    HeadConfig,
    HybridClassifier,
    HybridHead,
    HybridRegressor,
    Operation,
    TrainingConfig,
    ansatz,
    expectation,
    train,
)
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.data.streams import stream_texts
from hilbertune.errors import HilbertuneError

SMALL: dict[str, Any] = {"qubits": 3, "encoder_layers": 1, "layers": 1, "reuploads": 1, "epochs": 1}
X = np.random.default_rng(0).normal(size=(12, 3))
Y = np.arange(12) % 2
SPLIT = Split(np.arange(8), np.arange(8, 12), np.arange(0))
WEIGHTS = torch.zeros(1, 4)


def fit(y: Any = Y, x: Any = X, kind: type = HybridClassifier, **settings: Any) -> Any:
    return kind(**{**SMALL, **settings}).fit(x, y)


def learn(**changes: Any) -> Any:
    given = {
        "model": HybridHead(3, 2, HeadConfig(qubits=3, encoder_layers=1, layers=1)),
        "embeddings": torch.from_numpy(X),
        "targets": torch.from_numpy(Y),
        "splits": [SPLIT],
        "configs": [TrainingConfig(epochs=1)],
        "seeds": [0],
        **changes,
    }
    return train(*given.values())


def run(**changes: Any) -> Any:
    return expectation(ansatz(2, 1), WEIGHTS, **changes)


CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "random_state": (lambda: fit(random_state="a"), "random_state is no seed"),
    "negative random_state": (lambda: fit(random_state=-1), "random_state is no seed"),
    "validation": (lambda: fit(validation="much"), "validation must be a share"),
    "complex": (lambda: fit(x=X + 1j), "Complex data"),
    "dates": (
        lambda: fit(x=pd.DataFrame({"a": X[:, 0], "b": pd.date_range("2020", periods=12)})),
        "X holds dates or times",
    ),
    "words as numbers": (lambda: fit(["a"] * 12, kind=HybridRegressor), "regression needs finite numbers"),
    "labels of a tensor": (lambda: fit(torch.ones(12, requires_grad=True)), "only one class: 1.0"),
    "one class": (lambda: fit(np.ones(12, int)), "only one class: 1"),
    "results": (lambda: fit().save_pretrained("never", results={"a": object()}), "results must hold numbers"),
    "list of results": (lambda: fit().save_pretrained("never", results=[1]), "results must be figures by name"),
    "files above": (lambda: fit().save_pretrained("never", files={"../a": b""}), "bytes by plain names"),
    "files of ours": (lambda: fit().save_pretrained("never", files={"config.json": b""}), "bytes by plain names"),
    "files of text": (lambda: fit().save_pretrained("never", files={"a": "text"}), "bytes by plain names"),
    "targets": (lambda: learn(targets=torch.zeros(5, dtype=torch.int64)), "12 embeddings and targets of the shape"),
    "width": (lambda: learn(embeddings=torch.from_numpy(X[:, :2])), r"shape \[rows, 3\], not \[12, 2\]"),
    "embeddings": (lambda: learn(embeddings=X), "embeddings must be a tensor, not ndarray"),
    "rows": (lambda: learn(splits=[Split(np.array([99]), np.array([1]), np.array([2]))]), "rows from 0 to 11"),
    "no rows": (lambda: learn(splits=[Split(np.arange(0), np.arange(2), np.arange(0))]), "must name training rows"),
    "seed": (lambda: learn(seeds=[-1]), "A seed must be a whole number"),
    "seed of text": (lambda: learn(seeds=["a"]), "A seed must be a whole number"),
    "seed of a split": (lambda: few_shot_split(Y, per_class=None, seed="a"), "whole numbers"),  # type: ignore[arg-type]
    "rows of a split": (lambda: few_shot_split(Y, per_class="3", seed=0), "whole numbers"),  # type: ignore[arg-type]
    "measured": (lambda: run(measured=["a"]), "numbers of qubits"),
    "one measured": (lambda: run(measured=0), "as a list such as"),
    "shots": (lambda: run(shots="x"), "shots must be 1 or more"),
    "part of a shot": (lambda: run(shots=1.5), "shots must be 1 or more"),
    "many shots": (lambda: run(shots=10**30), r"shots must be below 2\^31"),
    "noise": (lambda: run(noise="aria-1"), "noise must be a"),
    "generators": (lambda: run(shots=3, rngs=[0]), "numpy.random.default_rng"),
    "no circuit": (lambda: expectation("x", WEIGHTS), "needs a Circuit"),  # type: ignore[arg-type]
    "qubits": (lambda: ansatz("2", 1), "qubits must be a whole number"),  # type: ignore[arg-type]
    "half a qubit": (lambda: hilbertune.head(2.5), "qubits must be a whole number"),  # type: ignore[arg-type]
    "operations": (lambda: Circuit(2, ("x",)), "make it with hilbertune.Operation"),  # type: ignore[arg-type]
    "places": (lambda: Circuit(2, (Operation("ry", 0.5, weight=0),)), "not whole numbers"),  # type: ignore[arg-type]
    "features": (lambda: HybridHead("3", 2), "at least 1 feature"),  # type: ignore[arg-type]
    "outputs": (lambda: HybridHead(3, 2.0), "at least 1 output"),  # type: ignore[arg-type]
    "runs": (lambda: HybridHead(3, 2, runs=0), "at least 1 run"),
    "shape": (lambda: HybridHead(3, 2, {"qubits": 3}), "must be a HeadConfig"),  # type: ignore[arg-type]
    "model": (lambda: Embedder(3), "must be a name or a folder"),  # type: ignore[arg-type]
    "batch": (lambda: Embedder("morgan", batch_size="a"), "batch_size must be"),  # type: ignore[arg-type]
    "chunk": (lambda: stream_texts("a.txt", chunk="a"), "chunk must be"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_call_is_told_in_one_sentence(
    call: str, unchecked: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function, sentence = CALLS[call]
    with pytest.raises(HilbertuneError, match=sentence) as caught:
        function()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "table",
    [
        pa.table({str(k): X[:, k] for k in range(3)}),
        pa.record_batch({str(k): X[:, k] for k in range(3)}),
        datasets.Dataset.from_dict({str(k): X[:, k].tolist() for k in range(3)}),
        datasets.Dataset.from_dict({"vectors": X.tolist()}),
        datasets.Dataset.from_dict({"vectors": X.tolist()})["vectors"],
        pd.DataFrame(X),
        pd.Series(list(X)),
        sparse.coo_matrix(X),
        torch.from_numpy(X),
        list(torch.from_numpy(X)),
    ],
)
def test_tables_of_numbers_are_read_whatever_holds_them(table: Any) -> None:
    np.testing.assert_array_equal(fit(x=table).predict(table), fit().predict(X))


def test_a_checkpoint_may_be_a_text_and_a_model_a_path(tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    HybridClassifier(**SMALL).fit(X, Y, checkpoint=str(tmp_path / "state"))
    assert Embedder(tiny_models["encoder"], cache=None).record()["model"] == str(tiny_models["encoder"])


@pytest.mark.parametrize("form", [pd.Series, lambda rows: datasets.Dataset.from_dict({"y": rows})["y"], pa.array])
def test_sets_of_labels_may_be_a_column(form: Any) -> None:
    rows = [["a"], ["a", "b"]] * 6
    made = fit(form(rows), task="multi-label")
    assert made.classes_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(made.predict(X), fit(rows, task="multi-label").predict(X))
    zeros = (X > 0).astype(int)
    np.testing.assert_array_equal(
        fit(sparse.csr_matrix(zeros), task="multi-label").predict(X), fit(zeros, task="multi-label").predict(X)
    )
