"""The tokenizer of an exported base: texts as users have them in, the tokens that the base itself reads out.

In: a base (a sentence transformer), whose default prompt and way of cutting are not in its tokenizer's file.
Out: a `tokenizers.Tokenizer` that does the same by itself, tried on texts of many kinds, or one sentence why none does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hilbertune.embedding.transformer import default_prompt
from hilbertune.errors import HilbertuneError

UNLIMITED = 2**31 - 1
"""Tokens of a text that a base without a limit takes, since `enable_truncation` wants a number."""

_MOST_TRIED = 1 << 14
"""Tokens of the longest text that is tried."""

_TRIED = (
    *"aZ7é.-(\"'中ß\u0301",
    "a text",
    "Another, longer TEXT to export: 3.5 %!",
    " two  blanks\tand\na line ",
    "ends with a blank ",
    "İstanbul ΣΊΣΥΦΟΣ naïve e\u0301 ﬁ",
    "#tag @name http://example.org/a?b=c",
    "日本語のテキスト",
    "🙂 ok",
)


def max_tokens(base: Any) -> int:
    """Return the number of tokens that a base reads of a text, at most UNLIMITED."""
    return int(min(base.max_seq_length or UNLIMITED, UNLIMITED))


def plain_tokenizer(base: Any) -> Any:
    """Return a tokenizer that gives, cut to `max_tokens`, the tokens that the base reads, its default prompt included.

    Raises:
        HilbertuneError: no such tokenizer can be made of the base's own.
    """
    from tokenizers import Tokenizer, processors

    own = base.tokenizer
    own = getattr(own, "backend_tokenizer", own)
    if not isinstance(own, Tokenizer):
        raise _refusal("it has no fast tokenizer")
    limit = max_tokens(base)
    plain = Tokenizer.from_str(own.to_str())
    plain.no_padding()
    plain.no_truncation()
    before, after = _ends(base, plain)
    pieces = {name: ids for name, ids in (("<before>", before), ("<after>", after)) if ids}
    if before + after != plain.encode("").ids:
        plain.post_processor = processors.TemplateProcessing(
            single=" ".join(name for name in ("<before>", "$A", "<after>") if name in (*pieces, "$A")),
            pair="$A $B:1",
            special_tokens=[
                {"id": name, "ids": ids, "tokens": [str(plain.id_to_token(one)) for one in ids]}
                for name, ids in pieces.items()
            ],
        )
    plain.enable_truncation(limit)
    plain.enable_padding()
    words = [word for word in (str(plain.id_to_token(i)) for i in range(plain.get_vocab_size())) if word != "None"]
    special = [token.content for token in plain.get_added_tokens_decoder().values()]
    tried = [*_TRIED, *words[:: max(1, len(words) // 64)], *special[:16], *(f"a {one} b" for one in special[:16])]
    if limit < _MOST_TRIED:
        tried += [" ".join(words[i % len(words)] for i in range(start, start + 2 * limit)) for start in (0, 7)]
    for text in tried:
        if text.strip() and plain.encode(text).ids != _ids(base, text):
            raise _refusal(f"it reads {text[:40]!r} otherwise than a plain tokenizer would")
    return plain


def _ids(base: Any, text: str) -> list[int]:
    """Return the tokens that the base reads of a text, its prompt among them."""
    features = base.preprocess([text])
    ids = features["input_ids"].flatten().tolist()
    mask = features["attention_mask"].flatten().tolist() if "attention_mask" in features else [1] * len(ids)
    return [one for one, read in zip(ids, mask, strict=True) if read]


def _ends(base: Any, plain: Any) -> tuple[list[int], list[int]]:
    """Return the tokens that the base puts before and after those of a text itself."""
    text = "a"
    whole, bare = _ids(base, text), plain.encode(text, add_special_tokens=False).ids
    places = [i for i in range(len(whole) - len(bare) + 1) if whole[i : i + len(bare)] == bare]
    if not places:
        raise _refusal("its prompt leaves no room for a text" if default_prompt(base) else "its tokens are others")
    return whole[: places[-1]], whole[places[-1] + len(bare) :]


def feeds(tokenizer: Any, texts: Sequence[str], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the inputs [texts, tokens] of a graph by name."""
    encoded = tokenizer.encode_batch(list(texts))
    columns = {
        "input_ids": [one.ids for one in encoded],
        "attention_mask": [one.attention_mask for one in encoded],
        "token_type_ids": [one.type_ids for one in encoded],
    }
    return {name: np.array(columns[name], np.int64) for name in names}


def _refusal(why: str) -> HilbertuneError:
    return HilbertuneError(
        f"The tokens of this base cannot be exported ({why}): "
        "export the head alone, from a model trained on embeddings."
    )
