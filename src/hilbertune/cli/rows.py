"""What the verbs of the command line share: flags that are read off the hyperparameters, progress bars, reading and embedding rows.

In: declarations and files. Out: typer options, labelled rows, vectors; words for people go to stderr.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilbertune.cli.output import say_truncated
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.config.records import Task
    from hilbertune.data.files import Labelled
    from hilbertune.embedding.embedder import Embedder


def first_row(labelled: "Labelled") -> "Labelled":
    """The first row, where it has yet to be embedded."""
    if labelled.texts is None:
        return labelled
    return dataclasses.replace(labelled, texts=labelled.texts[:1], labels=labelled.labels[:1])


def embed_rows(
    labelled: "Labelled",
    embedder: "Embedder | None",
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> "np.ndarray":
    """Embeddings of the rows; precomputed ones need no embedder."""
    from hilbertune.data.checks import check_embeddings

    if labelled.embeddings is not None:
        check_embeddings(labelled.embeddings)
        return labelled.embeddings
    assert labelled.texts is not None
    assert embedder is not None
    done, total = 0, len(labelled.texts)

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress("embedding", min(1.0, done / total))

    before = embedder.truncated
    embeddings = embedder.embed(labelled.texts, progress=step)
    say_truncated(embedder.truncated - before)
    return embeddings


def targets_like(labels: Sequence[Any], classes: Sequence[Any], task: "Task" = "classification") -> "np.ndarray":
    """Targets of labels whose classes are known; labels that all look like numbers may still belong to classes that are words."""
    from hilbertune.data.labels import label_targets

    words = task not in ("multi-label", "regression") and all(isinstance(c, str) for c in classes)
    return label_targets([str(v) for v in labels] if words else labels, classes, task)


def read_rows(
    data: Path | None,
    embeddings: Path | None,
    text: str,
    label: str,
    split: str,
    *,
    text_pair: str | None = None,
    labels: Path | None = None,
    task: "Task" = "classification",
) -> "Labelled":
    """Labelled texts, or labelled embeddings."""
    from hilbertune.data.arrays import read_embeddings
    from hilbertune.data.files import read_labelled

    if (data is None) == (embeddings is None):
        raise HilbertuneError("Name either a file of labelled texts or --embeddings, and not both.")
    if embeddings is not None or Path(str(data)).suffix.lower() in (".npz", ".npy", ".safetensors"):
        return read_embeddings(embeddings or Path(str(data)), labels_from=labels, task=task)
    return read_labelled(str(data), text=text, text_pair=text_pair, label=label, split=split, task=task)
