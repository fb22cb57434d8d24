"""Every face that takes texts takes a column of them, and gives the answers that it gives to a list."""

from collections import deque
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.use.prediction import answers

SMALL = {"qubits": 5, "encoder_layers": 1, "layers": 1, "epochs": 1}
FORMS: list[Any] = [
    lambda texts: datasets.Dataset.from_dict({"t": texts})["t"],
    lambda texts: pa.chunked_array([texts[:3], texts[3:]]),
    lambda texts: pd.DataFrame({"t": texts}),
    lambda texts: pd.Series(texts, dtype="string"),
    lambda texts: np.array(texts, object)[:, None],
    lambda texts: np.array(texts, np.dtypes.StringDType()),
    lambda texts: (text for text in texts),
    deque,
]


@pytest.mark.parametrize("kind", [HybridClassifier, HybridRegressor])
def test_every_face_takes_columns_of_texts(
    kind: Any, tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]]
) -> None:
    texts, labels = two_kinds
    y = labels if kind is HybridClassifier else np.arange(24) / 10
    model = kind(**SMALL, embedding=str(tiny_models["encoder"]))
    wanted = model.fit(texts, y).predict(texts)
    vectors, score = model.embed(texts), model.score(texts, y)
    embedder = Embedder(str(tiny_models["encoder"]), cache=None, device="cpu")
    for form in FORMS:
        np.testing.assert_array_equal(model.predict(form(texts)), wanted)
        np.testing.assert_array_equal(model.embed(form(texts)), vectors)
        np.testing.assert_array_equal(embedder.embed(form(texts)), vectors)
        assert model.score(form(texts), y) == score
        assert answers(model, form(texts)) == answers(model, texts)
        if kind is HybridClassifier:
            np.testing.assert_array_equal(model.predict_proba(form(texts)), model.predict_proba(texts))
            np.testing.assert_array_equal(model.decision_function(form(texts)), model.decision_function(texts))
    for form in (FORMS[0], FORMS[-2]):
        again = kind(**model.get_params()).fit(form(texts), (value for value in y))
        np.testing.assert_array_equal(again.predict(texts), wanted)


def test_pairs_for_a_model_of_single_texts_are_named(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]]
) -> None:
    texts, labels = two_kinds
    model = HybridClassifier(**SMALL, embedding=str(tiny_models["encoder"])).fit(texts, labels)
    with pytest.raises(HilbertuneError, match="takes embeddings of 16 numbers, and these items have 64"):
        model.predict([("w1 good", "w2 bad")])


@pytest.mark.parametrize("y", [[None, 1] * 2, [object()] * 4, [0.5, 1.5, 2.5, 3.5], [b"a", b"b"] * 2, None, "abcd"])
def test_labels_that_are_none_are_refused_in_one_line(y: Any, unchecked: None) -> None:
    with pytest.raises(HilbertuneError) as caught:
        HybridClassifier(**SMALL).fit(np.eye(4), y)
    assert "\n" not in str(caught.value)
