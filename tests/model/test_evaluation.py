"""Predictions piece by piece; rows of the table, each run tested on its own split."""

import numpy as np
import pytest
import torch

from hilbertune.config.records import HeadConfig
from hilbertune.data.splits import Split
from hilbertune.model import evaluation
from hilbertune.model.layers import HybridHead

SHAPE = HeadConfig(qubits=3, encoder_connectivity=2, basis="raw")


def test_confusion_has_true_classes_in_rows() -> None:
    table = evaluation.confusion(np.array([0, 0, 1, 2, 2]), np.array([0, 2, 1, 2, 2]), 3)
    assert table.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 2]]


def test_logits_do_not_depend_on_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model = HybridHead(5, 3, SHAPE)
    rows = np.random.default_rng(0).normal(size=(21, 5)).astype(np.float32)
    whole = evaluation.logits(model, rows)
    monkeypatch.setattr(evaluation, "AMPLITUDES", 1)
    assert [b.start for b in evaluation.row_slices(model, 21)] == [0, 8, 16]
    np.testing.assert_allclose(evaluation.logits(model, rows), whole, atol=1e-6)
    assert whole.shape == (21, 3)
    assert evaluation.logits(model, rows[:0]).shape == (0, 3)


def test_large_models_take_few_rows_at_once() -> None:
    model = HybridHead(5, 2, HeadConfig(qubits=20, encoder_layers=0, reuploads=1, basis="raw"))
    assert evaluation.row_slices(model, 20) == [slice(0, 8), slice(8, 16), slice(16, 24)]


def test_sampled_logits_repeat_and_leave_the_models_generators_alone() -> None:
    model = HybridHead(5, 2, SHAPE)
    model.head.shots = 10
    model.head.rngs = generators = [np.random.default_rng(3)]
    rows = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    first = evaluation.logits(model, rows)
    np.testing.assert_array_equal(evaluation.logits(model, rows), first)
    assert model.head.rngs is generators
    assert generators[0].random() == np.random.default_rng(3).random()


def test_the_rows_of_the_table_test_each_run_on_its_own_split() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    rows = (rng.normal(size=(40, 5)) + 6 * labels[:, None]).astype(np.float32)
    order = rng.permutation(40)
    splits = [
        Split(order[:20], order[20:25], order[25:]),
        Split(order[20:], order[15:20], order[:15]),
    ]
    torch.manual_seed(0)
    model = HybridHead(5, 2, SHAPE, runs=2)
    row = evaluation.hybrid_row(model, rows, labels, splits, seconds=3.0)
    expected = [
        (evaluation.logits(model.select(k), rows[s.test]).argmax(1) == labels[s.test]).mean()
        for k, s in enumerate(splits)
    ]
    assert row["accuracy"]["values"] == pytest.approx(expected)
    assert row["parameters"] == model.parameter_count
    assert row["seconds"] == 1.5
    calls: list[None] = []
    table = evaluation.baseline_rows(rows, labels, splits, [0, 1], model.parameter_count, lambda: calls.append(None))
    assert len(calls) == 2 * len(table) == 8
    for baseline in table:
        assert baseline["kind"] == "classical"
        assert baseline["accuracy"]["mean"] > 0.9
        assert len(baseline["accuracy"]["values"]) == 2
        assert baseline["seconds"] > 0
