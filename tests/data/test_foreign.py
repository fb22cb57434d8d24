"""Files of other programs: read where they can be, otherwise named as what they are."""

import bz2
import gzip
import io
import lzma
import sqlite3
import zipfile
from pathlib import Path

import datasets
import numpy as np
import pytest

from hilbertune.data.arrays import read_embeddings
from hilbertune.data.files import read_labelled
from hilbertune.data.streams import stream_texts
from hilbertune.errors import HilbertuneError

ROWS = [("a fine, fine film", "good"), ('a "dull" film; too long', "bad"), ("ein schöner Film | kurz", "good")]
TEXTS, LABELS = (list(column) for column in zip(*ROWS, strict=True))


def table(delimiter: str, header: str = "text,label", end: str = "\n") -> str:
    lines = [header.replace(",", delimiter)]
    lines += [delimiter.join('"' + value.replace('"', '""') + '"' for value in row) for row in ROWS]
    return "".join(line + end for line in lines)


def written(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", table(",")),
        ("a.csv", table(",", end="\r\n")),
        ("a.csv", "\ufeff" + table(",")),
        ("a.csv", "\ufeff" + table(",", '"text","label"')),
        ("a.csv", table(",").rstrip("\n")),
        ("a.csv", table(",", "more;or less,text,label").replace('\n"', '\nx,"')),
        ("a.tsv", table("\t")),
        ("a.tsv", "\ufeff" + table("\t", end="\r\n")),
    ],
)
def test_usual_files_are_read(tmp_path: Path, name: str, content: str) -> None:
    found = read_labelled(written(tmp_path, name, content))
    assert (found.texts, found.labels) == (TEXTS, LABELS)


@pytest.mark.parametrize("header", ["text,label", '"text","label"', "Text,Label", "text,label,", "id,text,label"])
@pytest.mark.parametrize(
    ("name", "delimiter", "sentence"),
    [
        ("a.csv", ";", r"separated by semicolons \(';'\), not by commas: save it with commas"),
        ("a.csv", "\t", r"separated by tabs .* not by commas: give it the suffix .tsv"),
        ("a.csv", "|", r"separated by bars .* not by commas"),
        ("a.tsv", ",", r"separated by commas .* not by tabs: give it the suffix .csv"),
        ("a.tsv", ";", r"separated by semicolons .* not by tabs: save it with tabs"),
    ],
)
def test_another_separator_is_named(tmp_path: Path, name: str, delimiter: str, sentence: str, header: str) -> None:
    path = written(tmp_path, name, table(delimiter, header))
    for read in (read_labelled, stream_texts, lambda p: list(stream_texts(p))):
        with pytest.raises(HilbertuneError, match=sentence):
            read(path)


def test_labels_in_a_table_of_another_separator_are_named(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(3))
    path = written(tmp_path, "y.csv", "id;labels\n1;a\n2;b\n3;a\n")
    with pytest.raises(HilbertuneError, match="separated by semicolons"):
        read_embeddings(tmp_path / "x.npy", labels_from=path)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.txt"])
@pytest.mark.parametrize("last", [True, False])
def test_carriage_returns_alone_are_named(tmp_path: Path, name: str, last: bool) -> None:
    content = {
        "a.csv": table(",", end="\r"),
        "a.tsv": table("\t", end="\r"),
        "a.jsonl": "".join(f'{{"text": "{t}", "label": "x"}}\r' for t in ("a", "b")),
        "a.txt": "one\rtwo\r",
    }[name]
    path = written(tmp_path, name, content if last else content.rstrip("\r"))
    with pytest.raises(HilbertuneError, match="end with carriage returns alone"):
        list(stream_texts(path))


def test_carriage_returns_after_a_line_feed_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "text,label\nfirst,a\rsecond,b\r\nthird,a\n")
    with pytest.raises(HilbertuneError, match=r"line 2\) end with carriage returns alone"):
        read_labelled(path)


def test_a_carriage_return_within_quotes_is_a_part_of_the_text(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", 'text,label\n"first\rsecond",a\n"x",b\n')
    assert read_labelled(path).texts == ["first\rsecond", "x"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.txt"])
@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("utf-16", "is not UTF-8 but UTF-16 .*: save it as UTF-8"),
        ("utf-16-le", "zero bytes, as UTF-16 without a mark does"),
        ("utf-16-be", "zero bytes, as UTF-16 without a mark does"),
        ("utf-32", "is not UTF-8 but UTF-32: save it as UTF-8"),
        ("latin-1", "Line 4 of .* is not UTF-8"),
    ],
)
def test_other_encodings_are_named(tmp_path: Path, name: str, encoding: str, sentence: str) -> None:
    path = written(tmp_path, name, table("," if name != "a.tsv" else "\t"), encoding)
    if name == "a.jsonl":
        lines = "".join(f'{{"text": "{t}"}}\n' for t in ("a", "b", "c", "ö"))
        path = written(tmp_path, name, lines, encoding)
    with pytest.raises(HilbertuneError, match=sentence):
        list(stream_texts(path))


def archives(folder: Path) -> dict[str, bytes]:
    plain, zipped, database = table(",").encode(), io.BytesIO(), folder / "database"
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("[Content_Types].xml", plain)
    with sqlite3.connect(database) as connection:
        connection.execute("create table t (a)")
    datasets.Dataset.from_dict({"text": TEXTS}).to_parquet(folder / "parquet")
    return {
        "gzip": gzip.compress(plain),
        "bzip2": bz2.compress(plain),
        "xz": lzma.compress(plain),
        "zip archive or a spreadsheet": zipped.getvalue(),
        "SQLite": database.read_bytes(),
        "Parquet": (folder / "parquet").read_bytes(),
    }


def test_archives_and_databases_are_named(tmp_path: Path) -> None:
    for kind, content in archives(tmp_path).items():
        for name in ("a.csv", "a.txt", "a.jsonl"):
            with pytest.raises(HilbertuneError, match=kind):
                list(stream_texts(written(tmp_path, name, content)))


def test_excels_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(HilbertuneError, match="begins with 'sep=;', a line for Excel alone"):
        read_labelled(written(tmp_path, "a.csv", "sep=;\n" + table(";")))


@pytest.mark.parametrize(
    "text", ["PAR1 is a protein", "BZh91", "SQLite format 3 of a film", "sep=;", "a;b", "text;label"]
)
def test_a_text_may_begin_as_it_likes(tmp_path: Path, text: str) -> None:
    assert list(stream_texts(written(tmp_path, "a.txt", text + "\n"))) == [[text]]
    assert list(stream_texts(written(tmp_path, "a.csv", f"text\n{text}\n"))) == [[text]]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Save a dictionary of two splits."""
    rows = {"text": TEXTS, "other": TEXTS[::-1], "label": LABELS}
    made = datasets.Dataset.from_dict(rows)
    both = datasets.DatasetDict(train=made, test=made.select([2, 0]).with_format("numpy"))
    both.save_to_disk(tmp_path / "both")
    return tmp_path / "both"


def test_a_saved_dictionary_of_datasets_is_read_with_its_splits(saved: Path) -> None:
    found = read_labelled(saved)
    assert (found.texts, found.labels) == (TEXTS, LABELS)
    found = read_labelled(saved, split="test", text_pair="other")
    assert found.texts == [(TEXTS[2], TEXTS[0]), (TEXTS[0], TEXTS[2])]
    assert found.labels == [LABELS[2], LABELS[0]]
    with pytest.raises(HilbertuneError, match=r"has no split 'tset': did you mean 'test'\?"):
        read_labelled(saved, split="tset")
    with pytest.raises(HilbertuneError, match="no column 'words'"):
        read_labelled(saved, text="words")
    with pytest.raises(HilbertuneError, match=r"has the splits train, test: name one of them, such as .*both/test"):
        stream_texts(saved)
    assert list(stream_texts(saved / "test", chunk=1)) == [[TEXTS[2]], [TEXTS[0]]]
    assert list(stream_texts(saved / "train", text_pair="other")) == [list(zip(TEXTS, TEXTS[::-1], strict=True))]


def test_a_saved_dataset_is_read(tmp_path: Path, saved: Path) -> None:
    datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS}).save_to_disk(tmp_path / "one")
    assert read_labelled(tmp_path / "one").texts == TEXTS
    with pytest.raises(HilbertuneError, match="has no splits, not 'test': leave the split out"):
        read_labelled(tmp_path / "one", split="test")
    assert read_labelled(saved / "test").texts == [TEXTS[2], TEXTS[0]]


def test_a_saved_dataset_with_a_missing_part_is_named(saved: Path) -> None:
    for file in (saved / "train").glob("*.arrow"):
        file.write_bytes(b"broken")
    with pytest.raises(HilbertuneError, match="whose split 'train' can be loaded"):
        read_labelled(saved)
