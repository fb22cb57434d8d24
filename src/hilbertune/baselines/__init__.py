"""Classical heads on the same embeddings and splits, so that every quantum result has its yardstick beside it.

In: training embeddings, labels, and the quantum head's number of parameters.
Out: fitted models with scikit-learn's `predict`, and their numbers of trained parameters.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "models": ["Baseline"],
        "fixed": [
            "BASELINES",
            "baselines",
            "logistic_regression",
            "matched_logistic_regression",
            "mlp",
            "rbf_svm",
        ],
        "trials": ["Family"],
        "families": ["FAMILIES"],
    },
)
