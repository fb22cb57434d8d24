"""The sentence transformer behind an embedder: loaded from a folder, completed where it leaves a choice open, and run.

In: a checked model folder; texts, and images and sounds.
Out: a `sentence_transformers.SentenceTransformer`, and its float32 vectors.
"""

import contextlib
import functools
import logging
import math
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hilbertune.config.records import Pooling
from hilbertune.embedding.contents import allowed_copy
from hilbertune.embedding.folders import has_tokenizer, input_kinds
from hilbertune.embedding.media import Media
from hilbertune.errors import HilbertuneError, first_line, require

ONE_AT_A_TIME = threading.RLock()
"""Held while a transformer is loaded or run: its tokenizer is set anew for every call."""

_POOLING_MODES = {"mean": "mean", "last": "lasttoken", "cls": "cls"}


def load_transformer(folder: Path, *, device: str | None, pooling: Pooling | None) -> Any:
    """Return the `sentence_transformers.SentenceTransformer` in `folder`, with float32 weights however they are stored.

    A plain Hugging Face model becomes one with the modules Transformer and Pooling, for which
    `pooling` is given. No code in the folder is run, and nothing is fetched: what is loaded is a copy of what the
    folder may hold (`contents.allowed_copy`). Its forward pass is what `as_encoded` makes of it.

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
    copy = folder
    try:
        with quiet(), _single_precision(), allowed_copy(folder) as copy:
            model = SentenceTransformer(
                str(copy),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
                processor_kwargs=processor or None,
            )
            if pooling:
                _complete(model, pooling)
            _check_weights(model, copy, folder)
            _name(model, folder)
            model = as_encoded(model.float())
    except HilbertuneError:
        raise
    except BaseException as error:  # each part of a model, and each device, has errors of its own
        if not _is_models_own(error):
            raise
        where = f" on the device {device!r}" if device else ""
        reason = first_line(error).replace(str(copy), str(folder))
        raise HilbertuneError(
            f"The model in {folder} cannot be loaded{where} ({reason}): fetch or save it again."
        ) from error
    if "text" in input_kinds(folder) and hasattr(model, "supports") and not model.supports("text"):
        raise HilbertuneError(f"The model in {folder} reads no plain texts: name another model.")
    return model


def _check_weights(model: Any, copy: Path, folder: Path) -> None:
    """Raise HilbertuneError for weights that are not finite, and for files that hold fewer than the model has.

    transformers would draw at random what is missing.
    """
    import safetensors

    if not all(bool(parameter.isfinite().all()) for parameter in model.parameters()):
        raise HilbertuneError(f"The model in {folder} has weights that are NaN or infinite: fetch or save it again.")
    if (inner := getattr(model[0], "auto_model", None)) is None:
        return
    stored = 0
    for file in copy.rglob("*.safetensors"):
        with safetensors.safe_open(file, "pt") as content:
            stored += sum(math.prod(content.get_slice(name).get_shape()) for name in content.keys())  # noqa: SIM118
    # Poolers that sentence transformers do not use, and tables of fixed positions, are often left out of files.
    needed = sum(p.numel() for name, p in inner.named_parameters() if not re.search("pool|position", name))
    if stored < needed:
        raise HilbertuneError(f"The weights in {folder} are not all of this model's: fetch or save it again.")


def _name(model: Any, folder: Path) -> None:
    """Name a model after the folder that it came from, not after the copy that it was read from."""
    inner: Any = getattr(model[0], "auto_model", None)
    parts: list[Any] = [getattr(model[0], "tokenizer", None), inner]
    for part in parts:
        if hasattr(part, "name_or_path"):
            part.name_or_path = str(folder)
    if hasattr(inner, "config"):
        inner.config._name_or_path = str(folder)


def _complete(model: Any, pooling: Pooling) -> None:
    """Set what sentence-transformers leaves open in a plain model: raw texts, a token for padding, pooling."""
    transformer = model[0]
    transformer.modality_config.pop("message", None)  # the chat template
    if (tokenizer := transformer.tokenizer) is not None:
        if tokenizer.pad_token is None:  # which one does not matter, since the mask hides it
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
        if offset := _first_position(transformer):
            positions = transformer.config.max_position_embeddings
            tokenizer.model_max_length = min(tokenizer.model_max_length, positions - offset)
    if transformer.module_output_name == "token_embeddings":
        module = type(model[1])
        model[1] = module(transformer.get_embedding_dimension(), pooling_mode=_POOLING_MODES[pooling])


def as_encoded(model: Any) -> Any:
    """Have `model(model.preprocess(texts))` give the vectors of `model.encode(texts)`, and return the model.

    sentence-transformers itself puts the default prompt before texts, and cuts vectors to `truncate_dim`, in `encode`
    alone: a base that is trained, exported or tuned by pairs would then read other texts and give other vectors than
    predictions have. A text's vector does not depend on what shares its batch either.
    """
    if "preprocess" in vars(model):
        return model
    tokenizer: Any = getattr(model[0], "tokenizer", None)
    if hasattr(tokenizer, "padding_side"):
        # Positions are counted from the left: padding there would shift those of GPT-2 or BERT.
        tokenizer.padding_side = "right"
    model.preprocess = functools.partial(_preprocessed, model)
    model.register_forward_hook(_cut)
    return model


def default_prompt(model: Any) -> str:
    """Return what a model puts before every text; empty if nothing."""
    return (model.prompts or {}).get(model.default_prompt_name) or ""


def _preprocessed(model: Any, inputs: Sequence[Any], prompt: str | None = None, **options: Any) -> Any:
    """Preprocess as the model's class does, with the default prompt where none is named."""
    if prompt is None:
        prompt = default_prompt(model) or None
    return type(model).preprocess(model, inputs, prompt=prompt, **options)


def _cut(model: Any, _inputs: Any, features: Any) -> Any:
    """Cut vectors to `truncate_dim`, as a forward hook."""
    if model.truncate_dim is None or "sentence_embedding" not in features:
        return features
    return {**features, "sentence_embedding": features["sentence_embedding"][..., : model.truncate_dim]}


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
def _single_precision() -> Iterator[None]:
    """Keep half precision from being torch's default type, in which a model's modules would round their weights."""
    torch = require("torch", "text")
    default = torch.get_default_dtype()
    if default in (torch.float16, torch.bfloat16):
        torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(default)


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


def encode(model: Any, inputs: Sequence[Any], batch_size: int, *, half: bool = False) -> np.ndarray:
    """Return the float32 vectors [inputs, width] of texts or of decoded media of one size; `half` is bfloat16."""
    torch = require("torch", "text")
    with torch.inference_mode(), torch.autocast(model.device.type, torch.bfloat16, enabled=half):
        vectors = model.encode(list(inputs), batch_size=batch_size, show_progress_bar=False)
    return np.asarray(vectors, dtype=np.float32)


def encode_texts(
    model: Any, texts: Sequence[str], batch_size: int, name: str, *, half: bool = False
) -> tuple[np.ndarray, int]:
    """Return the float32 vectors [texts, width], and how many texts are longer than the model reads.

    Raises:
        HilbertuneError: the parts of the model called `name` do not fit each other, such as tokens and their vectors.
    """
    try:
        lengths, limit = token_counts(model, texts)
        # Batches of like length, since padding costs as much as text. encode would sort by characters.
        order = np.argsort(-np.minimum(lengths, limit), kind="stable")
        parts = np.split(order, range(batch_size, len(order), batch_size))
        encoded = np.vstack([encode(model, [texts[place] for place in part], batch_size, half=half) for part in parts])
        return encoded[np.argsort(order)], int((lengths > limit).sum())
    except BaseException as error:
        if not _is_models_own(error):
            raise
        raise HilbertuneError(
            f"The model {name} cannot read these texts ({first_line(error)}): fetch or save it again."
        ) from error


def _is_models_own(error: BaseException) -> bool:
    """Return True for an error of a model's making: not for a full memory, or for the user's wish to stop."""
    kind = type(error).__name__
    # A tokenizer in Rust that panics raises no Exception.
    panic = kind == "PanicException"
    return panic or (isinstance(error, Exception) and not isinstance(error, MemoryError) and "OutOfMemory" not in kind)


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


def token_counts(model: Any, texts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Return the number of tokens of each text, and of the longest that the model reads whole.

    Where a model reads texts of any length, characters stand for tokens.
    """
    limit = model.max_seq_length
    if not limit or limit == float("inf"):
        return np.array([len(text) for text in texts]), float("inf")
    tokens = model.tokenizer(list(texts), truncation=False, verbose=False)
    return np.array([len(one) for one in tokens["input_ids"]]), float(limit)


def sampling_rate(model: Any) -> int:
    """Return the samples a second of the sounds that a model reads."""
    processor = model[0].processor
    return int(getattr(processor, "feature_extractor", processor).sampling_rate)
