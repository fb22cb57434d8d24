"""The scikit-learn models behind the classical heads: how they are made, fitted, counted and asked for scores.

In: training embeddings, labels and settings.
Out: a fitted model with the number of values that training chose.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

Embeddings = Shaped[np.ndarray, "rows features"]

Targets = Shaped[np.ndarray, "rows ..."]
"""One class or number a row; for several labels a row of 0 and 1, [rows, classes]."""


@dataclass(frozen=True)
class Baseline:
    """A fitted classical head with its number of trained values, `parameters`."""

    model: Any
    parameters: int


@dataclass(frozen=True)
class Standardised:
    """A model of standardised columns: each has the mean 0 and the deviation 1 over the training rows."""

    scaler: Any
    model: Any

    def predict(self, x: Embeddings) -> np.ndarray:
        """Return the model's answer for each row."""
        return np.asarray(self.model.predict(self.scaler.transform(x)))


def standardised(x: Embeddings, fit: Callable[[Embeddings], Baseline]) -> Baseline:
    """Fit a model to standardised columns; like principal components, means and deviations are not counted."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    fitted = fit(scaler.transform(x))
    return Baseline(Standardised(scaler, fitted.model), fitted.parameters)


def counted(model: Any) -> Baseline:
    """Return a fitted model with the number of its trained values."""
    return Baseline(model, trained_numbers(model))


def trained_numbers(model: Any) -> int:
    """Return how many numbers a fitted linear model, perceptron or support vector machine has, or several together.

    A support vector counts whole, since it is stored. In a pipeline the last step counts, and so does
    which features were selected; principal components do not, since they never see a label.
    """
    if hasattr(model, "steps"):
        selected = model[0].get_support().sum() if hasattr(model[0], "get_support") else 0
        return int(selected) + trained_numbers(model[-1])
    if hasattr(model, "estimators_"):
        return sum(trained_numbers(part) for part in model.estimators_)
    if hasattr(model, "coefs_"):
        return sum(a.size for a in [*model.coefs_, *model.intercepts_])
    if hasattr(model, "support_vectors_"):
        size: int = model.support_vectors_.size + model.dual_coef_.size
        return size + np.size(model.intercept_)
    return np.size(model.coef_) + np.size(model.intercept_) if hasattr(model, "coef_") else 0


def logistic(C: float, class_weight: Any = None, steps: int = 2000) -> Any:
    """Make a logistic regression of at most `steps` steps; `C` is the inverse strength of its L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=steps, class_weight=class_weight)


def on_components(components: int, model: Any, seed: int) -> Any:
    """Make a pipeline that puts the leading principal components into a model."""
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline

    return make_pipeline(PCA(components, random_state=seed), model)


def fit_quietly(model: Any, x: Embeddings, y: Targets, **options: Any) -> Any:
    """Fit a model without a warning if it stops at its limit of steps: validation judges that result too."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y, **options)


def score_of(model: Any, x: Embeddings) -> Float[np.ndarray, " rows"] | None:
    """Return how sure a fitted model is of the second of two classes, for ROC-AUC, or None if it has no such score."""
    if isinstance(model, Standardised):
        return score_of(model.model, model.scaler.transform(x))
    if hasattr(model, "decision_function"):
        score = np.asarray(model.decision_function(x), np.float64)
    elif hasattr(model, "predict_proba"):
        score = np.asarray(model.predict_proba(x), np.float64)
    else:
        return None
    if score.ndim == 2 and score.shape[1] == 2:
        return score[:, 1] - score[:, 0]
    return score if score.ndim == 1 else None


def outputs_of(classes: int) -> int:
    """Return the number of scores that a model gives: one for two classes, else one for each."""
    return 1 if classes == 2 else classes


def classes_of(y: Targets) -> int:
    """Return the number of distinct labels."""
    return len(np.unique(y))
