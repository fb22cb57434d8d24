"""The regressor: a number for each row.

In: embeddings [rows, features] or a list of items, and numbers.
Out: numbers, in the units of those it was trained on.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import RegressorMixin

from hilbertune.config.records import TrainingConfig, TuningConfig
from hilbertune.data.labels import label_targets
from hilbertune.errors import HilbertuneError
from hilbertune.estimator.base import HybridEstimator
from hilbertune.estimator.devices import check_device
from hilbertune.estimator.items import as_labels, column
from hilbertune.estimator.parameters import with_parameters

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead


@with_parameters(without=("task", "class_weight"))
class HybridRegressor(RegressorMixin, HybridEstimator):
    """A regressor with a simulated quantum head: y holds a number for each row.

    The squared error is trained on numbers scaled to mean 0 and deviation 1; the scale then moves into the final linear
    layer.

    Attributes:
        head_: the trained `HybridHead`.
        n_features_in_: width of the embeddings.
        validation_r2_: R² on the validation rows, NaN where it has none.
        classical_validation_r2_: R² of ridge regression on the same validation rows, NaN where it has none. If it is
            higher than that of the head, one line says so in the log named "hilbertune".
        training_: the curves, a `TrainingResult`.
        embedding_: name and fingerprint of the embedding model, None after fitting on embeddings.
    """

    _is_regressor = True

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        checkpoint: str | Path | None = None,
    ) -> Self:
        """Train as `HybridClassifier.fit` does, with a number for each row.

        Raises:
            HilbertuneError: the data or the hyperparameters are unusable, among them numbers that are all the same.
        """
        from hilbertune.model.scaling import Scale

        settings = self._settings()
        check_device(self.device)
        X, y, weights, embedder = self._read(X, label_targets(column(as_labels(y)), [], "regression"), sample_weight)
        if len(y) == 1:
            raise HilbertuneError("Training needs at least 2 rows, but has only 1 sample.")
        scale = Scale.of(y, settings.head, weights)
        self._train(X, scale.apply(y), weights, 0, embedder, settings, checkpoint)
        scale.fold_into(self.head_)
        return self

    @classmethod
    def from_head(
        cls,
        head: "HybridHead",
        training: TrainingConfig,
        embedding: Mapping[str, str] | None,
        *,
        tuning: TuningConfig | None = None,
        base_home: Path | None = None,
    ) -> Self:
        """Return an estimator around a head that was trained elsewhere, and whose outputs are in the units of y."""
        return cls._around(head, training, tuning, [], embedding, base_home)

    def predict(self, X: Any) -> np.ndarray:
        """Return a number for each row."""
        return self._logits(X)[:, 0]
