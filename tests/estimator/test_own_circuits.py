"""Estimators with circuits of the user's own: however they are named, they are saved, loaded, exported, explained."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.circuits import judged
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from hilbertune.circuit.kinds import Operation
from hilbertune.circuit.table import Circuit
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.use.explanation import explain

X = np.random.default_rng(0).normal(size=(40, 6))
Y = np.where(X[:, 0] > 0, "up", "down")
OWN = Circuit(
    2,
    (
        *(Operation("rx", q % 2, input=q, scale=2.0, offset=0.1) for q in range(3)),
        Operation("crz", 1, 0, weight=0),
        Operation("iswap", 0, 1),
        Operation("ry", 0, weight=1),
    ),
)


def fitted(kind: Any = HybridClassifier, **settings: Any) -> Any:
    made = kind(**{"head_circuit": OWN, "epochs": 2, **settings})
    return made.fit(X, Y if kind is HybridClassifier else X[:, 0])


@pytest.fixture(scope="module")
def model() -> Any:
    return fitted()


def test_a_circuit_is_named_by_itself_its_text_or_a_file(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.qasm").write_text(OWN.to_qasm3())
    monkeypatch.chdir(tmp_path)
    right = model.predict_proba(X)
    for source in (OWN.to_qasm3(), tmp_path / "own.qasm", "own.qasm"):
        np.testing.assert_array_equal(fitted(head_circuit=source).predict_proba(X), right)
    assert model.head_.config.qubits == 3, "left to the data they are as many as the head's inputs"
    assert model.head_circuit is OWN
    assert clone(model).head_circuit == OWN


@pytest.mark.parametrize("kind", [HybridClassifier, HybridRegressor])
def test_a_saved_model_comes_back_without_qiskit(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fitted(kind, members=2)
    made.save_pretrained(tmp_path / "model")
    for package in ("qiskit", "qiskit.qasm3", "qiskit_qasm3_import"):
        monkeypatch.setitem(sys.modules, package, None)
    again = kind.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(X), made.predict(X))
    assert again.head_.circuits["head"] == OWN
    assert clone(again).fit(X, made.predict(X)).head_.circuits["head"] == OWN
    card = (tmp_path / "model" / "README.md").read_text()
    assert "a circuit of its own as head on\n2 simulated qubits" in card
    assert f"The head:\n\n```openqasm\n{OWN.to_qasm3()}```\n" in card
    assert "| head_circuit |" not in card


def test_a_saved_circuit_that_was_changed_is_refused(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    whole = config.read_text()
    for change, sentence in (("reset q[0]", "does not describe a model"), ("ry(w5) q[0]", "does not belong to its")):
        config.write_text(whole.replace("ry(w1) q[0]", change))
        with pytest.raises(HilbertuneError, match=sentence):
            HybridClassifier.from_pretrained(tmp_path / "model")


def test_it_is_exported_and_explained(model: Any, tmp_path: Path) -> None:
    import onnxruntime

    from hilbertune.use.onnx import export_onnx

    encoder = Circuit(3, (Operation("rx", 0, weight=0), Operation("cz", 1, 0), Operation("rxx", 2, 1, weight=1)))
    both = fitted(encoder_circuit=encoder, projection="truncate")
    for number, made in enumerate((model, both)):
        export_onnx(made, tmp_path / str(number))
        session = onnxruntime.InferenceSession(str(tmp_path / str(number) / "model.onnx"))
        names = [output.name for output in session.get_outputs()]
        values = session.run(None, {"embeddings": X.astype(np.float32)})
        answers = dict(zip(names, values, strict=True))
        np.testing.assert_allclose(answers["probabilities"], made.predict_proba(X), atol=2e-6)
        weights = made.head_.head.weights.detach().double().numpy()[0]
        angles = np.array(explain(made, X[0]).encoders[0])
        last = explain(made, X[0]).blocks[-1]
        np.testing.assert_allclose(last.z, judged(OWN, weights, angles), atol=1e-6)


def test_a_grid_of_circuits_is_searched() -> None:
    other = Circuit(1, (Operation("rx", 0, input=0), Operation("ry", 0, weight=0)))
    search = GridSearchCV(
        HybridClassifier(epochs=1, encoder="pca"), {"head_circuit": [OWN, other, None]}, cv=2, error_score="raise"
    )
    search.fit(X, Y)
    assert len(search.cv_results_["params"]) == 3


def test_mistakes_are_named() -> None:
    with pytest.raises(HilbertuneError, match=r"Cannot read the circuit nowhere.qasm: No such file"):
        fitted(head_circuit="nowhere.qasm")
    with pytest.raises(HilbertuneError, match="reads 3 inputs, but 1 encoder of 4 qubits"):
        fitted(qubits=4)
