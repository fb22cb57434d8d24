"""The embedder: one foundation model, its options, and its vectors by way of the cache.

In: a model's name or folder; texts, pairs of texts, images, sounds or SMILES.
Out: float32 vectors, one row an item; what the same model embedded before is not computed again.
"""

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
from jaxtyping import Float32

from hilbertune.config.fields import is_whole
from hilbertune.config.records import DEFAULT_PAIRS, EMBEDDED_MODEL, Pairs, Pooling
from hilbertune.data.molecules import fingerprints, morgan_name, morgan_options, morgan_sha256, usable_rows
from hilbertune.data.sequences import listed
from hilbertune.embedding.cache import VectorCache
from hilbertune.embedding.folders import default_pooling, input_kinds, model_folder, model_sha256
from hilbertune.embedding.items import keyed_items
from hilbertune.embedding.media import Media
from hilbertune.embedding.pairs import checked_pairs, combined, joined, whole_pairs
from hilbertune.embedding.transformer import (
    ONE_AT_A_TIME,
    encode_media,
    encode_texts,
    load_transformer,
    sampling_rate,
)
from hilbertune.errors import HilbertuneError
from hilbertune.runtime.storage import cache_root

VectorPrecision = Literal["float32", "bfloat16"]

_WRITE_EVERY = 512
"""Items between two writes to the cache, the most that a killed process loses."""


class Embedder:
    """A foundation model with a cache of its vectors on disk.

    `model` is a name or folder for `model_folder`, or "morgan", "morgan:radius=3,bits=1024" for
    molecules (`data.fingerprints`, extra `chemistry`). The model decides what its items are:

    - texts, or SMILES for a chemistry model: str;
    - pairs of texts: tuples of two str, combined as `pairs` says (by default DEFAULT_PAIRS);
    - images: names of files (str or Path) or PIL images, but no addresses; a model for texts and
      images takes a single word that ends like an image file (.png, .jpg, ...) for a file's name;
    - sounds: names of files that soundfile reads (.wav, .flac, ...; mixed down to one channel and
      resampled), or 1-D arrays of samples at the model's own rate.

    `pooling` makes one vector of many for plain Hugging Face folders (by default "last" for causal
    language models, else "mean"; it has no effect on models that give one vector by themselves, such
    as CLIP). A sentence transformer brings its own. A causal model reads raw texts, without a chat
    template.

    `precision` "bfloat16" computes texts in half precision, about three times as fast where processors have it (cosine
    to the float32 vector above 0.9998 on MPNet); such vectors have a cache of their own, and the record says so.

    The last bits of a vector (about 1e-7) depend on the items that share its batch. A vector read
    from the cache is bit for bit the one that was written, so it keeps the bits of its first run.

    `cache` is a folder, made if need be; "default" means $HILBERTUNE_CACHE, else
    ~/.cache/hilbertune; None computes everything. `device` None is the best available. `computed`
    counts the items that went through the model so far, `truncated` the texts among them that are
    longer than the model reads. Threads may share an embedder; its model runs for one of them at a time.

    Raises:
        HilbertuneError: see `model_folder`; `batch_size` below 1, an unknown `pooling`, `pairs` or `precision`,
            a `pooling` for a model that has its own.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = EMBEDDED_MODEL,
        *,
        device: str | None = None,
        batch_size: int = 32,
        cache: Path | Literal["default"] | None = "default",
        pooling: Pooling | None = None,
        pairs: Pairs | None = None,
        precision: VectorPrecision = "float32",
    ) -> None:
        if not isinstance(model, str | os.PathLike):
            raise HilbertuneError(f"The embedding model must be a name or a folder, not {model!r}.")
        if not is_whole(batch_size) or batch_size < 1:
            raise HilbertuneError(f"batch_size must be at least 1, not {batch_size}.")
        model = os.fspath(model)
        choices = (
            ("pooling", pooling, get_args(Pooling)),
            ("pairs", pairs, get_args(Pairs)),
            ("precision", precision, get_args(VectorPrecision)),
        )
        for name, value, known in choices:
            if value is not None and value not in known:
                raise HilbertuneError(f"{name} must be one of {', '.join(known)}, not {value!r}.")
        self.device = device
        self.batch_size = batch_size
        self.pairs = pairs
        self.precision: VectorPrecision = precision
        self.computed = 0
        self.truncated = 0
        self._transformer: Any = None
        self._morgan = morgan_options(model)
        self.folder = None if self._morgan else model_folder(model)
        self.model = morgan_name(*self._morgan) if self._morgan else model
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
        """The SHA-256 of the model: of its weights, configuration and tokenizer.

        For Morgan fingerprints, that of the fingerprints of some molecules, so that a version of
        RDKit that makes others is noticed.
        """
        return morgan_sha256(*self._morgan or ()) if self.folder is None else model_sha256(self.folder)

    def record(self) -> dict[str, str]:
        """Return what `from_record` needs to make this embedder again."""
        record = {"model": self.model, "fingerprint": self.fingerprint}
        if self.pooling:
            record["pooling"] = self.pooling
        if self.pairs:
            record["pairs"] = self.pairs
        if self.precision != "float32":
            record["precision"] = self.precision
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
        """Make the embedder of a record, whose "model" is within `folder` if it begins with "./".

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
            precision=record.get("precision", "float32"),
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
        """The kind of input: the first of "text", "image" and "audio" that the model reads; "smiles" for Morgan."""
        if self.folder is None:
            return "smiles"
        kinds = input_kinds(self.folder)
        return next((kind for kind in ("text", "image", "audio") if kind in kinds), "text")

    @property
    def cache_file(self) -> Path | None:
        """The SQLite file of the vectors."""
        if self.cache is None:
            return None
        pooling = f"-{self.pooling}" if self.pooling else ""
        precision = "" if self.precision == "float32" else f"-{self.precision}"
        return self.cache / f"embeddings-{self.fingerprint}{pooling}{precision}.sqlite"

    @property
    def transformer(self) -> Any:
        """The `sentence_transformers.SentenceTransformer`, loaded on first use; None for Morgan fingerprints."""
        if self._transformer is None and self.folder is not None:
            with ONE_AT_A_TIME:
                if self._transformer is None:
                    self._transformer = load_transformer(self.folder, device=self.device, pooling=self.pooling)
        return self._transformer

    def embed(
        self, items: Iterable[Any], *, progress: Callable[[int], None] | None = None
    ) -> Float32[np.ndarray, "items width"]:
        """Return the vectors of `items`, one column of anything, in their order; equal items are embedded once.

        `progress` is called with the number of items newly done; its numbers add up to len(items).

        Raises:
            HilbertuneError: no items, an empty text, a file that is missing or cannot be decoded, a
                molecule that RDKit refuses (each with its row, from 1), a model that cannot be
                loaded, a cache that cannot be used.
            MissingExtraError: the extra `text`, `media` or `chemistry` is not installed.
        """
        rows = listed(items)
        if not isinstance(rows, list | np.ndarray):
            raise HilbertuneError(f"A {type(items).__name__} of numbers has no texts to embed: give a list of texts.")
        if self.pairs is None and not isinstance(rows[0], tuple):
            return self._embed(list(rows), progress)
        pairs = checked_pairs(list(rows))
        if self.pairs == "text":
            return self._embed(self.joined(pairs), progress)
        left, right = zip(*pairs, strict=True)
        u, v = np.split(self._embed([*left, *right], whole_pairs(progress)), 2)
        return combined(u, v, self.pairs or DEFAULT_PAIRS)

    def joined(self, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """Return each pair as one text, with the tokenizer's separator (else its end token, else a new line) between.

        Raises:
            HilbertuneError: a model without a tokenizer, or that cannot be loaded.
        """
        tokenizer = self.transformer.tokenizer if self.transformer else None
        if tokenizer is None:
            raise HilbertuneError(f"{self.model} has no tokenizer, so it cannot read pairs of texts.")
        return joined(pairs, tokenizer)

    def _embed(
        self, items: Sequence[Any], progress: Callable[[int], None] | None
    ) -> Float32[np.ndarray, "items width"]:
        keyed = self._keyed(items)
        unique = dict(keyed)
        copies = Counter(key for key, _ in keyed)

        def done(keys: Iterable[bytes]) -> None:
            if progress and (count := sum(copies[key] for key in keys)):
                progress(count)

        with VectorCache(self.cache_file) as cache:
            vectors = cache.read(list(unique))
            done(vectors)
            missing = [key for key in unique if key not in vectors]
            for start in range(0, len(missing), _WRITE_EVERY):
                some = missing[start : start + _WRITE_EVERY]
                with ONE_AT_A_TIME:
                    new = dict(zip(some, self._compute([unique[key] for key in some]), strict=True))
                    self.computed += len(some)
                cache.write(new)
                vectors |= new
                done(some)
        return np.stack([vectors[key] for key, _ in keyed])

    def _keyed(self, items: Sequence[Any]) -> list[tuple[bytes, str | Media]]:
        """Return pairs of a key in the cache and its item."""
        kinds = frozenset({"text"}) if self.folder is None else input_kinds(self.folder)
        keyed = keyed_items(items, kinds, lambda: sampling_rate(self.transformer))
        if self.folder is None:
            usable_rows([str(text) for _, text in keyed])
        return keyed

    def _compute(self, items: list[str | Media]) -> Float32[np.ndarray, "items width"]:
        """Return the vectors of items as the model computes them."""
        if self._morgan:
            return fingerprints([str(item) for item in items], *self._morgan)
        texts = {place: item for place, item in enumerate(items) if isinstance(item, str)}
        media = [(place, item) for place, item in enumerate(items) if isinstance(item, Media)]
        vectors: dict[int, np.ndarray] = {}
        if texts:
            plain = list(texts.values())
            half = self.precision == "bfloat16"
            encoded, truncated = encode_texts(self.transformer, plain, self.batch_size, self.model, half=half)
            self.truncated += truncated
            vectors |= zip(texts, encoded, strict=True)
        for start in range(0, len(media), self.batch_size):  # decoded ones take much memory
            vectors |= encode_media(self.transformer, dict(media[start : start + self.batch_size]), self.model)
        return np.stack([vectors[place] for place in range(len(items))])
