"""Rows for classical heads to learn, and an independent count of what they have learned.

In: numbers of classes, rows and features; a fitted model.
Out: embeddings with labels; the number of trained values.
"""

from typing import Any

import numpy as np


def clouds(classes: int, rows: int = 60, features: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Draw embeddings [rows, features] in well separated clouds, one a class, with their classes [rows]."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % classes
    centres = 5 * rng.normal(size=(classes, features))
    return (centres[y] + rng.normal(size=(rows, features))).astype(np.float32), y


def held(model: Any) -> int:
    """Count the trained numbers in a fitted model, whatever it says of itself."""
    if hasattr(model, "scaler"):
        return held(model.model)
    if hasattr(model, "steps"):
        chosen = model[0].get_support().sum() if hasattr(model[0], "get_support") else 0
        return int(chosen) + held(model[-1])
    if hasattr(model, "forms"):
        return model.forms.size + model.weights.size + model.bias.size
    if hasattr(model, "coefs_"):
        return sum(a.size for a in (*model.coefs_, *model.intercepts_))
    if hasattr(model, "support_vectors_"):
        return model.support_vectors_.size + model.dual_coef_.size + model.intercept_.size
    if isinstance(getattr(model, "estimators_", None), list):
        return sum(map(held, model.estimators_))
    if hasattr(model, "estimators_"):
        features = [tree.tree_.feature for tree in model.estimators_.ravel()]
        inner = sum(int((f >= 0).sum()) for f in features)  # leaves have the feature -2
        return 2 * inner + sum(len(f) for f in features) - inner + len(model.init_.class_prior_)
    if hasattr(model, "_fit_X"):
        return model._fit_X.size + model._y.size
    return model.coef_.size + model.intercept_.size
