"""Loading a model of either kind.

In: a model directory, or the name of a repository on the Hugging Face hub.
Out: a `HybridClassifier` or a `HybridRegressor`, whichever was saved.
"""

from pathlib import Path

from hilbertune.estimator.classifier import HybridClassifier
from hilbertune.estimator.regressor import HybridRegressor
from hilbertune.estimator.saved import read_saved


def load_pretrained(directory: str | Path, *, device: str = "cpu") -> HybridClassifier | HybridRegressor:
    """Load a saved model: a folder, or the name of a repository on the Hugging Face hub. Nothing in it is executed.

    Raises:
        HilbertuneError: there is no such model, or a file of it is missing, truncated or not ours.
    """
    saved = read_saved(directory, device)
    if saved.training.task == "regression":
        return HybridRegressor.from_saved(saved)
    return HybridClassifier.from_saved(saved)
