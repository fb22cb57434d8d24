"""The scikit-learn face: fit, predict, save and load a hybrid head on embeddings or on raw items such as texts.

In: embeddings [rows, features] or a list of items, and labels or numbers. Out: a fitted estimator, or a directory of JSON and safetensors that holds it.
"""

import contextlib
import dataclasses
import functools
import inspect
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from hilbertune import evaluation, stages, storage, tasks
from hilbertune.config import (
    Basis,
    ClassWeight,
    EncoderKind,
    Gradient,
    HeadConfig,
    HeadKind,
    Merge,
    Padding,
    Precision,
    Projection,
    Task,
    TrainingConfig,
    Tune,
    TuningConfig,
)
from hilbertune.data import check_embeddings, encode_labels, few_shot_split
from hilbertune.embedding import DEFAULT_PAIRS, EMBEDDED_MODEL, Embedder, Pairs, Pooling
from hilbertune.engine import EngineName
from hilbertune.errors import HilbertuneError, require
from hilbertune.layers import HybridHead
from hilbertune.training import TrainingResult, train

FORMAT = 2
"""Version of the model directory's layout (docs/reference/model-directory.md)."""


_NUMBERS: dict[str, Any] = {"dtype": [np.float32, np.float64], "accept_sparse": "csr"}
"""What X may be, if it holds numbers."""


class _HybridEstimator(BaseEstimator):
    """What the classifier and the regressor share: reading X, training, embedding, saving, loading."""

    head_: HybridHead
    training_: TrainingResult
    embedding_: dict[str, str] | None
    n_features_in_: int
    device: str
    random_state: Any

    def _configs(self) -> tuple[HeadConfig, TrainingConfig, TuningConfig]:
        """The records that the parameters spell out; NumPy's scalars, as grids hold them, become Python's."""
        given = {
            k: v.item() if isinstance(v, np.generic) else v
            for k, v in {
                "task": "regression",
                "class_weight": None,
                **self.get_params(deep=False),
            }.items()
        }
        if isinstance(given["class_weight"], Mapping):
            # By label: `fit` knows the labels.
            given["class_weight"] = None

        def chosen(
            kind: type[HeadConfig] | type[TrainingConfig] | type[TuningConfig],
        ) -> dict[str, Any]:
            return {f.name: given[f.name] for f in dataclasses.fields(kind)}

        return (
            HeadConfig(**chosen(HeadConfig)),
            TrainingConfig(**chosen(TrainingConfig)),
            TuningConfig(**chosen(TuningConfig)),
        )

    def _read(
        self, X: Any, y: Any, head: HeadConfig, *, many: bool = False
    ) -> tuple[Any, Any, Embedder | None]:
        """X and y, checked; of raw items also the embedder. `many` allows several targets a row."""
        if not _are_items(X):
            with _one_sentence():
                X, y = validate_data(self, X, y, **_NUMBERS, multi_output=many)
            X = _dense(X)
            if head.padding == "zero":
                # With constant padding a row of zeros is a state like any other; without, it has none.
                check_embeddings(X)
            return X, y, None
        X = list(X)
        two = any(isinstance(item, tuple) for item in X)
        embedder = Embedder(
            self.embedding,
            device=self.device,
            pooling=self.pooling,
            # Named even where it is the default, so that a saved model says that it reads pairs.
            pairs=self.pairs or (DEFAULT_PAIRS if two else None),
        )
        if not many:
            y = column_or_1d(y, warn=True)
        if len(y) != len(X):
            raise HilbertuneError(f"There are {len(X)} texts and {len(y)} labels: give as many.")
        return X, y, embedder

    def _train(
        self,
        X: Any,
        targets: np.ndarray,
        classes: int,
        embedder: Embedder | None,
        configs: tuple[HeadConfig, TrainingConfig, TuningConfig],
        checkpoint: Path | None,
        progress: Callable[[int, float], None] | None,
    ) -> None:
        """Train on targets as `tasks.losses` takes them, at the depth that the settings name."""
        head, training, tuning = configs
        seed = int(check_random_state(self.random_state).randint(2**31))
        if isinstance(self.random_state, int | np.integer):
            seed = int(self.random_state)
        split = few_shot_split(
            targets, per_class=None, validation=self.validation, seed=seed, task=training.task
        )
        outputs = tasks.outputs(training.task, classes)
        head = tasks.shape(training.task, head, outputs)
        self._base_home: Path | None = None
        if tuning.tune == "frozen":
            if embedder is not None:
                X = embedder.embed(X)
            model = HybridHead(X.shape[1], outputs, head, engine=self.engine).to(self.device)
            self.training_ = train(
                model,
                torch.tensor(X),
                torch.from_numpy(targets),
                [split],
                [training],
                [seed],
                checkpoint=checkpoint,
                progress=progress,
            )
        elif embedder is None:
            raise HilbertuneError(
                f"tune={tuning.tune!r} needs the texts themselves, not their embeddings: give texts, or tune='frozen'."
            )
        else:
            tuned = stages.train_with_base(
                embedder,
                X,
                targets,
                outputs,
                split,
                head,
                training,
                tuning,
                seed,
                engine=self.engine,
                device=self.device,
            )
            model, embedder, self.training_ = tuned.head, tuned.embedder, tuned.training
            self._base_home = tuned.folder
        self.n_features_in_ = model.features
        self.embedding_ = embedder.record() if embedder else None
        self._trained_with = training, tuning
        self.head_ = model.eval()

    def _adopt(
        self,
        head: HybridHead,
        training: TrainingConfig,
        tuning: TuningConfig,
        embedding: Mapping[str, str] | None,
        base_home: Path | None,
    ) -> None:
        """Become the face of a head that was trained elsewhere."""
        self._trained_with, self._base_home = (training, tuning), base_home
        self.head_ = head.eval()
        self.head_.head.shots, self.head_.head.noise = training.shots, training.noise
        self.n_features_in_ = head.features
        self.embedding_ = dict(embedding) if embedding else None
        if self.embedding_:
            self.set_params(
                **{k: v for k, v in self.embedding_.items() if k in ("pooling", "pairs")}
            )
            self.set_params(embedding=self.embedding_["model"])

    def embedder(self) -> Embedder:
        """What turns raw items into the embeddings that this model was trained on.

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
        """Embeddings [rows, features] of X as the model takes them, checked.

        Raises:
            HilbertuneError: texts for a model that was trained on embeddings, another width, NaN or zero rows.
        """
        check_is_fitted(self, "head_")
        if _are_items(X):
            return self.embedder().embed(list(X))
        with _one_sentence():
            vectors = _dense(validate_data(self, X, **_NUMBERS, reset=False))
        if self.head_.config.padding == "zero":
            check_embeddings(vectors, width=self.n_features_in_)
        return vectors

    def _logits(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "head_")
        return evaluation.logits(self.head_, self.embed(X)).astype(np.float64)

    @property
    def task_(self) -> Task:
        """The task that was fitted, whatever set_params has changed since."""
        check_is_fitted(self, "head_")
        return self._trained_with[0].task

    def save_pretrained(
        self,
        directory: str | Path,
        *,
        results: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Path:
        """Write config.json, model.safetensors and a model card to a new directory, which appears only when it is whole.

        A base that was tuned is written too, to the folder `base`.

        Args:
            directory: where; it must not exist yet.
            results: measured figures for config.json and the card, such as {"test_accuracy": {"mean": ...}}.
            files: further files by name.

        Raises:
            HilbertuneError: the directory exists or cannot be written.
        """
        check_is_fitted(self, "head_")
        training, tuning = self._trained_with
        config = {
            "format": FORMAT,
            "head": self.head_.config.to_dict(),
            "training": training.to_dict(),
            "tuning": tuning.to_dict(),
            "classes": np.asarray(getattr(self, "classes_", [])).tolist(),
            "features": self.n_features_in_,
            "embedding": self.embedding_,
            "parameters": self.head_.parameter_count,
            "results": dict(results or {}),
        }
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.head_.state_dict().items()}
        content = {
            "config.json": json.dumps(config, indent=2, ensure_ascii=False).encode(),
            "model.safetensors": safetensors.torch.save(tensors, {"format": "pt"}),
            "README.md": _card(config).encode(),
            **(files or {}),
        }
        with storage.new_directory(Path(directory)) as folder:
            for name, data in content.items():
                (folder / name).write_bytes(data)
            if self._base_home is not None:
                shutil.copytree(self._base_home / "base", folder / "base")
        return Path(directory)

    @classmethod
    def from_pretrained(cls, directory: str | Path, *, device: str = "cpu") -> Self:
        """Load a saved model: a folder, or the name of a repository on the Hugging Face hub. Nothing in it is executed.

        Raises:
            HilbertuneError: no such model, a file of it is missing, truncated or not ours, or it is no model of this kind.
        """
        found = load_pretrained(directory, device=device)
        if not isinstance(found, cls):
            raise HilbertuneError(f"{directory} holds a {type(found).__name__}: load it with that.")
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags


class HybridClassifier(ClassifierMixin, _HybridEstimator):
    """A classifier with a simulated quantum head, after arXiv 2504.08732, as a scikit-learn estimator.

    X is an array of embeddings [rows, features], or a list of raw items (texts; pairs of texts, images, sound, molecules where the
    embedding model takes them), which `embedding` turns into embeddings. A share `validation` of the rows chooses the best epoch
    and is not trained on. y holds a class for each row; with task="ordinal" the sorted classes are the steps of a scale; with
    task="multi-label" y is an array of 0 and 1 [rows, classes] or a collection of labels for each row. `class_weight` may also give a
    weight for each label, as scikit-learn's does; labels that it leaves out weigh 1. With `tune` the embedding
    model learns too. Each hyperparameter is explained where it is declared: docs/reference/hyperparameters.md.

    Attributes:
        classes_: the labels, sorted.
        head_: the trained `HybridHead`.
        n_features_in_: width of the embeddings.
        validation_accuracy_: of the best epoch, NaN without a validation set.
        training_: the curves, a `TrainingResult`.
        embedding_: name and fingerprint of the embedding model, None after fitting on embeddings.
    """

    def __init__(
        self,
        *,
        qubits: int = HeadConfig.qubits,
        encoders: int = HeadConfig.encoders,
        encoder: EncoderKind = HeadConfig.encoder,
        merge: Merge = HeadConfig.merge,
        encoder_layers: int = HeadConfig.encoder_layers,
        encoder_connectivity: int | None = HeadConfig.encoder_connectivity,
        head: HeadKind = HeadConfig.head,
        reuploads: int = HeadConfig.reuploads,
        layers: int = HeadConfig.layers,
        reupload_layers: int = HeadConfig.reupload_layers,
        connectivity: int = HeadConfig.connectivity,
        column: bool = HeadConfig.column,
        entanglement: bool = HeadConfig.entanglement,
        shared_reupload: bool = HeadConfig.shared_reupload,
        measured_qubits: int | None = HeadConfig.measured_qubits,
        final_linear: bool = HeadConfig.final_linear,
        angle_scale: float = HeadConfig.angle_scale,
        padding: Padding = HeadConfig.padding,
        constant_share: float = HeadConfig.constant_share,
        basis: Basis = HeadConfig.basis,
        projection: Projection | None = HeadConfig.projection,
        allow_large: bool = HeadConfig.allow_large,
        task: Task = TrainingConfig.task,
        class_weight: ClassWeight | Mapping[Any, float] | None = TrainingConfig.class_weight,
        epochs: int = TrainingConfig.epochs,
        batch_size: int = TrainingConfig.batch_size,
        learning_rate: float = TrainingConfig.learning_rate,
        learning_rate_decay: float = TrainingConfig.learning_rate_decay,
        weight_decay: float = TrainingConfig.weight_decay,
        shots: int | None = TrainingConfig.shots,
        gradient: Gradient = TrainingConfig.gradient,
        one_qubit_error: float = TrainingConfig.one_qubit_error,
        two_qubit_error: float = TrainingConfig.two_qubit_error,
        readout_error: float = TrainingConfig.readout_error,
        trajectories: int = TrainingConfig.trajectories,
        frozen: bool = TrainingConfig.frozen,
        patience: int | None = TrainingConfig.patience,
        tune: Tune = TuningConfig.tune,
        base_learning_rate: float = TuningConfig.base_learning_rate,
        contrastive_steps: int = TuningConfig.contrastive_steps,
        contrastive_batch_size: int = TuningConfig.contrastive_batch_size,
        tuning_epochs: int = TuningConfig.tuning_epochs,
        tuning_batch_size: int = TuningConfig.tuning_batch_size,
        accumulation: int = TuningConfig.accumulation,
        tuned_layers: int | None = TuningConfig.tuned_layers,
        layer_decay: float = TuningConfig.layer_decay,
        lora_rank: int | None = TuningConfig.lora_rank,
        precision: Precision = TuningConfig.precision,
        validation: float = 0.15,
        embedding: str = EMBEDDED_MODEL,
        pooling: Pooling | None = None,
        pairs: Pairs | None = None,
        engine: EngineName = "auto",
        device: str = "cpu",
        random_state: Any = 0,
    ) -> None:
        self.qubits = qubits
        self.encoders = encoders
        self.encoder = encoder
        self.merge = merge
        self.encoder_layers = encoder_layers
        self.encoder_connectivity = encoder_connectivity
        self.head = head
        self.reuploads = reuploads
        self.layers = layers
        self.reupload_layers = reupload_layers
        self.connectivity = connectivity
        self.column = column
        self.entanglement = entanglement
        self.shared_reupload = shared_reupload
        self.measured_qubits = measured_qubits
        self.final_linear = final_linear
        self.angle_scale = angle_scale
        self.padding = padding
        self.constant_share = constant_share
        self.basis = basis
        self.projection = projection
        self.allow_large = allow_large
        self.task = task
        self.class_weight = class_weight
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.weight_decay = weight_decay
        self.shots = shots
        self.gradient = gradient
        self.one_qubit_error = one_qubit_error
        self.two_qubit_error = two_qubit_error
        self.readout_error = readout_error
        self.trajectories = trajectories
        self.frozen = frozen
        self.patience = patience
        self.tune = tune
        self.base_learning_rate = base_learning_rate
        self.contrastive_steps = contrastive_steps
        self.contrastive_batch_size = contrastive_batch_size
        self.tuning_epochs = tuning_epochs
        self.tuning_batch_size = tuning_batch_size
        self.accumulation = accumulation
        self.tuned_layers = tuned_layers
        self.layer_decay = layer_decay
        self.lora_rank = lora_rank
        self.precision = precision
        self.validation = validation
        self.embedding = embedding
        self.pooling = pooling
        self.pairs = pairs
        self.engine = engine
        self.device = device
        self.random_state = random_state

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        checkpoint: Path | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> Self:
        """Train encoder(s), head and linear layer together, and the embedding model with them if `tune` says so.

        Args:
            X: embeddings [rows, features], or raw items.
            y: a label for each row, or the labels of each row (multi-label).
            checkpoint: a file that the training of a head on a frozen base goes on from after a crash; where the base learns, it goes on
                from the cache by itself.
            progress: called after every epoch of the head with the epochs done and the validation accuracy.

        Raises:
            HilbertuneError: the data or the hyperparameters are unusable; the message says what to do.
        """
        configs = self._configs()
        check_device(self.device)
        many = configs[1].task == "multi-label"
        targets: np.ndarray
        if many:
            names, y = _label_sets(y)
        X, y, embedder = self._read(X, y, configs[0], many=many)
        if many:
            self.classes_, targets = names, np.asarray(y, np.float32)
        else:
            check_classification_targets(y)
            self.classes_, targets = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise HilbertuneError(
                f"Training needs at least 2 classes, there is only one class: {self.classes_[0]!r}."
            )
        if isinstance(self.class_weight, Mapping):
            weights = _in_order(self.class_weight, self.classes_)
            configs = configs[0], dataclasses.replace(configs[1], class_weight=weights), configs[2]
        self._train(X, targets, len(self.classes_), embedder, configs, checkpoint, progress)
        self.validation_accuracy_ = self.training_.best_validation_accuracy(0)
        return self

    @classmethod
    def from_head(
        cls,
        head: HybridHead,
        training: TrainingConfig,
        classes: Sequence[Any],
        embedding: Mapping[str, str] | None,
        *,
        tuning: TuningConfig | None = None,
        base_home: Path | None = None,
    ) -> Self:
        """An estimator around a head that was trained elsewhere, such as one of many runs.

        `base_home` is the folder in which a tuned base stands under the name "base".
        """
        tuning = tuning or TuningConfig()
        made = cls(**head.config.to_dict(), **training.to_dict(), **tuning.to_dict())
        made._adopt(head, training, tuning, embedding, base_home)
        made.classes_ = np.array(list(classes))
        return made

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits [rows, classes]; for one of two classes the difference of the second and the first [rows]; of a scale the logarithms of
        the probabilities."""
        values = self._logits(X)
        if self.task_ == "ordinal":
            tiny = np.finfo(np.float64).tiny
            values = np.log(np.maximum(tasks.probabilities(self.task_, values), tiny))
        one_of_two = len(self.classes_) == 2 and self.task_ != "multi-label"
        return values[:, 1] - values[:, 0] if one_of_two else values

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [rows, classes], in the order of `classes_`; each label's own for task="multi-label"."""
        logits = self._logits(X)
        return tasks.probabilities(self.task_, logits)

    def predict(self, X: Any) -> np.ndarray:
        """The label of each row; for task="multi-label" 0 and 1 [rows, classes]."""
        logits = self._logits(X)
        found = tasks.predicted(self.task_, logits)
        if self.task_ == "multi-label":
            return found.astype(np.int64)
        labels: np.ndarray = self.classes_[found]
        return labels


class HybridRegressor(RegressorMixin, _HybridEstimator):
    """A regressor with a simulated quantum head: y holds a number for each row.

    Its parameters are those of `HybridClassifier`, less `task` and `class_weight`. The squared error is trained on numbers scaled to
    mean 0 and deviation 1; the scale then moves into the final linear layer.
    """

    def __init__(self, **settings: Any) -> None:
        for name, parameter in inspect.signature(type(self)).parameters.items():
            setattr(self, name, settings.pop(name, parameter.default))
        if settings:
            raise TypeError(f"HybridRegressor has no parameter {next(iter(settings))!r}")

    # scikit-learn reads the names and the defaults of the parameters from here.
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            p
            for p in inspect.signature(HybridClassifier.__init__).parameters.values()
            if p.name not in ("task", "class_weight")
        ]
    )

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        checkpoint: Path | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> Self:
        """As `HybridClassifier.fit`, with a number for each row.

        Raises:
            HilbertuneError: the data or the hyperparameters are unusable, among them numbers that are all the same.
        """
        configs = self._configs()
        check_device(self.device)
        if not configs[0].final_linear:
            raise HilbertuneError(
                "A regressor needs its final linear layer: leave final_linear on."
            )
        X, y, embedder = self._read(X, y, configs[0])
        with _one_sentence():
            y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        mean, scale = float(y.mean()), float(y.std())
        if len(y) == 1:
            raise HilbertuneError("Training needs at least 2 rows, there is only 1 sample.")
        if scale == 0:
            raise HilbertuneError(f"All numbers to learn are {mean}: there is nothing to learn.")
        self._train(X, (y - mean) / scale, 0, embedder, configs, checkpoint, progress)
        in_units(self.head_, mean, scale)
        return self

    @classmethod
    def from_head(
        cls,
        head: HybridHead,
        training: TrainingConfig,
        embedding: Mapping[str, str] | None,
        *,
        tuning: TuningConfig | None = None,
        base_home: Path | None = None,
    ) -> Self:
        """An estimator around a head that was trained elsewhere, and whose outputs are in the units of y."""
        tuning = tuning or TuningConfig()
        settings = {**head.config.to_dict(), **training.to_dict(), **tuning.to_dict()}
        made = cls(**{k: v for k, v in settings.items() if k not in ("task", "class_weight")})
        made._adopt(head, training, tuning, embedding, base_home)
        return made

    def predict(self, X: Any) -> np.ndarray:
        """A number for each row."""
        return self._logits(X)[:, 0]


HybridEstimator = HybridClassifier | HybridRegressor


@torch.no_grad()
def in_units(head: HybridHead, mean: float, scale: float) -> None:
    """Move the scale of the numbers that a head was trained on into its final linear layer."""
    head.linear_weight.mul_(scale)
    head.linear_bias.mul_(scale).add_(mean)


def load_pretrained(directory: str | Path, *, device: str = "cpu") -> HybridEstimator:
    """Load a saved model of either kind: a folder, or the name of a repository on the Hugging Face hub. Nothing in it is executed.

    Raises:
        HilbertuneError: no such model, or a file of it is missing, truncated or not ours.
    """
    folder = Path(directory)
    if not folder.exists() and "/" in str(directory) and not str(directory).startswith((".", "/")):
        folder = _download(str(directory))
    check_device(device)
    config = _read_config(folder)
    made: HybridEstimator
    try:
        training = TrainingConfig.from_dict(config["training"])
        tuning = TuningConfig.from_dict(config.get("tuning", {}))
        outputs = tasks.outputs(training.task, len(config["classes"]))
        head = HybridHead(config["features"], outputs, HeadConfig.from_dict(config["head"]))
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        head = head.to(tensors["head.weights"].dtype)
        head.load_state_dict(tensors)
        own = (config["embedding"] or {}).get("model", "").startswith("./")
        home = folder.absolute() if own else None
        if training.task == "regression":
            made = HybridRegressor.from_head(
                head, training, config["embedding"], tuning=tuning, base_home=home
            )
        else:
            made = HybridClassifier.from_head(
                head,
                training,
                config["classes"],
                config["embedding"],
                tuning=tuning,
                base_home=home,
            )
    except (OSError, safetensors.SafetensorError, RuntimeError) as error:
        raise HilbertuneError(
            f"{folder / 'model.safetensors'} is missing, truncated or does not belong to its config.json: copy the model again."
        ) from error
    except (KeyError, TypeError, ValueError, ArithmeticError, MemoryError) as error:
        raise HilbertuneError(
            f"{folder / 'config.json'} does not describe a model ({error}): copy the model again."
        ) from error
    made.set_params(device=device)
    made.head_.to(device)
    return made


def _in_order(weights: Mapping[Any, float], classes: np.ndarray) -> tuple[float, ...]:
    """The weight of each class, in the order of the classes."""
    known = classes.tolist()
    if unknown := [label for label in weights if label not in known]:
        raise HilbertuneError(
            f"class_weight names {unknown[0]!r}, which is no label of the training rows."
        )
    return tuple(float(weights.get(label, 1.0)) for label in known)


def _label_sets(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """The labels, and 0 and 1 [rows, labels], of an array of 0 and 1 or of a collection of labels for each row."""
    if isinstance(y, list | tuple) and any(
        isinstance(v, list | tuple | set | frozenset) for v in y
    ):
        numbers = all(isinstance(v, int | float) for row in y for v in row)
        if not (
            numbers
            and len({len(row) for row in y}) == 1
            and {v for row in y for v in row} <= {0, 1}
        ):
            names, targets = encode_labels([list(row) for row in y], "multi-label")
            return np.array(names), targets
    table = np.asarray(y)
    if table.ndim != 2 or not np.isin(table, (0, 1)).all():
        raise HilbertuneError(
            "With task='multi-label' y must be an array of 0 and 1 [rows, classes], or a list of labels for each row."
        )
    return np.arange(table.shape[1]), table


@functools.lru_cache(maxsize=2)
def _embedder(record: tuple[tuple[str, str], ...], device: str, folder: Path | None) -> Embedder:
    """Loaded once, however many pieces a stream of texts comes in; predictions need no cache on disk."""
    return Embedder.from_record(dict(record), device=device, folder=folder, cache=None)


def _are_items(X: Any) -> bool:
    """Whether X is a sequence of raw items rather than of numbers; what is no item is refused later by its row."""
    if isinstance(X, str):
        raise HilbertuneError("X is a single string: give a list of texts.")
    if isinstance(X, np.ndarray):
        return X.ndim == 1 and any(isinstance(v, str) for v in X)
    if hasattr(X, "dtype") and hasattr(X, "tolist") and getattr(X, "ndim", 2) == 1:  # pandas
        X = X.tolist()
    if not isinstance(X, list | tuple):
        return False
    return any(_is_item(v) or (isinstance(v, tuple | list) and any(map(_is_item, v))) for v in X)


def _dense(X: Any) -> np.ndarray:
    """Amplitudes are stored whole, so a sparse matrix gains nothing behind this point."""
    found: np.ndarray = X.toarray() if sparse.issparse(X) else np.asarray(X)
    return found


def _is_item(value: Any) -> bool:
    """A text, a path or a picture."""
    return isinstance(value, str | Path) or type(value).__module__.startswith("PIL.")


def best_device() -> str:
    """A GPU if torch can use one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str) -> None:
    """Refuse a device that torch cannot use.

    Raises:
        HilbertuneError: torch does not know it, or was built without it.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise HilbertuneError(
            f"The device {device!r} cannot be used ({reason}): choose another, such as 'cpu'."
        ) from error


@contextlib.contextmanager
def _one_sentence() -> Iterator[None]:
    """What scikit-learn says about unusable data, as an error of ours on one line."""
    try:
        yield
    except ValueError as error:
        raise HilbertuneError(" ".join(str(error).split())) from error


def _download(name: str) -> Path:
    hub = require("huggingface_hub", "text")
    try:
        return Path(
            hub.snapshot_download(
                name, allow_patterns=["*.json", "*.safetensors", "*.md", "base/*.txt"]
            )
        )
    except Exception as error:
        raise HilbertuneError(
            f"{name} is neither a folder nor a model that the Hugging Face hub would give "
            f"({(str(error).strip() or type(error).__name__).splitlines()[0].rstrip('.')}): check the name."
        ) from error


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not folder.is_dir():
        raise HilbertuneError(
            f"There is no model directory {folder}: name one that 'fit' has written."
        )
    if not path.is_file():
        raise HilbertuneError(f"{folder} is no Hilbertune model: it has no config.json.")
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise HilbertuneError(f"{path} cannot be read as JSON: copy the model again.") from error
    if not isinstance(config, dict) or "format" not in config or "head" not in config:
        raise HilbertuneError(
            f"{folder} is no Hilbertune model: its config.json is another program's."
        )
    if config["format"] not in (1, FORMAT):
        raise HilbertuneError(
            f"{folder} has the format {config['format']!r}, this version reads 1 and {FORMAT}: upgrade hilbertune."
        )
    features, classes, source = (config.get(k) for k in ("features", "classes", "embedding"))
    wrong = [
        name
        for name, right in {
            "features": type(features) is int and features > 0,
            # A regressor has none.
            "classes": classes == []
            or (
                isinstance(classes, list)
                and len({type(c) for c in classes}) == 1
                and type(classes[0]) in (bool, int, float, str)
                and len(set(classes)) == len(classes)
            ),
            "embedding": source is None
            or (
                isinstance(source, dict)
                and all(isinstance(source.get(k), str) for k in ("model", "fingerprint"))
            ),
        }.items()
        if not right
    ]
    if wrong:
        raise HilbertuneError(f"{path} has no usable {wrong[0]!r}: copy the model again.")
    return config


def _card(config: Mapping[str, Any]) -> str:
    """The model card: what it is, how to use it, what was measured."""
    head = config["head"]
    source = (config["embedding"] or {}).get("model", "precomputed embeddings")
    tune, task = config["tuning"]["tune"], config["training"]["task"]
    kind = "HybridRegressor" if task == "regression" else "HybridClassifier"
    tuned = "" if tune == "frozen" else f", a base tuned with this head: {tune}"
    answers = (
        "Predicts a number."
        if task == "regression"
        else f"Classes: {', '.join(map(str, config['classes']))}."
    )
    settings = {**head, **config["training"], **(config["tuning"] if tune != "frozen" else {})}
    rows = "\n".join(f"| {name} | {value} |" for name, value in settings.items())
    measured = "\n".join(
        f"- {name.replace('_', ' ')}: {_figure(value)}" for name, value in config["results"].items()
    )
    return f"""---
library_name: hilbertune
pipeline_tag: text-classification
tags: [quantum, hybrid, hilbertune]
---
# Hybrid quantum-classical classifier

{config["parameters"]} trained parameters: {head["encoders"]} encoder(s) and a re-uploading head on {head["qubits"]} simulated qubits, after arXiv 2504.08732,
behind {source} ({config["features"]} numbers{tuned}). {answers}

```python
from hilbertune import {kind}

model = {kind}.from_pretrained("this folder")
model.predict({'["a text"]' if config["embedding"] else "embeddings"})
```

## Measured

{measured or "Nothing was measured on held-out data when this model was saved."}

No advantage over a classical head is claimed: compare with the classical baselines that `hilbertune fit` trains on the same splits.

## Hyperparameters

| name | value |
| --- | --- |
{rows}
"""


def _figure(value: Any) -> str:
    """A measured value in words: a mean with its interval, or as it is."""
    if isinstance(value, Mapping) and "mean" in value:
        text = f"{value['mean']:.4f}"
        if value.get("low") is not None:
            text += f" (95 % interval {value['low']:.4f} to {value['high']:.4f})"
        return text
    return f"{value:.4f}" if isinstance(value, float) else str(value)
