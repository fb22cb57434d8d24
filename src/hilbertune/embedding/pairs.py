"""Pairs of texts: checked, joined to one text, or combined from the vectors of their halves.

In: tuples of two texts.
Out: texts with a separator between the two, or vectors such as [u, v, |u - v|, u * v].
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from hilbertune.config.records import Pairs
from hilbertune.data.checks import checked_text
from hilbertune.errors import HilbertuneError


def checked_pairs(items: Sequence[Any]) -> list[tuple[str, str]]:
    """Return the items as pairs of texts.

    Raises:
        HilbertuneError: an item that is not a pair, or an unusable text; the message names its row, from 1.
    """
    pairs = []
    for row, item in enumerate(items, 1):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise HilbertuneError(f"Row {row} of the texts is not a pair: give each row two texts, (first, second).")
        first, second = item
        pairs.append((checked_text(first, row, "the first texts"), checked_text(second, row, "the second texts")))
    return pairs


def joined(pairs: Sequence[tuple[str, str]], tokenizer: Any) -> list[str]:
    """Return each pair as one text, with the tokenizer's separator (else its end token, else a new line) between."""
    tokens = (getattr(tokenizer, name, None) for name in ("sep_token", "eos_token"))
    between = next((f" {token} " for token in tokens if token), "\n")
    return [f"{first}{between}{second}" for first, second in pairs]


def combined(
    u: Float32[np.ndarray, "pairs width"], v: Float32[np.ndarray, "pairs width"], how: Pairs
) -> Float32[np.ndarray, "pairs wide"]:
    """Return the vectors of first and second texts side by side, with their distance and product as `how` says."""
    parts = {"u": u, "v": v, "|u-v|": np.abs(u - v), "u*v": u * v}
    return np.hstack([parts[part] for part in how.split(",")])


def whole_pairs(progress: Callable[[int], None] | None) -> Callable[[int], None]:
    """Return a callback to call with newly embedded texts, which reports whole pairs to `progress`."""
    halves = 0

    def done(count: int) -> None:
        nonlocal halves
        pairs, halves = divmod(halves + count, 2)
        if progress and pairs:
            progress(pairs)

    return done
