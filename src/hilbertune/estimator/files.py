"""The files of a model directory, as far as they can be judged without torch.

In: a folder, or the name of a repository on the Hugging Face hub.
Out: a local folder, and its config.json, checked.
"""

import json
import math
from pathlib import Path
from typing import Any

from hilbertune.embedding.contents import files_below
from hilbertune.errors import HilbertuneError, first_line, require

FORMAT = 2
"""Version of the model directory's layout (docs/reference/model-directory.md)."""

MOST_JSON = 64 << 20
"""Bytes of a config.json: more are no model's."""

MOST_FEATURES = 10_000_000
"""Numbers of an embedding that any model has, and many more."""


def folder_of(directory: str | Path) -> Path:
    """Return the local folder of a model, fetched from the Hugging Face hub where the name is a repository's.

    Raises:
        HilbertuneError: the hub does not give such a model.
    """
    folder = Path(directory)
    if not folder.exists() and "/" in str(directory) and not str(directory).startswith((".", "/")):
        return _downloaded(str(directory))
    return folder


def _downloaded(name: str) -> Path:
    """Return the local copy of a repository on the Hugging Face hub."""
    hub = require("huggingface_hub", "text")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.md", "base/*.txt"]))
    except Exception as error:
        raise HilbertuneError(
            f"{name} is neither a folder nor a model that the Hugging Face hub would give "
            f"({first_line(error).rstrip('.')}): check the name."
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """Return what config.json says of a model.

    Raises:
        HilbertuneError: there is no such folder, or the file is missing, broken, another program's or a newer one.
    """
    path = folder / "config.json"
    if not folder.is_dir():
        raise HilbertuneError(f"There is no model directory {folder}: name one that 'fit' has written.")
    files_below(folder)
    if not path.is_file():
        raise HilbertuneError(f"{folder} is not a Hilbertune model: it has no config.json.")
    try:
        if path.stat().st_size > MOST_JSON:
            raise ValueError("too large")
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise HilbertuneError(f"{path} cannot be read as JSON: copy the model again.") from error
    if not isinstance(config, dict) or "format" not in config or "head" not in config:
        raise HilbertuneError(f"{folder} is not a Hilbertune model: its config.json is another program's.")
    if config["format"] not in (1, FORMAT):
        raise HilbertuneError(
            f"{folder} has the format {config['format']!r}, but this version reads 1 and {FORMAT}: upgrade hilbertune."
        )
    if wrong := _unusable(config):
        raise HilbertuneError(f"{path} has no usable {wrong!r}: copy the model again.")
    return config


def _unusable(config: dict[str, Any]) -> str | None:
    """Return the first entry that is missing or of a wrong type; the records check the others when they are made."""
    features, classes, source = (config.get(name) for name in ("features", "classes", "embedding"))
    if type(features) is not int or not 1 <= features <= MOST_FEATURES:
        return "features"
    if not isinstance(classes, list) or not _are_labels(classes):
        return "classes"
    return None if source is None or _is_embedding(source) else "embedding"


def _is_embedding(source: Any) -> bool:
    """Return True for the record of an embedder whose model, if it lies beside the head, lies within the directory."""
    needed = ("model", "fingerprint")
    if not isinstance(source, dict) or not all(isinstance(source.get(name), str) for name in needed):
        return False
    words = all(isinstance(value, str) for value in source.values())
    return words and not (source["model"].startswith("./") and ".." in Path(source["model"]).parts)


def _are_labels(classes: list[Any]) -> bool:
    """Return True for different labels of one type, or for none, as a regressor has."""
    kinds = {type(label) for label in classes}
    finite = not any(isinstance(label, float) and not math.isfinite(label) for label in classes)
    return finite and len(kinds) <= 1 and kinds <= {bool, int, float, str} and len(set(classes)) == len(classes)
