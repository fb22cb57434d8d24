"""The content of a model folder: what lies there, and what of it a loader may read.

In: a folder that anybody may have written.
Out: a copy that holds what is allowed and nothing else; an error where a model asks for more, before that is opened.
"""

import contextlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hilbertune.embedding.descriptions import (
    MODULES,
    described,
    json_object,
    model_settings,
    module_settings,
    read_json,
    transformer_settings,
)
from hilbertune.errors import HilbertuneError

Files = dict[str, Path | bytes]
"""Files by their names within the model: where they lie, or JSON as it was checked."""

_MOST_FILES = 10_000

_PICKLED = frozenset(
    [
        ".bin",
        ".pt",
        ".pth",
        ".pkl",
        ".pickle",
        ".ckpt",
        ".joblib",
        ".dill",
        ".npy",
        ".npz",
        ".h5",
        ".hdf5",
        ".keras",
        ".msgpack",
        ".ot",
        ".so",
        ".dll",
        ".dylib",
        ".pyc",
    ]
)
"""Suffixes of files that may hold pickles or machine code."""

_TWINS = re.compile(
    r"pytorch_model(-\d+-of-\d+)?\.bin|(tf|flax)_model(-\d+-of-\d+)?\.(h5|msgpack)|rust_model\.ot|training_args\.bin"
)
"""The same weights for other programs, which the model hub has beside model.safetensors; they are never read."""

_SHARD = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_NAME = re.compile(r"(?!\.)[\w.-]+")

_OF_TRANSFORMER = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "bpe.codes",
    "emoji.json",
    "entity_vocab.json",
    "normalizer.json",
    "tekken.json",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
    "chat_template.jinja",
)
"""Files of a transformer that hold words and numbers alone; templates run in a sandbox of their own."""

_DESCRIPTIONS = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "chat_template.json",
)
"""JSON files of a transformer whose every key is checked."""

_SETTINGS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)

_FIRST_MODULES = ("Transformer", "CLIPModel", "StaticEmbedding")


def files_below(folder: Path) -> list[Path]:
    """Return all files of a folder, without opening one.

    Raises:
        HilbertuneError: something in it is neither a file nor a folder, or a link leads out of it; or it has too many
            files to be a model.
    """
    root = Path(os.path.realpath(folder))
    # The hub's cache links from snapshots/COMMIT to the files in blobs.
    homes = [root]
    if root.parent.name == "snapshots":
        homes.append(Path(os.path.realpath(root.parents[1] / "blobs")))
    found: list[Path] = []
    waiting, seen = [folder], 0
    try:
        while waiting:
            for entry in os.scandir(waiting.pop()):
                seen += 1
                if seen > _MOST_FILES:
                    raise HilbertuneError(
                        f"{folder} holds more than {_MOST_FILES} files: name the folder of one model."
                    )
                place = Path(entry.path)
                if entry.is_symlink() and not any(_target(place).is_relative_to(home) for home in homes):
                    raise HilbertuneError(
                        f"{place} is a link that leads out of the model's folder: copy the file there."
                    )
                mode = os.stat(place).st_mode
                if stat.S_ISDIR(mode):
                    # What a link within the folder leads to is found at its own place.
                    waiting += [] if entry.is_symlink() else [place]
                elif stat.S_ISREG(mode):
                    found.append(place)
                else:
                    raise HilbertuneError(f"{place} is neither a file nor a folder, but a pipe or a device: remove it.")
    except OSError as error:
        raise HilbertuneError(f"{error.filename or folder} cannot be read ({error.strerror}).") from error
    return sorted(found)


def _target(link: Path) -> Path:
    """Return where a link ends."""
    try:
        return Path(os.path.realpath(link, strict=True))
    except OSError as error:
        raise HilbertuneError(f"{link} is a link that leads nowhere: remove it, or copy the file there.") from error


def refuse_pickles(folder: Path, files: list[Path]) -> None:
    """Raise HilbertuneError for weights that are pickles alone, and for any file that may hold pickles or machine code.

    The weights for other programs that the model hub has beside safetensors may stay: they are not read.
    """
    safe = {file.parent for file in files if file.suffix == ".safetensors"}
    names = {file.relative_to(folder).as_posix() for file in files}
    for file in files:
        name = file.relative_to(folder).as_posix()
        if file.suffix.lower() not in _PICKLED:
            continue
        if _TWINS.fullmatch(file.name) and file.parent in safe:
            continue
        if file.name.startswith("openvino_model") and name.removesuffix(".bin") + ".xml" in names:
            continue
        if file.name.startswith("pytorch_model"):
            raise HilbertuneError(
                f"{folder} has only pickled weights ({name}), which can run code: convert them to safetensors."
            )
        raise HilbertuneError(f"{folder} holds {name}, which can run code when it is read: remove it.")


def readable(folder: Path) -> Files:
    """Return the files that a loader may read.

    A folder with a modules.json is a sentence transformer, any other a plain model of transformers.

    Raises:
        HilbertuneError: the model asks for code, kernels, adapters or modules that are not allowed, or names another
            place; or a file is not what its name says.
    """
    if not (folder / "modules.json").is_file():
        return _of_transformer(folder, "")
    files: Files = {}
    listed = []
    for number, (kind, path) in enumerate(_modules(folder)):
        if kind == "StaticEmbedding":
            files |= _present(folder, path, ("tokenizer.json", "model.safetensors"))
        elif kind in _FIRST_MODULES:
            files |= _of_transformer(folder, path)
        else:
            files |= _present(folder, path, ("model.safetensors",))
            if (own := folder / path / "config.json").is_file():
                files[_within(path, own.name)] = json.dumps(module_settings(own, kind)).encode()
        # All modules are found under this name in every version that is allowed.
        module = f"sentence_transformers.sentence_transformer.modules.{kind}"
        listed.append({"idx": number, "name": str(number), "path": path, "type": module})
    files["modules.json"] = json.dumps(listed).encode()
    about = folder / "config_sentence_transformers.json"
    if about.is_file():
        files[about.name] = json.dumps(model_settings(about)).encode()
    return files


@contextlib.contextmanager
def allowed_copy(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder with the files that a loader may read; large ones are links.

    Raises:
        HilbertuneError: see `files_below` and `readable`; or there is no place for temporary files.
    """
    refuse_pickles(folder, files_below(folder))
    files = readable(folder)
    try:
        copy = tempfile.TemporaryDirectory(prefix="hilbertune-", dir=_temporary_place(), ignore_cleanup_errors=True)
    except OSError as error:
        raise HilbertuneError(
            f"There is no place for temporary files ({error.strerror}): set TMPDIR to a folder that you may write to."
        ) from error
    with copy as name:
        for path, content in files.items():
            place = Path(name) / path
            place.parent.mkdir(exist_ok=True)
            if isinstance(content, bytes):
                place.write_bytes(content)
                continue
            try:
                place.symlink_to(os.path.realpath(content))
            except OSError:  # Windows allows links to few users
                shutil.copyfile(content, place)
        yield Path(name)


def _temporary_place() -> str | None:
    """Return /dev/shm where no other place can be written, as in a read-only container."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return "/dev/shm"
    return None


def _modules(folder: Path) -> list[tuple[str, str]]:
    """Return kind and folder of each module that modules.json lists."""
    file = folder / "modules.json"
    listed = read_json(file)
    if not isinstance(listed, list) or not listed or not all(isinstance(module, dict) for module in listed):
        listed = [{}]
    modules = []
    for number, module in enumerate(listed):
        kind, path = module.get("type"), module.get("path", "" if number == 0 else None)
        if isinstance(kind, str) and not kind.startswith("sentence_transformers."):
            raise HilbertuneError(f"{file} asks for code of its own ({kind}), which is never run: name another model.")
        if not isinstance(kind, str) or not isinstance(path, str):
            raise HilbertuneError(
                f"{file} does not list the modules of a sentence transformer: fetch or save it again."
            )
        name = kind.rpartition(".")[2]
        if name not in (MODULES if number else _FIRST_MODULES):
            raise HilbertuneError(
                f"{file} lists the module {kind} in place {number + 1}, which is not read here: name another model."
            )
        if path and not _NAME.fullmatch(path):
            raise HilbertuneError(f"{file} names the folder {path!r}, which is not one of the model's own.")
        modules.append((name, path))
    if len({path for _, path in modules}) < len(modules):
        raise HilbertuneError(f"{file} gives two modules the same folder: fetch or save the model again.")
    return modules


def _present(folder: Path, path: str, names: tuple[str, ...]) -> Files:
    """Return those of some files that a module has."""
    return {_within(path, name): folder / path / name for name in names if (folder / path / name).is_file()}


def _within(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _of_transformer(folder: Path, path: str) -> Files:
    """Return the files of a model of transformers."""
    home = folder / path
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if (home / name).exists():
            raise HilbertuneError(
                f"{home / name} belongs to an adapter, which names its base elsewhere: "
                "merge the adapter into its base (merge_and_unload), and save that."
            )
    files = _present(folder, path, _OF_TRANSFORMER)
    shards = sorted(file.name for file in home.glob("*.safetensors") if _SHARD.fullmatch(file.name))
    files |= _present(folder, path, tuple(shards))
    index = home / "model.safetensors.index.json"
    if index.is_file():
        content = json_object(index)
        parts = content.get("weight_map")
        if not isinstance(parts, dict) or not all(isinstance(part, str) and part in shards for part in parts.values()):
            raise HilbertuneError(f"{index} names files that are not shards of this model: fetch or save it again.")
        files[_within(path, index.name)] = json.dumps({"metadata": {}, "weight_map": parts}).encode()
    for name in _DESCRIPTIONS:
        if (home / name).is_file():
            files[_within(path, name)] = json.dumps(described(home / name)).encode()
    for name in _SETTINGS:
        if (home / name).is_file():
            files[_within(path, name)] = json.dumps(transformer_settings(home / name)).encode()
    return files
