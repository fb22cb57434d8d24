"""Classical heads on the same embeddings and the same splits, so that every quantum result has its yardstick beside it.

In: training and test embeddings, and how many parameters the quantum head has. Out: a fitted scikit-learn model and its parameter count.
`matched` is the strongest simple classical model that is no larger than the quantum head.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Baseline:
    """A fitted classical head; `parameters` counts what was trained (support vectors count whole, as stored numbers)."""

    model: Any
    parameters: int


def logistic_regression(x: np.ndarray, y: np.ndarray, parameters: int, seed: int) -> Baseline:
    """Logistic regression with C = 1 on the whole embedding."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1.0, max_iter=2000).fit(x, y)
    return Baseline(model, model.coef_.size + model.intercept_.size)


def rbf_svm(x: np.ndarray, y: np.ndarray, parameters: int, seed: int) -> Baseline:
    """Support vector machine with an RBF kernel, C = 1."""
    from sklearn.svm import SVC

    model = SVC(C=1.0).fit(x, y)
    return Baseline(
        model, model.support_vectors_.size + model.dual_coef_.size + len(model.intercept_)
    )


def mlp(x: np.ndarray, y: np.ndarray, parameters: int, seed: int) -> Baseline:
    """One hidden layer of 48 units (a size of arXiv 2504.08732)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((48,), random_state=seed)
    with warnings.catch_warnings():
        # 200 epochs are the library's default, and enough: the training loss hardly moves any more.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    return Baseline(model, sum(a.size for a in [*model.coefs_, *model.intercepts_]))


def matched(x: np.ndarray, y: np.ndarray, parameters: int, seed: int) -> Baseline:
    """Logistic regression on as many principal components as give at most `parameters` trained numbers.

    Like the basis of a quantum head the components are unsupervised and not counted.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    classes = len(np.unique(y))
    rows = 1 if classes == 2 else classes
    components = max(1, min(parameters // rows - 1, *x.shape))
    model = make_pipeline(PCA(components, random_state=seed), LogisticRegression(max_iter=2000))
    return Baseline(model.fit(x, y), rows * (components + 1))


Fit = Callable[[np.ndarray, np.ndarray, int, int], Baseline]

BASELINES: dict[str, Fit] = {
    "logistic regression": logistic_regression,
    "RBF SVM": rbf_svm,
    "MLP, 48 hidden": mlp,
    "logistic regression, matched": matched,
}
"""By the name that tables print; each is called with (x, y, parameters of the quantum head, seed)."""
