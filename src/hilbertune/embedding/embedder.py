"""Raw items to vectors through a foundation model, cached on disk by content.

In: texts, pairs of texts, images, sounds or SMILES, and a model's name or folder (safetensors
weights only; nothing in the folder is run).
Out: float32 vectors, one row an item; what the same model embedded before is not computed.
"""

import contextlib
import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from jaxtyping import Float32

from hilbertune.config.records import DEFAULT_PAIRS, EMBEDDED_MODEL, Pairs, Pooling
from hilbertune.data import molecules as chemistry
from hilbertune.data.checks import checked_text
from hilbertune.embedding.cache import cache_errors, open_cache, read_vectors, write_vectors
from hilbertune.embedding.folders import (
    TOKENIZER_FILES,
    default_pooling,
    kinds_read,
    model_folder,
    sha256_of,
)
from hilbertune.embedding.media import Media, image_item, names_image, sound_item
from hilbertune.embedding.transformer import quiet, with_pooling
from hilbertune.errors import HilbertuneError, first_line, require
from hilbertune.runtime.storage import cache_root

_WRITE_EVERY = 512
"""Items between two writes to the cache: what a killed process loses at most."""


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
        self.cache = cache_root() if cache == "default" else cache
        if self._morgan:
            self.cache = None  # fingerprints are made faster than they are read
        has_own = self.folder is None or (self.folder / "modules.json").is_file()
        if has_own and pooling:
            raise HilbertuneError(f"{model} makes one vector of each item by itself: leave pooling={pooling!r} out.")
        self.pooling: Pooling | None = None
        if self.folder is not None and not has_own:
            self.pooling = pooling or default_pooling(self.folder)

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
                total.update(f"{name}\0{sha256_of(file)}\n".encode())
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
        reads = kinds_read(self.folder)
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
            (f" {token} " for name in ("sep_token", "eos_token") if (token := getattr(tokenizer, name, None))),
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
                with cache_errors(file):
                    connection = stack.enter_context(contextlib.closing(open_cache(file)))
                    vectors = read_vectors(connection, list(unique))
            done(list(vectors))
            missing = [key for key in unique if key not in vectors]
            for start in range(0, len(missing), _WRITE_EVERY):
                some = missing[start : start + _WRITE_EVERY]
                new = dict(zip(some, self._compute([unique[key] for key in some]), strict=True))
                if connection is not None and file is not None:
                    with cache_errors(file):
                        write_vectors(connection, new)
                vectors |= new
                done(some)
        return np.stack([vectors[key] for key in keys])

    def _entries(self, items: Sequence[Any]) -> list[tuple[bytes, str | Media]]:
        """Every item's key in the cache with the item itself, checked as far as it is cheap."""
        reads = frozenset({"text"}) if self.folder is None else kinds_read(self.folder)
        entries: list[tuple[bytes, str | Media]] = []
        for row, item in enumerate(items, 1):
            as_image = "image" in reads and isinstance(item, str) and names_image(item, row)
            if "text" in reads and not as_image and (isinstance(item, str) or len(reads) == 1):
                text = checked_text(item, row, "the texts")
                entries.append((hashlib.sha256(text.encode()).digest(), text))
            elif "image" in reads:
                entries.append(image_item(item, row))
            else:
                entries.append(sound_item(item, row, self._sampling_rate))
        if self.folder is None:
            chemistry.usable_rows([str(text) for _, text in entries])
        return entries

    def _compute(self, items: list[str | Media]) -> Float32[np.ndarray, "items width"]:
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
        media = [(place, item) for place, item in enumerate(items) if isinstance(item, Media)]
        for start in range(0, len(media), self.batch_size):  # decoded ones take much memory
            rows |= self._encode_media(media[start : start + self.batch_size])
        self.computed += len(items)
        return np.stack([rows[place] for place in range(len(items))]).astype(np.float32, copy=False)

    def _encode(self, inputs: list[Any]) -> np.ndarray:
        with require("torch", "text").inference_mode():
            vectors = self.transformer.encode(inputs, batch_size=self.batch_size, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    def _encode_media(self, some: list[tuple[int, Media]]) -> dict[int, np.ndarray]:
        groups: dict[int, list[tuple[int, Media, Any]]] = {}
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
                reason = first_line(error)
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
        if "audio" in kinds_read(self.folder) and not any(any(self.folder.rglob(name)) for name in TOKENIZER_FILES):
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
                    model = with_pooling(model, self.pooling)
                return model.float()
        except Exception as error:  # each part of a model, and each device, has errors of its own
            reason = first_line(error)
            where = f" on the device {self.device!r}" if self.device else ""
            raise HilbertuneError(
                f"The model in {self.folder} cannot be loaded{where} ({reason}): fetch or save it again."
            ) from error


def _checked_pairs(items: Sequence[Any]) -> list[tuple[str, str]]:
    pairs = []
    for row, item in enumerate(items, 1):
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise HilbertuneError(f"Row {row} of the texts is no pair: give each row two texts, (first, second).")
        first, second = item
        pairs.append(
            (
                checked_text(first, row, "the first texts"),
                checked_text(second, row, "the second texts"),
            )
        )
    return pairs
