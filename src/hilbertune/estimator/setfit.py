"""A quantum head inside SetFit's own model and trainer.

In: a sentence transformer, and a `HybridClassifier` or a `DifferentiableHead`, which SetFit trains by backpropagation.
Out: a `setfit.SetFitModel` that is saved as safetensors and JSON, where SetFit itself would write a pickle.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from setfit import SetFitModel
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hilbertune.circuit.sources import with_texts
from hilbertune.config.records import HeadConfig, Task, TrainingConfig
from hilbertune.data.sequences import listed
from hilbertune.embedding.contents import files_below
from hilbertune.embedding.descriptions import json_object
from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.transformer import as_encoded, default_prompt, quiet
from hilbertune.errors import HilbertuneError, MissingExtraError, first_line, require
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.model import tasks
from hilbertune.model.layers import HybridHead
from hilbertune.runtime.replacing import replaced_directory

require("setfit", "tune")

_SETTINGS = "config_setfit.json"
_ATTRIBUTES = ("normalize_embeddings", "labels", "multi_target_strategy")
_FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.md")
"""The files of a repository that are fetched: no code, and nothing pickled."""


_OUT_OF_SCOPE = """### Out-of-Scope Use

- Decisions about people (hiring, credit, health, law) without a person who checks each answer.
- Texts unlike those it was trained on, or of another class: it has no answer for "none of these".
- Evidence of a quantum advantage: the head is simulated, and no advantage over a classical head is claimed."""
"""The part of a card that SetFit leaves to the author."""

_HEAD_CARD = """This is the quantum head of the SetFit model in the folder above, which is loaded as a whole:

```python
from hilbertune.estimator import HybridSetFitModel

model = HybridSetFitModel.from_pretrained("the folder above")
```
"""


class DifferentiableHead(nn.Module):
    """A `HybridHead` under the names that SetFit's differentiable heads have.

    With `multitarget` a row may have several of the classes, and each has a probability of its own.

    Raises:
        HilbertuneError: the shape does not fit the embedding or the number of classes.
    """

    def __init__(
        self, features: int, classes: int, config: HeadConfig | None = None, *, multitarget: bool = False
    ) -> None:
        super().__init__()
        self.multitarget = multitarget
        self.task: Task = "multi-label" if multitarget else "classification"
        outputs = tasks.outputs(self.task, classes)
        self.head = HybridHead(features, outputs, tasks.shape(self.task, config or HeadConfig(), outputs))

    def forward(self, features: Any, temperature: float | None = None) -> Any:
        """Return logits and probabilities [batch, classes], added to SetFit's dictionary, or as a pair for a tensor."""
        x = features["sentence_embedding"] if isinstance(features, dict) else features
        logits = self.head(x) / (temperature or 1.0)
        answers = {"logits": logits, "probs": logits.sigmoid() if self.multitarget else logits.softmax(-1)}
        return features | answers if isinstance(features, dict) else tuple(answers.values())

    @torch.no_grad()
    def predict_proba(self, x_test: Tensor) -> Tensor:
        """Return probabilities [rows, classes] for embeddings [rows, features]."""
        self.eval()
        probabilities: Tensor = self(x_test)[1]
        return probabilities

    def predict(self, x_test: Tensor) -> Tensor:
        """Return class indices [rows], or 0 and 1 [rows, classes] with several targets."""
        probabilities = self.predict_proba(x_test)
        return (probabilities > 0.5).long() if self.multitarget else probabilities.argmax(-1)

    def get_loss_fn(self) -> nn.Module:
        """Return the cross-entropy, with several targets that of each by itself."""
        return nn.BCEWithLogitsLoss() if self.multitarget else nn.CrossEntropyLoss()

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.head.head.weights.device


class HybridSetFitModel(SetFitModel):
    """A `setfit.SetFitModel` that saves and loads a quantum head without pickles; everything else is SetFit's.

    A body's default prompt and `truncate_dim` count in training as they do in predictions.
    """

    def __init__(self, model_body: Any = None, *others: Any, **settings: Any) -> None:
        super().__init__(None if model_body is None else as_encoded(model_body), *others, **settings)

    def _prepare_dataloader(
        self,
        x_train: list[str],
        y_train: Any,
        batch_size: int | None = None,
        max_length: int | None = None,
        shuffle: bool = True,
    ) -> Any:
        """Return batches of tokens and labels; SetFit's own have the tokens of the texts without their prompt."""
        if not default_prompt(self.model_body):
            return super()._prepare_dataloader(x_train, y_train, batch_size, max_length, shuffle)
        limits = {} if max_length is None else {"max_length": min(max_length, self.model_body.get_max_seq_length())}

        def collate(rows: list[tuple[str, Any]]) -> tuple[dict[str, Tensor], Tensor]:
            texts, labels = zip(*rows, strict=True)
            tokens = self.model_body.preprocess(list(texts), **limits)
            features = {k: torch.as_tensor(v) for k, v in tokens.items() if isinstance(v, Tensor | int)}
            targets = torch.tensor(labels)
            return features, targets.long() if targets.dim() == 1 else targets.float()

        rows: Any = list(zip(x_train, y_train, strict=True))
        return DataLoader(rows, batch_size=batch_size, collate_fn=collate, shuffle=shuffle)

    def save_pretrained(
        self, save_directory: Path | str, *, repo_id: str | None = None, push_to_hub: bool = False, **options: Any
    ) -> Any:
        """Write body and head to a folder, as a whole in the place of an earlier one; see `SetFitModel`.

        Raises:
            HilbertuneError: something else exists there, it cannot be written, or the head is another.
        """
        self._name = str(save_directory)
        if repo_id and self.model_card_data.model_id is None:
            self.model_card_data.model_id = repo_id  # the card says how to load it from there
        hub = {k: options.pop(k) for k in list(options) if k not in ("config", "model_card_kwargs")}
        with replaced_directory(Path(save_directory), _SETTINGS) as folder:
            super().save_pretrained(folder, **options)
        return self.push_to_hub(repo_id or Path(save_directory).name, **hub) if push_to_hub else None

    def _save_pretrained(self, save_directory: Path | str) -> None:
        folder = Path(save_directory)
        head = self.model_head
        differentiable = isinstance(head, DifferentiableHead)
        if differentiable:
            made = HybridClassifier.from_head(head.head, TrainingConfig(task=head.task), range(head.head.outputs), None)
        elif isinstance(head, HybridClassifier):
            check_is_fitted(head, "head_")  # before anything is written
            made = head
        else:
            raise HilbertuneError(
                f"HybridSetFitModel saves quantum heads, not {type(head).__name__}: use SetFitModel for others."
            )
        settings = {name: getattr(self, name, None) for name in _ATTRIBUTES}
        with quiet():
            self.model_body.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
        made.save_pretrained(folder / "head")
        # Its own card would say to load the head alone.
        (folder / "head" / "README.md").write_text(_HEAD_CARD, encoding="utf-8")
        settings["differentiable"] = differentiable
        (folder / _SETTINGS).write_text(json.dumps(settings, indent=2), encoding="utf-8")
        self.create_model_card(path=str(folder), model_name=self._name)

    def encode(self, inputs: Any, *others: Any, **settings: Any) -> Any:
        """Return the embeddings of texts, of which any column of them will do."""
        return super().encode(listed(inputs), *others, **settings)

    def generate_model_card(self) -> str:
        """Return SetFit's model card, which names this class as the one to load the model with."""
        text = str(super().generate_model_card())
        for theirs, ours in (
            ("library_name: setfit", "library_name: hilbertune"),
            ("First install the SetFit library:", "First install Hilbertune with SetFit:"),
            ("pip install setfit", "pip install 'hilbertune[tune]'"),
            ("from setfit import SetFitModel", "from hilbertune.estimator import HybridSetFitModel"),
            ("model = SetFitModel.from_pretrained(", "model = HybridSetFitModel.from_pretrained("),
            ('"setfit_model_id"', '"this folder"'),
            ("inference: true", "inference: false"),  # the hub does not run it
        ):
            text = text.replace(theirs, ours)
        return re.sub(r"<!--\n### Out-of-Scope Use.*?-->", _OUT_OF_SCOPE, text, count=1, flags=re.DOTALL)

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path,
        *,
        device: str | None = None,
        labels: Sequence[str] | None = None,
        multi_target_strategy: str | None = None,
        normalize_embeddings: bool | None = None,
        use_differentiable_head: bool = False,
        head_params: Mapping[str, Any] | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Self:
        """Load a model that `save_pretrained` has written, or a sentence transformer with a new quantum head above it.

        Args:
            directory: a folder, or a name on the Hugging Face hub.
            device: where it runs, as PyTorch names it.
            labels: names of the classes 0, 1, ...; default those that were saved.
            multi_target_strategy: "one-vs-rest" or "multi-output" where a text may have several labels.
            normalize_embeddings: scale embeddings to length 1.
            use_differentiable_head: a new head is a `DifferentiableHead`, which SetFit trains by backpropagation,
                instead of a `HybridClassifier`.
            head_params: settings of a new head; "out_features" is the number of classes of a differentiable one.
            revision: branch, tag or commit on the hub.
            token: of the hub, for private models.
            cache_dir: where the hub's files are kept.
            force_download: fetch them although they are there.
            local_files_only: do not fetch them.

        Raises:
            HilbertuneError: there is no such model, it lacks a part, or a part is broken; labels that do not fit it.
        """
        hub = {"revision": revision, "token": token, "cache_dir": cache_dir}
        hub |= {"force_download": force_download, "local_files_only": local_files_only}
        names = None if labels is None else list(labels)
        given: dict[str, Any] = {"labels": names, "multi_target_strategy": multi_target_strategy}
        given |= {"normalize_embeddings": normalize_embeddings}
        _check_strategy(multi_target_strategy)
        folder = _folder(directory, hub)
        if isinstance(folder, Path) and folder.is_dir():
            files_below(folder)
        settings = _saved_settings(folder)
        if settings is None:
            body = _new_body(folder, device)
            many = multi_target_strategy is not None
            head = _new_head(body, names, many, use_differentiable_head, dict(head_params or {}))
            settings = {"normalize_embeddings": False}
        else:
            body = Embedder(str(folder), device=device, cache=None).transformer
            head = _saved_head(folder, settings.pop("differentiable"), device)
        if isinstance(head, nn.Module):
            head = head.to(body.device)
        settings = {**settings, **{k: v for k, v in given.items() if v is not None}}
        _check_labels(settings.get("labels"), head)
        return cls(model_body=body, model_head=head, **settings)


def _folder(directory: str | Path, hub: dict[str, Any]) -> Path | str:
    """Return the local folder of a model, fetched from the hub if it is not there; a bare name as it is."""
    name = str(directory)
    if Path(name).exists() or "/" not in name or name.startswith((".", "/")):
        return Path(name) if Path(name).exists() or "/" in name else name
    try:
        fetch = require("huggingface_hub", "tune").snapshot_download
        return Path(fetch(name, allow_patterns=list(_FETCHED), **hub))
    except Exception as error:  # the hub and the network have many errors of their own
        raise HilbertuneError(
            f"{name} is neither a folder nor a model that the Hugging Face hub would give "
            f"({first_line(error)}): check the name and the revision."
        ) from error


def _saved_settings(folder: Path | str) -> dict[str, Any] | None:
    """Return what `save_pretrained` wrote beside body and head, None where it has not written this folder."""
    try:
        settings = json_object(Path(folder) / _SETTINGS)
        return {name: settings.get(name) for name in _ATTRIBUTES} | {"differentiable": settings["differentiable"]}
    except (HilbertuneError, KeyError):
        return None


def _saved_head(folder: Path | str, differentiable: bool, device: str | None) -> Any:
    head: Any = HybridClassifier.from_pretrained(Path(folder) / "head", device=device or "cpu")
    if not differentiable:
        return head
    many = head.task_ == "multi-label"
    plain = DifferentiableHead(head.head_.features, len(head.classes_), head.head_.config, multitarget=many)
    plain.head.load_state_dict(head.head_.state_dict())
    return plain


def _new_body(folder: Path | str, device: str | None) -> Any:
    """Return a sentence transformer to put a new head on; a SetFit model with another head is refused."""
    if isinstance(folder, Path) and any((folder / name).exists() for name in ("model_head.pkl", "head")):
        raise HilbertuneError(
            f"{folder} is not a SetFit model with a quantum head: save one with HybridSetFitModel, "
            "or name a sentence transformer."
        )
    try:
        return Embedder(str(folder), device=device, cache=None).transformer
    except MissingExtraError:
        raise
    except HilbertuneError as error:
        raise HilbertuneError(
            f"{folder} is not a SetFit model with a quantum head, nor a sentence transformer for a new one: {error}"
        ) from error


def _new_head(
    body: Any, labels: Sequence[str] | None, many: bool, differentiable: bool, settings: dict[str, Any]
) -> Any:
    """Return an untrained head for a body."""
    try:
        if not differentiable:
            return HybridClassifier(**{**({"task": "multi-label"} if many else {}), **settings})
        classes = settings.pop("out_features", len(labels or ()) or 2)
        width = int(body.encode(["width"]).shape[1])
        return DifferentiableHead(width, classes, HeadConfig(**with_texts(settings)), multitarget=many)
    except TypeError as error:
        raise HilbertuneError(f"head_params are not those of a quantum head: {first_line(error)}.") from error


def _check_strategy(strategy: str | None) -> None:
    if strategy not in (None, "one-vs-rest", "multi-output"):
        raise HilbertuneError(
            f"multi_target_strategy={strategy!r} is not one that a quantum head has: use 'one-vs-rest' or "
            "'multi-output', which are the same to it."
        )


def _check_labels(labels: Sequence[str] | None, head: Any) -> None:
    """Raise HilbertuneError for more or fewer labels than a trained head has classes."""
    trained = head.head if isinstance(head, DifferentiableHead) else getattr(head, "head_", None)
    if labels is None or trained is None:
        return
    classes = tasks.classes_of(head.task if isinstance(head, DifferentiableHead) else head.task_, trained.outputs)
    if len(labels) != classes:
        raise HilbertuneError(f"The model has {classes} classes and {len(labels)} labels: give as many.")
