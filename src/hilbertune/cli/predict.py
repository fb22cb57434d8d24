"""The verb that predicts: predict.

In: a model directory, and a file or a stream of items.
Out: a prediction for each row, in order, on stdout or in a file that a killed run resumes.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertune.cli.flags import BestDevice, Json, ModelArgument, Text, TextPair
from hilbertune.cli.output import print_json, say, say_truncated
from hilbertune.cli.places import check_file, check_model, check_source
from hilbertune.cli.progress import progress_bars
from hilbertune.cli.terminal import output_is_closed
from hilbertune.errors import HilbertuneError
from hilbertune.runtime.escaping import json_text

if TYPE_CHECKING:
    from hilbertune.estimator.base import HybridEstimator

Input = Annotated[
    str,
    typer.Option(
        "--input",
        help="Text (one a line), CSV, TSV, JSONL or Parquet file, or an .npz file of embeddings; - is stdin.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="A .csv, .tsv, .txt or .jsonl file instead of stdout; a killed run resumes it."),
]


def predict(
    model: ModelArgument,
    input_: Input = "-",
    out: Out = None,
    text: Text = "text",
    text_pair: TextPair = None,
    device: BestDevice = "auto",
    json_: Json = False,
) -> None:
    """Predict each row, in order, in constant memory: lines "label<tab>probability", or JSON.

    Example: cat texts.txt | hilbertune predict model

    Example: hilbertune predict model --input texts.csv --out predictions.csv
    """
    check_model(model)
    check_source(input_)
    if out is not None:
        check_file(out)
    from hilbertune.estimator.devices import best_device
    from hilbertune.estimator.directory import load_pretrained

    loaded = load_pretrained(model, device=best_device() if device == "auto" else device)
    if out is None:
        _to_stdout(loaded, input_, text, text_pair, json_)
    else:
        _to_file(loaded, input_, out, text, text_pair, json_)


def _to_file(model: "HybridEstimator", source: str, out: Path, text: str, text_pair: str | None, json_: bool) -> None:
    from hilbertune.use import prediction

    with progress_bars() as progress:
        throughput = prediction.predict_file(
            model,
            source,
            out,
            text=text,
            text_pair=text_pair,
            progress=lambda t: progress("predicting", 0.0, f"{t.rows} rows"),
        )
    say_truncated(throughput.truncated)
    figures = throughput.to_dict()
    if json_:
        print_json({**figures, "out": str(out)})
    elif figures["rows_per_second"] is not None:
        share = f"{100 * figures['head_share']:.1f} % of the time in the head"
        say(f"{throughput.rows} rows, {figures['rows_per_second']:.0f} a second, {share}.")


def _to_stdout(model: "HybridEstimator", source: str, text: str, text_pair: str | None, json_: bool) -> None:
    """Print predictions as they come: lines, or one JSON object that is closed at the end.

    Raises:
        HilbertuneError: the standard output was closed from the start.
    """
    from hilbertune.use import prediction

    if output_is_closed():
        raise HilbertuneError("The standard output is closed: name a file with --out.")
    before = '{"predictions": ['

    def write(answers: list[dict[str, Any]]) -> None:
        nonlocal before
        for answer in answers:
            if json_:
                print(before, json_text(answer), sep="", end="")
                before = ", "
            else:
                print(prediction.line(answer, ".tsv"), end="")
        sys.stdout.flush()

    pieces = prediction.chunks(model, source, text=text, text_pair=text_pair)
    throughput = prediction.predict_stream(model, pieces, write)
    if json_:
        print("]}")
    say_truncated(throughput.truncated)
