"""The verb that predicts: predict.

In: a model directory, and texts on the command line, a file or a stream of items.
Out: a sentence for a text, a table for several; for a file or a stream a prediction for each row, in order, on stdout
or in a file that a killed run resumes.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertune.cli.flags import BestDevice, Json, ModelArgument, Text, TextPair
from hilbertune.cli.output import print_json, remark, say_truncated
from hilbertune.cli.places import check_file, check_model, check_source
from hilbertune.cli.progress import progress_bars
from hilbertune.cli.tables import print_table
from hilbertune.cli.terminal import as_typed, output_is_closed
from hilbertune.errors import HilbertuneError
from hilbertune.runtime.escaping import json_text, visible

if TYPE_CHECKING:
    from hilbertune.estimator.base import HybridEstimator

Texts = Annotated[
    list[str] | None,
    typer.Argument(help="Texts to predict, each in quotes; of a model of pairs two.", show_default=False),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        "-i",
        show_default="-",
        help="Text (one a line), CSV, TSV, JSONL or Parquet file, or an .npz file of embeddings; - is stdin.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        rich_help_panel="Output",
        help="A .csv, .tsv, .txt or .jsonl file instead of stdout; a killed run resumes it.",
    ),
]


def predict(
    model: ModelArgument,
    texts: Texts = None,
    input_: Input = None,
    out: Out = None,
    text: Text = "text",
    text_pair: TextPair = None,
    device: BestDevice = "auto",
    json_: Json = False,
) -> None:
    """Predict a text, or each row of a file or of stdin.

    Rows are predicted in order and in constant memory: lines "label<tab>probability", or JSON.

    Example: hilbertune predict model 'a warm , funny film'

    Example: cat texts.txt | hilbertune predict model

    Example: hilbertune predict model --input texts.csv --out predictions.csv
    """
    check_model(model)
    if texts and (input_ is not None or out is not None):
        raise HilbertuneError("Give texts on the command line, or --input and --out, not both.")
    if not texts:
        check_source(input_ or "-")
    if out is not None:
        check_file(out)
    if not texts and input_ in (None, "-") and sys.stdin is not None and sys.stdin.isatty():
        remark("Reading texts from the keyboard, one a line; Ctrl-D ends.")
    from hilbertune.estimator.devices import best_device
    from hilbertune.estimator.directory import load_pretrained

    loaded = load_pretrained(model, device=best_device() if device == "auto" else device)
    if texts:
        _typed(loaded, [as_typed(one) for one in texts], json_)
    elif out is None:
        _to_stdout(loaded, input_ or "-", text, text_pair, json_)
    else:
        _to_file(loaded, input_ or "-", out, text, text_pair, json_)


def _typed(model: "HybridEstimator", texts: list[str], json_: bool) -> None:
    """Print the predictions for texts of the command line.

    Raises:
        HilbertuneError: the model reads no texts, or pairs of them and there are not two.
    """
    from hilbertune.use import prediction

    if model.embedding_ is None:
        raise HilbertuneError("The model was trained on embeddings, not on texts: give it a file of them with --input.")
    if "pairs" in model.embedding_ and len(texts) != 2:
        raise HilbertuneError(f"The model reads pairs of texts: give two, not {len(texts)}, or a file with --input.")
    if not all(text.strip() for text in texts):
        raise HilbertuneError("A text is empty: there is nothing to predict.")
    items = [tuple(texts)] if "pairs" in model.embedding_ else texts
    answers = prediction.answers(model, items)
    say_truncated(model.embedder().truncated)
    if json_:
        print_json({"predictions": answers})
    elif len(answers) == 1:
        print(_sentence(answers[0]))
    else:
        print_table(
            ("prediction", "text"), [(_sentence(a), t) for a, t in zip(answers, texts, strict=True)], words=("text",)
        )


def _sentence(answer: dict[str, Any]) -> str:
    """Return a prediction in words."""
    if "value" in answer:
        return f"{answer['value']:.6g}"
    if "label" in answer:
        return f"{visible(answer['label'])} (probability {answer['probability']:.2f})"
    pairs = zip(answer["labels"], answer["probabilities"], strict=True)
    return ", ".join(f"{visible(label)} (probability {share:.2f})" for label, share in pairs) or "no label"


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
        remark(f"{throughput.rows} rows, {figures['rows_per_second']:.0f} a second, {share}.")


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
