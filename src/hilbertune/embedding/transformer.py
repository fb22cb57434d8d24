"""The sentence transformer behind an embedder: loaded from a folder, completed where it leaves a choice open, and run.

In: a checked model folder; texts, and images and sounds.
Out: a `sentence_transformers.SentenceTransformer`, and its float32 vectors.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.config.records import Pooling
from hilbertune.embedding.folders import has_tokenizer, input_kinds
from hilbertune.embedding.media import Media
from hilbertune.errors import HilbertuneError, first_line, require

ONE_AT_A_TIME = threading.RLock()
"""Held while a transformer is loaded or run: its tokenizer is set anew for every call."""

_POOLING_MODES = {"mean": "mean", "last": "lasttoken", "cls": "cls"}


def load_transformer(folder: Path, *, device: str | None, pooling: Pooling | None) -> Any:
    """Return the `sentence_transformers.SentenceTransformer` in `folder`, with float32 weights however they are stored.

    A plain Hugging Face model becomes one with the modules Transformer and Pooling, for which
    `pooling` is given. No code in the folder is run, and nothing is fetched.

    Raises:
        HilbertuneError: a model that cannot be loaded, or not on this device.
        MissingExtraError: the extra `text` is not installed.
    """
    require("sentence_transformers", "text")
    from sentence_transformers import SentenceTransformer

    processor: dict[str, Any] = {}
    if "audio" in input_kinds(folder) and not has_tokenizer(folder):
        # Otherwise AutoProcessor insists on the tokenizer that models for speech may have.
        from transformers import PretrainedConfig

        processor["config"] = PretrainedConfig()
    try:
        with quiet():
            model = SentenceTransformer(
                str(folder),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
                processor_kwargs=processor or None,
            )
            if pooling:
                _complete(model, pooling)
            return model.float()
    except Exception as error:  # each part of a model, and each device, has errors of its own
        where = f" on the device {device!r}" if device else ""
        raise HilbertuneError(
            f"The model in {folder} cannot be loaded{where} ({first_line(error)}): fetch or save it again."
        ) from error


def _complete(model: Any, pooling: Pooling) -> None:
    """Set what sentence-transformers leaves open in a plain model: raw texts, padding on the right, pooling."""
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


def _first_position(transformer: Any) -> int:
    """Return where the RoBERTa family starts to count: its table of positions is longer than its texts."""
    for module in transformer.modules():
        padding = getattr(module, "padding_idx", None)
        table = getattr(module, "position_embeddings", None)
        if isinstance(padding, int) and hasattr(table, "num_embeddings"):
            return padding + 1
    return 0


_silences = contextlib.ExitStack()
_silenced = 0
_counting = threading.Lock()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars and remarks of transformers; the caller has a progress bar of its own.

    Several threads may be in here: the last one that leaves makes all as it was before the first one came.
    """
    global _silenced
    with _counting:
        if not _silenced:
            _silences.enter_context(_silence())
        _silenced += 1
    try:
        yield
    finally:
        with _counting:
            _silenced -= 1
            if not _silenced:
                _silences.close()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
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


def encode(model: Any, inputs: Sequence[Any], batch_size: int) -> np.ndarray:
    """Return the float32 vectors [inputs, width] of texts or of decoded media of one size."""
    with require("torch", "text").inference_mode():
        vectors = model.encode(list(inputs), batch_size=batch_size, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)


def encode_media(model: Any, batch: Mapping[int, Media], name: str) -> dict[int, np.ndarray]:
    """Return the vector of each image or sound of a batch, under the same number; `name` is the model's for messages.

    Raises:
        HilbertuneError: one that cannot be decoded, or that the model cannot take.
    """
    groups: dict[int, list[tuple[int, Media, Any]]] = {}
    for place, item in batch.items():
        content = item.load()
        # Silence that pads a sound to its batch's length would change its vector.
        size = len(content["array"]) if isinstance(content, dict) else 0
        groups.setdefault(size, []).append((place, item, content))
    vectors: dict[int, np.ndarray] = {}
    for group in groups.values():
        places, media, contents = zip(*group, strict=True)
        try:
            encoded = encode(model, contents, len(batch))
        except (ValueError, RuntimeError) as error:
            raise HilbertuneError(
                f"Row {media[0].row}: {media[0].name} does not suit {name} "
                f"({first_line(error)}): replace it or remove the row."
            ) from error
        vectors |= zip(places, encoded, strict=True)
    return vectors


def count_truncated(model: Any, texts: Sequence[str]) -> int:
    """Return the number of texts that are longer than the model reads."""
    limit = model.max_seq_length
    if not limit or limit == float("inf"):
        return 0
    tokens = model.tokenizer(list(texts), truncation=False, verbose=False)
    return sum(len(one) > limit for one in tokens["input_ids"])


def sampling_rate(model: Any) -> int:
    """Return the samples a second of the sounds that a model reads."""
    processor = model[0].processor
    return int(getattr(processor, "feature_extractor", processor).sampling_rate)
