"""The classifier: a class, several classes or a step of a scale for each row.

In: embeddings [rows, features] or a list of items, and labels.
Out: labels, probabilities and decision values, as scikit-learn's classifiers give them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets

from hilbertune.config.records import TrainingConfig, TuningConfig
from hilbertune.data.labels import label_indices, label_list
from hilbertune.data.sequences import listed
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.estimator.devices import check_device
from hilbertune.estimator.items import as_labels, classes_and_targets, column, one_sentence, weights_in_order
from hilbertune.estimator.parameters import with_parameters

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead


@with_parameters()
class HybridClassifier(ClassifierMixin, HybridEstimator):
    """A classifier with a simulated quantum head, after arXiv 2504.08732, as a scikit-learn estimator.

    X is an array of embeddings [rows, features], or raw items (texts; pairs of texts, images, sound, molecules where
    the embedding model takes them), which `embedding` turns into embeddings: a list, or one column of anything, such as
    pandas, polars, pyarrow and datasets have. A share `validation` of
    the rows is not trained on: it judges the training, and chooses the epoch with keep="best". y holds a class for each
    row; with task="ordinal" the sorted classes are the steps of a scale; with task="multi-label" y is an array of 0 and
    1 [rows, classes] or a collection of labels for each row. `class_weight` may also give a weight for each label, as
    scikit-learn's does; labels that it leaves out weigh 1. With `tune` the embedding model learns too.

    Attributes:
        classes_: the labels, sorted.
        head_: the trained `HybridHead`.
        n_features_in_: width of the embeddings.
        validation_accuracy_: of the epoch that was kept, NaN without a validation set.
        classical_validation_accuracy_: that of logistic regression on the same rows, NaN without a validation set. If
            it is higher, one line says so in the log named "hilbertune".
        training_: the curves, a `TrainingResult`.
        training_config_: the settings of the training, with what "auto" chose; those of the shape are `head_.config`.
        embedding_: name and fingerprint of the embedding model, None after fitting on embeddings.
    """

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Train encoder(s), head and linear layer together, and the embedding model with them if `tune` says so.

        Args:
            X: embeddings [rows, features], or raw items.
            y: a label for each row, or the labels of each row (multi-label).
            sample_weight: a weight for each row, 0 or more, by which its loss counts; only their ratios matter. Rows of
                weight 0 are left out. The training rows weigh 1 on average; validation is weighted too.
            checkpoint: a file to resume the training of a head on a frozen base from; a training in which the base
                learns is resumed automatically, from the cache.

        Raises:
            HilbertuneError: the data or the hyperparameters are unusable; the message says what to do.
        """
        settings = self._settings()
        check_device(self.device)
        task = settings.training.task
        X = listed(X, pairs=self.pairs is not None)  # a single text is named before its label is
        self.classes_, targets = classes_and_targets(as_labels(y), task)
        with one_sentence():
            check_classification_targets(targets)
        X, targets, weights, embedder = self._read(X, targets, sample_weight, many=task == "multi-label")
        if task != "multi-label":
            # A class all of whose rows weigh nothing is none.
            present, targets = np.unique(targets, return_inverse=True)
            self.classes_ = self.classes_[present]
        if len(self.classes_) < 2:
            raise HilbertuneError(
                f"Training needs at least 2 classes, but has only one class: {self.classes_[:1].tolist()[0]!r}."
            )
        if isinstance(self.class_weight, Mapping):
            of_classes = weights_in_order(self.class_weight, self.classes_)
            training = dataclasses.replace(settings.training, class_weight=of_classes)
            settings = dataclasses.replace(settings, training=training)
        self._train(X, targets, weights, len(self.classes_), embedder, settings, checkpoint)
        self.validation_accuracy_ = self.training_.best_validation_accuracy(0)
        return self

    @classmethod
    def from_head(
        cls,
        head: "HybridHead",
        training: TrainingConfig,
        classes: Sequence[Any],
        embedding: Mapping[str, str] | None,
        *,
        tuning: TuningConfig | None = None,
        base_home: Path | None = None,
    ) -> Self:
        """Return an estimator around a head that was trained elsewhere, such as one of many runs.

        `base_home` is the folder in which a tuned base stands under the name "base".
        """
        return cls._around(head, training, tuning, classes, embedding, base_home)

    def plot_confusion(self, X: Any, y: Any) -> Any:
        """Return a matplotlib figure of which class the model takes for which: a row for each true class of y.

        Raises:
            HilbertuneError: a row may have several labels, or y has labels that the model does not know.
            MissingExtraError: matplotlib is not installed.
        """
        from sklearn.metrics import confusion_matrix

        from hilbertune.estimator import plots

        if self.task_ == "multi-label":
            raise HilbertuneError("A row may have several labels here, so that no class is taken for another.")
        truth, known = label_list(as_labels(column(y))), self.classes_.tolist()
        answers = self.predict(X)
        if len(truth) != len(answers):
            raise HilbertuneError(f"There are {len(answers)} rows and {len(truth)} labels: give as many.")
        indices = label_indices(truth, known)
        taken = label_indices(answers.tolist(), known)
        matrix = confusion_matrix(indices, taken, labels=range(len(known)))
        return plots.confusion_figure(matrix, known)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the logits [rows, classes]; for a scale the logarithms of the probabilities.

        For one of two classes it is the second less the first [rows].
        """
        from hilbertune.model import tasks

        values = self._logits(X)
        if self.task_ == "ordinal":
            tiny = np.finfo(np.float64).tiny
            values = np.log(np.maximum(tasks.probabilities(self.task_, values), tiny))
        one_of_two = len(self.classes_) == 2 and self.task_ != "multi-label"
        return values[:, 1] - values[:, 0] if one_of_two else values

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities [rows, classes], in the order of `classes_`; each label's own for task="multi-label"."""
        from hilbertune.model import tasks

        return tasks.probabilities(self.task_, self._logits(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the label of each row; for task="multi-label" 0 and 1 [rows, classes]."""
        from hilbertune.model import tasks

        answers = tasks.predicted(self.task_, self._logits(X))
        if self.task_ == "multi-label":
            return answers.astype(np.int64)
        labels: np.ndarray = self.classes_[answers]
        return labels
