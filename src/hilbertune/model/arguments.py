"""The arguments of a training, checked against the model and each other before anything is done.

In: what `training.train` is given.
Out: nothing, or one sentence on what does not fit.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from hilbertune.config.fields import is_whole
from hilbertune.config.records import PER_RUN, TrainingConfig
from hilbertune.data.splits import Split
from hilbertune.engine.transforms import require_tensor
from hilbertune.errors import HilbertuneError
from hilbertune.model import tasks
from hilbertune.model.layers import HybridHead


def check_arguments(
    model: HybridHead,
    embeddings: Any,
    targets: Any,
    splits: Sequence[Split],
    configs: Sequence[TrainingConfig],
    seeds: Sequence[int],
) -> None:
    """Raise HilbertuneError if the arguments of a training do not fit the model, or each other."""
    if not model.runs == len(splits) == len(configs) == len(seeds):
        raise HilbertuneError(
            f"{model.runs} runs need as many splits, configs and seeds, "
            f"not {len(splits)}, {len(configs)}, {len(seeds)}."
        )
    config = configs[0]
    if config.members != model.members:
        raise HilbertuneError(
            f"The settings say {config.members} members and the model has {model.members}: make both the same."
        )
    alike = {name: getattr(config, name) for name in PER_RUN}
    if any(replace(c, **alike) != config for c in configs):
        raise HilbertuneError(f"Runs that train side by side may differ in {', '.join(PER_RUN)} only.")
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise HilbertuneError("A model that was made under torch.inference_mode cannot learn: make it outside.")
    for seed in seeds:
        if not is_whole(seed) or seed < 0:
            raise HilbertuneError(f"A seed must be a whole number of 0 or more, not {seed!r}.")
    tensors = {"embeddings": embeddings, "targets": targets}
    for name, tensor in tensors.items():
        require_tensor(tensor, name)
    tasks.check(config.task, targets, model.outputs)
    tasks.check_head(config.task, model.config, model.outputs)
    config.check_head(model.config)
    _check_rows(model, embeddings, targets, splits)


def _check_rows(model: HybridHead, embeddings: Tensor, targets: Tensor, splits: Sequence[Split]) -> None:
    """Raise HilbertuneError unless there is a target for each embedding, and the splits name rows that are there."""
    if embeddings.dim() != 2 or embeddings.shape[1] != model.features:
        raise HilbertuneError(f"embeddings must have the shape [rows, {model.features}], not {list(embeddings.shape)}.")
    if not targets.dim() or len(targets) != len(embeddings):
        raise HilbertuneError(
            f"There are {len(embeddings)} embeddings and targets of the shape {list(targets.shape)}: give one a row."
        )
    for split in splits:
        rows = np.concatenate([split.train, split.validation])
        if not len(split.train) or rows.min() < 0 or rows.max() >= len(embeddings):
            raise HilbertuneError(
                f"A split must name training rows, and only rows from 0 to {len(embeddings) - 1}: draw it from them."
            )
