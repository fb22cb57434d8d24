"""What several tests of the command line stand on: a tiny embedding model, data, a model, a study."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.commands import SENTENCES, write_table

from hilbertune.estimator.classifier import HybridClassifier


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a sentence transformer of random weights, 8 numbers wide."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = tmp_path_factory.mktemp("words")
    letters = "abcdefghijklmnopqrstuvwxyz"
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (words / "vocab.txt").write_text("\n".join([*special, *letters, *(f"##{c}" for c in letters)]))
    torch.manual_seed(0)
    shape = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=57, num_hidden_layers=1, max_position_embeddings=64, **shape)).save_pretrained(
        words
    )
    BertTokenizerFast(str(words / "vocab.txt")).save_pretrained(words)
    folder = tmp_path_factory.mktemp("encoder")
    modules = [Transformer(str(words), max_seq_length=60), Pooling(8)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a CSV file with the columns text and label."""
    path = tmp_path_factory.mktemp("sentences") / "train.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *SENTENCES])
    return path


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an .npz file of 80 embeddings, 8 numbers wide, in two separate clouds."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    embeddings = rng.normal(size=(80, 8)) + 4 * labels[:, None] - 2
    path = tmp_path_factory.mktemp("vectors") / "x.npz"
    np.savez(path, embeddings=embeddings, labels=labels)
    return path


@pytest.fixture(scope="session")
def model(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a model of texts with the classes bad and good."""
    texts, labels = zip(*SENTENCES, strict=True)
    made = HybridClassifier(qubits=4, epochs=2, validation=0.0, embedding=str(encoder), basis="raw").fit(
        list(texts), list(labels)
    )
    return made.save_pretrained(tmp_path_factory.mktemp("models") / "model")


STUDY = """
title: A small study
data: {file: x.npz}
seeds: 2
settings: {qubits: 3, encoder_layers: 1, encoder_connectivity: 1, projection: pca, epochs: 2, per_class: 20}
arms:
  - {name: quantum, tune: {learning_rate: [0.01, 0.05]}}
  - {method: logistic regression}
"""


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    x = rng.normal(size=(80, 9)) + labels[:, None]
    np.savez(tmp_path / "x.npz", embeddings=x.astype(np.float32), labels=labels)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


@pytest.fixture
def films(tmp_path: Path, two_kinds: tuple[list[str], list[str]]) -> Path:
    return write_table(tmp_path / "films.csv", ["text", "label"], list(zip(*two_kinds, strict=True)))
