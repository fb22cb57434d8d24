"""The scikit-learn face: fit, predict, save and load a hybrid head on embeddings or on texts.

In: embeddings [rows, features] or a list of texts, and labels. Out: a fitted estimator, or a directory of JSON and safetensors that holds it.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from hilbertune import evaluation, storage
from hilbertune.config import (
    Basis,
    EncoderKind,
    Gradient,
    HeadConfig,
    HeadKind,
    Merge,
    Padding,
    Projection,
    TrainingConfig,
)
from hilbertune.data import check_embeddings, few_shot_split
from hilbertune.embedding import EMBEDDED_MODEL, Embedder
from hilbertune.engine import EngineName
from hilbertune.errors import HilbertuneError, require
from hilbertune.layers import HybridHead
from hilbertune.training import TrainingResult, train

FORMAT = 1
"""Version of the model directory's layout (docs/reference/model-directory.md)."""


class HybridClassifier(ClassifierMixin, BaseEstimator):
    """A classifier with a simulated quantum head, after arXiv 2504.08732, as a scikit-learn estimator.

    X is an array of embeddings [rows, features], or a list of texts, which `embedding` turns into embeddings. A share `validation` of
    the rows chooses the best epoch and is not trained on. Each hyperparameter is explained where it is declared:
    docs/reference/hyperparameters.md.

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
        validation: float = 0.15,
        embedding: str = EMBEDDED_MODEL,
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
        self.validation = validation
        self.embedding = embedding
        self.engine = engine
        self.device = device
        self.random_state = random_state

    def _configs(self) -> tuple[HeadConfig, TrainingConfig]:
        """The two records that the parameters spell out; NumPy's scalars, as grids hold them, become Python's."""
        given = {
            k: v.item() if isinstance(v, np.generic) else v
            for k, v in self.get_params(deep=False).items()
        }

        def chosen(kind: type[HeadConfig] | type[TrainingConfig]) -> dict[str, Any]:
            return {f.name: given[f.name] for f in dataclasses.fields(kind)}

        return HeadConfig(**chosen(HeadConfig)), TrainingConfig(**chosen(TrainingConfig))

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        checkpoint: Path | None = None,
        progress: Callable[[int, float], None] | None = None,
    ) -> Self:
        """Train encoder(s), head and linear layer together.

        Args:
            X: embeddings [rows, features], or texts.
            y: a label for each row.
            checkpoint: a file that training goes on from after a crash.
            progress: called after every epoch with the epochs done and the validation accuracy.

        Raises:
            HilbertuneError: the data or the hyperparameters are unusable; the message says what to do.
        """
        head_config, training_config = self._configs()
        check_device(self.device)
        if _are_texts(X):
            embedder = Embedder(self.embedding, device=self.device)
            self.embedding_: dict[str, str] | None = {
                "model": self.embedding,
                "fingerprint": embedder.fingerprint,
            }
            y = column_or_1d(y, warn=True)
            if len(y) != len(X):
                raise HilbertuneError(
                    f"There are {len(X)} texts and {len(y)} labels: give as many."
                )
            X = embedder.embed(list(X))
            self.n_features_in_ = X.shape[1]
        else:
            self.embedding_ = None
            with _one_sentence():
                X, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(y)
        if head_config.padding == "zero":
            # With constant padding a row of zeros is a state like any other; without, it has none.
            check_embeddings(X)
        self.classes_, indices = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise HilbertuneError(
                f"Training needs at least 2 classes, there is only one class: {self.classes_[0]!r}."
            )
        seed = int(check_random_state(self.random_state).randint(2**31))
        if isinstance(self.random_state, int | np.integer):
            seed = int(self.random_state)
        split = few_shot_split(
            indices.tolist(), per_class=None, validation=self.validation, seed=seed
        )
        model = HybridHead(
            self.n_features_in_, len(self.classes_), head_config, engine=self.engine
        ).to(self.device)
        self.training_: TrainingResult = train(
            model,
            torch.tensor(X),
            torch.from_numpy(indices),
            [split],
            [training_config],
            [seed],
            checkpoint=checkpoint,
            progress=progress,
        )
        self._trained_with = training_config
        self.head_ = model.eval()
        self.validation_accuracy_ = self.training_.best_validation_accuracy(0)
        return self

    @classmethod
    def from_head(
        cls,
        head: HybridHead,
        training: TrainingConfig,
        classes: Sequence[Any],
        embedding: Mapping[str, str] | None,
    ) -> Self:
        """An estimator around a head that was trained elsewhere, such as one of many runs."""
        made = cls(**head.config.to_dict(), **training.to_dict())
        made._trained_with = training
        made.head_ = head.eval()
        made.head_.head.shots, made.head_.head.noise = training.shots, training.noise
        made.classes_ = np.array(list(classes))
        made.n_features_in_ = head.features
        made.embedding_ = dict(embedding) if embedding else None
        if embedding:
            made.set_params(embedding=embedding["model"])
        return made

    def embed(self, X: Any) -> np.ndarray:
        """Embeddings [rows, features] of X as the model takes them, checked.

        Raises:
            HilbertuneError: texts for a model that was trained on embeddings, another width, NaN or zero rows.
        """
        check_is_fitted(self, "head_")
        if _are_texts(X):
            if self.embedding_ is None:
                raise HilbertuneError(
                    "This model was trained on embeddings, not on texts: give it embeddings of the same kind."
                )
            embedder = _embedder(self.embedding_["model"], self.device)
            if embedder.fingerprint != self.embedding_["fingerprint"]:
                raise HilbertuneError(
                    f"The embedding model {self.embedding_['model']!r} is not the version this model was trained with: "
                    "install that version or train again."
                )
            return embedder.embed(list(X))
        with _one_sentence():
            X = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        if self.head_.config.padding == "zero":
            check_embeddings(X, width=self.n_features_in_)
        return np.asarray(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits [rows, classes]; for two classes the difference of the second and the first [rows]."""
        X = self.embed(X)
        values = evaluation.logits(self.head_, X).astype(np.float64)
        return values[:, 1] - values[:, 0] if len(self.classes_) == 2 else values

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [rows, classes], in the order of `classes_`."""
        X = self.embed(X)
        values = torch.from_numpy(evaluation.logits(self.head_, X).astype(np.float64))
        return values.softmax(dim=1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row."""
        X = self.embed(X)
        predicted: np.ndarray = self.classes_[evaluation.logits(self.head_, X).argmax(axis=1)]
        return predicted

    def save_pretrained(
        self,
        directory: str | Path,
        *,
        results: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> Path:
        """Write config.json, model.safetensors and a model card to a new directory, which appears only when it is whole.

        Args:
            directory: where; it must not exist yet.
            results: measured figures for config.json and the card, such as {"test_accuracy": {"mean": ...}}.
            files: further files by name.

        Raises:
            HilbertuneError: the directory exists or cannot be written.
        """
        check_is_fitted(self, "head_")
        config = {
            "format": FORMAT,
            # What was fitted, whatever set_params has changed since.
            "head": self.head_.config.to_dict(),
            "training": self._trained_with.to_dict(),
            "classes": self.classes_.tolist(),
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
        return Path(directory)

    @classmethod
    def from_pretrained(cls, directory: str | Path, *, device: str = "cpu") -> Self:
        """Load a saved model: a folder, or the name of a repository on the Hugging Face hub. Nothing in it is executed.

        Raises:
            HilbertuneError: no such model, or a file of it is missing, truncated or not ours.
        """
        folder = Path(directory)
        if (
            not folder.exists()
            and "/" in str(directory)
            and not str(directory).startswith((".", "/"))
        ):
            folder = _download(str(directory))
        check_device(device)
        config = _read_config(folder)
        try:
            head = HybridHead(
                config["features"],
                len(config["classes"]),
                HeadConfig.from_dict(config["head"]),
            )
            training = TrainingConfig.from_dict(config["training"])
            tensors = safetensors.torch.load_file(folder / "model.safetensors")
            head = head.to(tensors["head.weights"].dtype)
            head.load_state_dict(tensors)
            made = cls.from_head(head, training, config["classes"], config["embedding"])
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags


@functools.lru_cache(maxsize=2)
def _embedder(model: str, device: str) -> Embedder:
    """Loaded once, however many pieces a stream of texts comes in; predictions need no cache on disk."""
    return Embedder(model, device=device, cache=None)


def _are_texts(X: Any) -> bool:
    """Whether X is a sequence of texts rather than numbers; among texts, what is none is refused later by its row."""
    if isinstance(X, str):
        raise HilbertuneError("X is a single string: give a list of texts.")
    if isinstance(X, np.ndarray):
        return X.ndim == 1 and any(isinstance(v, str) for v in X)
    if hasattr(X, "dtype") and hasattr(X, "tolist") and getattr(X, "ndim", 2) == 1:  # pandas
        X = X.tolist()
    return isinstance(X, list | tuple) and any(isinstance(v, str) for v in X)


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
        return Path(hub.snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.md"]))
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
    if config["format"] != FORMAT:
        raise HilbertuneError(
            f"{folder} has the format {config['format']!r}, this version reads {FORMAT}: upgrade hilbertune."
        )
    features, classes, source = (config.get(k) for k in ("features", "classes", "embedding"))
    wrong = [
        name
        for name, right in {
            "features": type(features) is int and features > 0,
            "classes": isinstance(classes, list)
            and len({type(c) for c in classes}) == 1
            and type(classes[0]) in (bool, int, float, str)
            and len(set(classes)) == len(classes),
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
    rows = "\n".join(
        f"| {name} | {value} |" for name, value in {**head, **config["training"]}.items()
    )
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
behind {source} ({config["features"]} numbers). Classes: {", ".join(map(str, config["classes"]))}.

```python
from hilbertune import HybridClassifier

model = HybridClassifier.from_pretrained("this folder")
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
