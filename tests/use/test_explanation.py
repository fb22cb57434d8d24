"""What an explanation says: states against PennyLane's density matrices, effects of words against the model itself."""

from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
import torch

from hilbertune.circuit.builders import parts
from hilbertune.circuit.table import Circuit
from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.use import explanation as explain
from hilbertune.use import picture as drawing


@pytest.fixture(scope="module")
def model(tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]]) -> HybridClassifier:
    return HybridClassifier(
        embedding=str(tiny_models["encoder"]), qubits=5, encoder_layers=1, reuploads=2, epochs=20, learning_rate=0.02
    ).fit(*two_kinds)


def test_qubits_after_each_block_are_those_of_pennylane() -> None:
    config = HeadConfig(qubits=4, reuploads=3, layers=1, encoder_layers=1)
    circuit = parts(config)["head"]
    rng = np.random.default_rng(0)
    weights, angles = rng.normal(size=circuit.parameters), rng.normal(size=circuit.inputs)
    found = explain.qubits_after_blocks(circuit, weights, angles)
    starts = [
        i
        for i, o in enumerate(circuit.operations)
        if o.input is not None and (i == 0 or circuit.operations[i - 1].input is None)
    ]
    ends = [*[i for i in starts if i], len(circuit.operations)]
    assert len(found) == len(ends)
    assert [block.name for block in found] == ["re-upload 1", "re-upload 2", "end"]
    for block, end in zip(found, ends, strict=True):

        @qml.qnode(qml.device("default.qubit", wires=4))
        def states(end: int = end) -> list[np.ndarray]:
            for o in circuit.operations[:end]:
                if o.control is not None:
                    qml.CNOT([o.control, o.target])
                else:
                    angle = weights[o.weight] if o.weight is not None else angles[o.input]
                    qml.RY(angle, o.target)
            return [qml.density_matrix(q) for q in range(4)]

        for qubit, matrix in enumerate(states()):
            matrix = np.real(matrix)
            assert block.z[qubit] == pytest.approx(matrix[0, 0] - matrix[1, 1], abs=1e-10)
            assert block.x[qubit] == pytest.approx(2 * matrix[0, 1], abs=1e-10)
            assert block.purity[qubit] == pytest.approx(np.trace(matrix @ matrix), abs=1e-10)


def test_the_last_block_is_what_the_head_measures(model: HybridClassifier) -> None:
    text = "w1 good film w2"
    found = explain.explain(model, text)
    with torch.no_grad():
        measured = model.head_.expectations(torch.from_numpy(model.embed([text])))[0, 0]
    assert found.blocks[-1].z[0] == pytest.approx(float(measured[0]), abs=1e-5)


def test_a_words_effect_is_what_its_absence_changes(model: HybridClassifier) -> None:
    found = explain.explain(model, "w1 good film w2")
    assert found.answer == model.predict(["w1 good film w2"])[0]
    whole, without = (
        dict(zip(model.classes_, model.predict_proba([text])[0], strict=True))[found.answer]
        for text in ("w1 good film w2", "w1 film w2")
    )
    assert found.score == pytest.approx(whole)
    assert [word for word, _ in found.words] == ["w1", "good", "film", "w2"]
    assert dict(found.words)["good"] == pytest.approx(whole - without, abs=1e-6)
    assert found.to_dict()["blocks"][0]["name"] == "re-upload 1"


def test_one_word_has_no_effect_to_tell_and_long_texts_say_what_is_left_out(
    model: HybridClassifier,
) -> None:
    assert explain.explain(model, "film").words == [("film", None)]
    long = explain.explain(model, " ".join(["film"] * 130))
    assert (len(long.words), long.words_left_out) == (128, 2)


def test_an_embedding_is_explained_without_words(model: HybridClassifier, tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    plain = HybridClassifier(qubits=3, encoder_layers=1, encoders=1, epochs=1).fit(X, X[:, 0] > 0)
    found = explain.explain(plain, X[0])
    assert (found.text, found.words) == (None, [])
    drawing.draw_explanation(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_the_picture_is_drawn(model: HybridClassifier, tmp_path: Path) -> None:
    found = explain.explain(model, "w1 good $film_2$ w2")
    drawing.draw_explanation(found, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    for words in (
        "good",
        "$film_2$",
        found.answer,
        "“w1 good $film_2$ w2”",
        f"Words: blue speaks for {found.answer}",
        "re-upload 1",
        "end",
        f"{found.encoders[0][0]:+.2f}",
    ):
        assert f">{words}" in drawn or f"{words}<" in drawn, words
    with pytest.raises(HilbertuneError, match=r"\.png"):
        drawing.draw_explanation(found, tmp_path / "a.txt")


def test_an_ensemble_shows_each_head_and_the_effects_on_the_averaged_answer(
    tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    ensemble = HybridClassifier(
        embedding=str(tiny_models["encoder"]),
        qubits=5,
        encoders=2,
        merge="average",
        encoder_layers=1,
        epochs=5,
        members=3,
    ).fit(*two_kinds)
    found = explain.explain(ensemble, "w1 good film w2")
    whole, without = ensemble.predict_proba(["w1 good film w2", "w1 film w2"])
    place = ensemble.classes_.tolist().index(found.answer)
    assert found.score == pytest.approx(whole[place])
    assert dict(found.words)["good"] == pytest.approx(whole[place] - without[place], abs=1e-6)
    for number in range(3):
        head = ensemble.head_.member(number)
        alone = HybridClassifier.from_head(head, TrainingConfig(), ensemble.classes_.tolist(), ensemble.embedding_)
        single = explain.explain(alone, "w1 good film w2")
        encoders, blocks = found.of_member(number)
        np.testing.assert_allclose(encoders, single.encoders, atol=1e-6)
        assert [block.name for block in blocks] == [block.name for block in single.blocks]
        for block, own in zip(blocks, single.blocks, strict=True):
            np.testing.assert_allclose([block.z, block.x, block.purity], [own.z, own.x, own.purity], atol=1e-6)
    drawing.draw_explanation(found, tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    mean = np.mean([found.of_member(number)[0][0][0] for number in range(3)])
    assert "mean of 3 heads" in drawn
    assert f"{mean:+.2f}" in drawn


def test_a_model_without_circuits_is_not_explained() -> None:
    X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    plain = HybridClassifier(qubits=3, encoder="linear", layers=1, epochs=1).fit(X, X[:, 0] > 0)
    with pytest.raises(HilbertuneError, match="quantum encoder"):
        explain.explain(plain, X[0])
    assert isinstance(plain.head_.circuits["head"], Circuit)
