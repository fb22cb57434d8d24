"""What can be seen of an estimator: tables, figures, and a page for notebooks.

In: a fitted estimator.
Out: DataFrames (pandas), matplotlib figures, HTML.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hilbertune.errors import HilbertuneError

if TYPE_CHECKING:
    from hilbertune.model.layers import HybridHead
    from hilbertune.model.training import TrainingResult

CURVES = ("train_loss", "validation_loss", "validation_accuracy")


class Views(BaseEstimator):
    """The tables, figures and HTML of an estimator."""

    head_: "HybridHead"
    training_: "TrainingResult"

    def curves(self) -> Any:
        """Return the learning curves as a pandas DataFrame: a row for each epoch, and of an ensemble for each member.

        Columns are epoch (from 1), member (of an ensemble, from 1), train_loss, validation_loss, validation_accuracy.

        Raises:
            HilbertuneError: the model was loaded, not trained here, or pandas is not installed.
        """
        result = self._trained("curves")
        epochs, members = result.train_loss.shape
        columns: dict[str, np.ndarray] = {"epoch": np.repeat(np.arange(1, epochs + 1), members)}
        if members > 1:
            columns["member"] = np.tile(np.arange(1, members + 1), epochs)
        return _pandas().DataFrame(columns | {name: getattr(result, name).ravel() for name in CURVES})

    def results(self) -> Any:
        """Return a pandas DataFrame with a row for this model and one for the plain classical head on the same rows.

        The score is that of the validation rows: accuracy, for numbers R². `parameters` and `seconds` are of the
        training; the classical head's are not kept.

        Raises:
            HilbertuneError: the model was loaded, not trained here, or pandas is not installed.
        """
        result, task = self._trained("figures"), self.task_
        score = "validation_r2" if task == "regression" else "validation_accuracy"
        own, plain = (getattr(self, f"{prefix}{score}_", float("nan")) for prefix in ("", "classical_"))
        classical = "ridge regression" if task == "regression" else "logistic regression"
        rows = [
            ("hybrid quantum head", own, self.head_.parameter_count, result.seconds),
            (classical, plain, None, None),
        ]
        return _pandas().DataFrame(rows, columns=["method", score, "parameters", "seconds"])

    def plot_training(self) -> Any:
        """Return a matplotlib figure of the learning curves; the dotted line is the epoch whose weights were kept.

        Raises:
            HilbertuneError: the model was loaded, not trained here.
            MissingExtraError: matplotlib is not installed.
        """
        from hilbertune.estimator import plots

        result = self._trained("curves")
        best = int(result.best_epoch[0]) if len(result.best_epoch) == 1 else None
        return plots.curves_figure({name: getattr(result, name) for name in CURVES}, best=best)

    def draw(self, part: str = "all") -> Any:
        """Return a matplotlib figure of the model's circuits: "encoder", "head", or "all" of them.

        Raises:
            HilbertuneError: the model has no such circuit.
            MissingExtraError: matplotlib is not installed.
        """
        from hilbertune.estimator import plots

        check_is_fitted(self, "head_")
        return plots.circuit_figure(self.head_.config, self.head_.outputs, part)

    def _trained(self, what: str) -> "TrainingResult":
        check_is_fitted(self, "head_")
        if not hasattr(self, "training_"):
            raise HilbertuneError(
                f"This model was loaded, and has no {what} of its training: those of 'hilbertune fit' are in the model "
                "directory, in curves.csv and results.json."
            )
        return self.training_

    def _repr_html_inner(self) -> str:
        """Return scikit-learn's diagram, and below it what was fitted."""
        return str(super()._repr_html_inner()) + self._fitted_html()

    def _repr_mimebundle_(self, **settings: Any) -> dict[str, Any]:
        """Return the same for notebooks."""
        bundle: dict[str, Any] = super()._repr_mimebundle_(**settings)
        if "text/html" in bundle:
            bundle["text/html"] += self._fitted_html()
        return bundle

    def _fitted_html(self) -> str:
        """Return what was fitted as HTML, or nothing before."""
        if not hasattr(self, "head_"):
            return ""
        facts = {}
        for name, words in (("validation_accuracy_", "validation accuracy"), ("validation_r2_", "validation R²")):
            for prefix, whose in (("", ""), ("classical_", ", classical head")):
                value = getattr(self, prefix + name, None)
                if value is not None and value == value:
                    facts[words + whose] = f"{value:.4f}"
        if hasattr(self, "classes_"):
            names = [str(c) for c in self.classes_.tolist()]
            facts["classes"] = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
        from hilbertune.model.html import facts_table

        return f"<div>{facts_table(facts)}{self.head_._repr_html_()}</div>"


def _pandas() -> Any:
    """Import pandas.

    Raises:
        HilbertuneError: it is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise HilbertuneError("A DataFrame needs the package 'pandas': run pip install pandas.") from error
    return pandas
