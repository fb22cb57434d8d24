"""Rows of data: read from files, embedded, encoded as the model's targets.

In: files, and columns or a model that say how to read them.
Out: labelled rows, vectors [rows, width], targets.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilbertune.cli.output import say_truncated
from hilbertune.cli.progress import progress_bars
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.cli.flags import Columns
    from hilbertune.config.records import Task
    from hilbertune.data.files import Labelled
    from hilbertune.embedding.embedder import Embedder
    from hilbertune.estimator.base import HybridEstimator


def read_rows(
    data: Path | None,
    columns: "Columns",
    *,
    embeddings: Path | None = None,
    labels: Path | None = None,
    task: "Task" = "classification",
) -> "Labelled":
    """Read labelled texts, or labelled embeddings.

    Raises:
        HilbertuneError: not exactly one file is named, or it cannot be read.
    """
    from hilbertune.data.arrays import read_embeddings
    from hilbertune.data.files import read_labelled

    if (data is None) == (embeddings is None):
        raise HilbertuneError("Name either a file of labelled texts or --embeddings, but not both.")
    if embeddings is not None or Path(str(data)).suffix.lower() in (".npz", ".npy", ".safetensors"):
        return read_embeddings(embeddings or Path(str(data)), labels_from=labels, task=task)
    return read_labelled(
        str(data),
        text=columns.text,
        text_pair=columns.text_pair,
        label=columns.label,
        split=columns.split,
        task=task,
    )


def first_rows(labelled: "Labelled", count: int) -> "Labelled":
    """Return the first rows."""
    return some_rows(labelled, range(min(count, len(labelled.labels))))


def some_rows(labelled: "Labelled", places: Sequence[int]) -> "Labelled":
    """Return the rows at these places."""
    labels: Any = [labelled.labels[place] for place in places]
    texts: Any = None if labelled.texts is None else [labelled.texts[place] for place in places]
    embeddings = None if labelled.embeddings is None else labelled.embeddings[list(places)]
    return dataclasses.replace(labelled, labels=labels, texts=texts, embeddings=embeddings)


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some rows of a file: their places in it, from 0, how many it has, and a sentence about a draw."""

    labelled: "Labelled"
    places: Sequence[int]
    of: int
    sentence: str = ""


def sample_rows(labelled: "Labelled", count: int | None, seed: int, task: "Task") -> Sample:
    """Draw rows so that each class has its share of them; None, or more than there are, takes all."""
    from hilbertune.data.splits import draw_by_class

    of = len(labelled.labels)
    if count is None or count >= of:
        why = f"There are only {of:,} rows: all of them are measured." if count is not None and count > of else ""
        return Sample(labelled, range(of), of, why)
    places = draw_by_class(labelled.labels, count, seed=seed, task=task)
    drawn = some_rows(labelled, places)
    if task in ("multi-label", "regression"):
        return Sample(drawn, places, of, f"{count:,} of {of:,} rows, drawn with --seed {seed}.")
    sizes: collections.Counter[Any] = collections.Counter(drawn.labels)
    each = ", ".join(f"{size} of {label}" for label, size in sorted(sizes.items(), key=lambda one: str(one[0])))
    shares = each if len(sizes) <= 10 else f"{len(sizes)} classes"
    return Sample(drawn, places, of, f"{count:,} of {of:,} rows, drawn by class with --seed {seed}: {shares}.")


def classes_of(model: "HybridEstimator") -> list[Any]:
    """Return the classes of a model; a regressor has none."""
    classes = getattr(model, "classes_", None)
    return [] if classes is None else classes.tolist()


def embed_rows(
    labelled: "Labelled",
    embedder: "Embedder | None",
    progress: Callable[[str, float], None] = lambda *_: None,
) -> "np.ndarray":
    """Return the embeddings of the rows, [rows, width]; precomputed ones need no embedder."""
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


def embed_for(model: "HybridEstimator", labelled: "Labelled") -> "np.ndarray":
    """Return the vectors a model reads; as in training, texts that were embedded before come from the cache."""
    from hilbertune.runtime.storage import cache_root

    if labelled.texts is None:
        return model.embed(labelled.embeddings)
    embedder = model.embedder()
    embedder.cache = cache_root()
    with progress_bars() as progress:
        return embed_rows(labelled, embedder, progress)
