"""The scikit-learn face: fit, predict, save, load.

In: embeddings or raw items, and labels or numbers.
Out: fitted estimators, and directories of JSON and safetensors that hold them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["HybridEstimator"],
        "plots": ["LivePlot"],
        "classifier": ["HybridClassifier"],
        "regressor": ["HybridRegressor"],
        "directory": ["load_pretrained"],
        "setfit": ["DifferentiableHead", "HybridSetFitModel"],
    },
)
