"""Raw items to vectors through a foundation model, cached on disk by content.

In: texts, pairs of texts, images, sounds or SMILES, and a model's name or folder (safetensors
weights only; nothing in the folder is run).
Out: float32 vectors, one row an item; what the same model embedded before is not computed.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from hilbertune.config.records import Pooling

_POOLING_MODES = {"mean": "mean", "last": "lasttoken", "cls": "cls"}


def with_pooling(model: Any, pooling: Pooling) -> Any:
    """A plain model, as sentence-transformers loads it, with our choices on what it left open."""
    transformer = model[0]
    transformer.modality_config.pop("message", None)  # the chat template
    if (tokenizer := transformer.tokenizer) is not None:
        # Positions are counted from the left: padding there would shift those of GPT-2 or BERT.
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:  # which one does not matter, since the mask hides it
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
        if offset := _first_position(transformer):
            positions = transformer.config.max_position_embeddings
            tokenizer.model_max_length = min(tokenizer.model_max_length, positions - offset)
    if transformer.module_output_name == "token_embeddings":
        module = type(model[1])
        model[1] = module(transformer.get_embedding_dimension(), pooling_mode=_POOLING_MODES[pooling])
    return model


def _first_position(transformer: Any) -> int:
    """Where the RoBERTa family starts to count: its table of positions is longer than its texts."""
    for module in transformer.modules():
        padding = getattr(module, "padding_idx", None)
        table = getattr(module, "position_embeddings", None)
        if isinstance(padding, int) and hasattr(table, "num_embeddings"):
            return padding + 1
    return 0


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No bar and no remarks while a model loads; the caller has a progress bar of its own."""
    from transformers.utils import logging as noise

    bar = noise.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "transformers")]
    levels = [logger.level for logger in loggers]
    noise.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bar:
            noise.enable_progress_bar()
