"""What all readers of files share: damaged files, missing ones, names of columns."""

from pathlib import Path

import numpy as np
import pytest
from helpers.tables import write, write_parquet
from hypothesis import given
from hypothesis import strategies as st

from hilbertune.data.arrays import read_embeddings
from hilbertune.data.files import read_labelled
from hilbertune.data.streams import stream_texts
from hilbertune.errors import HilbertuneError


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
    read = read_embeddings if path.suffix == ".npz" else read_labelled
    try:
        rows = read(damaged)
    except HilbertuneError:
        return
    assert rows.labels


def test_long_column_lists_are_cut(tmp_path: Path) -> None:
    header = ",".join(f"c{i}" for i in range(30))
    with pytest.raises(HilbertuneError, match=r"'c19', \.\.\.; name one"):
        read_labelled(write(tmp_path / "a.csv", header + "\n"))


def test_parquet_mistakes_are_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", text=["a", None], label=[1, 0])
    with pytest.raises(HilbertuneError, match=r"Row 2 of .* has an empty text"):
        read_labelled(path)
    with pytest.raises(HilbertuneError, match=r"no column 'Label'.*mean 'label'"):
        read_labelled(path, label="Label")


@pytest.mark.parametrize("read", [read_labelled, read_embeddings, stream_texts])
def test_missing_files_and_impossible_names_are_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(HilbertuneError, match=r"There is no file .*none\.csv"):
        read(tmp_path / "none.csv")
    with pytest.raises(HilbertuneError, match="cannot be read: File name too long"):
        read(tmp_path / ("n" * 5000 + ".csv"))
    with pytest.raises(HilbertuneError, match=r"cannot be read: .*null"):
        read(f"{tmp_path}/a\0.csv")


@pytest.mark.parametrize("read", [read_embeddings, stream_texts])
def test_folders_are_refused(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(HilbertuneError, match="is a folder"):
        read(tmp_path)
