"""A foundation model that learns: from pairs of sentences (SetFit), or together with the head above it.

In: an embedder, texts, labels or targets, and a `TuningConfig`. Out: the tuned base as a folder that `Embedder` reads; for the joint
stage also the head at its best epoch. Rows outside the split's training and validation parts are never read.
"""

import hashlib
import json
import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from hilbertune.config.records import TrainingConfig, TuningConfig
from hilbertune.data.splits import Split
from hilbertune.embedding.embedder import Embedder
from hilbertune.engine.cpu import cores_for_kernels
from hilbertune.errors import HilbertuneError, require
from hilbertune.model import tasks
from hilbertune.model.layers import HybridHead
from hilbertune.runtime import processes, storage
from hilbertune.tuning.contrastive import Progress, write_base

_JOINT = 4
"""The random stream of the joint stage; those of the head are in training.py."""


@dataclass
class JointResult:
    """Curves of the joint stage: entry 0 is what it began with, each other one an epoch; the best epoch and the seconds."""

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0


def check_batches(config: TuningConfig) -> None:
    """Refuse more processes than a joint step has batches.

    Raises:
        HilbertuneError: there are more.
    """
    if processes.count() > config.accumulation:
        raise HilbertuneError(
            f"{processes.count()} processes share the batches of a step, of which accumulation={config.accumulation} allows no more: "
            f"use --accumulation {processes.count()} and a tuning_batch_size smaller by as much."
        )


@cores_for_kernels()
def train_joint(
    embedder: Embedder,
    head: HybridHead,
    texts: Sequence[str],
    targets: np.ndarray,
    split: Split,
    config: TuningConfig,
    training: TrainingConfig,
    seed: int,
    out: Path,
    *,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Progress = lambda share: None,
) -> JointResult:
    """Train base and head together, from the head that was trained on the frozen base; write the base of the best epoch to `out`.

    Gradients flow through the circuits and the amplitude encoding into the base. Best is the highest validation accuracy, then the
    lowest validation loss; the state before the first epoch takes part. Without validation rows it is the last epoch. AdamW without
    decay of the base: its layers learn at base_learning_rate · layer_decay^(layers above), the head at its own learning rate.

    Started by `accelerate launch`, the processes share the `accumulation` batches of each step and the validation rows among them;
    since a batch's dropout and shots are drawn from its own number, the losses do not depend on how many processes there are.

    Args:
        embedder: the base to begin with; its model is changed in place.
        head: one run; it is left at the best epoch.
        texts: all rows, of which the split's training and validation rows are read.
        targets: of all rows, as `tasks.losses` takes them.
        out: a folder that does not exist, or that this very stage has written.
        checkpoint: a file that the stage goes on from; on the CPU bit for bit. It keeps the best head until it is removed.

    Raises:
        HilbertuneError: the base has no such layers, the checkpoint is another stage's, the loss became infinite; more processes
            than batches in a step.
        MissingExtraError: adapters without the extra `tune`.
    """
    check_batches(config)
    device = head.head.weights.device
    base = embedder.transformer.to(device)
    adapters = _adapters(base, config, seed)
    every = torch.from_numpy(targets).to(device)
    classes = tasks.classes_of(training.task, head.outputs)
    found = tasks.class_weights(training, every[torch.from_numpy(split.train).to(device)], classes)
    weights = None if found is None else found[None].to(head.head.weights)
    stage = _Stage(base, head, list(texts), every, config, training, weights)
    fingerprint = _fingerprint(embedder, head, texts, targets, split, config, training, seed)
    optimizer = torch.optim.AdamW(_groups(base, head, config, training), weight_decay=0.0)
    learning = {n: p for n, p in stage.named_parameters() if p.requires_grad}
    result, at, best = (
        JointResult(),
        (0, 0, 0.0),
        {n: p.detach().clone() for n, p in learning.items()},
    )
    if checkpoint is not None and checkpoint.exists():
        at = _restore(checkpoint, fingerprint, learning, best, optimizer, result)
    else:
        _record(result, math.nan, stage.validate(split.validation), learning, best)
    size = config.tuning_batch_size * config.accumulation
    steps = -(-len(split.train) // size)
    started, saved = time.monotonic() - result.seconds, time.monotonic()

    def save() -> None:
        nonlocal saved
        result.seconds = time.monotonic() - started
        if checkpoint is not None and processes.is_first():
            _save(checkpoint, fingerprint, learning, best, optimizer, result, at)
        saved = time.monotonic()

    epoch, done, total = at
    rates = [group["lr"] for group in optimizer.param_groups]
    while epoch < config.tuning_epochs:
        order = np.random.default_rng([seed, _JOINT, epoch]).permutation(split.train)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * training.learning_rate_decay**epoch
        while done < steps:
            rows = order[done * size : (done + 1) * size]
            seeds = _batch_seeds(seed, epoch, done * config.accumulation, config.accumulation)
            total += stage.step(rows, optimizer, seeds)
            done += 1
            progress((epoch + done / steps) / config.tuning_epochs)
            if time.monotonic() - saved > checkpoint_seconds:
                at = (epoch, done, total)
                save()
        if not math.isfinite(total):
            raise HilbertuneError(
                "The joint stage diverged to infinite losses: use a smaller base_learning_rate or learning_rate."
            )
        loss = total / len(split.train)
        _record(result, loss, stage.validate(split.validation), learning, best)
        epoch, done, total = epoch + 1, 0, 0.0
        at = (epoch, done, total)
        save()
    result.seconds = time.monotonic() - started
    with torch.no_grad():
        for name, parameter in learning.items():
            parameter.copy_(best[name])
    for parameter in (*base.parameters(), *head.parameters()):
        parameter.grad = None
    if adapters is not None:
        adapters.merge_and_unload()
    if processes.is_first() and not out.exists():
        write_base(base, out)
    processes.wait(device.type)
    return result


class _Stage(nn.Module):
    """Base and head as one module."""

    def __init__(
        self,
        base: Any,
        head: HybridHead,
        texts: list[str],
        targets: Tensor,
        config: TuningConfig,
        training: TrainingConfig,
        weights: Tensor | None,
    ) -> None:
        super().__init__()
        self.base, self.head = base, head
        self.texts, self.targets, self.config, self.task = texts, targets, config, training.task
        self.weights = weights
        head.head.shots, head.head.gradient = training.shots, training.gradient
        head.head.noise = training.noise

    def logits(self, rows: np.ndarray) -> Tensor:
        device = self.head.head.weights.device
        features = self.base.preprocess([self.texts[row] for row in rows])
        features = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in features.items()}
        half = None if self.config.precision == "float32" else half_precision(device)
        if self.config.precision == "bfloat16":
            half = torch.bfloat16
        with torch.autocast(device.type, dtype=half, enabled=half is not None):
            embeddings = self.base(features)["sentence_embedding"]
        found: Tensor = self.head(embeddings.to(self.head.head.weights.dtype))[None]
        return found

    def losses(self, rows: np.ndarray, logits: Tensor) -> Tensor:
        targets = self.targets[torch.from_numpy(rows).to(logits.device)][None]
        return tasks.losses(self.task, logits, targets, self.weights)

    def step(self, rows: np.ndarray, optimizer: torch.optim.Optimizer, seeds: Sequence[int]) -> float:
        """One step over as many batches as are accumulated; the summed loss. A batch's dropout and shots are drawn from its seed."""
        self.train()
        optimizer.zero_grad(set_to_none=True)
        size, device = self.config.tuning_batch_size, self.head.head.weights.device
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        total = torch.zeros(1, dtype=torch.float64, device=device)
        with torch.random.fork_rng():
            for number in processes.mine(range(len(batches)), device.type):
                some = batches[number]
                self.head.head.rngs = [np.random.default_rng(seeds[number])]
                torch.manual_seed(seeds[number])
                loss = self.losses(some, self.logits(some)).sum()
                (loss / len(rows)).backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
        gradients = [total]
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                # A part of the base that no text reached has none; with several processes all must send alike.
                if parameter.grad is None and processes.count() > 1:
                    parameter.grad = torch.zeros_like(parameter)
                if parameter.grad is not None:
                    gradients.append(parameter.grad)
        processes.add_up(gradients, device.type)
        optimizer.step()
        self.head.head.rngs = None
        return float(total)

    @torch.no_grad()
    def validate(self, rows: np.ndarray) -> tuple[float, float]:
        """Mean loss and accuracy, NaN where there are none."""
        if not len(rows):
            return math.nan, math.nan
        self.eval()
        self.head.head.rngs = [np.random.default_rng(0)]
        device = self.head.head.weights.device
        parts = [rows[start : start + 64] for start in range(0, len(rows), 64)]
        own = []
        for part in processes.mine(range(len(parts)), device.type):
            self.head.head.rngs = [np.random.default_rng([0, part])]
            own.append(self.logits(parts[part]))
        self.head.head.rngs = None
        logits = torch.cat(processes.all_parts(own, device.type), 1)
        right = tasks.correct(self.task, logits, self.targets[torch.from_numpy(rows).to(logits.device)][None])
        accuracy = math.nan if right is None else float(right.double().mean())
        return float(self.losses(rows, logits).double().mean()), accuracy


def half_precision(device: torch.device) -> torch.dtype | None:
    """bfloat16 on a GPU that computes in it, else None."""
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if on_gpu else None


def _batch_seeds(seed: int, epoch: int, first: int, count: int) -> list[int]:
    """Random numbers of a batch do not depend on what was drawn before, so that no generator's state needs to be kept."""
    sequences = (np.random.SeedSequence([seed, _JOINT, epoch, first + i]) for i in range(count))
    return [int(sequence.generate_state(1)[0]) for sequence in sequences]


_LAYER = re.compile(r"\.(\d+)\.")


def layer_of(name: str, layers: int) -> int:
    """The layer (from 0) that a parameter of the base belongs to; -1 below the first (embeddings), `layers` above the last."""
    if found := _LAYER.search(name):
        return int(found[1])
    return -1 if "embed" in name else layers


def _inner(base: Any) -> nn.Module:
    """The transformer itself, without pooling."""
    inner = getattr(base[0], "model", None) or getattr(base[0], "auto_model", None)
    if not isinstance(inner, nn.Module):
        raise HilbertuneError("This base has no transformer that could learn: use tune='frozen'.")
    return inner


def _groups(base: Any, head: HybridHead, config: TuningConfig, training: TrainingConfig) -> list[dict[str, Any]]:
    """The parameters that learn, with their rates; all others are frozen."""
    inner = _inner(base)
    layers = int(getattr(inner.config, "num_hidden_layers", 0))
    if config.tuned_layers is not None and config.tuned_layers > layers:
        raise HilbertuneError(
            f"The base has {layers} layers: tuned_layers must be at most that, not {config.tuned_layers}."
        )
    lowest = -1 if config.tuned_layers is None else layers - config.tuned_layers
    groups = [
        {
            "params": list(head.parameters()),
            "lr": training.learning_rate,
            "weight_decay": training.weight_decay,
        }
    ]
    for name, parameter in inner.named_parameters():
        layer = layer_of(name, layers)
        adapter = config.lora_rank is None or "lora_" in name
        parameter.requires_grad_(layer >= lowest and adapter)
        if parameter.requires_grad:
            above = max(0, layers - 1 - layer)
            rate = config.base_learning_rate * config.layer_decay**above
            groups.append({"params": [parameter], "lr": rate})
    return groups


def _adapters(base: Any, config: TuningConfig, seed: int) -> Any:
    """LoRA adapters (Hu et al. 2021) in every linear layer of the base, None without a rank."""
    if config.lora_rank is None:
        return None
    peft = require("peft", "tune")
    settings = peft.LoraConfig(r=config.lora_rank, lora_alpha=2 * config.lora_rank, target_modules="all-linear")
    with torch.random.fork_rng():
        # The adapters' own initial values; peft draws them from the global generator.
        torch.manual_seed(seed)
        return peft.get_peft_model(_inner(base), settings)


def _record(
    result: JointResult,
    loss: float,
    validation: tuple[float, float],
    learning: dict[str, nn.Parameter],
    best: dict[str, Tensor],
) -> None:
    """Write the curves, and keep the best parameters."""
    result.train_loss.append(loss)
    result.validation_loss.append(validation[0])
    result.validation_accuracy.append(validation[1])
    epoch = len(result.train_loss) - 1

    def rank(e: int) -> tuple[float, float]:
        return float(np.nan_to_num(result.validation_accuracy[e])), -result.validation_loss[e]

    if math.isnan(validation[0]) or epoch == 0 or rank(epoch) > rank(result.best_epoch):
        result.best_epoch = epoch
        for name, parameter in learning.items():
            best[name].copy_(parameter.detach())


def _fingerprint(
    embedder: Embedder,
    head: HybridHead,
    texts: Sequence[str],
    targets: np.ndarray,
    split: Split,
    config: TuningConfig,
    training: TrainingConfig,
    seed: int,
) -> str:
    """What a checkpoint belongs to."""
    digest = hashlib.sha256()
    rows = np.concatenate([split.train, split.validation])
    settings = [config.to_dict(), training.to_dict(), head.config.to_dict(), int(seed)]
    digest.update(json.dumps([settings, embedder.record()["fingerprint"]]).encode())
    digest.update(json.dumps([texts[row] for row in rows]).encode())
    digest.update(json.dumps([len(split.train), rows.tolist(), targets[rows].tolist()]).encode())
    for tensor in head.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _save(
    path: Path,
    fingerprint: str,
    learning: dict[str, nn.Parameter],
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    result: JointResult,
    at: tuple[int, int, float],
) -> None:
    tensors: dict[str, Tensor] = {}
    for name, parameter in learning.items():
        tensors[f"now.{name}"] = parameter.detach()
        tensors[f"best.{name}"] = best[name]
        for key, value in optimizer.state[parameter].items():
            tensors[f"{key}.{name}"] = value
    about = {"fingerprint": fingerprint, "at": at, "result": vars(result)}
    content = {k: v.cpu().contiguous() for k, v in tensors.items()}
    storage.write_atomically(path, safetensors.torch.save(content, {"joint": json.dumps(about)}))


def _restore(
    path: Path,
    fingerprint: str,
    learning: dict[str, nn.Parameter],
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    result: JointResult,
) -> tuple[int, int, float]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["joint"])
            owner = about["fingerprint"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise HilbertuneError(f"{path} is no whole checkpoint: remove it to start afresh.") from error
    if owner != fingerprint:
        raise HilbertuneError(
            f"The checkpoint {path} belongs to a training with other data or settings: remove it or name another file."
        )
    with torch.no_grad():
        for name, parameter in learning.items():
            parameter.copy_(tensors[f"now.{name}"])
            best[name].copy_(tensors[f"best.{name}"])
            state = {
                key: tensors[f"{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}.{name}" in tensors
            }
            if state:
                optimizer.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in state.items()}
    vars(result).update(about["result"])
    epoch, done, total = about["at"]
    return epoch, done, total
