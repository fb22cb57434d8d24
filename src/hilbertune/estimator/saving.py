"""Saving an estimator: a model directory, or a repository on the Hugging Face hub.

In: a fitted estimator, and what is to be said of it.
Out: config.json, model.safetensors and a model card, in a directory that appears only when it is whole.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hilbertune.circuit.builders import parts
from hilbertune.config.records import TrainingConfig, TuningConfig
from hilbertune.errors import HilbertuneError, MissingExtraError, first_line, require, shown
from hilbertune.estimator.card import model_card
from hilbertune.estimator.files import FORMAT
from hilbertune.runtime import storage
from hilbertune.runtime.escaping import json_text

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead

MOST_DRAWN = 1000
"""Gates of a head whose picture is drawn unasked."""


class Saving(BaseEstimator):
    """The part of an estimator that writes it down."""

    head_: "HybridHead"
    embedding_: dict[str, str] | None
    n_features_in_: int
    base_model_: str | None = None
    _trained_with: tuple[TrainingConfig, TuningConfig]
    _base_home: Path | None = None
    _about: Mapping[str, Any] = {}
    _results: Mapping[str, Any] = {}

    def save_pretrained(
        self,
        directory: str | Path,
        *,
        results: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        dataset: str | None = None,
        license: str | None = None,
        language: str | None = None,
        table: Sequence[Mapping[str, Any]] | None = None,
    ) -> Path:
        """Write config.json, model.safetensors and a model card to a new directory.

        The directory appears only when it is whole. A base that was tuned is written too, to the folder `base`. A model
        that was loaded keeps what its directory says of results, data and licence unless you say something else.

        Args:
            directory: where; it must not exist yet.
            results: measured figures for config.json and the card, such as {"test_accuracy": 0.9}.
            files: further files by name.
            dataset: what it was trained on: a name on the Hugging Face hub, or words.
            license: the licence of the head, as the hub names licences: "apache-2.0", "cc-by-4.0", "other".
            language: of the texts, as a code: "en".
            table: methods on the same splits for the card, as `results.json` has them.

        Raises:
            HilbertuneError: the directory exists or cannot be written, or something said is not what it should be.
        """
        about = self._said(dataset=dataset, license=license, language=language, table=table)
        return self._written(Path(directory), _results(results, self._results), files, about)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload a Hilbertune model",
        **said: Any,
    ) -> str:
        """Upload the model, with its card and a picture of the head, to the Hugging Face hub, and return its address.

        The repository is made if there is none. Without a token the one is used that `hf auth login` has kept.

        Args:
            repo_id: "your-name/your-model".
            private: make a new repository that only you see.
            token: of the hub, with the right to write; it is neither kept nor shown.
            commit_message: of the upload.
            said: `results`, `dataset`, `license`, `language` and `table`, as `save_pretrained` takes them.

        Raises:
            HilbertuneError: the hub does not take it.
            MissingExtraError: huggingface_hub is not installed.
        """
        hub = require("huggingface_hub", "text")
        if not isinstance(repo_id, str) or repo_id.count("/") != 1:
            raise HilbertuneError(f"repo_id must be a name such as 'your-name/your-model', not {shown(repo_id)}.")
        results, files = _results(said.pop("results", None), self._results), dict(said.pop("files", None) or {})
        about = self._said(**said)
        files |= self.picture()
        with tempfile.TemporaryDirectory(prefix="hilbertune-") as home:
            folder = self._written(Path(home) / "model", results, files, about, name=repo_id)
            try:
                interface = hub.HfApi(token=token)
                interface.create_repo(repo_id, private=private, exist_ok=True)
                interface.upload_folder(repo_id=repo_id, folder_path=str(folder), commit_message=commit_message)
            except Exception as error:  # the hub and the network have many errors of their own
                reason = first_line(error)
                reason = reason.replace(token, "***") if token else reason
                # Without a cause: its trace-back could show what was sent.
                raise HilbertuneError(
                    f"The Hugging Face hub did not take {repo_id} ({reason}): check the name, the network, and that "
                    "the token may write ('hf auth login')."
                ) from None
            return f"{interface.endpoint}/{repo_id}"

    def picture(self) -> dict[str, bytes]:
        """Return the file circuit.png, the head's circuit for the card, if there is one, and matplotlib to draw it."""
        from hilbertune.estimator import plots
        from hilbertune.runtime.plotting import image

        check_is_fitted(self, "head_")
        circuit = parts(self.head_.config).get("head")
        if circuit is None or len(circuit.operations) > MOST_DRAWN:
            return {}
        try:
            return {"circuit.png": image(plots.circuit_figure(self.head_.config, self.head_.outputs, "head"), ".png")}
        except MissingExtraError:
            return {}

    def _validated(self) -> dict[str, float]:
        """Return the validation figures of this model and of the classical head beside it, as far as there are any."""
        figures = {}
        for score in ("validation_accuracy", "validation_r2"):
            for name, words in (("", "this model"), ("classical_", "the plain classical head")):
                value = getattr(self, f"{name}{score}_", float("nan"))
                if value == value:
                    figures[f"{score} of {words}"] = float(value)
        return figures

    def _said(self, **said: Any) -> dict[str, Any]:
        """Return what is said of the model beside its figures, checked; what is left out is as it was said before."""
        if unknown := set(said) - {"dataset", "license", "language", "table"}:
            raise TypeError(f"unexpected keyword argument {sorted(unknown)[0]!r}")
        for name in ("dataset", "license", "language"):
            value = said.get(name)
            if value is not None and (not isinstance(value, str) or not value.strip() or "\n" in value):
                raise HilbertuneError(f"{name} must be a word or a line, not {shown(value)}.")
        if said.get("table"):
            said["table"] = [
                {k: row.get(k) for k in ("method", "accuracy", "metrics", "parameters")} for row in said["table"]
            ]
        return {**self._about, **{name: value for name, value in said.items() if value}}

    def _written(
        self,
        directory: Path,
        results: Mapping[str, Any],
        files: Mapping[str, bytes] | None,
        about: Mapping[str, Any],
        name: str | None = None,
    ) -> Path:
        """Write the model directory; `name` is that of the repository it is going to."""
        import safetensors.torch

        check_is_fitted(self, "head_")
        training, tuning = self._trained_with
        config = {
            "format": FORMAT,
            "head": self.head_.config.identity(),
            "training": training.identity(),
            "tuning": tuning.identity(),
            "classes": np.asarray(getattr(self, "classes_", [])).tolist(),
            "features": self.n_features_in_,
            "embedding": self.embedding_,
            "parameters": self.head_.parameter_count,
            "results": dict(results),
            **({"base_model": self.base_model_} if self.base_model_ else {}),
            **({"about": dict(about)} if about else {}),
        }
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.head_.state_dict().items()}
        extra = _extra_files(files)
        content = {
            "config.json": _json(config),
            "model.safetensors": safetensors.torch.save(tensors, {"format": "pt"}),
            "README.md": model_card(config, extra, name=name, validated=self._validated()).encode(),
            **extra,
        }
        with storage.new_directory(directory) as folder:
            for file, data in content.items():
                (folder / file).write_bytes(data)
            if self._base_home is not None:
                shutil.copytree(self._base_home / "base", folder / "base")
                # The cache's own folders are private; a model is what its owner's umask says.
                (folder / "base").chmod(folder.stat().st_mode)
        return directory


def _json(config: dict[str, Any]) -> bytes:
    """Return config.json; refuse results that JSON cannot hold."""
    try:
        return json_text(config, indent=2).encode()
    except (TypeError, ValueError) as error:
        raise HilbertuneError(f"results must hold numbers and texts by name ({error}): leave others out.") from error


def _results(results: Mapping[str, Any] | None, before: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(results, Mapping | None):
        raise HilbertuneError(f"results must be figures by name, not {type(results).__name__}.")
    return dict(before if results is None else results)


def _extra_files(files: Mapping[str, bytes] | None) -> dict[str, bytes]:
    """Return further files of a model; refuse names that are not plain or taken, and what is not bytes."""
    extra = dict(files or {})
    for name, content in extra.items():
        own = name in ("config.json", "model.safetensors", "README.md", "base")
        if own or Path(name).name != name or not isinstance(content, bytes):
            raise HilbertuneError(f"files must hold bytes by plain names that are not taken, not {name!r}.")
    return extra
