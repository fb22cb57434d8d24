"""The contrastive stage: SetFit's own trainer says what a step does; pairs, resuming, and a kill at any moment."""

import collections
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hilbertune.config.records import TuningConfig
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.tuning import contrastive, forward

SMALL = TuningConfig(tune="contrastive", contrastive_steps=6, contrastive_batch_size=4, base_learning_rate=1e-3)


class Job:
    """A contrastive stage on the tiny encoder."""

    def __init__(self, folder: Path, texts: list[str], labels: list[str], out: Path) -> None:
        self.folder, self.texts, self.out = folder, texts, out
        self.targets = np.array([label == "positive" for label in labels]).astype(np.int64)

    def run(self, name: str, config: TuningConfig = SMALL, seed: int = 0, **options: Any) -> dict[str, torch.Tensor]:
        embedder = Embedder(str(self.folder), cache=None, device="cpu")
        contrastive.train_contrastive(embedder, self.texts, self.targets, config, seed, self.out / name, **options)
        return dict(Embedder(str(self.out / name), cache=None).transformer.state_dict())


@pytest.fixture
def job(tiny_models: dict[str, Path], two_kinds: tuple[list[str], list[str]], tmp_path: Path) -> Job:
    return Job(tiny_models["encoder"], *two_kinds, tmp_path)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


# Its recipe


def test_the_steps_are_those_of_setfits_trainer(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dropout, on the pairs that SetFit's trainer draws, both come to the same base."""
    import datasets
    import setfit
    from sentence_transformers.sentence_transformer import losses
    from sklearn.linear_model import LogisticRegression

    theirs = Embedder(str(job.folder), cache=None, device="cpu").transformer
    ours = Embedder(str(job.folder), cache=None, device="cpu")
    for base in (theirs, ours.transformer):
        for module in base.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    by_tokens = {tuple(theirs.tokenizer(text)["input_ids"]): row for row, text in enumerate(job.texts)}
    seen: list[tuple[int, int, float]] = []
    plain = losses.CosineSimilarityLoss.forward

    def listen(self: Any, features: Any, labels: torch.Tensor) -> Any:
        sides = [
            [
                by_tokens[tuple(ids[mask.bool()].tolist())]
                for ids, mask in zip(side["input_ids"], side["attention_mask"], strict=True)
            ]
            for side in features
        ]
        seen.extend(zip(*sides, labels.tolist(), strict=True))
        return plain(self, features, labels)

    monkeypatch.setattr(losses.CosineSimilarityLoss, "forward", listen)
    arguments = setfit.TrainingArguments(
        output_dir=str(job.out / "setfit"),
        max_steps=SMALL.contrastive_steps,
        batch_size=SMALL.contrastive_batch_size,
        body_learning_rate=SMALL.base_learning_rate,
        report_to="none",
        save_strategy="no",
    )
    dataset = datasets.Dataset.from_dict({"text": job.texts, "label": job.targets.tolist()})
    model = setfit.SetFitModel(model_body=theirs, model_head=LogisticRegression())
    trainer = setfit.Trainer(model, arguments, train_dataset=dataset)
    trainer.train_embeddings(job.texts, job.targets.tolist(), args=arguments)
    first, second, alike = (np.array(column) for column in zip(*seen, strict=True))
    assert len(seen) == SMALL.contrastive_steps * SMALL.contrastive_batch_size

    monkeypatch.setattr(contrastive, "draw_pairs", lambda *_: (first, second, alike.astype(np.float32)))
    contrastive.train_contrastive(ours, job.texts, job.targets, SMALL, 0, job.out / "ours")
    expected = theirs.state_dict()
    start = Embedder(str(job.folder), cache=None, device="cpu").transformer.state_dict()
    moved = 0
    for name, value in Embedder(str(job.out / "ours"), cache=None).transformer.state_dict().items():
        # Adam divides by the size of a gradient, however small: where it is rounding alone, so is the step.
        torch.testing.assert_close(value, expected[name], atol=2e-5, rtol=1e-4)
        moved += not torch.equal(value, start[name])
    assert moved > 10


@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    count=st.integers(1, 40),
    seed=st.integers(0, 1 << 32),
)
def test_every_other_pair_is_of_equal_classes(sizes: list[int], count: int, seed: int) -> None:
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)) * 3, sizes))
    first, second, alike = contrastive.draw_pairs(labels, count, seed)
    np.testing.assert_array_equal(alike == 1, labels[first] == labels[second])
    np.testing.assert_array_equal(alike, (np.arange(count) + 1) % 2)


def test_all_pairs_of_a_kind_are_equally_likely() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    first, second, alike = contrastive.draw_pairs(labels, 60_000, 3)
    for kind in (1.0, 0.0):
        chosen = alike == kind
        pairs = [p for p in itertools.product(range(6), repeat=2) if (labels[p[0]] == labels[p[1]]) == kind]
        drawn = collections.Counter(zip(first[chosen].tolist(), second[chosen].tolist(), strict=True))
        assert set(drawn) == set(pairs)
        expected = 30_000 / len(pairs)
        assert all(abs(number - expected) < 6 * expected**0.5 for number in drawn.values())


def test_pairs_differ_with_the_seed_alone() -> None:
    labels = np.arange(40) % 2
    one, again, other = (contrastive.draw_pairs(labels, 20, seed)[0].tolist() for seed in (1, 1, 2))
    assert one == again != other


def test_the_rate_rises_and_falls() -> None:
    from transformers import get_linear_schedule_with_warmup

    parameter = torch.nn.Parameter(torch.zeros(1))
    for steps in (1, 2, 9, 100):
        optimizer = torch.optim.SGD([parameter], 1.0)
        schedule = get_linear_schedule_with_warmup(optimizer, -(-steps // 10), steps)
        for step in range(steps):
            assert contrastive.rate_share(step, steps) == pytest.approx(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()


def test_half_precision_comes_near_single(job: Job) -> None:
    single, half = (
        job.run(name, TuningConfig(**{**SMALL.to_dict(), "precision": name})) for name in ("float32", "bfloat16")
    )
    apart = {name for name in single if not torch.equal(single[name], half[name])}
    assert apart
    assert all(value.dtype == torch.float32 for value in half.values())
    for name in apart:
        torch.testing.assert_close(single[name], half[name], atol=0.02, rtol=0.05)


# A stage that was killed


class Killed(Exception):
    pass


@pytest.mark.parametrize("moment", [1, 3, 5])
def test_a_stopped_stage_goes_on_bit_for_bit(job: Job, moment: int) -> None:
    undisturbed = job.run("undisturbed")
    checkpoint, shares = job.out / "contrastive.safetensors", []

    def stop(share: float) -> None:
        shares.append(share)
        # The checkpoint of this step is not written yet.
        if len(shares) == moment + 1:
            raise Killed

    with pytest.raises(Killed):
        job.run("out", checkpoint=checkpoint, checkpoint_seconds=0.0, progress=stop)
    assert checkpoint.exists()
    assert not (job.out / "out").exists()
    later: list[float] = []
    again = job.run("out", checkpoint=checkpoint, checkpoint_seconds=0.0, progress=later.append)
    assert same(undisturbed, again)
    # The steps before the last checkpoint were not done again.
    assert len(later) == SMALL.contrastive_steps - moment
    assert not checkpoint.exists()


def test_a_foreign_or_broken_checkpoint_is_refused(job: Job) -> None:
    checkpoint = job.out / "contrastive.safetensors"

    def stop(share: float) -> None:
        if share > 0.6:
            raise Killed

    with pytest.raises(Killed):
        job.run("out", checkpoint=checkpoint, checkpoint_seconds=0.0, progress=stop)
    with pytest.raises(HilbertuneError, match="other data or settings"):
        job.run("out", seed=1, checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(HilbertuneError, match="not a complete checkpoint"):
        job.run("out", checkpoint=checkpoint)


SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from hilbertune.config.records import TuningConfig
from hilbertune.embedding.embedder import Embedder
from hilbertune.tuning.contrastive import train_contrastive
given = json.loads(sys.argv[1])
train_contrastive(
    Embedder(given["model"], cache=None, device="cpu"), given["texts"], np.array(given["targets"]),
    TuningConfig(**given["config"]), 0, Path(given["out"]), checkpoint=Path(given["checkpoint"]),
    checkpoint_seconds=0.0, progress=lambda share: print(share, flush=True),
)
"""


def test_a_killed_process_loses_no_finished_checkpoint(job: Job) -> None:
    """SIGKILL strikes; the next process goes on and ends with the base of a stage that nothing disturbed."""
    import json

    config = {**SMALL.to_dict(), "contrastive_steps": 40}
    undisturbed = job.run("undisturbed", TuningConfig(**config))
    given = {
        "model": str(job.folder),
        "texts": job.texts,
        "targets": job.targets.tolist(),
        "config": config,
        "out": str(job.out / "out"),
        "checkpoint": str(job.out / "contrastive.safetensors"),
    }
    begun: list[float] = []
    for kill in (True, False):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, json.dumps(given)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        assert process.stdout is not None
        shares = [float(process.stdout.readline())]
        begun.append(shares[0])
        if kill:
            shares += [float(process.stdout.readline()) for _ in range(8)]
            time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == (-signal.SIGKILL if kill else 0)
    assert begun[0] == 1 / 40
    assert begun[0] + 0.1 < begun[1]
    assert same(undisturbed, dict(Embedder(given["out"], cache=None).transformer.state_dict()))


# The forward pass


@settings(max_examples=60)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=7), pass_tokens=st.integers(0, 80))
def test_groups_take_the_least_time(lengths: list[int], pass_tokens: int) -> None:
    """Brute force over all ways to cut the sorted texts into groups finds nothing cheaper."""
    array = np.array(lengths)

    def cost(parts: list[np.ndarray]) -> int:
        return sum(len(part) * int(array[part].max()) + pass_tokens for part in parts)

    found = forward.groups(array, pass_tokens)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    order = np.argsort(-array, kind="stable")
    every = (
        np.split(order, list(cuts))
        for count in range(len(lengths))
        for cuts in itertools.combinations(range(1, len(lengths)), count)
    )
    assert cost(found) == min(map(cost, every))


def test_vectors_and_gradients_are_those_of_one_padded_pass(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*job.texts[:6], "w1 " * 20 + "good", "bad", "w2 film w3 " * 9]
    base = Embedder(str(job.folder), cache=None, device="cpu").transformer.double().eval()
    monkeypatch.setattr(forward, "PASS_TOKENS", 1)
    results = []
    for by_length in (True, False):
        base.zero_grad()
        if by_length:
            vectors = forward.vectors(base, texts, device=torch.device("cpu"))
        else:
            vectors = base(base.preprocess(texts))["sentence_embedding"]
        (vectors * torch.arange(1, 1 + vectors.numel(), dtype=torch.float64).view_as(vectors)).sum().backward()
        gradients = {k: p.grad.clone() for k, p in base.named_parameters() if p.grad is not None}
        results.append((vectors.detach(), gradients))
    (ours, slopes), (plain, expected) = results
    torch.testing.assert_close(ours, plain, atol=1e-10, rtol=0)
    assert slopes.keys() == expected.keys()
    for name, slope in slopes.items():
        torch.testing.assert_close(slope, expected[name], atol=1e-10, rtol=1e-10)
