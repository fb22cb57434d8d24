"""The common part of the classifier and the regressor: reading X, training, embedding, saving, loading.

In: embeddings [rows, features] or raw items, targets, the settings of an estimator.
Out: a trained head behind scikit-learn's interface, or a directory of JSON and safetensors that holds it.
"""

import dataclasses
import functools
import inspect
import os
import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from hilbertune.circuit.sources import with_texts
from hilbertune.config.automatic import Automatic, Traits, of_preset
from hilbertune.config.records import DEFAULT_PAIRS, Task, TrainingConfig, TuningConfig
from hilbertune.data.checks import check_rows, check_table
from hilbertune.data.labels import class_array
from hilbertune.data.sequences import are_items, listed
from hilbertune.data.splits import few_shot_split
from hilbertune.data.traits import traits_of
from hilbertune.embedding.embedder import Embedder
from hilbertune.errors import HilbertuneError
from hilbertune.estimator import classical
from hilbertune.estimator.following import Following, following
from hilbertune.estimator.items import NUMBERS, as_dense, as_labels, as_numbers, one_sentence, row_weights, writeable
from hilbertune.estimator.parameters import ReportConfig
from hilbertune.estimator.saved import Saved, read_saved
from hilbertune.estimator.saving import Saving
from hilbertune.estimator.views import Views
from hilbertune.runtime import processes, storage
from hilbertune.runtime.claims import Claim, owned_folder
from hilbertune.runtime.gradients import with_gradients
from hilbertune.tuning.records import LabelledTexts, Settings

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead
    from hilbertune.model.training import TrainingResult
    from hilbertune.tuning.stages import Trained


class HybridEstimator(Views, Saving, BaseEstimator):
    """A trained head behind scikit-learn's interface: the classifier or the regressor."""

    head_: "HybridHead"
    classes_: np.ndarray
    training_: "TrainingResult"
    embedding_: dict[str, str] | None
    n_features_in_: int
    device: str
    random_state: Any
    verbose: int
    callbacks: Any
    _is_regressor = False
    _base_claim: Claim | None = None

    def __init__(self, **settings: Any) -> None:
        """Refuse all settings; `with_parameters` gives each subclass a constructor that names its own."""
        raise TypeError(f"{type(self).__name__} has no parameters {sorted(settings)}: use one of its subclasses.")

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> Self:
        """Return an estimator of a named shape (`PRESETS`) with the published training.

        Nothing is left to the data: a setting that is not among the changes has its declared default, or what the
        preset says.

        Raises:
            HilbertuneError: there is no such preset.
        """
        names = inspect.signature(cls).parameters
        return cls(**{**{k: v for k, v in of_preset(name).items() if k in names}, **changes})

    def _given(self) -> dict[str, Any]:
        """Return the parameters by name; NumPy's scalars, as grids hold them, become Python's, circuits their text."""
        given = {
            k: v.item() if isinstance(v, np.generic) else v
            for k, v in {"task": "regression", "class_weight": None, **self.get_params(deep=False)}.items()
        }
        if isinstance(given["class_weight"], Mapping):
            # By label: `fit` knows the labels.
            given["class_weight"] = None
        return with_texts(given)

    def _settings(self) -> Settings:
        """Return the records that the parameters spell out; what is left to the data has a value for the time being."""
        given = self._given()
        head, training = Automatic(given).resolved(Traits())
        tuning = TuningConfig(**{f.name: given[f.name] for f in dataclasses.fields(TuningConfig)})
        with one_sentence("random_state is no seed: "):
            drawn = int(check_random_state(self.random_state).randint(2**31))
        seed = int(self.random_state) if isinstance(self.random_state, int | np.integer) else drawn
        return Settings(head, training, tuning, seed)

    def _resolved(self, settings: Settings, rows: np.ndarray, classes: int, *, embedded: bool) -> Settings:
        """Return the settings with what is left to the data chosen by it; the weights of classes stay.

        Raises:
            HilbertuneError: a row of zeros that the shape cannot load.
        """
        traits = traits_of(rows, settings.training.task, classes, embedded=embedded)
        head, training = Automatic(self._given()).resolved(traits)
        if not embedded:
            check_rows(rows, head, rows.shape[1])
        training = dataclasses.replace(training, class_weight=settings.training.class_weight)
        return dataclasses.replace(settings, head=head, training=training)

    def _read(
        self, X: Any, y: Any, sample_weight: Any = None, *, many: bool = False
    ) -> tuple[Any, Any, np.ndarray | None, Embedder | None]:
        """Return X and y, checked, weights unless all rows weigh the same, and for raw items also the embedder.

        Rows of weight 0 are left out. `many` allows several targets a row.
        """
        X, y = listed(X, pairs=self.pairs is not None), as_labels(y)
        if not are_items(X):
            with one_sentence():
                X, y = validate_data(self, as_numbers(X), y, **NUMBERS, multi_output=many)
            dense = as_dense(X)
            y = writeable(y)
            check_table(dense)
            return *_with_weight(dense, y, sample_weight), None
        two = any(isinstance(item, tuple) for item in X)
        embedder = Embedder(
            self.embedding,
            device=self.device,
            pooling=self.pooling,
            # Named even where it is the default, so that a saved model says that it reads pairs.
            pairs=self.pairs or (DEFAULT_PAIRS if two else None),
        )
        if len(y) != len(X):
            raise HilbertuneError(f"There are {len(X)} texts and {len(y)} labels: give as many.")
        return *_with_weight(X, y, sample_weight), embedder

    @with_gradients
    def _train(
        self,
        X: Any,
        targets: np.ndarray,
        weights: np.ndarray | None,
        classes: int,
        embedder: Embedder | None,
        settings: Settings,
        checkpoint: str | Path | None,
    ) -> None:
        """Train on targets as `tasks.losses` takes them, and the embedding model too if the settings say so."""
        verbose = int(self.verbose) if isinstance(self.verbose, bool) else self.verbose
        ReportConfig.check_values({"verbose": verbose})
        with following(verbose, self.callbacks) as told:
            self._learn(X, targets, weights, classes, embedder, settings, checkpoint, told)

    def _learn(
        self,
        X: Any,
        targets: np.ndarray,
        weights: np.ndarray | None,
        classes: int,
        embedder: Embedder | None,
        settings: Settings,
        checkpoint: str | Path | None,
        told: Following,
    ) -> None:
        """Train, and tell those who follow."""
        # torch is loaded by the first fit, not by the import of the class.
        import torch

        from hilbertune.model import members, tasks
        from hilbertune.tuning.stages import train_with_base

        # A base that learns embeds all rows later.
        rows = X if embedder is None or settings.tuning.tune == "frozen" else X[:1]
        vectors = rows if embedder is None else embedder.embed(rows, progress=partial(told.embedded, len(rows)))
        settings = self._resolved(settings, vectors, classes, embedded=embedder is not None)
        training, tuning, seed = settings.training, settings.tuning, settings.seed
        split = few_shot_split(targets, per_class=None, validation=self.validation, seed=seed, task=training.task)
        outputs = tasks.outputs(training.task, classes)
        settings = dataclasses.replace(settings, head=tasks.shape(training.task, settings.head, outputs))
        self._hold_base(None)
        # What a directory said of the model that this one takes the place of.
        self._about, self._results, self.base_model_ = {}, {}, None
        tuned = None
        if tuning.tune == "frozen":
            hybrid = members.untrained(vectors.shape[1], outputs, settings.head, training, engine=self.engine)
            hybrid = hybrid.to(self.device)
            self.training_ = members.train(
                hybrid,
                torch.tensor(vectors),
                torch.from_numpy(targets),
                [split],
                [training],
                [seed],
                sample_weight=None if weights is None else torch.from_numpy(weights),
                checkpoint=checkpoint,
                callbacks=told.callbacks,
            )
        elif embedder is None:
            raise HilbertuneError(
                f"tune={tuning.tune!r} needs the texts themselves, not their embeddings: give texts, or tune='frozen'."
            )
        else:
            examples = LabelledTexts(X, targets, split, weights)
            self.base_model_, where = embedder.model, {"engine": self.engine, "device": self.device}
            tuned = train_with_base(embedder, examples, outputs, settings, **where, callbacks=told.callbacks)
            hybrid, embedder, self.training_ = tuned.head, tuned.embedder, tuned.training
        self.n_features_in_ = hybrid.features
        self.embedding_ = embedder.record() if embedder else None
        self._trained_with = training, tuning
        self.head_ = hybrid.eval()
        classical.compare(self, X, targets, split, embedder, weights)
        self._take_base(tuned)

    def _take_base(self, tuned: "Trained | None") -> None:
        """Keep the base of a training, and let the folder of its stages go; several processes share that."""
        if tuned is None:
            return
        if processes.count() > 1:
            self._base_home, self._base_claim = tuned.folder, tuned.claim
            return
        self._hold_base(tuned.folder / "base")
        if tuned.claim is not None:
            tuned.claim.remove()

    def _hold_base(self, base: Path | Mapping[str, bytes] | None) -> None:
        """Keep a tuned base, a folder to move or its files by name, as long as this object; let the one before go.

        Raises:
            HilbertuneError: the cache cannot be written.
        """
        if self._base_claim is not None:
            self._base_claim.remove()
        self._base_home = self._base_claim = None
        if base is None:
            return
        parent = storage.cache_root() / "tuned"
        try:
            self._base_claim = owned_folder(parent)
            self._base_home = self._base_claim.path
            weakref.finalize(self, self._base_claim.remove)
            if isinstance(base, Path):
                os.rename(base, self._base_home / "base")
                return
            for name, content in base.items():
                place = self._base_home / "base" / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        except OSError as error:
            raise HilbertuneError(f"Cannot write {parent}: {error.strerror}. Set HILBERTUNE_CACHE.") from error

    def __getstate__(self) -> Any:
        """Return what a pickle holds, the files of a tuned base among it: another machine has no such folder."""
        state = {**super().__getstate__()}
        state.pop("_base_claim", None)
        if (home := state.pop("_base_home", None)) is not None:
            files = sorted(path for path in (home / "base").rglob("*") if path.is_file())
            state["_base_files"] = {str(path.relative_to(home / "base")): path.read_bytes() for path in files}
        return state

    def __setstate__(self, state: Any) -> None:
        """Take what a pickle holds, and write its base to a folder of this object's own."""
        files = state.get("_base_files")
        super().__setstate__({k: v for k, v in state.items() if k != "_base_files"})
        if files is not None:
            self._hold_base(files)

    @classmethod
    def _around(
        cls,
        hybrid: "HybridHead",
        training: TrainingConfig,
        tuning: TuningConfig | None,
        classes: Sequence[Any],
        embedding: Mapping[str, str] | None,
        base_home: Path | None,
    ) -> Self:
        """Return the estimator around a head that was trained elsewhere.

        Raises:
            HilbertuneError: several models side by side, or other members than the settings of training say.
        """
        if not hybrid.runs == hybrid.members == training.members:
            raise HilbertuneError(
                f"A model of {training.members} members needs as many heads, not {hybrid.runs} runs of models of "
                f"{hybrid.members}: select one model, and give the settings it was trained with."
            )
        tuning = tuning or TuningConfig()
        names = inspect.signature(cls).parameters
        settings = {**hybrid.config.to_dict(), **training.to_dict(), **tuning.to_dict()}
        made = cls(**{k: v for k, v in settings.items() if k in names})
        made._trained_with, made._base_home = (training, tuning), base_home
        made.head_ = hybrid.eval()
        # The gradient too: sampled expectations are rounded otherwise by each.
        hybrid.head.shots, hybrid.head.noise, hybrid.head.gradient = training.shots, training.noise, training.gradient
        made.n_features_in_ = hybrid.features
        made.embedding_ = dict(embedding) if embedding else None
        if made.embedding_:
            made.set_params(**{k: v for k, v in made.embedding_.items() if k in ("pooling", "pairs")})
            made.set_params(embedding=made.embedding_["model"])
        if not cls._is_regressor:
            made.classes_ = class_array(list(classes))
        return made

    def embedder(self) -> Embedder:
        """Return the embedder that turns raw items into the embeddings that this model was trained on.

        Raises:
            HilbertuneError: it was trained on embeddings, or the embedding model is absent or another version.
        """
        check_is_fitted(self, "head_")
        if self.embedding_ is None:
            raise HilbertuneError(
                "This model was trained on embeddings, not on texts: give it embeddings of the same kind."
            )
        return _embedder(tuple(self.embedding_.items()), self.device, self._base_home)

    def embed(self, X: Any) -> np.ndarray:
        """Return the embeddings [rows, features] of X as the model takes them, checked.

        Raises:
            HilbertuneError: texts for a model that was trained on embeddings, another width, NaN or zero rows.
        """
        check_is_fitted(self, "head_")
        X = listed(X, pairs="pairs" in (self.embedding_ or {}))
        if are_items(X):
            vectors = self.embedder().embed(X)
            if vectors.shape[1] != self.n_features_in_:
                raise HilbertuneError(
                    f"The model takes embeddings of {self.n_features_in_} numbers, and these items have "
                    f"{vectors.shape[1]}: give it single texts if it was trained on them, and pairs otherwise."
                )
            return vectors
        with one_sentence():
            vectors = as_dense(validate_data(self, as_numbers(X), **NUMBERS, reset=False))
        check_rows(vectors, self.head_.config, self.n_features_in_)
        return vectors

    def _logits(self, X: Any) -> np.ndarray:
        """Return the logits [rows, outputs] of X in double precision."""
        from hilbertune.model import evaluation

        check_is_fitted(self, "head_")
        return evaluation.logits(self.head_, self.embed(X)).astype(np.float64)

    @property
    def task_(self) -> Task:
        """The task that was fitted, whatever set_params has changed since."""
        check_is_fitted(self, "head_")
        return self._trained_with[0].task

    @property
    def training_config_(self) -> TrainingConfig:
        """The settings of the training that was done, whatever set_params has changed since."""
        check_is_fitted(self, "head_")
        return self._trained_with[0]

    @classmethod
    def from_pretrained(cls, directory: str | Path, *, device: str = "cpu") -> Self:
        """Load a saved model: a folder, or the name of a repository on the Hugging Face hub. Nothing in it is executed.

        Raises:
            HilbertuneError: there is no such model of this kind, or a file of it is missing, truncated or not ours.
        """
        saved = read_saved(directory, device)
        if cls._is_regressor != (saved.training.task == "regression"):
            kind = "HybridClassifier" if cls._is_regressor else "HybridRegressor"
            raise HilbertuneError(f"{directory} holds a {kind}: load it with that.")
        return cls.from_saved(saved)

    @classmethod
    def from_saved(cls, saved: Saved) -> Self:
        """Return the estimator around a head that was read from a directory."""
        made = cls._around(saved.head, saved.training, saved.tuning, saved.classes, saved.embedding, saved.base_home)
        made.set_params(device=saved.device)
        made._results, made._about, made.base_model_ = saved.results, saved.about, saved.base_model
        return made

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags


def _with_weight(X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, np.ndarray | None]:
    """Return the rows that have a weight, and their weights unless all are the same."""
    weights = row_weights(sample_weight, len(y))
    if weights is None or weights.all():
        return X, y, weights
    kept = np.flatnonzero(weights)
    some = [X[row] for row in kept] if isinstance(X, list) else X[kept]
    return some, np.asarray(y)[kept], row_weights(weights[kept], len(kept))


@functools.lru_cache(maxsize=2)
def _embedder(record: tuple[tuple[str, str], ...], device: str, folder: Path | None) -> Embedder:
    """Load an embedder once, however many pieces a stream of texts comes in; predictions need no cache on disk."""
    return Embedder.from_record(dict(record), device=device, folder=folder, cache=None)
