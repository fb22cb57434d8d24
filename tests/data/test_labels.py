"""Labels of one type, classes, and the targets that a head learns."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.tables import write

from hilbertune.data.files import read_labelled
from hilbertune.data.labels import encode_labels, label_indices, label_targets, unify_labels
from hilbertune.errors import HilbertuneError


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        (["-1", "0", "12"], [-1, 0, 12]),
        (["01", "1"], ["01", "1"]),
        (["1", "pos "], ["1", "pos"]),
        (["0.5", "1"], ["0.5", "1"]),
    ],
)
def test_csv_labels_are_integers_only_if_all_are_written_so(
    tmp_path: Path, written: list[str], labels: list[object]
) -> None:
    rows = "".join(f"some text,{label}\n" for label in written)
    assert read_labelled(write(tmp_path / "a.csv", "text,label\n" + rows)).labels == labels


def test_json_strings_stay_strings_and_mixed_labels_become_strings(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "1"}, {"text": "b", "label": 2}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert read_labelled(path).labels == ["1", "2"]


def test_classes_are_sorted_python_values() -> None:
    classes, indices = encode_labels(np.array([5, 3, 5]))
    assert classes == [3, 5]
    assert type(classes[0]) is int
    assert indices.dtype == np.int64
    assert indices.tolist() == [1, 0, 1]
    assert encode_labels(["b", "a"])[0] == ["a", "b"]
    assert label_indices(["b", "b"], ["a", "b"]).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "There are no labels"),
        ([1, 1], "only the class 1"),
        ([1, "a"], "all numbers or all texts"),
        ([1, None], "Row 2 has no label"),
        (np.array([1, np.nan]), "Row 2 has no label"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(labels: object, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        encode_labels(labels)  # type: ignore[arg-type]


def test_unknown_labels_are_named_beside_the_known() -> None:
    with pytest.raises(HilbertuneError, match="Row 2 has the unknown label '1'; the known ones are 0, 1"):
        label_indices([1, "1"], [0, 1])
    with pytest.raises(HilbertuneError, match=r"the known ones are 0, .* 9, \.\.\."):
        label_indices([99], list(range(20)))


def test_several_labels_become_a_row_of_0_and_1() -> None:
    classes, targets = encode_labels([["b", "a"], [], ["b", "b"]], task="multi-label")
    assert classes == ["a", "b"]
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    matrix = np.array([[1, 0, 0], [0, 0, 1]])
    classes, targets = encode_labels(matrix, task="multi-label")
    assert classes == [0, 1, 2], "columns keep their places, empty ones too"
    np.testing.assert_array_equal(targets, matrix)
    assert label_targets([["b"]], ["a", "b"], "multi-label").tolist() == [[0, 1]]


def test_regression_has_no_classes() -> None:
    classes, targets = encode_labels([1, 2.5, np.float32(3)], task="regression")
    assert classes == []
    assert targets.dtype == np.float64
    assert targets.tolist() == [1, 2.5, 3]


def test_one_versus_rest_and_ordinal_labels_are_indices() -> None:
    for task in ("one-vs-rest", "ordinal"):
        classes, targets = encode_labels([5, 1, 3, 1], task=task)  # type: ignore[arg-type]
        assert classes == [1, 3, 5]
        assert targets.tolist() == [2, 0, 1, 0]
        assert targets.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (["low", "high"], "ordinal", "'high' is a word, whose rank is unknown: number the classes"),
        (["a", "b"], "multi-label", "Row 1 has the label 'a': the labels of a row must be a list"),
        ([["a"], []], "multi-label", "only the class 'a'"),
        ([["a", 1]], "multi-label", "all numbers or all texts"),
        ([["a"], [None]], "multi-label", "has no label"),
        (np.array([[0, 2]]), "multi-label", "nothing but 0 and 1"),
        ([1.0, "x"], "regression", "Row 2 of the labels has the label 'x': regression needs"),
        ([1.0, np.nan], "regression", "Row 2 has no label"),
        ([1.0, np.inf], "regression", "has the label inf"),
    ],
)
def test_labels_that_do_not_suit_the_task_are_refused(labels: object, task: str, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        encode_labels(labels, task=task)  # type: ignore[arg-type]


def test_an_unknown_label_among_several_is_named() -> None:
    with pytest.raises(HilbertuneError, match="Row 2 has the unknown label 'c'; the known ones are 'a', 'b'"):
        label_targets([["a"], ["b", "c"]], ["a", "b"], "multi-label")


@pytest.mark.parametrize(
    ("labels", "parse_integers", "unified"),
    [
        (["1", "2"], True, [1, 2]),
        (["1", "2"], False, ["1", "2"]),
        ([1, "2"], False, ["1", "2"]),
        (["01", "1"], True, ["01", "1"]),
        (["+1", "-1"], True, ["+1", "-1"]),
        (["9" * 18], True, [int("9" * 18)]),
        (["9" * 19], True, ["9" * 19]),
        ([["0", "2"], []], True, [[0, 2], []]),
        ([[0], ["x"]], False, [["0"], ["x"]]),
        ([0.5, 2.0], False, [0.5, 2.0]),
    ],
)
def test_labels_become_all_integers_or_all_words(labels: list, parse_integers: bool, unified: list) -> None:
    result = unify_labels(labels, parse_integers=parse_integers)
    assert result == unified
    assert [type(label) for label in result] == [type(label) for label in unified]
