"""The verb that trains a model: fit.

In: labelled texts, molecules or embeddings, and a flag for every hyperparameter.
Out: a model directory, and its figures on stdout.
"""

import dataclasses
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertune.cli.fit_config import FILE, Config, record
from hilbertune.cli.fit_rows import FitRows, Protocol, Rows, read_fit_rows
from hilbertune.cli.flags import Json, Trackers, TrainingDevice, with_records
from hilbertune.cli.output import print_json, remark, say, say_classical, say_truncated
from hilbertune.cli.places import check_place
from hilbertune.cli.progress import progress_bars
from hilbertune.cli.rows import embed_rows, first_rows
from hilbertune.cli.tables import print_figures
from hilbertune.cli.wording import flags_text
from hilbertune.config.automatic import Automatic
from hilbertune.config.circuits import OWN, REPLACED
from hilbertune.config.records import DEFAULT_PAIRS, HeadConfig, InputConfig, TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    import numpy as np

    from hilbertune.embedding.embedder import Embedder
    from hilbertune.study.outcome import Outcome


@with_records
def fit(
    *,
    files: FitRows,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", "--output-dir", help="Directory of the model; must not exist.", rich_help_panel="Output"
        ),
    ],
    config: Config = None,  # noqa: ARG001 - its callback has read the file
    inputs: InputConfig,
    protocol: Protocol,
    device: TrainingDevice = "cpu",
    trackers: Trackers,
    json_: Json = False,
    settings: Automatic,
    tuning: TuningConfig,
) -> None:
    """Train a hybrid classifier (with --task regression a regressor) and save it.

    Shape and training are chosen to suit the data where no flag sets them; with --preset they are the published ones.
    With --tune the embedding model learns too.

    Example: hilbertune fit train.csv --epochs 60 --seeds 3 --out model

    Example: hilbertune fit --config fit.yaml --lr 0.01 --out model

    Example: hilbertune fit train.csv --tune contrastive --test test.csv --out model

    Example: accelerate launch --num_processes 8 -m hilbertune fit train.csv --tune joint --accumulation 8 --out model

    Example: hilbertune fit --embeddings x.npz --per-class 256 --test-rest --out m

    Example: hilbertune fit bbbp.csv --text smiles --embedding morgan --projection random --split-by scaffold --out m
    """
    started = time.monotonic()
    check_place(out)
    rows = read_fit_rows(files, inputs, protocol, settings.given["task"])
    # Slow to import, so only once the arguments and the data are known to be good.
    from hilbertune.estimator.devices import check_device
    from hilbertune.runtime import processes
    from hilbertune.runtime.destinations import kept
    from hilbertune.study.outcome import save_outcome

    check_device(device)
    mirrors = trackers.mirrors() if processes.is_first() else []
    if tuning.tune != "joint":
        processes.alone(f"--tune {tuning.tune}")
    processes.join(device)
    embedder = _embedder(rows, files, inputs, tuning, device)
    shape, training = _chosen(rows, embedder, settings)
    outcome = _trained(rows, embedder, protocol.baselines, device, shape, training, tuning)
    processes.wait(device)
    if not processes.is_first():
        return
    title = f"Hilbertune: {files.data or files.embeddings}"
    used = {**shape.to_dict(), **training.to_dict(), **tuning.to_dict()}
    rows_from = {**dataclasses.asdict(files), **inputs.to_dict(), **dataclasses.asdict(protocol)}
    repeats = {FILE: record({**rows_from, "device": device, **used})}
    name = str(files.data or files.embeddings)
    # The card goes to others: a file is called by its name alone.
    dataset = Path(name).name if Path(name).exists() else name
    said: dict[str, Any] = {"title": title, "dataset": dataset, "files": repeats}
    figures, failure = kept(lambda place: save_outcome(outcome, place, **said), out)
    if mirrors:
        _mirror(outcome, figures, used, out.name, mirrors)
    say_truncated(figures.get("truncated", 0))
    print_json(figures) if json_ else print_figures(figures, time.monotonic() - started)
    say_classical(figures)
    if failure is not None:
        raise failure


def _embedder(rows: Rows, files: FitRows, inputs: InputConfig, tuning: TuningConfig, device: str) -> "Embedder | None":
    """Return the embedder of the texts, or None for rows that are vectors already.

    Raises:
        HilbertuneError: there is no such embedding model, or there are no texts for one that is to learn.
    """
    from hilbertune.embedding.embedder import Embedder

    if rows.labelled.texts is not None:
        pairs = inputs.pairs if files.text_pair is None else inputs.pairs or DEFAULT_PAIRS
        return Embedder(inputs.embedding, device=device, pooling=inputs.pooling, pairs=pairs)
    if tuning.tune != "frozen":
        raise HilbertuneError(f"--tune {tuning.tune} needs the texts, not their embeddings.")
    return None


def _chosen(rows: Rows, embedder: "Embedder | None", settings: Automatic) -> tuple[HeadConfig, TrainingConfig]:
    """Return shape and training for these rows, and say what was chosen; one row is seen before all are embedded.

    Raises:
        HilbertuneError: the shape does not fit the embeddings.
    """
    from hilbertune.data.traits import traits_of
    from hilbertune.model import tasks
    from hilbertune.model.layers import HybridHead

    task, classes = settings.given["task"], len(rows.classes)
    if embedder is None:
        vectors = embed_rows(rows.labelled, None)[rows.splits[0].train]
    else:
        vectors = embed_rows(first_rows(rows.labelled, 1), embedder)
    shape, training = settings.resolved(traits_of(vectors, task, classes, embedded=embedder is not None))
    HybridHead(vectors.shape[1], tasks.outputs(task, classes), shape)
    used = {**shape.to_dict(), **training.to_dict()}
    idle = {other for name in OWN if used[name] is not None for other in REPLACED[name]}
    if settings.names:
        chosen = flags_text({name: used[name] for name in settings.names if name not in idle})
        remark(f"Chosen for {vectors.shape[1]} numbers a row: {chosen}")
    logging.getLogger(__name__).info("All settings: %s", flags_text({k: v for k, v in used.items() if k not in OWN}))
    return shape, training


def _trained(
    rows: Rows,
    embedder: "Embedder | None",
    baselines: bool,
    device: str,
    shape: HeadConfig,
    training: TrainingConfig,
    tuning: TuningConfig,
) -> "Outcome":
    """Run the experiment, with an embedding model that learns or with one that stays as it is."""
    from hilbertune.runtime import energy
    from hilbertune.study.experiment import Examples, run_experiment, run_tuned

    examples = Examples(rows.targets, rows.classes, rows.splits, rows.seeds)
    with progress_bars() as progress, energy.metering():
        if embedder is not None and tuning.tune != "frozen":
            return run_tuned(
                embedder,
                rows.texts,
                examples,
                shape,
                training,
                tuning,
                baselines=baselines,
                device=device,
                progress=progress,
            )
        vectors = embed_rows(rows.labelled, embedder, progress)
        if rows.held_out is not None:
            vectors = _stack(vectors, embed_rows(rows.held_out, embedder, progress))
        return run_experiment(
            vectors,
            examples,
            shape,
            training,
            embedding=embedder.record() if embedder else None,
            baselines=baselines,
            device=device,
            progress=progress,
        )


def _stack(first: "np.ndarray", second: "np.ndarray") -> "np.ndarray":
    """Return the test set's embeddings below those of the training set."""
    import numpy as np

    if first.shape[1] != second.shape[1]:
        raise HilbertuneError(
            f"Training embeddings have {first.shape[1]} numbers, test embeddings {second.shape[1]}: "
            "use one embedding model."
        )
    return np.concatenate([first, second])


def _mirror(outcome: "Outcome", figures: dict[str, Any], settings: dict[str, Any], name: str, mirrors: Any) -> None:
    """Copy the runs to the trackers; a tracker that fails is named and stops nothing."""
    from hilbertune.report import tracking
    from hilbertune.study.outcome import CURVES

    curves = {curve: outcome.training.mean_curve(curve) for curve in CURVES}
    for sentence in tracking.copy_runs(tracking.of_fit(figures, curves, settings, name), mirrors):
        say(sentence)
