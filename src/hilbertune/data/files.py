"""Labelled texts, or pairs of texts, from a file or a Hugging Face dataset.

In: the name of a file or dataset, and of its columns.
Out: texts and labels, checked row by row.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from hilbertune.config.records import Task
from hilbertune.data.checks import checked_label, checked_text
from hilbertune.data.labels import unify_labels
from hilbertune.data.tables import READERS, TABLE_FORMATS, UNTYPED_FORMATS, open_file, read_dataset, read_records
from hilbertune.errors import HilbertuneError

_DATASET_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@dataclass(frozen=True)
class Labelled:
    """Rows with labels: either texts (or pairs of texts) or embeddings; the other is None.

    A label is a class; for regression a number, for multi-label data a list of classes.
    """

    labels: list[int] | list[str] | list[float] | list[list[int]] | list[list[str]]
    texts: list[str] | list[tuple[str, str]] | None
    embeddings: Float32[np.ndarray, "rows width"] | None
    source: str


def read_labelled(
    source: str | Path,
    *,
    text: str = "text",
    text_pair: str | None = None,
    label: str = "label",
    split: str = "train",
    task: Task = "classification",
) -> Labelled:
    """Read the columns `text` and `label` of a file, or of a Hugging Face dataset.

    `source` is a .csv, .tsv, .jsonl, .ndjson or .parquet file (UTF-8), a dataset's name, or a
    folder that `datasets` can load or has written (`save_to_disk`); only the last two have splits.
    With `text_pair`, the column of the second texts, the texts are pairs. Rows are counted from 1
    in messages, without the header.

    Labels are int if all of them are whole numbers (in CSV and TSV: are written as such), else str.
    For regression they are numbers. For multi-label data they are lists, which CSV and TSV write as
    "news|sport"; there an empty field means no label.

    Raises:
        HilbertuneError: no such file or dataset, a folder without data, an unknown file format,
            bytes that are not UTF-8, a missing column, a ragged or undecodable row, an empty text,
            a missing label or one that does not suit the task, no rows.
        MissingExtraError: Parquet or a dataset without the extra `data`.
    """
    path = Path(os.path.expanduser(source))
    name = str(source)
    suffix = path.suffix.lower()
    is_name = _DATASET_NAME.fullmatch(name) and not suffix[1:].isalpha()
    columns = [text, label] if text_pair is None else [text, text_pair, label]
    if os.path.isdir(path) or (is_name and not os.path.exists(path)):
        records = read_dataset(str(path), split, columns)
    elif suffix in READERS:
        records = read_records(path, columns)
    else:
        with open_file(path):
            raise HilbertuneError(f"{name} has an unknown format: labelled data are read from {TABLE_FORMATS} files.")
    texts: list[Any] = []
    labels: list[Any] = []
    for row, (*some, one_label) in records:
        checked = tuple(checked_text(one, row, name) for one in some)
        texts.append(checked[0] if text_pair is None else checked)
        labels.append(checked_label(one_label, row, name, task))
    if not texts:
        raise HilbertuneError(f"{name} holds no rows: give it labelled texts.")
    return Labelled(unify_labels(labels, parse_integers=suffix in UNTYPED_FORMATS), texts, None, name)
