"""The verb evaluate: accuracy, confusion, and labels that match the model's classes."""

import json
import re
from pathlib import Path

import numpy as np
from helpers.commands import SMALL, Run

from hilbertune.estimator.classifier import HybridClassifier


def test_evaluate_answers_with_accuracy_and_confusion(run: Run, model: Path, sentences: Path) -> None:
    code, answer, err = run("evaluate", model, sentences, "--json")
    assert code == 0, err
    figures = json.loads(answer)
    assert figures["rows"] == 20
    assert figures["classes"] == ["bad", "good"]
    confusion = np.array(figures["confusion"])
    assert confusion.sum(1).tolist() == [10, 10]
    accuracy = figures["test_accuracy"]
    assert accuracy["mean"] == confusion.trace() / 20
    assert 0 <= accuracy["low"] <= accuracy["mean"] <= accuracy["high"] <= 1
    text = run("evaluate", model, sentences)[1]
    assert text.startswith(f"Test accuracy {accuracy['mean']:.4f} (95 % interval ")
    assert re.search(r"^ +bad +good *\n.*\n bad +\d+ +\d+ *\n good +\d+ +\d+ *$", text, re.MULTILINE)


def test_evaluate_takes_embeddings(run: Run, vectors: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert run("fit", "--embeddings", vectors, *SMALL, "--out", out)[0] == 0
    assert json.loads(run("evaluate", out, vectors, "--json")[1])["rows"] == 80


def test_labels_that_are_words_match_words_that_look_like_numbers(run: Run, encoder: Path, tmp_path: Path) -> None:
    made = HybridClassifier(qubits=4, epochs=1, embedding=str(encoder), validation=0.0)
    made.fit(["a", "b", "c"], ["0", "1", "unsure"]).save_pretrained(tmp_path / "model")
    (tmp_path / "test.csv").write_text("text,label\na,0\nb,1\n")
    code, answer, err = run("evaluate", tmp_path / "model", tmp_path / "test.csv", "--json")
    assert code == 0, err
    assert np.array(json.loads(answer)["confusion"]).sum(1).tolist() == [1, 1, 0]
