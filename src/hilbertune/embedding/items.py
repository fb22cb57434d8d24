"""Items to embed: which kind each is, and the key of its content in the cache.

In: texts, images and sounds, and the kinds that a model reads.
Out: checked texts and undecoded media, each with a SHA-256.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from hilbertune.data.checks import checked_text
from hilbertune.embedding.media import Media, image_item, names_image, sound_item


def keyed_items(
    items: Sequence[Any], kinds: frozenset[str], sampling_rate: Callable[[], int]
) -> list[tuple[bytes, str | Media]]:
    """Return pairs of a key and its item; media are checked as far as that is cheap, and decoded later.

    `kinds` is what the model reads ("text", "image", "audio"); `sampling_rate` gives its samples a
    second, and is called for sounds only.

    Raises:
        HilbertuneError: an unusable text, a missing or undecodable file, an item of another kind;
            the message names its row, from 1.
        MissingExtraError: an image or sound without the extra `media`.
    """
    return [_keyed(item, row, kinds, sampling_rate) for row, item in enumerate(items, 1)]


def _keyed(item: Any, row: int, kinds: frozenset[str], sampling_rate: Callable[[], int]) -> tuple[bytes, str | Media]:
    as_image = "image" in kinds and isinstance(item, str) and names_image(item, row)
    if "text" in kinds and not as_image and (isinstance(item, str) or len(kinds) == 1):
        text = checked_text(item, row, "the texts")
        return hashlib.sha256(text.encode()).digest(), text
    if "image" in kinds:
        return image_item(item, row)
    return sound_item(item, row, sampling_rate)
