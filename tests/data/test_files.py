"""Labelled texts from files and datasets."""

import json
from pathlib import Path

import pytest
from helpers.tables import write, write_parquet

from hilbertune.data.files import read_labelled
from hilbertune.errors import HilbertuneError


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
    read = read_labelled(write(tmp_path / name, content))
    assert read.texts == ["good, very", 'two\r\nlines "é"']
    assert read.labels == [1, 0]
    assert [type(label) for label in read.labels] == [int, int]
    assert read.embeddings is None
    assert read.source == str(tmp_path / name)


def test_parquet_is_read_by_column_names(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", extra=[0, 0], review=["x", "y"], stars=["b", "a"])
    read = read_labelled(path, text="review", label="stars")
    assert (read.texts, read.labels) == (["x", "y"], ["b", "a"])


def test_a_dataset_folder_is_read_with_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "reviews"
    folder.mkdir()
    write(folder / "train.csv", "text,label\ngood,1\nbad,0\n")
    write(folder / "test.csv", "text,label\nfine,1\n")
    assert read_labelled(folder).labels == [1, 0]
    assert read_labelled(folder, split="test").texts == ["fine"]
    with pytest.raises(HilbertuneError, match=r"has no column 'txt'.*did you mean 'text'"):
        read_labelled(folder, text="txt")
    with pytest.raises(HilbertuneError, match="split 'dev' can be loaded"):
        read_labelled(folder, split="dev")


def test_a_hub_name_goes_to_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []

    def load_dataset(name: str, *, split: str) -> datasets.Dataset:
        asked.append((name, split))
        return datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read_labelled("org/data-v1.1", split="test").labels == [1, 0]
    assert asked == [("org/data-v1.1", "test")]


def test_an_unknown_dataset_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(name: str, *, split: str) -> None:
        raise ConnectionError("Couldn't reach the Hub.\nlong trace")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(HilbertuneError, match=r"^nobody/nothing is neither .*reach the Hub\)"):
        read_labelled("nobody/nothing")


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
        ("a.jsonl", "[1]", "Line 1 of .* is not a JSON object"),
        ("a.jsonl", '{"text": "a", "labels": 1}', "Line 1 of .* has no column 'label'.*mean 'labels'"),
        ("a.jsonl", "{}", "it has none"),
        ("a.jsonl", '{"text": ["a"], "label": 1}', "Row 1 of .* has a value of type list where a text belongs"),
        ("a.jsonl", '{"text": "\\ud83d", "label": 1}', "half a character .* at position 1"),
        ("a.jsonl", '{"text": "a", "label": null}', "Row 1 of .* has no label"),
        ("a.jsonl", '{"text": "a", "label": NaN}', "Row 1 of .* has no label"),
        ("a.jsonl", '{"text": "a", "label": 0.5}', "label 0.5: a class is a whole number or a word"),
        ("a.jsonl", '{"text": "a", "label": [1]}', "a class is a whole number or a word"),
        ("a.parquet", b"PAR1 cut short", "is not a valid Parquet file"),
        ("a.xlsx", b"PK", r"unknown format: labelled data are read from \.csv, \.tsv"),
        ("rows", b"a b", "unknown format"),
    ],
)
def test_bad_labelled_files_are_refused_in_one_sentence(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(HilbertuneError, match=message) as caught:
        read_labelled(write(tmp_path / name, content))
    assert "\n" not in str(caught.value)


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
    read = read_labelled(path, text="premise", text_pair="hypothesis")
    assert read.texts == [("it rains", "it is wet"), ("it rains", "it is dry")]
    assert read.labels == [1, 0]
    with pytest.raises(HilbertuneError, match="has no column 'second'"):
        read_labelled(path, text="premise", text_pair="second")


def test_an_empty_second_text_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "text,b,label\nx,,1\n")
    with pytest.raises(HilbertuneError, match=r"Row 1 of .* has an empty text"):
        read_labelled(path, text_pair="b")


def test_regression_reads_numbers(tmp_path: Path) -> None:
    csv = write(tmp_path / "a.csv", "text,label\na,1\nb,-2.5e-1\nc, 3 \n")
    read = read_labelled(csv, task="regression")
    assert read.labels == [1.0, -0.25, 3.0]
    assert {type(label) for label in read.labels} == {float}
    lines = write(tmp_path / "a.jsonl", '{"text": "a", "label": 2}\n{"text": "b", "label": 0.5}')
    assert read_labelled(lines, task="regression").labels == [2.0, 0.5]


def test_several_labels_a_row(tmp_path: Path) -> None:
    csv = write(tmp_path / "a.csv", "text,label\na,news|sport\nb,\nc, sport\n")
    words = [["news", "sport"], [], ["sport"]]
    assert read_labelled(csv, task="multi-label").labels == words
    lines = "".join(json.dumps({"text": "x", "label": label}) + "\n" for label in (*words, "news|sport"))
    read = read_labelled(write(tmp_path / "a.jsonl", lines), task="multi-label")
    assert read.labels == [*words, ["news", "sport"]]
    parquet = write_parquet(tmp_path / "a.parquet", text=["a", "b"], label=[[1, 0], []])
    assert read_labelled(parquet, task="multi-label").labels == [[1, 0], []]
    numbers = write(tmp_path / "b.csv", "text,label\na,0|2\nb,1\n")
    assert read_labelled(numbers, task="multi-label").labels == [[0, 2], [1]]
    mixed = write(tmp_path / "c.csv", "text,label\na,0|x\nb,1\n")
    assert read_labelled(mixed, task="multi-label").labels == [["0", "x"], ["1"]]
