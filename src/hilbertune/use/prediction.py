"""Predictions for any number of rows: in the order of the input, in constant memory, not lost by a killed process.

In: a fitted estimator, and a file or a stream of raw items or embeddings.
Out: a line for each row, and how fast it went.
"""

import csv
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hilbertune.data.arrays import read_embeddings
from hilbertune.data.streams import stream_texts
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.model import evaluation, tasks
from hilbertune.runtime import storage
from hilbertune.runtime.claims import Claim, claimed
from hilbertune.runtime.escaping import cell, json_text

CHUNK = 2048
"""Rows that are in memory at once; the base sorts them by length, so that few of its tokens are padding."""

FORMATS = (".csv", ".tsv", ".txt", ".jsonl")
"""Suffixes of a file of predictions."""


@dataclass
class Throughput:
    """The rows and seconds of a run of predictions."""

    rows: int = 0
    resumed: int = 0
    base_seconds: float = 0.0
    head_seconds: float = 0.0
    seconds: float = 0.0
    truncated: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the figures with rates, which are None where no row was computed."""
        new = self.rows - self.resumed
        return {
            **vars(self),
            "rows_per_second": new / self.seconds if new else None,
            "head_share": self.head_seconds / self.seconds if new else None,
        }


def answers(model: HybridEstimator, items: Any, throughput: Throughput | None = None) -> list[dict[str, Any]]:
    """Return the prediction for each item.

    It is a label and its probability, labels and their probabilities (multi-label), or a value (regression).

    Raises:
        HilbertuneError: items that the model cannot read.
    """
    started = time.monotonic()
    vectors = model.embed(items)
    embedded = time.monotonic()
    logits = evaluation.logits(model.head_, vectors).astype(np.float64)
    if throughput is not None:
        throughput.base_seconds += embedded - started
        throughput.head_seconds += time.monotonic() - embedded
    task = model.task_
    predicted = tasks.predicted(task, logits)
    if task == "regression":
        return [{"value": float(value)} for value in predicted]
    assert isinstance(model, HybridClassifier)
    names = model.classes_.tolist()
    probabilities = tasks.probabilities(task, logits)
    if task == "multi-label":
        return [
            {
                "labels": [names[i] for i in np.flatnonzero(row)],
                "probabilities": [float(own[i]) for i in np.flatnonzero(row)],
            }
            for row, own in zip(predicted, probabilities, strict=True)
        ]
    return [
        {"label": names[best], "probability": float(own[best])}
        for best, own in zip(predicted, probabilities, strict=True)
    ]


def line(answer: dict[str, Any], suffix: str) -> str:
    """Return one answer as a line of a file; several labels are separated by "|"."""
    if suffix == ".jsonl":
        return json_text(answer) + "\n"
    cells = [
        "|".join(_cell(name, one) for one in value) if isinstance(value, list) else _cell(name, value)
        for name, value in answer.items()
    ]
    text = io.StringIO()
    delimiter = "," if suffix == ".csv" else "\t"
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _cell(name: str, value: Any) -> str:
    if isinstance(value, float):
        # A class may be a whole number that Python was given as a float.
        return f"{value:.0f}" if name in ("label", "labels") else f"{value:.6f}"
    # One row is one line, so that a file that was cut off can be counted.
    return cell(value)


def chunks(
    model: HybridEstimator,
    source: str,
    *,
    text: str = "text",
    text_pair: str | None = None,
    chunk: int = CHUNK,
) -> Iterator[Any]:
    """Yield pieces of the input: raw items, or embeddings for a model that was trained on them.

    A file is checked first.

    Raises:
        HilbertuneError: the input is missing or broken; the message names the row.
    """
    if model.embedding_ is None:
        if Path(source).suffix.lower() not in (".npz", ".npy", ".safetensors", ".parquet"):
            raise HilbertuneError(
                "The model was trained on embeddings, not on texts: give it an .npz of embeddings with --input."
            )
        vectors = read_embeddings(source, labelled=False).embeddings
        assert vectors is not None
        yield from (vectors[start : start + chunk] for start in range(0, len(vectors), chunk))
        return
    if Path(source).is_file():
        # Unlike a pipe, a file can be read twice: find its mistakes before work starts.
        for _ in stream_texts(source, text=text, text_pair=text_pair):
            pass
    yield from stream_texts(source, text=text, text_pair=text_pair, chunk=chunk)


def predict_stream(
    model: HybridEstimator,
    pieces: Iterable[Any],
    write: Callable[[list[dict[str, Any]]], None],
    *,
    skip: int = 0,
    progress: Callable[[Throughput], None] = lambda _: None,
) -> Throughput:
    """Hand the answers for each piece to `write`, after leaving out the first `skip` rows, which are whole pieces."""
    throughput = Throughput(resumed=skip)
    started = time.monotonic()
    for piece in pieces:
        if throughput.rows < skip:
            throughput.rows += len(piece)
            continue
        write(answers(model, piece, throughput))
        throughput.rows += len(piece)
        throughput.seconds = time.monotonic() - started
        progress(throughput)
    throughput.seconds = time.monotonic() - started
    if model.embedding_ is not None:
        throughput.truncated = model.embedder().truncated
    return throughput


def predict_file(
    model: HybridEstimator,
    source: str,
    out: Path,
    *,
    text: str = "text",
    text_pair: str | None = None,
    chunk: int = CHUNK,
    progress: Callable[[Throughput], None] = lambda _: None,
) -> Throughput:
    """Write a prediction for each row of `source` to `out`, which appears when it is whole.

    Until then the rows lie in a hidden file beside it. A run that was killed continues after its last whole piece when
    the same model reads the same input again, and ends with the same bytes; standard input cannot be read twice and
    starts afresh. Only its owner may read the file, and one run at a time writes to it.

    Raises:
        HilbertuneError: `out` exists or has another suffix than those of FORMATS, belongs to another model or input, or
            is being written by another run.
    """
    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        raise HilbertuneError(f"{out} has an unknown format: predictions are written to {', '.join(FORMATS)} files.")
    storage.refuse_existing(out)
    part, note = (out.with_name(f".{out.name}.{kind}") for kind in ("part", "json"))
    known = _identity(model, source, {"text": text, "text_pair": text_pair, "chunk": chunk})
    claim = _claim(part, out)
    try:
        # Another run may have finished in the moment before.
        storage.refuse_existing(out)
        done = _resume(part, note, known, chunk, header=suffix == ".csv")
        pieces = chunks(model, source, text=text, text_pair=text_pair, chunk=chunk)
        storage.write_atomically(note, json.dumps(known).encode(), private=True)
        with part.open("ab") as file:

            def write(some: list[dict[str, Any]]) -> None:
                if suffix == ".csv" and file.tell() == 0:
                    file.write((",".join(some[0]) + "\n").encode())
                file.write("".join(line(one, suffix) for one in some).encode())
                file.flush()
                os.fsync(file.fileno())

            throughput = predict_stream(model, pieces, write, skip=done, progress=progress)
        try:
            os.replace(part, out)
        except OSError as error:
            reason = error.strerror
            raise storage.CannotWriteError(f"Cannot write {out}: {reason}. The rows are all in {part}.") from error
        note.unlink(missing_ok=True)
    except BaseException:
        if part.exists() and not part.stat().st_size:  # nothing to resume
            for path in (part, note):
                path.unlink(missing_ok=True)
        raise
    finally:
        claim.release()
    return throughput


def _claim(part: Path, out: Path) -> Claim:
    """Return the claim to the file of the rows, made if it is not there, for its owner alone.

    Raises:
        HilbertuneError: another run writes to it.
    """
    try:
        storage.make_folder(part.parent)
        part.touch(0o600)
        claim = claimed(part)
    except OSError as error:
        raise storage.CannotWriteError(f"Cannot write {out}: {error.strerror}.") from error
    if claim is None:
        raise HilbertuneError(f"Another run is writing {out}: wait until it has ended, or name another output.")
    return claim


def _identity(model: HybridEstimator, source: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the model, input and settings that a half-written file belongs to."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.head_.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    content = None
    if Path(source).is_file():
        with Path(source).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    return {"model": digest.hexdigest(), "base": model.embedding_, "input": content, **settings}


def _resume(part: Path, note: Path, known: dict[str, Any], chunk: int, *, header: bool) -> int:
    """Return how many rows are there already, and cut off what follows the last whole piece."""
    if not part.stat().st_size:
        return 0
    try:
        before = json.loads(note.read_bytes())
    except (OSError, ValueError):
        before = None
    if before != known:
        raise HilbertuneError(
            f"{part} holds predictions of another model, input or setting: remove it, or name another output."
        )
    if known["input"] is None:
        os.truncate(part, 0)  # not removed: it is claimed
        return 0
    with part.open("r+b") as file:
        rows = _count(file) - header
        whole = max(0, rows // chunk * chunk)
        file.seek(0)
        for _ in range(whole + header if whole else 0):
            file.readline()
        file.truncate(file.tell())
    return whole


def _count(file: BinaryIO) -> int:
    """Return the number of complete lines."""
    return sum(line.endswith(b"\n") for line in file)
