"""Verbs that make and use a model: fit, demo, evaluate, predict.

In: files and flags. Out: a model directory, or figures and predictions on stdout.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hilbertune.cli.flags import Json
from hilbertune.cli.output import check_place, print_figures, print_json, progress_bars
from hilbertune.cli.rows import embed_rows
from hilbertune.config.records import HeadConfig, TrainingConfig

if TYPE_CHECKING:
    pass


def demo(
    out: Annotated[Path | None, typer.Option(help="Directory of the model.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many models.")] = 5,
    json_: Json = False,
) -> None:
    """The main job on real sentences, without any download: train on 512, test on 2,000, compare, save.

    Example: hilbertune demo --seeds 5
    """
    import numpy as np

    from hilbertune.data.labels import encode_labels
    from hilbertune.data.packages import demo_sentences
    from hilbertune.data.splits import Split, few_shot_split
    from hilbertune.embedding.embedder import Embedder
    from hilbertune.runtime import energy
    from hilbertune.study import experiment

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
    used = np.unique(np.concatenate([np.concatenate([s.train, s.validation, s.test]) for s in splits]))
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
    print_json(figures) if json_ else print_figures(figures)


def _free_name(name: str) -> Path:
    """The first of name, name-2, name-3 ... that is not taken."""
    path, number = Path(name), 1
    while path.exists():
        number += 1
        path = Path(f"{name}-{number}")
    return path
