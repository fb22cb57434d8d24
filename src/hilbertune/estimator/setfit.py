"""A quantum head inside SetFit's own model and trainer.

In: a sentence transformer, and a `HybridClassifier` or a `DifferentiableHead`, which SetFit trains by backpropagation.
Out: a `setfit.SetFitModel` that is saved as safetensors and JSON, where SetFit itself would write a pickle.
"""

import json
from pathlib import Path
from typing import Any, Self

import torch
from setfit import SetFitModel
from torch import Tensor, nn

from hilbertune.config.records import HeadConfig, TrainingConfig
from hilbertune.embedding.embedder import Embedder
from hilbertune.embedding.transformer import quiet
from hilbertune.errors import HilbertuneError, require
from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.model import tasks
from hilbertune.model.layers import HybridHead
from hilbertune.runtime.replacing import replaced_directory

require("setfit", "tune")

_SETTINGS = "config_setfit.json"
_ATTRIBUTES = ("normalize_embeddings", "labels")


class DifferentiableHead(nn.Module):
    """A `HybridHead` under the names that SetFit's differentiable heads have.

    Raises:
        HilbertuneError: the shape does not fit the embedding or the number of classes.
    """

    def __init__(self, features: int, classes: int, config: HeadConfig | None = None) -> None:
        super().__init__()
        self.head = HybridHead(features, tasks.outputs("classification", classes), config)

    def forward(self, features: Any, temperature: float | None = None) -> Any:
        """Return logits and probabilities [batch, classes], added to SetFit's dictionary, or as a pair for a tensor."""
        x = features["sentence_embedding"] if isinstance(features, dict) else features
        logits = self.head(x) / (temperature or 1.0)
        answers = {"logits": logits, "probs": logits.softmax(-1)}
        return features | answers if isinstance(features, dict) else tuple(answers.values())

    @torch.no_grad()
    def predict_proba(self, x_test: Tensor) -> Tensor:
        """Return probabilities [rows, classes] for embeddings [rows, features]."""
        self.eval()
        probabilities: Tensor = self(x_test)[1]
        return probabilities

    def predict(self, x_test: Tensor) -> Tensor:
        """Return class indices [rows]."""
        return self.predict_proba(x_test).argmax(-1)

    def get_loss_fn(self) -> nn.Module:
        """Return the cross-entropy."""
        return nn.CrossEntropyLoss()

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.head.head.weights.device


class HybridSetFitModel(SetFitModel):
    """A `setfit.SetFitModel` that saves and loads a quantum head without pickles; everything else is SetFit's."""

    def save_pretrained(
        self, save_directory: Path | str, *, repo_id: str | None = None, push_to_hub: bool = False, **options: Any
    ) -> Any:
        """Write body and head to a folder, as a whole in the place of an earlier one; see `SetFitModel`.

        Raises:
            HilbertuneError: something else exists there, it cannot be written, or the head is another.
        """
        self._name = str(save_directory)
        hub = {k: options.pop(k) for k in list(options) if k not in ("config", "model_card_kwargs")}
        with replaced_directory(Path(save_directory), _SETTINGS) as folder:
            super().save_pretrained(folder, **options)
        return self.push_to_hub(repo_id or Path(save_directory).name, **hub) if push_to_hub else None

    def _save_pretrained(self, save_directory: Path | str) -> None:
        folder = Path(save_directory)
        head = self.model_head
        differentiable = isinstance(head, DifferentiableHead)
        if differentiable:
            made = HybridClassifier.from_head(head.head, TrainingConfig(), range(head.head.outputs), None)
        elif isinstance(head, HybridClassifier):
            made = head
        else:
            raise HilbertuneError(
                f"HybridSetFitModel saves quantum heads, not {type(head).__name__}: use SetFitModel for others."
            )
        settings = {name: getattr(self, name, None) for name in _ATTRIBUTES}
        with quiet():
            self.model_body.save_pretrained(str(folder), create_model_card=False, safe_serialization=True)
        made.save_pretrained(folder / "head")
        settings["differentiable"] = differentiable
        (folder / _SETTINGS).write_text(json.dumps(settings, indent=2))
        self.create_model_card(path=str(folder), model_name=self._name)

    @classmethod
    def from_pretrained(cls, directory: str | Path, *, device: str | None = None) -> Self:
        """Load body and head from a folder that `save_pretrained` has written.

        Raises:
            HilbertuneError: the folder lacks a part, or a part is broken.
        """
        folder = Path(directory)
        try:
            settings = json.loads((folder / _SETTINGS).read_bytes())
            differentiable = settings.pop("differentiable")
        except (OSError, ValueError, KeyError, AttributeError) as error:
            raise HilbertuneError(
                f"{folder} is not a SetFit model with a quantum head: save one with HybridSetFitModel."
            ) from error
        body = Embedder(str(folder), device=device, cache=None).transformer
        head: Any = HybridClassifier.from_pretrained(folder / "head", device=device or "cpu")
        if differentiable:
            plain = DifferentiableHead(head.head_.features, head.head_.outputs, head.head_.config)
            plain.head.load_state_dict(head.head_.state_dict())
            head = plain.to(device or "cpu")
        return cls(model_body=body, model_head=head, **settings)
