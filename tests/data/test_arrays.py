"""Embeddings and their labels from files of arrays."""

from pathlib import Path

import numpy as np
import pytest
from helpers.tables import write, write_parquet

from hilbertune.data.arrays import read_embeddings
from hilbertune.errors import HilbertuneError


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_embeddings_become_float32(tmp_path: Path, dtype: type) -> None:
    values = np.array([[0.5, 1], [2, -3], [4, 0]], dtype=dtype)
    np.savez_compressed(tmp_path / "a.npz", embeddings=values, labels=np.array([1, 0, 1]))
    read = read_embeddings(tmp_path / "a.npz")
    assert read.embeddings is not None
    assert read.embeddings.dtype == np.float32
    np.testing.assert_array_equal(read.embeddings, values)
    assert read.labels == [1, 0, 1]
    assert read.texts is None


def test_embeddings_may_have_text_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", embeddings=np.eye(2), labels=np.array(["yes", "no"]))
    assert read_embeddings(tmp_path / "a.npz").labels == ["yes", "no"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.arange(2)}, r"has no array 'embeddings' \(it has 'labels'\)"),
        ({"x": np.eye(2)}, "has no array 'embeddings' and 'labels'"),
        ({"embeddings": np.eye(2), "labels": np.array([1, "a"], dtype=object)}, "Python objects"),
        ({"embeddings": np.ones(2), "labels": np.arange(2)}, r"not float64 of the shape \[2\]"),
        ({"embeddings": np.ones((2, 2), int), "labels": np.arange(2)}, "must be floats"),
        ({"embeddings": np.eye(2), "labels": np.ones((2, 1), int)}, r"not int64 .* \[2, 1\]"),
        ({"embeddings": np.eye(2), "labels": np.ones(2)}, "one row of whole numbers or texts"),
        ({"embeddings": np.eye(2), "labels": np.arange(3)}, "has 2 embeddings and 3 labels"),
        ({"embeddings": np.eye(2) * 1e300, "labels": np.arange(2)}, "NaN or infinite"),
        ({"embeddings": np.eye(2), "labels": np.array(["a", ""])}, "Row 2 of .* has no label"),
    ],
)
def test_bad_npz_files_are_refused(tmp_path: Path, arrays: dict, message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(HilbertuneError, match=message):
        read_embeddings(tmp_path / "a.npz")


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", embeddings=np.eye(20), labels=np.arange(20))
    whole = (tmp_path / "a.npz").read_bytes()
    damaged = bytearray(whole)
    damaged[400] ^= 1
    for content in (whole[: len(whole) // 2], bytes(damaged), b"", b"text", b"\x80\x04N."):
        with pytest.raises(HilbertuneError, match=r"not a valid \.npz file"):
            read_embeddings(write(tmp_path / "b.npz", content))


def test_an_array_by_itself_takes_its_labels_from_another_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    np.save(tmp_path / "y.npy", np.array([1, 0, 1]))
    for file, expected in {
        tmp_path / "y.npy": [1, 0, 1],
        write(tmp_path / "y.txt", "1\n0\n1\n"): [1, 0, 1],
        write(tmp_path / "words.txt", "yes\nno\nyes"): ["yes", "no", "yes"],
        write(tmp_path / "y.csv", "id,labels\n7,1\n8,0\n9,1\n"): [1, 0, 1],
    }.items():
        read = read_embeddings(tmp_path / "a.npy", labels_from=file)
        assert read.labels == expected
        np.testing.assert_array_equal(read.embeddings, np.eye(3))
    assert read_embeddings(tmp_path / "a.npy", labelled=False).labels == []
    named = read_embeddings(tmp_path / "a.npy", labels_from=tmp_path / "y.csv", label="id", task="regression")
    assert named.labels == [7.0, 8.0, 9.0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "has no array 'labels' .*: name the file of its labels"),
        ("y.txt", "has 3 embeddings and 2 labels: each row needs one of each"),
        ("y.pdf", r"unknown format: labels are read from \.npy, \.txt, \.csv"),
        ("none.txt", "There is no file .*none.txt"),
        ("z.npy", r"'labels' in .*z.npy must be one row of whole numbers or texts, not float64"),
        ("gap.txt", "Row 2 of .*gap.txt has no label"),
    ],
)
def test_bad_files_of_labels_are_refused(tmp_path: Path, labels: str | None, message: str) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    np.save(tmp_path / "z.npy", np.ones(3))
    for name, content in {"y.txt": "a\nb\n", "y.pdf": "a", "gap.txt": "a\n\nb\n"}.items():
        write(tmp_path / name, content)
    with pytest.raises(HilbertuneError, match=message):
        read_embeddings(tmp_path / "a.npy", labels_from=labels and tmp_path / labels)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_safetensors_of_any_float_type_are_read(tmp_path: Path, kind: str) -> None:
    import torch
    from safetensors.torch import save_file

    values = torch.tensor([[0.5, 1], [2, -3]], dtype=getattr(torch, kind))
    save_file({"embeddings": values, "labels": torch.tensor([1, 0])}, tmp_path / "a.safetensors")
    read = read_embeddings(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(read.embeddings, [[0.5, 1], [2, -3]])
    assert read.labels == [1, 0]
    other = read_embeddings(tmp_path / "a.safetensors", task="regression")
    assert other.labels == [1.0, 0.0]


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"x": np.eye(20), "labels": np.arange(20)}, tmp_path / "a.safetensors")
    with pytest.raises(HilbertuneError, match=r"has no array 'embeddings' \(it has 'labels', 'x'\)"):
        read_embeddings(tmp_path / "a.safetensors")
    assert read_embeddings(tmp_path / "a.safetensors", embeddings="x").labels[:2] == [0, 1]
    whole = (tmp_path / "a.safetensors").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\xff" * 100):
        with pytest.raises(HilbertuneError, match=r"not a valid \.safetensors file"):
            read_embeddings(write(tmp_path / "b.safetensors", content))
    with pytest.raises(HilbertuneError, match="There is no file"):
        read_embeddings(tmp_path / "none.safetensors")


def test_a_parquet_column_of_lists_is_read(tmp_path: Path) -> None:
    values = [[0.5, 1.0], [2.0, -3.0], [4.0, 0.0]]
    path = write_parquet(tmp_path / "a.parquet", vector=values, kind=["x", "y", "x"])
    read = read_embeddings(path, embeddings="vector", label="kind")
    np.testing.assert_array_equal(read.embeddings, np.array(values, np.float32))
    assert read.embeddings is not None
    assert read.embeddings.dtype == np.float32
    assert read.labels == ["x", "y", "x"]
    assert read_embeddings(path, embeddings="vector", labelled=False).labels == []
    import pyarrow

    fixed = pyarrow.array(values, pyarrow.list_(pyarrow.float32(), 2))
    path = write_parquet(tmp_path / "fixed.parquet", embeddings=fixed, labels=[0, 1, 0])
    np.testing.assert_array_equal(read_embeddings(path).embeddings, read.embeddings)
    several = write_parquet(tmp_path / "b.parquet", embeddings=values, labels=[[1, 0], [], [0]])
    assert read_embeddings(several, task="multi-label").labels == [[1, 0], [], [0]]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1.0, 2.0], [1.0]], "Row 2 of .* has no list of 2 numbers in 'embeddings'"),
        ([[1.0, 2.0], None], "Row 2 of .* has no list of 2 numbers"),
        ([[1.0, None], [1.0, 2.0]], "Row 1 of .* has no list of 2 numbers"),
        ([1.0, 2.0], r"must be a column of lists of floats, not double"),
        ([["a"], ["b"]], r"must be floats .* not object"),
        ([None, [1.0]], "Row 1 of .* has no list of 1 numbers"),
        ([[1], [2]], "must be floats"),
        ([], "holds no rows"),
    ],
)
def test_columns_that_are_no_embeddings_are_refused(tmp_path: Path, column: list, message: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", embeddings=column, labels=[0] * len(column))
    with pytest.raises(HilbertuneError, match=message):
        read_embeddings(path)


def test_arrays_hold_the_labels_of_every_task(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", embeddings=np.eye(2), labels=np.array([0.5, -2]))
    assert read_embeddings(tmp_path / "a.npz", task="regression").labels == [0.5, -2.0]
    np.savez(tmp_path / "b.npz", embeddings=np.eye(2), labels=np.array([[1, 0, 1], [0, 0, 0]]))
    assert read_embeddings(tmp_path / "b.npz", task="multi-label").labels == [[0, 2], []]
    np.savez(tmp_path / "c.npz", embeddings=np.eye(2), labels=np.array(["x|y", "y"]))
    assert read_embeddings(tmp_path / "c.npz", task="multi-label").labels == [
        ["x", "y"],
        ["y"],
    ]
    np.savez(tmp_path / "d.npz", embeddings=np.eye(2), labels=np.array([[2, 0], [0, 0]]))
    with pytest.raises(HilbertuneError, match=r"one row of texts such as 'news\|sport', or 0 and 1"):
        read_embeddings(tmp_path / "d.npz", task="multi-label")
