"""Labels of one type, classes, and the targets that a head learns."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from helpers.tables import write, write_parquet

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
        (["a", float("nan")], "Row 2 has no label"),
        (["a", " "], "Row 2 has no label"),
        (pandas.Series([1, None], dtype="Int64"), "Row 2 has no label"),
        ([1, "1"], "all numbers or all texts"),
        ([True, 1], "all numbers or all texts, or all of them True or False"),
        (["a", "a "], "'a' and 'a ' differ in nothing but their type or blanks: write both alike"),
        ([0.5, 1], "Row 1 has the label 0.5: a class is a whole number or a word"),
        ([datetime.date(2024, 1, 1), "a"], "a class is a whole number or a word"),
        ([b"a", b"b"], "Row 1 has the label b'a'"),
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


DAYS = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)]


@pytest.mark.parametrize(
    ("column", "written", "classes"),
    [
        (pyarrow.array([0, 1]), ["0", "1"], [0, 1]),
        (pyarrow.array([0.0, 1.0]), ["0.0", "1.0"], [0, 1]),
        (pyarrow.array([0, 1], pyarrow.uint8()), ["0", "1"], [0, 1]),
        (pyarrow.array([2**63, 2**63 + 1], pyarrow.uint64()), [str(2**63), str(2**63 + 1)], [2**63, 2**63 + 1]),
        (pyarrow.array([False, True]), ["False", "True"], [False, True]),
        (pyarrow.array([False, True]), ["false", "true"], [False, True]),
        (pyarrow.array([False, True]), ["0", "1"], [False, True]),
        (pyarrow.array(DAYS), ["2024-01-01", "2024-01-02"], ["2024-01-01", "2024-01-02"]),
        (pyarrow.array(DAYS).cast(pyarrow.timestamp("ms")), ["2024-01-01", "2024-01-02"], ["2024-01-01", "2024-01-02"]),
        (pyarrow.array([decimal.Decimal("1.00"), decimal.Decimal("2.00")]), ["1.00", "2.00"], [1, 2]),
        (pyarrow.array([b"neg", b"pos"]), ["neg", "pos"], ["neg", "pos"]),
        (pyarrow.array(["neg", "pos"]).dictionary_encode(), ["neg", "pos "], ["neg", "pos"]),
        (pyarrow.array(["0", "1"]), ["0", "1"], ["0", "1"]),
    ],
)
def test_the_same_labels_match_in_parquet_and_csv(
    tmp_path: Path, column: Any, written: list[str], classes: list[Any]
) -> None:
    parquet = read_labelled(write_parquet(tmp_path / "a.parquet", text=["x", "y"], label=column)).labels
    csv = read_labelled(write(tmp_path / "a.csv", "text,label\n" + "".join(f"t,{one}\n" for one in written))).labels
    found, targets = encode_labels(parquet)
    assert found == classes
    assert [type(one) for one in found] == [type(one) for one in classes]
    assert targets.tolist() == [0, 1]
    assert label_targets(csv, found).tolist() == [0, 1]
    assert label_targets(parquet, encode_labels(csv)[0]).tolist() == [0, 1]
    several = label_targets([[one] for one in csv], found, "multi-label")
    assert several.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("classes", [[1, 2], ["1", "2"], [1.0, 2.0]])
@pytest.mark.parametrize(
    "labels",
    [
        [2, 1],
        ["2", "1"],
        ["2.0", "1.0"],
        np.array([2, 1], np.uint8),
        np.array([2.0, 1.0], np.float16),
        np.array(["2", "1"]),
        torch.tensor([2, 1]),
        torch.tensor([2.0, 1.0], dtype=torch.bfloat16),
        pandas.Series([2, 1], dtype="Int64"),
        pandas.Series([2, 1]).astype("category"),
        pandas.Series(["2", "1"], dtype="string"),
        pyarrow.chunked_array([[2, 1]]),
        (decimal.Decimal(2), decimal.Decimal(1)),
    ],
    ids=str,
)
def test_labels_of_every_kind_find_their_class(classes: list[Any], labels: Any) -> None:
    assert label_indices(labels, classes).tolist() == [1, 0]
    assert label_targets(labels, [], "regression").tolist() == [2, 1]


def test_words_that_look_alike_stay_two_classes() -> None:
    assert label_indices(["01", "1", "1.0"], ["01", "1", "1.0"]).tolist() == [0, 1, 2]
    with pytest.raises(HilbertuneError, match="unknown label '01'"):
        label_indices(["01"], [1, 2])
    with pytest.raises(HilbertuneError, match="unknown label 1"):
        label_indices([1], ["1.0", "1.00"])
    with pytest.raises(HilbertuneError, match="unknown label True"):
        label_indices([True], [1, 2])


def test_a_number_and_the_word_for_it_are_not_one_class(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": "1"}\n')
    with pytest.raises(HilbertuneError, match="1 and '1' differ in nothing but their type"):
        read_labelled(path)


@pytest.mark.parametrize(
    "labels",
    [
        [datetime.date(2024, 1, 1)],
        np.array(["2024-01-01"], "M8[ns]"),
        pandas.Series(pandas.to_datetime(["2024-01-01"])),
        [True],
        [10**400],
        [1j],
    ],
)
def test_what_is_no_number_is_no_target(labels: Any) -> None:
    with pytest.raises(HilbertuneError, match=r"Row 1 of the labels has the label .{1,90}: regression needs finite"):
        label_targets(labels, [], "regression")
