"""The JSON files of a model folder: read, and rebuilt without anything that names code, kernels or other places.

In: a JSON file that anybody may have written.
Out: what a loader may be told; an error for keys and names that are not allowed, at any depth.
"""

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hilbertune.errors import HilbertuneError, require

_LARGEST_JSON = 64 << 20
_MOST_LAYERS = 2_000

MODULES: dict[str, str] = {
    "Pooling": r"word_embedding_dimension|embedding_dimension|pooling_mode\w*|include_prompt",
    "Normalize": r"module_(input|output)_name",
    "Dense": r"(in|out)_features|bias|activation_function|module_(input|output)_name|use_residual",
    "LayerNorm": r"dimension",
    "Dropout": r"dropout",
    "WeightedLayerPooling": r"word_embedding_dimension|embedding_dimension|layer_start|num_hidden_layers",
}
"""Modules of sentence-transformers that import nothing by name, and the keys of their config.json."""

_ACTIVATION = re.compile(
    r"torch\.nn\.(modules\.(linear|activation)\.)?"
    r"(Identity|Tanh|ReLU|ReLU6|GELU|SiLU|Sigmoid|LogSigmoid|ELU|SELU|CELU|LeakyReLU|Mish|Softplus|Softsign|Hardswish|Hardtanh)"
)

_IGNORED = frozenset(
    [
        "auto_map",
        "_name_or_path",
        "name_or_path",
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "experts_implementation",
        "_experts_implementation",
        "_experts_implementation_internal",
        "use_kernels",
        "kernel_config",
        "allow_all_kernels",
        "trust_remote_code",
        "custom_pipelines",
        "_commit_hash",
        "tokenizer_file",
        "vocab_file",
        "merges_file",
        "special_tokens_map_file",
        "slow_tokenizer_class",
    ]
)
"""Keys that name code, kernels or other places, without which a model is the same."""

_REFUSED = frozenset(
    [
        "quantization_config",
        "compression_config",
        "use_timm_backbone",
        "use_pretrained_backbone",
        "backbone",
        "backbone_kwargs",
        "audio_tokenizer",
        "custom_generate",
        "_target_",
    ]
)
"""Keys that bring other packages, other models or code, without which a model would be another one."""

_CLASS_KEY = re.compile(r"(\w+_)?(tokenizer|processor|extractor)_(class|type)")
_CLASS = re.compile(
    r"[A-Z]\w*(Tokenizer|TokenizerFast|Processor|ProcessorFast|ProcessorPil|FeatureExtractor)|TokenizersBackend"
)
_IMPORTABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_WORD = re.compile(r"[\w-]{0,64}")

_HARMLESS_ARGUMENTS = frozenset(
    [
        "trust_remote_code",
        "torch_dtype",
        "dtype",
        "device_map",
        "low_cpu_mem_usage",
        "use_safetensors",
        "local_files_only",
        "revision",
        "token",
        "cache_dir",
        "use_cache",
        "attn_implementation",
    ]
)
"""Loading arguments without which the vectors are the same up to rounding; they are left out."""


def json_object(file: Path) -> dict[str, Any]:
    """Read a JSON object, or raise HilbertuneError."""
    content = read_json(file)
    if not isinstance(content, dict):
        raise HilbertuneError(f"{file} is not a JSON object: fetch or save the model again.")
    return content


def read_json(file: Path) -> Any:
    """Return what a JSON file holds, None for a file that is too large or cannot be read."""
    try:
        return json.loads(file.read_bytes()) if file.stat().st_size <= _LARGEST_JSON else None
    except (ValueError, RecursionError, OSError):
        return None


def described(file: Path) -> dict[str, Any]:
    """Return what a JSON file of transformers says, without keys that name code or other places."""
    content = json_object(file)
    if file.name == "config.json":
        _check_architecture(file, content)
    try:
        cleaned: dict[str, Any] = _cleaned(file, content)
    except RecursionError as error:
        raise HilbertuneError(f"{file} is nested too deeply: fetch or save the model again.") from error
    return cleaned


def _check_architecture(file: Path, config: Mapping[str, Any]) -> None:
    """Raise HilbertuneError for an architecture that only the folder's own code knows."""
    if not isinstance(config.get("model_type"), str):
        # transformers would guess it from the folder's name.
        raise HilbertuneError(f"{file} names no model_type: fetch or save the model again.")
    if "auto_map" not in config:
        return
    require("transformers", "text")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if config["model_type"] not in CONFIG_MAPPING_NAMES:
        raise HilbertuneError(f"{file} asks for code of its own (auto_map), which is never run: name another model.")


def _cleaned(file: Path, value: Any, key: str = "") -> Any:
    """Return a value of a JSON file, without keys that name code or other places, at any depth."""
    if isinstance(value, list):
        return [_cleaned(file, one, key) for one in value]
    if isinstance(value, dict):
        kept = {name: own for name, own in value.items() if name not in _IGNORED}
        for name, own in kept.items():
            if name in _REFUSED and own:
                raise HilbertuneError(f"{file} asks for {name}, which is not read here: name another model.")
            if name.endswith("_kwargs"):
                _check_plain(file, name, own)
        return {name: _cleaned(file, own, name) for name, own in kept.items()}
    if isinstance(value, str):
        _check_string(file, key, value)
    elif isinstance(value, int) and "layer" in key and value > _MOST_LAYERS:
        raise HilbertuneError(f"{file} asks for {value} layers ({key}): fetch or save the model again.")
    return value


def _check_string(file: Path, key: str, value: str) -> None:
    """Raise HilbertuneError for text that names a class which is not one of a tokenizer or preprocessor."""
    if _CLASS_KEY.fullmatch(key):
        foreign = not _CLASS.fullmatch(value)
    elif key == "__type":
        foreign = value != "AddedToken"
    elif key == "chat_template":
        foreign = False
    elif key == "model_type":
        foreign = value.startswith("timm")  # another library, with places of its own
    else:
        foreign = (
            bool(_IMPORTABLE.fullmatch(value)) and key not in ("content", "dtype", "torch_dtype") and _found(value)
        )
    if foreign:
        raise HilbertuneError(f"{file} asks for code ({key}: {value[:80]}), which is never run: name another model.")


def _found(name: str) -> bool:
    """Return True if a dotted name begins with a package that Python would import."""
    try:
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    except ValueError:  # __main__ has no specification
        return True


def _check_plain(file: Path, name: str, value: Any, depth: int = 0) -> None:
    """Raise HilbertuneError unless arguments are numbers and single words, which name no place."""
    if isinstance(value, dict) and depth < 4:
        for key, own in value.items():
            if not _WORD.fullmatch(key) or key.endswith(("path", "file", "dir", "option", "template")):
                raise HilbertuneError(f"{file} passes the argument {name}.{key[:40]}, which is not allowed.")
            _check_plain(file, f"{name}.{key}", own, depth + 1)
    elif isinstance(value, list) and depth < 4:
        for own in value:
            _check_plain(file, name, own, depth + 1)
    elif not (value is None or isinstance(value, int | float) or (isinstance(value, str) and _WORD.fullmatch(value))):
        raise HilbertuneError(f"{file} passes an argument in {name} that is neither a number nor a word.")


def transformer_settings(file: Path) -> dict[str, Any]:
    """Return what a module Transformer says of itself, without arguments for the loaders of transformers."""
    content = json_object(file)
    settings: dict[str, Any] = {}
    for key, value in content.items():
        if key in ("max_seq_length", "do_lower_case", "unpad_inputs", "query_length", "document_length"):
            ok = value is None or isinstance(value, int | float)
        elif key == "module_output_name":
            ok = value is None or (isinstance(value, str) and _WORD.fullmatch(value) is not None)
        elif key == "transformer_task":
            ok = isinstance(value, str) and _WORD.fullmatch(value) is not None
        elif key == "modality_config":
            ok = _are_modalities(value)
        elif key in ("processing_kwargs", "query_expansion"):
            _check_plain(file, key, value)
            ok = True
        elif key in _IGNORED:
            continue
        elif key.endswith(("_args", "_kwargs", "_name_or_path")):
            _refuse_arguments(file, key, value)
            continue
        else:
            raise HilbertuneError(f"{file} has the setting {key[:40]!r}, which is not known here: name another model.")
        if not ok:
            raise HilbertuneError(f"{file} has no usable {key!r}: fetch or save the model again.")
        settings[key] = value
    return settings


def _refuse_arguments(file: Path, key: str, value: Any) -> None:
    """Raise HilbertuneError for loading arguments that would change a model, which are never passed on."""
    if value and (not isinstance(value, dict) or not set(value) <= _HARMLESS_ARGUMENTS):
        named = ", ".join(sorted(set(value) - _HARMLESS_ARGUMENTS)) if isinstance(value, dict) else value
        raise HilbertuneError(
            f"{file} asks for loading arguments ({key}: {str(named)[:80]}), which a folder may not give: "
            "save the model without them."
        )


def _are_modalities(value: Any) -> bool:
    """Return True for methods that read text, images or sounds, and the names of what they return."""
    return isinstance(value, dict) and all(
        isinstance(own, dict)
        and re.fullmatch(r"forward|get_\w+_features", str(own.get("method")))
        and all(isinstance(name, str | list | bool | None) for name in own.values())
        for own in value.values()
    )


def module_settings(file: Path, kind: str) -> dict[str, Any]:
    """Return the config.json of a module that is no transformer: known keys, with numbers and words."""
    content = json_object(file)
    for key, value in content.items():
        if not re.fullmatch(MODULES[kind], key):
            raise HilbertuneError(f"{file} has the setting {key[:40]!r}, which {kind} has not: name another model.")
        if key != "activation_function":
            _check_plain(file, key, value)
        elif not isinstance(value, str) or not _ACTIVATION.fullmatch(value):
            raise HilbertuneError(
                f"{file} asks for the activation {str(value)[:80]!r}, which is not one of torch's: name another model."
            )
    return content


def model_settings(file: Path) -> dict[str, Any]:
    """Return what config_sentence_transformers.json says of prompts, similarity and versions."""
    content = json_object(file)
    about: dict[str, Any] = {}
    for key in ("prompts", "__version__", "requirements"):
        value = content.get(key)
        if isinstance(value, dict) and all(own is None or isinstance(own, str) for own in value.values()):
            about[key] = value
        elif value is not None:
            raise HilbertuneError(f"{file} has no usable {key!r}: fetch or save the model again.")
    for key in ("default_prompt_name", "similarity_fn_name"):
        value = content.get(key)
        if value is not None and not isinstance(value, str):
            raise HilbertuneError(f"{file} has no usable {key!r}: fetch or save the model again.")
        about |= {key: value} if key in content else {}
    width = content.get("truncate_dim")
    if width is not None:
        if type(width) is not int or width < 1:
            raise HilbertuneError(f"{file} has no usable 'truncate_dim': fetch or save the model again.")
        about["truncate_dim"] = width
    if content.get("model_type", "SentenceTransformer") != "SentenceTransformer":
        raise HilbertuneError(f"{file} belongs to a {content['model_type']!s:.40}, which makes no vectors of texts.")
    return about
