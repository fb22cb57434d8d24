"""Verbs that make and use a model: fit, demo, evaluate, predict.

In: files and flags. Out: a model directory, or figures and predictions on stdout.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertune.cli.flags import BestDevice, DataSplit, Device, Json, Label, Text, TextPair
from hilbertune.cli.output import print_json, progress_bars, say, say_truncated
from hilbertune.cli.rows import embed_rows, read_rows, targets_like

if TYPE_CHECKING:
    pass


def evaluate(
    model: Annotated[str, typer.Argument(help="Model directory.")],
    data: Annotated[Path, typer.Argument(help="Labelled data: texts, or an .npz of embeddings.")],
    text: Text = "text",
    text_pair: TextPair = None,
    label: Label = "label",
    split: DataSplit = "test",
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Test a saved model on labelled data: accuracy with its interval, other metrics, and the confusion matrix.

    Example: hilbertune evaluate model test.csv --json
    """
    import numpy as np

    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.model import evaluation, tasks
    from hilbertune.runtime.storage import cache_root

    loaded = load_pretrained(model, device=device)
    task = loaded.task_
    labelled = read_rows(data, None, text, label, split, text_pair=text_pair, task=task)
    classes = np.asarray(getattr(loaded, "classes_", [])).tolist()
    truth = targets_like(labelled.labels, classes, task)
    if labelled.texts is None:
        vectors = loaded.embed(labelled.embeddings)
    else:
        embedder = loaded.embedder()
        # As in training: what was embedded before is read from the cache.
        embedder.cache = cache_root()
        with progress_bars() as progress:
            vectors = embed_rows(labelled, embedder, progress)
    logits = evaluation.logits(loaded.head_, vectors).astype(np.float64)
    found = tasks.predicted(task, logits)
    metrics = tasks.metrics(task, truth, logits)
    figures: dict[str, Any] = {"task": task, "rows": len(truth), "metrics": metrics}
    if task != "regression":
        right = found == truth
        figures["test_accuracy"] = evaluation.over_rows(right.all(1) if right.ndim == 2 else right)
        figures["classes"] = classes
    table = None
    if task not in ("regression", "multi-label"):
        table = evaluation.confusion(truth, found, len(classes))
        figures["confusion"] = table.tolist()
    if json_:
        print_json(figures)
        return
    if "test_accuracy" in figures:
        accuracy = figures["test_accuracy"]
        print(
            f"Test accuracy {accuracy['mean']:.4f} (95 % interval {accuracy['low']:.4f} to {accuracy['high']:.4f}), {len(truth)} rows."
        )
    others = {k: v for k, v in metrics.items() if not k.endswith("accuracy")}
    print(", ".join(f"{name.replace('_', ' ')} {v:.4f}" for name, v in others.items()))
    if table is not None:
        print("Rows are true classes, columns predicted ones:")
        for name, counts in zip(classes, table, strict=True):
            print(f"{name!s:>20} " + " ".join(f"{count:7}" for count in counts))


def predict(
    model: Annotated[str, typer.Argument(help="Model directory.")],
    input_: Annotated[
        str,
        typer.Option(
            "--input",
            help="Text (one a line), CSV, TSV, JSONL or Parquet file, or an .npz of embeddings; - is stdin.",
        ),
    ] = "-",
    out: Annotated[
        Path | None,
        typer.Option(help="A .csv, .tsv, .txt or .jsonl file instead of stdout; goes on if killed."),
    ] = None,
    text: Text = "text",
    text_pair: TextPair = None,
    device: BestDevice = "auto",
    json_: Json = False,
) -> None:
    """Predict each row, in order, in constant memory: lines "label<tab>probability", or JSON.

    Example: cat texts.txt | hilbertune predict model

    Example: hilbertune predict model --input texts.csv --out predictions.csv
    """
    from hilbertune.estimator.devices import best_device
    from hilbertune.estimator.directory import load_pretrained
    from hilbertune.use import prediction

    loaded = load_pretrained(model, device=best_device() if device == "auto" else device)
    if out is not None:
        with progress_bars() as progress:
            found = prediction.predict_file(
                loaded,
                input_,
                out,
                text=text,
                text_pair=text_pair,
                progress=lambda t: progress("predicting", 0.0, f"{t.rows} rows"),
            )
        say_truncated(found.truncated)
        figures = found.to_dict()
        if json_:
            print_json({**figures, "out": str(out)})
        elif figures["rows_per_second"] is not None:
            say(
                f"{found.rows} rows, {figures['rows_per_second']:.0f} a second, {100 * figures['head_share']:.1f} % of the time in the head."
            )
        return
    before = '{"predictions": ['

    def write(some: list[dict[str, Any]]) -> None:
        nonlocal before
        for answer in some:
            if json_:
                print(before, json.dumps(answer, ensure_ascii=False), sep="", end="")
                before = ", "
            else:
                print(prediction.line(answer, ".tsv"), end="")
        sys.stdout.flush()

    pieces = prediction.chunks(loaded, input_, text=text, text_pair=text_pair)
    found = prediction.predict_stream(loaded, pieces, write)
    if json_:
        print("]}")
    say_truncated(found.truncated)
