"""The forward pass of a base that learns: texts of like length go through it together, so that little padding is.

In: a sentence transformer, texts, a device and an arithmetic.
Out: their vectors, in the order of the texts, with gradients into the base.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from hilbertune.config.records import Precision

PASS_TOKENS = 128
"""Tokens that a processor embeds in the time that one more pass through the base takes (measured on MPNet)."""


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Return the context in which a base computes; `auto` is bfloat16 on a GPU that has it, otherwise float32."""
    half = {"auto": half_precision(device), "bfloat16": torch.bfloat16, "float32": None}[precision]
    return torch.autocast(device.type, dtype=half, enabled=half is not None)


def half_precision(device: torch.device) -> torch.dtype | None:
    """Return bfloat16 on a GPU that computes in it, else None.

    It is never float16, so gradients need no scaling.
    """
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if on_gpu else None


def vectors(
    base: Any, texts: Sequence[str], *, device: torch.device, precision: Precision = "auto"
) -> Float[Tensor, "texts width"]:
    """Return the vectors of texts as `base(base.preprocess(texts))["sentence_embedding"]` gives them.

    On a CPU they go through in groups of like length (`groups`); a GPU takes them at once, since it waits for its
    next work longer than it computes padding.
    """
    features = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in base.preprocess(list(texts)).items()}
    mask = features.get("attention_mask")
    with autocast(device, precision):
        if device.type != "cpu" or mask is None or mask.dim() != 2:
            whole: Tensor = base(features)["sentence_embedding"]
            return whole
        lengths = mask.sum(1).numpy()
        parts = groups(lengths, PASS_TOKENS)
        out = [base(_some(features, part, int(lengths[part].max())))["sentence_embedding"] for part in parts]
    return torch.cat(out)[torch.from_numpy(np.argsort(np.concatenate(parts)))]


def _some(features: dict[str, Any], rows: Int64[np.ndarray, " rows"], length: int) -> dict[str, Any]:
    """Return the features of some texts, cut to the length of the longest of them; padding is on the right."""
    shape = features["attention_mask"].shape
    places = torch.from_numpy(rows)
    return {k: v[places, :length] if isinstance(v, Tensor) and v.shape[:2] == shape else v for k, v in features.items()}


def groups(lengths: Int64[np.ndarray, " texts"], pass_tokens: int) -> list[Int64[np.ndarray, " rows"]]:
    """Return the texts in groups, the longest first, that take the least time together.

    A group of n texts, the longest of L tokens, takes as long as n · L + `pass_tokens` tokens.
    """
    order = np.argsort(-lengths, kind="stable")
    longest = lengths[order]
    count = len(order)
    # The least time of the first n texts, and where the last group of them begins.
    cost, cuts = np.zeros(count + 1), np.zeros(count + 1, np.int64)
    for end in range(1, count + 1):
        starts = np.arange(end)
        each = cost[:end] + (end - starts) * longest[:end] + pass_tokens
        cuts[end] = int(each.argmin())
        cost[end] = each[cuts[end]]
    parts: list[np.ndarray] = []
    while count:
        parts.append(order[cuts[count] : count])
        count = int(cuts[count])
    return parts[::-1]
